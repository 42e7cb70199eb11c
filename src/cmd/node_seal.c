#include "cmd/node_inside.h"

#include <semaphore.h>
#include <stdlib.h>

#include "base/log.h"

#define SEAL_MOST_MS 5000 /* for what has to be written with the keys before they go */

struct forgetting {
    struct loop_job job;
    struct proxy *proxy;
};

static void forget_on_loop(struct loop_job *job)
{
    struct forgetting *f = list_entry(job, struct forgetting, job);
    proxy_forget(f->proxy);
    free(f);
}

struct flushing {
    struct loop_job job;
    struct recording *records;
    sem_t *done;
};

static void flush_on_loop(struct loop_job *job)
{
    struct flushing *f = list_entry(job, struct flushing, job);
    recording_flush(f->records);
    sem_post(f->done);
}

/* All that loops have recorded is in the database. While they run. */
static void flush_records(struct node *n)
{
    struct flushing each[LOOPS_MAX];
    sem_t done;
    sem_init(&done, 0, 0);
    for (int i = 0; i < n->desk_count; i++) {
        each[i] = (struct flushing){ { NULL, flush_on_loop }, &n->desks[i].board->recording, &done };
        loop_post(n->desks[i].loop, &each[i].job);
    }
    for (int i = 0; i < n->desk_count; i++)
        while (sem_wait(&done))
            ;
    sem_destroy(&done);
    recorder_settle(n->desks[0].board->recording.recorder);
}

/* What can only be written with the keys. */
static void *write_last(void *context)
{
    struct node *n = context;
    intents_stop(n->hub.intents);
    flush_records(n);
    audit_watch_seal(n->audit);
    return NULL;
}

static void forget_prepared(struct node *n)
{
    switchboard_forget_connections(n->hub.switchboard);
    switchboard_forget_tokens(n->hub.switchboard);
    for (int i = 0; i < n->desk_count; i++) {
        struct forgetting *f = mem_zero(sizeof *f);
        *f = (struct forgetting){ { NULL, forget_on_loop }, n->desks[i].proxy };
        loop_post(n->desks[i].loop, &f->job);
    }
}

/* Credentials go at once; keys when what needs them is written, and soon, whatever hangs. */
void node_seal(struct node *n)
{
    struct timespec until;
    if (atomic_exchange(&n->hub.sealed, true))
        return;
    forget_prepared(n);
    n->sealing_runs = !pthread_create(&n->sealing, NULL, write_last, n);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SEAL_MOST_MS / 1000;
    if (!n->sealing_runs)
        log_text(LOG_ERROR, "sealing without the last records: no thread for them");
    else if (pthread_timedjoin_np(n->sealing, NULL, &until))
        log_text(LOG_ERROR, "sealing without the last records: they take too long to write");
    else
        n->sealing_runs = false;
    keyring_wipe(n->hub.keyring);
    intents_forget_key(n->hub.intents);
    forget_prepared(n); /* what was being prepared meanwhile */
    store_claim_note(n->hub.store, "sealed");
}
