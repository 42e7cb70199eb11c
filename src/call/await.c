#include "call/await.h"

#include <stdlib.h>

struct await {
    struct renewal_wait wait;
    struct loop_job back;
    struct board *board;
    char connection[ID_SIZE];
    bool trial;
    struct prepared *to;
    struct fault why;
    void (*resume)(void *who, struct prepared *to, const struct fault *why);
    void *who; /* NULL once nobody waits; loop thread only */
};

static void back(struct loop_job *job)
{
    struct await *w = list_entry(job, struct await, back);
    if (w->who)
        w->resume(w->who, w->to, w->to ? NULL : &w->why);
    else
        prepared_release(w->to);
    free(w);
}

/* The first one makes the connection ready; the others find it in the cache. */
static void renewed(struct renewal_wait *wait, enum err e, const struct fault *why)
{
    struct await *w = list_entry(wait, struct await, wait);
    struct switchboard *s = w->board->switchboard;
    struct str id = str_of(w->connection);
    if (e)
        w->why = *why;
    else if (w->trial ? switchboard_try(s, id, NULL, &w->to, &w->why) : switchboard_prepare(s, id, &w->to, &w->why))
        w->to = NULL;
    loop_post(w->board->loop, &w->back);
}

struct await *await_start(struct board *b, const struct prepared *to, enum renewal_cause cause,
                          void (*resume)(void *who, struct prepared *to, const struct fault *why), void *who)
{
    struct await *w = mem_zero(sizeof *w);
    w->wait.done = renewed;
    w->wait.borrows = true;
    w->back.do_it = back;
    w->board = b;
    w->trial = to->trial;
    w->resume = resume;
    w->who = who;
    str_copy(w->connection, sizeof w->connection, to->row.id);
    renewals_ask(switchboard_renewals(b->switchboard), to->row.id, to->generation, cause, &w->wait);
    return w;
}

void await_leave(struct await *w)
{
    w->who = NULL;
    if (renewals_leave(switchboard_renewals(w->board->switchboard), &w->wait))
        free(w);
}
