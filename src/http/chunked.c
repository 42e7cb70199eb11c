#include "http/chunked.h"

#include "base/encode.h"
#include "http/head.h"

/* Where in the coding the next byte stands. SIZE is 0: a zeroed decoder is a new one. */
enum chunked_state {
    SIZE,       /* hex digits of a chunk's size */
    EXT_NAME,   /* after ';' */
    EXT_VALUE,  /* after '=' */
    EXT_QUOTED, /* inside "..." */
    EXT_ESCAPE, /* after a backslash in there */
    EXT_AFTER,  /* after the closing quote */
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER,       /* at the start of a trailer line, or of the last empty one */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    COMPLETE,
    BROKEN,
};

static enum chunked_state broken(struct chunked *d, const char *why)
{
    d->why = why;
    return BROKEN;
}

static bool token_byte(char c) { return head_is_token((struct str){ &c, 1 }); }
static bool text_byte(char c) { return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f); }

static enum chunked_state size_byte(struct chunked *d, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (++d->digits > 16 || d->left > INT64_MAX >> 4)
            return broken(d, "chunk size too large");
        d->left = d->left << 4 | (unsigned)digit;
        return SIZE;
    }
    if (!d->digits)
        return broken(d, "chunk without a size");
    d->extra = 1;
    if (c == '\r')
        return SIZE_LF;
    d->digits = 0;
    /* Blanks too: RFC 9112 7.1.1 calls them bad, and readers disagree on them. */
    return c == ';' ? EXT_NAME : broken(d, "chunk size is not hexadecimal");
}

/* RFC 9112 7.1.1, without the "bad" blanks: *( ";" token [ "=" ( token / quoted-string ) ] ).
 * d->digits, no longer needed, counts the bytes of the current name or value. */
static enum chunked_state extension_byte(struct chunked *d, enum chunked_state state, char c)
{
    if (++d->extra > CHUNKED_EXTENSION_MAX)
        return broken(d, "chunk extension too long");
    if (state == EXT_ESCAPE || (state == EXT_QUOTED && c != '"' && c != '\\'))
        return text_byte(c) ? EXT_QUOTED : broken(d, "control byte in a chunk extension");
    if (state == EXT_QUOTED)
        return c == '"' ? EXT_AFTER : EXT_ESCAPE;
    if (state != EXT_AFTER && token_byte(c)) {
        d->digits++;
        return state;
    }
    if (state == EXT_VALUE && c == '"' && !d->digits)
        return EXT_QUOTED;
    if (state != EXT_AFTER && !d->digits)
        return broken(d, "malformed chunk extension");
    d->digits = 0;
    if (c == '\r')
        return SIZE_LF;
    if (c == ';')
        return EXT_NAME;
    return c == '=' && state == EXT_NAME ? EXT_VALUE : broken(d, "malformed chunk extension");
}

static enum chunked_state trailer_byte(struct chunked *d, enum chunked_state state, char c)
{
    if (++d->extra > CHUNKED_TRAILERS_MAX)
        return broken(d, "trailers too large");
    switch (state) {
    case TRAILER:
        if (c == '\r')
            return LAST_LF;
        return token_byte(c) ? TRAILER_NAME : broken(d, "malformed trailer");
    case TRAILER_NAME:
        if (c == ':')
            return TRAILER_VALUE;
        return token_byte(c) ? TRAILER_NAME : broken(d, "malformed trailer");
    default:
        if (c == '\r')
            return TRAILER_LF;
        return text_byte(c) ? TRAILER_VALUE : broken(d, "control byte in a trailer");
    }
}

static enum chunked_state step(struct chunked *d, char c)
{
    switch (d->state) {
    case SIZE:
        return size_byte(d, c);
    case EXT_NAME: case EXT_VALUE: case EXT_QUOTED: case EXT_ESCAPE: case EXT_AFTER:
        return extension_byte(d, d->state, c);
    case SIZE_LF:
        d->extra = 0;
        return c != '\n' ? broken(d, "bare CR") : d->left ? DATA : TRAILER;
    case DATA_CR:
        return c == '\r' ? DATA_LF : broken(d, "chunk longer than its size");
    case DATA_LF:
        d->digits = 0;
        return c == '\n' ? SIZE : broken(d, "bare CR");
    case TRAILER: case TRAILER_NAME: case TRAILER_VALUE:
        return trailer_byte(d, d->state, c);
    case TRAILER_LF:
        return c == '\n' ? TRAILER : broken(d, "bare CR");
    case LAST_LF:
        return c == '\n' ? COMPLETE : broken(d, "bare CR");
    default:
        return d->state;
    }
}

enum chunked_result chunked_next(struct chunked *d, struct str in, struct str *data, size_t *consumed)
{
    size_t at = 0;
    *data = STR_NONE;
    while (at < in.n && d->state != DATA && d->state < COMPLETE)
        d->state = step(d, in.p[at++]);
    *consumed = at;
    if (d->state == BROKEN)
        return CHUNKED_BAD;
    if (d->state == COMPLETE)
        return CHUNKED_END;
    if (d->state != DATA || at == in.n)
        return CHUNKED_MORE;
    size_t n = in.n - at < d->left ? in.n - at : (size_t)d->left;
    *data = str_sub(in, at, at + n);
    *consumed = at + n;
    d->left -= n;
    if (!d->left)
        d->state = DATA_CR;
    return CHUNKED_DATA;
}

size_t chunked_head(char out[CHUNKED_HEAD_MAX], uint64_t size)
{
    char digits[16];
    size_t n = 0;
    do
        digits[n++] = "0123456789abcdef"[size & 15];
    while (size >>= 4);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}
