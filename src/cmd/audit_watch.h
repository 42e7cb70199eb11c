/* cmd/audit_watch.h - the audit log's keeper while the hub runs: exports its heads, holds the database against those that were
 * exported, tells of refusals that were counted, and raises the alarm. */
#ifndef CMD_AUDIT_WATCH_H
#define CMD_AUDIT_WATCH_H

#include "base/arena.h"
#include "cmd/config.h"
#include "web/web.h"

struct audit_watch;

/* Before anything is served: compares, records the start and settings that are others than last time, exports, and starts its
 * thread. Sets hub->audit_heads and hub->refusals. A log that was tampered with raises the alarm and does not stop the start; heads
 * that cannot be written stop it when audit.strict asks for that. */
enum err audit_watch_start(struct hub *hub, const struct config *config, struct arena *boot, struct audit_watch **out,
                           struct fault *why) MUST_CHECK;
/* Before the keys are wiped: records that (hub.seal), and exports the last head. From then on none is exported. Takes as long as
 * the database does; a file of heads that hangs costs four seconds. */
void audit_watch_seal(struct audit_watch *w);
/* Records the stop, exports, and joins the thread. Before the store and the keyring are closed. NULL is fine. */
void audit_watch_stop(struct audit_watch *w);

#endif
