#include "auth/renewal_attempt.h"
#include "http/url.h"
#include "vault/sealed.h"

#define AGAIN_US 20000               /* something has moved: read it again; or there is no slot */
#define AGAIN_LEASE_US 250000        /* another node renews it */
#define FORCE_AGAIN_MS   30000 /* a credential that was renewed because the provider refused the old one, and is refused too */

/* ---- is there anything to send, and may it be sent now? ---- */

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
    struct flight *f = x->f;
    bool asked = f->cause == RENEWAL_ASKED, needed = f->cause == RENEWAL_EXPIRED || f->cause == RENEWAL_REFUSED;
    *go = false;
    if (f->obtain) {
        *go = true;
        return ERR_NONE;
    }
    if (g->generation > f->wanted && g->state != GRANT_OVER) {
        f->changed = true; /* another node may have written it, and who waits here is served before we hear of it */
        return ERR_NONE;
    }
    if (g->state == GRANT_OVER && (x->how->by_person || !asked))
        return explain(x, why);
    if (g->state == GRANT_PAUSED && !asked)
        return explain(x, why);
    if (x->how->by_person && !g->generation)
        return fault(why, ERR_NEEDS_AUTH, x->row.key, "nobody has authorized it");
    if (x->how->by_person && !attempt_has(x, "refresh_token") && g->expires && !attempt_alive(x)) {
        *go = true; /* to say so */
        return ERR_NONE;
    }
    if (x->how->by_person && !attempt_has(x, "refresh_token"))
        return attempt_alive(x) && !needed
                   ? fault(why, ERR_RENEWAL_FAILED, STR("the provider gave nothing to renew it with"), "no refresh token")
                   : fault(why, ERR_RECONNECT_REQUIRED, x->row.key, "no refresh token");
    bool ended = needed && x->g.again == g->expires && str_is(g->reason, "answer_lost"); /* who needs it knows that it is over */
    if (g->state == GRANT_FAILING && x->g.again > x->now && !asked && !ended)
        return explain(x, why);
    if (f->cause == RENEWAL_REFUSED && x->g.forced && x->now - x->g.forced < FORCE_AGAIN_MS && x->g.forced == g->obtained)
        return fault(why, ERR_RENEWAL_FAILED, STR("the provider refuses what was just renewed, too"), "forced lately");
    if ((x->g.unknown || (x->g.holder.n && x->g.print.n)) && attempt_alive(x) && !needed && !held_by_other(x))
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
    int64_t again = f->go_us;
    x->entered = f->go_us <= now && token_rate_enter(x->r->rate, host, now, &again);
    pthread_mutex_unlock(&x->r->lock);
    f->due_us = again;
    x->asking = x->entered;
    return x->entered;
}

static void request_over(struct attempt *x)
{
    pthread_mutex_lock(&x->r->lock);
    token_rate_over(x->r->rate, str_of(x->f->host), clock_mono_us());
    pthread_mutex_unlock(&x->r->lock);
    x->asking = false;
}

/* One more request of this attempt's counts as any other. It holds a lease and room for its answer, so its thread waits: a second
 * and what the requests before it take, at most. */
static void wait_for_next(struct attempt *x)
{
    struct str host = str_of(x->f->host);
    int64_t again;
    pthread_mutex_lock(&x->r->lock);
    for (bool asked = false; !token_rate_again(x->r->rate, host, asked, clock_mono_us(), &again); asked = true)
        renewal_pause(x->r, again);
    pthread_mutex_unlock(&x->r->lock);
    x->asking = true;
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

/* On the disk before anybody looks at it (requirement 10.4). When it cannot be, it is used all the same: it may be the only one. */
static void keep_raw(void *attempt, const struct fetch_answer *answer)
{
    struct attempt *x = attempt;
    x->received = clock_steady();
    struct kept_answer k = { str_of(x->f->connection), x->turn.fence, x->received, attempt_by_hand(x), *answer };
    struct fault why;
    x->in_room = !answer_slot_keep(x->slot, &k, &why);
    if (!x->in_room)
        renewal_report(x->r, "the answer of a token endpoint was not written to its room", &why);
    else
        renewal_window(x->r, clock_mono_us() - answer->received_us);
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
    out->http.arrived = keep_raw;
    out->http.context = x;
    return ERR_NONE;
}

/* ERR_NONE: out->answer says what came of it. */
static enum err send_once(struct attempt *x, struct token_request *req, bool *sent, struct obtained *out, struct fault *why)
{
    struct fetch_answer answer;
    enum err e = fetch(x->arena, &req->http, &answer, why);
    request_over(x);
    *sent = answer.sent;
    if (e)
        return e;
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

/* During rotation (OAU-04): by what proves it next. */
static void prove_by_next(struct attempt *x)
{
    struct oauth_profile next;
    (void)oauth_profile_next(&x->profile, &next);
    x->profile = next;
    if (!x->next_tls)
        return;
    struct tls_context *first = x->tls;
    x->tls = x->next_tls;
    x->next_tls = first;
}

static bool has_next(const struct attempt *x)
{
    return x->has_profile && (x->profile.next_secret.n || x->profile.next_key.n);
}

/* The grant is a signature of the client's, and its next key is another one. */
static bool signs_with_next(const struct attempt *x)
{
    return x->how->signs && x->has_profile && x->profile.next_key.n && !auth_secret(&x->in, "private_key");
}

/* What may be sent once more at once, each a single time. True: do. */
static bool once_more(struct attempt *x, const struct obtained *got, unsigned *done)
{
    enum { NONCE = 1, NEXT = 2, ODD = 4, AFRESH = 8 };
    unsigned what = 0;
    switch (got->answer.outcome) {
    case TOKEN_NONCE: what = NONCE; break;
    case TOKEN_ODD: what = ODD; break; /* requirement 9.4 */
    case TOKEN_CLIENT_WRONG: what = has_next(x) ? NEXT : 0; break;
    /* Its refresh token is over, but it needs none: from the start. */
    case TOKEN_GRANT_OVER:
        what = !x->how->by_person && attempt_spends(x) ? AFRESH : signs_with_next(x) ? NEXT : 0;
        break;
    default: break;
    }
    if (!what || (*done & what))
        return false;
    *done |= what;
    if (what == NONCE)
        x->ask.nonce = got->answer.nonce;
    if (what == AFRESH)
        forget_refresh(x);
    if (what == NEXT)
        prove_by_next(x);
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
        attempt_wipe(&x->raw);
        token_request_end(req);
        *req = (struct token_request){ 0 };
        x->ask.now = clock_wall();
        *sent = false;
        wait_for_next(x);
        if ((e = build(x, req, why)))
            return e;
    }
}

/* ---- one attempt ---- */

static enum err take_turn(struct attempt *x, struct fault *why)
{
    const struct grant_value *spent = NULL;
    for (size_t i = 0; attempt_spends(x) && i < x->value_count; i++)
        if (str_is(x->values[i].name, "refresh_token"))
            spent = &x->values[i];
    x->turn = (struct grant_turn){
        .connection = str_of(x->f->connection),
        .holder = answer_journal_holder(x->r->journal),
        .client = x->has_profile ? x->profile.client : STR(""),
        .requested = x->f->obtain || !x->g.grant.generation ? attempt_requested(x, x->arena) : STR_NONE,
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
    return attempt_end_grant(x, STR("no_refresh_token"), why);
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
    if (!x->has_profile || !x->profile.dpop || attempt_has(x, "dpop_key") || x->value_count == GRANT_VALUES)
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
        return e == ERR_OVERLOADED ? attempt_again(x->f, AGAIN_US) : attempt_over(out, e);
    e = take_turn(x, why);
    if (e)
        return e == ERR_CONFLICT ? attempt_again(x->f, AGAIN_US) : attempt_over(out, e); /* it moved: read it again */
    x->started_us = clock_mono_us();
    e = send_all(x, req, &sent, &got, &failure);
    if (e && sent)
        landed = attempt_lose_answer(x, str_of(err_row(e)->code), out, why);
    else if (e)
        landed = attempt_fail_unsent(x, &failure, out, why);
    else
        landed = attempt_finish(x, &got, out, why);
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
    enum err e = attempt_load(x, why);
    if (!e && x->g.grant.state == GRANT_FAILING && x->g.again > x->now && x->g.again - x->now <= TRY_SOON_MS &&
        attempt_soon(x, x->g.again))
        return false;
    if (e || (e = decide(x, &go, why)) || !go)
        return attempt_over(out, e);
    if (held_by_other(x) && !watch_lease(x))
        return attempt_again(x->f, AGAIN_LEASE_US);
    if (held_by_other(x) && x->g.print.n && attempt_alive(x) && x->f->cause != RENEWAL_EXPIRED && x->f->cause != RENEWAL_REFUSED &&
        !x->f->obtain)
        return attempt_over(out, wait_for_end(x, why)); /* should its holder wake up, its answer is still taken */
    if (x->how->by_person && !x->f->obtain && !attempt_has(x, "refresh_token")) {
        e = take_turn(x, why);
        return e == ERR_CONFLICT ? attempt_again(x->f, AGAIN_US) : attempt_over(out, e ? e : end_unsent(x, why));
    }
    if ((e = ensure_key(x, why)))
        return attempt_over(out, e);
    x->ask = (struct obtain_input){
        .in = &x->in, .profile = x->has_profile ? &x->profile : NULL, .values = x->values, .value_count = x->value_count,
        .params = x->f->params, .param_count = x->f->param_count, .now = clock_wall(),
        .allowed_domain = x->row.allowed_domain,
    };
    e = build(x, &req, why);
    if (!e)
        e = name_host(x, &req, why);
    if (e)
        landed = attempt_over(out, e);
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
        return renewal_keep_or_wait(r, f, e, why);
    if (f->left)
        return renewal_take_up(r, f, e, why);
    struct attempt x = { .r = r, .f = f };
    if (f->host[0] && !admitted(&x))
        return false;
    x.arena = arena_new(16 * 1024);
    bool landed = try(&x, e, why);
    attempt_end(&x);
    return landed;
}
