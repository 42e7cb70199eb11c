/* web/connection_access.c - who reaches a connection: sharing it singly, and moving it to another folder. */
#include "access/rights.h"

#include "access/folder.h"
#include "access/share.h"
#include "web/access_view.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/move_callers.h"
#include "web/page.h"
#include "web/policy_check.h"

#define NAME_MAX_BYTES 1024
#define BLOCKING_MOST 100

/* ---- shares ---- */

static void write_share(struct json_out *o, const struct share *s)
{
    json_open(o, '{');
    json_key(o, "with");
    access_write_principal(o, s->target, s->name, s->kind);
    json_member_time(o, "expires_at", s->expires);
    json_member_str(o, "shared_by", s->shared_by);
    json_member_time(o, "created_at", s->created);
    json_close(o, '}');
}

static const char *const folder_query[] = { "folder", NULL };

enum err connection_shares_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "limit", "cursor", NULL };
    struct connection_row row;
    struct share *shares;
    struct page page;
    size_t n, from = 0;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_SHARE, &row, why)) ||
        (e = share_list(q->db, q->arena, row.id, &shares, &n, why)))
        return e;
    while (page.after.p && from < n && str_cmp(shares[from].target, page.after) <= 0)
        from++;
    size_t to = n - from > (size_t)page.limit ? from + (size_t)page.limit : n;
    struct json_out o = page_open(r);
    for (size_t i = from; i < to; i++)
        write_share(&o, &shares[i]);
    page_close(&o, q->arena, to < n ? shares[to - 1].target : STR_NONE);
    return ERR_NONE;
}

struct sharing {
    struct web_request *q;
    struct connection_row row;
    struct str with;              /* as asked */
    struct share share;
};

static void tell(struct web_request *q, const struct connection_row *row, const struct share *s, struct str *to)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    write_share(&o, s);
    q->audit.object = arena_str(q->arena, row->id);
    q->audit.name = arena_str(q->arena, row->key);
    q->audit.folder = arena_str(q->arena, row->folder);
    *to = change_text(q, &text);
}

/* "shared/sales", fld_..., an e-mail address, a name, an id. */
static enum err find_target(struct sharing *s, struct db *db, struct fault *why)
{
    struct web_request *q = s->q;
    struct folder_row folder;
    struct principal_row who;
    enum err e;
    if (str_starts(s->with, STR("fld_")) || str_is(s->with, "shared") || str_starts(s->with, STR("shared/"))) {
        if ((e = folder_resolve(db, q->arena, q->caller, s->with, &folder, why)))
            return fault_at(why, "/with");
        if (!str_is(folder.kind, "shared") || str_eq(folder.id, s->row.folder))
            return body_fault(why, ERR_FIELD_INVALID, "with", "another folder, which is shared");
        s->share.target = folder.id;
        s->share.name = folder.path;
        s->share.kind = STR("folder");
        return ERR_NONE;
    }
    if ((e = principal_find(db, q->arena, s->with, &who, why)))
        return fault_at(why, "/with");
    s->share.target = who.id;
    s->share.name = who.name;
    s->share.kind = who.kind;
    return ERR_NONE;
}

static enum err set_share(struct db *db, void *context, struct fault *why)
{
    struct sharing *s = context;
    enum err e;
    if ((e = connection_need(s->q, db, s->q->params[0], RIGHT_SHARE, &s->row, why)) ||
        (e = web_if_match(s->q, s->row.revision, why)) || (e = find_target(s, db, why)))
        return e;
    s->share.shared_by = s->q->caller->principal;
    s->share.created = clock_wall();
    if ((e = share_set(db, s->row.id, &s->share, why)))
        return e;
    tell(s->q, &s->row, &s->share, &s->q->audit.after);
    return ERR_NONE;
}

enum err connection_shares_post(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "with", "expires_at", "expires_in", NULL };
    struct sharing s = { .q = q };
    enum err e;
    if ((e = web_only_query(q, folder_query, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "with", true, NAME_MAX_BYTES, &s.with, why)) ||
        (e = access_expiry(body_of(q), &s.share.expires, why)) || (e = web_write(q, set_share, &s, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 201;
    struct json_out o = json_out(&r->body);
    write_share(&o, &s.share);
    return ERR_NONE;
}

static enum err end_share(struct db *db, void *context, struct fault *why)
{
    struct sharing *s = context;
    struct share *shares;
    size_t n;
    enum err e;
    if ((e = connection_need(s->q, db, s->q->params[0], RIGHT_SHARE, &s->row, why)) ||
        (e = web_if_match(s->q, s->row.revision, why)) || (e = share_list(db, s->q->arena, s->row.id, &shares, &n, why)))
        return e;
    for (size_t i = 0; i < n; i++)
        if (str_eq(shares[i].target, s->q->params[1]))
            tell(s->q, &s->row, &shares[i], &s->q->audit.before);
    return share_remove(db, s->row.id, s->q->params[1], why);
}

enum err connection_shares_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct sharing s = { .q = q };
    enum err e;
    if ((e = web_only_query(q, folder_query, why)) || (e = web_write(q, end_share, &s, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}

/* ---- moving (FLD-08) ---- */

/* A token that names the connection, and whose holder would not reach it any more. */
struct blocking { struct str token, name, principal; };

struct move {
    struct web_request *q;
    struct connection_row row;
    struct folder_row to;
    struct str folder;            /* as asked */
    struct effect effect;
    struct move_callers callers;
    struct blocking blocking[BLOCKING_MOST];
    size_t blocking_count;
    bool preview;
};

struct holder { struct str token, name, principal; enum role role; };

static enum err read_holders(struct db *db, struct arena *a, struct str connection, struct holder *out, size_t *n,
                             struct fault *why)
{
    struct query *q = query_begin(
        db, "SELECT t.id, t.name, p.id, p.role FROM token_grant g JOIN token t ON t.id = g.token_id JOIN principal p ON p.id = "
            "t.principal_id"
            " WHERE g.kind = 'connection' AND g.value = $1 AND t.revoked_ms = 0 AND (t.expires_ms = 0 OR t.expires_ms > $2)"
            " AND p.disabled = 0 ORDER BY t.id LIMIT $3");
    query_text(q, connection);
    query_i64(q, clock_wall());
    query_i64(q, BLOCKING_MOST);
    for (*n = 0; *n < BLOCKING_MOST && query_next(q); (*n)++) {
        out[*n] = (struct holder){ query_get_text(q, 0, a), query_get_text(q, 1, a), query_get_text(q, 2, a), ROLE_NONE };
        role_parse(query_get_text(q, 3, a), &out[*n].role);
    }
    return query_end(q, why);
}

static enum err find_blocking(struct move *m, struct db *db, struct fault *why)
{
    struct arena *a = m->q->arena;
    struct holder *holders = arena_array(a, BLOCKING_MOST, sizeof *holders);
    size_t n;
    enum err e = read_holders(db, a, m->row.id, holders, &n, why);
    for (size_t i = 0; !e && i < n; i++) {
        struct caller c = { .principal = holders[i].principal, .role = holders[i].role };
        struct rights r;
        e = rights_on_connection(db, a, &c, m->row.id, m->to.id, &r, why);
        if (!e && !(r.mask & RIGHT_BIT(RIGHT_USE)))
            m->blocking[m->blocking_count++] = (struct blocking){ holders[i].token, holders[i].name, holders[i].principal };
    }
    return e;
}

static enum err check_place(struct move *m, struct db *db, struct fault *why)
{
    struct web_request *q = m->q;
    enum err e;
    if ((e = connection_need(q, db, q->params[0], RIGHT_SHARE, &m->row, why)) || (e = web_if_match(q, m->row.revision, why)))
        return e;
    if ((e = folder_resolve(db, q->arena, q->caller, m->folder, &m->to, why)))
        return fault_at(why, "/folder");
    if ((e = rights_need(db, q->arena, q->caller, m->to.id, RIGHT_EDIT, why)))
        return e;
    if (str_eq(m->to.id, m->row.folder))
        return body_fault(why, ERR_FIELD_INVALID, "folder", "it is there already");
    return ERR_NONE;
}

static enum err refuse_blocked(const struct move *m, struct fault *why)
{
    const struct blocking *first = &m->blocking[0];
    struct str said = str_fmt(
        m->q->arena,
        "the token %.*s names this connection, whose holder would not reach it there; revoke it, or share with its holder first",
        STR_ARG(first->token));
    return fault(why, ERR_LIMIT, said, "%zu tokens in the way", m->blocking_count);
}

static enum err carry(struct db *db, void *context, struct fault *why)
{
    struct move *m = context;
    struct web_request *q = m->q;
    enum err e;
    m->blocking_count = 0;
    if ((e = check_place(m, db, why)) || (e = find_blocking(m, db, why)) ||
        (m->preview && (e = effect_of_move(db, q->arena, m->row.id, m->row.folder, m->to.id, &m->effect, why))) ||
        (m->preview && (e = move_callers_find(db, q->arena, &m->row, m->to.id, &m->callers, why))))
        return e;
    if (m->blocking_count && !m->preview)
        return refuse_blocked(m, why);
    q->audit.before = connection_audit(q, &m->row);
    if ((e = policy_check_move(q, db, &m->row, m->to.id, NULL, why)) || (e = connection_folder_room(db, m->to.id, why)))
        return e;
    if ((e = connection_move(db, &m->row, m->to.id, why)))
        return e == ERR_CONFLICT ? fault_at(why, "/folder") : e;
    q->audit.after = connection_audit(q, &m->row);
    return ERR_NONE;
}

static enum err reply_preview(struct reply *r, const struct move *m)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_key(&o, "access");
    access_write_effect(&o, &m->effect);
    json_key(&o, "callers");
    move_callers_write(&o, &m->callers);
    json_key(&o, "blocking");
    json_open(&o, '[');
    for (size_t i = 0; i < m->blocking_count; i++) {
        json_open(&o, '{');
        json_member_str(&o, "kind", STR("token"));
        json_member_str(&o, "id", m->blocking[i].token);
        json_member_str(&o, "name", m->blocking[i].name);
        json_member_str(&o, "principal", m->blocking[i].principal);
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_close(&o, '}');
    return ERR_NONE;
}

enum err connections_move(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "folder", "preview", NULL };
    struct move *m = arena_zero(q->arena, sizeof *m);
    enum err e;
    m->q = q;
    if ((e = web_only_query(q, folder_query, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "folder", true, NAME_MAX_BYTES, &m->folder, why)) ||
        (e = body_bool(body_of(q), "preview", &m->preview, why)) || (e = access_write(q, m->preview, carry, m, why)))
        return e;
    if (m->preview)
        return reply_preview(r, m);
    switchboard_forget_connection(q->hub->switchboard, m->row.id);
    switchboard_forget_tokens(q->hub->switchboard);
    return connection_reply(q, r, m->row.id, why);
}
