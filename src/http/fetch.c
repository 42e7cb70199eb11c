#include "http/fetch.h"

#include <signal.h>
#include <string.h>

#include "base/buf.h"
#include "http/upstream.h"

struct fetching {
    struct upstream up;
    struct loop *loop;
    struct arena *arena;
    const struct fetch_request *q;
    struct url url;
    struct str authority;
    struct fetch_answer *out;
    struct buf body;
    size_t sent;
    bool refused;
    struct loop_job leave;
    enum err err;
    struct fault *why;
};

static struct fetching *of(struct upstream *u) { return list_entry(u, struct fetching, up); }

static void leave(struct loop_job *job)
{
    struct fetching *f = list_entry(job, struct fetching, leave);
    upstream_cancel(&f->up);
    loop_stop(f->loop);
}

static void render(struct upstream *u, struct stream *to)
{
    struct fetching *f = of(u);
    f->sent = 0;
    if (f->q->may_send && !f->q->may_send(f->q->context)) {
        f->refused = true;
        f->err = fault(f->why, ERR_CANCELLED, f->url.host, "not sent: its time is over");
        f->leave.do_it = leave;
        loop_later(f->loop, &f->leave);
        return;
    }
    f->out->sent = true;
    stream_put(to, f->q->method);
    stream_put(to, STR(" "));
    stream_put(to, f->url.path);
    if (f->url.query.p) {
        stream_put(to, STR("?"));
        stream_put(to, f->url.query);
    }
    stream_put(to, str_fmt(f->arena, " HTTP/1.1\r\nHost: %.*s\r\nAccept-Encoding: identity\r\n", STR_ARG(f->authority)));
    for (size_t i = 0; i < f->q->header_count; i++) {
        stream_put(to, f->q->headers[i][0]);
        stream_put(to, STR(": "));
        stream_put(to, f->q->headers[i][1]);
        stream_put(to, STR("\r\n"));
    }
    if (f->q->body.p)
        stream_put(to, str_fmt(f->arena, "Content-Length: %zu\r\n", f->q->body.n));
    stream_put(to, STR("\r\n"));
}

static void writable(struct upstream *u)
{
    struct fetching *f = of(u);
    if (f->refused)
        return;
    struct str rest = str_sub(f->q->body, f->sent, f->q->body.n);
    f->sent += upstream_write(u, rest);
    if (f->sent == f->q->body.n)
        upstream_write_end(u);
}

static void on_head(struct upstream *u, const struct head *h, const struct framing *framing)
{
    struct fetching *f = of(u);
    (void)framing;
    f->out->status = h->status;
    f->out->headers = arena_array(f->arena, (size_t)h->count + 1, sizeof *f->out->headers);
    f->out->header_count = (size_t)h->count;
    for (int i = 0; i < h->count; i++) {
        f->out->headers[i][0] = arena_str(f->arena, h->headers[i].name);
        f->out->headers[i][1] = arena_str(f->arena, h->headers[i].value);
    }
}

static size_t on_body(struct upstream *u, struct str span)
{
    struct fetching *f = of(u);
    buf_add(&f->body, span);
    if (!buf_failed(&f->body))
        return span.n;
    f->err = fault(f->why, ERR_RESPONSE_TOO_LARGE, str_fmt(f->arena, "%zu bytes", f->q->response_max), "fetch");
    upstream_cancel(u);
    loop_stop(f->loop);
    return span.n;
}

static void on_end(struct upstream *u)
{
    of(u)->out->received_us = clock_mono_us();
    loop_stop(of(u)->loop);
}

static void on_failed(struct upstream *u, const struct fault *why)
{
    struct fetching *f = of(u);
    if (f->refused)
        return;
    f->err = why->err;
    if (f->why)
        *f->why = *why;
    loop_stop(f->loop);
}

struct starter {
    struct loop_job job;
    struct fetching *f;
};

static void start(struct loop_job *job) { upstream_start(&((struct starter *)job)->f->up); }

enum err fetch(struct arena *a, const struct fetch_request *q, struct fetch_answer *out, struct fault *why)
{
    struct fetching f = { .arena = a, .q = q, .out = out, .why = why };
    const struct egress *egress = q->egress;
    struct egress *own_egress;
    struct tls_context *own_tls = NULL;
    struct upstreams *ups = NULL;
    enum err e = url_parse(a, q->url, &f.url, why);
    for (size_t i = 0; !e && i < q->header_count; i++)
        if (!head_is_token(q->headers[i][0]) || !head_is_value(q->headers[i][1]))
            e = fault(why, ERR_INPUT_INVALID, STR("a header's name or value has characters that HTTP does not allow"), "header %zu",
                      i);
    if (!e && !head_is_token(q->method))
        e = fault(why, ERR_INPUT_INVALID, STR("the method"), "method");
    if (e)
        return e;
    f.authority = url_authority(a, &f.url);
    /* A person who named this very host: no egress policy stands between them and it. */
    if (!egress && (e = egress_new(a, f.authority, f.authority, STR(""), &own_egress, why)))
        return e;
    if (!egress)
        egress = own_egress;
    struct upstream_limits limits = { .times = { 5000, 5000, q->timeout_ms, q->timeout_ms, 0 },
                                      .keep_ms = 1000, .head = HEAD_LIMITS_PRESET };
    if (f.url.https && !q->tls && (e = tls_client_context(q->ca_file, &own_tls, why)))
        return e;
    if ((e = loop_new(0, &f.loop, why)))
        goto undo_tls;
    if ((e = upstreams_new(f.loop, egress, q->tls ? q->tls : own_tls, &limits, &ups, why)))
        goto undo_loop;
    buf_init(&f.body, q->response_max);
    if (q->secret)
        buf_room(&f.body, q->response_max); /* it does not move and leave copies behind */
    *out = (struct fetch_answer){ 0 };
    f.up = (struct upstream){ .owner = ups, .url = &f.url, .host = arena_str(a, f.url.host), .total_ms = q->timeout_ms,
                              .total_covers_body = true, .head_request = str_is(q->method, "HEAD"), .render = render,
                              .writable = q->body.p ? writable : NULL, .head = on_head, .body = on_body, .end = on_end,
                              .failed = on_failed };
    struct starter starter = { { NULL, start }, &f };
    loop_post(f.loop, &starter.job);
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
    sigaction(SIGPIPE, &ignore, &before); /* crypto/tls.h; a CLI still wants it for its output */
    loop_run(f.loop);
    sigaction(SIGPIPE, &before, NULL);
    e = f.err;
    if (!e)
        out->body = arena_str(a, buf_str(&f.body));
    if (q->secret && f.body.p)
        explicit_bzero(f.body.p, f.body.n);
    buf_end(&f.body);
    if (!e && q->arrived)
        q->arrived(q->context, out);
    upstreams_free(ups);
undo_loop:
    loop_free(f.loop);
undo_tls:
    tls_context_free(own_tls);
    return e;
}

struct str fetch_header(const struct fetch_answer *f, const char *name)
{
    for (size_t i = 0; i < f->header_count; i++)
        if (str_ieq(f->headers[i][0], str_of(name)))
            return f->headers[i][1];
    return STR_NONE;
}
