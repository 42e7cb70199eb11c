#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

static struct loop *new_loop(void)
{
    struct loop *l;
    struct fault why;
    assert_int_equal(loop_new(3, &l, &why), ERR_NONE);
    return l;
}

/* ---- timers ---- */

#define TIMERS 40

struct alarm {
    struct timer timer;
    struct loop *loop;
    int64_t set_at, wanted, fired_at;
    int *left;
};

static void ring(struct timer *t)
{
    struct alarm *a = list_entry(t, struct alarm, timer);
    a->fired_at = clock_mono().ms;
    if (!--*a->left)
        loop_stop(a->loop);
}

static void timers_are_never_early_and_never_lost(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct alarm a[TIMERS] = { 0 };
    int left = TIMERS;
    for (int i = 0; i < TIMERS; i++) {
        a[i] = (struct alarm){ .loop = l, .wanted = i * 17, .left = &left };
        a[i].set_at = clock_mono().ms;
        timer_set(l, &a[i].timer, a[i].wanted, ring);
    }
    loop_run(l);
    for (int i = 0; i < TIMERS; i++) {
        /* loop_now() may be a moment older than the clock: one millisecond of rounding. */
        int64_t after = a[i].fired_at - a[i].set_at;
        assert_true(after >= a[i].wanted - 1);
        assert_true(after <= a[i].wanted + 1000); /* steps are 100 ms; the rest is for a busy machine */
    }
    loop_free(l);
}

struct chain {
    struct timer first, second, third;
    struct loop *loop;
    int fired, bad;
};

static void must_not(struct timer *t) { list_entry(t, struct chain, second)->bad++; }

static void last(struct timer *t)
{
    struct chain *c = list_entry(t, struct chain, third);
    c->fired++;
    loop_stop(c->loop);
}

/* All three are due in the same step: the first stops the second and moves the third. */
static void first(struct timer *t)
{
    struct chain *c = list_entry(t, struct chain, first);
    c->fired++;
    timer_stop(&c->second);
    timer_set(c->loop, &c->third, 100, last);
}

static void a_timer_may_stop_and_move_others_of_its_step(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct chain c = { .loop = l };
    timer_set(l, &c.first, 50, first);
    timer_set(l, &c.second, 50, must_not);
    timer_set(l, &c.third, 50, must_not);
    loop_run(l);
    assert_int_equal(c.fired, 2);
    assert_int_equal(c.bad, 0);
    timer_stop(&c.second); /* fine when stopped */
    loop_free(l);
}

struct again {
    struct timer timer;
    struct loop *loop;
    int count;
    int64_t started;
};

static void set_again(struct timer *t)
{
    struct again *a = list_entry(t, struct again, timer);
    if (++a->count == 3) {
        loop_stop(a->loop);
        return;
    }
    timer_set(a->loop, t, 100, set_again);
}

static void a_timer_that_sets_itself_keeps_its_pace(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct again a = { .loop = l, .started = clock_mono().ms };
    timer_set(l, &a.timer, 100, set_again);
    loop_run(l);
    assert_int_equal(a.count, 3);
    assert_true(clock_mono().ms - a.started >= 299);
    loop_free(l);
}

/* ---- posts ---- */

#define POSTS 2000
#define POSTERS 3

struct posted {
    struct loop_job job;
    struct posting *from;
    int number;
};

struct posting {
    struct loop *loop;
    struct posted jobs[POSTS];
    int next, disorder;
    bool elsewhere;
    int *left;
};

static void run_posted(struct loop_job *job)
{
    struct posted *p = list_entry(job, struct posted, job);
    p->from->disorder += p->number != p->from->next++;
    p->from->elsewhere |= !loop_is_current(p->from->loop);
    if (!--*p->from->left)
        loop_stop(p->from->loop);
}

static void *post_all(void *context)
{
    struct posting *p = context;
    for (int i = 0; i < POSTS; i++) {
        p->jobs[i] = (struct posted){ { NULL, run_posted }, p, i };
        loop_post(p->loop, &p->jobs[i].job);
    }
    return NULL;
}

static void posts_run_in_order_on_the_loops_own_thread(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct posting *p = calloc(POSTERS, sizeof *p);
    pthread_t threads[POSTERS];
    int left = POSTS * POSTERS;
    for (int i = 0; i < POSTERS; i++) {
        p[i].loop = l;
        p[i].left = &left;
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &p[i]), 0);
    }
    loop_run(l);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(p[i].disorder, 0);
        assert_false(p[i].elsewhere);
    }
    free(p);
    loop_free(l);
}

/* ---- sockets ---- */

struct pair {
    struct watch a, b;
    struct loop *loop;
    int other_a, other_b, seen_a, seen_b, bad, steps;
    struct loop_job job;
    bool later_ran, callback_over;
};

static void open_pair(struct loop *l, struct watch *w, int *other, void (*ready)(struct watch *, unsigned))
{
    int fds[2];
    struct fault why;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *w = (struct watch){ fds[0], ready };
    *other = fds[1];
    assert_int_equal(watch_add(l, w, &why), ERR_NONE);
}

static void close_pair(struct watch *w, int other)
{
    close(w->fd);
    close(other);
}

/* Whichever comes first removes the other, whose event was fetched in the same look. */
static struct pair *now_running;

static void a_ready(struct watch *w, unsigned events)
{
    (void)w, (void)events;
    now_running->seen_a++;
    if (now_running->seen_b)
        now_running->bad++;
    watch_remove(now_running->loop, &now_running->b);
    memset(&now_running->b, 0xee, sizeof now_running->b); /* as if freed */
    loop_stop(now_running->loop);
}

static void b_ready(struct watch *w, unsigned events)
{
    (void)w, (void)events;
    now_running->seen_b++;
    if (now_running->seen_a)
        now_running->bad++;
    watch_remove(now_running->loop, &now_running->a);
    memset(&now_running->a, 0xee, sizeof now_running->a);
    loop_stop(now_running->loop);
}

static void a_watch_that_is_removed_gets_no_event_that_was_fetched_already(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct pair p = { .loop = l };
    now_running = &p;
    open_pair(l, &p.a, &p.other_a, a_ready);
    open_pair(l, &p.b, &p.other_b, b_ready);
    int fd_a = p.a.fd, fd_b = p.b.fd;
    loop_run(l); /* both are writable from the start: two events in one look */
    assert_int_equal(p.seen_a + p.seen_b, 1);
    assert_int_equal(p.bad, 0);
    p.a.fd = fd_a;
    p.b.fd = fd_b;
    close_pair(&p.a, p.other_a);
    close_pair(&p.b, p.other_b);
    loop_free(l);
}

static void after_round(struct loop_job *job)
{
    struct pair *p = list_entry(job, struct pair, job);
    p->later_ran = p->callback_over;
    loop_stop(p->loop);
}

static void ask_for_later(struct watch *w, unsigned events)
{
    (void)events;
    struct pair *p = list_entry(w, struct pair, a);
    if (p->steps++)
        return;
    p->job.do_it = after_round;
    loop_later(p->loop, &p->job);
    p->callback_over = true;
}

static void later_runs_after_the_callback_that_asked_for_it(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct pair p = { .loop = l };
    open_pair(l, &p.a, &p.other_a, ask_for_later);
    loop_run(l);
    assert_true(p.later_ran);
    watch_remove(l, &p.a);
    close_pair(&p.a, p.other_a);
    loop_free(l);
}

struct later_from_timer {
    struct timer timer;
    struct loop_job job;
    struct loop *loop;
    int ran;
};

static void stop_it(struct loop_job *job)
{
    struct later_from_timer *f = list_entry(job, struct later_from_timer, job);
    f->ran++;
    loop_stop(f->loop);
}

static void ask_from_timer(struct timer *t)
{
    struct later_from_timer *f = list_entry(t, struct later_from_timer, timer);
    f->job.do_it = stop_it;
    loop_later(f->loop, &f->job);
}

static void later_runs_when_a_timer_asks_for_it(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct later_from_timer f = { .loop = l };
    timer_set(l, &f.timer, 0, ask_from_timer);
    loop_run(l);
    assert_int_equal(f.ran, 1);
    loop_free(l);
}

static void later_that_was_not_reached_runs_when_the_loop_is_freed(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct later_from_timer f = { .loop = l };
    f.job.do_it = stop_it;
    loop_later(l, &f.job);
    loop_free(l);
    assert_int_equal(f.ran, 1);
}

/* More work than one turn allows must not keep timers and posts waiting. */
struct busy {
    struct watch watch;
    struct loop *loop;
    struct timer timer;
    struct loop_job job;
    int other;
    long rounds;
    bool stop;
};

static void keep_busy(struct loop_job *job)
{
    struct busy *b = list_entry(job, struct busy, job);
    b->rounds++;
    if (!b->stop)
        loop_later(b->loop, job);
}

static void stop_busy(struct timer *t)
{
    struct busy *b = list_entry(t, struct busy, timer);
    b->stop = true;
    loop_stop(b->loop);
}

static void a_loop_that_never_rests_still_fires_its_timers(void **state)
{
    (void)state;
    struct loop *l = new_loop();
    struct busy b = { .loop = l };
    b.job.do_it = keep_busy;
    loop_later(l, &b.job);
    timer_set(l, &b.timer, 200, stop_busy);
    loop_run(l);
    assert_true(b.stop);
    assert_true(b.rounds > 100);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_are_never_early_and_never_lost),
        cmocka_unit_test(a_timer_may_stop_and_move_others_of_its_step),
        cmocka_unit_test(a_timer_that_sets_itself_keeps_its_pace),
        cmocka_unit_test(posts_run_in_order_on_the_loops_own_thread),
        cmocka_unit_test(a_watch_that_is_removed_gets_no_event_that_was_fetched_already),
        cmocka_unit_test(later_runs_after_the_callback_that_asked_for_it),
        cmocka_unit_test(later_runs_when_a_timer_asks_for_it),
        cmocka_unit_test(later_that_was_not_reached_runs_when_the_loop_is_freed),
        cmocka_unit_test(a_loop_that_never_rests_still_fires_its_timers),
    };
    return cmocka_run_group_tests_name("loop/loop", tests, NULL, NULL);
}
