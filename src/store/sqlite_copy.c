/* Copying a whole database, and looking whether one is sound: store/db.h. */
#include <stdio.h>
#include <stdlib.h>

#include "store/sqlite.h"

#define PAGES_AT_ONCE 2048 /* between two reports of progress */
#define READ_AT_ONCE (1024 * 1024)

static enum err copy_fault(sqlite3 *to, int rc, struct fault *why)
{
    return fault(why, sqlite_full(rc) ? ERR_STORE_FULL : ERR_STORE, STR(""), "copying the database: sqlite %d: %s", rc,
                 sqlite3_errmsg(to));
}

/* Inside the reader's transaction, so that every step copies the same state. */
static enum err copy_pages(sqlite3 *from, sqlite3 *to, store_progress *progress, void *context,
                           struct fault *why)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b)
        return copy_fault(to, sqlite3_extended_errcode(to), why);
    int rc;
    do {
        rc = sqlite3_backup_step(b, PAGES_AT_ONCE);
        int64_t total = sqlite3_backup_pagecount(b), left = sqlite3_backup_remaining(b);
        if (progress && rc == SQLITE_OK)
            progress(context, total - left, 2 * total); /* the other half is the caller's */
    } while (rc == SQLITE_OK);
    int ended = sqlite3_backup_finish(b);
    rc = rc == SQLITE_DONE ? ended : rc;
    return rc ? copy_fault(to, rc, why) : ERR_NONE;
}

enum err sqlite_copy(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why)
{
    sqlite3 *target = NULL;
    enum err e = query_end(query_begin(db, "SELECT count(*) FROM sqlite_schema"), why); /* the snapshot is taken now */
    int rc =
        e ? SQLITE_OK : sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!e && !rc)
        rc = sqlite3_exec(target, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
    if (rc)
        e = copy_fault(target, rc, why);
    if (!e)
        e = copy_pages(sqlite_of(db)->sqlite, target, progress, context, why);
    sqlite3_close(target);
    return e;
}

/* The checks follow trees from page to page, and a disk is read in order many times as quickly: what was read once, the system
 * keeps as far as it has room. By SQLite's own file: to close another one of the same name would give up its locks (POSIX fcntl).
 */
static void read_ahead(struct db *db)
{
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(sqlite_of(db)->sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file) || !file || !file->pMethods ||
        file->pMethods->xFileSize(file, &size))
        return;
    char *bytes = mem_zero(READ_AT_ONCE);
    for (sqlite3_int64 at = 0; at < size && !sqlite_of(db)->check_stops; at += READ_AT_ONCE)
        if (file->pMethods->xRead(file, bytes, size - at < READ_AT_ONCE ? (int)(size - at) : READ_AT_ONCE, at))
            break; /* the check itself says what is wrong */
    free(bytes);
}

void sqlite_check_stop(struct db *db)
{
    sqlite_of(db)->check_stops = true;
    sqlite3_interrupt(sqlite_of(db)->sqlite);
}

/* The first row that is not "ok". */
static enum err first_finding(struct db *db, struct arena *a, const char *sql, struct str *found, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    if (query_next(q)) {
        struct str said = query_get_text(q, 0, a);
        *found = str_is(said, "ok") ? STR("") : said;
    }
    return query_end(q, why);
}

enum err sqlite_check(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why)
{
    *found = STR("");
    read_ahead(db);
    enum err e = sqlite_of(db)->check_stops
                     ? ERR_NONE
                     : first_finding(db, a, deep ? "PRAGMA integrity_check(1)" : "PRAGMA quick_check(1)", found, why);
    if (sqlite_of(db)->check_stops) {
        *found = STR(""); /* pages that it did not come to */
        return fault(why, ERR_STOPPING, STR(""), "the look at the pages was ended");
    }
    if (e || found->n || !deep)
        return e;
    struct query *q = query_begin(db, "PRAGMA foreign_key_check");
    if (query_next(q)) {
        struct str table = query_get_text(q, 0, a);
        *found = str_fmt(a, "a row of %.*s refers to one that is not there", STR_ARG(table));
    }
    return query_end(q, why);
}
