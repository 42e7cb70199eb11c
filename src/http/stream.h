/* http/stream.h - a socket with its two buffers, as server and client use it.
 *
 * In: bytes read and not yet used; a reader takes them from the front. Out: bytes to be sent; small writes gather there and leave
 * together with the next large one. Buffers are lent by the loop's pool and given back when empty, so that an idle
 * connection holds none.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include "base/str.h"
#include "http/sock.h"

#define STREAM_SMALL (16 * 1024)
#define STREAM_LARGE (128 * 1024) /* for bodies that keep filling the small one; also the largest head */

/* Buffers of one loop. */
struct stream_pool;
struct stream_pool *stream_pool_new(void);
void stream_pool_free(struct stream_pool *p);

struct stream_buf {
    char *p;
    size_t size, start, end;
    size_t dirty; /* bytes from p that an earlier filling wrote: to be wiped with the rest */
};

struct stream {
    struct sock sock;
    struct stream_pool *pool;
    struct stream_buf in, out;
    uint64_t sent;    /* bytes, ever */
    bool blocked;     /* the socket took less than it was given; `ready` will come */
    bool in_end;      /* the peer will send no more */
    bool failed;
    bool in_full;     /* the last read filled the buffer: more is likely there */
};

static inline struct str stream_in(const struct stream *s)
{
    return (struct str){ s->in.p + s->in.start, s->in.end - s->in.start };
}
/* `n` bytes of the front are used. */
static inline void stream_take(struct stream *s, size_t n) { s->in.start += n; }

/* One read into the buffer. IO_DONE: bytes came; IO_WAIT; IO_EOF; IO_FAILED (also when the buffer is full at its largest). `most`:
 * how large the buffer may grow when it is full of unused bytes. */
enum io stream_fill(struct stream *s, size_t most);
/* Append to the out buffer, growing it as needed (heads; the caller bounds them). */
void stream_put(struct stream *s, struct str bytes);
char *stream_room(struct stream *s, size_t n);   /* write up to n bytes there, then add to out.end */
/* Send what is gathered, then as much of `more` as goes; answers how much of `more` was taken. Sets blocked or failed. */
size_t stream_send(struct stream *s, struct str more);
static inline size_t stream_unsent(const struct stream *s) { return s->out.end - s->out.start; }
/* The socket is ready again: send on. True when nothing is left unsent. */
bool stream_unblock(struct stream *s);
/* Give back buffers that hold nothing. `secret`: wipe the out buffer first, it carried a credential. */
void stream_idle(struct stream *s);
void stream_wipe_out(struct stream *s);
void stream_close(struct stream *s);

#endif
