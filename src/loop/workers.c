#include "loop/workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"

#define STACK_BYTES (512 * 1024)

/* An idle worker's. */
struct seat {
    pthread_cond_t called;
    bool idle;
    struct seat *below;
};

/* Who became idle last is called first: what a worker keeps - prepared statements, pages of the database - stays warm with a few of
 * them, and those whom nobody needs keep nothing. */
struct workers {
    pthread_mutex_t lock;
    struct seat *idle;
    struct work *first, **end;
    int queued, queue_max;
    bool closing;
    int count;
    pthread_t threads[];
};

static void call_one(struct workers *p)
{
    struct seat *s = p->idle;
    if (!s)
        return;
    p->idle = s->below;
    s->idle = false;
    pthread_cond_signal(&s->called);
}

static void sit(struct workers *p, struct seat *s)
{
    s->below = p->idle;
    s->idle = true;
    p->idle = s;
    while (s->idle)
        pthread_cond_wait(&s->called, &p->lock);
}

static void *work_on(void *context)
{
    struct workers *p = context;
    struct seat seat = { .called = PTHREAD_COND_INITIALIZER };
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->first && !p->closing) /* another one may have taken what it was called for */
            sit(p, &seat);
        struct work *w = p->first;
        if (!w)
            break;
        p->first = w->next;
        if (!p->first)
            p->end = &p->first;
        p->queued--;
        pthread_mutex_unlock(&p->lock);
        w->run(w);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&seat.called);
    return NULL;
}

enum err workers_new(const char *name, int threads, int queue_max, struct workers **out, struct fault *why)
{
    struct workers *p = mem_zero(sizeof *p + (size_t)threads * sizeof p->threads[0]);
    p->end = &p->first;
    p->queue_max = queue_max;
    pthread_mutex_init(&p->lock, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (; p->count < threads; p->count++)
        if (pthread_create(&p->threads[p->count], &attributes, work_on, p))
            break;
    pthread_attr_destroy(&attributes);
    if (p->count < threads) {
        workers_free(p);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the threads of %s", name);
    }
    for (int i = 0; i < threads; i++)
        pthread_setname_np(p->threads[i], name);
    *out = p;
    return ERR_NONE;
}

enum err workers_post(struct workers *p, struct work *w, struct fault *why)
{
    enum err e = ERR_NONE;
    w->next = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->closing) {
        e = fault(why, ERR_STOPPING, STR(""), "workers are closing");
    } else if (p->queued >= p->queue_max) {
        e = fault(why, ERR_OVERLOADED, STR(""), "%d jobs queued", p->queued);
    } else {
        *p->end = w;
        p->end = &w->next;
        p->queued++;
        call_one(p);
    }
    pthread_mutex_unlock(&p->lock);
    return e;
}

void workers_free(struct workers *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    while (p->idle)
        call_one(p);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int workers_queued(struct workers *p)
{
    pthread_mutex_lock(&p->lock);
    int n = p->queued;
    pthread_mutex_unlock(&p->lock);
    return n;
}
