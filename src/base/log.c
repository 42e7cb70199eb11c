#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/encode.h"

#define LINE_MAX_BYTES 2048
#define LINE_TAIL      16 /* kept free for what ends a line */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static _Atomic int most_level = LOG_INFO;
static _Atomic bool as_json;

void log_setup(enum log_level most, bool json)
{
    most_level = (int)most;
    as_json = json;
}

bool log_wanted(enum log_level level) { return (int)level <= most_level; }

struct line {
    char p[LINE_MAX_BYTES];
    size_t n;
};

static void add(struct line *l, const char *s)
{
    while (*s && l->n < sizeof l->p - 2)
        l->p[l->n++] = *s++;
}

static bool fits(const struct line *l, size_t n) { return l->n + n <= sizeof l->p - LINE_TAIL; }

/* The escaped form of the first character, and how many bytes of s it stands for. What is not UTF-8 shows as
 * U+FFFD; C1 control characters are escaped too, terminals obey them. */
static size_t escape(struct str s, char out[8])
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = utf8_first(s);
    bool c1 = n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0;
    if (!n || c1 || c < 0x20 || c == 0x7f)
        snprintf(out, 8, "\\u%04x", !n ? 0xfffd : c1 ? (unsigned char)s.p[1] : c);
    else if (c == '"' || c == '\\')
        snprintf(out, 8, "\\%c", c);
    else
        str_copy(out, 8, str_sub(s, 0, n));
    return n ? n : 1;
}

/* Escapes as JSON does; the text form quotes with the same rules. Cut where the line is full. */
static void add_escaped(struct line *l, struct str s)
{
    while (s.n) {
        char piece[8];
        size_t n = escape(s, piece);
        if (!fits(l, strlen(piece)))
            return;
        add(l, piece);
        s = str_sub(s, n, s.n);
    }
}

static bool plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=' || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && utf8_valid(s);
}

static void add_pair(struct line *l, const char *key, struct str value, bool json)
{
    if (!fits(l, strlen(key) + sizeof ",\"\":\"")) /* a pair that has no room is left out whole */
        return;
    if (json) {
        add(l, ",\"");
        add(l, key);
        add(l, "\":\"");
        add_escaped(l, value);
        add(l, "\"");
        return;
    }
    add(l, " ");
    add(l, key);
    add(l, plain(value) ? "=" : "=\"");
    add_escaped(l, value);
    if (!plain(value))
        add(l, "\"");
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    if (!log_wanted(level))
        return;
    struct line l = { .n = 0 };
    char when[CLOCK_TEXT];
    bool json = as_json;
    clock_format(clock_wall(), when);
    add(&l, json ? "{\"time\":\"" : "");
    add(&l, when);
    add(&l, json ? "\",\"level\":\"" : " ");
    add(&l, level_names[level]);
    add(&l, json ? "\",\"event\":\"" : " ");
    add_escaped(&l, str_of(event));
    add(&l, json ? "\"" : "");
    for (size_t i = 0; i < n; i++)
        add_pair(&l, fields[i].key, fields[i].value, json);
    add(&l, json ? "}" : "");
    l.p[l.n++] = '\n';
    /* One write per line, so that lines of several threads do not mix. */
    ssize_t ignored = write(STDERR_FILENO, l.p, l.n);
    (void)ignored;
}

void log_text(enum log_level level, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_fields(level, text, NULL, 0);
}

void log_fault(enum log_level level, const char *event, const struct fault *why)
{
    log_line(level, event, LOG("code", str_of(err_row(why->err)->code)), LOG("subject", str_of(why->subject)),
             LOG("note", str_of(why->note)));
}

bool log_level_parse(struct str s, enum log_level *out)
{
    for (size_t i = 0; i < COUNT(level_names); i++)
        if (str_is(s, level_names[i])) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}
