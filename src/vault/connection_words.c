#include "vault/connection_words.h"

#include <stdlib.h>

#include "base/fold.h"
#include "base/json.h"

#define MATCH_MAX (64 * 1024)
#define GRAM 3
#define SHORT_GRAMS 40       /* trigrams that a search for one or two characters may stand for */
#define LONG_GRAMS 6         /* and as many as one for more looks at */
#define MEETINGS 3           /* and of places where words meet */
#define GRAMS (LONG_GRAMS + MEETINGS + 2)
#define MERGE_PAGES 100      /* in a step of upkeep */
#define MERGE_LEAST 16       /* pages that are worth it */
#define AHEAD 4096           /* numbers that PostgreSQL looks at ahead of a search, or up to twice as many */
#define ROWS_AHEAD 2048      /* the same, of rows */
#define SPANS_ASKED 8        /* at once */
#define GRAMS_ASKED 3        /* of them: the rarest, */
#define GRAMS_WORTH 20 /* and those that are so much more common at most: reading a place of one costs less than a row by as much  \
                        */

/* How an engine says what is looked for. */
struct tongue {
    const char *condition;   /* the number of its parameter comes next */
    const char *cast;        /* of the parameter */
    const char *and;         /* between trigrams that all must be there */
    char quote;
    const char *doubled;     /* characters that are written twice between quotes */
};

static const struct tongue fts5 = { " AND connection_search MATCH $", "", " AND ", '"', "\"" };
static const struct tongue tsquery = { " AND s.grams @@ $", "::tsquery", " & ", '\'', "'\\" };

static const struct tongue *tongue_of(const struct db *db) { return db_is_postgres(db) ? &tsquery : &fts5; }

/* Two conditions and not one: between two of them, GIN leaps. */
void connection_words_sql(struct buf *sql, const struct db *db, const struct connection_words *words, int *param)
{
    const struct tongue *t = tongue_of(db);
    buf_fmt(sql, "%s%d%s", t->condition, ++*param, t->cast);
    if (words->spans.p)
        buf_fmt(sql, "%s%d%s", t->condition, ++*param, t->cast);
}

void connection_words_bind(struct query *q, const struct connection_words *words)
{
    query_text(q, words->match);
    if (words->spans.p)
        query_text(q, words->spans);
}

/* ---- what is looked for ---- */

static struct str quoted(struct arena *a, const struct tongue *t, struct str text)
{
    AUTO_BUF b;
    buf_init(&b, MATCH_MAX);
    buf_char(&b, t->quote);
    for (size_t i = 0; i < text.n; i++) {
        if (strchr(t->doubled, text.p[i]))
            buf_char(&b, text.p[i]);
        buf_char(&b, text.p[i]);
    }
    buf_char(&b, t->quote);
    return arena_str(a, buf_str(&b));
}

/* Where its characters begin, and its end: *n + 1 places. */
static const size_t *characters(struct arena *a, struct str s, size_t *n)
{
    size_t *at = arena_array(a, s.n + 1, sizeof *at);
    *n = 0;
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80)
            at[(*n)++] = i;
    at[*n] = s.n;
    return at;
}

static struct str joined(struct arena *a, struct str left, const char *between, struct str right)
{
    return left.n ? str_fmt(a, "%.*s%s%.*s", STR_ARG(left), between, STR_ARG(right)) : right;
}

/* ---- marks ---- */

/* Behind key and name, texts have marks: characters for private use, each with two blanks before it and behind it, so that it is a
 * trigram with those before. One stands for the connector, and one for each tag: FTS5 finds them together with words. The others
 * stand for places where two words meet, by some letters before and behind, once for each of these reaches: a word by itself may be
 * in many rows, and two of them in many more than side by side. A search asks for the longest that it has; words that end alike are
 * more than those that begin alike. Different things may have the same mark: what it finds is looked at. */
static const struct reach { size_t before, behind; } reaches[] = { { 2, 2 }, { 3, 3 }, { 4, 4 }, { 6, 4 } };
#define MARK_FIRST 0xf0000u /* a plane of its own */
#define MARK_BYTES 6

struct marks_of { uint32_t from, count; };
static const struct marks_of connectors = { 0, 1024 }, tags = { 1024, 1024 }, meetings = { 2048, 63000 };

struct marks {
    struct str *at;
    size_t n;
};

static struct str mark(struct arena *a, struct marks_of of, struct str left, struct str right)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < left.n + right.n; i++)
        hash = (hash ^ (unsigned char)(i < left.n ? left.p[i] : right.p[i - left.n])) * 16777619u;
    uint32_t c = MARK_FIRST + of.from + hash % of.count;
    return str_fmt(a, "  %c%c%c%c", (char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
                   (char)(0x80 | (c & 0x3f)));
}

static bool is_letter(char c) { return (unsigned char)c >= 0x80 || ascii_alpha(c); }

static bool are_letters(struct str text, size_t from, size_t to)
{
    while (from < to && is_letter(text.p[from]))
        from++;
    return from == to;
}

/* Do words meet at `i`, with so many letters? Numbers are rare by their own trigrams. */
static bool meets(struct str text, size_t i, struct reach r)
{
    return i >= r.before && i + r.behind < text.n && !is_letter(text.p[i]) && !ascii_digit(text.p[i]) &&
           are_letters(text, i - r.before, i) && are_letters(text, i + 1, i + 1 + r.behind);
}

static struct str meeting_mark(struct arena *a, struct str text, size_t i, struct reach r)
{
    return mark(a, meetings, str_sub(text, i - r.before, i), str_sub(text, i + 1, i + 1 + r.behind));
}

static void add_mark(struct marks *m, struct str one)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->at[i], one))
            return;
    m->at[m->n++] = one;
}

enum err connection_words_text(struct arena *a, const struct connection_row *row, struct str *out, struct fault *why)
{
    struct str text = fold_search(a, str_fmt(a, "%.*s %.*s", STR_ARG(row->key), STR_ARG(row->name)));
    struct json *list = NULL;
    enum err e = row->tags.n ? json_read(a, row->tags, &list, why) : ERR_NONE;
    if (e)
        return e;
    struct marks m = { arena_array(a, COUNT(reaches) * text.n + CONNECTION_TAGS + 1, sizeof *m.at), 0 };
    add_mark(&m, mark(a, connectors, row->connector, STR("")));
    if (list)
        json_each (tag, list)
            if (m.n <= CONNECTION_TAGS)
                add_mark(&m, mark(a, tags, tag->text, STR("")));
    for (size_t i = 0; i < COUNT(reaches) * text.n; i++)
        if (meets(text, i / COUNT(reaches), reaches[i % COUNT(reaches)]))
            add_mark(&m, meeting_mark(a, text, i / COUNT(reaches), reaches[i % COUNT(reaches)]));
    char *to = arena_alloc(a, text.n + m.n * MARK_BYTES + 2), *p = to;
    memcpy(p, text.p, text.n);
    p += text.n;
    for (size_t i = 0; i < m.n; i++, p += MARK_BYTES)
        memcpy(p, m.at[i].p, MARK_BYTES);
    memcpy(p, "  ", 2); /* short_gram() says why */
    *out = (struct str){ to, (size_t)(p - to) + 2 };
    return ERR_NONE;
}

/* ---- which of its grams ---- */

enum err connection_sample_end(struct query *q, struct connection_sample *out, struct fault *why)
{
    bool found = query_next(q);
    *out = (struct connection_sample){ found ? query_get_i64(q, 0) : 0, found ? query_get_i64(q, 1) : 0 };
    return query_end(q, why);
}

double connection_sample_share(const struct connection_sample *s, int64_t after)
{
    return s->count < CONNECTION_SAMPLE ? 0 : (double)s->count / (double)(s->last - after);
}

struct gram {
    struct str match;
    double share;     /* of the rows behind the cursor */
    bool whole;       /* it is all that is looked for */
    bool other;       /* another filter's */
    bool meeting;
    bool taken;
};

struct grams {
    struct gram at[GRAMS];
    size_t n;
};

static struct gram *add_gram(struct grams *g, struct str match)
{
    for (size_t i = 0; i < g->n; i++)
        if (str_eq(g->at[i].match, match))
            return &g->at[i];
    g->at[g->n] = (struct gram){ .match = match };
    return &g->at[g->n++];
}

static int by_share(const void *x, const void *y)
{
    double a = ((const struct gram *)x)->share, b = ((const struct gram *)y)->share;
    return (a > b) - (a < b);
}

/* FTS5 reads the places of every trigram that it is asked for: so the rarest are found first, by the first places of each. */
static enum err weigh(struct db *db, struct grams *g, int64_t after, struct connection_words *out, struct fault *why)
{
    for (size_t i = 0; i < g->n; i++) {
        struct connection_sample sample;
        struct query *q = query_begin(db, "SELECT COUNT(*), MAX(rowid) FROM (SELECT rowid FROM connection_search"
                                          " WHERE connection_search MATCH $1 AND rowid > $2 ORDER BY rowid LIMIT $3) AS few");
        query_text(q, g->at[i].match);
        query_i64(q, after);
        query_i64(q, CONNECTION_SAMPLE);
        enum err e = connection_sample_end(q, &sample, why);
        if (e)
            return e;
        out->none |= !sample.count;
        out->few |= sample.count < CONNECTION_SAMPLE;
        g->at[i].share = connection_sample_share(&sample, after);
        if (out->few) {
            g->at[0] = g->at[i];
            g->n = 1;
        }
    }
    qsort(g->at, g->n, sizeof g->at[0], by_share);
    return ERR_NONE;
}

/* Without a look: where words meet is much rarer than any part of them, which would only cost a look for each place. */
static void guess(struct grams *g)
{
    for (size_t i = 0; i < g->n; i++)
        g->at[i].share = g->at[i].meeting ? 0.001 : g->at[i].other ? 0.02 : 0.05;
    qsort(g->at, g->n, sizeof g->at[0], by_share);
}

static void take(struct arena *a, const struct tongue *t, struct gram *one, struct connection_words *out)
{
    out->match = joined(a, out->match, t->and, one->match);
    out->exact |= one->whole;
    one->taken = true;
}

/* The rarest of the word and what other filters have first: they come together as chance has it, parts of a word all at once. */
static void choose(struct arena *a, const struct tongue *t, struct grams *g, size_t most, struct connection_words *out)
{
    bool word = false;
    size_t n = 0, worth = 0;
    while (worth < g->n && g->at[worth].share <= g->at[0].share * GRAMS_WORTH)
        worth++;
    out->share = 1;
    for (size_t i = 0; i < worth; i++) {
        if (word && !g->at[i].other)
            continue;
        word |= !g->at[i].other;
        out->share *= g->at[i].share;
        take(a, t, &g->at[i], out);
        n++;
    }
    for (size_t i = 0; i < worth && n < most; i++)
        if (!g->at[i].taken) {
            take(a, t, &g->at[i], out);
            n++;
        }
}

/* By the longest reach that it has there. */
static void add_meeting(struct arena *a, const struct tongue *t, struct str text, size_t i, struct grams *g)
{
    for (size_t k = COUNT(reaches); k-- > 0;)
        if (meets(text, i, reaches[k])) {
            add_gram(g, quoted(a, t, meeting_mark(a, text, i, reaches[k])))->meeting = true;
            return;
        }
}

/* Trigrams that cover the text, or some of a long one, and marks of places where words meet. */
static void long_grams(struct arena *a, const struct tongue *t, struct str text, const size_t *at, size_t n, struct grams *g)
{
    size_t pieces = (n + GRAM - 1) / GRAM;
    if (pieces > LONG_GRAMS)
        pieces = LONG_GRAMS;
    for (size_t i = 0; i < pieces; i++) {
        size_t from = pieces > 1 ? i * (n - GRAM) / (pieces - 1) : 0;
        add_gram(g, quoted(a, t, str_sub(text, at[from], at[from + GRAM])));
    }
    /* "939939" repeats itself: what lies between says more. */
    for (size_t from = 0; from + GRAM <= n && g->n < pieces; from++)
        add_gram(g, quoted(a, t, str_sub(text, at[from], at[from + GRAM])));
    g->at[0].whole = n == GRAM;
    for (size_t i = 0; i < text.n && g->n < pieces + MEETINGS; i++)
        add_meeting(a, t, text, i, g);
}

/* One or two characters: the trigrams that begin with them (texts end in two blanks, so that each place begins one). Many of them
 * mean that many rows match: then no index is needed to find some, and there is no gram. The table has a row for each place of a
 * trigram, a million of them for some: the next trigram is asked for by what lies right behind this one, so that they are not
 * read. */
static enum err short_gram(struct db *db, struct arena *a, struct str text, struct grams *g, struct connection_words *out,
                           struct fault *why)
{
    struct str last = text, matches = STR_NONE;
    for (int i = 0; i < SHORT_GRAMS; i++) {
        struct query *q = query_begin(db, "SELECT term FROM connection_gram WHERE term >= $1 ORDER BY term LIMIT 1");
        query_text(q, i ? arena_join(a, last, STR("\x01")) : last);
        last = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
        enum err e = query_end(q, why);
        if (e)
            return e;
        if (!last.p || !str_starts(last, text)) {
            out->none = !matches.n;
            g->n = matches.n > 0;
            g->at[0] = (struct gram){ .match = str_fmt(a, "(%.*s)", STR_ARG(matches)), .whole = true };
            return ERR_NONE;
        }
        matches = joined(a, matches, " OR ", quoted(a, &fts5, last));
    }
    return ERR_NONE;
}

static void add_other(struct grams *g, struct arena *a, const struct tongue *t, struct marks_of of, struct str name)
{
    if (!name.p)
        return;
    add_gram(g, quoted(a, t, mark(a, of, name, STR(""))))->other = true;
}

/* ---- spans ---- */

/* PostgreSQL finds all rows that match before it gives the first, and cannot begin in the middle. So with the grams of a row stand
 * spans of numbers that it lies in, of several lengths: with one of them asked for, places outside of it are leapt over. */
static const int span_shifts[] = { 12, 15, 18, 21 }; /* as in connection_grams(); AHEAD is the least */

int64_t connection_words_span(struct arena *a, struct connection_words *words, int64_t after, double wanted)
{
    size_t i = 0;
    words->spans = STR_NONE;
    if (words->few)
        return INT64_MAX;
    while (i + 1 < COUNT(span_shifts) && wanted > (double)((int64_t)SPANS_ASKED << span_shifts[i]))
        i++;
    int64_t first = (after + 1) >> span_shifts[i], end = first + 2;
    while (end - first <= SPANS_ASKED && (double)((end << span_shifts[i]) - after) <= wanted)
        end++;
    for (int64_t n = first; n < end; n++)
        words->spans = joined(a, words->spans, " | ", str_fmt(a, "'\x01%d.%lld'", span_shifts[i], (long long)n));
    return end << span_shifts[i];
}

#define LAST_NUMBER "(SELECT COALESCE(MAX(number), 0) FROM connection WHERE number > 0)"

/* How many of the next numbers behind the cursor match. Beginnings of trigrams are all gathered, whatever the span: for one or two
 * characters the rows themselves are looked at. */
static enum err look_ahead(struct db *db, struct arena *a, int64_t after, struct connection_words *out, struct fault *why)
{
    struct connection_words ahead = { .match = out->match };
    int64_t below = connection_words_span(a, &ahead, after, AHEAD), count = 0;
    struct query *q = query_begin(db, out->scattered
        ? "SELECT COUNT(*), " LAST_NUMBER " FROM connection WHERE number > $1 AND number < $2 AND search LIKE $3 ESCAPE '\\'"
        : "SELECT COUNT(*), " LAST_NUMBER " FROM connection_search s WHERE s.rowid > $1 AND s.grams @@ $2::tsquery"
          " AND s.grams @@ $3::tsquery");
    query_i64(q, after);
    if (out->scattered) {
        query_i64(q, below = after + ROWS_AHEAD);
        query_text(q, out->like);
    } else {
        connection_words_bind(q, &ahead);
    }
    if (query_next(q)) {
        count = query_get_i64(q, 0);
        out->last = query_get_i64(q, 1);
    }
    double rows = (double)((below <= out->last ? below - 1 : out->last) - after);
    out->share = rows < 1 ? 0 : ((double)count + (count ? 0 : 0.5)) / rows;
    out->few = !count && out->share * (double)out->last < CONNECTION_SAMPLE;
    return query_end(q, why);
}

enum err connection_words_read(struct db *db, struct arena *a, const struct connection_filter *f, int64_t after,
                               struct connection_words *out, struct fault *why)
{
    const struct tongue *t = tongue_of(db);
    struct str text = fold_search(a, f->search);
    struct grams g = { .n = 0 };
    enum err e = ERR_NONE;
    size_t n;
    const size_t *at = characters(a, text, &n);
    *out = (struct connection_words){ .text = text, .like = fold_like(a, text) };
    out->scattered = n < GRAM && db_is_postgres(db);
    if (n >= GRAM)
        long_grams(a, t, text, at, n, &g);
    else if (t == &fts5)
        e = short_gram(db, a, text, &g, out, why);
    else /* PostgreSQL knows beginnings itself */
        g = (struct grams){ { { .match = arena_join(a, quoted(a, t, text), STR(":*")), .whole = text.p[0] != 1 } }, 1 };
    if (e || !g.n)
        return e;
    add_other(&g, a, t, connectors, f->connector);
    add_other(&g, a, t, tags, f->tag);
    if (t == &fts5 && (e = weigh(db, &g, after, out, why)))
        return e;
    if (t == &tsquery)
        guess(&g);
    choose(a, t, &g, t == &fts5 ? GRAMS_ASKED : GRAMS, out);
    return t == &fts5 ? ERR_NONE : look_ahead(db, a, after, out, why);
}

/* ---- the index follows ---- */

enum err connection_words_stored(struct db *db, struct arena *a, struct str id, struct str *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT search FROM connection WHERE id = $1");
    query_text(q, id);
    *out = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

static enum err change(struct db *db, const char *sql, int64_t number, struct str text, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_i64(q, number);
    if (text.p)
        query_text(q, text);
    return query_end(q, why);
}

/* FTS5 keeps no text of its own here: what it forgets has to be said. */
static enum err forget(struct db *db, int64_t number, struct str text, struct fault *why)
{
    return db_is_postgres(db)
               ? change(db, "DELETE FROM connection_search WHERE rowid = $1", number, STR_NONE, why)
               : change(db, "INSERT INTO connection_search (connection_search, rowid, search) VALUES ('delete', $1, $2)", number,
                        text, why);
}

static enum err add(struct db *db, int64_t number, struct str text, struct fault *why)
{
    return change(db,
                  db_is_postgres(db) ? "INSERT INTO connection_search (rowid, grams) VALUES ($1, connection_grams($1, $2))"
                                       " ON CONFLICT (rowid) DO UPDATE SET grams = excluded.grams"
                                     : "INSERT INTO connection_search (rowid, search) VALUES ($1, $2)",
                  number, text, why);
}

enum err connection_words_follow(struct db *db, int64_t number, struct str before, struct str after, struct fault *why)
{
    enum err e = ERR_NONE;
    if (str_eq(before, after))
        return ERR_NONE;
    if (before.p)
        e = forget(db, number, before, why);
    return !e && after.p ? add(db, number, after, why) : e;
}

/* ---- upkeep ---- */

struct segments { int64_t pages, largest; };

static enum err read_segments(struct db *db, struct segments *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT SUM(pages), MAX(pages) FROM (SELECT COUNT(*) AS pages FROM connection_search_idx"
                                      " GROUP BY segid) AS segments");
    bool found = query_next(q);
    *out = (struct segments){ found ? query_get_i64(q, 0) : 0, found ? query_get_i64(q, 1) : 0 };
    return query_end(q, why);
}

static enum err merge(struct db *db, int64_t pages, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO connection_search (connection_search, rank) VALUES ('merge', $1)");
    query_i64(q, pages);
    return query_end(q, why);
}

/* FTS5 keeps what is new in segments of their own. In one large segment it leaps over pages of a common trigram's places; those of
 * many it reads from the first to where a page of the list begins. A negative number of pages begins a merge of all segments. */
enum err connection_words_tidy(struct db *db, struct connection_words_upkeep *u, struct fault *why)
{
    struct segments s;
    u->more = false;
    if (db_is_postgres(db))
        return ERR_NONE;
    enum err e = read_segments(db, &s, why);
    bool good = s.pages < MERGE_LEAST || s.largest * 4 >= s.pages * 3, endless = u->steps > 2 * (s.pages / MERGE_PAGES) + 16;
    if (e || good || endless)
        return e;
    if ((e = merge(db, u->steps ? MERGE_PAGES : -MERGE_PAGES, why)))
        return e;
    u->steps++;
    u->more = true;
    return ERR_NONE;
}
