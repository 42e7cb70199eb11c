/* The list half of vault/connection.h: a page among a million rows costs as much as one among ten.
 *
 * Rows are listed by number, which counts them as they were made. The page is found by numbers first, in indexes alone, and its
 * rows are read afterwards. Which index leads depends on how much the caller sees:
 *
 *   few folders    each is asked for its first rows after the cursor, by its own indexes of (folder, filter, number), and the pages
 *                  are merged: a look per folder, whatever else there is
 *   many folders   the rows are walked in order, each held against the scope in memory: who sees much finds a page soon
 *                  (connection_walk.h)
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

#include "base/buf.h"
#include "store/folder_scope.h"
#include "store/many.h"
#include "vault/connection_walk.h"

#define LIST_MAX 1000
#define FOLDERS_ASKED 400    /* more of them: the walk */
#define ROWS_READ 10000      /* of those folders, when a search, a tag or a pair of filters has no index by folder */
#define PLACE_COST 0.15      /* on PostgreSQL, of a place that is gathered from all over the index, against a row walked past; */
#define MATCH_COST 8.0       /* of a row that matches */
#define EVERY 2.0            /* more than all rows */

enum place { PLACE_FOLDER, PLACE_ROW };

/* ---- few folders: one by one ---- */

/* The first rows of `n` places: of one, or on PostgreSQL, which is a way off, of all of them in one statement. */
static enum err ask(struct walk *w, const char *sql, const struct str *places, size_t n, struct fault *why)
{
    int64_t *mine = w->found + w->limit;
    size_t found = 0;
    struct query *q = query_begin(w->db, sql);
    query_i64(q, w->after);
    query_i64(q, w->below);
    walk_filters_bind(q, w, LEAD_ROWS);
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
        walk_merge(w, found);
    return e;
}

static enum err place_statement(struct buf *sql, const struct walk *w, enum place place, struct fault *why)
{
    AUTO_BUF one;
    int param = 2;
    bool all = db_is_postgres(w->db);
    buf_init(&one, WALK_SQL_MAX);
    buf_add(&one, STR("SELECT c.number FROM connection c WHERE c.number > $1 AND c.number < $2"));
    walk_filters_sql(&one, w, LEAD_ROWS, &param);
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
    return buf_failed(&one) || buf_failed(sql) ? walk_too_long(why) : ERR_NONE;
}

static enum err ask_each(struct walk *w, enum place place, const struct str *places, size_t n, struct fault *why)
{
    AUTO_BUF sql;
    size_t at_once = db_is_postgres(w->db) ? n : 1;
    buf_init(&sql, WALK_SQL_MAX);
    enum err e = place_statement(&sql, w, place, why);
    for (size_t i = 0; !e && i < n; i += at_once)
        e = ask(w, sql.p, places + i, at_once, why);
    return e;
}

/* ---- what fewest rows have ---- */

static bool by_cells(const struct connection_filter *f)
{
    return !walk_is_kind(f) && (f->connector.p || f->by_state || f->by_health);
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
    if (!e && others && c->least > 0 && walk_is_kind(w->f) && !(e = weigh_kind(w, &share, why)))
        prefer(c, LEAD_ROWS, false, share);
    if (e || !cells || c->least <= 0 || (e = walk_read_cells(w, why)) || (others && (e = weigh_cells(w, c->least, &share, why))))
        return e;
    prefer(c, LEAD_ROWS, true, share);
    return ERR_NONE;
}

/* Rows lead where a walk meets a page of them sooner. */
static bool walks(const struct walk *w)
{
    double limit = (double)w->limit, places = w->words.scattered ? w->words.share * (double)w->words.last : 0;
    return limit < w->words.share * (w->seen * places * PLACE_COST + limit * MATCH_COST);
}

/* PostgreSQL finds all rows with a word before it gives the first: it is asked for so many numbers as a page may lie in. */
static enum err scan_spans(struct walk *w, struct fault *why)
{
    double rate = w->words.share * w->seen;
    int64_t after = w->after;
    enum err e = ERR_NONE;
    while (!e && w->count < w->limit && w->after < w->words.last) {
        double wanted = rate > 0 ? (double)(w->limit - w->count) / rate * WALK_SPARE : (double)w->words.last;
        int64_t end = w->below = connection_words_span(w->a, &w->words, w->after, wanted);
        e = walk_rows(w, LEAD_SEARCH, why);
        w->after = end - 1;
        rate = ((double)w->count + 0.5) / (double)(end - after);
    }
    return e;
}

/* Led by what fewest rows have. */
static enum err find_in_scope(struct walk *w, struct fault *why)
{
    struct choice c = { LEAD_ROWS, false, EVERY };
    bool postgres = db_is_postgres(w->db);
    if (postgres)
        w->seen = folder_sight_share(w->sight);
    enum err e = weigh_all(w, &c, why);
    if (e)
        return e;
    if (postgres && c.lead == LEAD_SEARCH && !walks(w))
        return scan_spans(w, why);
    if (postgres && c.lead == LEAD_SEARCH)
        c = (struct choice){ LEAD_ROWS, w->cell_count > 0, EVERY };
    return c.cells ? walk_cells(w, why) : walk_rows(w, c.lead, why);
}

static enum err find_numbers(struct walk *w, struct fault *why)
{
    const struct connection_filter *f = w->f;
    const struct folder_scope *s = &f->scope;
    const struct str *folders;
    size_t n;
    enum err e = f->search.n ? connection_words_read(w->db, w->a, f, w->after, &w->words, why) : ERR_NONE;
    if (e || w->words.none || (e = walk_read_shared(w, why)))
        return e;
    if (w->words.few)
        return walk_rows(w, LEAD_SEARCH, why);
    folder_sight_folders(w->sight, w->a, FOLDERS_ASKED, &folders, &n);
    bool each = n <= FOLDERS_ASKED;
    if (each && is_compound(w) && (e = few_rows(w, folders, n, &each, why)))
        return e;
    if (!each)
        return find_in_scope(w, why);
    e = ask_each(w, PLACE_FOLDER, folders, n, why);
    return e ? e : ask_each(w, PLACE_ROW, s->connections, s->connection_count, why);
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
    enum err e = find_numbers(&w, why);
    if (!e)
        e = connection_numbered(db, a, w.found, w.count, rows, why);
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
