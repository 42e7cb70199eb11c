/* base/clock.h - two clocks that do not mix: wall time for people, monotonic time for waiting. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/str.h"

typedef int64_t wall_ms; /* milliseconds since 1970-01-01 UTC */
struct mono {
    int64_t ms; /* milliseconds since some start; never goes back */
};

#define CLOCK_TEXT 25 /* "2026-01-02T03:04:05.678Z" and a NUL */

wall_ms clock_wall(void);
struct mono clock_mono(void);
int64_t clock_mono_us(void);
/* The wall time at this process's first look at it, and what has passed since by the monotonic clock: may be stored as wall time,
 * and does not jump while the process runs. For ends of things (requirements 11.1, 11.2). */
wall_ms clock_steady(void);

static inline int64_t mono_since(struct mono start, struct mono now) { return now.ms - start.ms; }

/* RFC 3339, UTC, with milliseconds; answers out. */
char *clock_format(wall_ms t, char out[CLOCK_TEXT]);
/* The same form back (fraction optional, "Z" only). False when malformed. */
bool clock_parse(struct str s, wall_ms *out);
/* "Sun, 06 Nov 1994 08:49:37 GMT", as HTTP's headers have it (RFC 9110 5.6.7; the obsolete forms are not taken). */
bool clock_parse_http(struct str s, wall_ms *out);

/* "30s", "5m", "12h", "30d", "250ms", or plain seconds. False when malformed or over ten years. */
bool duration_parse(struct str s, int64_t *ms);

#endif
