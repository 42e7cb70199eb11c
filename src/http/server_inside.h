/* http/server_inside.h - what the files of http/server.h share. Private to them.
 *
 * server.c has the listener and its clients: how they come, wait and leave. server_request.c reads what a client sends, up to the
 * handler, and says when it takes too long. server_exchange.c has one request and its answer: what a handler sees.
 *
 * All of it lives on the server's loop. The server owns its clients, from accept to server_client_close(); a client owns at most
 * one exchange at a time, from exchange_new() to exchange_drop(). A closed client can still be looked at until the round ends; a
 * dropped exchange cannot, it may be another client's already. A handler may end its exchange in any call to it, and close the
 * client: after one, look at c->stream.sock.open and c->x before anything else.
 */
#ifndef HTTP_SERVER_INSIDE_H
#define HTTP_SERVER_INSIDE_H

#include "base/list.h"
#include "http/chunked.h"
#include "http/server.h"
#include "http/stream.h"

#define LINGER_MS 2000 /* without a byte from the peer */

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
    struct exchange *x;         /* NULL: between requests */
    int64_t window_bytes;       /* body bytes in this window, for the slowest permitted client */
    uint64_t sent_before;       /* at the last look for a stalled reader */
    struct mono waiting_since;  /* the request is complete: the answer is due */
};

struct exchange {
    struct exchange *spare_next;
    struct arena *arena;        /* its own, emptied between requests */
    struct client *client;
    struct head head;
    struct framing framing;
    struct chunked chunked;
    uint64_t body_left;
    bool body_ended, body_paused, feeding, body_told; /* feeding: the sink is being called */
    bool begun, headed, dated, ended, keep_alive, no_body;
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
    struct exchange *spare;     /* dropped ones, to be used again */
    int spares;
    char date[40];              /* "Date: ...\r\n" (RFC 9110 6.6.1), renewed each second */
    size_t date_size;
    int64_t date_second;
};

/* Its exchange is gone, and the handler told; the memory goes when the round ends. A second time: nothing. */
void server_client_close(struct client *c);
/* server_client_step() at the end of the round. */
void server_client_come_back(struct client *c);
/* Ready for the next request. Closes instead while the server drains. */
void server_client_idle(struct client *c);
/* Go on as far as socket and handler let it; afterwards it may be closed. */
void server_client_step(struct client *c);
void server_client_timeout(struct timer *t);
static inline void server_client_timer(struct client *c, int64_t ms)
{
    timer_set(c->server->config.loop, &c->timer, ms, server_client_timeout);
}

/* Zeroed but for the head's headers. */
struct exchange *exchange_new(struct client *c);
void exchange_drop(struct exchange *x);
/* From here on nothing of the handler is called: it has ended the exchange, or was told that it is gone. */
void exchange_forget_handler(struct exchange *x);
void exchange_tell_gone(struct exchange *x);
/* Everything is sent. */
void exchange_finish(struct exchange *x);

#endif
