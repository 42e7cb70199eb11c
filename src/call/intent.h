/* call/intent.h - no audit, no secret (audit.strict): what is about to be called is on the disk before the credential is used.
 *
 * Each loop has a lane, into which its calls write their lines; one thread takes what all lanes have, writes it in one go and syncs
 * once (group commit), and gives each lane its batch back: one wake-up for all calls of a loop. A busy loop lets groups grow until
 * syncing costs little beside the calls; one that has nothing else to do has its calls written at once. Written is to the file when
 * there is one, else into the audit chain. When the file fails, or hangs for a second, the chain takes over; when both fail
 * the calls do. Who waits longer than two seconds is told so by its own loop's timer: a device that hangs holds nobody up for
 * longer.
 */
#ifndef CALL_INTENT_H
#define CALL_INTENT_H

#include "call/intent_file.h"
#include "call/run.h"
#include "loop/loop.h"

#define INTENT_DEADLINE_MS 2000
#define INTENT_PATIENCE_MS 1000 /* with the file, before the chain takes over */

/* A call's place in its batch; lies in the call. Its loop's alone. Zeroed: waits for nothing. */
struct intent {
    struct list link;
    bool waits, counted;
    void (*back)(struct intent *i, bool durable);
};

struct intents;
struct intent_lane;

/* `file` empty: the chain only. Its directory must be there; ERR_FILE when it cannot be written now. `key` seals its lines, and is
 * taken. */
enum err intents_new(struct store *store, struct str file, struct secret key, struct intents **out, struct fault *why) MUST_CHECK;
/* At boot, before the loop runs; lives as long as `s`. */
struct intent_lane *intents_lane(struct intents *s, struct loop *loop);
/* Writes what waits, and takes no more. While the loops still run. */
void intents_stop(struct intents *s);
/* Stopped, or stopping for too long: the key is wiped, and no line is written any more. */
void intents_forget_key(struct intents *s);
void intents_free(struct intents *s); /* after the loops have ended; NULL is fine */

/* From the lane's loop. `run`: who, what, where. i->back() is called later, always, unless the call leaves. */
void intent_write(struct intent_lane *lane, struct intent *i, const struct run *run);
void intent_leave(struct intent *i); /* waits no more; fine when it does not */
/* The call is over; fine when it was never written. A lane goes by how many of its calls are still alive. */
void intent_over(struct intent_lane *lane, struct intent *i);

/* For health and metrics; any thread. */
struct intents_state {
    bool file_lost, chain_lost; /* the last try failed; a sink that was not tried is not lost */
    bool stuck;                 /* a write takes too long and goes on */
    bool mute;                  /* calls are refused */
};
struct intents_state intents_state(struct intents *s);
/* The newest seal of the file, for the chain. False without a file. */
bool intents_mark(struct intents *s, struct intent_mark *out);

#endif
