#include "web/probe.h"

#include <pthread.h>
#include <stdlib.h>

#include "access/audit.h"
#include "auth/renewal.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "crypto/hash.h"
#include "web/verify.h"

#define SUSPECTS_MOST 1000       /* waiting; more are not worth the wait */
#define SUSPECT_AGAIN_MS 600000  /* one look at a connection in this time */
#define SUSPECTS_KNOWN 10000
#define DUE_AT_ONCE 16
#define SPREAD_AT_ONCE 200       /* connections that get their first turn, in one transaction */
#define TICK_MOST_MS 60000
#define TICK_LEAST_MS 50

/* A thing to look at: alone, or one of an order. */
struct look {
    struct list in;
    char id[ID_SIZE];
    struct order *order;        /* NULL: nobody asked */
    bool suspect;
};

struct order {
    struct list in;             /* prober.orders, newest first */
    char id[ID_SIZE], by[ID_SIZE], via[ID_SIZE], name[128];
    size_t total, done, ok, failing, reconnect, skipped;
    wall_ms started, finished;
};

struct prober {
    struct hub *hub;
    int64_t interval;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct list looks, orders;
    size_t suspects, orders_count;
    struct map *suspected;      /* connection -> when it was looked at last */
    bool stopping, scheduling;  /* one thread at a time asks what is due */
    struct mono next_tick;
    pthread_t threads[PROBE_THREADS];
    int running;
};

/* ---- what a look finds ---- */

struct finding {
    struct prober *p;
    struct arena *arena;
    struct connection_row row;
    const struct order *order;
    enum connection_health health;
    struct str account;
};

static struct str health_text(struct arena *a, enum connection_health h, struct str account)
{
    AUTO_BUF text;
    buf_init(&text, 4096);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_member_str(&o, "health", str_of(connection_health_name(h)));
    json_member_str(&o, "account", account.n ? account : STR_NONE);
    json_close(&o, '}');
    return arena_str(a, buf_str(&text));
}

/* Only what changes is told: a look a day at a million connections would drown the log. */
static enum err write_finding(struct db *db, void *context, struct fault *why)
{
    struct finding *f = context;
    struct connection_row now;
    enum err e = connection_get(db, f->arena, f->row.id, &now, why);
    /* Changed or deleted meanwhile: what was found is of another time. */
    if (e == ERR_CONNECTION_NOT_FOUND || (!e && now.revision != f->row.revision))
        return ERR_NONE;
    wall_ms verified = f->health == HEALTH_OK ? clock_wall() : now.verified;
    struct str account = f->account.n ? f->account : now.account;
    if (e || (e = connection_set_health(db, now.id, f->health, verified, account, why)))
        return e;
    if (now.health == f->health && str_eq(account, now.account))
        return ERR_NONE;
    struct audit_entry entry = {
        .via = f->order ? str_of(f->order->via) : STR("system"),
        .action = STR("connection.health"),
        .object = now.id,
        .name = now.name,
        .folder = now.folder,
        .before = health_text(f->arena, now.health, now.account),
        .after = health_text(f->arena, f->health, account),
    };
    if (f->order) {
        entry.actor = str_of(f->order->by);
        entry.actor_name = str_of(f->order->name);
    }
    return audit_add(db, &entry, why);
}

enum outcome { LOOK_SKIPPED, LOOK_OK, LOOK_FAILING, LOOK_RECONNECT };

static enum outcome keep(struct finding *f)
{
    struct fault why;
    if (store_write(f->p->hub->store, write_finding, f, &why))
        log_fault(LOG_WARN, "a connection's health was not noted", &why);
    if (f->health != f->row.health && (f->health == HEALTH_RECONNECT_REQUIRED || f->row.health == HEALTH_RECONNECT_REQUIRED))
        switchboard_forget_connection(f->p->hub->switchboard, f->row.id);
    return f->health == HEALTH_OK ? LOOK_OK : f->health == HEALTH_RECONNECT_REQUIRED ? LOOK_RECONNECT : LOOK_FAILING;
}

static enum outcome look_at(struct prober *p, const struct look *look)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct switchboard *s = p->hub->switchboard;
    struct prepared *prepared;
    struct verdict v;
    struct fault why;
    if (atomic_load(&p->hub->sealed) || switchboard_try(s, str_of(look->id), &(struct call_trial){ 0 }, &prepared, &why))
        return LOOK_SKIPPED;
    if (p->hub->renewals && renewals_introspect(p->hub->renewals, &prepared->row)) {
        prepared_release(prepared); /* it was made with a token that is dead */
        if (switchboard_try(s, str_of(look->id), &(struct call_trial){ 0 }, &prepared, &why))
            return LOOK_SKIPPED;
    }
    struct verify_by by = { .caller = look->order ? str_of(look->order->by) : STR("") };
    struct finding f = { .p = p, .arena = a, .row = prepared->row, .order = look->order };
    enum err e = prepared->verify_path.n ? verify_call(s, a, prepared, &by, &v, &why) : ERR_VERIFY_NOT_OFFERED;
    enum outcome outcome = LOOK_SKIPPED;
    if (!e || verify_blames(e)) {
        f.health = e ? HEALTH_FAILING : verify_health(&f.row, &v);
        f.account = e ? STR_NONE : v.account;
        outcome = keep(&f);
    }
    prepared_release(prepared);
    return outcome;
}

/* ---- who is due ---- */

struct turns {
    struct prober *p;
    char ids[DUE_AT_ONCE][ID_SIZE];
    size_t count;
    bool unspread;
    wall_ms next;               /* 0: none */
};

static int64_t chance(int64_t below)
{
    uint64_t n;
    random_bytes(&n, sizeof n);
    return below > 0 ? (int64_t)(n % (uint64_t)below) : 0;
}

static enum err set_turn(struct db *db, struct str id, wall_ms at, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connection SET probe_ms = $1 WHERE id = $2");
    query_i64(q, at);
    query_text(q, id);
    return query_end(q, why);
}

static enum err ids_of(struct db *db, const char *sql, wall_ms before, int most, char (*out)[ID_SIZE], size_t *n, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct query *q = query_begin(db, sql);
    *n = 0;
    query_i64(q, before);
    query_i64(q, most);
    while (*n < (size_t)most && query_next(q))
        str_copy(out[(*n)++], ID_SIZE, query_get_text(q, 0, a));
    return query_end(q, why);
}

/* What is new gets a first turn somewhere within the interval. */
static enum err spread(struct db *db, struct turns *t, wall_ms now, struct fault *why)
{
    char ids[SPREAD_AT_ONCE][ID_SIZE];
    size_t n;
    enum err e = ids_of(db, "SELECT id FROM connection WHERE deleted_ms = 0 AND state = 'active' AND probe_ms = $1 LIMIT $2", 0,
                        SPREAD_AT_ONCE, ids, &n, why);
    for (size_t i = 0; !e && i < n; i++)
        e = set_turn(db, str_of(ids[i]), now + 1 + chance(t->p->interval), why);
    t->unspread = n == SPREAD_AT_ONCE;
    return e;
}

static enum err take_turns(struct db *db, void *context, struct fault *why)
{
    struct turns *t = context;
    wall_ms now = clock_wall();
    int64_t interval = t->p->interval;
    enum err e = spread(db, t, now, why);
    if (e || (e = ids_of(db,
                         "SELECT id FROM connection WHERE deleted_ms = 0 AND state = 'active' AND probe_ms > 0 AND probe_ms <= $1"
                         " ORDER BY probe_ms LIMIT $2",
                         now, DUE_AT_ONCE, t->ids, &t->count, why)))
        return e;
    for (size_t i = 0; !e && i < t->count; i++)
        e = set_turn(db, str_of(t->ids[i]), now + interval - interval / 20 + chance(interval / 10), why);
    /* In order, not MIN(): for that the engine would read every active row, while the writer waits. */
    struct query *q = query_begin(db, "SELECT probe_ms FROM connection WHERE deleted_ms = 0 AND state = 'active' AND probe_ms > 0"
                                      " ORDER BY probe_ms LIMIT 1");
    t->next = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err ended = query_end(q, why);
    return e ? e : ended;
}

/* ---- the queue; under the lock ---- */

static struct look *push(struct prober *p, struct str id, struct order *order)
{
    struct look *l = mem_zero(sizeof *l);
    str_copy(l->id, sizeof l->id, id);
    l->order = order;
    list_push_back(&p->looks, &l->in);
    pthread_cond_signal(&p->some);
    return l;
}

static bool work_is_due(struct prober *p) { return p->interval && !p->scheduling && clock_mono().ms >= p->next_tick.ms; }

/* Asks the database what is due, while the lock is let go. */
static void schedule(struct prober *p)
{
    struct turns t = { .p = p };
    struct fault why;
    p->scheduling = true;
    pthread_mutex_unlock(&p->lock);
    if (store_write(p->hub->store, take_turns, &t, &why)) {
        log_fault(LOG_WARN, "connections that are due were not read", &why);
        t.count = 0;
        t.next = 0;
    }
    int64_t wait = t.next ? t.next - clock_wall() : TICK_MOST_MS;
    int64_t most = p->interval < TICK_MOST_MS ? p->interval : TICK_MOST_MS;
    wait = t.unspread || wait < TICK_LEAST_MS ? TICK_LEAST_MS : wait > most ? most : wait;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < t.count; i++)
        push(p, str_of(t.ids[i]), NULL);
    p->next_tick.ms = clock_mono().ms + wait;
    p->scheduling = false;
}

static void count(struct order *o, enum outcome outcome)
{
    o->done++;
    o->ok += outcome == LOOK_OK;
    o->failing += outcome == LOOK_FAILING;
    o->reconnect += outcome == LOOK_RECONNECT;
    o->skipped += outcome == LOOK_SKIPPED;
    if (o->done == o->total)
        o->finished = clock_wall();
}

static void take_look(struct prober *p)
{
    struct look *l = list_entry(list_pop(&p->looks), struct look, in);
    pthread_mutex_unlock(&p->lock);
    enum outcome outcome = look_at(p, l);
    pthread_mutex_lock(&p->lock);
    if (l->order)
        count(l->order, outcome);
    p->suspects -= l->suspect;
    free(l);
}

static void wait_a_while(struct prober *p)
{
    int64_t at = p->interval && !p->scheduling ? p->next_tick.ms : clock_mono().ms + TICK_MOST_MS;
    struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
    pthread_cond_timedwait(&p->some, &p->lock, &until);
}

static void *probe_main(void *context)
{
    struct prober *p = context;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        if (!list_empty(&p->looks))
            take_look(p);
        else if (work_is_due(p))
            schedule(p);
        else
            wait_a_while(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- suspects and orders ---- */

static bool suspected_lately(struct prober *p, struct str id)
{
    int64_t now = clock_mono().ms, *last = map_get(p->suspected, id);
    if (last && now - *last < SUSPECT_AGAIN_MS)
        return true;
    if (map_count(p->suspected) >= SUSPECTS_KNOWN) {
        map_free_all(p->suspected, free);
        p->suspected = map_new();
        last = NULL;
    }
    if (!last)
        map_put(p->suspected, id, last = mem_zero(sizeof *last));
    *last = now;
    return false;
}

void prober_suspect(void *context, struct str connection)
{
    struct prober *p = context;
    pthread_mutex_lock(&p->lock);
    if (!p->stopping && p->suspects < SUSPECTS_MOST && !suspected_lately(p, connection)) {
        p->suspects++;
        push(p, connection, NULL)->suspect = true;
    }
    pthread_mutex_unlock(&p->lock);
}

static void show(struct arena *a, const struct order *o, struct probe_order *out)
{
    *out = (struct probe_order){
        arena_str(a, str_of(o->id)), arena_str(a, str_of(o->by)), o->total, o->done, o->ok, o->failing, o->reconnect, o->skipped,
        o->started, o->finished,
    };
}

/* Room for one more: the oldest that is done goes. */
static bool make_room(struct prober *p)
{
    if (p->orders_count < PROBE_BULKS_MOST)
        return true;
    for (struct list *node = p->orders.prev; node != &p->orders; node = node->prev) {
        struct order *o = list_entry(node, struct order, in);
        if (!o->finished)
            continue;
        list_remove(node);
        free(o);
        p->orders_count--;
        return true;
    }
    return false;
}

enum err prober_order(struct prober *p, struct arena *a, const struct caller *by, const struct str *ids, size_t n,
                      struct probe_order *out, struct fault *why)
{
    pthread_mutex_lock(&p->lock);
    bool room = make_room(p);
    if (room) {
        struct order *o = mem_zero(sizeof *o);
        id_new(o->id, "chk_");
        str_copy(o->by, sizeof o->by, by->principal);
        str_copy(o->via, sizeof o->via, by->token.n ? by->token : STR("session"));
        str_copy(o->name, sizeof o->name, by->name);
        o->total = n;
        o->started = clock_wall();
        o->finished = n ? 0 : o->started;
        list_push_front(&p->orders, &o->in);
        p->orders_count++;
        for (size_t i = 0; i < n; i++)
            push(p, ids[i], o);
        show(a, o, out);
    }
    pthread_mutex_unlock(&p->lock);
    return room ? ERR_NONE : fault(why, ERR_LIMIT, STR("32 bulk checks at once"), "orders");
}

enum err prober_order_get(struct prober *p, struct arena *a, const struct caller *by, struct str id, struct probe_order *out,
                          struct fault *why)
{
    bool found = false;
    pthread_mutex_lock(&p->lock);
    list_each (node, &p->orders) {
        const struct order *o = list_entry(node, struct order, in);
        if (!str_is(id, o->id) || !str_is(by->principal, o->by))
            continue;
        show(a, o, out);
        found = true;
    }
    pthread_mutex_unlock(&p->lock);
    return found ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("bulk check"), "none of this caller's");
}

/* ---- life ---- */

enum err prober_start(struct hub *hub, int64_t interval_ms, struct prober **out, struct fault *why)
{
    struct prober *p = mem_zero(sizeof *p);
    p->hub = hub;
    p->interval = interval_ms;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->some, &monotonic);
    pthread_condattr_destroy(&monotonic);
    list_init(&p->looks);
    list_init(&p->orders);
    p->suspected = map_new();
    *out = p;
    for (; p->running < PROBE_THREADS; p->running++) {
        if (pthread_create(&p->threads[p->running], NULL, probe_main, p))
            return fault(why, ERR_INTERNAL, STR(""), "cannot start a thread that looks at connections");
        pthread_setname_np(p->threads[p->running], "probe");
    }
    return ERR_NONE;
}

void prober_stop(struct prober *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->running; i++)
        pthread_join(p->threads[i], NULL);
    p->running = 0;
}

void prober_free(struct prober *p)
{
    if (!p)
        return;
    list_each_safe (node, &p->looks)
        free(list_entry(node, struct look, in));
    list_each_safe (node, &p->orders)
        free(list_entry(node, struct order, in));
    map_free_all(p->suspected, free);
    pthread_cond_destroy(&p->some);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
