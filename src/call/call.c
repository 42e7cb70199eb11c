#include "call/call.h"

#include <pthread.h>

#include "call/inflate.h"
#include "call/live.h"
#include "call/switchboard.h"

/* One buffered call. Made by a worker thread, run by a loop, waited for by the worker: until `done` the loop owns it. */
struct waiting {
    struct loop_job job;
    struct live live;
    struct switchboard *s;
    struct arena *arena;        /* used by the loop while it runs, by the worker before and after */
    const struct call_request *q;
    struct call_answer *out;
    struct head head;           /* the caller's headers in the form that live takes */
    struct buf body;
    struct inflate *inflate;
    struct fault why;
    enum err err;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static struct waiting *of(struct live *c) { return list_entry(c, struct waiting, live); }

static void finish(struct waiting *w, enum err e)
{
    w->out->run = w->live.run;
    pthread_mutex_lock(&w->lock);
    w->err = e;
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void give_up(struct waiting *w, enum err e)
{
    live_cancel(&w->live, e);
    finish(w, e);
}

static void on_head(struct live *c, const struct head *h, const struct framing *f)
{
    struct waiting *w = of(c);
    struct call_answer *out = w->out;
    out->status = h->status;
    out->headers = arena_array(w->arena, (size_t)h->count + 1, sizeof *out->headers);
    w->inflate = f->kind == FRAMING_NONE ? NULL : inflate_new(head_value(h, STR("content-encoding")));
    for (int i = 0; i < h->count; i++) {
        const struct header *header = &h->headers[i];
        bool decoded = w->inflate && str_ieq(header->name, STR("content-encoding"));
        if (decoded || !live_passes(c, h, header))
            continue;
        out->headers[out->header_count++] =
            (struct header){ arena_str(w->arena, header->name), arena_str(w->arena, header->value) };
    }
}

static size_t on_body(struct live *c, struct str span)
{
    struct waiting *w = of(c);
    enum err e = ERR_NONE;
    if (w->inflate) {
        e = inflate_feed(w->inflate, span, &w->body, &w->why);
    } else {
        buf_add(&w->body, span);
        if (buf_failed(&w->body))
            e = fault(&w->why, ERR_RESPONSE_TOO_LARGE, str_fmt(w->arena, "%zu bytes", w->body.max), "buffered call");
    }
    if (e)
        give_up(w, e);
    return span.n;
}

static void on_end(struct live *c)
{
    struct waiting *w = of(c);
    enum err e = ERR_NONE;
    if (w->inflate && !inflate_ended(w->inflate))
        e = fault(&w->why, ERR_UPSTREAM_INVALID, STR("its compressed body is cut short"), "inflate");
    finish(w, e);
}

static void on_failed(struct live *c, const struct fault *why)
{
    struct waiting *w = of(c);
    w->why = *why;
    finish(w, why->err);
}

static void start(struct loop_job *job)
{
    struct waiting *w = list_entry(job, struct waiting, job);
    enum err e = live_begin(&w->live, w->q->path, w->q->query, &w->why);
    if (e) {
        finish(w, e);
        return;
    }
    live_start(&w->live);
}

static struct board *next_board(struct switchboard *s)
{
    static _Atomic unsigned turn;
    unsigned n = 0;
    while (switchboard_board(s, (int)n))
        n++;
    return switchboard_board(s, (int)(atomic_fetch_add(&turn, 1) % n));
}

static enum err check_headers(const struct call_request *q, struct fault *why)
{
    if (q->header_count > HEAD_HEADERS_MAX - 1)
        return fault(why, ERR_HEAD_TOO_LARGE, STR("100 headers"), "call headers");
    for (size_t i = 0; i < q->header_count; i++)
        if (!head_is_token(q->headers[i].name) || !head_is_value(q->headers[i].value))
            return fault(why, ERR_FIELD_INVALID, STR("a header's name or value has characters that HTTP does not allow"),
                         "header %zu", i);
    return ERR_NONE;
}

enum err call_wait(struct switchboard *s, struct arena *a, const struct call_request *q, struct call_answer *out, struct fault *why)
{
    const struct call_limits *limits = &switchboard_config(s)->limits;
    *out = (struct call_answer){ 0 };
    enum err e = check_headers(q, why);
    if (e)
        return e;
    if ((int64_t)q->body.n > limits->request_max)
        return fault(why, ERR_BODY_TOO_LARGE, str_fmt(a, "%lld bytes", (long long)limits->request_max), "buffered call");

    struct waiting *w = arena_zero(a, sizeof *w);
    *w = (struct waiting){ .job = { .do_it = start }, .s = s, .arena = a, .q = q, .out = out };
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    buf_init(&w->body, (size_t)limits->response_max);
    w->head.minor = 1;
    for (size_t i = 0; i < q->header_count; i++)
        w->head.headers[w->head.count++] = q->headers[i];
    /* An answer that is read here comes plain; gzip is taken off if a provider sends it all the same. */
    bool own_encoding = head_find(&w->head, STR("accept-encoding")) != NULL;
    if (!own_encoding)
        w->head.headers[w->head.count++] = (struct header){ STR("Accept-Encoding"), STR("identity") };

    int64_t most = q->to->connector->times.total_ms ? q->to->connector->times.total_ms : limits->total_ms;
    bool shorter = q->timeout_ms && (!most || q->timeout_ms < most);
    w->live = (struct live){
        .board = next_board(s), .to = q->to, .arena = a, .caller = q->caller, .token = q->token, .narrow = q->narrow,
        .source = q->source, .via = q->via, .method = q->method,
        .from = &w->head, .refuse_override = true, .body_buffered = true, .body = q->body, .body_length = q->body.n,
        .body_kind = q->body.p ? FRAMING_LENGTH : FRAMING_NONE, .total_ms = shorter ? q->timeout_ms : most,
        .total_covers_body = true, .head = on_head, .got = on_body, .end = on_end, .failed = on_failed,
    };
    loop_post(w->live.board->loop, &w->job);
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);

    e = w->err;
    if (e && why)
        *why = w->why;
    else if (!e)
        out->body = arena_str(a, buf_str(&w->body));
    buf_end(&w->body);
    inflate_free(w->inflate);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    return e;
}
