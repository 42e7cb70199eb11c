#include "catalog/setup.h"

#include <stdio.h>

#include "base/encode.h"
#include "base/template.h"
#include "crypto/hash.h"
#include "vault/domain.h"
#include "vault/header_name.h"

#define FIELD_MAX 2048         /* bytes of a field's text */
#define MAP_ENTRIES 32
#define FIELDS_MAX (64 * 1024) /* bytes of all fields together, as JSON */
#define SECRET_MAX (8 * 1024)
#define MULTILINE_MAX (32 * 1024)
#define URL_MAX 4096

/* What one check works with. */
struct form {
    struct arena *a;
    const struct connector *connector;
    const struct connector_auth *auth;
    bool fresh;                  /* the connection is being made: what the hub makes itself is made now */
    const struct egress *egress; /* NULL: nothing is allowed beyond the default */
    bool digits_ok;
    struct fault *why;
};

static enum err refuse(const struct form *f, enum err e, const char *subject, const char *pointer, ...)
    __attribute__((format(printf, 4, 5)));
static enum err refuse(const struct form *f, enum err e, const char *subject, const char *pointer, ...)
{
    if (!f->why)
        return e;
    va_list args;
    va_start(args, pointer);
    (void)fault(f->why, e, str_of(subject), "set-up of a connection");
    vsnprintf(f->why->pointer, sizeof f->why->pointer, pointer, args);
    va_end(args);
    return e;
}

/* Says where a fault from a lower room sits. */
static enum err point(const struct form *f, enum err e, const char *pointer)
{
    if (e && f->why)
        (void)fault_at(f->why, "%s", pointer);
    return e;
}

static const char *pointer_to(const struct form *f, const char *under, struct str key)
{
    return str_fmt(f->a, "/%s/%.*s", under, STR_ARG(key)).p;
}

/* ---- What was typed ---- */

/* What was given for a field, by its name or an alias; null is not given. */
static const struct json *given(const struct json *object, const struct connector_field *field)
{
    json_each(m, object)
        if (connector_field_answers(field, m->key) && m->type != JSON_NULL)
            return m;
    return NULL;
}

struct field_set {
    const char *under; /* "fields" or "credentials" */
    const struct connector_field *part[2];
    size_t count[2];
};

static const struct connector_field *field_at(const struct field_set *set, size_t i)
{
    if (i < set->count[0])
        return &set->part[0][i];
    return i - set->count[0] < set->count[1] ? &set->part[1][i - set->count[0]] : NULL;
}

/* Every member is a known field, and none is given under two names. */
static enum err check_names(const struct form *f, const struct field_set *set, const struct json *object)
{
    if (object && object->type != JSON_OBJECT)
        return refuse(f, ERR_FIELD_INVALID, "must be an object", "/%s", set->under);
    json_each(m, object) {
        const struct connector_field *field = NULL;
        for (size_t i = 0; !field && field_at(set, i); i++)
            if (connector_field_answers(field_at(set, i), m->key))
                field = field_at(set, i);
        /* json_only() writes the pointer of a name that needs escapes. */
        if (!field) {
            const struct json lone = { .type = JSON_OBJECT,
                                       .child = &(struct json){ .type = JSON_NULL, .key = m->key },
                                       .count = 1 };
            return json_only(&lone, (const char *const[]){ NULL }, arena_join(f->a, STR("/"), str_of(set->under)).p, f->why);
        }
        json_each(other, object)
            if (other != m && other->type != JSON_NULL && m->type != JSON_NULL && connector_field_answers(field, other->key))
                return refuse(
                    f, ERR_FIELD_INVALID,
                    str_fmt(f->a, "“%.*s” and “%.*s” are the same field; give one", STR_ARG(m->key), STR_ARG(other->key)).p,
                    "/%s/%.*s", set->under, STR_ARG(other->key));
    }
    return ERR_NONE;
}

static struct str trim_lines(struct str s)
{
    while (s.n && (s.p[0] == '\r' || s.p[0] == '\n'))
        s = str_sub(s, 1, s.n);
    while (s.n && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == '\n'))
        s.n--;
    return s;
}

/* What is pasted often brings blanks and a line end with it. Where blanks count, only line ends go. */
static struct str cleaned(const struct connector_field *field, struct str text)
{
    return field->keep_blanks ? trim_lines(text) : str_trim(text);
}

static bool number_valid(struct str digits)
{
    for (size_t i = 0; i < digits.n; i++)
        if (!ascii_digit(digits.p[i]))
            return false;
    return true;
}

static bool date_valid(struct str s)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    uint64_t y, m, d;
    if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-' || !number_valid(str_sub(s, 0, 4)) || !number_valid(str_sub(s, 5, 7)) ||
        !number_valid(str_sub(s, 8, 10)) || !str_u64(str_sub(s, 0, 4), &y) || !str_u64(str_sub(s, 5, 7), &m) ||
        !str_u64(str_sub(s, 8, 10), &d))
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (unsigned)(m == 2 && leap);
}

/* ---- URLs ---- */

/* For a fault: the host as typed, without the user info that may hold a secret. */
static const char *typed_host(const struct form *f, struct str rest)
{
    struct str authority = rest, tail;
    (void)str_cut(authority, '/', &authority, &tail);
    for (size_t at; (at = str_find(authority, '@')) != SIZE_MAX;)
        authority = str_sub(authority, at + 1, authority.n);
    return arena_cstr(f->a, authority);
}

/* A place to call: http or https, nothing that calls would have to share (query) or that is never sent (fragment). */
static enum err check_url(const struct form *f, struct str text, struct url *out, const char *at)
{
    size_t scheme = str_find_str(text, STR("://"));
    if (scheme == SIZE_MAX)
        return refuse(f, ERR_URL_INVALID, "write it with its scheme, as in https://api.example.com", "%s", at);
    struct str name = str_sub(text, 0, scheme);
    if (!str_ieq(name, STR("https")) && !str_ieq(name, STR("http")))
        return refuse(f, ERR_SCHEME_NOT_ALLOWED, typed_host(f, str_sub(text, scheme + 3, text.n)), "%s", at);
    if (str_find(text, '?') != SIZE_MAX || str_find(text, '#') != SIZE_MAX)
        return refuse(f, ERR_URL_INVALID, "a base URL has no query and no fragment; leave them out", "%s", at);
    struct str authority, path;
    (void)str_cut(str_sub(text, scheme + 3, text.n), '/', &authority, &path);
    if (str_find(authority, '@') != SIZE_MAX)
        return refuse(f, ERR_URL_INVALID, "leave out the user name and “@”; credentials have fields of their own", "%s", at);
    return point(f, url_parse(f->a, text, out, f->why), at);
}

/* "https://acme.zendesk.com", "acme.zendesk.com" or "acme" -> "acme". */
static enum err take_label(const struct form *f, const struct connector_field *field, struct str text, struct str *out,
                           const char *at)
{
    struct str host = text;
    bool whole = str_find_str(text, STR("://")) != SIZE_MAX;
    if (whole) {
        struct url url;
        enum err e = check_url(f, text, &url, at);
        if (e)
            return e;
        if (!url.https)
            return refuse(f, ERR_SCHEME_NOT_ALLOWED, arena_cstr(f->a, url.host), "%s", at);
        if (!str_eq(url.path, STR("/")) || url.port != 443)
            return refuse(f, ERR_FIELD_INVALID,
                          str_fmt(f->a, "write only what stands before “%.*s”", STR_ARG(field->host_suffix)).p, "%s", at);
        host = url.host;
    }
    char *label = arena_cstr(f->a, host);
    for (size_t i = 0; i < host.n; i++)
        label[i] = ascii_lower(label[i]);
    struct str l = { label, host.n };
    if (str_ends(l, field->host_suffix))
        l.n -= field->host_suffix.n;
    else if (whole)
        l.n = 0;
    bool good = l.n >= 1 && l.n <= 63 && l.p[0] != '-' && l.p[l.n - 1] != '-';
    for (size_t i = 0; good && i < l.n; i++)
        good = ascii_alpha(l.p[i]) || ascii_digit(l.p[i]) || l.p[i] == '-';
    *out = l;
    return good ? ERR_NONE
                : refuse(
                      f, ERR_FIELD_INVALID,
                      str_fmt(f->a, "write what stands before “%.*s”: letters, digits and hyphens", STR_ARG(field->host_suffix)).p,
                      "%s", at);
}

/* "https://acme.my.example.com/" where a host of a list is asked for: people paste what stands in the browser. */
static enum err cut_to_host(const struct form *f, struct str text, struct str *out, const char *at)
{
    struct url url;
    enum err e = check_url(f, text, &url, at);
    if (e)
        return e;
    if (!url.https)
        return refuse(f, ERR_SCHEME_NOT_ALLOWED, arena_cstr(f->a, url.host), "%s", at);
    if (url.port != 443)
        return refuse(f, ERR_FIELD_INVALID, "write the host alone", "%s", at);
    *out = url.host;
    return ERR_NONE;
}

static enum err take_host(const struct form *f, const struct connector_field *field, struct str text, struct str *out,
                          const char *at)
{
    bool ip, ip6;
    enum err e = ERR_NONE;
    if (field->hosts[0].n && str_find_str(text, STR("://")) != SIZE_MAX)
        e = cut_to_host(f, text, &text, at);
    if (e || (e = point(f, host_parse(f->a, text, out, &ip, &ip6, f->why), at)))
        return e;
    for (size_t i = 0; i < COUNT(field->hosts) && field->hosts[i].n; i++)
        if (domain_matches(field->hosts[i], *out))
            return ERR_NONE;
    return field->hosts[0].n
               ? refuse(f, ERR_FIELD_INVALID,
                        str_fmt(f->a, "is not a host of this service, such as %.*s", STR_ARG(field->hosts[0])).p, "%s", at)
               : ERR_NONE;
}

/* ---- One field ---- */

static enum err take_text(const struct form *f, const struct connector_field *field, struct str text, struct str *out,
                          const char *at)
{
    *out = text;
    if (field->host_suffix.n)
        return take_label(f, field, text, out, at);
    switch (field->format) {
    case FORMAT_HEADER_NAME:
        return point(f, header_name_check(text, f->digits_ok, f->why), at);
    case FORMAT_PATH:
        return text.p[0] == '/' && str_find(text, '#') == SIZE_MAX
                   ? ERR_NONE
                   : refuse(f, ERR_FIELD_INVALID, "a path begins with “/”", "%s", at);
    case FORMAT_DATE:
        return date_valid(text) ? ERR_NONE : refuse(f, ERR_FIELD_INVALID, "write a day as 2027-01-31", "%s", at);
    case FORMAT_ANY:
        break;
    }
    return ERR_NONE;
}

static enum err check_option(const struct form *f, const struct connector_field *field, struct str text, const char *at)
{
    for (size_t i = 0; i < COUNT(field->options) && field->options[i].n; i++)
        if (str_eq(field->options[i], text))
            return ERR_NONE;
    return refuse(f, ERR_FIELD_INVALID, "is none of the choices", "%s", at);
}

/* Fields that arrive as a JSON string. `text` is cleaned and not empty. */
static enum err take_string(const struct form *f, const struct connector_field *field, struct str text, struct str *out,
                            const char *at)
{
    struct url url;
    *out = text;
    if (text.n > FIELD_MAX)
        return refuse(f, ERR_FIELD_INVALID, "is longer than 2048 bytes", "%s", at);
    if (str_has_control(text))
        return refuse(f, ERR_FIELD_INVALID, "holds a line break or another control character", "%s", at);
    if (field->type == FIELD_SELECT)
        return check_option(f, field, text, at);
    if (field->type == FIELD_URL)
        return check_url(f, text, &url, at);
    if (field->type == FIELD_HOST)
        return take_host(f, field, text, out, at);
    return take_text(f, field, text, out, at);
}

static enum err put_map(const struct form *f, const struct json *v, struct json_out *o, const char *at)
{
    if (v->type != JSON_OBJECT)
        return refuse(f, ERR_FIELD_INVALID, "must be an object of names and texts", "%s", at);
    if (v->count > MAP_ENTRIES)
        return refuse(f, ERR_LIMIT, "at most 32 entries", "%s", at);
    json_open(o, '{');
    json_each(m, v) {
        if (m->type != JSON_STRING || m->text.n > FIELD_MAX || m->key.n < 1 || m->key.n > 128 || str_has_control(m->key))
            return refuse(f, ERR_FIELD_INVALID, "each entry is a name of up to 128 characters and a text", "%s", at);
        json_key(o, arena_cstr(f->a, m->key));
        json_put_str(o, m->text);
    }
    json_close(o, '}');
    return ERR_NONE;
}

static enum err put_preset(const struct connector_field *field, struct json_out *o)
{
    json_key(o, field->key.p);
    if (field->type == FIELD_BOOLEAN || field->type == FIELD_NUMBER)
        json_put_raw(o, field->preset);
    else
        json_put_str(o, field->preset);
    return ERR_NONE;
}

static enum err put_string(const struct form *f, const struct connector_field *field, const struct json *v, struct json_out *o,
                           const char *at)
{
    if (v->type != JSON_STRING)
        return refuse(f, ERR_FIELD_INVALID, "must be a text", "%s", at);
    struct str text = cleaned(field, v->text);
    enum err e = text.n ? take_string(f, field, text, &text, at) : ERR_NONE;
    if (e)
        return e;
    json_key(o, field->key.p);
    json_put_str(o, text);
    return ERR_NONE;
}

#define GENERATED 32 /* characters, of 5 bits each */

static enum err put_generated(const struct form *f, const struct connector_field *field, const struct json *v, struct json_out *o,
                              const char *at)
{
    char text[GENERATED];
    if (v && v->type == JSON_STRING && str_trim(v->text).n)
        return refuse(f, ERR_FIELD_INVALID, "is made by the hub; leave it out", "%s", at);
    random_text(text, sizeof text);
    json_key(o, field->key.p);
    json_put_str(o, (struct str){ text, sizeof text });
    return ERR_NONE;
}

/* An empty text says no more than nothing at all, except where the field says otherwise. */
static bool is_blank(const struct connector_field *field, const struct json *v)
{
    return !v || (v->type == JSON_STRING && !field->may_be_empty && !str_trim(v->text).n);
}

static enum err put_field(const struct form *f, const struct connector_field *field, const struct json *v, struct json_out *o)
{
    const char *at = pointer_to(f, "fields", v ? v->key : field->key);
    if (field->generated && f->fresh)
        return put_generated(f, field, v, o, at);
    if (is_blank(field, v)) {
        if (field->preset.n)
            return put_preset(field, o);
        return field->required ? refuse(f, ERR_FIELD_REQUIRED, field->key.p, "%s", at) : ERR_NONE;
    }
    switch (field->type) {
    case FIELD_BOOLEAN:
        if (v->type != JSON_TRUE && v->type != JSON_FALSE)
            return refuse(f, ERR_FIELD_INVALID, "must be true or false", "%s", at);
        json_member_bool(o, field->key.p, v->type == JSON_TRUE);
        return ERR_NONE;
    case FIELD_NUMBER:
        if (v->type != JSON_NUMBER || v->text.n > 64)
            return refuse(f, ERR_FIELD_INVALID, "must be a number", "%s", at);
        json_member_raw(o, field->key.p, v->text);
        return ERR_NONE;
    case FIELD_MAP:
        json_key(o, field->key.p);
        return put_map(f, v, o, at);
    default:
        return put_string(f, field, v, o, at);
    }
}

static enum err take_fields(const struct form *f, const struct json *fields, struct setup *out)
{
    const struct field_set set = { "fields", { f->connector->fields, f->auth->fields },
                                   { f->connector->field_count, f->auth->field_count } };
    if (fields && fields->type == JSON_NULL)
        fields = NULL;
    enum err e = check_names(f, &set, fields);
    AUTO_BUF text;
    buf_init(&text, FIELDS_MAX);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    for (size_t i = 0; !e && field_at(&set, i); i++)
        e = put_field(f, field_at(&set, i), given(fields, field_at(&set, i)), &o);
    json_close(&o, '}');
    if (!e && buf_failed(&text))
        e = refuse(f, ERR_LIMIT, "the fields are larger than 64 KiB together", "/fields");
    if (e)
        return e;
    struct json *tree;
    out->fields = arena_str(f->a, buf_str(&text));
    e = json_read(f->a, out->fields, &tree, f->why);
    out->fields_json = tree;
    return e;
}

/* ---- Templates over the fields ---- */

struct expansion {
    const struct connector *c;
    const struct connector_auth *auth;
    const struct json *fields;
    struct arena *a;
    bool in_url; /* values that are not URLs, hosts or paths themselves are percent-encoded */
};

static struct str percent_encoded(struct arena *a, struct str s)
{
    AUTO_BUF b;
    buf_init(&b, 3 * FIELD_MAX);
    percent_encode(&b, s);
    return arena_str(a, buf_str(&b));
}

static struct str value_of(const struct expansion *x, const struct connector_field *field)
{
    const struct json *v = json_get_str(x->fields, field->key);
    if (!v)
        return field->preset;
    if (v->type == JSON_TRUE || v->type == JSON_FALSE)
        return v->type == JSON_TRUE ? STR("true") : STR("false");
    return v->type == JSON_STRING || v->type == JSON_NUMBER ? v->text : STR("");
}

static bool look_up(void *context, struct str name, struct str *value)
{
    struct expansion *x = context;
    const struct connector_field *field = connector_field_named(x->c, x->auth, name);
    if (!field)
        return false;
    *value = value_of(x, field);
    bool ready = field->type == FIELD_URL || field->type == FIELD_HOST || field->format == FORMAT_PATH || field->host_suffix.n;
    if (!x->in_url || ready)
        return true;
    *value = percent_encoded(x->a, *value);
    return !str_is(*value, ".") && !str_is(*value, ".."); /* a segment of its own, these would move the path */
}

/* A missing field of an older connection counts as empty: its template then says what is wrong. */
static enum err expand(const struct form *f, const struct json *fields, struct str template, bool in_url, struct str *out)
{
    struct expansion x = { .c = f->connector, .auth = f->auth, .fields = fields, .a = f->a, .in_url = in_url };
    AUTO_BUF text;
    buf_init(&text, URL_MAX);
    enum err e = template_expand(&text, template, look_up, &x, f->why);
    *out = arena_str(f->a, buf_str(&text));
    return e;
}

/* Where to point when an expanded text is at fault: the first field in it. */
static const char *first_field(const struct form *f, struct str template)
{
    size_t at = str_find_str(template, STR("{{fields."));
    if (at == SIZE_MAX)
        return "/connector";
    struct str key, rest;
    (void)str_cut(str_sub(template, at + strlen("{{fields."), template.n), '}', &key, &rest);
    return pointer_to(f, "fields", str_trim(key));
}

static enum err expand_headers(const struct form *f, const struct json *fields, struct setup_target *out)
{
    for (size_t i = 0; i < f->connector->header_count; i++) {
        struct str template = f->connector->headers[i][1], value;
        const char *at = first_field(f, template);
        enum err e = point(f, expand(f, fields, template, false, &value), at);
        if (e)
            return e;
        value = str_trim(value);
        if (str_has_control(value))
            return refuse(f, ERR_FIELD_INVALID, "holds a control character", "%s", at);
        if (!value.n)
            continue;
        out->headers[out->header_count][0] = f->connector->headers[i][0];
        out->headers[out->header_count++][1] = value;
    }
    return ERR_NONE;
}

static enum err expand_verify(const struct form *f, const struct json *fields, struct setup_target *out)
{
    struct str template = f->auth->verify.path, text, joined;
    if (!template.n)
        return ERR_NONE;
    const char *at = first_field(f, template);
    enum err e = point(f, expand(f, fields, template, true, &text), at);
    if (e || !text.n)
        return e;
    if (text.p[0] != '/')
        return refuse(f, ERR_FIELD_INVALID, "a path begins with “/”", "%s", at);
    struct str path, query;
    bool has_query = str_cut(text, '?', &path, &query);
    out->verify_path = path;
    out->verify_query = has_query ? query : STR_NONE;
    return point(f, url_join_path(f->a, &out->base, path, &joined, f->why), at);
}

static enum err expand_target(const struct form *f, const struct json *fields, struct setup_target *out, struct str *base_url)
{
    *out = (struct setup_target){ 0 };
    const char *at = first_field(f, f->auth->base_url);
    enum err e = point(f, expand(f, fields, f->auth->base_url, true, base_url), at);
    if (!e)
        e = check_url(f, *base_url, &out->base, at);
    if (!e)
        e = expand_headers(f, fields, out);
    if (!e)
        e = expand_verify(f, fields, out);
    const struct json *own = json_get(fields, "follow_redirects");
    out->follow_redirects = own ? own->type == JSON_TRUE : f->connector->follow_redirects;
    return e;
}

enum err setup_target(struct arena *a, const struct connector *c, const struct connector_auth *auth, const struct json *fields,
                      struct setup_target *out, struct fault *why)
{
    const struct form f = { .a = a, .connector = c, .auth = auth, .why = why };
    struct str base_url;
    return expand_target(&f, fields, out, &base_url);
}

/* ---- The allowed domain ---- */

struct asked {
    const struct egress *egress;
    uint16_t port;
};

static bool private_ok(struct str host, void *context)
{
    const struct asked *asked = context;
    return asked->egress && egress_allows_private_host(asked->egress, host, asked->port);
}

static enum err check_scheme(const struct form *f, const struct url *base, const char *at)
{
    if (!f->egress)
        return base->https ? ERR_NONE : refuse(f, ERR_SCHEME_NOT_ALLOWED, arena_cstr(f->a, base->host), "%s", at);
    return point(f, egress_check_url(f->egress, base->https, base->host, base->port, f->why), at);
}

/* What was typed, else the connector's, else the base URL's own host. */
static enum err settle_domain(const struct form *f, struct str typed, struct setup *out)
{
    const struct url *base = &out->target.base;
    const char *at = first_field(f, f->auth->base_url);
    enum err e = ERR_NONE;
    typed = str_trim(typed);
    if (typed.n)
        at = "/allowed_domain";
    else if (f->auth->allowed_domain.n)
        e = expand(f, out->fields_json, f->auth->allowed_domain, false, &typed);
    else
        typed = base->host;
    struct asked asked = { f->egress, base->port };
    return e ? e : point(f, domain_check(f->a, typed, private_ok, &asked, &out->allowed_domain, f->why), at);
}

static enum err check_inside(const struct form *f, const struct setup *s)
{
    if (domain_matches(s->allowed_domain, s->target.base.host))
        return ERR_NONE;
    const char *at = first_field(f, f->auth->base_url);
    return refuse(f, ERR_DOMAIN_NOT_ALLOWED, arena_cstr(f->a, s->target.base.host), "%s",
                  strcmp(at, "/connector") ? at : "/allowed_domain");
}

/* ---- Credentials ---- */

static void keep(struct setup *s, struct str name, struct str value)
{
    s->secrets[s->secret_count++] = (struct connection_secret){ name, secret_from(value) };
}

static enum err take_credential(const struct form *f, const struct connector_field *field, const struct json *v, struct setup *out)
{
    const char *at = pointer_to(f, "credentials", v ? v->key : field->key);
    if (v && v->type != JSON_STRING)
        return refuse(f, ERR_FIELD_INVALID, "must be a text", "%s", at);
    struct str value = v ? cleaned(field, v->text) : STR_NONE;
    if (!v || (!value.n && !field->may_be_empty))
        return field->required ? refuse(f, ERR_FIELD_REQUIRED, field->key.p, "%s", at) : ERR_NONE;
    size_t max = field->type == FIELD_MULTILINE_SECRET ? MULTILINE_MAX : SECRET_MAX;
    if (value.n > max)
        return refuse(f, ERR_FIELD_INVALID, str_fmt(f->a, "is longer than %zu KiB", max / 1024).p, "%s", at);
    keep(out, field->key, value);
    return ERR_NONE;
}

static enum err take_declared(const struct form *f, const struct json *credentials, struct setup *out)
{
    const struct field_set set = { "credentials", { f->auth->credentials }, { f->auth->credential_count } };
    enum err e = check_names(f, &set, credentials);
    for (size_t i = 0; !e && field_at(&set, i); i++)
        e = take_credential(f, field_at(&set, i), given(credentials, field_at(&set, i)), out);
    return e;
}

/* CON-25: letters, digits, "-" and "_". */
static bool open_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
            return false;
    return s.n >= 1 && s.n <= 64;
}

static enum err take_open(const struct form *f, const struct json *credentials, struct setup *out)
{
    static const struct connector_field any = { .type = FIELD_SECRET };
    if (credentials->count > CONNECTION_SECRETS)
        return refuse(f, ERR_LIMIT, "at most 32 credentials", "/credentials");
    json_each(m, credentials) {
        if (!open_name(m->key))
            return refuse(f, ERR_FIELD_INVALID, "a name is 1 to 64 letters, digits, “-” or “_”", "/credentials");
        const char *at = pointer_to(f, "credentials", m->key);
        if (m->type != JSON_STRING)
            return refuse(f, ERR_FIELD_INVALID, "must be a text", "%s", at);
        struct str value = cleaned(&any, m->text);
        if (!value.n)
            return refuse(f, ERR_FIELD_REQUIRED, arena_cstr(f->a, m->key), "%s", at);
        if (value.n > SECRET_MAX)
            return refuse(f, ERR_FIELD_INVALID, "is longer than 8 KiB", "%s", at);
        keep(out, arena_str(f->a, m->key), value);
    }
    return ERR_NONE;
}

/* Nothing given is fine: the connection then waits for its credentials. Something given must be all of it. */
static enum err take_credentials(const struct form *f, const struct json *credentials, struct setup *out)
{
    bool needs = f->auth->credential_count || f->auth->open_credentials;
    out->has_credentials = !needs;
    if (!credentials || credentials->type == JSON_NULL || (credentials->type == JSON_OBJECT && !credentials->count))
        return ERR_NONE;
    if (credentials->type != JSON_OBJECT)
        return refuse(f, ERR_FIELD_INVALID, "must be an object", "/credentials");
    enum err e = f->auth->open_credentials ? take_open(f, credentials, out) : take_declared(f, credentials, out);
    if (e)
        setup_end(out);
    else
        out->has_credentials = !needs || out->secret_count;
    return e;
}

/* ---- The whole ---- */

static enum err begin(struct form *f, struct str auth_type, struct setup *out)
{
    *out = (struct setup){ .connector = f->connector };
    f->auth = out->auth = auth_type.n ? connector_auth_find(f->connector, auth_type) : &f->connector->auth[0];
    return f->auth ? ERR_NONE : refuse(f, ERR_AUTH_TYPE_NOT_OFFERED, arena_cstr(f->a, auth_type), "/auth_type");
}

static enum err take_target(const struct form *f, const struct json *fields, struct setup *out)
{
    enum err e = take_fields(f, fields, out);
    if (!e)
        e = expand_target(f, out->fields_json, &out->target, &out->base_url);
    return e ? e : check_scheme(f, &out->target.base, first_field(f, f->auth->base_url));
}

enum err setup_check(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                     const struct json *credentials, struct str allowed_domain, const struct egress *egress, bool digits_ok,
                     struct setup *out, struct fault *why)
{
    struct form f = { .a = a, .connector = c, .fresh = true, .egress = egress, .digits_ok = digits_ok, .why = why };
    enum err e = begin(&f, auth_type, out);
    if (!e)
        e = take_target(&f, fields, out);
    if (!e)
        e = settle_domain(&f, allowed_domain, out);
    if (!e)
        e = check_inside(&f, out);
    return e ? e : take_credentials(&f, credentials, out);
}

enum err setup_check_fields(struct arena *a, const struct connector *c, struct str auth_type, const struct json *fields,
                            struct str frozen_domain, const struct egress *egress, bool digits_ok, struct setup *out,
                            struct fault *why)
{
    struct form f = { .a = a, .connector = c, .egress = egress, .digits_ok = digits_ok, .why = why };
    enum err e = begin(&f, auth_type, out);
    if (!e)
        e = take_target(&f, fields, out);
    out->allowed_domain = frozen_domain;
    return e ? e : check_inside(&f, out);
}

enum err setup_check_generated(const struct connector_auth *auth, const struct json *stored, const struct json *fields,
                               struct fault *why)
{
    for (size_t i = 0; auth && i < auth->field_count; i++) {
        const struct connector_field *f = &auth->fields[i];
        if (!f->generated || str_eq(json_str(stored, f->key.p), json_str(fields, f->key.p)))
            continue;
        fault(why, ERR_FIELD_IMMUTABLE, f->key, "made by the hub");
        return fault_at(why, "/fields/%.*s", STR_ARG(f->key));
    }
    return ERR_NONE;
}

enum err setup_check_credentials(struct arena *a, const struct connector *c, struct str auth_type, const struct json *credentials,
                                 struct setup *out, struct fault *why)
{
    struct form f = { .a = a, .connector = c, .why = why };
    enum err e = begin(&f, auth_type, out);
    return e ? e : take_credentials(&f, credentials, out);
}

void setup_end(struct setup *s)
{
    for (size_t i = 0; i < s->secret_count; i++)
        secret_end(&s->secrets[i].value);
    s->secret_count = 0;
}
