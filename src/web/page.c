#include "web/page.h"

#include "base/encode.h"

#define CURSOR_MAX 256 /* bytes of an id or name */

enum err page_read(const struct web_request *q, struct page *out, struct fault *why)
{
    enum err e = web_limit(q, &out->limit, why);
    if (e)
        return e;
    out->after = STR_NONE;
    struct str cursor = web_query(q, "cursor");
    if (!cursor.p)
        return ERR_NONE;
    bool good = base64_decode(q->arena, cursor, BASE64_URL, &out->after);
    if (!good || !out->after.n || out->after.n > CURSOR_MAX || !utf8_valid(out->after) || str_has_control(out->after))
        return fault(why, ERR_FIELD_INVALID, STR("cursor: take it from next_cursor as it is"), "cursor of %zu bytes", cursor.n);
    return ERR_NONE;
}

struct json_out page_open(struct reply *r)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_key(&o, "items");
    json_open(&o, '[');
    return o;
}

void page_close(struct json_out *o, struct arena *a, struct str last)
{
    json_close(o, ']');
    json_member_str(o, "next_cursor", last.n ? base64_encode(a, last, BASE64_URL) : STR_NONE);
    json_close(o, '}');
}
