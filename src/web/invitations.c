/* web/invitations.c - links by which people set their own password: the first one, or a new one after it was forgotten. */
#include "access/invitation.h"
#include "access/folder.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/invitations.h"
#include "web/principal.h"

static struct str link_of(struct web_request *q, const char code[INVITATION_CODE])
{
    return str_fmt(q->arena, "%.*s/invite#%s", STR_ARG(q->hub->public_url), code);
}

struct inviting {
    struct web_request *q;
    struct user_row row;
    struct people_link link;
};

/* Who never had a password has a week; a link that takes over a living account a day. */
static enum err has_password(struct db *db, struct str user, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM principal WHERE id = $1 AND password IS NOT NULL");
    query_text(q, user);
    *out = query_next(q);
    return query_end(q, why);
}

enum err invitation_for(struct db *db, struct web_request *q, struct str user, struct people_link *link, struct fault *why)
{
    char code[INVITATION_CODE];
    bool known;
    enum err e = has_password(db, user, &known, why);
    if (e || (e = invitation_make(db, user, q->caller->principal, known ? RESET_MS : INVITATION_MS, code, &link->expires, why)))
        return e;
    link->url = link_of(q, code);
    secret_wipe(code, sizeof code);
    return ERR_NONE;
}

static enum err make_link(struct db *db, void *context, struct fault *why)
{
    struct inviting *i = context;
    struct web_request *q = i->q;
    enum err e;
    if ((e = user_get(db, q->arena, q->params[0], &i->row, why)) || (e = people_may_change(q, &i->row, why)) ||
        (e = web_if_match(q, i->row.revision, why)))
        return e;
    q->audit.object = i->row.id;
    q->audit.name = i->row.email;
    if (i->row.disabled)
        return fault(why, ERR_CONFLICT, STR("the user is disabled; enable the account first"), "link for a disabled user");
    return invitation_for(db, q, i->row.id, &i->link, why);
}

/* Makes a link, in place of the one that may be there. */
enum err users_invitation_post(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { NULL };
    struct inviting i = { .q = q };
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = web_step_up(q, why)) ||
        (e = people_by_email(q, &q->params[0], why)) || (e = web_write(q, make_link, &i, why)))
        return e;
    r->status = 201;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "link", i.link.url);
    json_member_time(&o, "expires_at", i.link.expires);
    json_close(&o, '}');
    return ERR_NONE;
}

static enum err revoke(struct db *db, void *context, struct fault *why)
{
    struct inviting *i = context;
    enum err e;
    if ((e = user_get(db, i->q->arena, i->q->params[0], &i->row, why)) || (e = people_may_change(i->q, &i->row, why)) ||
        (e = web_if_match(i->q, i->row.revision, why)))
        return e;
    i->q->audit.object = i->row.id;
    i->q->audit.name = i->row.email;
    return invitation_revoke(db, i->row.id, why);
}

enum err users_invitation_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct inviting i = { .q = q };
    enum err e;
    if ((e = people_by_email(q, &q->params[0], why)) || (e = web_write(q, revoke, &i, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}

/* ---- accepting ---- */

struct accepting {
    struct web_request *q;
    struct str code, hash, language, user;
};

static enum err accept(struct db *db, void *context, struct fault *why)
{
    struct accepting *x = context;
    struct str folder;
    enum err e = invitation_accept(db, x->q->arena, x->code, x->hash, x->language, &x->user, why);
    people_told(x->q, db, x->user);
    return e ? e : folder_ensure_personal(db, x->q->arena, x->user, &folder, why);
}

/* Hashing costs: it comes after the code was found to be right. */
static enum err accept_guarded(struct web_request *q, struct accepting *x, struct user_row *row, struct fault *why)
{
    enum err e;
    if ((e = invitation_find(q->db, q->arena, x->code, &x->user, why)) || (e = user_get(q->db, q->arena, x->user, row, why)) ||
        (e = people_password(q, "password", true, row->email, &x->hash, why)))
        return e;
    return web_write(q, accept, x, why);
}

static enum err accept_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "code", "password", "language", NULL };
    struct accepting x = { .q = q };
    struct guard g = { 0 };
    struct user_row row;
    enum err e;
    if ((e = web_query_settled(q, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "code", true, 256, &x.code, why)) ||
        (json_get(body_of(q), "language") && (e = people_language(q, &x.language, why))) || (e = people_guard(q, &g, why)) ||
        (e = people_unguard(q, &g, accept_guarded(q, &x, &row, why), why)) ||
        (e = user_get(q->db, q->arena, x.user, &row, why)))
        return e;
    switchboard_forget_tokens(q->hub->switchboard);
    struct json_out o = json_out(&r->body);
    return people_write_user(q, &o, &row, NULL, why);
}

enum err invitations_accept(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = accept_checked(q, r, why);
    body_wipe(q);
    return e;
}
