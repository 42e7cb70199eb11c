#include "store/sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/store_limits.h"

/* What every connection is set to. synchronous=FULL: in WAL mode each commit is fsynced. secure_delete: deleted
 * rows are overwritten, so that a destroyed data key is gone from the file. The schema of a file that someone else may
 * have touched is not trusted. */
static const char *const settings[] = {
    "PRAGMA synchronous = FULL",    "PRAGMA foreign_keys = ON",    "PRAGMA trusted_schema = OFF",
    "PRAGMA secure_delete = ON",    "PRAGMA cell_size_check = ON", "PRAGMA temp_store = MEMORY",
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA cache_size = -16000", /* KiB, where a database has so many pages: a page that is not there costs 3 us to fetch */
};

static int run(struct db *db, const char *sql) { return sqlite3_exec(sqlite_of(db)->sqlite, sql, NULL, NULL, NULL); }

/* -- failures ------------------------------------------------------------------------------------------------- */

static bool damaged(int code) { return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB; }
static bool busy(int code) { return (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED; }
static bool taken(int code)
{
    return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID;
}

bool sqlite_failure(const struct db *db, int code, const char *doing, struct failure *f)
{
    const struct str unique = STR("UNIQUE constraint failed: ");
    sqlite3 *sqlite = sqlite_of(db)->sqlite;
    const char *message = sqlite3_errmsg(sqlite);
    int system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(sqlite) : 0;
    *f = (struct failure){
        .code = sqlite_full(code) || system == ENOSPC || system == EDQUOT ? ERR_STORE_FULL
                : damaged(code)                                           ? ERR_STORE_DAMAGED
                : taken(code)                                             ? ERR_CONFLICT
                                                                          : ERR_STORE,
        .constraint = (code & 0xff) == SQLITE_CONSTRAINT,
        .busy = busy(code),
        .unsynced = code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC,
    };
    snprintf(f->note, sizeof f->note, "sqlite %d: %s: %s%s%s", code, doing, message, system ? ": " : "",
             system ? strerrordesc_np(system) : "");
    struct str table = str_of(message), columns;
    size_t at = taken(code) ? str_find_str(table, unique) : SIZE_MAX;
    if (at != SIZE_MAX) {
        str_cut(str_sub(table, at + unique.n, table.n), '.', &table, &columns);
        str_copy(f->subject, sizeof f->subject, table);
    }
    return false;
}

static bool well(struct db *db, int code, const char *doing, struct failure *f)
{
    return !code || sqlite_failure(db, code, doing, f);
}

/* -- opening -------------------------------------------------------------------------------------------------- */

/* Switching to WAL fails at once, without the busy handler, when another process switches at the same moment. */
static int switch_to_wal(sqlite3 *sqlite)
{
    struct mono start = clock_mono();
    for (;;) {
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(sqlite, "PRAGMA journal_mode = WAL", -1, &stmt, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(stmt);
        bool wal = rc == SQLITE_ROW && str_is(str_of((const char *)sqlite3_column_text(stmt, 0)), "wal");
        int ended = sqlite3_finalize(stmt);
        if (wal)
            return SQLITE_OK;
        rc = ended ? ended : rc == SQLITE_ROW ? SQLITE_CANTOPEN : rc;
        if (!busy(rc) || mono_since(start, clock_mono()) >= STORE_WAIT_MS)
            return rc;
        sqlite3_sleep(5);
    }
}

static int set_up(struct db *db, enum connection_kind kind)
{
    sqlite3 *sqlite = sqlite_of(db)->sqlite;
    sqlite3_busy_timeout(sqlite, STORE_WAIT_MS);
    sqlite3_db_config(sqlite, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    /* "x" is a name, never a text: a misspelt column is an error, as in PostgreSQL. */
    sqlite3_db_config(sqlite, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(sqlite, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    /* One plan for a statement whatever is bound: else each new pattern of a LIKE has it prepared again. */
    sqlite3_db_config(sqlite, SQLITE_DBCONFIG_ENABLE_QPSG, 1, NULL);
    sqlite3_limit(sqlite, SQLITE_LIMIT_ATTACHED, 0);
    int rc = SQLITE_OK;
    for (size_t i = 0; !rc && i < COUNT(settings); i++)
        rc = run(db, settings[i]);
    if (rc)
        return rc;
    return kind == CONNECTION_WRITES ? switch_to_wal(sqlite) : run(db, "PRAGMA query_only = ON");
}

static void sqlite_close(struct db *db)
{
    sqlite3_close(sqlite_of(db)->sqlite);
    free(db);
}

static struct db *sqlite_open(struct place *p, enum connection_kind kind, struct failure *f)
{
    struct sqlite_db *s = mem_zero(sizeof *s);
    /* No CREATE: the file is made once, with its mode, by store_open(). A file that vanished is an error. */
    int rc = sqlite3_open_v2(p->at, &s->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    if (!rc)
        rc = set_up(&s->db, kind);
    if (!rc)
        return &s->db;
    sqlite_failure(&s->db, rc, "opening the database", f);
    sqlite_close(&s->db);
    return NULL;
}

/* -- transactions --------------------------------------------------------------------------------------------- */

static bool sqlite_run(struct db *db, const char *sql, struct failure *f) { return well(db, run(db, sql), "running", f); }

static bool sqlite_begin(struct db *db, int64_t wait_ms, struct failure *f)
{
    sqlite3_busy_timeout(sqlite_of(db)->sqlite, wait_ms > 1 ? (int)wait_ms : 1);
    return well(db, run(db, "BEGIN IMMEDIATE"), "beginning", f);
}

static bool sqlite_commit(struct db *db, struct failure *f) { return well(db, run(db, "COMMIT"), "committing", f); }

static bool sqlite_open_transaction(struct db *db) { return !sqlite3_get_autocommit(sqlite_of(db)->sqlite); }

/* After a failed fsync the kernel may call the lost pages clean: what this connection believes of the file is not to be
 * trusted, nor is it to fold the log into the database on its way out. */
static void sqlite_distrust(struct db *db) { sqlite3_db_config(sqlite_of(db)->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); }

static int64_t sqlite_changed(const struct db *db) { return sqlite3_changes64(sqlite_of(db)->sqlite); }

/* Readers of old states may keep it from going to the end. */
static bool sqlite_checkpoint(struct db *db, struct failure *f)
{
    sqlite3 *sqlite = sqlite_of(db)->sqlite;
    sqlite3_busy_timeout(sqlite, STORE_CHECKPOINT_WAIT_MS);
    int rc = sqlite3_wal_checkpoint_v2(sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    return busy(rc) || well(db, rc, "folding the log into the database", f);
}

/* user_version is ours to change and means nothing. It must change: SQLite does not write a page that stays as it is. */
static enum err sqlite_probe(struct db *db, struct fault *why)
{
    char sql[48];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", (int)(clock_wall() & INT_MAX));
    return db_script(db, sql, why);
}

static enum err sqlite_report(struct db *db, struct arena *a, struct store_report *out, struct fault *why)
{
    (void)db;
    (void)why;
    out->engine = str_fmt(a, "SQLite %s", sqlite3_libversion());
    return ERR_NONE;
}

const struct engine sqlite_engine = {
    .begin_snapshot = "BEGIN",
    .table_exists = "SELECT 1 FROM sqlite_schema WHERE name = $1",
    .open = sqlite_open, .close = sqlite_close, .run = sqlite_run,
    .begin = sqlite_begin, .commit = sqlite_commit, .open_transaction = sqlite_open_transaction, .distrust = sqlite_distrust,
    .prepare = sqlite_prepare, .drop = sqlite_drop, .bind = sqlite_bind, .bind_number = sqlite_bind_number, .step = sqlite_step,
    .is_null = sqlite_is_null, .text = sqlite_text, .blob = sqlite_blob, .number = sqlite_number, .rest = sqlite_rest,
    .changed = sqlite_changed, .checkpoint = sqlite_checkpoint, .probe = sqlite_probe, .copy = sqlite_copy, .check = sqlite_check,
    .check_stop = sqlite_check_stop, .report = sqlite_report,
};
