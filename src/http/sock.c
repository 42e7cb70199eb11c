#include "http/sock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define TLS_GATHER (16 * 1024) /* most plain text of one TLS record (RFC 8446 5.1) */

static void on_ready(struct watch *w, unsigned events)
{
    struct sock *s = list_entry(w, struct sock, watch);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->drained = false;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        s->hung_up = true;
    s->ready(s);
}

enum err sock_open(struct sock *s, struct loop *l, int fd, struct tls *tls, void (*ready)(struct sock *s), struct fault *why)
{
    *s = (struct sock){ .watch = { fd, on_ready }, .loop = l, .tls = tls, .handshaking = tls != NULL, .ready = ready };
    enum err e = watch_add(l, &s->watch, why);
    if (e) {
        close(fd);
        tls_free(tls);
        s->tls = NULL;
        return e;
    }
    s->open = true;
    return ERR_NONE;
}

void sock_start_tls(struct sock *s, struct tls *tls)
{
    s->tls = tls;
    s->handshaking = true;
}

static enum io from_tls(enum tls_result r)
{
    switch (r) {
    case TLS_DONE: return IO_DONE;
    case TLS_WANT_READ:
    case TLS_WANT_WRITE: return IO_WAIT;
    case TLS_EOF: return IO_EOF;
    default: return IO_FAILED;
    }
}

enum io sock_handshake(struct sock *s)
{
    if (!s->handshaking)
        return IO_DONE;
    enum io r = from_tls(tls_handshake(s->tls));
    if (r == IO_DONE)
        s->handshaking = false;
    return r == IO_EOF ? IO_FAILED : r;
}

enum io sock_read(struct sock *s, void *p, size_t n, size_t *got)
{
    *got = 0;
    if (s->tls)
        return from_tls(tls_read(s->tls, p, n, got));
    if (s->drained)
        return IO_WAIT;
    ssize_t r;
    do
        r = recv(s->watch.fd, p, n, 0);
    while (r < 0 && errno == EINTR);
    if (r > 0) {
        *got = (size_t)r;
        /* A short read emptied the socket: what comes later raises an edge of its own. Not so an end that is there already. */
        s->drained = *got < n && !s->hung_up;
        return IO_DONE;
    }
    if (r == 0)
        return IO_EOF;
    s->drained = errno == EAGAIN;
    return s->drained ? IO_WAIT : IO_FAILED;
}

/* OpenSSL that could not send a record wants to be called again for the same record. It is built and encrypted by then: the plain
 * bytes count as taken, and sock_flush() sees the record out. */
enum io sock_flush(struct sock *s)
{
    static const char again[TLS_GATHER];
    if (!s->tls_pending)
        return IO_DONE;
    size_t put;
    enum io r = from_tls(tls_write(s->tls, again, s->tls_pending, &put));
    if (r == IO_DONE)
        s->tls_pending = 0;
    return r;
}

static enum io write_record(struct sock *s, const char *p, size_t n, size_t *put)
{
    enum io r = from_tls(tls_write(s->tls, p, n, put));
    if (r == IO_WAIT && tls_write_held(s->tls))
        *put = s->tls_pending = n;
    return r;
}

static enum io write_tls(struct sock *s, struct str first, struct str second, size_t *put)
{
    char gathered[TLS_GATHER];
    enum io r = sock_flush(s);
    if (r != IO_DONE)
        return r;
    /* Head and a small body in one record, as nginx and browsers do: one system call, one packet. */
    if (first.n && second.n && first.n < sizeof gathered) {
        size_t room = sizeof gathered - first.n;
        size_t more = second.n < room ? second.n : room;
        memcpy(gathered, first.p, first.n);
        memcpy(gathered + first.n, second.p, more);
        r = write_record(s, gathered, first.n + more, put);
        explicit_bzero(gathered, first.n); /* a request head carries the credential */
        return r;
    }
    struct str piece = first.n ? first : second;
    return write_record(s, piece.p, piece.n < TLS_GATHER ? piece.n : TLS_GATHER, put);
}

enum io sock_write(struct sock *s, struct str first, struct str second, size_t *put)
{
    *put = 0;
    if (!first.n && !second.n)
        return IO_DONE;
    if (s->tls)
        return write_tls(s, first, second, put);
    struct iovec pieces[2] = { { (void *)first.p, first.n }, { (void *)second.p, second.n } };
    struct msghdr message = { .msg_iov = first.n ? pieces : pieces + 1, .msg_iovlen = first.n && second.n ? 2 : 1 };
    ssize_t r;
    do
        r = sendmsg(s->watch.fd, &message, MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r >= 0) {
        *put = (size_t)r;
        return IO_DONE;
    }
    if (errno == EAGAIN)
        return IO_WAIT;
    s->drained = false; /* what the peer said before it left came without an event yet */
    return IO_FAILED;
}

void sock_shutdown(struct sock *s)
{
    if (s->tls)
        tls_shutdown(s->tls);
    shutdown(s->watch.fd, SHUT_WR);
}

void sock_abort(struct sock *s)
{
    struct linger now = { 1, 0 };
    if (!s->open)
        return;
    setsockopt(s->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    s->aborted = true;
}

void sock_close(struct sock *s)
{
    if (!s->open)
        return;
    s->open = false;
    if (s->tls) {
        if (!s->aborted)
            tls_shutdown(s->tls);
        tls_free(s->tls);
        s->tls = NULL;
    }
    watch_remove(s->loop, &s->watch);
    close(s->watch.fd);
    s->watch.fd = -1;
}

bool sock_is_stale(struct sock *s)
{
    char c;
    size_t got;
    if (s->hung_up)
        return true;
    /* Under TLS a session ticket may be waiting, which is no sign of an end: only reading tells. */
    if (s->tls)
        return tls_read(s->tls, &c, 1, &got) != TLS_WANT_READ;
    ssize_t r = recv(s->watch.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return r >= 0 || (errno != EAGAIN && errno != EINTR);
}
