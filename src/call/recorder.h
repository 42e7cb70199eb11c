/* call/recorder.h - finished records on their way to the database: a batch per loop, one thread that writes them, and what hangs on
 * them: last-used times, suspicions, seals. A call pays a copy into its loop's batch.
 */
#ifndef CALL_RECORDER_H
#define CALL_RECORDER_H

#include "call/run.h"
#include "loop/loop.h"
#include "store/db.h"
#include "vault/keyring.h"

struct recorder_config {
    struct store *store;
    struct keyring *keyring; /* of which the key of run records is made; lent */
    /* The provider answered a call of this connection with 401; may be NULL. On the recorder's thread, once or more for each:
     * quick. */
    void (*suspect)(void *context, struct str connection);
    void *suspect_context;
    void (*report)(const char *event, const struct fault *why);
};

struct recorder;
enum err recorder_new(const struct recorder_config *c, struct recorder **out, struct fault *why) MUST_CHECK;
/* After the loops have ended; what was handed over is written first. NULL is fine. */
void recorder_free(struct recorder *r);
/* When this returns, what was handed over before is written, or counted as lost. */
void recorder_settle(struct recorder *r);
/* Records that could not be kept since start. */
uint64_t recorder_lost(const struct recorder *r);

/* One loop's part, on that loop only: zeroed, with its loop and recorder. */
struct recording {
    struct recorder *recorder;
    struct loop *loop;
    struct run *runs; /* of the recorder's shape */
    int count;
    struct timer timer;
};
void recording_add(struct recording *b, const struct run *r);
/* Hands over what is there: when it is enough, when it is old enough, when the loop stops. */
void recording_flush(struct recording *b);
/* Drops what was not handed over. */
void recording_end(struct recording *b);

#endif
