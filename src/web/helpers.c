#include "web/web.h"

#include <stdio.h>

#include "base/encode.h"
#include "web/form.h"

/* No text of the database holds U+0000: PostgreSQL's cannot. */
static bool decode_value(struct arena *a, struct str in, struct str *out)
{
    return form_decode(a, in, out) && utf8_valid(*out) && str_find(*out, 0) == SIZE_MAX;
}

struct str web_query(const struct web_request *q, const char *name)
{
    struct str rest = q->query, piece, key, value, decoded;
    while (str_piece(&rest, '&', &piece)) {
        str_cut(piece, '=', &key, &value);
        if (!form_decode(q->arena, key, &decoded) || !str_is(decoded, name))
            continue;
        if (!decode_value(q->arena, value, &decoded))
            return STR("");
        return decoded.p ? decoded : STR("");
    }
    return STR_NONE;
}

enum err web_flag(const struct web_request *q, const char *name, bool *out, struct fault *why)
{
    struct str text = web_query(q, name);
    *out = text.p && str_is(text, "true");
    if (!text.p || *out || str_is(text, "false"))
        return ERR_NONE;
    return fault(why, ERR_FIELD_INVALID, str_fmt(q->arena, "%s: true or false is expected", name), "flag of %zu bytes", text.n);
}

enum err web_limit(const struct web_request *q, int *limit, struct fault *why)
{
    *limit = 50;
    struct str text = web_query(q, "limit");
    uint64_t n;
    if (!text.p)
        return ERR_NONE;
    if (!str_u64(text, &n) || n < 1 || n > 200)
        return fault(why, ERR_FIELD_INVALID, STR("limit: 1 to 200"), "limit of %zu bytes", text.n);
    *limit = (int)n;
    return ERR_NONE;
}

static bool known(struct str name, const char *const *allowed)
{
    for (; *allowed; allowed++)
        if (str_is(name, *allowed))
            return true;
    return false;
}

enum err web_only_query(const struct web_request *q, const char *const *allowed, struct fault *why)
{
    struct str rest = q->query, piece, key, value, decoded;
    if (q->query_known)
        *q->query_known = true;
    while (str_piece(&rest, '&', &piece)) {
        if (!piece.n)
            continue;
        str_cut(piece, '=', &key, &value);
        if (!form_decode(q->arena, key, &decoded) || !decode_value(q->arena, value, &value))
            return fault(why, ERR_REQUEST_INVALID, STR("broken escape in the query"), "query of %zu bytes", q->query.n);
        if (!known(decoded, allowed))
            return fault(why, ERR_UNKNOWN_FIELD, utf8_valid(decoded) ? decoded : STR("?"), "unknown query parameter");
    }
    return ERR_NONE;
}

enum err web_query_settled(const struct web_request *q, struct fault *why)
{
    static const char *const none[] = { NULL };
    return !q->query_known || *q->query_known ? ERR_NONE : web_only_query(q, none, why);
}

void reply_header(struct reply *r, const char *name, struct str value)
{
    if (r->header_count == COUNT(r->headers))
        bug("more than %zu headers on a reply: %s", COUNT(r->headers), name);
    r->headers[r->header_count][0] = str_of(name);
    r->headers[r->header_count][1] = value;
    r->header_count++;
}

void reply_etag(struct reply *r, const struct web_request *q, int64_t revision)
{
    reply_header(r, "ETag", str_fmt(q->arena, "\"%lld\"", (long long)revision));
}

/* RFC 9110 13.1.1: "*" or a list of tags, compared strongly (a weak tag never matches). */
enum err web_if_match(const struct web_request *q, int64_t revision, struct fault *why)
{
    if (!q->head || !head_find(q->head, STR("if-match")))
        return ERR_NONE;
    struct str wanted = str_fmt(q->arena, "\"%lld\"", (long long)revision);
    struct head_list at = { 0 };
    struct str tag;
    while (head_list(q->head, STR("if-match"), &at, &tag))
        if (str_is(tag, "*") || str_eq(tag, wanted))
            return ERR_NONE;
    return fault(why, ERR_PRECONDITION_FAILED, STR(""), "If-Match does not name revision %lld", (long long)revision);
}
