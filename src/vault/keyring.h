/* vault/keyring.h - the keys that seal credentials at rest (invariant 1).
 *
 * master key (file, environment or systemd credential; 32 bytes) -> wrapping keys in the table wrapping_key, each
 * sealed by the master key; one is active -> one random data key per connection, sealed by the active wrapping
 * key -> its secrets. There is no plaintext mode: without the master key nothing starts.
 */
#ifndef VAULT_KEYRING_H
#define VAULT_KEYRING_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"
#include "store/db.h"

/* Where the key comes from, in this order: `text` (RACCORD_MASTER_KEY: base64 or hex of 32 bytes; wiped by the caller),
 * `file` (master_key_file), systemd ($CREDENTIALS_DIRECTORY/master-key), DIRECTORY/master.key. Only the last is created when absent
 * (0600, fsynced with its directory) and only when the database holds no wrapping key yet.
 * A key file readable by group or others is refused: ERR_KEY_MISSING, subject says what to do. */
struct master_key_source {
    struct str text, file, directory;
};
/* *created: the file was made now (say so, with a word on keeping it apart from the data). */
enum err master_key_load(const struct master_key_source *from, bool may_create, struct secret *out, bool *created,
                         struct fault *why) MUST_CHECK;

struct keyring; /* immutable after open, until it is wiped; safe from any thread */
/* Opens every wrapping key of the store; makes the first one in an empty store. A wrong master key is found here, before any
 * write: ERR_KEY_WRONG. Takes ownership of master. */
enum err keyring_open(struct store *s, struct secret master, struct keyring **out, struct fault *why) MUST_CHECK;
void keyring_close(struct keyring *k);

/* Wipe every key, at once and for good: what is asked of the ring from then on fails with ERR_SEALED. From any thread. */
void keyring_wipe(struct keyring *k);

/* A fresh data key, and its sealed form bound to `owner` (a connection id). */
enum err keyring_new_data_key(struct keyring *k, struct arena *a, struct str owner, struct secret *key, struct str *sealed,
                              struct fault *why) MUST_CHECK;
enum err keyring_open_data_key(struct keyring *k, struct str owner, struct str sealed, struct secret *key,
                               struct fault *why) MUST_CHECK;

/* Keyed fingerprint of a secret (hex, 16 characters), the same within one instance only. */
struct str keyring_fingerprint(struct keyring *k, struct arena *a, struct str secret);

/* A key of SHA256_SIZE bytes for another purpose, named by `label`; the same within one deployment, whatever key is active. *out is
 * the caller's. ERR_SEALED. */
enum err keyring_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why) MUST_CHECK;

#endif
