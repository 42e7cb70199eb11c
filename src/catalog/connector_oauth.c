#include "catalog/connector_oauth.h"

#include "base/clock.h"
#include "base/template.h"
#include "vault/oauth_settings.h"

#define LOGIN_TEXT_MAX (16 * 1024)

struct entry {
    const struct connector *c;
    const struct connector_auth *auth;
    bool credentials_ok; /* secrets may stand there */
};

static const struct connector_field *named(const struct connector_field *fields, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(fields[i].key, key))
            return &fields[i];
    return NULL;
}

static bool is_credential(const struct entry *e, struct str name, bool secret_ok)
{
    struct str prefix = STR("credentials.");
    if (!str_starts(name, prefix))
        return false;
    if (e->auth->open_credentials)
        return secret_ok;
    const struct connector_field *f =
        named(e->auth->credentials, e->auth->credential_count, str_sub(name, prefix.n, name.n));
    return f && (secret_ok || f->type == FIELD_TEXT);
}

/* What stands in the host's place must not be able to end it; what stands for the whole URL was checked as a URL when it was typed.
 * A claim is written down in memory that is not a secret's, so no secret goes in there. */
static bool placeholder(void *context, struct str name, enum oauth_place place, bool whole)
{
    const struct entry *e = context;
    const struct connector_field *f = connector_field_named(e->c, e->auth, name);
    if (e->credentials_ok && place != OAUTH_IN_HOST && is_credential(e, name, true))
        return true;
    if (place == OAUTH_IN_ASSERTION && is_credential(e, name, false))
        return true;
    if (!f || f->type == FIELD_MAP)
        return false;
    if (place != OAUTH_IN_HOST)
        return true;
    if (whole)
        return f->type == FIELD_URL;
    return (f->required || f->preset.n) && (f->host_suffix.n || f->type == FIELD_SELECT || f->type == FIELD_HOST);
}

/* ---- custom_oauth: a login request of the connector's own ---- */

static enum err bad(struct fault *why, const char *says, const char *at, const char *name)
{
    fault(why, ERR_FIELD_INVALID, str_of(says), "connector file");
    return fault_at(why, "%s%s%s", at, *name ? "/" : "", name);
}

static bool visit_login(void *context, struct str name) { return placeholder(context, name, OAUTH_IN_TEXT, false); }

static enum err login_template(const struct json *v, struct entry *e, const char *at, const char *name, struct fault *why)
{
    if (v && (v->type != JSON_STRING || v->text.n > LOGIN_TEXT_MAX))
        return bad(why, "must be a text", at, name);
    if (v && template_each(v->text, visit_login, e, NULL))
        return bad(why, "holds a placeholder that has no place there", at, name);
    return ERR_NONE;
}

static enum err login_map(const struct json *map, struct entry *e, const char *at, const char *name, struct fault *why)
{
    if (map && (map->type != JSON_OBJECT || map->count > OAUTH_PARAMETERS))
        return bad(why, "must be an object of at most 32 names and texts", at, name);
    json_each(v, map) {
        enum err err = login_template(v, e, at, name, why);
        if (err)
            return err;
    }
    return ERR_NONE;
}

static enum err check_success(const struct json *s, const char *at, struct fault *why)
{
    static const char *const members[] = { "status", "pointer", "equals", NULL };
    static const char says[] = "takes status (a list of statuses), pointer and equals";
    if (!s)
        return ERR_NONE;
    if (s->type != JSON_OBJECT)
        return bad(why, says, at, "");
    enum err e = json_only(s, members, at, why);
    if (e)
        return e;
    const struct json *status = json_get(s, "status"), *pointer = json_get(s, "pointer"), *equals = json_get(s, "equals");
    bool good = !status || (status->type == JSON_ARRAY && status->count && status->count <= 8);
    json_each(n, good ? status : NULL) {
        int64_t value;
        good = good && json_i64(n, &value) && value >= 100 && value <= 599;
    }
    good = good && (!pointer || (pointer->type == JSON_STRING && pointer->text.n && pointer->text.p[0] == '/')) &&
           (!equals || (equals->type == JSON_STRING && pointer));
    return good ? ERR_NONE : bad(why, says, at, "");
}

static enum err check_login(struct arena *a, const struct json *login, struct entry *e, const char *at, struct fault *why)
{
    static const char *const members[] = { "method",  "url",    "headers",    "body",     "content_type",
                                           "success", "values", "expires_in", "lifetime", NULL };
    static const char *const methods[] = { "POST", "GET", "PUT", NULL };
    static const char *const texts[] = { "body", "content_type", "expires_in" };
    enum err err;
    if (login->type != JSON_OBJECT)
        return bad(why, "must be an object", at, "");
    if ((err = json_only(login, members, at, why)))
        return err;
    bool method_ok = !json_get(login, "method");
    for (size_t i = 0; methods[i]; i++)
        method_ok |= str_is(json_str(login, "method"), methods[i]);
    if (!method_ok)
        return bad(why, "is POST, GET or PUT", at, "method");
    if (!json_get(login, "url"))
        return bad(why, "url", at, "url");
    /* The URL follows the rule of token URLs. */
    const struct json url = { .type = json_get(login, "url")->type, .key = STR("token_url"), .text = json_str(login, "url") };
    const struct json lone = { .type = JSON_OBJECT, .child = (struct json *)(uintptr_t)&url, .count = 1 };
    const struct oauth_settings_rules rules = { false, placeholder, e };
    if (oauth_settings_check(&lone, &rules, at, why))
        return fault_at(why, "%s/url", at);
    for (size_t i = 0; i < COUNT(texts); i++)
        if ((err = login_template(json_get(login, texts[i]), e, at, texts[i], why)))
            return err;
    const struct json *values = json_get(login, "values");
    if (!json_is(values, JSON_OBJECT) || !values->count || values->count > 8)
        return bad(why, "must name 1 to 8 values and where the answer has them", at, "values");
    json_each(v, values)
        if (v->type != JSON_STRING || !v->text.n || (v->text.p[0] != '/' && v->text.p[0] != '$'))
            return bad(why, "is a JSON pointer (/token) or a JSONPath ($.token)", at, "values");
    int64_t ms;
    const struct json *lifetime = json_get(login, "lifetime");
    if (lifetime && (lifetime->type != JSON_STRING || !duration_parse(lifetime->text, &ms) || ms < 1000))
        return bad(why, "is a time such as 2h or 30d", at, "lifetime");
    if ((err = login_map(json_get(login, "headers"), e, at, "headers", why)))
        return err;
    return check_success(json_get(login, "success"), str_fmt(a, "%s/success", at).p, why);
}

/* ---- an OAuth client of one's own ---- */

#define T(literal) { literal, sizeof(literal) - 1 }
static const struct connector_field own_client[] = {
    { .key = T("client_id"),
      .type = FIELD_TEXT,
      .advanced = true,
      .label = { [LANG_EN] = T("Client ID of your own"), [LANG_FR] = T("Votre propre ID client") },
      .help = { [LANG_EN] = T("Of an OAuth client that you registered yourself. Leave empty to use one of the hub's."),
                [LANG_FR] =
                    T("D'un client OAuth que vous avez enregistré vous-même. Laissez vide pour utiliser un client du hub.") } },
    { .key = T("client_secret"),
      .type = FIELD_SECRET,
      .secret = true,
      .advanced = true,
      .label = { [LANG_EN] = T("Its client secret"), [LANG_FR] = T("Son secret client") },
      .help = { [LANG_EN] = T("Leave empty for a client that has none."),
                [LANG_FR] = T("À laisser vide pour un client qui n'en a pas.") } },
    { .key = T("client_private_key"),
      .type = FIELD_MULTILINE_SECRET,
      .secret = true,
      .advanced = true,
      .label = { [LANG_EN] = T("Its private key"), [LANG_FR] = T("Sa clé privée") },
      .help = { [LANG_EN] = T("PEM, for clients that prove themselves by a signature instead of a secret."),
                [LANG_FR] = T("PEM, pour les clients qui s'identifient par une signature plutôt que par un secret.") } },
};
#undef T

static void offer_own_client(struct arena *a, struct connector_auth *auth)
{
    if (!str_starts(auth->type, STR("oauth2_")) || auth->open_credentials)
        return;
    struct connector_field *all = arena_array(a, auth->credential_count + COUNT(own_client), sizeof *all);
    size_t n = auth->credential_count;
    if (n)
        memcpy(all, auth->credentials, n * sizeof *all);
    for (size_t i = 0; i < COUNT(own_client); i++)
        if (!named(auth->credentials, auth->credential_count, own_client[i].key) &&
            !named(auth->fields, auth->field_count, own_client[i].key))
            all[n++] = own_client[i];
    auth->credentials = all;
    auth->credential_count = n;
}

enum err connector_oauth_read(struct arena *a, const struct json *entry, const char *at, const struct connector *c,
                              struct connector_auth *auth, struct fault *why)
{
    struct entry of_oauth = { c, auth, false }, of_login = { c, auth, true };
    const struct json *oauth = json_get(entry, "oauth"), *login = json_get(entry, "login"), *hosts = json_get(entry, "login_hosts");
    const struct oauth_settings_rules rules = { false, placeholder, &of_oauth };
    enum err e = ERR_NONE;
    offer_own_client(a, auth);
    if (oauth)
        e = oauth_settings_check(oauth, &rules, str_fmt(a, "%s/oauth", at).p, why);
    if (!e && login)
        e = check_login(a, login, &of_login, str_fmt(a, "%s/login", at).p, why);
    if (!e && hosts) {
        const struct json list = { .type = hosts->type, .key = STR("token_hosts"), .child = hosts->child, .count = hosts->count };
        const struct json lone = { .type = JSON_OBJECT, .child = (struct json *)(uintptr_t)&list, .count = 1 };
        if ((e = oauth_settings_check(&lone, &rules, at, why)))
            fault_at(why, "%s/login_hosts", at);
    }
    return e;
}
