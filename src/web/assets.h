/* web/assets.h - files compiled into the binary. */
#ifndef WEB_ASSETS_H
#define WEB_ASSETS_H

#include "web/web.h"

/* p == NULL when there is none of that name. */
struct str asset_bytes(const char *name);
/* The policy of requirement 15.6 for everything that a browser shows (nosniff comes with every answer). */
void asset_headers(struct web_request *q, struct reply *r);

#endif
