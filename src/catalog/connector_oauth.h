/* catalog/connector_oauth.h - the members `oauth`, `login` and `login_hosts` of an auth entry. Private to the room. */
#ifndef CATALOG_CONNECTOR_OAUTH_H
#define CATALOG_CONNECTOR_OAUTH_H

#include "catalog/connector.h"

/* `auth` has its type, fields and credentials; entries that may be used with an OAuth client of one's own get the credentials for
 * it, unless they list them. `c` has its fields. ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD with the pointer. */
enum err connector_oauth_read(struct arena *a, const struct json *entry, const char *at, const struct connector *c,
                              struct connector_auth *auth, struct fault *why) MUST_CHECK;

#endif
