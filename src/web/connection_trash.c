/* web/connection_trash.c - deleting a connection, and bringing it back (CON-39, CON-40). */
#include "vault/trash.h"

#include "access/rights.h"
#include "auth/revocation.h"
#include "base/log.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"
#include "web/policy_check.h"

#define HEIRS_MOST 20 /* shown, of those that could be the default instead */

struct deletion {
    struct web_request *q;
    struct connection_row row, heir;    /* heir: the new default; id.p == NULL: none was named */
    struct dependants dependants;
    struct str others;                  /* JSON array of who could be the default instead */
    struct str wanted_heir;
    struct revocation *revocation; /* NULL: nothing to give back */
    bool force, purge, was_default, was_deleted;
};

/* Those of the same connector beside it, which could be the default instead. */
static enum err find_others(struct deletion *d, struct db *db, bool *any, struct fault *why)
{
    AUTO_BUF text;
    buf_init(&text, 64 * 1024);
    struct json_out o = json_out(&text);
    *any = false;
    json_open(&o, '[');
    struct query *q =
        query_begin(db, "SELECT id, key, name FROM connection WHERE folder_id = $1 AND connector = $2 AND id <> $3 AND"
                        " deleted_ms = 0 ORDER BY id LIMIT $4");
    query_text(q, d->row.folder);
    query_text(q, d->row.connector);
    query_text(q, d->row.id);
    query_i64(q, HEIRS_MOST);
    while (query_next(q)) {
        static const char *const names[] = { "id", "key", "name" };
        *any = true;
        json_open(&o, '{');
        for (int i = 0; i < (int)COUNT(names); i++)
            json_member_str(&o, names[i], query_get_text(q, i, d->q->arena));
        json_close(&o, '}');
    }
    json_close(&o, ']');
    d->others = arena_str(d->q->arena, buf_str(&text));
    return query_end(q, why);
}

/* What the caller has to know before it asks again, as members of the problem. */
static void tell_why_not(struct deletion *d, struct reply *r)
{
    r->problem = dependants_problem(d->q->arena, &d->dependants, d->others.n ? d->others : STR("[]"));
}

static enum err name_heir(struct deletion *d, struct db *db, struct fault *why)
{
    struct connection_row *heir = &d->heir;
    enum err e = connection_need(d->q, db, d->wanted_heir, RIGHT_EDIT, heir, why);
    if (e)
        return e;
    if (str_eq(heir->id, d->row.id) || !str_eq(heir->folder, d->row.folder) || !str_eq(heir->connector, d->row.connector))
        return fault(why, ERR_FIELD_INVALID, STR("default: another connection of the same connector and folder"), "heir");
    heir->is_default = true;
    /* That takes it from the other, whose revision counts it. */
    return (e = connection_update(db, heir, why)) ? e : connection_get(db, d->q->arena, d->row.id, &d->row, why);
}

/* Deleting the default never picks another silently: it is named, or the folder is left without one by force. */
static enum err settle_default(struct deletion *d, struct db *db, struct fault *why)
{
    bool any = false;
    d->was_default = d->row.is_default;
    if (d->wanted_heir.n)
        return name_heir(d, db, why);
    if (!d->row.is_default)
        return ERR_NONE;
    enum err e = find_others(d, db, &any, why);
    if (e || !any || d->force)
        return e;
    return fault(why, ERR_DEFAULT_NEEDED, d->row.key, "it is the default of its folder and connector");
}

static enum err find_row(struct deletion *d, struct db *db, struct fault *why)
{
    struct web_request *q = d->q;
    enum err e = connection_need(q, db, q->params[0], RIGHT_DELETE, &d->row, why);
    if (e != ERR_CONNECTION_NOT_FOUND || !d->purge)
        return e;
    struct fault unused;
    if (trash_get(db, q->arena, q->params[0], &d->row, &unused))
        return e;
    d->was_deleted = true;
    return rights_need_on_connection(db, q->arena, q->caller, d->row.id, d->row.folder, RIGHT_DELETE, why);
}

static enum err apply_delete(struct db *db, void *context, struct fault *why)
{
    struct deletion *d = context;
    struct web_request *q = d->q;
    enum err e;
    if ((e = find_row(d, db, why)))
        return e;
    q->audit.before = connection_audit(q, &d->row);
    if ((e = web_if_match(q, d->row.revision, why)))
        return e;
    if ((e = revocation_store(db, d->revocation, why)))
        return e;
    if (d->was_deleted)
        return connection_delete(db, d->row.id, why);
    if ((e = dependants_find(db, q->arena, d->row.id, &d->dependants, why)))
        return e;
    if (d->dependants.count && !d->force)
        return fault(why, ERR_IN_USE, d->row.key, "%zu dependants", d->dependants.count);
    if ((e = settle_default(d, db, why)))
        return e;
    if (d->purge)
        return connection_delete(db, d->row.id, why);
    e = trash_put(db, &d->row, q->caller->principal, q->hub->retention.deleted_secrets == 0, why);
    if (!e)
        q->audit.after = connection_audit(q, &d->row);
    return e;
}

static void write_report(struct deletion *d, struct reply *r)
{
    const struct hub *h = d->q->hub;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "id", d->row.id);
    json_member_str(&o, "state", STR("deleted"));
    json_member_time(&o, "deleted_at", d->row.deleted ? d->row.deleted : clock_wall());
    json_member_time(&o, "purge_at", d->purge ? clock_wall() : d->row.deleted + h->retention.deleted_connections);
    json_member_bool(&o, "was_default", d->was_default);
    json_member_str(&o, "default", d->heir.id.n ? d->heir.id : STR_NONE);
    dependants_write(&o, &d->dependants, true);
    json_close(&o, '}');
}

/* What the provider gave is given back (RFC 7009). When that cannot even be asked for, the connection goes all the same. */
static void prepare_revocation(struct deletion *d)
{
    struct web_request *q = d->q;
    struct connection_row row;
    struct fault why;
    if (!q->hub->renewals || connection_need(q, q->db, q->params[0], RIGHT_DELETE, &row, &why))
        return;
    if (revocation_new(q->hub->renewals, row.id, &d->revocation, &why))
        log_fault(LOG_WARN, "tokens of a deleted connection are not given back", &why);
}

enum err connections_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "force", "purge", "default", NULL };
    struct deletion d = { .q = q, .wanted_heir = web_query(q, "default") };
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = web_flag(q, "force", &d.force, why)) ||
        (e = web_flag(q, "purge", &d.purge, why)) || (e = web_step_up(q, why)))
        return e;
    prepare_revocation(&d);
    if ((e = web_write(q, apply_delete, &d, why))) {
        revocation_free(d.revocation);
        if (e == ERR_IN_USE || e == ERR_DEFAULT_NEEDED)
            tell_why_not(&d, r);
        return e;
    }
    switchboard_forget_connection(q->hub->switchboard, d.row.id);
    revocation_go(d.revocation);
    if (d.force)
        write_report(&d, r);
    else
        r->status = 204;
    return ERR_NONE;
}

/* ---- back ---- */

struct restoring {
    struct web_request *q;
    struct connection_row row;
    struct str key;
};

static enum err apply_restore(struct db *db, void *context, struct fault *why)
{
    struct restoring *c = context;
    struct web_request *q = c->q;
    enum err e;
    if ((e = trash_get(db, q->arena, q->params[0], &c->row, why)) ||
        (e = rights_need_on_connection(db, q->arena, q->caller, c->row.id, c->row.folder, RIGHT_DELETE, why)) ||
        (e = web_if_match(q, c->row.revision, why)) || (e = policy_check(q, db, &c->row, POLICY_CREATE, why)) ||
        (e = policy_check_authorize(q, db, &c->row, why)))
        return e;
    q->audit.before = connection_audit(q, &c->row);
    e = trash_restore(db, q->arena, &c->row, c->key, why);
    if (e == ERR_CONFLICT)
        fault_at(why, "/key");
    if (!e)
        q->audit.after = connection_audit(q, &c->row);
    return e;
}

enum err connections_restore(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_query[] = { NULL }, *const members[] = { "key", NULL };
    struct restoring c = { .q = q };
    enum err e;
    if ((e = web_only_query(q, no_query, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "key", false, 256, &c.key, why)) || (c.key.p && (e = connection_key_allowed(c.key, why))) ||
        (e = web_write(q, apply_restore, &c, why)))
        return e;
    switchboard_forget_connection(q->hub->switchboard, c.row.id);
    return connection_reply(q, r, c.row.id, why);
}
