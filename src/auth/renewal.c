#include "auth/renewal_inside.h"

#include <stdlib.h>
#include <time.h>

#define PREFIX "raccord_"
#define LOOK_AT_ANSWERS_US 5000000 /* a start waits that long for what is left to be read */

int64_t renewal_boot_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t renewal_chance(int64_t below)
{
    uint64_t n;
    random_bytes(&n, sizeof n);
    return below > 0 ? (int64_t)(n % (uint64_t)below) : 0;
}

void renewal_report(struct renewals *r, const char *event, const struct fault *why)
{
    if (r->config.report)
        r->config.report(event, why);
}

/* ---- the heap of flights that wait for their time; under the lock ---- */

static void heap_set(struct renewals *r, size_t at, struct flight *f)
{
    r->heap[at] = f;
    f->place = at;
}

static void heap_rise(struct renewals *r, size_t at)
{
    struct flight *f = r->heap[at];
    for (; at && r->heap[(at - 1) / 2]->due_us > f->due_us; at = (at - 1) / 2)
        heap_set(r, at, r->heap[(at - 1) / 2]);
    heap_set(r, at, f);
}

static void heap_sink(struct renewals *r, size_t at)
{
    struct flight *f = r->heap[at];
    for (size_t child; (child = 2 * at + 1) < r->heap_count; at = child) {
        if (child + 1 < r->heap_count && r->heap[child + 1]->due_us < r->heap[child]->due_us)
            child++;
        if (r->heap[child]->due_us >= f->due_us)
            break;
        heap_set(r, at, r->heap[child]);
    }
    heap_set(r, at, f);
}

static void heap_push(struct renewals *r, struct flight *f)
{
    if (r->heap_count == r->heap_size) {
        r->heap_size = r->heap_size ? 2 * r->heap_size : 64;
        r->heap = mem_grow(r->heap, r->heap_size * sizeof *r->heap);
    }
    r->heap[r->heap_count] = f;
    heap_rise(r, r->heap_count++);
}

static struct flight *heap_pop(struct renewals *r)
{
    struct flight *f = r->heap[0], *last = r->heap[--r->heap_count];
    if (r->heap_count) {
        r->heap[0] = last;
        heap_sink(r, 0);
    }
    f->place = SIZE_MAX;
    return f;
}

/* ---- flights ---- */

static struct flight *flight_new(struct renewals *r, struct str connection)
{
    struct flight *f = mem_zero(sizeof *f);
    str_copy(f->connection, sizeof f->connection, connection);
    list_init(&f->waiters);
    f->started_us = clock_mono_us();
    map_put(r->flights, connection, f);
    return f;
}

void renewal_flight_left(struct renewals *r, struct left *l)
{
    static const struct token_param code = { { "code", 4 }, { "", 0 } };
    struct str connection = l->answer.connection;
    struct flight *f = map_get(r->flights, connection);
    if (f && f->left->answer.fence >= l->answer.fence) {
        renewal_left_free(l);
        return;
    }
    if (f) {
        renewal_left_free(f->left);
    } else {
        f = flight_new(r, connection);
        f->cause = RENEWAL_IDLE;
        f->due_us = f->started_us;
        heap_push(r, f);
        r->untried++;
    }
    f->left = l;
    f->obtain = l->answer.by_hand;
    f->params = f->obtain ? &code : NULL;
}

static void flight_free(struct flight *f)
{
    renewal_unkept_free(f->unkept);
    renewal_left_free(f->left);
    free(f);
}

/* `lent`: a generation that may be borrowed; 0: none. */
static void tell_list(struct renewals *r, struct list *waiters, int64_t lent, enum err e, const struct fault *why)
{
    for (;;) {
        pthread_mutex_lock(&r->lock);
        struct list *node = list_pop(waiters);
        pthread_mutex_unlock(&r->lock);
        if (!node)
            return;
        struct renewal_wait *w = list_entry(node, struct renewal_wait, in_waiters);
        w->done(w, w->borrows && w->generation < lent ? ERR_NONE : e, why);
    }
}

/* Those of now: others may come while these are told. */
static void move_waiters(struct list *to, struct list *from)
{
    list_init(to);
    for (struct list *node; (node = list_pop(from));)
        list_push_back(to, node);
}

void renewal_tell(struct renewals *r, struct flight *f, enum err e, const struct fault *why)
{
    struct list now;
    pthread_mutex_lock(&r->lock);
    move_waiters(&now, &f->waiters);
    int64_t lent = f->lent;
    pthread_mutex_unlock(&r->lock);
    tell_list(r, &now, lent, e, why);
}

bool renewals_borrow(struct renewals *r, struct arena *a, struct str connection, struct grant *g,
                     struct grant_value values[GRANT_VALUES], size_t *count)
{
    pthread_mutex_lock(&r->lock);
    const struct flight *f = map_get(r->flights, connection);
    bool lent = f && f->lent && f->lent == g->generation + 1; /* stored since, or dropped: there is nothing to lend */
    *count = 0;
    for (size_t i = 0; lent && i < f->unkept->got.count; i++) {
        const struct grant_value *v = &f->unkept->got.values[i];
        values[(*count)++] = (struct grant_value){ arena_str(a, v->name), secret_copy(v->value) };
    }
    if (lent) {
        g->generation = f->lent;
        g->obtained = f->unkept->end.obtained;
        g->expires = f->unkept->end.expires;
    }
    pthread_mutex_unlock(&r->lock);
    return lent;
}

/* From here on who asks gets a new flight, which finds what this one left. */
static void land(struct renewals *r, struct flight *f, enum err e, const struct fault *why)
{
    pthread_mutex_lock(&r->lock);
    map_take(r->flights, str_of(f->connection));
    pthread_mutex_unlock(&r->lock);
    if (f->changed && r->config.changed)
        r->config.changed(r->config.context, str_of(f->connection));
    tell_list(r, &f->waiters, 0, e, why);
    flight_free(f);
}

/* The stronger reason; a person's wish goes before what the hub does by itself. */
static enum renewal_cause stronger(enum renewal_cause x, enum renewal_cause y)
{
    static const int weight[] = { [RENEWAL_IDLE] = 0, [RENEWAL_AHEAD] = 1, [RENEWAL_ASKED] = 2, [RENEWAL_EXPIRED] = 3,
                                  [RENEWAL_REFUSED] = 4 };
    return weight[x] >= weight[y] ? x : y;
}

static void join(struct flight *f, int64_t generation, enum renewal_cause cause)
{
    if (generation > f->wanted)
        f->wanted = generation;
    f->cause = stronger(f->cause, cause);
}

void renewals_ask(struct renewals *r, struct str connection, int64_t generation, enum renewal_cause cause, struct renewal_wait *w)
{
    if (w) {
        list_init(&w->in_waiters);
        w->generation = generation;
    }
    pthread_mutex_lock(&r->lock);
    bool stopping = r->stopping;
    struct flight *f = stopping ? NULL : map_get(r->flights, connection);
    if (f) {
        join(f, generation, cause);
    } else if (!stopping) {
        f = flight_new(r, connection);
        f->wanted = generation;
        f->cause = cause;
        f->due_us = f->started_us;
        heap_push(r, f);
        pthread_cond_signal(&r->work);
    }
    if (f && w)
        list_push_back(&f->waiters, &w->in_waiters);
    pthread_mutex_unlock(&r->lock);
    if (!stopping || !w)
        return;
    struct fault why;
    w->done(w, fault(&why, ERR_STOPPING, STR(""), "renewals are ending"), &why);
}

bool renewals_leave(struct renewals *r, struct renewal_wait *w)
{
    pthread_mutex_lock(&r->lock);
    bool waiting = !list_empty(&w->in_waiters);
    list_remove(&w->in_waiters);
    pthread_mutex_unlock(&r->lock);
    return waiting;
}

/* ---- waiting ---- */

struct blocked {
    struct renewal_wait wait;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool over;
    enum err e;
    struct fault why;
};

static void unblock(struct renewal_wait *w, enum err e, const struct fault *why)
{
    struct blocked *b = list_entry(w, struct blocked, wait);
    pthread_mutex_lock(&b->lock);
    b->e = e;
    if (e)
        b->why = *why;
    b->over = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static void cond_monotonic(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void blocked_begin(struct blocked *b)
{
    *b = (struct blocked){ .wait.done = unblock };
    pthread_mutex_init(&b->lock, NULL);
    cond_monotonic(&b->wake);
    list_init(&b->wait.in_waiters);
}

static struct timespec at_us(int64_t us) { return (struct timespec){ us / 1000000, us % 1000000 * 1000 }; }

/* ms < 0: as long as it takes. */
static void blocked_wait(struct renewals *r, struct blocked *b, int64_t ms)
{
    struct timespec until = at_us(clock_mono_us() + ms * 1000);
    bool late = false;
    pthread_mutex_lock(&b->lock);
    while (!b->over && !late) {
        if (ms < 0)
            pthread_cond_wait(&b->wake, &b->lock);
        else
            late = pthread_cond_timedwait(&b->wake, &b->lock, &until) != 0;
    }
    pthread_mutex_unlock(&b->lock);
    if (late && renewals_leave(r, &b->wait)) {
        b->e = fault(&b->why, ERR_UPSTREAM_TIMEOUT, STR("the renewal, which goes on"), "%lld ms", (long long)ms);
        return;
    }
    pthread_mutex_lock(&b->lock);
    while (!b->over)
        pthread_cond_wait(&b->wake, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static enum err blocked_end(struct blocked *b, struct fault *why)
{
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    if (b->e && why)
        *why = b->why;
    return b->e;
}

enum err renewals_wait(struct renewals *r, struct str connection, int64_t generation, enum renewal_cause cause, int64_t ms,
                       struct fault *why)
{
    struct blocked b;
    blocked_begin(&b);
    renewals_ask(r, connection, generation, cause, &b.wait);
    blocked_wait(r, &b, ms);
    return blocked_end(&b, why);
}

/* A person's grant goes by itself: what flies for the connection lands first. */
enum err renewals_obtain(struct renewals *r, struct str connection, const struct token_param *params, size_t n,
                         bool accept_account, struct fault *why)
{
    struct blocked b;
    for (;;) {
        blocked_begin(&b);
        pthread_mutex_lock(&r->lock);
        bool stopping = r->stopping;
        struct flight *f = map_get(r->flights, connection);
        bool ours = !f && !stopping;
        if (ours) {
            f = flight_new(r, connection);
            f->obtain = true;
            f->params = params;
            f->param_count = n;
            f->accept_account = accept_account;
            f->cause = RENEWAL_ASKED;
            f->due_us = f->started_us;
            heap_push(r, f);
            pthread_cond_signal(&r->work);
        }
        if (!stopping)
            list_push_back(&f->waiters, &b.wait.in_waiters);
        pthread_mutex_unlock(&r->lock);
        if (stopping) {
            blocked_end(&b, NULL);
            return fault(why, ERR_STOPPING, STR(""), "renewals are ending");
        }
        blocked_wait(r, &b, -1);
        enum err e = blocked_end(&b, why);
        if (ours || e == ERR_STORE || e == ERR_STORE_FULL) /* it flies on, until the disk takes what it has */
            return e;
    }
}

/* ---- threads ---- */

static void put_back(struct renewals *r, struct flight *f)
{
    pthread_mutex_lock(&r->lock);
    heap_push(r, f);
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
}

static void take_flight(struct renewals *r, struct flight *f)
{
    struct fault why = { 0 };
    enum err e = ERR_NONE;
    if (renewal_run(r, f, &e, &why))
        land(r, f, e, &why);
    else
        put_back(r, f);
}

/* What has not begun does not begin any more. An answer that is on the disk is the next start's; one that only memory has may still
 * reach the database. */
static bool goes_on(const struct renewals *r, const struct flight *f)
{
    return !r->stopping || (f->unkept && !f->unkept->in_room && !r->hurry);
}

static void end_flight(struct renewals *r, struct flight *f)
{
    struct fault why;
    renewal_unkept_leave(f->unkept);
    renewal_left_leave(f->left);
    land(r, f, fault(&why, ERR_STOPPING, STR(""), "renewals are ending"), &why);
}

static void *renewal_main(void *context)
{
    struct renewals *r = context;
    pthread_mutex_lock(&r->lock);
    while (!r->stopping || r->heap_count) {
        struct flight *f = r->heap_count ? r->heap[0] : NULL;
        if (f && (f->due_us <= clock_mono_us() || !goes_on(r, f))) {
            heap_pop(r);
            r->busy++;
            bool go = goes_on(r, f);
            pthread_mutex_unlock(&r->lock);
            if (go)
                take_flight(r, f);
            else
                end_flight(r, f);
            pthread_mutex_lock(&r->lock);
            r->busy--;
            pthread_cond_broadcast(&r->idle);
        } else if (f) {
            struct timespec until = at_us(f->due_us);
            pthread_cond_timedwait(&r->work, &r->lock, &until);
        } else {
            pthread_cond_wait(&r->work, &r->lock);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

static enum err start_threads(struct renewals *r, struct fault *why)
{
    int wanted = r->config.threads < 1 ? 1 : r->config.threads > RENEWAL_THREADS ? RENEWAL_THREADS : r->config.threads;
    for (; r->running < wanted; r->running++) {
        if (pthread_create(&r->threads[r->running], NULL, renewal_main, r))
            return fault(why, ERR_INTERNAL, STR(""), "cannot start a thread for renewals");
        pthread_setname_np(r->threads[r->running], "renewal");
    }
    if (pthread_create(&r->keeper, NULL, renewal_upkeep, r))
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the keeper of renewals");
    pthread_setname_np(r->keeper, "renewal keeper");
    r->keeping = true;
    return ERR_NONE;
}

/* As a rule calls find the grants as they are; but nobody waits long for an issuer that does not answer. */
static void wait_for_answers(struct renewals *r)
{
    struct timespec until = at_us(clock_mono_us() + LOOK_AT_ANSWERS_US);
    pthread_mutex_lock(&r->lock);
    while (r->untried && !pthread_cond_timedwait(&r->idle, &r->lock, &until))
        ;
    pthread_mutex_unlock(&r->lock);
}

void renewal_pause(struct renewals *r, int64_t until_us)
{
    struct timespec until = at_us(until_us);
    pthread_cond_timedwait(&r->idle, &r->lock, &until);
}

enum err renewals_start(const struct renewals_config *c, struct renewals **out, struct fault *why)
{
    struct renewals *r = mem_zero(sizeof *r);
    r->config = *c;
    r->lease_ms = c->lease_ms ? c->lease_ms : GRANT_LEASE_MS;
    r->beat_ms = r->lease_ms * GRANT_BEAT_MS / GRANT_LEASE_MS;
    r->send_ms = r->lease_ms - r->lease_ms / 9;
    pthread_mutex_init(&r->lock, NULL);
    cond_monotonic(&r->work);
    cond_monotonic(&r->upkeep);
    cond_monotonic(&r->idle);
    r->flights = map_new();
    list_init(&r->held);
    /* Half of the threads for one host: a slow one leaves room for the others. */
    r->rate = token_rate_new(c->rate, (c->threads + 1) / 2);
    enum err e = answer_journal_open(c->data, c->threads, c->keyring, &r->journal, why);
    if (!e)
        e = renewal_recover(r, why);
    if (!e)
        e = start_threads(r, why);
    if (!e)
        wait_for_answers(r);
    if (e) {
        renewals_stop(r, 0);
        renewals_free(r);
        return e;
    }
    *out = r;
    return ERR_NONE;
}

void renewals_stop(struct renewals *r, int64_t deadline_ms)
{
    if (!r)
        return;
    struct timespec until = at_us(clock_mono_us() + deadline_ms * 1000);
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_cond_broadcast(&r->upkeep);
    while ((r->busy || r->heap_count) && !pthread_cond_timedwait(&r->idle, &r->lock, &until))
        ;
    r->hurry = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->running; i++)
        pthread_join(r->threads[i], NULL); /* at most what a token call takes */
    if (r->keeping)
        pthread_join(r->keeper, NULL);
    r->running = 0;
    r->keeping = false;
}

void renewals_free(struct renewals *r)
{
    if (!r)
        return;
    answer_journal_close(r->journal);
    token_rate_free(r->rate);
    map_free(r->flights);
    free(r->heap);
    pthread_cond_destroy(&r->work);
    pthread_cond_destroy(&r->upkeep);
    pthread_cond_destroy(&r->idle);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- figures ---- */

void renewal_count(struct renewals *r, enum renewal_count c) { atomic_fetch_add(&r->counts[c], 1); }

static const int64_t window_us[WINDOW_BUCKETS] = { 500, 1000, 2000, 5000, 10000, 25000, 50000, 100000, 1000000 };

void renewal_window(struct renewals *r, int64_t us)
{
    size_t i = 0;
    while (i < WINDOW_BUCKETS && us > window_us[i])
        i++;
    atomic_fetch_add(&r->window[i], 1);
    atomic_fetch_add(&r->window_us, (uint64_t)us);
}

static void write_window(struct renewals *r, struct buf *out)
{
    const char *name = PREFIX "renewal_window_seconds";
    uint64_t all = 0;
    buf_fmt(out, "# HELP %s From the last byte of a token answer to its being on the disk.\n# TYPE %s histogram\n", name, name);
    for (size_t i = 0; i < WINDOW_BUCKETS; i++) {
        all += atomic_load(&r->window[i]);
        buf_fmt(out, "%s_bucket{le=\"%g\"} %llu\n", name, (double)window_us[i] / 1e6, (unsigned long long)all);
    }
    all += atomic_load(&r->window[WINDOW_BUCKETS]);
    buf_fmt(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %g\n%s_count %llu\n", name, (unsigned long long)all, name,
            (double)atomic_load(&r->window_us) / 1e6, name, (unsigned long long)all);
}

void renewals_metrics(struct renewals *r, struct buf *out)
{
    static const char *const outcomes[RENEWAL_COUNTS] = {
        [COUNT_RENEWED] = "renewed", [COUNT_OBTAINED] = "obtained", [COUNT_OVER] = "grant_over", [COUNT_CLIENT] = "client_refused",
        [COUNT_LATER] = "later", [COUNT_UNKNOWN] = "unknown", [COUNT_UNSENT] = "unsent", [COUNT_LOST] = "lease_lost",
        [COUNT_REFUSED] = "refused",
    };
    buf_fmt(out, "# HELP " PREFIX "renewals_total Token requests by what came of them.\n# TYPE " PREFIX "renewals_total counter\n");
    for (size_t i = 0; i < RENEWAL_COUNTS; i++)
        buf_fmt(out, PREFIX "renewals_total{outcome=\"%s\"} %llu\n", outcomes[i], (unsigned long long)atomic_load(&r->counts[i]));
    write_window(r, out);
    buf_fmt(out, "# HELP " PREFIX "grants Grants by state, as of the last count.\n# TYPE " PREFIX "grants gauge\n");
    for (int i = GRANT_GOOD; i <= GRANT_OVER; i++)
        buf_fmt(out, PREFIX "grants{state=\"%s\"} %lld\n", grant_state_name((enum grant_state)i),
                (long long)atomic_load(&r->grants[i]));
    buf_fmt(out, "# HELP " PREFIX "grants_from_backup Grants that were restored and not renewed since.\n# TYPE " PREFIX
                 "grants_from_backup gauge\n" PREFIX "grants_from_backup %lld\n", (long long)atomic_load(&r->from_backup));
    buf_fmt(out, "# HELP " PREFIX "revocations_waiting Tokens that could not be given back yet.\n# TYPE " PREFIX
                 "revocations_waiting gauge\n" PREFIX "revocations_waiting %lld\n", (long long)atomic_load(&r->revocations));
}
