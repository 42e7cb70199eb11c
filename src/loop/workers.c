#include "loop/workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"

#define STACK_BYTES (512 * 1024)

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct work *first, **end;
    int queued, queue_max;
    bool closing;
    int count;
    pthread_t threads[];
};

static void *work_on(void *context)
{
    struct workers *p = context;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->first && !p->closing)
            pthread_cond_wait(&p->some, &p->lock);
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
    return NULL;
}

enum err workers_new(const char *name, int threads, int queue_max, struct workers **out, struct fault *why)
{
    struct workers *p = mem_zero(sizeof *p + (size_t)threads * sizeof p->threads[0]);
    p->end = &p->first;
    p->queue_max = queue_max;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
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
        pthread_cond_signal(&p->some);
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
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->some);
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
