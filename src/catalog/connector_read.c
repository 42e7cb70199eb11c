/* Reading and checking one connector file. docs/connector-format.md is the reference of what is checked here. */
#include "catalog/connector.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/fold.h"
#include "base/template.h"
#include "catalog/connector_logo.h"
#include "catalog/connector_oauth.h"
#include "vault/domain.h"
#include "vault/oauth_settings.h"

#define TEXT_MAX (16 * 1024)

static const char *const languages[2] = { [LANG_EN] = "en", [LANG_FR] = "fr" };

struct reader {
    struct arena *a;
    struct fault *why;
};

static enum err refuse(struct reader *r, enum err e, const char *subject, const char *pointer, ...)
    __attribute__((format(printf, 4, 5)));
static enum err refuse(struct reader *r, enum err e, const char *subject, const char *pointer, ...)
{
    struct fault spare, *why = r->why ? r->why : &spare;
    va_list args;
    va_start(args, pointer);
    (void)fault(why, e, str_of(subject), "connector file");
    vsnprintf(why->pointer, sizeof why->pointer, pointer, args);
    va_end(args);
    return e;
}

static enum err invalid(struct reader *r, const char *at, const char *key, const char *subject)
{
    return refuse(r, ERR_FIELD_INVALID, subject, "%s/%s", at, key);
}

/* ---- Values ---- */

/* A text without control bytes, or nothing. */
static enum err take_text(struct reader *r, const struct json *from, const char *at, const char *key, bool required,
                          struct str *out)
{
    const struct json *v = json_get(from, key);
    *out = STR_NONE;
    if (!v)
        return required ? refuse(r, ERR_FIELD_REQUIRED, key, "%s/%s", at, key) : ERR_NONE;
    if (v->type != JSON_STRING || !v->text.n || v->text.n > TEXT_MAX || str_has_control(v->text))
        return invalid(r, at, key, "must be a text of one line, not empty");
    *out = v->text;
    return ERR_NONE;
}

static enum err take_bool(struct reader *r, const struct json *from, const char *at, const char *key, bool *out)
{
    const struct json *v = json_get(from, key);
    *out = json_is(v, JSON_TRUE);
    return !v || v->type == JSON_TRUE || v->type == JSON_FALSE ? ERR_NONE : invalid(r, at, key, "must be true or false");
}

/* Prose: a text, or its lines as an array. */
static bool take_prose(struct reader *r, const struct json *v, struct str *out)
{
    if (json_is(v, JSON_STRING)) {
        *out = v->text;
        return v->text.n && v->text.n <= TEXT_MAX;
    }
    if (!json_is(v, JSON_ARRAY) || !v->count)
        return false;
    AUTO_BUF joined;
    buf_init(&joined, TEXT_MAX);
    json_each(line, v) {
        if (line->type != JSON_STRING || str_has_control(line->text))
            return false;
        if (line != v->child)
            buf_char(&joined, '\n');
        buf_add(&joined, line->text);
    }
    *out = arena_str(r->a, buf_str(&joined));
    return !buf_failed(&joined);
}

/* The same said in every language: a person never meets half a form. */
static enum err take_both(struct reader *r, const struct json *from, const char *at, const char *key, bool required,
                          struct str out[2])
{
    static const char *const allowed[] = { "en", "fr", NULL };
    const struct json *v = json_get(from, key);
    out[LANG_EN] = out[LANG_FR] = STR_NONE;
    if (!v)
        return required ? refuse(r, ERR_FIELD_REQUIRED, key, "%s/%s", at, key) : ERR_NONE;
    if (v->type != JSON_OBJECT)
        return invalid(r, at, key, "must give “en” and “fr”");
    const char *inside = str_fmt(r->a, "%s/%s", at, key).p;
    enum err e = json_only(v, allowed, inside, r->why);
    for (size_t lang = 0; !e && lang < COUNT(languages); lang++) {
        if (!json_get(v, languages[lang]))
            e = refuse(r, ERR_FIELD_REQUIRED, languages[lang], "%s/%s", inside, languages[lang]);
        else if (!take_prose(r, json_get(v, languages[lang]), &out[lang]))
            e = invalid(r, inside, languages[lang], "must be a text, or lines of text");
    }
    return e;
}

/* An array of at most `max` texts. */
static enum err take_list(struct reader *r, const struct json *from, const char *at, const char *key, struct str *out, size_t max,
                          size_t *count)
{
    const struct json *v = json_get(from, key);
    *count = 0;
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_ARRAY || v->count > max)
        return invalid(r, at, key, str_fmt(r->a, "must be a list of at most %zu texts", max).p);
    json_each(item, v) {
        if (item->type != JSON_STRING || !item->text.n || str_has_control(item->text))
            return refuse(r, ERR_FIELD_INVALID, "must be a text, not empty", "%s/%s/%zu", at, key, *count);
        out[(*count)++] = item->text;
    }
    return ERR_NONE;
}

static bool each_char(struct str s, const char *also, size_t max)
{
    if (!s.n || s.n > max)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !ascii_digit(s.p[i]) && !(s.p[i] && strchr(also, s.p[i])))
            return false;
    return true;
}

static bool one_of(struct str s, const char *const *names, size_t count, size_t *at)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(s, names[i])) {
            if (at)
                *at = i;
            return true;
        }
    return false;
}

/* RFC 6901: empty, or "/" and more. */
static enum err take_pointer(struct reader *r, const struct json *from, const char *at, const char *key, struct str *out)
{
    enum err e = take_text(r, from, at, key, false, out);
    return e || !out->n || out->p[0] == '/' ? e : invalid(r, at, key, "must be a JSON pointer such as “/user/email”");
}

/* ---- Fields ---- */

static const char *const type_names[] = {
    [FIELD_TEXT] = "text",       [FIELD_SECRET] = "secret", [FIELD_MULTILINE_SECRET] = "multiline_secret",
    [FIELD_SELECT] = "select",   [FIELD_BOOLEAN] = "boolean", [FIELD_URL] = "url",
    [FIELD_HOST] = "host",       [FIELD_NUMBER] = "number", [FIELD_MAP] = "map",
};
static const char *const format_names[] = {
    [FORMAT_ANY] = "", [FORMAT_HEADER_NAME] = "header_name", [FORMAT_PATH] = "path", [FORMAT_DATE] = "date",
};

const char *field_type_name(enum field_type t)
{
    return type_names[t];
}

const char *field_format_name(enum field_format f)
{
    return format_names[f];
}

static enum err take_kind(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    struct str type, format;
    size_t t, m = FORMAT_ANY;
    enum err e = take_text(r, v, at, "type", true, &type);
    if (!e)
        e = take_text(r, v, at, "format", false, &format);
    if (e)
        return e;
    if (!one_of(type, type_names, COUNT(type_names), &t))
        return invalid(r, at, "type", "is none of the field types");
    if (format.n && (!one_of(format, format_names, COUNT(format_names), &m) || t != FIELD_TEXT))
        return invalid(r, at, "format", "is header_name, path or date, on a text");
    f->type = (enum field_type)t;
    f->format = (enum field_format)m;
    return ERR_NONE;
}

static enum err take_preset(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    const struct json *preset = json_get(v, "default");
    if (!preset)
        return ERR_NONE;
    bool boolean = preset->type == JSON_TRUE || preset->type == JSON_FALSE;
    enum json_type wanted = f->type == FIELD_NUMBER ? JSON_NUMBER : JSON_STRING;
    if (f->secret || f->type == FIELD_MAP || (f->type == FIELD_BOOLEAN ? !boolean : preset->type != wanted))
        return invalid(r, at, "default", "does not fit the field's type");
    f->preset = boolean ? (preset->type == JSON_TRUE ? STR("true") : STR("false")) : preset->text;
    return ERR_NONE;
}

static enum err take_options(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    size_t count;
    enum err e = take_list(r, v, at, "options", f->options, COUNT(f->options), &count);
    if (e)
        return e;
    if ((count > 0) != (f->type == FIELD_SELECT))
        return invalid(r, at, "options", "belong to a select, which has at least one");
    for (size_t i = 0; i < count && f->preset.n; i++)
        if (str_eq(f->options[i], f->preset))
            return ERR_NONE;
    return count && f->preset.n ? invalid(r, at, "default", "is none of the options") : ERR_NONE;
}

/* Hosts, or "*.suffixes" that belong to somebody: these decide where a credential may go. */
static enum err take_hosts(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    size_t count;
    enum err e = take_list(r, v, at, "hosts", f->hosts, COUNT(f->hosts), &count);
    if (e || !count)
        return e;
    if (f->type != FIELD_HOST)
        return invalid(r, at, "hosts", "belong to a field of type host");
    for (size_t i = 0; i < count; i++)
        if (domain_check(r->a, f->hosts[i], NULL, NULL, &f->hosts[i], NULL))
            return refuse(r, ERR_FIELD_INVALID, "is a host such as api.example.com, or *.example.com", "%s/hosts/%zu", at, i);
    return ERR_NONE;
}

static enum err take_flags(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    const struct {
        const char *key;
        bool *to;
    } flags[] = {
        { "generated", &f->generated },         { "changeable", &f->changeable },
        { "required", &f->required },           { "secret", &f->secret },           { "advanced", &f->advanced },
        { "may_be_empty", &f->may_be_empty },   { "keep_blanks", &f->keep_blanks },
    };
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < COUNT(flags); i++)
        e = take_bool(r, v, at, flags[i].key, flags[i].to);
    f->secret = f->secret || f->type == FIELD_SECRET || f->type == FIELD_MULTILINE_SECRET;
    if (!e && f->changeable && (f->secret || f->generated || f->type == FIELD_MAP))
        return invalid(r, at, "changeable", "is for fields that people see and type: no secret, map or generated one");
    return e;
}

static enum err take_field(struct reader *r, const struct json *v, const char *at, struct connector_field *f)
{
    static const char *const allowed[] = { "key", "type", "format", "label", "help", "placeholder", "pattern", "default",
                                           "options", "required", "secret", "advanced", "may_be_empty", "keep_blanks",
                                           "aliases", "host_suffix", "hosts", "generated", "changeable", NULL };
    size_t aliases;
    if (v->type != JSON_OBJECT)
        return refuse(r, ERR_FIELD_INVALID, "must be an object", "%s", at);
    enum err e;
    if ((e = json_only(v, allowed, at, r->why)) || (e = take_text(r, v, at, "key", true, &f->key)) ||
        (e = take_kind(r, v, at, f)) || (e = take_flags(r, v, at, f)) || (e = take_both(r, v, at, "label", true, f->label)) ||
        (e = take_both(r, v, at, "help", false, f->help)) || (e = take_text(r, v, at, "placeholder", false, &f->placeholder)) ||
        (e = take_text(r, v, at, "pattern", false, &f->pattern)) ||
        (e = take_text(r, v, at, "host_suffix", false, &f->host_suffix)) || (e = take_preset(r, v, at, f)) ||
        (e = take_options(r, v, at, f)) || (e = take_hosts(r, v, at, f)) ||
        (e = take_list(r, v, at, "aliases", f->aliases, COUNT(f->aliases), &aliases)))
        return e;
    f->key = arena_str(r->a, f->key);
    if (!each_char(f->key, "_", 64))
        return invalid(r, at, "key", "is 1 to 64 small letters, digits and “_”");
    if (f->generated && (f->type != FIELD_TEXT || f->required || f->preset.n || f->host_suffix.n || f->format != FORMAT_ANY))
        return invalid(r, at, "generated", "belongs to a plain text that nobody has to give");
    if (f->host_suffix.n && (f->type != FIELD_TEXT || f->host_suffix.p[0] != '.'))
        return invalid(r, at, "host_suffix", "begins with a dot and belongs to a text");
    return ERR_NONE;
}

bool connector_field_answers(const struct connector_field *f, struct str name)
{
    bool yes = str_eq(f->key, name);
    for (size_t i = 0; i < COUNT(f->aliases) && f->aliases[i].n; i++)
        yes = yes || str_eq(f->aliases[i], name);
    return yes;
}

static bool collide(const struct connector_field *x, const struct connector_field *y)
{
    bool yes = connector_field_answers(x, y->key);
    for (size_t i = 0; i < COUNT(y->aliases) && y->aliases[i].n; i++)
        yes = yes || connector_field_answers(x, y->aliases[i]);
    return yes;
}

/* `others`: fields of the same connection that these stand beside. */
static enum err take_fields(struct reader *r, const struct json *from, const char *at, const char *key,
                            const struct connector_field *others, size_t other_count, struct connector_field **out, size_t *count)
{
    const struct json *v = json_get(from, key);
    *count = 0;
    *out = NULL;
    if (!v)
        return ERR_NONE;
    if (v->type != JSON_ARRAY || v->count > 32)
        return invalid(r, at, key, "must be a list of at most 32 fields");
    struct connector_field *fields = arena_array(r->a, v->count ? v->count : 1, sizeof *fields);
    json_each(item, v) {
        struct connector_field *f = &fields[*count];
        const char *inside = str_fmt(r->a, "%s/%s/%zu", at, key, *count).p;
        enum err e = take_field(r, item, inside, f);
        if (e)
            return e;
        for (size_t i = 0; i < *count + other_count; i++)
            if (collide(i < *count ? &fields[i] : &others[i - *count], f))
                return invalid(r, inside, "key", "is the name or alias of another field");
        ++*count;
    }
    *out = fields;
    return ERR_NONE;
}

/* ---- Templates ---- */

enum template_use { IN_TEXT, IN_HOST }; /* IN_HOST: the value decides where a credential goes */

/* Whose fields a template may name: the connector's, and with an auth entry that one's. */
struct fields_of {
    const struct connector *c;
    const struct connector_auth *auth; /* NULL: none */
};

struct placeholders {
    struct fields_of of;
    enum template_use use;
};

static const struct connector_field *field_of(struct fields_of of, struct str placeholder)
{
    return connector_field_named(of.c, of.auth, placeholder);
}

static bool visit(void *context, struct str name)
{
    const struct placeholders *p = context;
    const struct connector_field *f = field_of(p->of, name);
    if (!f || f->type == FIELD_MAP)
        return false;
    return p->use == IN_TEXT || f->required || f->preset.n;
}

static enum err check_template(struct reader *r, struct fields_of of, enum template_use use, struct str text, const char *at)
{
    struct fault inner = { 0 };
    struct placeholders p = { of, use };
    if (!template_each(text, visit, &p, &inner))
        return ERR_NONE;
    return refuse(r, ERR_FIELD_INVALID,
                  str_fmt(r->a, "%s does not name a field%s", inner.subject,
                          use == IN_HOST ? " that is required or has a default" : "").p,
                  "%s", at);
}

/* What stands in the host's place must not be able to end it: "evil.example/#" in "https://{{fields.x}}.example.com". */
static bool visit_authority(void *context, struct str name)
{
    const struct connector_field *f = field_of(((const struct placeholders *)context)->of, name);
    return f && (f->host_suffix.n || f->type == FIELD_SELECT || f->type == FIELD_HOST);
}

static enum err check_base_host(struct reader *r, struct fields_of of, struct str base_url, const char *at)
{
    struct placeholders p = { of, IN_HOST };
    if (!str_starts(base_url, STR("https://")))
        return invalid(r, at, "base_url", "begins with https:// or is one {{fields.x}}");
    struct str authority, path;
    (void)str_cut(str_sub(base_url, 8, base_url.n), '/', &authority, &path);
    return template_each(authority, visit_authority, &p, NULL)
               ? invalid(r, at, "base_url", "only a select, a host, or a text with host_suffix may be part of the host")
               : ERR_NONE;
}

/* A base URL that is one placeholder is one field of type url: checked as such when it is typed. */
static enum err check_base_field(struct reader *r, struct fields_of of, struct str base_url, const char *at)
{
    struct str name = str_sub(base_url, 2, base_url.n);
    size_t end = str_find_str(name, STR("}}"));
    const struct connector_field *f = end + 2 == name.n ? field_of(of, str_sub(name, 0, end)) : NULL;
    return f && f->type == FIELD_URL ? ERR_NONE : invalid(r, at, "base_url", "the field must be a url, and stand alone");
}

static enum err take_target(struct reader *r, const struct json *from, const char *at, struct fields_of of, bool required,
                            struct str *base_url, struct str *allowed_domain)
{
    enum err e;
    if ((e = take_text(r, from, at, "base_url", required, base_url)) ||
        (e = take_text(r, from, at, "allowed_domain", false, allowed_domain)))
        return e;
    if (!base_url->n)
        return allowed_domain->n ? invalid(r, at, "allowed_domain", "belongs to a base_url beside it") : ERR_NONE;
    if ((e = check_template(r, of, IN_HOST, *base_url, str_fmt(r->a, "%s/base_url", at).p)) ||
        (e = check_template(r, of, IN_HOST, *allowed_domain, str_fmt(r->a, "%s/allowed_domain", at).p)))
        return e;
    return str_starts(*base_url, STR("{{fields.")) ? check_base_field(r, of, *base_url, at) : check_base_host(r, of, *base_url, at);
}

/* ---- Parts of the file ---- */

static enum err take_headers(struct reader *r, const struct json *doc, struct connector *c)
{
    /* What carries credentials, frames the message or names the host is not a connector file's to set. */
    static const char *const refused[] = { "authorization", "proxy-authorization", "cookie", "host", "connection", "content-length",
                                           "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "expect" };
    const struct json *v = json_get(doc, "headers");
    if (v && (v->type != JSON_OBJECT || v->count > COUNT(c->headers)))
        return refuse(r, ERR_FIELD_INVALID, "must be an object of at most 8 headers", "/headers");
    json_each(h, v) {
        const char *at = str_fmt(r->a, "/headers/%.*s", STR_ARG(h->key)).p;
        bool token = h->key.n && h->key.n <= 128;
        for (size_t i = 0; token && i < h->key.n; i++)
            token = ascii_alpha(h->key.p[i]) || ascii_digit(h->key.p[i]) || h->key.p[i] == '-' || h->key.p[i] == '_';
        for (size_t i = 0; token && i < COUNT(refused); i++)
            token = !str_ieq(h->key, str_of(refused[i]));
        if (!token)
            return refuse(r, ERR_FIELD_INVALID, "is not a header that a connector may set", "%s", at);
        if (h->type != JSON_STRING || !h->text.n || str_has_control(h->text))
            return refuse(r, ERR_FIELD_INVALID, "must be a text of one line, not empty", "%s", at);
        enum err e = check_template(r, (struct fields_of){ c, NULL }, IN_TEXT, h->text, at);
        if (e)
            return e;
        c->headers[c->header_count][0] = arena_str(r->a, h->key);
        c->headers[c->header_count++][1] = h->text;
    }
    return ERR_NONE;
}

static enum err take_verify(struct reader *r, const struct json *from, const char *up, struct fields_of of,
                            struct connector_verify *out)
{
    static const char *const allowed[] = { "method", "path", "account", "account_detail", "ok_pointer", NULL };
    static const char *const methods[] = { "GET", "POST", "HEAD" };
    const struct json *v = json_get(from, "verify");
    const char *at = str_fmt(r->a, "%s/verify", up).p;
    if (!v)
        return ERR_NONE;
    enum err e;
    if (v->type != JSON_OBJECT)
        return refuse(r, ERR_FIELD_INVALID, "must be an object", "%s", at);
    if ((e = json_only(v, allowed, at, r->why)) || (e = take_text(r, v, at, "method", true, &out->method)) ||
        (e = take_text(r, v, at, "path", true, &out->path)) || (e = take_pointer(r, v, at, "account", &out->account)) ||
        (e = take_pointer(r, v, at, "account_detail", &out->account_detail)) ||
        (e = take_pointer(r, v, at, "ok_pointer", &out->ok_pointer)))
        return e;
    if (!one_of(out->method, methods, COUNT(methods), NULL))
        return invalid(r, at, "method", "is GET, POST or HEAD");
    if (out->path.p[0] != '/' && !str_starts(out->path, STR("{{fields.")))
        return invalid(r, at, "path", "begins with “/”");
    size_t end = str_find_str(out->path, STR("}}"));
    const struct connector_field *f = out->path.p[0] == '{' && end != SIZE_MAX ? field_of(of, str_sub(out->path, 2, end)) : NULL;
    if (f && f->format != FORMAT_PATH)
        return invalid(r, at, "path", "begins with “/” or with a field of format path");
    return check_template(r, of, IN_TEXT, out->path, str_fmt(r->a, "%s/path", at).p);
}

/* A secret among the fields would be stored as it is and shown to everyone. */
static enum err check_no_secret(struct reader *r, const struct connector_field *fields, size_t count, const char *at)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].secret)
            return refuse(r, ERR_FIELD_INVALID, "a secret belongs under credentials", "%s/fields/%zu/type", at, i);
    return ERR_NONE;
}

static enum err check_credentials(struct reader *r, const struct connector_auth *auth, const char *at)
{
    for (size_t i = 0; i < auth->credential_count; i++) {
        enum field_type t = auth->credentials[i].type;
        if ((t != FIELD_TEXT && t != FIELD_SECRET && t != FIELD_MULTILINE_SECRET) || auth->credentials[i].host_suffix.n)
            return refuse(r, ERR_FIELD_INVALID, "a credential is a text, a secret or a multiline_secret", "%s/credentials/%zu/type",
                          at, i);
    }
    return auth->open_credentials && auth->credential_count
               ? invalid(r, at, "open_credentials", "and a list of credentials exclude each other")
               : ERR_NONE;
}

/* Of methods that sign requests. */
#define SIGNING_OPTIONS                                                                                                            \
    "region", "service", "signature_method", "realm", "signed", "value", "algorithm", "encoding", "key_encoding",                  \
        "timestamp_header", "timestamp_format", "nonce_header", "key_header", "body_hash_header"

/* Of token exchange (RFC 8693). */
#define EXCHANGE_OPTIONS "subject_token_type", "actor_token_type", "requested_token_type"

/* A text, or a list of 1 to 16. */
static enum err check_repeated(struct reader *r, const struct json *v, const char *at, const char *name)
{
    const struct json *one = json_get(v, name);
    struct str ignored;
    if (!json_is(one, JSON_ARRAY))
        return take_text(r, v, at, name, false, &ignored);
    bool good = one->count && one->count <= OAUTH_REPEATED;
    json_each(t, one)
        good &= t->type == JSON_STRING && t->text.n && t->text.n <= TEXT_MAX && !str_has_control(t->text);
    return good ? ERR_NONE : invalid(r, at, name, "is a text, or a list of 1 to 16");
}

/* Options are auth/'s to understand; here only their shape. */
static enum err check_auth_options(struct reader *r, const struct json *v, const char *at)
{
    static const char *const texts[] = { "header", "prefix", "username_suffix", SIGNING_OPTIONS, EXCHANGE_OPTIONS };
    static const char *const maps[] = { "headers", "body" };
    struct str ignored;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < COUNT(texts); i++)
        e = take_text(r, v, at, texts[i], false, &ignored);
    for (size_t i = 0; !e && i < COUNT(maps); i++)
        if (json_get(v, maps[i]) && !json_is(json_get(v, maps[i]), JSON_OBJECT))
            e = invalid(r, at, maps[i], "must be an object");
    bool ignored_too;
    if (!e && !(e = check_repeated(r, v, at, "audience")))
        e = check_repeated(r, v, at, "resource");
    if (!e)
        e = take_bool(r, v, at, "unsigned_payload", &ignored_too);
    const struct json *query = json_get(v, "query");
    if (!e && query && query->type != JSON_OBJECT)
        e = take_text(r, v, at, "query", false, &ignored);
    return e;
}

/* Where calls go, and how they are tried, may depend on the credential. */
static enum err take_own_target(struct reader *r, const struct json *v, const char *at, const struct connector *c,
                                struct connector_auth *auth)
{
    struct fields_of of = { c, auth };
    enum err e;
    if ((e = take_target(r, v, at, of, false, &auth->base_url, &auth->allowed_domain)) ||
        (e = take_verify(r, v, at, of, &auth->verify)))
        return e;
    auth->own_target = auth->base_url.n;
    auth->own_verify = auth->verify.path.n;
    if (!auth->own_target) {
        auth->base_url = c->base_url;
        auth->allowed_domain = c->allowed_domain;
    }
    if (!auth->own_verify)
        auth->verify = c->verify;
    return ERR_NONE;
}

static enum err take_auth(struct reader *r, const struct json *v, const char *at, const struct connector *c,
                          struct connector_auth *auth)
{
    static const char *const allowed[] = { "type",           "label",        "credentials", "open_credentials",
                                           "fields",         "instructions", "header",      "prefix",
                                           "query",          "headers",      "body",        "username_suffix",
                                           "oauth",          "login",        "login_hosts", "base_url",
                                           "allowed_domain", "verify",       SIGNING_OPTIONS, "unsigned_payload",
                                           EXCHANGE_OPTIONS, "audience",    "resource",    NULL };
    if (v->type != JSON_OBJECT)
        return refuse(r, ERR_FIELD_INVALID, "must be an object", "%s", at);
    enum err e;
    if ((e = json_only(v, allowed, at, r->why)) || (e = take_text(r, v, at, "type", true, &auth->type)) ||
        (e = take_both(r, v, at, "label", true, auth->label)) ||
        (e = take_both(r, v, at, "instructions", true, auth->instructions)) ||
        (e = take_bool(r, v, at, "open_credentials", &auth->open_credentials)) || (e = check_auth_options(r, v, at)) ||
        (e = take_fields(r, v, at, "credentials", NULL, 0, &auth->credentials, &auth->credential_count)) ||
        (e = take_fields(r, v, at, "fields", c->fields, c->field_count, &auth->fields, &auth->field_count)) ||
        (e = check_no_secret(r, auth->fields, auth->field_count, at)) || (e = check_credentials(r, auth, at)) ||
        (e = take_own_target(r, v, at, c, auth)) || (e = connector_oauth_read(r->a, v, at, c, auth, r->why)))
        return e;
    auth->options = v;
    return each_char(auth->type, "_", 64) ? ERR_NONE : invalid(r, at, "type", "is small letters, digits and “_”");
}

static enum err take_auths(struct reader *r, const struct json *doc, struct connector *c)
{
    const struct json *v = json_get(doc, "auth");
    if (!json_is(v, JSON_ARRAY) || !v->count || v->count > 32)
        return refuse(r, v ? ERR_FIELD_INVALID : ERR_FIELD_REQUIRED, v ? "must be a list of 1 to 32 auth types" : "auth", "/auth");
    c->auth = arena_array(r->a, v->count, sizeof *c->auth);
    json_each(item, v) {
        const char *at = str_fmt(r->a, "/auth/%zu", c->auth_count).p;
        enum err e = take_auth(r, item, at, c, &c->auth[c->auth_count]);
        if (e)
            return e;
        if (connector_auth_find(c, c->auth[c->auth_count].type))
            return invalid(r, at, "type", "is offered twice");
        c->auth_count++;
    }
    return ERR_NONE;
}

static bool version_valid(struct str v)
{
    struct str piece;
    uint64_t n;
    size_t pieces = 0;
    while (str_piece(&v, '.', &piece))
        if (!str_u64(piece, &n) || (piece.n > 1 && piece.p[0] == '0') || ++pieces > 3)
            return false;
    return pieces == 3;
}

static enum err check_head(struct reader *r, const struct connector *c)
{
    static const char *const stages[] = { "preview", "stable", "deprecated" };
    if (!each_char(c->id, "-", 64) || c->id.p[0] == '-')
        return invalid(r, "", "id", "is 1 to 64 small letters, digits and “-”");
    if (!version_valid(c->version))
        return invalid(r, "", "version", "is three numbers such as 1.0.0");
    if (!one_of(c->stage, stages, COUNT(stages), NULL))
        return invalid(r, "", "stage", "is preview, stable or deprecated");
    if (c->homepage.n && !str_starts(c->homepage, STR("https://")))
        return invalid(r, "", "homepage", "begins with https://");
    if (!str_starts(c->documentation, STR("https://")))
        return invalid(r, "", "documentation", "begins with https://");
    for (size_t i = 0; i < c->domain_count; i++)
        if (!each_char(c->domains[i], "-", 64))
            return refuse(r, ERR_FIELD_INVALID, "is small letters, digits and “-”", "/domains/%zu", i);
    return c->domain_count ? ERR_NONE : refuse(r, ERR_FIELD_REQUIRED, "domains", "/domains");
}

/* One row per phase; the same names in connector_write.c's answer and in the document of the format. */
static enum err take_times(struct reader *r, const struct json *doc, struct http_times *out)
{
    static const char *const allowed[] = { "connect", "tls", "first_byte", "idle", "total", NULL };
    int64_t *const at[] = { &out->connect_ms, &out->tls_ms, &out->first_byte_ms, &out->idle_ms, &out->total_ms };
    const struct json *times = json_get(doc, "timeouts");
    enum err e;
    if (!times)
        return ERR_NONE;
    if (times->type != JSON_OBJECT)
        return refuse(r, ERR_FIELD_INVALID, "timeouts is an object", "/timeouts");
    if ((e = json_only(times, allowed, "/timeouts", r->why)))
        return e;
    for (size_t i = 0; allowed[i]; i++) {
        const struct json *v = json_get(times, allowed[i]);
        if (v && (v->type != JSON_STRING || !duration_parse(v->text, at[i]) || *at[i] < 100 || *at[i] > 3600000))
            return refuse(r, ERR_FIELD_INVALID, "a timeout is a time such as \"30s\", from 100ms to 1h", "/timeouts/%s",
                          allowed[i]);
    }
    return ERR_NONE;
}

static struct str haystack(struct arena *a, const struct connector *c)
{
    AUTO_BUF text;
    buf_init(&text, 4 * TEXT_MAX);
    const struct str heads[] = { c->id, c->name, c->description[LANG_EN], c->description[LANG_FR] };
    for (size_t i = 0; i < COUNT(heads); i++) {
        buf_add(&text, fold_search(a, heads[i]));
        buf_char(&text, '\n');
    }
    for (size_t i = 0; i < c->keyword_count + c->domain_count; i++) {
        buf_add(&text, fold_search(a, i < c->keyword_count ? c->keywords[i] : c->domains[i - c->keyword_count]));
        buf_char(&text, '\n');
    }
    return arena_str(a, buf_str(&text));
}

enum err connector_read(struct arena *a, struct str text, struct connector *out, struct fault *why)
{
    static const char *const allowed[] = { "id",
                                           "name",
                                           "version",
                                           "stage",
                                           "description",
                                           "homepage",
                                           "documentation",
                                           "domains",
                                           "keywords",
                                           "base_url",
                                           "allowed_domain",
                                           "fields",
                                           "headers",
                                           "verify",
                                           "auth",
                                           "follow_redirects",
                                           "prerequisites",
                                           "timeouts",
                                           "logo",
                                           NULL };
    struct reader reader = { a, why }, *r = &reader;
    struct connector *c = out;
    struct json *doc;
    enum err e = json_read(a, text, &doc, why);
    if (e)
        return e;
    *c = (struct connector){ 0 };
    if (doc->type != JSON_OBJECT)
        return refuse(r, ERR_FIELD_INVALID, "a connector file is one object", "%s", "");
    if ((e = json_only(doc, allowed, "", why)) || (e = take_text(r, doc, "", "id", true, &c->id)) ||
        (e = take_text(r, doc, "", "name", true, &c->name)) || (e = take_text(r, doc, "", "version", true, &c->version)) ||
        (e = take_text(r, doc, "", "stage", true, &c->stage)) || (e = take_both(r, doc, "", "description", true, c->description)) ||
        (e = take_text(r, doc, "", "homepage", false, &c->homepage)) ||
        (e = take_text(r, doc, "", "documentation", true, &c->documentation)) ||
        (e = take_list(r, doc, "", "domains", c->domains, COUNT(c->domains), &c->domain_count)) ||
        (e = take_list(r, doc, "", "keywords", c->keywords, COUNT(c->keywords), &c->keyword_count)) || (e = check_head(r, c)))
        return e;
    const struct fields_of own = { c, NULL };
    if ((e = take_fields(r, doc, "", "fields", NULL, 0, &c->fields, &c->field_count)) ||
        (e = check_no_secret(r, c->fields, c->field_count, "")) ||
        (e = take_target(r, doc, "", own, true, &c->base_url, &c->allowed_domain)) || (e = take_headers(r, doc, c)) ||
        (e = take_verify(r, doc, "", own, &c->verify)) || (e = take_bool(r, doc, "", "follow_redirects", &c->follow_redirects)) ||
        (e = take_times(r, doc, &c->times)) || (e = connector_logo_read(a, doc, &c->logo, why)) ||
        (e = take_both(r, doc, "", "prerequisites", true, c->prerequisites)) || (e = take_auths(r, doc, c)))
        return e;
    c->haystack = haystack(a, c);
    return ERR_NONE;
}

const struct connector_field *connector_field_named(const struct connector *c, const struct connector_auth *auth,
                                                    struct str placeholder)
{
    struct str prefix = STR("fields.");
    if (!str_starts(placeholder, prefix))
        return NULL;
    struct str key = str_sub(placeholder, prefix.n, placeholder.n);
    for (size_t i = 0; i < c->field_count; i++)
        if (str_eq(c->fields[i].key, key))
            return &c->fields[i];
    for (size_t i = 0; auth && i < auth->field_count; i++)
        if (str_eq(auth->fields[i].key, key))
            return &auth->fields[i];
    return NULL;
}

const struct connector_auth *connector_auth_find(const struct connector *c, struct str type)
{
    for (size_t i = 0; i < c->auth_count; i++)
        if (str_eq(c->auth[i].type, type))
            return &c->auth[i];
    return NULL;
}
