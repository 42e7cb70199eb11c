/* auth/method.h - how one kind of credential becomes bytes on an outgoing request.
 *
 * Methods are const data: no init, no instance, safe from any thread. A method whose credential is the same for every
 * request prepares injections once, when the connection enters the cache; call/ writes them on each request, after
 * removing every caller's copy of the same name.
 */
#ifndef AUTH_METHOD_H
#define AUTH_METHOD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"

enum inject_where { INJECT_HEADER, INJECT_QUERY, INJECT_BODY };

struct injection {
    enum inject_where where;
    struct str name;        /* header or parameter name, or body member; checked */
    struct secret value;    /* as it goes on the wire: header value, or percent-encoded parameter value, or raw member value */
};
#define INJECTIONS 16
struct injections {
    struct injection at[INJECTIONS];
    size_t count;
};
void injections_end(struct injections *i);

struct auth_secret {
    struct str name;
    struct secret value;    /* lent */
};

struct auth_input {
    const struct json *options;  /* the connector's auth entry (header, query, prefix, username_suffix ...); may be NULL */
    const struct json *fields;   /* the connection's fields: may override header, query, prefix where the connector lets them */
    const struct auth_secret *secrets;
    size_t secret_count;
    bool digits_ok;              /* setting header_names.allow_digits */
};
/* NULL when absent. */
const struct secret *auth_secret(const struct auth_input *in, const char *name);

struct auth_field { const char *name; bool required; };

struct auth_method {
    const char *name;                  /* as connector files and the API spell it */
    const struct auth_field *fields;   /* credential fields, ended by a NULL name; NULL with `open_fields` */
    bool open_fields;                  /* any names ([A-Za-z0-9_-]) */
    /* Values in range (Basic user without ':', no control bytes ...), header names legal. Pointers as "/credentials/x",
     * "/fields/header". */
    enum err (*check)(const struct auth_input *in, struct fault *why);
    /* *out is the caller's to end; names point into `a`. Runs on what check() accepted. */
    enum err (*prepare)(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why);
};

const struct auth_method *auth_find(struct str name); /* NULL: unknown */
const struct auth_method *auth_at(size_t i);          /* NULL at the end */

#endif
