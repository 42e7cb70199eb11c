#include "store/connection.h"

#include <errno.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store_limits.h"

/* What every connection is set to. synchronous=FULL: in WAL mode each commit is fsynced. secure_delete: deleted
 * rows are overwritten, so that a destroyed data key is gone from the file. The schema of a file that someone else may
 * have touched is not trusted. */
static const char *const settings[] = {
    "PRAGMA synchronous = FULL",    "PRAGMA foreign_keys = ON",    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",    "PRAGMA cell_size_check = ON", "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 16777216",
};

int connection_exec(struct db *db, const char *sql) { return sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL); }

enum err connection_code_fault(int code, const char *message, struct fault *why)
{
    const struct str unique = STR("UNIQUE constraint failed: ");
    if (connection_full(code))
        return fault(why, ERR_STORE_FULL, STR(""), "sqlite %d: %s", code, message);
    if (connection_damaged(code))
        return fault(why, ERR_STORE_DAMAGED, STR(""), "sqlite %d: %s", code, message);
    if (code != SQLITE_CONSTRAINT_UNIQUE && code != SQLITE_CONSTRAINT_PRIMARYKEY && code != SQLITE_CONSTRAINT_ROWID)
        return fault(why, ERR_STORE, STR(""), "sqlite %d: %s", code, message);
    struct str table = str_of(message), columns;
    size_t at = str_find_str(table, unique);
    if (at != SIZE_MAX)
        str_cut(str_sub(table, at + unique.n, table.n), '.', &table, &columns);
    return fault(why, ERR_CONFLICT, table, "sqlite %d: %s", code, message);
}

void connection_failed(struct db *db, int code, const char *doing)
{
    if (db->failed)
        return;
    db->failed = code;
    int system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(db->sqlite) : 0;
    db->full = system == ENOSPC || system == EDQUOT;
    snprintf(db->note, sizeof db->note, "%s: %s%s%s", doing, sqlite3_errmsg(db->sqlite), system ? ": " : "",
             system ? strerrordesc_np(system) : "");
}

enum err connection_fault(const struct db *db, struct fault *why)
{
    return connection_code_fault(db->full ? SQLITE_FULL : db->failed, db->note, why);
}

/* Switching to WAL fails at once, without the busy handler, when another process switches at the same moment. */
static int switch_to_wal(struct db *db)
{
    struct mono start = clock_mono();
    for (;;) {
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(db->sqlite, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(stmt);
        bool wal = rc == SQLITE_ROW && str_is(str_of((const char *)sqlite3_column_text(stmt, 0)), "wal");
        int ended = sqlite3_finalize(stmt);
        if (wal)
            return SQLITE_OK;
        rc = ended ? ended : rc == SQLITE_ROW ? SQLITE_CANTOPEN : rc;
        if (!connection_busy(rc) || mono_since(start, clock_mono()) >= STORE_WAIT_MS)
            return rc;
        sqlite3_sleep(5);
    }
}

static int set_up(struct db *db, enum connection_kind kind)
{
    sqlite3_busy_timeout(db->sqlite, STORE_WAIT_MS);
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* "x" is a name, never a text: a misspelt column is an error, as in PostgreSQL. */
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_limit(db->sqlite, SQLITE_LIMIT_ATTACHED, 0);
    int rc = SQLITE_OK;
    for (size_t i = 0; !rc && i < COUNT(settings); i++)
        rc = connection_exec(db, settings[i]);
    if (rc)
        return rc;
    return kind == CONNECTION_WRITES ? switch_to_wal(db) : connection_exec(db, "PRAGMA query_only = ON");
}

enum err connection_open(const char *path, enum connection_kind kind, struct db **out, struct fault *why)
{
    struct db *db = mem_zero(sizeof *db);
    list_init(&db->in_store);
    list_init(&db->kept);
    list_init(&db->running);
    /* No CREATE: the file is made once, with its mode, by store_open(). A file that vanished is an error. */
    int rc = sqlite3_open_v2(path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!rc)
        rc = set_up(db, kind);
    if (rc) {
        connection_failed(db, rc, "opening the database");
        enum err e = connection_fault(db, why);
        connection_close(db);
        return e;
    }
    *out = db;
    return ERR_NONE;
}
