#include "http/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "http/chunked.h"
#include "http/status.h"
#include "http/stream.h"
#include "loop/count.h"

#define ACCEPT_BURST 64
#define READ_BURST (256 * 1024)   /* bytes a client may take of one round, so that others get their turn */
#define SMALL_WRITE 4096          /* gathered rather than sent at once */
#define DRAIN_MAX (64 * 1024)     /* unread body bytes that are worth swallowing to keep the connection */
#define LINGER_MS 2000            /* without a byte from the peer */
#define LINGER_MOST_MS 30000
#define ARENA_FIRST 4096
#define SPARE_EXCHANGES 128

enum client_state {
    CLIENT_HANDSHAKE, /* TLS */
    CLIENT_IDLE,      /* between requests */
    CLIENT_HEAD,      /* a request has begun */
    CLIENT_EXCHANGE,  /* a handler has it */
    CLIENT_SWALLOW,   /* answered; the rest of the body is read and dropped */
    CLIENT_LINGER     /* sent and shut; reading until the peer has closed, so that it sees our answer */
};

struct client {
    struct stream stream;       /* first: list_entry by the socket */
    struct server *server;
    struct list link;
    struct timer timer;
    struct loop_job again;      /* to come back after a burst; also to be freed */
    bool again_posted;
    enum client_state state;
    size_t resume;              /* head parser's */
    struct address peer;
    struct exchange *x;
    int64_t window_bytes;       /* body bytes in this window, for the slowest permitted client */
    uint64_t sent_before;       /* at the last look for a stalled reader */
    struct mono waiting_since;  /* the request is complete: the answer is due */
};

struct exchange {
    struct exchange *spare_next;
    struct arena *arena;
    struct client *client;
    struct head head;
    struct framing framing;
    struct chunked chunked;
    uint64_t body_left;
    bool body_ended, body_paused, feeding, refused, body_told;
    bool begun, headed, dated, ended, keep_alive, no_body, in_enter;
    enum framing_kind answer;
    uint64_t answer_left, chunk_left;
    exchange_sink *sink;
    void (*drained)(struct exchange *x);
    void (*gone)(struct exchange *x);
    void *user;
};

struct server {
    struct server_config config;
    struct watch listener;
    struct timer accept_again;
    struct stream_pool *pool;
    struct list clients;
    /* Written by the loop, read by /metrics on any thread. */
    _Atomic int count;
    _Atomic uint64_t accepted, requests;
    bool listening, draining;
    void (*drained)(void *context);
    void *drained_context;
    struct exchange *spare;
    int spares;
    char date[40];              /* "Date: ...\r\n" (RFC 9110 6.6.1), renewed each second */
    size_t date_size;
    int64_t date_second;
};

static void client_step(struct client *c);
static void client_timeout(struct timer *t);
static void exchange_finish(struct exchange *x);

static void client_timer(struct client *c, int64_t ms) { timer_set(c->server->config.loop, &c->timer, ms, client_timeout); }

/* ---- life of a client ---- */

static void client_free(struct loop_job *job)
{
    struct client *c = list_entry(job, struct client, again);
    free(c);
}

/* From here on nothing of the handler is called: it has ended the exchange, or was told that it is gone. */
static void forget_handler(struct exchange *x)
{
    x->sink = NULL;
    x->drained = NULL;
    x->gone = NULL;
}

static void tell_gone(struct exchange *x)
{
    void (*gone)(struct exchange *) = x->gone;
    forget_handler(x);
    if (gone)
        gone(x);
}

static void exchange_drop(struct exchange *x)
{
    struct server *s = x->client->server;
    arena_reset(x->arena);
    x->client->x = NULL;
    if (s->spares < SPARE_EXCHANGES) {
        x->spare_next = s->spare;
        s->spare = x;
        s->spares++;
        return;
    }
    arena_free(x->arena);
    free(x);
}

static void told_drained(struct server *s)
{
    if (s->draining && !glance(s->count) && s->drained) {
        void (*done)(void *) = s->drained;
        s->drained = NULL;
        done(s->drained_context);
    }
}

static void client_close(struct client *c)
{
    struct server *s = c->server;
    if (!c->stream.sock.open)
        return;
    timer_stop(&c->timer);
    stream_close(&c->stream);
    list_remove(&c->link);
    bump(s->count, -1);
    if (c->x) {
        tell_gone(c->x);
        exchange_drop(c->x);
    }
    if (!c->again_posted) {
        c->again_posted = true;
        c->again.do_it = client_free;
        loop_later(s->config.loop, &c->again);
    } else {
        c->again.do_it = client_free; /* it is queued already: let it do this instead */
    }
    told_drained(s);
}

static void client_again(struct loop_job *job)
{
    struct client *c = list_entry(job, struct client, again);
    c->again_posted = false;
    client_step(c);
}

static void client_come_back(struct client *c)
{
    if (c->again_posted || !c->stream.sock.open)
        return;
    c->again_posted = true;
    c->again.do_it = client_again;
    loop_later(c->server->config.loop, &c->again);
}

static void on_client_ready(struct sock *s) { client_step(list_entry(s, struct client, stream.sock)); }

static void client_idle(struct client *c)
{
    c->state = CLIENT_IDLE;
    c->resume = 0;
    if (c->server->draining && !stream_in(&c->stream).n) {
        client_close(c);
        return;
    }
    stream_idle(&c->stream);
    client_timer(c, c->server->config.limits.idle_ms);
}

static void address_of(const struct sockaddr_storage *from, struct address *out)
{
    *out = (struct address){ 0 };
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        out->family = 4;
        memcpy(out->ip, &in->sin_addr, 4);
        out->port = ntohs(in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)from;
        out->family = 6;
        memcpy(out->ip, &in->sin6_addr, 16);
        out->port = ntohs(in->sin6_port);
    }
}

static void client_new(struct server *s, int fd, const struct sockaddr_storage *from)
{
    struct client *c = mem_zero(sizeof *c);
    struct fault why;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->server = s;
    c->stream.pool = s->pool;
    address_of(from, &c->peer);
    struct tls *tls = s->config.tls ? tls_server(s->config.tls, fd) : NULL;
    if (sock_open(&c->stream.sock, s->config.loop, fd, tls, on_client_ready, &why)) {
        free(c);
        return;
    }
    list_push_back(&s->clients, &c->link);
    bump(s->count, 1);
    bump(s->accepted, 1);
    c->state = tls ? CLIENT_HANDSHAKE : CLIENT_IDLE;
    client_timer(c, s->config.limits.head_ms);
    /* Bytes may have arrived with the connection: the first edge comes by itself after EPOLL_CTL_ADD. */
}

static void accept_again(struct timer *t);

static void on_accept(struct watch *w, unsigned events)
{
    struct server *s = list_entry(w, struct server, listener);
    (void)events;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        int fd = glance(s->count) < s->config.limits.clients
                     ? accept4(w->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
                     : (errno = EMFILE, -1);
        if (fd >= 0) {
            client_new(s, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* Full: let the backlog wait and look again soon, instead of spinning on a listener that stays readable. */
            watch_remove(s->config.loop, w);
            timer_set(s->config.loop, &s->accept_again, 100, accept_again);
        }
        return;
    }
}

static void accept_again(struct timer *t)
{
    struct server *s = list_entry(t, struct server, accept_again);
    struct fault why;
    if (s->listening && watch_add_listener(s->config.loop, &s->listener, &why))
        timer_set(s->config.loop, t, 1000, accept_again);
}

/* ---- requests ---- */

static struct exchange *exchange_new(struct client *c)
{
    struct server *s = c->server;
    struct exchange *x = s->spare;
    struct arena *arena;
    if (x) {
        s->spare = x->spare_next;
        s->spares--;
        arena = x->arena;
    } else {
        x = mem_grow(NULL, sizeof *x);
        arena = arena_new(ARENA_FIRST);
    }
    /* Not the head's header array: it is large, and written by the parser. */
    memset((char *)x, 0, offsetof(struct exchange, head));
    memset((char *)x + offsetof(struct exchange, framing), 0, sizeof *x - offsetof(struct exchange, framing));
    x->arena = arena;
    x->client = c;
    c->x = x;
    return x;
}

static enum err head_error(enum head_result r)
{
    switch (r) {
    case HEAD_VERSION: return ERR_HTTP_VERSION;
    case HEAD_TOO_LARGE:
    case HEAD_TOO_MANY_HEADERS: return ERR_HEAD_TOO_LARGE;
    case HEAD_URI_TOO_LONG: return ERR_URI_TOO_LONG;
    default: return ERR_REQUEST_INVALID;
    }
}

/* The request cannot be understood: answer, then close; what follows on this connection means nothing. */
static void refuse(struct client *c, struct exchange *x, enum err e, const char *detail)
{
    struct server *s = c->server;
    c->state = CLIENT_EXCHANGE;
    x->refused = true;
    x->keep_alive = false;
    x->body_ended = true;
    forget_handler(x);
    client_timer(c, s->config.limits.write_ms);
    if (s->config.refuse)
        s->config.refuse(x, e, detail, s->config.context);
    else
        exchange_answer(x, err_row(e)->status, "text/plain", STR(""));
}

/* The head stays readable for the whole exchange, while the buffer it came in is used for the body and the next request. Its texts
 * move with it. */
static void keep_head(struct exchange *x, struct str bytes)
{
    char *copy = arena_alloc(x->arena, x->head.size);
    memcpy(copy, bytes.p, x->head.size);
#define MOVE(s) ((s).p = (s).p >= bytes.p && (s).p <= bytes.p + x->head.size ? copy + ((s).p - bytes.p) : (s).p)
    MOVE(x->head.method);
    MOVE(x->head.target);
    MOVE(x->head.path);
    MOVE(x->head.query);
    MOVE(x->head.host);
    for (int i = 0; i < x->head.count; i++) {
        MOVE(x->head.headers[i].name);
        MOVE(x->head.headers[i].value);
    }
#undef MOVE
}

static void enter(struct client *c, struct exchange *x)
{
    struct server *s = c->server;
    x->framing = framing_request(&x->head);
    x->keep_alive = x->framing.keep_alive && !s->draining;
    x->no_body = str_is(x->head.method, "HEAD");
    if (x->framing.kind == FRAMING_BAD) {
        refuse(c, x, ERR_REQUEST_INVALID, x->framing.why);
        return;
    }
    if (x->framing.expect == EXPECT_UNKNOWN) {
        refuse(c, x, ERR_EXPECTATION_FAILED, "");
        return;
    }
    x->body_left = x->framing.kind == FRAMING_LENGTH ? x->framing.length : 0;
    x->body_ended = x->framing.kind == FRAMING_NONE || (x->framing.kind == FRAMING_LENGTH && !x->body_left);
    chunked_init(&x->chunked);
    c->state = CLIENT_EXCHANGE;
    c->waiting_since = loop_now(s->config.loop);
    bump(s->requests, 1);
    client_timer(c, s->config.limits.total_ms);
    s->config.enter(x, s->config.context);
}

/* True when something happened and the client is worth another look. */
static bool step_head(struct client *c)
{
    struct server *s = c->server;
    struct str in = stream_in(&c->stream);
    if (!in.n)
        return false;
    struct exchange *x = exchange_new(c);
    const char *why = "";
    enum head_result r = head_request(in, &c->resume, &s->config.limits.head, &x->head, &why);
    if (r == HEAD_MORE) {
        exchange_drop(x);
        if (c->state == CLIENT_IDLE) {
            c->state = CLIENT_HEAD;
            client_timer(c, s->config.limits.head_ms);
        }
        return false;
    }
    c->resume = 0;
    if (r != HEAD_DONE) {
        x->head.method = STR("");
        x->head.count = 0;
        x->head.minor = 1;
        stream_take(&c->stream, in.n);
        refuse(c, x, head_error(r), why);
        return true;
    }
    keep_head(x, in);
    stream_take(&c->stream, x->head.size);
    enter(c, x);
    return true;
}

/* What follows on this connection means nothing. An answer that has begun cannot turn into a refusal. */
static void bad_body(struct client *c, struct exchange *x)
{
    const char *why = x->chunked.why;
    if (x->begun) {
        client_close(c);
        return;
    }
    tell_gone(x);
    stream_take(&c->stream, stream_in(&c->stream).n);
    refuse(c, x, ERR_REQUEST_INVALID, why);
}

/* Body bytes that are in the buffer go to the sink. True when something moved. */
static bool feed(struct client *c, struct exchange *x)
{
    bool moved = false;
    x->feeding = true;
    while (!x->body_paused && !x->body_ended && stream_in(&c->stream).n) {
        struct str in = stream_in(&c->stream), span = in;
        if (x->framing.kind == FRAMING_CHUNKED && !x->chunk_left) {
            size_t used;
            enum chunked_result r = chunked_next(&x->chunked, in, &span, &used);
            if (r == CHUNKED_BAD) {
                x->feeding = false;
                bad_body(c, x);
                return c->stream.sock.open;
            }
            if (r == CHUNKED_DATA) {
                /* The span stays in the buffer until the sink has taken it: remember how much of it is plain body. */
                stream_take(&c->stream, (size_t)(span.p - in.p));
                x->chunk_left = span.n;
            } else {
                stream_take(&c->stream, used);
                x->body_ended = r == CHUNKED_END;
            }
            moved = true;
            continue;
        }
        uint64_t left = x->framing.kind == FRAMING_CHUNKED ? x->chunk_left : x->body_left;
        if (span.n > left)
            span.n = (size_t)left;
        size_t took = x->sink ? x->sink(x, span, false) : span.n;
        if (c->x != x)
            return true; /* the sink ended the exchange */
        stream_take(&c->stream, took);
        c->window_bytes += (int64_t)took;
        moved |= took > 0;
        if (x->framing.kind == FRAMING_CHUNKED)
            x->chunk_left -= took;
        else
            x->body_ended = !(x->body_left -= took);
        if (took < span.n)
            x->body_paused = true;
    }
    x->feeding = false;
    if (x->body_ended && !x->body_told && x->sink && !x->body_paused) {
        x->body_told = true;
        c->waiting_since = loop_now(c->server->config.loop);
        x->sink(x, STR_NONE, true);
        return true;
    }
    return moved;
}

/* The rest of a body that nobody wanted. */
static bool swallow(struct client *c, struct exchange *x)
{
    bool moved = feed(c, x);
    if (!c->stream.sock.open || !x->body_ended)
        return moved;
    exchange_drop(x);
    client_idle(c);
    return true;
}

static bool wants_input(const struct client *c)
{
    switch (c->state) {
    case CLIENT_IDLE:
    case CLIENT_HEAD:
    case CLIENT_SWALLOW:
    case CLIENT_LINGER: return true;
    case CLIENT_EXCHANGE: return c->x->sink && !c->x->body_ended && !c->x->body_paused;
    default: return false;
    }
}

static bool step_input(struct client *c)
{
    switch (c->state) {
    case CLIENT_IDLE:
    case CLIENT_HEAD: return step_head(c);
    case CLIENT_EXCHANGE:
        return c->x->sink && !c->x->feeding && (!c->x->body_ended || !c->x->body_told) && feed(c, c->x);
    case CLIENT_SWALLOW: return swallow(c, c->x);
    case CLIENT_LINGER:
        c->window_bytes += (int64_t)stream_in(&c->stream).n;
        stream_take(&c->stream, stream_in(&c->stream).n);
        return false;
    default: return false;
    }
}

static void step_output(struct client *c)
{
    if (!c->stream.blocked && !stream_unsent(&c->stream))
        return;
    bool all = stream_unblock(&c->stream);
    if (c->stream.failed) {
        client_close(c);
        return;
    }
    if (!all)
        return;
    struct exchange *x = c->x;
    if (c->state == CLIENT_EXCHANGE && x->ended) {
        exchange_finish(x);
    } else if (c->state == CLIENT_EXCHANGE && x->drained) {
        x->drained(x);
    }
}

static void client_step(struct client *c)
{
    if (!c->stream.sock.open)
        return;
    if (c->stream.failed) {
        client_close(c);
        return;
    }
    if (c->state == CLIENT_HANDSHAKE) {
        enum io r = sock_handshake(&c->stream.sock);
        if (r == IO_FAILED)
            client_close(c);
        if (r != IO_DONE)
            return;
        c->state = CLIENT_IDLE;
    }
    step_output(c);
    size_t burst = 0;
    while (c->stream.sock.open) {
        if (step_input(c))
            continue;
        if (!c->stream.sock.open || !wants_input(c))
            break;
        if (burst >= READ_BURST) {
            client_come_back(c);
            return;
        }
        size_t before = c->stream.in.end - c->stream.in.start;
        size_t most = c->state == CLIENT_EXCHANGE ? STREAM_LARGE : c->server->config.limits.head.max_bytes + 1;
        enum io r = stream_fill(&c->stream, most < STREAM_SMALL ? STREAM_SMALL : most);
        burst += c->stream.in.end - c->stream.in.start - before;
        if (r == IO_WAIT)
            break;
        if (r == IO_EOF || r == IO_FAILED) {
            /* A half-closed client gets no answer: nothing tells it from one that has left. */
            client_close(c);
            return;
        }
    }
    /* While a handler works and no body is wanted, an end of the stream still means that the caller has left. */
    if (c->stream.sock.open && c->state == CLIENT_EXCHANGE && c->stream.sock.hung_up && !wants_input(c) && !c->x->ended)
        client_close(c);
}

static void client_timeout(struct timer *t)
{
    struct client *c = list_entry(t, struct client, timer);
    struct server *s = c->server;
    struct exchange *x = c->x;
    if (c->state == CLIENT_HEAD) {
        x = exchange_new(c);
        x->head.method = STR("");
        x->head.count = 0;
        x->head.minor = 1;
        refuse(c, x, ERR_REQUEST_TIMEOUT, "");
        return;
    }
    /* A client that is still sending has not read our answer yet: a reset now might take it away. */
    if (c->state == CLIENT_LINGER && c->window_bytes && mono_since(c->waiting_since, loop_now(s->config.loop)) < LINGER_MOST_MS) {
        c->window_bytes = 0;
        client_timer(c, LINGER_MS);
        return;
    }
    if (c->state != CLIENT_EXCHANGE) {
        client_close(c);
        return;
    }
    if (x->headed) {
        /* Answering: only a reader that takes nothing at all is too slow. */
        bool stalled = stream_unsent(&c->stream) + c->stream.blocked > 0 && c->stream.sent == c->sent_before;
        c->sent_before = c->stream.sent;
        if (stalled)
            client_close(c);
        else
            client_timer(c, s->config.limits.write_ms);
        return;
    }
    if (x->body_paused) {
        /* The handler takes no more for now: it has limits of its own, and the caller is not to blame. */
        client_timer(c, s->config.limits.body_window_ms);
        return;
    }
    bool reading = wants_input(c);
    int64_t since = mono_since(c->waiting_since, loop_now(s->config.loop));
    bool too_slow = reading && c->window_bytes < s->config.limits.body_rate * s->config.limits.body_window_ms / 1000;
    bool too_long = !reading && since >= s->config.limits.total_ms;
    c->window_bytes = 0;
    if (!too_slow && !too_long) {
        client_timer(c, reading ? s->config.limits.body_window_ms : s->config.limits.total_ms - since);
        return;
    }
    tell_gone(x);
    refuse(c, x, ERR_REQUEST_TIMEOUT, "");
}

/* ---- what a handler sees ---- */

struct arena *exchange_arena(struct exchange *x) { return x->arena; }
const struct head *exchange_head(const struct exchange *x) { return &x->head; }
void exchange_strip(struct exchange *x, size_t n) { x->head.path = str_sub(x->head.path, n, x->head.path.n); }
const struct framing *exchange_framing(const struct exchange *x) { return &x->framing; }
const struct address *exchange_peer(const struct exchange *x) { return &x->client->peer; }
struct loop *exchange_loop(const struct exchange *x) { return x->client->server->config.loop; }
void *exchange_user(const struct exchange *x) { return x->user; }
void exchange_set_user(struct exchange *x, void *user) { x->user = user; }
void exchange_on_gone(struct exchange *x, void (*gone)(struct exchange *x)) { x->gone = gone; }
void exchange_on_drained(struct exchange *x, void (*drained)(struct exchange *x)) { x->drained = drained; }
bool exchange_body_ended(const struct exchange *x) { return x->body_ended; }
bool exchange_started(const struct exchange *x) { return x->begun; }

void exchange_read(struct exchange *x, exchange_sink *sink)
{
    struct client *c = x->client;
    x->sink = sink;
    if (x->framing.expect == EXPECT_CONTINUE && !x->body_ended && !x->begun && !stream_in(&c->stream).n && x->head.minor == 1) {
        stream_put(&c->stream, STR("HTTP/1.1 100 Continue\r\n\r\n"));
        stream_send(&c->stream, STR_NONE);
    }
    if (!x->body_ended)
        client_timer(c, c->server->config.limits.body_window_ms);
    client_come_back(c);
}

void exchange_resume(struct exchange *x)
{
    if (!x->body_paused)
        return;
    x->body_paused = false;
    if (!x->headed) {
        x->client->window_bytes = 0; /* the caller's rate is measured over time in which it could send */
        client_timer(x->client, x->client->server->config.limits.body_window_ms);
    }
    client_come_back(x->client);
}

void exchange_status(struct exchange *x, int status, struct str reason)
{
    struct stream *s = &x->client->stream;
    char line[] = "HTTP/1.1 000 ";
    x->begun = true;
    line[9] = (char)('0' + status / 100 % 10);
    line[10] = (char)('0' + status / 10 % 10);
    line[11] = (char)('0' + status % 10);
    stream_put(s, (struct str){ line, sizeof line - 1 });
    stream_put(s, reason.n ? reason : status_reason(status));
    stream_put(s, STR("\r\n"));
    if (status == 204 || status == 304 || status < 200)
        x->no_body = true;
}

void exchange_header(struct exchange *x, struct str name, struct str value)
{
    struct stream *s = &x->client->stream;
    char *to = stream_room(s, name.n + value.n + 4);
    memcpy(to, name.p, name.n);
    memcpy(to + name.n, ": ", 2);
    if (value.n)
        memcpy(to + name.n + 2, value.p, value.n);
    memcpy(to + name.n + 2 + value.n, "\r\n", 2);
    s->out.end += name.n + value.n + 4;
    if (name.n == 4 && str_ieq(name, STR("date")))
        x->dated = true;
}

static struct str date_line(struct server *s)
{
    int64_t second = loop_now(s->config.loop).ms / 1000;
    if (second != s->date_second || !s->date_size) {
        time_t now = time(NULL);
        struct tm utc;
        s->date_second = second;
        /* The program never leaves the C locale for times: the names are English. */
        s->date_size = strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &utc));
    }
    return (struct str){ s->date, s->date_size };
}

/* May the rest of the request be read and dropped, to keep the connection? A client that waits for 100 may send the body or not. */
static bool worth_swallowing(const struct exchange *x)
{
    if (x->body_ended)
        return true;
    bool sent_for = x->sink || x->framing.expect != EXPECT_CONTINUE;
    return sent_for && x->framing.kind == FRAMING_LENGTH && x->body_left <= DRAIN_MAX;
}

void exchange_body(struct exchange *x, enum framing_kind kind, uint64_t length)
{
    struct stream *s = &x->client->stream;
    if (kind == FRAMING_CHUNKED && x->head.minor == 0) {
        kind = FRAMING_UNTIL_CLOSE; /* HTTP/1.0 knows no chunks */
        x->keep_alive = false;
    }
    if (kind == FRAMING_LENGTH) {
        char digits[STR_U64_MAX];
        exchange_header(x, STR("Content-Length"), (struct str){ digits, str_put_u64(digits, length) });
    } else if (kind == FRAMING_CHUNKED && !x->no_body) {
        exchange_header(x, STR("Transfer-Encoding"), STR("chunked"));
    } else if (kind == FRAMING_NONE && !x->no_body) {
        exchange_header(x, STR("Content-Length"), STR("0"));
    }
    if (!x->dated)
        stream_put(s, date_line(x->client->server));
    if (!worth_swallowing(x))
        x->keep_alive = false;
    if (x->client->server->draining)
        x->keep_alive = false;
    if (!x->keep_alive)
        stream_put(s, STR("Connection: close\r\n"));
    else if (x->head.minor == 0)
        stream_put(s, STR("Connection: keep-alive\r\n"));
    stream_put(s, STR("\r\n"));
    x->answer = kind;
    x->answer_left = kind == FRAMING_LENGTH ? length : 0;
    x->headed = true;
}

static bool still_open(struct exchange *x)
{
    if (!x->client->stream.failed)
        return true;
    client_come_back(x->client); /* closes there, outside of the handler's call */
    return false;
}

/* Chunks of the answer are framed whole: a span that is begun is either gathered or sent to its end before the next begins. */
static size_t write_chunk(struct exchange *x, struct str span)
{
    struct stream *s = &x->client->stream;
    if (s->blocked || stream_unsent(s) > STREAM_SMALL)
        return 0;
    if (span.n > STREAM_SMALL)
        span.n = STREAM_SMALL;
    char *to = stream_room(s, CHUNKED_HEAD_MAX);
    s->out.end += chunked_head(to, span.n);
    stream_put(s, span);
    stream_put(s, STR("\r\n"));
    if (stream_unsent(s) >= SMALL_WRITE)
        stream_send(s, STR_NONE);
    return span.n;
}

/* What is gathered leaves when the round ends, unless more comes before: an answer that trickles must not wait for its next piece.
 */
static void leave_soon(struct exchange *x)
{
    struct stream *s = &x->client->stream;
    if (still_open(x) && !s->blocked && stream_unsent(s))
        client_come_back(x->client);
}

size_t exchange_write(struct exchange *x, struct str span)
{
    struct stream *s = &x->client->stream;
    if (!still_open(x))
        return 0;
    if (x->no_body)
        return span.n;
    if (x->answer == FRAMING_CHUNKED) {
        size_t taken = 0;
        for (size_t n = 1; taken < span.n && n; taken += n)
            n = write_chunk(x, str_sub(span, taken, span.n));
        leave_soon(x);
        return taken;
    }
    if (x->answer == FRAMING_LENGTH) {
        if (span.n > x->answer_left)
            bug("more body than the head announced");
    }
    size_t taken;
    if (s->blocked) {
        taken = 0;
    } else if (span.n <= SMALL_WRITE && stream_unsent(s) <= SMALL_WRITE) {
        stream_put(s, span);
        taken = span.n;
    } else {
        taken = stream_send(s, span);
    }
    x->answer_left -= x->answer == FRAMING_LENGTH ? taken : 0;
    if (s->blocked && x->client->sent_before != s->sent) {
        x->client->sent_before = s->sent;
        client_timer(x->client, x->client->server->config.limits.write_ms);
    }
    leave_soon(x);
    return taken;
}

void exchange_flush(struct exchange *x)
{
    if (still_open(x))
        stream_send(&x->client->stream, STR_NONE);
    still_open(x);
}

/* Everything is sent. */
static void exchange_finish(struct exchange *x)
{
    struct client *c = x->client;
    bool keep = x->keep_alive, unread = !x->body_ended;
    if (!keep || (unread && (x->framing.kind != FRAMING_LENGTH || x->body_left > DRAIN_MAX))) {
        exchange_drop(x);
        sock_shutdown(&c->stream.sock);
        c->state = CLIENT_LINGER;
        c->window_bytes = 0;
        c->waiting_since = loop_now(c->server->config.loop);
        client_timer(c, LINGER_MS);
        client_come_back(c);
        return;
    }
    if (unread) {
        c->state = CLIENT_SWALLOW;
        x->body_paused = false;
        client_timer(c, c->server->config.limits.body_window_ms);
        client_come_back(c);
        return;
    }
    exchange_drop(x);
    client_idle(c);
    if (c->stream.sock.open)
        client_come_back(c); /* a pipelined request, or a hang-up that was not looked at */
}

void exchange_end(struct exchange *x)
{
    struct client *c = x->client;
    if (x->answer == FRAMING_LENGTH && x->answer_left && !x->no_body) {
        exchange_abort(x);
        return;
    }
    if (x->answer == FRAMING_CHUNKED && !x->no_body)
        stream_put(&c->stream, STR(CHUNKED_LAST));
    x->ended = true;
    forget_handler(x);
    client_timer(c, c->server->config.limits.write_ms);
    stream_send(&c->stream, STR_NONE);
    if (!still_open(x))
        return;
    if (!c->stream.blocked)
        exchange_finish(x);
}

void exchange_abort(struct exchange *x)
{
    struct client *c = x->client;
    forget_handler(x);
    /* A reset, not an orderly end: a length-less answer must not look complete. */
    sock_abort(&c->stream.sock);
    client_close(c);
}

void exchange_answer(struct exchange *x, int status, const char *content_type, struct str body)
{
    exchange_status(x, status, STR_NONE);
    exchange_header(x, STR("Content-Type"), str_of(content_type));
    exchange_body(x, FRAMING_LENGTH, body.n);
    stream_put(&x->client->stream, x->no_body ? STR_NONE : body);
    x->answer_left = 0;
    exchange_end(x);
}

/* ---- the server ---- */

enum err server_listen(const struct address *where, int *fd, struct address *bound, struct fault *why)
{
    struct sockaddr_storage at = { 0 };
    socklen_t size;
    if (where->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)&at;
        in->sin_family = AF_INET;
        in->sin_port = htons(where->port);
        memcpy(&in->sin_addr, where->ip, 4);
        size = sizeof *in;
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)&at;
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(where->port);
        memcpy(&in->sin6_addr, where->ip, 16);
        size = sizeof *in;
    }
    int one = 1, s = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return fault(why, ERR_CONFIG, STR("cannot open a socket to listen on"), "socket: %m");
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&at, size) || listen(s, 4096)) {
        fault(why, ERR_CONFIG, STR("cannot listen on that address and port; is it taken, or another machine's?"),
              "bind or listen: %m");
        close(s);
        return why ? why->err : ERR_CONFIG;
    }
    size = sizeof at;
    getsockname(s, (struct sockaddr *)&at, &size);
    address_of(&at, bound);
    *fd = s;
    return ERR_NONE;
}

enum err server_new(const struct server_config *config, int fd, struct server **out, struct fault *why)
{
    struct server *s = mem_zero(sizeof *s);
    s->config = *config;
    s->pool = stream_pool_new();
    list_init(&s->clients);
    s->listener = (struct watch){ fd, on_accept };
    enum err e = watch_add_listener(config->loop, &s->listener, why);
    if (e) {
        close(fd);
        stream_pool_free(s->pool);
        free(s);
        return e;
    }
    s->listening = true;
    *out = s;
    return ERR_NONE;
}

static void stop_listening(struct server *s)
{
    if (!s->listening)
        return;
    s->listening = false;
    timer_stop(&s->accept_again);
    watch_remove(s->config.loop, &s->listener);
    close(s->listener.fd);
}

void server_drain(struct server *s, void (*done)(void *context), void *context)
{
    stop_listening(s);
    s->draining = true;
    s->drained = done;
    s->drained_context = context;
    list_each_safe(node, &s->clients) {
        struct client *c = list_entry(node, struct client, link);
        if (c->x)
            c->x->keep_alive = false;
        if (c->state == CLIENT_IDLE)
            client_step(c); /* a request that has arrived is answered */
        if (c->stream.sock.open && (c->state == CLIENT_IDLE || c->state == CLIENT_HANDSHAKE))
            client_close(c);
    }
    told_drained(s);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    stop_listening(s);
    s->drained = NULL;
    while (!list_empty(&s->clients))
        client_close(list_entry(s->clients.next, struct client, link));
    while (s->spare) {
        struct exchange *x = s->spare;
        s->spare = x->spare_next;
        arena_free(x->arena);
        free(x);
    }
    stream_pool_free(s->pool);
    free(s);
}

int server_clients(const struct server *s) { return glance(s->count); }
uint64_t server_accepted(const struct server *s) { return glance(s->accepted); }
uint64_t server_requests(const struct server *s) { return glance(s->requests); }
