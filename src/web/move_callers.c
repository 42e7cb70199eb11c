#include "web/move_callers.h"

#include "access/rights.h"
#include "auth/jwt_caller.h"

static bool concerns(const struct identity_rule *r, struct str connection)
{
    const struct narrow_list *lists = r->narrow.lists;
    bool named = !lists[NARROW_CONNECTION].set || narrow_list_holds(&lists[NARROW_CONNECTION], connection);
    return named && (lists[NARROW_CONNECTION].set || lists[NARROW_FOLDER].set);
}

/* Of users as such it is asked what their limits leave to one who may do everything. *usable false: the rule takes nobody now. */
static enum err who(struct db *db, struct arena *a, const struct identity_provider *p, size_t rule, struct caller *out,
                    bool *usable, struct fault *why)
{
    struct fault over;
    *usable = true;
    if (rule == JWT_CALLER_NO_RULE) {
        const struct identity_rule *r = &p->callers.users_limits;
        *usable = p->callers.users && (!r->expires || r->expires > clock_wall());
        *out = (struct caller){ .principal = STR(""), .role = ROLE_OWNER, .narrowed = r->role, .narrow = r->narrow };
        return ERR_NONE;
    }
    enum err e = jwt_caller_beginner(db, a, p->callers.rules[rule].principal, jwt_caller_rule(a, p, rule), out, &over);
    *usable = !e;
    if (e && e != ERR_AUTHORIZATION_OVER && why)
        *why = over;
    return e == ERR_AUTHORIZATION_OVER ? ERR_NONE : e;
}

static enum err may_use(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct str folder, bool *out,
                        struct fault *why)
{
    struct rights r;
    enum err e = rights_on_connection(db, a, c, connection, folder, &r, why);
    *out = !e && r.mask & RIGHT_BIT(RIGHT_USE);
    return e;
}

static enum err look_at(struct db *db, struct arena *a, const struct identity_provider *p, size_t rule,
                        const struct connection_row *row, struct str to, struct move_callers *out, struct fault *why)
{
    const struct identity_rule *r = rule == JWT_CALLER_NO_RULE ? &p->callers.users_limits : &p->callers.rules[rule];
    struct caller c;
    bool usable, before, after;
    enum err e;
    if (out->n == MOVE_CALLERS_MOST || !concerns(r, row->id))
        return ERR_NONE;
    if ((e = who(db, a, p, rule, &c, &usable, why)) || !usable || (e = may_use(db, a, &c, row->id, row->folder, &before, why)) ||
        (e = may_use(db, a, &c, row->id, to, &after, why)) || before == after)
        return e;
    bool users = rule == JWT_CALLER_NO_RULE;
    out->rows[out->n++] =
        (struct move_caller){ p->id, p->key, rule, users ? STR_NONE : c.principal, users ? STR_NONE : c.name, after };
    return ERR_NONE;
}

enum err move_callers_find(struct db *db, struct arena *a, const struct connection_row *row, struct str to,
                           struct move_callers *out, struct fault *why)
{
    struct identity_provider *rows;
    size_t n;
    enum err e = identity_provider_list(db, a, STR(""), STR(""), IDENTITY_PROVIDERS_MOST, &rows, &n, why);
    *out = (struct move_callers){ .rows = arena_array(a, MOVE_CALLERS_MOST, sizeof *out->rows) };
    for (size_t i = 0; !e && i < n; i++) {
        if (rows[i].disabled || !rows[i].calls)
            continue;
        e = look_at(db, a, &rows[i], JWT_CALLER_NO_RULE, row, to, out, why);
        for (size_t k = 0; !e && k < rows[i].callers.rule_count; k++)
            e = look_at(db, a, &rows[i], k, row, to, out, why);
    }
    return e;
}

static void write_side(struct json_out *o, const char *name, const struct move_callers *m, bool gains)
{
    json_key(o, name);
    json_open(o, '[');
    for (size_t i = 0; i < m->n; i++) {
        const struct move_caller *c = &m->rows[i];
        if (c->gains != gains)
            continue;
        json_open(o, '{');
        json_member_str(o, "identity_provider", c->provider);
        json_member_str(o, "key", c->key);
        json_key(o, "rule");
        if (c->rule == JWT_CALLER_NO_RULE)
            json_put_null(o);
        else
            json_put_i64(o, (int64_t)c->rule);
        json_member_str(o, "principal", c->principal);
        json_member_str(o, "name", c->name);
        json_close(o, '}');
    }
    json_close(o, ']');
}

void move_callers_write(struct json_out *o, const struct move_callers *m)
{
    json_open(o, '{');
    write_side(o, "gains", m, true);
    write_side(o, "loses", m, false);
    json_close(o, '}');
}
