/* auth/obtain.h - how an auth type turns what is stored into something that ends: one request, and what its answer gives. Rows of a
 * table, one file each (auth/obtain_*.c): no network, no store; auth/renewal.c does both.
 */
#ifndef AUTH_OBTAIN_H
#define AUTH_OBTAIN_H

#include "auth/dpop.h"
#include "auth/grant.h"
#include "auth/token_answer.h"
#include "auth/token_request.h"

struct obtain_input {
    const struct auth_input *in;          /* the connector's entry, the connection's fields and secrets */
    const struct oauth_profile *profile;  /* NULL for auth types without an OAuth client */
    /* The grant as it is now; none the first time. With profile->dpop a "dpop_key" is among them before build() is called:
     * dpop_key_new() makes it. */
    const struct grant_value *values;
    size_t value_count;
    const struct token_param *params;     /* of a grant that a person just made: replaces what build() would send; NULL: none */
    size_t param_count;
    struct str nonce;                     /* for DPoP; empty: none */
    struct str allowed_domain;            /* the connection's: where a login of custom_oauth may go, besides its login_hosts */
    wall_ms now;
};
/* NULL when absent. */
const struct secret *obtain_value(const struct obtain_input *q, const char *name);

struct obtained {
    struct token_answer answer;           /* outcome, expiry, scope, reason; its tokens are moved to `values` */
    struct grant_value values[GRANT_VALUES]; /* all of the grant, in place of what was there */
    size_t count;
};
void obtained_end(struct obtained *o);

struct obtain {
    const char *auth_type;
    bool oauth;         /* has a profile */
    bool keyed;         /* has none, but a client of the hub's may hold its key: an access key, as client id and secret */
    bool signs;         /* the grant is a statement signed with the connection's key, else with the client's */
    bool by_person;     /* the first time takes a person: a grant that is over cannot be had again without one */
    /* ERR_NEEDS_AUTH: only a person can. *out is the caller's to end, an error or not. Where no person is needed and a refresh
     * token was refused (TOKEN_GRANT_OVER), the same without "refresh_token" among the values starts anew. */
    enum err (*build)(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why);
    /* Never fails: what cannot be read is an outcome. */
    void (*read)(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                 struct obtained *out);
};
static inline bool obtain_takes_client(const struct obtain *o) { return o && (o->oauth || o->keyed); }
const struct obtain *obtain_find(struct str auth_type); /* NULL: its stored secrets are the credential */

#endif
