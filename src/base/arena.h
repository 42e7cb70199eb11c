/* base/arena.h - memory that is freed all at once.
 *
 * Four lifetimes, and no fifth:
 *   boot      configuration, routes, catalog     until exit
 *   client    one accepted socket                until it closes
 *   exchange  one request and its answer         until the last byte of it is queued
 *   scratch   inside one function                mark ... rewind
 * A pointer may point into its own lifetime or a longer one, never a shorter. Secrets do not live
 * here: see crypto/secret.h.
 *
 * When the system has no memory left, allocation aborts. Budgets are enforced where bytes enter.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

struct arena;
struct arena_mark {
    void *chunk;
    size_t used;
};

/* First chunk of `first` bytes (rounded up); grows by doubling. */
struct arena *arena_new(size_t first);
/* Runs the defers, newest first, then drops the memory. NULL is fine. */
void arena_free(struct arena *a);
/* As free, but keeps the first chunk for the next user. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull, malloc, alloc_size(2)));
void *arena_zero(struct arena *a, size_t n) __attribute__((returns_nonnull, malloc, alloc_size(2)));
/* n * size bytes, zeroed; aborts when the product does not fit. */
void *arena_array(struct arena *a, size_t n, size_t size) __attribute__((returns_nonnull, malloc));

/* A copy with a NUL behind it (not counted). */
struct str arena_str(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s);
struct str arena_join(struct arena *a, struct str x, struct str y);
struct str str_fmt(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct str str_vfmt(struct arena *a, const char *format, va_list args) __attribute__((format(printf, 2, 0), nonnull(2)));

/* Call end(what) when the arena ends. Not undone by rewind. */
void arena_defer(struct arena *a, void (*end)(void *what), void *what);

struct arena_mark arena_mark(struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);

/* Bytes handed out since new/reset (for tests and limits). */
size_t arena_used(const struct arena *a);

static inline void arena_end(struct arena **a) { arena_free(*a); }
#define AUTO_ARENA __attribute__((cleanup(arena_end))) struct arena *

/* malloc, realloc and strdup that abort when memory is gone. Free with free(). */
void *mem_zero(size_t n) __attribute__((returns_nonnull, malloc));
void *mem_grow(void *p, size_t n) __attribute__((returns_nonnull));
char *mem_cstr(struct str s) __attribute__((returns_nonnull));

#endif
