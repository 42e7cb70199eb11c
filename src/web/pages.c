/* web/pages.c - the landing page, the page behind the setup link, and what they load. */
#include "base/embed.h"
#include "web/assets.h"
#include "web/handlers.h"

struct str asset_bytes(const char *name)
{
    for (size_t i = 0; i < embedded_assets_count; i++)
        if (str_is(str_of(embedded_assets[i].name), name))
            return embedded_assets[i].bytes;
    return STR_NONE;
}

void asset_headers(struct web_request *q, struct reply *r)
{
    (void)q;
    reply_header(r, "Cache-Control", STR("no-cache"));
}

static enum err send(struct web_request *q, struct reply *r, const char *name, const char *type, struct fault *why)
{
    struct str bytes = asset_bytes(name);
    if (!bytes.p)
        return fault(why, ERR_INTERNAL, STR(""), "no embedded file %s", name);
    asset_headers(q, r);
    r->content_type = type;
    buf_add(&r->body, bytes);
    return ERR_NONE;
}

enum err landing_page(struct web_request *q, struct reply *r, struct fault *why)
{
    return send(q, r, "landing.html", "text/html; charset=utf-8", why);
}

enum err setup_page(struct web_request *q, struct reply *r, struct fault *why)
{
    return send(q, r, "setup.html", "text/html; charset=utf-8", why);
}

enum err invite_page(struct web_request *q, struct reply *r, struct fault *why)
{
    return send(q, r, "invite.html", "text/html; charset=utf-8", why);
}

/* What may be asked for by name; the rest of the embedded files have doors of their own. */
static const struct { const char *name, *type; } open_assets[] = {
    { "style.css", "text/css; charset=utf-8" },
    { "setup.js", "text/javascript; charset=utf-8" },
    { "invite.js", "text/javascript; charset=utf-8" },
    { "favicon.svg", "image/svg+xml" },
};

enum err asset_get(struct web_request *q, struct reply *r, struct fault *why)
{
    for (size_t i = 0; i < COUNT(open_assets); i++)
        if (str_is(q->params[0], open_assets[i].name))
            return send(q, r, open_assets[i].name, open_assets[i].type, why);
    return fault(why, ERR_NO_SUCH_ROUTE, STR(""), "no such asset");
}
