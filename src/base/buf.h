/* base/buf.h - a growable run of bytes, born with a maximum.
 *
 * Appending past the maximum fails stickily: nothing more is added and buf_failed() is true.
 * Append freely, ask once at the end. Heap memory; buf_end() frees it.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/str.h"

struct buf {
    char *p;
    size_t n, size, max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_end(struct buf *b);
void buf_clear(struct buf *b); /* empties, keeps the memory, forgets a failure */

void buf_add(struct buf *b, struct str s);
void buf_char(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t value);
void buf_i64(struct buf *b, int64_t value);
/* Room for n more bytes at b->p + b->n, or NULL (then failed). Add to b->n what was written. */
char *buf_room(struct buf *b, size_t n);

static inline bool buf_failed(const struct buf *b) { return b->failed; }
static inline struct str buf_str(const struct buf *b) { return (struct str){ b->p, b->n }; }

#define AUTO_BUF __attribute__((cleanup(buf_end))) struct buf

#endif
