/* call/run_block.h - many run records as two texts, the way the database holds them. Private to this room.
 *
 * Kinds: who called what, through which connection, how it ended, and how many records that are; one row per distinct combination.
 *   [["con_...","crm","usr_...","tok_...","proxy","GET","api.example.com","success","",12],
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

/* The rows of the text, not read yet. */
struct run_kinds {
    struct str *rows;
    bool *wanted; /* the reader's own marks */
    size_t n;
};

/* Inside the row it was read from; escapes are left as they are. */
struct run_kind {
    struct str connection, connection_key, caller, token, via, method, host, outcome, error;
    int64_t count;
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

/* Newest first, in place, twins left out; answers how many there are. */
size_t run_order(const struct run **runs, size_t n);
/* Of at most RUN_BLOCK_MOST records in that order. Appends to all three, which the caller ends. */
void run_block_write(const struct run *const *runs, size_t n, struct buf *kinds, struct buf *records, struct buf *mask);
/* The mask is a set of bits in hexadecimal: whether a connection, caller or outcome may be among the records. Wrong for one in a
 * few that are not, never for one that is. */
bool run_mask_may_hold(struct str mask, struct str key);

/* ERR_STORE, here and below, when it is not what run_block_write() wrote. */
enum err run_kinds_rows(struct arena *a, struct str text, struct run_kinds *out, struct fault *why) MUST_CHECK;
enum err run_kind_read(struct str row, struct run_kind *out, struct fault *why) MUST_CHECK;
/* The row's connection alone; empty when there is none. */
struct str run_kind_connection(struct str row);

struct run_lines run_lines(struct str text, size_t kinds);
bool run_lines_next(struct run_lines *lines, struct run_line *out);
enum err run_line_read(const struct run_line *line, const struct run_kinds *kinds, struct run *out, struct fault *why) MUST_CHECK;

#endif
