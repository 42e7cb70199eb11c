#include "base/fold.h"

/* U+00C0 to U+017F */
static const char latin[192][3] = {
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "x", "o", "u", "u", "u", "u", "y", "th", "ss",
    "a", "a", "a", "a", "a", "a", "ae", "c", "e", "e", "e", "e", "i", "i", "i", "i",
    "d", "n", "o", "o", "o", "o", "o", "-", "o", "u", "u", "u", "u", "y", "th", "y",
    "a", "a", "a", "a", "a", "a", "c", "c", "c", "c", "c", "c", "c", "c", "d", "d",
    "d", "d", "e", "e", "e", "e", "e", "e", "e", "e", "e", "e", "g", "g", "g", "g",
    "g", "g", "g", "g", "h", "h", "h", "h", "i", "i", "i", "i", "i", "i", "i", "i",
    "i", "i", "ij", "ij", "j", "j", "k", "k", "k", "l", "l", "l", "l", "l", "l", "l",
    "l", "l", "l", "n", "n", "n", "n", "n", "n", "n", "n", "n", "o", "o", "o", "o",
    "o", "o", "oe", "oe", "r", "r", "r", "r", "r", "r", "s", "s", "s", "s", "s", "s",
    "s", "s", "t", "t", "t", "t", "t", "t", "u", "u", "u", "u", "u", "u", "u", "u",
    "u", "u", "u", "u", "w", "w", "y", "y", "y", "z", "z", "z", "z", "z", "z", "s",
};

/* The code point of a two-byte sequence at `at`, or 0: all that is folded beside ASCII lies there. */
static uint32_t pair_at(struct str s, size_t at)
{
    unsigned char first = (unsigned char)s.p[at];
    if (first < 0xc2 || first > 0xdf || at + 1 >= s.n)
        return 0;
    return (first & 0x1fu) << 6 | ((unsigned char)s.p[at + 1] & 0x3fu);
}

struct str fold_search(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n + 1); /* no folded form is longer than what it stands for */
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint32_t cp = pair_at(text, i);
        if (cp >= 0xc0 && cp < 0x180) {
            for (const char *p = latin[cp - 0xc0]; *p; p++)
                out[n++] = *p;
            i++;
        } else if (cp >= 0x300 && cp < 0x370) {
            i++; /* a combining mark */
        } else {
            out[n++] = ascii_lower(text.p[i]);
        }
    }
    return (struct str){ out, n };
}

struct str fold_like(struct arena *a, struct str folded)
{
    char *out = arena_alloc(a, 2 * folded.n + 2);
    size_t n = 0;
    out[n++] = '%';
    for (size_t i = 0; i < folded.n; i++) {
        char c = folded.p[i];
        if (c == '%' || c == '_' || c == '\\')
            out[n++] = '\\';
        out[n++] = c;
    }
    out[n++] = '%';
    return (struct str){ out, n };
}

struct str fold_key(struct arena *a, struct str name, size_t most)
{
    struct str folded = fold_search(a, name);
    char *out = arena_alloc(a, folded.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < folded.n && n < most; i++) {
        char c = folded.p[i];
        if (ascii_alpha(c) || ascii_digit(c))
            out[n++] = c;
        else if (n && out[n - 1] != '-')
            out[n++] = '-';
    }
    while (n && out[n - 1] == '-')
        n--;
    return (struct str){ out, n };
}
