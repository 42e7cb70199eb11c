/* store/connection.h - one connection to a database with its kept statements, whichever engine it is. Private to this room.
 *
 * query.c and store.c speak to an engine through this table alone: sqlite.c with sqlite_statement.c, postgres.c with
 * postgres_statement.c.
 */
#ifndef STORE_CONNECTION_H
#define STORE_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "store/db.h"

enum connection_kind { CONNECTION_READS, CONNECTION_WRITES };

/* What went wrong in the engine. code ERR_NONE: nothing. */
struct failure {
    enum err code;       /* ERR_STORE, ERR_STORE_FULL, ERR_STORE_DAMAGED; ERR_CONFLICT: a unique constraint */
    bool constraint;     /* undoes its statement; the connection is as good as before */
    bool busy;           /* somebody else has what was wanted: worth another try */
    bool unsynced;       /* a sync failed: the system may have dropped what was written, and says so only once */
    char subject[64];    /* of a conflict: the table */
    char note[200];      /* for the log: tables and columns, never values */
};

/* Where a store is, in the words of its engine. */
struct place {
    const struct engine *engine;
    char *at;                          /* SQLite: the file's absolute path. PostgreSQL: the address with its password */
    int directory;                     /* open: the data directory */
    _Atomic int64_t rest_until_ms;     /* monotonic: no new connection is tried before (postgres.c) */
    pthread_mutex_t lock;              /* of the three below; history is looked at without it, too (postgres.c) */
    bool seen;                         /* since the start */
    int64_t cluster;                   /* its number; 0: none was seen */
    _Atomic int64_t history;           /* the newest line of its history that was seen */
    _Atomic int writer;                /* the server's number of our writer (postgres.c) */
};

/* One prepared statement. The engine's own begins with this. */
struct statement {
    int params;     /* $1 to $params, each of them somewhere in it */
    bool changes;   /* more than reading */
};

enum step { STEP_ROW, STEP_DONE, STEP_FAILED };

struct engine {
    bool shared;                /* other nodes may write to it too */
    const char *begin_snapshot;
    const char *be_patient;     /* for the rest of a transaction; NULL: nothing is ever too long */
    const char *table_exists;   /* one row when there is a table of the name $1 */

    /* Opens, with everything set that this house relies on. NULL and *f on failure. */
    struct db *(*open)(struct place *p, enum connection_kind kind, struct failure *f);
    void (*close)(struct db *db); /* its statements are gone */
    /* NULL: always. False: another server has taken its place, and it is to be closed. */
    bool (*current)(const struct db *db);
    /* One or more statements without parameters or rows. */
    bool (*run)(struct db *db, const char *sql, struct failure *f);

    /* The transaction of a writer: `wait_ms` at most for other writers. */
    bool (*begin)(struct db *db, int64_t wait_ms, struct failure *f);
    bool (*commit)(struct db *db, struct failure *f);
    bool (*open_transaction)(struct db *db); /* is there one? */
    void (*distrust)(struct db *db);         /* it is about to be closed, and is not to be asked anything more */

    /* NULL and *f on failure. Both texts outlive the statement. */
    struct statement *(*prepare)(struct db *db, const char *sql, struct failure *f);
    void (*drop)(struct db *db, struct statement *st);
    /* Parameter n (from 1): text or blob, p == NULL is NULL, borrowed until rest(). False and *f on failure. */
    bool (*bind)(struct db *db, struct statement *st, int n, struct str value, bool blob, struct failure *f);
    bool (*bind_number)(struct db *db, struct statement *st, int n, int64_t value, struct failure *f);
    enum step (*step)(struct db *db, struct statement *st, struct failure *f);
    /* Of the present row. */
    bool (*is_null)(const struct statement *st, int column);
    struct str (*text)(struct statement *st, int column, struct arena *a);
    struct str (*blob)(struct statement *st, int column, struct arena *a);
    int64_t (*number)(const struct statement *st, int column);
    void (*rest)(struct db *db, struct statement *st); /* as it was when prepared: nothing bound, no rows */
    int64_t (*changed)(const struct db *db);           /* rows, by the last statement */

    bool (*checkpoint)(struct db *db, struct failure *f);         /* store_checkpoint(); busy readers are no failure */
    enum err (*probe)(struct db *db, struct fault *why);          /* writes something, in a transaction */
    enum err (*copy)(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why); /* in a snapshot */
    enum err (*check)(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why);
    void (*check_stop)(struct db *db);
    enum err (*report)(struct db *db, struct arena *a, struct store_report *out, struct fault *why);

    /* For store_await(); NULL where `shared` is false. */
    bool (*listen)(struct db *db, struct failure *f);
    bool (*await)(struct db *db, int64_t wait_ms, struct arena *a, struct str *news, struct failure *f);
};

extern const struct engine sqlite_engine, postgres_engine;

/* What each engine's own begins with. */
struct db {
    const struct engine *engine;
    struct store *store;      /* whose reader this is; NULL for the writer */
    struct list in_store;
    struct list kept;         /* prepared statements, most recently used first */
    int kept_count;
    struct list running;      /* begun and not ended */
    bool in_transaction;
    int snapshots;            /* db_snapshot() without its end */
    bool patient;             /* what is asked may take as long as it takes */
    struct failure failed;    /* the first failure that a statement's undo does not mend; in a transaction the first of all */
};

bool connection_open(struct place *p, enum connection_kind kind, struct db **out, struct failure *f);
/* Ends its statements first. NULL is fine. */
void connection_close(struct db *db);
/* Resets whatever still runs; answers how many there were. */
int connection_end_queries(struct db *db);
/* Remembers the failure; a transaction that met one takes no further statement. */
void connection_failed(struct db *db, const struct failure *f);
/* engine->run(), and remembers. */
bool connection_run(struct db *db, const char *sql);
/* Runs `work` in one transaction of this writer. db->failed says what the connection is worth afterwards. */
enum err connection_transaction(struct db *db, int64_t wait_ms, store_work *work, void *context, struct fault *why) MUST_CHECK;
/* Inside a transaction, until its end: no statement is too long. */
enum err connection_patient(struct db *db, struct fault *why) MUST_CHECK;
/* A failure as a fault; answers its code. */
enum err failure_fault(const struct failure *f, struct fault *why);

#endif
