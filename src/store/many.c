#include "store/many.h"

#include <stdlib.h>

#include "base/json.h"

#define SQL_MAX (16 * 1024)
#define VALUES_MAX (32 * 1024 * 1024) /* of MANY_MOST values: as long as nobody makes them */

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

/* The values are one parameter, an object whose keys they are: json_each() is SQLite's and PostgreSQL's, and one text serves any
 * number of them. SQLite takes 7 us to prepare it, and 350 for a list of 256 parameters: it looks each up by name. */
void many_list(struct buf *sql, int *param) { buf_fmt(sql, "(SELECT key FROM json_each($%d))", ++*param); }

void many_list_numbers(struct buf *sql, int *param)
{
    buf_fmt(sql, "(SELECT CAST(key AS BIGINT) FROM json_each($%d))", ++*param);
}

static void bind_object(struct query *q, struct buf *b)
{
    buf_char(b, '}');
    if (buf_failed(b))
        bug("values of %zu bytes for a statement", b->n);
    query_text_copy(q, buf_str(b));
    buf_end(b);
}

void many_values(struct query *q, const struct str *values, size_t n)
{
    struct buf b;
    buf_init(&b, VALUES_MAX);
    buf_char(&b, '{');
    for (size_t i = 0, count = 0; i < n; i++) {
        if (!values[i].p)
            continue;
        struct json_out o = json_out(&b);
        buf_add(&b, count++ ? STR(",") : STR(""));
        json_put_str(&o, values[i]);
        buf_add(&b, STR(":0"));
    }
    bind_object(q, &b);
}

void many_numbers(struct query *q, const int64_t *values, size_t n)
{
    struct buf b;
    buf_init(&b, VALUES_MAX);
    buf_char(&b, '{');
    for (size_t i = 0; i < n; i++)
        buf_fmt(&b, i ? ",\"%lld\":0" : "\"%lld\":0", (long long)values[i]);
    bind_object(q, &b);
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
    many_list(&b, &others);
    buf_add(&b, str_sub(text, at + keys.n, text.n));
    buf_char(&b, 0);
    if (buf_failed(&b))
        bug("too long a statement: %s", sql);
    return query_begin(db, b.p);
}

void many_bind(struct query *q, const struct many *m) { many_values(q, m->keys, m->n); }

enum err many_texts(struct db *db, struct arena *a, const char *sql, const struct many *ids, struct str *texts, struct fault *why)
{
    struct query *q = many_begin(db, sql, 0, ids);
    many_bind(q, ids);
    for (size_t i = 0; i < ids->n; i++)
        texts[i] = STR_NONE;
    for (size_t i; query_next(q);)
        if (many_find(ids, query_get_text(q, 0, a), &i))
            texts[i] = query_get_text(q, 1, a);
    return query_end(q, why);
}
