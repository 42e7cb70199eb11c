#include "http/upstream_inside.h"

#include <stdlib.h>

#include "base/map.h"
#include "loop/count.h"

#define RESTING_MAX 256 /* pools that are kept for their TLS session alone */

/* ---- pools ---- */

static size_t pool_key(const struct upstream *u, char key[300])
{
    size_t n = 0;
    memcpy(key, &u->pool, 8);
    n = 8;
    key[n++] = u->url->https ? 's' : 'p';
    memcpy(key + n, &u->url->port, 2);
    n += 2;
    size_t host = u->url->host.n < 255 ? u->url->host.n : 255;
    memcpy(key + n, u->url->host.p, host);
    return n + host;
}

static struct pool *pool_find(const struct upstream *u)
{
    char key[300];
    struct pool *p = map_get(u->owner->pools, (struct str){ key, pool_key(u, key) });
    if (p && p->tls != u->tls)
        bug("two TLS contexts in one pool");
    return p;
}

struct pool *upstream_pool_of(struct upstream *u)
{
    char key[300];
    struct str k = { key, pool_key(u, key) };
    struct pool *p = map_get(u->owner->pools, k);
    if (p && !list_empty(&p->resting)) {
        list_remove(&p->resting);
        u->owner->resting_count--;
    }
    if (p)
        return p;
    p = mem_zero(sizeof *p + sizeof key);
    p->owner = u->owner;
    p->tls = u->tls;
    list_init(&p->idle);
    list_init(&p->resting);
    memcpy(p->key, &(uint16_t){ (uint16_t)k.n }, 2);
    memcpy(p->key + 2, key, k.n);
    map_put(u->owner->pools, k, p);
    return p;
}

static void pool_drop(struct pool *p)
{
    uint16_t n;
    if (!list_empty(&p->resting)) {
        list_remove(&p->resting);
        p->owner->resting_count--;
    }
    memcpy(&n, p->key, 2);
    map_take(p->owner->pools, (struct str){ p->key + 2, n });
    tls_session_free(p->session);
    free(p);
}

void upstream_pool_rest(struct pool *p)
{
    struct upstreams *s = p->owner;
    if (!p->session) {
        pool_drop(p);
        return;
    }
    list_push_front(&s->resting, &p->resting);
    if (++s->resting_count > RESTING_MAX)
        pool_drop(list_entry(s->resting.prev, struct pool, resting));
}

static struct line *idle_line(struct upstream *u)
{
    struct pool *p = pool_find(u);
    for (struct list *node; p && (node = p->idle.next) != &p->idle;) {
        struct line *l = list_entry(node, struct line, link);
        /* One look before each use, also for requests that may be sent again: bytes that came while nobody asked would be taken for
         * this request's answer (requirement 5.4). */
        if (sock_is_stale(&l->stream.sock)) {
            upstream_line_close(l);
            p = pool_find(u); /* it may have gone with its last line */
            continue;
        }
        list_remove(node);
        list_push_back(&u->owner->lines, node);
        p->idle_count--;
        bump(u->owner->counts.idle, -1);
        bump(u->owner->counts.busy, 1);
        return l;
    }
    return NULL;
}

/* ---- requests, for their owners ---- */

void upstream_over(struct upstream *u)
{
    u->over = true;
    timer_stop(&u->total);
    timer_stop(&u->connect);
    resolve_cancel(&u->resolve);
    u->line = NULL;
}

void upstream_fail(struct upstream *u, const struct fault *why)
{
    struct line *l = u->line;
    upstream_over(u);
    if (l) {
        l->u = NULL;
        upstream_line_close(l);
    }
    bump(u->owner->counts.failed, 1);
    u->failed(u, why);
}

void upstream_fail_with(struct upstream *u, enum err e, struct str subject, const char *note)
{
    struct fault why;
    fault(&why, e, subject, "%s", note);
    upstream_fail(u, &why);
}

static void on_total_timeout(struct timer *t)
{
    struct upstream *u = list_entry(t, struct upstream, total);
    upstream_fail_with(u, ERR_UPSTREAM_TIMEOUT, STR("total"), "total");
}

void upstream_start(struct upstream *u)
{
    u->started_us = clock_mono_us();
    if (u->total_ms)
        timer_set(u->owner->loop, &u->total, u->total_ms, on_total_timeout);
    struct line *l = idle_line(u);
    if (!l) {
        upstream_dial(u);
        return;
    }
    bump(u->owner->counts.reused, 1);
    u->timing.reused = true;
    u->line = l;
    l->u = u;
    upstream_line_send(l);
}

/* A chunk is gathered whole, so that head, data and end of it cannot part. */
static size_t write_chunk(struct line *l, struct str span)
{
    if (span.n > STREAM_SMALL)
        span.n = STREAM_SMALL;
    l->stream.out.end += chunked_head(stream_room(&l->stream, CHUNKED_HEAD_MAX), span.n);
    stream_put(&l->stream, span);
    stream_put(&l->stream, STR("\r\n"));
    stream_send(&l->stream, STR_NONE);
    return span.n;
}

size_t upstream_write(struct upstream *u, struct str span)
{
    struct line *l = u->line;
    size_t taken = 0;
    if (u->body_done)
        bug("a request's body goes on after its end");
    if (!l || !span.n || (l->state != LINE_HEAD && l->state != LINE_BODY))
        return 0;
    if (!u->chunked && !l->stream.blocked)
        taken = stream_send(&l->stream, span);
    /* Nothing tells when to come back to a socket that took everything: so only a blocked one may stop us. */
    while (u->chunked && taken < span.n && !l->stream.failed && !l->stream.blocked)
        taken += write_chunk(l, str_sub(span, taken, span.n));
    if (l->stream.failed)
        upstream_line_come_back(l);
    else if (taken && l->state == LINE_HEAD)
        upstream_line_timer(l, PHASE(u, first_byte_ms));
    return taken;
}

void upstream_write_end(struct upstream *u)
{
    struct line *l = u->line;
    if (u->body_done)
        bug("a request's body ends twice");
    u->body_done = true;
    if (!l)
        return;
    if (u->chunked)
        stream_put(&l->stream, STR(CHUNKED_LAST));
    stream_send(&l->stream, STR_NONE);
    if (l->stream.failed)
        upstream_line_come_back(l);
}

void upstream_resume(struct upstream *u)
{
    struct line *l = u->line;
    if (!l || !l->paused)
        return;
    l->paused = false;
    upstream_line_timer(l, PHASE(u, idle_ms));
    upstream_line_come_back(l);
}

void upstream_cancel(struct upstream *u)
{
    struct line *l = u->line;
    if (u->over || !u->owner)
        return;
    upstream_over(u);
    if (l) {
        l->u = NULL;
        upstream_line_close(l);
    }
}

/* ---- the loop's own ---- */

enum err upstreams_new(struct loop *l, const struct egress *egress, struct tls_context *tls, const struct upstream_limits *limits,
                       struct upstreams **out, struct fault *why)
{
    struct upstreams *s = mem_zero(sizeof *s);
    (void)why;
    s->loop = l;
    s->egress = egress;
    s->tls = tls;
    s->limits = *limits;
    s->resolver = resolver_new(l);
    s->buffers = stream_pool_new();
    s->pools = map_new();
    list_init(&s->lines);
    list_init(&s->resting);
    *out = s;
    return ERR_NONE;
}

void upstreams_free(struct upstreams *s)
{
    if (!s)
        return;
    for (struct list *node; (node = s->lines.next) != &s->lines;) {
        struct line *l = list_entry(node, struct line, link);
        if (l->u)
            upstream_over(l->u);
        l->u = NULL;
        upstream_line_close(l);
    }
    for (;;) {
        size_t at = 0;
        struct str key;
        void *value;
        if (!map_next(s->pools, &at, &key, &value))
            break;
        struct pool *p = value;
        if (list_empty(&p->idle))
            pool_drop(p);
        else
            upstream_line_close(list_entry(p->idle.next, struct line, link));
    }
    map_free(s->pools);
    resolver_free(s->resolver);
    stream_pool_free(s->buffers);
    free(s);
}

struct upstream_counts upstreams_counts(const struct upstreams *s)
{
    return (struct upstream_counts){ glance(s->counts.opened), glance(s->counts.reused), glance(s->counts.retried),
                                     glance(s->counts.failed), glance(s->counts.idle),   glance(s->counts.busy) };
}
