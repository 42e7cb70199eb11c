/* The list half of vault/connection.h: a page among a million rows costs as much as one among ten.
 *
 * Rows are listed by number, which counts them as they were made. The page is found by numbers first, in indexes alone, and its
 * rows are read afterwards. Which index leads depends on how much the caller sees:
 *
 *   few folders    each is asked for its first rows after the cursor, by its own indexes of (folder, filter, number), and the pages
 *                  are merged: a look per folder, whatever else there is
 *   many folders   the rows are walked in order, each held against the scope in memory: who sees much finds a page soon
 *
 * Connector, state and health lead the walk together, by cells: all rows of one connector, state and health lie beside each other
 * in an index, by number. A filter that says nothing of one of them asks each of its values that there are, and merges. So a
 * pair that no row has is seen at once, where an index of one column would be walked to its end.
 *
 * A search is led by the trigrams of key and name (connection_words.h), a tag by its index. Of several, that leads which fewest
 * rows have, as the first of each behind the cursor show. Where the few folders hold few rows, these are read instead: a word that
 * half of all rows have would lead past many of other people's. A search that few rows match is not worth asking where.
 */
#include "vault/connection.h"

#include <stdlib.h>

#include "base/buf.h"
#include "store/folder_scope.h"
#include "store/many.h"
#include "vault/connection_rules.h"
#include "vault/connection_words.h"

#define LIST_MAX 1000
#define SQL_MAX (64 * 1024)
#define FOLDERS_ASKED 400    /* more of them: the walk */
#define ROWS_READ 10000      /* of those folders, when a search, a tag or a pair of filters has no index by folder */
#define BATCH_FIRST 512      /* rows of a walk that are asked for at once; then more, */
#define BATCH_GROWS 4
#define BATCH_MOST 8192      /* up to these */
#define PLACE_COST 2.0       /* of a place of a word on PostgreSQL, against a row that is walked past */
#define EVERY 2.0            /* more than all rows */
#define CELLS 64             /* states times healths, and some more */

enum lead { LEAD_ROWS, LEAD_SEARCH, LEAD_TAG };
enum place { PLACE_FOLDER, PLACE_ROW };

/* Rows of one state and health, and of a connector where one is asked for. */
struct cell { struct str state, health; };

/* Numbers, ascending. */
struct numbers {
    int64_t *at;
    size_t n;
};

/* One list on its way. */
struct walk {
    struct db *db;
    struct arena *a;
    const struct connection_filter *f;
    const struct folder_sight *sight;
    struct numbers shared;      /* the connections that the scope shares singly */
    struct connection_words words; /* of the search */
    struct cell *cells;         /* that there are, and the filter takes */
    size_t cell_count;
    const struct cell *cell;    /* being asked; NULL: rows of any */
    int64_t after, below;       /* numbers between these two */
    size_t limit, count;
    int64_t *found;             /* ascending; `limit` of them at most */
};

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

static void add_filters(struct buf *sql, const struct walk *w, enum lead lead, int *param)
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
        connection_words_sql(sql, w->db, param);
}

static void bind_filters(struct query *q, const struct walk *w, enum lead lead)
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
        query_text(q, w->words.match);
}

static enum err too_long(struct fault *why) { return fault(why, ERR_INTERNAL, STR(""), "the query is too long"); }

/* Merges `n` numbers of one place, which stand behind what was found, into it. */
static void merge(struct walk *w, size_t n)
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

/* ---- few folders: one by one ---- */

/* The first rows of `n` places: of one, or on PostgreSQL, which is a way off, of all of them in one statement. */
static enum err ask(struct walk *w, const char *sql, const struct str *places, size_t n, struct fault *why)
{
    int64_t *mine = w->found + w->limit;
    size_t found = 0;
    struct query *q = query_begin(w->db, sql);
    query_i64(q, w->after);
    query_i64(q, w->below);
    bind_filters(q, w, LEAD_ROWS);
    if (db_is_postgres(w->db))
        many_values(q, places, n);
    else
        query_text(q, *places);
    if (w->f->search.n)
        query_text(q, w->words.like);
    query_i64(q, (int64_t)w->limit);
    while (found < w->limit && query_next(q))
        mine[found++] = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    if (!e && found)
        merge(w, found);
    return e;
}

static enum err place_statement(struct buf *sql, const struct walk *w, enum place place, struct fault *why)
{
    AUTO_BUF one;
    int param = 2;
    bool all = db_is_postgres(w->db);
    buf_init(&one, SQL_MAX);
    buf_add(&one, STR("SELECT c.number FROM connection c WHERE c.number > $1 AND c.number < $2"));
    add_filters(&one, w, LEAD_ROWS, &param);
    int before = param++;
    buf_fmt(&one, place == PLACE_FOLDER ? " AND c.folder_id = " : " AND c.id = ");
    buf_fmt(&one, all ? "places.key" : "$%d", param);
    if (w->f->search.n)
        buf_fmt(&one, " AND c.search LIKE $%d ESCAPE '\\'", ++param);
    buf_fmt(&one, " ORDER BY c.number LIMIT $%d", ++param);
    if (all) {
        buf_add(sql, STR("SELECT x.number FROM "));
        many_list(sql, &before);
        buf_add(sql, STR(" AS places CROSS JOIN LATERAL ("));
    }
    buf_add(sql, buf_str(&one));
    if (all)
        buf_fmt(sql, ") AS x ORDER BY x.number LIMIT $%d", param);
    buf_char(sql, 0);
    return buf_failed(&one) || buf_failed(sql) ? too_long(why) : ERR_NONE;
}

static enum err ask_each(struct walk *w, enum place place, const struct str *places, size_t n, struct fault *why)
{
    AUTO_BUF sql;
    size_t at_once = db_is_postgres(w->db) ? n : 1;
    buf_init(&sql, SQL_MAX);
    enum err e = place_statement(&sql, w, place, why);
    for (size_t i = 0; !e && i < n; i += at_once)
        e = ask(w, sql.p, places + i, at_once, why);
    return e;
}

/* ---- many folders: the walk ---- */

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

static enum err read_shared(struct walk *w, struct fault *why)
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

/* Deleted ones and defaults are few, and their own indexes hold what is asked of them. */
static bool is_kind(const struct connection_filter *f) { return f->deleted || (f->by_default && f->is_default); }

/* The trigrams find candidates; the text itself decides. The indexes that lead by cells, defaults and deleted ones hold it. Else it
 * lies in the row, which nobody reads before it is known to be seen. PostgreSQL looks by itself: what it sends is what costs. */
enum text { TEXT_NOT_ASKED, TEXT_IN_INDEX, TEXT_IN_ROW, TEXT_BY_SQL };

static enum text text_of(const struct walk *w, enum lead lead)
{
    if (!w->f->search.n || (lead == LEAD_SEARCH && w->words.exact))
        return TEXT_NOT_ASKED;
    if (lead != LEAD_ROWS)
        return TEXT_IN_ROW;
    return db_is_postgres(w->db) ? TEXT_BY_SQL : w->cell || is_kind(w->f) ? TEXT_IN_INDEX : TEXT_IN_ROW;
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
    add_filters(&s->sql, w, s->lead, &param);
    if (s->text == TEXT_BY_SQL)
        buf_fmt(&s->sql, " AND c.search LIKE $%d ESCAPE '\\'", ++param);
    buf_fmt(&s->sql, " ORDER BY %s LIMIT $%d%c", n, ++param, 0);
    return buf_failed(&s->sql) ? too_long(why) : ERR_NONE;
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
    bind_filters(q, w, s->lead);
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
    buf_init(&sql, SQL_MAX);
    buf_add(&sql, STR("SELECT number FROM connection WHERE number > 0 AND number IN "));
    many_list_numbers(&sql, &param);
    buf_fmt(&sql, " AND search LIKE $%d ESCAPE '\\' ORDER BY number LIMIT $%d%c", param + 1, param + 2, 0);
    if (buf_failed(&sql))
        return too_long(why);
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
        merge(w, n);
    return e;
}

static enum err scan(struct walk *w, enum lead lead, struct fault *why)
{
    struct scan s = { .lead = lead, .text = text_of(w, lead), .row = arena_new(1024), .after = w->after, .more = true };
    s.batch = w->limit > BATCH_FIRST ? w->limit : BATCH_FIRST;
    s.seen.at = mem_grow(NULL, BATCH_MOST * sizeof *s.seen.at);
    buf_init(&s.sql, SQL_MAX);
    enum err e = scan_rows(&s, w, why);
    buf_end(&s.sql);
    free(s.seen.at);
    arena_free(s.row);
    return e;
}

/* ---- cells ---- */

static bool by_cells(const struct connection_filter *f)
{
    return !is_kind(f) && (f->connector.p || f->by_state || f->by_health);
}

/* The next cell at or behind this one: index entries of those before are not read, however many there are. */
static enum err next_cell(struct walk *w, struct cell at, struct cell *out, struct fault *why)
{
    struct str connector = w->f->connector;
    struct query *q = query_begin(
        w->db, connector.p
                   ? "SELECT state, health FROM connection WHERE deleted_ms = 0 AND (state, health) >= ($1, $2) AND connector = $3"
                     " ORDER BY state, health LIMIT 1"
                   : "SELECT state, health FROM connection WHERE deleted_ms = 0 AND (state, health) >= ($1, $2) ORDER BY state, "
                     "health LIMIT 1");
    query_text(q, at.state);
    query_text(q, at.health);
    if (connector.p)
        query_text(q, connector);
    bool found = query_next(q);
    *out = found ? (struct cell){ query_get_text(q, 0, w->a), query_get_text(q, 1, w->a) } : (struct cell){ 0 };
    return query_end(q, why);
}

/* The usual one first: what it finds ends the others' look. */
static int by_use(const void *x, const void *y)
{
    const struct cell *a = x, *b = y;
    bool first = str_is(a->state, "active") && str_is(a->health, "ok");
    bool second = str_is(b->state, "active") && str_is(b->health, "ok");
    return second - first;
}

/* Those that the filter takes. */
static enum err read_cells(struct walk *w, struct fault *why)
{
    const struct connection_filter *f = w->f;
    struct cell at = { STR(""), STR("") };
    enum err e = ERR_NONE;
    w->cells = arena_array(w->a, CELLS, sizeof *w->cells);
    for (size_t i = 0; i < CELLS; i++) {
        if ((e = next_cell(w, at, &at, why)) || !at.state.p)
            break;
        if ((!f->by_state || str_is(at.state, connection_state_name(f->state))) &&
            (!f->by_health || str_is(at.health, connection_health_name(f->health))))
            w->cells[w->cell_count++] = at;
        at.health = arena_join(w->a, at.health, STR("\x01"));
    }
    qsort(w->cells, w->cell_count, sizeof *w->cells, by_use);
    return e;
}

static enum err scan_cells(struct walk *w, struct fault *why)
{
    enum err e = ERR_NONE;
    for (w->cell = w->cells; !e && w->cell < w->cells + w->cell_count; w->cell++)
        e = scan(w, LEAD_ROWS, why);
    w->cell = NULL;
    return e;
}

/* The share of the rows behind the cursor that lie in them; when that gets to `enough`, nobody needs to know more. */
static enum err weigh_cells(struct walk *w, double enough, double *out, struct fault *why)
{
    struct str connector = w->f->connector;
    struct connection_sample sample;
    enum err e = ERR_NONE;
    *out = 0;
    for (size_t i = 0; !e && *out < enough && i < w->cell_count; i++) {
        struct query *q = query_begin(w->db, connector.p
            ? "SELECT COUNT(*), MAX(number) FROM (SELECT number FROM connection WHERE state = $1 AND health = $2 AND deleted_ms = 0"
              " AND number > $3 AND connector = $5 ORDER BY number LIMIT $4) AS few"
            : "SELECT COUNT(*), MAX(number) FROM (SELECT number FROM connection WHERE state = $1 AND health = $2 AND deleted_ms = 0"
              " AND number > $3 ORDER BY number LIMIT $4) AS few");
        query_text(q, w->cells[i].state);
        query_text(q, w->cells[i].health);
        query_i64(q, w->after);
        query_i64(q, CONNECTION_SAMPLE);
        if (connector.p)
            query_text(q, connector);
        e = connection_sample_end(q, &sample, why);
        *out += connection_sample_share(&sample, w->after);
    }
    return e;
}

static enum err weigh_kind(struct walk *w, double *out, struct fault *why)
{
    struct connection_sample sample;
    struct query *q = query_begin(w->db, w->f->deleted
        ? "SELECT COUNT(*), MAX(number) FROM (SELECT number FROM connection WHERE deleted_ms > 0 AND number > $1 ORDER BY number"
          " LIMIT $2) AS few"
        : "SELECT COUNT(*), MAX(number) FROM (SELECT number FROM connection WHERE deleted_ms = 0 AND is_default = 1 AND number > $1"
          " ORDER BY number LIMIT $2) AS few");
    query_i64(q, w->after);
    query_i64(q, CONNECTION_SAMPLE);
    enum err e = connection_sample_end(q, &sample, why);
    *out = connection_sample_share(&sample, w->after);
    return e;
}

static enum err weigh_tag(struct walk *w, double *out, struct fault *why)
{
    struct connection_sample sample;
    struct query *q = query_begin(w->db, "SELECT COUNT(*), MAX(number) FROM (SELECT number FROM connection_tag WHERE tag = $1"
                                         " AND number > $2 ORDER BY number LIMIT $3) AS few");
    query_text(q, w->f->tag);
    query_i64(q, w->after);
    query_i64(q, CONNECTION_SAMPLE);
    enum err e = connection_sample_end(q, &sample, why);
    *out = connection_sample_share(&sample, w->after);
    return e;
}

/* ---- which way ---- */

/* Whether these folders hold so few rows that reading them all is the shortest way. */
static enum err few_rows(struct walk *w, const struct str *folders, size_t n, bool *out, struct fault *why)
{
    const struct many keys = many_of(w->a, folders, n);
    struct query *q = many_begin(w->db, "SELECT COUNT(*) FROM (SELECT 1 FROM connection WHERE folder_id IN $keys AND deleted_ms = 0"
                                        " AND number > $1 LIMIT $2) AS few", 2, &keys);
    query_i64(q, w->after);
    query_i64(q, ROWS_READ);
    many_bind(q, &keys);
    *out = query_next(q) && query_get_i64(q, 0) < ROWS_READ;
    return query_end(q, why);
}

/* Does one index by folder not find them all? */
static bool is_compound(const struct walk *w)
{
    const struct connection_filter *f = w->f;
    return w->words.match.n || f->tag.p || !!f->connector.p + f->by_state + f->by_health > 1;
}

/* What leads, among the conditions that were weighed. */
struct choice {
    enum lead lead;
    bool cells;
    double least;         /* its share of the rows */
};

static void prefer(struct choice *c, enum lead lead, bool cells, double share)
{
    if (share >= c->least)
        return;
    c->lead = lead;
    c->cells = cells;
    c->least = share;
}

static enum err weigh_all(struct walk *w, struct choice *c, struct fault *why)
{
    bool cells = by_cells(w->f), others = w->words.match.n || w->f->tag.p;
    double share = 0;
    enum err e = ERR_NONE;
    if (w->words.match.n)
        prefer(c, LEAD_SEARCH, false, w->words.share);
    if (w->f->tag.p && c->least > 0 && !(e = weigh_tag(w, &share, why)))
        prefer(c, LEAD_TAG, false, share);
    if (!e && others && c->least > 0 && is_kind(w->f) && !(e = weigh_kind(w, &share, why)))
        prefer(c, LEAD_ROWS, false, share);
    if (e || !cells || c->least <= 0 || (e = read_cells(w, why)) || (others && (e = weigh_cells(w, c->least, &share, why))))
        return e;
    prefer(c, LEAD_ROWS, true, share);
    return ERR_NONE;
}

/* PostgreSQL finds all rows with a word before it gives the first: where a walk meets a page of them sooner, rows lead. */
static enum err prefer_walk(struct walk *w, struct choice *c, struct fault *why)
{
    int64_t last;
    if (c->lead != LEAD_SEARCH || !db_is_postgres(w->db))
        return ERR_NONE;
    enum err e = query_number(w->db, "SELECT COALESCE(MAX(number), 0) FROM connection WHERE number > 0", &last, why);
    double met = w->words.share * folder_sight_share(w->sight);
    if (!e && met * w->words.share * (double)last * PLACE_COST > (double)w->limit)
        c->lead = LEAD_ROWS;
    return e;
}

/* Led by what fewest rows have. */
static enum err find_in_scope(struct walk *w, struct fault *why)
{
    struct choice c = { LEAD_ROWS, false, EVERY };
    enum err e = weigh_all(w, &c, why);
    if (e || (e = prefer_walk(w, &c, why)))
        return e;
    return c.cells ? scan_cells(w, why) : scan(w, c.lead, why);
}

static enum err find_numbers(struct walk *w, struct fault *why)
{
    const struct connection_filter *f = w->f;
    const struct folder_scope *s = &f->scope;
    const struct str *folders;
    size_t n;
    enum err e = f->search.n ? connection_words_read(w->db, w->a, f, w->after, &w->words, why) : ERR_NONE;
    if (e || w->words.none || (e = read_shared(w, why)))
        return e;
    if (w->words.few)
        return scan(w, LEAD_SEARCH, why);
    folder_sight_folders(w->sight, w->a, FOLDERS_ASKED, &folders, &n);
    bool each = n <= FOLDERS_ASKED;
    if (each && is_compound(w) && (e = few_rows(w, folders, n, &each, why)))
        return e;
    if (!each)
        return find_in_scope(w, why);
    e = ask_each(w, PLACE_FOLDER, folders, n, why);
    return e ? e : ask_each(w, PLACE_ROW, s->connections, s->connection_count, why);
}

static enum err find_and_read(struct walk *w, struct connection_row *rows, struct fault *why)
{
    enum err e = find_numbers(w, why);
    return e ? e : connection_numbered(w->db, w->a, w->found, w->count, rows, why);
}

static int64_t number_of(struct str cursor)
{
    uint64_t n;
    return str_u64(cursor, &n) && n < INT64_MAX ? (int64_t)n : 0;
}

enum err connection_list_seen(struct db *db, struct arena *a, const struct connection_filter *f, const struct folder_sight *seen,
                              struct connection_row **out, size_t *n, struct fault *why)
{
    size_t limit = f->limit < 1 ? 50 : f->limit > LIST_MAX ? LIST_MAX : (size_t)f->limit;
    struct walk w = {
        .db = db, .a = a, .f = f, .sight = seen, .after = number_of(f->after), .below = INT64_MAX, .limit = limit
    };
    w.found = arena_array(a, 3 * limit, sizeof *w.found);
    struct connection_row *rows = arena_array(a, limit, sizeof *rows);
    enum err e = find_and_read(&w, rows, why);
    *out = rows;
    *n = e ? 0 : w.count;
    return e;
}

enum err connection_list(struct db *db, struct arena *a, const struct connection_filter *f, struct connection_row **out, size_t *n,
                         struct fault *why)
{
    struct folder_sight sight = { 0 };
    enum err e = db_snapshot(db, why);
    *out = NULL;
    *n = 0;
    if (e)
        return e;
    e = folder_sight_begin(db, a, &f->scope, &sight, why);
    if (!e)
        e = connection_list_seen(db, a, f, &sight, out, n, why);
    folder_sight_end(&sight);
    db_snapshot_end(db);
    return e;
}
