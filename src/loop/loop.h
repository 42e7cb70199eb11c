/* loop/loop.h - one event loop per thread: an edge-triggered epoll set for sockets, with libuv's set as one member of it.
 *
 * libuv gives the look-up pool. Sockets are registered once, edge-triggered, and never touched again until closed: no system call
 * is spent on changing interest, and one epoll_wait() fetches a whole round. A watch's callback runs when the kernel says something
 * changed; what to do next is the owner's state. All functions but loop_post() belong to the loop's own thread.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"

struct loop;

enum err loop_new(int number, struct loop **out, struct fault *why) MUST_CHECK;
void loop_run(struct loop *l);   /* until loop_stop() */
void loop_stop(struct loop *l);  /* from the loop's thread; from others: post it */
void loop_free(struct loop *l);  /* after run has returned */
struct mono loop_now(const struct loop *l); /* as of this round; cheap */
bool loop_idle(const struct loop *l);       /* this round began without an event: nothing is there to do now */
bool loop_is_current(const struct loop *l);

/* Run do_it(what) on the loop's thread, soon, in order. From any thread. `job` is the caller's and must stay until it has run. */
struct loop_job {
    struct loop_job *next;
    void (*do_it)(struct loop_job *job);
};
void loop_post(struct loop *l, struct loop_job *job);

/* Run at the end of this round, on this thread; the place to free what a callback's caller may still name. */
void loop_later(struct loop *l, struct loop_job *job);

/* A file descriptor watched for readable, writable and hang-up, edge-triggered. */
struct watch {
    int fd;
    void (*ready)(struct watch *w, unsigned events); /* EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR */
};
enum err watch_add(struct loop *l, struct watch *w, struct fault *why) MUST_CHECK;
/* Level-triggered and for reading only: listeners. */
enum err watch_add_listener(struct loop *l, struct watch *w, struct fault *why) MUST_CHECK;
/* Before the fd is closed. No callback after this, events already fetched included. */
void watch_remove(struct loop *l, struct watch *w);

/* Coarse timers (100 ms steps, never early): constant time to set, move and stop. In place; zeroed memory is a stopped timer. */
struct timer {
    struct list link;
    int64_t due_ms;
    void (*fire)(struct timer *t);
};
void timer_set(struct loop *l, struct timer *t, int64_t in_ms, void (*fire)(struct timer *t));
void timer_stop(struct timer *t);

#endif
