/* web/openapi.c - what this API is, for programs; and what each error code means. */
#include "web/assets.h"
#include "web/handlers.h"

/* What stands in the file where this hub's own values go. */
#define ADDRESS STR("@PUBLIC_URL@")
#define VERSION STR("@VERSION@")

enum err openapi_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct str rest = asset_bytes("openapi.json");
    if (!rest.p)
        return fault(why, ERR_INTERNAL, STR(""), "no embedded openapi.json");
    for (size_t at; (at = str_find(rest, '@')) != SIZE_MAX;) {
        struct str from = str_sub(rest, at, rest.n);
        bool address = str_starts(from, ADDRESS), version = str_starts(from, VERSION);
        buf_add(&r->body, str_sub(rest, 0, at));
        if (address)
            json_escape(&r->body, q->hub->public_url);
        else if (version)
            buf_add(&r->body, STR(RACCORD_VERSION));
        else
            buf_char(&r->body, '@');
        rest = str_sub(from, address ? ADDRESS.n : version ? VERSION.n : 1, from.n);
    }
    buf_add(&r->body, rest);
    return ERR_NONE;
}

enum err problem_get(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err found = err_find(q->params[0]);
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("problem"), "no such code");
    const struct err_row *row = err_row(found);
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "code", str_of(row->code));
    json_member_i64(&o, "status", row->status);
    json_member_str(&o, "fault", str_of(blame_name(row->blame)));
    json_member_bool(&o, "retryable", row->retryable);
    json_member_str(&o, "title", str_of(row->title[q->language]));
    json_member_str(&o, "detail", str_of(row->detail[q->language]));
    json_close(&o, '}');
    return ERR_NONE;
}
