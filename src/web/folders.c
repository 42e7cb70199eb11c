/* web/folders.c - where connections live. */
#include "access/folder.h"
#include "web/handlers.h"
#include "web/page.h"

static void write_folder(struct json_out *o, const struct folder_row *f)
{
    json_open(o, '{');
    json_member_str(o, "id", f->id);
    json_member_str(o, "path", f->path);
    json_member_str(o, "kind", f->kind);
    json_member_str(o, "owner", f->owner.n ? f->owner : STR_NONE);
    json_member_time(o, "created_at", f->created);
    json_close(o, '}');
}

/* A caller sees few folders: one page holds them all. */
enum err folders_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct page page;
    struct folder_row *rows;
    size_t n, from = 0;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = folder_list(q->db, q->arena, q->caller, &rows, &n, why)))
        return e;
    while (page.after.p && from < n && str_cmp(rows[from].path, page.after) <= 0)
        from++;
    size_t to = n - from > (size_t)page.limit ? from + (size_t)page.limit : n;
    struct json_out o = page_open(r);
    for (size_t i = from; i < to; i++)
        write_folder(&o, &rows[i]);
    page_close(&o, q->arena, to < n ? rows[to - 1].path : STR_NONE);
    return ERR_NONE;
}

enum err folders_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct folder_row row;
    enum err e = folder_resolve(q->db, q->arena, q->caller, q->params[0], &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.created);
    struct json_out o = json_out(&r->body);
    write_folder(&o, &row);
    return ERR_NONE;
}
