/* web/connect_page.c - the page behind a connect session's link, without a script: a button to the provider, a code to type there,
 * or a form for credentials (UX-20). Whoever has the link acts in the name of its maker, on that one connection.
 *
 * Opening the page binds nothing: what looks at links in messages opens them, too. The first browser that sends the form has it.
 */
#include "auth/connect_session.h"

#include "auth/obtain.h"
#include "base/encode.h"
#include "base/log.h"
#include "catalog/connector_logo.h"
#include "catalog/setup.h"
#include "crypto/hash.h"
#include "web/acting.h"
#include "web/authorize.h"
#include "web/body.h"
#include "web/change.h"
#include "web/connection_fields.h"
#include "web/connection_oauth.h"
#include "web/connection_view.h"
#include "web/cookie.h"
#include "web/handlers.h"
#include "web/markdown.h"
#include "web/pages.h"

#define REFERRER STR("<meta name=\"referrer\" content=\"same-origin\">\n") /* a form's Origin would be null otherwise */
#define CSRF_NAME "csrf"

struct visit {
    struct web_request *q;
    struct str link, browser, csrf;
    struct connect_session s;
    struct connection_row row;
    const struct connector *connector;
    const struct connector_auth *auth;
    const struct json *wanted;  /* of a connection that is made when the form comes; NULL: it is there */
    struct json *change;        /* what the form changes of one that is there, as PATCH takes it; NULL: it did not come yet */
    bool by_person;
};

/* ---- who is here, and what for ---- */

/* Only a page of ours, opened in this browser, knows it. */
static struct str csrf_of(struct arena *a, struct str browser, struct str link)
{
    unsigned char digest[SHA256_SIZE];
    hmac_sha256(browser, arena_join(a, STR("connect|"), link), digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}

static enum err find_connection(struct visit *v, struct fault *why)
{
    struct web_request *q = v->q;
    enum err e = connection_need(q, q->db, v->s.connection, RIGHT_SECRETS_WRITE, &v->row, why);
    return e == ERR_CONNECTION_NOT_FOUND || e == ERR_DENIED
               ? fault(why, ERR_CONNECT_LINK_INVALID, STR(""), "its maker may not do this any more")
               : e;
}

static enum err read_wanted(struct visit *v, struct fault *why)
{
    struct json *wanted;
    enum err e = json_read(v->q->arena, v->s.wanted, &wanted, why);
    if (e)
        return e;
    const struct connector *c = catalog_find(v->q->hub->catalog, json_str(wanted, "connector"));
    struct str name = json_str(wanted, "name"), key = json_str(wanted, "key"), type = json_str(wanted, "auth_type");
    if (!c)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, json_str(wanted, "connector"), "connector is gone");
    v->wanted = wanted;
    v->row = (struct connection_row){ .connector = c->id, .auth_type = type.n ? type : c->auth[0].type,
                                      .name = name.n ? name : key.n ? key : c->name, .fields = STR("{}") };
    return ERR_NONE;
}

static enum err enter(struct visit *v, struct reply *r, struct fault *why)
{
    struct web_request *q = v->q;
    struct str there = cookie_authorize(q->head, q->hub);
    enum err e;
    v->link = q->params[0];
    if ((e = connect_session_find(q->db, q->arena, v->link, authorization_text_ok(there) ? there : STR_NONE, &v->s, why)))
        return e;
    if ((e = acting_as(q, q->db, v->s.principal, v->s.token, v->s.id, why)))
        return e == ERR_AUTHORIZATION_OVER ? fault(why, ERR_CONNECT_LINK_INVALID, STR(""), "its maker is gone") : e;
    if ((e = v->s.connection.n ? find_connection(v, why) : read_wanted(v, why)))
        return e;
    v->connector = catalog_find(q->hub->catalog, v->row.connector);
    v->auth = v->connector ? connector_auth_find(v->connector, v->row.auth_type) : NULL;
    if (!v->auth)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, v->row.connector, "stored connector is gone");
    const struct obtain *how = obtain_find(v->row.auth_type);
    v->by_person = how && how->by_person;
    v->browser = authorize_browser(q, r);
    v->csrf = csrf_of(q->arena, v->browser, v->link);
    return ERR_NONE;
}

/* ---- the page ---- */

static struct str say(const struct visit *v, const char *en, const char *fr)
{
    return str_of(v->q->language == LANG_FR ? fr : en);
}

static void attribute(struct buf *b, const char *name, struct str value)
{
    buf_fmt(b, " %s=\"", name);
    page_escape(b, value);
    buf_char(b, '"');
}

static void tag_text(struct buf *b, const char *tag, struct str text)
{
    buf_fmt(b, "<%s>", tag);
    page_escape(b, text);
    buf_fmt(b, "</%s>\n", tag);
}

static const struct json *settled(struct visit *v)
{
    struct json *fields = NULL;
    struct fault ignored;
    if (v->wanted)
        return json_get(v->wanted, "fields");
    return json_read(v->q->arena, v->row.fields.n ? v->row.fields : STR("{}"), &fields, &ignored) ? NULL : fields;
}

static const struct json *given(const struct json *fields, const struct connector_field *f)
{
    json_each (v, fields)
        if (connector_field_answers(f, v->key))
            return v;
    return NULL;
}

/* As people type it; of a map: nothing. */
static struct str text_of(const struct json *value)
{
    switch (value->type) {
    case JSON_TRUE: return STR("true");
    case JSON_FALSE: return STR("false");
    case JSON_STRING:
    case JSON_NUMBER: return value->text;
    default: return STR("");
    }
}

/* What was sent and not taken stands there again, else what there is; secrets do not. */
static struct str value_of(struct visit *v, const struct connector_field *f, struct str id)
{
    struct str sent = json_str(body_of(v->q), id.p);
    const struct json *now = given(settled(v), f), *entered = json_get_str(json_get(v->change, "fields"), f->key);
    if (connection_field_changes(&v->s, f))
        return entered ? text_of(entered) : now ? text_of(now) : STR("");
    if (f->secret || f->type == FIELD_SECRET || f->type == FIELD_MULTILINE_SECRET || str_find(sent, 0) != SIZE_MAX)
        return STR(""); /* the last: it was wiped */
    return sent.p ? sent : f->preset;
}

static void write_options(struct buf *b, const struct connector_field *f, struct str chosen, const char *const yes_no[2])
{
    if (f->changeable && !f->required && !chosen.n)
        buf_add(b, STR("<option value=\"\" selected></option>\n")); /* nothing was chosen, and nothing has to be */
    for (size_t i = 0; yes_no ? i < 2 : i < COUNT(f->options) && f->options[i].n; i++) {
        struct str value = yes_no ? (i ? STR("false") : STR("true")) : f->options[i];
        buf_add(b, STR("<option"));
        attribute(b, "value", value);
        buf_add(b, str_eq(value, chosen) ? STR(" selected>") : STR(">"));
        page_escape(b, yes_no ? str_of(yes_no[i]) : value);
        buf_add(b, STR("</option>\n"));
    }
}

static void write_field(struct visit *v, struct buf *b, const char *kind, const struct connector_field *f)
{
    static const char *const yes_no[2][2] = { { "Yes", "No" }, { "Oui", "Non" } };
    enum language lang = v->q->language;
    struct str label = f->label[lang].n ? f->label[lang] : f->label[LANG_EN].n ? f->label[LANG_EN] : f->key;
    struct str help = f->help[lang].n ? f->help[lang] : f->help[LANG_EN];
    struct str id = str_fmt(v->q->arena, "%s-%.*s", kind, STR_ARG(f->key)), value = value_of(v, f, id);
    buf_add(b, STR("<label"));
    attribute(b, "for", id);
    buf_add(b, STR(">"));
    page_escape(b, label);
    buf_add(b, STR("</label>\n"));
    bool prose = f->type == FIELD_MULTILINE_SECRET, boolean = f->type == FIELD_BOOLEAN, select = f->type == FIELD_SELECT || boolean;
    buf_add(b, prose ? STR("<textarea rows=\"6\"") : select ? STR("<select") : STR("<input"));
    attribute(b, "id", id);
    attribute(b, "name", id);
    buf_add(b, STR(" autocomplete=\"off\" spellcheck=\"false\""));
    if (f->required && !f->may_be_empty)
        buf_add(b, STR(" required"));
    if (prose) {
        buf_add(b, STR("></textarea>\n"));
    } else if (select) {
        buf_add(b, STR(">\n"));
        write_options(b, f, value, boolean ? yes_no[lang] : NULL);
        buf_add(b, STR("</select>\n"));
    } else {
        attribute(b, "placeholder", f->placeholder);
        if (value.n)
            attribute(b, "value", value);
        buf_add(b, f->secret || f->type == FIELD_SECRET ? STR(" type=\"password\">\n") : STR(" type=\"text\">\n"));
    }
    if (help.n) {
        buf_add(b, STR("<p class=\"hint\">"));
        page_escape(b, help);
        buf_add(b, STR("</p>\n"));
    }
}

/* ---- the connection's own fields ---- */

static void each_field(struct visit *v, void (*visit)(struct visit *v, const struct connector_field *f, void *context),
                       void *context)
{
    for (size_t i = 0; i < v->connector->field_count; i++)
        visit(v, &v->connector->fields[i], context);
    for (size_t i = 0; i < v->auth->field_count; i++)
        visit(v, &v->auth->fields[i], context);
}

/* Those that the link's maker left to whoever has the link. */
static bool is_asked(struct visit *v, const struct connector_field *f)
{
    if (connection_field_changes(&v->s, f))
        return true;
    return v->wanted && !f->generated && f->type != FIELD_MAP && (f->required || !f->advanced) && !given(settled(v), f);
}

static void write_asked(struct visit *v, const struct connector_field *f, void *buf)
{
    if (is_asked(v, f))
        write_field(v, buf, "field", f);
}

static void write_settled(struct visit *v, const struct connector_field *f, void *buf)
{
    const struct json *value = given(settled(v), f);
    bool all = v->s.connection.n && v->s.change_fields; /* who may change some sees them all */
    if (!value || !text_of(value).n || f->secret || connection_field_changes(&v->s, f) || !(f->required || f->generated || all))
        return;
    tag_text(buf, "dt", f->label[v->q->language]);
    tag_text(buf, "dd", text_of(value));
}

/* By what people know it, and what of the connection is settled already. */
static void write_known(struct visit *v, struct buf *b)
{
    buf_add(b, STR("<p class=\"known\">"));
    connector_logo_svg(b, v->connector);
    tag_text(b, "span", v->connector->name);
    buf_add(b, STR("</p>\n<dl>\n"));
    each_field(v, write_settled, b);
    buf_add(b, STR("</dl>\n"));
}

/* How to get what is asked for. With OAuth that is written for who registers the hub, not for who signs in. */
static void write_instructions(struct visit *v, struct buf *b)
{
    struct str text = v->auth->instructions[v->q->language];
    if (v->by_person || !text.n)
        return;
    buf_add(b, STR("<details>\n"));
    tag_text(b, "summary", say(v, "Where to find it", "Où le trouver"));
    markdown_write(b, text);
    buf_add(b, STR("</details>\n"));
}

static void write_form(struct visit *v, struct buf *b, struct str button)
{
    buf_add(b, STR("<form method=\"post\""));
    attribute(b, "action", str_fmt(v->q->arena, "%.*s/connect/%.*s", STR_ARG(v->q->hub->public_url), STR_ARG(v->link)));
    buf_add(b, STR(">\n<input type=\"hidden\" name=\"" CSRF_NAME "\""));
    attribute(b, "value", v->csrf);
    buf_add(b, STR(">\n"));
    each_field(v, write_asked, b);
    for (size_t i = 0; !v->by_person && i < v->auth->credential_count; i++)
        write_field(v, b, "credential", &v->auth->credentials[i]);
    buf_add(b, STR("<button class=\"act\" type=\"submit\">"));
    page_escape(b, button);
    buf_add(b, STR("</button>\n</form>\n"));
}

static struct str about(struct visit *v)
{
    return str_fmt(v->q->arena, v->q->language == LANG_FR ? "%.*s vous demande de connecter « %.*s » (%.*s) à ce hub Raccord : %.*s"
                                                          : "%.*s asks you to connect “%.*s” (%.*s) to this Raccord hub: %.*s",
                   STR_ARG(v->q->caller->name), STR_ARG(v->row.name), STR_ARG(v->connector->name), STR_ARG(v->q->hub->public_url));
}

static void write_page(struct visit *v, struct reply *r, const struct fault *problem)
{
    struct buf *b = &r->body;
    page_begin(v->q, r, say(v, "Connect an account", "Connecter un compte"), REFERRER);
    page_paragraph(b, about(v));
    write_known(v, b);
    page_paragraph(
        b, v->by_person
               ? say(v, "You go on to the provider, sign in there and decide. Your password stays there.",
                     "Vous continuez chez le fournisseur, vous vous y identifiez et vous décidez. Votre mot de passe y reste.")
               : say(v, "What you enter is kept sealed, and shown to nobody again, not even to who asks you.",
                     "Ce que vous saisissez est conservé scellé et n'est plus montré à personne, même pas à qui vous le demande."));
    if (problem) {
        char text[768];
        buf_add(b, STR("<div id=\"problem\" role=\"alert\">"));
        page_escape(b, str_of(fault_say(problem, v->q->language, text, sizeof text)));
        buf_add(b, STR("</div>\n"));
    }
    write_instructions(v, b);
    write_form(v, b,
               v->by_person ? say(v, "Go on to the provider", "Continuer chez le fournisseur") : say(v, "Connect", "Connecter"));
    page_paragraph(b, say(v, "If you do not expect this, close the window: nothing happens.",
                          "Si vous ne vous y attendez pas, fermez la fenêtre : rien ne se passe."));
    page_end(r);
}

/* It looks again by itself until the person has typed the code there. */
static void write_code(struct visit *v, struct reply *r, const struct authorization *t)
{
    struct buf *b = &r->body;
    struct str page = t->verification_uri_complete.n ? t->verification_uri_complete : t->verification_uri;
    page_begin(v->q, r, say(v, "Enter this code", "Saisissez ce code"), STR("<meta http-equiv=\"refresh\" content=\"5\">\n"));
    page_paragraph(b, say(v, "Open the provider's page, sign in, and enter the code:",
                          "Ouvrez la page du fournisseur, identifiez-vous et saisissez le code :"));
    tag_text(b, "pre", t->user_code);
    buf_add(b, STR("<p><a target=\"_blank\" rel=\"noopener noreferrer\""));
    attribute(b, "href", page);
    buf_char(b, '>');
    page_escape(b, t->verification_uri);
    buf_add(b, STR("</a></p>\n"));
    page_paragraph(
        b, say(v, "This page goes on by itself when that is done.", "Cette page continue d'elle-même une fois que c'est fait."));
    page_end(r);
}

static void write_done(struct web_request *q, struct reply *r)
{
    page_small(q, r, &(struct page_text){ .title = { "Connected", "Connexion établie" },
                                          .text = { "It is done. You can close this window.",
                                                    "C'est fait. Vous pouvez fermer cette fenêtre." } });
}

/* ---- doors ---- */

static bool waiting(struct visit *v, struct authorization *t)
{
    struct fault none;
    return v->s.authorization.n && !authorization_get(v->q->db, v->q->arena, v->s.authorization, t, &none) && t->device &&
           t->state == AUTHORIZATION_PENDING;
}

enum err connect_page_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct visit v = { .q = q };
    struct authorization t;
    enum err e = enter(&v, r, why);
    if (e)
        authorize_sorry(q, r, why, STR(""), STR(""));
    else if (waiting(&v, &t))
        write_code(&v, r, &t);
    else
        write_page(&v, r, NULL);
    return ERR_NONE;
}

static enum err check_csrf(const struct visit *v, struct fault *why)
{
    struct str sent = json_str(body_of(v->q), CSRF_NAME);
    if (sent.n != v->csrf.n || !equal_constant_time(sent.p, v->csrf.p, v->csrf.n))
        return fault(why, ERR_CSRF, STR(""), "connect page");
    return ERR_NONE;
}

static enum err bind(struct db *db, void *visit, struct fault *why)
{
    const struct visit *v = visit;
    return connect_session_bind(db, v->s.id, v->browser, why);
}

static enum err done(struct db *db, void *visit, struct fault *why)
{
    const struct visit *v = visit;
    v->q->audit.object = v->s.id;
    v->q->audit.name = v->row.name;
    v->q->audit.folder = v->row.folder;
    return connect_session_done(db, v->s.id, why);
}

/* Its texts are its own: whoever takes it wipes them. */
static enum err own(struct arena *a, const struct json *v, struct json **out, struct fault *why)
{
    AUTO_BUF text;
    buf_init(&text, 256 * 1024);
    struct json_out o = json_out(&text);
    json_put(&o, v);
    return json_read(a, arena_str(a, buf_str(&text)), out, why);
}

/* Does the form change any field of the connection that is there? */
static bool changes(const struct visit *v)
{
    const struct json *fields = json_get(v->change, "fields");
    return fields && fields->count;
}

/* credential-x=... of the form, as the API takes them. What is left empty is not given. */
static struct json *credentials_of(struct visit *v)
{
    struct arena *a = v->q->arena;
    struct str prefix = STR("credential-");
    struct json *out = json_new(a, JSON_OBJECT), *inner = json_new(a, JSON_OBJECT), *last = NULL, *inner_last = NULL;
    inner->key = STR("credentials");
    json_each (f, body_of(v->q)) {
        if (!str_starts(f->key, prefix) || !f->text.n)
            continue;
        struct json *copy = json_new(a, JSON_STRING);
        copy->key = str_sub(f->key, prefix.n, f->key.n);
        copy->text = f->text;
        json_link(a, inner, &inner_last, copy);
    }
    json_link(a, out, &last, inner);
    return out;
}

/* The fields that change with them go along. */
static enum err credentials_and_fields(struct visit *v, struct json **out, struct fault *why)
{
    struct json *last = NULL, *fields;
    *out = credentials_of(v);
    if (!changes(v))
        return ERR_NONE;
    json_each(member, *out)
        last = member;
    enum err e = own(v->q->arena, json_get(v->change, "fields"), &fields, why);
    if (e)
        return e;
    fields->key = STR("fields");
    json_link(v->q->arena, *out, &last, fields);
    return ERR_NONE;
}

static bool can_verify(struct visit *v)
{
    struct setup_target target;
    struct json *fields;
    struct fault ignored;
    return !json_read(v->q->arena, v->row.fields, &fields, &ignored) &&
           !setup_target(v->q->arena, v->connector, v->auth, fields, &target, &ignored) && target.verify_path.n;
}

/* As PUT .../credentials would. */
static enum err enter_credentials(struct visit *v, struct reply *r, struct fault *why)
{
    struct web_request *q = v->q;
    struct str path = str_fmt(q->arena, "/api/v1/connections/%.*s/credentials", STR_ARG(v->row.id));
    struct json *body;
    enum err e = credentials_and_fields(v, &body, why);
    if (e)
        return e;
    struct web_request inner = acting_request(q, METHOD_PUT, path, body);
    inner.params[0] = v->row.id;
    inner.param_count = 1;
    inner.query = can_verify(v) ? STR("verify=true") : STR("");
    e = connections_credentials(&inner, r, why);
    body_wipe(q);
    acting_forget_answer(r);
    return e ? e : web_write(q, done, v, why);
}

struct filling { struct json *fields, *last; };

static void take_field(struct visit *v, const struct connector_field *f, void *filling)
{
    struct filling *x = filling;
    struct arena *a = v->q->arena;
    struct str sent = json_str(body_of(v->q), str_fmt(a, "field-%.*s", STR_ARG(f->key)).p);
    uint64_t number;
    if (!is_asked(v, f) || (!str_trim(sent).n && !connection_field_changes(&v->s, f)))
        return;
    const struct json *now = given(settled(v), f);
    if (connection_field_changes(&v->s, f) && (now ? str_eq(text_of(now), str_trim(sent)) : !str_trim(sent).n))
        return; /* as it was */
    enum json_type type = f->type == FIELD_BOOLEAN ? (str_is(sent, "true") ? JSON_TRUE : JSON_FALSE)
                          : f->type == FIELD_NUMBER && str_u64(str_trim(sent), &number) ? JSON_NUMBER
                                                                                        : JSON_STRING;
    if (!str_trim(sent).n)
        type = JSON_NULL; /* it is taken away */
    struct json *field = json_new(a, type);
    field->key = f->key;
    field->text = type == JSON_NUMBER ? str_trim(sent) : type == JSON_STRING ? sent : STR("");
    json_link(a, x->fields, &x->last, field);
}

static void add_members(struct arena *a, const struct json *from, const char *but, struct json *to, struct json **last)
{
    json_each (v, from) {
        if (but && str_is(v->key, but))
            continue;
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(a, to, last, copy);
    }
}

static enum err made(struct db *db, void *visit, struct fault *why)
{
    const struct visit *v = visit;
    return connect_session_made(db, v->s.id, v->s.connection, why);
}

/* As POST /connections would, with the fields that were left to the person. */
static enum err make_wanted(struct visit *v, struct reply *r, struct fault *why)
{
    struct arena *a = v->q->arena;
    struct json *body = json_new(a, JSON_OBJECT), *last = NULL;
    struct filling x = { json_new(a, JSON_OBJECT), NULL };
    x.fields->key = STR("fields");
    add_members(a, v->wanted, "fields", body, &last);
    add_members(a, json_get(v->wanted, "fields"), NULL, x.fields, &x.last);
    each_field(v, take_field, &x);
    json_link(a, body, &last, x.fields);
    enum err e = own(a, body, &body, why);
    if (e)
        return e;
    struct web_request inner = acting_request(v->q, METHOD_POST, STR("/api/v1/connections"), body);
    inner.body = STR("");
    e = connections_create(&inner, r, why);
    acting_forget_answer(r);
    r->status = 200;
    if (e)
        return e;
    v->s.connection = arena_str(a, inner.audit.object);
    if ((e = store_write(v->q->hub->store, made, v, why)) || (e = find_connection(v, why)))
        return e;
    v->wanted = NULL;
    return ERR_NONE;
}

static enum err keep_entered(struct db *db, void *visit, struct fault *why)
{
    const struct visit *v = visit;
    return connect_session_enter(db, v->s.id, v->s.wanted, why);
}

/* What the form changes of a connection that is there; nothing of it takes effect yet. */
static enum err read_entered(struct visit *v, struct fault *why)
{
    struct arena *a = v->q->arena;
    struct json *body = json_new(a, JSON_OBJECT), *last = NULL;
    struct filling x = { json_new(a, JSON_OBJECT), NULL };
    AUTO_BUF text;
    x.fields->key = STR("fields");
    each_field(v, take_field, &x);
    json_link(a, body, &last, x.fields);
    enum err e = own(a, body, &body, why);
    if (e)
        return e;
    v->change = body;
    buf_init(&text, 256 * 1024);
    struct json_out o = json_out(&text);
    json_put(&o, body);
    v->s.wanted = changes(v) ? arena_str(a, buf_str(&text)) : STR("");
    return ERR_NONE;
}

/* With a person's sign-in in between, it waits in the session until they come back. A device's page has no way back: there it takes
 * effect at once. */
static enum err change_with_grant(struct visit *v, struct reply *r, struct fault *why)
{
    struct web_request *q = v->q;
    struct connection_row row = v->row;
    struct web_request inner =
        acting_request(q, METHOD_PATCH, str_fmt(q->arena, "/api/v1/connections/%.*s", STR_ARG(row.id)), v->change);
    bool another;
    enum err e = connection_fields_to_be(q, &v->s, &row, why);
    if (!e && changes(v))
        e = connection_oauth_change(&inner, q->db, &row, v->row.fields, false, &another, why);
    if (e || (e = store_write(q->hub->store, keep_entered, v, why)))
        return e;
    if (str_is(v->row.auth_type, "oauth2_device_code"))
        return connection_fields_take_effect(q, r, &v->s, &v->row, why);
    v->row = row;
    return ERR_NONE;
}

static enum err submit(struct visit *v, struct reply *r, struct fault *why)
{
    struct authorize_begun begun;
    struct web_request *q = v->q;
    enum err e;
    if ((e = store_write(q->hub->store, bind, v, why)) || (v->wanted && (e = make_wanted(v, r, why))) ||
        (v->s.change_fields && (e = read_entered(v, why))) ||
        (v->s.change_fields && v->by_person && (e = change_with_grant(v, r, why))))
        return e;
    if (!v->by_person) {
        if ((e = enter_credentials(v, r, why)))
            return e;
        write_done(q, r);
        return ERR_NONE;
    }
    if ((e = authorize_begin(q, &v->row, v->browser, v->s.id, STR(""), v->s.accept_account, &begun, why)))
        return e;
    if (begun.t.device) {
        r->status = 303;
        reply_header(r, "Location", str_fmt(q->arena, "%.*s/connect/%.*s", STR_ARG(q->hub->public_url), STR_ARG(v->link)));
        return ERR_NONE;
    }
    /* A page, not a redirect: form-action of our own policy holds for where a form's redirect leads, too. */
    page_small(
        q, r,
        &(struct page_text){ .title = { "Going to the provider", "En route vers le fournisseur" },
                             .text = { "You are being taken to the provider.", "Vous allez être dirigé vers le fournisseur." },
                             .link = { "Go on", "Continuer" },
                             .url = begun.url,
                             .at_once = true });
    return ERR_NONE;
}

enum err connect_page_post(struct web_request *q, struct reply *r, struct fault *why)
{
    struct visit v = { .q = q };
    enum err e = enter(&v, r, why);
    if (e || (e = check_csrf(&v, why))) {
        change_settle(q, e);
        q->audit.written = true;
        authorize_sorry(q, r, why, STR(""), STR(""));
        return ERR_NONE;
    }
    if (!(e = submit(&v, r, why)))
        return ERR_NONE;
    change_settle(q, e);
    q->audit.written = true;
    log_fault(LOG_INFO, "what was sent through a connect link was not taken", why);
    buf_clear(&r->body);
    r->status = err_row(e)->status;
    reply_header(r, "Raccord-Error", str_of(err_row(e)->code));
    write_page(&v, r, why);
    return ERR_NONE;
}
