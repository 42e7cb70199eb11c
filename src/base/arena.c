#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGN _Alignof(max_align_t)
#define CHUNK_MIN 1024

struct chunk {
    struct chunk *older;
    size_t size, used;
    _Alignas(max_align_t) char data[];
};

/* With the address sanitizer, memory that is not handed out is out of bounds: a use after rewind or reset, or past
 * the end of an allocation, is reported as if it were malloc's. */
#ifdef __SANITIZE_ADDRESS__
void __asan_poison_memory_region(volatile void *p, size_t n);
void __asan_unpoison_memory_region(volatile void *p, size_t n);
#define SHUT(p, n) __asan_poison_memory_region(p, n)
#define OPEN(p, n) __asan_unpoison_memory_region(p, n)
#else
#define SHUT(p, n) ((void)0)
#define OPEN(p, n) ((void)0)
#endif

struct defer {
    struct defer *older;
    void (*end)(void *);
    void *what;
};

struct arena {
    struct chunk *top;
    struct defer *defers;
    size_t handed_out;
};

static void out_of_memory(void)
{
    static const char text[] = "out of memory\n";
    fwrite(text, 1, sizeof text - 1, stderr);
    abort();
}

void *mem_zero(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *mem_grow(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (!q)
        out_of_memory();
    return q;
}

char *mem_cstr(struct str s)
{
    char *p = mem_grow(NULL, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

static struct chunk *chunk_new(size_t size, struct chunk *older)
{
    struct chunk *c = malloc(sizeof *c + size);
    if (!c)
        out_of_memory();
    c->older = older;
    c->size = size;
    c->used = 0;
    SHUT(c->data, size);
    return c;
}

struct arena *arena_new(size_t first)
{
    struct arena *a = mem_zero(sizeof *a);
    a->top = chunk_new(first < CHUNK_MIN ? CHUNK_MIN : first, NULL);
    return a;
}

static void run_defers(struct arena *a)
{
    while (a->defers) {
        struct defer *d = a->defers;
        a->defers = d->older;
        d->end(d->what);
        free(d);
    }
}

static void drop_chunks(struct arena *a, struct chunk *keep)
{
    while (a->top != keep) {
        struct chunk *c = a->top;
        a->top = c->older;
        free(c);
    }
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    run_defers(a);
    drop_chunks(a, NULL);
    free(a);
}

void arena_reset(struct arena *a)
{
    run_defers(a);
    struct chunk *first = a->top;
    while (first->older)
        first = first->older;
    drop_chunks(a, first);
    first->used = 0;
    SHUT(first->data, first->size);
    a->handed_out = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 4)
        out_of_memory();
    size_t asked = n;
    n = (n + ALIGN - 1) & ~(ALIGN - 1);
    struct chunk *c = a->top;
    if (c->size - c->used < n) {
        size_t size = c->size * 2;
        c = a->top = chunk_new(size > n ? size : n, c);
    }
    void *p = c->data + c->used;
    c->used += n;
    a->handed_out += n;
    OPEN(p, asked);
    (void)asked;
    return p;
}

void *arena_zero(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory();
    return arena_zero(a, bytes);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct str){ p, s.n };
}

char *arena_cstr(struct arena *a, struct str s) { return (char *)arena_str(a, s).p; }

struct str arena_join(struct arena *a, struct str x, struct str y)
{
    char *p = arena_alloc(a, x.n + y.n + 1);
    if (x.n)
        memcpy(p, x.p, x.n);
    if (y.n)
        memcpy(p + x.n, y.p, y.n);
    p[x.n + y.n] = 0;
    return (struct str){ p, x.n + y.n };
}

struct str str_vfmt(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0)
        return STR("");
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, args);
    return (struct str){ p, (size_t)n };
}

struct str str_fmt(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str s = str_vfmt(a, format, args);
    va_end(args);
    return s;
}

void arena_defer(struct arena *a, void (*end)(void *what), void *what)
{
    /* On the heap, so that a rewind cannot take it away. */
    struct defer *d = mem_zero(sizeof *d);
    *d = (struct defer){ a->defers, end, what };
    a->defers = d;
}

struct arena_mark arena_mark(struct arena *a) { return (struct arena_mark){ a->top, a->top->used }; }

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    drop_chunks(a, mark.chunk);
    a->top->used = mark.used;
    SHUT(a->top->data + mark.used, a->top->size - mark.used);
}

size_t arena_used(const struct arena *a) { return a->handed_out; }
