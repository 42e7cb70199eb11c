/* store/db.h - SQL on SQLite: one writer, many readers.
 *
 * Write-ahead log, synchronous=FULL: what was acknowledged survives kill -9 and power loss. Statements are
 * texts that PostgreSQL would take too ($1 parameters, RETURNING, ON CONFLICT).
 *
 * A db is one connection, used by one thread at a time. Statements are prepared once per connection and
 * kept. Errors of a query stick to it and come out of query_end(); values read after an error are empty.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct store; /* the database of this process; safe from any thread */
struct db;    /* one connection of it */
struct query; /* one running statement */

/* Opens or creates DIR/raccord.db (directory 0700, file 0600), fsyncs the directory, runs migrations.
 * Errors: ERR_STORE, ERR_STORE_NEWER, ERR_FILE. */
enum err store_open(struct str directory, struct store **out, struct fault *why) MUST_CHECK;
/* The same with a database that nodes share, at a PostgreSQL address ("postgres://..."); the directory keeps what is this node's
 * own. An empty address is store_open(). */
enum err store_open_at(struct str directory, struct str url, struct store **out, struct fault *why) MUST_CHECK;
bool store_is_shared(const struct store *s);
/* What another node changed: waits up to `wait_ms`, and answers an announcement (docs/internals/store.md has their words), nothing
 * (empty), or "*": anything may have changed, as at the first call and after the connection was lost. By one thread, of a shared
 * store. ERR_STORE: the server does not answer; call again, after a while. */
enum err store_await(struct store *s, int64_t wait_ms, struct arena *a, struct str *news, struct fault *why) MUST_CHECK;
void store_close(struct store *s); /* NULL is fine; no other thread uses it any more */

/* For `serve`: one per data directory. Held until store_close() or the end of the process, however it ends.
 * The CLI's verbs do not claim: they write to the same database while a server runs. ERR_CONFLICT, ERR_FILE. */
enum err store_claim(struct store *s, struct fault *why) MUST_CHECK;

/* What the process that claims the directory says of itself, one word. */
void store_claim_note(struct store *s, const char *note);
/* Who claims it: the process, and its word. *pid 0: nobody. ERR_FILE. */
enum err store_claimed(struct arena *a, struct str directory, int64_t *pid, struct str *note, struct fault *why) MUST_CHECK;

/* Put the closed database `from`, a file on the same file system, into a directory that no hub runs on. With `replace` a database
 * that is there becomes raccord.db.replaced. ERR_CONFLICT, ERR_FILE. */
enum err store_install(struct str directory, const char *from, bool replace, struct fault *why) MUST_CHECK;

/* This thread's reading connection; made on first use, closed with the store. NULL and *why on failure. */
struct db *store_reader(struct store *s, struct fault *why);

/* Run `work` in one transaction on the single writer (callers queue). Commits when it answers ERR_NONE,
 * else rolls back and passes its error on. When this returns ERR_NONE the change is durable.
 * `work` may run again from the start if the database was busy, so it must not keep state from a failed try. */
typedef enum err store_work(struct db *db, void *context, struct fault *why);
enum err store_write(struct store *s, store_work *work, void *context, struct fault *why) MUST_CHECK;
/* Is this thread inside store_write()? Who could wait for the network then must not: every writer would wait with it. */
bool store_writing(void);

/* Fold the write-ahead log into the database and empty it, so that what was deleted is in no file any more. Readers of old
 * snapshots may keep it from going to the end: no error, and the next one does more. */
enum err store_checkpoint(struct store *s, struct fault *why) MUST_CHECK;

typedef void store_progress(void *context, int64_t done, int64_t total);
/* One state of the whole database into the existing file `to`, whatever others write meanwhile. The file is SQLite's, whatever the
 * engine. */
enum err store_copy(struct store *s, const char *to, store_progress *progress, void *context, struct fault *why) MUST_CHECK;
/* The other way: all of `from`, a database of SQLite, into the shared store `s`, in one transaction. ERR_CONFLICT: nodes run on it,
 * or without `replace`: it holds a hub's data. */
enum err store_load(struct store *s, struct store *from, bool replace, store_progress *progress, void *context,
                    struct fault *why) MUST_CHECK;
/* Are the pages sound? *found is what is wrong first, or empty. `deep`: every index against its table, and every reference; else
 * structure alone, which a million rows keep busy for seconds. */
enum err store_check(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why) MUST_CHECK;
/* From another thread: a store_check() of this reader, now or later, ends with ERR_STOPPING. Ask again until it has: what begins at
 * this very moment may not have heard. */
void store_check_stop(struct db *db);

/* From here to db_snapshot_end() all queries of this reader see one state of the database, whatever others write meanwhile. Short:
 * old states are kept on disk as long as someone looks at them. May be nested; inside store_write() it changes nothing. */
enum err db_snapshot(struct db *db, struct fault *why) MUST_CHECK;
void db_snapshot_end(struct db *db); /* after a db_snapshot() that answered ERR_NONE */

/* Which engine it is: for the few statements whose text differs. */
bool db_is_postgres(const struct db *db);

struct query *query_begin(struct db *db, const char *sql);
/* Parameters in order $1, $2, ... Text and blobs are borrowed until query_end(). */
void query_text(struct query *q, struct str s);    /* s.p == NULL binds NULL */
void query_text_copy(struct query *q, struct str s); /* not borrowed */
void query_blob(struct query *q, struct str s);
void query_i64(struct query *q, int64_t n);
void query_null(struct query *q);
bool query_next(struct query *q);                  /* true: a row is there */
struct str query_get_text(struct query *q, int column, struct arena *a); /* copied into a; NULL -> STR_NONE */
struct str query_get_blob(struct query *q, int column, struct arena *a);
int64_t query_get_i64(struct query *q, int column);
bool query_is_null(struct query *q, int column);
/* Steps to the end if needed, resets. Errors: ERR_STORE; ERR_CONFLICT for a unique constraint. */
enum err query_end(struct query *q, struct fault *why) MUST_CHECK;
/* The one number that `sql`, which takes no parameters, answers; 0 when it answers none. */
enum err query_number(struct db *db, const char *sql, int64_t *n, struct fault *why) MUST_CHECK;
int64_t db_changes(struct db *db);                 /* rows changed by the last statement */

/* Several statements, separated by semicolons, without parameters or rows. Inside store_write(). */
enum err db_script(struct db *db, const char *statements, struct fault *why) MUST_CHECK;

/* Little room is left on the disk: a twentieth, or 64 MiB. What can be done without is not to be written then. Cheap; a second old.
 */
bool store_is_tight(struct store *s);

/* What is behind a reader, for who looks after it. */
struct store_report {
    struct str engine;   /* "PostgreSQL 15.4" */
    bool durable;        /* what is acknowledged survives a power cut */
    bool standby;        /* and the loss of the server: a commit waits for another one */
    bool open;           /* the way there leaves this machine in clear text */
};
enum err store_report(struct db *db, struct arena *a, struct store_report *out, struct fault *why) MUST_CHECK;

/* ERR_NONE when the database can be written now (for /readyz). Writes and syncs a page, at most every five seconds. */
enum err store_ready(struct store *s, struct fault *why) MUST_CHECK;

#endif
