/* web/departures.c - somebody leaves (FLD-07). */
#include "access/departure.h"

#include "access/rights.h"
#include "web/access_view.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/people.h"

#define NAME_MAX_BYTES 320

struct leaving {
    struct web_request *q;
    struct principal_row who, to;
    struct str heir;              /* as asked */
    bool preview;
    struct departure *plan;
};

static void write_plan(struct json_out *o, const struct leaving *l)
{
    const struct departure *d = l->plan;
    json_open(o, '{');
    json_key(o, "user");
    access_write_principal(o, l->who.id, l->who.name, l->who.kind);
    json_key(o, "to");
    access_write_principal(o, l->to.id, l->to.name, l->to.kind);
    json_key(o, "workspace");
    json_open(o, '{');
    json_member_str(o, "folder", d->workspace_path.p ? d->workspace : STR_NONE);
    json_member_str(o, "path", d->workspace_path);
    json_member_i64(o, "connections", d->workspace_connections);
    json_close(o, '}');
    json_member_i64(o, "owned_connections", d->owned_connections);
    json_member_i64(o, "tokens_revoked", d->tokens);
    json_member_i64(o, "memberships_ended", d->memberships);
    json_key(o, "personal_grants");
    json_open(o, '[');
    for (size_t i = 0; i < d->grant_count; i++) {
        json_open(o, '{');
        json_member_str(o, "id", d->grants[i].id);
        json_member_str(o, "key", d->grants[i].key);
        json_member_str(o, "name", d->grants[i].name);
        json_member_str(o, "auth_type", d->grants[i].auth_type);
        json_close(o, '}');
    }
    json_close(o, ']');
    json_close(o, '}');
}

static enum err leave(struct db *db, void *context, struct fault *why)
{
    struct leaving *l = context;
    struct web_request *q = l->q;
    struct user_row row;
    enum err e;
    if ((e = principal_find(db, q->arena, q->params[0], &l->who, why)))
        return fault(why, ERR_NOT_FOUND, STR("user"), "nobody to leave");
    if (!str_is(l->who.kind, "user"))
        return fault(why, ERR_NOT_FOUND, STR("user"), "not a user");
    if (str_eq(l->who.id, q->caller->principal))
        return fault(why, ERR_LIMIT, STR("one does not see oneself off: another administrator does"), "own departure");
    if ((e = rights_may_give(q->caller, l->who.role, why)) || (e = user_get(db, q->arena, l->who.id, &row, why)) ||
        (e = web_if_match(q, row.revision, why)))
        return e;
    if ((e = principal_find(db, q->arena, l->heir, &l->to, why)))
        return fault_at(why, "/to");
    if ((e = departure_carry_out(db, q->arena, &l->who, &l->to, l->plan, why)))
        return e;
    struct second_factor_keeper keeper = people_keeper(q->hub);
    if ((e = second_factor_remove(db, &keeper, l->who.id, why)))
        return e;
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    write_plan(&o, l);
    q->audit.object = arena_str(q->arena, l->who.id);
    q->audit.name = arena_str(q->arena, l->who.name);
    q->audit.after = change_text(q, &text);
    return ERR_NONE;
}

enum err users_departure(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "to", "preview", NULL };
    struct leaving l = { .q = q, .plan = arena_zero(q->arena, sizeof *l.plan) };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = body_text(body_of(q), "to", true, NAME_MAX_BYTES, &l.heir, why)) ||
        (e = body_bool(body_of(q), "preview", &l.preview, why)) || (!l.preview && (e = web_step_up(q, why))) ||
        (e = access_write(q, l.preview, leave, &l, why)))
        return e;
    if (!l.preview) {
        switchboard_forget_tokens(q->hub->switchboard);
        switchboard_forget_connections(q->hub->switchboard);
    }
    struct json_out o = json_out(&r->body);
    write_plan(&o, &l);
    return ERR_NONE;
}
