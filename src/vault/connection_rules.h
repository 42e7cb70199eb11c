/* vault/connection_rules.h - what a connection's parts may look like. Private to the room. */
#ifndef VAULT_CONNECTION_RULES_H
#define VAULT_CONNECTION_RULES_H

#include "vault/connection.h"

#define CONNECTION_KEY_MAX 64
#define CONNECTION_SECRET_MAX (64 * 1024)

/* ERR_FIELD_INVALID or ERR_FIELD_REQUIRED with the pointer of the field. `fresh`: also what never changes later. */
enum err connection_rules_row(const struct connection_row *row, bool fresh, struct fault *why) MUST_CHECK;
enum err connection_rules_key(struct str key, struct fault *why) MUST_CHECK;
enum err connection_rules_secrets(const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;

#endif
