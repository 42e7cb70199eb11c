#include "call/run.h"

#include <stdio.h>

static const char *const via_names[] = { [RUN_PROXY] = "proxy", [RUN_CALL] = "call", [RUN_VERIFY] = "verify" };
static const char *const outcome_names[] = {
    [RUN_SUCCESS] = "success", [RUN_PROVIDER_ERROR] = "provider_error", [RUN_FAILED] = "failed",
    [RUN_REFUSED] = "refused", [RUN_CANCELLED] = "cancelled",
};

const char *run_via_name(enum run_via v) { return via_names[v]; }
const char *run_outcome_name(enum run_outcome o) { return outcome_names[o]; }

bool run_outcome_parse(struct str s, enum run_outcome *out)
{
    for (size_t i = 0; i < COUNT(outcome_names); i++)
        if (str_is(s, outcome_names[i])) {
            *out = (enum run_outcome)i;
            return true;
        }
    return false;
}

static enum run_via via_parse(struct str s)
{
    for (size_t i = 0; i < COUNT(via_names); i++)
        if (str_is(s, via_names[i]))
            return (enum run_via)i;
    return RUN_PROXY;
}

/* ---- the column "timing": microseconds inside, milliseconds with three decimals outside ---- */

static const struct timing {
    const char *name;
    size_t at;
} timings[] = {
    { "resolve", offsetof(struct run, resolve_us) },       { "connect", offsetof(struct run, connect_us) },
    { "tls", offsetof(struct run, tls_us) },               { "first_byte", offsetof(struct run, first_byte_us) },
    { "total", offsetof(struct run, total_us) },
};

static int32_t *timing_of(const struct run *r, const struct timing *t) { return (int32_t *)((char *)(uintptr_t)r + t->at); }

static void put_ms(struct json_out *o, int32_t us)
{
    char text[STR_U64_MAX + 4];
    size_t n = str_put_u64(text, (uint64_t)us / 1000);
    text[n++] = '.';
    for (int32_t unit = 100; unit; unit /= 10)
        text[n++] = (char)('0' + us / unit % 10);
    json_put_raw(o, (struct str){ text, n });
}

void run_write_timing(struct json_out *o, const struct run *r)
{
    json_open(o, '{');
    for (size_t i = 0; i < COUNT(timings); i++) {
        int32_t us = *timing_of(r, &timings[i]);
        json_key(o, timings[i].name);
        if (us > 0)
            put_ms(o, us);
        else
            json_put_null(o);
    }
    json_member_bool(o, "reused", r->reused);
    json_close(o, '}');
}

/* "12.345" as we wrote it; anything else reads as 0. */
static int32_t timing_parse(struct str text)
{
    struct str whole, part;
    uint64_t ms, us;
    if (!str_cut(text, '.', &whole, &part) || part.n != 3 || !str_u64(whole, &ms) || !str_u64(part, &us) ||
        ms > INT32_MAX / 1000 - 1)
        return 0;
    return (int32_t)(ms * 1000 + us);
}

static void timing_read(struct arena *a, struct str text, struct run *r)
{
    struct json *doc;
    struct fault why;
    if (json_read(a, text, &doc, &why))
        return;
    for (size_t i = 0; i < COUNT(timings); i++) {
        const struct json *v = json_get(doc, timings[i].name);
        *timing_of(r, &timings[i]) = json_is(v, JSON_NUMBER) ? timing_parse(v->text) : 0;
    }
    r->reused = json_bool(doc, "reused", false);
}

/* ---- writing ---- */

static void bind_text_or_null(struct query *q, const char *text)
{
    if (text[0])
        query_text(q, str_of(text));
    else
        query_null(q);
}

/* The batch writer tries again after a failure: a record that is there already is left as it is. */
static enum err insert_one(struct db *db, const struct run *r, struct fault *why)
{
    AUTO_BUF timing;
    buf_init(&timing, 512);
    struct json_out o = json_out(&timing);
    run_write_timing(&o, r);

    struct query *q = query_begin(
        db, "INSERT INTO run (id, started_ms, connection_id, connection_key, caller_id, token_id, via, method, host, path, status, "
            "outcome, error,"
            " request_bytes, response_bytes, timing) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
            " ON CONFLICT (id) DO NOTHING");
    query_text(q, str_of(r->id));
    query_i64(q, r->started);
    bind_text_or_null(q, r->connection);
    bind_text_or_null(q, r->connection_key);
    bind_text_or_null(q, r->caller);
    bind_text_or_null(q, r->token);
    query_text(q, str_of(run_via_name(r->via)));
    query_text(q, str_of(r->method));
    query_text(q, str_of(r->host));
    query_text(q, str_of(r->path));
    query_i64(q, r->status);
    query_text(q, str_of(run_outcome_name(r->outcome)));
    bind_text_or_null(q, r->error ? err_row(r->error)->code : "");
    query_i64(q, r->request_bytes);
    query_i64(q, r->response_bytes);
    query_text(q, buf_str(&timing));
    return query_end(q, why);
}

enum err runs_insert(struct db *db, const struct run *runs, size_t n, struct fault *why)
{
    for (size_t i = 0; i < n; i++) {
        enum err e = insert_one(db, &runs[i], why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

enum err runs_prune(struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why)
{
    /* Ids sort by age, so the oldest are found at the end of the primary key without a scan. */
    struct query *q = query_begin(db,
        "DELETE FROM run WHERE id IN (SELECT id FROM run ORDER BY id LIMIT $1) AND started_ms < $2");
    query_i64(q, most);
    query_i64(q, before);
    enum err e = query_end(q, why);
    *deleted = e ? 0 : db_changes(db);
    return e;
}

/* ---- reading ---- */

#define COLUMNS                                                                                                       \
    "id, started_ms, connection_id, connection_key, caller_id, token_id, via, method, host, path, status, outcome, error," \
    " request_bytes, response_bytes, timing"

static void read_text(struct query *q, int column, struct arena *a, char *to, size_t size)
{
    str_copy(to, size, query_get_text(q, column, a));
}

static void read_row(struct query *q, struct arena *a, struct run *r)
{
    *r = (struct run){ 0 };
    read_text(q, 0, a, r->id, sizeof r->id);
    r->started = query_get_i64(q, 1);
    read_text(q, 2, a, r->connection, sizeof r->connection);
    read_text(q, 3, a, r->connection_key, sizeof r->connection_key);
    read_text(q, 4, a, r->caller, sizeof r->caller);
    read_text(q, 5, a, r->token, sizeof r->token);
    r->via = via_parse(query_get_text(q, 6, a));
    read_text(q, 7, a, r->method, sizeof r->method);
    read_text(q, 8, a, r->host, sizeof r->host);
    read_text(q, 9, a, r->path, sizeof r->path);
    r->status = (int)query_get_i64(q, 10);
    if (!run_outcome_parse(query_get_text(q, 11, a), &r->outcome))
        r->outcome = RUN_FAILED;
    r->error = query_is_null(q, 12) ? ERR_NONE : err_find(query_get_text(q, 12, a));
    r->request_bytes = query_get_i64(q, 13);
    r->response_bytes = query_get_i64(q, 14);
    timing_read(a, query_get_text(q, 15, a), r);
}

enum err run_get(struct db *db, struct str id, struct run *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM run WHERE id = $1");
    query_text(q, id);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    if (e || found)
        return e;
    return fault(why, ERR_NOT_FOUND, STR("run"), "no run of that id");
}

/* Conditions are put together as they are asked for, so that each uses its index; `bound` follows with the values. */
#define BOUND_MAX 600
struct where {
    struct buf sql;
    struct str text[BOUND_MAX]; /* p == NULL: number */
    int64_t number[BOUND_MAX];
    int bound;
};

static void where_text(struct where *w, const char *before, struct str value, const char *after)
{
    if (w->bound == BOUND_MAX) {
        w->sql.failed = true;
        return;
    }
    w->text[w->bound] = value;
    buf_fmt(&w->sql, "%s$%d%s", before, ++w->bound, after);
}

static void where_number(struct where *w, const char *before, int64_t value)
{
    w->text[w->bound] = STR_NONE;
    w->number[w->bound] = value;
    buf_fmt(&w->sql, "%s$%d", before, ++w->bound);
}

/* "NULL" first, so that an empty list is good SQL and matches nothing. */
static void where_among(struct where *w, const char *before, const struct str *values, size_t n, const char *after)
{
    buf_add(&w->sql, str_of(before));
    buf_add(&w->sql, STR("(NULL"));
    for (size_t i = 0; i < n; i++)
        where_text(w, ", ", values[i], "");
    buf_add(&w->sql, STR(")"));
    buf_add(&w->sql, str_of(after));
}

static void where_visible(struct where *w, const struct run_filter *f)
{
    if (f->limited)
        where_among(w, " AND connection_id IN ", f->connections, f->connection_count, "");
    if (!f->folders)
        return;
    buf_add(&w->sql, STR(" AND ("));
    if (f->own.p)
        where_text(w, "caller_id = ", f->own, " OR ");
    where_among(w, "connection_id IN (SELECT id FROM connection WHERE folder_id IN ", f->folders, f->folder_count, "))");
}

static void where_write(struct where *w, const struct run_filter *f)
{
    buf_add(&w->sql, STR("SELECT " COLUMNS " FROM run WHERE 1 = 1"));
    if (f->connection.p)
        where_text(w, " AND connection_id = ", f->connection, "");
    if (f->caller.p)
        where_text(w, " AND caller_id = ", f->caller, "");
    if (f->by_outcome)
        where_text(w, " AND outcome = ", str_of(run_outcome_name(f->outcome)), "");
    if (f->since)
        where_number(w, " AND started_ms >= ", f->since);
    if (f->before.p)
        where_text(w, " AND id < ", f->before, "");
    where_visible(w, f);
    buf_add(&w->sql, STR(" ORDER BY id DESC"));
    where_number(w, " LIMIT ", f->limit);
    buf_char(&w->sql, 0);
}

enum err run_list(struct db *db, struct arena *a, const struct run_filter *f, struct run **out, size_t *n, struct fault *why)
{
    *out = NULL;
    *n = 0;
    /* Actions and automations do not run yet, so none of these records is theirs. */
    if (f->limit < 1 || f->action.p || f->automation.p)
        return ERR_NONE;
    if (f->folder_count + f->connection_count > BOUND_MAX - 16)
        return fault(why, ERR_LIMIT, STR("folders and connections of one token"), "%zu and %zu", f->folder_count,
                     f->connection_count);

    struct where *w = arena_zero(a, sizeof *w);
    buf_init(&w->sql, 32 * 1024);
    where_write(w, f);
    if (buf_failed(&w->sql)) {
        buf_end(&w->sql);
        return fault(why, ERR_INTERNAL, STR(""), "the query for runs is too long");
    }
    struct query *q = query_begin(db, w->sql.p);
    for (int i = 0; i < w->bound; i++) {
        if (w->text[i].p)
            query_text(q, w->text[i]);
        else
            query_i64(q, w->number[i]);
    }
    struct run *runs = arena_array(a, (size_t)f->limit, sizeof *runs);
    while (*n < (size_t)f->limit && query_next(q))
        read_row(q, a, &runs[(*n)++]);
    *out = runs;
    enum err e = query_end(q, why);
    buf_end(&w->sql);
    return e;
}

enum err run_count(struct db *db, struct str connection, wall_ms since, int64_t most, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM (SELECT 1 FROM run WHERE connection_id = $1 AND started_ms >= $2 ORDER "
                                      "BY id DESC LIMIT $3) AS recent");
    query_text(q, connection);
    query_i64(q, since);
    query_i64(q, most);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

/* ---- showing ---- */

static void member_text_or_null(struct json_out *o, const char *key, const char *text)
{
    if (text[0])
        json_member_str(o, key, str_of(text));
    else
        json_member_null(o, key);
}

void run_write(struct json_out *o, const struct run *r)
{
    json_open(o, '{');
    json_member_str(o, "id", str_of(r->id));
    json_member_time(o, "started_at", r->started);
    json_key(o, "connection");
    if (r->connection[0]) {
        json_open(o, '{');
        json_member_str(o, "id", str_of(r->connection));
        member_text_or_null(o, "key", r->connection_key);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    member_text_or_null(o, "caller", r->caller);
    member_text_or_null(o, "token", r->token);
    json_member_str(o, "via", str_of(run_via_name(r->via)));
    json_member_str(o, "method", str_of(r->method));
    json_member_str(o, "host", str_of(r->host));
    json_member_str(o, "path", str_of(r->path));
    json_key(o, "status");
    if (r->status)
        json_put_i64(o, r->status);
    else
        json_put_null(o);
    json_member_str(o, "outcome", str_of(run_outcome_name(r->outcome)));
    member_text_or_null(o, "error", r->error ? err_row(r->error)->code : "");
    json_member_i64(o, "request_bytes", r->request_bytes);
    json_member_i64(o, "response_bytes", r->response_bytes);
    json_key(o, "timing_ms");
    run_write_timing(o, r);
    json_close(o, '}');
}
