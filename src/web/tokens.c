/* web/tokens.c - what callers present. One's own; an administrator's door shows everyone's.
 *
 * A token never gives more than what it was made with: not a higher role, not other connections, not a longer life. */
#include "access/token.h"

#include "access/folder.h"
#include "access/rights.h"
#include "access/user.h"
#include "crypto/hash.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/principal.h"

#define GRANTS_MAX 200
#define NAME_MAX_BYTES 128

static void write_list(struct json_out *o, const char *name, bool set, const struct str *at, size_t n)
{
    if (!set) {
        json_member_null(o, name);
        return;
    }
    json_key(o, name);
    json_open(o, '[');
    for (size_t i = 0; i < n; i++)
        json_put_str(o, at[i]);
    json_close(o, ']');
}

static void write_members(struct json_out *o, const struct token_row *t)
{
    json_member_str(o, "id", t->id);
    json_member_str(o, "name", t->name);
    json_key(o, "principal");
    json_open(o, '{');
    json_member_str(o, "id", t->principal);
    json_member_str(o, "name", t->principal_name);
    json_close(o, '}');
    json_member_str(o, "role", str_of(role_name(t->role)));
    json_member_str(o, "last4", t->last4);
    write_list(o, "connections", t->limited, t->connections, t->connection_count);
    json_key(o, "grants");
    json_open(o, '{');
    write_list(o, narrow_kind_member(NARROW_CONNECTION), t->limited, t->connections, t->connection_count);
    for (enum narrow_kind k = NARROW_FOLDER; k < NARROW_KINDS; k++)
        write_list(o, narrow_kind_member(k), t->narrow.lists[k].set, t->narrow.lists[k].at, t->narrow.lists[k].count);
    json_close(o, '}');
    json_member_time(o, "created_at", t->created);
    json_member_time(o, "expires_at", t->expires);
    json_member_time(o, "last_used_at", t->last_used);
    json_member_time(o, "revoked_at", t->revoked);
}

/* What may change of a token, as a number (FNV-1a): its row counts no revisions. */
static uint64_t hash_more(uint64_t h, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return (h ^ s.n) * 0x100000001b3u;
}

static uint64_t hash_list(uint64_t h, bool set, const struct str *at, size_t n)
{
    h = (h ^ set) * 0x100000001b3u;
    for (size_t i = 0; i < n; i++)
        h = hash_more(h, at[i]);
    return (h ^ n) * 0x100000001b3u;
}

static int64_t revision_of(const struct token_row *t)
{
    uint64_t h = hash_more(0xcbf29ce484222325u, t->name);
    h = (h ^ (uint64_t)t->expires) * 0x100000001b3u;
    h = (h ^ (uint64_t)t->revoked) * 0x100000001b3u;
    h = hash_list(h, t->limited, t->connections, t->connection_count);
    for (enum narrow_kind k = NARROW_FOLDER; k < NARROW_KINDS; k++)
        h = hash_list(h, t->narrow.lists[k].set, t->narrow.lists[k].at, t->narrow.lists[k].count);
    return (int64_t)(h >> 1);
}

/* What the audit log keeps of a token; its text is not among it. */
static struct str told(struct web_request *q, const struct token_row *t)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    write_members(&o, t);
    json_close(&o, '}');
    q->audit.object = arena_str(q->arena, t->id);
    q->audit.name = arena_str(q->arena, t->name);
    return change_text(q, &text);
}

static enum err tell_after(struct web_request *q, struct db *db, struct str id, struct fault *why)
{
    struct token_row row;
    enum err e = token_get(db, q->arena, id, &row, why);
    if (!e)
        q->audit.after = told(q, &row);
    return e;
}

static enum err reply_token(struct web_request *q, struct reply *r, const struct token_row *t, struct str secret)
{
    reply_etag(r, q, revision_of(t));
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    write_members(&o, t);
    if (secret.n)
        json_member_str(&o, "secret", secret);
    json_close(&o, '}');
    return ERR_NONE;
}

enum err tokens_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", "principal", NULL };
    struct page page;
    struct token_row *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)))
        return e;
    /* Without ?principal= an administrator sees all. */
    struct str principal = web_query(q, "principal");
    if (!caller_may(q->caller, RIGHT_PEOPLE))
        principal = q->caller->principal;
    if ((e = token_list(q->db, q->arena, principal, page.after.p ? page.after : STR(""), page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++) {
        json_open(&o, '{');
        write_members(&o, &rows[i]);
        json_close(&o, '}');
    }
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

/* ---- creating ---- */

struct token_order {
    struct web_request *q;
    struct token_new t;
    struct str account; /* name or id of a service account; p == NULL: for the caller */
    struct str id;
    char text[TOKEN_TEXT];
};

static enum err read_role(const struct web_request *q, enum role *out, struct fault *why)
{
    struct str text;
    enum err e = body_text(body_of(q), "role", false, 32, &text, why);
    if (e)
        return e;
    /* A plain user's, unless asked for more; theirs who have less than that. */
    *out = role_within(ROLE_USER, caller_role(q->caller)) ? ROLE_USER : caller_role(q->caller);
    if (text.p && !role_parse(text, out))
        return body_fault(why, ERR_FIELD_INVALID, "role", "owner, admin, editor, user, viewer, auditor, custodian");
    return rights_may_hold(q->db, q->arena, q->caller, *out, why);
}

/* ---- grants ---- */

struct grants {
    bool limited;
    struct str *connections;
    size_t connection_count;
    struct narrow narrow;
};

static const char *const grant_members[] = { "connections", "folders", "actions", "methods", "risks", "addresses", "paths", NULL };

static enum err one_grant(struct web_request *q, enum narrow_kind k, struct str typed, struct str *out, struct fault *why)
{
    struct connection_row row;
    struct folder_row folder;
    enum err e;
    switch (k) {
    case NARROW_CONNECTION:
        e = connection_seen(q, q->db, typed, &row, why);
        *out = e ? STR_NONE : row.id;
        return e;
    case NARROW_FOLDER:
        e = folder_resolve(q->db, q->arena, q->caller, typed, &folder, why);
        *out = e ? STR_NONE : folder.id;
        return e;
    default:
        return narrow_entry(q->arena, k, typed, out, why);
    }
}

/* `prefix`: "" or "/grants". Of connections none may be named: the token then uses none. */
static enum err read_list(struct web_request *q, enum narrow_kind k, const struct json *list, const char *prefix,
                          struct narrow_list *out, struct fault *why)
{
    bool none_ok = k == NARROW_CONNECTION;
    if (list->type != JSON_ARRAY || list->count > GRANTS_MAX || (!list->count && !none_ok)) {
        fault(why, ERR_FIELD_INVALID, STR("a list of at most 200 entries, or null"), "grants");
        return fault_at(why, "%s/%s", prefix, narrow_kind_member(k));
    }
    *out = (struct narrow_list){ true, arena_array(q->arena, list->count + 1, sizeof *out->at), 0 };
    json_each (v, list) {
        enum err e = v->type == JSON_STRING ? one_grant(q, k, v->text, &out->at[out->count], why)
                                            : fault(why, ERR_FIELD_INVALID, STR("texts are expected"), "grants");
        if (e) {
            fault_at(why, "%s/%s/%zu", prefix, narrow_kind_member(k), out->count);
            return e;
        }
        out->count++;
    }
    return ERR_NONE;
}

static void set_connections(struct grants *g, const struct narrow_list *l)
{
    g->limited = l->set;
    g->connections = l->at;
    g->connection_count = l->count;
}

/* Whoever is narrowed gives no more than that. */
static enum err check_within(const struct web_request *q, const struct grants *g, struct fault *why)
{
    enum narrow_kind which = NARROW_CONNECTION;
    const struct caller *c = q->caller;
    if (c->limited && !g->limited)
        ;
    else if (c->narrow.lists[NARROW_FOLDER].set && !g->narrow.lists[NARROW_FOLDER].set)
        which = NARROW_FOLDER;
    else if (narrow_within(&g->narrow, &c->narrow, &which))
        return ERR_NONE;
    fault(why, ERR_DENIED, STR("more than your own token's grants"), "%s", narrow_kind_member(which));
    return fault_at(why, "/grants/%s", narrow_kind_member(which));
}

/* *g: what holds for kinds that the body does not name. */
static enum err read_grants(struct web_request *q, struct grants *g, struct fault *why)
{
    const struct json *body = body_of(q), *grants, *list = json_get(body, "connections");
    struct narrow_list l;
    enum err e = body_object(body, "grants", &grants, why);
    if (e || (grants && (e = json_only(grants, grant_members, "/grants", why))))
        return e;
    if (list && list->type != JSON_NULL) {
        if ((e = read_list(q, NARROW_CONNECTION, list, "", &l, why)))
            return e;
        set_connections(g, &l);
    }
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++) {
        list = json_get(grants, narrow_kind_member(k));
        if (!list)
            continue;
        l = (struct narrow_list){ 0 };
        if (list->type != JSON_NULL && (e = read_list(q, k, list, "/grants", &l, why)))
            return e;
        if (k == NARROW_CONNECTION)
            set_connections(g, &l);
        else
            g->narrow.lists[k] = l;
    }
    return check_within(q, g, why);
}

/* A new token begins with what its maker's own token has. */
static enum err read_new_grants(struct web_request *q, struct token_new *t, struct fault *why)
{
    const struct caller *c = q->caller;
    struct grants *g = arena_zero(q->arena, sizeof *g);
    *g = (struct grants){ c->limited, c->connections, c->connection_count, c->narrow };
    enum err e = read_grants(q, g, why);
    t->limited = g->limited;
    t->connections = g->connections;
    t->connection_count = g->connection_count;
    t->narrow = &g->narrow;
    return e;
}

static enum err outlives(struct web_request *q, wall_ms own, struct fault *why)
{
    char at[CLOCK_TEXT];
    struct str said = str_fmt(q->arena, "later than the end of your own token, %s", clock_format(own, at));
    return body_fault(why, ERR_FIELD_INVALID, "expires_at", arena_cstr(q->arena, said));
}

/* expires_in or expires_at; neither: `preset`. 0: never. */
static enum err read_expiry(struct web_request *q, wall_ms preset, wall_ms *out, struct fault *why)
{
    const struct json *body = body_of(q);
    struct str in, at;
    int64_t ms;
    enum err e;
    *out = preset;
    if ((e = body_text(body, "expires_in", false, 32, &in, why)) || (e = body_text(body, "expires_at", false, 32, &at, why)))
        return e;
    if (in.p && at.p)
        return body_fault(why, ERR_FIELD_INVALID, "expires_at", "give expires_in or expires_at, not both");
    if (in.p) {
        if (!duration_parse(in, &ms) || ms < 1)
            return body_fault(why, ERR_FIELD_INVALID, "expires_in", "a duration such as 12h or 30d");
        *out = clock_wall() + ms;
    } else if (at.p) {
        if (!clock_parse(at, out) || *out <= clock_wall())
            return body_fault(why, ERR_FIELD_INVALID, "expires_at", "a time to come, as 2027-01-31T00:00:00Z");
    } else if (json_is(json_get(body, "expires_at"), JSON_NULL)) {
        *out = 0;
    }
    /* A token does not make one that outlives it; a session, which ends today, may. */
    wall_ms own = q->caller->token.n ? q->caller->expires : 0;
    if (own && !*out && !in.p && !at.p)
        *out = own;
    if (own && (!*out || *out > own))
        return outlives(q, own, why);
    return ERR_NONE;
}

static enum err find_account(struct token_order *order, struct db *db, struct fault *why)
{
    struct web_request *q = order->q;
    struct service_account account;
    enum err e = service_account_get(db, q->arena, order->account, &account, why);
    if (e == ERR_NOT_FOUND && !str_starts(order->account, STR("svc_")))
        return service_account_find_or_create(db, q->arena, order->account, order->t.role, &order->t.principal, why);
    if (e)
        return e;
    if (!role_within(order->t.role, account.role))
        return fault(why, ERR_DENIED, STR("role above the service account's"), "token of role %d", (int)order->t.role);
    order->t.principal = account.id;
    return ERR_NONE;
}

static enum err insert_token(struct db *db, void *context, struct fault *why)
{
    struct token_order *order = context;
    enum err e = order->account.p ? find_account(order, db, why) : ERR_NONE;
    if (e || (e = token_create(db, order->q->arena, &order->t, order->text, &order->id, why)))
        return e;
    return tell_after(order->q, db, order->id, why);
}

enum err tokens_create(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name",       "role",       "connections",     "grants",
                                           "expires_in", "expires_at", "service_account", NULL };
    struct token_order order = { .q = q, .t.principal = q->caller->principal };
    struct token_row row;
    enum err e;
    /* A token is not asked again who it is: one made by a session that was left open would open what that session does not. */
    if ((e = web_step_up(q, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "name", true, NAME_MAX_BYTES, &order.t.name, why)) || (e = read_role(q, &order.t.role, why)) ||
        (e = read_new_grants(q, &order.t, why)) || (e = read_expiry(q, 0, &order.t.expires, why)) ||
        (e = body_text(body_of(q), "service_account", false, NAME_MAX_BYTES, &order.account, why)))
        return e;
    if (order.account.p && !caller_may(q->caller, RIGHT_PEOPLE))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_PEOPLE)), "token for a service account");
    if (order.account.p && (!order.account.n || str_starts(order.account, STR("usr_"))))
        return body_fault(why, ERR_FIELD_INVALID, "service_account", "its id or name");
    if ((e = web_write(q, insert_token, &order, why)) || (e = token_get(q->db, q->arena, order.id, &row, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/tokens/%.*s", STR_ARG(q->hub->public_url), STR_ARG(row.id)));
    e = reply_token(q, r, &row, str_of(order.text));
    secret_wipe(order.text, sizeof order.text);
    return e;
}

/* ---- one token ---- */

static enum err find_token(struct web_request *q, struct db *db, struct token_row *out, struct fault *why)
{
    enum err e = token_get(db, q->arena, q->params[0], out, why);
    if (!e && !str_eq(out->principal, q->caller->principal) && !caller_may(q->caller, RIGHT_PEOPLE))
        return fault(why, ERR_NOT_FOUND, STR("token"), "another's token");
    return e;
}

enum err tokens_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct token_row row;
    enum err e = find_token(q, q->db, &row, why);
    return e ? e : reply_token(q, r, &row, STR_NONE);
}

static enum err apply_token(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    const struct json *body = body_of(q);
    struct token_row row;
    struct str name;
    wall_ms expires;
    enum err e;
    if ((e = find_token(q, db, &row, why)) || (e = web_if_match(q, revision_of(&row), why)) ||
        (e = body_text(body, "name", json_get(body, "name") != NULL, NAME_MAX_BYTES, &name, why)))
        return e;
    q->audit.before = told(q, &row);
    expires = row.expires;
    bool changes_end = json_get(body, "expires_in") || json_get(body, "expires_at");
    /* What a token may, and how long, is given by who could have made it: no token widens a sibling above itself. */
    if ((changes_end || json_get(body, "grants")) &&
        ((e = web_step_up(q, why)) || (e = rights_may_hold(db, q->arena, q->caller, row.role, why))))
        return e;
    if (changes_end && (e = read_expiry(q, row.expires, &expires, why)))
        return e;
    struct grants g = { row.limited, row.connections, row.connection_count, row.narrow };
    if ((e = token_update(db, row.id, name.p ? name : row.name, expires, why)) ||
        (json_get(body, "grants") &&
         ((e = read_grants(q, &g, why)) ||
          (e = token_set_grants(db, row.id, g.limited, g.connections, g.connection_count, &g.narrow, why)))))
        return e;
    return tell_after(q, db, row.id, why);
}

enum err tokens_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name", "grants", "expires_in", "expires_at", NULL };
    struct token_row row;
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = web_write(q, apply_token, q, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    if ((e = token_get(q->db, q->arena, q->params[0], &row, why)))
        return e;
    return reply_token(q, r, &row, STR_NONE);
}

/* Itself, and what it could have made: a small token that leaked does not stop the others of its principal. */
static enum err may_revoke(struct web_request *q, struct db *db, const struct token_row *row, struct fault *why)
{
    const struct caller *c = q->caller;
    if (!c->token.n || str_eq(row->id, c->token) || caller_may(c, RIGHT_PEOPLE))
        return ERR_NONE;
    return caller_narrowed(c) ? rights_may_give(c, c->role, why) : rights_may_hold(db, q->arena, c, row->role, why);
}

static enum err revoke(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    struct token_row row;
    enum err e;
    if ((e = find_token(q, db, &row, why)) || (e = may_revoke(q, db, &row, why)) ||
        (e = web_if_match(q, revision_of(&row), why)))
        return e;
    q->audit.before = told(q, &row);
    if (!row.revoked && (e = token_revoke(db, row.id, why)))
        return e;
    return tell_after(q, db, row.id, why);
}

enum err tokens_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = web_write(q, revoke, q, why);
    if (e)
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}
