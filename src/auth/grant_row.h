/* auth/grant_row.h - the row of a grant, whole, and the transactions of a renewal: take the lease, keep what came, or say why
 * nothing did. Private to auth/.
 *
 * The lease names its holder, a fence that counts leases, and a beat that counts while the holder lives. Time is not compared over
 * processes: who wants a lease that another holds watches it, and may take it when neither fence nor beat moved for
 * GRANT_LEASE_MS of its own monotonic time. Every write of a renewal carries holder and fence, and fails when they moved.
 */
#ifndef AUTH_GRANT_ROW_H
#define AUTH_GRANT_ROW_H

#include "auth/answer_journal.h"
#include "auth/grant.h"

#define GRANT_CALL_MS 30000               /* the longest token call, connecting included */
#define GRANT_LEASE_MS (GRANT_CALL_MS + 15000)
#define GRANT_BEAT_MS 10000

struct grant_row {
    struct grant grant;
    struct str client;                    /* cli_..., or empty */
    wall_ms again, forced, intent;
    struct str print, holder;
    int64_t fence, beat, attempt, unknown, skew_ms;
};
/* A connection without a grant has an empty row of state GRANT_NONE. */
enum err grant_row_get(struct db *db, struct arena *a, struct str connection, struct grant_row *out, struct fault *why) MUST_CHECK;

/* One turn at renewing a grant. All of these are store_work: inside store_write(). */
struct grant_turn {
    struct str connection;
    const char *holder;                   /* who takes it */
    struct str client;
    struct str requested;                 /* scopes; p == NULL: as they were */
    struct str print;                     /* fingerprint of what the request spends; empty: it may be sent again at will */
    int64_t generation;                   /* as it was read; another one: ERR_CONFLICT */
    struct str stale; int64_t stale_fence, stale_beat; /* somebody else's lease that may be taken over; empty: none */
    wall_ms now;
    int64_t fence;                        /* filled in */
};
/* The lease and the intent to send, in one transaction. ERR_CONFLICT: somebody has the lease, or the grant moved. */
store_work grant_turn_take;
/* It lives on. ERR_CONFLICT: it has lost the lease. */
store_work grant_turn_beat;

struct grant_end {
    struct grant_turn *turn;
    struct grant_event event;             /* at, number and generation are filled in; `what` empty: nothing worth telling */
    bool release;                         /* the lease; false: nothing but the event */
    /* What the row says from now on */
    enum grant_state state;
    struct str reason;
    int64_t failures, unknown;
    wall_ms again, next;
    int64_t skew_ms;
    /* What came; with `kept` */
    bool kept, forced;                    /* forced: the provider had refused what was there */
    wall_ms obtained, expires;
    bool refreshable;
    struct str granted;                   /* p == NULL: as it was */
    struct keyring *keyring;
    const struct grant_value *values;     /* all of the grant, in place of what was there */
    size_t value_count;
    int64_t generation;                   /* filled in */
};
/* ERR_CONFLICT: the lease is lost, nothing is written. */
enum err grant_turn_end(struct db *db, struct grant_end *end, struct fault *why) MUST_CHECK;
/* Times that only a wrong clock can have written, before the last stop or now: are there any? The second, a store_work, lets them
 * count from now on: a grant that was obtained on a later day has its life before it, and none waits for years to be tried again
 * (requirement 11.2). */
enum err grant_times_wrong(struct db *db, bool *out, struct fault *why) MUST_CHECK;
store_work grant_mend_times;
enum err grant_event_add(struct db *db, struct str connection, struct grant_event *event, struct fault *why) MUST_CHECK;

#endif
