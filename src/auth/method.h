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
enum inject_where { INJECT_HEADER, INJECT_SIGNED, INJECT_QUERY, INJECT_BODY };
static inline bool inject_is_header(enum inject_where w) { return w <= INJECT_SIGNED; }

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
    struct str method, host, path, query; /* host: as in Host; query: without '?'; methods that sign add no parameters */
    bool https;
    const struct header *headers;         /* the caller's that pass, and the connector's own; without those of the method */
    size_t header_count;
    struct str content_type;
    bool has_body;
    struct str body;                      /* whole, when the signer wants it; else p == NULL */
    wall_ms now;
};
/* Values of the INJECT_SIGNED headers, in the places of their injections; in the call's arena. p == NULL: not sent this time. */
struct signature {
    struct str values[INJECTIONS];
    struct str proof;                     /* the part that proves: an answer's header that repeats it is not passed on */
};
struct signer; /* a method's own: keys, and what challenges taught it. Shared by threads; locks what changes */

/* The whole of which bodies must be there before a request can be signed. */
enum sign_body { SIGN_NO_BODY, SIGN_FORM_BODY /* application/x-www-form-urlencoded */, SIGN_ANY_BODY };
#define SIGN_BODY_MAX (6 * 1024 * 1024) /* bytes of a body that is held back for its signature */

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
    enum sign_body (*signs_body)(const struct signer *s);
    /* On a loop: CPU only; microseconds, and what it takes to hash the body. Again for each try: a signature is never sent twice.
     */
    enum err (*sign)(struct signer *s, struct arena *a, const struct sign_request *q, const struct injections *i,
                     struct signature *out, struct fault *why);
    /* After the first answer to a call; may be NULL. `sent`: what the request carried. *again: it is a challenge, and the same
     * request signed anew may do. ERR_AUTH_CHALLENGE: one that cannot be met, and never will. */
    enum err (*challenged)(struct signer *s, const struct signature *sent, struct str host, int status, const struct head *answer,
                           bool *again, struct fault *why);
};

const struct auth_method *auth_find(struct str name); /* NULL: unknown */
const struct auth_method *auth_at(size_t i);          /* NULL at the end */

#endif
