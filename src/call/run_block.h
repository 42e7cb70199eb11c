/* call/run_block.h - many run records as two texts, the way the database holds them. Private to this room.
 *
 * Kinds: who called what, through which connection, and how it ended; one row per distinct combination.
 *   [["con_...","crm","usr_...","tok_...","proxy","GET","api.example.com","success",""],
 *    ...]
 * Records: one row per call, newest first; the second value says which kind, counted from 0.
 *   [["run_...",0,1800000000000,"/v1/customers",200,REQUEST_BYTES,RESPONSE_BYTES,RESOLVE,CONNECT,TLS,FIRST_BYTE,TOTAL,REUSED],
 *    ...]
 * Both are JSON, with a line break between rows and nowhere else. Ids are ours and need no escapes. Times are microseconds.
 * A filter looks at the kinds, which are few, and then at numbers; text is decoded for records that are shown.
 */
#ifndef CALL_RUN_BLOCK_H
#define CALL_RUN_BLOCK_H

#include "base/buf.h"
#include "call/run.h"

#define RUN_BLOCK_MOST 256 /* records of one block */

/* Inside the text it was read from; escapes are left as they are. */
struct run_kind {
    struct str connection, connection_key, caller, token, via, method, host, outcome, error;
    bool wanted; /* the reader's own mark */
};

struct run_line {
    struct str id;
    size_t kind;
    wall_ms started;
    struct str rest; /* what run_line_read() decodes */
};

/* Walks over the lines of a text; a malformed one ends the walk and sets `broken`. */
struct run_lines {
    struct str left;
    size_t kinds;
    bool broken;
};

/* Newest first, twins left out. `order` has room for n; answers how many. */
size_t run_order(const struct run *runs, size_t n, const struct run **order);
/* Of at most RUN_BLOCK_MOST records in that order. Appends to both, which the caller ends. */
void run_block_write(const struct run *const *runs, size_t n, struct buf *kinds, struct buf *records);

/* The kinds point into `text`. ERR_STORE when it is not what run_block_write() wrote. */
enum err run_kinds_read(struct arena *a, struct str text, struct run_kind **out, size_t *n, struct fault *why) MUST_CHECK;
struct run_lines run_lines(struct str text, size_t kinds);
bool run_lines_next(struct run_lines *lines, struct run_line *out);
/* ERR_STORE as above. */
enum err run_line_read(const struct run_line *line, const struct run_kind *kinds, struct run *out, struct fault *why) MUST_CHECK;

#endif
