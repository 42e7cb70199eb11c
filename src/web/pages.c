/* web/pages.c - the landing page, the page behind the setup link, and what they load. */
#include "base/embed.h"
#include "web/assets.h"
#include "web/handlers.h"
#include "web/pages.h"

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

void page_escape(struct buf *b, struct str s)
{
    static const struct { char c; const char *as; } marks[] = {
        { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" }, { '\'', "&#39;" },
    };
    for (size_t i = 0; i < s.n; i++) {
        const char *as = NULL;
        for (size_t j = 0; j < COUNT(marks); j++)
            if (s.p[i] == marks[j].c)
                as = marks[j].as;
        if (as)
            buf_add(b, str_of(as));
        else
            buf_char(b, s.p[i]);
    }
}

void page_begin(struct web_request *q, struct reply *r, struct str title, struct str head)
{
    struct buf *b = &r->body;
    reply_header(r, "Cache-Control", STR("no-store"));
    r->content_type = "text/html; charset=utf-8";
    buf_fmt(b, "<!doctype html>\n<html lang=\"%s\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n", q->language == LANG_FR ? "fr" : "en");
    buf_add(b, head);
    buf_add(b, STR("<title>"));
    page_escape(b, title);
    buf_add(b, STR("</title>\n<link rel=\"stylesheet\" href=\""));
    page_escape(b, q->hub->public_url);
    buf_add(b, STR("/assets/style.css\">\n</head>\n<body>\n<main>\n<h1>"));
    page_escape(b, title);
    buf_add(b, STR("</h1>\n"));
}

void page_end(struct reply *r) { buf_add(&r->body, STR("</main>\n</body>\n</html>\n")); }

void page_paragraph(struct buf *b, struct str s)
{
    buf_add(b, STR("<p>"));
    page_escape(b, s);
    buf_add(b, STR("</p>\n"));
}

void page_small(struct web_request *q, struct reply *r, const struct page_text *t)
{
    enum language lang = q->language;
    AUTO_BUF head;
    buf_init(&head, 16 * 1024);
    if (t->at_once) {
        buf_add(&head, STR("<meta http-equiv=\"refresh\" content=\"0;url="));
        page_escape(&head, t->url);
        buf_add(&head, STR("\">\n"));
    }
    page_begin(q, r, str_of(t->title[lang]), buf_str(&head));
    page_paragraph(&r->body, str_of(t->text[lang]));
    if (t->url.n) {
        buf_add(&r->body, STR("<p><a href=\""));
        page_escape(&r->body, t->url);
        buf_add(&r->body, STR("\">"));
        page_escape(&r->body, str_of(t->link[lang]));
        buf_add(&r->body, STR("</a></p>\n"));
    }
    page_end(r);
}

/* What may be asked for by name; the rest of the embedded files have doors of their own. */
static const struct { const char *name, *type; } open_assets[] = {
    { "style.css", "text/css; charset=utf-8" },
    { "account.js", "text/javascript; charset=utf-8" },
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
