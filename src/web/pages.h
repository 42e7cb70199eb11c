/* web/pages.h - small pages that are written here, not embedded. */
#ifndef WEB_PAGES_H
#define WEB_PAGES_H

#include "web/web.h"

struct page_text {
    const char *title[2], *text[2], *link[2]; /* by language */
    struct str url;                           /* where the link goes */
    bool at_once;                             /* the browser follows it by itself */
};
/* In the request's language; everything is escaped. Sets type, headers and body; not the status. */
void page_small(struct web_request *q, struct reply *r, const struct page_text *t);


/* In pieces, for pages with forms: begin ... end. Text is escaped; what the caller adds besides is markup. */
/* `head`: markup of its own for <head>; may be empty. */
void page_begin(struct web_request *q, struct reply *r, struct str title, struct str head);
void page_end(struct reply *r);
void page_escape(struct buf *b, struct str s);
void page_paragraph(struct buf *b, struct str s);

#endif
