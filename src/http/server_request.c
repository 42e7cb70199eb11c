#include "http/server_inside.h"

#include "loop/count.h"

#define READ_BURST (256 * 1024) /* bytes a client may take of one round, so that others get their turn */
#define LINGER_MOST_MS 30000

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

/* What a refusal says after its row's sentence: the limit that was passed, or what is wrong. */
static const char *head_detail(enum head_result r, const struct head_limits *limits, const char *why, char *text, size_t size)
{
    switch (r) {
    case HEAD_TOO_LARGE: snprintf(text, size, "%zu bytes", limits->max_bytes); return text;
    case HEAD_URI_TOO_LONG: snprintf(text, size, "%zu bytes", limits->max_uri); return text;
    case HEAD_TOO_MANY_HEADERS: snprintf(text, size, "%d headers", limits->max_headers); return text;
    default: return why;
    }
}

/* The request cannot be understood: answer, then close; what follows on this connection means nothing. */
static void refuse(struct client *c, struct exchange *x, enum err e, const char *detail)
{
    struct server *s = c->server;
    c->state = CLIENT_EXCHANGE;
    x->keep_alive = false;
    x->body_ended = true;
    exchange_forget_handler(x);
    server_client_timer(c, s->config.limits.write_ms);
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
    server_client_timer(c, s->config.limits.total_ms);
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
            server_client_timer(c, s->config.limits.head_ms);
        }
        return false;
    }
    c->resume = 0;
    if (r != HEAD_DONE) {
        x->head.method = STR("");
        x->head.count = 0;
        x->head.minor = 1;
        stream_take(&c->stream, in.n);
        char text[32];
        refuse(c, x, head_error(r), head_detail(r, &s->config.limits.head, why, text, sizeof text));
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
        server_client_close(c);
        return;
    }
    exchange_tell_gone(x);
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
    server_client_idle(c);
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
        server_client_close(c);
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

void server_client_step(struct client *c)
{
    if (!c->stream.sock.open)
        return;
    if (c->stream.failed) {
        server_client_close(c);
        return;
    }
    if (c->state == CLIENT_HANDSHAKE) {
        enum io r = sock_handshake(&c->stream.sock);
        if (r == IO_FAILED)
            server_client_close(c);
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
            server_client_come_back(c);
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
            server_client_close(c);
            return;
        }
    }
    /* While a handler works and no body is wanted, an end of the stream still means that the caller has left. */
    if (c->stream.sock.open && c->state == CLIENT_EXCHANGE && c->stream.sock.hung_up && !wants_input(c) && !c->x->ended)
        server_client_close(c);
}

void server_client_timeout(struct timer *t)
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
        server_client_timer(c, LINGER_MS);
        return;
    }
    if (c->state != CLIENT_EXCHANGE) {
        server_client_close(c);
        return;
    }
    if (x->headed) {
        /* Answering: only a reader that takes nothing at all is too slow. */
        bool stalled = stream_unsent(&c->stream) + c->stream.blocked > 0 && c->stream.sent == c->sent_before;
        c->sent_before = c->stream.sent;
        if (stalled)
            server_client_close(c);
        else
            server_client_timer(c, s->config.limits.write_ms);
        return;
    }
    if (x->body_paused) {
        /* The handler takes no more for now: it has limits of its own, and the caller is not to blame. */
        server_client_timer(c, s->config.limits.body_window_ms);
        return;
    }
    bool reading = wants_input(c);
    int64_t since = mono_since(c->waiting_since, loop_now(s->config.loop));
    bool too_slow = reading && c->window_bytes < s->config.limits.body_rate * s->config.limits.body_window_ms / 1000;
    bool too_long = !reading && since >= s->config.limits.total_ms;
    c->window_bytes = 0;
    if (!too_slow && !too_long) {
        server_client_timer(c, reading ? s->config.limits.body_window_ms : s->config.limits.total_ms - since);
        return;
    }
    exchange_tell_gone(x);
    refuse(c, x, ERR_REQUEST_TIMEOUT, "");
}
