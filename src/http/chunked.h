/* http/chunked.h - the chunked coding, both ways. RFC 9112 7.1.
 *
 * The decoder is fed spans as they come and hands out spans that point into them; it keeps a few numbers and no data.
 * Strict: CRLF only, at most 16 hex digits without overflow, extensions of at most 256 bytes a chunk without control bytes,
 * trailers checked, dropped, and at most 8 KiB.
 */
#ifndef HTTP_CHUNKED_H
#define HTTP_CHUNKED_H

#include "base/str.h"

#define CHUNKED_EXTENSION_MAX 256       /* bytes a chunk, from the ';' on */
#define CHUNKED_TRAILERS_MAX (8 * 1024) /* bytes */

struct chunked {
    uint64_t left;    /* bytes of the current chunk still to come */
    unsigned state;   /* private */
    unsigned digits;  /* hex digits seen of the current size */
    unsigned extra;   /* bytes of extension or of trailers so far */
    const char *why;  /* after CHUNKED_BAD: constant text */
};

enum chunked_result {
    CHUNKED_MORE, /* all of `in` is consumed; feed the next span */
    CHUNKED_DATA, /* *data holds body bytes, at least one; call again with the rest of `in` */
    CHUNKED_END,  /* the body is complete; bytes after *consumed belong to the next message */
    CHUNKED_BAD   /* d->why; sticky */
};

static inline void chunked_init(struct chunked *d) { *d = (struct chunked){ 0 }; }

/* Reads from the start of `in`. *consumed counts the bytes used, those of *data included. *data is borrowed from `in`. */
enum chunked_result chunked_next(struct chunked *d, struct str in, struct str *data, size_t *consumed);

/* "1f4\r\n" for the line before a chunk of `size` > 0 bytes; "\r\n" follows the chunk. Answers the count; no NUL. */
#define CHUNKED_HEAD_MAX 20
size_t chunked_head(char out[CHUNKED_HEAD_MAX], uint64_t size);
#define CHUNKED_LAST "0\r\n\r\n" /* ends the body */

#endif
