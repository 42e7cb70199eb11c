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

enum err page_cut(struct web_request *q, struct reply *r, struct str items, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct json *all;
    uint64_t from = 0, at = 0;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = json_read(q->arena, items, &all, why)))
        return e;
    if (page.after.p && (!str_u64(page.after, &from) || from > all->count))
        return fault(why, ERR_FIELD_INVALID, STR("cursor: take it from next_cursor as it is"), "no such position");
    uint64_t end = from + (uint64_t)page.limit < all->count ? from + (uint64_t)page.limit : all->count;
    struct json_out o = page_open(r);
    json_each (v, all)
        if (at++ >= from && at <= end)
            json_put(&o, v);
    page_close(&o, q->arena, end < all->count ? str_fmt(q->arena, "%llu", (unsigned long long)end) : STR_NONE);
    return ERR_NONE;
}
