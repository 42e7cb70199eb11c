#include "base/idna.h"

#include <idn2.h>

#include "base/buf.h"
#include "base/encode.h"

static bool ascii_only(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

/* https://url.spec.whatwg.org/#forbidden-domain-code-point */
static bool holds_forbidden(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c == 0x7f || strchr("#/:<>?@[\\]^|%", c))
            return true;
    }
    return false;
}

/* Well-formed UTF-8 only. Answers the code point and moves *at past it. */
static uint32_t next_code_point(struct str s, size_t *at)
{
    unsigned char c = (unsigned char)s.p[(*at)++];
    if (c < 0x80)
        return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t cp = c & (0x3fu >> more);
    while (more--)
        cp = cp << 6 | ((unsigned char)s.p[(*at)++] & 0x3f);
    return cp;
}

/* Code points that UTS #46 maps to a character on which labels are parted or hyphens are judged, done first so that what
 * follows sees the label as it will be; and U+1E9E, which libidn2's tables still take for "ss". */
static uint32_t map_first(uint32_t cp)
{
    switch (cp) {
    case 0x3002: case 0xff0e: case 0xff61: case 0x2024: return '.';
    case 0xff0d: case 0xfe63: return '-';
    case 0x1e9e: return 0xdf;
    default: return cp;
    }
}

/* Blocks whose letters are written right to left (bidi class R or AL), and the Arabic digits (AN). */
static bool right_to_left(uint32_t cp)
{
    return (cp >= 0x5be && cp <= 0x8ff) || (cp >= 0xfb1d && cp <= 0xfdff) || (cp >= 0xfe70 && cp <= 0xfefe) ||
           (cp >= 0x10800 && cp <= 0x10fff) || (cp >= 0x1e800 && cp <= 0x1efff);
}

/* RFC 5893 2, rules 1, 5 and 6 for a label of ASCII beside a right-to-left one; libidn2 looks at one label at a time. */
static bool bidi_fits(struct str label)
{
    if (!label.n || str_istarts(label, STR("xn--")))
        return true;
    char last = label.p[label.n - 1];
    return ascii_alpha(label.p[0]) && (ascii_alpha(last) || ascii_digit(last));
}

static void swap_all(char *s, char from, char to)
{
    for (; *s; s++)
        if (*s == from)
            *s = to;
}

static bool lookup(const char *label, char **out)
{
    return idn2_lookup_u8((const uint8_t *)label, (uint8_t **)out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
}

/* libidn2 always checks hyphens; WHATWG does not. A label that only hyphens spoil is tried with '_' in their place: same bidi
 * behaviour, no joining, never composed, and Punycode's deltas do not depend on which ASCII character stands there. */
static bool lookup_around_hyphens(char *label, char **out)
{
    if (strchr(label, '_'))
        return false;
    swap_all(label, '-', '_');
    if (!lookup(label, out))
        return false;
    bool was_encoded = str_starts(str_of(*out), STR("xn--"));
    swap_all(*out, '_', '-');
    if (was_encoded || !str_starts(str_of(*out), STR("xn--")))
        return true;
    idn2_free(*out); /* an A-label that has not been checked */
    return false;
}

static bool label_to_ascii(struct arena *a, struct str label, struct buf *out)
{
    if (ascii_only(label) && !str_istarts(label, STR("xn--"))) {
        for (size_t i = 0; i < label.n; i++)
            buf_char(out, ascii_lower(label.p[i]));
        return true;
    }
    char *copy = arena_cstr(a, label), *made = NULL;
    if (strlen(copy) != label.n || (!lookup(copy, &made) && !lookup_around_hyphens(copy, &made)))
        return false;
    bool sound = !str_starts(str_of(made), STR("xn--xn--")); /* a broken A-label encoded once more */
    buf_add(out, str_of(made));
    idn2_free(made);
    return sound;
}

static bool labels_to_ascii(struct arena *a, struct str text, bool bidi, struct buf *out)
{
    for (size_t i = 0; i <= text.n; i++) {
        struct str label = str_sub(text, i, i);
        while (i < text.n && text.p[i] != '.')
            i++, label.n++;
        if (bidi && ascii_only(label) && !bidi_fits(label))
            return false;
        if (!label_to_ascii(a, label, out))
            return false;
        if (i < text.n)
            buf_char(out, '.');
    }
    return true;
}

static bool finish(struct arena *a, struct str made, struct str *out)
{
    if (!made.n || !ascii_only(made) || holds_forbidden(made))
        return false;
    *out = arena_str(a, made);
    return true;
}

bool idna_to_ascii(struct arena *a, struct str text, struct str *out)
{
    if (text.n > IDNA_INPUT || !utf8_valid(text))
        return false;
    AUTO_BUF mapped, made;
    buf_init(&mapped, 4 * IDNA_INPUT);
    buf_init(&made, 64 * IDNA_INPUT);

    /* An ASCII name is only lower-cased: its A-labels are not looked into (WHATWG, beStrict=false). */
    if (ascii_only(text)) {
        for (size_t i = 0; i < text.n; i++)
            buf_char(&made, ascii_lower(text.p[i]));
        return finish(a, buf_str(&made), out);
    }

    bool bidi = false;
    for (size_t i = 0; i < text.n;) {
        char utf8[4];
        uint32_t cp = map_first(next_code_point(text, &i));
        bidi = bidi || right_to_left(cp);
        buf_add(&mapped, (struct str){ utf8, utf8_write(utf8, cp) });
    }
    return labels_to_ascii(a, buf_str(&mapped), bidi, &made) && !buf_failed(&made) && finish(a, buf_str(&made), out);
}
