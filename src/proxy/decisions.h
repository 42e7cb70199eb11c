/* proxy/decisions.h - who may use which connection: remembered per loop, and asked of a worker when it is not.
 *
 * A remembered decision costs one keyed hash and one look-up, no lock and no SQL. What is not remembered is asked once for all who
 * ask while the question still waits for its worker: a cold start, or a change that makes everybody's decision old, fills no queue.
 * Who comes once the worker has begun asks anew, for its answer may be older than that request. All on one loop's thread.
 */
#ifndef PROXY_DECISIONS_H
#define PROXY_DECISIONS_H

#include "call/switchboard.h"

struct decisions; /* one loop's */

/* This token may use this connection. Both belong to the decisions: keep (pass_keep, prepared_keep) what outlives the call that
 * tells. */
struct decision {
    struct pass *pass;
    struct prepared *to;
    wall_ms until;        /* when a membership or a share ends that it rests on; 0: none does */
};

/* Somebody who waits. In place; zeroed memory waits for nothing. */
struct question {
    struct list node;
    /* refusal: NULL, or what switchboard_pass() or switchboard_connection() said; then `to` is NULL, and `pass` may be. */
    void (*told)(struct question *q, const struct decision *d, const struct fault *refusal);
};

struct decisions *decisions_new(struct board *board);
void decisions_free(struct decisions *d);
/* What was prepared is let go of. */
void decisions_forget(struct decisions *d);

/* May the bearer of this token use the connection of this name (key or id)? NULL: not known. The answer lives until the next call.
 */
const struct decision *decisions_recall(struct decisions *d, struct str token, struct str name);
/* The same asked of a worker; told() is called on this loop, once, unless question_drop() comes first. ERR_OVERLOADED,
 * ERR_STOPPING. */
enum err decisions_ask(struct decisions *d, struct str token, struct str name, struct question *q, struct fault *why) MUST_CHECK;
bool question_waits(const struct question *q);
void question_drop(struct question *q);

#endif
