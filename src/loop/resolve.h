/* loop/resolve.h - host names to addresses, off the loop, with a small cache per loop.
 *
 * The system's resolver (getaddrinfo in libuv's pool). An answer is kept for RESOLVE_KEEP_MS; failures are not kept. Look-ups of
 * one name at the same time share one answer. What the addresses may be used for is the caller's business: whoever dials judges the
 * very addresses given here and looks nothing up again.
 */
#ifndef LOOP_RESOLVE_H
#define LOOP_RESOLVE_H

#include <sys/socket.h>

#include "base/list.h"
#include "base/str.h"
#include "loop/loop.h"

#define RESOLVE_KEEP_MS 5000
#define RESOLVE_ADDRESSES 64 /* an answer with more is refused */

struct resolver;
struct resolver *resolver_new(struct loop *l);
void resolver_free(struct resolver *r);

/* One waiting caller; in place, zeroed before use. `done` runs on the loop, maybe before resolve() returns (cache). */
struct resolve {
    struct list link;
    /* n == 0: failed, and *problem says how. Addresses are lent for the call. */
    void (*done)(struct resolve *r, const struct sockaddr_storage *addresses, size_t n, const char *problem);
};
void resolve(struct resolver *r, const char *host, struct resolve *who);
/* No callback after this. Fine when it is not waiting. */
void resolve_cancel(struct resolve *who);

#endif
