/* proxy/proxy.h - stream a request through: ANY /proxy/{connection}/{path...}.
 *
 * Everything happens on the loop that took the request. Who may use which connection is decided once on a worker
 * thread and remembered per loop, until the token, the caller or the connection changes; a remembered decision costs one keyed hash
 * and one look-up, no lock and no SQL.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "call/switchboard.h"
#include "http/server.h"

struct proxy; /* one loop's */

/* What was refused, for records. Texts live until the call returns. */
struct proxy_refusal {
    struct str run_id;                        /* empty: no call was begun */
    struct str caller, caller_name, token;    /* empty: not known */
    struct str connection;                    /* as the caller wrote it */
};

struct proxy_config {
    struct board *board;
    int64_t body_max;        /* bytes of a request body */
    /* Answer with the problem document: the faces' business, passed down. Ends the exchange. */
    void (*refuse)(struct exchange *x, const struct fault *why, const struct proxy_refusal *what, void *context);
    void *context;
};

struct proxy *proxy_new(const struct proxy_config *c);
void proxy_free(struct proxy *p);
/* At boot, before the loop runs: proxies in front that are believed about who calls (http/address.h); NULL: none. */
void proxy_trust(struct proxy *p, const struct address_ranges *trusted);
/* Forgets every decision: what was prepared is let go of. On its loop. */
void proxy_forget(struct proxy *p);
/* Takes the exchange, whose path begins with "/proxy/". */
void proxy_enter(struct proxy *p, struct exchange *x);

#endif
