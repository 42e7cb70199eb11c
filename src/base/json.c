#include "base/json.h"

#include <endian.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/map.h"

/* ---- Looking up ---- */

#define INDEX_FROM 17 /* members; fewer are compared one by one */
#define INDEX_SIZE 64 /* slots at first; a power of two */

/* Of an object with many members: open addressing, half empty or more, the last member of a name in its slot. */
struct slot {
    uint64_t hash;
    struct json *member;
};
struct index {
    size_t size; /* a power of two */
    size_t used;
    struct slot slots[];
};

static struct slot *index_slot(struct index *x, uint64_t hash, struct str key)
{
    size_t at = hash & (x->size - 1);
    for (;; at = (at + 1) & (x->size - 1)) {
        struct slot *s = &x->slots[at];
        if (!s->member || (s->hash == hash && str_eq(s->member->key, key)))
            return s;
    }
}

static struct index *index_new(struct arena *a, size_t size)
{
    struct index *x = arena_zero(a, sizeof *x + size * sizeof *x->slots);
    x->size = size;
    return x;
}

static struct index *index_grown(struct arena *a, const struct index *old)
{
    struct index *x = index_new(a, old->size * 4);
    x->used = old->used;
    for (size_t i = 0; i < old->size; i++)
        if (old->slots[i].member)
            *index_slot(x, old->slots[i].hash, old->slots[i].member->key) = old->slots[i];
    return x;
}

static void index_add(struct arena *a, struct json *object, struct json *member)
{
    struct index *x = object->index;
    if (x->used * 2 >= x->size)
        object->index = x = index_grown(a, x);
    uint64_t hash = hash_keyed(member->key);
    struct slot *s = index_slot(x, hash, member->key);
    x->used += !s->member;
    *s = (struct slot){ hash, member };
}

struct json *json_new(struct arena *a, enum json_type type)
{
    struct json *v = arena_zero(a, sizeof *v);
    v->type = type;
    return v;
}

void json_link(struct arena *a, struct json *parent, struct json **last, struct json *v)
{
    if (*last)
        (*last)->next = v;
    else
        parent->child = v;
    *last = v;
    parent->count++;
    if (parent->type != JSON_OBJECT || parent->count < INDEX_FROM)
        return;
    if (parent->index) {
        index_add(a, parent, v);
        return;
    }
    parent->index = index_new(a, INDEX_SIZE);
    json_each (m, parent)
        index_add(a, parent, m);
}

struct json *json_get_str(const struct json *object, struct str key)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    if (object->index)
        return index_slot(object->index, hash_keyed(key), key)->member;
    struct json *found = NULL;
    json_each (m, object)
        if (str_eq(m->key, key))
            found = m;
    return found;
}

struct json *json_get(const struct json *object, const char *key) { return json_get_str(object, str_of(key)); }

bool json_is(const struct json *v, enum json_type type) { return v && v->type == type; }

struct str json_str(const struct json *object, const char *key)
{
    struct json *v = json_get(object, key);
    return json_is(v, JSON_STRING) ? v->text : STR_NONE;
}

bool json_bool(const struct json *object, const char *key, bool fallback)
{
    struct json *v = json_get(object, key);
    if (json_is(v, JSON_TRUE))
        return true;
    return json_is(v, JSON_FALSE) ? false : fallback;
}

bool json_i64(const struct json *v, int64_t *out)
{
    if (!json_is(v, JSON_NUMBER))
        return false;
    bool minus = v->text.n && v->text.p[0] == '-';
    uint64_t digits;
    if (!str_u64(str_sub(v->text, minus, v->text.n), &digits) || digits > (uint64_t)INT64_MAX + minus)
        return false;
    *out = minus ? (int64_t)-digits : (int64_t)digits;
    return true;
}

/* ---- Reading ---- */

struct reader {
    struct arena *a;
    const char *start, *p, *end;
    const char *wrong; /* what the text at p breaks; set by the one that answers false */
    int depth;
    bool twins; /* a key may come twice */
};

static bool read_value(struct reader *r, struct json *v);

static bool wrong(struct reader *r, const char *what)
{
    r->wrong = what;
    return false;
}

static bool at_char(const struct reader *r, char c) { return r->p < r->end && *r->p == c; }

/* RFC 8259 2: these four and no others. */
static void skip_blank(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* How many of eight bytes may stand in a string as they are, up to the first quote, backslash, control byte or
 * byte over 0x7f. (x - 01..) & ~x & 80.. marks zero bytes, with 20.. bytes under 0x20; a borrow can only mark
 * bytes after the first true one, so the lowest mark is exact. */
static inline size_t plain_of_eight(const char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    x = le64toh(x);
    uint64_t quote = x ^ EACH('"'), slash = x ^ EACH('\\');
    uint64_t found = ((quote - EACH(1)) & ~quote) | ((slash - EACH(1)) & ~slash) | ((x - EACH(0x20)) & ~x) | x;
    found &= EACH(0x80);
    return found ? (size_t)__builtin_ctzll(found) / 8 : 8;
}

/* The end of what may stand in a string as it is. */
static const char *plain_run(const char *p, const char *end)
{
    for (;;) {
        for (size_t n = 8; n == 8 && end - p >= 8; p += n)
            n = plain_of_eight(p);
        if (p == end || *p == '"' || *p == '\\' || (unsigned char)*p < 0x20)
            return p;
        size_t n = utf8_first((struct str){ p, (size_t)(end - p) });
        if (!n)
            return p;
        p += n;
    }
}

static bool read_hex4(struct reader *r, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = r->p < r->end ? ascii_lower(*r->p) : 0;
        if (!ascii_digit(c) && !(c >= 'a' && c <= 'f'))
            return wrong(r, "a \\u escape needs four hexadecimal digits");
        value = value << 4 | (uint32_t)(ascii_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *out = value;
    return true;
}

/* After "\u". RFC 8259 7: characters beyond U+FFFF come as a surrogate pair; half a pair is no character. */
static bool read_unicode(struct reader *r, char **to)
{
    uint32_t c, low;
    if (!read_hex4(r, &c))
        return false;
    if (c >= 0xd800 && c <= 0xdfff) {
        if (c >= 0xdc00 || r->end - r->p < 2 || r->p[0] != '\\' || r->p[1] != 'u')
            return wrong(r, "a lone surrogate");
        r->p += 2;
        if (!read_hex4(r, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return wrong(r, "a lone surrogate");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *to += utf8_write(*to, c);
    return true;
}

static bool read_escape(struct reader *r, char **to)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    char c = ++r->p < r->end ? *r->p : 0;
    if (c == 'u') {
        r->p++;
        return read_unicode(r, to);
    }
    const char *at = c ? strchr(letters, c) : NULL;
    if (!at)
        return wrong(r, "an unknown escape");
    *(*to)++ = meant[at - letters];
    r->p++;
    return true;
}

/* Just past the closing quote, or the end of the text: an upper bound for the decoded bytes. */
static const char *string_limit(const char *p, const char *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    return p;
}

/* `from` begins the string's inside, r->p stands on its first backslash. */
static bool read_escaped(struct reader *r, const char *from, struct str *out)
{
    char *first = arena_alloc(r->a, (size_t)(string_limit(r->p, r->end) - from) + 1), *to = first;
    for (;;) {
        memcpy(to, from, (size_t)(r->p - from));
        to += r->p - from;
        if (!at_char(r, '\\'))
            break;
        if (!read_escape(r, &to))
            return false;
        from = r->p;
        r->p = plain_run(r->p, r->end);
    }
    *out = (struct str){ first, (size_t)(to - first) };
    return true;
}

static bool read_string(struct reader *r, struct str *out)
{
    const char *from = ++r->p;
    r->p = plain_run(from, r->end);
    *out = (struct str){ from, (size_t)(r->p - from) };
    if (at_char(r, '\\') && !read_escaped(r, from, out))
        return false;
    if (r->p == r->end)
        return wrong(r, "the string does not end");
    if ((unsigned char)*r->p < 0x20)
        return wrong(r, "a control character in a string");
    if (*r->p != '"')
        return wrong(r, "invalid UTF-8");
    r->p++;
    return true;
}

static bool skip_digits(struct reader *r)
{
    const char *from = r->p;
    while (r->p < r->end && ascii_digit(*r->p))
        r->p++;
    return r->p > from || wrong(r, "a digit is missing");
}

static bool read_number(struct reader *r, struct json *v)
{
    const char *from = r->p;
    r->p += at_char(r, '-');
    if (at_char(r, '0'))
        r->p++;
    else if (!skip_digits(r))
        return false;
    if (at_char(r, '.')) {
        r->p++;
        if (!skip_digits(r))
            return false;
    }
    if (at_char(r, 'e') || at_char(r, 'E')) {
        r->p++;
        r->p += at_char(r, '+') || at_char(r, '-');
        if (!skip_digits(r))
            return false;
    }
    v->type = JSON_NUMBER;
    v->text = (struct str){ from, (size_t)(r->p - from) };
    return true;
}

static bool read_word(struct reader *r, struct json *v, struct str word, enum json_type type)
{
    if (!str_starts((struct str){ r->p, (size_t)(r->end - r->p) }, word))
        return wrong(r, "a value is expected");
    r->p += word.n;
    v->type = type;
    return true;
}

/* After an item: a comma and on (*more), or the closing bracket. */
static bool read_separator(struct reader *r, char close, bool *more)
{
    skip_blank(r);
    *more = at_char(r, ',');
    if (!*more && !at_char(r, close))
        return wrong(r, close == ']' ? "“,” or “]” is expected" : "“,” or “}” is expected");
    r->p++;
    return true;
}

/* A bracket that closes at once. */
static bool read_empty(struct reader *r, char close)
{
    r->p++;
    skip_blank(r);
    if (!at_char(r, close))
        return false;
    r->p++;
    return true;
}

static bool read_array(struct reader *r, struct json *array)
{
    array->type = JSON_ARRAY;
    if (read_empty(r, ']'))
        return true;
    struct json *last = NULL;
    for (bool more = true; more;) {
        struct json *v = json_new(r->a, JSON_NULL);
        if (!read_value(r, v) || !read_separator(r, ']', &more))
            return false;
        json_link(r->a, array, &last, v);
    }
    return true;
}

static bool read_key(struct reader *r, struct json *object, struct str *key)
{
    skip_blank(r);
    const char *from = r->p;
    if (!at_char(r, '"'))
        return wrong(r, "a member's name in double quotes is expected");
    if (!read_string(r, key))
        return false;
    if (!r->twins && json_get_str(object, *key)) {
        r->p = from;
        return wrong(r, "this name comes twice in its object");
    }
    skip_blank(r);
    if (!at_char(r, ':'))
        return wrong(r, "“:” is expected");
    r->p++;
    return true;
}

static bool read_object(struct reader *r, struct json *object)
{
    object->type = JSON_OBJECT;
    if (read_empty(r, '}'))
        return true;
    struct json *last = NULL;
    for (bool more = true; more;) {
        struct json *v = json_new(r->a, JSON_NULL);
        if (!read_key(r, object, &v->key) || !read_value(r, v) || !read_separator(r, '}', &more))
            return false;
        json_link(r->a, object, &last, v);
    }
    return true;
}

/* Recursion ends at JSON_DEPTH, so the stack that an outsider can use is bounded. */
static bool read_nested(struct reader *r, struct json *v)
{
    if (r->depth == JSON_DEPTH)
        return wrong(r, "nested too deep");
    r->depth++;
    bool done = *r->p == '[' ? read_array(r, v) : read_object(r, v);
    r->depth--;
    return done;
}

static bool read_value(struct reader *r, struct json *v)
{
    skip_blank(r);
    switch (r->p < r->end ? *r->p : 0) {
    case '{':
    case '[':
        return read_nested(r, v);
    case '"':
        v->type = JSON_STRING;
        return read_string(r, &v->text);
    case 't':
        return read_word(r, v, STR("true"), JSON_TRUE);
    case 'f':
        return read_word(r, v, STR("false"), JSON_FALSE);
    case 'n':
        return read_word(r, v, STR("null"), JSON_NULL);
    case '-':
    case '0' ... '9':
        return read_number(r, v);
    }
    return wrong(r, "a value is expected");
}

static bool read_text(struct reader *r, struct json *v)
{
    if (str_starts((struct str){ r->p, (size_t)(r->end - r->p) }, STR("\xef\xbb\xbf")))
        return wrong(r, "a byte order mark");
    if (!read_value(r, v))
        return false;
    skip_blank(r);
    return r->p == r->end || wrong(r, "text after the value");
}

/* Line and column, counted from 1, in characters; the words are ours, never the text's. */
static enum err reader_fault(const struct reader *r, struct fault *why)
{
    size_t line = 1, column = 1;
    for (const char *p = r->start; p < r->p; p++) {
        column += ((unsigned char)*p & 0xc0) != 0x80;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    char subject[sizeof why->subject];
    snprintf(subject, sizeof subject, "line %zu, column %zu: %s", line, column, r->wrong);
    return fault(why, ERR_JSON_INVALID, str_of(subject), "byte %zu of %zu", (size_t)(r->p - r->start), (size_t)(r->end - r->start));
}

static enum err read_all(struct reader r, struct json **out, struct fault *why)
{
    struct json *v = json_new(r.a, JSON_NULL);
    if (!read_text(&r, v))
        return reader_fault(&r, why);
    *out = v;
    return ERR_NONE;
}

enum err json_read(struct arena *a, struct str text, struct json **out, struct fault *why)
{
    return read_all((struct reader){ .a = a, .start = text.p, .p = text.p, .end = text.p + text.n }, out, why);
}

enum err json_read_lenient_keys(struct arena *a, struct str text, struct json **out, struct fault *why)
{
    return read_all((struct reader){ .a = a, .start = text.p, .p = text.p, .end = text.p + text.n, .twins = true }, out, why);
}

/* RFC 6901 4: ~1 is '/', ~0 is '~'. */
static struct str pointer_part(struct arena *a, struct str part)
{
    char *out = arena_alloc(a, part.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < part.n; i++) {
        bool escape = part.p[i] == '~' && i + 1 < part.n && (part.p[i + 1] == '0' || part.p[i + 1] == '1');
        out[n++] = escape ? (part.p[++i] == '1' ? '/' : '~') : part.p[i];
    }
    return (struct str){ out, n };
}

static const struct json *element(const struct json *array, struct str digits)
{
    uint64_t at;
    if (!str_u64(digits, &at) || at >= array->count)
        return NULL;
    const struct json *v = array->child;
    while (at--)
        v = v->next;
    return v;
}

const struct json *json_at(struct arena *a, const struct json *document, struct str pointer)
{
    const struct json *v = document;
    struct str part, rest = pointer;
    if (!pointer.n)
        return document;
    if (pointer.p[0] != '/')
        return NULL;
    str_piece(&rest, '/', &part);
    while (v && str_piece(&rest, '/', &part)) {
        part = pointer_part(a, part);
        v = v->type == JSON_ARRAY ? element(v, part) : json_get_str(v, part);
    }
    return v;
}

bool json_scalar_is(const struct json *v, struct str text)
{
    if (!v)
        return false;
    switch (v->type) {
    case JSON_STRING:
    case JSON_NUMBER: return str_eq(v->text, text);
    case JSON_TRUE: return str_is(text, "true");
    case JSON_FALSE: return str_is(text, "false");
    default: return false;
    }
}

/* A JSON pointer's way of writing a name: RFC 6901 3. */
static void pointer_name(char *to, size_t size, struct str name)
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n + 3 < size; i++) {
        char c = name.p[i];
        if (c == '~' || c == '/') {
            to[n++] = '~';
            c = c == '~' ? '0' : '1';
        }
        to[n++] = (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
    }
    to[n] = 0;
}

enum err json_only(const struct json *object, const char *const *allowed, const char *prefix, struct fault *why)
{
    json_each (m, object) {
        const char *const *name = allowed;
        while (*name && !str_is(m->key, *name))
            name++;
        if (*name)
            continue;
        enum err e = fault(why, ERR_UNKNOWN_FIELD, m->key, "unknown member under \"%s\"", prefix);
        char at[sizeof why->pointer];
        pointer_name(at, sizeof at, m->key);
        return why ? fault_at(why, "%s/%s", prefix, at) : e;
    }
    return ERR_NONE;
}

/* ---- Writing ---- */

struct json_out json_out(struct buf *b) { return (struct json_out){ .buf = b }; }

static void before_item(struct json_out *o)
{
    if (o->comma)
        buf_char(o->buf, ',');
    o->comma = true;
}

void json_open(struct json_out *o, char bracket)
{
    before_item(o);
    buf_char(o->buf, bracket);
    o->depth++;
    o->comma = false;
}

void json_close(struct json_out *o, char bracket)
{
    if (!o->depth)
        bug("json_close without json_open");
    buf_char(o->buf, bracket);
    o->depth--;
    o->comma = true;
}

static void put_escape(struct buf *b, unsigned char c)
{
    static const char letters[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t", digits[] = "0123456789abcdef";
    const char *at = c ? strchr(meant, c) : NULL;
    if (at)
        buf_add(b, (struct str){ (char[]){ '\\', letters[at - meant] }, 2 });
    else
        buf_add(b, (struct str){ (char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] }, 6 });
}

void json_escape(struct buf *b, struct str s)
{
    const char *p = s.p, *end = s.n ? s.p + s.n : s.p;
    while (p < end) {
        const char *run = plain_run(p, end);
        buf_add(b, (struct str){ p, (size_t)(run - p) });
        p = run;
        if (p == end)
            return;
        if ((unsigned char)*p < 0x80)
            put_escape(b, (unsigned char)*p);
        else
            buf_add(b, STR("\xef\xbf\xbd"));
        p++;
    }
}

static void put_quoted(struct buf *b, struct str s)
{
    buf_char(b, '"');
    json_escape(b, s);
    buf_char(b, '"');
}

static void put_key(struct json_out *o, struct str key)
{
    before_item(o);
    put_quoted(o->buf, key);
    buf_char(o->buf, ':');
    o->comma = false;
}

void json_key(struct json_out *o, const char *key) { put_key(o, str_of(key)); }

void json_put_raw(struct json_out *o, struct str text)
{
    before_item(o);
    buf_add(o->buf, text);
}

void json_put_str(struct json_out *o, struct str s)
{
    before_item(o);
    put_quoted(o->buf, s);
}

void json_put_i64(struct json_out *o, int64_t n)
{
    before_item(o);
    buf_i64(o->buf, n);
}

void json_put_bool(struct json_out *o, bool b) { json_put_raw(o, b ? STR("true") : STR("false")); }

void json_put_null(struct json_out *o) { json_put_raw(o, STR("null")); }

static void put_children(struct json_out *o, const struct json *v)
{
    bool object = v->type == JSON_OBJECT;
    json_open(o, object ? '{' : '[');
    json_each (c, v) {
        if (object)
            put_key(o, c->key);
        json_put(o, c);
    }
    json_close(o, object ? '}' : ']');
}

void json_put(struct json_out *o, const struct json *v)
{
    switch (v->type) {
    case JSON_NULL:
        json_put_null(o);
        break;
    case JSON_FALSE:
    case JSON_TRUE:
        json_put_bool(o, v->type == JSON_TRUE);
        break;
    case JSON_NUMBER:
        json_put_raw(o, v->text);
        break;
    case JSON_STRING:
        json_put_str(o, v->text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        put_children(o, v);
        break;
    }
}

void json_member_str(struct json_out *o, const char *key, struct str s)
{
    json_key(o, key);
    if (s.p)
        json_put_str(o, s);
    else
        json_put_null(o);
}

void json_member_i64(struct json_out *o, const char *key, int64_t n)
{
    json_key(o, key);
    json_put_i64(o, n);
}

void json_member_bool(struct json_out *o, const char *key, bool b)
{
    json_key(o, key);
    json_put_bool(o, b);
}

void json_member_null(struct json_out *o, const char *key)
{
    json_key(o, key);
    json_put_null(o);
}

void json_member_time(struct json_out *o, const char *key, int64_t wall)
{
    char text[CLOCK_TEXT];
    json_member_str(o, key, wall ? str_of(clock_format(wall, text)) : STR_NONE);
}

void json_member_raw(struct json_out *o, const char *key, struct str text)
{
    json_key(o, key);
    json_put_raw(o, text);
}
