/* web/idempotency.h - the same POST twice has one effect: the header Idempotency-Key (requirement 18.7).
 *
 * A key belongs to who sent it (principal, token, and what narrows an issuer's) and to the path it was sent to. What came of the
 * first request is kept for a day: the same body again gets the same answer, with Idempotency-Replayed: true; another body is
 * refused; while the first one runs, the others are told to wait. Doors without a caller (sign-in, setup) take no keys.
 *
 * That a change was made is written in the transaction of the change, its answer after it: if the hub dies in between, the next one
 * is told that the answer is lost, and nothing happens twice. A failure without an effect is not kept. With several nodes on one
 * database the next one is told to wait first, for five minutes: a request of another node may still run.
 *
 * Answers are sealed at rest: some hold a secret that is shown once. Request bodies are kept as keyed fingerprints only.
 */
#ifndef WEB_IDEMPOTENCY_H
#define WEB_IDEMPOTENCY_H

#include "web/web.h"

#define IDEMPOTENCY_KEPT_MS (24 * 3600 * 1000LL)
#define IDEMPOTENCY_RUNS_MS    (5 * 60 * 1000LL) /* another node's request is taken to run for so long; timeouts.total is shorter */
#define IDEMPOTENCY_KEYS_MOST 10000                 /* of one principal, within that time */
#define IDEMPOTENCY_BYTES_MOST (64 * 1024 * 1024LL) /* of its answers */
#define IDEMPOTENCY_ANSWER_MAX (1024 * 1024)        /* a larger one is not kept: a repetition is told so */

struct idempotency; /* what is in flight in this process; safe from any thread */
struct idempotency *idempotency_new(void);
void idempotency_free(struct idempotency *t);

/* Runs the handler, or gives the answer that was given before. Without the header it is handle(q, r, why).
 * Errors: the handler's; ERR_FIELD_INVALID (the key), ERR_IDEMPOTENCY_KEY_REUSED, ERR_IDEMPOTENCY_IN_FLIGHT,
 * ERR_IDEMPOTENCY_ANSWER_LOST, ERR_LIMIT. */
enum err idempotency_run(struct web_request *q, struct reply *r, handler *handle, struct fault *why) MUST_CHECK;

/* In the transaction of every change: remembers that it was made. Nothing to do when the request has no key. */
enum err idempotency_mark(struct web_request *q, struct db *db, struct fault *why) MUST_CHECK;

/* Forgets what is older than a day, at most `most` rows; *deleted: how many. */
enum err idempotency_prune(struct db *db, wall_ms now, int most, int64_t *deleted, struct fault *why) MUST_CHECK;

#endif
