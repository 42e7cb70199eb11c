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

/* Where the calls of a connection go, and what they always carry. */
struct setup_target {
    struct url base;
    struct str verify_path;         /* to be joined to the base URL; empty: there is no verify call */
    struct str verify_query;        /* without '?'; p == NULL: none */
    struct str headers[8][2]; size_t header_count;  /* expanded; those that came out empty are left out */
    bool follow_redirects;
};

struct setup {
    const struct connector *connector;
    const struct connector_auth *auth;
    struct str allowed_domain;      /* normalised */
    struct str fields;              /* JSON object, presets filled in, aliases resolved */
    const struct json *fields_json; /* the same as a tree, e.g. for auth_input.fields */
    struct str base_url;            /* expanded */
    struct setup_target target;
    struct connection_secret secrets[CONNECTION_SECRETS]; /* ended by setup_end */
    size_t secret_count;
    bool has_credentials;           /* false: the connection starts as needs_auth */
};

/* `fields` and `credentials` may be NULL. `allowed_domain` may be STR_NONE when the connector gives one. `digits_ok`: the setting
 * header_names.allow_digits. Errors carry a pointer: ERR_FIELD_REQUIRED, ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD,
 * ERR_AUTH_TYPE_NOT_OFFERED, ERR_DOMAIN_INVALID, ERR_DOMAIN_NOT_ALLOWED (base URL outside the allowed domain),
 * ERR_HEADER_NAME_INVALID, ERR_URL_INVALID, ERR_SCHEME_NOT_ALLOWED. */
enum err setup_check(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                     const struct json *credentials, struct str allowed_domain, const struct egress *egress, bool digits_ok,
                     struct setup *out, struct fault *why) MUST_CHECK;
/* For a stored connection whose fields are patched: same checks, against the frozen allowed domain; no credentials. */
enum err setup_check_fields(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                            struct str frozen_domain, const struct egress *egress, bool digits_ok, struct setup *out,
                            struct fault *why) MUST_CHECK;
/* What the hub made when the connection was made stays as it is. ERR_FIELD_IMMUTABLE. */
enum err setup_check_generated(const struct connector_auth *auth, const struct json *stored, const struct json *fields,
                               struct fault *why) MUST_CHECK;
/* New credentials for a stored connection. */
enum err setup_check_credentials(struct arena *a, const struct connector *c, struct str auth_type, const struct json *credentials,
                                 struct setup *out, struct fault *why) MUST_CHECK;
/* Of a stored connection, from its stored fields. Checks nothing that set-up has checked against the policy: the sender does that,
 * on the final URL. Errors: those of a set-up, should the connector have changed since. */
enum err setup_target(struct arena *a, const struct connector *c, const struct connector_auth *auth, const struct json *fields,
                      struct setup_target *out, struct fault *why) MUST_CHECK;
void setup_end(struct setup *s); /* wipes the secrets */

#endif
