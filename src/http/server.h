/* http/server.h - the HTTP/1.1 server of one loop: keep-alive, pipelining, chunked both ways, streaming with back-pressure.
 *
 * A client's requests are answered one after another. For each complete head the server calls `enter` with an exchange;
 * from then on the handler drives it: read the body (or not), answer, end. Everything runs on the loop's thread.
 *
 * Re-entrance: `enter`, `sink` and `drained` may call any exchange_ function. exchange_end() and exchange_abort() end the exchange:
 * do not touch it afterwards. When the client goes away first, `gone` is called once and the exchange must not be touched
 * afterwards either.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/arena.h"
#include "crypto/tls.h"
#include "http/address.h"
#include "http/framing.h"
#include "http/head.h"
#include "loop/loop.h"

struct server;
struct exchange;

struct server_limits {
    struct head_limits head;
    int64_t head_ms, idle_ms, total_ms, body_window_ms, write_ms;
    int body_rate;       /* bytes per second, averaged over body_window_ms */
    int clients;         /* open connections of this server */
};

struct server_config {
    struct loop *loop;
    struct tls_context *tls; /* NULL: plain */
    struct server_limits limits;
    void (*enter)(struct exchange *x, void *context);
    /* A request that cannot be understood: write an answer with exchange_answer(); NULL: a bare status line. */
    void (*refuse)(struct exchange *x, enum err e, const char *detail, void *context);
    void *context;
};

/* A listening socket, SO_REUSEPORT, close-on-exec, non-blocking. Port 0: any; *bound says which. */
enum err server_listen(const struct address *where, int *fd, struct address *bound, struct fault *why) MUST_CHECK;
/* Takes fd. */
enum err server_new(const struct server_config *c, int fd, struct server **out, struct fault *why) MUST_CHECK;
/* Stop accepting; close idle clients; finish exchanges with Connection: close; call `done` on the loop when the last client has
 * left. */
void server_drain(struct server *s, void (*done)(void *context), void *context);
/* Closes every client at once and frees. After this no callback. */
void server_free(struct server *s);
/* From any thread. */
int server_clients(const struct server *s);
uint64_t server_accepted(const struct server *s);
uint64_t server_requests(const struct server *s);

/* What a handler sees. */
struct arena *exchange_arena(struct exchange *x);         /* lives until the exchange ends */
const struct head *exchange_head(const struct exchange *x); /* texts are borrowed until the exchange ends */
/* Take `n` bytes off the front of the path: the prefix under which a gateway shows us. What is left begins with '/'. */
void exchange_strip(struct exchange *x, size_t n);
const struct framing *exchange_framing(const struct exchange *x);
const struct address *exchange_peer(const struct exchange *x);
struct loop *exchange_loop(const struct exchange *x);
void *exchange_user(const struct exchange *x);
void exchange_set_user(struct exchange *x, void *user);
/* Called once if the client leaves (or times out) before the exchange ended. */
void exchange_on_gone(struct exchange *x, void (*gone)(struct exchange *x));

/* Body: `sink` gets spans and answers how many bytes it took; fewer than given pauses until exchange_resume(). The end is one call
 * with an empty span and end = true. Asks for the body (100-continue) when the client waits for that. */
typedef size_t exchange_sink(struct exchange *x, struct str span, bool end);
void exchange_read(struct exchange *x, exchange_sink *sink);
void exchange_resume(struct exchange *x);
bool exchange_body_ended(const struct exchange *x);

/* Answer: head first, piece by piece. */
void exchange_status(struct exchange *x, int status, struct str reason /* n == 0: the usual one */);
void exchange_header(struct exchange *x, struct str name, struct str value);
/* Ends the head. FRAMING_LENGTH with its length, FRAMING_CHUNKED for an unknown one, FRAMING_NONE for no body. */
void exchange_body(struct exchange *x, enum framing_kind kind, uint64_t length);
/* Answers how many bytes were taken; fewer than given: wait for `drained`. */
size_t exchange_write(struct exchange *x, struct str span);
void exchange_on_drained(struct exchange *x, void (*drained)(struct exchange *x));
void exchange_flush(struct exchange *x);
bool exchange_started(const struct exchange *x);          /* a head was written */
/* The answer is complete. */
void exchange_end(struct exchange *x);
/* The answer cannot be completed: break the connection so that nobody takes it for whole. */
void exchange_abort(struct exchange *x);
/* Status, content type, body and end in one. */
void exchange_answer(struct exchange *x, int status, const char *content_type, struct str body);

#endif
