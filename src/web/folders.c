/* web/folders.c - where connections live. */
#include "access/folder.h"

#include "access/rights.h"
#include "web/handlers.h"
#include "web/page.h"

static enum err write_folder(struct web_request *q, struct json_out *o, const struct folder_row *f, struct fault *why)
{
    struct rights r;
    enum err e = rights_in_folder(q->db, q->arena, q->caller, f->id, &r, why);
    if (e)
        return e;
    json_open(o, '{');
    json_member_str(o, "id", f->id);
    json_member_str(o, "path", f->path);
    json_member_str(o, "kind", f->kind);
    json_member_str(o, "owner", f->owner.n ? f->owner : STR_NONE);
    json_member_str(o, "parent", f->parent.n ? f->parent : STR_NONE);
    json_member_str(o, "preset", str_of(preset_name(f->preset)));
    json_member_bool(o, "inherits", f->inherits);
    json_key(o, "rights"); /* the caller's own */
    json_open(o, '[');
    for (enum right right = RIGHT_VIEW; right <= RIGHT_AUDIT; right++)
        if (r.mask & RIGHT_BIT(right))
            json_put_str(o, str_of(right_name(right)));
    json_close(o, ']');
    json_member_time(o, "created_at", f->created);
    json_member_time(o, "updated_at", f->updated);
    json_close(o, '}');
    return ERR_NONE;
}

enum err folders_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct folder_row *rows;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = folder_list(q->db, q->arena, q->caller, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        if ((e = write_folder(q, &o, &rows[i], why)))
            return e;
    page_close(&o, q->arena, more ? rows[n - 1].sort : STR_NONE);
    return ERR_NONE;
}

enum err folders_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct folder_row row;
    enum err e = folder_resolve(q->db, q->arena, q->caller, q->params[0], &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return write_folder(q, &o, &row, why);
}
