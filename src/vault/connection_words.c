#include "vault/connection_words.h"

#include "base/fold.h"

#define MATCH_MAX (64 * 1024)
#define GRAM 3
#define SHORT_GRAMS 40       /* trigrams that a search for one or two characters may stand for */
#define LONG_GRAMS 6         /* and as many as one for more asks for */
#define MEETING_GRAMS 3      /* and for places where words meet */

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

void connection_words_sql(struct buf *sql, const struct db *db, int *param)
{
    const struct tongue *t = tongue_of(db);
    buf_fmt(sql, "%s%d%s", t->condition, ++*param, t->cast);
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

/* Trigrams that cover the text, or some of a long one: each costs reading all its places. And those where two words meet: few
 * others have them. */
static struct str long_match(struct arena *a, const struct tongue *t, struct str text, const size_t *at, size_t n)
{
    size_t pieces = (n + GRAM - 1) / GRAM, met = 0;
    struct str match = STR_NONE;
    if (pieces > LONG_GRAMS)
        pieces = LONG_GRAMS;
    for (size_t i = 0; i < pieces; i++) {
        size_t from = pieces > 1 ? i * (n - GRAM) / (pieces - 1) : 0;
        match = joined(a, match, t->and, quoted(a, t, str_sub(text, at[from], at[from + GRAM])));
    }
    for (size_t i = 0; i + GRAM <= n && met < MEETING_GRAMS; i++) {
        char middle = text.p[at[i + 1]];
        if (middle != ' ' && middle != '-')
            continue;
        match = joined(a, match, t->and, quoted(a, t, str_sub(text, at[i], at[i + GRAM])));
        met++;
    }
    return match;
}

/* One or two characters: the trigrams that begin with them (texts end in two blanks, so that each place begins one). Many of them
 * mean that many rows match: then no index is needed to find some. The table has a row for each place of a trigram, a million of
 * them for some: the next trigram is asked for by what lies right behind this one, so that they are not read. */
static enum err short_match(struct db *db, struct arena *a, struct str text, struct connection_words *out, struct fault *why)
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
            out->match = matches;
            return ERR_NONE;
        }
        matches = joined(a, matches, " OR ", quoted(a, &fts5, last));
    }
    return ERR_NONE;
}

enum err connection_words_read(struct db *db, struct arena *a, struct str search, struct connection_words *out, struct fault *why)
{
    const struct tongue *t = tongue_of(db);
    struct str text = fold_search(a, search);
    size_t n;
    const size_t *at = characters(a, text, &n);
    *out = (struct connection_words){ .like = fold_like(a, text), .exact = n <= GRAM };
    if (n >= GRAM)
        out->match = long_match(a, t, text, at, n);
    else if (t == &tsquery) /* knows beginnings itself; and its planner, how many rows have them */
        out->match = arena_join(a, quoted(a, t, text), STR(":*"));
    else
        return short_match(db, a, text, out, why);
    return ERR_NONE;
}

/* ---- the index follows ---- */

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
                  db_is_postgres(db) ? "INSERT INTO connection_search (rowid, grams) VALUES ($1, connection_grams($2))"
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
