/* call/circuit.h - leave a provider that is down in peace, and its callers without a wait (requirements 20.1, 20.2).
 *
 * One circuit per connection and host: what one connection's calls meet at a provider shuts nobody else out. It opens when half of
 * the last twenty calls failed; calls are then refused at once; after a rest one call goes through as a probe, and its end closes
 * the circuit or begins another rest. Retries have a budget: a fifth of the calls, and a few to begin with.
 *
 * Only connections that fail are remembered, in a fixed table: a call that succeeds where none failed costs one load. Thread-safe.
 */
#ifndef CALL_CIRCUIT_H
#define CALL_CIRCUIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct circuits;

struct circuit_counts { uint64_t opened, refused; int open; };

/* rest_ms: from opening to the probe; 0: circuits never open. */
struct circuits *circuits_new(int64_t rest_ms);
void circuits_free(struct circuits *c);

/* Names the circuit of a connection's host; never 0. */
uint64_t circuit_key(struct str connection, struct str authority);

/* May a call go out now? *probe: it is the one that finds out. ERR_CIRCUIT_OPEN. `now` is monotonic, in milliseconds, as
 * everywhere here. */
enum err circuit_enter(struct circuits *c, uint64_t key, int64_t now, bool *probe, struct fault *why) MUST_CHECK;
/* How one try went. True: this opened the circuit. */
bool circuit_tell(struct circuits *c, uint64_t key, int64_t now, bool failed, bool probe);
/* Takes one retry from the budget. */
bool circuit_may_retry(struct circuits *c, uint64_t key);

struct circuit_counts circuits_counts(struct circuits *c, int64_t now);

#endif
