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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_refuses_and_what_is_queued_is_finished_at_the_end),
        cmocka_unit_test(ten_thousand_jobs_run_once_each),
    };
    return cmocka_run_group_tests_name("loop/workers", tests, NULL, NULL);
}
