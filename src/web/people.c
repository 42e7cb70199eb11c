#include "web/people.h"

#include "access/group.h"
#include "access/held.h"
#include "access/invitation.h"
#include "access/rights.h"
#include "base/log.h"
#include "crypto/password.h"
#include "vault/sealed.h"
#include "web/body.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/principal.h"

#define PASSWORD_MAX 1024 /* bytes; hashing reads them all */
#define ALARM_FAILURES 50 /* within five minutes, over all accounts */
#define ALARM_MS (5 * 60 * 1000)

/* ---- showing ---- */

void people_write_members(struct json_out *o, const struct user_row *u)
{
    json_member_str(o, "id", u->id);
    json_member_str(o, "email", u->email);
    json_member_str(o, "role", str_of(role_name(u->role)));
    json_member_str(o, "language", u->language);
    json_member_bool(o, "disabled", u->disabled);
    json_member_time(o, "created_at", u->created);
    json_member_time(o, "updated_at", u->updated);
}

static void member_link(struct json_out *o, const struct people_link *link)
{
    if (!link || !link->url.p)
        return;
    json_key(o, "invitation");
    json_open(o, '{');
    json_member_str(o, "link", link->url);
    json_member_time(o, "expires_at", link->expires);
    json_close(o, '}');
}

enum err people_write_user(struct web_request *q, struct json_out *o, const struct user_row *u, const struct people_link *link,
                           struct fault *why)
{
    struct second_factor_state second;
    wall_ms locked, invited;
    enum err e;
    if ((e = guard_locked_until(q->db, u->email, &locked, why)) || (e = second_factor_state(q->db, u->id, &second, why)) ||
        (e = invitation_until(q->db, u->id, &invited, why)))
        return e;
    json_open(o, '{');
    people_write_members(o, u);
    json_member_bool(o, "second_factor", second.enabled);
    json_member_time(o, "locked_until", locked);
    json_member_time(o, "invited_until", invited);
    member_link(o, link);
    json_close(o, '}');
    return ERR_NONE;
}

/* The role in the instance first, then those of memberships, as far as the token leaves them. */
static void write_roles(struct json_out *o, const struct caller *c, unsigned held)
{
    enum role first = caller_role(c);
    json_key(o, "roles");
    json_open(o, '[');
    json_put_str(o, str_of(role_name(first)));
    for (enum role r = ROLE_COUNT - 1; r > ROLE_NONE; r--)
        if (r != first && held & ROLE_BIT(r) && (c->narrowed == ROLE_NONE || role_within(r, c->narrowed)))
            json_put_str(o, str_of(role_name(r)));
    json_close(o, ']');
}

enum err people_write_session(struct web_request *q, struct json_out *o, const struct caller *c, struct str csrf, struct fault *why)
{
    struct str role = str_of(role_name(caller_role(c)));
    struct second_factor_state second = { 0 };
    unsigned held;
    enum err e = c->session.n ? second_factor_state(q->db, c->principal, &second, why) : ERR_NONE;
    if (e || (e = held_in_folders(q->db, q->arena, c->principal, &held, why)))
        return e;
    json_open(o, '{');
    json_key(o, "principal");
    json_open(o, '{');
    json_member_str(o, "id", c->principal);
    json_member_str(o, "name", c->name);
    json_member_str(o, "kind", str_starts(c->principal, STR("svc_")) ? STR("service_account") : STR("user"));
    json_close(o, '}');
    json_member_str(o, "role", role);
    write_roles(o, c, held);
    json_member_str(o, "language", c->language == LANG_FR ? STR("fr") : STR("en"));
    json_member_str(o, "csrf_token", csrf);
    json_member_str(o, "token", c->token.n ? c->token : STR_NONE);
    json_member_str(o, "session", c->session.n ? c->session : STR_NONE);
    json_member_bool(o, "second_factor", second.enabled);
    json_member_time(o, "proved_at", c->proved);
    json_member_time(o, "expires_at", c->expires);
    json_close(o, '}');
    return ERR_NONE;
}

/* ---- reading ---- */

enum err people_language(const struct web_request *q, struct str *out, struct fault *why)
{
    enum err e = body_text(body_of(q), "language", false, 8, out, why);
    if (e)
        return e;
    if (!out->p)
        *out = q->language == LANG_FR ? STR("fr") : STR("en");
    if (!str_is(*out, "en") && !str_is(*out, "fr"))
        return body_fault(why, ERR_FIELD_INVALID, "language", "en, fr");
    return ERR_NONE;
}

enum err people_shown(const struct web_request *q, const char *name, struct str *out, struct fault *why)
{
    *out = STR_NONE;
    const struct json *v = json_get(body_of(q), name);
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type != JSON_STRING)
        return body_fault(why, ERR_FIELD_INVALID, name, "text is expected");
    if (v->text.n > PASSWORD_MAX)
        return body_fault(why, ERR_FIELD_INVALID, name, "at most 1024 bytes");
    *out = v->text;
    return ERR_NONE;
}

enum err people_password(struct web_request *q, const char *name, bool required, struct str email, struct str *hash,
                         struct fault *why)
{
    struct str password;
    *hash = STR_NONE;
    enum err e = people_shown(q, name, &password, why);
    if (e)
        return e;
    if (!password.p)
        return required ? body_fault(why, ERR_FIELD_REQUIRED, name, "") : ERR_NONE;
    if ((e = password_acceptable(password, email, why))) {
        fault_at(why, "/%s", name);
        return e;
    }
    return password_hash(q->arena, password, hash, why);
}

enum err people_create(struct db *db, struct arena *a, struct user_row *row, struct str password_hash, struct fault *why)
{
    enum err e = user_create(db, a, row->email, password_hash, row->role, row->language, &row->id, why);
    return e == ERR_FIELD_INVALID || e == ERR_CONFLICT ? fault_at(why, "/email") : e;
}

/* ---- second factors' secrets ---- */

#define KIND STR("user")
#define NAME STR("totp")

static enum err keeper_put(void *context, struct db *db, struct str owner, struct secret value, struct fault *why)
{
    return sealed_put(db, ((struct hub *)context)->keyring, (struct data_owner){ KIND, owner }, NAME, value, why);
}

static enum err keeper_get(void *context, struct db *db, struct str owner, struct secret *value, struct fault *why)
{
    return sealed_get(db, ((struct hub *)context)->keyring, (struct data_owner){ KIND, owner }, NAME, value, why);
}

static enum err keeper_forget(void *context, struct db *db, struct str owner, struct fault *why)
{
    (void)context;
    return sealed_forget(db, (struct data_owner){ KIND, owner }, why);
}

struct second_factor_keeper people_keeper(struct hub *h)
{
    return (struct second_factor_keeper){ h, keeper_put, keeper_get, keeper_forget };
}

/* ---- proving ---- */

/* One alarm for one storm. */
static void raise_alarm(struct web_request *q)
{
    struct sign_in_counts *c = &q->hub->sign_ins;
    int64_t failures;
    wall_ms now = clock_wall(), last = atomic_load(&c->alarmed);
    if (now - last < ALARM_MS || guard_pressure(q->db, &failures, NULL) || failures < ALARM_FAILURES ||
        !atomic_compare_exchange_strong(&c->alarmed, &last, now))
        return;
    atomic_fetch_add(&c->alarms, 1);
    log_line(LOG_WARN, "sign-in alarm: many attempts fail",
             LOG("failures in 5 min", str_fmt(q->arena, "%lld", (long long)failures)), LOG("last from", q->client));
}

static void count(struct web_request *q, enum err e)
{
    struct sign_in_counts *c = &q->hub->sign_ins;
    switch (e) {
    case ERR_NONE:
        atomic_fetch_add(&c->right, 1);
        break;
    case ERR_RATE_LIMITED:
        atomic_fetch_add(&c->refused, 1);
        break;
    case ERR_BAD_CREDENTIALS:
    case ERR_SECOND_FACTOR_INVALID:
    case ERR_INVITATION_INVALID:
    case ERR_SETUP_CODE_INVALID:
        atomic_fetch_add(&c->wrong, 1);
        log_line(LOG_INFO, "sign-in refused", LOG("code", str_of(err_row(e)->code)), LOG("from", q->client));
        raise_alarm(q);
        break;
    default:
        break;
    }
}

enum err people_prove(struct web_request *q, people_proof *proof, struct sign_in *in, struct fault *why)
{
    struct second_factor_keeper keeper = people_keeper(q->hub);
    in->keeper = &keeper;
    in->address = q->network;
    enum err e = proof(q->hub->store, q->arena, in, why);
    in->keeper = NULL;
    count(q, e);
    return e;
}

enum err people_guard(struct web_request *q, struct guard *g, struct fault *why)
{
    g->address = q->network;
    enum err e = guard_enter(q->hub->store, g, why);
    if (e)
        count(q, e);
    return e;
}

enum err people_unguard(struct web_request *q, struct guard *g, enum err e, struct fault *why)
{
    bool wrong = e == ERR_INVITATION_INVALID || e == ERR_SETUP_CODE_INVALID || e == ERR_STORE;
    struct fault unused;
    enum err left = guard_leave(q->hub->store, g, wrong ? GUARD_WRONG : GUARD_UNDECIDED, e ? &unused : why);
    count(q, e);
    return e ? e : left;
}

/* ---- sessions ---- */

struct opening {
    struct web_request *q;
    struct session_new n;
    char text[SESSION_TEXT];
    struct str csrf;
};

void people_told(struct web_request *q, struct db *db, struct str user)
{
    q->audit.object = user;
    q->audit.name = principal_name(db, q->arena, user);
    q->audit.who = q->audit.object;
    q->audit.who_name = q->audit.name;
}

static enum err make_session(struct db *db, void *context, struct fault *why)
{
    struct opening *o = context;
    people_told(o->q, db, o->n.user);
    return session_create(db, o->q->arena, &o->n, o->text, &o->csrf, why);
}

enum err people_open_session(struct web_request *q, struct reply *r, struct str user, enum session_how how, struct fault *why)
{
    struct str agent = q->head ? head_value(q->head, STR("user-agent")) : STR_NONE;
    struct opening s = { .q = q, .n = { user, q->client, agent, how } };
    struct caller me;
    bool touch;
    enum err e = web_write(q, make_session, &s, why);
    if (!e)
        e = session_resolve(q->db, q->arena, str_of(s.text), &me, &touch, why);
    if (!e)
        cookie_set_session(q, r, str_of(s.text));
    secret_wipe(s.text, sizeof s.text);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    return people_write_session(q, &o, &me, s.csrf, why);
}

enum err people_need_session(const struct web_request *q, struct fault *why)
{
    return q->caller && q->caller->session.n ? ERR_NONE : fault(why, ERR_SESSION_REQUIRED, STR(""), "asked with a token");
}

enum err people_by_email(struct web_request *q, struct str *id_or_email, struct fault *why)
{
    struct principal_row row;
    if (str_find(*id_or_email, '@') == SIZE_MAX)
        return ERR_NONE;
    enum err e = principal_find(q->db, q->arena, *id_or_email, &row, why);
    if (!e)
        *id_or_email = row.id;
    return e == ERR_NOT_FOUND || e == ERR_AMBIGUOUS ? ERR_NONE : e;
}

enum err people_may_change(const struct web_request *q, const struct user_row *row, struct fault *why)
{
    return rights_may_give(q->caller, row->role, why);
}
