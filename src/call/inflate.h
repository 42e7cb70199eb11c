/* call/inflate.h - take the gzip or deflate coding off an answer that is buffered, within a limit (requirement 6.2).
 *
 * Fed span by span: a bomb is noticed as it unfolds, never after.
 */
#ifndef CALL_INFLATE_H
#define CALL_INFLATE_H

#include "base/buf.h"
#include "base/err.h"

struct inflate;

/* `coding`: the Content-Encoding. NULL when it is none of gzip, x-gzip and deflate: pass the bytes on as they are. */
struct inflate *inflate_new(struct str coding);
void inflate_free(struct inflate *z); /* NULL is fine */
/* Appends to `out`; its maximum is the limit. ERR_RESPONSE_TOO_LARGE, ERR_UPSTREAM_INVALID. */
enum err inflate_feed(struct inflate *z, struct str span, struct buf *out, struct fault *why) MUST_CHECK;
/* True when the coded stream was whole. */
bool inflate_ended(const struct inflate *z);

#endif
