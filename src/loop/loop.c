#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include "base/arena.h"
#include "loop/inside.h"

#define EVENTS 128     /* fetched at once */
#define TICK_MS 100
#define SLOTS 1024     /* of the timer wheel: one turn is 102.4 s; longer timers go round again */

struct loop {
    uv_loop_t uv;
    uv_async_t keeper;     /* never sent: with it libuv runs at all when no look-up is under way */
    struct watch wake;     /* an eventfd, edge-triggered: each write wakes, and nobody has to read it */
    int number;
    int set;               /* our sockets, and libuv's own set as one member of it */
    struct watch uv_ready;
    bool stopping;
    pthread_t thread;
    struct mono now;

    struct epoll_event events[EVENTS];
    int event_count, event_at;
    bool idle;             /* the last look found nothing */

    struct loop_job *later, **later_end;

    struct list slots[SLOTS];
    int64_t ticks;         /* wheel position, in TICK_MS since the clock's start */

    pthread_mutex_t lock;  /* guards the posted jobs */
    struct loop_job *posted, **posted_end;
};

static void refresh_now(struct loop *l) { l->now = clock_mono(); }

static void run_later(struct loop *l)
{
    struct loop_job *job = l->later;
    l->later = NULL;
    l->later_end = &l->later;
    while (job) {
        struct loop_job *next = job->next;
        job->do_it(job);
        job = next;
    }
}

static void dispatch(struct loop *l, int n)
{
    l->event_count = n > 0 ? n : 0;
    for (l->event_at = 0; l->event_at < l->event_count; l->event_at++) {
        struct epoll_event *e = &l->events[l->event_at];
        struct watch *w = e->data.ptr;
        if (w)
            w->ready(w, e->events);
    }
    l->event_count = 0;
}

static void on_uv_ready(struct watch *w, unsigned events)
{
    struct loop *l = list_entry(w, struct loop, uv_ready);
    (void)events;
    uv_run(&l->uv, UV_RUN_NOWAIT);
}

static void on_wake(struct watch *w, unsigned events)
{
    struct loop *l = list_entry(w, struct loop, wake);
    (void)events;
    pthread_mutex_lock(&l->lock);
    struct loop_job *job = l->posted;
    l->posted = NULL;
    l->posted_end = &l->posted;
    pthread_mutex_unlock(&l->lock);
    while (job) {
        struct loop_job *next = job->next;
        job->do_it(job);
        job = next;
    }
}

static void fire_slot(struct loop *l, struct list *slot)
{
    struct list due;
    list_init(&due);
    list_each_safe(node, slot) {
        struct timer *t = list_entry(node, struct timer, link);
        if (t->due_ms > l->now.ms)
            continue; /* a later turn of the wheel */
        list_remove(node);
        list_push_back(&due, node);
    }
    for (struct list *node; (node = list_pop(&due));) {
        struct timer *t = list_entry(node, struct timer, link);
        t->fire(t);
    }
}

static void tick(struct loop *l)
{
    int64_t last = l->now.ms / TICK_MS;
    if (last - l->ticks > SLOTS)
        l->ticks = last - SLOTS; /* slept through a whole turn: each slot once is enough */
    while (l->ticks < last)
        fire_slot(l, &l->slots[++l->ticks % SLOTS]);
}

void timer_set(struct loop *l, struct timer *t, int64_t in_ms, void (*fire)(struct timer *t))
{
    timer_stop(t);
    t->fire = fire;
    t->due_ms = l->now.ms + (in_ms > 0 ? in_ms : 0);
    int64_t slot = (t->due_ms + TICK_MS - 1) / TICK_MS;
    if (slot <= l->ticks)
        slot = l->ticks + 1;
    list_push_back(&l->slots[slot % SLOTS], &t->link);
}

void timer_stop(struct timer *t)
{
    if (t->link.next)
        list_remove(&t->link);
    else
        list_init(&t->link);
}

enum err loop_new(int number, struct loop **out, struct fault *why)
{
    struct loop *l = mem_zero(sizeof *l);
    l->number = number;
    l->later_end = &l->later;
    l->posted_end = &l->posted;
    pthread_mutex_init(&l->lock, NULL);
    for (int i = 0; i < SLOTS; i++)
        list_init(&l->slots[i]);
    refresh_now(l);
    l->ticks = l->now.ms / TICK_MS;

    int e = uv_loop_init(&l->uv);
    if (e) {
        free(l);
        return fault(why, ERR_INTERNAL, STR(""), "uv_loop_init: %s", uv_strerror(e));
    }
    l->set = epoll_create1(EPOLL_CLOEXEC);
    if (l->set < 0) {
        uv_loop_close(&l->uv);
        free(l);
        return fault(why, ERR_INTERNAL, STR(""), "epoll_create1: %m");
    }
    l->uv.data = l;
    uv_async_init(&l->uv, &l->keeper, NULL);
    /* libuv puts its own wake-ups into its set when it runs; from then on that set tells ours. */
    uv_run(&l->uv, UV_RUN_NOWAIT);
    l->uv_ready = (struct watch){ uv_backend_fd(&l->uv), on_uv_ready };
    l->wake = (struct watch){ eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), on_wake };
    enum err bad = l->wake.fd < 0 ? fault(why, ERR_INTERNAL, STR(""), "eventfd: %m") : watch_add(l, &l->wake, why);
    if (!bad)
        bad = watch_add_listener(l, &l->uv_ready, why);
    if (bad) {
        loop_free(l);
        return bad;
    }
    *out = l;
    return ERR_NONE;
}

void loop_run(struct loop *l)
{
    l->thread = pthread_self();
    refresh_now(l);
    while (!l->stopping) {
        int64_t wait = l->later ? 0 : (l->ticks + 1) * TICK_MS - l->now.ms;
        int n = epoll_wait(l->set, l->events, EVENTS, wait > 0 ? (int)wait : 0);
        l->idle = n <= 0;
        refresh_now(l);
        dispatch(l, n);
        tick(l);
        run_later(l);
    }
    l->stopping = false; /* it may be run again */
}

void loop_stop(struct loop *l) { l->stopping = true; }

static void close_handle(uv_handle_t *handle, void *unused)
{
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    while (l->later)
        run_later(l);
    uv_walk(&l->uv, close_handle, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT))
        ;
    uv_loop_close(&l->uv);
    close(l->set);
    if (l->wake.fd >= 0)
        close(l->wake.fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct mono loop_now(const struct loop *l) { return l->now; }
bool loop_idle(const struct loop *l) { return l->idle; }
bool loop_is_current(const struct loop *l) { return pthread_equal(l->thread, pthread_self()); }
uv_loop_t *loop_uv(struct loop *l) { return &l->uv; }
void loop_refresh(struct loop *l) { refresh_now(l); }

void loop_post(struct loop *l, struct loop_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&l->lock);
    bool first = !l->posted;
    *l->posted_end = job;
    l->posted_end = &job->next;
    pthread_mutex_unlock(&l->lock);
    if (first) /* who finds others there knows that the loop is on its way */
        (void)!write(l->wake.fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void loop_later(struct loop *l, struct loop_job *job)
{
    job->next = NULL;
    *l->later_end = job;
    l->later_end = &job->next;
}

static enum err add(struct loop *l, struct watch *w, uint32_t events, struct fault *why)
{
    struct epoll_event e = { .events = events, .data.ptr = w };
    if (epoll_ctl(l->set, EPOLL_CTL_ADD, w->fd, &e))
        return fault(why, ERR_INTERNAL, STR(""), "epoll_ctl: %m");
    return ERR_NONE;
}

enum err watch_add(struct loop *l, struct watch *w, struct fault *why)
{
    return add(l, w, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, why);
}

enum err watch_add_listener(struct loop *l, struct watch *w, struct fault *why) { return add(l, w, EPOLLIN, why); }

void watch_remove(struct loop *l, struct watch *w)
{
    epoll_ctl(l->set, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = l->event_at + 1; i < l->event_count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}
