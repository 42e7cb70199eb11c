#include "http/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/map.h"
#include "http/chunked.h"
#include "loop/count.h"

#define READ_BURST (256 * 1024) /* bytes one answer may take of one round */
#define INTERIM_MAX 16          /* 1xx heads before the final one */
#define RESTING_MAX 256         /* pools that are kept for their TLS session alone */

/* One socket to a provider. Named for what it is: a line that is busy with one request or idle in its pool. */
enum line_state { LINE_CONNECT, LINE_TLS, LINE_HEAD, LINE_BODY, LINE_IDLE, LINE_CLOSED };
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

struct pool {
    struct upstreams *owner;
    struct list idle;           /* lines, the most recently used first */
    int idle_count, line_count;
    struct tls_context *tls;    /* NULL: the loop's own; one for all lines, so that no session crosses certificates */
    struct tls_session *session; /* to resume with: outlives the lines, see pool_rest() */
    struct list resting;
    char key[];
};

struct line {
    struct stream stream;
    struct upstreams *owner;
    struct pool *pool;
    struct list link;
    struct timer timer;
    struct loop_job again;
    bool again_posted;
    enum line_state state;
    struct upstream *u;         /* NULL: idle */
    size_t resume;
    struct framing framing;
    struct chunked chunked;
    uint64_t left;              /* bytes of the body, or of the current chunk's span */
    int interims;
    bool paused, answered, reading, session_kept;
};

struct upstreams {
    struct loop *loop;
    const struct egress *egress;
    struct tls_context *tls;
    struct upstream_limits limits;
    struct resolver *resolver;
    struct stream_pool *buffers;
    struct map *pools;
    struct list lines;          /* busy ones, to close at the end */
    struct list resting;        /* pools without a line that keep a TLS session, the latest first */
    int resting_count;
    struct { _Atomic uint64_t opened, reused, retried, failed; _Atomic int idle, busy; } counts; /* as struct upstream_counts */
};

static void line_step(struct line *l);
static void line_timeout(struct timer *t);
static void dial(struct upstream *u);

/* The connector's own time for a phase, else the loop's. */
#define PHASE(u, phase) ((u)->times && (u)->times->phase ? (u)->times->phase : (u)->owner->limits.times.phase)

/* Only line_move() assigns ->state, so the table above is the truth. */
static void line_move(struct line *l, enum line_state to, int64_t limit_ms)
{
    if (!(line_states[l->state].next & TO(to)))
        bug("upstream line: %s -> %s", line_states[l->state].name, line_states[to].name);
    l->state = to;
    if (limit_ms)
        timer_set(l->owner->loop, &l->timer, limit_ms, line_timeout);
    else
        timer_stop(&l->timer);
}

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

/* For a line that is about to join. */
static struct pool *pool_of(struct upstream *u)
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

/* The last line has left. Where there is a session to resume with, the next line spares both sides the full handshake. */
static void pool_rest(struct pool *p)
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

/* ---- lines ---- */

static void line_free(struct loop_job *job) { free(list_entry(job, struct line, again)); }

static void line_close(struct line *l)
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
    line_move(l, LINE_CLOSED, 0);
    list_remove(&l->link);
    stream_close(&l->stream);
    l->u = NULL;
    if (!--p->line_count)
        pool_rest(p);
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

static void line_come_back(struct line *l)
{
    if (l->again_posted || l->state == LINE_CLOSED)
        return;
    l->again_posted = true;
    l->again.do_it = line_again;
    loop_later(l->owner->loop, &l->again);
}

static void upstream_over(struct upstream *u)
{
    u->over = true;
    timer_stop(&u->total);
    timer_stop(&u->connect);
    resolve_cancel(&u->resolve);
    u->line = NULL;
}

static void upstream_fail(struct upstream *u, const struct fault *why)
{
    struct line *l = u->line;
    upstream_over(u);
    if (l) {
        l->u = NULL;
        line_close(l);
    }
    bump(u->owner->counts.failed, 1);
    u->failed(u, why);
}

static void fail_with(struct upstream *u, enum err e, struct str subject, const char *note)
{
    struct fault why;
    fault(&why, e, subject, "%s", note);
    upstream_fail(u, &why);
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
        line_move(l, LINE_IDLE, s->limits.keep_ms);
        stream_wipe_out(&l->stream);
        stream_idle(&l->stream);
        list_remove(&l->link);
        list_push_front(&l->pool->idle, &l->link);
        l->pool->idle_count++;
        bump(s->counts.idle, 1);
        bump(s->counts.busy, -1);
    } else {
        line_close(l);
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
    line_close(l);
    dial(u);
    return true;
}

static void line_broken(struct line *l, enum err e, const char *note)
{
    struct upstream *u = l->u;
    if (!u) {
        line_close(l);
        return;
    }
    if (retry(l))
        return;
    fail_with(u, e, u->url->host, note);
}

static void line_timeout(struct timer *t)
{
    struct line *l = list_entry(t, struct line, timer);
    switch (l->state) {
    case LINE_IDLE: line_close(l); break;
    case LINE_TLS: fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("TLS handshake"), "tls"); break;
    case LINE_HEAD:
        if (!l->u->body_done || l->stream.blocked)
            fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("sending the request"), "the provider does not take the request");
        else
            fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("first byte"), "first byte");
        break;
    case LINE_BODY:
        if (l->paused)
            timer_set(l->owner->loop, t, PHASE(l->u, idle_ms), line_timeout); /* the caller is slow, not the provider */
        else
            fail_with(l->u, ERR_UPSTREAM_TIMEOUT, STR("idle"), "no bytes for too long");
        break;
    default: break;
    }
}

static void send_request(struct line *l)
{
    struct upstream *u = l->u;
    line_move(l, LINE_HEAD, PHASE(l->u, first_byte_ms));
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
        line_come_back(l);
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
        fail_with(u, ERR_UPSTREAM_INVALID, str_of(why), why);
        return true;
    }
    l->framing = framing_response(&h, u->head_request);
    if (l->framing.kind == FRAMING_BAD || h.status == 101) {
        fail_with(u, ERR_UPSTREAM_INVALID, str_of(h.status == 101 ? "an upgrade nobody asked for" : l->framing.why), "framing");
        return true;
    }
    if (h.status < 200) {
        stream_take(&l->stream, h.size);
        if (++l->interims > INTERIM_MAX)
            fail_with(u, ERR_UPSTREAM_INVALID, STR("too many interim answers"), "1xx");
        return true;
    }
    line_move(l, LINE_BODY, PHASE(l->u, idle_ms));
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
    default: fail_with(l->u, ERR_UPSTREAM_INVALID, str_of(l->chunked.why), "chunked"); return true;
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
        fail_with(u, ERR_UPSTREAM_INVALID, STR("the head is too large"), "head");
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
            line_come_back(l);
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
            timer_set(l->owner->loop, &l->timer, PHASE(l->u, idle_ms), line_timeout);
    }
    l->reading = false;
}

static void next_address(struct upstream *u, const char *note);

static void step_connect(struct line *l)
{
    int problem = 0;
    socklen_t size = sizeof problem;
    struct upstream *u = l->u;
    struct sockaddr_storage peer;
    getsockopt(l->stream.sock.watch.fd, SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem) {
        u->line = NULL;
        l->u = NULL;
        line_close(l);
        next_address(u, strerror(problem));
        return;
    }
    size = sizeof peer;
    if (getpeername(l->stream.sock.watch.fd, (struct sockaddr *)&peer, &size))
        return; /* not connected yet */
    timer_stop(&u->connect);
    u->timing.connect_us = (int32_t)(clock_mono_us() - u->phase_us);
    if (!u->url->https) {
        send_request(l);
        return;
    }
    u->phase_us = clock_mono_us();
    line_move(l, LINE_TLS, PHASE(l->u, tls_ms));
    sock_start_tls(&l->stream.sock, tls_client(u->tls ? u->tls : l->owner->tls, l->stream.sock.watch.fd, u->host.p, u->url->ip,
                                              l->pool->session));
}

static void step_tls(struct line *l)
{
    struct upstream *u = l->u;
    enum io r = sock_handshake(&l->stream.sock);
    if (r == IO_WAIT)
        return;
    if (r != IO_DONE) {
        char text[160];
        bool refused = tls_certificate_refused(l->stream.sock.tls);
        fail_with(u, refused ? ERR_CLIENT_CERTIFICATE_REFUSED : ERR_UPSTREAM_TLS, u->url->host,
                  tls_error(l->stream.sock.tls, text, sizeof text));
        return;
    }
    u->timing.tls_us = (int32_t)(clock_mono_us() - u->phase_us);
    send_request(l);
}

static void line_step(struct line *l)
{
    if (l->state == LINE_CONNECT)
        step_connect(l);
    if (l->state == LINE_TLS)
        step_tls(l);
    if (l->state == LINE_IDLE) {
        /* Bytes or an end while nobody asked: use it no more. TLS tickets are bytes too, but come with the first answer. */
        if (l->stream.sock.hung_up || sock_is_stale(&l->stream.sock))
            line_close(l);
        return;
    }
    if (l->state != LINE_HEAD && l->state != LINE_BODY)
        return;
    struct upstream *u = l->u;
    if (l->stream.blocked || stream_unsent(&l->stream)) {
        bool all = stream_unblock(&l->stream);
        if (all && !u->body_done && u->writable) {
            if (l->state == LINE_HEAD)
                timer_set(l->owner->loop, &l->timer, PHASE(l->u, first_byte_ms), line_timeout);
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

static void on_line_ready(struct sock *s) { line_step(list_entry(s, struct line, stream.sock)); }

/* ---- dialling ---- */

static socklen_t to_sockaddr(const struct address *a, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (a->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(a->port);
    memcpy(&in->sin6_addr, a->ip, 16);
    return sizeof *in;
}

static void on_connect_timeout(struct timer *t)
{
    struct upstream *u = list_entry(t, struct upstream, connect);
    fail_with(u, ERR_UPSTREAM_TIMEOUT, STR("connecting"), "connect");
}

static void next_address(struct upstream *u, const char *note)
{
    struct upstreams *s = u->owner;
    while (u->address_at < u->address_count) {
        const struct address *a = &u->addresses[u->address_at++];
        struct sockaddr_storage at;
        socklen_t size = to_sockaddr(a, &at);
        int one = 1, fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            note = strerror(errno);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, (struct sockaddr *)&at, size) && errno != EINPROGRESS) {
            note = strerror(errno);
            close(fd);
            continue;
        }
        struct line *l = mem_zero(sizeof *l);
        struct fault why;
        l->owner = s;
        l->stream.pool = s->buffers;
        l->state = LINE_CONNECT;
        if (sock_open(&l->stream.sock, s->loop, fd, NULL, on_line_ready, &why)) {
            free(l);
            upstream_fail(u, &why);
            return;
        }
        l->pool = pool_of(u);
        l->pool->line_count++;
        l->u = u;
        u->line = l;
        list_push_back(&s->lines, &l->link);
        bump(s->counts.opened, 1);
        bump(s->counts.busy, 1);
        return;
    }
    fail_with(u, ERR_UPSTREAM_CONNECT, u->url->host, note);
}

static bool permitted(struct upstream *u, const struct sockaddr_storage *found, size_t n, struct fault *why)
{
    u->address_count = u->address_at = 0;
    /* Every address of the answer must be permitted: no picking of the good ones (requirement 3.5). */
    for (size_t i = 0; i < n; i++) {
        struct address a = { .family = found[i].ss_family == AF_INET ? 4 : 6, .port = u->url->port };
        if (a.family == 4)
            memcpy(a.ip, &((const struct sockaddr_in *)&found[i])->sin_addr, 4);
        else
            memcpy(a.ip, &((const struct sockaddr_in6 *)&found[i])->sin6_addr, 16);
        if (egress_check(u->owner->egress, u->url->host, &a, why))
            return false;
        if ((size_t)u->address_count < COUNT(u->addresses))
            u->addresses[u->address_count++] = a;
    }
    return true;
}

static void on_resolved(struct resolve *r, const struct sockaddr_storage *found, size_t n, const char *problem)
{
    struct upstream *u = list_entry(r, struct upstream, resolve);
    struct fault why;
    u->resolving = false;
    u->timing.resolve_us = (int32_t)(clock_mono_us() - u->phase_us);
    if (!n) {
        fail_with(u, ERR_UPSTREAM_DNS, u->url->host, problem ? problem : "no answer");
        return;
    }
    if (!permitted(u, found, n, &why)) {
        upstream_fail(u, &why);
        return;
    }
    u->phase_us = clock_mono_us();
    next_address(u, "no address");
}

static void dial(struct upstream *u)
{
    struct fault why;
    if (egress_check_url(u->owner->egress, u->url->https, u->url->host, u->url->port, &why)) {
        upstream_fail(u, &why);
        return;
    }
    timer_set(u->owner->loop, &u->connect, PHASE(u, connect_ms), on_connect_timeout);
    u->phase_us = clock_mono_us();
    if (u->url->ip) {
        struct address a;
        struct sockaddr_storage at;
        if (!address_parse(u->url->host, &a)) {
            fail_with(u, ERR_URL_INVALID, STR("not an address"), "ip literal");
            return;
        }
        to_sockaddr(&a, &at);
        on_resolved(&u->resolve, &at, 1, NULL);
        return;
    }
    u->resolving = true;
    u->resolve.done = on_resolved;
    resolve(u->owner->resolver, u->host.p, &u->resolve);
}

static struct line *idle_line(struct upstream *u)
{
    struct pool *p = pool_find(u);
    for (struct list *node; p && (node = p->idle.next) != &p->idle;) {
        struct line *l = list_entry(node, struct line, link);
        /* One look before each use, also for requests that may be sent again: bytes that came while nobody asked would be taken for
         * this request's answer (requirement 5.4). */
        if (sock_is_stale(&l->stream.sock)) {
            line_close(l);
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

static void on_total_timeout(struct timer *t)
{
    struct upstream *u = list_entry(t, struct upstream, total);
    fail_with(u, ERR_UPSTREAM_TIMEOUT, STR("total"), "total");
}

void upstream_start(struct upstream *u)
{
    u->started_us = clock_mono_us();
    if (u->total_ms)
        timer_set(u->owner->loop, &u->total, u->total_ms, on_total_timeout);
    struct line *l = idle_line(u);
    if (!l) {
        dial(u);
        return;
    }
    bump(u->owner->counts.reused, 1);
    u->timing.reused = true;
    u->line = l;
    l->u = u;
    send_request(l);
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
        line_come_back(l);
    else if (taken && l->state == LINE_HEAD)
        timer_set(u->owner->loop, &l->timer, PHASE(u, first_byte_ms), line_timeout);
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
        line_come_back(l);
}

void upstream_resume(struct upstream *u)
{
    struct line *l = u->line;
    if (!l || !l->paused)
        return;
    l->paused = false;
    timer_set(u->owner->loop, &l->timer, PHASE(u, idle_ms), line_timeout);
    line_come_back(l);
}

void upstream_cancel(struct upstream *u)
{
    struct line *l = u->line;
    if (u->over || !u->owner)
        return;
    upstream_over(u);
    if (l) {
        l->u = NULL;
        line_close(l);
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
        line_close(l);
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
            line_close(list_entry(p->idle.next, struct line, link));
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
