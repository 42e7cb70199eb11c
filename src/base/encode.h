/* base/encode.h - base64, base64url, hex and percent-encoding, both ways. RFC 4648, RFC 3986 2.1.
 *
 * Not for secrets where timing matters: see crypto/secret.h for those.
 */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

enum base64_kind { BASE64_STANDARD, BASE64_URL }; /* URL: '-' and '_', no padding */

static inline size_t base64_size(size_t n) { return (n + 2) / 3 * 4; } /* most bytes that encode writes */
/* Writes without a NUL; answers the count. */
size_t base64_write(char *out, struct str in, enum base64_kind kind);
struct str base64_encode(struct arena *a, struct str in, enum base64_kind kind);
/* Strict: right alphabet, right padding (none for URL), no spare bits. False when malformed. */
bool base64_decode(struct arena *a, struct str in, enum base64_kind kind, struct str *out);

/* RFC 4648 6, upper case, without padding: what authenticator apps take. */
struct str base32_encode(struct arena *a, struct str in);

/* 0..15; -1 for what is no hexadecimal digit. */
static inline int hex_digit(char c)
{
    if (ascii_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
size_t hex_write(char *out, struct str in); /* lower case; 2 * in.n bytes */
bool hex_decode(struct arena *a, struct str in, struct str *out);

/* Everything but RFC 3986 unreserved characters becomes %XX (upper-case hex). */
void percent_encode(struct buf *out, struct str in);
/* %XX becomes its byte; false on a broken escape. '+' stays '+'. */
bool percent_decode(struct arena *a, struct str in, struct str *out);

/* True for well-formed UTF-8: no overlong forms, no surrogates, nothing over U+10FFFF. RFC 3629. */
bool utf8_valid(struct str s);
/* Bytes (1..4) of the well-formed character that s begins with; 0 when it begins with none. */
size_t utf8_first(struct str s);
/* Writes 1..4 bytes for a code point; answers the count. */
size_t utf8_write(char out[4], uint32_t code_point);

#endif
