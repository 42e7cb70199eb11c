/* custom_oauth (CON-26): a login request made of templates, whose answer gives values for later requests. Nothing is refreshed:
 * what is over is fetched again. */
#include "auth/login.h"
#include "auth/obtain_inside.h"
#include "auth/value.h"
#include "base/json_path.h"
#include "base/template.h"
#include "http/url.h"
#include "vault/domain.h"

#define BODY_MAX (256 * 1024)
#define URL_TEXT_MAX (16 * 1024)
#define GIVEN_MAX (16 * 1024) /* bytes of one value of the answer */
#define FILLINGS 32           /* placeholders whose values had to be encoded */

/* ---- templates, each value encoded for where it goes ---- */

enum into { INTO_TEXT, INTO_URL, INTO_JSON, INTO_XML };

struct filling {
    const struct auth_input *in;
    enum into into;
    size_t n;
    struct { struct str name; struct secret value; } made[FILLINGS];
};

static void filling_end(struct filling *f)
{
    while (f->n)
        secret_end(&f->made[--f->n].value);
}

static struct secret as_json(struct str s)
{
    struct buf text;
    buf_init(&text, 6 * s.n + 1);
    (void)buf_room(&text, 6 * s.n); /* at once: growing would leave copies behind */
    json_escape(&text, s);
    return value_take(&text);
}

static struct secret as_xml(struct str s)
{
    struct buf text;
    buf_init(&text, 6 * s.n + 1);
    (void)buf_room(&text, 6 * s.n);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        buf_add(&text, c == '<' ? STR("&lt;") : c == '>' ? STR("&gt;") : c == '&' ? STR("&amp;") : c == '"' ? STR("&quot;")
                       : c == '\'' ? STR("&apos;") : str_sub(s, i, i + 1));
    }
    return value_take(&text);
}

static bool encoded(struct filling *f, struct str name, struct str *value)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->made[i].name, name)) {
            *value = secret_str(f->made[i].value);
            return true;
        }
    if (f->n == FILLINGS)
        return false;
    f->made[f->n].name = name;
    f->made[f->n].value = f->into == INTO_URL ? form_text(*value) : f->into == INTO_JSON ? as_json(*value) : as_xml(*value);
    *value = secret_str(f->made[f->n++].value);
    return true;
}

static bool look_up(void *context, struct str name, struct str *value)
{
    struct filling *f = context;
    struct str field = STR("fields."), credential = STR("credentials.");
    *value = STR_NONE;
    if (str_starts(name, field)) {
        const struct json *v = json_get_str(f->in->fields, str_sub(name, field.n, name.n));
        *value = json_is(v, JSON_STRING) || json_is(v, JSON_NUMBER) ? v->text : STR("");
    }
    for (size_t i = 0; str_starts(name, credential) && i < f->in->secret_count; i++)
        if (str_eq(f->in->secrets[i].name, str_sub(name, credential.n, name.n)))
            *value = (struct str){ (const char *)f->in->secrets[i].value.p, f->in->secrets[i].value.n };
    if (!value->p)
        return false;
    return f->into == INTO_TEXT || encoded(f, name, value);
}

/* *out is the caller's to end. */
static enum err fill(const struct auth_input *in, enum into into, struct str text, size_t most, struct secret *out,
                     struct fault *why)
{
    struct filling f = { .in = in, .into = into };
    struct buf plain;
    buf_init(&plain, most);
    enum err e = template_expand(&plain, text, look_up, &f, why);
    *out = value_take(&plain);
    filling_end(&f);
    return e;
}

static enum into into_of(struct str content_type)
{
    return str_find_str(content_type, STR("json")) != SIZE_MAX  ? INTO_JSON
           : str_find_str(content_type, STR("xml")) != SIZE_MAX ? INTO_XML
           : str_find_str(content_type, STR("form")) != SIZE_MAX ? INTO_URL
                                                                  : INTO_TEXT;
}

/* ---- the request ---- */

/* How much of a URL names the place; in the rest, values are percent-encoded. */
static size_t authority_end(struct str url)
{
    size_t from = str_find_str(url, STR("://"));
    size_t whole = str_starts(url, STR("{{")) ? str_find_str(url, STR("}}")) : SIZE_MAX;
    if (whole != SIZE_MAX)
        return whole + 2;
    size_t at = from == SIZE_MAX ? 0 : from + 3;
    while (at < url.n && url.p[at] != '/' && url.p[at] != '?')
        at++;
    return at;
}

static bool host_allowed(const struct obtain_input *q, struct str host)
{
    if (q->allowed_domain.n && domain_matches(q->allowed_domain, host))
        return true;
    const struct json *hosts = json_get(q->in->options, "login_hosts");
    json_each(h, json_is(hosts, JSON_ARRAY) ? hosts : NULL)
        if (h->type == JSON_STRING && domain_matches(h->text, host))
            return true;
    return false;
}

/* Credentials go there: inside the allowed domain, or to a host that the connector's file names. */
static enum err put_url(struct arena *a, const struct obtain_input *q, const struct login *l, struct token_request *out,
                        struct fault *why)
{
    struct url parsed;
    size_t end = authority_end(l->url);
    AUTO_SECRET place = SECRET_NONE, rest = SECRET_NONE;
    enum err e = fill(q->in, INTO_TEXT, str_sub(l->url, 0, end), URL_TEXT_MAX, &place, why);
    if (!e)
        e = fill(q->in, INTO_URL, str_sub(l->url, end, l->url.n), URL_TEXT_MAX, &rest, why);
    if (e)
        return e;
    struct str before = secret_str(place);
    if (before.n && before.p[before.n - 1] == '/' && rest.n && rest.p[0] == '/')
        before.n--;
    out->url = value_join((struct str[]){ before, secret_str(rest) }, 2);
    out->http.url = secret_str(out->url);
    if ((e = url_parse(a, before, &parsed, why)))
        return e;
    return host_allowed(q, parsed.host) ? ERR_NONE : fault(why, ERR_DOMAIN_NOT_ALLOWED, parsed.host, "login URL");
}

static enum err put_headers(const struct obtain_input *q, const struct login *l, struct token_request *out, struct fault *why)
{
    size_t n = 0;
    out->http.headers[out->http.header_count][0] = STR("Accept");
    out->http.headers[out->http.header_count++][1] = STR("application/json");
    if (out->body.n) {
        out->http.headers[out->http.header_count][0] = STR("Content-Type");
        out->http.headers[out->http.header_count++][1] = l->content_type;
    }
    json_each(h, l->headers) {
        size_t at = str_ieq(h->key, STR("Accept")) ? 0 : out->http.header_count++;
        enum err e = fill(q->in, INTO_TEXT, h->text, URL_TEXT_MAX, &out->more[n], why);
        if (e)
            return e;
        out->http.headers[at][0] = h->key;
        out->http.headers[at][1] = secret_str(out->more[n++]);
    }
    return ERR_NONE;
}

static enum err build(struct arena *a, const struct obtain_input *q, struct token_request *out, struct fault *why)
{
    struct login l;
    enum err e;
    *out = (struct token_request){ 0 };
    login_read(a, q->in, &l);
    if ((e = login_check(&l, why)) || (e = fill(q->in, into_of(l.content_type), l.body, BODY_MAX, &out->body, why)) ||
        (e = put_url(a, q, &l, out, why)) || (e = put_headers(q, &l, out, why)))
        return e;
    out->http.method = l.method;
    out->http.body = out->body.n || !str_is(l.method, "GET")
                         ? (struct str){ out->body.n ? (const char *)out->body.p : "", out->body.n }
                         : STR_NONE;
    out->http.response_max = 1024 * 1024;
    return ERR_NONE;
}

/* ---- the answer ---- */

static bool status_good(const struct login *l, int status)
{
    int64_t n;
    json_each(v, l->statuses)
        if (json_i64(v, &n) && n == status)
            return true;
    return !l->statuses && status / 100 == 2;
}

static struct str scalar(const struct json *v)
{
    if (json_is(v, JSON_TRUE) || json_is(v, JSON_FALSE))
        return v->type == JSON_TRUE ? STR("true") : STR("false");
    return json_is(v, JSON_STRING) || json_is(v, JSON_NUMBER) ? v->text : STR("");
}

static bool given(struct str s) { return s.n && s.n <= GIVEN_MAX && !str_has_control(s) && str_trim(s).n == s.n; }

static enum token_outcome take_values(const struct login *l, const struct json *body, struct obtained *out)
{
    if (!body)
        return TOKEN_UNKNOWN;
    if (l->pointer.n && !str_eq(scalar(json_path(body, l->pointer)), l->equals))
        return TOKEN_ODD;
    json_each(v, l->values)
        if (!given(scalar(json_path(body, v->text))))
            return TOKEN_ODD;
    json_each(v, l->values)
        obtain_put(out, v->key, secret_from(scalar(json_path(body, v->text))));
    return TOKEN_GIVEN;
}

/* A login that is refused is refused: to try it again and again may lock the account. */
static enum token_outcome refused(const struct token_answer *t, int status)
{
    if (status == 401 || status == 403 || t->outcome == TOKEN_CLIENT_WRONG)
        return TOKEN_GRANT_OVER;
    return status / 100 == 2 && (t->outcome == TOKEN_GIVEN || t->outcome == TOKEN_UNKNOWN) ? TOKEN_ODD : t->outcome;
}

static void read_answer(struct arena *a, const struct obtain_input *q, const struct fetch_answer *f, wall_ms received,
                        struct obtained *out)
{
    struct token_answer *t = &out->answer;
    const struct oauth_profile any = { .quirks = { .token_type_optional = true, .any_content_type = true } };
    struct login l;
    *out = (struct obtained){ .count = 0 };
    login_read(a, q->in, &l);
    token_answer_read(a, &any, f, received, t);
    secret_end(&t->access_token);
    secret_end(&t->refresh_token);
    t->outcome = status_good(&l, f->status) ? take_values(&l, t->body, out) : refused(t, f->status);
    obtain_hide_echo(q, t);
    if (t->outcome != TOKEN_GIVEN) {
        t->error = t->error.n ? t->error : str_fmt(a, "http_%d", f->status);
        return;
    }
    t->error = t->description = STR("");
    t->expires_in_ms = l.expires_in.n ? token_duration(json_path(t->body, l.expires_in), received) : -1;
    if (t->expires_in_ms < 0 && l.lifetime_ms > 0)
        t->expires_in_ms = l.lifetime_ms;
}

const struct obtain obtain_custom = { .auth_type = "custom_oauth", .build = build, .read = read_answer };
