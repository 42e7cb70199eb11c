/* web/connection_call.c - one buffered call through a connection, in and out as JSON. */
#include "base/encode.h"
#include "http/head.h"
#include "web/body.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/source.h"

#define HEADERS_MAX 64
#define QUERY_MAX (16 * 1024)
#define TIMEOUT_MAX_MS (10 * 60 * 1000)

static const char *const members[] = {
    "method", "path", "query", "headers", "body", "body_text", "body_base64", "timeout_ms", NULL
};
static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS" };

static enum err read_method(const struct json *body, struct str *out, struct fault *why)
{
    enum err e = body_text(body, "method", true, 16, out, why);
    if (e)
        return e;
    for (size_t i = 0; i < COUNT(methods); i++)
        if (str_is(*out, methods[i]))
            return ERR_NONE;
    return body_fault(why, ERR_FIELD_INVALID, "method", "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS");
}

/* ---- query ---- */

static bool scalar_text(const struct json *v, struct str *out)
{
    switch (v->type) {
    case JSON_STRING:
    case JSON_NUMBER:
        *out = v->text;
        return true;
    case JSON_TRUE:
        *out = STR("true");
        return true;
    case JSON_FALSE:
        *out = STR("false");
        return true;
    default:
        return false;
    }
}

static bool add_parameter(struct buf *out, struct str name, const struct json *v)
{
    struct str text;
    if (!scalar_text(v, &text))
        return false;
    if (out->n)
        buf_char(out, '&');
    percent_encode(out, name);
    buf_char(out, '=');
    percent_encode(out, text);
    return true;
}

static enum err query_of_object(struct arena *a, const struct json *object, struct str *out, struct fault *why)
{
    AUTO_BUF text;
    buf_init(&text, QUERY_MAX);
    json_each (v, object) {
        bool good = true;
        if (v->type == JSON_ARRAY) {
            json_each (item, v)
                good = good && add_parameter(&text, v->key, item);
        } else {
            good = add_parameter(&text, v->key, v);
        }
        if (!good)
            return body_fault(why, ERR_FIELD_INVALID, "query", "values are text, numbers, true, false, or lists of these");
    }
    if (buf_failed(&text))
        return fault(why, ERR_URI_TOO_LONG, STR("16 KiB"), "query of a call");
    *out = text.n ? arena_str(a, buf_str(&text)) : STR_NONE;
    return ERR_NONE;
}

/* As it goes on the wire: visible ASCII, and no '#', which would end the query (RFC 3986 3.5). */
static bool query_is_encoded(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '#')
            return false;
    return true;
}

static enum err read_query(struct arena *a, const struct json *body, struct str *out, struct fault *why)
{
    const struct json *v = json_get(body, "query");
    *out = STR_NONE;
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    if (v->type == JSON_OBJECT)
        return query_of_object(a, v, out, why);
    if (v->type != JSON_STRING)
        return body_fault(why, ERR_FIELD_INVALID, "query", "an object, or text that is already encoded");
    struct str text = str_starts(v->text, STR("?")) ? str_sub(v->text, 1, v->text.n) : v->text;
    if (!query_is_encoded(text))
        return body_fault(why, ERR_FIELD_INVALID, "query", "percent-encode it, or give an object");
    *out = text.n ? text : STR_NONE;
    return ERR_NONE;
}

/* ---- headers ---- */

struct headers {
    struct header at[HEADERS_MAX + 1]; /* one more for Content-Type */
    size_t count;
};

static enum err add_header(struct headers *h, struct str name, const struct json *v, struct fault *why)
{
    struct str text;
    if (!scalar_text(v, &text))
        return body_fault(why, ERR_FIELD_INVALID, "headers", "values are text, or lists of texts");
    if (!head_is_token(name) || !head_is_value(text))
        return body_fault(why, ERR_FIELD_INVALID, "headers", "a name or value that HTTP does not allow");
    if (h->count == HEADERS_MAX)
        return body_fault(why, ERR_FIELD_INVALID, "headers", "at most 64");
    h->at[h->count++] = (struct header){ name, text };
    return ERR_NONE;
}

static enum err read_headers(const struct json *body, struct headers *out, struct fault *why)
{
    const struct json *object;
    enum err e = body_object(body, "headers", &object, why);
    json_each (v, e ? NULL : (struct json *)(uintptr_t)object) {
        if (v->type != JSON_ARRAY) {
            e = add_header(out, v->key, v, why);
        } else {
            json_each (item, v)
                e = e ? e : add_header(out, v->key, item, why);
        }
        if (e)
            return e;
    }
    return e;
}

static struct str content_type(const struct header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_ieq(headers[i].name, STR("content-type")))
            return headers[i].value;
    return STR_NONE;
}

/* application/json, and types built on it: RFC 6839 3.1. */
static bool is_json(struct str type)
{
    struct str essence, parameters;
    str_cut(type, ';', &essence, &parameters);
    essence = str_trim(essence);
    return str_ieq(essence, STR("application/json")) || str_ieq(essence, STR("text/json")) ||
           (essence.n > 5 && str_ieq(str_sub(essence, essence.n - 5, essence.n), STR("+json")));
}

/* ---- body ---- */

static enum err read_sent_body(struct web_request *q, struct headers *h, struct str *out, struct fault *why)
{
    const struct json *body = body_of(q), *value = json_get(body, "body");
    const struct json *text = json_get(body, "body_text"), *base64 = json_get(body, "body_base64");
    struct str type = content_type(h->at, h->count), preset;
    *out = STR_NONE;
    if (!value && !text && !base64)
        return ERR_NONE;
    if ((value != NULL) + (text != NULL) + (base64 != NULL) > 1)
        return body_fault(why, ERR_FIELD_INVALID, "body", "give one of body, body_text, body_base64");
    if (base64) {
        if (base64->type != JSON_STRING || !base64_decode(q->arena, base64->text, BASE64_STANDARD, out))
            return body_fault(why, ERR_FIELD_INVALID, "body_base64", "base64 is expected");
        preset = STR("application/octet-stream");
    } else if (text) {
        if (text->type != JSON_STRING)
            return body_fault(why, ERR_FIELD_INVALID, "body_text", "text is expected");
        *out = text->text;
        preset = STR("text/plain; charset=utf-8");
    } else if (value->type == JSON_STRING && type.p && !is_json(type)) {
        *out = value->text;
        preset = type;
    } else {
        /* Its own source text: numbers, order and spacing as the caller wrote them (invariant 10). */
        *out = source_member(q->arena, q->body, q->json, "body");
        preset = STR("application/json");
    }
    if (!out->p)
        *out = STR("");
    if (!type.p)
        h->at[h->count++] = (struct header){ STR("Content-Type"), preset };
    return ERR_NONE;
}

/* ---- answer ---- */

static struct str lower(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        copy[i] = ascii_lower(copy[i]);
    return (struct str){ copy, s.n };
}

static size_t count_of(const struct call_answer *answer, size_t from, struct str name)
{
    size_t n = 0;
    for (size_t i = from; i < answer->header_count; i++)
        n += str_ieq(answer->headers[i].name, name);
    return n;
}

static bool seen_before(const struct call_answer *answer, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_ieq(answer->headers[i].name, answer->headers[at].name))
            return true;
    return false;
}

/* Names in lower case; a name that comes more than once has a list. */
static void write_headers(struct arena *a, struct json_out *o, const struct call_answer *answer)
{
    json_key(o, "headers");
    json_open(o, '{');
    for (size_t i = 0; i < answer->header_count; i++) {
        struct str name = answer->headers[i].name;
        if (seen_before(answer, i))
            continue;
        json_key(o, lower(a, name).p);
        bool many = count_of(answer, i, name) > 1;
        if (many)
            json_open(o, '[');
        for (size_t k = i; k < answer->header_count; k++)
            if (str_ieq(answer->headers[k].name, name))
                json_put_str(o, answer->headers[k].value);
        if (many)
            json_close(o, ']');
    }
    json_close(o, '}');
}

/* JSON as it came, numbers unchanged; other text as a string; what is not UTF-8 in base64. */
static void write_body(struct arena *a, struct json_out *o, const struct call_answer *answer)
{
    struct json *doc;
    struct fault ignored;
    struct str body = answer->body;
    if (!body.n)
        json_member_null(o, "body");
    else if (is_json(content_type(answer->headers, answer->header_count)) && !json_read(a, body, &doc, &ignored))
        json_member_raw(o, "body", body);
    else if (utf8_valid(body))
        json_member_str(o, "body", body);
    else
        json_member_str(o, "body_base64", base64_encode(a, body, BASE64_STANDARD));
}

static void write_answer(struct web_request *q, struct reply *r, const struct call_answer *answer)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_i64(&o, "status", answer->status);
    write_headers(q->arena, &o, answer);
    write_body(q->arena, &o, answer);
    json_member_str(&o, "run_id", r->run_id);
    json_key(&o, "timing_ms");
    run_write_timing(&o, &answer->run);
    json_close(&o, '}');
}

static enum err read_call(struct web_request *q, struct call_request *c, struct headers *h, struct fault *why)
{
    const struct json *body = body_of(q), *timeout = json_get(body, "timeout_ms");
    enum err e;
    if ((e = json_only(body, members, "", why)) || (e = read_method(body, &c->method, why)) ||
        (e = body_text(body, "path", false, QUERY_MAX, &c->path, why)))
        return e;
    if (!c->path.p)
        return body_fault(why, ERR_FIELD_REQUIRED, "path", "");
    if ((e = read_query(q->arena, body, &c->query, why)) || (e = read_headers(body, h, why)) ||
        (e = read_sent_body(q, h, &c->body, why)))
        return e;
    if (timeout && (!json_i64(timeout, &c->timeout_ms) || c->timeout_ms < 1 || c->timeout_ms > TIMEOUT_MAX_MS))
        return body_fault(why, ERR_FIELD_INVALID, "timeout_ms", "1 to 600000");
    c->headers = h->at;
    c->header_count = h->count;
    return ERR_NONE;
}

enum err connections_call(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL };
    struct headers *headers = arena_zero(q->arena, sizeof *headers);
    struct call_request call = { .caller = q->caller->principal, .token = q->caller->token,
        .narrow = &q->caller->narrow, .source = &q->peer, .via = RUN_CALL };
    struct call_answer answer = { 0 };
    struct connection_row row;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_call(q, &call, headers, why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_USE, &row, why)) ||
        (e = switchboard_prepare(q->hub->switchboard, row.id, &call.to, why)))
        return e;
    e = call_wait(q->hub->switchboard, q->arena, &call, &answer, why);
    prepared_release(call.to);
    if (answer.run.id[0]) {
        r->run_id = arena_str(q->arena, str_of(answer.run.id));
        reply_header(r, "Raccord-Run", r->run_id);
    }
    if (!e)
        write_answer(q, r, &answer);
    return e;
}
