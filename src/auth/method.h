/* auth/method.h - how one kind of credential becomes bytes on an outgoing request.
 *
 * Methods are const data: no init, no instance, safe from any thread. A method whose credential is the same for every
 * request prepares injections once, when the connection enters the cache; call/ writes them on each request, after
 * removing every caller's copy of the same name.
 */
#ifndef AUTH_METHOD_H
#define AUTH_METHOD_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"
#include "http/head.h"

/* INJECT_SIGNED: a header whose value sign() makes for each request; its name is taken from callers as that of any other. */
enum inject_where { INJECT_HEADER, INJECT_QUERY, INJECT_BODY, INJECT_SIGNED };

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
    const struct auth_secret
        *granted; /* what a renewal gave: "access_token", "dpop_key" ... (auth/grant.h); none before the first */
    size_t granted_count;
};
/* NULL when absent. */
const struct secret *auth_secret(const struct auth_input *in, const char *name);
const struct secret *auth_granted(const struct auth_input *in, const char *name);

struct auth_field { const char *name; bool required; };

/* A request about to leave, for methods that sign it: exactly what goes on the wire. */
struct sign_request {
    struct str method, host, path, query; /* host: as in Host; query: without '?', credentials' own parameters included */
    bool https;
    const struct head *headers;           /* the caller's; those that do not pass are for the method to leave out */
    struct str content_type;
    bool has_body;
    struct str body;                      /* whole, when the method signs bodies */
    wall_ms now;
};
/* Values of the INJECT_SIGNED headers, in their order; in the call's arena, wiped with it. p == NULL: not sent this time. */
struct signature { struct str values[INJECTIONS]; };
struct signer; /* a method's own: keys, and what challenges taught it. Shared by threads; locks what changes */

struct auth_method {
    const char *name;                  /* as connector files and the API spell it */
    const struct auth_field *fields;   /* credential fields, ended by a NULL name; NULL with `open_fields` */
    bool open_fields;                  /* any names ([A-Za-z0-9_-]) */
    /* Values in range (Basic user without ':', no control bytes ...), header names legal. Pointers as "/credentials/x",
     * "/fields/header". */
    enum err (*check)(const struct auth_input *in, struct fault *why);
    /* *out is the caller's to end; names point into `a`. Runs on what check() accepted. */
    enum err (*prepare)(struct arena *a, const struct auth_input *in, struct injections *out, struct fault *why);

    /* Methods that sign; NULL for others. signer_new() runs after prepare(); *out may stay NULL: nothing to sign this time. */
    enum err (*signer_new)(struct arena *a, const struct auth_input *in, struct signer **out, struct fault *why);
    void (*signer_free)(struct signer *s);
    /* On a loop: CPU only, a few microseconds. */
    enum err (*sign)(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                     struct signature *out, struct fault *why);
    /* After an answer to a signed request: true when it is a challenge, and signing once more may do. */
    bool (*challenged)(struct signer *s, int status, const struct head *answer);
    bool signs_body;                   /* the whole body must be there first */
};

const struct auth_method *auth_find(struct str name); /* NULL: unknown */
const struct auth_method *auth_at(size_t i);          /* NULL at the end */

#endif
