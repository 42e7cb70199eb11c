#include "call/sign.h"

#include "call/headers.h"

/* What the caller sends on, and the connector's own. User-Agent is changed under way by some, and is never signed. */
static size_t gather_headers(const struct live *c, struct header *out)
{
    size_t n = 0;
    for (int i = 0; i < c->from->count; i++)
        if (headers_request(c->from, &c->from->headers[i], &c->to->injections) == HEADER_PASSES)
            out[n++] = c->from->headers[i];
    for (size_t i = 0; i < c->to->header_count; i++)
        if (!head_find(c->from, c->to->headers[i][0]))
            out[n++] = (struct header){ c->to->headers[i][0], c->to->headers[i][1] };
    return n;
}

enum err sign_live(struct live *c, struct fault *why)
{
    struct header *headers = arena_array(c->arena, (size_t)c->from->count + c->to->header_count + 1, sizeof *headers);
    struct sign_request q = {
        .method = c->method, .host = c->host, .path = c->target.path, .query = c->query, .https = c->target.https,
        .headers = headers, .header_count = gather_headers(c, headers),
        .has_body = c->body_kind != FRAMING_NONE, .body = c->body_buffered ? c->body : STR_NONE, .now = clock_wall(),
    };
    for (size_t i = 0; i < q.header_count; i++)
        if (str_ieq(headers[i].name, STR("content-type")))
            q.content_type = headers[i].value;
    struct signature made = { 0 };
    enum err e = c->to->method->sign(c->to->signer, c->arena, &q, &c->to->injections, &made, why);
    if (e)
        return e;
    if (!c->signature)
        c->signature = arena_zero(c->arena, sizeof *c->signature);
    *c->signature = made;
    return ERR_NONE;
}

bool sign_echoed(const struct signature *s, struct str value)
{
    return s->proof.n && str_find_str(value, s->proof) != SIZE_MAX;
}

bool sign_is_form(struct str content_type)
{
    struct str type, rest;
    str_cut(content_type, ';', &type, &rest);
    return str_ieq(str_trim(type), STR("application/x-www-form-urlencoded"));
}
