#include "call/switchboard.h"

#include <pthread.h>
#include <stdlib.h>

#include "access/rights.h"
#include "access/token.h"
#include "auth/jwt_caller.h"
#include "base/map.h"
#include "call/prepare.h"
#include "crypto/hash.h"

#define CACHE_MAX 4096       /* entries of each cache; the oldest leave first */
#define BOARDS 64
#define ISSUED_MS (3 * 60 * 1000) /* for which an issuer's token is believed without asking again */

/* Two caches of one shape: text key -> counted entry. */
struct cache {
    struct map *entries;
    struct str order[CACHE_MAX]; /* keys, oldest first, as a ring; owned */
    int first, count;
};

struct switchboard {
    struct switchboard_config config;
    struct renewals *renewals;
    struct board boards[BOARDS];
    int board_count;
    _Atomic uint64_t next_pool;
    _Atomic uint64_t epoch;      /* counts changes: an entry that was read before one is not kept after it */
    pthread_mutex_t lock;        /* guards both caches */
    struct cache connections, tokens;
    struct recorder *recorder;
};

/* ---- caches ---- */

static void cache_init(struct cache *c) { c->entries = map_new(); }

/* Takes one out; the caller marks it stale and releases it. */
static void *cache_take(struct cache *c, struct str key) { return map_take(c->entries, key); }

static void *cache_oldest(struct cache *c)
{
    while (c->count) {
        struct str key = c->order[c->first];
        c->first = (c->first + 1) % CACHE_MAX;
        c->count--;
        void *entry = map_take(c->entries, key);
        free((char *)key.p);
        if (entry)
            return entry;
    }
    return NULL;
}

/* Answers the entry that had to leave, or NULL: the oldest, or this one when another thread was quicker with its twin. */
static void *cache_put(struct cache *c, struct str key, void *entry)
{
    if (map_get(c->entries, key))
        return entry;
    void *left = c->count == CACHE_MAX ? cache_oldest(c) : NULL;
    map_put(c->entries, key, entry);
    c->order[(c->first + c->count++) % CACHE_MAX] = (struct str){ mem_cstr(key), key.n };
    return left;
}

static void drop_prepared(struct prepared *p)
{
    if (!p)
        return;
    atomic_store(&p->stale, true);
    prepared_release(p);
}

static void drop_pass(struct pass *p)
{
    if (!p)
        return;
    atomic_store(&p->stale, true);
    pass_release(p);
}

/* ---- connections ---- */

static struct prepared *cached_connection(struct switchboard *s, struct str id)
{
    pthread_mutex_lock(&s->lock);
    struct prepared *p = map_get(s->connections.entries, id);
    if (p)
        prepared_keep(p);
    pthread_mutex_unlock(&s->lock);
    return p;
}

static struct prepared *prepared_new(struct switchboard *s)
{
    struct prepared *p = mem_zero(sizeof *p);
    p->references = 1;
    p->arena = arena_new(4096);
    p->pool = atomic_fetch_add(&s->next_pool, 1) + 1;
    return p;
}

enum err switchboard_try(struct switchboard *s, struct str id, const struct call_trial *trial, struct prepared **out,
                         struct fault *why)
{
    struct prepared *p = prepared_new(s);
    p->trial = true;
    enum err e = prepare_connection(s, id, trial, p, why);
    if (e) {
        prepared_release(p);
        return e;
    }
    atomic_store(&p->stale, true); /* nobody else finds it, and no second call starts on it */
    *out = p;
    return ERR_NONE;
}

enum err switchboard_prepare(struct switchboard *s, struct str id, struct prepared **out, struct fault *why)
{
    struct prepared *p = cached_connection(s, id);
    if (p && p->until && p->until <= clock_wall()) {
        prepared_release(p);
        switchboard_forget_connection(s, id);
        p = NULL;
    }
    if (p) {
        *out = p;
        return ERR_NONE;
    }
    uint64_t epoch = atomic_load(&s->epoch);
    p = prepared_new(s);
    enum err e = prepare_connection(s, id, NULL, p, why);
    if (e) {
        prepared_release(p);
        return e;
    }
    struct prepared *left = NULL;
    pthread_mutex_lock(&s->lock);
    if (atomic_load(&s->epoch) == epoch)
        left = cache_put(&s->connections, p->row.id, prepared_keep(p));
    else
        atomic_store(&p->stale, true); /* something changed meanwhile: good for this call only */
    pthread_mutex_unlock(&s->lock);
    drop_prepared(left);
    *out = p;
    return ERR_NONE;
}

void switchboard_forget_connection(struct switchboard *s, struct str id)
{
    pthread_mutex_lock(&s->lock);
    atomic_fetch_add(&s->epoch, 1);
    struct prepared *p = cache_take(&s->connections, id);
    pthread_mutex_unlock(&s->lock);
    drop_prepared(p);
}

static bool looks_like_id(struct str s) { return s.n == 30 && str_starts(s, STR("con_")); }

static enum err find_connection(struct db *db, struct arena *a, const struct caller *c, struct str name, struct connection_row *row,
                                struct fault *why)
{
    struct folder_scope seen;
    if (looks_like_id(name))
        return connection_get(db, a, name, row, why);
    enum err e = rights_visible(db, a, c, &seen, why);
    return e ? e : connection_find(db, a, name, &seen, row, why);
}

/* Rights come first: of what one may not see, one does not learn that it is there but disabled. */
static enum err may_use(struct db *db, struct arena *a, const struct caller *c, struct str name, const struct connection_row *row,
                        wall_ms *until, struct fault *why)
{
    struct caller unlimited = *c;
    struct rights r;
    unlimited.narrow.lists[NARROW_CONNECTION].set = false;
    enum err e = rights_on_connection(db, a, &unlimited, row->id, row->folder, &r, why);
    if (e)
        return e;
    if (!(r.mask & RIGHT_BIT(RIGHT_VIEW)))
        return fault(why, ERR_CONNECTION_NOT_FOUND, name, "in a folder the caller does not see");
    if (!caller_granted(c, row->id))
        return fault(why, ERR_CONNECTION_NOT_GRANTED, name, "token is limited");
    *until = r.until;
    return r.mask & RIGHT_BIT(RIGHT_USE)
               ? ERR_NONE
               : rights_need_on_connection(db, a, &unlimited, row->id, row->folder, RIGHT_USE, why);
}

enum err switchboard_connection(struct switchboard *s, const struct caller *c, struct str name, struct prepared **out,
                                wall_ms *until, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct connection_row row;
    struct db *db = store_reader(s->config.store, why);
    if (!db)
        return ERR_STORE;
    enum err e = find_connection(db, a, c, name, &row, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return fault(why, e, name, "not there, or not seen");
    if (e || (e = may_use(db, a, c, name, &row, until, why)) || (e = switchboard_prepare(s, row.id, out, why)))
        return e;
    wall_ms end = (*out)->until;
    *until = !*until || (end && end < *until) ? end : *until;
    return ERR_NONE;
}

/* ---- tokens ---- */

void pass_release(struct pass *p)
{
    if (!p || atomic_fetch_sub(&p->references, 1) != 1)
        return;
    arena_free(p->arena);
    free(p);
}

static enum err resolve_token(struct switchboard *s, struct str token, struct pass *p, struct fault *why)
{
    struct db *db = store_reader(s->config.store, why);
    if (!db)
        return ERR_STORE;
    if (!s->config.issuers || !jwt_looks_like(token))
        return token_resolve(db, p->arena, token, &p->caller, why);
    p->again = clock_wall() + ISSUED_MS;
    return jwt_caller_resolve(s->config.issuers, db, p->arena, token, &p->caller, why);
}

/* Found, and not to be asked about again; a reference for the caller. */
static struct pass *cached_pass(struct switchboard *s, struct str key)
{
    struct pass *left = NULL;
    pthread_mutex_lock(&s->lock);
    struct pass *p = map_get(s->tokens.entries, key);
    if (p && pass_over(p)) {
        left = cache_take(&s->tokens, key);
        p = NULL;
    }
    if (p)
        atomic_fetch_add(&p->references, 1);
    pthread_mutex_unlock(&s->lock);
    drop_pass(left);
    return p;
}

enum err switchboard_pass(struct switchboard *s, struct str token, struct pass **out, struct fault *why)
{
    unsigned char digest[SHA256_SIZE];
    sha256(token, digest);
    struct str key = { (const char *)digest, sizeof digest };
    struct pass *p = cached_pass(s, key);
    if (p) {
        *out = p;
        return ERR_NONE;
    }
    uint64_t epoch = atomic_load(&s->epoch);
    p = mem_zero(sizeof *p);
    p->references = 1;
    p->arena = arena_new(1024);
    enum err e = resolve_token(s, token, p, why);
    if (e) {
        pass_release(p);
        return e;
    }
    struct pass *left = NULL;
    pthread_mutex_lock(&s->lock);
    if (atomic_load(&s->epoch) == epoch) {
        atomic_fetch_add(&p->references, 1);
        left = cache_put(&s->tokens, key, p);
    } else {
        atomic_store(&p->stale, true);
    }
    pthread_mutex_unlock(&s->lock);
    drop_pass(left);
    *out = p;
    return ERR_NONE;
}

void switchboard_forget_connections(struct switchboard *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        atomic_fetch_add(&s->epoch, 1);
        struct prepared *p = cache_oldest(&s->connections);
        pthread_mutex_unlock(&s->lock);
        if (!p)
            return;
        drop_prepared(p);
    }
}

void switchboard_forget_tokens(struct switchboard *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        atomic_fetch_add(&s->epoch, 1);
        struct pass *p = cache_oldest(&s->tokens);
        pthread_mutex_unlock(&s->lock);
        if (!p)
            return;
        drop_pass(p);
    }
}

/* ---- life ---- */

enum err switchboard_new(const struct switchboard_config *c, struct switchboard **out, struct fault *why)
{
    struct switchboard *s = mem_zero(sizeof *s);
    s->config = *c;
    pthread_mutex_init(&s->lock, NULL);
    cache_init(&s->connections);
    cache_init(&s->tokens);
    struct recorder_config recorder = { c->store, c->keyring, c->suspect, c->suspect_context, c->report };
    enum err e = recorder_new(&recorder, &s->recorder, why);
    if (e) {
        switchboard_free(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

struct board *switchboard_add(struct switchboard *s, struct loop *l, struct upstreams *u)
{
    if (s->board_count == BOARDS)
        bug("more than %d loops", BOARDS);
    struct board *b = &s->boards[s->board_count++];
    b->switchboard = s;
    b->loop = l;
    b->upstreams = u;
    b->recording = (struct recording){ .recorder = s->recorder, .loop = l };
    b->lane = s->config.intents ? intents_lane(s->config.intents, l) : NULL;
    return b;
}

struct board *switchboard_board(struct switchboard *s, int i) { return i < s->board_count ? &s->boards[i] : NULL; }
void switchboard_renew_with(struct switchboard *s, struct renewals *r) { s->renewals = r; }

struct renewals *switchboard_renewals(const struct switchboard *s) { return s->renewals; }

const struct switchboard_config *switchboard_config(const struct switchboard *s) { return &s->config; }
uint64_t switchboard_lost(const struct switchboard *s) { return recorder_lost(s->recorder); }

void switchboard_free(struct switchboard *s)
{
    if (!s)
        return;
    recorder_free(s->recorder);
    for (int i = 0; i < s->board_count; i++)
        recording_end(&s->boards[i].recording);
    void *entry;
    while ((entry = cache_oldest(&s->connections)))
        drop_prepared(entry);
    while ((entry = cache_oldest(&s->tokens)))
        drop_pass(entry);
    map_free(s->connections.entries);
    map_free(s->tokens.entries);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
