#include "call/run_block.h"

#include <endian.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/map.h"

/* ---- order ---- */

/* The first sixteen characters after "run_" as two numbers that sort alike: most comparisons end there. */
struct place {
    uint64_t high, low;
    const struct run *run;
};

static uint64_t eight(const char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return be64toh(x);
}

static struct place place_of(const struct run *r)
{
    char head[20] = { 0 };
    memcpy(head, r->id, strnlen(r->id, sizeof head));
    return (struct place){ eight(head + 4), eight(head + 12), r };
}

static int newest_first(const void *x, const void *y)
{
    const struct place *a = x, *b = y;
    if (a->high != b->high)
        return a->high < b->high ? 1 : -1;
    if (a->low != b->low)
        return a->low < b->low ? 1 : -1;
    return strcmp(b->run->id, a->run->id);
}

size_t run_order(const struct run **runs, size_t n)
{
    struct place few[RUN_BLOCK_MOST], *places = n <= COUNT(few) ? few : mem_grow(NULL, n * sizeof *places);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        places[i] = place_of(runs[i]);
    qsort(places, n, sizeof *places, newest_first);
    for (size_t i = 0; i < n; i++)
        if (!kept || strcmp(runs[kept - 1]->id, places[i].run->id))
            runs[kept++] = places[i].run;
    if (places != few)
        free(places);
    return kept;
}

/* ---- writing ---- */

#define SLOTS (4 * RUN_BLOCK_MOST)
#define NUMBERS_MAX 280 /* twelve numbers, commas and a bracket */

/* Open addressing. Hashes are of what tells kinds apart in practice: the random ends of ids, and how the call ended. What stands
 * behind a text's NUL may count too; then a kind is written twice, which is no harm. */
struct kind_table {
    const struct run *first[RUN_BLOCK_MOST];
    int64_t records[RUN_BLOCK_MOST];
    size_t count;
    uint16_t slots[SLOTS]; /* kind + 1; 0: free */
};

static uint64_t mix(uint64_t hash, uint64_t with) { return (hash ^ with) * UINT64_C(0x9e3779b97f4a7c15); }

static size_t kind_hash(const struct run *r)
{
    uint64_t hash = mix(0, eight(r->connection + 22));
    hash = mix(hash ^ hash >> 29, eight(r->token + 22));
    hash = mix(hash ^ hash >> 29, (uint64_t)r->outcome << 32 | (uint64_t)r->error << 8 | (unsigned char)r->method[0]);
    return (size_t)(hash >> 40) % SLOTS;
}

static bool same_kind(const struct run *a, const struct run *b)
{
    return a->outcome == b->outcome && a->error == b->error && a->via == b->via && !strcmp(a->connection, b->connection) &&
           !strcmp(a->token, b->token) && !strcmp(a->caller, b->caller) && !strcmp(a->method, b->method) &&
           !strcmp(a->host, b->host) && !strcmp(a->connection_key, b->connection_key);
}

static size_t kind_of(struct kind_table *t, const struct run *r)
{
    size_t at = kind_hash(r);
    for (; t->slots[at]; at = (at + 1) % SLOTS)
        if (same_kind(t->first[t->slots[at] - 1], r))
            break;
    if (!t->slots[at]) {
        t->first[t->count] = r;
        t->records[t->count++] = 0;
        t->slots[at] = (uint16_t)t->count;
    }
    size_t kind = t->slots[at] - 1u;
    t->records[kind]++;
    return kind;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* No byte that JSON would escape, and ASCII; eight at a time. See base/json.c for the arithmetic. */
static bool plain(const char *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t x = eight(p), quote = x ^ EACH('"'), slash = x ^ EACH('\\');
        if ((((quote - EACH(1)) & ~quote) | ((slash - EACH(1)) & ~slash) | ((x - EACH(0x20)) & ~x) | x) & EACH(0x80))
            return false;
    }
    for (; n; p++, n--)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x80 || *p == '"' || *p == '\\')
            return false;
    return true;
}

static void put_text(struct buf *b, const char *text, char after)
{
    struct str s = str_of(text);
    char *to = plain(s.p, s.n) ? buf_room(b, s.n + 3) : NULL;
    if (to) {
        to[0] = '"';
        memcpy(to + 1, s.p, s.n);
        to[s.n + 1] = '"';
        to[s.n + 2] = after;
        b->n += s.n + 3;
        return;
    }
    buf_char(b, '"');
    json_escape(b, s);
    buf_add(b, (struct str){ (char[]){ '"', after }, 2 });
}

/* Most numbers are 0 or have few digits; two at a time, from the end. */
static char *put_number(char *to, int64_t number, char after)
{
    static const char pairs[] =
        "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
        "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    char digits[STR_U64_MAX], *from = digits + sizeof digits;
    uint64_t n = number < 0 ? -(uint64_t)number : (uint64_t)number;
    if (number < 0)
        *to++ = '-';
    for (; n >= 100; n /= 100)
        memcpy(from -= 2, pairs + n % 100 * 2, 2);
    if (n >= 10)
        memcpy(from -= 2, pairs + n * 2, 2);
    else
        *--from = (char)('0' + n);
    size_t length = (size_t)(digits + sizeof digits - from);
    memcpy(to, from, length);
    to[length] = after;
    return to + length + 1;
}

static void put_kind(struct buf *b, const struct run *r, int64_t records, bool first)
{
    buf_add(b, first ? STR("[[") : STR(",\n["));
    put_text(b, r->connection, ',');
    put_text(b, r->connection_key, ',');
    put_text(b, r->caller, ',');
    put_text(b, r->token, ',');
    put_text(b, run_via_name(r->via), ',');
    put_text(b, r->method, ',');
    put_text(b, r->host, ',');
    put_text(b, run_outcome_name(r->outcome), ',');
    put_text(b, r->error ? err_row(r->error)->code : "", ',');
    buf_i64(b, records);
    buf_char(b, ']');
}

static void put_record(struct buf *b, const struct run *r, size_t kind, bool first)
{
    buf_add(b, first ? STR("[[") : STR(",\n["));
    put_text(b, r->id, ',');
    char *from = buf_room(b, NUMBERS_MAX), *to = from;
    if (!from)
        return;
    to = put_number(to, (int64_t)kind, ',');
    to = put_number(to, r->started, ',');
    b->n += (size_t)(to - from);
    put_text(b, r->path, ',');
    to = from = buf_room(b, NUMBERS_MAX);
    if (!from)
        return;
    to = put_number(to, r->status, ',');
    to = put_number(to, r->request_bytes, ',');
    to = put_number(to, r->response_bytes, ',');
    to = put_number(to, r->resolve_us, ',');
    to = put_number(to, r->connect_us, ',');
    to = put_number(to, r->tls_us, ',');
    to = put_number(to, r->first_byte_us, ',');
    to = put_number(to, r->total_us, ',');
    to = put_number(to, r->reused, ']');
    b->n += (size_t)(to - from);
}

#define MASK_LEAST 64 /* bits */
#define MASK_MOST 2048

/* The same in every process: masks are stored. Whoever made texts that collide would gain no more than a look too many. */
static size_t mask_bit(struct str key, size_t bits) { return hash_sip13(UINT64_C(0x72756e2d6d61736b), 1, key) & (bits - 1); }

static void mask_add(unsigned char *digits, size_t bits, const char *key)
{
    size_t bit = mask_bit(str_of(key), bits);
    digits[bit / 4] |= (unsigned char)(1 << bit % 4);
}

static void put_mask(struct buf *b, const struct kind_table *t)
{
    unsigned char digits[MASK_MOST / 4] = { 0 };
    size_t bits = MASK_LEAST;
    while (bits < MASK_MOST && bits < 4 * (t->count + 4))
        bits *= 2;
    for (size_t i = 0; i < t->count; i++) {
        const struct run *r = t->first[i], *last = i ? t->first[i - 1] : NULL;
        mask_add(digits, bits, r->connection);
        if (!last || strcmp(r->caller, last->caller))
            mask_add(digits, bits, r->caller);
        if (!last || r->outcome != last->outcome)
            mask_add(digits, bits, run_outcome_name(r->outcome));
    }
    char *to = buf_room(b, bits / 4);
    for (size_t i = 0; to && i < bits / 4; i++)
        to[i] = "0123456789abcdef"[digits[i]];
    b->n += to ? bits / 4 : 0;
}

bool run_mask_may_hold(struct str mask, struct str key)
{
    if (mask.n < MASK_LEAST / 4 || (mask.n & (mask.n - 1)))
        return true; /* none of ours */
    size_t bit = mask_bit(key, mask.n * 4);
    char c = mask.p[bit / 4];
    return (ascii_digit(c) ? c - '0' : c - 'a' + 10) & (1 << bit % 4);
}

void run_block_write(const struct run *const *runs, size_t n, struct buf *kinds, struct buf *records, struct buf *mask)
{
    struct kind_table table;
    if (n > RUN_BLOCK_MOST)
        bug("%zu records for one block", n);
    table.count = 0;
    memset(table.slots, 0, sizeof table.slots);
    for (size_t i = 0; i < n; i++)
        put_record(records, runs[i], kind_of(&table, runs[i]), !i);
    buf_char(records, ']');
    for (size_t i = 0; i < table.count; i++)
        put_kind(kinds, table.first[i], table.records[i], !i);
    buf_char(kinds, ']');
    put_mask(mask, &table);
}

/* ---- reading ---- */

static bool take(struct str *s, char c)
{
    if (!s->n || *s->p != c)
        return false;
    *s = str_sub(*s, 1, s->n);
    return true;
}

static bool escaped(const char *from, const char *quote)
{
    size_t slashes = 0;
    while (quote > from && quote[-1] == '\\') {
        slashes++;
        quote--;
    }
    return slashes % 2;
}

/* A string with what must follow it. */
static bool take_text(struct str *s, struct str *out, char after)
{
    if (!take(s, '"'))
        return false;
    const char *end = memchr(s->p, '"', s->n);
    while (end && escaped(s->p, end))
        end = memchr(end + 1, '"', (size_t)(s->p + s->n - end - 1));
    if (!end)
        return false;
    *out = (struct str){ s->p, (size_t)(end - s->p) };
    *s = str_sub(*s, out->n + 1, s->n);
    return take(s, after);
}

static bool take_number(struct str *s, int64_t *out, char after)
{
    bool minus = take(s, '-');
    uint64_t value = 0;
    size_t n = 0;
    for (; n < s->n && ascii_digit(s->p[n]); n++)
        if (n == STR_U64_MAX - 1)
            return false;
        else
            value = value * 10 + (uint64_t)(s->p[n] - '0');
    if (!n || value > INT64_MAX)
        return false;
    *out = minus ? -(int64_t)value : (int64_t)value;
    *s = str_sub(*s, n, s->n);
    return take(s, after);
}

/* The first row's "[[", or what separates one from the next. */
static bool take_row(struct str *s) { return take(s, ',') ? take(s, '\n') && take(s, '[') : take(s, '[') && take(s, '['); }

static bool at_end(struct str s) { return str_is(s, "]"); }

static enum err broken(struct fault *why, const char *what)
{
    return fault(why, ERR_STORE, STR(""), "a block of run records is damaged: %s", what);
}

enum err run_kinds_rows(struct arena *a, struct str text, struct run_kinds *out, struct fault *why)
{
    size_t rows = 1;
    for (const char *p = text.p; p && (p = memchr(p, '\n', (size_t)(text.p + text.n - p))); p++)
        rows++;
    *out = (struct run_kinds){ arena_array(a, rows, sizeof *out->rows), arena_array(a, rows, sizeof *out->wanted), 0 };
    if (!str_starts(text, STR("[[")) || !str_ends(text, STR("]]")))
        return broken(why, "kinds");
    for (struct str left = str_sub(text, 1, text.n); left.n > 1;) {
        const char *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;
        out->rows[out->n++] = str_sub(left, 0, n - 1); /* without the comma, or the last bracket */
        left = str_sub(left, end ? n + 1 : n, left.n);
    }
    return ERR_NONE;
}

enum err run_kind_read(struct str row, struct run_kind *k, struct fault *why)
{
    struct str s = row;
    if (!take(&s, '[') || !take_text(&s, &k->connection, ',') || !take_text(&s, &k->connection_key, ',') ||
        !take_text(&s, &k->caller, ',') || !take_text(&s, &k->token, ',') || !take_text(&s, &k->via, ',') ||
        !take_text(&s, &k->method, ',') || !take_text(&s, &k->host, ',') || !take_text(&s, &k->outcome, ',') ||
        !take_text(&s, &k->error, ',') || !take_number(&s, &k->count, ']') || s.n)
        return broken(why, "kinds");
    return ERR_NONE;
}

struct str run_kind_connection(struct str row)
{
    struct str s = row, connection;
    return take(&s, '[') && take_text(&s, &connection, ',') ? connection : STR("");
}

struct run_lines run_lines(struct str text, size_t kinds) { return (struct run_lines){ .left = text, .kinds = kinds }; }

bool run_lines_next(struct run_lines *l, struct run_line *out)
{
    int64_t kind;
    if (l->broken || at_end(l->left))
        return false;
    struct str s = l->left;
    l->broken = !take_row(&s) || !take_text(&s, &out->id, ',') || !take_number(&s, &kind, ',') || kind < 0 ||
                (size_t)kind >= l->kinds || !take_number(&s, &out->started, ',');
    if (l->broken)
        return false;
    out->kind = (size_t)kind;
    out->rest = s;
    /* On to the comma before the line break, or the bracket at the very end; either comes after the row's own bracket. */
    const char *end = memchr(s.p, '\n', s.n);
    size_t skip = end ? (size_t)(end - s.p) : s.n;
    l->broken = skip < 2 || s.p[skip - 2] != ']';
    if (!l->broken)
        l->left = str_sub(s, skip - 1, s.n);
    return !l->broken;
}

static uint32_t hex4(const char *p)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = ascii_lower(p[i]);
        value = value << 4 | (uint32_t)(ascii_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0);
    }
    return value;
}

/* One character out of `p` into `to`, of *size bytes; answers how many of `p` it took. */
static size_t unescape(struct str p, char to[4], size_t *size)
{
    static const char letters[] = "\"\\bfnrt", meant[] = "\"\\\b\f\n\r\t";
    *size = 1;
    *to = *p.p;
    if (*p.p != '\\' || p.n < 2)
        return 1;
    if (p.p[1] == 'u' && p.n >= 6) {
        *size = utf8_write(to, hex4(p.p + 2));
        return 6;
    }
    const char *at = p.p[1] ? strchr(letters, p.p[1]) : NULL;
    *to = at ? meant[at - letters] : p.p[1];
    return 2;
}

/* Cut to fit, as str_copy() does. */
static void put(char *to, size_t size, struct str raw)
{
    if (!raw.n || !memchr(raw.p, '\\', raw.n)) {
        str_copy(to, size, raw);
        return;
    }
    char c[4];
    size_t n = 0, length;
    for (size_t i = 0; i < raw.n; n += length) {
        i += unescape(str_sub(raw, i, raw.n), c, &length);
        if (n + length >= size)
            break;
        memcpy(to + n, c, length);
    }
    to[n] = 0;
}

static enum run_via via_parse(struct str s)
{
    for (enum run_via v = RUN_PROXY; v <= RUN_VERIFY; v++)
        if (str_is(s, run_via_name(v)))
            return v;
    return RUN_PROXY;
}

static void fill_kind(struct run *r, const struct run_kind *k)
{
    put(r->connection, sizeof r->connection, k->connection);
    put(r->connection_key, sizeof r->connection_key, k->connection_key);
    put(r->caller, sizeof r->caller, k->caller);
    put(r->token, sizeof r->token, k->token);
    put(r->method, sizeof r->method, k->method);
    put(r->host, sizeof r->host, k->host);
    r->via = via_parse(k->via);
    if (!run_outcome_parse(k->outcome, &r->outcome))
        r->outcome = RUN_FAILED;
    r->error = k->error.n ? err_find(k->error) : ERR_NONE;
}

static bool take_small(struct str *s, int32_t *out, char after)
{
    int64_t n;
    if (!take_number(s, &n, after) || n < INT32_MIN || n > INT32_MAX)
        return false;
    *out = (int32_t)n;
    return true;
}

enum err run_line_read(const struct run_line *line, const struct run_kinds *kinds, struct run *out, struct fault *why)
{
    struct str s = line->rest, path;
    struct run_kind kind;
    int32_t reused;
    enum err e = run_kind_read(kinds->rows[line->kind], &kind, why);
    if (e)
        return e;
    memset(out, 0, sizeof *out);
    if (!take_text(&s, &path, ',') || !take_small(&s, &out->status, ',') || !take_number(&s, &out->request_bytes, ',') ||
        !take_number(&s, &out->response_bytes, ',') || !take_small(&s, &out->resolve_us, ',') ||
        !take_small(&s, &out->connect_us, ',') || !take_small(&s, &out->tls_us, ',') || !take_small(&s, &out->first_byte_us, ',') ||
        !take_small(&s, &out->total_us, ',') || !take_small(&s, &reused, ']'))
        return broken(why, "records");
    put(out->id, sizeof out->id, line->id);
    put(out->path, sizeof out->path, path);
    out->started = line->started;
    out->reused = reused;
    fill_kind(out, &kind);
    return ERR_NONE;
}
