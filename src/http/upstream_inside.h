/* http/upstream_inside.h - what the files of http/upstream.h share. Private to them.
 *
 * upstream.c has the loop's pools, and the requests as their owners know them. upstream_dial.c goes from a name to a socket that
 * can be written to: the look-up, the egress guard, connect(), TLS; nowhere else does the program connect. upstream_line.c has that
 * socket from then on: a request out, its answer in, and back to the pool.
 *
 * All of it lives on one loop, whose struct upstreams owns the pools and every line. A struct upstream is its owner's. It and its
 * line name each other while the line is busy; whoever parts them clears both names. A closed line can still be looked at until the
 * round ends. A pool goes with its last line, unless it keeps a TLS session. An owner may cancel in any call to it: after one, look
 * whether l->u is still what it was.
 */
#ifndef HTTP_UPSTREAM_INSIDE_H
#define HTTP_UPSTREAM_INSIDE_H

#include "base/list.h"
#include "http/chunked.h"
#include "http/upstream.h"

/* One socket to a provider. Named for what it is: a line that is busy with one request or idle in its pool. */
enum line_state { LINE_CONNECT, LINE_TLS, LINE_HEAD, LINE_BODY, LINE_IDLE, LINE_CLOSED };

struct pool {
    struct upstreams *owner;
    struct list idle;           /* lines, the most recently used first */
    int idle_count, line_count;
    struct tls_context *tls;    /* NULL: the loop's own; one for all lines, so that no session crosses certificates */
    struct tls_session *session; /* to resume with: outlives the lines, see upstream_pool_rest() */
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

/* The connector's own time for a phase, else the loop's. */
#define PHASE(u, phase) ((u)->times && (u)->times->phase ? (u)->times->phase : (u)->owner->limits.times.phase)

/* For a line that is about to join. */
struct pool *upstream_pool_of(struct upstream *u);
/* Its last line has left. Where there is a session to resume with, the next line spares both sides the full handshake. */
void upstream_pool_rest(struct pool *p);

/* No timer and no look-up of its own fires after this; its line, if any, is the caller's to close. */
void upstream_over(struct upstream *u);
/* Its line is closed, and its owner told. */
void upstream_fail(struct upstream *u, const struct fault *why);
void upstream_fail_with(struct upstream *u, enum err e, struct str subject, const char *note);

/* Without a line: look up, connect, shake hands, send. */
void upstream_dial(struct upstream *u);
/* Go on, in LINE_CONNECT and LINE_TLS. */
void upstream_dial_step(struct line *l);

/* limit_ms: the longest stay without progress; 0: any. */
void upstream_line_move(struct line *l, enum line_state to, int64_t limit_ms);
/* Nobody is told. The memory goes when the round ends. A second time: nothing. */
void upstream_line_close(struct line *l);
/* To look again at the end of the round. */
void upstream_line_come_back(struct line *l);
/* Send the request of l->u, on a line that is connected. */
void upstream_line_send(struct line *l);
void upstream_line_ready(struct sock *s);
void upstream_line_timeout(struct timer *t);
static inline void upstream_line_timer(struct line *l, int64_t ms)
{
    timer_set(l->owner->loop, &l->timer, ms, upstream_line_timeout);
}

#endif
