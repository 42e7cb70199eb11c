#include "http/server_inside.h"

#include <stdlib.h>
#include <time.h>

#include "http/status.h"

#define SMALL_WRITE 4096      /* gathered rather than sent at once */
#define DRAIN_MAX (64 * 1024) /* unread body bytes that are worth swallowing to keep the connection */
#define ARENA_FIRST 4096
#define SPARE_EXCHANGES 128

/* ---- from the head to the end ---- */

struct exchange *exchange_new(struct client *c)
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

void exchange_drop(struct exchange *x)
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

void exchange_forget_handler(struct exchange *x)
{
    x->sink = NULL;
    x->drained = NULL;
    x->gone = NULL;
}

void exchange_tell_gone(struct exchange *x)
{
    void (*gone)(struct exchange *) = x->gone;
    exchange_forget_handler(x);
    if (gone)
        gone(x);
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
        server_client_timer(c, c->server->config.limits.body_window_ms);
    server_client_come_back(c);
}

void exchange_resume(struct exchange *x)
{
    if (!x->body_paused)
        return;
    x->body_paused = false;
    if (!x->headed) {
        x->client->window_bytes = 0; /* the caller's rate is measured over time in which it could send */
        server_client_timer(x->client, x->client->server->config.limits.body_window_ms);
    }
    server_client_come_back(x->client);
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
    server_client_come_back(x->client); /* closes there, outside of the handler's call */
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
        server_client_come_back(x->client);
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
        server_client_timer(x->client, x->client->server->config.limits.write_ms);
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

void exchange_finish(struct exchange *x)
{
    struct client *c = x->client;
    bool keep = x->keep_alive, unread = !x->body_ended;
    if (!keep || (unread && (x->framing.kind != FRAMING_LENGTH || x->body_left > DRAIN_MAX))) {
        exchange_drop(x);
        sock_shutdown(&c->stream.sock);
        c->state = CLIENT_LINGER;
        c->window_bytes = 0;
        c->waiting_since = loop_now(c->server->config.loop);
        server_client_timer(c, LINGER_MS);
        server_client_come_back(c);
        return;
    }
    if (unread) {
        c->state = CLIENT_SWALLOW;
        x->body_paused = false;
        server_client_timer(c, c->server->config.limits.body_window_ms);
        server_client_come_back(c);
        return;
    }
    exchange_drop(x);
    server_client_idle(c);
    if (c->stream.sock.open)
        server_client_come_back(c); /* a pipelined request, or a hang-up that was not looked at */
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
    exchange_forget_handler(x);
    server_client_timer(c, c->server->config.limits.write_ms);
    stream_send(&c->stream, STR_NONE);
    if (!still_open(x))
        return;
    if (!c->stream.blocked)
        exchange_finish(x);
}

void exchange_abort(struct exchange *x)
{
    struct client *c = x->client;
    exchange_forget_handler(x);
    /* A reset, not an orderly end: a length-less answer must not look complete. */
    sock_abort(&c->stream.sock);
    server_client_close(c);
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
