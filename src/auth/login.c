#include "auth/login.h"

#include "auth/value.h"
#include "base/clock.h"
#include "base/json_path.h"

static const struct json *map_of(const struct auth_input *in, const struct json *login, const char *field, const char *member)
{
    const struct json *own = json_get(in->fields, field),
                      *v = json_is(own, JSON_OBJECT) && own->count ? own : json_get(login, member);
    return json_is(v, JSON_OBJECT) ? v : NULL;
}

static struct str text_of(const struct auth_input *in, const struct json *login, const char *field, const char *member)
{
    struct str own = json_str(in->fields, field);
    return own.n ? own : json_str(login, member);
}

/* A body may be written as the object that it is. */
static struct str body_of(struct arena *a, const struct auth_input *in, const struct json *login)
{
    struct str own = json_str(in->fields, "login_body");
    const struct json *v = json_get(login, "body");
    if (own.n || !json_is(v, JSON_OBJECT))
        return own.n ? own : json_str(login, "body");
    AUTO_BUF text;
    buf_init(&text, 64 * 1024);
    struct json_out o = json_out(&text);
    json_put(&o, v);
    return arena_str(a, buf_str(&text));
}

static struct str or(struct str s, struct str otherwise) { return s.n ? s : otherwise; }

void login_read(struct arena *a, const struct auth_input *in, struct login *out)
{
    const struct json *login = json_get(in->options, "login"), *success = json_get(login, "success");
    const struct json *statuses = json_get(success, "status");
    struct str body = body_of(a, in, login), trimmed = str_trim(body);
    *out = (struct login){
        .method = or(text_of(in, login, "login_method", "method"), STR("POST")),
        .url = text_of(in, login, "login_url", "url"),
        .body = body,
        .content_type = or(text_of(in, login, "login_content_type", "content_type"),
                           trimmed.n && trimmed.p[0] == '{' ? STR("application/json") : STR("application/x-www-form-urlencoded")),
        .headers = map_of(in, login, "login_headers", "headers"),
        .values = map_of(in, login, "login_values", "values"),
        .statuses = json_is(statuses, JSON_ARRAY) ? statuses : NULL,
        .pointer = text_of(in, success, "login_success_pointer", "pointer"),
        .equals = or(text_of(in, success, "login_success_equals", "equals"), STR("true")),
        .expires_in = text_of(in, login, "login_expires_in", "expires_in"),
    };
    if (!duration_parse(text_of(in, login, "login_lifetime", "lifetime"), &out->lifetime_ms))
        out->lifetime_ms = 0;
}

static bool place_ok(struct str place) { return place.n && (place.p[0] == '/' || place.p[0] == '$') && json_path_valid(place); }

static bool values_ok(const struct json *values)
{
    json_each(v, values)
        if (v->type != JSON_STRING || !place_ok(v->text) || !v->key.n || v->key.n > 64 || str_has_control(v->key))
            return false;
    return values->count <= LOGIN_VALUES;
}

/* What frames a message, and what is set already, is no header of the login's. */
static bool headers_ok(const struct json *headers)
{
    static const char *const ours[] = { "host",    "content-length",  "content-type", "transfer-encoding", "connection", "te",
                                        "upgrade", "accept-encoding", "expect" };
    json_each(h, headers) {
        if (h->type != JSON_STRING || !head_is_token(h->key))
            return false;
        for (size_t i = 0; i < COUNT(ours); i++)
            if (str_ieq(h->key, str_of(ours[i])))
                return false;
    }
    return !headers || headers->count <= LOGIN_HEADERS;
}

enum err login_check(const struct login *l, struct fault *why)
{
    static const char *const methods[] = { "POST", "GET", "PUT" };
    bool method = false;
    for (size_t i = 0; i < COUNT(methods); i++)
        method |= str_is(l->method, methods[i]);
    if (!l->url.n)
        return value_refuse(ERR_FIELD_REQUIRED, STR("login_url"), why, "/fields/login_url");
    if (!l->values || !l->values->count)
        return value_refuse(ERR_FIELD_REQUIRED, STR("login_values"), why, "/fields/login_values");
    if (!method)
        return value_refuse(ERR_FIELD_INVALID, STR("the method of a login is POST, GET or PUT"), why, "/fields/login_method");
    if (!values_ok(l->values))
        return value_refuse(ERR_FIELD_INVALID, STR("up to 8 names, each with a JSON pointer (/token) or a plain path ($.token)"),
                            why, "/fields/login_values");
    if (!headers_ok(l->headers))
        return value_refuse(ERR_FIELD_INVALID, STR("up to 8 headers, none that frames the message or sets its content type"), why,
                            "/fields/login_headers");
    if (l->pointer.n && !place_ok(l->pointer))
        return value_refuse(ERR_FIELD_INVALID, STR("a JSON pointer (/token) or a plain path ($.token) is expected"), why,
                            "/fields/login_success_pointer");
    if (l->expires_in.n && !place_ok(l->expires_in))
        return value_refuse(ERR_FIELD_INVALID, STR("a JSON pointer (/token) or a plain path ($.token) is expected"), why,
                            "/fields/login_expires_in");
    return ERR_NONE;
}
