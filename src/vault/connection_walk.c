#include "vault/connection_walk.h"

#include <stdlib.h>

#include "store/many.h"

#define BATCH_FIRST 512      /* rows of a walk that are asked for at once; then more, */
#define BATCH_GROWS 4
#define BATCH_MOST 8192      /* up to these */

/* ---- the statement ---- */

static const char *from(enum lead lead)
{
    switch (lead) {
    case LEAD_SEARCH: return "connection_search s CROSS JOIN connection c WHERE c.number = s.rowid AND";
    case LEAD_TAG: return "connection_tag t CROSS JOIN connection c WHERE c.number = t.number AND";
    default: return "connection c WHERE";
    }
}

static const char *number(enum lead lead)
{
    return lead == LEAD_SEARCH ? "s.rowid" : lead == LEAD_TAG ? "t.number" : "c.number";
}

/* Led by a search or a tag, a column's own index would only be in the way: an expression has none. */
static void add_equal(struct buf *sql, const char *column, enum lead lead, int *param)
{
    buf_fmt(sql, lead == LEAD_ROWS ? " AND c.%s = $%d" : " AND c.%s || '' = $%d", column, ++*param);
}

void walk_filters_sql(struct buf *sql, const struct walk *w, enum lead lead, int *param)
{
    const struct connection_filter *f = w->f;
    buf_add(sql, f->deleted ? STR(" AND c.deleted_ms > 0") : STR(" AND c.deleted_ms = 0"));
    if (f->by_default)
        buf_fmt(sql, " AND c.is_default%s = %d", lead == LEAD_ROWS ? "" : " + 0", f->is_default);
    if (f->connector.p)
        add_equal(sql, "connector", lead, param);
    if (f->by_state || w->cell)
        add_equal(sql, "state", lead, param);
    if (f->by_health || w->cell)
        add_equal(sql, "health", lead, param);
    if (f->tag.p && lead == LEAD_TAG)
        buf_fmt(sql, " AND t.tag = $%d", ++*param);
    else if (f->tag.p)
        buf_fmt(sql, " AND EXISTS (SELECT 1 FROM connection_tag t WHERE t.tag = $%d AND t.number = c.number)", ++*param);
    if (f->search.n && lead == LEAD_SEARCH)
        connection_words_sql(sql, w->db, &w->words, param);
}

void walk_filters_bind(struct query *q, const struct walk *w, enum lead lead)
{
    const struct connection_filter *f = w->f;
    if (f->connector.p)
        query_text(q, f->connector);
    if (f->by_state || w->cell)
        query_text(q, w->cell ? w->cell->state : str_of(connection_state_name(f->state)));
    if (f->by_health || w->cell)
        query_text(q, w->cell ? w->cell->health : str_of(connection_health_name(f->health)));
    if (f->tag.p)
        query_text(q, f->tag);
    if (f->search.n && lead == LEAD_SEARCH)
        connection_words_bind(q, &w->words);
}

enum err walk_too_long(struct fault *why) { return fault(why, ERR_INTERNAL, STR(""), "the query is too long"); }

void walk_merge(struct walk *w, size_t n)
{
    int64_t *mine = w->found + w->limit, *merged = w->found + 2 * w->limit;
    size_t i = 0, j = 0, count = 0;
    while (count < w->limit && (i < w->count || j < n)) {
        bool left = j == n || (i < w->count && w->found[i] <= mine[j]);
        if (left && j < n && w->found[i] == mine[j]) /* shared singly, and in a folder that is seen */
            j++;
        merged[count++] = left ? w->found[i++] : mine[j++];
    }
    memcpy(w->found, merged, count * sizeof *merged);
    w->count = count;
    if (count == w->limit)
        w->below = w->found[count - 1]; /* nobody needs more than that from the other places */
}

/* ---- rows ---- */

static bool is_number(const struct numbers *s, int64_t number)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->at[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n && s->at[low] == number;
}

enum err walk_read_shared(struct walk *w, struct fault *why)
{
    const struct many ids = many_of(w->a, w->f->scope.connections, w->f->scope.connection_count);
    w->shared.at = arena_array(w->a, ids.n + 1, sizeof *w->shared.at);
    if (!ids.n)
        return ERR_NONE;
    struct query *q = many_begin(w->db, "SELECT number FROM connection WHERE id IN $keys ORDER BY number", 0, &ids);
    many_bind(q, &ids);
    while (w->shared.n < ids.n && query_next(q))
        w->shared.at[w->shared.n++] = query_get_i64(q, 0);
    return query_end(q, why);
}

/* The trigrams find candidates; the text itself decides. The indexes that lead by cells, defaults and deleted ones hold it. Else it
 * lies in the row, which nobody reads before it is known to be seen. PostgreSQL looks by itself: what it sends is what costs. */
enum text { TEXT_NOT_ASKED, TEXT_IN_INDEX, TEXT_IN_ROW, TEXT_BY_SQL };

static enum text text_of(const struct walk *w, enum lead lead)
{
    if (!w->f->search.n || (lead == LEAD_SEARCH && w->words.exact))
        return TEXT_NOT_ASKED;
    if (db_is_postgres(w->db))
        return TEXT_BY_SQL;
    return lead == LEAD_ROWS && (w->cell || walk_is_kind(w->f)) ? TEXT_IN_INDEX : TEXT_IN_ROW;
}

/* One walk: its statement, and what a batch of rows left of itself. */
struct scan {
    enum lead lead;
    enum text text;
    struct buf sql;
    struct arena *row;
    int64_t after;
    size_t batch;            /* rows that are asked for at once */
    bool more;
    struct numbers seen;     /* of a batch */
    size_t looked;           /* rows that are looked at at once; more where few of them have the text */
};

static enum err scan_statement(struct scan *s, const struct walk *w, struct fault *why)
{
    int param = 2;
    const char *n = number(s->lead);
    buf_fmt(&s->sql, "SELECT %s, c.folder_id, %s FROM %s %s > $1 AND %s < $2", n,
            s->text == TEXT_IN_INDEX ? "c.search" : "NULL", from(s->lead), n, n);
    /* It does not conclude that from c.number = t.number, and merges both from their beginning. */
    if (s->lead != LEAD_ROWS && db_is_postgres(w->db))
        buf_add(&s->sql, STR(" AND c.number > $1 AND c.number < $2"));
    walk_filters_sql(&s->sql, w, s->lead, &param);
    if (s->text == TEXT_BY_SQL)
        buf_fmt(&s->sql, " AND c.search LIKE $%d ESCAPE '\\'", ++param);
    buf_fmt(&s->sql, " ORDER BY %s LIMIT $%d%c", n, ++param, 0);
    return buf_failed(&s->sql) ? walk_too_long(why) : ERR_NONE;
}

static bool is_wanted(const struct scan *s, const struct walk *w, struct query *q, int64_t number)
{
    bool seen = folder_sight_holds(w->sight, query_get_text(q, 1, s->row)) || is_number(&w->shared, number);
    return seen && (s->text != TEXT_IN_INDEX || str_find_str(query_get_text(q, 2, s->row), w->words.text) != SIZE_MAX);
}

/* Stops at `enough`. */
static enum err read_batch(struct scan *s, struct walk *w, size_t enough, struct fault *why)
{
    size_t read = 0;
    struct query *q = query_begin(w->db, s->sql.p);
    query_i64(q, s->after);
    query_i64(q, w->below);
    walk_filters_bind(q, w, s->lead);
    if (s->text == TEXT_BY_SQL)
        query_text(q, w->words.like);
    query_i64(q, (int64_t)s->batch);
    s->seen.n = 0;
    while (read < s->batch && s->seen.n < enough && query_next(q)) {
        s->after = query_get_i64(q, 0);
        if (is_wanted(s, w, q, s->after))
            s->seen.at[s->seen.n++] = s->after;
        arena_reset(s->row);
        read++;
    }
    s->more = read == s->batch || s->seen.n == enough;
    return query_end(q, why);
}

/* Keeps those whose text has what is searched, `enough` at most. */
static enum err look_at(struct scan *s, struct walk *w, size_t enough, struct fault *why)
{
    AUTO_BUF sql;
    int param = 0;
    buf_init(&sql, WALK_SQL_MAX);
    buf_add(&sql, STR("SELECT number FROM connection WHERE number > 0 AND number IN "));
    many_list_numbers(&sql, &param);
    buf_fmt(&sql, " AND search LIKE $%d ESCAPE '\\' ORDER BY number LIMIT $%d%c", param + 1, param + 2, 0);
    if (buf_failed(&sql))
        return walk_too_long(why);
    struct query *q = query_begin(w->db, sql.p);
    many_numbers(q, s->seen.at, s->seen.n);
    query_text(q, w->words.like);
    query_i64(q, (int64_t)enough);
    s->seen.n = 0;
    while (query_next(q))
        s->seen.at[s->seen.n++] = query_get_i64(q, 0);
    return query_end(q, why);
}

static enum err look_at_batch(struct scan *s, struct walk *w, size_t enough, struct fault *why)
{
    size_t seen = s->seen.n;
    if (s->text != TEXT_IN_ROW || !seen)
        return ERR_NONE;
    enum err e = look_at(s, w, enough, why);
    if (s->seen.n * 2 < seen)
        s->looked = seen * BATCH_GROWS < BATCH_MOST ? seen * BATCH_GROWS : BATCH_MOST;
    return e;
}

static enum err scan_rows(struct scan *s, struct walk *w, struct fault *why)
{
    int64_t *mine = w->found + w->limit;
    size_t n = 0;
    enum err e = scan_statement(s, w, why);
    while (!e && s->more && n < w->limit) {
        size_t enough = w->limit - n;
        if ((e = read_batch(s, w, enough > s->looked ? enough : s->looked, why)) || (e = look_at_batch(s, w, enough, why)))
            return e;
        memcpy(mine + n, s->seen.at, s->seen.n * sizeof *mine);
        n += s->seen.n;
        s->batch = s->batch * BATCH_GROWS < BATCH_MOST ? s->batch * BATCH_GROWS : BATCH_MOST;
    }
    if (!e && n)
        walk_merge(w, n);
    return e;
}

/* Where all rows of an answer come at once, no more than are thought to be needed. */
static size_t first_batch(const struct walk *w)
{
    double wanted = w->seen > 0 ? (double)w->limit / w->seen * WALK_SPARE : BATCH_FIRST;
    return wanted > BATCH_MOST ? BATCH_MOST : wanted > (double)w->limit ? (size_t)wanted : w->limit;
}

enum err walk_rows(struct walk *w, enum lead lead, struct fault *why)
{
    struct scan s = { .lead = lead, .text = text_of(w, lead), .row = arena_new(1024), .after = w->after, .more = true };
    s.batch = first_batch(w);
    s.seen.at = mem_grow(NULL, BATCH_MOST * sizeof *s.seen.at);
    buf_init(&s.sql, WALK_SQL_MAX);
    enum err e = scan_rows(&s, w, why);
    buf_end(&s.sql);
    free(s.seen.at);
    arena_free(s.row);
    return e;
}

/* ---- cells ---- */

bool walk_is_kind(const struct connection_filter *f) { return f->deleted || (f->by_default && f->is_default); }

/* The usual one first: what it finds ends the others' look. */
static int by_use(const void *x, const void *y)
{
    const struct cell *a = x, *b = y;
    bool first = str_is(a->state, "active") && str_is(a->health, "ok");
    bool second = str_is(b->state, "active") && str_is(b->health, "ok");
    return second - first;
}

static enum err cells_statement(struct buf *sql, const struct walk *w, struct fault *why)
{
    int param = 0;
    buf_add(sql, STR("SELECT states.key, healths.key FROM "));
    many_list(sql, &param);
    buf_add(sql, STR(" AS states CROSS JOIN "));
    many_list(sql, &param);
    /* Not EXISTS, for which PostgreSQL would join with all rows. */
    buf_add(sql, STR(" AS healths WHERE (SELECT 1 FROM connection WHERE deleted_ms = 0 AND state = states.key"
                     " AND health = healths.key"));
    if (w->f->connector.p)
        buf_fmt(sql, " AND connector = $%d", ++param);
    buf_fmt(sql, " LIMIT 1) = 1%c", 0);
    return buf_failed(sql) ? walk_too_long(why) : ERR_NONE;
}

/* A look into the index for each that there might be. */
enum err walk_read_cells(struct walk *w, struct fault *why)
{
    const struct connection_filter *f = w->f;
    struct str states[CONNECTION_DELETED + 1] = { 0 }, healths[HEALTH_RECONNECT_REQUIRED + 1] = { 0 };
    AUTO_BUF sql;
    buf_init(&sql, WALK_SQL_MAX);
    enum err e = cells_statement(&sql, w, why);
    if (e)
        return e;
    for (size_t i = 0; i < COUNT(states); i++)
        if (!f->by_state || f->state == i)
            states[i] = str_of(connection_state_name(i));
    for (size_t i = 0; i < COUNT(healths); i++)
        if (!f->by_health || f->health == i)
            healths[i] = str_of(connection_health_name(i));
    w->cells = arena_array(w->a, COUNT(states) * COUNT(healths), sizeof *w->cells);
    struct query *q = query_begin(w->db, sql.p);
    many_values(q, states, COUNT(states));
    many_values(q, healths, COUNT(healths));
    if (f->connector.p)
        query_text(q, f->connector);
    while (query_next(q))
        w->cells[w->cell_count++] = (struct cell){ query_get_text(q, 0, w->a), query_get_text(q, 1, w->a) };
    e = query_end(q, why);
    qsort(w->cells, w->cell_count, sizeof *w->cells, by_use);
    return e;
}

enum err walk_cells(struct walk *w, struct fault *why)
{
    enum err e = ERR_NONE;
    for (w->cell = w->cells; !e && w->cell < w->cells + w->cell_count; w->cell++)
        e = walk_rows(w, LEAD_ROWS, why);
    w->cell = NULL;
    return e;
}
