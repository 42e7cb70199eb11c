#include "auth/oauth_profile.h"

#include <stdatomic.h>

#include "auth/issuer.h"
#include "auth/oauth_client.h"
#include "auth/told.h"
#include "auth/value.h"
#include "base/encode.h"
#include "base/template.h"
#include "crypto/pair.h"
#include "crypto/private_key.h"
#include "http/url.h"
#include "vault/oauth_settings.h"
#include "vault/sealed.h"

static struct issuers *_Atomic discovery;

void oauth_profile_discover_with(struct issuers *s) { atomic_store(&discovery, s); }

static const char *const client_auth_names[] = {
    [CLIENT_AUTH_NONE] = "none",
    [CLIENT_AUTH_BASIC] = "client_secret_basic",
    [CLIENT_AUTH_POST] = "client_secret_post",
    [CLIENT_AUTH_SECRET_JWT] = "client_secret_jwt",
    [CLIENT_AUTH_PRIVATE_KEY_JWT] = "private_key_jwt",
    [CLIENT_AUTH_TLS] = "tls_client_auth",
    [CLIENT_AUTH_SELF_SIGNED_TLS] = "self_signed_tls_client_auth",
};

const char *client_auth_name(enum client_auth a) { return client_auth_names[a]; }

bool client_auth_parse(struct str s, enum client_auth *out)
{
    for (size_t i = 0; i < COUNT(client_auth_names); i++)
        if (str_is(s, client_auth_names[i])) {
            *out = (enum client_auth)i;
            return true;
        }
    return false;
}

/* What one load works with. Settings of the client lie over those of the connector. */
struct load {
    struct db *db;
    struct keyring *keyring;
    struct arena *a;
    const struct auth_input *in;
    struct oauth_client client;       /* id empty: none */
    const struct json *upper, *lower; /* settings; either may be NULL */
    struct oauth_profile *p;
    struct fault *why;
};

static const struct json *pick(const struct load *l, const char *name, bool *of_client)
{
    const struct json *v = json_get(l->upper, name);
    if (of_client)
        *of_client = v != NULL;
    return v ? v : json_get(l->lower, name);
}

static struct str pick_text(const struct load *l, const char *name)
{
    const struct json *v = pick(l, name, NULL);
    return json_is(v, JSON_STRING) ? v->text : STR("");
}

static bool pick_bool(const struct load *l, const char *name, bool fallback)
{
    const struct json *v = pick(l, name, NULL);
    return v ? v->type == JSON_TRUE : fallback;
}

/* ---- templates ---- */

struct expansion {
    struct load *l;
    enum oauth_place place;
    char missing[64]; /* a field without a value */
    bool bad;         /* a value that may not stand in a host or a path */
};

static struct str field_value(const struct load *l, struct str key)
{
    const struct json *v = json_get_str(l->in->fields, key);
    if (!v || v->type == JSON_NULL)
        return STR("");
    if (v->type == JSON_TRUE || v->type == JSON_FALSE)
        return v->type == JSON_TRUE ? STR("true") : STR("false");
    return v->type == JSON_STRING || v->type == JSON_NUMBER ? v->text : STR("");
}

static struct str credential_value(const struct load *l, struct str key)
{
    for (size_t i = 0; i < l->in->secret_count; i++)
        if (str_eq(l->in->secrets[i].name, key))
            return secret_str(l->in->secrets[i].value);
    return str_is(key, "client_id") ? l->p->client_id : STR("");
}

static bool host_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return s.n && s.n <= 253;
}

static bool look_up(void *context, struct str name, struct str *value)
{
    struct expansion *x = context;
    struct str of_field = STR("fields."), of_credential = STR("credentials.");
    if (str_starts(name, of_field))
        *value = field_value(x->l, str_sub(name, of_field.n, name.n));
    else if (str_starts(name, of_credential) && x->place == OAUTH_IN_ASSERTION)
        *value = credential_value(x->l, str_sub(name, of_credential.n, name.n));
    else
        return false;
    if (x->place == OAUTH_IN_TEXT || x->place == OAUTH_IN_ASSERTION)
        return true;
    if (!value->n) {
        str_copy(x->missing, sizeof x->missing, str_starts(name, of_field) ? str_sub(name, of_field.n, name.n) : name);
        return true;
    }
    if (x->place == OAUTH_IN_HOST) {
        x->bad |= !host_value(*value);
        return true;
    }
    AUTO_BUF b;
    buf_init(&b, 3 * OAUTH_URL_MAX);
    percent_encode(&b, *value);
    *value = arena_str(x->l->a, buf_str(&b));
    x->bad |= str_is(*value, ".") || str_is(*value, ".."); /* a segment of its own, these would move the path */
    return true;
}

static enum err expand(struct expansion *x, struct str template, struct str *out)
{
    AUTO_BUF text;
    buf_init(&text, 4 * OAUTH_URL_MAX);
    enum err e = template_expand(&text, template, look_up, x, x->l->why);
    *out = arena_str(x->l->a, buf_str(&text));
    return e;
}

/* ---- URLs ---- */

static bool is_secret_of_own(const struct load *l) { return !l->p->client.n; }

/* Is it a place that somebody wrote down for this client's secrets: a host, or a suffix that the connector's file or the client
 * names? A host that is all the connection's own choice gets a secret of the connection's own, and no other. */
static bool host_declared(const struct load *l, bool of_client, struct str authority, struct str host)
{
    const struct json *of_connector = json_get(l->lower, "token_hosts"), *of_this_client = json_get(l->upper, "token_hosts");
    size_t last = SIZE_MAX;
    for (size_t i = 0; i + 1 < authority.n; i++)
        if (authority.p[i] == '}' && authority.p[i + 1] == '}')
            last = i + 2;
    bool literal = authority.n && last == SIZE_MAX;
    bool suffix = last != SIZE_MAX && last < authority.n && authority.p[last] == '.';
    if (of_client || literal)
        return literal || suffix;
    if (oauth_hosts_hold(of_connector, host) || oauth_hosts_hold(of_this_client, host))
        return true;
    if (suffix)
        return true;
    return is_secret_of_own(l) && !of_connector;
}

static enum err url_fault(const struct load *l, enum err e, struct str subject, const char *name)
{
    fault(l->why, e, subject, "%s of an OAuth profile", name);
    return fault_at(l->why, "/oauth_client");
}

static enum err missing_field(const struct load *l, const char *field)
{
    fault(l->why, ERR_FIELD_REQUIRED, str_of(field), "an OAuth URL needs it");
    return fault_at(l->why, "/fields/%s", field);
}

static enum err take_url(struct load *l, const char *name, bool gets_credentials, struct str *out)
{
    bool of_client;
    const struct json *v = pick(l, name, &of_client);
    struct str scheme, authority, rest, host, tail;
    struct url url;
    enum err e;
    *out = STR("");
    if (!json_is(v, JSON_STRING) || !v->text.n)
        return ERR_NONE;
    if (!oauth_url_split(v->text, &scheme, &authority, &rest))
        return url_fault(l, ERR_URL_INVALID, str_of(name), name);
    struct expansion x = { .l = l, .place = OAUTH_IN_HOST };
    if (!authority.n) {
        struct str key = str_trim(str_sub(scheme, 2, scheme.n - 2)), prefix = STR("fields.");
        scheme = str_starts(key, prefix) ? field_value(l, str_sub(key, prefix.n, key.n)) : STR("");
        if (!scheme.n)
            return ERR_NONE; /* an optional field: as if the URL were not written */
        if (rest.n && str_ends(scheme, STR("/")))
            scheme.n--;
    }
    if ((e = expand(&x, authority, &host)))
        return e;
    if (*x.missing)
        return missing_field(l, x.missing);
    if (x.bad)
        return url_fault(l, ERR_URL_INVALID, str_of(name), name);
    x.place = OAUTH_IN_URL;
    if ((e = expand(&x, rest, &tail)))
        return e;
    if (*x.missing)
        return missing_field(l, x.missing);
    struct str text = str_fmt(l->a, "%.*s%.*s%.*s", STR_ARG(scheme), STR_ARG(host), STR_ARG(tail));
    if (x.bad || str_find(text, '#') != SIZE_MAX || text.n > 4 * OAUTH_URL_MAX)
        return url_fault(l, ERR_URL_INVALID, str_of(name), name);
    if ((e = url_parse(l->a, text, &url, l->why)))
        return fault_at(l->why, "/oauth_client");
    if (gets_credentials && !host_declared(l, of_client, authority, url.host))
        return url_fault(l, ERR_TOKEN_HOST_NOT_ALLOWED, url.host, name);
    *out = text;
    return ERR_NONE;
}

/* ---- discovery, where only the issuer is written ---- */

static void keep_written(struct str *url, struct str found)
{
    if (!url->n)
        *url = found;
}

static enum err discover(struct load *l)
{
    struct oauth_profile *p = l->p;
    struct issuers *s = atomic_load(&discovery);
    struct issuer_doors d;
    if (!p->issuer.n || p->token_url.n || !s)
        return ERR_NONE;
    enum err e = issuer_discover_server(s, l->a, p->issuer, &d, l->why);
    if (e)
        return e;
    enum client_auth how;
    if (client_auth_parse(pick_text(l, "client_authentication"), &how) && client_auth_by_tls(how))
        issuer_doors_by_tls(&d);
    keep_written(&p->authorization_url, d.authorization);
    keep_written(&p->token_url, d.token);
    keep_written(&p->revocation_url, d.revocation);
    keep_written(&p->introspection_url, d.introspection);
    keep_written(&p->device_url, d.device);
    keep_written(&p->par_url, d.par);
    p->names_itself |= d.names_itself;
    p->par |= d.par_required;
    return ERR_NONE;
}

static enum err take_urls(struct load *l)
{
    struct oauth_profile *p = l->p;
    enum err e;
    if ((e = take_url(l, "issuer", false, &p->issuer)) || (e = take_url(l, "authorization_url", false, &p->authorization_url)) ||
        (e = take_url(l, "token_url", true, &p->token_url)) || (e = take_url(l, "revocation_url", true, &p->revocation_url)) ||
        (e = take_url(l, "device_authorization_url", true, &p->device_url)) ||
        (e = take_url(l, "introspection_url", true, &p->introspection_url)) || (e = take_url(l, "par_url", true, &p->par_url)))
        return e;
    p->names_itself = pick_bool(l, "iss_parameter", false);
    p->par = pick_bool(l, "par", false);
    return discover(l);
}

/* ---- the client ---- */

static enum err take_client_row(struct load *l)
{
    struct oauth_profile *p = l->p;
    enum err e;
    if ((e = oauth_client_secret(l->db, l->keyring, &l->client, OAUTH_SECRET, &p->client_secret, l->why)) ||
        (e = oauth_client_secret(l->db, l->keyring, &l->client, OAUTH_NEXT_SECRET, &p->next_secret, l->why)) ||
        (e = oauth_client_secret(l->db, l->keyring, &l->client, OAUTH_PRIVATE_KEY, &p->private_key, l->why)) ||
        (e = oauth_client_secret(l->db, l->keyring, &l->client, OAUTH_NEXT_PRIVATE_KEY, &p->next_key, l->why)))
        return e;
    p->client_id = l->client.client_id;
    p->key_id = json_str(l->upper, "key_id");
    p->certificate = json_str(l->upper, "certificate");
    p->next_key_id = json_str(l->upper, "next_key_id");
    p->next_certificate = json_str(l->upper, "next_certificate");
    return ERR_NONE;
}

static enum err take_own(struct load *l)
{
    /* A service account's key file has a client_id as well, which is not for token requests. */
    if (!str_starts(json_str(l->in->options, "type"), STR("oauth2_")))
        return ERR_NONE;
    const struct secret *id = auth_secret(l->in, "client_id");
    struct str typed = json_str(l->in->fields, "client_id");
    l->p->client_id = id ? arena_str(l->a, secret_str(*id)) : typed.n ? typed : STR("");
    const struct secret *secret = auth_secret(l->in, "client_secret"), *key = auth_secret(l->in, "client_private_key");
    if (secret && secret->n)
        l->p->client_secret = secret_copy(*secret);
    if (!key || !key->n)
        return ERR_NONE;
    enum err e = private_key_read(secret_str(*key), &l->p->private_key, l->why);
    return e ? fault_at(l->why, "/credentials/client_private_key") : ERR_NONE;
}

/* A policy's own: "pol_.../connector". Sealed with the policy, under names that web/policy_check.h makes. */
static enum err preset(struct load *l, struct str policy, struct str connector, const char *name, struct secret *out)
{
    enum err e = sealed_get(l->db, l->keyring, (struct data_owner){ STR("policy"), policy },
                            str_fmt(l->a, "%.*s.oauth_client.%s", STR_ARG(connector), name), out, l->why);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err take_preset(struct load *l, struct str from)
{
    AUTO_SECRET id = SECRET_NONE;
    struct str policy, connector;
    enum err e;
    (void)str_cut(from, '/', &policy, &connector);
    if ((e = preset(l, policy, connector, "client_id", &id)) ||
        (e = preset(l, policy, connector, "client_secret", &l->p->client_secret)) ||
        (e = preset(l, policy, connector, "next_client_secret", &l->p->next_secret)) ||
        (e = preset(l, policy, connector, "private_key", &l->p->private_key)) ||
        (e = preset(l, policy, connector, "next_private_key", &l->p->next_key)))
        return e;
    if (!id.n)
        return fault(l->why, ERR_NOT_FOUND, STR("oauth client"), "the policy %.*s presets none any more", STR_ARG(policy));
    l->p->client_id = arena_str(l->a, secret_str(id));
    return ERR_NONE;
}

static enum err take_client(struct load *l, struct str client)
{
    if (!client.n)
        return take_own(l);
    if (str_starts(client, STR("pol_"))) {
        l->p->client = arena_str(l->a, client);
        return take_preset(l, client);
    }
    enum err e = oauth_client_get(l->db, l->a, client, &l->client, l->why);
    if (e)
        return fault_at(l->why, "/oauth_client");
    l->p->client = l->client.id;
    l->upper = l->client.settings;
    return take_client_row(l);
}

/* What the client has says how it proves itself, unless that is written. */
static enum client_auth usual_auth(const struct oauth_profile *p)
{
    if (p->client_secret.n)
        return CLIENT_AUTH_BASIC;
    return p->private_key.n ? CLIENT_AUTH_PRIVATE_KEY_JWT : CLIENT_AUTH_NONE;
}

static enum err client_lacks(const struct load *l, const char *what)
{
    fault(l->why, ERR_FIELD_REQUIRED, str_of(what), "client authentication needs it");
    return l->p->client.n ? fault_at(l->why, "/oauth_client") : fault_at(l->why, "/credentials/%s", what);
}

/* A client without a secret is a public one (OAU-04): what would prove it by a secret is left out. */
static enum err settle_auth(struct load *l, const char *name, enum client_auth otherwise, enum client_auth *out)
{
    struct oauth_profile *p = l->p;
    bool by_key, by_secret;
    *out = otherwise;
    (void)client_auth_parse(pick_text(l, name), out);
    by_key = *out == CLIENT_AUTH_PRIVATE_KEY_JWT || client_auth_by_tls(*out);
    by_secret = *out == CLIENT_AUTH_BASIC || *out == CLIENT_AUTH_POST;
    if (by_key && !p->private_key.n)
        return client_lacks(l, p->client.n ? "private_key" : "client_private_key");
    if (*out == CLIENT_AUTH_SECRET_JWT && !p->client_secret.n)
        return client_lacks(l, "client_secret");
    if (by_secret && !p->client_secret.n)
        *out = CLIENT_AUTH_NONE;
    return ERR_NONE;
}

/* RFC 8705 3.1, RFC 7515 4.1.8. */
static enum err take_thumbprint(struct load *l, struct str certificate, struct secret key, struct str *out)
{
    struct pair *pair;
    struct str digest;
    if (!certificate.n || !key.n)
        return ERR_NONE;
    enum err e = pair_read(certificate, secret_str(key), STR(""), &pair, l->why);
    if (e)
        return e;
    if (hex_decode(l->a, pair_facts(pair, l->a).fingerprint, &digest))
        *out = base64_encode(l->a, digest, BASE64_URL);
    pair_free(pair);
    return ERR_NONE;
}

static enum err take_certificates(struct load *l)
{
    struct oauth_profile *p = l->p;
    enum err e = take_thumbprint(l, p->certificate, p->private_key, &p->thumbprint);
    return e ? e : take_thumbprint(l, p->next_certificate, p->next_key, &p->next_thumbprint);
}

static bool needs_client(struct str type)
{
    return str_is(type, "oauth2_authorization_code") || str_is(type, "oauth2_client_credentials") ||
           str_is(type, "oauth2_device_code");
}

static enum err settle_client(struct load *l)
{
    struct oauth_profile *p = l->p;
    enum err e;
    if (!p->client_id.n && needs_client(json_str(l->in->options, "type"))) {
        fault(l->why, ERR_OAUTH_CLIENT_MISSING, STR(""), "neither a client nor one of its own");
        return fault_at(l->why, "/oauth_client");
    }
    if ((e = settle_auth(l, "client_authentication", usual_auth(p), &p->client_auth)) ||
        (e = settle_auth(l, "refresh_client_authentication", p->client_auth, &p->refresh_auth)))
        return e;
    p->algorithm = pick_text(l, "algorithm");
    return take_certificates(l);
}

/* ---- the rest ---- */

struct str oauth_profile_scope_in(struct arena *a, struct str scope, const struct json *fields)
{
    const struct auth_input in = { .fields = fields };
    struct oauth_profile none = { .client_id = STR("") };
    struct load l = { .a = a, .in = &in, .p = &none };
    struct expansion x = { .l = &l, .place = OAUTH_IN_TEXT };
    struct str out;
    return expand(&x, scope, &out) ? scope : out;
}

/* Entra names a resource in its scopes: "https://{{fields.organization}}/.default". One that comes out empty is not asked for. */
static enum err take_scopes(struct load *l)
{
    const struct json *list = pick(l, "scopes", NULL);
    struct str separator = pick_text(l, "scope_separator");
    l->p->scope_separator = separator.n ? separator.p[0] : ' ';
    l->p->scopes = arena_array(l->a, list ? list->count + 1 : 1, sizeof *l->p->scopes);
    json_each(s, list) {
        struct expansion x = { .l = l, .place = OAUTH_IN_TEXT };
        struct str scope;
        enum err e = expand(&x, s->text, &scope);
        if (e)
            return e;
        if (scope.n && !oauth_scope_valid(scope))
            return url_fault(l, ERR_FIELD_INVALID, STR("each scope is a word without blanks and commas"), "scopes");
        if (scope.n)
            l->p->scopes[l->p->scope_count++] = scope;
    }
    return ERR_NONE;
}

void oauth_profile_ask(struct arena *a, struct oauth_profile *p, struct str scopes)
{
    struct str piece, rest = scopes;
    size_t n = 1;
    if (!scopes.p)
        return;
    for (size_t i = 0; i < scopes.n; i++)
        n += scopes.p[i] == ' ';
    p->scopes = arena_array(a, n, sizeof *p->scopes);
    p->scope_count = 0;
    while (scopes.n && str_piece(&rest, ' ', &piece))
        if (piece.n)
            p->scopes[p->scope_count++] = piece;
}

struct str oauth_profile_scope(struct arena *a, const struct oauth_profile *p)
{
    AUTO_BUF b;
    buf_init(&b, 64 * 1024);
    for (size_t i = 0; i < p->scope_count; i++) {
        if (i)
            buf_char(&b, p->scope_separator);
        buf_add(&b, p->scopes[i]);
    }
    return arena_str(a, buf_str(&b));
}

static struct json *text_node(struct arena *a, struct str text)
{
    struct json *v = json_new(a, JSON_STRING);
    v->text = text;
    return v;
}

/* A value of a parameter that may be repeated. A field that says resources has blanks between, for a form has one line for it, and
 * no URI holds one; an audience may. */
static enum err add_repeated(struct load *l, struct str name, struct str template, struct json *list, struct json **last)
{
    struct expansion x = { .l = l, .place = OAUTH_IN_TEXT };
    struct str text, piece;
    enum err e = expand(&x, template, &text);
    if (e)
        return e;
    bool several = str_is(name, "resource") && str_find_str(template, STR("{{")) != SIZE_MAX;
    while (text.n && str_piece(&text, several ? ' ' : '\n', &piece)) /* settings and fields are of one line */
        if (piece.n && list->count < OAUTH_REPEATED)
            json_link(l->a, list, last, text_node(l->a, piece));
    return ERR_NONE;
}

/* A text, or a list of them, as a list; empty when nothing is left. `from` may be NULL. */
static enum err take_repeated(struct load *l, const struct json *from, struct json **out)
{
    struct json *last = NULL;
    enum err e = ERR_NONE;
    *out = json_new(l->a, JSON_ARRAY);
    if (from && from->type == JSON_STRING)
        return add_repeated(l, from->key, from->text, *out, &last);
    json_each(v, from)
        if (!e)
            e = add_repeated(l, from->key, v->text, *out, &last);
    return e;
}

/* One member of add_texts(); *out NULL: nothing is left of it. One text alone stays a text. */
static enum err expand_member(struct load *l, const struct json *v, enum oauth_place place, struct json **out)
{
    struct expansion x = { .l = l, .place = place };
    struct str text = v->text;
    *out = NULL;
    if (place == OAUTH_IN_TEXT && oauth_parameter_repeats(v->key)) {
        enum err e = take_repeated(l, v, out);
        if (!e && (*out)->count < 2)
            *out = (*out)->child;
        return e;
    }
    enum err e = v->type == JSON_STRING ? expand(&x, v->text, &text) : ERR_NONE;
    if (e || (v->type == JSON_STRING && !text.n))
        return e;
    *out = json_new(l->a, v->type);
    (*out)->text = text;
    (*out)->child = v->child;
    (*out)->count = v->count;
    return ERR_NONE;
}

/* Texts of one object, expanded; those that come out empty are left out. */
static enum err add_texts(struct load *l, const struct json *from, enum oauth_place place, const struct json *not_those,
                          struct json *to, struct json **last)
{
    json_each(v, from) {
        struct json *copy;
        enum err e = json_get_str(not_those, v->key) ? ERR_NONE : expand_member(l, v, place, &copy);
        if (e)
            return e;
        if (json_get_str(not_those, v->key) || !copy)
            continue;
        copy->key = v->key;
        json_link(l->a, to, last, copy);
    }
    return ERR_NONE;
}

/* The connector's defaults, and the client's over them (OAU-32). NULL: none. */
static enum err take_parameters(struct load *l, const char *name, const struct json **out)
{
    struct json *all = json_new(l->a, JSON_OBJECT), *last = NULL;
    const struct json *upper = json_get(l->upper, name);
    enum err e;
    if ((e = add_texts(l, upper, OAUTH_IN_TEXT, NULL, all, &last)) ||
        (e = add_texts(l, json_get(l->lower, name), OAUTH_IN_TEXT, upper, all, &last)))
        return e;
    *out = all->count ? all : NULL;
    return ERR_NONE;
}

static enum err take_assertion(struct load *l)
{
    const struct json *from = pick(l, "assertion", NULL), *claims = json_get(from, "claims");
    if (!from)
        return ERR_NONE;
    struct json *all = json_new(l->a, JSON_OBJECT), *last = NULL, *inner = json_new(l->a, JSON_OBJECT), *inner_last = NULL;
    const struct json claims_only = { .type = JSON_OBJECT, .child = &(struct json){ .type = JSON_NULL, .key = STR("claims") },
                                      .count = 1 };
    enum err e = add_texts(l, from, OAUTH_IN_ASSERTION, &claims_only, all, &last);
    if (!e)
        e = add_texts(l, claims, OAUTH_IN_ASSERTION, NULL, inner, &inner_last);
    if (e)
        return e;
    inner->key = STR("claims");
    if (inner->count)
        json_link(l->a, all, &last, inner);
    l->p->assertion = all;
    return ERR_NONE;
}

static void take_quirks(struct load *l)
{
    const struct json *answer = pick(l, "answer", NULL);
    struct oauth_profile *p = l->p;
    p->quirks = (struct token_quirks){
        .json_body = str_is(pick_text(l, "body"), "json"),
        .token_type_optional = str_is(pick_text(l, "token_type"), "optional"),
        .any_content_type = str_is(pick_text(l, "content_type"), "any"),
        .access_token = json_str(answer, "access_token"),
        .refresh_token = json_str(answer, "refresh_token"),
        .expires_in = json_str(answer, "expires_in"),
        .scope = json_str(answer, "scope"),
        .ok = json_str(answer, "ok"),
        .error = json_str(answer, "error"),
    };
    oauth_expired_read(pick(l, "expired", NULL), &p->expired);
}

static int64_t pick_time(const struct load *l, const char *name)
{
    int64_t ms;
    return duration_parse(pick_text(l, name), &ms) && ms < OAUTH_TIMES_MOST ? ms : 0;
}

static enum err take_rest(struct load *l)
{
    struct oauth_profile *p = l->p;
    enum err e;
    take_quirks(l);
    p->pkce = pick_bool(l, "pkce", true);
    p->dpop = pick_bool(l, "dpop", false);
    p->capture = json_get(l->lower, "capture");
    p->max_idle_ms = pick_time(l, "max_idle");
    p->lifetime_ms = pick_time(l, "lifetime");
    struct json *resources;
    if ((e = take_repeated(l, pick(l, "resource", NULL), &resources)))
        return e;
    p->resources = resources->count ? resources : NULL;
    if ((e = take_scopes(l)) || (e = take_parameters(l, "authorize_parameters", &p->authorize_parameters)) ||
        (e = take_parameters(l, "token_parameters", &p->token_parameters)) ||
        (e = take_parameters(l, "refresh_parameters", &p->refresh_parameters)))
        return e;
    return take_assertion(l);
}

static const struct oauth_profile nothing = {
    .issuer = { "", 0 }, .client = { "", 0 }, .client_id = { "", 0 }, .key_id = { "", 0 }, .certificate = { "", 0 },
    .thumbprint = { "", 0 }, .next_key_id = { "", 0 }, .next_certificate = { "", 0 }, .next_thumbprint = { "", 0 },
};

enum err oauth_profile_client(struct db *db, struct keyring *k, struct arena *a, struct str client, struct oauth_profile *out,
                              struct fault *why)
{
    const struct auth_input none = { .options = NULL };
    struct load l = { .db = db, .keyring = k, .a = a, .in = &none, .p = out, .why = why };
    *out = nothing;
    enum err e = take_client(&l, client);
    if (e)
        oauth_profile_end(out);
    return e;
}

enum err oauth_profile_load(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str client,
                            struct oauth_profile *out, struct fault *why)
{
    struct fault spare = { 0 };
    struct load l = { .db = db, .keyring = k, .a = a, .in = in, .lower = json_get(in->options, "oauth"), .p = out,
                      .why = why ? why : &spare };
    *out = nothing;
    enum err e;
    if ((e = take_client(&l, client)) || (e = take_urls(&l)) || (e = settle_client(&l)) || (e = take_rest(&l))) {
        oauth_profile_end(out);
        return e;
    }
    if (!out->token_url.n) {
        oauth_profile_end(out);
        fault(l.why, ERR_OAUTH_CLIENT_MISSING, STR(""), "nothing says where the token endpoint is");
        return fault_at(l.why, "/oauth_client");
    }
    return ERR_NONE;
}

enum err oauth_profile_of(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str connection,
                          struct oauth_profile *out, struct fault *why)
{
    struct connection_oauth o;
    enum err e = connection_oauth_get(db, a, connection, &o, why);
    *out = (struct oauth_profile){ 0 };
    if (e || (e = oauth_profile_load(db, k, a, in, o.client, out, why)))
        return e;
    oauth_profile_ask(a, out, o.scopes);
    return ERR_NONE;
}

enum err oauth_profile_hosts(struct db *db, struct keyring *k, struct arena *a, const struct auth_input *in, struct str client,
                             struct str *out, struct fault *why)
{
    struct oauth_profile p;
    enum err e = oauth_profile_load(db, k, a, in, client, &p, why);
    if (e)
        return e;
    const struct str urls[] = { p.token_url, p.revocation_url, p.device_url, p.introspection_url, p.par_url };
    AUTO_BUF b;
    buf_init(&b, 8 * OAUTH_URL_MAX);
    for (size_t i = 0; i < COUNT(urls) && !e; i++) {
        struct url url;
        if (!urls[i].n || (e = url_parse(a, urls[i], &url, why)))
            continue;
        struct str authority = url_authority(a, &url);
        if (str_find_str(buf_str(&b), authority) == SIZE_MAX)
            buf_fmt(&b, b.n ? ",%.*s" : "%.*s", STR_ARG(authority));
    }
    oauth_profile_end(&p);
    *out = arena_str(a, b.n ? buf_str(&b) : STR(""));
    return e;
}

void oauth_profile_end(struct oauth_profile *p)
{
    secret_end(&p->client_secret);
    secret_end(&p->next_secret);
    secret_end(&p->private_key);
    secret_end(&p->next_key);
}

static void swap_secrets(struct secret *x, struct secret *y)
{
    struct secret z = *x;
    *x = *y;
    *y = z;
}

static void swap_texts(struct str *x, struct str *y)
{
    struct str z = *x;
    *x = *y;
    *y = z;
}

bool oauth_profile_next(const struct oauth_profile *p, struct oauth_profile *out)
{
    *out = *p;
    if (p->next_secret.n)
        swap_secrets(&out->client_secret, &out->next_secret);
    if (p->next_key.n) {
        swap_secrets(&out->private_key, &out->next_key);
        swap_texts(&out->key_id, &out->next_key_id);
        swap_texts(&out->certificate, &out->next_certificate);
        swap_texts(&out->thumbprint, &out->next_thumbprint);
    }
    return p->next_secret.n || p->next_key.n;
}

bool oauth_profile_shown(const struct oauth_profile *p, struct str text)
{
    return told_shows(text, p->client_secret) || told_shows(text, p->next_secret) || told_shows(text, p->private_key) ||
           told_shows(text, p->next_key);
}
