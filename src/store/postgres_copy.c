/* A whole database out of PostgreSQL into a file of SQLite, and back: store/db.h. */
#include <stdio.h>

#include "base/buf.h"
#include "store/migrations.h"
#include "store/postgres.h"
#include "store/store_limits.h"
#include "store/tables.h"

#define SQL_MAX (64 * 1024)

/* -- out ------------------------------------------------------------------------------------------------------ */

struct out {
    struct db *from;
    store_progress *progress;
    void *context;
};

static enum err fill(struct db *to, void *context, struct fault *why)
{
    struct out *o = context;
    return tables_copy(o->from, to, o->progress, o->context, why);
}

/* The file is for its reader alone: nothing is synced, no reference is followed, and its log is folded in at the end. */
static enum err fill_file(struct out *o, struct db *to, struct fault *why)
{
    size_t count;
    const struct migration *rows = migrations_all(&count);
    enum err e = migrations_run_on(to, rows, count, why);
    if (e || (e = db_script(to, "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF", why)) ||
        (e = connection_transaction(to, 0, fill, o, why)))
        return e;
    return db_script(to, "PRAGMA journal_mode = DELETE", why);
}

enum err postgres_copy(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why)
{
    struct place file = { .engine = &sqlite_engine, .at = (char *)(uintptr_t)to };
    struct out o = { db, progress, context };
    struct failure f;
    struct db *target;
    if (!connection_open(&file, CONNECTION_WRITES, &target, &f))
        return failure_fault(&f, why);
    enum err e = connection_patient(db, why);
    if (!e)
        e = fill_file(&o, target, why);
    db->patient = false;
    connection_close(target);
    return e;
}

/* -- in ------------------------------------------------------------------------------------------------------- */

struct in {
    struct db *from;
    bool replace;
    store_progress *progress;
    void *context;
};

/* One statement for each row that `sql` answers: its text. */
static enum err run_each(struct db *db, const char *sql, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_BUF all;
    buf_init(&all, SQL_MAX);
    struct query *q = query_begin(db, sql);
    while (query_next(q)) {
        buf_add(&all, query_get_text(q, 0, a));
        buf_char(&all, ';');
    }
    buf_char(&all, 0);
    enum err e = query_end(q, why);
    if (!e && buf_failed(&all))
        bug("too many tables for one script");
    return e ? e : db_script(db, all.p, why);
}

static enum err check_free(struct db *db, bool replace, struct fault *why)
{
    int64_t free, used;
    enum err e = query_number(db, "SELECT pg_try_advisory_xact_lock(" STORE_NODES ")", &free, why);
    if (!e && !free)
        return fault(why, ERR_CONFLICT, STR("nodes run on this database; stop them first"), "they hold their lock");
    if (e || (e = query_number(db, "SELECT count(*) FROM (SELECT 1 FROM wrapping_key LIMIT 1) AS one", &used, why)))
        return e;
    return used && !replace ? fault(why, ERR_CONFLICT, STR("a hub's data in this database; --force replaces it"), "keys are there")
                            : ERR_NONE;
}

#define TABLES                                                                                                                     \
    " FROM pg_class t WHERE t.relkind = 'r' AND t.relnamespace = current_schema()::regnamespace AND t.relname <> "                 \
    "'schema_migration'"
#define REFERENCES \
    " FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace"

/* No trigger is to refuse or announce what comes, and references may come before what they refer to. */
static enum err make_ready(struct db *db, struct fault *why)
{
    enum err e = run_each(db, "SELECT format('ALTER TABLE %I DISABLE TRIGGER USER', t.relname)" TABLES, why);
    if (e || (e = run_each(db, "SELECT 'TRUNCATE ' || string_agg(quote_ident(t.relname), ', ')" TABLES, why)) ||
        (e = run_each(db,
                      "SELECT format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE', k.conrelid::regclass, k.conname)" REFERENCES,
                      why)))
        return e;
    return db_script(db, "SET CONSTRAINTS ALL DEFERRED", why);
}

static enum err make_good(struct db *db, struct fault *why)
{
    enum err e = db_script(db, "SET CONSTRAINTS ALL IMMEDIATE", why);
    if (e || (e = run_each(db, "SELECT format('ALTER TABLE %s ALTER CONSTRAINT %I NOT DEFERRABLE', k.conrelid::regclass, k.conname)"
                               REFERENCES, why)) ||
        (e = run_each(db, "SELECT format('ALTER TABLE %I ENABLE TRIGGER USER', t.relname)" TABLES, why)))
        return e;
    return db_script(db, "NOTIFY raccord, '*'", why);
}

static enum err take_in(struct db *db, void *context, struct fault *why)
{
    struct in *i = context;
    enum err e = connection_patient(db, why);
    if (e || (e = check_free(db, i->replace, why)) || (e = make_ready(db, why)) ||
        (e = tables_copy(i->from, db, i->progress, i->context, why)))
        return e;
    return make_good(db, why);
}

enum err store_load(struct store *s, struct store *from, bool replace, store_progress *progress, void *context, struct fault *why)
{
    struct in i = { .from = store_reader(from, why), .replace = replace, .progress = progress, .context = context };
    enum err e = i.from ? db_snapshot(i.from, why) : ERR_STORE;
    if (e)
        return e;
    e = store_write(s, take_in, &i, why);
    db_snapshot_end(i.from);
    return e;
}
