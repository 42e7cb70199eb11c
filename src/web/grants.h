/* web/grants.h - connections and folders that a body names, as its caller sees them. */
#ifndef WEB_GRANTS_H
#define WEB_GRANTS_H

#include "access/grants.h"
#include "web/web.h"

struct grants_finder grants_finder_of(struct web_request *q);

#endif
