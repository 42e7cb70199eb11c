#include "proxy/proxy.h"

#include <stdlib.h>

#include "call/live.h"
#include "call/rewrite.h"
#include "proxy/decisions.h"

#define RECHECK_MS 300   /* how often running calls are looked over for rights that were withdrawn (requirement 16.4) */
#define KEPT_BODY (64 * 1024) /* bytes of a body that is kept for a second try */

struct proxy {
    struct proxy_config config;
    const struct address_ranges *trusted;
    struct decisions *decisions;
    struct list running; /* calls in progress */
    struct timer recheck;
    bool rechecking;     /* the timer is set */
};

/* One request on its way through. Lives in the exchange's arena. */
struct passage {
    struct live live;
    struct proxy *proxy;
    struct exchange *exchange; /* NULL once the caller has left */
    struct pass *pass;
    struct prepared *to;
    wall_ms until;             /* when the right ends that it began with; 0: it does not by itself */
    struct list in_running;
    struct question question;  /* whether it may, or still may */
    struct str token, name, path, query;
    struct address source;     /* where the caller is, behind proxies that are trusted too */
    uint64_t body_seen;
    struct buf body;           /* only when the whole must be there first */
    bool streams_body, answered;
    struct loop_job again;
};

static struct passage *of(struct live *c) { return list_entry(c, struct passage, live); }

/* ---- refusing ---- */

static void passage_end(struct passage *p)
{
    if (p->in_running.next)
        list_remove(&p->in_running);
    question_drop(&p->question);
    buf_end(&p->body);
    prepared_release(p->to);
    pass_release(p->pass);
    p->to = NULL;
    p->pass = NULL;
    p->exchange = NULL;
}

static void refuse(struct passage *p, const struct fault *why)
{
    struct exchange *x = p->exchange;
    struct proxy *proxy = p->proxy;
    struct fault copy = *why;
    struct pass *pass = p->pass; /* held until the refusal is told */
    char id[ID_SIZE];
    str_copy(id, sizeof id, str_of(p->live.run.id));
    struct proxy_refusal what = { .run_id = str_of(id), .connection = p->name };
    if (pass) {
        what.caller = pass->caller.principal;
        what.caller_name = pass->caller.name;
        what.token = pass->caller.token;
    }
    p->pass = NULL;
    passage_end(p);
    if (exchange_started(x))
        exchange_abort(x); /* half an answer is out: it must not look whole */
    else
        proxy->config.refuse(x, &copy, &what, proxy->config.context);
    pass_release(pass);
}

static void refuse_with(struct passage *p, enum err e, struct str subject, const char *note)
{
    struct fault why;
    fault(&why, e, subject, "%s", note);
    refuse(p, &why);
}

/* ---- the answer, back to the caller ---- */

static void on_head(struct live *c, const struct head *h, const struct framing *f)
{
    struct passage *p = of(c);
    struct exchange *x = p->exchange;
    exchange_status(x, h->status, h->reason);
    for (int i = 0; i < h->count; i++)
        if (live_passes(c, h, &h->headers[i]))
            exchange_header(x, h->headers[i].name, h->headers[i].value);
    exchange_header(x, STR("Raccord-Run"), str_of(c->run.id));
    /* To HEAD: the length that GET would have, when the provider tells it; none when it does not. */
    if (h->status == 204 || h->status == 304 || (f->kind == FRAMING_NONE && !head_find(h, STR("content-length"))))
        exchange_body(x, FRAMING_NONE, 0);
    else if (f->kind == FRAMING_LENGTH || f->kind == FRAMING_NONE)
        exchange_body(x, FRAMING_LENGTH, f->length);
    else
        exchange_body(x, FRAMING_CHUNKED, 0);
    p->answered = true;
}

static size_t on_body(struct live *c, struct str span) { return exchange_write(of(c)->exchange, span); }

static void on_drained(struct exchange *x)
{
    struct passage *p = exchange_user(x);
    if (p)
        live_resume(&p->live);
}

static void on_end(struct live *c)
{
    struct passage *p = of(c);
    struct exchange *x = p->exchange;
    passage_end(p);
    exchange_end(x);
}

static void on_failed(struct live *c, const struct fault *why) { refuse(of(c), why); }

static void on_gone(struct exchange *x)
{
    struct passage *p = exchange_user(x);
    if (!p)
        return;
    live_cancel(&p->live, ERR_CANCELLED);
    passage_end(p);
}

/* ---- the request's body, towards the provider ---- */

static bool too_long(struct passage *p, size_t more)
{
    p->body_seen += more;
    return p->proxy->config.body_max && p->body_seen > (uint64_t)p->proxy->config.body_max;
}

static void refuse_length(struct passage *p, int64_t max)
{
    char limit[32];
    snprintf(limit, sizeof limit, "%lld bytes", (long long)max);
    live_cancel(&p->live, ERR_BODY_TOO_LARGE);
    refuse_with(p, ERR_BODY_TOO_LARGE, str_of(limit), "proxied body");
}

static size_t pass_body(struct exchange *x, struct str span, bool end)
{
    struct passage *p = exchange_user(x);
    if (end) {
        live_write_end(&p->live);
        return 0;
    }
    size_t taken = live_write(&p->live, span);
    if (too_long(p, taken)) {
        refuse_length(p, p->proxy->config.body_max);
        return span.n;
    }
    return taken;
}

/* The provider takes more. The first time: start reading the caller's body. */
static void on_writable(struct live *c)
{
    struct passage *p = of(c);
    if (!p->streams_body) {
        p->streams_body = true;
        exchange_read(p->exchange, pass_body);
        return;
    }
    exchange_resume(p->exchange);
}

static void start_call(struct passage *p);

static size_t gather_body(struct exchange *x, struct str span, bool end)
{
    struct passage *p = exchange_user(x);
    if (end) {
        start_call(p);
        return 0;
    }
    buf_add(&p->body, span);
    if (buf_failed(&p->body))
        refuse_length(p, (int64_t)p->body.max);
    return span.n;
}

/* ---- starting ---- */

static bool wish(const struct head *h, struct str name, struct str *value)
{
    *value = head_value(h, name);
    return value->n > 0;
}

/* Raccord-Timeout, Raccord-Retries: less, or more within the limits. */
static enum err read_wishes(struct passage *p, struct fault *why)
{
    const struct head *h = exchange_head(p->exchange);
    const struct call_limits *limits = &switchboard_config(p->proxy->config.board->switchboard)->limits;
    struct str value;
    if (wish(h, STR("raccord-timeout"), &value)) {
        int64_t ms;
        if (!duration_parse(value, &ms) || ms < 1)
            return fault(why, ERR_INPUT_INVALID, STR("Raccord-Timeout takes a duration such as 5s or 500ms"), "wish");
        int64_t own = p->to->connector->times.total_ms, most = own ? own : limits->total_ms;
        p->live.total_ms = most && ms > most ? most : ms;
        p->live.total_covers_body = true;
    }
    if (wish(h, STR("raccord-retries"), &value)) {
        uint64_t n;
        if (!str_u64(value, &n))
            return fault(why, ERR_INPUT_INVALID, STR("Raccord-Retries takes a number"), "wish");
        p->live.retries = n > (uint64_t)limits->retries ? limits->retries : (int)n;
    }
    return ERR_NONE;
}

static void keep_in_sight(struct passage *p);

/* What must be there first; and what is small and may have to go a second time: with the next token, or as the caller wishes. */
static bool gathers(const struct passage *p, const struct framing *f)
{
    return live_needs_whole_body(p->to, exchange_head(p->exchange)) ||
           ((p->to->renews || head_find(exchange_head(p->exchange), STR("raccord-retries"))) && f->kind == FRAMING_LENGTH &&
            f->length <= KEPT_BODY);
}

/* Who calls, and what of calls is left to them: texts of the pass, which the passage holds. */
static void lend_pass(struct passage *p)
{
    p->live.caller = p->pass->caller.principal;
    p->live.token = p->pass->caller.token;
    p->live.narrow = &p->pass->caller.narrow;
}

static void start_call(struct passage *p)
{
    struct exchange *x = p->exchange;
    const struct framing *f = exchange_framing(x);
    bool whole = gathers(p, f);
    p->source = address_of_client(exchange_head(x), exchange_peer(x), p->proxy->trusted);
    struct fault why;
    p->live = (struct live){
        .board = p->proxy->config.board,
        .to = p->to,
        .arena = exchange_arena(x),
        .source = &p->source,
        .via = RUN_PROXY,
        .method = exchange_head(x)->method,
        .from = exchange_head(x),
        .body_kind = whole && f->kind != FRAMING_NONE ? FRAMING_LENGTH : f->kind,
        .body_length = whole ? p->body.n : f->length,
        .body_buffered = whole || f->kind == FRAMING_NONE || (f->kind == FRAMING_LENGTH && !f->length),
        .body = whole ? buf_str(&p->body) : STR_NONE,
        .writable = on_writable,
        .head = on_head,
        .got = on_body,
        .end = on_end,
        .failed = on_failed,
    };
    lend_pass(p);
    if (read_wishes(p, &why) || live_begin(&p->live, p->path, p->query, &why)) {
        refuse(p, &why);
        return;
    }
    exchange_on_drained(x, on_drained);
    keep_in_sight(p);
    live_start(&p->live);
}

static void decided(struct passage *p)
{
    const struct framing *f = exchange_framing(p->exchange);
    int64_t max = p->proxy->config.body_max;
    if (p->pass->caller.expires && p->pass->caller.expires <= clock_wall()) {
        refuse_with(p, ERR_TOKEN_EXPIRED, STR(""), "remembered token");
        return;
    }
    if (max && f->kind == FRAMING_LENGTH && f->length > (uint64_t)max) {
        refuse_length(p, max);
        return;
    }
    if (f->kind != FRAMING_NONE && gathers(p, f)) {
        buf_init(&p->body, p->to->whole_max > KEPT_BODY ? p->to->whole_max : KEPT_BODY);
        exchange_read(p->exchange, gather_body);
        return;
    }
    start_call(p);
}

/* ---- who may ---- */

static void gone_while_asking(struct exchange *x) { passage_end(exchange_user(x)); }

static void enter_with(struct passage *p, const struct decision *d)
{
    p->pass = pass_keep(d->pass);
    p->to = prepared_keep(d->to);
    p->until = d->until;
    exchange_on_gone(p->exchange, on_gone);
    decided(p);
}

static void on_told(struct question *q, const struct decision *d, const struct fault *refusal)
{
    struct passage *p = list_entry(q, struct passage, question);
    if (!refusal) {
        enter_with(p, d);
        return;
    }
    exchange_on_gone(p->exchange, on_gone);
    p->pass = d->pass ? pass_keep(d->pass) : NULL; /* who it was, if that much is known */
    refuse(p, refusal);
}

static void ask(struct passage *p)
{
    struct fault why;
    p->question.told = on_told;
    exchange_on_gone(p->exchange, gone_while_asking);
    if (decisions_ask(p->proxy->decisions, p->token, p->name, &p->question, &why)) {
        exchange_on_gone(p->exchange, NULL);
        refuse(p, &why);
    }
}

/* ---- rights that are withdrawn while a call runs ---- */

/* When nobody can say (the database is away), what began with a right goes on. */
static bool is_refusal(enum err e)
{
    int status = err_row(e)->status;
    return status == 401 || status == 403 || status == 404;
}

static void told_again(struct question *q, const struct decision *d, const struct fault *refusal)
{
    struct passage *p = list_entry(q, struct passage, question);
    if (refusal && is_refusal(refusal->err)) {
        live_cancel(&p->live, refusal->err);
        refuse(p, refusal);
        return;
    }
    if (refusal)
        return;
    struct pass *before = p->pass;
    p->pass = pass_keep(d->pass);
    p->until = d->until;
    lend_pass(p); /* a call that waits for its token is judged by what is left of the rights when that comes */
    pass_release(before);
}

/* Same token, same connection: may it still? */
static void ask_again(struct passage *p)
{
    struct fault why;
    p->question.told = told_again;
    if (decisions_ask(p->proxy->decisions, p->token, p->to->row.id, &p->question, &why))
        return; /* too many questions at once: the next round asks */
}

static void set_recheck(struct proxy *proxy);

static void recheck(struct timer *t)
{
    struct proxy *proxy = list_entry(t, struct proxy, recheck);
    wall_ms now = clock_wall();
    proxy->rechecking = false;
    list_each (node, &proxy->running) {
        struct passage *p = list_entry(node, struct passage, in_running);
        bool withdrawn = atomic_load_explicit(&p->pass->stale, memory_order_acquire) || (p->until && p->until <= now);
        if (withdrawn && !question_waits(&p->question))
            ask_again(p);
    }
    if (!list_empty(&proxy->running))
        set_recheck(proxy);
}

static void set_recheck(struct proxy *proxy)
{
    proxy->rechecking = true;
    timer_set(proxy->config.board->loop, &proxy->recheck, RECHECK_MS, recheck);
}

/* One timer for all, that outlives most calls: nothing is asked for one that is quickly over. */
static void keep_in_sight(struct passage *p)
{
    list_push_back(&p->proxy->running, &p->in_running);
    if (!p->proxy->rechecking)
        set_recheck(p->proxy);
}

/* ---- entering ---- */

static bool bearer(const struct head *h, struct str *token)
{
    struct str value = head_value(h, STR("authorization"));
    if (!str_istarts(value, STR("bearer ")))
        return false;
    *token = str_trim(str_sub(value, 7, value.n));
    return true;
}

/* Several Authorization headers could be read as one or the other. */
static bool authorization_twice(const struct head *h)
{
    int n = 0;
    for (int i = 0; i < h->count; i++)
        n += str_ieq(h->headers[i].name, STR("authorization"));
    return n > 1;
}

void proxy_enter(struct proxy *proxy, struct exchange *x)
{
    const struct head *h = exchange_head(x);
    struct passage *p = arena_zero(exchange_arena(x), sizeof *p);
    p->proxy = proxy;
    p->exchange = x;
    exchange_set_user(x, p);
    struct str rest = str_sub(h->path, sizeof "/proxy/" - 1, h->path.n);
    size_t slash = str_find(rest, '/');
    p->name = str_sub(rest, 0, slash < rest.n ? slash : rest.n);
    p->path = str_sub(rest, p->name.n, rest.n); /* with its slash: here a path is never taken for a URL */
    p->query = h->query;
    if (authorization_twice(h)) {
        refuse_with(p, ERR_REQUEST_INVALID, STR("two Authorization headers"), "authorization");
        return;
    }
    if (!bearer(h, &p->token)) {
        refuse_with(p, ERR_UNAUTHENTICATED, STR(""), "no bearer token");
        return;
    }
    if (!p->name.n || p->name.n > 128) {
        refuse_with(p, ERR_CONNECTION_NOT_FOUND, p->name, "connection name");
        return;
    }
    const struct decision *d = decisions_recall(proxy->decisions, p->token, p->name);
    if (d)
        enter_with(p, d);
    else
        ask(p);
}

struct proxy *proxy_new(const struct proxy_config *c)
{
    struct proxy *p = mem_zero(sizeof *p);
    p->config = *c;
    p->decisions = decisions_new(c->board);
    list_init(&p->running);
    return p;
}

void proxy_trust(struct proxy *p, const struct address_ranges *trusted) { p->trusted = trusted; }

void proxy_forget(struct proxy *p) { decisions_forget(p->decisions); }

void proxy_free(struct proxy *p)
{
    if (!p)
        return;
    timer_stop(&p->recheck);
    decisions_free(p->decisions);
    free(p);
}
