/* store/tables.h - every row of one database into another, which may be of the other engine. Private to this room. */
#ifndef STORE_TABLES_H
#define STORE_TABLES_H

#include "store/connection.h"

/* One of the two is SQLite: it tells which tables and columns there are. `from` is in a snapshot, `to` in a transaction; its tables
 * are there and empty, and do not look at references until its end. */
enum err tables_copy(struct db *from, struct db *to, store_progress *progress, void *context, struct fault *why) MUST_CHECK;

#endif
