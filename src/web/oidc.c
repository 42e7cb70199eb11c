/* web/oidc.c - sign-in with an OpenID Connect provider, as a browser sees it: out to the provider, and back with a session. */
#include "web/oidc.h"

#include "access/session.h"
#include "auth/identity_person.h"
#include "base/log.h"
#include "web/change.h"
#include "web/cookie.h"
#include "web/handlers.h"
#include "web/pages.h"
#include "web/people.h"
#include "web/principal.h"

#define RETURN_MOST 512
#define PROVIDERS_SHOWN 50

struct str oidc_redirect_uri(const struct web_request *q)
{
    return str_fmt(q->arena, "%.*s/oidc/callback", STR_ARG(q->hub->public_url));
}

/* Browsers take '\' for '/', and drop tabs and line breaks; "//host" is another host. */
bool oidc_return_path_ok(struct str path)
{
    if (!path.n || path.n > RETURN_MOST || path.p[0] != '/' || (path.n > 1 && path.p[1] == '/'))
        return false;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '\\' || path.p[i] == '"' || path.p[i] == '<' || path.p[i] == '>')
            return false;
    return true;
}

/* ---- the list ---- */

enum err session_providers(struct web_request *q, struct reply *r, struct fault *why)
{
    struct identity_provider *rows;
    size_t n;
    enum err e = identity_provider_list(q->db, q->arena, STR_NONE, STR_NONE, PROVIDERS_SHOWN, &rows, &n, why);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_key(&o, "items");
    json_open(&o, '[');
    for (size_t i = 0; i < n; i++) {
        if (rows[i].disabled || !rows[i].signs_in)
            continue;
        json_open(&o, '{');
        json_member_str(&o, "key", rows[i].key);
        json_member_str(&o, "name", rows[i].name);
        json_member_str(&o, "url",
                        str_fmt(q->arena, "%.*s/api/v1/session/oidc/%.*s", STR_ARG(q->hub->public_url), STR_ARG(rows[i].key)));
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_close(&o, '}');
    return ERR_NONE;
}

/* ---- out ---- */

static enum err usable_provider(struct web_request *q, struct str id, struct identity_provider *out, struct fault *why)
{
    enum err e = identity_provider_get(q->db, q->arena, id, out, why);
    if (!e && (out->disabled || !out->signs_in))
        e = fault(why, ERR_NOT_FOUND, STR("identity provider"), "disabled, or not for sign-in");
    return e;
}

static enum err begin(struct db *db, void *context, struct fault *why) { return oidc_begin(db, context, why); }

static enum err start(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "return", "step_up", NULL };
    struct identity_provider p;
    struct oidc_attempt t = { .return_path = web_query(q, "return"), .network = q->network };
    struct str url;
    bool again;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = web_flag(q, "step_up", &again, why)) ||
        (again && (e = people_need_session(q, why))) || (e = usable_provider(q, q->params[0], &p, why)))
        return e;
    if (again)
        t.session = q->caller->session;
    if (!t.return_path.p)
        t.return_path = STR("/");
    if (!oidc_return_path_ok(t.return_path))
        return fault(why, ERR_FIELD_INVALID, STR("return (a path of this hub)"), "return path");
    t.provider = p.id;
    if ((e = store_write(q->hub->store, begin, &t, why)) ||
        (e = oidc_url(q->hub->issuers, q->arena, &p, &t, oidc_redirect_uri(q), &url, why)))
        return e;
    cookie_set_attempt(q, r, str_of(t.browser));
    r->status = 303;
    reply_header(r, "Location", url);
    return ERR_NONE;
}

/* ---- back ---- */

struct arrival {
    struct web_request *q;
    struct oidc_attempt attempt;
    struct identity_provider p;
    struct oidc_person person;
    struct identity_admitted admitted;
    struct str csrf;
    char session[SESSION_TEXT];
};

static enum err take(struct db *db, void *context, struct fault *why)
{
    struct arrival *v = context;
    return oidc_take(db, v->q->arena, web_query(v->q, "state"), cookie_attempt(v->q->head, v->q->hub), &v->attempt, why);
}

/* What the audit log keeps: a sign-in may make an account, or change what it may. */
static struct str told(struct arrival *v)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    json_member_str(&o, "provider", v->p.key);
    json_member_bool(&o, "created", v->admitted.created);
    json_member_bool(&o, "linked", v->admitted.linked);
    json_member_str(&o, "role_before", str_of(role_name(v->admitted.before)));
    json_member_str(&o, "role", str_of(role_name(v->admitted.role)));
    json_close(&o, '}');
    return change_text(v->q, &text);
}

static enum err admit(struct db *db, void *context, struct fault *why)
{
    struct arrival *v = context;
    struct str language = v->q->language == LANG_FR ? STR("fr") : STR("en");
    enum err e;
    if ((e = identity_admit(db, v->q->arena, &v->p, &v->person, language, &v->admitted, why)) ||
        (e = oidc_settle(db, &v->attempt, why)))
        return e;
    people_told(v->q, db, v->admitted.user);
    v->q->audit.after = told(v);
    struct str agent = head_value(v->q->head, STR("user-agent"));
    struct session_new n = { v->admitted.user, v->q->client, agent, SESSION_PROVIDER };
    return session_create(db, v->q->arena, &n, v->session, &v->csrf, why);
}

/* Who is signed in showed the provider again who it is. The browser that comes back is the one that held the session: the attempt's
 * cookie says so. Its session's own cookie stays at home on the way from another site. */
static enum err renew(struct db *db, void *context, struct fault *why)
{
    struct arrival *v = context;
    struct str user;
    enum err e;
    v->q->audit.object = v->attempt.session;
    if ((e = session_owner(db, v->q->arena, v->attempt.session, &user, why)))
        return e == ERR_NOT_FOUND ? fault(why, ERR_UNAUTHENTICATED, STR(""), "the session ended meanwhile") : e;
    if ((e = identity_same(db, v->q->arena, &v->p, &v->person, user, why)) || (e = oidc_settle(db, &v->attempt, why)))
        return e;
    return session_renew(db, v->q->arena, v->attempt.session, SESSION_PROVIDER, v->session, &v->csrf, why);
}

/* RFC 6749 4.1.2.1. What else the provider says of it comes through the browser: it is not shown. */
static enum err provider_said_no(struct str code, struct fault *why)
{
    return fault(why, ERR_SIGN_IN_REFUSED, STR("the provider said no"), "error of %zu bytes", code.n);
}

static enum err arrive(struct arrival *v, struct fault *why)
{
    struct web_request *q = v->q;
    struct str error = web_query(q, "error");
    AUTO_SECRET secret = SECRET_NONE;
    enum err e;
    if ((e = oidc_look(q->db, web_query(q, "state"), cookie_attempt(q->head, q->hub), why)) ||
        (e = store_write(q->hub->store, take, v, why)))
        return e;
    if (v->attempt.session.n)
        q->audit.action = "session.step_up";
    if ((e = usable_provider(q, v->attempt.provider, &v->p, why)))
        return e;
    if (error.p)
        return provider_said_no(error, why);
    if ((e = identity_provider_secret(q->db, q->hub->keyring, &v->p, &secret, why)) ||
        (e = oidc_person(q->hub->issuers, q->arena, &v->p, secret, &v->attempt, web_query(q, "code"), web_query(q, "iss"),
                         oidc_redirect_uri(q), &v->person, why)))
        return e;
    if (v->attempt.session.n)
        return web_write(q, renew, v, why);
    if (!(e = web_write(q, admit, v, why)) && v->admitted.changed)
        switchboard_forget_tokens(q->hub->switchboard);
    return e;
}

/* A page, not a redirect: the session's cookie is for requests that begin here, and a redirect still begins at the provider. */
static enum err welcome(struct arrival *v, struct reply *r)
{
    struct web_request *q = v->q;
    struct str url = str_fmt(q->arena, "%.*s%.*s", STR_ARG(q->hub->public_url), STR_ARG(v->attempt.return_path));
    cookie_set_session(q, r, str_of(v->session));
    secret_wipe(v->session, sizeof v->session);
    page_small(q, r,
               &(struct page_text){ .title = { "Signed in", "Connexion réussie" },
                                    .text = { "You are being taken back.", "Vous allez être redirigé." },
                                    .link = { "Go on", "Continuer" }, .url = url, .at_once = true });
    return ERR_NONE;
}

/* People read this in a browser: a small page, with the code for programs in the header as everywhere. */
static void sorry(struct web_request *q, struct reply *r, const struct fault *why)
{
    const struct err_row *row = err_row(why->err);
    char say[768];
    fault_say(why, q->language, say, sizeof say);
    r->status = row->status;
    reply_header(r, "Raccord-Error", str_of(row->code));
    page_small(q, r,
               &(struct page_text){ .title = { row->title[LANG_EN], row->title[LANG_FR] }, .text = { say, say },
                                    .link = { "Back", "Retour" }, .url = str_fmt(q->arena, "%.*s/", STR_ARG(q->hub->public_url)) });
    log_fault(row->blame == BLAME_HUB ? LOG_ERROR : LOG_INFO, "sign-in through an identity provider failed", why);
}

enum err session_oidc_start(struct web_request *q, struct reply *r, struct fault *why)
{
    if (start(q, r, why))
        sorry(q, r, why);
    return ERR_NONE;
}

enum err oidc_callback(struct web_request *q, struct reply *r, struct fault *why)
{
    struct arrival v = { .q = q };
    enum err e = arrive(&v, why);
    cookie_set_attempt(q, r, STR("")); /* used, whatever came of it */
    if (!e)
        return welcome(&v, r);
    change_settle(q, e); /* a refusal is recorded; for the entrance the page is a success, and no change */
    q->audit.written = true;
    sorry(q, r, why);
    return ERR_NONE;
}
