/* web/tokens.c - what callers present. One's own; an administrator's door shows everyone's.
 *
 * A token never gives more than what it was made with: not a higher role, not other connections, not a longer life. */
#include "access/token.h"

#include "access/folder.h"
#include "access/held.h"
#include "access/rights.h"
#include "access/user.h"
#include "crypto/hash.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_view.h"
#include "web/grants.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/principal.h"

#define NAME_MAX_BYTES 128

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
    grants_write_list(o, "connections", &t->narrow.lists[NARROW_CONNECTION]);
    json_key(o, "grants");
    grants_write(o, &t->narrow);
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

static uint64_t hash_list(uint64_t h, const struct narrow_list *l)
{
    h = (h ^ l->set) * 0x100000001b3u;
    for (size_t i = 0; i < l->count; i++)
        h = hash_more(h, l->at[i]);
    return (h ^ l->count) * 0x100000001b3u;
}

static int64_t revision_of(const struct token_row *t)
{
    uint64_t h = hash_more(0xcbf29ce484222325u, t->name);
    h = (h ^ (uint64_t)t->expires) * 0x100000001b3u;
    h = (h ^ (uint64_t)t->revoked) * 0x100000001b3u;
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        h = hash_list(h, &t->narrow.lists[k]);
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

static enum err find_granted(void *context, enum narrow_kind k, struct str typed, struct str *id, struct fault *why)
{
    struct web_request *q = context;
    struct connection_row row;
    struct folder_row folder;
    enum err e = k == NARROW_CONNECTION ? connection_seen(q, q->db, typed, &row, why)
                                        : folder_resolve(q->db, q->arena, q->caller, typed, &folder, why);
    *id = e ? STR_NONE : k == NARROW_CONNECTION ? row.id : folder.id;
    return e;
}

struct grants_finder grants_finder_of(struct web_request *q) { return (struct grants_finder){ q, find_granted }; }

static enum err more_than_own(enum narrow_kind which, struct fault *why)
{
    fault(why, ERR_DENIED, STR("more than your own token's grants"), "%s", narrow_kind_member(which));
    return fault_at(why, "/grants/%s", narrow_kind_member(which));
}

/* Whoever is narrowed gives no more than that. Connections and folders were looked up by its own eyes, so that those are within
 * what it has. */
static enum err check_within(const struct web_request *q, const struct narrow *n, struct fault *why)
{
    enum narrow_kind which;
    struct narrow outer = q->caller->narrow, inner = *n;
    for (enum narrow_kind k = NARROW_CONNECTION; k <= NARROW_FOLDER; k++) {
        if (outer.lists[k].set && !inner.lists[k].set)
            return more_than_own(k, why);
        outer.lists[k].set = false;
    }
    return narrow_within(&inner, &outer, &which) ? ERR_NONE : more_than_own(which, why);
}

/* What a narrowed caller changes, it could have made as it is. A connection that is gone is one that it does not see. */
static enum err could_have_made(struct web_request *q, const struct narrow *n, struct fault *why)
{
    struct grants_finder f = grants_finder_of(q);
    struct fault unseen;
    struct str id;
    if (!caller_narrowed(q->caller))
        return ERR_NONE;
    for (enum narrow_kind k = NARROW_CONNECTION; k <= NARROW_FOLDER; k++)
        for (size_t i = 0; i < n->lists[k].count; i++)
            if (f.find(f.context, k, n->lists[k].at[i], &id, &unseen))
                return more_than_own(k, why);
    return check_within(q, n, why);
}

/* *n: what holds for kinds that the body does not name. */
static enum err read_grants(struct web_request *q, struct narrow *n, struct fault *why)
{
    const struct json *body = body_of(q), *grants, *list = json_get(body, "connections");
    struct grants_finder f = grants_finder_of(q);
    enum err e = body_object(body, "grants", &grants, why);
    if (!e && list && list->type != JSON_NULL)
        e = grants_read_list(q->arena, NARROW_CONNECTION, list, "", &f, &n->lists[NARROW_CONNECTION], why);
    if (!e && grants)
        e = grants_read(q->arena, grants, "/grants", &f, n, why);
    return e ? e : check_within(q, n, why);
}

/* A new token begins with what its maker's own token has. */
static enum err read_new_grants(struct web_request *q, struct token_new *t, struct fault *why)
{
    struct narrow *n = arena_zero(q->arena, sizeof *n);
    *n = q->caller->narrow;
    t->narrow = n;
    return read_grants(q, n, why);
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
    unsigned held;
    if ((e = held_in_folders(db, q->arena, account.id, &held, why)))
        return e;
    if (!held_within(held | ROLE_BIT(account.role), order->t.role))
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
        ((e = web_step_up(q, why)) || (e = rights_may_hold(db, q->arena, q->caller, row.role, why)) ||
         (e = could_have_made(q, &row.narrow, why))))
        return e;
    if (changes_end && (e = read_expiry(q, row.expires, &expires, why)))
        return e;
    struct narrow n = row.narrow;
    if ((e = token_update(db, row.id, name.p ? name : row.name, expires, why)) ||
        (json_get(body, "grants") &&
         ((e = read_grants(q, &n, why)) || (e = token_set_grants(db, row.id, &n, why)))))
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
