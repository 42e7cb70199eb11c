/* web/sessions.c - sign in and out of the console. */
#include "access/session.h"
#include "access/user.h"
#include "web/body.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/handlers.h"
#include "web/people.h"
#include "web/principal.h"

struct sign_in {
    struct web_request *q;
    struct str user, csrf;
    char text[SESSION_TEXT];
};

static enum err make_session(struct db *db, void *context, struct fault *why)
{
    struct sign_in *s = context;
    s->q->audit.object = s->user;
    s->q->audit.name = principal_name(db, s->q->arena, s->user);
    return session_create(db, s->q->arena, s->user, s->text, &s->csrf, why);
}

static enum err session_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "email", "password", NULL };
    const struct json *body = body_of(q);
    struct sign_in s = { .q = q };
    struct caller me;
    struct str email, password;
    bool touch;
    enum err e;
    if ((e = json_only(body, members, "", why)) || (e = body_text(body, "email", true, 254, &email, why)))
        return e;
    /* Whose it was meant to be, should it fail: what was typed here may have been a password. */
    q->audit.name = change_hash(q, email);
    password = json_str(body, "password");
    if (!password.n || password.n > 1024)
        return body_fault(why, password.n ? ERR_FIELD_INVALID : ERR_FIELD_REQUIRED, "password",
                          password.n ? "at most 1024 bytes" : "");
    if ((e = user_sign_in(q->hub->store, q->arena, email, password, &s.user, why)) ||
        (e = web_write(q, make_session, &s, why)) ||
        (e = session_resolve(q->db, q->arena, str_of(s.text), &me, &touch, why)))
        return e;
    cookie_set_session(q, r, str_of(s.text));
    secret_wipe(s.text, sizeof s.text);
    struct json_out o = json_out(&r->body);
    people_write_session(&o, &me, s.csrf);
    return ERR_NONE;
}

enum err session_post(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = session_checked(q, r, why);
    body_wipe(q);
    return e;
}

enum err session_get(struct web_request *q, struct reply *r, struct fault *why)
{
    (void)why;
    struct json_out o = json_out(&r->body);
    people_write_session(&o, q->caller, q->caller->session_csrf);
    return ERR_NONE;
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
