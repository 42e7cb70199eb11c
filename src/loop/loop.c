#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include "base/arena.h"
#include "loop/inside.h"

#define EVENTS 128     /* fetched at once */
#define ROUNDS 32      /* of socket events before libuv's own handles get their turn */
#define TICK_MS 100
#define SLOTS 1024     /* of the timer wheel: one turn is 102.4 s; longer timers go round again */

struct loop {
    uv_loop_t uv;
    uv_poll_t set_ready;   /* the epoll set below, as seen by libuv */
    uv_async_t wake;
    uv_timer_t tick;
    int number;
    int set;
    pthread_t thread;
    struct mono now;

    struct epoll_event events[EVENTS];
    int event_count, event_at;

    struct loop_job *later, **later_end;
    bool in_round;

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

static int fetch_and_dispatch(struct loop *l)
{
    int n = epoll_wait(l->set, l->events, EVENTS, 0);
    l->event_count = n > 0 ? n : 0;
    for (l->event_at = 0; l->event_at < l->event_count; l->event_at++) {
        struct epoll_event *e = &l->events[l->event_at];
        struct watch *w = e->data.ptr;
        if (w)
            w->ready(w, e->events);
    }
    l->event_count = 0;
    return n;
}

static void on_set_ready(uv_poll_t *handle, int status, int events)
{
    struct loop *l = handle->data;
    (void)status;
    (void)events;
    int round = 0;
    l->in_round = true;
    for (; round < ROUNDS; round++) {
        refresh_now(l);
        int n = fetch_and_dispatch(l);
        bool more = l->later != NULL;
        run_later(l);
        if (n <= 0 && !more)
            break;
    }
    l->in_round = false;
    if (round < ROUNDS)
        return;
    /* Work is left over: come back after libuv has looked at its timers and wake-ups. */
    uv_async_send(&l->wake);
}

static void on_wake(uv_async_t *handle)
{
    struct loop *l = handle->data;
    refresh_now(l);
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
    on_set_ready(&l->set_ready, 0, 0);
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

static void on_tick(uv_timer_t *handle)
{
    struct loop *l = handle->data;
    refresh_now(l);
    int64_t last = l->now.ms / TICK_MS;
    if (last - l->ticks > SLOTS)
        l->ticks = last - SLOTS; /* slept through a whole turn: each slot once is enough */
    while (l->ticks < last)
        fire_slot(l, &l->slots[++l->ticks % SLOTS]);
    run_later(l);
    if (l->later)
        uv_async_send(&l->wake);
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
    l->set_ready.data = l->wake.data = l->tick.data = l;
    uv_async_init(&l->uv, &l->wake, on_wake);
    uv_poll_init(&l->uv, &l->set_ready, l->set);
    uv_poll_start(&l->set_ready, UV_READABLE, on_set_ready);
    uv_timer_init(&l->uv, &l->tick);
    uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    *out = l;
    return ERR_NONE;
}

void loop_run(struct loop *l)
{
    l->thread = pthread_self();
    uv_update_time(&l->uv);
    refresh_now(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l) { uv_stop(&l->uv); }

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
    run_later(l);
    uv_walk(&l->uv, close_handle, NULL);
    while (uv_run(&l->uv, UV_RUN_DEFAULT))
        ;
    uv_loop_close(&l->uv);
    close(l->set);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int loop_number(const struct loop *l) { return l->number; }
struct mono loop_now(const struct loop *l) { return l->now; }
bool loop_is_current(const struct loop *l) { return pthread_equal(l->thread, pthread_self()); }
uv_loop_t *loop_uv(struct loop *l) { return &l->uv; }

void loop_post(struct loop *l, struct loop_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->posted_end = job;
    l->posted_end = &job->next;
    pthread_mutex_unlock(&l->lock);
    uv_async_send(&l->wake);
}

void loop_later(struct loop *l, struct loop_job *job)
{
    job->next = NULL;
    *l->later_end = job;
    l->later_end = &job->next;
    /* Round ends run these; from any other callback (a look-up, say) make sure that one comes. */
    if (!l->in_round)
        uv_async_send(&l->wake);
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
