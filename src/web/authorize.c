#include "web/authorize.h"

#include "auth/authorization_url.h"
#include "auth/capture.h"
#include "auth/client_tls.h"
#include "auth/connect_session.h"
#include "auth/device_flow.h"
#include "auth/obtain.h"
#include "auth/renewal.h"
#include "auth/told.h"
#include "base/encode.h"
#include "base/log.h"
#include "call/switchboard.h"
#include "catalog/setup.h"
#include "crypto/hash.h"
#include "web/acting.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_fields.h"
#include "web/connection_view.h"
#include "web/cookie.h"
#include "web/form.h"
#include "web/handlers.h"
#include "web/oauth_client_view.h"
#include "web/oidc.h"
#include "web/pages.h"
#include "web/policy_check.h"

#define CODE_MOST 4096
#define TEXT_MOST 2048     /* of iss, error, error_description, and of each further parameter */
#define MORE_PARAMETERS 16

/* ---- the connection's profile ---- */

struct grip {
    struct connection_secret secrets[CONNECTION_SECRETS];
    size_t n;
    struct oauth_profile profile;
    bool has_profile;
    struct tls_context *tls, *next_tls;   /* NULL: the hub's own, and none */
};

static void grip_end(struct grip *g)
{
    for (size_t i = 0; i < g->n; i++)
        secret_end(&g->secrets[i].value);
    if (g->has_profile)
        oauth_profile_end(&g->profile);
    tls_context_free(g->tls);
    tls_context_free(g->next_tls);
}
#define AUTO_GRIP __attribute__((cleanup(grip_end))) struct grip

/* As the connection will be when the person comes back: where they changed its fields on the way. */
static enum err row_to_be(struct web_request *q, const struct authorization *t, struct connection_row *row, struct fault *why)
{
    struct connect_session s;
    enum err e = t->session.n ? connect_session_get(q->db, q->arena, t->session, &s, why) : ERR_NONE;
    return e || !t->session.n ? e : connection_fields_to_be(q, &s, row, why);
}

/* May ask an issuer where its doors are. */
static enum err grip_open(struct web_request *q, const struct connection_row *row, struct grip *g, struct fault *why)
{
    const struct connector *c = catalog_find(q->hub->catalog, row->connector);
    const struct connector_auth *auth = c ? connector_auth_find(c, row->auth_type) : NULL;
    struct auth_secret lent[CONNECTION_SECRETS];
    struct json *fields;
    enum err e;
    if (!auth)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, row->connector, "stored connector is gone");
    if ((e = json_read(q->arena, row->fields.n ? row->fields : STR("{}"), &fields, why)) ||
        (e = connection_open_secrets(q->db, q->hub->keyring, q->arena, row, g->secrets, &g->n, why)))
        return e;
    for (size_t i = 0; i < g->n; i++)
        lent[i] = (struct auth_secret){ g->secrets[i].name, g->secrets[i].value };
    struct auth_input in = { .options = auth->options, .fields = fields, .secrets = lent, .secret_count = g->n,
                             .digits_ok = q->hub->header_digits_ok };
    e = oauth_profile_of(q->db, q->hub->keyring, q->arena, &in, row->id, &g->profile, why);
    g->has_profile = !e;
    struct tls_context *base = issuers_tls(q->hub->issuers);
    if (e || (e = client_tls(base, q->db, q->hub->keyring, q->arena, row, &g->profile, &g->tls, why)))
        return e;
    return client_tls_next(base, q->db, q->hub->keyring, q->arena, row, &g->profile, &g->next_tls, why);
}

/* ---- begin ---- */

static bool is_device(const struct connection_row *row) { return str_is(row->auth_type, "oauth2_device_code"); }

struct beginning {
    struct web_request *q;
    const struct connection_row *row;
    struct authorization t;
    struct str browser;
    struct secret device_code;
    char link[AUTHORIZATION_TEXT];
};

static enum err begin(struct db *db, void *context, struct fault *why)
{
    struct beginning *b = context;
    struct web_request *q = b->q;
    enum err e;
    q->audit.object = b->row->id;
    q->audit.name = b->row->name;
    q->audit.folder = b->row->folder;
    if ((e = policy_check_authorize(q, db, b->row, why)) ||
        (e = authorization_begin(db, q->arena, &b->t, b->browser, b->link, why)) ||
        (b->t.device && (e = authorization_device(db, q->hub->keyring, &b->t, b->device_code, why))) ||
        (b->t.session.n && (e = connect_session_begun(db, b->t.session, b->t.id, why))))
        return e;
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    json_member_str(&o, "authorization", b->t.id);
    json_member_str(&o, "kind", b->t.device ? STR("device") : STR("code"));
    json_close(&o, '}');
    q->audit.after = change_text(q, &text);
    return ERR_NONE;
}

static struct str link_url(struct web_request *q, const char *link)
{
    return str_fmt(q->arena, "%.*s/oauth/start/%s", STR_ARG(q->hub->public_url), link);
}

enum err authorize_begin(struct web_request *q, const struct connection_row *row, struct str browser, struct str session,
                         struct str return_path, bool accept_account, struct authorize_begun *out, struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    AUTO_GRIP g = { 0 };
    struct beginning b = { .q = q, .row = row, .browser = browser };
    enum err e;
    if (!how || !how->by_person)
        return fault(why, ERR_AUTHORIZE_NOT_OFFERED, row->auth_type, "nobody authorizes this auth type");
    if ((e = grip_open(q, row, &g, why)))
        return e;
    b.t = (struct authorization){ .connection = row->id, .principal = q->caller->principal, .session = session,
                                  .token = acting_token(q->caller), .accept_account = accept_account,
                                  .issuer = g.profile.issuer, .return_path = return_path, .device = is_device(row),
                                  .redirect_uri = oauth_redirect_uri(q) };
    if (!b.t.device && (!g.profile.authorization_url.n || !g.profile.client_id.n))
        return fault(why, ERR_OAUTH_CLIENT_MISSING, STR(""), "no authorization URL or client id");
    if (b.t.device &&
        (e = authorization_device_ask(q->hub->issuers, q->hub->egress, q->arena,
                                      &(struct client_door){ &g.profile, g.tls, g.next_tls }, &b.t, &b.device_code, why)))
        return e;
    e = web_write(q, begin, &b, why);
    secret_end(&b.device_code);
    if (e)
        return e;
    if (b.t.device)
        device_flows_wake(q->hub->devices);
    out->t = b.t;
    out->url = !b.t.device                             ? link_url(q, b.link)
               : b.t.verification_uri_complete.n ? b.t.verification_uri_complete
                                                       : b.t.verification_uri;
    return ERR_NONE;
}

void authorize_write(struct web_request *q, struct json_out *o, const struct authorization *t, struct str url)
{
    (void)q;
    json_open(o, '{');
    json_member_str(o, "id", t->id);
    json_member_str(o, "connection", t->connection);
    json_member_str(o, "kind", t->device ? STR("device") : STR("code"));
    json_member_str(o, "state", str_of(authorization_state_name(t->state)));
    json_member_str(o, "reason", t->reason.n ? t->reason : STR_NONE);
    if (url.n)
        json_member_str(o, "authorization_url", url);
    json_member_str(o, "user_code", t->device ? t->user_code : STR_NONE);
    json_member_str(o, "verification_uri", t->device ? t->verification_uri : STR_NONE);
    json_member_time(o, "created_at", t->created);
    json_member_time(o, "expires_at", t->expires);
    json_member_time(o, "ended_at", t->ended);
    json_close(o, '}');
}

struct str authorize_browser(struct web_request *q, struct reply *r)
{
    struct str there = cookie_authorize(q->head, q->hub);
    if (!authorization_text_ok(there)) {
        char *made = arena_zero(q->arena, AUTHORIZATION_TEXT);
        random_text(made, AUTHORIZATION_TEXT - 1);
        there = str_of(made);
    }
    cookie_set_authorize(q, r, there);
    return there;
}

enum err connections_authorize(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "return", "accept_account_change", NULL }, *const allowed[] = { "folder", NULL };
    struct connection_row row;
    struct authorize_begun begun;
    struct str back, browser = STR_NONE;
    bool accept = false;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = json_only(body_of(q), members, "", why)) ||
        (e = body_text(body_of(q), "return", false, 512, &back, why)) ||
        (e = body_bool(body_of(q), "accept_account_change", &accept, why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_SECRETS_WRITE, &row, why)))
        return e;
    if (back.p && !oidc_return_path_ok(back))
        return body_fault(why, ERR_FIELD_INVALID, "return", "a path of this hub");
    if (q->caller->session.n)
        browser = authorize_browser(q, r); /* whose person asks: the link is good in no other */
    if ((e = authorize_begin(q, &row, browser, STR(""), back, accept, &begun, why)))
        return e;
    r->status = 201;
    struct json_out o = json_out(&r->body);
    authorize_write(q, &o, &begun.t, begun.url);
    return ERR_NONE;
}

/* By who began it, or who may enter the connection's credentials. */
enum err authorizations_get(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { NULL };
    struct authorization t;
    struct connection_row row;
    enum err e;
    if ((e = web_only_query(q, allowed, why)))
        return e;
    caller_asked(q->caller, RIGHT_VIEW);
    if ((e = authorization_get(q->db, q->arena, q->params[0], &t, why)))
        return e;
    if ((e = connection_seen(q, q->db, t.connection, &row, why)))
        return e == ERR_CONNECTION_NOT_FOUND ? fault(why, ERR_NOT_FOUND, STR("authorization"), "of a connection not seen") : e;
    struct json_out o = json_out(&r->body);
    authorize_write(q, &o, &t, STR(""));
    return ERR_NONE;
}

/* ---- what people read ---- */

void authorize_sorry(struct web_request *q, struct reply *r, const struct fault *why, struct str said, struct str retry)
{
    const struct err_row *row = err_row(why->err);
    bool french = q->language == LANG_FR;
    char say[768];
    fault_say(why, q->language, say, sizeof say);
    buf_clear(&r->body);
    r->status = row->status;
    reply_header(r, "Raccord-Error", str_of(row->code));
    page_begin(q, r, str_of(row->title[q->language]), STR(""));
    page_paragraph(&r->body, str_of(say));
    if (said.n)
        page_paragraph(&r->body, str_fmt(q->arena, french ? "Le fournisseur dit : « %.*s »" : "The provider says: “%.*s”",
                                         STR_ARG(said)));
    if (retry.n) {
        buf_add(&r->body, STR("<p><a href=\""));
        page_escape(&r->body, retry);
        buf_add(&r->body, french ? STR("\">Réessayer</a></p>\n") : STR("\">Try again</a></p>\n"));
    } else {
        page_paragraph(&r->body, french ? STR("Recommencez là où vous avez commencé. Vous pouvez fermer cette fenêtre.")
                                        : STR("Start again where you began. You can close this window."));
    }
    page_end(r);
    log_fault(row->blame == BLAME_HUB ? LOG_ERROR : LOG_INFO, "an authorization did not work", why);
}

/* ---- out ---- */

struct sending {
    struct str id, browser, state, issuer;
};

static enum err send_off(struct db *db, void *context, struct fault *why)
{
    const struct sending *s = context;
    return authorization_send(db, s->id, s->browser, s->state, s->issuer, why);
}

static enum err go_out(struct web_request *q, struct reply *r, struct str *url, struct fault *why)
{
    struct authorization t;
    struct connection_row row;
    AUTO_GRIP g = { 0 };
    struct str browser = cookie_authorize(q->head, q->hub);
    char *state = arena_zero(q->arena, AUTHORIZATION_TEXT);
    enum err e;
    if ((e = authorization_find(q->db, q->arena, q->params[0], authorization_text_ok(browser) ? browser : STR_NONE, &t, why)) ||
        (e = acting_as(q, q->db, t.principal, t.token, t.id, why)) ||
        (e = connection_need(q, q->db, t.connection, RIGHT_SECRETS_WRITE, &row, why)) || (e = row_to_be(q, &t, &row, why)) ||
        (e = grip_open(q, &row, &g, why)))
        return e;
    random_text(state, AUTHORIZATION_TEXT - 1);
    browser = authorize_browser(q, r);
    struct authorization_request ask = { t.redirect_uri, str_of(state), authorization_verifier(q->arena, browser, str_of(state)) };
    struct sending s = { t.id, browser, str_of(state), g.profile.issuer };
    if ((e = authorization_url(q->hub->issuers, q->arena, &(struct client_door){ &g.profile, g.tls, g.next_tls }, &ask, url, why)))
        return e;
    return store_write(q->hub->store, send_off, &s, why);
}

enum err oauth_start(struct web_request *q, struct reply *r, struct fault *why)
{
    struct str url;
    if (go_out(q, r, &url, why)) {
        authorize_sorry(q, r, why, STR(""), STR(""));
        return ERR_NONE;
    }
    r->status = 303;
    reply_header(r, "Location", url);
    return ERR_NONE;
}

/* ---- back ---- */

struct arrival {
    struct web_request *q;
    struct str state, code, iss, error, description; /* p == NULL: not there */
    struct json *more;         /* what else came, for fields of the connection (OAU-23) */
    struct authorization t;
    struct connection_row row;
    const struct json *capture;
};

static bool decode(struct arena *a, struct str in, struct str *out) { return form_decode(a, in, out) && utf8_valid(*out); }

static enum err malformed(struct fault *why, struct str what) { return fault(why, ERR_AUTHORIZATION_INVALID, what, "callback"); }

/* RFC 6749 3.1: no parameter comes twice. */
static enum err read_return(struct arrival *v, struct fault *why)
{
    struct { const char *name; struct str *to; size_t most; } known[] = {
        { "state", &v->state, TEXT_MOST }, { "code", &v->code, CODE_MOST }, { "iss", &v->iss, TEXT_MOST },
        { "error", &v->error, TEXT_MOST }, { "error_description", &v->description, TEXT_MOST },
    };
    struct str rest = v->q->query, piece, key, value;
    struct json *last = NULL;
    v->more = json_new(v->q->arena, JSON_OBJECT);
    while (str_piece(&rest, '&', &piece)) {
        struct str raw_key, raw_value, *to = NULL;
        size_t most = TEXT_MOST;
        str_cut(piece, '=', &raw_key, &raw_value);
        if (!piece.n)
            continue;
        if (!decode(v->q->arena, raw_key, &key) || !decode(v->q->arena, raw_value, &value))
            return malformed(why, STR("a parameter is not text"));
        for (size_t i = 0; i < COUNT(known); i++)
            if (str_is(key, known[i].name)) {
                to = known[i].to;
                most = known[i].most;
            }
        if (value.n > most || key.n > 64)
            return malformed(why, STR("a parameter is too long"));
        if ((to && to->p) || json_get_str(v->more, key))
            return malformed(why, STR("a parameter comes twice"));
        if (to) {
            *to = value.p ? value : STR("");
        } else if (v->more->count < MORE_PARAMETERS && key.n && !str_has_control(value)) {
            struct json *j = json_new(v->q->arena, JSON_STRING);
            j->key = key;
            j->text = value;
            json_link(v->q->arena, v->more, &last, j);
        }
    }
    if (!v->state.n)
        return malformed(why, STR("state is missing"));
    if (!v->error.n && !v->code.n)
        return malformed(why, STR("code is missing"));
    return v->error.n && v->code.n ? malformed(why, STR("code and error exclude each other")) : ERR_NONE;
}

static enum err take(struct db *db, void *context, struct fault *why)
{
    struct arrival *v = context;
    return authorization_take(db, v->q->arena, v->state, cookie_authorize(v->q->head, v->q->hub), &v->t, why);
}

static enum err exchange(struct arrival *v, const struct oauth_profile *p, struct fault *why)
{
    struct web_request *q = v->q;
    struct str verifier = authorization_verifier(q->arena, cookie_authorize(q->head, q->hub), v->state);
    struct token_param params[] = { { STR("grant_type"), STR("authorization_code") },
                                    { STR("code"), v->code },
                                    { STR("redirect_uri"), v->t.redirect_uri },
                                    { STR("code_verifier"), verifier } };
    return renewals_obtain(q->hub->renewals, v->row.id, params, p->pkce ? COUNT(params) : COUNT(params) - 1,
                           v->t.accept_account, why);
}

/* Parameters of the way back that the connector wants as fields, held against the same rules as what a person types. */
static enum err captured(struct arrival *v, struct connection_row *row, bool *some, struct fault *why)
{
    struct web_request *q = v->q;
    const struct connector *c = catalog_find(q->hub->catalog, row->connector);
    struct json *fields;
    struct setup s;
    enum err e = json_read(q->arena, row->fields.n ? row->fields : STR("{}"), &fields, why);
    *some = false;
    if (e || !c || !capture_into(q->arena, v->capture, v->more, fields) ||
        (e = setup_check_fields(q->arena, c, row->auth_type, fields, row->allowed_domain, q->hub->egress, q->hub->header_digits_ok,
                                &s, why)))
        return e;
    *some = !str_eq(row->fields, s.fields);
    row->fields = arena_str(q->arena, s.fields);
    setup_end(&s);
    return ERR_NONE;
}

static enum err settle(struct db *db, void *context, struct fault *why)
{
    struct arrival *v = context;
    struct web_request *q = v->q;
    struct connection_row row;
    struct fault flaw;
    bool disabled = false, some;
    enum err e;
    if ((e = connection_get(db, q->arena, v->row.id, &row, why)) || (e = policy_starts_disabled(q, db, &row, &disabled, why)))
        return e;
    q->audit.before = connection_audit(q, &v->row);
    if (captured(v, &row, &some, &flaw)) {
        log_fault(LOG_WARN, "a field that came back with the browser is not acceptable", &flaw);
        some = false;
    }
    bool first = v->row.state == CONNECTION_NEEDS_AUTH || v->row.state == CONNECTION_DRAFT;
    if (first)
        row.state = disabled ? CONNECTION_DISABLED : CONNECTION_ACTIVE;
    if ((e = connection_adopt(db, &row, q->caller->principal, why)) || ((first || some) && (e = connection_update(db, &row, why))))
        return e;
    q->audit.after = connection_audit(q, &row);
    if ((e = authorization_end(db, v->t.id, AUTHORIZATION_DONE, STR(""), why)))
        return e;
    return v->t.session.n ? connect_session_done(db, v->t.session, why) : ERR_NONE;
}

/* Withdrawn, or too late: before anything is asked for, so that nothing is to be given back. */
static enum err check_session(struct arrival *v, struct connect_session *s, struct fault *why)
{
    *s = (struct connect_session){ 0 };
    enum err e = v->t.session.n ? connect_session_get(v->q->db, v->q->arena, v->t.session, s, why) : ERR_NONE;
    if (e || !v->t.session.n || s->state == CONNECT_OPEN)
        return e;
    return fault(why, ERR_CONNECT_LINK_INVALID, STR(""), "the connect session ended meanwhile");
}

static enum err arrive(struct arrival *v, struct reply *r, struct fault *why)
{
    struct web_request *q = v->q;
    struct connect_session s;
    struct connection_row to_be;
    AUTO_GRIP g = { 0 };
    enum err e;
    if ((e = acting_as(q, q->db, v->t.principal, v->t.token, v->t.session.n ? v->t.session : v->t.id, why)) ||
        (e = connection_need(q, q->db, v->t.connection, RIGHT_SECRETS_WRITE, &v->row, why)))
        return e;
    q->audit.object = v->row.id;
    q->audit.name = v->row.name;
    q->audit.folder = v->row.folder;
    to_be = v->row;
    if ((e = check_session(v, &s, why)) || (e = connection_fields_to_be(q, &s, &to_be, why)) ||
        (e = grip_open(q, &to_be, &g, why)) || (e = authorization_check_issuer(&g.profile, v->t.issuer, v->iss, why)))
        return e;
    if (v->error.n)
        return fault(why, ERR_AUTHORIZATION_REFUSED, told_text(q->arena, v->error), "the provider said no");
    /* The code may be good at the address that the new fields make alone. */
    if ((e = connection_fields_take_effect(q, r, &s, &v->row, why)))
        return e;
    v->capture = g.profile.capture;
    if ((e = exchange(v, &g.profile, why)))
        return e;
    e = web_write(q, settle, v, why);
    switchboard_forget_connection(q->hub->switchboard, v->row.id);
    return e;
}

struct ending {
    struct arrival *v;
    const struct fault *why;
    char link[AUTHORIZATION_TEXT];
};

/* It is over; the same person may try once more, in this browser. */
static enum err give_up(struct db *db, void *context, struct fault *why)
{
    struct ending *x = context;
    struct authorization again = x->v->t;
    struct web_request *q = x->v->q;
    struct str reason = str_of(err_row(x->why->err)->code);
    if (x->why->err == ERR_AUTHORIZATION_REFUSED || x->why->err == ERR_NEEDS_AUTH || x->why->err == ERR_OAUTH_CLIENT)
        reason = str_of(x->why->subject);
    enum err e = authorization_end(db, x->v->t.id, AUTHORIZATION_FAILED, arena_str(q->arena, reason), why);
    again.expires = 0;
    return e ? e : authorization_begin(db, q->arena, &again, cookie_authorize(q->head, q->hub), x->link, why);
}

static void welcome(struct arrival *v, struct reply *r)
{
    struct web_request *q = v->q;
    struct str back = v->t.return_path;
    struct str url = back.n ? str_fmt(q->arena, "%.*s%.*s", STR_ARG(q->hub->public_url), STR_ARG(back)) : STR("");
    page_small(
        q, r,
        &(struct page_text){ .title = { "Connected", "Connexion autorisée" },
                             .text = { back.n ? "You are being taken back." : "It is done. You can close this window.",
                                       back.n ? "Vous allez être redirigé." : "C'est fait. Vous pouvez fermer cette fenêtre." },
                             .link = { "Go on", "Continuer" },
                             .url = url,
                             .at_once = back.n > 0 });
}

enum err oauth_callback(struct web_request *q, struct reply *r, struct fault *why)
{
    struct arrival v = { .q = q };
    struct fault other;
    enum err e;
    if ((e = read_return(&v, why)) || (e = authorization_look(q->db, v.state, cookie_authorize(q->head, q->hub), why)) ||
        (e = store_write(q->hub->store, take, &v, why))) {
        q->audit.written = true; /* anybody can knock here: nothing was begun, and nothing changed */
        authorize_sorry(q, r, why, STR(""), STR(""));
        return ERR_NONE;
    }
    if (!(e = arrive(&v, r, why))) {
        welcome(&v, r);
        return ERR_NONE;
    }
    struct ending x = { .v = &v, .why = why };
    bool retry = !store_write(q->hub->store, give_up, &x, &other);
    if (!retry)
        log_fault(LOG_ERROR, "an authorization that failed was not written down", &other);
    change_settle(q, e);
    q->audit.written = true;
    authorize_sorry(q, r, why, v.description.p ? told_text(q->arena, v.description) : STR(""),
                    retry && q->caller ? link_url(q, x.link) : STR(""));
    return ERR_NONE;
}
