/* call/run_seal.h - run records that cannot be edited unseen.
 *
 * For each hour (by the time in a record's id) the number of its records and the sum of their keyed digests are kept, in the
 * transaction that stores them; sums do not mind the order in which records came, nor how they are put together later. Every minute
 * the hours that changed are stated in the audit chain, by one record. The check counts again.
 */
#ifndef CALL_RUN_SEAL_H
#define CALL_RUN_SEAL_H

#include "access/audit_head.h"
#include "call/run.h"

/* In the transaction that inserts them. */
enum err run_seal_add(struct db *db, struct secret key, const struct run *const *runs, size_t n, struct fault *why) MUST_CHECK;
/* One audit record of what was added since the last one; none when nothing was. Inside store_write(). */
enum err run_seal_state(struct db *db, void *unused, struct fault *why) MUST_CHECK;
/* Says in the audit log that records from before then go, when there are any. Before runs_prune(), inside store_write(). */
enum err run_seal_prune(struct db *db, wall_ms before, struct fault *why) MUST_CHECK;

/* audit_check(), and the run records held against what the chain says of them. key.n == 0: the chain alone. `sealed` may be NULL:
 * once it is true the key is needed no longer than for a few records more, and the answer is ERR_SEALED. */
enum err run_seal_check(struct db *db, struct secret key, const _Atomic bool *sealed, const struct audit_heads_found *heads,
                        struct audit_finding *out, struct fault *why) MUST_CHECK;

#endif
