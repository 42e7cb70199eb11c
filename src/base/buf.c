#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

void buf_init(struct buf *b, size_t max) { *b = (struct buf){ .max = max }; }

void buf_end(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

/* Always with one byte to spare: the NUL that vsnprintf insists on is not counted, not even at the maximum. */
char *buf_room(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->n) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->n + n + 1;
    if (b->size < need) {
        size_t size = b->size ? b->size : 256;
        while (size < need)
            size *= 2;
        if (size > b->max + 1)
            size = b->max + 1;
        b->p = mem_grow(b->p, size);
        b->size = size;
    }
    return b->p + b->n;
}

void buf_add(struct buf *b, struct str s)
{
    char *to = s.n ? buf_room(b, s.n) : NULL;
    if (!to)
        return;
    memcpy(to, s.p, s.n);
    b->n += s.n;
}

void buf_char(struct buf *b, char c) { buf_add(b, (struct str){ &c, 1 }); }

void buf_fmt(struct buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *to = n < 0 ? NULL : buf_room(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, format, args);
        b->n += (size_t)n;
    }
    va_end(args);
}

void buf_u64(struct buf *b, uint64_t value)
{
    char digits[STR_U64_MAX];
    buf_add(b, (struct str){ digits, str_put_u64(digits, value) });
}

void buf_i64(struct buf *b, int64_t value)
{
    if (value < 0)
        buf_char(b, '-');
    buf_u64(b, value < 0 ? -(uint64_t)value : (uint64_t)value);
}
