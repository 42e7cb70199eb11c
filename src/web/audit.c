/* web/audit.c - reading, checking and exporting the audit log. */
#include "access/audit.h"

#include "access/folder.h"
#include "access/rights.h"
#include "call/run_seal.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/page.h"

#define EXPORT_MOST 10000
#define EXPORT_AT_ONCE 200
#define EXPORT_BYTES (8 * 1024 * 1024) /* after these no further record is begun */
#define FOLDER_LOOKS_AT 50000 /* records of the log, for one page of a folder's with a filter */
#define HEADS_SHOWN 20
#define VALUE_BYTES (32 * 1024)

/* Ours, but read from a database that may have been edited. */
static void put_json(struct json_out *o, struct arena *a, const char *name, struct str text)
{
    struct json *v;
    struct fault unused;
    json_key(o, name);
    if (!text.p)
        json_put_null(o);
    else if (json_read(a, text, &v, &unused))
        json_put_str(o, text);
    else
        json_put(o, v);
}

static void put_or_null(struct json_out *o, const char *name, struct str s) { json_member_str(o, name, s.n ? s : STR_NONE); }

static void write_row(struct json_out *o, struct arena *a, const struct audit_row *r)
{
    const struct audit_entry *e = &r->entry;
    json_open(o, '{');
    json_member_i64(o, "number", r->number);
    json_member_str(o, "id", r->id);
    json_member_time(o, "at", r->at);
    json_key(o, "actor");
    json_open(o, '{');
    put_or_null(o, "id", e->actor);
    put_or_null(o, "name", e->actor_name);
    put_or_null(o, "via", e->via);
    json_close(o, '}');
    json_member_str(o, "action", e->action);
    json_key(o, "object");
    json_open(o, '{');
    json_member_str(o, "kind", e->kind);
    put_or_null(o, "id", e->object);
    put_or_null(o, "name", e->name);
    json_close(o, '}');
    put_or_null(o, "folder", e->folder);
    put_or_null(o, "client", e->client);
    put_or_null(o, "run_id", e->run);
    json_member_str(o, "outcome", str_of(audit_outcome_name(e->outcome)));
    put_or_null(o, "code", e->code);
    put_json(o, a, "before", e->before);
    put_json(o, a, "after", e->after);
    json_member_str(o, "previous", r->previous);
    json_member_str(o, "hash", r->hash);
    json_close(o, '}');
}

/* ---- list ---- */

static enum err read_time(const struct web_request *q, const char *name, wall_ms *out, struct fault *why)
{
    struct str text = web_query(q, name);
    if (!text.p || clock_parse(text, out))
        return ERR_NONE;
    return fault(why, ERR_FIELD_INVALID, str_fmt(q->arena, "%s: a time as 2027-01-31T00:00:00Z", name), "time of %zu bytes",
                 text.n);
}

static enum err read_number(const struct web_request *q, const char *name, struct str text, int64_t most, int64_t *out,
                            struct fault *why)
{
    uint64_t n;
    if (!text.p)
        return ERR_NONE;
    if (!str_u64(text, &n) || n > (uint64_t)most)
        return fault(why, ERR_FIELD_INVALID, str_fmt(q->arena, "%s: a number of at most %lld", name, (long long)most), "number");
    *out = (int64_t)n;
    return ERR_NONE;
}

static enum err read_filter(struct web_request *q, struct audit_filter *f, struct fault *why)
{
    static const char *const allowed[] = { "actor", "object", "action", "since", "until", "limit", "cursor", NULL };
    struct page page;
    enum err e;
    *f =
        (struct audit_filter){ .actor = web_query(q, "actor"), .object = web_query(q, "object"), .action = web_query(q, "action") };
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_time(q, "since", &f->since, why)) ||
        (e = read_time(q, "until", &f->until, why)) || (e = read_number(q, "cursor", page.after, INT64_MAX, &f->before, why)))
        return e;
    f->limit = page.limit + 1;
    return ERR_NONE;
}

/* One page; `f` asks for one row more than it holds. */
static enum err write_page(struct web_request *q, struct reply *r, const struct audit_filter *f, struct fault *why)
{
    struct audit_row *rows;
    size_t n;
    enum err e = audit_list(q->db, q->arena, f, &rows, &n, why);
    if (e)
        return e;
    bool more = n >= (size_t)f->limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_row(&o, q->arena, &rows[i]);
    int64_t next = more ? rows[n - 1].number : f->after ? f->after + 1 : 0;
    page_close(&o, q->arena, next ? str_fmt(q->arena, "%lld", (long long)next) : STR_NONE);
    return ERR_NONE;
}

enum err audit_get_list(struct web_request *q, struct reply *r, struct fault *why)
{
    struct audit_filter f;
    enum err e = read_filter(q, &f, why);
    return e ? e : write_page(q, r, &f, why);
}

/* With a filter, a page of a folder's looks at so many records of the log and no more: it may have few items, or none, and a
 * cursor. */
static enum err bound_numbers(struct web_request *q, struct audit_filter *f, struct fault *why)
{
    struct audit_mark newest;
    enum err e = audit_newest(q->db, &newest, why);
    if (e)
        return e;
    if (!f->before || f->before > newest.number)
        f->before = newest.number + 1;
    f->after = f->before > FOLDER_LOOKS_AT ? f->before - FOLDER_LOOKS_AT - 1 : 0;
    return ERR_NONE;
}

/* For those who hold the right in a folder and not in the instance. */
enum err folders_audit(struct web_request *q, struct reply *r, struct fault *why)
{
    struct audit_filter f;
    struct folder_row folder;
    enum err e;
    if ((e = read_filter(q, &f, why)) || (e = folder_resolve(q->db, q->arena, q->caller, q->params[0], &folder, why)) ||
        (e = rights_need(q->db, q->arena, q->caller, folder.id, RIGHT_AUDIT, why)))
        return e;
    f.folder = folder.id;
    if (!audit_filter_finds(&f) && (e = bound_numbers(q, &f, why)))
        return e;
    return write_page(q, r, &f, why);
}

/* ---- verify ---- */

static enum err read_heads(struct web_request *q, bool tail, struct audit_heads_found *out, struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    struct audit_heads heads = q->hub->audit_heads;
    enum err e = ERR_NONE;
    *out = (struct audit_heads_found){ 0 };
    if (!heads.path || (e = keyring_derive(q->hub->keyring, STR("audit heads"), &key, why)))
        return e;
    heads.key = key;
    return audit_heads_read(&heads, tail, q->arena, out, why);
}

static enum err check(struct web_request *q, struct audit_heads_found *heads, struct audit_finding *found, struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    enum err e;
    /* The heads first: what they tell of is in the database by then. */
    if ((e = read_heads(q, false, heads, why)) || (e = keyring_derive(q->hub->keyring, STR("run records"), &key, why)))
        return e;
    return run_seal_check(q->db, key, &q->hub->sealed, heads, found, why);
}

enum err audit_get_verify(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { NULL };
    static _Atomic bool busy; /* reads the whole log: one at a time */
    struct audit_heads_found heads;
    struct audit_finding found;
    enum err e = web_only_query(q, allowed, why);
    if (e)
        return e;
    if (atomic_exchange(&busy, true))
        return fault(why, ERR_OVERLOADED, STR(""), "the audit log is being verified already");
    e = check(q, &heads, &found, why);
    atomic_store(&busy, false);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_bool(&o, "ok", found.flaw == AUDIT_SOUND);
    json_member_str(&o, "flaw", found.flaw ? str_of(audit_flaw_name(found.flaw)) : STR_NONE);
    json_key(&o, "number");
    if (found.number)
        json_put_i64(&o, found.number);
    else
        json_put_null(&o);
    json_member_i64(&o, "records", found.records);
    json_key(&o, "newest");
    json_open(&o, '{');
    json_member_i64(&o, "number", found.newest.number);
    json_member_str(&o, "hash", (struct str){ found.newest.hash, AUDIT_HASH });
    json_close(&o, '}');
    json_key(&o, "heads");
    json_open(&o, '{');
    json_member_i64(&o, "count", (int64_t)heads.count);
    json_member_time(&o, "newest_at", heads.newest);
    json_close(&o, '}');
    json_close(&o, '}');
    return ERR_NONE;
}

/* ---- export ---- */

/* Borrows the reader's rows in small helpings, so that memory stays flat whatever the limit. Answers the last number. */
static enum err export_rows(struct web_request *q, struct reply *r, int64_t *after, int64_t limit, bool *more, struct fault *why)
{
    int64_t written = 0;
    *more = false;
    while (written < limit) {
        AUTO_ARENA a = arena_new(256 * 1024);
        struct audit_filter f = { .after = *after, .oldest_first = true, .limit = EXPORT_AT_ONCE };
        struct audit_row *rows;
        size_t n;
        enum err e = audit_list(q->db, a, &f, &rows, &n, why);
        if (e)
            return e;
        for (size_t i = 0; i < n && written < limit && r->body.n < EXPORT_BYTES; i++, written++) {
            struct json_out o = json_out(&r->body);
            write_row(&o, a, &rows[i]);
            buf_char(&r->body, '\n');
            *after = rows[i].number;
        }
        *more = n && *after < rows[n - 1].number;
        if (n < EXPORT_AT_ONCE || *more)
            return ERR_NONE;
    }
    *more = true; /* perhaps: the next page says */
    return ERR_NONE;
}

static void write_tail(struct web_request *q, struct reply *r, const struct audit_heads_found *heads, int64_t next)
{
    size_t from = heads->count > HEADS_SHOWN ? heads->count - HEADS_SHOWN : 0;
    struct json_out o = json_out(&r->body);
    (void)q;
    json_open(&o, '{');
    json_key(&o, "heads");
    json_open(&o, '[');
    for (size_t i = from; i < heads->count; i++) {
        json_open(&o, '{');
        json_member_i64(&o, "number", heads->witnesses[i].number);
        json_member_str(&o, "hash", (struct str){ heads->witnesses[i].hash, AUDIT_HASH });
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_key(&o, "next_after");
    if (next)
        json_put_i64(&o, next);
    else
        json_put_null(&o);
    json_close(&o, '}');
    buf_char(&r->body, '\n');
}

enum err audit_get_export(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "after", "limit", NULL };
    struct audit_heads_found heads = { 0 };
    int64_t after = 0, limit = EXPORT_MOST;
    bool more;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_number(q, "after", web_query(q, "after"), INT64_MAX, &after, why)) ||
        (e = read_number(q, "limit", web_query(q, "limit"), EXPORT_MOST, &limit, why)))
        return e;
    if ((e = web_step_up(q, why)))
        return e;
    if (!limit)
        return fault(why, ERR_FIELD_INVALID, STR("limit: from 1 to 10000"), "limit 0");
    q->audit.after = str_fmt(q->arena, "{\"after\":%lld,\"limit\":%lld}", (long long)after, (long long)limit);
    /* An export is told before it is given: the first page holds its own record when it reaches the end. */
    if ((e = change_tell(q, "audit.export", why)) ||
        (e = read_heads(q, true, &heads, why)) ||
        (e = export_rows(q, r, &after, limit, &more, why)))
        return e;
    write_tail(q, r, &heads, more ? after : 0);
    r->content_type = "application/x-ndjson";
    return ERR_NONE;
}

/* ---- look-up ---- */

static enum err hash_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "value", NULL };
    const struct json *v = json_get(body_of(q), "value");
    enum err e = json_only(body_of(q), members, "", why);
    if (e)
        return e;
    if (!json_is(v, JSON_STRING) || !v->text.n || v->text.n > VALUE_BYTES)
        return body_fault(why, v ? ERR_FIELD_INVALID : ERR_FIELD_REQUIRED, "value", v ? "a text of 1 to 32768 bytes" : "");
    struct str hash = change_hash(q, v->text);
    q->audit.name = hash;
    if ((e = change_tell(q, NULL, why)))
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "hash", hash);
    json_close(&o, '}');
    return ERR_NONE;
}

/* The hash under which a value stands in the log. Who asks is told in it: it may serve to guess. */
enum err audit_post_hash(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = hash_checked(q, r, why);
    body_wipe(q);
    return e;
}
