/* crypto/stream.h - sealing what is too long for memory, piece by piece: XChaCha20-Poly1305 secretstream (libsodium).
 *
 * A piece cannot be left out, repeated, moved or cut off: the pieces are chained, and the last one says that it is.
 */
#ifndef CRYPTO_STREAM_H
#define CRYPTO_STREAM_H

#include "base/err.h"
#include "crypto/secret.h"

#define STREAM_KEY 32
#define STREAM_HEADER 24
#define STREAM_OVERHEAD 17        /* bytes that a piece grows by */
#define STREAM_PIECE (64 * 1024)  /* bytes of a piece before it is sealed; the last may have fewer */

struct stream {
    struct secret state;
};

/* stream_end() is owed after each of the two. `key` has STREAM_KEY bytes. */
void stream_seal_begin(struct stream *s, struct secret key, unsigned char header[STREAM_HEADER]);
enum err stream_open_begin(struct stream *s, struct secret key, const unsigned char header[STREAM_HEADER],
                           struct fault *why) MUST_CHECK;
void stream_end(struct stream *s);

/* `out` has room for plain.n + STREAM_OVERHEAD. `associated` is authenticated with the piece; may be empty. */
void stream_seal(struct stream *s, struct str associated, struct str plain, bool last, unsigned char *out);
/* `out` has room for sealed.n - STREAM_OVERHEAD. ERR_CRYPTO: altered, out of its place, or of another key. */
enum err stream_open(struct stream *s, struct str associated, struct str sealed, unsigned char *out, bool *last,
                     struct fault *why) MUST_CHECK;

#endif
