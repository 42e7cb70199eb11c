/* web/assets.h - files compiled into the binary. */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include "web/web.h"

/* p == NULL when there is none of that name. */
struct str asset_bytes(const char *name);
/* What a browser may keep it for. The rest comes with every answer: see doorman_headers(). */
void asset_headers(struct web_request *q, struct reply *r);

#endif
