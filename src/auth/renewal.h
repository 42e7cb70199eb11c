/* auth/renewal.h - keeps credentials that end: exactly one renewal in flight per connection, over threads, processes and nodes; the
 * provider's answer on the disk before anyone uses it; nothing lost to a crash that can be kept (requirements, section 10).
 *
 * A renewal: take the lease with its fence; write down what is about to be sent; send; write the raw answer, sealed, to room that
 * was set aside before; read it; put the tokens in their place, with the fence, in one transaction; tell everybody. It has threads
 * of its own and goes on when nobody waits any more.
 */
#ifndef AUTH_RENEWAL_H
#define AUTH_RENEWAL_H

#include "auth/grant.h"
#include "auth/issuer.h"
#include "auth/obtain.h"
#include "base/list.h"
#include "vault/connection.h"

struct renewals;

struct renewals_config {
    struct store *store;
    struct keyring *keyring;
    const struct egress *egress;
    struct tls_context *tls;
    struct str data;               /* directory: room for answers lies there */
    struct str node;               /* names this process, for leases and events */
    int threads;
    int64_t lease_ms;              /* 0: GRANT_LEASE_MS; shorter in tests */
    int rate;                      /* token requests a second to one host, at most */
    const struct obtain *(*obtain)(struct str auth_type); /* obtain_find() */
    /* How this stored connection gets its tokens; for auth types with an OAuth client. *out is the caller's to end. */
    enum err (*profile)(void *context, struct db *db, struct arena *a, const struct connection_row *row,
                        const struct auth_input *in, struct oauth_profile *out, struct fault *why);
    enum err (*dpop_key)(struct secret *out, struct fault *why); /* dpop_key_new() */
    /* The connector's auth entry, which the catalog knows; NULL: there is none. */
    const struct json *(*options)(void *context, struct str connector, struct str auth_type);
    /* New tokens are committed, or the grant's state changed: what was prepared before is stale. On a renewal thread. */
    void (*changed)(void *context, struct str connection);
    /* A token answer brought these fields of the connection (OAU-23): *out is the whole new JSON object in `a`, checked as a
     * person's entry would be. Inside store_write(). */
    enum err (*captured)(void *context, struct arena *a, const struct connection_row *row, const struct json *fields,
                         struct str *out, struct fault *why);
    /* Does a policy have connections like this one begin disabled? Inside store_write(); NULL: none does. */
    enum err (*starts_disabled)(void *context, struct db *db, struct arena *a, const struct connection_row *row, bool *out,
                                struct fault *why);
    /* Tokens that a person just brought, in place of good ones: does the provider take them, and whose are they? *account is in
     * `a`, STR_NONE when nobody says. Blocks; on a renewal thread. ERR_ACCOUNT_CHANGED unless `accept`, ERR_VERIFY_FAILED; what
     * cannot be asked says nothing. NULL: they are taken as they come. */
    enum err (*tried)(void *context, struct arena *a, const struct connection_row *row, const struct grant_value *values, size_t n,
                      bool accept, struct str *account, struct fault *why);
    void *context;
    void (*report)(const char *event, const struct fault *why);
};
/* Answers that a dead process left are taken up first. After the store is open, before calls are taken. */
enum err renewals_start(const struct renewals_config *c, struct renewals **out, struct fault *why) MUST_CHECK;
/* Requirement 19.1: renewals in flight are finished, up to `deadline_ms`; waiters are told ERR_STOPPING. */
void renewals_stop(struct renewals *r, int64_t deadline_ms);
void renewals_free(struct renewals *r); /* NULL is fine */

enum renewal_cause {
    RENEWAL_EXPIRED,
    RENEWAL_REFUSED /* by the provider, for a call */,
    RENEWAL_AHEAD,
    RENEWAL_IDLE,
    RENEWAL_ASKED
};

struct renewal_wait {
    struct list in_waiters;        /* private */
    /* On a renewal thread, quick; the memory is the waiter's again. ERR_RECONNECT_REQUIRED, ERR_NEEDS_AUTH, ERR_UPSTREAM_*,
     * ERR_OAUTH_CLIENT, ERR_STOPPING; ERR_NONE: there is something newer than the generation asked about. */
    void (*done)(struct renewal_wait *w, enum err e, const struct fault *why);
    bool borrows;                  /* what renewals_borrow() lends is as good: ERR_NONE for that, too */
    int64_t generation;            /* private: newer than this is wanted */
};
/* Wanted: a credential newer than `generation`. Never blocks, any thread. done() is called once, maybe before this returns, unless
 * renewals_leave() came first. With RENEWAL_REFUSED, one generation is renewed at most once. `w` may be NULL. */
void renewals_ask(struct renewals *r, struct str connection, int64_t generation, enum renewal_cause cause, struct renewal_wait *w);
/* True: done() will not be called. False: it was, or is being. The renewal goes on either way. */
bool renewals_leave(struct renewals *r, struct renewal_wait *w);

/* A credential that is in its room on the disk, and that the database does not take yet (it is full, or a sync failed): the next
 * start finds it there, so nothing is lost by its being used. True: *count values in place of the stored ones of that generation,
 * the caller's to end, their names in `a`, and *g is as it will be. Any thread. */
bool renewals_borrow(struct renewals *r, struct arena *a, struct str connection, struct grant *g,
                     struct grant_value values[GRANT_VALUES], size_t *count);

/* renewals_ask() for who can wait: blocks, at most `ms`. Worker threads only. ERR_UPSTREAM_TIMEOUT: it goes on. */
enum err renewals_wait(struct renewals *r, struct str connection, int64_t generation, enum renewal_cause cause, int64_t ms,
                       struct fault *why) MUST_CHECK;

/* A grant that a person just made: the code, the device code or the first fetch. Blocks; worker threads only. The answer is kept as
 * any other. `params` as for token_request_build(). `accept_account`: it may be of another account than the one before (CON-55). */
enum err renewals_obtain(struct renewals *r, struct str connection, const struct token_param *params, size_t n,
                         bool accept_account, struct fault *why) MUST_CHECK;
/* Asks the provider whether the access token is still good, where the connector wants that (setting `introspect`). One that is not
 * ends now, and another one is fetched; true: so it was. What cannot be asked says nothing. Blocks; worker and prober threads. */
bool renewals_introspect(struct renewals *r, const struct connection_row *row);
/* Gives tokens back to the provider (RFC 7009); waits at most 5 s, then a durable queue has it (requirement 9.8). */
enum err renewals_revoke(struct renewals *r, struct str connection, struct fault *why) MUST_CHECK;

/* Prometheus text. Quick. */
void renewals_metrics(struct renewals *r, struct buf *out);

#endif
