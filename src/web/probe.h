/* web/probe.h - looks at the health of connections that nobody asked for just now: those that are due, those whose calls the
 * provider began to refuse, and those that somebody asks to be verified in bulk (CON-41, CON-53).
 *
 * A few threads of its own, so that slow providers hold up neither handlers nor each other. A connection that is due is put off to
 * its next turn before it is looked at: a hub that dies meanwhile does not look twice. Turns are spread by chance over a tenth of
 * the interval, so that connections made together are not asked together for ever.
 */
#ifndef WEB_PROBE_H
#define WEB_PROBE_H

#include "web/web.h"

#define PROBE_THREADS 4
#define PROBE_BULK_MOST 10000   /* connections of one order */
#define PROBE_BULKS_MOST 32     /* orders that are remembered; the oldest that is done leaves first */

struct prober;

/* `interval` 0: nothing is looked at by itself. After the loops run. */
enum err prober_start(struct hub *hub, int64_t interval_ms, struct prober **out, struct fault *why) MUST_CHECK;
/* Waits for looks in progress: before the loops stop. prober_free() when nobody can call prober_suspect() any more. NULL is fine.
 */
void prober_stop(struct prober *p);
void prober_free(struct prober *p);

/* From any thread: its provider answered 401. At most one look in ten minutes. `context` is the prober. */
void prober_suspect(void *context, struct str connection);

struct probe_order {
    struct str id;          /* chk_... */
    struct str by;          /* principal */
    size_t total, done, ok, failing, reconnect_required,
        skipped;               /* skipped: disabled, without credentials or a verify call, gone */
    wall_ms started, finished; /* 0: not yet */
};
/* `ids` are copied. The name and id of who asks go to the audit log with each change. *out is in `a`. ERR_LIMIT when as many are
 * under way as are remembered. */
enum err prober_order(struct prober *p, struct arena *a, const struct caller *by, const struct str *ids, size_t n,
                      struct probe_order *out, struct fault *why) MUST_CHECK;
/* ERR_NOT_FOUND, for another's as well. */
enum err prober_order_get(struct prober *p, struct arena *a, const struct caller *by, struct str id, struct probe_order *out,
                          struct fault *why) MUST_CHECK;

#endif
