#include "store/tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

#define TABLES_MOST 128
#define COLUMNS_MOST 64
#define ROWS_AT_ONCE 64      /* of one statement, either way */
#define SQL_MAX (64 * 1024)

struct column {
    const char *name;
    bool number;
};

struct table {
    const char *name;
    struct column columns[COLUMNS_MOST];
    size_t column_count;
};

struct cell {
    bool null;
    int64_t number;
    struct str text;
};

struct copying {
    struct db *from, *to;
    struct arena *a;         /* of the tables' names */
    struct table *tables;
    size_t count;
    int64_t rows, done;
    store_progress *progress;
    void *context;
};

/* -- what there is -------------------------------------------------------------------------------------------- */

/* Not what the engines keep for themselves, or make from the rest: the search index, the tree's version, and which migrations have
 * run. */
static enum err list_tables(struct copying *c, struct db *sqlite, struct fault *why)
{
    struct query *q = query_begin(sqlite, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                                          " AND name NOT LIKE 'connection_search%' AND name <> 'connection_gram'"
                                          " AND name NOT IN ('schema_migration', 'folder_version') ORDER BY name");
    c->tables = arena_zero(c->a, TABLES_MOST * sizeof *c->tables);
    while (c->count < TABLES_MOST && query_next(q))
        c->tables[c->count++].name = arena_cstr(c->a, query_get_text(q, 0, c->a));
    if (query_next(q))
        bug("more than %d tables", TABLES_MOST);
    return query_end(q, why);
}

static enum err list_columns(struct copying *c, struct table *t, struct db *sqlite, struct fault *why)
{
    struct query *q = query_begin(sqlite, "SELECT name, type IN ('BIGINT', 'INTEGER') FROM pragma_table_info($1) ORDER BY cid");
    query_text(q, str_of(t->name));
    while (t->column_count < COLUMNS_MOST && query_next(q))
        t->columns[t->column_count++] =
            (struct column){ arena_cstr(c->a, query_get_text(q, 0, c->a)), query_get_i64(q, 1) != 0 };
    if (query_next(q))
        bug("%s has more than %d columns", t->name, COLUMNS_MOST);
    return query_end(q, why);
}

static enum err count_rows(struct copying *c, struct fault *why)
{
    for (size_t i = 0; i < c->count; i++) {
        char sql[96];
        int64_t n;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", c->tables[i].name);
        enum err e = query_number(c->from, sql, &n, why);
        if (e)
            return e;
        c->rows += n;
    }
    return ERR_NONE;
}

/* -- writing -------------------------------------------------------------------------------------------------- */

static void add_names(struct buf *sql, const struct table *t)
{
    for (size_t i = 0; i < t->column_count; i++)
        buf_fmt(sql, i ? ", %s" : "%s", t->columns[i].name);
}

/* OVERRIDING: numbers that the engine gives otherwise stay what they are. */
static const char *insert_text(struct buf *sql, const struct table *t, size_t rows, bool postgres)
{
    int param = 0;
    buf_clear(sql);
    buf_fmt(sql, "INSERT INTO %s (", t->name);
    add_names(sql, t);
    buf_add(sql, postgres ? STR(") OVERRIDING SYSTEM VALUE VALUES ") : STR(") VALUES "));
    for (size_t r = 0; r < rows; r++) {
        buf_add(sql, r ? STR(", (") : STR("("));
        for (size_t i = 0; i < t->column_count; i++)
            buf_fmt(sql, i ? ", $%d" : "$%d", ++param);
        buf_char(sql, ')');
    }
    buf_char(sql, 0);
    if (buf_failed(sql))
        bug("a statement for %zu rows of %s is too long", rows, t->name);
    return sql->p;
}

static void bind_cell(struct query *q, const struct column *column, const struct cell *cell)
{
    if (cell->null)
        query_null(q);
    else if (column->number)
        query_i64(q, cell->number);
    else
        query_text(q, cell->text);
}

static enum err insert(struct copying *c, const struct table *t, const struct cell *cells, size_t rows, struct fault *why)
{
    AUTO_BUF sql;
    buf_init(&sql, SQL_MAX);
    struct query *q = query_begin(c->to, insert_text(&sql, t, rows, db_is_postgres(c->to)));
    for (size_t i = 0; i < rows * t->column_count; i++)
        bind_cell(q, &t->columns[i % t->column_count], &cells[i]);
    return query_end(q, why);
}

/* A full batch is one statement; the rest of a table goes row by row, so that there are two texts for each table. */
static enum err put(struct copying *c, const struct table *t, const struct cell *cells, size_t rows, struct fault *why)
{
    enum err e = ERR_NONE;
    if (rows == ROWS_AT_ONCE)
        e = insert(c, t, cells, rows, why);
    for (size_t r = 0; !e && rows < ROWS_AT_ONCE && r < rows; r++)
        e = insert(c, t, cells + r * t->column_count, 1, why);
    c->done += (int64_t)rows;
    if (!e && c->progress)
        c->progress(c->context, c->done, 2 * c->rows); /* the other half is the caller's */
    return e;
}

/* -- reading -------------------------------------------------------------------------------------------------- */

static void take_row(struct query *q, const struct table *t, struct cell *cells, struct arena *a)
{
    for (size_t i = 0; i < t->column_count; i++) {
        int column = (int)i;
        cells[i].null = query_is_null(q, column);
        if (t->columns[i].number)
            cells[i].number = query_get_i64(q, column);
        else
            cells[i].text = query_get_text(q, column, a);
    }
}

/* PostgreSQL sends all rows of a statement at once: there a cursor gives some at a time. */
static enum err begin_reading(struct copying *c, const struct table *t, char *sql, size_t size, struct fault *why)
{
    AUTO_BUF select;
    buf_init(&select, SQL_MAX);
    if (db_is_postgres(c->from))
        buf_fmt(&select, "DECLARE all_%s NO SCROLL CURSOR FOR ", t->name);
    buf_add(&select, STR("SELECT "));
    add_names(&select, t);
    buf_fmt(&select, " FROM %s%c", t->name, 0);
    if (!db_is_postgres(c->from)) {
        str_copy(sql, size, str_of(select.p));
        return ERR_NONE;
    }
    snprintf(sql, size, "FETCH %d FROM all_%s", ROWS_AT_ONCE, t->name);
    return connection_run(c->from, select.p) ? ERR_NONE : failure_fault(&c->from->failed, why);
}

/* What one statement reads, in batches. *rows: of the statement. */
static enum err copy_read(struct copying *c, const struct table *t, const char *sql, int64_t *rows, struct fault *why)
{
    AUTO_ARENA a = arena_new(256 * 1024);
    struct cell *cells = mem_zero(ROWS_AT_ONCE * t->column_count * sizeof *cells);
    struct query *q = query_begin(c->from, sql);
    enum err e = ERR_NONE;
    size_t n = 0;
    *rows = 0;
    while (!e && query_next(q)) {
        take_row(q, t, cells + n * t->column_count, a);
        ++*rows;
        if (++n < ROWS_AT_ONCE)
            continue;
        e = put(c, t, cells, n, why);
        arena_reset(a);
        n = 0;
    }
    enum err ended = query_end(q, e ? NULL : why);
    e = e ? e : ended;
    if (!e && n)
        e = put(c, t, cells, n, why);
    free(cells);
    return e;
}

static enum err copy_table(struct copying *c, const struct table *t, struct fault *why)
{
    char sql[2048];
    int64_t rows;
    enum err e = begin_reading(c, t, sql, sizeof sql, why);
    do
        e = e ? e : copy_read(c, t, sql, &rows, why);
    while (!e && db_is_postgres(c->from) && rows);
    return e;
}

/* -- the whole ------------------------------------------------------------------------------------------------ */

/* What each engine makes from the rest. */
static enum err finish(struct copying *c, struct fault *why)
{
    static const char postgres[] =
        "INSERT INTO connection_search (rowid, grams) SELECT number, connection_grams(number, search) FROM connection"
        " ORDER BY number;"
        "SELECT setval(pg_get_serial_sequence('run_block', 'id'), COALESCE((SELECT max(id) FROM run_block), 1))";
    static const char sqlite[] = "INSERT INTO connection_search (connection_search) VALUES ('rebuild')";
    return db_script(c->to, db_is_postgres(c->to) ? postgres : sqlite, why);
}

enum err tables_copy(struct db *from, struct db *to, store_progress *progress, void *context, struct fault *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct copying c = { .from = from, .to = to, .a = a, .progress = progress, .context = context };
    struct db *sqlite = db_is_postgres(from) ? to : from;
    enum err e = list_tables(&c, sqlite, why);
    for (size_t i = 0; !e && i < c.count; i++)
        e = list_columns(&c, &c.tables[i], sqlite, why);
    if (e || (e = count_rows(&c, why)))
        return e;
    for (size_t i = 0; !e && i < c.count; i++)
        e = copy_table(&c, &c.tables[i], why);
    return e ? e : finish(&c, why);
}
