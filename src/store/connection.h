/* store/connection.h - one SQLite connection with its kept statements. Private to this room. */
#ifndef STORE_CONNECTION_H
#define STORE_CONNECTION_H

#include <sqlite3.h>

#include "base/err.h"
#include "base/list.h"

enum connection_kind { CONNECTION_READS, CONNECTION_WRITES };

struct db {
    sqlite3 *sqlite;
    struct store *store;      /* whose reader this is; NULL for the writer */
    struct list in_store;
    struct list kept;         /* prepared statements, most recently used first */
    int kept_count;
    struct list running;      /* begun and not ended */
    bool in_transaction;
    int snapshots;            /* db_snapshot() without its end */
    int failed;               /* extended code of the first failure that a statement's undo does not mend; 0: none */
    bool full;                /* it failed for want of room */
    char note[160];           /* what failed, for the log */
    _Atomic bool check_stops; /* store_check_stop() */
};

/* Opens an existing file. Errors: ERR_STORE. A database that is locked for long fails as busy. */
enum err connection_open(const char *path, enum connection_kind kind, struct db **out, struct fault *why) MUST_CHECK;
/* Ends its statements first. NULL is fine. */
void connection_close(struct db *db);
/* Runs one or more statements without parameters or rows; answers SQLite's extended code. */
int connection_exec(struct db *db, const char *sql);
/* Resets whatever still runs; answers how many there were. */
int connection_end_queries(struct db *db);
/* Remembers the failure; a transaction that met one takes no further statement. */
void connection_failed(struct db *db, int code, const char *doing);
/* The remembered failure as a fault. */
enum err connection_fault(const struct db *db, struct fault *why);
/* SQLite's code as one of ours. `message` is SQLite's: it names tables and columns, never values. */
enum err connection_code_fault(int code, const char *message, struct fault *why);

/* No room, as SQLite says it. ENOSPC that comes with another code is in db->full. */
static inline bool connection_full(int code) { return (code & 0xff) == SQLITE_FULL; }
static inline bool connection_damaged(int code) { return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB; }
static inline bool connection_busy(int code) { return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED; }

#endif
