/* web/users.c - people who sign in. An owner is made and changed by owners only. */
#include "access/rights.h"
#include "access/user.h"
#include "vault/connection.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/invitations.h"
#include "web/page.h"

static enum err reply_user(struct web_request *q, struct reply *r, const struct user_row *u, const struct people_link *link,
                           struct fault *why)
{
    reply_etag(r, q, u->revision);
    struct json_out o = json_out(&r->body);
    return people_write_user(q, &o, u, link, why);
}

/* Absent: *out is left as it is. Nobody gives a role above the own. */
static enum err read_role(struct web_request *q, enum role *out, struct fault *why)
{
    struct str text;
    enum err e = body_text(body_of(q), "role", false, 32, &text, why);
    if (e || !text.p)
        return e;
    if (!role_parse(text, out))
        return body_fault(why, ERR_FIELD_INVALID, "role", "owner, admin, editor, user, viewer, auditor, custodian");
    return rights_may_give(q->caller, *out, why);
}

enum err users_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct user_row *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = user_list(q->db, q->arena, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        if ((e = people_write_user(q, &o, &rows[i], NULL, why)))
            return e;
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

/* What the audit log keeps of a user. */
static struct str told(struct web_request *q, const struct user_row *row)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    people_write_members(&o, row);
    json_close(&o, '}');
    q->audit.object = arena_str(q->arena, row->id);
    q->audit.name = arena_str(q->arena, row->email);
    return change_text(q, &text);
}

/* The row as it was written, whatever the database made of it; and that the password is another one. */
static enum err tell_after(struct web_request *q, struct db *db, struct str id, bool password, struct fault *why)
{
    struct user_row row;
    enum err e = user_get(db, q->arena, id, &row, why);
    if (e)
        return e;
    struct str text = told(q, &row);
    q->audit.after = password ? str_fmt(q->arena, "%.*s,\"password_set\":true}", (int)text.n - 1, text.p) : text;
    return ERR_NONE;
}

struct user_change {
    struct web_request *q;
    struct user_row row;
    struct str password; /* hash, or none */
    bool invite, unlock;
    struct people_link link;
};

static enum err insert_user(struct db *db, void *context, struct fault *why)
{
    struct user_change *c = context;
    enum err e = people_create(db, c->q->arena, &c->row, c->password, why);
    if (!e && c->invite)
        e = invitation_for(db, c->q, c->row.id, &c->link, why);
    return e ? e : tell_after(c->q, db, c->row.id, c->password.p, why);
}

static enum err create_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "email", "password", "role", "language", "invite", NULL };
    struct user_change c = { .q = q, .row.role = ROLE_USER };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = body_text(body_of(q), "email", true, 254, &c.row.email, why)) ||
        (e = read_role(q, &c.row.role, why)) || (e = people_language(q, &c.row.language, why)) ||
        (e = people_password(q, "password", false, c.row.email, &c.password, why)) ||
        (e = body_bool(body_of(q), "invite", &c.invite, why)))
        return e;
    /* Likewise an account whose password is known. */
    if (c.password.p && (e = web_step_up(q, why)))
        return e;
    if (c.invite && c.password.p)
        return body_fault(why, ERR_FIELD_INVALID, "invite", "the invited person sets the password; leave it out");
    if ((e = web_write(q, insert_user, &c, why)) ||
        (e = user_get(q->db, q->arena, c.row.id, &c.row, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/users/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c.row.id)));
    return reply_user(q, r, &c.row, &c.link, why);
}

enum err users_create(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = create_checked(q, r, why);
    body_wipe(q);
    return e;
}

static bool oneself(const struct web_request *q) { return str_eq(q->params[0], q->caller->principal); }

/* Another's account is not there for those who do not administer (requirement 16.2). */
static enum err find_user(struct web_request *q, struct db *db, struct user_row *out, struct fault *why)
{
    if (!oneself(q) && !caller_may(q->caller, RIGHT_PEOPLE))
        return fault(why, ERR_NOT_FOUND, STR("user"), "another's account");
    return user_get(db, q->arena, q->params[0], out, why);
}

enum err users_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct user_row row;
    enum err e = people_by_email(q, &q->params[0], why);
    if (!e)
        e = find_user(q, q->db, &row, why);
    return e ? e : reply_user(q, r, &row, NULL, why);
}

/* Who sets the own password shows the old one: a session left open does not give the account away. */
static enum err check_current(struct web_request *q, const struct user_row *row, struct fault *why)
{
    struct sign_in in = { .email = row->email };
    if (!oneself(q) || !json_get(body_of(q), "password"))
        return ERR_NONE;
    enum err e = people_shown(q, "current_password", &in.password, why);
    if (e)
        return e;
    if (!in.password.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "current_password", "");
    return people_prove(q, sign_in_again, &in, why);
}

/* What another may, and the way into another's account, is not for a session that was left open. */
static enum err check_anew(const struct web_request *q, struct fault *why)
{
    const struct json *body = body_of(q);
    bool gives = json_get(body, "password") || json_get(body, "role");
    return gives && !oneself(q) ? web_step_up(q, why) : ERR_NONE;
}

/* {"locked": false} lets in again who guessed too often; to lock somebody out there is "disabled". */
static enum err read_unlock(struct web_request *q, bool *unlock, struct fault *why)
{
    bool locked = true;
    enum err e = body_bool(body_of(q), "locked", &locked, why);
    *unlock = !locked;
    if (!e && json_get(body_of(q), "locked") && locked)
        return body_fault(why, ERR_FIELD_INVALID, "locked", "only false; to keep somebody out, set disabled");
    return e;
}

static enum err apply_user(struct db *db, void *context, struct fault *why)
{
    struct user_change *c = context;
    const struct json *body = body_of(c->q);
    enum role before;
    bool was_disabled;
    enum err e;
    if ((e = user_get(db, c->q->arena, c->q->params[0], &c->row, why)) || (e = people_may_change(c->q, &c->row, why)) ||
        (e = web_if_match(c->q, c->row.revision, why)))
        return e;
    c->q->audit.before = told(c->q, &c->row);
    before = c->row.role;
    was_disabled = c->row.disabled;
    if ((e = read_role(c->q, &c->row.role, why)) || (e = body_bool(body, "disabled", &c->row.disabled, why)) ||
        (json_get(body, "language") && (e = people_language(c->q, &c->row.language, why))))
        return e;
    bool more_than_own = c->row.role != before || c->row.disabled != was_disabled || c->unlock;
    if (more_than_own && !caller_may(c->q->caller, RIGHT_PEOPLE))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_PEOPLE)), "role or state changed by a plain user");
    e = user_update(db, &c->row, c->password, why);
    if (!e && c->unlock)
        e = guard_unlock(db, c->row.email, why);
    return e ? e : tell_after(c->q, db, c->row.id, c->password.p, why);
}

/* A new password ended every session of its user; the one that set it goes on under a new id (requirement 15.3). */
static enum err go_on(struct web_request *q, struct reply *r, struct fault *why)
{
    if (!q->caller->session.n)
        return ERR_NONE;
    enum err e = people_open_session(q, r, q->caller->principal, q->caller->how, why);
    buf_clear(&r->body);
    return e;
}

static enum err patch_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "role", "language", "disabled", "password", "current_password", "locked", NULL };
    struct user_change c = { .q = q };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = people_by_email(q, &q->params[0], why)) ||
        (e = find_user(q, q->db, &c.row, why)) || (e = people_may_change(q, &c.row, why)) || (e = check_current(q, &c.row, why)) ||
        (e = check_anew(q, why)) ||
        (e = people_password(q, "password", false, c.row.email, &c.password, why)) || (e = read_unlock(q, &c.unlock, why)) ||
        (e = web_write(q, apply_user, &c, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    if (c.password.p && oneself(q) && (e = go_on(q, r, why)))
        return e;
    return reply_user(q, r, &c.row, NULL, why);
}

enum err users_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = patch_checked(q, r, why);
    body_wipe(q);
    return e;
}

static enum err remove_user(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    struct user_row row;
    enum err e;
    if ((e = user_get(db, q->arena, q->params[0], &row, why)) || (e = people_may_change(q, &row, why)) ||
        (e = web_if_match(q, row.revision, why)))
        return e;
    q->audit.before = told(q, &row);
    struct second_factor_keeper keeper = people_keeper(q->hub);
    if ((e = second_factor_remove(db, &keeper, row.id, why)) || (e = connection_disown(db, row.id, why)))
        return e;
    return user_delete(db, row.id, why);
}

enum err users_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e;
    if ((e = web_step_up(q, why)) || (e = people_by_email(q, &q->params[0], why)) || (e = web_write(q, remove_user, q, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    r->status = 204;
    return ERR_NONE;
}
