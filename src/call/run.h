/* call/run.h - the record of one call, masked. Records leave the hot path in batches. */
#ifndef CALL_RUN_H
#define CALL_RUN_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "store/db.h"
#include "store/folder_scope.h"

enum run_via { RUN_PROXY, RUN_CALL, RUN_VERIFY };
enum run_outcome { RUN_SUCCESS, RUN_PROVIDER_ERROR /* status >= 400 */, RUN_FAILED, RUN_REFUSED, RUN_CANCELLED };
const char *run_via_name(enum run_via v);
const char *run_outcome_name(enum run_outcome o);
bool run_outcome_parse(struct str s, enum run_outcome *out);

/* Fixed size, no pointers: it is copied into a batch. Text is cut to fit. */
struct run {
    char id[ID_SIZE], connection[ID_SIZE], connection_key[72], caller[ID_SIZE], token[ID_SIZE];
    char method[12], host[132], path[256]; /* path masked, without query */
    enum run_via via;
    enum run_outcome outcome;
    enum err error;            /* ERR_NONE when the provider answered */
    int status;                /* the provider's; 0 when none came */
    wall_ms started;
    int64_t request_bytes, response_bytes; /* bodies */
    int32_t resolve_us, connect_us, tls_us, first_byte_us, total_us; /* 0: did not happen (a kept connection) */
    bool reused;
};

/* One batch, in any order; as few rows as its ids allow. The same batch again, as after a failure, is kept once. */
enum err runs_insert(struct db *db, const struct run *runs, size_t n, struct fault *why) MUST_CHECK;
/* The same, of records that lie here and there. Their pointers are put in order. */
enum err runs_insert_from(struct db *db, const struct run **runs, size_t n, struct fault *why) MUST_CHECK;
/* One step of putting what was inserted in order: small batches together, and the indexes that filters use. Lists are right
 * without, but slow down with the number of batches since. *more: there is enough left for another step. Takes some milliseconds,
 * all in the one transaction it is called in; what is newer than two seconds before the newest record is left alone. */
enum err runs_compact(struct db *db, bool *more, struct fault *why) MUST_CHECK;
struct run_filter {
    struct str connection, caller, action, automation; /* p == NULL: any */
    bool by_outcome; enum run_outcome outcome;
    wall_ms since;              /* 0: any */
    struct str before;          /* cursor: newest first, ids before this one; p == NULL: from the newest */
    const struct folder_scope *seen; /* only runs of connections in it; NULL: all */
    struct str own;             /* or whose caller is this principal; p == NULL: no such exception */
    const struct str *connections; size_t connection_count; bool limited; /* limited: of these connections only */
    int limit;
};
enum err run_list(struct db *db, struct arena *a, const struct run_filter *f, struct run **out, size_t *n,
                  struct fault *why) MUST_CHECK;
enum err run_get(struct db *db, struct str id, struct run *out, struct fault *why) MUST_CHECK; /* ERR_NOT_FOUND "run" */
/* Deletes records older than `before`, the oldest first, as they were put together: a block of up to 256 goes when all of it is
 * older. At most `most` records, but one block at least; *deleted says how many, 0: there are no more. */
enum err runs_prune(struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why) MUST_CHECK;
void run_write(struct json_out *o, const struct run *r);
/* Its object "timing_ms" alone: milliseconds with fractions; what did not happen is null. */
void run_write_timing(struct json_out *o, const struct run *r);
/* How many records a connection has since then; counting stops at `most`. */
enum err run_count(struct db *db, struct str connection, wall_ms since, int64_t most, int64_t *out, struct fault *why) MUST_CHECK;

#endif
