#include "call/live.h"

#include <stdlib.h>

#include "base/log.h"
#include "call/await.h"
#include "call/headers.h"
#include "call/hold.h"
#include "call/rewrite.h"
#include "call/sign.h"
#include "call/target.h"
#include "vault/domain.h"

#define REDIRECTS_MAX 5
#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS 2000
#define RETRY_AFTER_MOST_MS (60 * 1000) /* a provider that wants more peace than that has the last word */
#define TOKEN_MOST_MS (60 * 1000) /* for which a call waits for a token when it has no limit of its own */

static struct live *of(struct upstream *u) { return list_entry(u, struct live, up); }

static bool idempotent(struct str method) /* RFC 9110 9.2.2 */
{
    static const char *const names[] = { "GET", "HEAD", "PUT", "DELETE", "OPTIONS" };
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_is(method, names[i]))
            return true;
    return false;
}

static bool method_known(struct str method) /* PRX-05 */
{
    return idempotent(method) || str_is(method, "POST") || str_is(method, "PATCH");
}

/* ---- the record ---- */

static void record(struct live *c, enum run_outcome outcome, enum err e)
{
    struct run *r = &c->run;
    r->outcome = outcome;
    r->error = e;
    r->resolve_us = c->up.timing.resolve_us;
    r->connect_us = c->up.timing.connect_us;
    r->tls_us = c->up.timing.tls_us;
    r->first_byte_us = c->up.timing.first_byte_us;
    r->reused = c->up.timing.reused;
    r->response_bytes = (int64_t)c->up.body_bytes;
    r->total_us = (int32_t)(clock_mono_us() - c->started_us);
    recording_add(&c->board->recording, r);
    atomic_fetch_add_explicit(&c->board->calls, 1, memory_order_relaxed);
    if (outcome == RUN_FAILED)
        atomic_fetch_add_explicit(&c->board->failures, 1, memory_order_relaxed);
    if (outcome == RUN_REFUSED)
        atomic_fetch_add_explicit(&c->board->refusals, 1, memory_order_relaxed);
}

static void over(struct live *c, enum run_outcome outcome, enum err e)
{
    c->over = true;
    timer_stop(&c->retry);
    secret_end(&c->rewritten);
    hold_end(c->hold);
    record(c, outcome, e);
    if (c->board->lane)
        intent_over(c->board->lane, &c->intent);
    if (c->renewed)
        prepared_release(c->renewed);
    c->renewed = NULL;
}

static void name_run(struct live *c)
{
    struct run *r = &c->run;
    id_new(r->id, "run_");
    str_copy(r->connection, sizeof r->connection, c->to->row.id);
    str_copy(r->connection_key, sizeof r->connection_key, c->to->row.key);
    str_copy(r->caller, sizeof r->caller, c->caller);
    str_copy(r->token, sizeof r->token, c->token);
    str_copy(r->method, sizeof r->method, c->method);
    r->via = c->via;
    r->started = clock_wall();
    r->host[0] = r->path[0] = 0;
    c->started_us = clock_mono_us();
}

static void describe_target(struct live *c, struct str host, struct str path)
{
    str_copy(c->run.host, sizeof c->run.host, mask_apply(c->to->mask, c->arena, host));
    str_copy(c->run.path, sizeof c->run.path, mask_apply(c->to->mask, c->arena, path));
}

/* ---- a provider in trouble ---- */

/* Of the base URL's host; elsewhere, after a redirect, there is none. */
static struct circuits *circuits_of(const struct live *c)
{
    bool counts = c->to->circuit && c->board->switchboard && c->target.host.p == c->to->base.host.p;
    return counts ? switchboard_config(c->board->switchboard)->circuits : NULL;
}

static void tell_circuit(struct live *c, bool failed)
{
    struct circuits *all = circuits_of(c);
    if (!all || c->told)
        return;
    c->told = true;
    if (circuit_tell(all, c->to->circuit, loop_now(c->board->loop).ms, failed, c->probe))
        log_line(LOG_WARN, "circuit_opened", LOG("connection", c->to->row.id), LOG("host", c->target.host));
}

/* Down, or too slow for anybody: a caller in a hurry proves nothing, and neither does an answer that ends early. */
static bool shows_trouble(const struct live *c, const struct fault *why)
{
    bool hurry = c->total_ms && str_is(str_of(why->subject), "total");
    return why->err == ERR_UPSTREAM_DNS || why->err == ERR_UPSTREAM_CONNECT || why->err == ERR_UPSTREAM_CLOSED ||
           (why->err == ERR_UPSTREAM_TIMEOUT && !hurry);
}

/* ---- the beginning ---- */

static enum err check_headers(const struct live *c, struct fault *why)
{
    if (!c->refuse_override)
        return ERR_NONE;
    for (int i = 0; i < c->from->count; i++)
        if (headers_request(c->from, &c->from->headers[i], &c->to->injections) == HEADER_OVERRIDES)
            return fault(why, ERR_HEADER_REFUSED, c->from->headers[i].name, "caller's header");
    return ERR_NONE;
}

bool live_needs_whole_body(const struct prepared *p, const struct head *from)
{
    return p->whole == SIGN_ANY_BODY || (p->whole == SIGN_FORM_BODY && sign_is_form(head_value(from, STR("content-type"))));
}

static bool takes_body(struct str method)
{
    return str_is(method, "POST") || str_is(method, "PUT") || str_is(method, "PATCH");
}

static enum err rewrite(struct live *c, struct fault *why)
{
    if (!c->to->rewrites || !takes_body(c->method))
        return ERR_NONE;
    if (!c->body_buffered)
        bug("a body that must be rewritten is streamed");
    struct secret whole;
    enum err e = rewrite_body(c->arena, head_value(c->from, STR("content-type")), c->given, &c->to->injections, &whole, why);
    if (e)
        return e;
    secret_end(&c->rewritten);
    c->rewritten = whole;
    c->body = secret_str(c->rewritten);
    c->body_kind = FRAMING_LENGTH;
    c->body_length = c->body.n;
    return ERR_NONE;
}

enum err live_begin(struct live *c, struct str path, struct str query, struct fault *why)
{
    enum err e;
    name_run(c);
    c->given = c->body;
    if (!method_known(c->method))
        e = fault(why, ERR_METHOD_NOT_ALLOWED, c->method, "method");
    else if (!(e = check_headers(c, why)) && !(e = target_resolve(c, path, query, why)) &&
             !(e = target_check_narrowing(c, c->method, &c->target, why)))
        e = rewrite(c, why);
    /* Of a target that was refused, only the host is kept. */
    describe_target(c, c->target.host, e || c->to->secure ? STR("") : c->target.path);
    if (e)
        over(c, RUN_REFUSED, e);
    return e;
}

/* ---- the request ---- */

static void put_header(struct stream *to, struct str name, struct str value)
{
    char *p = stream_room(to, name.n + value.n + 4);
    memcpy(p, name.p, name.n);
    p += name.n;
    *p++ = ':';
    *p++ = ' ';
    if (value.n)
        memcpy(p, value.p, value.n);
    p += value.n;
    *p++ = '\r';
    *p++ = '\n';
    to->out.end += name.n + value.n + 4;
}

static void put_target(struct live *c, struct stream *to)
{
    stream_put(to, c->method);
    stream_put(to, STR(" "));
    stream_put(to, c->target.path);
    char mark = '?';
    if (c->query.n) {
        stream_put(to, STR("?"));
        stream_put(to, c->query);
        mark = '&';
    }
    for (size_t i = 0; i < c->to->injections.count; i++) {
        const struct injection *in = &c->to->injections.at[i];
        if (in->where != INJECT_QUERY)
            continue;
        stream_put(to, (struct str){ &mark, 1 });
        stream_put(to, in->name);
        stream_put(to, STR("="));
        stream_put(to, secret_str(in->value));
        mark = '&';
    }
    stream_put(to, STR(" HTTP/1.1\r\n"));
}

static void put_callers_headers(struct live *c, struct stream *to)
{
    for (int i = 0; i < c->from->count; i++) {
        const struct header *h = &c->from->headers[i];
        if (headers_request(c->from, h, &c->to->injections) == HEADER_PASSES)
            put_header(to, h->name, h->value);
    }
    for (size_t i = 0; i < c->to->header_count; i++)
        if (!head_find(c->from, c->to->headers[i][0]))
            put_header(to, c->to->headers[i][0], c->to->headers[i][1]);
    if (!head_find(c->from, STR("user-agent")))
        put_header(to, STR("User-Agent"), STR("Raccord/" RACCORD_VERSION));
}

/* A second try on another socket has a signature of its own: nonces and counts are good for one request. */
static void put_signature(struct live *c, struct stream *to)
{
    struct fault unused;
    if (c->signature_sent)
        (void)!sign_live(c, &unused); /* it could a moment ago */
    c->signature_sent = true;
    for (size_t i = 0; i < c->to->injections.count; i++)
        if (c->to->injections.at[i].where == INJECT_SIGNED && c->signature->values[i].p)
            put_header(to, c->to->injections.at[i].name, c->signature->values[i]);
}

static void render(struct upstream *u, struct stream *to)
{
    struct live *c = of(u);
    /* The last moment: the next bytes carry the credential. The target was checked when it was made; a target that changed since
     * would be our own mistake. */
    if (!domain_matches(c->to->row.allowed_domain, c->target.host) || !c->up.url || c->up.url != &c->target)
        bug("a credential was about to leave its allowed domain");
    put_target(c, to);
    put_header(to, STR("Host"), c->host);
    put_callers_headers(c, to);
    for (size_t i = 0; i < c->to->injections.count; i++)
        if (c->to->injections.at[i].where == INJECT_HEADER)
            put_header(to, c->to->injections.at[i].name, secret_str(c->to->injections.at[i].value));
    if (c->signature)
        put_signature(c, to);
    if (c->body_kind == FRAMING_CHUNKED) {
        stream_put(to, STR("Transfer-Encoding: chunked\r\n"));
    } else if (c->body_kind == FRAMING_LENGTH || takes_body(c->method)) {
        char digits[STR_U64_MAX];
        put_header(to, STR("Content-Length"),
                   (struct str){ digits, str_put_u64(digits, c->body_kind == FRAMING_LENGTH ? c->body_length : 0) });
    }
    stream_put(to, STR("\r\n"));
    c->run.request_bytes = 0;
}

static void on_writable(struct upstream *u)
{
    struct live *c = of(u);
    if (!c->body_buffered) {
        c->wrote_streamed = true;
        c->writable(c);
        return;
    }
    size_t sent = (size_t)c->run.request_bytes;
    size_t taken = upstream_write(u, str_sub(c->body, sent, c->body.n));
    c->run.request_bytes += (int64_t)taken;
    if ((size_t)c->run.request_bytes == c->body.n)
        upstream_write_end(u);
}

/* A redirect may have turned the request into one without a body (RFC 9110 15.4.4) while the caller still sends: on the wire these
 * bytes would be a request of their own. */
static bool wants_body(const struct live *c) { return c->body_kind != FRAMING_NONE && !c->over; }

size_t live_write(struct live *c, struct str span)
{
    if (!wants_body(c))
        return span.n;
    size_t taken = upstream_write(&c->up, span);
    c->run.request_bytes += (int64_t)taken;
    return taken;
}

void live_write_end(struct live *c)
{
    if (wants_body(c))
        upstream_write_end(&c->up);
}

/* ---- again: redirects and retries ---- */

static bool replayable(const struct live *c) { return c->body_kind == FRAMING_NONE || c->body_buffered; }

static void dial_again(struct live *c);

static void retry_due(struct timer *t) { dial_again(list_entry(t, struct live, retry)); }

/* Requirement 20.1: what may be sent twice, within the budget of its connection. Asked last: the budget is spent by asking. */
static bool may_retry(struct live *c)
{
    struct circuits *all = circuits_of(c);
    bool harmless = idempotent(c->method) || head_find(c->from, STR("idempotency-key"));
    return c->retries > 0 && harmless && replayable(c) && (!all || circuit_may_retry(all, c->to->circuit));
}

static void retry_later(struct live *c, int64_t least_ms)
{
    int64_t most =
        RETRY_FIRST_MS << (c->board->switchboard ? switchboard_config(c->board->switchboard)->limits.retries - c->retries : 0);
    uint16_t dice;
    c->retries--;
    random_bytes(&dice, sizeof dice);
    most = most < RETRY_MOST_MS ? most : RETRY_MOST_MS;
    timer_set(c->board->loop, &c->retry, least_ms + most * dice / 65536, retry_due); /* full jitter */
}

static int64_t time_left(const struct live *c, bool *limited);

/* A provider that is too busy may say for how long. False: not worth it, or not within the call's time. */
static bool retry_answer(struct live *c, const struct head *h)
{
    static const int worth[] = { 429, 502, 503, 504 };
    bool limited, busy = false;
    for (size_t i = 0; i < COUNT(worth); i++)
        busy = busy || h->status == worth[i];
    int64_t left = time_left(c, &limited), wait = head_retry_after(head_value(h, STR("retry-after")), clock_wall());
    if (!busy || wait > RETRY_AFTER_MOST_MS || (limited && wait >= left) || !may_retry(c))
        return false;
    upstream_cancel(&c->up);
    retry_later(c, wait);
    return true;
}

/* RFC 9110 15.4: what the next request is. False: hand the answer back. */
static bool redirect(struct live *c, const struct head *h)
{
    struct str location = head_value(h, STR("location"));
    struct url next;
    struct fault unused;
    int s = h->status;
    if (!c->to->follow_redirects || !location.n || (s != 301 && s != 302 && s != 303 && s != 307 && s != 308))
        return false;
    if (c->redirects >= REDIRECTS_MAX || url_resolve(c->arena, &c->target, location, &next, &unused))
        return false;
    /* Outside the allowed domain, to another port, or from https to http: the caller gets the answer and decides; nothing of ours
     * goes there. */
    if ((c->target.https && !next.https) || target_check(c, &next, &unused))
        return false;
    bool to_get = s == 303 ? !str_is(c->method, "HEAD") : (s == 301 || s == 302) && str_is(c->method, "POST");
    if (!to_get && !replayable(c))
        return false;
    if (target_check_narrowing(c, to_get ? STR("GET") : c->method, &next, &unused))
        return false;
    if (to_get) {
        c->method = STR("GET");
        c->body_kind = FRAMING_NONE;
        c->body = STR_NONE;
        c->body_buffered = false;
    }
    c->redirects++;
    c->query = next.query.p ? rewrite_query(c->arena, next.query, &c->to->injections) : STR_NONE;
    c->target = next;
    c->target.query = STR_NONE;
    return true;
}

/* ---- a token that is over ---- */

static void give_up(struct live *c, const struct fault *why)
{
    over(c, err_row(why->err)->blame == BLAME_POLICY ? RUN_REFUSED : RUN_FAILED, why->err);
    c->failed(c, why);
}

/* From here the call is the new one's; its owner keeps the old one, whose texts the target points into. */
static void got_token(void *who, struct prepared *to, const struct fault *why)
{
    struct live *c = who;
    struct fault flaw;
    c->await = NULL;
    timer_stop(&c->retry);
    if (!to) {
        give_up(c, why);
        return;
    }
    prepared_release(c->renewed);
    c->renewed = c->to = to;
    c->challenged = false; /* its signer knows no nonce yet */
    if (to->secure)
        c->run.path[0] = 0;
    /* A policy, or the connection's own settings, may have changed while it waited. */
    if (target_check(c, &c->target, &flaw) || target_check_narrowing(c, c->method, &c->target, &flaw) || rewrite(c, &flaw))
        give_up(c, &flaw);
    else
        dial_again(c);
}

static void token_late(struct timer *t)
{
    struct live *c = list_entry(t, struct live, retry);
    struct fault why;
    await_leave(c->await);
    c->await = NULL;
    fault(&why, ERR_UPSTREAM_TIMEOUT, STR("token"), "a renewal takes longer than the call may");
    give_up(c, &why);
}

static void await_token(struct live *c, enum renewal_cause cause)
{
    bool limited;
    int64_t left = time_left(c, &limited);
    timer_set(c->board->loop, &c->retry, limited && left < TOKEN_MOST_MS ? left : TOKEN_MOST_MS, token_late);
    c->await = await_start(c->board, c->to, cause, got_token, c);
}

static bool token_over(const struct live *c)
{
    return c->to->renews && (!c->to->generation || (c->to->ends_us && c->to->ends_us <= clock_mono_us()));
}

/* The provider refused the token. What cannot be sent again has its answer, and the next call a new token. True: the caller does
 * not get this answer. */
static bool token_refused(struct live *c)
{
    c->refused = true;
    if (replayable(c)) {
        await_token(c, RENEWAL_REFUSED);
        return true;
    }
    renewals_ask(switchboard_renewals(c->board->switchboard), c->to->row.id, c->to->generation, RENEWAL_REFUSED, NULL);
    return false;
}

/* True: this answer waits, or another one will come. */
static bool judge(struct live *c, const struct head *h, const struct framing *f)
{
    enum hold_verdict v = hold_judge(&c->to->expired, h->status);
    if (v == HOLD_NO)
        return false;
    if (v == HOLD_LOOK_AT_BODY && f->kind != FRAMING_NONE) {
        c->hold = hold_new(c->arena, h, f);
        return true;
    }
    if (v == HOLD_LOOK_AT_BODY || !token_refused(c))
        return false;
    upstream_cancel(&c->up);
    return true;
}

/* ---- the answer ---- */

/* The provider asks for another signature: once, and only what can be sent again. True: the answer is dealt with. */
static bool met_challenge(struct live *c, const struct head *h)
{
    struct fault why;
    bool again = false;
    if (c->challenged || !c->to->method->challenged || !replayable(c))
        return false;
    enum err e = c->to->method->challenged(c->to->signer, c->signature, c->host, h->status, h, &again, &why);
    if (!e && !again)
        return false;
    c->challenged = true;
    upstream_cancel(&c->up);
    if (e)
        give_up(c, &why);
    else
        dial_again(c);
    return true;
}

static void finish(struct live *c)
{
    over(c, c->run.status >= 400 ? RUN_PROVIDER_ERROR : RUN_SUCCESS, ERR_NONE);
    c->end(c);
}

/* What was held back goes to the caller, as fast as it takes it. True: all of it has gone. */
static bool let_go(struct live *c)
{
    struct hold *h = c->hold;
    if (!h->let_go) {
        h->let_go = true;
        c->run.status = h->head.status;
        c->head(c, &h->head, &h->framing);
    }
    while (!c->over && hold_left(h).n) {
        size_t taken = c->got(c, hold_left(h));
        h->given += taken;
        if (!taken)
            return false;
    }
    return !c->over;
}

void live_resume(struct live *c)
{
    if (c->over)
        return;
    if (c->hold && c->hold->let_go && !let_go(c))
        return;
    if (c->hold && c->hold->ended)
        finish(c);
    else
        upstream_resume(&c->up);
}

static void on_head(struct upstream *u, const struct head *h, const struct framing *f)
{
    struct live *c = of(u);
    if (c->to->signer && met_challenge(c, h))
        return;
    if (c->to->renews && !c->refused && judge(c, h, f))
        return;
    tell_circuit(c, h->status == 502 || h->status == 503 || h->status == 504);
    if (retry_answer(c, h))
        return;
    if (redirect(c, h)) {
        upstream_cancel(u);
        dial_again(c);
        return;
    }
    c->run.status = h->status;
    c->head(c, h, f);
}

static size_t on_body(struct upstream *u, struct str span)
{
    struct live *c = of(u);
    if (!c->hold)
        return c->got(c, span);
    if (hold_add(c->hold, span))
        return span.n;
    if (!let_go(c))
        return c->over ? span.n : 0;
    return c->got(c, span);
}

static void on_end(struct upstream *u)
{
    struct live *c = of(u);
    if (c->hold && !c->hold->let_go && hold_says_over(c->hold, c->arena, &c->to->expired) && token_refused(c)) {
        hold_end(c->hold);
        c->hold = NULL;
        return;
    }
    if (c->hold) {
        c->hold->ended = true;
        if (!let_go(c))
            return;
    }
    finish(c);
}

static void on_failed(struct upstream *u, const struct fault *why)
{
    struct live *c = of(u);
    bool before_sending = why->err == ERR_UPSTREAM_CONNECT || why->err == ERR_UPSTREAM_DNS;
    if (shows_trouble(c, why))
        tell_circuit(c, true);
    if (!c->run.status && err_row(why->err)->retryable && (before_sending || !c->wrote_streamed) && may_retry(c)) {
        retry_later(c, 0);
        return;
    }
    give_up(c, why);
}

bool live_passes(const struct live *c, const struct head *h, const struct header *header)
{
    /* An answer that echoes the credential in a header is not to spread it. */
    return headers_response(h, header) && !mask_hits(c->to->mask, header->value) &&
           !(c->signature && sign_echoed(c->signature, header->value));
}

/* ---- life ---- */

static int64_t time_left(const struct live *c, bool *limited)
{
    int64_t own = c->to->connector->times.total_ms, all = switchboard_config(c->board->switchboard)->limits.total_ms;
    int64_t most = c->total_ms ? c->total_ms : own ? own : all;
    *limited = most != 0;
    return most ? most - (clock_mono_us() - c->started_us) / 1000 : 0;
}

static void dial_again(struct live *c)
{
    bool limited;
    struct fault why;
    int64_t left = time_left(c, &limited);
    if (limited && left <= 0) {
        fault(&why, ERR_UPSTREAM_TIMEOUT, STR("total"), "between tries");
        give_up(c, &why);
        return;
    }
    struct circuits *circuits = circuits_of(c);
    if (circuits && !c->probe && circuit_enter(circuits, c->to->circuit, loop_now(c->board->loop).ms, &c->probe, &why)) {
        fault(&why, ERR_CIRCUIT_OPEN, c->target.host, "most of the last calls failed");
        give_up(c, &why);
        return;
    }
    c->told = false;
    bool at_base = c->target.host.p == c->to->base.host.p; /* the common case: the texts are there already */
    c->host = at_base ? c->to->authority : url_authority(c->arena, &c->target);
    if (c->to->signer) {
        c->signature_sent = false;
        if (sign_live(c, &why)) {
            give_up(c, &why);
            return;
        }
    }
    hold_end(c->hold);
    c->hold = NULL;
    bool streamed = c->body_kind != FRAMING_NONE && !c->body_buffered;
    bool has_body = streamed || (c->body_kind == FRAMING_LENGTH && c->body.n);
    c->up = (struct upstream){
        .owner = c->board->upstreams, .pool = c->to->pool, .tls = c->to->tls, .url = &c->target, .times = &c->to->connector->times,
        .host = at_base ? c->target.host : arena_str(c->arena, c->target.host),
        .head_request = str_is(c->method, "HEAD"), .chunked = c->body_kind == FRAMING_CHUNKED,
        .safe_to_retry = idempotent(c->method) && !streamed, .total_ms = left, .total_covers_body = c->total_covers_body,
        .render = render, .writable = has_body ? on_writable : NULL, .head = on_head, .body = on_body, .end = on_end,
        .failed = on_failed,
    };
    upstream_start(&c->up);
}

/* ---- no audit, no secret ---- */

static void dial_first(struct live *c)
{
    if (token_over(c))
        await_token(c, RENEWAL_EXPIRED);
    else
        dial_again(c);
}

static void not_recorded(struct live *c)
{
    struct fault why;
    fault(&why, ERR_AUDIT_UNAVAILABLE, STR(""), "no sink took the record in time");
    over(c, RUN_FAILED, ERR_AUDIT_UNAVAILABLE);
    c->failed(c, &why);
}

static void intent_back(struct intent *i, bool durable)
{
    struct live *c = list_entry(i, struct live, intent);
    if (durable)
        dial_first(c);
    else
        not_recorded(c);
}

void live_start(struct live *c)
{
    c->started = true;
    if (!c->board->lane) {
        dial_first(c);
        return;
    }
    c->intent.back = intent_back;
    intent_write(c->board->lane, &c->intent, &c->run);
}

void live_cancel(struct live *c, enum err e)
{
    if (c->over || !c->started)
        return;
    if (c->intent.waits)
        intent_leave(&c->intent); /* nothing was dialled yet */
    else if (c->await)
        await_leave(c->await); /* nothing is dialled now */
    else
        upstream_cancel(&c->up);
    over(c, e == ERR_CANCELLED ? RUN_CANCELLED : RUN_FAILED, e);
}
