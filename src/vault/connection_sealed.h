/* vault/connection_sealed.h - what connection.c asks of connection_secret.c. Private to the room. */
#ifndef VAULT_CONNECTION_SEALED_H
#define VAULT_CONNECTION_SEALED_H

#include "vault/connection.h"

/* A fresh data key for the connection `id`, in place of the one it may have had. The caller ends the key. */
enum err connection_sealed_key(struct db *db, struct keyring *k, struct str id, size_t secrets, struct secret *key,
                               struct fault *why) MUST_CHECK;
/* The codes of devices that wait to authorize it: their rows go with the connection's, by themselves. */
enum err connection_codes_forget(struct db *db, struct str id, struct fault *why) MUST_CHECK;
enum err connection_sealed_forget(struct db *db, struct str id, struct fault *why) MUST_CHECK;
/* One row per secret, sealed to row's id, domain and auth type; row->updated is their time. */
enum err connection_sealed_insert(struct db *db, struct arena *a, const struct connection_row *row, struct secret key,
                                  const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;

#endif
