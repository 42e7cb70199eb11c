/* cmd/turning.h - the thread that turns keys: carries a rotation on, begins one when it is due, gives old data keys successors, and
 * notices what other processes did to the ring. */
#ifndef CMD_TURNING_H
#define CMD_TURNING_H

#include "vault/rotation.h"

struct turning;
enum err turning_start(struct store *s, struct keyring *k, struct rotation_policy policy, struct turning **out,
                       struct fault *why) MUST_CHECK;
void turning_wake(struct turning *t);  /* there is something to do; from any thread */
void turning_stop(struct turning *t);  /* within a batch; NULL is fine */

/* How long to rest after a batch of `n` that took `took_ms`, so that no more than policy.rate a second are done. */
int64_t turning_rest_ms(const struct rotation_policy *policy, int64_t n, int64_t took_ms);

#endif
