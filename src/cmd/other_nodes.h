/* cmd/other_nodes.h - what other nodes of one database change: what is remembered of it here is forgotten.
 *
 * The database announces each change when it commits (store/migrations.c has the triggers, docs/internals/store.md the words).
 * While it cannot be heard, calls go on with what is remembered, for OTHER_NODES_DEAF_MS at most; then nothing is remembered any
 * more, and each call asks (requirement 18.4).
 */
#ifndef CMD_OTHER_NODES_H
#define CMD_OTHER_NODES_H

#include "web/web.h"

#define OTHER_NODES_DEAF_MS (5 * 60 * 1000)

struct other_nodes; /* a thread */

/* *out NULL: the database is this process's alone. After the switchboard is there, before calls are taken. ERR_INTERNAL. */
enum err other_nodes_start(struct hub *hub, struct other_nodes **out, struct fault *why) MUST_CHECK;
void other_nodes_stop(struct other_nodes *o); /* NULL is fine */

#endif
