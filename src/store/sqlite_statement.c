#include <stdio.h>
#include <stdlib.h>

#include "store/sqlite.h"

struct sqlite_statement {
    struct statement st;    /* first */
    sqlite3_stmt *stmt;
    int *places;            /* $n -> SQLite's own index, which follows first appearance */
};

static struct sqlite_statement *of(const struct statement *st) { return (struct sqlite_statement *)(uintptr_t)st; }

/* SQLite numbers "$2" by where it first appears; we bind by the number that is written, as PostgreSQL does. */
static void map_params(struct sqlite_statement *s, const char *sql)
{
    s->st.params = sqlite3_bind_parameter_count(s->stmt);
    s->places = mem_zero(((size_t)s->st.params + 1) * sizeof *s->places);
    for (int n = 1; n <= s->st.params; n++) {
        char name[16];
        snprintf(name, sizeof name, "$%d", n);
        s->places[n] = sqlite3_bind_parameter_index(s->stmt, name);
        if (!s->places[n])
            bug("query without $%d: %s", n, sql);
    }
}

struct statement *sqlite_prepare(struct db *db, const char *sql, struct failure *f)
{
    struct sqlite_statement *s = mem_zero(sizeof *s);
    const char *tail = "";
    int rc = sqlite3_prepare_v3(sqlite_of(db)->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, &tail);
    if (rc) {
        sqlite_failure(db, rc, "preparing", f);
        free(s);
        return NULL;
    }
    if (!s->stmt || str_trim(str_of(tail)).n)
        bug("a query is one statement: %s", sql);
    map_params(s, sql);
    s->st.changes = !sqlite3_stmt_readonly(s->stmt);
    return &s->st;
}

void sqlite_drop(struct db *db, struct statement *st)
{
    (void)db;
    sqlite3_finalize(of(st)->stmt);
    free(of(st)->places);
    free(of(st));
}

bool sqlite_bind(struct db *db, struct statement *st, int n, struct str value, bool blob, struct failure *f)
{
    int place = of(st)->places[n];
    if (!value.p)
        return true; /* nothing is bound: NULL */
    int rc = blob ? sqlite3_bind_blob64(of(st)->stmt, place, value.p, value.n, SQLITE_STATIC)
                  : sqlite3_bind_text64(of(st)->stmt, place, value.p, value.n, SQLITE_STATIC, SQLITE_UTF8);
    return !rc || sqlite_failure(db, rc, "binding", f);
}

bool sqlite_bind_number(struct db *db, struct statement *st, int n, int64_t value, struct failure *f)
{
    int rc = sqlite3_bind_int64(of(st)->stmt, of(st)->places[n], value);
    return !rc || sqlite_failure(db, rc, "binding", f);
}

enum step sqlite_step(struct db *db, struct statement *st, struct failure *f)
{
    int rc = sqlite3_step(of(st)->stmt);
    if (rc == SQLITE_ROW)
        return STEP_ROW;
    return rc == SQLITE_DONE || sqlite_failure(db, rc, "running", f) ? STEP_DONE : STEP_FAILED;
}

bool sqlite_is_null(const struct statement *st, int column) { return sqlite3_column_type(of(st)->stmt, column) == SQLITE_NULL; }

struct str sqlite_text(struct statement *st, int column, struct arena *a)
{
    const char *p = (const char *)sqlite3_column_text(of(st)->stmt, column);
    return p ? arena_str(a, (struct str){ p, (size_t)sqlite3_column_bytes(of(st)->stmt, column) }) : STR_NONE;
}

struct str sqlite_blob(struct statement *st, int column, struct arena *a)
{
    /* SQLite answers NULL for a blob of no bytes; it is a value all the same. */
    const char *p = sqlite3_column_blob(of(st)->stmt, column);
    return arena_str(a, (struct str){ p, p ? (size_t)sqlite3_column_bytes(of(st)->stmt, column) : 0 });
}

int64_t sqlite_number(const struct statement *st, int column) { return sqlite3_column_int64(of(st)->stmt, column); }

void sqlite_rest(struct db *db, struct statement *st)
{
    (void)db;
    sqlite3_reset(of(st)->stmt);
    sqlite3_clear_bindings(of(st)->stmt);
}
