/* web/connection_history.c - what happened to a connection: its part of the audit log, for those who may see the connection. */
#include "access/audit.h"
#include "access/rights.h"
#include "vault/trash.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/page.h"

/* Of a deleted one, too: why it is gone is what people ask first. */
static enum err find_row(struct web_request *q, struct connection_row *row, struct fault *why)
{
    struct fault unused;
    enum err e = connection_seen(q, q->db, q->params[0], row, why);
    if (e != ERR_CONNECTION_NOT_FOUND || trash_get(q->db, q->arena, q->params[0], row, &unused))
        return e;
    return rights_need_on_connection(q->db, q->arena, q->caller, row->id, row->folder, RIGHT_VIEW, why);
}

/* For those who see its folder: with whom it is only shared learns neither where it lies nor with whom else it is. */
static enum err find(struct web_request *q, struct connection_row *row, struct fault *why)
{
    struct rights in_folder;
    enum err e = find_row(q, row, why);
    if (e || (e = rights_in_folder(q->db, q->arena, q->caller, row->folder, &in_folder, why)))
        return e;
    if (in_folder.mask & RIGHT_BIT(RIGHT_VIEW))
        return ERR_NONE;
    return fault(why, ERR_DENIED, STR("view in the folder of this connection"), "history of a connection that is shared singly");
}

static void put_value(struct json_out *o, struct arena *a, const char *name, struct str text)
{
    struct json *v;
    json_key(o, name);
    if (!text.p)
        json_put_null(o);
    else if (json_read(a, text, &v, NULL))
        json_put_str(o, text);
    else
        json_put(o, v);
}

/* Without the address it came from: that is for auditors. */
static void write_item(struct json_out *o, struct arena *a, const struct audit_row *r)
{
    const struct audit_entry *e = &r->entry;
    json_open(o, '{');
    json_member_str(o, "id", r->id);
    json_member_time(o, "at", r->at);
    json_member_str(o, "action", e->action);
    json_key(o, "actor");
    json_open(o, '{');
    json_member_str(o, "id", e->actor.n ? e->actor : STR_NONE);
    json_member_str(o, "name", e->actor_name.n ? e->actor_name : e->actor.n ? STR_NONE : STR("System"));
    json_close(o, '}');
    json_member_str(o, "outcome", str_of(audit_outcome_name(e->outcome)));
    json_member_str(o, "code", e->code.n ? e->code : STR_NONE);
    put_value(o, a, "before", e->before);
    put_value(o, a, "after", e->after);
    json_close(o, '}');
}

static enum err read_cursor(const struct page *page, int64_t *out, struct fault *why)
{
    uint64_t n;
    if (!page->after.p)
        return ERR_NONE;
    if (!str_u64(page->after, &n) || n > INT64_MAX)
        return fault(why, ERR_FIELD_INVALID, STR("cursor: take it from next_cursor as it is"), "cursor");
    *out = (int64_t)n;
    return ERR_NONE;
}

enum err connections_history(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "limit", "cursor", NULL };
    struct audit_filter f = { 0 };
    struct connection_row row;
    struct audit_row *rows;
    struct page page;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_cursor(&page, &f.before, why)) ||
        (e = find(q, &row, why)))
        return e;
    f.object = row.id;
    f.limit = page.limit + 1;
    if ((e = audit_list(q->db, q->arena, &f, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_item(&o, q->arena, &rows[i]);
    page_close(&o, q->arena, more ? str_fmt(q->arena, "%lld", (long long)rows[n - 1].number) : STR_NONE);
    return ERR_NONE;
}
