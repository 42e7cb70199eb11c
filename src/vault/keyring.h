/* vault/keyring.h - the wrapping keys: what the master key seals, and what seals data keys (invariant 1).
 *
 * master key (master_key.h) -> wrapping keys in the table wrapping_key, each sealed by the master key; the newest is active and
 * seals, all open -> one random data key per owner (data_key.h), sealed by a wrapping key -> its secrets. There is no plaintext
 * mode: without the master key nothing starts. rotation.h makes new wrapping keys and retires old ones.
 *
 * Several processes may share one database. Whoever writes looks which key is active, and whoever meets a value of an unknown key
 * reads the table again: keyring_refresh().
 */
#ifndef VAULT_KEYRING_H
#define VAULT_KEYRING_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"
#include "store/db.h"
#include "vault/master_key.h"

struct keyring; /* safe from any thread */
/* Opens every wrapping key of the store; one that is damaged is set aside when another opens (and a new one is made when it was the
 * active one), so that what it sealed fails and the rest works; when none opens nothing starts. Makes the first one in an empty
 * store. A wrong master key is found here, before any write: ERR_KEY_WRONG, the subject is the id of the key that is needed. A
 * master key that was to take over (rotation.h) has taken over once it opens the ring. Takes ownership of master. */
enum err keyring_open(struct store *s, struct secret master, struct keyring **out, struct fault *why) MUST_CHECK;
void keyring_close(struct keyring *k);

/* Where keyring_refresh() looks for a master key that took over while this process runs. Borrowed; `text` is not kept. */
void keyring_source(struct keyring *k, const struct master_key_source *from);

/* What to do, in the same transaction, when a secret turns out not to open and its owner is marked: the audit record, which is
 * another room's. At boot. */
typedef enum err keyring_lost(struct db *db, struct str kind, struct str id, struct fault *why);
void keyring_on_lost(struct keyring *k, keyring_lost *told);
enum err keyring_tell_lost(struct keyring *k, struct db *db, struct str kind, struct str id, struct fault *why) MUST_CHECK;

/* Wipe every key, at once and for good: what is asked of the ring from then on fails with ERR_SEALED. From any thread. */
void keyring_wipe(struct keyring *k);

/* Reads the table again: new keys open from now on, the active one seals; keys that were destroyed leave memory a minute later.
 * Fine inside a transaction or an old snapshot. ERR_KEY_WRONG: they are sealed by a master key that this process does not have. */
enum err keyring_refresh(struct keyring *k, struct db *db, struct fault *why) MUST_CHECK;

uint32_t keyring_active(struct keyring *k);
bool keyring_knows(struct keyring *k, uint32_t id);
/* It is in the table, and did not open when another did. What it sealed is lost unless a backup brings it back. */
bool keyring_damaged(struct keyring *k, uint32_t id);
struct master_key_id keyring_master(struct keyring *k);

/* master_key_derive() of the master key in hand. ERR_SEALED. */
enum err keyring_master_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why) MUST_CHECK;

/* Seal a data key by the active wrapping key, bound to `place`. *by is that key's id. */
enum err keyring_wrap(struct keyring *k, struct arena *a, struct str place, struct secret key, struct str *sealed, uint32_t *by,
                      struct fault *why) MUST_CHECK;
/* ERR_CRYPTO when it does not open, or its wrapping key is not known. */
enum err keyring_unwrap(struct keyring *k, struct str place, struct str sealed, struct secret *key, struct fault *why) MUST_CHECK;

/* In the caller's transaction: a new wrapping key, the active one of the database; the ring knows it after keyring_refresh(), which
 * is the caller's to call after the transaction. ERR_CONFLICT while a master key takes over. */
enum err keyring_add(struct keyring *k, struct db *db, uint32_t *id, struct fault *why) MUST_CHECK;

/* In the caller's transaction: every wrapping key sealed by `next` too, so that either master key opens the ring.
 * keyring_confirm() ends this: the old master key opens nothing any more. */
enum err keyring_prepare_master(struct keyring *k, struct db *db, struct secret next, struct fault *why) MUST_CHECK;
enum err keyring_confirm_master(struct db *db, struct master_key_id next, struct fault *why) MUST_CHECK;

/* Keyed fingerprint of a secret (hex, 16 characters), the same within one instance only. */
struct str keyring_fingerprint(struct keyring *k, struct arena *a, struct str secret);

/* A key of SHA256_SIZE bytes for another purpose, named by `label`; the same within one deployment, whatever key is active. *out is
 * the caller's. ERR_SEALED. */
enum err keyring_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why) MUST_CHECK;

#endif
