/* web/connections.c - list and show connections. */
#include "vault/connection.h"

#include <stdlib.h>

#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/page.h"

static bool contains_folded(struct str text, struct str wanted)
{
    for (size_t i = 0; i + wanted.n <= text.n; i++)
        if (str_ieq(str_sub(text, i, i + wanted.n), wanted))
            return true;
    return false;
}

static bool has_tag(const struct connection_row *row, struct str tag)
{
    AUTO_ARENA a = arena_new(1024);
    struct json *tags;
    if (json_read(a, row->tags, &tags, NULL))
        return false;
    json_each (v, tags)
        if (str_eq(v->text, tag))
            return true;
    return false;
}

static bool filter_takes(const struct connection_filter *f, const struct connection_row *row)
{
    return (!f->connector.p || str_eq(f->connector, row->connector)) && (!f->by_state || f->state == row->state) &&
           (!f->by_health || f->health == row->health) && (!f->by_default || f->is_default == row->is_default) &&
           (!f->tag.p || has_tag(row, f->tag)) &&
           (!f->search.n || contains_folded(row->key, f->search) || contains_folded(row->name, f->search));
}

static int by_id(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

/* A token limited to a few connections: those few are looked up, however many there are. */
static enum err list_granted(struct web_request *q, const struct connection_filter *f, struct connection_row **out, size_t *n,
                             struct fault *why)
{
    const struct narrow_list *l = caller_connections(q->caller);
    struct str *ids = arena_array(q->arena, l->count + 1, sizeof *ids);
    struct connection_row *rows = arena_array(q->arena, (size_t)f->limit, sizeof *rows);
    *n = 0;
    *out = rows;
    if (!l->count)
        return ERR_NONE;
    memcpy(ids, l->at, l->count * sizeof *ids);
    qsort(ids, l->count, sizeof *ids, by_id);
    for (size_t i = 0; i < l->count && *n < (size_t)f->limit; i++) {
        if (f->after.p && str_cmp(ids[i], f->after) <= 0)
            continue;
        enum err e = f->deleted ? connection_get_deleted(q->db, q->arena, ids[i], &rows[*n], why)
                                : connection_get(q->db, q->arena, ids[i], &rows[*n], why);
        if (e && e != ERR_CONNECTION_NOT_FOUND)
            return e;
        bool seen = false;
        if (!e && (e = connection_in_scope(q, &f->scope, &rows[*n], &seen, why)))
            return e;
        *n += seen && filter_takes(f, &rows[*n]);
    }
    return ERR_NONE;
}

static enum err read_filter(struct web_request *q, struct connection_filter *f, struct fault *why)
{
    struct str state = web_query(q, "state"), health = web_query(q, "health");
    enum err e;
    f->connector = web_query(q, "connector");
    f->search = web_query(q, "search");
    f->tag = web_query(q, "tag");
    if ((e = web_flag(q, "deleted", &f->deleted, why)) || (e = web_flag(q, "default", &f->is_default, why)))
        return e;
    f->by_default = web_query(q, "default").p;
    f->by_state = state.p;
    f->by_health = health.p;
    if (f->by_state && !connection_state_parse(state, &f->state))
        return fault(why, ERR_FIELD_INVALID, STR("state: draft, needs_auth, active, disabled, deleted"), "unknown state");
    f->deleted |= f->by_state && f->state == CONNECTION_DELETED;
    if (f->by_health && !connection_health_parse(health, &f->health))
        return fault(why, ERR_FIELD_INVALID, STR("health: unknown, ok, failing, expiring, expired, reconnect_required"),
                     "unknown health");
    return connection_scope(q, q->db, &f->scope, why);
}

/* `seen` NULL: of a token limited to a few connections. */
static enum err write_page(struct web_request *q, struct reply *r, const struct connection_filter *f,
                           const struct folder_sight *seen, struct fault *why)
{
    struct connection_row *rows;
    size_t n;
    enum err e = seen ? connection_list_seen(q->db, q->arena, f, seen, &rows, &n, why) : list_granted(q, f, &rows, &n, why);
    if (e)
        return e;
    bool more = n >= (size_t)f->limit;
    n -= more;
    struct json_out o = page_open(r);
    if ((e = connections_write(q, &o, rows, n, seen, why)))
        return e;
    struct str last = STR_NONE;
    if (more)
        last = seen ? str_fmt(q->arena, "%lld", (long long)rows[n - 1].number) : rows[n - 1].id;
    page_close(&o, q->arena, last);
    return ERR_NONE;
}

/* Rows and what stands beside them of one state, and of one look at the folders. */
static enum err write_seen(struct web_request *q, struct reply *r, const struct connection_filter *f, struct fault *why)
{
    struct folder_sight sight = { 0 };
    enum err e = db_snapshot(q->db, why);
    if (e)
        return e;
    e = folder_sight_begin(q->db, q->arena, &f->scope, &sight, why);
    if (!e)
        e = write_page(q, r, f, &sight, why);
    folder_sight_end(&sight);
    db_snapshot_end(q->db);
    return e;
}

enum err connections_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "connector", "state", "health", "search", "default",
                                           "deleted", "tag", "limit", "cursor", NULL };
    struct connection_filter f = { 0 };
    struct page page;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_filter(q, &f, why)))
        return e;
    f.after = page.after;
    f.limit = page.limit + 1; /* one row more than a page holds */
    return caller_limited(q->caller) ? write_page(q, r, &f, NULL, why) : write_seen(q, r, &f, why);
}

static const char *const object_query[] = { "folder", NULL };

enum err connections_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct connection_row row;
    enum err e;
    if ((e = web_only_query(q, object_query, why)) || (e = connection_seen(q, q->db, q->params[0], &row, why)))
        return e;
    return connection_reply(q, r, row.id, why);
}
