/* web/enter.h - where a request enters the house: from the loop to a worker and back.
 *
 * On the loop: the route is found, the body gathered up to the route's limit. On a worker: caller, right, JSON, handler. On the
 * loop again: the reply is written. /proxy/ never leaves the loop: it goes to proxy/ at once.
 */
#ifndef WEB_ENTER_H
#define WEB_ENTER_H

#include "http/server.h"
#include "loop/workers.h"
#include "proxy/proxy.h"
#include "web/web.h"

struct entrance {
    struct hub *hub;
    struct workers *workers;
    struct proxy *proxy;       /* this loop's */
    bool metrics_only;         /* a listener of its own for /metrics and /healthz: no token is asked for */
};

/* For server_config: context is a struct entrance. */
void entrance_enter(struct exchange *x, void *context);
void entrance_refuse(struct exchange *x, enum err e, const char *detail, void *context);
/* For proxy_config: context is a struct entrance. */
void entrance_refuse_call(struct exchange *x, const struct fault *why, const struct proxy_refusal *what, void *context);

#endif
