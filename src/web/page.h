/* web/page.h - one page of a list: ?limit= and ?cursor= in, {"items": [...], "next_cursor": ...} out. */
#ifndef WEB_PAGE_H
#define WEB_PAGE_H

#include "web/web.h"

struct page {
    int limit;          /* items to show; ask the store for one more to know whether there are more */
    struct str after;   /* id of the last item of the page before; p == NULL: from the start */
};

/* ERR_FIELD_INVALID for a limit out of range or a cursor that is not ours. */
enum err page_read(const struct web_request *q, struct page *out, struct fault *why) MUST_CHECK;

/* page_open ... one value per item ... page_close */
struct json_out page_open(struct reply *r);
/* `last`: id of the last item shown; empty when nothing follows. */
void page_close(struct json_out *o, struct arena *a, struct str last);

/* Of a list that is made as a whole each time, the page that is asked for: `items` is a JSON array, a cursor counts those before.
 * No other query parameters. ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD. */
enum err page_cut(struct web_request *q, struct reply *r, struct str items, struct fault *why) MUST_CHECK;

#endif
