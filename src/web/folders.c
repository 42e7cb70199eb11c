/* web/folders.c - where connections live: the tree, and who is in it. */
#include "access/folder_tree.h"
#include "access/policy_store.h"
#include "access/rights.h"
#include "web/access_view.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/policy_check.h"

#define PATH_MAX_BYTES 1024
#define NAME_MAX_BYTES 320 /* of a principal */

static void write_members_of(struct json_out *o, const struct folder_row *f)
{
    json_member_str(o, "id", f->id);
    json_member_str(o, "path", f->path);
    json_member_str(o, "kind", f->kind);
    json_member_str(o, "owner", f->owner.n ? f->owner : STR_NONE);
    json_member_str(o, "parent", f->parent.n ? f->parent : STR_NONE);
    json_member_str(o, "preset", str_of(preset_name(f->preset)));
    json_member_bool(o, "inherits", f->inherits);
}

static void write_folder(struct json_out *o, const struct folder_row *f, const struct rights *own)
{
    json_open(o, '{');
    write_members_of(o, f);
    access_write_rights(o, "rights", own->mask);
    json_member_time(o, "created_at", f->created);
    json_member_time(o, "updated_at", f->updated);
    json_close(o, '}');
}

/* A page of them; one is a page of one. */
static enum err write_folders(struct web_request *q, struct json_out *o, const struct folder_row *rows, size_t n, struct fault *why)
{
    struct str *ids = arena_array(q->arena, n + 1, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = rows[i].id;
    struct many folders = many_of(q->arena, ids, n);
    struct rights *rights = arena_array(q->arena, n + 1, sizeof *rights);
    enum err e = rights_in_folders(q->db, q->arena, q->caller, &folders, rights, why);
    for (size_t i = 0, at; !e && i < n; i++)
        if (many_find(&folders, rows[i].id, &at))
            write_folder(o, &rows[i], &rights[at]);
    return e;
}

static enum err reply_folder(struct web_request *q, struct reply *r, struct str id, struct fault *why)
{
    struct folder_row row;
    enum err e = folder_get(q->db, q->arena, id, &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return write_folders(q, &o, &row, 1, why);
}

/* What the audit log keeps of a folder. */
static struct str told(struct web_request *q, const struct folder_row *f)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    write_members_of(&o, f);
    json_close(&o, '}');
    q->audit.object = arena_str(q->arena, f->id);
    q->audit.name = arena_str(q->arena, f->path);
    q->audit.folder = q->audit.object;
    return change_text(q, &text);
}

static enum err tell_after(struct web_request *q, struct db *db, struct str id, struct fault *why)
{
    struct folder_row row;
    enum err e = folder_get(db, q->arena, id, &row, why);
    if (!e)
        q->audit.after = told(q, &row);
    return e;
}

enum err folders_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct folder_row *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = folder_list(q->db, q->arena, q->caller, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    if ((e = write_folders(q, &o, rows, n, why)))
        return e;
    page_close(&o, q->arena, more ? rows[n - 1].sort : STR_NONE);
    return ERR_NONE;
}

enum err folders_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct folder_row row;
    enum err e = folder_resolve(q->db, q->arena, q->caller, q->params[0], &row, why);
    return e ? e : reply_folder(q, r, row.id, why);
}

/* By path or id, with a right that the caller must have there. */
static enum err find(struct web_request *q, struct db *db, struct str path_or_id, enum right right, struct folder_row *out,
                     struct fault *why)
{
    enum err e = folder_resolve(db, q->arena, q->caller, path_or_id, out, why);
    return e ? e : rights_need(db, q->arena, q->caller, out->id, right, why);
}

static enum err not_personal(const struct folder_row *row, struct fault *why)
{
    if (str_is(row->kind, "shared"))
        return ERR_NONE;
    return fault(why, ERR_LIMIT, STR("a personal workspace has no sub-folders and no members"), "personal workspace");
}

/* ---- making and changing ---- */

struct folder_change {
    struct web_request *q;
    struct folder_row row, parent;
    struct str path, id;          /* path: as asked, for a new one */
    bool moves;
    struct effect effect;
};

static enum err read_preset(const struct json *body, enum preset *out, struct fault *why)
{
    struct str text;
    enum err e = body_text(body, "preset", false, 32, &text, why);
    if (e || !text.p || preset_parse(text, out))
        return e;
    return body_fault(why, ERR_FIELD_INVALID, "preset", "inherited, editors_edit, open_folder, administrators_only");
}

/* "shared/sales/east": in shared/sales, which is there, "east". */
static enum err make(struct db *db, void *context, struct fault *why)
{
    struct folder_change *c = context;
    struct web_request *q = c->q;
    struct str path = c->path;
    size_t slash = path.n;
    while (slash && path.p[slash - 1] != '/')
        slash--;
    enum err e;
    if (!slash)
        return body_fault(why, ERR_FIELD_INVALID, "path", "below a shared folder, such as shared/sales");
    if ((e = find(q, db, str_sub(path, 0, slash - 1), RIGHT_EDIT, &c->parent, why)) || (e = not_personal(&c->parent, why)))
        return e;
    /* Saying who may do what is more than editing. */
    if ((c->row.preset != PRESET_INHERITED || !c->row.inherits) &&
        (e = rights_need(db, q->arena, q->caller, c->parent.id, RIGHT_SHARE, why)))
        return e;
    e = folder_create(db, q->arena, &c->parent, str_sub(path, slash, path.n), c->row.preset, c->row.inherits, &c->id, why);
    return e ? fault_at(why, "/path") : tell_after(q, db, c->id, why);
}

enum err folders_create(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "path", "preset", "inherits", NULL };
    struct folder_change c = { .q = q, .row.preset = PRESET_INHERITED, .row.inherits = true };
    const struct json *body = body_of(q);
    enum err e;
    if ((e = json_only(body, members, "", why)) || (e = body_text(body, "path", true, PATH_MAX_BYTES, &c.path, why)) ||
        (e = read_preset(body, &c.row.preset, why)) || (e = body_bool(body, "inherits", &c.row.inherits, why)) ||
        (e = web_write(q, make, &c, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/folders/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c.id)));
    return reply_folder(q, r, c.id, why);
}

static enum err read_place(struct folder_change *c, struct db *db, const struct json *body, struct fault *why)
{
    struct str parent, name;
    enum err e;
    if ((e = body_text(body, "parent", false, PATH_MAX_BYTES, &parent, why)) ||
        (e = body_text(body, "name", json_get(body, "name") != NULL, PATH_MAX_BYTES, &name, why)))
        return e;
    if (name.p)
        c->row.slug = name;
    if (!parent.p)
        return ERR_NONE;
    if ((e = folder_resolve(db, c->q->arena, c->q->caller, parent, &c->parent, why)))
        return fault_at(why, "/parent");
    c->moves = !str_eq(c->parent.id, c->row.parent);
    if (!c->moves)
        return ERR_NONE;
    e = rights_need(db, c->q->arena, c->q->caller, c->parent.id, RIGHT_EDIT, why);
    return e ? e : not_personal(&c->parent, why);
}

/* What moves is counted by the quotas of where it goes. */
static enum err place_it(struct folder_change *c, struct db *db, struct fault *why)
{
    struct web_request *q = c->q;
    struct policy_subject before = { 0 };
    struct str *ids;
    enum err e = policy_folders(db, q->arena, c->row.id, &ids, &before.folder_count, why);
    before.folders = ids;
    if (e || (e = folder_change(db, q->arena, &c->row, c->moves ? &c->parent : NULL, why)))
        return e;
    return c->moves ? policy_check_folder_moved(q, db, c->row.id, &before, why) : ERR_NONE;
}

static enum err change(struct db *db, void *context, struct fault *why)
{
    struct folder_change *c = context;
    struct web_request *q = c->q;
    const struct json *body = body_of(q);
    enum err e;
    c->moves = false;
    if ((e = find(q, db, q->params[0], RIGHT_SHARE, &c->row, why)) || (e = not_personal(&c->row, why)) ||
        (e = web_if_match(q, c->row.revision, why)))
        return e;
    q->audit.before = told(q, &c->row);
    if ((e = effect_before(db, q->arena, c->row.id, &c->effect, why)) || (e = read_place(c, db, body, why)) ||
        (e = read_preset(body, &c->row.preset, why)) || (e = body_bool(body, "inherits", &c->row.inherits, why)) ||
        (e = place_it(c, db, why)) ||
        (e = effect_after(db, q->arena, c->row.id, &c->effect, why)))
        return e;
    return tell_after(q, db, c->row.id, why);
}

static enum err reply_effect(struct reply *r, const struct effect *effect)
{
    struct json_out o = json_out(&r->body);
    access_write_effect(&o, effect);
    return ERR_NONE;
}

static const char *const preview_query[] = { "preview", NULL };

enum err folders_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name", "parent", "preset", "inherits", NULL };
    struct folder_change c = { .q = q };
    bool preview;
    enum err e;
    if ((e = web_only_query(q, preview_query, why)) || (e = access_preview(q, &preview, why)) ||
        (e = json_only(body_of(q), members, "", why)) || (e = access_write(q, preview, change, &c, why)))
        return e;
    if (preview)
        return reply_effect(r, &c.effect);
    switchboard_forget_tokens(q->hub->switchboard);
    if (c.moves)
        switchboard_forget_connections(q->hub->switchboard); /* other folders' policies hold for them now */
    return reply_folder(q, r, c.row.id, why);
}

static enum err drop(struct db *db, void *context, struct fault *why)
{
    struct folder_change *c = context;
    enum err e;
    if ((e = find(c->q, db, c->q->params[0], RIGHT_DELETE, &c->row, why)) || (e = web_if_match(c->q, c->row.revision, why)))
        return e;
    c->q->audit.before = told(c->q, &c->row);
    return folder_remove(db, &c->row, why);
}

enum err folders_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct folder_change c = { .q = q };
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, drop, &c, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}

/* ---- members ---- */

static void write_members(struct json_out *o, const struct folder_member *rows, size_t n)
{
    json_open(o, '{');
    json_key(o, "members");
    json_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(o, '{');
        json_key(o, "principal");
        access_write_principal(o, rows[i].principal, rows[i].name, rows[i].kind);
        json_member_str(o, "role", str_of(role_name(rows[i].role)));
        json_member_time(o, "expires_at", rows[i].expires);
        json_close(o, '}');
    }
    json_close(o, ']');
    json_close(o, '}');
}

enum err folders_members(struct web_request *q, struct reply *r, struct fault *why)
{
    struct folder_row row;
    struct folder_member *rows;
    size_t n;
    enum err e;
    if ((e = find(q, q->db, q->params[0], RIGHT_VIEW, &row, why)) || (e = folder_members(q->db, q->arena, row.id, &rows, &n, why)))
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    write_members(&o, rows, n);
    return ERR_NONE;
}

struct membership {
    struct web_request *q;
    struct folder_row row;
    struct folder_member *members;
    size_t n;
    struct effect effect;
};

static struct str members_told(struct web_request *q, const struct folder_row *f, const struct folder_member *rows, size_t n)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    write_members(&o, rows, n);
    q->audit.object = arena_str(q->arena, f->id);
    q->audit.name = arena_str(q->arena, f->path);
    q->audit.folder = q->audit.object;
    return change_text(q, &text);
}

static bool as_before(const struct folder_member *m, const struct folder_member *before, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(before[i].principal, m->principal))
            return before[i].role == m->role && before[i].expires == m->expires;
    return false;
}

static enum err read_member(struct membership *m, struct db *db, const struct json *v, struct folder_member *out, struct fault *why)
{
    static const char *const names[] = { "principal", "role", "expires_at", "expires_in", NULL };
    struct principal_row who;
    struct str principal, role;
    enum err e;
    if (v->type != JSON_OBJECT)
        return fault(why, ERR_FIELD_INVALID, STR("members: objects with principal and role are expected"), "members");
    const struct json *id = json_get(v, "principal");
    principal = json_is(id, JSON_OBJECT) ? json_str(id, "id") : STR_NONE; /* as GET shows it */
    if ((e = json_only(v, names, "", why)) ||
        (!principal.n && (e = body_text(v, "principal", true, NAME_MAX_BYTES, &principal, why))) ||
        (e = body_text(v, "role", true, 32, &role, why)) || (e = access_expiry(v, &out->expires, why)) ||
        (e = principal_find(db, m->q->arena, principal, &who, why)))
        return e;
    if (!role_parse(role, &out->role) || out->role == ROLE_OWNER || out->role == ROLE_CUSTODIAN)
        return body_fault(why, ERR_FIELD_INVALID, "role", "admin, editor, user, viewer, auditor");
    out->principal = who.id;
    out->name = who.name;
    out->kind = who.kind;
    return ERR_NONE;
}

static enum err set_members(struct db *db, void *context, struct fault *why)
{
    struct membership *m = context;
    struct web_request *q = m->q;
    const struct json *list = json_get(body_of(q), "members");
    struct folder_member *before;
    size_t had;
    enum err e;
    m->n = 0;
    if ((e = find(q, db, q->params[0], RIGHT_SHARE, &m->row, why)) || (e = not_personal(&m->row, why)) ||
        (e = web_if_match(q, m->row.revision, why)) || (e = folder_members(db, q->arena, m->row.id, &before, &had, why)) ||
        (e = effect_before(db, q->arena, m->row.id, &m->effect, why)))
        return e;
    q->audit.before = members_told(q, &m->row, before, had);
    m->members = arena_array(q->arena, list->count + 1, sizeof *m->members);
    json_each (v, list) {
        struct folder_member *one = &m->members[m->n];
        if ((e = read_member(m, db, v, one, why))) {
            fault_at(why, "/members/%zu", m->n);
            return e;
        }
        if (!as_before(one, before, had) && (e = rights_may_give_in(db, q->arena, q->caller, m->row.id, one->role, why)))
            return e;
        m->n++;
    }
    if ((e = folder_members_set(db, m->row.id, m->members, m->n, why)) ||
        (e = effect_after(db, q->arena, m->row.id, &m->effect, why)))
        return e;
    q->audit.after = members_told(q, &m->row, m->members, m->n);
    return ERR_NONE;
}

enum err folders_members_put(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "members", NULL };
    struct membership m = { .q = q };
    const struct json *list = json_get(body_of(q), "members");
    bool preview;
    enum err e;
    if ((e = web_only_query(q, preview_query, why)) || (e = access_preview(q, &preview, why)) ||
        (e = json_only(body_of(q), members, "", why)))
        return e;
    if (!json_is(list, JSON_ARRAY) || list->count > FOLDER_MEMBERS_MAX)
        return body_fault(why, list ? ERR_FIELD_INVALID : ERR_FIELD_REQUIRED, "members", list ? "a list of at most 500" : "");
    if ((!preview && (e = web_step_up(q, why))) || (e = access_write(q, preview, set_members, &m, why)))
        return e;
    if (preview)
        return reply_effect(r, &m.effect);
    switchboard_forget_tokens(q->hub->switchboard);
    reply_etag(r, q, m.row.revision + 1);
    struct json_out o = json_out(&r->body);
    write_members(&o, m.members, m.n);
    return ERR_NONE;
}
