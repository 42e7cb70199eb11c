#include "http/upstream_inside.h"

#include <stdlib.h>

#include "loop/count.h"

#define READ_BURST (256 * 1024) /* bytes one answer may take of one round */
#define INTERIM_MAX 16          /* 1xx heads before the final one */
#define TO(s) (1u << (s))

static const struct {
    const char *name;
    unsigned next;
} line_states[] = {
    [LINE_CONNECT] = { "connect", TO(LINE_TLS) | TO(LINE_HEAD) | TO(LINE_CLOSED) },
    [LINE_TLS] = { "tls", TO(LINE_HEAD) | TO(LINE_CLOSED) },
    [LINE_HEAD] = { "head", TO(LINE_BODY) | TO(LINE_IDLE) | TO(LINE_CLOSED) },
    [LINE_BODY] = { "body", TO(LINE_IDLE) | TO(LINE_CLOSED) },
    [LINE_IDLE] = { "idle", TO(LINE_HEAD) | TO(LINE_CLOSED) },
    [LINE_CLOSED] = { "closed", 0 },
};

static void line_step(struct line *l);

/* Only upstream_line_move() assigns ->state, so the table above is the truth. */
void upstream_line_move(struct line *l, enum line_state to, int64_t limit_ms)
{
    if (!(line_states[l->state].next & TO(to)))
        bug("upstream line: %s -> %s", line_states[l->state].name, line_states[to].name);
    l->state = to;
    if (limit_ms)
        upstream_line_timer(l, limit_ms);
    else
        timer_stop(&l->timer);
}

static void line_free(struct loop_job *job) { free(list_entry(job, struct line, again)); }

void upstream_line_close(struct line *l)
{
    if (l->state == LINE_CLOSED)
        return;
    struct pool *p = l->pool;
    if (l->state == LINE_IDLE) {
        p->idle_count--;
        bump(l->owner->counts.idle, -1);
    } else {
        bump(l->owner->counts.busy, -1);
    }
    upstream_line_move(l, LINE_CLOSED, 0);
    list_remove(&l->link);
    stream_close(&l->stream);
    l->u = NULL;
    if (!--p->line_count)
        upstream_pool_rest(p);
    l->again.do_it = line_free;
    if (!l->again_posted)
        loop_later(l->owner->loop, &l->again);
    l->again_posted = true;
}

static void line_again(struct loop_job *job)
{
    struct line *l = list_entry(job, struct line, again);
    l->again_posted = false;
    line_step(l);
}

void upstream_line_come_back(struct line *l)
{
    if (l->again_posted || l->state == LINE_CLOSED)
        return;
    l->again_posted = true;
    l->again.do_it = line_again;
    loop_later(l->owner->loop, &l->again);
}

/* TLS 1.3 tickets come with the first answer: that is when there is something to resume with. */
static void keep_session(struct line *l)
{
    struct tls_session *newest = l->stream.sock.tls && !l->session_kept ? tls_take_session(l->stream.sock.tls) : NULL;
    if (!newest)
        return;
    tls_session_free(l->pool->session);
    l->pool->session = newest;
    l->session_kept = true;
}

/* The answer is complete: keep the socket if both sides may, then tell the owner. */
static void line_answered(struct line *l)
{
    struct upstream *u = l->u;
    struct upstreams *s = l->owner;
    bool clean = l->framing.keep_alive && l->framing.kind != FRAMING_UNTIL_CLOSE && u->body_done && !stream_in(&l->stream).n &&
                 !stream_unsent(&l->stream) && !l->stream.blocked && !l->stream.sock.hung_up;
    upstream_over(u);
    l->u = NULL;
    keep_session(l);
    if (clean && l->pool->idle_count < s->limits.kept) {
        upstream_line_move(l, LINE_IDLE, s->limits.keep_ms);
        stream_wipe_out(&l->stream);
        stream_idle(&l->stream);
        list_remove(&l->link);
        list_push_front(&l->pool->idle, &l->link);
        l->pool->idle_count++;
        bump(s->counts.idle, 1);
        bump(s->counts.busy, -1);
    } else {
        upstream_line_close(l);
    }
    u->end(u);
}

/* A kept socket may have died while idle. Nothing of an answer has come: an idempotent request is sent again, on a new socket. */
static bool retry(struct line *l)
{
    struct upstream *u = l->u;
    if (!u || !u->timing.reused || l->answered || !u->safe_to_retry || u->retried)
        return false;
    u->retried = true;
    u->timing.reused = false;
    bump(u->owner->counts.retried, 1);
    u->line = NULL;
    l->u = NULL;
    upstream_line_close(l);
    upstream_dial(u);
    return true;
}

static void line_broken(struct line *l, enum err e, const char *note)
{
    struct upstream *u = l->u;
    if (!u) {
        upstream_line_close(l);
        return;
    }
    if (retry(l))
        return;
    upstream_fail_with(u, e, u->url->host, note);
}

void upstream_line_timeout(struct timer *t)
{
    struct line *l = list_entry(t, struct line, timer);
    switch (l->state) {
    case LINE_IDLE: upstream_line_close(l); break;
    case LINE_TLS: upstream_fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("TLS handshake"), "tls"); break;
    case LINE_HEAD:
        if (!l->u->body_done || l->stream.blocked)
            upstream_fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("sending the request"), "the provider does not take the request");
        else
            upstream_fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("first byte"), "first byte");
        break;
    case LINE_BODY:
        if (l->paused)
            upstream_line_timer(l, PHASE(l->u, idle_ms)); /* the caller is slow, not the provider */
        else
            upstream_fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("idle"), "no bytes for too long");
        break;
    default: break;
    }
}

void upstream_line_send(struct line *l)
{
    struct upstream *u = l->u;
    upstream_line_move(l, LINE_HEAD, PHASE(l->u, first_byte_ms));
    l->answered = false;
    l->resume = 0;
    l->interims = 0;
    l->paused = false;
    u->phase_us = clock_mono_us();
    u->render(u, &l->stream);
    u->body_done = u->writable == NULL;
    if (u->writable)
        u->writable(u);
    else
        stream_send(&l->stream, STR_NONE);
    if (l->u == u && l->stream.failed)
        upstream_line_come_back(l);
}

/* 1: something moved; 0: nothing; the line may be closed or idle afterwards. */
static bool read_head(struct line *l)
{
    struct upstream *u = l->u;
    struct str in = stream_in(&l->stream);
    if (!in.n)
        return false;
    struct head h;
    const char *why = "";
    if (!l->answered) {
        l->answered = true;
        u->timing.first_byte_us = (int32_t)(clock_mono_us() - u->phase_us);
    }
    enum head_result r = head_response(in, &l->resume, &l->owner->limits.head, &h, &why);
    if (r == HEAD_MORE)
        return false;
    l->resume = 0;
    if (r != HEAD_DONE) {
        upstream_fail_with(u, ERR_UPSTREAM_INVALID, str_of(why), why);
        return true;
    }
    l->framing = framing_response(&h, u->head_request);
    if (l->framing.kind == FRAMING_BAD || h.status == 101) {
        upstream_fail_with(u, ERR_UPSTREAM_INVALID, str_of(h.status == 101 ? "an upgrade nobody asked for" : l->framing.why),
                           "framing");
        return true;
    }
    if (h.status < 200) {
        stream_take(&l->stream, h.size);
        if (++l->interims > INTERIM_MAX)
            upstream_fail_with(u, ERR_UPSTREAM_INVALID, STR("too many interim answers"), "1xx");
        return true;
    }
    upstream_line_move(l, LINE_BODY, PHASE(l->u, idle_ms));
    if (!u->total_covers_body)
        timer_stop(&u->total);
    chunked_init(&l->chunked);
    l->left = l->framing.kind == FRAMING_LENGTH ? l->framing.length : 0;
    if (u->head_request || h.status == 204 || h.status == 304)
        l->framing.kind = FRAMING_NONE, l->left = 0;
    /* The head's texts point into the buffer: it moves on only after the callback. */
    u->head(u, &h, &l->framing);
    if (l->u == u)
        stream_take(&l->stream, h.size);
    if (l->u == u && (l->framing.kind == FRAMING_NONE || (l->framing.kind == FRAMING_LENGTH && !l->left)))
        line_answered(l);
    return true;
}

static bool deliver(struct line *l, struct str span, uint64_t *left)
{
    struct upstream *u = l->u;
    if (left && span.n > *left)
        span.n = (size_t)*left;
    size_t took = u->body(u, span);
    if (l->u != u)
        return false; /* cancelled in the callback */
    stream_take(&l->stream, took);
    u->body_bytes += took;
    if (left)
        *left -= took;
    l->paused = took < span.n;
    return true;
}

static bool read_body(struct line *l)
{
    struct str in = stream_in(&l->stream);
    if (l->paused || !in.n)
        return false;
    switch (l->framing.kind) {
    case FRAMING_LENGTH:
        if (deliver(l, in, &l->left) && !l->left)
            line_answered(l);
        return true;
    case FRAMING_UNTIL_CLOSE: deliver(l, in, NULL); return true;
    default: break;
    }
    if (l->left)
        return deliver(l, in, &l->left), true;
    struct str span;
    size_t used;
    switch (chunked_next(&l->chunked, in, &span, &used)) {
    case CHUNKED_DATA:
        stream_take(&l->stream, (size_t)(span.p - in.p));
        l->left = span.n;
        return true;
    case CHUNKED_MORE: stream_take(&l->stream, used); return true;
    case CHUNKED_END:
        stream_take(&l->stream, used);
        line_answered(l);
        return true;
    default: upstream_fail_with(l->u, ERR_UPSTREAM_INVALID, str_of(l->chunked.why), "chunked"); return true;
    }
}

static void line_ended(struct line *l, enum io r)
{
    struct upstream *u = l->u;
    /* After a failed write the reset has been told already, and looks like an end here. */
    if (l->state == LINE_BODY && l->framing.kind == FRAMING_UNTIL_CLOSE && r == IO_EOF && !l->stream.failed) {
        line_answered(l);
        return;
    }
    char text[160];
    if (l->state == LINE_HEAD && stream_in(&l->stream).n >= l->owner->limits.head.max_bytes && u) {
        upstream_fail_with(u, ERR_UPSTREAM_INVALID, STR("the head is too large"), "head");
        return;
    }
    const char *note = r == IO_FAILED && l->stream.sock.tls ? tls_error(l->stream.sock.tls, text, sizeof text) : "closed or reset";
    /* In TLS 1.3 the client's handshake is over before the server has judged its certificate (RFC 8446 4.4.2.4). */
    bool refused = r == IO_FAILED && l->stream.sock.tls && tls_certificate_refused(l->stream.sock.tls);
    line_broken(l, refused ? ERR_CLIENT_CERTIFICATE_REFUSED : ERR_UPSTREAM_CLOSED, note);
}

/* Read until there is nothing, or the reader pauses, or others should have their turn. */
static void pump(struct line *l)
{
    size_t burst = 0;
    if (l->reading)
        return; /* re-entered through a callback: the outer call goes on */
    l->reading = true;
    while (l->state == LINE_HEAD || l->state == LINE_BODY) {
        if (l->state == LINE_HEAD ? read_head(l) : read_body(l))
            continue;
        if (l->state != LINE_HEAD && l->state != LINE_BODY)
            break;
        if (l->paused)
            break;
        if (burst >= READ_BURST) {
            upstream_line_come_back(l);
            break;
        }
        size_t before = l->stream.in.end - l->stream.in.start;
        size_t most = l->state == LINE_BODY ? STREAM_LARGE : l->owner->limits.head.max_bytes;
        enum io r = stream_fill(&l->stream, most);
        size_t got = l->stream.in.end - l->stream.in.start - before;
        burst += got;
        if (r == IO_WAIT)
            break;
        if (r != IO_DONE) {
            line_ended(l, r);
            break;
        }
        if (l->state == LINE_BODY)
            upstream_line_timer(l, PHASE(l->u, idle_ms));
    }
    l->reading = false;
}

static void line_step(struct line *l)
{
    if (l->state == LINE_CONNECT || l->state == LINE_TLS)
        upstream_dial_step(l);
    if (l->state == LINE_IDLE) {
        /* Bytes or an end while nobody asked: use it no more. TLS tickets are bytes too, but come with the first answer. */
        if (l->stream.sock.hung_up || sock_is_stale(&l->stream.sock))
            upstream_line_close(l);
        return;
    }
    if (l->state != LINE_HEAD && l->state != LINE_BODY)
        return;
    struct upstream *u = l->u;
    if (l->stream.blocked || stream_unsent(&l->stream)) {
        bool all = stream_unblock(&l->stream);
        if (all && !u->body_done && u->writable) {
            if (l->state == LINE_HEAD)
                upstream_line_timer(l, PHASE(l->u, first_byte_ms));
            u->writable(u);
        }
        if (l->u != u)
            return;
    }
    /* A provider may answer early and hang up while we still send: what it said comes first. */
    pump(l);
    if (l->u == u && u && l->stream.failed)
        line_ended(l, IO_FAILED);
}

void upstream_line_ready(struct sock *s) { line_step(list_entry(s, struct line, stream.sock)); }
