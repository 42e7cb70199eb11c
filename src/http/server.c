#include "http/server_inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/count.h"

#define ACCEPT_BURST 64

/* ---- life of a client ---- */

static void client_free(struct loop_job *job)
{
    struct client *c = list_entry(job, struct client, again);
    free(c);
}

static void told_drained(struct server *s)
{
    if (s->draining && !glance(s->count) && s->drained) {
        void (*done)(void *) = s->drained;
        s->drained = NULL;
        done(s->drained_context);
    }
}

void server_client_close(struct client *c)
{
    struct server *s = c->server;
    if (!c->stream.sock.open)
        return;
    timer_stop(&c->timer);
    stream_close(&c->stream);
    list_remove(&c->link);
    bump(s->count, -1);
    if (c->x) {
        exchange_tell_gone(c->x);
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
    server_client_step(c);
}

void server_client_come_back(struct client *c)
{
    if (c->again_posted || !c->stream.sock.open)
        return;
    c->again_posted = true;
    c->again.do_it = client_again;
    loop_later(c->server->config.loop, &c->again);
}

static void on_client_ready(struct sock *s) { server_client_step(list_entry(s, struct client, stream.sock)); }

void server_client_idle(struct client *c)
{
    c->state = CLIENT_IDLE;
    c->resume = 0;
    if (c->server->draining && !stream_in(&c->stream).n) {
        server_client_close(c);
        return;
    }
    stream_idle(&c->stream);
    server_client_timer(c, c->server->config.limits.idle_ms);
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
    server_client_timer(c, s->config.limits.head_ms);
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
            server_client_step(c); /* a request that has arrived is answered */
        if (c->stream.sock.open && (c->state == CLIENT_IDLE || c->state == CLIENT_HANDSHAKE))
            server_client_close(c);
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
        server_client_close(list_entry(s->clients.next, struct client, link));
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
