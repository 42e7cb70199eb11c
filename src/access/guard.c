#include "access/guard.h"

#include <pthread.h>
#include <stdio.h>

#include "crypto/hash.h"

#define MINUTE_MS ((wall_ms)60 * 1000)
#define DAY_MS (24 * 60 * MINUTE_MS)
#define PRESSURE_MS (5 * MINUTE_MS)
#define KEPT_MS (15 * MINUTE_MS) /* the longest window */

static const struct window {
    int failures;
    wall_ms ms;
    const char *unit;
} of_account = { 5, 15 * MINUTE_MS, "5 failures in 15 minutes" }, of_address = { 20, MINUTE_MS, "20 failures in a minute" };

static const wall_ms locks[] = { 15 * MINUTE_MS, 30 * MINUTE_MS, 60 * MINUTE_MS };

static pthread_mutex_t stripes[64] = { [0 ... 63] = PTHREAD_MUTEX_INITIALIZER };

static pthread_mutex_t *stripe_of(const struct guard *g)
{
    const char *hash = g->account.n ? g->account_hash : g->address_hash;
    return &stripes[(unsigned char)(hash[0] * 16 + hash[1]) % COUNT(stripes)];
}

static struct str account_name(const struct guard *g) { return (struct str){ g->account_hash, TEXT_HASH }; }
static struct str address_name(const struct guard *g) { return (struct str){ g->address_hash, TEXT_HASH }; }

static enum err rate_limited(wall_ms wait, const char *unit, struct fault *why)
{
    char said[32];
    int64_t s = (wait + 999) / 1000;
    if (s > 60)
        snprintf(said, sizeof said, "%lld min", (long long)(s + 59) / 60);
    else
        snprintf(said, sizeof said, "%lld s", (long long)s);
    return fault(why, ERR_RATE_LIMITED, str_of(said), "%s", unit);
}

/* How long until fewer than the window's failures are younger than it; 0: now. Failures of a time to come are those of a clock that
 * was set back since: they must not lock anybody out until it has caught up. */
static enum err wait_of(struct db *db, struct str name, const struct window *w, wall_ms now, wall_ms *wait, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT at_ms FROM sign_in_failure WHERE name = $1 AND at_ms > $2 AND at_ms <= $3"
                                      " ORDER BY at_ms DESC LIMIT 1 OFFSET $4");
    query_text(q, name);
    query_i64(q, now - w->ms);
    query_i64(q, now);
    query_i64(q, w->failures - 1);
    *wait = query_next(q) ? query_get_i64(q, 0) + w->ms - now : 0;
    return query_end(q, why);
}

static enum err lock_of(struct db *db, struct str name, int64_t *strikes, wall_ms *until, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT strikes, until_ms FROM sign_in_lock WHERE name = $1");
    query_text(q, name);
    bool found = query_next(q);
    *strikes = found ? query_get_i64(q, 0) : 0;
    *until = found ? query_get_i64(q, 1) : 0;
    return query_end(q, why);
}

/* Longer than any lock: made by a clock that was set back since. */
static bool locks_now(wall_ms until, wall_ms now) { return until > now && until - now <= locks[COUNT(locks) - 1]; }

static enum err check_limits(struct db *db, const struct guard *g, struct fault *why)
{
    wall_ms wait, until;
    int64_t strikes;
    enum err e;
    if (g->account.n) {
        if ((e = lock_of(db, account_name(g), &strikes, &until, why)))
            return e;
        if (locks_now(until, g->at))
            return rate_limited(until - g->at, "the account is locked", why);
        if ((e = wait_of(db, account_name(g), &of_account, g->at, &wait, why)))
            return e;
        if (wait)
            return rate_limited(wait, of_account.unit, why);
    }
    if (!g->address.n)
        return ERR_NONE;
    e = wait_of(db, address_name(g), &of_address, g->at, &wait, why);
    return e ? e : wait ? rate_limited(wait, of_address.unit, why) : ERR_NONE;
}

static enum err prune(struct db *db, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM sign_in_failure WHERE at_ms <= $1");
    query_i64(q, now - KEPT_MS);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "DELETE FROM sign_in_lock WHERE until_ms <= $1");
    query_i64(q, now - DAY_MS);
    return query_end(q, why);
}

static enum err note(struct db *db, const struct guard *g, struct str name, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO sign_in_failure (name, at_ms, attempt) VALUES ($1, $2, $3)");
    query_text(q, name);
    query_i64(q, g->at);
    query_text(q, str_of(g->attempt));
    return query_end(q, why);
}

static enum err enter(struct db *db, void *context, struct fault *why)
{
    struct guard *g = context;
    g->at = clock_wall();
    enum err e = check_limits(db, g, why);
    if (e || (e = prune(db, g->at, why)) || (g->account.n && (e = note(db, g, account_name(g), why))))
        return e;
    return g->address.n ? note(db, g, address_name(g), why) : ERR_NONE;
}

enum err guard_enter(struct store *s, struct guard *g, struct fault *why)
{
    char text[80];
    snprintf(text, sizeof text, "address:%.*s", STR_ARG(g->address));
    text_hash(str_of(text), g->address_hash);
    text_hash(g->account, g->account_hash);
    id_new(g->attempt, "att_");
    pthread_mutex_lock(stripe_of(g));
    enum err e = store_write(s, enter, g, why);
    if (e)
        pthread_mutex_unlock(stripe_of(g));
    return e;
}

static enum err run(struct db *db, const char *sql, struct str parameter, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, parameter);
    return query_end(q, why);
}

static enum err strike_out(struct db *db, void *context, struct fault *why)
{
    struct guard *g = context;
    struct query *q = query_begin(db, "DELETE FROM sign_in_failure WHERE attempt = $1 AND name IN ($2, $3)");
    query_text(q, str_of(g->attempt));
    query_text(q, account_name(g));
    query_text(q, address_name(g));
    return query_end(q, why);
}

static enum err forget(struct db *db, struct str name, struct fault *why)
{
    enum err e = run(db, "DELETE FROM sign_in_failure WHERE name = $1", name, why);
    return e ? e : run(db, "DELETE FROM sign_in_lock WHERE name = $1", name, why);
}

static enum err leave_right(struct db *db, void *context, struct fault *why)
{
    struct guard *g = context;
    enum err e = strike_out(db, g, why);
    return e || !g->account.n ? e : forget(db, account_name(g), why);
}

/* The fifth failure locks; what led to it is done with, so that the lock's end is a fresh start. */
static enum err leave_wrong(struct db *db, void *context, struct fault *why)
{
    struct guard *g = context;
    wall_ms wait, until;
    int64_t strikes;
    enum err e = wait_of(db, account_name(g), &of_account, g->at, &wait, why);
    if (e || !wait)
        return e;
    if ((e = lock_of(db, account_name(g), &strikes, &until, why)))
        return e;
    wall_ms lasts = locks[strikes < (int64_t)COUNT(locks) ? strikes : (int64_t)COUNT(locks) - 1];
    struct query *q = query_begin(db, "INSERT INTO sign_in_lock (name, strikes, until_ms) VALUES ($1, $2, $3)"
                                      " ON CONFLICT (name) DO UPDATE SET strikes = $2, until_ms = $3");
    query_text(q, account_name(g));
    query_i64(q, strikes + 1);
    query_i64(q, g->at + lasts);
    if ((e = query_end(q, why)))
        return e;
    return run(db, "DELETE FROM sign_in_failure WHERE name = $1", account_name(g), why);
}

enum err guard_leave(struct store *s, struct guard *g, enum guard_end end, struct fault *why)
{
    static store_work *const works[] = {
        [GUARD_WRONG] = leave_wrong, [GUARD_RIGHT] = leave_right, [GUARD_UNDECIDED] = strike_out
    };
    enum err e = end == GUARD_WRONG && !g->account.n ? ERR_NONE : store_write(s, works[end], g, why);
    pthread_mutex_unlock(stripe_of(g));
    return e;
}

enum err guard_locked_until(struct db *db, struct str account, wall_ms *until, struct fault *why)
{
    char hash[TEXT_HASH];
    int64_t strikes;
    wall_ms now = clock_wall(), wait;
    struct str name = text_hash(account, hash);
    enum err e = lock_of(db, name, &strikes, until, why);
    if (e || locks_now(*until, now))
        return e;
    e = wait_of(db, name, &of_account, now, &wait, why);
    *until = wait ? now + wait : 0;
    return e;
}

enum err guard_unlock(struct db *db, struct str account, struct fault *why)
{
    char hash[TEXT_HASH];
    return forget(db, text_hash(account, hash), why);
}

enum err guard_pressure(struct db *db, int64_t *failures, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(DISTINCT attempt) FROM sign_in_failure WHERE at_ms > $1");
    query_i64(q, clock_wall() - PRESSURE_MS);
    *failures = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}
