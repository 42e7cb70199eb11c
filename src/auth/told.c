#include "auth/told.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/encode.h"

#define LOOKED_AT 8192   /* bytes of what was said */
#define OPAQUE 16        /* letters and digits mixed, of at least as many characters */
#define OPAQUE_MIXED 32  /* both letter cases, of at least as many */
#define PIECE 8          /* bytes of a secret that are too many to show */
#define SECRET_LEAST 4   /* a shorter one is in every text */

static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool in_run(char c) { return ascii_digit(c) || is_upper(c) || is_lower(c) || (c && strchr("+=_~%-", c)); }

/* RFC 9562 4 */
static bool is_uuid(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : hex_digit(s.p[i]) < 0)
            return false;
    }
    return s.n == 36;
}

static bool is_opaque(struct str run)
{
    bool digit = false, upper = false, lower = false;
    for (size_t i = 0; i < run.n; i++) {
        digit |= ascii_digit(run.p[i]);
        upper |= is_upper(run.p[i]);
        lower |= is_lower(run.p[i]);
    }
    if (run.n < OPAQUE || is_uuid(run))
        return false;
    return (digit && (upper || lower)) || (run.n >= OPAQUE_MIXED && (digit || (upper && lower)));
}

/* Control characters and what is no UTF-8 become blanks. */
static struct str plain(struct arena *a, struct str s)
{
    AUTO_BUF b;
    buf_init(&b, LOOKED_AT);
    while (s.n && b.n + 4 < LOOKED_AT) {
        size_t n = utf8_first(s);
        bool control = !n || (n == 1 && str_has_control(str_sub(s, 0, 1))) || (n == 2 && (unsigned char)s.p[0] == 0xc2 &&
                                                                              (unsigned char)s.p[1] < 0xa0);
        buf_add(&b, control ? STR(" ") : str_sub(s, 0, n));
        s = str_sub(s, n ? n : 1, s.n);
    }
    return arena_str(a, buf_str(&b));
}

static struct str first_characters(struct str s, size_t most)
{
    size_t at = 0;
    for (size_t n = 0; n < most && at < s.n; n++)
        at += utf8_first(str_sub(s, at, s.n));
    return str_sub(s, 0, at);
}

struct str told_text(struct arena *a, struct str s)
{
    AUTO_BUF b;
    struct str text = plain(a, s);
    bool cut = s.n > text.n;
    buf_init(&b, LOOKED_AT * 2);
    for (size_t at = 0, end; at < text.n; at = end) {
        end = at;
        while (end < text.n && in_run(text.p[end]))
            end++;
        struct str run = str_sub(text, at, end);
        buf_add(&b, is_opaque(run) || (cut && end == text.n) ? STR("***") : run);
        if (end < text.n)
            buf_char(&b, text.p[end++]);
    }
    return arena_str(a, first_characters(str_trim(buf_str(&b)), TOLD_MOST));
}

/* Any `width` bytes in a row of `secret`. */
static bool shows_piece(struct str text, struct str secret, size_t width)
{
    for (size_t i = 0; i + width <= secret.n; i++)
        if (str_find_str(text, str_sub(secret, i, i + width)) != SIZE_MAX)
            return true;
    return false;
}

/* As it would stand anywhere within a longer text in base64: without the characters that hold bits of its neighbours. */
static bool shows_base64(struct str text, struct str secret)
{
    bool found = false;
    AUTO_SECRET shifted = secret_new(secret.n + 2);
    AUTO_SECRET encoded = secret_new(base64_size(secret.n + 2));
    for (size_t skew = 0; skew < 3; skew++) {
        memcpy(shifted.p + skew, secret.p, secret.n);
        for (enum base64_kind kind = BASE64_STANDARD; kind <= BASE64_URL; kind++) {
            base64_write((char *)encoded.p, (struct str){ (const char *)shifted.p, secret.n + skew }, kind);
            struct str inner = str_sub(secret_str(encoded), (8 * skew + 5) / 6, 8 * (skew + secret.n) / 6);
            found |= shows_piece(text, inner, (PIECE * 4 + 2) / 3);
        }
    }
    return found;
}

/* As forms and URLs have it. *n: how much of the answer it is. */
static struct secret percent_encoded(struct str secret, size_t *n)
{
    struct secret out = secret_new(3 * secret.n + 1);
    *n = 0;
    for (size_t i = 0; i < secret.n; i++) {
        char c = secret.p[i];
        if (ascii_digit(c) || is_upper(c) || is_lower(c) || (c && strchr("-._~", c)))
            out.p[(*n)++] = (unsigned char)c;
        else
            *n += (size_t)snprintf((char *)out.p + *n, 4, "%%%02X", (unsigned char)c);
    }
    return out;
}

bool told_shows(struct str text, struct secret s)
{
    struct str secret = secret_str(s);
    size_t n;
    if (secret.n < SECRET_LEAST || !text.n)
        return false;
    if (secret.n < PIECE)
        return str_find_str(text, secret) != SIZE_MAX;
    AUTO_SECRET percent = percent_encoded(secret, &n);
    struct str form = str_sub(secret_str(percent), 0, n);
    return shows_piece(text, secret, PIECE) || shows_base64(text, secret) ||
           (n != secret.n && (shows_piece(text, form, 2 * PIECE) || shows_base64(text, form)));
}
