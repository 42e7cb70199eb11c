#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/connection.h"
#include "store/store_limits.h"

struct query {
    struct list kept;       /* in db->kept, unless it is a second copy of one that runs */
    struct list running;    /* in db->running from begin to end */
    struct db *db;
    sqlite3_stmt *stmt;     /* NULL: preparing failed */
    char *sql;
    size_t sql_size;
    int *places;            /* $n -> SQLite's own index, which follows first appearance */
    int params, bound;
    bool is_kept, is_running, stepped, row, done;
    int code;               /* sticky; SQLite's extended code */
    char note[160];
};

static void query_free(struct query *q)
{
    list_remove(&q->kept);
    list_remove(&q->running);
    sqlite3_finalize(q->stmt);
    free(q->places);
    free(q->sql);
    free(q);
}

static void fail_query(struct query *q, int code, const char *doing)
{
    if (q->code)
        return;
    q->code = code;
    snprintf(q->note, sizeof q->note, "%s: %s", doing, sqlite3_errmsg(q->db->sqlite));
    /* A broken constraint undoes its statement and nothing else. After anything else SQLite may have rolled the
     * whole transaction back, and what came next would run outside of one. */
    if ((code & 0xff) != SQLITE_CONSTRAINT)
        connection_failed(q->db, code, doing);
}

/* SQLite numbers "$2" by where it first appears; we bind by the number that is written, as PostgreSQL does. */
static void map_params(struct query *q)
{
    q->params = sqlite3_bind_parameter_count(q->stmt);
    q->places = mem_zero(((size_t)q->params + 1) * sizeof *q->places);
    for (int n = 1; n <= q->params; n++) {
        char name[16];
        snprintf(name, sizeof name, "$%d", n);
        q->places[n] = sqlite3_bind_parameter_index(q->stmt, name);
        if (!q->places[n])
            bug("query without $%d: %s", n, q->sql);
    }
}

static struct query *query_prepare(struct db *db, struct str sql)
{
    struct query *q = mem_zero(sizeof *q);
    const char *tail = "";
    list_init(&q->kept);
    list_init(&q->running);
    q->db = db;
    q->sql = mem_cstr(sql);
    q->sql_size = sql.n;
    int rc = sqlite3_prepare_v3(db->sqlite, q->sql, (int)sql.n + 1, SQLITE_PREPARE_PERSISTENT, &q->stmt, &tail);
    if (rc) {
        fail_query(q, rc, "preparing");
        return q;
    }
    if (!q->stmt || str_trim(str_of(tail)).n)
        bug("a query is one statement: %s", q->sql);
    map_params(q);
    return q;
}

static void keep(struct db *db, struct query *q)
{
    list_push_front(&db->kept, &q->kept);
    q->is_kept = true;
    if (++db->kept_count <= STORE_STATEMENTS)
        return;
    for (struct list *node = db->kept.prev; node != &db->kept; node = node->prev) {
        struct query *oldest = list_entry(node, struct query, kept);
        if (!oldest->is_running && oldest != q) {
            query_free(oldest);
            db->kept_count--;
            return;
        }
    }
}

static struct query *query_find(struct db *db, struct str sql, bool *runs)
{
    list_each(node, &db->kept) {
        struct query *q = list_entry(node, struct query, kept);
        if (!str_eq(sql, (struct str){ q->sql, q->sql_size }))
            continue;
        if (q->is_running) {
            *runs = true;
            return NULL;
        }
        list_remove(&q->kept);
        list_push_front(&db->kept, &q->kept);
        return q;
    }
    return NULL;
}

struct query *query_begin(struct db *db, const char *text)
{
    struct str sql = str_of(text);
    bool copy_runs = false;
    struct query *q = query_find(db, sql, &copy_runs);
    if (!q) {
        q = query_prepare(db, sql);
        if (q->stmt && !copy_runs)
            keep(db, q);
    }
    q->is_running = true;
    list_push_front(&db->running, &q->running);
    if (db->in_transaction && db->failed && !q->code) {
        q->code = db->failed;
        snprintf(q->note, sizeof q->note, "not run after: %.120s", db->note);
    }
    return q;
}

/* The place of the next parameter, or 0 when nothing is to be bound. */
static int next_place(struct query *q)
{
    q->bound++;
    if (q->code)
        return 0;
    if (q->bound > q->params || q->stepped)
        bug("query takes %d parameters, all before its first row: %s", q->params, q->sql);
    return q->places[q->bound];
}

static void check_bind(struct query *q, int rc)
{
    if (rc)
        fail_query(q, rc, "binding");
}

void query_text(struct query *q, struct str s)
{
    int place = next_place(q);
    if (place && s.p)
        check_bind(q, sqlite3_bind_text64(q->stmt, place, s.p, s.n, SQLITE_STATIC, SQLITE_UTF8));
}

void query_blob(struct query *q, struct str s)
{
    int place = next_place(q);
    if (place && s.p)
        check_bind(q, sqlite3_bind_blob64(q->stmt, place, s.p, s.n, SQLITE_STATIC));
}

void query_i64(struct query *q, int64_t n)
{
    int place = next_place(q);
    if (place)
        check_bind(q, sqlite3_bind_int64(q->stmt, place, n));
}

void query_null(struct query *q) { next_place(q); }

bool query_next(struct query *q)
{
    q->row = false;
    if (q->code || q->done)
        return false;
    if (!q->stepped && q->bound != q->params)
        bug("query was given %d of %d parameters: %s", q->bound, q->params, q->sql);
    q->stepped = true;
    int rc = sqlite3_step(q->stmt);
    q->row = rc == SQLITE_ROW;
    q->done = !q->row;
    if (q->done && rc != SQLITE_DONE)
        fail_query(q, rc, "running");
    return q->row;
}

bool query_is_null(struct query *q, int column)
{
    return !q->row || sqlite3_column_type(q->stmt, column) == SQLITE_NULL;
}

struct str query_get_text(struct query *q, int column, struct arena *a)
{
    if (query_is_null(q, column))
        return STR_NONE;
    const char *p = (const char *)sqlite3_column_text(q->stmt, column);
    return p ? arena_str(a, (struct str){ p, (size_t)sqlite3_column_bytes(q->stmt, column) }) : STR_NONE;
}

struct str query_get_blob(struct query *q, int column, struct arena *a)
{
    if (query_is_null(q, column))
        return STR_NONE;
    /* SQLite answers NULL for a blob of no bytes; it is a value all the same. */
    const char *p = sqlite3_column_blob(q->stmt, column);
    return arena_str(a, (struct str){ p, p ? (size_t)sqlite3_column_bytes(q->stmt, column) : 0 });
}

int64_t query_get_i64(struct query *q, int column) { return q->row ? sqlite3_column_int64(q->stmt, column) : 0; }

/* Back to where it was before begin; nothing borrowed stays bound. */
static void query_rest(struct query *q)
{
    list_remove(&q->running);
    if (!q->is_kept) {
        query_free(q);
        return;
    }
    sqlite3_reset(q->stmt);
    sqlite3_clear_bindings(q->stmt);
    q->bound = 0;
    q->code = 0;
    q->is_running = q->stepped = q->row = q->done = false;
}

enum err query_end(struct query *q, struct fault *why)
{
    /* Rows of a SELECT that nobody asked for need no reading; a change is always carried to its end. */
    if (!q->stepped)
        query_next(q);
    while (q->row && !sqlite3_stmt_readonly(q->stmt))
        query_next(q);
    enum err e = q->code ? connection_code_fault(q->db->full ? SQLITE_FULL : q->code, q->note, why) : ERR_NONE;
    query_rest(q);
    return e;
}

int64_t db_changes(struct db *db) { return sqlite3_changes64(db->sqlite); }

enum err db_script(struct db *db, const char *statements, struct fault *why)
{
    int rc = db->in_transaction && db->failed ? db->failed : connection_exec(db, statements);
    if (!rc)
        return ERR_NONE;
    connection_failed(db, rc, "running a script");
    return connection_fault(db, why);
}

enum err db_snapshot(struct db *db, struct fault *why)
{
    /* The state is the one that the first query finds. */
    enum err e = db->in_transaction || db->snapshots ? ERR_NONE : query_end(query_begin(db, "BEGIN"), why);
    db->snapshots += !e;
    return e;
}

void db_snapshot_end(struct db *db)
{
    /* A disk error may have ended the transaction already. Nothing was changed, so that nothing can fail to be kept. */
    if (!--db->snapshots && !db->in_transaction && !sqlite3_get_autocommit(db->sqlite) &&
        query_end(query_begin(db, "COMMIT"), NULL))
        connection_exec(db, "ROLLBACK");
}

int connection_end_queries(struct db *db)
{
    int n = 0;
    list_each_safe(node, &db->running) {
        query_rest(list_entry(node, struct query, running));
        n++;
    }
    return n;
}

void connection_close(struct db *db)
{
    if (!db)
        return;
    connection_end_queries(db);
    list_each_safe(node, &db->kept)
        query_free(list_entry(node, struct query, kept));
    sqlite3_close(db->sqlite);
    free(db);
}

enum err query_number(struct db *db, const char *sql, int64_t *n, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    *n = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

bool db_is_postgres(const struct db *db)
{
    (void)db;
    return false;
}
