#include "crypto/stream.h"

#include <sodium.h>

#include "crypto/sodium_ready.h"

_Static_assert(STREAM_KEY == crypto_secretstream_xchacha20poly1305_KEYBYTES, "libsodium's");
_Static_assert(STREAM_HEADER == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "libsodium's");
_Static_assert(STREAM_OVERHEAD == crypto_secretstream_xchacha20poly1305_ABYTES, "libsodium's");

typedef crypto_secretstream_xchacha20poly1305_state inner;

static inner *state_of(struct stream *s) { return (inner *)(void *)s->state.p; }

static void begin(struct stream *s, struct secret key)
{
    if (key.n != STREAM_KEY)
        bug("a stream's key of %zu bytes", key.n);
    sodium_ready();
    s->state = secret_new(sizeof(inner));
}

void stream_seal_begin(struct stream *s, struct secret key, unsigned char header[STREAM_HEADER])
{
    begin(s, key);
    crypto_secretstream_xchacha20poly1305_init_push(state_of(s), header, key.p);
}

enum err stream_open_begin(struct stream *s, struct secret key, const unsigned char header[STREAM_HEADER], struct fault *why)
{
    begin(s, key);
    if (!crypto_secretstream_xchacha20poly1305_init_pull(state_of(s), header, key.p))
        return ERR_NONE;
    return fault(why, ERR_CRYPTO, STR_NONE, "a stream's header is not one");
}

void stream_end(struct stream *s) { secret_end(&s->state); }

void stream_seal(struct stream *s, struct str associated, struct str plain, bool last, unsigned char *out)
{
    unsigned char tag = last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0;
    crypto_secretstream_xchacha20poly1305_push(state_of(s), out, NULL, (const unsigned char *)plain.p, plain.n,
                                               (const unsigned char *)associated.p, associated.n, tag);
}

enum err stream_open(struct stream *s, struct str associated, struct str sealed, unsigned char *out, bool *last, struct fault *why)
{
    unsigned char tag;
    if (sealed.n < STREAM_OVERHEAD ||
        crypto_secretstream_xchacha20poly1305_pull(state_of(s), out, NULL, &tag, (const unsigned char *)sealed.p, sealed.n,
                                                   (const unsigned char *)associated.p, associated.n))
        return fault(why, ERR_CRYPTO, STR_NONE, "a piece of %zu bytes was altered, or is not in its place", sealed.n);
    *last = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    return ERR_NONE;
}
