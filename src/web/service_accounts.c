/* web/service_accounts.c - programs that call: they hold tokens and never sign in. */
#include "access/rights.h"
#include "access/user.h"
#include "vault/connection.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/principal.h"

#define NAME_MAX_BYTES 128

static void write_account(struct json_out *o, const struct service_account *s)
{
    json_open(o, '{');
    json_member_str(o, "id", s->id);
    json_member_str(o, "name", s->name);
    json_member_str(o, "role", str_of(role_name(s->role)));
    json_member_bool(o, "disabled", s->disabled);
    json_member_time(o, "created_at", s->created);
    json_member_time(o, "updated_at", s->updated);
    json_close(o, '}');
}

/* What the audit log keeps of an account. */
static struct str told(struct web_request *q, const struct service_account *s)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    write_account(&o, s);
    q->audit.object = arena_str(q->arena, s->id);
    q->audit.name = arena_str(q->arena, s->name);
    return change_text(q, &text);
}

static enum err tell_after(struct web_request *q, struct db *db, struct str id, struct fault *why)
{
    struct service_account row;
    enum err e = service_account_get(db, q->arena, id, &row, why);
    if (!e)
        q->audit.after = told(q, &row);
    return e;
}

static enum err reply_account(struct web_request *q, struct reply *r, const struct service_account *s)
{
    reply_etag(r, q, s->revision);
    struct json_out o = json_out(&r->body);
    write_account(&o, s);
    return ERR_NONE;
}

static enum err read_role(struct web_request *q, enum role *out, struct fault *why)
{
    struct str text;
    enum err e = body_text(body_of(q), "role", false, 32, &text, why);
    if (e || !text.p)
        return e;
    if (!role_parse(text, out) || *out == ROLE_OWNER)
        return body_fault(why, ERR_FIELD_INVALID, "role", "admin, editor, user, viewer, auditor, custodian");
    return rights_may_give(q->caller, *out, why);
}

enum err service_accounts_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct service_account *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = service_account_list(q->db, q->arena, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_account(&o, &rows[i]);
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

struct account_change {
    struct web_request *q;
    struct service_account row;
};

static enum err insert_account(struct db *db, void *context, struct fault *why)
{
    struct account_change *c = context;
    struct service_account there;
    enum err e = service_account_get(db, c->q->arena, c->row.name, &there, why);
    if (e == ERR_NOT_FOUND)
        e = service_account_find_or_create(db, c->q->arena, c->row.name, c->row.role, &c->row.id, why);
    else if (!e)
        e = fault(why, ERR_CONFLICT, c->row.name, "service account of that name");
    if (e)
        return e == ERR_CONFLICT || e == ERR_FIELD_INVALID ? fault_at(why, "/name") : e;
    return tell_after(c->q, db, c->row.id, why);
}

enum err service_accounts_create(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name", "role", NULL };
    struct account_change c = { .q = q, .row.role = ROLE_USER };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "name", true, NAME_MAX_BYTES, &c.row.name, why)) || (e = read_role(q, &c.row.role, why)) ||
        (e = web_write(q, insert_account, &c, why)) ||
        (e = service_account_get(q->db, q->arena, c.row.id, &c.row, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location",
                 str_fmt(q->arena, "%.*s/api/v1/service-accounts/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c.row.id)));
    return reply_account(q, r, &c.row);
}

enum err service_accounts_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct service_account row;
    enum err e = service_account_get(q->db, q->arena, q->params[0], &row, why);
    return e ? e : reply_account(q, r, &row);
}

static enum err apply_account(struct db *db, void *context, struct fault *why)
{
    struct account_change *c = context;
    const struct json *body = body_of(c->q);
    struct str name;
    enum err e;
    if ((e = service_account_get(db, c->q->arena, c->q->params[0], &c->row, why)) ||
        (e = web_if_match(c->q, c->row.revision, why)))
        return e;
    c->q->audit.before = told(c->q, &c->row);
    if ((e = body_text(body, "name", json_get(body, "name") != NULL, NAME_MAX_BYTES, &name, why)) ||
        (e = read_role(c->q, &c->row.role, why)) || (e = body_bool(body, "disabled", &c->row.disabled, why)))
        return e;
    if (name.p)
        c->row.name = name;
    e = service_account_update(db, &c->row, why);
    return e ? e : tell_after(c->q, db, c->row.id, why);
}

enum err service_accounts_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name", "role", "disabled", NULL };
    struct account_change c = { .q = q };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (json_get(body_of(q), "role") && (e = web_step_up(q, why))) ||
        (e = web_write(q, apply_account, &c, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    return reply_account(q, r, &c.row);
}

static enum err remove_account(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    struct service_account row;
    enum err e;
    if ((e = service_account_get(db, q->arena, q->params[0], &row, why)) || (e = web_if_match(q, row.revision, why)))
        return e;
    q->audit.before = told(q, &row);
    e = connection_disown(db, row.id, why);
    return e ? e : service_account_delete(db, row.id, why);
}

enum err service_accounts_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, remove_account, q, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}
