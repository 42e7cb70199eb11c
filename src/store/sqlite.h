/* store/sqlite.h - one SQLite connection. Private to this room. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>

#include "store/connection.h"

struct sqlite_db {
    struct db db;             /* first */
    sqlite3 *sqlite;
    _Atomic bool check_stops; /* store_check_stop() */
};

static inline struct sqlite_db *sqlite_of(const struct db *db) { return (struct sqlite_db *)(uintptr_t)db; }

/* SQLite's extended code and its present message. Answers false. */
bool sqlite_failure(const struct db *db, int code, const char *doing, struct failure *f);
/* No room, as SQLite says it. */
static inline bool sqlite_full(int code) { return (code & 0xff) == SQLITE_FULL; }

struct statement *sqlite_prepare(struct db *db, const char *sql, struct failure *f);
void sqlite_drop(struct db *db, struct statement *st);
bool sqlite_bind(struct db *db, struct statement *st, int n, struct str value, bool blob, struct failure *f);
bool sqlite_bind_number(struct db *db, struct statement *st, int n, int64_t value, struct failure *f);
enum step sqlite_step(struct db *db, struct statement *st, struct failure *f);
bool sqlite_is_null(const struct statement *st, int column);
struct str sqlite_text(struct statement *st, int column, struct arena *a);
struct str sqlite_blob(struct statement *st, int column, struct arena *a);
int64_t sqlite_number(const struct statement *st, int column);
void sqlite_rest(struct db *db, struct statement *st);

enum err sqlite_copy(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why);
enum err sqlite_check(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why);
void sqlite_check_stop(struct db *db);

#endif
