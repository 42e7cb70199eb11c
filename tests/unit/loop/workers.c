#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "loop/workers.h"

struct task {
    struct work work;
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    bool *open;
    int *ran;
};

static void run_task(struct work *w)
{
    struct task *t = (struct task *)w;
    pthread_mutex_lock(t->lock);
    while (t->open && !*t->open)
        pthread_cond_wait(t->changed, t->lock);
    ++*t->ran;
    pthread_mutex_unlock(t->lock);
}

static void a_full_queue_refuses_and_what_is_queued_is_finished_at_the_end(void **state)
{
    (void)state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    bool open = false;
    int ran = 0, taken = 0;
    struct workers *p;
    struct fault why;
    struct task tasks[8];
    enum err e = ERR_NONE;
    assert_int_equal(workers_new("test", 2, 3, &p, &why), ERR_NONE);

    /* Two may be in hand and three in the queue; how many are in hand when the queue fills is the threads' business. */
    for (; taken < 8 && !e; taken++) {
        tasks[taken] = (struct task){ { NULL, run_task }, &lock, &changed, &open, &ran };
        e = workers_post(p, &tasks[taken].work, &why);
    }
    taken -= e != ERR_NONE;
    assert_int_equal(e, ERR_OVERLOADED);
    assert_in_range(taken, 3, 5);

    pthread_mutex_lock(&lock);
    open = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    workers_free(p);
    assert_int_equal(ran, taken);
}

static void ten_thousand_jobs_run_once_each(void **state)
{
    (void)state;
    enum { JOBS = 10000 };
    static struct task tasks[JOBS];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int ran = 0;
    struct workers *p;
    struct fault why;
    assert_int_equal(workers_new("test", 4, JOBS, &p, &why), ERR_NONE);
    for (int i = 0; i < JOBS; i++) {
        tasks[i] = (struct task){ { NULL, run_task }, &lock, NULL, NULL, &ran };
        assert_int_equal(workers_post(p, &tasks[i].work, &why), ERR_NONE);
    }
    workers_free(p);
    assert_int_equal(ran, JOBS);
}

struct visit {
    struct work work;
    pthread_mutex_t *lock;
    pthread_cond_t *changed;
    pthread_t who;
    bool done;
};

static void run_visit(struct work *w)
{
    struct visit *v = (struct visit *)w;
    pthread_mutex_lock(v->lock);
    v->who = pthread_self();
    v->done = true;
    pthread_cond_broadcast(v->changed);
    pthread_mutex_unlock(v->lock);
}

/* Between the end of a job and the sleep of its worker the next may be called: never all of them, though. */
static void jobs_that_come_one_by_one_keep_few_workers_warm(void **state)
{
    (void)state;
    enum { JOBS = 500, THREADS = 8 };
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    struct workers *p;
    struct fault why;
    pthread_t seen[THREADS];
    int by[THREADS] = { 0 }, n = 0, most = 0;
    assert_int_equal(workers_new("test", THREADS, 1, &p, &why), ERR_NONE);
    for (int i = 0; i < JOBS; i++) {
        struct visit v = { { NULL, run_visit }, &lock, &changed, 0, false };
        assert_int_equal(workers_post(p, &v.work, &why), ERR_NONE);
        pthread_mutex_lock(&lock);
        while (!v.done)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        int at = 0;
        while (at < n && !pthread_equal(seen[at], v.who))
            at++;
        seen[at] = v.who;
        n = at == n ? n + 1 : n;
        if (++by[at] > most)
            most = by[at];
    }
    workers_free(p);
    assert_in_range(most, JOBS / 4, JOBS); /* in turn, each would have an eighth */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_refuses_and_what_is_queued_is_finished_at_the_end),
        cmocka_unit_test(ten_thousand_jobs_run_once_each),
        cmocka_unit_test(jobs_that_come_one_by_one_keep_few_workers_warm),
    };
    return cmocka_run_group_tests_name("loop/workers", tests, NULL, NULL);
}
