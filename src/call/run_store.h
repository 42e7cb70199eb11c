/* call/run_store.h - how run records lie in the database. Private to this room.
 *
 * Ids sort by their time, so time is cut into spans: a record belongs to the latest span that begins at or before its id's time.
 * Spans do not overlap, and a block lies in one span; therefore what is newer in a list is found in a later span, or among the few
 * blocks of the same. A batch is cut where a second of ids begins, so a span is one busy second, or, once put together, up to an
 * hour of a quiet one.
 *
 * A block is fresh until runs_compact() has written its keys. A list that filters walks the spans of its keys, and those with fresh
 * blocks.
 */
#ifndef CALL_RUN_STORE_H
#define CALL_RUN_STORE_H

#include "call/run.h"

#define RUN_SPAN_MS 1000
#define RUN_SPAN_MOST_MS (3600 * 1000) /* of spans that were put together */
/* Starts later than this after their span's begin are astray: a clock was set. The same number is in store/migrations.c. */
#define RUN_ASTRAY_MS (7200 * 1000)

/* The time in an id, in milliseconds; for any text: a later one in byte order never has an earlier time. */
int64_t run_id_ms(struct str id);
/* A quick word of a record that a filter may ask for: neither absent nor empty. */
static inline bool run_is_key(struct str s) { return s.n > 0; }

#endif
