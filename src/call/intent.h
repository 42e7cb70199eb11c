/* call/intent.h - no audit, no secret (audit.strict): what is about to be called is on the disk before the credential is used.
 *
 * Loops hand intents over; one thread writes what waits in one go and syncs once (group commit), to the file when there is one,
 * else into the audit chain. When the file fails the chain takes over; when both fail the calls do. Who waits longer than two
 * seconds is told so by its own loop's timer: a device that hangs holds nobody up for longer.
 */
#ifndef CALL_INTENT_H
#define CALL_INTENT_H

#include "call/run.h"
#include "loop/loop.h"

#define INTENT_DEADLINE_MS 2000

/* On the heap, for the one who waits may leave. Freed by whoever `ready` is. */
struct intent {
    struct loop_job job;     /* brings it back: ready() runs on `loop` */
    struct intent *next;
    struct loop *loop;
    struct run run;          /* who, what, where; not how it ended */
    bool durable;            /* set when it comes back */
    void *for_whom;          /* NULL once nobody waits; loop thread only */
};

struct intents;

/* `file` empty: the chain only. Its directory must be there; ERR_FILE when it cannot be written now. */
enum err intents_new(struct store *store, struct str file, struct intents **out, struct fault *why) MUST_CHECK;
/* Writes what waits, and takes no more. While the loops still run. */
void intents_stop(struct intents *s);
void intents_free(struct intents *s); /* after the loops have ended; NULL is fine */

/* From a loop's thread. i->job.do_it runs on i->loop, later, always. */
void intents_write(struct intents *s, struct intent *i);

/* For health and metrics; any thread. */
struct intents_state {
    bool file_lost, chain_lost; /* the last try failed; a sink that was not tried is not lost */
    bool stuck;                 /* a write has taken longer than the deadline and goes on */
    bool mute;                  /* calls are refused */
};
struct intents_state intents_state(const struct intents *s);

#endif
