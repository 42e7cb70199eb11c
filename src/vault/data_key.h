/* vault/data_key.h - one random key per owner of secrets, sealed by a wrapping key. It seals that owner's values and nothing else;
 * where it goes, they go: destroying it makes them unreadable.
 *
 * An owner is a kind and an id: ("connection", "con_..."), and the kinds of sealed.h. Neither holds '|'.
 */
#ifndef VAULT_DATA_KEY_H
#define VAULT_DATA_KEY_H

#include "vault/keyring.h"

struct data_owner {
    struct str kind, id;
};

/* In the caller's transaction: a fresh key for the owner, in place of the one it may have had. The caller ends *key. `uses`: how
 * many values it is about to seal. ERR_SEALED, ERR_STORE. */
enum err data_key_new(struct db *db, struct keyring *k, struct data_owner owner, int64_t uses, struct secret *key,
                      struct fault *why) MUST_CHECK;
/* The owner's key, for reading. ERR_NOT_FOUND: it has none; ERR_CRYPTO: it does not open. */
enum err data_key_open(struct db *db, struct keyring *k, struct data_owner owner, struct secret *key, struct fault *why) MUST_CHECK;
/* In the caller's transaction: it is about to seal `more` values. *uses: all that it has sealed then. */
enum err data_key_count(struct db *db, struct data_owner owner, int64_t more, int64_t *uses, bool *found,
                        struct fault *why) MUST_CHECK;
/* In the caller's transaction. No key is fine. */
enum err data_key_destroy(struct db *db, struct data_owner owner, struct fault *why) MUST_CHECK;

/* What a sealed key is bound to. */
struct str data_key_place(struct arena *a, struct data_owner owner);

#endif
