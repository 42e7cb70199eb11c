/* web/limit_hits.h - when limits were last reached: noted in memory, kept in batches.
 *
 * Noting takes a lock and no SQL; it happens where a problem is written, so only on requests that were refused.
 */
#ifndef WEB_LIMIT_HITS_H
#define WEB_LIMIT_HITS_H

#include "base/clock.h"
#include "store/db.h"

/* A limit that cmd/ knows the value of. */
struct limit_setting {
    const char *name, *unit;       /* "count", "bytes", "ms"; name NULL: the end */
    int64_t value;
    bool configured;               /* by the administrator */
    int64_t (*use)(void *context); /* NULL: not counted */
    void *context;
};

struct limit_hits;
struct limit_hits *limit_hits_new(void);
void limit_hits_free(struct limit_hits *h); /* NULL is fine */
/* Any thread; `h` may be NULL. Beyond 256 names nothing is noted. */
void limit_hit(struct limit_hits *h, struct str name);
/* The limit that a problem speaks of, if it speaks of one. `proxied`: it was a proxied call's. */
void limit_hit_problem(struct limit_hits *h, const struct fault *why, bool proxied);
/* Write what came since the last time. */
enum err limit_hits_store(struct limit_hits *h, struct store *s, struct fault *why) MUST_CHECK;
/* 0: never. */
enum err limit_hits_last(struct limit_hits *h, struct db *db, struct str name, wall_ms *out, struct fault *why) MUST_CHECK;

#endif
