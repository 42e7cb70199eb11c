/* call/switchboard.h - all that calls need: one board per loop, the caches that boards share, and the recorder.
 *
 * Caches hold immutable, counted entries. A change marks the old entry stale and takes it out; who still runs on it finishes; the
 * next call makes a new one. Making one takes SQL and unsealing, so it happens on worker threads only.
 */
#ifndef CALL_SWITCHBOARD_H
#define CALL_SWITCHBOARD_H

#include <stdatomic.h>

#include "access/caller.h"
#include "access/policy_store.h"
#include "call/call.h"
#include "call/circuit.h"
#include "call/intent.h"
#include "call/prepared.h"
#include "call/recorder.h"
#include "call/run.h"
#include "catalog/connector.h"
#include "http/upstream.h"
#include "loop/workers.h"
#include "store/db.h"
#include "vault/keyring.h"

struct call_limits {
    int64_t total_ms;
    int64_t request_max, response_max;  /* bytes of buffered calls */
    int retries;                        /* most that a caller may ask for */
};

struct issuers;
struct renewals;

struct switchboard_config {
    struct store *store;
    struct keyring *keyring;
    const struct catalog *catalog;
    const struct egress *egress;
    struct workers *workers;
    struct tls_context *tls;    /* towards providers; what a connection has of its own is laid over it */
    bool header_digits_ok;
    struct call_limits limits;
    struct issuers *issuers;    /* whose tokens are taken beside our own */
    struct circuits *circuits;      /* NULL: calls go out however many failed */
    struct intents *intents;        /* NULL: calls are not recorded before they are made */
    /* The provider answered a call of this connection with 401; may be NULL. On the recorder's thread, once or more for each:
     * quick. */
    void (*suspect)(void *context, struct str connection);
    void *suspect_context;
    struct policy_book *policies; /* NULL: none */
    void (*report)(const char *event, const struct fault *why); /* what happens on threads that nobody waits for */
};

/* One loop's part. Used on its loop only, but for the counters. */
struct board {
    struct switchboard *switchboard;
    struct loop *loop;
    struct upstreams *upstreams;
    struct intent_lane *lane; /* NULL: calls are not recorded before they are made */
    struct recording recording;
    _Atomic uint64_t calls, failures, refusals; /* relaxed: for /metrics */
};

enum err switchboard_new(const struct switchboard_config *c, struct switchboard **out, struct fault *why) MUST_CHECK;
/* At boot, before the loop runs; takes `u`. */
struct board *switchboard_add(struct switchboard *s, struct loop *l, struct upstreams *u);
/* After the loops have ended. Records that were handed over are written first. */
void switchboard_free(struct switchboard *s);
/* At boot, before calls: who keeps credentials that end. */
void switchboard_renew_with(struct switchboard *s, struct renewals *r);
struct renewals *switchboard_renewals(const struct switchboard *s);
const struct switchboard_config *switchboard_config(const struct switchboard *s);
struct board *switchboard_board(struct switchboard *s, int i); /* NULL at the end */
/* Records that could not be kept since start. */
uint64_t switchboard_lost(const struct switchboard *s);

/* A caller's token, resolved: counted like a prepared connection. */
struct pass {
    _Atomic int references;
    _Atomic bool stale;
    struct arena *arena;
    struct caller caller;
    wall_ms again;          /* 0, or when it must be resolved anew: what an issuer says is not believed for long */
};
static inline bool pass_over(const struct pass *p)
{
    return atomic_load_explicit(&p->stale, memory_order_acquire) || (p->again && p->again <= clock_wall());
}
/* One of our tokens, or an issuer's (auth/jwt_caller.h). Worker threads only; an issuer's may wait for the network.
 * ERR_TOKEN_INVALID, ERR_TOKEN_EXPIRED, ERR_IDENTITY_PROVIDER. */
enum err switchboard_pass(struct switchboard *s, struct str token, struct pass **out, struct fault *why) MUST_CHECK;
void pass_release(struct pass *p); /* NULL is fine */
static inline struct pass *pass_keep(struct pass *p)
{
    atomic_fetch_add(&p->references, 1);
    return p;
}

/* May a connection in this state be called? ERR_CONNECTION_DISABLED, ERR_NEEDS_AUTH, ERR_RECONNECT_REQUIRED. */
enum err switchboard_state_permits(const struct connection_row *row, struct fault *why) MUST_CHECK;

/* The connection that a caller means by `name` (id or key), prepared, when it may use it. *until: when that right ends, or its
 * credentials get too old; 0: never by itself. Worker threads only. ERR_CONNECTION_NOT_FOUND, ERR_CONNECTION_NOT_GRANTED,
 * ERR_DENIED. */
enum err switchboard_connection(struct switchboard *s, const struct caller *c, struct str name, struct prepared **out,
                                wall_ms *until, struct fault *why) MUST_CHECK;

#endif
