/* call/prepared.h - a connection made ready for calls: immutable, reference-counted, shared by all threads.
 *
 * Why counted: a change publishes a new entry while calls still run on the old one.
 */
#ifndef CALL_PREPARED_H
#define CALL_PREPARED_H

#include <stdatomic.h>

#include "access/policy.h"
#include "auth/method.h"
#include "auth/oauth_profile.h"
#include "base/arena.h"
#include "call/mask.h"
#include "catalog/connector.h"
#include "crypto/tls.h"
#include "http/url.h"
#include "vault/connection.h"

struct prepared {
    _Atomic int references;
    _Atomic bool stale;             /* replaced or removed since: do not start a new call on it */
    struct arena *arena;            /* everything below lives here, but for secrets */
    struct connection_row row;
    const struct connector *connector;
    struct url base;                /* its host ends in NUL */
    struct str authority;           /* of the base: the Host header */
    struct injections injections;
    const struct auth_method *method;
    struct signer *signer;          /* NULL: its injections say all, as most do */
    enum sign_body whole;           /* bodies that must be there as a whole before the request goes */
    size_t whole_max;               /* bytes of one */
    bool rewrites;                  /* some of its injections are members of bodies */
    struct mask *mask;
    struct tls_context *tls;        /* with its client certificate and its own roots; NULL: the loop's, as most have it */
    uint64_t pool;                  /* names its upstream sockets; never used twice */
    uint64_t circuit;               /* names its circuit (call/circuit.h); 0: it has none */
    bool follow_redirects;
    struct str verify_method, verify_path, verify_query, verify_account, verify_ok; /* path empty: none */
    struct str headers[8][2];       /* the connector's own, expanded */
    size_t header_count;
    struct policy_gate *gates;      /* what policies ask per call */
    size_t gate_count;
    bool secure;                    /* a policy: records keep no path */
    wall_ms until;                  /* a policy: its credentials are too old then; 0: never */
    bool renews;                    /* its credential is a grant's, and ends (auth/renewal.h) */
    bool trial;                     /* for one look at its health: not from the cache */
    int64_t generation;             /* of the grant's tokens in it; 0: there are none yet */
    int64_t ends_us;                /* by clock_mono_us(), when they are over; 0: not known */
    struct oauth_expired expired;   /* the provider's own "this token is over", beside 401 */
};

void prepared_release(struct prepared *p); /* NULL is fine */
struct prepared *prepared_keep(struct prepared *p);

#endif
