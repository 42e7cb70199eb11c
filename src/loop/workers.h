/* loop/workers.h - a pool of threads for what blocks: SQL, password hashing, look-ups. */
#ifndef LOOP_WORKERS_H
#define LOOP_WORKERS_H

#include "base/err.h"

struct workers;
struct work {
    struct work *next;
    void (*run)(struct work *w); /* on a worker thread; the memory is the caller's */
};

enum err workers_new(const char *name, int threads, int queue_max, struct workers **out, struct fault *why) MUST_CHECK;
/* ERR_OVERLOADED when the queue is full, ERR_STOPPING once it is closed. */
enum err workers_post(struct workers *p, struct work *w, struct fault *why) MUST_CHECK;
/* Finishes what is queued, then joins. */
void workers_free(struct workers *p);
int workers_queued(struct workers *p);

#endif
