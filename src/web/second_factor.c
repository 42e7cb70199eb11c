/* web/second_factor.c - a person's own second factor: set up, confirmed by a first code, removed; recovery codes, shown once. */
#include "web/body.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/handlers.h"
#include "web/people.h"

struct change {
    struct web_request *q;
    struct second_factor_keeper keeper;
    struct secret secret;
    char codes[RECOVERY_CODES][RECOVERY_TEXT];
};

static struct change change_of(struct web_request *q)
{
    if (q->caller) {
        q->audit.object = q->caller->principal;
        q->audit.name = q->caller->name;
    }
    return (struct change){ .q = q, .keeper = people_keeper(q->hub) };
}

static bool must_have(const struct web_request *q)
{
    enum second_factor_policy p = q->hub->second_factor;
    return p == SECOND_FACTOR_ALL || (p == SECOND_FACTOR_ADMINS && role_has(q->caller->role, RIGHT_KEYS));
}

enum err second_factor_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct second_factor_state s;
    enum err e;
    if ((e = people_need_session(q, why)) || (e = second_factor_state(q->db, q->caller->principal, &s, why)))
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_bool(&o, "enabled", s.enabled);
    json_member_bool(&o, "required", must_have(q));
    json_member_time(&o, "enabled_at", s.since);
    json_member_i64(&o, "recovery_codes_left", s.recovery_codes);
    json_close(&o, '}');
    return ERR_NONE;
}

static enum err begin(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    secret_end(&c->secret); /* of a try that was rolled back */
    return second_factor_begin(db, &c->keeper, c->q->caller->principal, &c->secret, why);
}

enum err second_factor_post(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { NULL };
    struct change c = change_of(q);
    enum err e;
    if ((e = people_need_session(q, why)) || (e = json_only(body_of(q), members, "", why)) || (e = web_step_up(q, why)) ||
        (e = web_write(q, begin, &c, why))) {
        secret_end(&c.secret);
        return e;
    }
    r->status = 201;
    struct json_out o = json_out(&r->body);
    struct str uri = second_factor_uri(q->arena, q->caller->name, c.secret);
    json_open(&o, '{');
    json_member_str(&o, "otpauth_uri", uri);
    json_close(&o, '}');
    secret_wipe((char *)uri.p, uri.n);
    secret_end(&c.secret);
    return ERR_NONE;
}

/* Other browsers signed in without it: they do so again. */
static enum err finish(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum err e = second_factor_recovery(db, c->q->caller->principal, c->codes, why);
    return e ? e : sessions_end_of_user(db, c->q->caller->principal, why);
}

static void write_codes(struct json_out *o, struct change *c)
{
    json_key(o, "recovery_codes");
    json_open(o, '[');
    for (int i = 0; i < RECOVERY_CODES; i++)
        json_put_str(o, str_of(c->codes[i]));
    json_close(o, ']');
    secret_wipe(c->codes, sizeof c->codes);
}

static enum err confirm_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "code", NULL };
    struct change c = change_of(q);
    struct sign_in in = { .email = q->caller->name };
    enum err e;
    if ((e = people_need_session(q, why)) || (e = web_query_settled(q, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = people_shown(q, "code", &in.code, why)))
        return e;
    if (!in.code.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "code", "");
    if ((e = people_prove(q, sign_in_confirm_code, &in, why)) || (e = web_write(q, finish, &c, why)))
        return e;
    /* The same document as GET /session, with the codes beside it. */
    if ((e = people_open_session(q, r, in.user, SESSION_SECOND_FACTOR, why)))
        return e;
    AUTO_BUF session;
    buf_init(&session, r->body.max);
    buf_add(&session, buf_str(&r->body));
    buf_clear(&r->body);
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_raw(&o, "session", buf_str(&session));
    write_codes(&o, &c);
    json_close(&o, '}');
    return ERR_NONE;
}

enum err second_factor_confirm_post(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = confirm_checked(q, r, why);
    body_wipe(q);
    return e;
}

static enum err new_codes(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    return second_factor_recovery(db, c->q->caller->principal, c->codes, why);
}

enum err second_factor_codes(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { NULL };
    struct change c = change_of(q);
    struct second_factor_state s;
    enum err e;
    if ((e = people_need_session(q, why)) || (e = json_only(body_of(q), members, "", why)) || (e = web_step_up(q, why)) ||
        (e = second_factor_state(q->db, q->caller->principal, &s, why)))
        return e;
    if (!s.enabled)
        return fault(why, ERR_NOT_FOUND, STR("second factor"), "none is set up");
    if ((e = web_write(q, new_codes, &c, why)))
        return e;
    r->status = 201;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    write_codes(&o, &c);
    json_close(&o, '}');
    return ERR_NONE;
}

static enum err take_off(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    return second_factor_remove(db, &c->keeper, c->q->caller->principal, why);
}

enum err second_factor_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct change c = change_of(q);
    enum err e;
    if ((e = people_need_session(q, why)) || (e = web_step_up(q, why)))
        return e;
    if (must_have(q))
        return fault(why, ERR_LIMIT,
                     STR("this hub asks for a second factor; set another one up by asking an administrator to remove yours"),
                     "required by sign_in.require_second_factor");
    if ((e = web_write(q, take_off, &c, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}

/* ---- another's: a phone was lost ---- */

struct taking_off {
    struct web_request *q;
    struct second_factor_keeper keeper;
};

static enum err take_off_another(struct db *db, void *context, struct fault *why)
{
    struct taking_off *t = context;
    struct user_row row;
    enum err e;
    if ((e = user_get(db, t->q->arena, t->q->params[0], &row, why)) || (e = people_may_change(t->q, &row, why)) ||
        (e = web_if_match(t->q, row.revision, why)) || (e = second_factor_remove(db, &t->keeper, row.id, why)))
        return e;
    t->q->audit.object = row.id;
    t->q->audit.name = row.email;
    return sessions_end_of_user(db, row.id, why);
}

enum err users_second_factor_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct taking_off t = { q, people_keeper(q->hub) };
    enum err e = people_by_email(q, &q->params[0], why);
    if (e)
        return e;
    if (str_eq(q->params[0], q->caller->principal))
        return second_factor_delete(q, r, why);
    if ((e = web_step_up(q, why)) || (e = web_write(q, take_off_another, &t, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}
