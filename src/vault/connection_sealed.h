/* vault/connection_sealed.h - what connection.c asks of connection_secret.c. Private to the room. */
#ifndef VAULT_CONNECTION_SEALED_H
#define VAULT_CONNECTION_SEALED_H

#include "vault/connection.h"

/* A fresh data key for the connection `id`, and the text that is stored for it. The caller ends the key. */
enum err connection_sealed_key(struct keyring *k, struct arena *a, struct str id, struct secret *key, struct str *text,
                               struct fault *why) MUST_CHECK;
/* One row per secret, sealed to row's id, domain and auth type; row->updated is their time. */
enum err connection_sealed_insert(struct db *db, struct arena *a, const struct connection_row *row, struct secret key,
                                  const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;

#endif
