#include "base/yaml_scalar.h"

#include "base/encode.h"

/* ---- Plain: YAML 1.2.2, 10.3.2 ---- */

static bool is_one_of(struct str s, const char *const *words)
{
    while (*words && !str_is(s, *words))
        words++;
    return *words != NULL;
}

static size_t digits(struct str s, size_t at)
{
    size_t n = at;
    while (n < s.n && ascii_digit(s.p[n]))
        n++;
    return n - at;
}

/* 0o17 and 0x1F. What does not fit 64 bits stays text: it is an address or a digest rather than a number. */
static bool number_in_base(struct arena *a, struct str s, struct str *out)
{
    if (s.n < 3 || s.p[0] != '0' || (s.p[1] != 'o' && s.p[1] != 'x'))
        return false;
    unsigned base = s.p[1] == 'o' ? 8 : 16;
    uint64_t value = 0;
    for (size_t i = 2; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        unsigned digit = ascii_digit(c) ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : base;
        if (digit >= base || value > (UINT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = str_fmt(a, "%llu", (unsigned long long)value);
    return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?   Answers what JSON writes for it: the
 * same digits, without a plus in front or leading zeros, with a digit on either side of the point. */
static bool number_decimal(struct arena *a, struct str s, struct str *out)
{
    size_t at = s.n && (s.p[0] == '-' || s.p[0] == '+');
    bool minus = at && s.p[0] == '-';
    size_t whole_at = at, whole = digits(s, at), part = 0;
    at += whole;
    size_t point = at;
    if (at < s.n && s.p[at] == '.') {
        part = digits(s, at + 1);
        at += 1 + part;
    }
    bool pointed = at > point;
    if (!whole && !part)
        return false;
    size_t tail = at;
    if (at < s.n && ascii_lower(s.p[at]) == 'e') {
        at++;
        at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
        size_t power = digits(s, at);
        if (!power)
            return false;
        at += power;
    }
    if (at != s.n)
        return false;
    for (; whole > 1 && s.p[whole_at] == '0'; whole--)
        whole_at++;
    *out =
        str_fmt(a, "%s%.*s%s%.*s%.*s", minus ? "-" : "", whole ? (int)whole : 1, whole ? s.p + whole_at : "0", pointed ? "." : "",
                pointed ? (part ? (int)part : 1) : 0, part ? s.p + point + 1 : "0", (int)(s.n - tail), s.p + tail);
    return true;
}

enum json_type yaml_plain(struct arena *a, struct str s, struct str *number)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    if (is_one_of(s, nulls))
        return JSON_NULL;
    if (is_one_of(s, trues))
        return JSON_TRUE;
    if (is_one_of(s, falses))
        return JSON_FALSE;
    return number_in_base(a, s, number) || number_decimal(a, s, number) ? JSON_NUMBER : JSON_STRING;
}

/* ---- Quoted: YAML 1.2.2, 7.3.1 and 7.3.2 ---- */

struct quoted {
    struct buf *out;
    struct str raw;
    size_t at;
    size_t solid; /* bytes of out that a line end does not trim: what was escaped */
};

static bool blank(char c) { return c == ' ' || c == '\t'; }
static bool line_end(char c) { return c == '\n' || c == '\r'; }

/* Line ends and the blanks around them: one is a space, more are one less (6.5). An escaped one is nothing. */
static void fold(struct quoted *q, bool escaped)
{
    size_t breaks = 0;
    while (!escaped && q->out->n > q->solid && blank(q->out->p[q->out->n - 1]))
        q->out->n--;
    for (; q->at < q->raw.n && (blank(q->raw.p[q->at]) || line_end(q->raw.p[q->at])); q->at++) {
        bool pair = q->raw.p[q->at] == '\r' && q->at + 1 < q->raw.n && q->raw.p[q->at + 1] == '\n';
        breaks += line_end(q->raw.p[q->at]) && !pair;
    }
    if (breaks == 1 && !escaped)
        buf_char(q->out, ' ');
    for (; breaks > 1; breaks--)
        buf_char(q->out, '\n');
    q->solid = q->out->n;
}

void yaml_single_quoted(struct buf *out, struct str raw)
{
    struct quoted q = { .out = out, .raw = raw, .solid = out->n };
    while (q.at < raw.n) {
        char c = raw.p[q.at];
        if (line_end(c)) {
            fold(&q, false);
            continue;
        }
        buf_char(out, c);
        q.at += c == '\'' ? 2 : 1;
    }
}

static bool hex_escape(struct quoted *q, size_t digits, uint32_t *out)
{
    uint32_t value = 0;
    if (q->raw.n - q->at < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        char c = ascii_lower(q->raw.p[q->at++]);
        if (!ascii_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        value = value << 4 | (uint32_t)(ascii_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

/* \xXX, \uXXXX, \UXXXXXXXX; and a pair of \u for one character, as JSON writes it. */
static bool code_point(struct quoted *q, size_t digits)
{
    uint32_t c, low;
    char utf8[4];
    if (!hex_escape(q, digits, &c))
        return false;
    if (digits == 4 && c >= 0xd800 && c <= 0xdbff) {
        if (!str_starts(str_sub(q->raw, q->at, q->raw.n), STR("\\u")))
            return false;
        q->at += 2;
        if (!hex_escape(q, 4, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return false;
    buf_add(q->out, (struct str){ utf8, utf8_write(utf8, c) });
    return true;
}

/* q->at is behind the backslash. YAML 1.2.2, 5.7 */
static bool escape(struct quoted *q)
{
    static const struct {
        char letter;
        struct str meant;
    } escapes[] = {
        { '0', { "\0", 1 } },
        { 'a', { "\a", 1 } },
        { 'b', { "\b", 1 } },
        { 't', { "\t", 1 } },
        { '\t', { "\t", 1 } },
        { 'n', { "\n", 1 } },
        { 'v', { "\v", 1 } },
        { 'f', { "\f", 1 } },
        { 'r', { "\r", 1 } },
        { 'e', { "\x1b", 1 } },
        { ' ', { " ", 1 } },
        { '"', { "\"", 1 } },
        { '/', { "/", 1 } },
        { '\\', { "\\", 1 } },
        { 'N', { "\xc2\x85", 2 } },
        { '_', { "\xc2\xa0", 2 } },
        { 'L', { "\xe2\x80\xa8", 3 } },
        { 'P', { "\xe2\x80\xa9", 3 } },
    };
    if (q->at == q->raw.n)
        return false;
    if (line_end(q->raw.p[q->at])) {
        fold(q, true);
        return true;
    }
    char c = q->raw.p[q->at++];
    for (size_t i = 0; i < COUNT(escapes); i++)
        if (c == escapes[i].letter) {
            buf_add(q->out, escapes[i].meant);
            return true;
        }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    return digits && code_point(q, digits);
}

bool yaml_double_quoted(struct buf *out, struct str raw)
{
    struct quoted q = { .out = out, .raw = raw, .solid = out->n };
    while (q.at < raw.n) {
        char c = raw.p[q.at];
        if (line_end(c)) {
            fold(&q, false);
            continue;
        }
        q.at++;
        if (c != '\\') {
            buf_char(out, c);
            continue;
        }
        if (!escape(&q))
            return false;
        q.solid = out->n;
    }
    return true;
}
