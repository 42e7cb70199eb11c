/* web/groups.c - several people under one name, for folders and shares. */
#include "access/rights.h"
#include "web/access_view.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/page.h"

#define NAME_MAX_BYTES 512
#define PLACES_MOST 1000 /* folders that one group is in */

static void write_row(struct json_out *o, const struct group_row *g)
{
    json_member_str(o, "id", g->id);
    json_member_str(o, "name", g->name);
    json_member_i64(o, "member_count", g->members);
    json_member_time(o, "created_at", g->created);
    json_member_time(o, "updated_at", g->updated);
}

static enum err write_group(struct web_request *q, struct db *db, struct json_out *o, const struct group_row *g, struct fault *why)
{
    struct principal_row *rows;
    size_t n;
    enum err e = group_members(db, q->arena, g->id, &rows, &n, why);
    if (e)
        return e;
    json_open(o, '{');
    write_row(o, g);
    json_key(o, "members");
    json_open(o, '[');
    for (size_t i = 0; i < n; i++)
        access_write_principal(o, rows[i].id, rows[i].name, rows[i].kind);
    json_close(o, ']');
    json_close(o, '}');
    return ERR_NONE;
}

/* What the audit log keeps of a group. */
static enum err told(struct web_request *q, struct db *db, struct str id, struct str *out, struct fault *why)
{
    AUTO_BUF text;
    struct group_row row;
    struct json_out o = change_open(&text);
    enum err e;
    if ((e = group_get(db, q->arena, id, &row, why)) || (e = write_group(q, db, &o, &row, why)))
        return e;
    q->audit.object = row.id;
    q->audit.name = row.name;
    *out = change_text(q, &text);
    return ERR_NONE;
}

static enum err reply_group(struct web_request *q, struct reply *r, struct str id, struct fault *why)
{
    struct group_row row;
    enum err e = group_get(q->db, q->arena, id, &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return write_group(q, q->db, &o, &row, why);
}

enum err groups_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct group_row *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = group_list(q->db, q->arena, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++) {
        json_open(&o, '{');
        write_row(&o, &rows[i]);
        json_close(&o, '}');
    }
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

enum err groups_get(struct web_request *q, struct reply *r, struct fault *why) { return reply_group(q, r, q->params[0], why); }

struct group_change {
    struct web_request *q;
    struct group_row row;
    struct str name, id;
    const struct json *members; /* NULL: not said */
};

/* Who joins gets what the group has: nobody gives a right that they do not have. */
static enum err may_fill(struct group_change *c, struct db *db, struct str group, struct fault *why)
{
    struct web_request *q = c->q;
    struct place { struct str folder; enum role role; } *places = arena_array(q->arena, PLACES_MOST, sizeof *places);
    size_t n = 0;
    if (caller_narrowed(q->caller))
        return rights_may_give(q->caller, caller_role(q->caller), why);
    struct query *found = query_begin(db, "SELECT folder_id, role FROM folder_member WHERE principal_id = $1 LIMIT $2");
    query_text(found, group);
    query_i64(found, PLACES_MOST);
    for (; n < PLACES_MOST && query_next(found); n++) {
        places[n] = (struct place){ query_get_text(found, 0, q->arena), ROLE_NONE };
        role_parse(query_get_text(found, 1, q->arena), &places[n].role);
    }
    enum err e = query_end(found, why);
    for (size_t i = 0; !e && i < n; i++)
        e = rights_may_give_in(db, q->arena, q->caller, places[i].folder, places[i].role, why);
    return e;
}

static enum err set_members(struct group_change *c, struct db *db, struct str group, struct fault *why)
{
    if (!c->members)
        return ERR_NONE;
    enum err may = may_fill(c, db, group, why);
    if (may)
        return may;
    struct principal_row *rows = arena_array(c->q->arena, c->members->count + 1, sizeof *rows);
    size_t n = 0;
    json_each (v, c->members) {
        struct str who = v->type == JSON_OBJECT ? json_str(v, "id") : v->type == JSON_STRING ? v->text : STR_NONE;
        enum err e = principal_find(db, c->q->arena, who, &rows[n], why);
        if (e) {
            fault_at(why, "/members/%zu", n);
            return e;
        }
        n++;
    }
    return group_members_set(db, group, rows, n, why);
}

static enum err read_change(struct group_change *c, bool is_new, struct fault *why)
{
    static const char *const members[] = { "name", "members", NULL };
    const struct json *body = body_of(c->q);
    enum err e;
    if ((e = json_only(body, members, "", why)) ||
        (e = body_text(body, "name", is_new || json_get(body, "name"), NAME_MAX_BYTES, &c->name, why)))
        return e;
    c->members = json_get(body, "members");
    if (c->members && (c->members->type != JSON_ARRAY || c->members->count > GROUP_MEMBERS_MAX))
        return body_fault(why, ERR_FIELD_INVALID, "members", "a list of at most 1000 ids or names");
    return ERR_NONE;
}

static enum err make(struct db *db, void *context, struct fault *why)
{
    struct group_change *c = context;
    enum err e = group_create(db, c->q->arena, c->name, &c->id, why);
    if (e)
        return e == ERR_CONFLICT || e == ERR_FIELD_INVALID ? fault_at(why, "/name") : e;
    e = set_members(c, db, c->id, why);
    return e ? e : told(c->q, db, c->id, &c->q->audit.after, why);
}

enum err groups_create(struct web_request *q, struct reply *r, struct fault *why)
{
    struct group_change c = { .q = q };
    enum err e;
    if ((e = read_change(&c, true, why)) || (e = web_step_up(q, why)) || (e = web_write(q, make, &c, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/groups/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c.id)));
    return reply_group(q, r, c.id, why);
}

static enum err change(struct db *db, void *context, struct fault *why)
{
    struct group_change *c = context;
    struct web_request *q = c->q;
    enum err e;
    if ((e = group_get(db, q->arena, q->params[0], &c->row, why)) || (e = web_if_match(q, c->row.revision, why)) ||
        (e = told(q, db, c->row.id, &q->audit.before, why)))
        return e;
    if (c->name.p && (e = group_rename(db, &c->row, c->name, why)))
        return fault_at(why, "/name");
    e = set_members(c, db, c->row.id, why);
    return e ? e : told(q, db, c->row.id, &q->audit.after, why);
}

enum err groups_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    struct group_change c = { .q = q };
    enum err e;
    if ((e = read_change(&c, false, why)) || (e = web_step_up(q, why)) || (e = web_write(q, change, &c, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    return reply_group(q, r, c.row.id, why);
}

static enum err drop(struct db *db, void *context, struct fault *why)
{
    struct group_change *c = context;
    struct web_request *q = c->q;
    enum err e;
    if ((e = group_get(db, q->arena, q->params[0], &c->row, why)) || (e = web_if_match(q, c->row.revision, why)) ||
        (e = told(q, db, c->row.id, &q->audit.before, why)))
        return e;
    return group_delete(db, &c->row, why);
}

enum err groups_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct group_change c = { .q = q };
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, drop, &c, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}
