#include "call/switchboard.h"
#include "call/rewrite.h"
#include "call/run_seal.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "access/rights.h"
#include "access/token.h"
#include "auth/jwt_caller.h"
#include "auth/method.h"
#include "auth/oauth_client.h"
#include "auth/obtain.h"
#include "base/map.h"
#include "catalog/setup.h"
#include "crypto/hash.h"
#include "vault/certificate.h"

#define CACHE_MAX 4096       /* entries of each cache; the oldest leave first */
#define BATCH 256            /* records handed over at once */
#define BATCH_MS 50          /* ... or after this long */
#define BATCHES_WAITING 64   /* beyond that records are lost, and counted */
#define BATCHES_AT_ONCE 8    /* that one transaction takes */
#define GATHER_MS 50         /* ... at most so often, unless as many wait, or someone does: each has to reach the disk */
#define BATCHES_SPARE 16     /* kept for reuse: to give that much memory back and ask for it again costs more than the records do */
#define COMPACT_AFTER 64     /* batches */
#define COMPACT_STEPS 8      /* at once, if nothing waits */
#define TOUCH_MS 60000       /* a token's last-used time is written at most this often */
#define TOUCH_SLOTS (4 * BATCH * BATCHES_AT_ONCE)
#define TOUCHED_MAX 10000    /* tokens whose last-used time is remembered */
#define BOARDS 64
#define SECRETS (CONNECTION_SECRETS + GRANT_VALUES) /* a connection's own, and its grant's */
#define ISSUED_MS (3 * 60 * 1000) /* for which an issuer's token is believed without asking again */

/* Two caches of one shape: text key -> counted entry. */
struct cache {
    struct map *entries;
    struct str order[CACHE_MAX]; /* keys, oldest first, as a ring; owned */
    int first, count;
};

struct batch {
    struct batch *next;
    int count;
    struct waiter *waiter; /* told once written; NULL: nobody waits */
    struct run runs[];     /* BATCH of them; none in a batch that only waits */
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

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool written;
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

    pthread_mutex_t record_lock;
    pthread_cond_t record_some;
    struct batch *batches, **batches_end;
    int batches_waiting;
    struct batch *spare;
    int spare_count;
    bool gathering;              /* the recorder sleeps until more has come, or its time */
    bool closing;
    pthread_t recorder;
    /* The recorder's own. */
    struct mono last_write;
    struct touches touches[2];   /* tokens, connections */
    const struct run *order[BATCH * BATCHES_AT_ONCE];
    int since_compact;           /* batches written */
    _Atomic uint64_t lost;
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

static void end_secrets(struct connection_secret *secrets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        secret_end(&secrets[i].value);
}

/* Which bodies are held back until they are whole. Without a token yet, those that may have to be changed or signed once it is
 * there. */
static void prepare_bodies(struct prepared *p, const struct auth_input *in, bool empty)
{
    bool may_rewrite = empty && (json_get(in->options, "body") || json_get(in->fields, "body"));
    for (size_t i = 0; i < p->injections.count; i++) {
        p->rewrites |= p->injections.at[i].where == INJECT_BODY;
        if (p->signer && !inject_is_header(p->injections.at[i].where))
            bug("%s signs, and adds to what it has signed", p->method->name);
    }
    p->whole_max = p->rewrites || may_rewrite ? REWRITE_MAX : SIGN_BODY_MAX;
    if (p->signer)
        p->whole = p->method->signs_body(p->signer);
    else
        p->whole = p->rewrites || may_rewrite || (empty && p->method->signer_new) ? SIGN_ANY_BODY : SIGN_NO_BODY;
}

/* The last `granted` of the `n` secrets are its grant's. */
static enum err prepare_auth(struct switchboard *s, struct prepared *p, const struct connector_auth *auth,
                             const struct json *fields, const struct connection_secret *secrets, size_t n, size_t granted,
                             struct fault *why)
{
    const struct auth_method *method = auth_find(p->row.auth_type);
    if (!method)
        return fault(why, ERR_AUTH_TYPE_NOT_OFFERED, p->row.auth_type, "stored auth type is unknown");
    struct auth_secret lent[SECRETS];
    struct secret values[SECRETS];
    for (size_t i = 0; i < n; i++) {
        lent[i] = (struct auth_secret){ secrets[i].name, secrets[i].value };
        values[i] = secrets[i].value;
    }
    struct auth_input in = { .options = auth ? auth->options : NULL, .fields = fields, .secrets = lent, .secret_count = n - granted,
                             .digits_ok = s->config.header_digits_ok, .granted = lent + (n - granted), .granted_count = granted };
    /* It was accepted when it was saved. A damaged disk may have lost a row or a letter since (requirement 18.6). */
    struct fault flaw = { 0 };
    if (method->check(&in, &flaw))
        return fault(why, ERR_RECONNECT_REQUIRED, p->row.key, "connection %.*s is stored otherwise than it was saved: %s %.100s",
                     STR_ARG(p->row.id), flaw.pointer, flaw.note);
    bool empty = p->renews && !p->generation;
    enum err e = empty ? ERR_NONE : method->prepare(p->arena, &in, &p->injections, why);
    if (!e && !empty && method->signer_new)
        e = method->signer_new(p->arena, &in, &p->signer, why);
    if (e)
        return e;
    p->method = method;
    prepare_bodies(p, &in, empty);
    /* What goes on the wire is as secret as what it was made of: "Basic <base64>" has spellings of its own. */
    struct secret all[SECRETS + INJECTIONS];
    memcpy(all, values, n * sizeof all[0]);
    for (size_t i = 0; i < p->injections.count; i++)
        all[n + i] = p->injections.at[i].value;
    p->mask = mask_new(all, n + p->injections.count);
    return ERR_NONE;
}

static enum err prepare_target(struct prepared *p, const struct connector_auth *auth, const struct json *fields, struct fault *why)
{
    struct setup_target t;
    if (!auth)
        return fault(why, ERR_AUTH_TYPE_NOT_OFFERED, p->row.auth_type, "stored auth type is gone from the connector");
    enum err e = setup_target(p->arena, p->connector, auth, fields, &t, why);
    if (e)
        return e;
    p->base = t.base;
    p->base.host = arena_str(p->arena, t.base.host);
    p->authority = url_authority(p->arena, &p->base);
    p->circuit = p->trial ? 0 : circuit_key(p->row.id, p->authority);
    p->verify_path = t.verify_path;
    p->verify_query = t.verify_query;
    p->verify_method = auth->verify.method;
    p->verify_account = auth->verify.account;
    p->verify_ok = auth->verify.ok_pointer;
    memcpy(p->headers, t.headers, sizeof p->headers);
    p->header_count = t.header_count;
    p->follow_redirects = t.follow_redirects;
    return ERR_NONE;
}

/* The certificate that it shows, and the roots that it trusts besides: a TLS context of its own. Most have neither. */
static enum err prepare_tls(struct switchboard *s, struct prepared *p, struct db *db, struct fault *why)
{
    struct pair *pair;
    struct str authorities;
    enum err e = certificate_open(db, s->config.keyring, p->arena, &p->row, &pair, &authorities, why);
    if (!e && (pair || authorities.n))
        e = tls_client_own(s->config.tls, pair, authorities, &p->tls, why);
    pair_free(pair);
    return e;
}

static enum err state_permits(const struct connection_row *row, const struct call_trial *trial, struct fault *why)
{
    switch (row->state) {
    case CONNECTION_ACTIVE: break;
    case CONNECTION_DISABLED: return fault(why, ERR_CONNECTION_DISABLED, row->key, "state");
    default:
        if (!trial || !trial->instead)
            return fault(why, ERR_NEEDS_AUTH, row->key, "state");
    }
    if (row->health == HEALTH_RECONNECT_REQUIRED && !trial)
        return fault(why, ERR_RECONNECT_REQUIRED, row->key, "health");
    return ERR_NONE;
}

enum err switchboard_state_permits(const struct connection_row *row, struct fault *why) { return state_permits(row, NULL, why); }

/* What policies say of this connection, now: the answer is remembered with it, until a policy changes. `trying`: with other
 * credentials than the stored ones. */
static enum err check_policies(struct switchboard *s, struct db *db, bool trying, struct prepared *p, const struct json *fields,
                               struct fault *why)
{
    struct policy_set *set = policy_book_set(s->config.policies);
    struct str *folders = NULL;
    size_t n = 0;
    enum err e = set && set->count ? policy_folders(db, p->arena, p->row.folder, &folders, &n, why) : ERR_NONE;
    struct policy_subject subject = {
        .moment = POLICY_CALL, .folders = folders, .folder_count = n, .connector = p->row.connector,
        .auth_type = p->row.auth_type, .domain = p->row.allowed_domain, .fields = fields,
    };
    size_t at = 0;
    int64_t age = set ? policy_least(set, &subject, POLICY_SECRET_MAX_AGE) : 0;
    if (!e && age && !trying) {
        subject.now = clock_wall();
        e = connection_secrets_since(db, p->row.id, &subject.secrets_since, why);
        p->until = subject.secrets_since ? subject.secrets_since + age : 0;
    }
    if (!e && set && set->count && str_starts(p->row.auth_type, STR("oauth2_")))
        e = connection_brings_client(db, p->row.id, &subject.own_client, why);
    if (!e && !(e = policy_decide(set, &subject, NULL, why))) {
        policy_gates(set, &subject, p->arena, &p->gates, &p->gate_count);
        p->secure = policy_next(set, &subject, POLICY_SECURE, &at, NULL) != NULL;
    }
    policy_set_release(set);
    return e;
}

/* One that does not open is told once, to whoever looks at the list; the call fails in any case. */
static void note_loss(struct switchboard *s, const struct connection_row *row)
{
    struct fault why;
    if (connection_lost(s->config.store, s->config.keyring, row, &why) && s->config.report)
        s->config.report("a connection's health was not noted", &why);
}

/* The tokens of its grant join the connection's own secrets. Without any, whoever calls first waits for them. */
static enum err prepare_grant(struct switchboard *s, struct db *db, struct prepared *p, struct connection_secret *secrets,
                              size_t *n, struct fault *why)
{
    const struct obtain *obtain = obtain_find(p->row.auth_type);
    struct grant_value values[GRANT_VALUES];
    struct grant g = { 0 };
    size_t count = 0;
    if (!obtain)
        return ERR_NONE;
    enum err e = grant_get(db, p->arena, p->row.id, &g, why);
    if (e && e != ERR_NOT_FOUND)
        return e;
    if (g.state == GRANT_OVER)
        return fault(why, ERR_RECONNECT_REQUIRED, p->row.key, "its grant is over");
    p->renews = s->renewals != NULL;
    if (!g.generation)
        return obtain->by_person ? fault(why, ERR_NEEDS_AUTH, p->row.key, "nobody has authorized it") : ERR_NONE;
    if ((e = grant_open(db, s->config.keyring, p->arena, p->row.id, values, &count, why)))
        return e;
    for (size_t i = 0; i < count; i++)
        secrets[(*n)++] = (struct connection_secret){ values[i].name, values[i].value };
    p->generation = g.generation;
    if (g.expires)
        p->ends_us = clock_mono_us() + (g.expires - clock_wall()) * 1000;
    return ERR_NONE;
}

/* The provider's own way to say that a token is over. */
static enum err prepare_expired(struct db *db, struct prepared *p, const struct connector_auth *auth, struct fault *why)
{
    return p->renews && auth ? oauth_expired_of(db, p->arena, p->row.id, auth->options, &p->expired, why) : ERR_NONE;
}

static enum err prepare_stored(struct switchboard *s, struct db *db, struct prepared *p, const struct json *fields,
                               struct fault *why)
{
    const struct connector_auth *auth = connector_auth_find(p->connector, p->row.auth_type);
    struct connection_secret secrets[SECRETS];
    size_t n = 0;
    enum err e = connection_open_secrets(db, s->config.keyring, p->arena, &p->row, secrets, &n, why);
    if (!e) {
        size_t own = n;
        if (!(e = prepare_grant(s, db, p, secrets, &n, why)) && !(e = prepare_expired(db, p, auth, why)))
            e = prepare_auth(s, p, auth, fields, secrets, n, n - own, why);
        end_secrets(secrets, n);
    }
    return e;
}

static enum err prepare_checked(struct switchboard *s, struct db *db, const struct call_trial *trial, struct prepared *p,
                                const struct json *fields, struct fault *why)
{
    enum err e = prepare_tls(s, p, db, why);
    if (e)
        return e;
    if (!trial || !trial->instead)
        return prepare_stored(s, db, p, fields, why);
    return prepare_auth(s, p, connector_auth_find(p->connector, p->row.auth_type), fields, trial->secrets, trial->count, 0,
                        why);
}

/* `trial` NULL: for calls. */
static enum err prepare(struct switchboard *s, struct str id, const struct call_trial *trial, struct prepared *p, struct fault *why)
{
    struct db *db = store_reader(s->config.store, why);
    struct json *fields;
    enum err e;
    if (!db)
        return ERR_STORE;
    if ((e = connection_get(db, p->arena, id, &p->row, why)) || (e = state_permits(&p->row, trial, why)))
        return e;
    p->connector = catalog_find(s->config.catalog, p->row.connector);
    if (!p->connector)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, p->row.connector, "stored connector is gone");
    if ((e = json_read(p->arena, p->row.fields, &fields, why)) ||
        (e = check_policies(s, db, trial && trial->instead, p, fields, why)) ||
        (e = prepare_target(p, connector_auth_find(p->connector, p->row.auth_type), fields, why)))
        return e;
    e = prepare_checked(s, db, trial, p, fields, why);
    /* A credential that does not open, or the key of its client certificate. */
    if (e == ERR_RECONNECT_REQUIRED)
        note_loss(s, &p->row);
    return e;
}

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
    enum err e = prepare(s, id, trial, p, why);
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
    enum err e = prepare(s, id, NULL, p, why);
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

/* ---- the recorder ---- */

static void free_values(struct map *m)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(m, &at, &key, &value))
        free(value);
    map_free(m);
}

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
        free_values(t->touched);
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
    enum err e = in->key.n ? run_seal_add(db, in->key, in->runs, in->n, why) : ERR_NONE;
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
static void tell_suspects(const struct switchboard *s, const struct run *const *runs, size_t n)
{
    const char *last = NULL;
    for (size_t i = 0; s->config.suspect && i < n; i++) {
        if (runs[i]->status != 401 || runs[i]->via == RUN_VERIFY || (last && !strcmp(last, runs[i]->connection)))
            continue;
        last = runs[i]->connection;
        s->config.suspect(s->config.suspect_context, str_of(last));
    }
}

/* Records of several loops are of the same moments: together they make fuller blocks. */
static void write_runs(struct switchboard *s, const struct batch *first)
{
    struct insertion in = { s->config.seal_key, s->touches, COUNT(s->touches), s->order, 0 };
    struct fault why;
    for (const struct batch *b = first; b; b = b->next)
        for (int i = 0; i < b->count; i++)
            s->order[in.n++] = &b->runs[i];
    if (!in.n)
        return;
    tell_suspects(s, (const struct run *const *)s->order, in.n);
    /* Records give way to what must be stored (requirement 18.3): tokens, credentials, the audit log. */
    if (store_is_tight(s->config.store)) {
        atomic_fetch_add(&s->lost, (uint64_t)in.n);
        return;
    }
    for (size_t i = 0; i < COUNT(s->touches); i++)
        touches_of(&s->touches[i], first);
    if (store_write(s->config.store, insert, &in, &why)) {
        atomic_fetch_add(&s->lost, (uint64_t)in.n);
        s->config.report("run records could not be written", &why);
    } else {
        for (size_t i = 0; i < COUNT(s->touches); i++)
            touches_note(&s->touches[i]);
    }
}

static void tell(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    w->written = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

static void write_all(struct switchboard *s, const struct batch *first)
{
    write_runs(s, first);
    for (const struct batch *b = first; b; b = b->next)
        if (b->waiter)
            tell(b->waiter);
}

static enum err compact(struct db *db, void *more, struct fault *why) { return runs_compact(db, more, why); }

static bool batches_wait(struct switchboard *s)
{
    pthread_mutex_lock(&s->record_lock);
    bool wait = s->batches;
    pthread_mutex_unlock(&s->record_lock);
    return wait;
}

/* When it was not enough, the next batch goes on with it. */
static void compact_if_due(struct switchboard *s)
{
    struct fault why;
    bool more = true;
    if (s->since_compact < COMPACT_AFTER)
        return;
    for (int i = 0; more && i < COMPACT_STEPS && (!i || !batches_wait(s)); i++)
        if (store_write(s->config.store, compact, &more, &why)) {
            s->config.report("run records could not be put together", &why);
            more = false;
        }
    if (!more)
        s->since_compact = 0;
}

/* Under the lock. */
static bool enough_waits(const struct switchboard *s)
{
    if (s->batches_waiting >= BATCHES_AT_ONCE || s->closing)
        return true;
    for (const struct batch *b = s->batches; b; b = b->next)
        if (b->waiter)
            return true;
    return false;
}

/* Until there is something to write, and a while has gone by since the last time or there is much of it. Under the lock. */
static void wait_for_batches(struct switchboard *s)
{
    while (!s->batches && !s->closing)
        pthread_cond_wait(&s->record_some, &s->record_lock);
    int64_t at = s->last_write.ms + GATHER_MS;
    struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
    s->gathering = true;
    while (!enough_waits(s) && clock_mono().ms < at)
        pthread_cond_timedwait(&s->record_some, &s->record_lock, &until);
    s->gathering = false;
}

/* What waits, up to what one transaction takes. Under the lock. */
static struct batch *take_batches(struct switchboard *s)
{
    struct batch *first = s->batches, **end = &s->batches;
    for (int i = 0; i < BATCHES_AT_ONCE && *end; i++, s->batches_waiting--)
        end = &(*end)->next;
    s->batches = *end;
    *end = NULL;
    if (!s->batches)
        s->batches_end = &s->batches;
    return first;
}

static void put_back(struct switchboard *s, struct batch *b, bool whole)
{
    if (whole && s->spare_count < BATCHES_SPARE) {
        b->next = s->spare;
        s->spare = b;
        s->spare_count++;
    } else {
        free(b);
    }
}

static void *record(void *context)
{
    struct switchboard *s = context;
    pthread_mutex_lock(&s->record_lock);
    for (;;) {
        wait_for_batches(s);
        struct batch *first = take_batches(s);
        if (!first)
            break;
        pthread_mutex_unlock(&s->record_lock);
        s->last_write = clock_mono();
        write_all(s, first);
        for (struct batch *b = first; b; b = b->next)
            s->since_compact += b->count > 0;
        compact_if_due(s);
        pthread_mutex_lock(&s->record_lock);
        for (struct batch *b = first, *next; b; b = next) {
            next = b->next;
            put_back(s, b, b->count);
        }
    }
    pthread_mutex_unlock(&s->record_lock);
    return NULL;
}

static struct batch *batch_new(struct switchboard *s)
{
    pthread_mutex_lock(&s->record_lock);
    struct batch *b = s->spare;
    if (b) {
        s->spare = b->next;
        s->spare_count--;
    }
    pthread_mutex_unlock(&s->record_lock);
    if (!b)
        b = mem_grow(NULL, sizeof *b + BATCH * sizeof *b->runs);
    *b = (struct batch){ 0 };
    return b;
}

static void hand_over(struct switchboard *s, struct batch *b)
{
    pthread_mutex_lock(&s->record_lock);
    bool full = s->batches_waiting >= BATCHES_WAITING && !b->waiter;
    if (full) {
        atomic_fetch_add(&s->lost, (uint64_t)b->count);
        put_back(s, b, true);
    } else {
        *s->batches_end = b;
        s->batches_end = &b->next;
        s->batches_waiting++;
        if (!s->gathering || enough_waits(s))
            pthread_cond_signal(&s->record_some);
    }
    pthread_mutex_unlock(&s->record_lock);
}

static struct batch *batch_of(struct run *runs) { return list_entry(runs, struct batch, runs); }

void board_flush(struct board *b)
{
    timer_stop(&b->batch_timer);
    if (!b->batch_count)
        return;
    struct batch *batch = batch_of(b->batch);
    batch->count = b->batch_count;
    b->batch = NULL;
    b->batch_count = 0;
    hand_over(b->switchboard, batch);
}

static void batch_due(struct timer *t) { board_flush(list_entry(t, struct board, batch_timer)); }

void board_record(struct board *b, const struct run *r)
{
    if (!b->batch)
        b->batch = batch_new(b->switchboard)->runs;
    if (!b->batch_count)
        timer_set(b->loop, &b->batch_timer, BATCH_MS, batch_due);
    b->batch[b->batch_count++] = *r;
    if (b->batch_count == BATCH)
        board_flush(b);
}

struct flush {
    struct loop_job job;
    struct board *board;
    struct waiter *waiter;
};

static void flush_on_loop(struct loop_job *job)
{
    struct flush *f = list_entry(job, struct flush, job);
    board_flush(f->board);
    struct batch *behind = mem_zero(sizeof *behind); /* empty: once it is written, all before it are */
    behind->waiter = f->waiter;
    hand_over(f->board->switchboard, behind);
}

void switchboard_flush(struct switchboard *s)
{
    for (int i = 0; i < s->board_count; i++) {
        struct waiter w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
        struct flush f = { { NULL, flush_on_loop }, &s->boards[i], &w };
        loop_post(s->boards[i].loop, &f.job);
        pthread_mutex_lock(&w.lock);
        while (!w.written)
            pthread_cond_wait(&w.done, &w.lock);
        pthread_mutex_unlock(&w.lock);
    }
}

/* ---- life ---- */

enum err switchboard_new(const struct switchboard_config *c, struct switchboard **out, struct fault *why)
{
    struct switchboard *s = mem_zero(sizeof *s);
    s->config = *c;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->record_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->record_some, &monotonic);
    pthread_condattr_destroy(&monotonic);
    s->batches_end = &s->batches;
    s->touches[0].name = offsetof(struct run, token);
    s->touches[0].every_ms = TOUCH_MS;
    s->touches[0].write = token_touch;
    s->touches[1].name = offsetof(struct run, connection);
    s->touches[1].every_ms = CONNECTION_USED_MS;
    s->touches[1].write = connection_used;
    for (size_t i = 0; i < COUNT(s->touches); i++)
        s->touches[i].touched = map_new();
    cache_init(&s->connections);
    cache_init(&s->tokens);
    if (pthread_create(&s->recorder, NULL, record, s)) {
        free(s);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the recorder");
    }
    pthread_setname_np(s->recorder, "recorder");
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
    b->lane = s->config.intents ? intents_lane(s->config.intents, l) : NULL;
    return b;
}

struct board *switchboard_board(struct switchboard *s, int i) { return i < s->board_count ? &s->boards[i] : NULL; }
void switchboard_renew_with(struct switchboard *s, struct renewals *r) { s->renewals = r; }

struct renewals *switchboard_renewals(const struct switchboard *s) { return s->renewals; }

const struct switchboard_config *switchboard_config(const struct switchboard *s) { return &s->config; }
uint64_t switchboard_lost(const struct switchboard *s) { return atomic_load(&s->lost); }

void switchboard_free(struct switchboard *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->record_lock);
    s->closing = true;
    pthread_cond_signal(&s->record_some);
    pthread_mutex_unlock(&s->record_lock);
    pthread_join(s->recorder, NULL);
    for (int i = 0; i < s->board_count; i++)
        if (s->boards[i].batch)
            free(batch_of(s->boards[i].batch));
    while (s->spare) {
        struct batch *next = s->spare->next;
        free(s->spare);
        s->spare = next;
    }
    void *entry;
    while ((entry = cache_oldest(&s->connections)))
        drop_prepared(entry);
    while ((entry = cache_oldest(&s->tokens)))
        drop_pass(entry);
    map_free(s->connections.entries);
    map_free(s->tokens.entries);
    for (size_t i = 0; i < COUNT(s->touches); i++)
        free_values(s->touches[i].touched);
    pthread_cond_destroy(&s->record_some);
    pthread_mutex_destroy(&s->record_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
