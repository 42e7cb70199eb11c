#include "base/encode.h"

static const char alphabets[2][65] = {
    [BASE64_STANDARD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t base64_write(char *out, struct str in, enum base64_kind kind)
{
    const char *letters = alphabets[kind];
    const unsigned char *p = (const unsigned char *)in.p;
    char *to = out;
    size_t i = 0;
    for (; i + 2 < in.n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        *to++ = letters[v >> 18];
        *to++ = letters[v >> 12 & 63];
        *to++ = letters[v >> 6 & 63];
        *to++ = letters[v & 63];
    }
    if (i < in.n) {
        bool two = i + 1 < in.n;
        uint32_t v = (uint32_t)p[i] << 16 | (two ? (uint32_t)p[i + 1] << 8 : 0);
        *to++ = letters[v >> 18];
        *to++ = letters[v >> 12 & 63];
        if (two)
            *to++ = letters[v >> 6 & 63];
        for (size_t pad = two ? 1 : 2; kind == BASE64_STANDARD && pad; pad--)
            *to++ = '=';
    }
    return (size_t)(to - out);
}

struct str base64_encode(struct arena *a, struct str in, enum base64_kind kind)
{
    char *p = arena_alloc(a, base64_size(in.n) + 1);
    size_t n = base64_write(p, in, kind);
    p[n] = 0;
    return (struct str){ p, n };
}

static int base64_value(char c, enum base64_kind kind)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    if (c == alphabets[kind][62])
        return 62;
    return c == alphabets[kind][63] ? 63 : -1;
}

bool base64_decode(struct arena *a, struct str in, enum base64_kind kind, struct str *out)
{
    if (kind == BASE64_STANDARD) {
        if (in.n % 4)
            return false;
        for (int pad = 0; pad < 2 && in.n && in.p[in.n - 1] == '='; pad++)
            in.n--;
    }
    if (in.n % 4 == 1)
        return false;
    char *p = arena_alloc(a, in.n / 4 * 3 + 4);
    size_t n = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < in.n; i++) {
        int v = base64_value(in.p[i], kind);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            p[n++] = (char)(bits >> have & 0xff);
        }
    }
    if (bits & ((1u << have) - 1))
        return false;
    p[n] = 0;
    *out = (struct str){ p, n };
    return true;
}

struct str base32_encode(struct arena *a, struct str in)
{
    char *out = arena_alloc(a, (in.n * 8 + 4) / 5 + 1);
    size_t n = 0;
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < in.n; i++) {
        bits = bits << 8 | (unsigned char)in.p[i];
        for (held += 8; held >= 5; held -= 5)
            out[n++] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits >> (held - 5) & 31];
    }
    if (held)
        out[n++] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[bits << (5 - held) & 31];
    out[n] = 0;
    return (struct str){ out, n };
}

size_t hex_write(char *out, struct str in)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.n; i++) {
        out[2 * i] = digits[(unsigned char)in.p[i] >> 4];
        out[2 * i + 1] = digits[in.p[i] & 15];
    }
    return 2 * in.n;
}

bool hex_decode(struct arena *a, struct str in, struct str *out)
{
    if (in.n % 2)
        return false;
    char *p = arena_alloc(a, in.n / 2 + 1);
    for (size_t i = 0; i < in.n; i += 2) {
        int high = hex_digit(in.p[i]), low = hex_digit(in.p[i + 1]);
        if (high < 0 || low < 0)
            return false;
        p[i / 2] = (char)(high << 4 | low);
    }
    p[in.n / 2] = 0;
    *out = (struct str){ p, in.n / 2 };
    return true;
}

void percent_encode(struct buf *out, struct str in)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' || c == '_' || c == '~')
            buf_char(out, c);
        else
            buf_add(out, (struct str){ (char[]){ '%', digits[(unsigned char)c >> 4], digits[c & 15] }, 3 });
    }
}

bool percent_decode(struct arena *a, struct str in, struct str *out)
{
    char *p = arena_alloc(a, in.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
            if (i + 2 >= in.n || high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        p[n++] = c;
    }
    p[n] = 0;
    *out = (struct str){ p, n };
    return true;
}

size_t utf8_first(struct str s)
{
    if (!s.n)
        return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    if (*p < 0x80)
        return 1;
    if (*p < 0xc2 || *p > 0xf4)
        return 0;
    size_t n = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : 2;
    /* The second byte keeps out overlong forms, surrogates and what lies over U+10FFFF. RFC 3629 4. */
    unsigned char low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
    unsigned char high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
    if (s.n < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool utf8_valid(struct str s)
{
    while (s.n) {
        size_t n = utf8_first(s);
        if (!n)
            return false;
        s = str_sub(s, n, s.n);
    }
    return true;
}

size_t utf8_write(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}
