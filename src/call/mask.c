#include "call/mask.h"

#include <stdlib.h>

#include "base/encode.h"

#define MASKED STR("[masked]")
#define SHORTEST 4 /* bytes; less would mask ordinary text */

/* How the text at hand may spell one byte of a needle. A secret's own text may hold '%' and '\\', so that each way is tried by
 * itself from the start; what is compared is what a reader of that way would read. */
enum way { WAY_RAW, WAY_PERCENT, WAY_FORM /* percent, and '+' for a blank */, WAY_JSON, WAYS };

/* One run of bytes to look for: the secret itself, its base64 at one of three alignments, or its hex digits. */
struct needle {
    struct str bytes;
    bool base64;          /* '+' and '-', '/' and '_' are the same */
    bool hex;             /* letter case ignored */
    unsigned char before; /* base64 characters around it that hold bits of the secret and of its neighbours */
    unsigned char after;
};

struct mask {
    struct secret bytes;      /* of all needles */
    struct needle *needles;   /* in order of their first byte, folded */
    size_t count;
    uint32_t first[257];      /* needles of first byte b: first[b] up to first[b + 1] */
    bool begins[256];         /* plain text: some needle, folded, begins with this byte */
    size_t shortest;          /* bytes; plain text below that holds nothing */
};

/* One spelling of a byte for all that a needle takes as the same. */
static unsigned char fold(unsigned char c, const struct needle *n)
{
    if (n->hex)
        return (unsigned char)ascii_lower((char)c);
    if (n->base64 && c == '-')
        return '+';
    if (n->base64 && c == '_')
        return '/';
    return c;
}

#define FOLDS 4

/* The first byte of a needle in each spelling that needles take as the same. */
static unsigned char folded(unsigned char c, size_t f)
{
    switch (f) {
    case 1: return (unsigned char)ascii_lower((char)c);
    case 2: return c == '-' ? '+' : c;
    case 3: return c == '_' ? '/' : c;
    default: return c;
    }
}

/* ---- making ---- */

/* Bytes that base64 text shows for certain when `skew` unknown bytes stand before the secret: the characters in the middle.
 * RFC 4648 4: character i holds the bits 6i to 6i + 5. */
static size_t base64_middle(struct str secret, size_t skew, char *out, struct needle *n)
{
    struct secret text = secret_new(base64_size(secret.n + skew));
    struct secret shifted = secret_new(secret.n + skew);
    memcpy(shifted.p + skew, secret.p, secret.n);
    base64_write((char *)text.p, secret_str(shifted), BASE64_STANDARD);
    size_t from = (8 * skew + 5) / 6, to = 8 * (skew + secret.n) / 6;
    memcpy(out, text.p + from, to - from);
    n->before = skew != 0;
    n->after = 8 * (skew + secret.n) % 6 != 0;
    secret_end(&text);
    secret_end(&shifted);
    return to - from;
}

static int by_first(const void *x, const void *y)
{
    const struct needle *a = x, *b = y;
    return (int)(unsigned char)a->bytes.p[0] - (int)(unsigned char)b->bytes.p[0];
}

static void index_first(struct mask *m)
{
    qsort(m->needles, m->count, sizeof *m->needles, by_first);
    size_t at = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (at < m->count && (unsigned char)m->needles[at].bytes.p[0] < b)
            at++;
        m->first[b] = (uint32_t)at;
    }
    m->shortest = SIZE_MAX;
    for (size_t i = 0; i < m->count; i++)
        if (m->needles[i].bytes.n < m->shortest)
            m->shortest = m->needles[i].bytes.n;
    for (unsigned b = 0; b < 256; b++)
        for (size_t f = 0; f < FOLDS; f++) {
            unsigned char c = folded((unsigned char)b, f);
            m->begins[b] |= m->first[c] != m->first[c + 1];
        }
}

#define SPELLINGS 5 /* raw, hex, base64 at three alignments */

struct mask *mask_new(const struct secret *secrets, size_t n)
{
    struct mask *m = mem_zero(sizeof *m);
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room += secrets[i].n + 2 * secrets[i].n + 3 * base64_size(secrets[i].n + 2);
    if (!room)
        return m;
    m->bytes = secret_new(room);
    m->needles = mem_zero(n * SPELLINGS * sizeof *m->needles);
    char *to = (char *)m->bytes.p;
    for (size_t i = 0; i < n; i++) {
        struct str s = secret_str(secrets[i]);
        if (s.n < SHORTEST)
            continue;
        struct needle *raw = &m->needles[m->count++];
        memcpy(to, s.p, s.n);
        raw->bytes = (struct str){ to, s.n };
        to += s.n;
        struct needle *hex = &m->needles[m->count++];
        *hex = (struct needle){ .bytes = { to, hex_write(to, s) }, .hex = true };
        to += hex->bytes.n;
        for (size_t skew = 0; skew < 3; skew++) {
            struct needle *b = &m->needles[m->count++];
            b->base64 = true;
            b->bytes = (struct str){ to, base64_middle(s, skew, to, b) };
            to += b->bytes.n;
        }
    }
    index_first(m);
    return m;
}

void mask_free(struct mask *m)
{
    if (!m)
        return;
    secret_end(&m->bytes);
    free(m->needles);
    free(m);
}

/* ---- matching ---- */

/* \uXXXX at `at`; -1 when it is none. */
static int32_t json_unit(struct str text, size_t at)
{
    if (text.n - at < 6 || text.p[at] != '\\' || text.p[at + 1] != 'u')
        return -1;
    int32_t value = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        int digit = hex_digit(text.p[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* What one spelling in the text stands for. */
struct piece {
    char bytes[4];
    size_t n;    /* bytes it stands for */
    size_t took; /* bytes of text */
};

static struct piece piece_raw(struct str text, size_t at)
{
    return (struct piece){ { text.p[at] }, 1, 1 };
}

static struct piece piece_percent(struct str text, size_t at)
{
    int high = text.n - at >= 3 ? hex_digit(text.p[at + 1]) : -1;
    int low = high >= 0 ? hex_digit(text.p[at + 2]) : -1;
    return low < 0 ? piece_raw(text, at) : (struct piece){ { (char)(high << 4 | low) }, 1, 3 };
}

/* RFC 8259 7. */
static struct piece piece_json(struct str text, size_t at)
{
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (text.n - at < 2)
        return piece_raw(text, at);
    int32_t unit = json_unit(text, at);
    if (unit < 0) {
        for (const char *e = escapes; *e; e += 2)
            if (text.p[at + 1] == e[0])
                return (struct piece){ { e[1] }, 1, 2 };
        return piece_raw(text, at);
    }
    struct piece p = { .took = 6 };
    uint32_t point = (uint32_t)unit;
    int32_t low = unit >= 0xd800 && unit < 0xdc00 && text.n - at >= 12 ? json_unit(text, at + 6) : -1;
    if (low >= 0xdc00 && low < 0xe000) {
        point = 0x10000 + ((point - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
        p.took = 12;
    }
    p.n = utf8_write(p.bytes, point);
    return p;
}

static struct piece piece_at(struct str text, size_t at, enum way way)
{
    char c = text.p[at];
    if (c == '%' && (way == WAY_PERCENT || way == WAY_FORM))
        return piece_percent(text, at);
    if (c == '+' && way == WAY_FORM)
        return (struct piece){ { ' ' }, 1, 1 };
    if (c == '\\' && way == WAY_JSON)
        return piece_json(text, at);
    return piece_raw(text, at);
}

/* Where the needle's spelling that starts at `at` ends; 0 when it does not stand there. */
static size_t needle_end(const struct needle *n, struct str text, size_t at, enum way way)
{
    for (size_t i = 0; i < n->bytes.n;) {
        if (at >= text.n)
            return 0;
        struct piece p = piece_at(text, at, way);
        for (size_t k = 0; k < p.n; k++, i++)
            if (i >= n->bytes.n || fold((unsigned char)p.bytes[k], n) != (unsigned char)n->bytes.p[i])
                return 0;
        at += p.took;
    }
    return at;
}

static bool base64_letter(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '+' || c == '/' || c == '-' || c == '_';
}

struct span {
    size_t from, to;
};

/* The longest match that starts at `at`, with the neighbours that hold bits of the secret. */
static bool span_at(const struct mask *m, struct str text, size_t at, enum way way, struct span *out)
{
    bool found = false;
    struct piece p = piece_at(text, at, way);
    unsigned char c = (unsigned char)p.bytes[0];
    for (size_t f = 0; f < FOLDS; f++) {
        unsigned char first = folded(c, f);
        if (f && first == c)
            continue;
        for (uint32_t i = m->first[first]; i < m->first[first + 1]; i++) {
            const struct needle *n = &m->needles[i];
            size_t end = needle_end(n, text, at, way);
            if (!end)
                continue;
            size_t from = at;
            if (n->before && from && base64_letter(text.p[from - 1]))
                from--;
            if (n->after && end < text.n && base64_letter(text.p[end]))
                end++;
            *out = found ? (struct span){ from < out->from ? from : out->from, end > out->to ? end : out->to }
                         : (struct span){ from, end };
            found = true;
        }
    }
    return found;
}

/* The ways that can make a difference in this text. */
static unsigned ways_of(struct str text)
{
    unsigned ways = 1u << WAY_RAW;
    if (str_find(text, '%') != SIZE_MAX)
        ways |= 1u << WAY_PERCENT | 1u << WAY_FORM;
    if (str_find(text, '+') != SIZE_MAX)
        ways |= 1u << WAY_FORM;
    if (str_find(text, '\\') != SIZE_MAX)
        ways |= 1u << WAY_JSON;
    return ways;
}

static bool span_next(const struct mask *m, struct str text, unsigned ways, size_t *at, struct span *out)
{
    bool plain = ways == 1u << WAY_RAW;
    if (plain && text.n < m->shortest)
        return false;
    for (; *at < text.n; (*at)++) {
        bool found = false;
        if (plain && !m->begins[(unsigned char)text.p[*at]])
            continue;
        for (unsigned way = 0; way < WAYS; way++) {
            struct span s;
            if (!(ways & 1u << way) || !span_at(m, text, *at, (enum way)way, &s))
                continue;
            *out = found ? (struct span){ s.from < out->from ? s.from : out->from, s.to > out->to ? s.to : out->to } : s;
            found = true;
        }
        if (found)
            return (*at)++, true;
    }
    return false;
}

bool mask_hits(const struct mask *m, struct str text)
{
    size_t at = 0;
    struct span s;
    return m && m->count && span_next(m, text, ways_of(text), &at, &s);
}

struct str mask_apply(const struct mask *m, struct arena *a, struct str text)
{
    size_t at = 0;
    struct span s;
    unsigned ways = m && m->count ? ways_of(text) : 0;
    if (!ways || !span_next(m, text, ways, &at, &s))
        return text;

    AUTO_BUF out;
    /* A match is at least two bytes long, and each becomes eight. */
    buf_init(&out, 8 * text.n + 8);
    size_t done = 0;
    for (bool more = true; more;) {
        struct span next = { 0 };
        /* Matches that overlap are one; a match that starts in front of this one's end joins it. */
        while ((more = span_next(m, text, ways, &at, &next)) && next.from < s.to)
            s.to = next.to > s.to ? next.to : s.to;
        if (s.from > done)
            buf_add(&out, str_sub(text, done, s.from));
        buf_add(&out, MASKED);
        done = s.to;
        s = next;
    }
    buf_add(&out, str_sub(text, done, text.n));
    return arena_str(a, buf_str(&out));
}
