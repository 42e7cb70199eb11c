#include "http/stream.h"

#include <stdlib.h>

#include "base/arena.h"

#define KEEP 256 /* free small buffers kept per loop */

struct free_buf {
    struct free_buf *next;
};

struct stream_pool {
    struct free_buf *small;
    size_t kept;
};

struct stream_pool *stream_pool_new(void) { return mem_zero(sizeof(struct stream_pool)); }

void stream_pool_free(struct stream_pool *p)
{
    if (!p)
        return;
    while (p->small) {
        struct free_buf *b = p->small;
        p->small = b->next;
        free(b);
    }
    free(p);
}

static void lend(struct stream_pool *p, struct stream_buf *b)
{
    *b = (struct stream_buf){ .size = STREAM_SMALL };
    if (p->small) {
        b->p = (char *)p->small;
        p->small = p->small->next;
        p->kept--;
        return;
    }
    b->p = mem_grow(NULL, STREAM_SMALL);
}

static void give_back(struct stream_pool *p, struct stream_buf *b)
{
    if (!b->p)
        return;
    if (b->size == STREAM_SMALL && p->kept < KEEP) {
        struct free_buf *f = (struct free_buf *)(void *)b->p;
        f->next = p->small;
        p->small = f;
        p->kept++;
    } else {
        free(b->p);
    }
    *b = (struct stream_buf){ 0 };
}

static void wipe(struct stream_buf *b)
{
    size_t used = b->end > b->dirty ? b->end : b->dirty;
    if (b->p && used)
        explicit_bzero(b->p, used);
    b->dirty = 0;
}

/* A bigger home for the same bytes. The old one is wiped: it may have carried a credential. */
static void move_to(struct stream_pool *p, struct stream_buf *b, size_t size)
{
    struct stream_buf bigger = { mem_grow(NULL, size), size, 0, b->end - b->start, 0 };
    memcpy(bigger.p, b->p + b->start, bigger.end);
    wipe(b);
    give_back(p, b);
    *b = bigger;
}

static void make_room_in(struct stream *s, size_t most)
{
    struct stream_buf *b = &s->in;
    if (!b->p)
        lend(s->pool, b);
    if (b->start == b->end)
        b->start = b->end = 0;
    bool empty = b->end == 0;
    if (empty && s->in_full && b->size < most)
        move_to(s->pool, b, most);
    if (b->end < b->size)
        return;
    if (b->start) {
        memmove(b->p, b->p + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
    } else if (b->size < most) {
        move_to(s->pool, b, most);
    }
}

enum io stream_fill(struct stream *s, size_t most)
{
    /* Not after a failed read, which fails again by itself; after a failed write what the peer said last is still there. */
    make_room_in(s, most);
    size_t room = s->in.size - s->in.end, got;
    if (!room)
        return IO_FAILED;
    enum io r = sock_read(&s->sock, s->in.p + s->in.end, room, &got);
    s->in.end += got;
    s->in_full = got == room;
    if (r == IO_EOF)
        s->in_end = true;
    if (r == IO_FAILED)
        s->failed = true;
    return r;
}

char *stream_room(struct stream *s, size_t n)
{
    struct stream_buf *b = &s->out;
    if (!b->p)
        lend(s->pool, b);
    if (b->start == b->end) {
        b->dirty = b->end > b->dirty ? b->end : b->dirty;
        b->start = b->end = 0;
    }
    if (b->size - b->end < n) {
        size_t size = b->size * 2;
        while (size - (b->end - b->start) < n)
            size *= 2;
        move_to(s->pool, b, size);
    }
    return b->p + b->end;
}

void stream_put(struct stream *s, struct str bytes)
{
    if (!bytes.n)
        return;
    memcpy(stream_room(s, bytes.n), bytes.p, bytes.n);
    s->out.end += bytes.n;
}

size_t stream_send(struct stream *s, struct str more)
{
    size_t taken = 0;
    while (!s->failed && !s->blocked && (stream_unsent(s) || taken < more.n)) {
        struct str gathered = { s->out.p + s->out.start, stream_unsent(s) };
        size_t put;
        enum io r = sock_write(&s->sock, gathered, str_sub(more, taken, more.n), &put);
        size_t mine = put < gathered.n ? put : gathered.n;
        s->out.start += mine;
        s->sent += put;
        taken += put - mine;
        if (r == IO_WAIT)
            s->blocked = true;
        else if (r != IO_DONE)
            s->failed = true;
    }
    return taken;
}

bool stream_unblock(struct stream *s)
{
    if (s->blocked) {
        enum io r = sock_flush(&s->sock);
        if (r == IO_WAIT)
            return false;
        s->blocked = false;
        if (r != IO_DONE)
            s->failed = true;
    }
    stream_send(s, STR_NONE);
    return !s->blocked && !s->failed && !stream_unsent(s);
}

void stream_wipe_out(struct stream *s)
{
    if (!stream_unsent(s))
        wipe(&s->out);
}

void stream_idle(struct stream *s)
{
    if (s->in.start == s->in.end)
        give_back(s->pool, &s->in);
    if (!stream_unsent(s))
        give_back(s->pool, &s->out);
    s->in_full = false;
}

void stream_close(struct stream *s)
{
    sock_close(&s->sock);
    wipe(&s->out);
    give_back(s->pool, &s->in);
    give_back(s->pool, &s->out);
}
