#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "store/postgres.h"

struct postgres_statement {
    struct statement st;      /* first */
    char name[24];            /* empty: planned for each of its values */
    const char *sql;
    const char **values;      /* one for each parameter; NULL is NULL */
    int *sizes, *formats;     /* 1: bytes as they are */
    struct arena *arena;      /* of the values, until rest() */
    PGresult *rows;           /* NULL: it did not run yet */
    int row;
};

static struct postgres_statement *of(const struct statement *st) { return (struct postgres_statement *)(uintptr_t)st; }

/* The highest $n. */
static int count_params(const char *sql)
{
    int most = 0;
    for (const char *p = sql; (p = strchr(p, '$')); p++) {
        int n = (int)strtol(p + 1, NULL, 10);
        most = n > most ? n : most;
    }
    return most;
}

static bool broken(struct db *db, const char *doing, struct failure *f)
{
    *f = (struct failure){ .code = ERR_STORE };
    snprintf(f->note, sizeof f->note, "postgres: %s: %.120s", doing, PQerrorMessage(postgres_of(db)->pg));
    return false;
}

static bool prepare_there(struct db *db, const char *name, const char *sql, struct failure *f)
{
    if (!PQsendPrepare(postgres_of(db)->pg, name, sql, 0, NULL))
        return broken(db, "preparing", f);
    PGresult *r = postgres_answer(db, "preparing", f);
    PQclear(r);
    return r;
}

/* A search, or the first rows of many: a plan for any value would read all that matches a common word, where the first page of it
 * lies near. Of the others one plan is as good as the next, and making it takes longer than what it does. */
static bool by_value(const char *sql)
{
    static const char *const signs[] = { "LIMIT $", "LIKE $", "@@ $" };
    for (size_t i = 0; i < COUNT(signs); i++)
        if (strstr(sql, signs[i]))
            return true;
    return false;
}

struct statement *postgres_prepare(struct db *db, const char *sql, struct failure *f)
{
    struct postgres_statement *s = mem_zero(sizeof *s);
    s->sql = sql;
    if (!by_value(sql))
        snprintf(s->name, sizeof s->name, "s%llu", (unsigned long long)++postgres_of(db)->names);
    if (*s->name && !prepare_there(db, s->name, sql, f)) {
        free(s);
        return NULL;
    }
    size_t n = (size_t)(s->st.params = count_params(sql));
    s->st.changes = strncmp(sql, "SELECT", 6) != 0;
    s->values = mem_zero((n + 1) * sizeof *s->values);
    s->sizes = mem_zero((n + 1) * sizeof *s->sizes);
    s->formats = mem_zero((n + 1) * sizeof *s->formats);
    s->arena = arena_new(1024);
    return &s->st;
}

void postgres_drop(struct db *db, struct statement *st)
{
    struct postgres_statement *s = of(st);
    PGconn *pg = postgres_of(db)->pg;
    char sql[sizeof s->name + 16];
    struct failure ignored;
    snprintf(sql, sizeof sql, "DEALLOCATE %s", s->name);
    /* Not in a transaction that failed, which takes no statement; it is forgotten with the connection then. */
    if (*s->name && PQstatus(pg) == CONNECTION_OK && PQtransactionStatus(pg) != PQTRANS_INERROR && PQsendQuery(pg, sql))
        PQclear(postgres_answer(db, "forgetting", &ignored));
    PQclear(s->rows);
    arena_free(s->arena);
    free(s->values);
    free(s->sizes);
    free(s->formats);
    free(s);
}

bool postgres_bind(struct db *db, struct statement *st, int n, struct str value, bool blob, struct failure *f)
{
    struct postgres_statement *s = of(st);
    (void)db;
    if (!value.p)
        return true;
    if (!blob && memchr(value.p, 0, value.n))
        return postgres_refuse("postgres: a text with a NUL in it", f);
    s->values[n - 1] = blob ? (value.n ? value.p : "") : arena_cstr(s->arena, value);
    s->sizes[n - 1] = (int)value.n;
    s->formats[n - 1] = blob;
    return true;
}

bool postgres_bind_number(struct db *db, struct statement *st, int n, int64_t value, struct failure *f)
{
    struct postgres_statement *s = of(st);
    (void)db;
    (void)f;
    s->values[n - 1] = str_fmt(s->arena, "%lld%c", (long long)value, 0).p;
    return true;
}

static bool send(PGconn *pg, const struct postgres_statement *s)
{
    const char *const *values = (const char *const *)s->values;
    return *s->name ? PQsendQueryPrepared(pg, s->name, s->st.params, values, s->sizes, s->formats, 0)
                    : PQsendQueryParams(pg, s->sql, s->st.params, NULL, values, s->sizes, s->formats, 0);
}

/* It runs with the first step, and all its rows come at once. */
static bool run(struct db *db, struct postgres_statement *s, struct failure *f)
{
    if (!send(postgres_of(db)->pg, s))
        return broken(db, "running", f);
    s->rows = postgres_answer(db, "running", f);
    if (!s->rows)
        return false;
    s->row = -1;
    if (s->st.changes)
        postgres_of(db)->changed = strtoll(PQcmdTuples(s->rows), NULL, 10);
    return true;
}

enum step postgres_step(struct db *db, struct statement *st, struct failure *f)
{
    struct postgres_statement *s = of(st);
    if (!s->rows && !run(db, s, f))
        return STEP_FAILED;
    return ++s->row < PQntuples(s->rows) ? STEP_ROW : STEP_DONE;
}

bool postgres_is_null(const struct statement *st, int column) { return PQgetisnull(of(st)->rows, of(st)->row, column); }

static struct str value_of(const struct statement *st, int column)
{
    const struct postgres_statement *s = of(st);
    return (struct str){ PQgetvalue(s->rows, s->row, column), (size_t)PQgetlength(s->rows, s->row, column) };
}

struct str postgres_text(struct statement *st, int column, struct arena *a) { return arena_str(a, value_of(st, column)); }

/* "\x" and hex digits: bytea_output's preset, which every server since 9.0 has. */
struct str postgres_blob(struct statement *st, int column, struct arena *a)
{
    struct str text = value_of(st, column), bytes;
    if (text.n < 2 || text.p[0] != '\\' || text.p[1] != 'x')
        return arena_str(a, text); /* a column of text */
    return hex_decode(a, str_sub(text, 2, text.n), &bytes) ? bytes : STR_NONE;
}

int64_t postgres_number(const struct statement *st, int column)
{
    struct str text = value_of(st, column);
    return str_is(text, "t") ? 1 : strtoll(text.p, NULL, 10);
}

void postgres_rest(struct db *db, struct statement *st)
{
    struct postgres_statement *s = of(st);
    (void)db;
    PQclear(s->rows);
    s->rows = NULL;
    arena_reset(s->arena);
    for (int i = 0; i < s->st.params; i++)
        s->values[i] = NULL;
}
