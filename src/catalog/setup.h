/* catalog/setup.h - from what a person typed to a connection that may be stored.
 *
 * Checks fields and credentials against the connector, fills presets, expands base URL and allowed domain, and holds
 * the base URL against the allowed domain. Pure: no SQL, no network.
 */
#ifndef CATALOG_SETUP_H
#define CATALOG_SETUP_H

#include "catalog/connector.h"
#include "http/address.h"
#include "http/url.h"
#include "vault/connection.h"

struct setup {
    const struct connector *connector;
    const struct connector_auth *auth;
    struct str allowed_domain;      /* normalised */
    struct str fields;              /* JSON object, presets filled in, aliases resolved */
    struct str base_url;            /* expanded */
    struct connection_secret secrets[CONNECTION_SECRETS]; /* ended by setup_end */
    size_t secret_count;
    bool has_credentials;           /* false: the connection starts as needs_auth */
};

/* `fields` and `credentials` may be NULL. `allowed_domain` may be STR_NONE when the connector gives one. `digits_ok`: the setting
 * header_names.allow_digits. Errors carry a pointer: ERR_FIELD_REQUIRED, ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD, ERR_AUTH_TYPE_NOT_OFFERED, ERR_DOMAIN_INVALID,
 * ERR_DOMAIN_NOT_ALLOWED (base URL outside the allowed domain), ERR_HEADER_NAME_INVALID, ERR_URL_INVALID, ERR_SCHEME_NOT_ALLOWED. */
enum err setup_check(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                     const struct json *credentials, struct str allowed_domain, const struct egress *egress, bool digits_ok,
                     struct setup *out, struct fault *why) MUST_CHECK;
/* For a stored connection whose fields are patched: same checks, against the frozen allowed domain; no credentials. */
enum err setup_check_fields(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                            struct str frozen_domain, const struct egress *egress, bool digits_ok, struct setup *out,
                            struct fault *why) MUST_CHECK;
/* New credentials for a stored connection. */
enum err setup_check_credentials(struct arena *a, const struct connector *c, struct str auth_type, const struct json *credentials,
                                 struct setup *out, struct fault *why) MUST_CHECK;
void setup_end(struct setup *s); /* wipes the secrets */

#endif
