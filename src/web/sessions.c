/* web/sessions.c - sign in and out of the console, see where one is signed in, end it there, and show again who one is. */
#include "access/rights.h"
#include "web/body.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/people.h"

#define STEP_UP_MS (5 * 60 * 1000)

/* ---- one's own, now ---- */

static enum err sign_in_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "email", "password", "code", NULL };
    const struct json *body = body_of(q);
    struct sign_in in = { 0 };
    enum err e;
    if ((e = web_query_settled(q, why)) || (e = json_only(body, members, "", why)) ||
        (e = body_text(body, "email", true, 254, &in.email, why)) || (e = people_shown(q, "password", &in.password, why)) ||
        (e = people_shown(q, "code", &in.code, why)))
        return e;
    /* Whose it was meant to be, should it fail: what was typed here may have been a password. */
    q->audit.name = change_hash(q, in.email);
    if (!in.password.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "password", "");
    if ((e = people_prove(q, sign_in, &in, why)))
        return e;
    return people_open_session(q, r, in.user, in.second_factor ? SESSION_SECOND_FACTOR : SESSION_PASSWORD, why);
}

enum err session_post(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = sign_in_checked(q, r, why);
    body_wipe(q);
    return e;
}

enum err session_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct json_out o = json_out(&r->body);
    return people_write_session(q, &o, q->caller, q->caller->session_csrf, why);
}

static enum err end_session(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    if (q->caller) {
        q->audit.object = q->caller->principal;
        q->audit.name = q->caller->name;
    }
    return session_end(db, cookie_session(q->head, q->hub), why);
}

/* A token ends by DELETE /tokens/{id}; here it ends nothing, and the answer is the same. */
enum err session_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct str text = cookie_session(q->head, q->hub);
    enum err e = text.n ? web_write(q, end_session, q, why) : ERR_NONE;
    if (e)
        return e;
    cookie_set_session(q, r, STR(""));
    r->status = 204;
    return ERR_NONE;
}

/* ---- showing again who one is ---- */

enum err web_step_up(const struct web_request *q, struct fault *why)
{
    const struct caller *c = q->caller;
    wall_ms now = clock_steady();
    if (!c || !c->session.n || (now - c->proved < STEP_UP_MS && c->proved <= now))
        return ERR_NONE;
    return fault(why, ERR_STEP_UP_REQUIRED, STR(""), "proved %lld s ago", (long long)((now - c->proved) / 1000));
}

struct renewal {
    struct web_request *q;
    enum session_how how;
    char text[SESSION_TEXT];
    struct str csrf;
};

static enum err renew(struct db *db, void *context, struct fault *why)
{
    struct renewal *n = context;
    n->q->audit.object = n->q->caller->session;
    return session_renew(db, n->q->arena, n->q->caller->session, n->how, n->text, &n->csrf, why);
}

static enum err step_up_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "password", "code", NULL };
    struct sign_in in = { .email = q->caller->name };
    struct renewal n = { .q = q };
    struct caller me;
    bool touch;
    enum err e;
    if ((e = people_need_session(q, why)) || (e = web_query_settled(q, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = people_shown(q, "password", &in.password, why)) || (e = people_shown(q, "code", &in.code, why)))
        return e;
    if (!in.password.n == !in.code.n)
        return body_fault(why, ERR_FIELD_INVALID, in.code.n ? "code" : "password", "a password or a code, one of the two");
    if ((e = people_prove(q, sign_in_again, &in, why)))
        return e;
    n.how = in.second_factor && q->caller->how == SESSION_PASSWORD ? SESSION_SECOND_FACTOR : q->caller->how;
    if (!(e = web_write(q, renew, &n, why)))
        e = session_resolve(q->db, q->arena, str_of(n.text), &me, &touch, why);
    if (!e)
        cookie_set_session(q, r, str_of(n.text));
    secret_wipe(n.text, sizeof n.text);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    return people_write_session(q, &o, &me, n.csrf, why);
}

enum err session_step_up(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = step_up_checked(q, r, why);
    body_wipe(q);
    return e;
}

/* ---- all of a person's ---- */

/* ?user=: an administrator's, of people not above. *user: whose sessions are meant. */
static enum err read_user(struct web_request *q, struct str wanted, struct str *user, struct fault *why)
{
    struct user_row row;
    *user = q->caller->principal;
    enum err e = people_by_email(q, &wanted, why);
    if (e || !wanted.n || str_eq(wanted, *user))
        return e;
    if (!caller_may(q->caller, RIGHT_PEOPLE))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_PEOPLE)), "another's sessions");
    e = user_get(q->db, q->arena, wanted, &row, why);
    if (e || (e = people_may_change(q, &row, why)))
        return e;
    *user = row.id;
    return ERR_NONE;
}

enum err sessions_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "user", NULL };
    struct session_row *rows;
    struct str user;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_user(q, web_query(q, "user"), &user, why)) ||
        (e = session_list(q->db, q->arena, user, &rows, &n, why)))
        return e;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++) {
        json_open(&o, '{');
        json_member_str(&o, "id", rows[i].id);
        json_member_str(&o, "address", rows[i].address);
        json_member_str(&o, "user_agent", rows[i].agent);
        json_member_str(&o, "signed_in_with", str_of(session_how_name(rows[i].how)));
        json_member_time(&o, "created_at", rows[i].created);
        json_member_time(&o, "last_seen_at", rows[i].seen);
        json_member_time(&o, "expires_at", rows[i].expires);
        json_member_bool(&o, "current", str_eq(rows[i].id, q->caller->session));
        json_close(&o, '}');
    }
    page_close(&o, q->arena, STR_NONE);
    return ERR_NONE;
}

/* A token that is less than its person does not sign the person out. */
static enum err may_end(const struct web_request *q, struct fault *why)
{
    return q->caller->token.n ? rights_may_give(q->caller, q->caller->role, why) : ERR_NONE;
}

struct ending {
    struct web_request *q;
    struct str user, id;
};

static enum err end_others(struct db *db, void *context, struct fault *why)
{
    struct ending *x = context;
    x->q->audit.object = x->user;
    return sessions_end_others(db, x->user, x->id, why);
}

/* All but the one that asks. */
enum err sessions_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "user", NULL };
    struct ending x = { .q = q, .id = q->caller->session };
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_user(q, web_query(q, "user"), &x.user, why)) ||
        (e = may_end(q, why)) || (e = web_write(q, end_others, &x, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}

static enum err end_one(struct db *db, void *context, struct fault *why)
{
    struct ending *x = context;
    x->q->audit.object = x->id;
    return session_end_id(db, x->id, why);
}

/* Another's session is not there for those who may not end it (requirement 16.2). */
enum err sessions_delete_one(struct web_request *q, struct reply *r, struct fault *why)
{
    struct ending x = { .q = q, .id = q->params[0] };
    struct str user;
    enum err e;
    if ((e = session_owner(q->db, q->arena, x.id, &x.user, why)))
        return e;
    if ((e = read_user(q, x.user, &user, why)))
        return e == ERR_DENIED ? fault(why, ERR_NOT_FOUND, STR("session"), "another's session") : e;
    if ((e = may_end(q, why)) || (e = web_write(q, end_one, &x, why)))
        return e;
    if (str_eq(x.id, q->caller->session))
        cookie_set_session(q, r, STR(""));
    r->status = 204;
    return ERR_NONE;
}
