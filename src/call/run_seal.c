#include "call/run_seal.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/encode.h"
#include "call/run_block.h"
#include "call/run_store.h"

#define HOUR_MS (3600 * 1000)
#define SUM 32
#define HOURS_STATED 100 /* in one record; the rest waits for the next */

/* A number of 256 bits; addition modulo 2^256. Without the key nobody knows what to add or to take away. */
struct hour {
    int64_t from, count, number; /* number: of the audit record that states it */
    unsigned char sum[SUM];
};

static void add_to(unsigned char sum[SUM], const unsigned char more[SUM])
{
    unsigned carry = 0;
    for (int i = 0; i < SUM; i++) {
        carry += (unsigned)sum[i] + more[i];
        sum[i] = (unsigned char)carry;
        carry >>= 8;
    }
}

/* ---- one record ---- */

static char *put_number(char *to, int64_t n)
{
    for (int i = 0; i < 8; i++)
        *to++ = (char)((uint64_t)n >> 8 * i);
    return to;
}

/* What the database gives back as it was. Bytes that are no UTF-8 come back as others, and may be cut: text counts up to the first
 * byte that is not ASCII. */
static char *put_text(char *to, const char *text)
{
    size_t n = 0;
    while (text[n] && (unsigned char)text[n] < 0x80)
        n++;
    *to++ = (char)n;
    *to++ = (char)(n >> 8);
    memcpy(to, text, n);
    return to + n;
}

static void digest(struct secret key, const struct run *r, unsigned char out[SUM])
{
    char text[sizeof *r + 256], *to = text;
    to = put_text(to, r->id);
    to = put_text(to, r->connection);
    to = put_text(to, r->caller);
    to = put_text(to, r->token);
    to = put_text(to, run_via_name(r->via));
    to = put_text(to, r->method);
    to = put_text(to, r->host);
    to = put_text(to, r->path);
    to = put_text(to, run_outcome_name(r->outcome));
    to = put_text(to, r->error ? err_row(r->error)->code : "");
    to = put_number(to, r->started);
    to = put_number(to, r->status);
    to = put_number(to, r->request_bytes);
    to = put_number(to, r->response_bytes);
    keyed_digest(secret_str(key), (struct str){ text, (size_t)(to - text) }, out);
}

static int64_t hour_of(const struct run *r) { return run_id_ms(str_of(r->id)) / HOUR_MS * HOUR_MS; }

/* ---- the rows ---- */

/* The row vouches for itself until the chain does. */
static void row_mac(struct secret key, const struct hour *h, char out[2 * SUM])
{
    char text[16 + SUM], *to = put_number(put_number(text, h->from), h->count);
    unsigned char mac[SUM];
    memcpy(to, h->sum, SUM);
    keyed_digest(secret_str(key), (struct str){ text, sizeof text }, mac);
    hex_write(out, (struct str){ (char *)mac, SUM });
}

static bool sum_read(struct arena *a, struct str hex, unsigned char sum[SUM])
{
    struct str bytes;
    if (!hex_decode(a, hex, &bytes) || bytes.n != SUM)
        return false;
    memcpy(sum, bytes.p, SUM);
    return true;
}

/* *good: the row is there and its mac is right. */
static enum err row_read(struct db *db, struct secret key, int64_t from, struct hour *out, bool *good, struct fault *why)
{
    AUTO_ARENA a = arena_new(512);
    char mac[2 * SUM];
    *out = (struct hour){ .from = from };
    struct query *q = query_begin(db, "SELECT count, sum, mac FROM run_seal WHERE hour = $1");
    query_i64(q, from);
    *good = query_next(q);
    if (*good) {
        out->count = query_get_i64(q, 0);
        *good = sum_read(a, query_get_text(q, 1, a), out->sum);
        row_mac(key, out, mac);
        *good = *good && str_eq(query_get_text(q, 2, a), (struct str){ mac, sizeof mac });
    }
    return query_end(q, why);
}

static enum err row_write(struct db *db, struct secret key, const struct hour *h, struct fault *why)
{
    char sum[2 * SUM], mac[2 * SUM];
    hex_write(sum, (struct str){ (const char *)h->sum, SUM });
    row_mac(key, h, mac);
    struct query *q =
        query_begin(db, "INSERT INTO run_seal (hour, count, sum, mac, stated) VALUES ($1, $2, $3, $4, 0) ON CONFLICT (hour)"
                        " DO UPDATE SET count = excluded.count, sum = excluded.sum, mac = excluded.mac, stated = 0");
    query_i64(q, h->from);
    query_i64(q, h->count);
    query_text(q, (struct str){ sum, sizeof sum });
    query_text(q, (struct str){ mac, sizeof mac });
    return query_end(q, why);
}

/* A row that was tampered with goes on from nothing: the check then finds what it lacks. */
static enum err add_hour(struct db *db, struct secret key, const struct hour *more, struct fault *why)
{
    struct hour h;
    bool good;
    enum err e = row_read(db, key, more->from, &h, &good, why);
    if (e)
        return e;
    if (!good)
        h = (struct hour){ .from = more->from };
    h.count += more->count;
    add_to(h.sum, more->sum);
    return row_write(db, key, &h, why);
}

enum err run_seal_add(struct db *db, struct secret key, const struct run *const *runs, size_t n, struct fault *why)
{
    struct hour h = { .from = -1 };
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < n; i++) {
        unsigned char one[SUM];
        if (hour_of(runs[i]) != h.from) {
            if (h.count)
                e = add_hour(db, key, &h, why);
            h = (struct hour){ .from = hour_of(runs[i]) };
        }
        digest(key, runs[i], one);
        add_to(h.sum, one);
        h.count++;
    }
    return !e && h.count ? add_hour(db, key, &h, why) : e;
}

/* ---- stating ---- */

static size_t write_hours(struct db *db, struct buf *out, enum err *e, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    size_t n = 0;
    struct json_out o = json_out(out);
    struct query *q = query_begin(db, "SELECT hour, count, sum FROM run_seal WHERE stated = 0 ORDER BY hour LIMIT $1");
    query_i64(q, HOURS_STATED);
    json_open(&o, '{');
    json_key(&o, "hours");
    json_open(&o, '[');
    for (; query_next(q); n++) {
        json_open(&o, '{');
        json_member_i64(&o, "from_ms", query_get_i64(q, 0));
        json_member_i64(&o, "count", query_get_i64(q, 1));
        json_member_str(&o, "sum", query_get_text(q, 2, a));
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_close(&o, '}');
    *e = query_end(q, why);
    return n;
}

enum err run_seal_state(struct db *db, void *unused, struct fault *why)
{
    AUTO_BUF text;
    enum err e;
    (void)unused;
    buf_init(&text, AUDIT_VALUE_MAX);
    size_t n = write_hours(db, &text, &e, why);
    if (e || !n)
        return e;
    struct audit_entry entry = { .via = STR("system"), .action = STR("calls.recorded"), .after = buf_str(&text) };
    if ((e = audit_add(db, &entry, why)))
        return e;
    struct query *q = query_begin(db, "UPDATE run_seal SET stated = 1 WHERE hour IN"
                                      " (SELECT hour FROM run_seal WHERE stated = 0 ORDER BY hour LIMIT $1)");
    query_i64(q, HOURS_STATED);
    return query_end(q, why);
}

enum err run_seal_prune(struct db *db, wall_ms before, struct fault *why)
{
    char text[64];
    struct query *q = query_begin(db, "SELECT 1 FROM run_block WHERE span < $1 AND to_ms < $1 LIMIT 1");
    query_i64(q, before);
    bool any = query_next(q);
    enum err e = query_end(q, why);
    if (e || !any)
        return e;
    snprintf(text, sizeof text, "{\"before_ms\":%lld}", (long long)before);
    struct audit_entry entry = { .via = STR("system"), .action = STR("runs.prune"), .after = str_of(text) };
    return audit_add(db, &entry, why);
}

/* ---- checking ---- */

struct hours {
    struct hour *at; /* in no order; the newest are at the end, where they are looked for */
    size_t count, size;
};

static struct hour *hour_get(struct hours *t, int64_t from, bool make)
{
    for (size_t i = t->count; i; i--)
        if (t->at[i - 1].from == from)
            return &t->at[i - 1];
    if (!make)
        return NULL;
    if (t->count == t->size)
        t->at = mem_grow(t->at, (t->size = t->size ? 2 * t->size : 64) * sizeof *t->at);
    t->at[t->count] = (struct hour){ .from = from };
    return &t->at[t->count++];
}

struct check {
    struct secret key;
    const _Atomic bool *sealed; /* NULL: never */
    struct hours stated, there;
    wall_ms pruned;
};

static enum err go_on(const struct check *c, struct fault *why)
{
    return c->sealed && atomic_load(c->sealed) ? fault(why, ERR_SEALED, STR(""), "while the audit log was verified") : ERR_NONE;
}

/* Of each audit record, what it says of run records. */
static enum err collect(const struct audit_row *row, void *context, struct fault *why)
{
    struct check *c = context;
    struct json *v;
    struct fault unused;
    int64_t n;
    enum err e = go_on(c, why);
    if (e)
        return e;
    bool calls = str_is(row->entry.action, "calls.recorded"), prune = str_is(row->entry.action, "runs.prune");
    if (!calls && !prune)
        return ERR_NONE;
    AUTO_ARENA a = arena_new(16 * 1024);
    if (!row->entry.after.p || json_read(a, row->entry.after, &v, &unused))
        return ERR_NONE;
    if (prune && json_i64(json_get(v, "before_ms"), &n) && n > c->pruned)
        c->pruned = n;
    json_each (each, json_get(v, "hours")) {
        if (!json_i64(json_get(each, "from_ms"), &n))
            continue;
        struct hour *h = hour_get(&c->stated, n, true);
        h->number = row->number;
        if (!json_i64(json_get(each, "count"), &h->count) || !sum_read(a, json_str(each, "sum"), h->sum))
            h->count = -1;
    }
    return ERR_NONE;
}

static enum err count_block(struct check *c, struct arena *a, struct str kinds_text, struct str records, struct fault *why)
{
    struct run_kinds kinds;
    struct run_line line;
    enum err e = run_kinds_rows(a, kinds_text, &kinds, why);
    if (e)
        return e;
    struct run_lines lines = run_lines(records, kinds.n);
    while (!e && run_lines_next(&lines, &line)) {
        struct run r = { 0 };
        unsigned char one[SUM];
        if ((e = run_line_read(&line, &kinds, &r, why)))
            break;
        digest(c->key, &r, one);
        struct hour *h = hour_get(&c->there, hour_of(&r), true);
        h->count++;
        add_to(h->sum, one);
    }
    return e ? e : lines.broken ? ERR_STORE : ERR_NONE;
}

/* A damaged block is a finding: its hours do not add up. */
static enum err count_all(struct check *c, struct db *db, struct fault *why)
{
    AUTO_ARENA a = arena_new(128 * 1024);
    struct fault unused;
    enum err stop = ERR_NONE;
    struct query *q = query_begin(db, "SELECT kinds, records FROM run_block ORDER BY id");
    while (!stop && query_next(q)) {
        arena_reset(a);
        stop = go_on(c, why);
        if (!stop && count_block(c, a, query_get_text(q, 0, a), query_get_text(q, 1, a), &unused))
            continue;
    }
    enum err e = query_end(q, stop ? &unused : why);
    return stop ? stop : e;
}

static bool same(const struct hour *a, const struct hour *b) { return a->count == b->count && !memcmp(a->sum, b->sum, SUM); }

/* What came since the last statement is in the row of the hour, which vouches for itself. */
static enum err hour_right(struct check *c, struct db *db, const struct hour *stated, const struct hour *there, bool *right,
                           struct fault *why)
{
    static const struct hour none;
    struct hour row;
    bool good;
    if (!there)
        there = &none;
    *right = stated && same(stated, there);
    if (*right)
        return ERR_NONE;
    enum err e = row_read(db, c->key, stated ? stated->from : there->from, &row, &good, why);
    *right = !e && good && same(&row, there) && (!stated || row.count > stated->count);
    return e;
}

static enum err compare(struct check *c, struct db *db, struct audit_finding *out, struct fault *why)
{
    bool right = true;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && right && i < c->stated.count; i++) {
        const struct hour *h = &c->stated.at[i];
        if (h->from < c->pruned)
            continue;
        e = hour_right(c, db, h, hour_get(&c->there, h->from, false), &right, why);
        if (!right)
            out->number = h->number;
    }
    for (size_t i = 0; !e && right && i < c->there.count; i++) {
        const struct hour *h = &c->there.at[i];
        if (h->from >= c->pruned && !hour_get(&c->stated, h->from, false))
            e = hour_right(c, db, NULL, h, &right, why);
    }
    if (!e && !right)
        out->flaw = AUDIT_CALLS_CHANGED;
    return e;
}

static enum err check_all(struct check *c, struct db *db, const struct audit_heads_found *heads, struct audit_finding *out,
                          struct fault *why)
{
    enum err e = audit_check(db, heads->witnesses, heads->count, c->key.n ? collect : NULL, c, out, why);
    if (!e && !out->flaw)
        out->flaw = heads->flaw;
    if (e || out->flaw || !c->key.n || (e = count_all(c, db, why)))
        return e;
    return compare(c, db, out, why);
}

enum err run_seal_check(struct db *db, struct secret key, const _Atomic bool *sealed, const struct audit_heads_found *heads,
                        struct audit_finding *out, struct fault *why)
{
    struct check c = { .key = key, .sealed = sealed };
    enum err e = db_snapshot(db, why); /* one state of both */
    if (e)
        return e;
    e = check_all(&c, db, heads, out, why);
    db_snapshot_end(db);
    free(c.stated.at);
    free(c.there.at);
    return e;
}
