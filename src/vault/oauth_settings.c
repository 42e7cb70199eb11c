#include "vault/oauth_settings.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/template.h"
#include "vault/domain.h"

#define TEXT_MAX 2048
#define NAME_MAX_BYTES 128
#define SCOPE_MAX 512
#define STATUSES 8
#define WORDS 4

struct check {
    const struct oauth_settings_rules *rules;
    const char *at;     /* pointer of the object at hand */
    struct fault *why;
};

static enum err bad(const struct check *c, const char *name, const char *says)
{
    fault(c->why, ERR_FIELD_INVALID, str_of(says), "oauth setting %s", name);
    return fault_at(c->why, "%s/%s", c->at, name);
}

/* ---- templates ---- */

struct visit {
    const struct oauth_settings_rules *rules;
    enum oauth_place place;
    bool whole;
};

static bool visit(void *context, struct str name)
{
    const struct visit *v = context;
    return v->rules->placeholder && v->rules->placeholder(v->rules->context, name, v->place, v->whole);
}

static bool template_ok(const struct check *c, struct str text, enum oauth_place place, bool whole)
{
    struct visit v = { c->rules, place, whole };
    struct fault ignored;
    return !template_each(text, visit, &v, &ignored);
}

static enum err text_with(const struct check *c, const struct json *v, const char *name, enum oauth_place place)
{
    if (v->type != JSON_STRING || v->text.n > TEXT_MAX || str_has_control(v->text))
        return bad(c, name, "must be a text of one line");
    return template_ok(c, v->text, place, false) ? ERR_NONE : bad(c, name, "holds a placeholder that has no place there");
}

bool oauth_url_split(struct str url, struct str *scheme, struct str *authority, struct str *rest)
{
    static const struct str schemes[] = { { "https://", 8 }, { "http://", 7 } };
    *scheme = *authority = *rest = STR("");
    if (str_starts(url, STR("{{"))) {
        size_t end = str_find_str(url, STR("}}"));
        if (end == SIZE_MAX)
            return false;
        *scheme = str_sub(url, 0, end + 2);
        *rest = str_sub(url, end + 2, url.n);
        return !rest->n || rest->p[0] == '/' || rest->p[0] == '?';
    }
    for (size_t i = 0; i < COUNT(schemes); i++) {
        if (!str_starts(url, schemes[i]))
            continue;
        size_t end = schemes[i].n;
        while (end < url.n && url.p[end] != '/' && url.p[end] != '?')
            end++;
        *scheme = str_sub(url, 0, schemes[i].n);
        *authority = str_sub(url, schemes[i].n, end);
        *rest = str_sub(url, end, url.n);
        return authority->n > 0;
    }
    return false;
}

/* What is left of an authority when its placeholders are gone: letters, digits, "-", ".", a port, or an IPv6 address. */
static bool authority_plain(struct str s)
{
    bool inside = false;
    for (size_t i = 0; i < s.n; i++) {
        if (str_starts(str_sub(s, i, s.n), STR("{{")))
            inside = true;
        if (!inside && !ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && !strchr("-.:[]", s.p[i]))
            return false;
        if (inside && s.p[i] == '}' && i && s.p[i - 1] == '}')
            inside = false;
    }
    return !inside;
}

/* The literal end of an authority behind its last placeholder, without the port; the whole of it when there is none. */
static struct str host_end(struct str authority, bool *has_placeholder)
{
    size_t from = 0;
    *has_placeholder = false;
    for (size_t i = 0; i + 1 < authority.n; i++)
        if (authority.p[i] == '}' && authority.p[i + 1] == '}') {
            from = i + 2;
            *has_placeholder = true;
        }
    struct str end = str_sub(authority, from, authority.n);
    size_t bracket = str_find(end, ']'), colon = str_find(end, ':');
    if (bracket != SIZE_MAX && end.p[0] == '[')
        return str_sub(end, 1, bracket);
    return colon == SIZE_MAX ? end : str_sub(end, 0, colon);
}

/* "*.okta.com" of "{{fields.org}}.okta.com": a placeholder may stand for labels before a suffix that somebody owns. */
static bool suffix_owned(struct str end)
{
    AUTO_ARENA a = arena_new(512);
    struct fault ignored;
    struct str domain;
    return end.n > 1 && end.p[0] == '.' && !domain_check(a, arena_join(a, STR("*"), end), NULL, NULL, &domain, &ignored);
}

static enum err check_url(const struct check *c, const struct json *v, const char *name)
{
    struct str scheme, authority, rest;
    bool placeholder;
    if (v->type != JSON_STRING || !v->text.n || v->text.n > OAUTH_URL_MAX || str_has_control(v->text) ||
        str_find(v->text, '#') != SIZE_MAX || str_find(v->text, '\\') != SIZE_MAX)
        return bad(c, name, "must be an https URL without a fragment");
    if (!oauth_url_split(v->text, &scheme, &authority, &rest) || str_find(authority, '@') != SIZE_MAX)
        return bad(c, name, "must be an https URL without a fragment");
    if (!authority_plain(authority))
        return bad(c, name, "the host is not a host name");
    if (!template_ok(c, rest, OAUTH_IN_URL, false))
        return bad(c, name, "holds a placeholder that has no place there");
    if (!authority.n)
        return template_ok(c, scheme, OAUTH_IN_HOST, true) ? ERR_NONE
                                                             : bad(c, name, "only a field of type url may be the whole of the URL");
    struct str end = host_end(authority, &placeholder);
    if (!template_ok(c, authority, OAUTH_IN_HOST, false))
        return bad(c, name, "only a select, a host, or a text with host_suffix may be part of the host");
    if (placeholder && c->rules->of_client && !suffix_owned(end))
        return bad(c, name, "a placeholder in the host stands before a domain, as in https://{{fields.tenant}}.example.com");
    return ERR_NONE;
}

/* ---- other values ---- */

static enum err check_bool(const struct check *c, const struct json *v, const char *name)
{
    return v->type == JSON_TRUE || v->type == JSON_FALSE ? ERR_NONE : bad(c, name, "must be true or false");
}

static enum err check_choice(const struct check *c, const struct json *v, const char *name, const char *const *choices,
                             const char *says)
{
    for (; *choices; choices++)
        if (v->type == JSON_STRING && str_is(v->text, *choices))
            return ERR_NONE;
    return bad(c, name, says);
}

static enum err check_client_auth(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt",
                                           "tls_client_auth", "self_signed_tls_client_auth", "none", NULL };
    return check_choice(c, v, name, choices,
                        "is client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, "
                        "self_signed_tls_client_auth or none");
}

static enum err check_algorithm(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "HS256", NULL };
    return check_choice(c, v, name, choices, "is RS256, RS384, RS512, PS256, ES256, ES384, EdDSA or HS256");
}

static enum err check_body(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "form", "json", NULL };
    return check_choice(c, v, name, choices, "is form or json");
}

static enum err check_optional(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "optional", "required", NULL };
    return check_choice(c, v, name, choices, "is optional or required");
}

static enum err check_any(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "any", "json", NULL };
    return check_choice(c, v, name, choices, "is any or json");
}

static enum err check_separator(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { " ", ",", ";", NULL };
    return check_choice(c, v, name, choices, "is a blank, a comma or a semicolon");
}

static enum err check_duration(const struct check *c, const struct json *v, const char *name)
{
    int64_t ms;
    return v->type == JSON_STRING && duration_parse(v->text, &ms) && ms >= 1000 ? ERR_NONE
                                                                                : bad(c, name, "is a time such as 2h or 30d");
}

bool oauth_scope_valid(struct str s)
{
    return s.n && s.n <= SCOPE_MAX && !str_has_control(s) && str_find(s, ' ') == SIZE_MAX && str_find(s, ',') == SIZE_MAX;
}

static enum err check_scopes(const struct check *c, const struct json *v, const char *name)
{
    if (v->type != JSON_ARRAY || v->count > OAUTH_SCOPES)
        return bad(c, name, "must be a list of at most 256 scopes");
    json_each(s, v)
        if (s->type != JSON_STRING || !oauth_scope_valid(s->text))
            return bad(c, name, "each scope is a word without blanks and commas");
        else if (!template_ok(c, s->text, OAUTH_IN_TEXT, false))
            return bad(c, name, "holds a placeholder that has no place there");
    return ERR_NONE;
}

static enum err check_known_scopes(const struct check *c, const struct json *v, const char *name)
{
    if (v->type != JSON_OBJECT || v->count > OAUTH_SCOPES)
        return bad(c, name, "must give “en” and “fr” for each scope");
    json_each(s, v)
        if (!oauth_scope_valid(s->key) || !json_str(s, "en").n || !json_str(s, "fr").n || s->count != 2)
            return bad(c, name, "must give “en” and “fr” for each scope");
    return ERR_NONE;
}

/* What the hub itself sends is not a setting's to replace. */
static bool reserved(struct str name, const char *const *names)
{
    for (; *names; names++)
        if (str_is(name, *names))
            return true;
    return false;
}

bool oauth_parameter_repeats(struct str name) { return str_is(name, "audience") || str_is(name, "resource"); }

static enum err check_repeated(const struct check *c, const struct json *v, const char *name)
{
    if (!oauth_parameter_repeats(v->key))
        return bad(c, name, "only audience and resource may be lists");
    if (!v->count || v->count > OAUTH_REPEATED)
        return bad(c, name, "a list has 1 to 16 texts");
    json_each(one, v) {
        enum err e = text_with(c, one, name, OAUTH_IN_TEXT);
        if (e)
            return e;
    }
    return ERR_NONE;
}

/* RFC 8707 2: an absolute URI without a fragment. One with a placeholder is judged by the server. */
static enum err check_one_resource(const struct check *c, const struct json *v, const char *name)
{
    enum err e = text_with(c, v, name, OAUTH_IN_TEXT);
    if (e || str_find_str(v->text, STR("{{")) != SIZE_MAX)
        return e;
    size_t colon = str_find(v->text, ':');
    bool good = colon != SIZE_MAX && colon && colon + 1 < v->text.n && ascii_alpha(v->text.p[0]) &&
                str_find(v->text, '#') == SIZE_MAX && str_find(v->text, ' ') == SIZE_MAX;
    for (size_t i = 0; good && i < colon; i++)
        good = ascii_alpha(v->text.p[i]) || ascii_digit(v->text.p[i]) || strchr("+-.", v->text.p[i]);
    return good ? ERR_NONE : bad(c, name, "is an absolute URI without a fragment, or a list of 1 to 16");
}

static enum err check_resource(const struct check *c, const struct json *v, const char *name)
{
    if (v->type != JSON_ARRAY)
        return check_one_resource(c, v, name);
    enum err e = v->count && v->count <= OAUTH_REPEATED
                     ? ERR_NONE
                     : bad(c, name, "is an absolute URI without a fragment, or a list of 1 to 16");
    json_each(one, v)
        if (!e)
            e = check_one_resource(c, one, name);
    return e;
}

static enum err check_parameters(const struct check *c, const struct json *v, const char *name)
{
    static const char *const authorize[] = { "client_id", "redirect_uri", "response_type", "state", "code_challenge",
                                             "code_challenge_method", "request_uri", NULL };
    static const char *const token[] = { "client_id", "client_secret", "client_assertion", "client_assertion_type", "code",
                                         "code_verifier", "refresh_token", "redirect_uri", "device_code", NULL };
    const char *const *taken = strcmp(name, "authorize_parameters") ? token : authorize;
    if (v->type != JSON_OBJECT || v->count > OAUTH_PARAMETERS)
        return bad(c, name, "must be an object of at most 32 names and texts");
    json_each(p, v) {
        if (!p->key.n || p->key.n > NAME_MAX_BYTES || str_has_control(p->key))
            return bad(c, name, "must be an object of at most 32 names and texts");
        if (reserved(p->key, taken))
            return bad(c, name, "sets a parameter that the hub itself sends");
        enum err e = p->type == JSON_ARRAY ? check_repeated(c, p, name) : text_with(c, p, name, OAUTH_IN_TEXT);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static bool pointer_ok(const struct json *v)
{
    return v->type == JSON_STRING && v->text.n <= 256 && v->text.n && v->text.p[0] == '/' && !str_has_control(v->text);
}

static enum err check_answer(const struct check *c, const struct json *v, const char *name)
{
    static const char *const members[] = { "access_token", "refresh_token", "expires_in", "scope", "ok", "error", NULL };
    const char *at = c->at;
    char inside[160];
    if (v->type != JSON_OBJECT)
        return bad(c, name, "must be an object of JSON pointers");
    snprintf(inside, sizeof inside, "%s/%s", at, name);
    enum err e = json_only(v, members, inside, c->why);
    json_each(p, v)
        if (!e && !pointer_ok(p))
            e = bad(c, name, "must be an object of JSON pointers");
    return e;
}

static enum err check_capture(const struct check *c, const struct json *v, const char *name)
{
    static const char *const members[] = { "pointer", "replaces", NULL };
    if (v->type != JSON_OBJECT || v->count > 16)
        return bad(c, name, "must be an object of JSON pointers");
    json_each(p, v) {
        const struct json *pointer = p->type == JSON_OBJECT ? json_get(p, "pointer") : p, *replaces = json_get(p, "replaces");
        if (p->type == JSON_OBJECT && json_only(p, members, "", NULL))
            return bad(c, name, "must be an object of JSON pointers");
        if (!pointer || !pointer_ok(pointer) || !p->key.n || p->key.n > 64 ||
            (replaces && replaces->type != JSON_TRUE && replaces->type != JSON_FALSE))
            return bad(c, name, "must be an object of JSON pointers");
    }
    return ERR_NONE;
}

static enum err check_expired(const struct check *c, const struct json *v, const char *name)
{
    static const char *const members[] = { "status", "pointer", "equals", "contains", NULL };
    static const char says[] = "takes status (a list of 1 to 8 statuses), and pointer and equals, or contains (1 to 4 texts)";
    char inside[160];
    if (v->type != JSON_OBJECT)
        return bad(c, name, says);
    snprintf(inside, sizeof inside, "%s/%s", c->at, name);
    const struct json *status = json_get(v, "status"), *pointer = json_get(v, "pointer"), *equals = json_get(v, "equals"),
                      *contains = json_get(v, "contains");
    enum err e = json_only(v, members, inside, c->why);
    if (e)
        return e;
    if (!json_is(status, JSON_ARRAY) || !status->count || status->count > STATUSES || (pointer && !pointer_ok(pointer)) ||
        (equals && (equals->type != JSON_STRING || !pointer)))
        return bad(c, name, says);
    if (contains && (pointer || contains->type != JSON_ARRAY || !contains->count || contains->count > WORDS))
        return bad(c, name, says);
    json_each(w, contains)
        if (w->type != JSON_STRING || w->text.n < 4 || w->text.n > 256)
            return bad(c, name, says);
    json_each(s, status) {
        int64_t n;
        if (!json_i64(s, &n) || n < 100 || n > 599)
            return bad(c, name, says);
    }
    return ERR_NONE;
}

static enum err check_assertion(const struct check *up, const struct json *v, const char *name)
{
    static const char *const members[] = {
        "audience", "issuer", "subject", "lifetime", "scope_claim", "algorithm", "claims", NULL
    };
    static const char *const texts[] = { "audience", "issuer", "subject" };
    char inside[160];
    if (v->type != JSON_OBJECT)
        return bad(up, name, "must be an object");
    snprintf(inside, sizeof inside, "%s/%s", up->at, name);
    struct check c = { up->rules, inside, up->why };
    enum err e = json_only(v, members, inside, up->why);
    for (size_t i = 0; !e && i < COUNT(texts); i++)
        if (json_get(v, texts[i]))
            e = text_with(&c, json_get(v, texts[i]), texts[i], OAUTH_IN_ASSERTION);
    if (!e && json_get(v, "lifetime"))
        e = check_duration(&c, json_get(v, "lifetime"), "lifetime");
    if (!e && json_get(v, "scope_claim"))
        e = check_bool(&c, json_get(v, "scope_claim"), "scope_claim");
    if (!e && json_get(v, "algorithm"))
        e = check_algorithm(&c, json_get(v, "algorithm"), "algorithm");
    const struct json *claims = json_get(v, "claims");
    if (!e && claims && (claims->type != JSON_OBJECT || claims->count > OAUTH_PARAMETERS))
        e = bad(&c, "claims", "must be an object of at most 32 names and texts");
    json_each(p, claims)
        if (!e && p->type == JSON_STRING)
            e = text_with(&c, p, "claims", OAUTH_IN_ASSERTION);
    return e;
}

static enum err check_domains(const struct check *c, const struct json *v, const char *name)
{
    if (v->type != JSON_ARRAY || v->count > OAUTH_TOKEN_HOSTS)
        return bad(c, name, "must be a list of at most 32 hosts such as login.example.com or *.example.com");
    json_each(h, v) {
        struct str plain = h->type == JSON_STRING ? h->text : STR_NONE;
        if (str_starts(plain, STR("*."))) {
            if (!suffix_owned(str_sub(plain, 1, plain.n)))
                return bad(c, name, "must be a list of at most 32 hosts such as login.example.com or *.example.com");
            continue;
        }
        bool good = plain.n && plain.n <= 253;
        for (size_t i = 0; i < plain.n; i++)
            good &= (plain.p[i] >= 'a' && plain.p[i] <= 'z') || ascii_digit(plain.p[i]) || strchr("-.:", plain.p[i]);
        if (!good)
            return bad(c, name, "must be a list of at most 32 hosts such as login.example.com or *.example.com");
    }
    return ERR_NONE;
}

static enum err check_grants(const struct check *c, const struct json *v, const char *name)
{
    static const char *const choices[] = { "authorization_code", "client_credentials", "password", "jwt_bearer", "device_code",
                                           "token_exchange",     "aws_assume_role",    NULL };
    static const char says[] = "is a list of authorization_code, client_credentials, password, jwt_bearer, device_code, "
                               "token_exchange and aws_assume_role";
    if (v->type != JSON_ARRAY || !v->count || v->count > COUNT(choices) - 1)
        return bad(c, name, says);
    json_each(g, v) {
        enum err e = check_choice(c, g, name, choices, says);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err check_key_id(const struct check *c, const struct json *v, const char *name)
{
    return v->type == JSON_STRING && v->text.n && v->text.n <= 256 && !str_has_control(v->text)
               ? ERR_NONE
               : bad(c, name, "must be a text of at most 256 bytes");
}

/* PEM: its shape is looked at where it is read. */
static enum err check_certificate(const struct check *c, const struct json *v, const char *name)
{
    return v->type == JSON_STRING && str_starts(str_trim(v->text), STR("-----BEGIN ")) && v->text.n <= 32 * 1024
               ? ERR_NONE
               : bad(c, name, "a PEM certificate is expected");
}

/* ---- the grammar ---- */

enum { CONNECTOR = 1, CLIENT = 2, BOTH = 3 };

static const struct member {
    const char *name;
    unsigned of;
    enum err (*check)(const struct check *c, const struct json *v, const char *name);
} members[] = {
    { "issuer", BOTH, check_url },
    { "authorization_url", BOTH, check_url },
    { "token_url", BOTH, check_url },
    { "revocation_url", BOTH, check_url },
    { "device_authorization_url", BOTH, check_url },
    { "introspection_url", BOTH, check_url },
    { "par_url", BOTH, check_url },
    { "client_authentication", BOTH, check_client_auth },
    { "refresh_client_authentication", BOTH, check_client_auth },
    { "scopes", BOTH, check_scopes },
    { "resource", BOTH, check_resource },
    { "scope_separator", BOTH, check_separator },
    { "known_scopes", CONNECTOR, check_known_scopes },
    { "pkce", BOTH, check_bool },
    { "par", BOTH, check_bool },
    { "dpop", BOTH, check_bool },
    { "authorize_parameters", BOTH, check_parameters },
    { "token_parameters", BOTH, check_parameters },
    { "refresh_parameters", BOTH, check_parameters },
    { "body", BOTH, check_body },
    { "answer", BOTH, check_answer },
    { "token_type", BOTH, check_optional },
    { "content_type", BOTH, check_any },
    { "capture", CONNECTOR, check_capture },
    { "introspect", CONNECTOR, check_bool },
    { "expired", BOTH, check_expired },
    { "max_idle", BOTH, check_duration },
    { "lifetime", BOTH, check_duration },
    { "assertion", BOTH, check_assertion },
    { "token_hosts", BOTH, check_domains },
    { "algorithm", BOTH, check_algorithm },
    { "key_id", CLIENT, check_key_id },
    { "certificate", CLIENT, check_certificate },
    { "next_key_id", CLIENT, check_key_id },
    { "next_certificate", CLIENT, check_certificate },
    { "allowed_domains", CLIENT, check_domains },
    { "grant_types", CLIENT, check_grants },
    { "iss_parameter", CLIENT, check_bool },
};

static const struct member *member_named(struct str name, unsigned of)
{
    for (size_t i = 0; i < COUNT(members); i++)
        if ((members[i].of & of) && str_is(name, members[i].name))
            return &members[i];
    return NULL;
}

enum err oauth_settings_check(const struct json *settings, const struct oauth_settings_rules *rules, const char *at,
                              struct fault *why)
{
    const struct check c = { rules, at, why };
    static const char *const none[] = { NULL };
    if (!json_is(settings, JSON_OBJECT)) {
        fault(why, ERR_FIELD_INVALID, STR("must be an object"), "oauth settings");
        return fault_at(why, "%s", at);
    }
    json_each(v, settings) {
        const struct member *m = member_named(v->key, rules->of_client ? CLIENT : CONNECTOR);
        /* json_only() writes the pointer of a name that needs escapes. */
        const struct json lone = { .type = JSON_OBJECT, .child = &(struct json){ .type = JSON_NULL, .key = v->key }, .count = 1 };
        enum err e = m ? m->check(&c, v, m->name) : json_only(&lone, none, at, why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

const char *const *oauth_settings_urls(size_t *quiet)
{
    /* The browser goes to the first two; a credential to the others. */
    static const char *const urls[] = { "issuer", "authorization_url", "token_url", "revocation_url", "device_authorization_url",
                                        "introspection_url", "par_url", NULL };
    *quiet = 2;
    return urls;
}

/* ---- hosts ---- */

static int by_text(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

static struct str lowered(struct arena *a, struct str s)
{
    char *low = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        low[i] = ascii_lower(low[i]);
    return (struct str){ low, s.n };
}

static void add_host(struct arena *a, struct str out[OAUTH_TOKEN_HOSTS], size_t *n, struct str url)
{
    struct str scheme, authority, rest;
    bool placeholder;
    if (!oauth_url_split(url, &scheme, &authority, &rest) || !authority.n)
        return;
    struct str end = host_end(authority, &placeholder);
    if (!end.n || (placeholder && end.p[0] != '.'))
        return;
    struct str host = lowered(a, placeholder ? arena_join(a, STR("*"), end) : end);
    for (size_t i = 0; i < *n; i++)
        if (str_eq(out[i], host))
            return;
    if (*n < OAUTH_TOKEN_HOSTS)
        out[(*n)++] = host;
}

void oauth_settings_hosts(struct arena *a, const struct json *settings, struct str out[OAUTH_TOKEN_HOSTS], size_t *n)
{
    size_t quiet;
    const char *const *urls = oauth_settings_urls(&quiet);
    *n = 0;
    for (urls += quiet; *urls; urls++)
        if (json_str(settings, *urls).n)
            add_host(a, out, n, json_str(settings, *urls));
    qsort(out, *n, sizeof *out, by_text);
}

bool oauth_hosts_hold(const struct json *hosts, struct str host)
{
    json_each(h, json_is(hosts, JSON_ARRAY) ? hosts : NULL)
        if (h->type == JSON_STRING && domain_matches(h->text, host))
            return true;
    return false;
}
