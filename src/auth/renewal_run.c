#include <stdlib.h>

#include "access/audit.h"
#include "auth/client_tls.h"
#include "auth/oauth_client.h"
#include "auth/renewal_inside.h"
#include "http/url.h"
#include "vault/sealed.h"

#define AGAIN_HOST_US 20000          /* the host has as many requests as it may have */
#define AGAIN_LEASE_US 250000        /* another node renews it */
#define AGAIN_KEEP_US 1000000        /* the database does not take an answer */
#define TRIES 3                      /* of one flight, for those who wait */
#define TRY_SOON_MS 3000             /* a next try that is nearer than this is waited for */
#define BACK_OFF_MS 1000
#define BACK_OFF_MOST_MS 60000
#define FORCE_AGAIN_MS   30000 /* a credential that was renewed because the provider refused the old one, and is refused too */
#define LEAD_LEAST_MS 60000          /* requirement 10.8 */
#define LEAD_MOST_MS (15 * 60000)
#define LIFE_LEAST_MS 30000          /* what lives shorter is renewed when somebody needs it */
#define SKEW_MS 30000                /* requirement 11.3 */
#define CLOCK_FAULT_MS (5 * 60000)

/* One attempt at a flight: everything that is read for it. */
struct attempt {
    struct renewals *r;
    struct flight *f;
    struct arena *arena;
    struct connection_row row;
    struct grant_row g;
    const struct obtain *how;
    struct connection_secret secrets[CONNECTION_SECRETS]; size_t secret_count;
    struct auth_secret lent[CONNECTION_SECRETS + 2];
    struct secret client_key;        /* lent, too */
    struct grant_value values[GRANT_VALUES]; size_t value_count;
    struct auth_input in;
    struct oauth_profile profile;
    bool has_profile;
    struct tls_context *tls;         /* with the client's certificate; NULL: that of all */
    struct obtain_input ask;
    struct grant_turn turn;
    struct answer_slot *slot;
    struct str raw;                  /* the answer's body: wiped with the attempt, or with what takes it over */
    struct held held;
    int64_t started_us;
    wall_ms received;                /* the answer */
    bool entered;                    /* the host's line */
    wall_ms now;
};

/* ---- ends of an attempt ---- */

static bool over(enum err *out, enum err e)
{
    *out = e;
    return true;
}

static bool again_in(struct flight *f, int64_t us)
{
    f->due_us = clock_mono_us() + us;
    return false;
}

static void wipe(struct str *raw)
{
    if (raw->n)
        secret_wipe((char *)(uintptr_t)raw->p, raw->n);
    *raw = STR("");
}

/* ---- what is read ---- */

static enum err read_secrets(struct attempt *x, struct db *db, struct fault *why)
{
    enum err e = connection_open_secrets(db, x->r->config.keyring, x->arena, &x->row, x->secrets, &x->secret_count, why);
    for (size_t i = 0; i < x->secret_count; i++)
        x->lent[i] = (struct auth_secret){ x->secrets[i].name, x->secrets[i].value };
    return e;
}

static enum err read_grant(struct attempt *x, struct db *db, struct str id, struct fault *why)
{
    enum err e = grant_row_get(db, x->arena, id, &x->g, why);
    if (e || !x->g.grant.generation)
        return e;
    return grant_open(db, x->r->config.keyring, x->arena, id, x->values, &x->value_count, why);
}

/* The key that an administrator keeps for connections that have none of their own. */
static enum err read_key(struct attempt *x, struct db *db, struct fault *why)
{
    struct connection_oauth o;
    if (auth_secret(&x->in, "access_key_id"))
        return ERR_NONE;
    enum err e = connection_oauth_get(db, x->arena, x->row.id, &o, why);
    if (e || !o.client.n || (e = oauth_profile_client(db, x->r->config.keyring, x->arena, o.client, &x->profile, why)))
        return e;
    x->has_profile = true;
    x->client_key = secret_from(x->profile.client_id);
    x->lent[x->in.secret_count++] = (struct auth_secret){ STR("access_key_id"), x->client_key };
    x->lent[x->in.secret_count++] = (struct auth_secret){ STR("secret_access_key"), x->profile.client_secret };
    return ERR_NONE;
}

/* May ask an issuer where its doors are. */
static enum err read_profile(struct attempt *x, struct db *db, struct fault *why)
{
    const struct renewals_config *c = &x->r->config;
    if (x->how->keyed)
        return read_key(x, db, why);
    enum err e = x->how->oauth ? c->profile(c->context, db, x->arena, &x->row, &x->in, &x->profile, why) : ERR_NONE;
    if (e || !x->how->oauth)
        return e;
    x->has_profile = true;
    return client_tls(c->tls, db, c->keyring, x->arena, &x->row, &x->profile, &x->tls, why);
}

static enum err read_all(struct attempt *x, struct db *db, struct fault *why)
{
    struct str id = str_of(x->f->connection);
    const struct renewals_config *c = &x->r->config;
    struct json *fields;
    enum err e = connection_get(db, x->arena, id, &x->row, why);
    if (e)
        return e;
    if (x->row.state == CONNECTION_DISABLED && !x->f->obtain)
        return fault(why, ERR_CONNECTION_DISABLED, x->row.key, "state");
    x->how = c->obtain(x->row.auth_type);
    if (!x->how)
        return fault(why, ERR_NEEDS_AUTH, x->row.key, "auth type %.*s has no grant", STR_ARG(x->row.auth_type));
    if ((e = read_grant(x, db, id, why)) || (e = json_read(x->arena, x->row.fields, &fields, why)) ||
        (e = read_secrets(x, db, why)))
        return e;
    x->in =
        (struct auth_input){ c->options(c->context, x->row.connector, x->row.auth_type), fields, x->lent, x->secret_count, false };
    return ERR_NONE;
}

/* Of one moment: tokens and the row that counts them. */
static enum err load(struct attempt *x, struct fault *why)
{
    struct db *db = store_reader(x->r->config.store, why);
    enum err e = db ? db_snapshot(db, why) : ERR_STORE;
    if (e)
        return e;
    e = read_all(x, db, why);
    db_snapshot_end(db);
    if (!e)
        e = read_profile(x, db, why);
    x->now = clock_steady();
    /* Obtained in the future: the clock was wrong then, or is now. Its life is what can be told (requirement 11.2). */
    if (x->g.grant.obtained > x->now + CLOCK_FAULT_MS && x->g.grant.expires)
        x->g.grant.expires = x->now + (x->g.grant.expires - x->g.grant.obtained);
    return e;
}

static void attempt_end(struct attempt *x)
{
    for (size_t i = 0; i < x->secret_count; i++)
        secret_end(&x->secrets[i].value);
    for (size_t i = 0; i < x->value_count; i++)
        secret_end(&x->values[i].value);
    if (x->has_profile)
        oauth_profile_end(&x->profile);
    secret_end(&x->client_key);
    if (x->slot)
        answer_slot_free(x->slot);
    wipe(&x->raw);
    tls_context_free(x->tls);
    if (x->entered) {
        pthread_mutex_lock(&x->r->lock);
        token_rate_leave(x->r->rate, str_of(x->f->host));
        pthread_mutex_unlock(&x->r->lock);
    }
    arena_free(x->arena);
}

/* ---- is there anything to send, and may it be sent now? ---- */

/* A code, a device code, an assertion in hand: what the grant was before does not matter to it. */
static bool by_hand(const struct attempt *x) { return x->f->obtain && x->f->params; }

static bool alive(const struct attempt *x) { return x->g.grant.generation && x->g.grant.expires > x->now; }

static bool has_value(const struct attempt *x, const char *name)
{
    for (size_t i = 0; i < x->value_count; i++)
        if (str_is(x->values[i].name, name))
            return true;
    return false;
}

/* A refresh token may be good for one request only. */
static bool spends(const struct attempt *x) { return !by_hand(x) && has_value(x, "refresh_token"); }

static bool held_by_other(const struct attempt *x)
{
    return x->g.holder.n && !str_is(x->g.holder, answer_journal_holder(x->r->journal));
}

/* Its lease did not move for as long as it lives, by our own clock. */
static bool watch_lease(struct attempt *x)
{
    struct flight *f = x->f;
    int64_t now = renewal_boot_ms();
    bool same = f->seen_ms && str_is(x->g.holder, f->seen_holder) && f->seen_fence == x->g.fence && f->seen_beat == x->g.beat;
    if (same)
        return now - f->seen_ms >= x->r->lease_ms;
    str_copy(f->seen_holder, sizeof f->seen_holder, x->g.holder);
    f->seen_fence = x->g.fence;
    f->seen_beat = x->g.beat;
    f->seen_ms = now;
    return false;
}

static enum err set_next(struct db *db, void *attempt, struct fault *why)
{
    const struct attempt *x = attempt;
    struct query *q = query_begin(db, "UPDATE connection_grant SET next_ms = $1 WHERE connection_id = $2 AND fence = $3");
    query_i64(q, x->g.grant.expires);
    query_text(q, str_of(x->f->connection));
    query_i64(q, x->g.fence);
    return query_end(q, why);
}

/* Requirement 10.6: an answer was lost. What is there serves until its end; only then the old refresh token is tried. */
static enum err wait_for_end(struct attempt *x, struct fault *why)
{
    struct fault unnoted;
    if (x->g.grant.next != x->g.grant.expires && store_write(x->r->config.store, set_next, x, &unnoted))
        renewal_report(x->r, "when a grant is renewed was not noted", &unnoted);
    renewal_look_at(x->r, x->g.grant.expires);
    return fault(why, ERR_RENEWAL_FAILED, STR("an answer was lost; the current credential serves until its end"),
                 "unknown outcome");
}

static enum err explain(const struct attempt *x, struct fault *why)
{
    const struct grant *g = &x->g.grant;
    switch (g->state) {
    case GRANT_OVER: return fault(why, ERR_RECONNECT_REQUIRED, x->row.key, "grant over: %.*s", STR_ARG(g->reason));
    case GRANT_PAUSED: return fault(why, ERR_OAUTH_CLIENT, g->reason, "grant paused");
    default: return fault(why, ERR_RENEWAL_FAILED, g->reason, "grant failing");
    }
}

/* ERR_NONE with *go false: there is what is wanted. */
static enum err decide(struct attempt *x, bool *go, struct fault *why)
{
    const struct grant *g = &x->g.grant;
    const struct flight *f = x->f;
    bool asked = f->cause == RENEWAL_ASKED, needed = f->cause == RENEWAL_EXPIRED || f->cause == RENEWAL_REFUSED;
    *go = false;
    if (f->obtain) {
        *go = true;
        return ERR_NONE;
    }
    if (g->generation > f->wanted && g->state != GRANT_OVER)
        return ERR_NONE;
    if (g->state == GRANT_OVER && (x->how->by_person || !asked))
        return explain(x, why);
    if (g->state == GRANT_PAUSED && !asked)
        return explain(x, why);
    if (x->how->by_person && !g->generation)
        return fault(why, ERR_NEEDS_AUTH, x->row.key, "nobody has authorized it");
    if (x->how->by_person && !has_value(x, "refresh_token") && g->expires && !alive(x)) {
        *go = true; /* to say so */
        return ERR_NONE;
    }
    if (x->how->by_person && !has_value(x, "refresh_token"))
        return alive(x) && !needed
                   ? fault(why, ERR_RENEWAL_FAILED, STR("the provider gave nothing to renew it with"), "no refresh token")
                   : fault(why, ERR_RECONNECT_REQUIRED, x->row.key, "no refresh token");
    bool ended = needed && x->g.again == g->expires && str_is(g->reason, "answer_lost"); /* who needs it knows that it is over */
    if (g->state == GRANT_FAILING && x->g.again > x->now && !asked && !ended)
        return explain(x, why);
    if (f->cause == RENEWAL_REFUSED && x->g.forced && x->now - x->g.forced < FORCE_AGAIN_MS && x->g.forced == g->obtained)
        return fault(why, ERR_RENEWAL_FAILED, STR("the provider refuses what was just renewed, too"), "forced lately");
    if ((x->g.unknown || (x->g.holder.n && x->g.print.n)) && alive(x) && !needed && !held_by_other(x))
        return wait_for_end(x, why);
    *go = true;
    return ERR_NONE;
}

/* True: it is our turn. False: again at f->due_us. */
static bool admitted(struct attempt *x)
{
    struct flight *f = x->f;
    struct str host = str_of(f->host);
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&x->r->lock);
    if (!f->go_us)
        f->go_us = token_rate_reserve(x->r->rate, host, now);
    bool late = f->go_us <= now;
    x->entered = late && token_rate_enter(x->r->rate, host);
    pthread_mutex_unlock(&x->r->lock);
    if (!x->entered)
        f->due_us = late ? now + AGAIN_HOST_US : f->go_us;
    return x->entered;
}

/* ---- sending ---- */

static bool lease_holds(void *attempt)
{
    struct attempt *x = attempt;
    pthread_mutex_lock(&x->r->lock);
    bool holds = !x->held.lost && renewal_boot_ms() - x->held.beaten_ms < x->r->send_ms;
    pthread_mutex_unlock(&x->r->lock);
    return holds;
}

static enum err build(struct attempt *x, struct token_request *out, struct fault *why)
{
    enum err e = x->how->build(x->arena, &x->ask, out, why);
    if (e)
        return e;
    out->http.egress = x->r->config.egress;
    out->http.tls = x->tls ? x->tls : x->r->config.tls;
    out->http.timeout_ms = GRANT_CALL_MS;
    out->http.response_max = ANSWER_MAX;
    out->http.secret = true;
    out->http.may_send = lease_holds;
    out->http.context = x;
    return ERR_NONE;
}

/* On the disk before anybody looks at it (requirement 10.4). When it cannot be, it is used all the same: it may be the only one. */
static void keep_raw(struct attempt *x, const struct fetch_answer *answer)
{
    struct kept_answer k = { str_of(x->f->connection), x->turn.fence, x->received, by_hand(x), *answer };
    struct fault why;
    if (answer_slot_keep(x->slot, &k, &why))
        renewal_report(x->r, "the answer of a token endpoint was not written to its room", &why);
    else
        renewal_window(x->r, clock_mono_us() - answer->received_us);
}

/* ERR_NONE: out->answer says what came of it. */
static enum err send_once(struct attempt *x, struct token_request *req, bool *sent, struct obtained *out, struct fault *why)
{
    struct fetch_answer answer;
    enum err e = fetch(x->arena, &req->http, &answer, why);
    *sent = answer.sent;
    if (e)
        return e;
    x->received = clock_steady();
    keep_raw(x, &answer);
    x->raw = answer.body;
    x->how->read(x->arena, &x->ask, &answer, x->received, out);
    return ERR_NONE;
}

static void forget_refresh(struct attempt *x)
{
    for (size_t i = 0; i < x->value_count; i++)
        if (str_is(x->values[i].name, "refresh_token"))
            x->values[i].name = STR("");
}

/* What may be sent once more at once, each a single time. True: do. */
static bool once_more(struct attempt *x, const struct obtained *got, unsigned *done)
{
    enum { NONCE = 1, SECRET = 2, ODD = 4, AFRESH = 8 };
    unsigned what = 0;
    switch (got->answer.outcome) {
    case TOKEN_NONCE: what = NONCE; break;
    case TOKEN_ODD: what = ODD; break; /* requirement 9.4 */
    case TOKEN_CLIENT_WRONG: what = x->has_profile && x->profile.next_secret.n ? SECRET : 0; break;
    /* Its refresh token is over, but it needs none: from the start. */
    case TOKEN_GRANT_OVER: what = !x->how->by_person && spends(x) ? AFRESH : 0; break;
    default: break;
    }
    if (!what || (*done & what))
        return false;
    *done |= what;
    if (what == NONCE)
        x->ask.nonce = got->answer.nonce;
    if (what == AFRESH)
        forget_refresh(x);
    if (what == SECRET) {
        struct secret first = x->profile.client_secret;
        x->profile.client_secret = x->profile.next_secret;
        x->profile.next_secret = first;
    }
    return true;
}

static enum err send_all(struct attempt *x, struct token_request *req, bool *sent, struct obtained *out, struct fault *why)
{
    unsigned done = 0;
    for (;;) {
        enum err e = send_once(x, req, sent, out, why);
        if (e || !once_more(x, out, &done))
            return e;
        obtained_end(out);
        *out = (struct obtained){ 0 };
        wipe(&x->raw);
        token_request_end(req);
        *req = (struct token_request){ 0 };
        x->ask.now = clock_wall();
        *sent = false;
        if ((e = build(x, req, why)))
            return e;
    }
}

/* ---- what is written of it ---- */

static int64_t back_off(int64_t failures)
{
    int64_t most = failures < 6 ? BACK_OFF_MS << failures : BACK_OFF_MOST_MS;
    return 100 + renewal_chance(most < BACK_OFF_MOST_MS ? most : BACK_OFF_MOST_MS);
}

/* Requirement 10.8; of a short life at most the half. */
static wall_ms renewal_time(wall_ms obtained, wall_ms expires, bool renewable, int64_t max_idle)
{
    wall_ms next = 0;
    int64_t life = expires - obtained;
    if (expires && renewable && life >= LIFE_LEAST_MS) {
        int64_t lead = life / 10 < LEAD_LEAST_MS ? LEAD_LEAST_MS : life / 10 > LEAD_MOST_MS ? LEAD_MOST_MS : life / 10;
        if (lead > life / 2)
            lead = life / 2;
        next = expires - lead * (800 + renewal_chance(401)) / 1000;
    }
    /* OAU-26: half of what an unused refresh token lives. */
    if (expires && !renewable)
        next = expires + 1; /* to say that it is over */
    if (max_idle && renewable && (!next || obtained + max_idle / 2 < next))
        next = obtained + max_idle / 2;
    return next;
}

static struct str cause_name(const struct flight *f)
{
    static const char *const names[] = { [RENEWAL_EXPIRED] = "expired", [RENEWAL_REFUSED] = "refused", [RENEWAL_AHEAD] = "ahead",
                                         [RENEWAL_IDLE] = "idle", [RENEWAL_ASKED] = "asked" };
    return f->obtain && f->params ? STR("authorized") : str_of(names[f->cause]);
}

static struct grant_end end_of(struct attempt *x, const char *what, struct str reason)
{
    const struct grant_row *g = &x->g;
    return (struct grant_end){
        .turn = &x->turn,
        .event = { .what = str_of(what), .cause = cause_name(x->f), .reason = reason, .node = x->r->config.node,
                   .took_ms = (clock_mono_us() - x->started_us) / 1000 },
        .release = true,
        .state = g->grant.state,
        .reason = g->grant.reason,
        .failures = g->grant.failures,
        .unknown = g->unknown,
        .again = g->again,
        .next = g->grant.next,
        .skew_ms = g->skew_ms,
    };
}

struct ending {
    struct attempt *x;
    struct grant_end *end;
    bool health;                 /* the connection is told to be authorized anew */
    bool client;                 /* all grants of the OAuth client wait */
    bool first;                  /* of them: the alarm is due */
};

static enum err tell_health(struct db *db, struct arena *a, struct str id, enum connection_health h, struct str reason,
                            wall_ms verified, struct fault *why)
{
    struct connection_row now;
    enum err e = connection_get(db, a, id, &now, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return ERR_NONE;
    if (e || (now.health == h && h != HEALTH_OK))
        return e;
    if ((e = connection_set_health(db, id, h, verified ? verified : now.verified, now.account, why)) || now.health == h)
        return e;
    struct audit_entry entry = {
        .via = STR("system"),
        .action = STR("connection.health"),
        .object = id,
        .name = now.name,
        .folder = now.folder,
        .before = str_fmt(a, "{\"health\":\"%s\"}", connection_health_name(now.health)),
        .after = str_fmt(a, "{\"health\":\"%s\",\"reason\":\"%.*s\"}", connection_health_name(h), STR_ARG(reason)),
    };
    return audit_add(db, &entry, why);
}

static enum err pause_client(struct db *db, struct ending *w, struct fault *why)
{
    const struct attempt *x = w->x;
    w->first = x->g.grant.state != GRANT_PAUSED;
    if (!x->turn.client.n)
        return ERR_NONE;
    struct query *q =
        query_begin(db, "SELECT 1 FROM connection_grant WHERE client = $1 AND state = 'paused' AND connection_id <> $2"
                        " LIMIT 1");
    query_text(q, x->turn.client);
    query_text(q, x->turn.connection);
    w->first = w->first && !query_next(q);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db,
                    "UPDATE connection_grant SET state = 'paused', reason = $1 WHERE client = $2 AND state IN ('good', 'failing')");
    query_text(q, w->end->reason);
    query_text(q, x->turn.client);
    return query_end(q, why);
}

static enum err write_end(struct db *db, void *ending, struct fault *why)
{
    struct ending *w = ending;
    const struct attempt *x = w->x;
    enum err e = w->client ? pause_client(db, w, why) : ERR_NONE;
    if (e || (e = grant_turn_end(db, w->end, why)) || !w->health)
        return e;
    return tell_health(db, x->arena, x->turn.connection, HEALTH_RECONNECT_REQUIRED, w->end->reason, 0, why);
}

/* Not ours any more: said, and nothing else. */
static enum err write_lost(struct db *db, void *end, struct fault *why)
{
    struct grant_end *w = end;
    w->release = w->kept = false;
    w->event.what = STR("lost");
    return grant_turn_end(db, w, why);
}

static enum err say_lost(struct renewals *r, struct grant_end *end, struct fault *why)
{
    struct fault unused;
    renewal_count(r, COUNT_LOST);
    if (store_write(r->config.store, write_lost, end, &unused))
        renewal_report(r, "a lost lease was not noted", &unused);
    return fault(why, ERR_RENEWAL_FAILED, STR("another node has taken it over"), "the fence moved");
}

static enum err write_down(struct attempt *x, struct ending *w, struct fault *why)
{
    struct fault unwritten;
    enum err e = store_write(x->r->config.store, write_end, w, &unwritten);
    if (e == ERR_CONFLICT)
        return say_lost(x->r, w->end, why);
    if (e)
        renewal_report(x->r, "what came of a renewal was not noted", &unwritten);
    x->f->changed = true;
    renewal_look_at(x->r, w->end->next);
    return ERR_NONE;
}

/* ---- outcomes ---- */

/* Somebody waits, and the next try is near: the flight goes on then. */
static bool soon_at(struct attempt *x, wall_ms again)
{
    struct flight *f = x->f;
    int64_t wait = again - clock_steady();
    pthread_mutex_lock(&x->r->lock);
    bool waited_for = !list_empty(&f->waiters) && !x->r->stopping;
    pthread_mutex_unlock(&x->r->lock);
    if (!waited_for || ++f->tries >= TRIES || wait > TRY_SOON_MS)
        return false;
    f->go_us = 0;
    again_in(f, wait > 0 ? wait * 1000 : 0);
    return true;
}

/* A grant by hand leaves the one before as it was. */
static enum err refuse_by_hand(struct attempt *x, const char *what, struct str reason, enum err err, struct fault *why)
{
    struct grant_end end = end_of(x, what, reason);
    struct ending w = { .x = x, .end = &end };
    enum err e = write_down(x, &w, why);
    return e ? e : fault(why, err, reason, "by hand");
}

static bool fail_for_now(struct attempt *x, const char *what, struct str reason, int64_t retry_after, enum err *out,
                         struct fault *why)
{
    struct grant_end end = end_of(x, what, reason);
    struct ending w = { .x = x, .end = &end };
    int64_t wait = back_off(end.failures);
    end.state = GRANT_FAILING;
    end.reason = reason;
    end.failures++;
    end.again = end.next = clock_steady() + (retry_after > wait ? retry_after : wait);
    *out = write_down(x, &w, why);
    if (*out)
        return true;
    if (soon_at(x, end.again))
        return false;
    return over(out, fault(why, ERR_RENEWAL_FAILED, reason, "%s", what));
}

/* The request went out and its answer did not come, or not whole. */
static bool lose_answer(struct attempt *x, struct str reason, enum err *out, struct fault *why)
{
    renewal_count(x->r, COUNT_UNKNOWN);
    if (by_hand(x))
        return over(out, refuse_by_hand(x, "unknown", reason, ERR_UPSTREAM_CLOSED, why));
    if (!spends(x))
        return fail_for_now(x, "failed", reason, 0, out, why);
    struct grant_end end = end_of(x, "unknown", reason);
    struct ending w = { .x = x, .end = &end };
    bool live = alive(x) && x->f->cause != RENEWAL_REFUSED;
    end.state = GRANT_FAILING;
    end.reason = STR("answer_lost");
    end.failures++;
    end.unknown++;
    end.again = live ? x->g.grant.expires : clock_steady() + (end.unknown > 1 ? back_off(end.failures) : renewal_chance(500));
    end.next = end.again;
    *out = write_down(x, &w, why);
    if (*out)
        return true;
    if (!live && soon_at(x, end.again))
        return false;
    return over(out, fault(why, ERR_RENEWAL_FAILED, STR("the answer of the provider was lost"), "unknown outcome"));
}

static bool fail_unsent(struct attempt *x, const struct fault *from, enum err *out, struct fault *why)
{
    struct str reason = str_of(err_row(from->err)->code);
    renewal_count(x->r, COUNT_UNSENT);
    if (from->err == ERR_CANCELLED) {
        /* The process was stopped, and its lease ran out. If nobody took it, it is given back, and the flight begins anew. */
        struct grant_end end = end_of(x, "lost", STR(""));
        struct ending w = { .x = x, .end = &end };
        *out = write_down(x, &w, why);
        return *out ? true : again_in(x->f, 0);
    }
    if (by_hand(x))
        return over(out, refuse_by_hand(x, "failed", reason, from->err, why));
    if (!fail_for_now(x, "failed", reason, 0, out, why))
        return false;
    if (*out == ERR_RENEWAL_FAILED && why)
        str_copy(why->note, sizeof why->note, str_of(from->note));
    return true;
}

static enum err end_grant(struct attempt *x, struct str reason, struct fault *why)
{
    struct fault told;
    renewal_count(x->r, COUNT_OVER);
    if (by_hand(x))
        return refuse_by_hand(x, "refused", reason, ERR_NEEDS_AUTH, why);
    struct grant_end end = end_of(x, "refused", reason);
    struct ending w = { .x = x, .end = &end, .health = true };
    end.state = GRANT_OVER;
    end.reason = x->g.unknown || x->turn.stale.n ? STR("answer_lost") : x->g.grant.from_backup ? STR("from_backup") : reason;
    end.failures++;
    end.again = end.next = 0;
    enum err e = write_down(x, &w, why);
    if (e)
        return e;
    fault(&told, ERR_RECONNECT_REQUIRED, x->row.key, "connection %.*s: %.*s%s", STR_ARG(x->row.id), STR_ARG(reason),
          x->g.unknown ? ", after an answer was lost" : x->g.grant.from_backup ? ", restored from a backup" : "");
    renewal_report(x->r, "a connection must be authorized again", &told);
    return fault(why, ERR_RECONNECT_REQUIRED, x->row.key, "%.*s", STR_ARG(reason));
}

/* Nothing of this grant is wrong: it waits until the client, or what the connection says, is changed (OAU-25). */
static enum err pause_grant(struct attempt *x, struct str reason, bool client, struct fault *why)
{
    struct grant_end end = end_of(x, "refused", reason);
    struct ending w = { .x = x, .end = &end, .client = client };
    struct fault told;
    renewal_count(x->r, client ? COUNT_CLIENT : COUNT_REFUSED);
    if (by_hand(x) && !client)
        return refuse_by_hand(x, "refused", reason, ERR_OAUTH_CLIENT, why);
    if (!by_hand(x) || x->g.grant.generation) {
        end.state = GRANT_PAUSED;
        end.reason = reason;
        end.failures++;
        end.next = 0;
    }
    enum err e = write_down(x, &w, why);
    if (e)
        return e;
    if (w.first || !client) {
        struct str who = x->turn.client.n ? x->turn.client : x->row.key;
        fault(&told, ERR_OAUTH_CLIENT, who, "%.*s; connection %.*s", STR_ARG(reason), STR_ARG(x->row.id));
        renewal_report(x->r,
                       client ? "an OAuth client is refused: all its connections wait" : "a renewal is refused as it is configured",
                       &told);
    }
    return fault(why, ERR_OAUTH_CLIENT, reason, "paused");
}

/* ---- tokens came ---- */

struct keeping {
    struct renewals *r;
    struct unkept *u;
};

/* Values of the answer that the connector wants as fields: those that the connection has none of yet. */
static enum err capture(struct renewals *r, struct unkept *u, struct connection_row *now, bool *some, struct fault *why)
{
    struct json *fields, *last = NULL;
    struct str text;
    enum err e = u->capture && u->got.answer.body && r->config.captured ? json_read(u->arena, now->fields, &fields, why) : ERR_NONE;
    if (e || !u->capture || !u->got.answer.body || !r->config.captured)
        return e;
    for (struct json *c = fields->child; c; c = c->next)
        last = c;
    json_each(want, u->capture)
    {
        const struct json *value = json_at(u->arena, u->got.answer.body, want->text);
        const struct json *there = json_get_str(fields, want->key);
        if (!json_is(want, JSON_STRING) || !json_is(value, JSON_STRING) || !value->text.n || (there && there->text.n))
            continue;
        struct json *field = json_new(u->arena, JSON_STRING);
        field->key = want->key;
        field->text = value->text;
        json_link(u->arena, fields, &last, field);
        *some = true;
    }
    if (!*some || (e = r->config.captured(r->config.context, u->arena, now, fields, &text, why)))
        return e;
    now->fields = text;
    return ERR_NONE;
}

static enum err wake_connection(struct db *db, struct keeping *k, struct fault *why)
{
    struct unkept *u = k->u;
    struct connection_row now;
    bool captured = false;
    struct fault flaw = { 0 };
    enum err e = connection_get(db, u->arena, u->turn.connection, &now, why);
    if (e)
        return e == ERR_CONNECTION_NOT_FOUND ? ERR_NONE : e;
    if (capture(k->r, u, &now, &captured, &flaw)) {
        captured = false;
        renewal_report(k->r, "a field that a token answer brought is not acceptable", &flaw);
    }
    bool waits = now.state == CONNECTION_NEEDS_AUTH || now.state == CONNECTION_DRAFT;
    if (waits)
        now.state = CONNECTION_ACTIVE;
    if ((waits || captured) && (e = connection_update(db, &now, why)))
        return e;
    if (now.health == HEALTH_RECONNECT_REQUIRED || u->end.generation == 1 || u->by_person)
        return tell_health(db, u->arena, now.id, HEALTH_OK, STR(""), clock_wall(), why);
    return ERR_NONE;
}

static enum err write_kept(struct db *db, void *keeping, struct fault *why)
{
    struct keeping *k = keeping;
    enum err e = grant_turn_end(db, &k->u->end, why);
    return e ? e : wake_connection(db, k, why);
}

enum err renewal_keep(struct renewals *r, struct unkept *u, struct fault *why)
{
    struct keeping k = { r, u };
    enum err e = store_write(r->config.store, write_kept, &k, why);
    if (e == ERR_CONFLICT)
        say_lost(r, &u->end, why);
    if (e)
        return e;
    renewal_count(r, u->by_person ? COUNT_OBTAINED : COUNT_RENEWED);
    renewal_look_at(r, u->end.next);
    return ERR_NONE;
}

void renewal_unkept_free(struct unkept *u)
{
    if (!u)
        return;
    if (u->slot)
        answer_slot_free(u->slot);
    obtained_end(&u->got);
    wipe(&u->raw);
    arena_free(u->arena);
    free(u);
}

static bool keep_or_wait(struct renewals *r, struct flight *f, enum err *out, struct fault *why)
{
    struct unkept *u = f->unkept;
    enum err e = renewal_keep(r, u, why);
    if (!e || e == ERR_CONFLICT) {
        f->changed = true;
        return over(out, e ? ERR_RENEWAL_FAILED : ERR_NONE);
    }
    if (e != ERR_STORE && e != ERR_STORE_FULL)
        renewal_report(r, "new tokens were not kept", why);
    /* The answer is safe in its room. Who waits is told; the database takes it later. */
    renewal_tell(r, f, e, why);
    f->params = NULL;
    return again_in(f, AGAIN_KEEP_US);
}

static bool gave_refresh(const struct obtained *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (str_is(o->values[i].name, "refresh_token"))
            return true;
    return false;
}

static struct str requested(struct attempt *x, struct arena *a)
{
    AUTO_BUF b;
    buf_init(&b, OAUTH_SCOPE_MAX);
    for (size_t i = 0; x->has_profile && i < x->profile.scope_count; i++) {
        if (i)
            buf_char(&b, ' ');
        buf_add(&b, x->profile.scopes[i]);
    }
    return arena_str(a, buf_str(&b));
}

/* Everything that the transaction needs, in memory of its own: it may have to wait for the database. */
static struct unkept *unkept_of(struct attempt *x, struct obtained *got)
{
    struct unkept *u = mem_zero(sizeof *u);
    struct arena *a = u->arena = x->arena;
    wall_ms received = x->received;
    int64_t lives = got->answer.expires_in_ms >= 0 ? got->answer.expires_in_ms : x->has_profile ? x->profile.lifetime_ms : 0;
    bool first = x->f->obtain || !x->g.grant.generation;
    x->arena = arena_new(64); /* the attempt's memory is this one's now */
    u->slot = x->slot;
    u->raw = x->raw;
    x->slot = NULL;
    x->raw = STR("");
    u->got = *got;
    *got = (struct obtained){ 0 };
    u->by_person = by_hand(x);
    u->capture = x->has_profile ? x->profile.capture : NULL;
    u->turn = x->turn;
    u->turn.connection = arena_str(a, x->turn.connection);
    u->end = end_of(x, first ? "obtained" : "renewed", STR(""));
    u->end.turn = &u->turn;
    u->end.kept = true;
    u->end.forced = x->f->cause == RENEWAL_REFUSED;
    u->end.state = GRANT_GOOD;
    u->end.reason = STR("");
    u->end.failures = u->end.unknown = u->end.again = 0;
    u->end.obtained = received;
    u->end.expires = lives > 0 ? received + lives : 0;
    u->end.refreshable = gave_refresh(&u->got);
    u->end.next = renewal_time(received, u->end.expires, u->end.refreshable || !x->how->by_person,
                               x->has_profile && u->end.refreshable ? x->profile.max_idle_ms : 0);
    if (u->got.answer.scope_given)
        u->end.granted = u->got.answer.scope;
    else if (first)
        u->end.granted = requested(x, a); /* RFC 6749 5.1: nothing said means as asked */
    if (u->got.answer.skew_ms != INT64_MIN)
        u->end.skew_ms = u->got.answer.skew_ms;
    u->end.keyring = x->r->config.keyring;
    u->end.values = u->got.values;
    u->end.value_count = u->got.count;
    return u;
}

static void tell_skew(struct attempt *x, int64_t skew)
{
    struct fault told;
    if (skew == INT64_MIN || (skew <= SKEW_MS && skew >= -SKEW_MS))
        return;
    pthread_mutex_lock(&x->r->lock);
    bool first = token_rate_tell_skew(x->r->rate, str_of(x->f->host));
    pthread_mutex_unlock(&x->r->lock);
    if (!first)
        return;
    fault(&told, ERR_IDENTITY_PROVIDER, str_of(x->f->host), "its clock is %lld s off ours", (long long)(skew / 1000));
    renewal_report(x->r, "a token endpoint's clock differs: check the clock of this machine", &told);
}

static struct str reason_of(const struct obtained *got, const char *otherwise)
{
    return got->answer.error.n ? got->answer.error : str_of(otherwise);
}

static bool finish(struct attempt *x, struct obtained *got, enum err *out, struct fault *why)
{
    const struct token_answer *t = &got->answer;
    tell_skew(x, t->skew_ms);
    switch (t->outcome) {
    case TOKEN_GIVEN: x->f->unkept = unkept_of(x, got); return keep_or_wait(x->r, x->f, out, why);
    case TOKEN_GRANT_OVER: return over(out, end_grant(x, reason_of(got, "invalid_grant"), why));
    case TOKEN_ODD: return over(out, end_grant(x, reason_of(got, "unreadable"), why));
    case TOKEN_CLIENT_WRONG: return over(out, pause_grant(x, reason_of(got, "invalid_client"), true, why));
    case TOKEN_ASKED_WRONG: return over(out, pause_grant(x, reason_of(got, "invalid_request"), false, why));
    case TOKEN_UNKNOWN: return lose_answer(x, STR("cut_off"), out, why);
    case TOKEN_PENDING: return over(out, refuse_by_hand(x, "pending", STR("authorization_pending"), ERR_NEEDS_AUTH, why));
    case TOKEN_SLOW_DOWN: return over(out, refuse_by_hand(x, "pending", STR("slow_down"), ERR_NEEDS_AUTH, why));
    case TOKEN_DENIED: return over(out, refuse_by_hand(x, "refused", STR("access_denied"), ERR_NEEDS_AUTH, why));
    case TOKEN_CODE_EXPIRED: return over(out, refuse_by_hand(x, "refused", STR("expired_token"), ERR_NEEDS_AUTH, why));
    case TOKEN_LATER:
    case TOKEN_NONCE: break;
    }
    renewal_count(x->r, COUNT_LATER);
    if (by_hand(x))
        return over(out, refuse_by_hand(x, "failed", reason_of(got, "later"), ERR_RENEWAL_FAILED, why));
    return fail_for_now(x, "failed", reason_of(got, "later"), t->retry_after_ms, out, why);
}

/* ---- one attempt ---- */

static enum err take_turn(struct attempt *x, struct fault *why)
{
    const struct grant_value *spent = NULL;
    for (size_t i = 0; spends(x) && i < x->value_count; i++)
        if (str_is(x->values[i].name, "refresh_token"))
            spent = &x->values[i];
    x->turn = (struct grant_turn){
        .connection = str_of(x->f->connection),
        .holder = answer_journal_holder(x->r->journal),
        .client = x->has_profile ? x->profile.client : STR(""),
        .requested = x->f->obtain || !x->g.grant.generation ? requested(x, x->arena) : STR_NONE,
        .print = spent ? keyring_fingerprint(x->r->config.keyring, x->arena, secret_str(spent->value)) : STR(""),
        .generation = x->g.grant.generation,
        .stale = held_by_other(x) ? x->g.holder : STR(""),
        .stale_fence = x->g.fence,
        .stale_beat = x->g.beat,
        .now = clock_steady(),
    };
    int64_t began = renewal_boot_ms();
    enum err e = store_write(x->r->config.store, grant_turn_take, &x->turn, why);
    if (e)
        return e;
    if (x->g.holder.n && x->g.print.n)
        x->g.unknown++; /* as the transaction has noted */
    x->held = (struct held){ .turn = x->turn, .beaten_ms = began };
    pthread_mutex_lock(&x->r->lock);
    list_push_back(&x->r->held, &x->held.in);
    pthread_mutex_unlock(&x->r->lock);
    return ERR_NONE;
}

static void end_turn(struct attempt *x)
{
    pthread_mutex_lock(&x->r->lock);
    list_remove(&x->held.in);
    pthread_mutex_unlock(&x->r->lock);
}

/* It has ended, and there is nothing to renew it with. */
static enum err end_unsent(struct attempt *x, struct fault *why)
{
    end_turn(x);
    return end_grant(x, STR("no_refresh_token"), why);
}

/* The key that DPoP binds tokens to is on the disk before they are asked for (RFC 9449). */
static enum err write_key(struct db *db, void *attempt, struct fault *why)
{
    const struct attempt *x = attempt;
    const struct grant_value *v = &x->values[x->value_count - 1];
    struct data_owner owner = { STR(GRANT_KIND), str_of(x->f->connection) };
    return sealed_put(db, x->r->config.keyring, owner, v->name, v->value, why);
}

static enum err ensure_key(struct attempt *x, struct fault *why)
{
    if (!x->has_profile || !x->profile.dpop || has_value(x, "dpop_key") || x->value_count == GRANT_VALUES)
        return ERR_NONE;
    struct secret key;
    enum err e = x->r->config.dpop_key ? x->r->config.dpop_key(&key, why) : fault(why, ERR_NOT_IMPLEMENTED, STR("DPoP"), "no keys");
    if (e)
        return e;
    x->values[x->value_count++] = (struct grant_value){ STR("dpop_key"), key };
    return store_write(x->r->config.store, write_key, x, why);
}

static bool fly(struct attempt *x, struct token_request *req, enum err *out, struct fault *why)
{
    struct obtained got = { 0 };
    struct fault failure = { 0 };
    bool sent = false, landed;
    enum err e = answer_slot_take(x->r->journal, &x->slot, why);
    if (e)
        return e == ERR_OVERLOADED ? again_in(x->f, AGAIN_HOST_US) : over(out, e);
    e = take_turn(x, why);
    if (e)
        return e == ERR_CONFLICT ? again_in(x->f, AGAIN_HOST_US) : over(out, e); /* it moved: read it again */
    x->started_us = clock_mono_us();
    e = send_all(x, req, &sent, &got, &failure);
    if (e && sent)
        landed = lose_answer(x, str_of(err_row(e)->code), out, why);
    else if (e)
        landed = fail_unsent(x, &failure, out, why);
    else
        landed = finish(x, &got, out, why);
    obtained_end(&got);
    end_turn(x);
    return landed;
}

static enum err name_host(struct attempt *x, const struct token_request *req, struct fault *why)
{
    struct url url;
    enum err e = url_parse(x->arena, req->http.url, &url, why);
    if (!e && !x->f->host[0])
        str_copy(x->f->host, sizeof x->f->host, url.host);
    return e;
}

static bool try(struct attempt *x, enum err *out, struct fault *why)
{
    struct token_request req = { 0 };
    bool go, landed;
    enum err e = load(x, why);
    if (!e && x->g.grant.state == GRANT_FAILING && x->g.again > x->now && x->g.again - x->now <= TRY_SOON_MS &&
        soon_at(x, x->g.again))
        return false;
    if (e || (e = decide(x, &go, why)) || !go)
        return over(out, e);
    if (held_by_other(x) && !watch_lease(x))
        return again_in(x->f, AGAIN_LEASE_US);
    if (held_by_other(x) && x->g.print.n && alive(x) && x->f->cause != RENEWAL_EXPIRED && x->f->cause != RENEWAL_REFUSED &&
        !x->f->obtain)
        return over(out, wait_for_end(x, why)); /* should its holder wake up, its answer is still taken */
    if (x->how->by_person && !x->f->obtain && !has_value(x, "refresh_token")) {
        e = take_turn(x, why);
        return e == ERR_CONFLICT ? again_in(x->f, AGAIN_HOST_US) : over(out, e ? e : end_unsent(x, why));
    }
    if ((e = ensure_key(x, why)))
        return over(out, e);
    x->ask = (struct obtain_input){
        .in = &x->in, .profile = x->has_profile ? &x->profile : NULL, .values = x->values, .value_count = x->value_count,
        .params = x->f->params, .param_count = x->f->param_count, .now = clock_wall(),
        .allowed_domain = x->row.allowed_domain,
    };
    e = build(x, &req, why);
    if (!e)
        e = name_host(x, &req, why);
    if (e)
        landed = over(out, e);
    else if (!x->entered && !admitted(x))
        landed = false;
    else
        landed = fly(x, &req, out, why);
    token_request_end(&req);
    return landed;
}

bool renewal_run(struct renewals *r, struct flight *f, enum err *e, struct fault *why)
{
    if (f->unkept)
        return keep_or_wait(r, f, e, why);
    struct attempt x = { .r = r, .f = f };
    if (f->host[0] && !admitted(&x))
        return false;
    x.arena = arena_new(16 * 1024);
    bool landed = try(&x, e, why);
    attempt_end(&x);
    return landed;
}

/* ---- an answer that a dead process left ---- */

/* As far as the answer, everything was done by the one that died: what is left is to read it and to write down what it means. */
static bool take_up(struct attempt *x, const char *holder, const struct kept_answer *k)
{
    struct fault why = { 0 };
    struct obtained got = { 0 };
    enum err e = load(x, &why);
    if (e) {
        renewal_report(x->r, "an answer from before the stop cannot be used", &why);
        return e != ERR_STORE && e != ERR_STORE_FULL && e != ERR_SEALED;
    }
    if (x->g.fence != k->fence || !str_is(x->g.holder, holder))
        return true; /* it is in the database already, or another went on from there */
    x->turn = (struct grant_turn){ .connection = str_of(x->f->connection), .holder = holder, .generation = x->g.grant.generation,
                                   .client = x->has_profile ? x->profile.client : STR(""), .fence = k->fence };
    x->ask = (struct obtain_input){ .in = &x->in, .profile = x->has_profile ? &x->profile : NULL, .values = x->values,
                                    .value_count = x->value_count, .params = x->f->params, .param_count = x->f->param_count,
                                    .now = clock_wall() };
    x->started_us = clock_mono_us();
    x->received = k->received < clock_steady() ? k->received : clock_steady();
    x->how->read(x->arena, &x->ask, &k->http, x->received, &got);
    finish(x, &got, &e, &why);
    obtained_end(&got);
    return !x->f->unkept || !e;
}

bool renewal_take_up(struct renewals *r, const char *holder, const struct kept_answer *k)
{
    static const struct token_param code = { { "code", 4 }, { "", 0 } };
    struct flight f = { .cause = RENEWAL_EXPIRED, .obtain = k->by_hand, .params = k->by_hand ? &code : NULL };
    struct attempt x = { .r = r, .f = &f, .arena = arena_new(16 * 1024) };
    str_copy(f.connection, sizeof f.connection, k->connection);
    list_init(&f.waiters);
    bool done = take_up(&x, holder, k);
    attempt_end(&x);
    renewal_unkept_free(f.unkept);
    return done;
}

/* ---- for others to look at ---- */

enum err renewal_view(struct renewals *r, struct str connection,
                      enum err (*use)(void *context, const struct renewal_view *view, struct fault *why), void *context,
                      struct fault *why)
{
    struct flight f = { .obtain = true };
    struct attempt x = { .r = r, .f = &f, .arena = arena_new(16 * 1024) };
    str_copy(f.connection, sizeof f.connection, connection);
    enum err e = load(&x, why);
    if (e == ERR_NEEDS_AUTH || (!e && !x.value_count))
        e = ERR_NONE;
    else if (!e)
        e = use(context,
                &(struct renewal_view){ &x.row, x.has_profile ? &x.profile : NULL, x.values, x.value_count, x.how->by_person },
                why);
    attempt_end(&x);
    return e;
}
