#include "auth/renewal_inside.h"

#define TICK_US 5000000
#define COUNT_EVERY_US 15000000
#define CLAIM_MS (10 * 60 * 1000)    /* who takes a grant up and dies leaves it to the next after that */
#define CLAIMS 32                    /* at once; what callers need is not to wait behind them */
#define IDLE_MS (20 * 60 * 1000)     /* an end that is farther than this is not what it is renewed for */

/* ---- leases live on ---- */

static void beat(struct renewals *r)
{
    for (;;) {
        struct grant_turn turn = { 0 };
        char connection[ID_SIZE] = "";
        int64_t now = renewal_boot_ms();
        pthread_mutex_lock(&r->lock);
        list_each (node, &r->held) {
            struct held *h = list_entry(node, struct held, in);
            if (h->lost || now - h->beaten_ms < r->beat_ms || now - h->beaten_ms >= r->send_ms)
                continue;
            turn = h->turn;
            str_copy(connection, sizeof connection, h->turn.connection);
            turn.connection = str_of(connection);
        }
        pthread_mutex_unlock(&r->lock);
        if (!connection[0])
            return;
        struct fault why;
        enum err e = store_write(r->config.store, grant_turn_beat, &turn, &why);
        bool failed = e && e != ERR_CONFLICT;
        pthread_mutex_lock(&r->lock);
        list_each (node, &r->held) {
            struct held *h = list_entry(node, struct held, in);
            if (!str_is(h->turn.connection, connection) || h->turn.fence != turn.fence)
                continue;
            h->lost |= e == ERR_CONFLICT;
            h->beaten_ms = e ? h->beaten_ms : now;
        }
        pthread_mutex_unlock(&r->lock);
        if (failed)
            return; /* the next tick tries again; without beats nothing more is sent */
    }
}

static bool holds_leases(struct renewals *r)
{
    pthread_mutex_lock(&r->lock);
    bool some = !list_empty(&r->held);
    pthread_mutex_unlock(&r->lock);
    return some;
}

/* ---- what is due ---- */

struct due {
    char connection[ID_SIZE];
    int64_t generation;
    bool idle;
};

struct dues {
    struct due at[CLAIMS];
    size_t count;
    wall_ms now, next;           /* next: 0: none */
};

/* CROSS JOIN: the grants lead. SQLite would else take the active connections first, a million of them every few seconds. */
#define DUE_FROM                                                                                    \
    " FROM connection_grant g CROSS JOIN connection c"                                              \
    " WHERE c.id = g.connection_id AND g.next_ms > 0 AND c.deleted_ms = 0 AND c.state = 'active'"

static enum err next_due(struct db *db, wall_ms *next, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT g.next_ms" DUE_FROM " ORDER BY g.next_ms LIMIT 1");
    *next = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

/* Put off before they are taken up: another node, or this one after a crash, does not do the same just now. */
static enum err claim(struct db *db, void *dues, struct fault *why)
{
    struct dues *d = dues;
    AUTO_ARENA a = arena_new(4096);
    struct query *q = query_begin(db, "SELECT g.connection_id, g.generation, g.expires_ms" DUE_FROM
                                      " AND g.next_ms <= $1 ORDER BY g.next_ms LIMIT $2");
    query_i64(q, d->now);
    query_i64(q, CLAIMS);
    for (d->count = 0; d->count < CLAIMS && query_next(q); d->count++) {
        struct due *one = &d->at[d->count];
        wall_ms expires = query_get_i64(q, 2);
        str_copy(one->connection, sizeof one->connection, query_get_text(q, 0, a));
        one->generation = query_get_i64(q, 1);
        one->idle = !expires || expires - d->now > IDLE_MS;
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; i < d->count && !e; i++) {
        q = query_begin(db, "UPDATE connection_grant SET next_ms = $1 WHERE connection_id = $2");
        query_i64(q, d->now + CLAIM_MS);
        query_text(q, str_of(d->at[i].connection));
        e = query_end(q, why);
    }
    return e ? e : next_due(db, &d->next, why);
}

static bool has_room(struct renewals *r)
{
    pthread_mutex_lock(&r->lock);
    bool room = r->heap_count < CLAIMS && !r->stopping;
    pthread_mutex_unlock(&r->lock);
    return room;
}

/* Answers in how many microseconds to look again. */
static int64_t take_up_due(struct renewals *r)
{
    struct dues d = { .now = clock_steady() };
    struct fault why;
    struct db *db = store_reader(r->config.store, &why);
    if (!db || next_due(db, &d.next, &why))
        return TICK_US;
    if (d.next && d.next <= d.now && !has_room(r))
        return 100000;
    if (d.next && d.next <= d.now && store_write(r->config.store, claim, &d, &why)) {
        renewal_report(r, "grants that are due were not read", &why);
        return TICK_US;
    }
    for (size_t i = 0; i < d.count; i++)
        renewals_ask(r, str_of(d.at[i].connection), d.at[i].generation, d.at[i].idle ? RENEWAL_IDLE : RENEWAL_AHEAD, NULL);
    int64_t wait = d.next ? (d.next - clock_steady()) * 1000 : TICK_US;
    return wait < 10000 ? 10000 : wait > TICK_US ? TICK_US : wait;
}

void renewal_look_at(struct renewals *r, wall_ms next)
{
    if (!next)
        return;
    int64_t at = clock_mono_us() + (next - clock_steady()) * 1000;
    pthread_mutex_lock(&r->lock);
    if (at < r->look_us) {
        r->look_us = at;
        pthread_cond_signal(&r->upkeep);
    }
    pthread_mutex_unlock(&r->lock);
}

/* ---- figures ---- */

static void count_grants(struct renewals *r)
{
    AUTO_ARENA a = arena_new(1024);
    struct fault why;
    struct db *db = store_reader(r->config.store, &why);
    int64_t counts[GRANT_OVER + 1] = { 0 }, from_backup = 0, waiting = 0;
    if (!db)
        return;
    struct query *q = query_begin(db, "SELECT state, count(*), sum(from_backup) FROM connection_grant GROUP BY state");
    while (query_next(q)) {
        struct str state = query_get_text(q, 0, a);
        for (int i = GRANT_NONE; i <= GRANT_OVER; i++)
            if (str_is(state, grant_state_name((enum grant_state)i)))
                counts[i] = query_get_i64(q, 1);
        from_backup += query_get_i64(q, 2);
    }
    enum err e = query_end(q, &why);
    q = query_begin(db, "SELECT count(*) FROM revocation");
    if (query_next(q))
        waiting = query_get_i64(q, 0);
    if (query_end(q, &why) || e)
        return;
    for (int i = GRANT_NONE; i <= GRANT_OVER; i++)
        atomic_store(&r->grants[i], counts[i]);
    atomic_store(&r->from_backup, from_backup);
    atomic_store(&r->revocations, waiting);
}

/* ---- a clock that was wrong ---- */

/* Looked for beside the writers: as a rule there is nothing. */
static void mend_times(struct renewals *r)
{
    struct fault why;
    bool wrong = false;
    struct db *db = store_reader(r->config.store, &why);
    if (db && !grant_times_wrong(db, &wrong, &why) && !wrong)
        return;
    if (!db || store_write(r->config.store, grant_mend_times, NULL, &why))
        renewal_report(r, "times that a wrong clock has written were not mended", &why);
}

/* ---- the keeper ---- */

static void wait_until(struct renewals *r, int64_t us)
{
    struct timespec until = { us / 1000000, us % 1000000 * 1000 };
    pthread_cond_timedwait(&r->upkeep, &r->lock, &until);
}

void *renewal_upkeep(void *renewals)
{
    struct renewals *r = renewals;
    int64_t counted = 0;
    mend_times(r);
    pthread_mutex_lock(&r->lock);
    while (!r->stopping || r->busy) {
        bool stopping = r->stopping, look = !stopping && clock_mono_us() >= r->look_us;
        if (look)
            r->look_us = INT64_MAX;
        pthread_mutex_unlock(&r->lock);
        beat(r);
        int64_t in = look ? take_up_due(r) : TICK_US;
        if (!stopping && revocation_next(r))
            in = in < 10000 ? in : 10000;
        if (!stopping && clock_mono_us() - counted >= COUNT_EVERY_US) {
            count_grants(r);
            counted = clock_mono_us();
        }
        bool leases = holds_leases(r);
        pthread_mutex_lock(&r->lock);
        int64_t now = clock_mono_us();
        if (look && now + in < r->look_us)
            r->look_us = now + in;
        int64_t tick = stopping ? 100000 : leases ? r->beat_ms * 500 : TICK_US, until = now + tick;
        if (until > r->look_us)
            until = r->look_us;
        if (!r->stopping || r->busy)
            wait_until(r, until);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}
