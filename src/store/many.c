#include "store/many.h"

#include <stdlib.h>

#define SQL_MAX (128 * 1024)

static int by_text(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

struct many many_of(struct arena *a, const struct str *keys, size_t n)
{
    struct str *sorted = arena_array(a, n + 1, sizeof *sorted);
    size_t given = 0, kept = 0;
    for (size_t i = 0; i < n; i++)
        if (keys[i].p)
            sorted[given++] = keys[i];
    qsort(sorted, given, sizeof *sorted, by_text);
    for (size_t i = 0; i < given; i++)
        if (!kept || !str_eq(sorted[i], sorted[kept - 1]))
            sorted[kept++] = sorted[i];
    return (struct many){ sorted, kept };
}

struct many many_one(const struct str *key) { return (struct many){ key, 1 }; }

bool many_find(const struct many *m, struct str key, size_t *place)
{
    const struct str *found = m->n ? bsearch(&key, m->keys, m->n, sizeof key, by_text) : NULL;
    if (found)
        *place = (size_t)(found - m->keys);
    return found;
}

/* How many parameters stand for `n` values: a power of two, the last one repeated. */
static size_t rounded(size_t n)
{
    size_t params = 1;
    while (params < n)
        params *= 2;
    return params;
}

void many_list(struct buf *sql, size_t n, int *param)
{
    buf_char(sql, '(');
    for (size_t i = 0; i < rounded(n); i++)
        buf_fmt(sql, i ? ", $%d" : "$%d", ++*param);
    buf_char(sql, ')');
}

void many_values(struct query *q, const struct str *values, size_t n)
{
    for (size_t i = 0; i < rounded(n); i++)
        query_text(q, n ? values[i < n ? i : n - 1] : STR_NONE);
}

void many_numbers(struct query *q, const int64_t *values, size_t n)
{
    for (size_t i = 0; i < rounded(n); i++)
        query_i64(q, values[i < n ? i : n - 1]);
}

struct query *many_begin(struct db *db, const char *sql, int others, const struct many *m)
{
    const struct str keys = STR("$keys");
    struct str text = str_of(sql);
    size_t at = str_find_str(text, keys);
    if (at == SIZE_MAX || m->n > MANY_MOST)
        bug("%zu keys for: %s", m->n, sql);
    AUTO_BUF b;
    buf_init(&b, SQL_MAX);
    buf_add(&b, str_sub(text, 0, at));
    many_list(&b, m->n, &others);
    buf_add(&b, str_sub(text, at + keys.n, text.n));
    buf_char(&b, 0);
    if (buf_failed(&b))
        bug("a statement for %zu keys is too long: %s", m->n, sql);
    return query_begin(db, b.p);
}

void many_bind(struct query *q, const struct many *m) { many_values(q, m->keys, m->n); }
