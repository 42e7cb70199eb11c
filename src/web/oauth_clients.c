/* web/oauth_clients.c - OAuth clients: what the hub is to an authorization server, on behalf of many connections. */
#include "auth/oauth_client.h"

#include <stdio.h>

#include "auth/issuer.h"
#include "crypto/jwt_sign.h"
#include "crypto/pair.h"
#include "crypto/private_key.h"
#include "http/url.h"
#include "vault/oauth_settings.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/oauth_client_view.h"
#include "web/page.h"

#define NAME_MOST 200
#define CLIENT_ID_MOST 1024

struct order {
    struct web_request *q;
    struct oauth_client c;
    struct json *settings;            /* being put together */
    struct secret secrets[OAUTH_SECRET_KINDS];
    bool given[OAUTH_SECRET_KINDS];   /* SECRET_NONE: to be taken away */
    struct str client_id, google_id, google_secret;
    const struct json *google;        /* the file that Google's console gives; NULL: none */
};

/* ---- showing ---- */

static enum err reply_client(struct web_request *q, struct reply *r, const struct oauth_client *c, struct fault *why)
{
    reply_etag(r, q, c->revision);
    struct json_out o = json_out(&r->body);
    return oauth_client_write(q, q->db, &o, c, why);
}

/* What the audit log keeps of a client. */
static struct str told(struct web_request *q, struct db *db, const struct oauth_client *c)
{
    AUTO_BUF text;
    struct fault ignored;
    struct json_out o = change_open(&text);
    q->audit.object = arena_str(q->arena, c->id);
    q->audit.name = arena_str(q->arena, c->key);
    if (oauth_client_write(q, db, &o, c, &ignored))
        return STR_NONE;
    return change_text(q, &text);
}

enum err oauth_clients_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "connector", "search", "limit", "cursor", NULL };
    struct page page;
    struct oauth_client *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)))
        return e;
    const struct oauth_client_filter f = { web_query(q, "connector"), web_query(q, "search"), page.after, page.limit + 1 };
    if ((e = oauth_client_list(q->db, q->arena, &f, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        if ((e = oauth_client_write(q, q->db, &o, &rows[i], why)))
            return e;
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

enum err oauth_clients_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct oauth_client c;
    enum err e = oauth_client_get(q->db, q->arena, q->params[0], &c, why);
    return e ? e : reply_client(q, r, &c, why);
}

/* ---- bodies ---- */

static const char *const own_members[] = { "key", "name", "connector", "client_id", "client_secret", "next_client_secret",
                                           "private_key", "next_private_key", "google_client", NULL };

static bool is_own(struct str name)
{
    for (size_t i = 0; own_members[i]; i++)
        if (str_is(name, own_members[i]))
            return true;
    return false;
}

static struct json *copy_as(struct arena *a, const struct json *v, struct str key)
{
    struct json *copy = json_new(a, v->type);
    *copy = *v;
    copy->key = key;
    copy->next = NULL;
    return copy;
}

static struct json *text_value(struct arena *a, const char *key, struct str text)
{
    struct json *v = json_new(a, JSON_STRING);
    v->key = str_of(key);
    v->text = text;
    return v;
}

/* A text is taken for scopes, too: split as on connections. */
static enum err scopes_list(struct order *o, const struct json *v, struct json **out, struct fault *why)
{
    struct arena *a = o->q->arena;
    struct str text, piece;
    struct json *list = json_new(a, JSON_ARRAY), *last = NULL;
    enum err e = connection_scopes_read(a, v, "/scopes", &text, why);
    while (!e && text.n && str_piece(&text, ' ', &piece)) {
        struct json *s = json_new(a, JSON_STRING);
        s->text = piece;
        json_link(a, list, &last, s);
    }
    list->key = STR("scopes");
    *out = list;
    return e;
}

/* The body's settings over those that were there; null takes one away. */
static enum err merge_settings(struct order *o, const struct json *before, struct fault *why)
{
    struct arena *a = o->q->arena;
    const struct json *body = body_of(o->q);
    struct json *last = NULL;
    o->settings = json_new(a, JSON_OBJECT);
    json_each(v, before)
        if (!json_get_str(body, v->key))
            json_link(a, o->settings, &last, copy_as(a, v, v->key));
    json_each(v, body) {
        struct json *copy;
        enum err e = ERR_NONE;
        if (is_own(v->key) || v->type == JSON_NULL)
            continue;
        if (str_is(v->key, "scopes"))
            e = scopes_list(o, v, &copy, why);
        else
            copy = copy_as(a, v, v->key);
        if (e)
            return e;
        json_link(a, o->settings, &last, copy);
    }
    o->c.settings = o->settings;
    return ERR_NONE;
}

static void fill(struct order *o, const char *name, struct str text)
{
    struct json *last = NULL;
    if (!text.n || json_get(o->settings, name))
        return;
    json_each(v, o->settings)
        last = v;
    json_link(o->q->arena, o->settings, &last, text_value(o->q->arena, name, text));
}

static void fill_true(struct order *o, const char *name, bool set)
{
    struct json *last = NULL;
    if (!set || json_get(o->settings, name))
        return;
    json_each(v, o->settings)
        last = v;
    struct json *v = json_new(o->q->arena, JSON_TRUE);
    v->key = str_of(name);
    json_link(o->q->arena, o->settings, &last, v);
}

/* It stands in paths and bodies: letters, digits and hyphens. */
static bool is_key(struct str key)
{
    for (size_t i = 0; i < key.n; i++)
        if (!(key.p[i] >= 'a' && key.p[i] <= 'z') && !ascii_digit(key.p[i]) && key.p[i] != '-' && key.p[i] != '_')
            return false;
    return key.n && key.n <= OAUTH_CLIENT_KEY_MOST && key.p[0] != '-' && !str_starts(key, STR("cli_")) &&
           !str_starts(key, STR("pol_"));
}

static enum err read_secrets(struct order *o, struct fault *why)
{
    for (enum oauth_secret s = 0; s < OAUTH_SECRET_KINDS; s++) {
        const char *name = oauth_secret_name(s);
        const struct json *v = json_get(body_of(o->q), name);
        bool key = s == OAUTH_PRIVATE_KEY || s == OAUTH_NEXT_PRIVATE_KEY;
        if (!v)
            continue;
        if (v->type != JSON_NULL && (v->type != JSON_STRING || !str_trim(v->text).n))
            return body_fault(why, ERR_FIELD_INVALID, name, "text is expected");
        if (v->type == JSON_STRING && v->text.n > (key ? OAUTH_PRIVATE_KEY_MOST : OAUTH_CLIENT_SECRET_MOST))
            return body_fault(why, ERR_FIELD_INVALID, name, key ? "at most 16384 bytes" : "at most 4096 bytes");
        if (v->type == JSON_STRING && !key && str_has_control(str_trim(v->text)))
            return body_fault(why, ERR_FIELD_INVALID, name, "control characters");
        o->given[s] = true;
        if (v->type != JSON_STRING)
            continue;
        if (!key)
            o->secrets[s] = secret_from(str_trim(v->text));
        else if (private_key_read(v->text, &o->secrets[s], why))
            return fault_at(why, "/%s", name);
    }
    return ERR_NONE;
}

/* OAU-19: the file that Google's console lets one download, as it is: {"web": {...}} or {"installed": {...}}. */
static enum err read_google(struct order *o, struct fault *why)
{
    const struct json *file;
    enum err e = body_object(body_of(o->q), "google_client", &file, why);
    if (e || !file)
        return e;
    const struct json *in = json_get(file, "web");
    if (!in)
        in = json_get(file, "installed");
    if (!json_is(in, JSON_OBJECT) || !json_str(in, "client_id").n)
        return body_fault(why, ERR_FIELD_INVALID, "google_client",
                          "the client file of Google's console is expected, with web or installed in it");
    o->google = in;
    fill(o, "authorization_url", json_str(in, "auth_uri"));
    fill(o, "token_url", json_str(in, "token_uri"));
    if (!o->client_id.n)
        o->client_id = json_str(in, "client_id");
    struct str secret = json_str(in, "client_secret");
    if (secret.n && secret.n <= OAUTH_CLIENT_SECRET_MOST && !o->given[OAUTH_SECRET]) {
        o->given[OAUTH_SECRET] = true;
        o->secrets[OAUTH_SECRET] = secret_from(secret);
    }
    /* Without these two Google gives no refresh token. */
    if (!o->c.connector.n && !json_get(o->settings, "authorize_parameters")) {
        struct json *last = NULL, *inner = NULL, *p = json_new(o->q->arena, JSON_OBJECT);
        json_link(o->q->arena, p, &inner, text_value(o->q->arena, "access_type", STR("offline")));
        json_link(o->q->arena, p, &inner, text_value(o->q->arena, "prompt", STR("consent")));
        p->key = STR("authorize_parameters");
        json_each(v, o->settings)
            last = v;
        json_link(o->q->arena, o->settings, &last, p);
    }
    return ERR_NONE;
}

/* ---- what is asked of settings beyond their shape ---- */

static bool has_placeholder(struct str s) { return str_find_str(s, STR("{{")) != SIZE_MAX; }

/* https, or http towards a host that the administrator lists; a port that egress permits. A template is judged when it is filled
 * in: then, too. */
static enum err check_urls(struct web_request *q, const struct json *settings, struct fault *why)
{
    size_t quiet;
    for (const char *const *name = oauth_settings_urls(&quiet); *name; name++) {
        struct str text = json_str(settings, *name);
        struct url url;
        if (!text.n)
            continue;
        if (has_placeholder(text)) {
            if (str_starts(text, STR("http://")))
                return body_fault(why, ERR_SCHEME_NOT_ALLOWED, *name, "");
            continue;
        }
        enum err e = url_parse(q->arena, text, &url, why);
        if (!e)
            e = egress_check_url(q->hub->egress, url.https, url.host, url.port, why);
        if (e)
            return fault_at(why, "/%s", *name);
    }
    return ERR_NONE;
}

/* RFC 8414: asks the issuer for what is not written. Endpoints are held against the same rules as typed ones. */
static enum err discover(struct order *o, struct fault *why)
{
    struct web_request *q = o->q;
    struct issuer_doors d;
    struct str issuer = json_str(o->settings, "issuer");
    if (!issuer.n || has_placeholder(issuer) || json_str(o->settings, "token_url").n)
        return ERR_NONE;
    enum err e = check_urls(q, o->settings, why);
    if (e)
        return e;
    if (issuer_check_url(issuer, why))
        return fault_at(why, "/issuer");
    if ((e = issuer_discover_server(q->hub->issuers, q->arena, issuer, &d, why))) {
        char subject[sizeof why->subject], note[sizeof why->note];
        str_copy(subject, sizeof subject, str_of(why->subject));
        str_copy(note, sizeof note, str_of(why->note));
        fault(why, ERR_AUTHORIZATION_SERVER, str_of(subject), "%s", note);
        return fault_at(why, "/issuer");
    }
    enum client_auth how;
    if (client_auth_parse(json_str(o->settings, "client_authentication"), &how) && client_auth_by_tls(how))
        issuer_doors_by_tls(&d);
    fill(o, "authorization_url", d.authorization);
    fill(o, "token_url", d.token);
    fill(o, "revocation_url", d.revocation);
    fill(o, "introspection_url", d.introspection);
    fill(o, "device_authorization_url", d.device);
    fill(o, "par_url", d.par);
    fill_true(o, "iss_parameter", d.names_itself);
    fill_true(o, "par", d.par_required);
    if (!d.takes_basic && d.takes_post && o->secrets[OAUTH_SECRET].n)
        fill(o, "client_authentication", STR("client_secret_post"));
    o->c.discovered = clock_wall();
    return ERR_NONE;
}

static enum err check_connector(struct web_request *q, struct str id, struct fault *why)
{
    if (!id.n || catalog_find(q->hub->catalog, id))
        return ERR_NONE;
    fault(why, ERR_CONNECTOR_NOT_FOUND, id, "no such connector");
    return fault_at(why, "/connector");
}

/* ---- secrets ---- */

static enum err write_secrets(struct order *o, struct db *db, struct fault *why)
{
    enum err e = ERR_NONE;
    for (enum oauth_secret s = 0; s < OAUTH_SECRET_KINDS && !e; s++)
        if (o->given[s])
            e = oauth_client_set_secret(db, o->q->hub->keyring, o->q->arena, &o->c, s, o->secrets[s], why);
    return e;
}

/* A key fits its certificate, and signs by the algorithm that is written. */
static enum err check_key(struct order *o, struct db *db, enum oauth_secret which, const char *name, struct fault *why)
{
    struct str certificate = json_str(o->settings, name), algorithm = json_str(o->settings, "algorithm");
    AUTO_SECRET value = SECRET_NONE;
    struct jwt_key *signs;
    struct pair *pair;
    if (!o->c.secrets[which])
        return ERR_NONE;
    enum err e = oauth_client_secret(db, o->q->hub->keyring, &o->c, which, &value, why);
    if (!e && certificate.n && (e = pair_read(certificate, secret_str(value), STR(""), &pair, why)))
        return str_is(str_of(why->pointer), "/certificate") ? fault_at(why, "/%s", name)
                                                            : fault_at(why, "/%s", oauth_secret_name(which));
    if (!e && certificate.n)
        pair_free(pair);
    if (e || !algorithm.n || str_starts(algorithm, STR("HS")))
        return e;
    if ((e = jwt_key_open(algorithm, value, &signs, why)))
        return fault_at(why, "/%s", oauth_secret_name(which));
    jwt_key_free(signs);
    return ERR_NONE;
}

/* What proves the client is there, and fits together. */
static enum err check_proof(struct order *o, struct db *db, struct fault *why)
{
    struct str certificate = json_str(o->settings, "certificate"), next = json_str(o->settings, "next_certificate");
    bool key = o->c.secrets[OAUTH_PRIVATE_KEY], next_key = o->c.secrets[OAUTH_NEXT_PRIVATE_KEY];
    enum client_auth how = CLIENT_AUTH_NONE;
    enum err e;
    (void)client_auth_parse(json_str(o->settings, "client_authentication"), &how);
    bool by_tls = client_auth_by_tls(how);
    if ((how == CLIENT_AUTH_PRIVATE_KEY_JWT || by_tls) && !key)
        return body_fault(why, ERR_FIELD_REQUIRED, "private_key", "");
    if (by_tls && !certificate.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "certificate", "");
    if (by_tls && next_key && !next.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "next_certificate", "");
    if (!next_key && (next.n || json_str(o->settings, "next_key_id").n))
        return body_fault(why, ERR_FIELD_REQUIRED, "next_private_key", "");
    if (how == CLIENT_AUTH_SECRET_JWT && !o->c.secrets[OAUTH_SECRET])
        return body_fault(why, ERR_FIELD_REQUIRED, "client_secret", "");
    if ((e = check_key(o, db, OAUTH_PRIVATE_KEY, "certificate", why)))
        return e;
    return check_key(o, db, OAUTH_NEXT_PRIVATE_KEY, "next_certificate", why);
}

/* A secret goes to no host that whoever gave it did not know of. */
static enum err check_hosts(const struct order *o, const struct oauth_client *before, struct fault *why)
{
    if (oauth_client_same_hosts(before, &o->c))
        return ERR_NONE;
    for (enum oauth_secret s = 0; s < OAUTH_SECRET_KINDS; s++)
        if (before->secrets[s] && !o->given[s])
            return body_fault(why, ERR_FIELD_REQUIRED, oauth_secret_name(s), "the hosts that it goes to change, so give it again");
    return ERR_NONE;
}

/* ---- changes ---- */

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    enum err e = oauth_client_insert(db, o->q->arena, &o->c, why);
    if (e == ERR_CONFLICT)
        return fault_at(why, "/key");
    if (e || (e = write_secrets(o, db, why)) || (e = check_proof(o, db, why)))
        return e;
    o->q->audit.after = told(o->q, db, &o->c);
    return ERR_NONE;
}

static enum err read_names(struct order *o, struct fault *why)
{
    const struct json *body = body_of(o->q);
    enum err e;
    if ((e = body_text(body, "key", false, OAUTH_CLIENT_KEY_MOST, &o->c.key, why)) ||
        (e = body_text(body, "name", false, NAME_MOST, &o->c.name, why)) ||
        (e = body_text(body, "connector", false, 64, &o->c.connector, why)) ||
        (e = body_text(body, "client_id", false, CLIENT_ID_MOST, &o->client_id, why)))
        return e;
    if (!o->c.key.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "key", "");
    if (!is_key(o->c.key))
        return body_fault(why, ERR_FIELD_INVALID, "key", "small letters, digits and hyphens, not cli_ or pol_ at its start");
    o->c.name = str_trim(o->c.name).n ? str_trim(o->c.name) : o->c.key;
    o->client_id = str_trim(o->client_id);
    if (!o->c.connector.p)
        o->c.connector = STR("");
    return check_connector(o->q, o->c.connector, why);
}

static enum err create(struct order *o, struct fault *why)
{
    enum err e;
    if ((e = read_names(o, why)) || (e = merge_settings(o, NULL, why)) || (e = read_secrets(o, why)) || (e = read_google(o, why)))
        return e;
    if (!o->client_id.n)
        return body_fault(why, ERR_FIELD_REQUIRED, "client_id", "");
    o->c.client_id = o->client_id;
    /* Unknown and malformed settings first: nobody is asked for the sake of a typing error. */
    e = oauth_client_check(o->q->arena, &o->c, "", why);
    if (e == ERR_FIELD_REQUIRED && json_str(o->settings, "issuer").n)
        e = ERR_NONE;
    if (e || (e = discover(o, why)) || (e = oauth_client_check(o->q->arena, &o->c, "", why)) ||
        (e = check_urls(o->q, o->settings, why)))
        return e;
    return web_write(o->q, insert, o, why);
}

/* The answer is written before the body is wiped, which it points into. */
static enum err finish(struct order *o, struct reply *r, enum err e, struct fault *why)
{
    if (!e)
        e = reply_client(o->q, r, &o->c, why);
    for (enum oauth_secret s = 0; s < OAUTH_SECRET_KINDS; s++)
        secret_end(&o->secrets[s]);
    body_wipe(o->q);
    return e;
}

enum err oauth_clients_create(struct web_request *q, struct reply *r, struct fault *why)
{
    struct order o = { .q = q };
    enum err e = create(&o, why);
    if (!e) {
        r->status = 201;
        reply_header(r, "Location",
                     str_fmt(q->arena, "%.*s/api/v1/oauth-clients/%.*s", STR_ARG(q->hub->public_url), STR_ARG(o.c.id)));
    }
    return finish(&o, r, e, why);
}

static enum err update(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct web_request *q = o->q;
    struct oauth_client before;
    wall_ms discovered = o->c.discovered;
    struct str name;
    enum err e;
    if ((e = oauth_client_get(db, q->arena, q->params[0], &before, why)) || (e = web_if_match(q, before.revision, why)))
        return e;
    /* What was read outside is still what is there: the settings were laid over it. */
    if (before.revision != o->c.revision)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "oauth client changed while its issuer was asked");
    q->audit.before = told(q, db, &before);
    o->c = before;
    o->c.settings = o->settings;
    o->c.discovered = discovered;
    if ((e = body_text(body_of(q), "name", json_get(body_of(q), "name") != NULL, NAME_MOST, &name, why)))
        return e;
    if (str_trim(name).n)
        o->c.name = str_trim(name);
    if (o->client_id.n)
        o->c.client_id = o->client_id;
    if ((e = check_hosts(o, &before, why)) || (e = oauth_client_update(db, &o->c, why)) || (e = write_secrets(o, db, why)) ||
        (e = check_proof(o, db, why)) || (e = oauth_client_changed(db, &o->c, why)))
        return e;
    q->audit.after = told(q, db, &o->c);
    return ERR_NONE;
}

static enum err check_frozen(const struct order *o, struct fault *why)
{
    const struct { const char *name; struct str now; } frozen[] = { { "key", o->c.key }, { "connector", o->c.connector } };
    for (size_t i = 0; i < COUNT(frozen); i++) {
        const struct json *v = json_get(body_of(o->q), frozen[i].name);
        bool same = v && (v->type == JSON_NULL ? !frozen[i].now.n : v->type == JSON_STRING && str_eq(v->text, frozen[i].now));
        if (v && !same)
            return body_fault(why, ERR_FIELD_IMMUTABLE, frozen[i].name, "");
    }
    return ERR_NONE;
}

static enum err patch(struct order *o, struct fault *why)
{
    struct web_request *q = o->q;
    const struct json *body = body_of(q);
    enum err e;
    if ((e = oauth_client_get(q->db, q->arena, q->params[0], &o->c, why)) || (e = check_frozen(o, why)) ||
        (e = body_text(body, "client_id", json_get(body, "client_id") != NULL, CLIENT_ID_MOST, &o->client_id, why)) ||
        (e = merge_settings(o, o->c.settings, why)) || (e = read_secrets(o, why)) || (e = read_google(o, why)))
        return e;
    o->client_id = str_trim(o->client_id);
    e = oauth_client_check(q->arena, &o->c, "", why);
    if (e == ERR_FIELD_REQUIRED && json_str(o->settings, "issuer").n)
        e = ERR_NONE;
    if (e || (e = discover(o, why)) || (e = oauth_client_check(q->arena, &o->c, "", why)) || (e = check_urls(q, o->settings, why)))
        return e;
    return web_write(q, update, o, why);
}

enum err oauth_clients_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    struct order o = { .q = q };
    enum err e = patch(&o, why);
    if (!e && json_get(body_of(q), "expired"))
        switchboard_forget_connections(q->hub->switchboard); /* what they watch for in answers stands in what is prepared */
    return finish(&o, r, e, why);
}

static enum err promote(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct web_request *q = o->q;
    enum err e;
    if ((e = oauth_client_get(db, q->arena, q->params[0], &o->c, why)) || (e = web_if_match(q, o->c.revision, why)))
        return e;
    q->audit.before = told(q, db, &o->c);
    if ((e = oauth_client_promote(db, q->hub->keyring, q->arena, &o->c, why)) || (e = oauth_client_update(db, &o->c, why)) ||
        (e = oauth_client_changed(db, &o->c, why)))
        return e;
    q->audit.after = told(q, db, &o->c);
    return ERR_NONE;
}

enum err oauth_clients_activate(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_members[] = { NULL };
    struct order o = { .q = q };
    enum err e = json_only(body_of(q), no_members, "", why);
    return finish(&o, r, e ? e : web_write(q, promote, &o, why), why);
}

static enum err remove_client(struct db *db, void *context, struct fault *why)
{
    struct web_request *q = context;
    struct oauth_client c;
    enum err e;
    if ((e = oauth_client_get(db, q->arena, q->params[0], &c, why)) || (e = web_if_match(q, c.revision, why)))
        return e;
    q->audit.before = told(q, db, &c);
    return oauth_client_delete(db, &c, why);
}

/* RFC 7517 5: what a provider fetches at the client's `jwks_uri`. By its id alone, which nobody guesses. */
enum err oauth_clients_jwks(struct web_request *q, struct reply *r, struct fault *why)
{
    struct oauth_client c;
    enum err e = str_starts(q->params[0], STR("cli_")) ? oauth_client_get(q->db, q->arena, q->params[0], &c, why)
                                                       : fault(why, ERR_NOT_FOUND, STR("oauth client"), "no id");
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    oauth_client_jwks(&o, &c);
    return ERR_NONE;
}

enum err oauth_clients_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, remove_client, q, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}
