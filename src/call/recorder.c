#include "call/recorder.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "access/token.h"
#include "base/list.h"
#include "base/map.h"
#include "call/run_seal.h"
#include "vault/connection.h"

#define BATCH 256            /* records handed over at once */
#define BATCH_MS 50          /* ... or after this long */
#define BATCHES_WAITING 64   /* beyond that records are lost, and counted */
#define BATCHES_AT_ONCE 8    /* that one transaction takes */
#define GATHER_MS 50         /* ... at most so often, unless as many wait: each has to reach the disk */
#define BATCHES_SPARE 16     /* kept for reuse: to give that much memory back and ask for it again costs more than the records do */
#define COMPACT_AFTER 64     /* batches */
#define COMPACT_STEPS 8      /* at once, if nothing waits */
#define TOUCH_MS 60000       /* a token's last-used time is written at most this often */
#define TOUCH_SLOTS (4 * BATCH * BATCHES_AT_ONCE)
#define TOUCHED_MAX 10000    /* tokens whose last-used time is remembered */

struct batch {
    struct batch *next;
    int count;
    struct run runs[]; /* BATCH of them */
};

/* The tokens (or connections) of some batches, each once, with its latest call. */
struct touches {
    size_t name;                 /* where in a record its id is */
    int64_t every_ms;
    enum err (*write)(struct db *db, struct str id, wall_ms when, struct fault *why);
    struct map *touched;         /* id -> when its last-used time was written */
    const struct run *slots[TOUCH_SLOTS]; /* open addressing, at most a quarter full */
    size_t used[BATCH * BATCHES_AT_ONCE];
    size_t count;
};

struct recorder {
    struct recorder_config config;
    pthread_mutex_t lock;
    pthread_cond_t some;
    pthread_cond_t written;
    struct batch *batches, **batches_end;
    int batches_waiting;
    struct batch *spare;
    int spare_count;
    bool gathering;              /* the thread sleeps until more has come, or its time */
    bool writing, settling;      /* a transaction is under way; somebody waits until all is written */
    bool closing;
    pthread_t thread;
    /* The thread's own. */
    struct mono last_write;
    struct touches touches[2];   /* tokens, connections */
    const struct run *order[BATCH * BATCHES_AT_ONCE];
    int since_compact;           /* batches written */
    _Atomic uint64_t lost;
};

struct insertion {
    struct secret key;
    const struct touches *touches;
    size_t touches_count;
    const struct run **runs;
    size_t n;
};

static const char *touched_name(const struct touches *t, const struct run *r) { return (const char *)r + t->name; }

/* Nobody's call, or a look whether it works, is no use of it. */
static bool touches_counts(const struct touches *t, const struct run *r)
{
    return touched_name(t, r)[0] && (t->name != offsetof(struct run, connection) ||
                                     (r->via != RUN_VERIFY && r->outcome != RUN_REFUSED));
}

static void touches_clear(struct touches *t)
{
    while (t->count)
        t->slots[t->used[--t->count]] = NULL;
}

static void touches_add(struct touches *t, const struct run *r)
{
    struct str name = str_of(touched_name(t, r));
    size_t at = hash_keyed(name) % TOUCH_SLOTS;
    while (t->slots[at] && !str_is(name, touched_name(t, t->slots[at])))
        at = (at + 1) % TOUCH_SLOTS;
    if (!t->slots[at])
        t->used[t->count++] = at;
    if (!t->slots[at] || r->started > t->slots[at]->started)
        t->slots[at] = r;
}

/* Calls of one token often come one after the other: then the latest of them stands for all. */
static void touches_add_batch(struct touches *t, const struct batch *b)
{
    const struct run *latest = NULL;
    for (int i = 0; i < b->count; i++) {
        const struct run *r = &b->runs[i];
        if (!touches_counts(t, r))
            continue;
        bool same = latest && !strcmp(touched_name(t, latest), touched_name(t, r));
        if (latest && !same)
            touches_add(t, latest);
        if (!same || r->started > latest->started)
            latest = r;
    }
    if (latest)
        touches_add(t, latest);
}

static bool touch_due(const struct touches *t, const struct run *r)
{
    const wall_ms *last = map_get(t->touched, str_of(touched_name(t, r)));
    return !last || r->started - *last >= t->every_ms;
}

/* Leaves those that are due. */
static void touches_of(struct touches *t, const struct batch *first)
{
    touches_clear(t);
    for (const struct batch *b = first; b; b = b->next)
        touches_add_batch(t, b);
    size_t due = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (touch_due(t, t->slots[t->used[i]]))
            t->used[due++] = t->used[i];
        else
            t->slots[t->used[i]] = NULL;
    }
    t->count = due;
}

/* Only once it is written for good. */
static void touches_note(struct touches *t)
{
    if (map_count(t->touched) > TOUCHED_MAX) {
        map_free_all(t->touched, free);
        t->touched = map_new();
    }
    for (size_t i = 0; i < t->count; i++) {
        const struct run *r = t->slots[t->used[i]];
        struct str name = str_of(touched_name(t, r));
        wall_ms *last = map_get(t->touched, name);
        if (!last)
            map_put(t->touched, name, last = mem_zero(sizeof *last));
        *last = r->started;
    }
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    const struct insertion *in = context;
    enum err e = run_seal_add(db, in->key, in->runs, in->n, why);
    if (!e)
        e = runs_insert_from(db, in->runs, in->n, why);
    for (size_t k = 0; k < in->touches_count; k++) {
        const struct touches *t = &in->touches[k];
        for (size_t i = 0; !e && i < t->count; i++) {
            const struct run *r = t->slots[t->used[i]];
            e = t->write(db, str_of(touched_name(t, r)), r->started, why);
        }
    }
    return e;
}

/* A credential that is refused may have been revoked at the provider (CON-53). Whoever is told finds out; it costs the call
 * nothing. */
static void tell_suspects(const struct recorder *r, const struct run *const *runs, size_t n)
{
    const char *last = NULL;
    for (size_t i = 0; r->config.suspect && i < n; i++) {
        if (runs[i]->status != 401 || runs[i]->via == RUN_VERIFY || (last && !strcmp(last, runs[i]->connection)))
            continue;
        last = runs[i]->connection;
        r->config.suspect(r->config.suspect_context, str_of(last));
    }
}

/* Records of several loops are of the same moments: together they make fuller blocks. */
static void write_runs(struct recorder *r, const struct batch *first)
{
    AUTO_SECRET key = SECRET_NONE;
    struct insertion in = { SECRET_NONE, r->touches, COUNT(r->touches), r->order, 0 };
    struct fault why;
    for (const struct batch *b = first; b; b = b->next)
        for (int i = 0; i < b->count; i++)
            r->order[in.n++] = &b->runs[i];
    if (!in.n)
        return;
    tell_suspects(r, (const struct run *const *)r->order, in.n);
    /* Records give way to what must be stored (requirement 18.3): tokens, credentials, the audit log. */
    if (store_is_tight(r->config.store)) {
        atomic_fetch_add(&r->lost, (uint64_t)in.n);
        return;
    }
    for (size_t i = 0; i < COUNT(r->touches); i++)
        touches_of(&r->touches[i], first);
    /* Made for each transaction: once the ring is wiped no record is written that nobody could vouch for. */
    enum err e = keyring_derive(r->config.keyring, STR("run records"), &key, &why);
    in.key = key;
    if (e || store_write(r->config.store, insert, &in, &why)) {
        atomic_fetch_add(&r->lost, (uint64_t)in.n);
        r->config.report("run records could not be written", &why);
    } else {
        for (size_t i = 0; i < COUNT(r->touches); i++)
            touches_note(&r->touches[i]);
    }
}

static enum err compact(struct db *db, void *more, struct fault *why) { return runs_compact(db, more, why); }

static bool batches_wait(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    bool wait = r->batches;
    pthread_mutex_unlock(&r->lock);
    return wait;
}

/* When it was not enough, the next batch goes on with it. */
static void compact_if_due(struct recorder *r)
{
    struct fault why;
    bool more = true;
    if (r->since_compact < COMPACT_AFTER)
        return;
    for (int i = 0; more && i < COMPACT_STEPS && (!i || !batches_wait(r)); i++)
        if (store_write(r->config.store, compact, &more, &why)) {
            r->config.report("run records could not be put together", &why);
            more = false;
        }
    if (!more)
        r->since_compact = 0;
}

/* Under the lock. */
static bool enough_waits(const struct recorder *r)
{
    return r->batches_waiting >= BATCHES_AT_ONCE || r->closing || r->settling;
}

/* Until there is something to write, and a while has gone by since the last time or there is much of it. Under the lock. */
static void wait_for_batches(struct recorder *r)
{
    while (!r->batches && !r->closing)
        pthread_cond_wait(&r->some, &r->lock);
    int64_t at = r->last_write.ms + GATHER_MS;
    struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
    r->gathering = true;
    while (!enough_waits(r) && clock_mono().ms < at)
        pthread_cond_timedwait(&r->some, &r->lock, &until);
    r->gathering = false;
}

/* What waits, up to what one transaction takes. Under the lock. */
static struct batch *take_batches(struct recorder *r)
{
    struct batch *first = r->batches, **end = &r->batches;
    for (int i = 0; i < BATCHES_AT_ONCE && *end; i++, r->batches_waiting--)
        end = &(*end)->next;
    r->batches = *end;
    *end = NULL;
    if (!r->batches)
        r->batches_end = &r->batches;
    return first;
}

static void put_back(struct recorder *r, struct batch *b)
{
    if (r->spare_count < BATCHES_SPARE) {
        b->next = r->spare;
        r->spare = b;
        r->spare_count++;
    } else {
        free(b);
    }
}

static void *record(void *context)
{
    struct recorder *r = context;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        wait_for_batches(r);
        struct batch *first = take_batches(r);
        if (!first)
            break;
        r->writing = true;
        pthread_mutex_unlock(&r->lock);
        r->last_write = clock_mono();
        write_runs(r, first);
        for (struct batch *b = first; b; b = b->next)
            r->since_compact++;
        compact_if_due(r);
        pthread_mutex_lock(&r->lock);
        for (struct batch *b = first, *next; b; b = next) {
            next = b->next;
            put_back(r, b);
        }
        r->writing = false;
        pthread_cond_broadcast(&r->written);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static struct batch *batch_new(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    struct batch *b = r->spare;
    if (b) {
        r->spare = b->next;
        r->spare_count--;
    }
    pthread_mutex_unlock(&r->lock);
    if (!b)
        b = mem_grow(NULL, sizeof *b + BATCH * sizeof *b->runs);
    *b = (struct batch){ 0 };
    return b;
}

static void hand_over(struct recorder *r, struct batch *b)
{
    pthread_mutex_lock(&r->lock);
    if (r->batches_waiting >= BATCHES_WAITING) {
        atomic_fetch_add(&r->lost, (uint64_t)b->count);
        put_back(r, b);
    } else {
        *r->batches_end = b;
        r->batches_end = &b->next;
        r->batches_waiting++;
        if (!r->gathering || enough_waits(r))
            pthread_cond_signal(&r->some);
    }
    pthread_mutex_unlock(&r->lock);
}

void recorder_settle(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    r->settling = true;
    pthread_cond_signal(&r->some);
    while (r->batches || r->writing)
        pthread_cond_wait(&r->written, &r->lock);
    r->settling = false;
    pthread_mutex_unlock(&r->lock);
}

/* ---- a loop's batch ---- */

static struct batch *batch_of(struct run *runs) { return list_entry(runs, struct batch, runs); }

void recording_flush(struct recording *b)
{
    timer_stop(&b->timer);
    if (!b->count)
        return;
    struct batch *batch = batch_of(b->runs);
    batch->count = b->count;
    b->runs = NULL;
    b->count = 0;
    hand_over(b->recorder, batch);
}

static void batch_due(struct timer *t) { recording_flush(list_entry(t, struct recording, timer)); }

void recording_add(struct recording *b, const struct run *r)
{
    if (!b->runs)
        b->runs = batch_new(b->recorder)->runs;
    if (!b->count)
        timer_set(b->loop, &b->timer, BATCH_MS, batch_due);
    b->runs[b->count++] = *r;
    if (b->count == BATCH)
        recording_flush(b);
}

void recording_end(struct recording *b)
{
    if (b->runs)
        free(batch_of(b->runs));
    b->runs = NULL;
}

/* ---- life ---- */

enum err recorder_new(const struct recorder_config *c, struct recorder **out, struct fault *why)
{
    struct recorder *r = mem_zero(sizeof *r);
    r->config = *c;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&r->some, &monotonic);
    pthread_cond_init(&r->written, &monotonic);
    pthread_condattr_destroy(&monotonic);
    r->batches_end = &r->batches;
    r->touches[0].name = offsetof(struct run, token);
    r->touches[0].every_ms = TOUCH_MS;
    r->touches[0].write = token_touch;
    r->touches[1].name = offsetof(struct run, connection);
    r->touches[1].every_ms = CONNECTION_USED_MS;
    r->touches[1].write = connection_used;
    for (size_t i = 0; i < COUNT(r->touches); i++)
        r->touches[i].touched = map_new();
    if (pthread_create(&r->thread, NULL, record, r)) {
        free(r);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the recorder");
    }
    pthread_setname_np(r->thread, "recorder");
    *out = r;
    return ERR_NONE;
}

uint64_t recorder_lost(const struct recorder *r) { return atomic_load(&r->lost); }

void recorder_free(struct recorder *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_cond_signal(&r->some);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    while (r->spare) {
        struct batch *next = r->spare->next;
        free(r->spare);
        r->spare = next;
    }
    for (size_t i = 0; i < COUNT(r->touches); i++)
        map_free_all(r->touches[i].touched, free);
    pthread_cond_destroy(&r->some);
    pthread_cond_destroy(&r->written);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
