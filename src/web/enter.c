#include "web/enter.h"

#include <stdlib.h>

#include "access/session.h"
#include "access/token.h"
#include "access/user.h"
#include "base/log.h"
#include "call/switchboard.h"
#include "crypto/hash.h"
#include "crypto/jwt.h"
#include "http/status.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/doorman.h"
#include "web/idempotency.h"
#include "web/form.h"
#include "web/language.h"
#include "web/limit_hits.h"

#define REPLY_SLACK (1024 * 1024) /* bytes of a reply over the largest provider's answer */

/* One request of the API, while a worker has it. Has an arena of its own: the caller may leave meanwhile, and the exchange with it.
 */
struct visit {
    struct work work;
    struct loop_job back;
    struct arena *arena;
    struct entrance *entrance;
    struct exchange *exchange;    /* NULL once the caller has left; loop thread only */
    struct loop *loop;
    const struct route *route;
    struct head head;
    struct buf body;
    struct web_request q;
    struct reply reply;
    unsigned asked;               /* rights of folders that the handler asked for */
    bool query_known;             /* it said which query parameters it takes */
    char client[ADDRESS_TEXT], network[DOORMAN_NETWORK];
    enum err err;
    struct fault why;
};

/* ---- refusals ---- */

static const struct {
    const char *name;
    unsigned method;
} methods[] = {
    { "GET", METHOD_GET }, { "POST", METHOD_POST }, { "PUT", METHOD_PUT }, { "PATCH", METHOD_PATCH },
    { "DELETE", METHOD_DELETE }, { "HEAD", METHOD_HEAD }, { "OPTIONS", METHOD_OPTIONS },
};

/* RFC 9110 15.5.6: a 405 names the methods that are taken. */
static void write_allow(struct exchange *x, unsigned allow)
{
    AUTO_BUF list;
    buf_init(&list, 128);
    for (size_t i = 0; i < COUNT(methods); i++)
        if (allow & methods[i].method)
            buf_fmt(&list, list.n ? ", %s" : "%s", methods[i].name);
    exchange_header(x, STR("Allow"), buf_str(&list));
}

/* RFC 9110 10.2.3. A refused attempt says how long to wait, for people: "42 s", "15 min". */
static void write_wait(struct exchange *x, const struct fault *why)
{
    char said[24];
    char *unit;
    long wait = strtol(why->subject, &unit, 10);
    if (wait <= 0 || wait > 24 * 60)
        return;
    int n = snprintf(said, sizeof said, "%ld", unit[0] && unit[1] == 'm' ? wait * 60 : wait);
    exchange_header(x, STR("Retry-After"), (struct str){ said, (size_t)n });
}

/* In the language that the request asks for, else in `lang`. */
static void answer_problem_in(enum language lang, struct exchange *x, const struct entrance *in, const struct fault *why,
                              struct str run_id, struct str more, unsigned allow)
{
    const struct err_row *row = err_row(why->err);
    AUTO_BUF body;
    buf_init(&body, 16 * 1024 + more.n);
    language_wanted(exchange_head(x), &lang);
    limit_hit_problem(in->hub->limit_hits, why, str_starts(exchange_head(x)->path, STR("/proxy/")));
    problem_write(&body, why, lang, run_id, in->hub->public_url);
    if (more.n > 2 && body.n) {
        body.p[body.n - 1] = ',';
        buf_add(&body, str_sub(more, 1, more.n));
    }
    /* 499 is for records: nobody is there to read it. */
    exchange_status(x, row->status, STR_NONE);
    exchange_header(x, STR("Content-Type"), STR("application/problem+json"));
    exchange_header(x, STR("Cache-Control"), STR("no-store"));
    doorman_headers(x, in->hub->public_is_https);
    exchange_header(x, STR("Raccord-Error"), str_of(row->code));
    if (run_id.n)
        exchange_header(x, STR("Raccord-Run"), run_id);
    if (row->status == 401)
        exchange_header(x, STR("WWW-Authenticate"), STR("Bearer realm=\"raccord\""));
    if (row->status == 405)
        write_allow(x, allow);
    if (row->status == 503)
        exchange_header(x, STR("Retry-After"), STR("1"));
    if (why->err == ERR_RATE_LIMITED)
        write_wait(x, why);
    exchange_body(x, FRAMING_LENGTH, body.n);
    struct str rest = buf_str(&body);
    size_t taken = exchange_write(x, rest);
    if (taken < rest.n)
        exchange_abort(x); /* a problem is small: a socket that takes none of it is gone */
    else
        exchange_end(x);
}

static void answer_problem(struct exchange *x, const struct entrance *in, const struct fault *why, struct str run_id)
{
    answer_problem_in(LANG_EN, x, in, why, run_id, STR_NONE, METHOD_ANY); /* what the proxy takes: it alone refuses methods here */
}

void entrance_refuse(struct exchange *x, enum err e, const char *detail, void *context)
{
    struct fault why;
    fault(&why, e, str_of(detail), "http");
    answer_problem(x, context, &why, STR_NONE);
}

/* On the loop: noted now, written by the audit log's own thread. */
static void note_refusal(struct exchange *x, const struct entrance *in, const struct fault *why, const struct proxy_refusal *what)
{
    char peer[ADDRESS_TEXT];
    struct audit_entry entry = {
        .actor = what->caller, .actor_name = what->caller_name, .via = what->token, .action = STR("connection.call"),
        .object = what->connection, .client = str_of(address_format(exchange_peer(x), peer)), .run = what->run_id,
        .outcome = AUDIT_REFUSED, .code = str_of(err_row(why->err)->code),
    };
    refusals_note(in->hub->refusals, &entry, false, clock_mono());
}

void entrance_refuse_call(struct exchange *x, const struct fault *why, const struct proxy_refusal *what, void *context)
{
    const struct entrance *in = context;
    if (in->hub->refusals && change_is_refusal(why->err))
        note_refusal(x, in, why, what);
    if (log_wanted(LOG_DEBUG))
        log_fault(LOG_DEBUG, "call refused or failed", why);
    answer_problem(x, context, why, what->run_id);
}

static void refuse(struct exchange *x, struct entrance *in, enum err e, struct str subject)
{
    struct fault why;
    fault(&why, e, subject, "entrance");
    answer_problem(x, in, &why, STR_NONE);
}

/* ---- the worker's part ---- */

static void visit_free(struct visit *v)
{
    buf_end(&v->body);
    buf_end(&v->reply.body);
    arena_free(v->arena);
    free(v);
}

static struct str bearer(const struct head *h)
{
    struct str value = head_value(h, STR("authorization"));
    return str_istarts(value, STR("bearer ")) ? str_trim(str_sub(value, 7, value.n)) : STR_NONE;
}

struct touch {
    struct str text;
};

static enum err touch_session(struct db *db, void *context, struct fault *why)
{
    return session_touch(db, ((struct touch *)context)->text, why);
}

/* Requirement 15.5: beside the cookie, a changing request proves that it comes from a page of ours. */
static enum err check_csrf(const struct visit *v, struct fault *why)
{
    struct str sent = head_value(&v->head, STR("x-csrf-token")), wanted = v->q.caller->session_csrf;
    if (v->q.method == METHOD_GET || v->q.method == METHOD_HEAD)
        return ERR_NONE;
    if (sent.n != wanted.n || !wanted.n || !equal_constant_time(sent.p, wanted.p, wanted.n))
        return fault(why, ERR_CSRF, STR(""), "csrf");
    return ERR_NONE;
}

/* Who must have a second factor and signed in without: may set one up, and sign out. */
static bool lacks_second_factor(const struct visit *v)
{
    enum second_factor_policy wanted = v->q.hub->second_factor;
    const struct caller *c = v->q.caller;
    if (!c || !c->session.n || c->how != SESSION_PASSWORD || wanted == SECOND_FACTOR_NONE)
        return false;
    return wanted == SECOND_FACTOR_ALL || role_has(c->role, RIGHT_KEYS);
}

static bool sets_up_second_factor(struct str path)
{
    return str_starts(path, STR("/api/v1/second-factor")) || str_starts(path, STR("/api/v1/session"));
}

/* Requirement 15.9: before anybody was let in, there is the way to become the owner, and health. */
static const char *const before_setup[] = {
    "/", "/setup", "/assets/{name}", "/problems/{code}", "/healthz", "/readyz", "/api/v1/setup"
};

static enum err check_stage(const struct visit *v, struct fault *why)
{
    if (lacks_second_factor(v) && v->route->right != RIGHT_OPEN && !sets_up_second_factor(v->q.path))
        return fault(why, ERR_SECOND_FACTOR_MISSING, STR(""), "the session has no second factor");
    if (v->q.caller || !atomic_load_explicit(&v->q.hub->setup_open, memory_order_relaxed))
        return ERR_NONE;
    for (size_t i = 0; i < COUNT(before_setup); i++)
        if (strcmp(v->route->path, before_setup[i]) == 0)
            return ERR_NONE;
    /* Made meanwhile with the command line, beside this process? Who has a token may need the open doors, too: a browser's way
     * back. */
    int64_t users, tokens = 0;
    enum err e = user_count(v->q.db, &users, why);
    if (!e && !users)
        e = query_number(v->q.db, "SELECT count(*) FROM (SELECT 1 FROM token LIMIT 1) AS any_token", &tokens, why);
    if (e)
        return e;
    if (users)
        atomic_store(&v->q.hub->setup_open, false);
    return users || tokens ? ERR_NONE : fault(why, ERR_SETUP_REQUIRED, STR(""), "no owner yet");
}

static enum err resolve_session(struct visit *v, struct str cookie, struct caller *c, struct fault *why)
{
    bool touch = false;
    struct fault unused;
    enum err e = session_resolve(v->q.db, v->arena, cookie, c, &touch, why);
    if (e)
        return e;
    v->q.caller = c;
    if (touch && store_write(v->q.hub->store, touch_session, &(struct touch){ cookie }, &unused))
        log_fault(LOG_WARN, "a session's last use was not written", &unused);
    return check_csrf(v, why);
}

static void release_pass(void *pass) { pass_release(pass); }

/* A token of an issuer that we believe: checked once, then remembered for a while, as in the proxy. */
static enum err resolve_issued(struct visit *v, struct str token, struct caller *c, struct fault *why)
{
    struct pass *pass;
    enum err e = switchboard_pass(v->q.hub->switchboard, token, &pass, why);
    if (e)
        return e;
    arena_defer(v->arena, release_pass, pass);
    *c = pass->caller;
    if (c->expires && c->expires <= clock_wall())
        return fault(why, ERR_TOKEN_EXPIRED, STR(""), "remembered token");
    return ERR_NONE;
}

/* Fills v->q.caller, or leaves it NULL on an open door. */
static enum err resolve_caller(struct visit *v, struct fault *why)
{
    struct caller *c = arena_zero(v->arena, sizeof *c);
    bool open = v->route->right == RIGHT_OPEN;
    struct str token = bearer(&v->head), cookie = cookie_session(&v->head, v->q.hub);
    enum err e = ERR_NONE;
    if (token.n) {
        e = jwt_looks_like(token) ? resolve_issued(v, token, c, why) : token_resolve(v->q.db, v->arena, token, c, why);
        if (!e)
            v->q.caller = c;
    } else if (cookie.n) {
        e = resolve_session(v, cookie, c, why);
    } else if (!open) {
        e = fault(why, ERR_UNAUTHENTICATED, STR(""), "no credential");
    }
    if (open && e) {
        v->q.caller = NULL;
        return ERR_NONE;
    }
    if (v->q.caller && !language_wanted(&v->head, &v->q.language))
        v->q.language = v->q.caller->language;
    return e;
}

static enum err read_json(struct visit *v, struct fault *why)
{
    if (!v->q.body.n)
        return ERR_NONE;
    struct str type, rest;
    str_cut(head_value(&v->head, STR("content-type")), ';', &type, &rest);
    if (v->route->form)
        return str_ieq(str_trim(type), STR("application/x-www-form-urlencoded"))
                   ? form_read(v->arena, v->q.body, &v->q.json, why)
                   : fault(why, ERR_UNSUPPORTED_MEDIA_TYPE, STR(""), "form");
    if (!str_ieq(str_trim(type), STR("application/json")))
        return fault(why, ERR_UNSUPPORTED_MEDIA_TYPE, STR(""), "body");
    enum err e = json_read(v->arena, v->q.body, &v->q.json, why);
    if (!e && !json_is(v->q.json, JSON_OBJECT))
        e = fault(why, ERR_INPUT_INVALID, STR("the body must be a JSON object"), "body");
    return e;
}

/* A token narrowed to some methods, risks or addresses is so at the hub's own doors too: one that only reads changes nothing here.
 */
static enum err check_narrowing(const struct visit *v, struct fault *why)
{
    static const struct str open = { NULL, 0 };
    const struct caller *c = v->q.caller;
    if (!c || !c->narrow.calls || v->route->right == RIGHT_OPEN)
        return ERR_NONE;
    if (!narrow_permits_address(&c->narrow, v->q.peer.family, v->q.peer.ip))
        return fault(why, ERR_TOKEN_NOT_GRANTED, STR("from this source address"), "%.*s", STR_ARG(c->token));
    return v->route->calls ? ERR_NONE
                           : narrow_check(&c->narrow, v->head.method, open, v->q.peer.family, v->q.peer.ip, why);
}

/* The door's handler, which asks for rights on the object where the door could not. */
static enum err handle(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = q->route->handle(q, r, why);
    if (e || (e = web_query_settled(q, why)))
        return e;
    return route_asked(q->route, q->caller ? *q->caller->asked : 0, why);
}

static enum err serve(struct visit *v, struct fault *why)
{
    enum err e;
    v->q.db = store_reader(v->q.hub->store, why);
    if (!v->q.db)
        return ERR_STORE;
    if (v->entrance->metrics_only)
        return v->route->handle(&v->q, &v->reply, why);
    if (!bearer(&v->head).n && v->q.method != METHOD_GET && (e = doorman_check_origin(v->q.hub->doorman, &v->head, why)))
        return e;
    if ((e = resolve_caller(v, why)) || (e = check_stage(v, why)))
        return e;
    if (v->q.caller)
        v->q.caller->asked = &v->asked;
    if (str_starts(str_of(v->route->path), STR("/api/v1/")))
        v->q.query_known = &v->query_known;
    if ((e = route_open(v->route, v->q.caller, why)) || (e = check_narrowing(v, why)) || (e = read_json(v, why)))
        return e;
    return idempotency_run(&v->q, &v->reply, handle, why);
}

static void come_back(struct loop_job *job);

static void on_worker(struct work *work)
{
    struct visit *v = list_entry(work, struct visit, work);
    v->q.route = v->route;
    v->err = serve(v, &v->why);
    if (!v->entrance->metrics_only)
        change_settle(&v->q, v->err);
    if (!v->err && buf_failed(&v->reply.body))
        v->err = fault(&v->why, ERR_RESPONSE_TOO_LARGE, STR("what the hub may answer at once"), "reply");
    if (v->err && err_row(v->err)->blame == BLAME_HUB)
        log_fault(LOG_ERROR, v->route->path, &v->why);
    v->back.do_it = come_back;
    loop_post(v->loop, &v->back);
}

/* ---- the loop's part ---- */

static void write_reply(struct visit *v)
{
    struct exchange *x = v->exchange;
    struct reply *r = &v->reply;
    exchange_status(x, r->status, STR_NONE);
    if (r->body.n || r->content_type)
        exchange_header(x, STR("Content-Type"), str_of(r->content_type ? r->content_type : "application/json"));
    bool cached = false;
    for (size_t i = 0; i < r->header_count; i++) {
        cached |= str_ieq(r->headers[i][0], STR("cache-control"));
        exchange_header(x, r->headers[i][0], r->headers[i][1]);
    }
    if (!cached)
        exchange_header(x, STR("Cache-Control"), STR("no-store"));
    doorman_headers(x, v->entrance->hub->public_is_https);
    exchange_body(x, r->status == 204 ? FRAMING_NONE : FRAMING_LENGTH, r->body.n);
}

struct outgoing {
    struct visit *visit;
    size_t sent;
};

static void send_more(struct exchange *x)
{
    struct outgoing *o = exchange_user(x);
    struct str body = buf_str(&o->visit->reply.body);
    o->sent += exchange_write(x, str_sub(body, o->sent, body.n));
    if (o->sent < body.n)
        return;
    struct visit *v = o->visit;
    exchange_end(x);
    visit_free(v);
}

static void gone_while_sending(struct exchange *x) { visit_free(((struct outgoing *)exchange_user(x))->visit); }

static void come_back(struct loop_job *job)
{
    struct visit *v = list_entry(job, struct visit, back);
    struct exchange *x = v->exchange;
    if (!x) {
        visit_free(v);
        return;
    }
    exchange_on_gone(x, NULL);
    if (v->err) {
        struct fault why = v->why;
        char run[ID_SIZE];
        str_copy(run, sizeof run, v->reply.run_id);
        struct str more = v->reply.problem.n ? arena_str(exchange_arena(x), v->reply.problem) : STR_NONE;
        struct entrance *in = v->entrance;
        enum language lang = v->q.language; /* the caller's own, when the request asks for none */
        visit_free(v);
        answer_problem_in(lang, x, in, &why, str_of(run), more, METHOD_ANY);
        return;
    }
    struct outgoing *o = arena_zero(exchange_arena(x), sizeof *o);
    o->visit = v;
    write_reply(v);
    exchange_set_user(x, o);
    exchange_on_gone(x, gone_while_sending);
    exchange_on_drained(x, send_more);
    send_more(x);
}

static void gone_while_away(struct exchange *x) { ((struct visit *)exchange_user(x))->exchange = NULL; }

static void hand_over(struct visit *v)
{
    struct fault why;
    struct exchange *x = v->exchange;
    v->q.body = buf_str(&v->body);
    exchange_on_gone(x, gone_while_away);
    v->work.run = on_worker;
    if (workers_post(v->entrance->workers, &v->work, &why)) {
        struct entrance *in = v->entrance;
        exchange_on_gone(x, NULL);
        visit_free(v);
        answer_problem(x, in, &why, STR_NONE);
    }
}

static void gone_while_reading(struct exchange *x) { visit_free(exchange_user(x)); }

static void refuse_length(struct visit *v, int64_t max)
{
    struct exchange *x = v->exchange;
    struct entrance *in = v->entrance;
    char limit[32];
    snprintf(limit, sizeof limit, "%lld bytes", (long long)max);
    exchange_on_gone(x, NULL);
    visit_free(v);
    refuse(x, in, ERR_BODY_TOO_LARGE, str_of(limit));
}

static size_t gather(struct exchange *x, struct str span, bool end)
{
    struct visit *v = exchange_user(x);
    if (end) {
        hand_over(v);
        return 0;
    }
    buf_add(&v->body, span);
    if (buf_failed(&v->body))
        refuse_length(v, (int64_t)v->body.max);
    return span.n;
}

static struct str copy_text(struct arena *a, struct str s) { return s.p ? arena_str(a, s) : STR_NONE; }

/* The exchange may go before the worker is done: what the worker reads is its own copy. */
static void copy_head(struct visit *v, const struct head *h)
{
    struct head *to = &v->head;
    to->method = copy_text(v->arena, h->method);
    to->target = copy_text(v->arena, h->target);
    to->path = copy_text(v->arena, h->path);
    to->query = copy_text(v->arena, h->query);
    to->host = copy_text(v->arena, h->host);
    to->minor = h->minor;
    to->count = h->count;
    for (int i = 0; i < h->count; i++)
        to->headers[i] = (struct header){ copy_text(v->arena, h->headers[i].name), copy_text(v->arena, h->headers[i].value) };
}

static unsigned method_of(struct str name)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (str_is(name, methods[i].name))
            return methods[i].method;
    return 0;
}

static struct visit *visit_new(struct exchange *x, struct entrance *in)
{
    struct visit *v = mem_zero(sizeof *v);
    const struct head *h = exchange_head(x);
    v->arena = arena_new(4096);
    v->entrance = in;
    v->exchange = x;
    v->loop = exchange_loop(x);
    copy_head(v, h);
    unsigned method = method_of(h->method);
    struct address client = doorman_client(in->hub->doorman, h, exchange_peer(x));
    v->q = (struct web_request){
        .hub = in->hub,
        .arena = v->arena,
        .method = method == METHOD_HEAD ? METHOD_GET : method,
        .path = v->head.path,
        .query = v->head.query,
        .head = &v->head,
        .client = str_of(address_format(&client, v->client)),
        .peer = client,
        .network = doorman_network(&client, v->network),
        .is_private = doorman_private(in->hub->doorman, exchange_peer(x), &client),
    };
    language_wanted(&v->head, &v->q.language);
    buf_init(&v->reply.body, (size_t)in->hub->call_response_max * 2 + REPLY_SLACK);
    v->reply.status = 200;
    return v;
}

static void refuse_route(struct visit *v, bool known, unsigned allow)
{
    struct exchange *x = v->exchange;
    struct entrance *in = v->entrance;
    struct fault why;
    fault(&why, known ? ERR_METHOD_NOT_ALLOWED : ERR_NO_SUCH_ROUTE, exchange_head(x)->method, "route");
    visit_free(v);
    answer_problem_in(LANG_EN, x, in, &why, STR_NONE, STR_NONE, allow);
}

void entrance_enter(struct exchange *x, void *context)
{
    struct entrance *in = context;
    const struct head *h = exchange_head(x);
    /* A gateway in front may pass the prefix of the public URL on, or take it off: both work. */
    struct str prefix = in->hub->path_prefix;
    if (prefix.n && str_starts(h->path, prefix) && h->path.n > prefix.n && h->path.p[prefix.n] == '/')
        exchange_strip(x, prefix.n);
    if (atomic_load_explicit(&in->hub->sealed, memory_order_relaxed) && !str_is(h->path, "/healthz") &&
        !str_is(h->path, "/readyz") && !str_is(h->path, "/metrics")) {
        refuse(x, in, ERR_SEALED, STR(""));
        return;
    }
    if (in->metrics_only && !str_is(h->path, "/metrics") && !str_is(h->path, "/healthz")) {
        refuse(x, in, ERR_NO_SUCH_ROUTE, STR(""));
        return;
    }
    if (str_starts(h->path, STR("/proxy/"))) {
        proxy_enter(in->proxy, x);
        return;
    }
    if (!in->metrics_only && !doorman_knows_host(in->hub->doorman, h->host)) {
        refuse(x, in, ERR_MISDIRECTED, STR(""));
        return;
    }
    struct visit *v = visit_new(x, in);
    bool known = false;
    unsigned allow = 0;
    v->route = route_find(v->q.method, v->q.path, v->arena, v->q.params, &v->q.param_count, &known, &allow);
    if (!v->route) {
        refuse_route(v, known, allow);
        return;
    }
    int64_t max = v->route->body_max;
    const struct framing *f = exchange_framing(x);
    buf_init(&v->body, (size_t)max);
    if (f->kind == FRAMING_LENGTH && f->length > (uint64_t)max) {
        refuse_length(v, max);
        return;
    }
    exchange_set_user(x, v);
    exchange_on_gone(x, gone_while_reading);
    if (exchange_body_ended(x))
        hand_over(v);
    else
        exchange_read(x, gather);
}
