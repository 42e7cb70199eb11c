#include "call/rewrite.h"

#include "base/encode.h"
#include "base/json.h"

static const struct injection *injected(const struct injections *injections, enum inject_where where, struct str name)
{
    for (size_t i = 0; i < injections->count; i++)
        if (injections->at[i].where == where && str_eq(injections->at[i].name, name))
            return &injections->at[i];
    return NULL;
}

static bool any(const struct injections *injections, enum inject_where where)
{
    for (size_t i = 0; i < injections->count; i++)
        if (injections->at[i].where == where)
            return true;
    return false;
}

/* Name of a pair, decoded as servers do ('+' is a blank); the raw text when it cannot be decoded. */
static struct str pair_name(struct arena *a, struct str pair)
{
    struct str name, value;
    str_cut(pair, '=', &name, &value);
    struct str copy = arena_str(a, name), decoded;
    for (size_t i = 0; i < copy.n; i++)
        if (copy.p[i] == '+')
            ((char *)copy.p)[i] = ' ';
    return percent_decode(a, copy, &decoded) ? decoded : name;
}

static void keep_others(struct arena *a, struct buf *out, struct str pairs, const struct injections *injections,
                        enum inject_where where)
{
    struct str pair;
    while (str_piece(&pairs, '&', &pair)) {
        if (!pair.n || injected(injections, where, pair_name(a, pair)))
            continue;
        if (out->n)
            buf_char(out, '&');
        buf_add(out, pair);
    }
}

struct str rewrite_query(struct arena *a, struct str query, const struct injections *injections)
{
    if (!query.n || !any(injections, INJECT_QUERY))
        return query;
    AUTO_BUF out;
    buf_init(&out, query.n + 1);
    keep_others(a, &out, query, injections, INJECT_QUERY);
    return arena_str(a, buf_str(&out));
}

static enum err rewrite_json(struct arena *a, struct str body, const struct injections *injections, struct buf *out,
                             struct fault *why)
{
    struct json *doc = NULL;
    if (str_trim(body).n) {
        enum err e = json_read(a, body, &doc, why);
        if (e)
            return e;
        if (!json_is(doc, JSON_OBJECT))
            return fault(why, ERR_INPUT_INVALID, STR("this connection adds members to the body, so it must be a JSON object"),
                         "body");
    }
    struct json_out o = json_out(out);
    json_open(&o, '{');
    json_each(member, doc) {
        if (injected(injections, INJECT_BODY, member->key))
            continue;
        json_key(&o, arena_cstr(a, member->key));
        json_put(&o, member);
    }
    for (size_t i = 0; i < injections->count; i++)
        if (injections->at[i].where == INJECT_BODY)
            json_member_str(&o, arena_cstr(a, injections->at[i].name), secret_str(injections->at[i].value));
    json_close(&o, '}');
    return ERR_NONE;
}

static void rewrite_form(struct arena *a, struct str body, const struct injections *injections, struct buf *out)
{
    keep_others(a, out, body, injections, INJECT_BODY);
    for (size_t i = 0; i < injections->count; i++) {
        const struct injection *in = &injections->at[i];
        if (in->where != INJECT_BODY)
            continue;
        if (out->n)
            buf_char(out, '&');
        percent_encode(out, in->name);
        buf_char(out, '=');
        percent_encode(out, secret_str(in->value));
    }
}

static size_t room_needed(struct str body, const struct injections *injections)
{
    size_t n = 6 * body.n + 64; /* every byte escaped */
    for (size_t i = 0; i < injections->count; i++)
        n += 6 * (injections->at[i].name.n + injections->at[i].value.n) + 16;
    return n;
}

enum err rewrite_body(struct arena *a, struct str content_type, struct str body, const struct injections *injections,
                      struct secret *out, struct fault *why)
{
    struct str type, rest;
    enum err e = ERR_NONE;
    str_cut(content_type, ';', &type, &rest);
    type = str_trim(type);
    bool json = !type.n || str_ieq(type, STR("application/json")) ||
                (type.n > 5 && str_ieq(str_sub(type, type.n - 5, type.n), STR("+json")));
    bool form = str_ieq(type, STR("application/x-www-form-urlencoded"));
    if (body.n > REWRITE_MAX)
        return fault(why, ERR_BODY_TOO_LARGE, STR("1 MiB (this connection adds members to the body)"), "rewrite");
    if (!json && !form)
        return fault(why, ERR_UNSUPPORTED_MEDIA_TYPE, STR(""),
                     "this connection adds members to the body: JSON object or form only");
    struct buf b;
    buf_init(&b, room_needed(body, injections));
    buf_room(&b, b.max); /* all at once, so that no outgrown copy is left behind */
    if (json)
        e = rewrite_json(a, body, injections, &b, why);
    else
        rewrite_form(a, body, injections, &b);
    if (!e)
        *out = secret_from(buf_str(&b));
    secret_wipe(b.p, b.n);
    buf_end(&b);
    return e;
}
