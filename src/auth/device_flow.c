#include "auth/device_flow.h"

#include <pthread.h>
#include <stdlib.h>

#include "access/audit.h"
#include "access/rights.h"
#include "auth/connect_session.h"
#include "auth/device_code.h"
#include "auth/jwt_caller.h"
#include "base/arena.h"
#include "vault/connection.h"

#define AT_ONCE 64                    /* of those that wait, looked at together */
#define LOOK_MS 30000                 /* another node may have begun one */
#define TROUBLE_MS 5000               /* after what could not be written: not at once again */

struct device_flows {
    struct device_flows_config config;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, woken;
};

struct turn {
    struct device_flows *f;
    struct arena *a;
    struct authorization *t;
    enum authorization_state state;
    struct str reason;
    int64_t interval_ms;
    bool mine;
};

/* ---- what is written ---- */

static struct str name_of(struct db *db, struct arena *a, struct str principal)
{
    struct str name = STR("");
    struct query *q = query_begin(db, "SELECT name FROM principal WHERE id = $1");
    query_text(q, principal);
    if (query_next(q))
        name = query_get_text(q, 0, a);
    return query_end(q, NULL) ? STR("") : name;
}

static enum err tell(struct db *db, struct turn *x, const struct connection_row *row, struct fault *why)
{
    bool good = x->state == AUTHORIZATION_DONE;
    struct audit_entry entry = {
        .actor = x->t->principal, .actor_name = name_of(db, x->a, x->t->principal),
        .via = x->t->session.n ? x->t->session : x->t->id, .action = STR("connection.authorized"), .object = row->id,
        .name = row->name, .folder = row->folder, .outcome = good ? AUDIT_DONE : AUDIT_FAILED, .code = good ? STR("") : x->reason,
    };
    return audit_add(db, &entry, why);
}

static enum err finish(struct db *db, void *turn, struct fault *why)
{
    struct turn *x = turn;
    struct connection_row row;
    struct fault gone;
    enum err e = connection_get(db, x->a, x->t->connection, &row, &gone);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return authorization_end(db, x->t->id, AUTHORIZATION_FAILED, str_of(err_row(e)->code), why); /* deleted meanwhile */
    if (e) {
        if (why)
            *why = gone;
        return e;
    }
    if (x->state == AUTHORIZATION_DONE && (e = connection_adopt(db, &row, x->t->principal, why)))
        return e;
    if ((e = authorization_end(db, x->t->id, x->state, x->reason, why)) || (e = tell(db, x, &row, why)))
        return e;
    if (x->state != AUTHORIZATION_DONE || !x->t->session.n)
        return ERR_NONE;
    e = connect_session_done(db, x->t->session, &gone); /* withdrawn meanwhile: the grant is there all the same */
    if (e == ERR_CONNECT_LINK_INVALID)
        return ERR_NONE;
    if (e && why)
        *why = gone;
    return e;
}

/* Only one process gets the turn, and the time of the next is on the disk before the request leaves. */
static enum err claim(struct db *db, void *turn, struct fault *why)
{
    struct turn *x = turn;
    return authorization_claim(db, x->t, clock_wall() + x->t->interval_ms, &x->mine, why);
}

static enum err wait_again(struct db *db, void *turn, struct fault *why)
{
    struct turn *x = turn;
    return authorization_asked(db, x->t->id, clock_wall() + x->interval_ms, x->interval_ms, why);
}

/* ---- one turn ---- */

static bool is_over(struct turn *x, enum err e, const struct fault *said)
{
    struct str word = str_of(said->subject);
    x->interval_ms = x->t->interval_ms;
    x->reason = arena_str(x->a, word);
    switch (e) {
    case ERR_NONE: x->state = AUTHORIZATION_DONE; return true;
    case ERR_NEEDS_AUTH:
        if (str_is(word, "slow_down"))
            x->interval_ms = device_code_next(x->interval_ms, TOKEN_SLOW_DOWN, 0);
        if (str_is(word, "slow_down") || str_is(word, "authorization_pending"))
            return false;
        x->state = str_is(word, "expired_token") ? AUTHORIZATION_EXPIRED : AUTHORIZATION_FAILED;
        return true;
    case ERR_UPSTREAM_TIMEOUT:
    case ERR_UPSTREAM_CONNECT:
    case ERR_UPSTREAM_CLOSED:
    case ERR_UPSTREAM_DNS:
    case ERR_RENEWAL_FAILED:
        x->interval_ms = device_code_next(x->interval_ms, TOKEN_LATER, 0);
        return false;
    case ERR_STORE: /* asked again later */
    case ERR_STOPPING: return false;
    default:
        x->reason = e == ERR_OAUTH_CLIENT ? x->reason : str_of(err_row(e)->code);
        x->state = AUTHORIZATION_FAILED;
        return true;
    }
}

/* Whoever began it may still do it, and the link through which they did is not withdrawn. Asked before the provider is: what it
 * answers is kept at once. */
static enum err check_standing(struct turn *x, struct db *db, struct fault *why)
{
    struct connection_row row;
    struct connect_session s;
    struct caller c;
    enum err e;
    if ((e = connection_get(db, x->a, x->t->connection, &row, why)) ||
        (e = jwt_caller_beginner(db, x->a, x->t->principal, x->t->token, &c, why)) ||
        (e = rights_need_on_connection(db, x->a, &c, row.id, row.folder, RIGHT_SECRETS_WRITE, why)))
        return e;
    if (!x->t->session.n)
        return ERR_NONE;
    e = connect_session_get(db, x->a, x->t->session, &s, why);
    if (e || s.state == CONNECT_OPEN)
        return e;
    return fault(why, ERR_CONNECT_LINK_INVALID, STR(""), "the connect session ended meanwhile");
}

static enum err ask(struct turn *x, struct fault *why)
{
    const struct device_flows_config *c = &x->f->config;
    struct db *db = store_reader(c->store, why);
    struct secret code = SECRET_NONE;
    enum err e = db ? check_standing(x, db, why) : ERR_STORE;
    if (e || (e = authorization_device_code(db, c->keyring, x->t->id, &code, why)))
        return e;
    struct token_param params[DEVICE_PARAMS];
    device_code_params(&(struct device_code){ .code = code }, params);
    e = renewals_obtain(c->renewals, x->t->connection, params, DEVICE_PARAMS, x->t->accept_account, why);
    secret_end(&code);
    return e;
}

/* False: something could not be written, and is as it was. */
static bool take_turn(struct device_flows *f, struct arena *a, struct authorization *t)
{
    struct turn x = { .f = f, .a = a, .t = t, .reason = STR("") };
    struct fault why = { 0 }, other;
    bool over = t->expires <= clock_wall();
    x.state = AUTHORIZATION_EXPIRED;
    if (over) {
        x.reason = STR("expired_token");
    } else {
        if (store_write(f->config.store, claim, &x, &other)) {
            f->config.report("a device's code was not asked about", &other);
            return false;
        }
        if (!x.mine)
            return true;
        enum err e = ask(&x, &why);
        over = is_over(&x, e, &why);
    }
    bool written = !store_write(f->config.store, over ? finish : wait_again, &x, &other);
    if (!written)
        f->config.report("what came of a device's code was not written", &other);
    if (over && x.state == AUTHORIZATION_DONE && f->config.changed)
        f->config.changed(f->config.context, t->connection);
    return written;
}

/* Answers how long nothing is to be done. */
static int64_t look(struct device_flows *f)
{
    AUTO_ARENA a = arena_new(4096);
    struct authorization *all;
    struct fault why;
    size_t n = 0;
    struct db *db = store_reader(f->config.store, &why);
    if (!db || authorization_devices(db, a, AT_ONCE, &all, &n, &why)) {
        f->config.report("devices that wait cannot be read", &why);
        return LOOK_MS;
    }
    int64_t wait = LOOK_MS;
    for (size_t i = 0; i < n; i++) {
        int64_t left = all[i].next - clock_wall();
        pthread_mutex_lock(&f->lock);
        bool stopping = f->stopping;
        pthread_mutex_unlock(&f->lock);
        if (stopping)
            return 0;
        if (left > 0)
            return left < wait ? left : wait;
        wait = take_turn(f, a, &all[i]) ? 0 : TROUBLE_MS;
        if (wait)
            return wait;
    }
    return wait;
}

static void *device_main(void *context)
{
    struct device_flows *f = context;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        f->woken = false;
        pthread_mutex_unlock(&f->lock);
        int64_t us = clock_mono_us() + look(f) * 1000;
        pthread_mutex_lock(&f->lock);
        struct timespec until = { us / 1000000, us % 1000000 * 1000 };
        while (!f->stopping && !f->woken && clock_mono_us() < us)
            pthread_cond_timedwait(&f->wake, &f->lock, &until);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- life ---- */

enum err device_flows_start(const struct device_flows_config *c, struct device_flows **out, struct fault *why)
{
    struct device_flows *f = mem_zero(sizeof *f);
    pthread_condattr_t monotonic;
    f->config = *c;
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&f->thread, NULL, device_main, f)) {
        free(f);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start a thread for devices");
    }
    pthread_setname_np(f->thread, "device codes");
    *out = f;
    return ERR_NONE;
}

static void poke(struct device_flows *f, bool stop)
{
    pthread_mutex_lock(&f->lock);
    f->woken = true;
    f->stopping |= stop;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

void device_flows_wake(struct device_flows *f)
{
    if (f)
        poke(f, false);
}

void device_flows_stop(struct device_flows *f)
{
    if (!f)
        return;
    poke(f, true);
    pthread_join(f->thread, NULL); /* at most what a token call takes */
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
