/* http/sock.h - a connected stream, plain or TLS, on a loop. Plain and TLS are the same thing to those above.
 *
 * Reads and writes until IO_WAIT; then `ready` is called when it is worth trying again. Edge-triggered: who stops early, for
 * back-pressure or fairness, must come back by itself.
 */
#ifndef HTTP_SOCK_H
#define HTTP_SOCK_H

#include "crypto/tls.h"
#include "loop/loop.h"

enum io { IO_DONE, IO_WAIT, IO_EOF, IO_FAILED };

struct sock {
    struct watch watch;
    struct loop *loop;
    struct tls *tls;          /* NULL: plain */
    bool open, handshaking, aborted;
    size_t tls_pending;       /* plain bytes of a record that is built but not sent */
    bool drained;             /* plain: the last read took all there was; nothing to read before the kernel says so */
    bool hung_up;             /* the peer closed or reset: told by the kernel */
    void (*ready)(struct sock *s);
};

/* Takes fd (non-blocking, connected or connecting) and, if not NULL, tls. */
enum err sock_open(struct sock *s, struct loop *l, int fd, struct tls *tls, void (*ready)(struct sock *s),
                   struct fault *why) MUST_CHECK;
/* Put TLS on an open stream. */
void sock_start_tls(struct sock *s, struct tls *tls);
/* IO_DONE once the TLS handshake is over (at once on plain streams). */
enum io sock_handshake(struct sock *s);
enum io sock_read(struct sock *s, void *p, size_t n, size_t *got);
/* Two pieces, the second may be empty. *put counts the bytes taken, over both. IO_WAIT: call sock_flush() when `ready` says so, and
 * write on once it answers IO_DONE; bytes may have been taken (*put) all the same. */
enum io sock_write(struct sock *s, struct str first, struct str second, size_t *put);
/* What the TLS layer still holds; IO_DONE at once on plain streams. */
enum io sock_flush(struct sock *s);
/* Says goodbye (close-notify, FIN) and goes on reading: for lingering closes. */
void sock_shutdown(struct sock *s);
/* The coming sock_close() is to look like an accident: a reset, and no close-notify. */
void sock_abort(struct sock *s);
void sock_close(struct sock *s);   /* fine when closed */
/* True when an idle stream has bytes or an end waiting: do not reuse it. May eat a byte of what must not be used anyway. */
bool sock_is_stale(struct sock *s);

#endif
