#include "http/upstream_inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/count.h"

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
    upstream_fail_with(u, ERR_UPSTREAM_TIMEOUT, STR("connecting"), "connect");
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
        if (sock_open(&l->stream.sock, s->loop, fd, NULL, upstream_line_ready, &why)) {
            free(l);
            upstream_fail(u, &why);
            return;
        }
        l->pool = upstream_pool_of(u);
        l->pool->line_count++;
        l->u = u;
        u->line = l;
        list_push_back(&s->lines, &l->link);
        bump(s->counts.opened, 1);
        bump(s->counts.busy, 1);
        return;
    }
    upstream_fail_with(u, ERR_UPSTREAM_CONNECT, u->url->host, note);
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
        upstream_fail_with(u, ERR_UPSTREAM_DNS, u->url->host, problem ? problem : "no answer");
        return;
    }
    if (!permitted(u, found, n, &why)) {
        upstream_fail(u, &why);
        return;
    }
    u->phase_us = clock_mono_us();
    next_address(u, "no address");
}

void upstream_dial(struct upstream *u)
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
            upstream_fail_with(u, ERR_URL_INVALID, STR("not an address"), "ip literal");
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
        upstream_line_close(l);
        next_address(u, strerror(problem));
        return;
    }
    size = sizeof peer;
    if (getpeername(l->stream.sock.watch.fd, (struct sockaddr *)&peer, &size))
        return; /* not connected yet */
    timer_stop(&u->connect);
    u->timing.connect_us = (int32_t)(clock_mono_us() - u->phase_us);
    if (!u->url->https) {
        upstream_line_send(l);
        return;
    }
    u->phase_us = clock_mono_us();
    upstream_line_move(l, LINE_TLS, PHASE(l->u, tls_ms));
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
        upstream_fail_with(u, refused ? ERR_CLIENT_CERTIFICATE_REFUSED : ERR_UPSTREAM_TLS, u->url->host,
                           tls_error(l->stream.sock.tls, text, sizeof text));
        return;
    }
    u->timing.tls_us = (int32_t)(clock_mono_us() - u->phase_us);
    upstream_line_send(l);
}

void upstream_dial_step(struct line *l)
{
    if (l->state == LINE_CONNECT)
        step_connect(l);
    if (l->state == LINE_TLS)
        step_tls(l);
}
