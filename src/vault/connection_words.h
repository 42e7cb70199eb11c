/* vault/connection_words.h - the index of searches: trigrams of what is searched, and the one place of lists where the engines'
 * statements differ. Private to the room, but for its upkeep.
 *
 * The table connection_search has a row for each connection, by its number (which FTS5 calls rowid, and so do both). SQLite keeps
 * the trigrams in FTS5, PostgreSQL in a tsvector under GIN: the same ones, of characters as they are, blanks and hyphens too.
 */
#ifndef VAULT_CONNECTION_WORDS_H
#define VAULT_CONNECTION_WORDS_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/db.h"
#include "vault/connection.h"

/* What searches look through: of key, name, connector and tags. Owned by `a`. ERR_JSON: of tags that are not JSON. */
enum err connection_words_text(struct arena *a, const struct connection_row *row, struct str *out, struct fault *why) MUST_CHECK;

/* One search on its way. */
struct connection_words {
    struct str text;   /* folded as connection.search is */
    struct str like;   /* the same for LIKE ... ESCAPE '\' on connection.search */
    struct str match;  /* for connection_words_sql(); p == NULL: the search has to go without the index */
    double share;      /* about so many of the rows match; 0: very few */
    bool few;          /* behind the cursor: reading them all is the shortest way */
    bool exact;        /* what matches needs no second look with LIKE */
    bool none;         /* nothing matches, whatever the folder */
    bool scattered;    /* what matches comes together from all over the index, whatever the spans */
    struct str spans;  /* of numbers that are asked for; p == NULL: of all */
    int64_t last;      /* number of all, on PostgreSQL */
};

/* The filter's search, which is not empty, as people typed it; with its connector and tag where it has some, which are to be
 * compared all the same; of numbers behind `after`. Owned by `a`. ERR_STORE. */
enum err connection_words_read(struct db *db, struct arena *a, const struct connection_filter *f, int64_t after,
                               struct connection_words *out, struct fault *why) MUST_CHECK;
/* " AND ...": the condition on connection_search, called s in the statement, and its parameters. */
void connection_words_sql(struct buf *sql, const struct db *db, const struct connection_words *words, int *param);
void connection_words_bind(struct query *q, const struct connection_words *words);
/* On PostgreSQL: makes `spans` about `wanted` numbers behind `after`, and answers the first number behind them. Owned by `a`. */
int64_t connection_words_span(struct arena *a, struct connection_words *words, int64_t after, double wanted);
/* The index follows a row's search text; p == NULL: it had none, or has none any more. */
enum err connection_words_follow(struct db *db, int64_t number, struct str before, struct str after, struct fault *why) MUST_CHECK;
/* The text that is stored. */
enum err connection_words_stored(struct db *db, struct arena *a, struct str id, struct str *out, struct fault *why) MUST_CHECK;

/* One step of upkeep, in a transaction of its own; begun with zeros, and again while there is more. */
struct connection_words_upkeep {
    int64_t steps;     /* that were done */
    bool more;
};
enum err connection_words_tidy(struct db *db, struct connection_words_upkeep *u, struct fault *why) MUST_CHECK;

/* How many rows a list would read behind a number: the first SAMPLE of them, and where the last one lies. */
#define CONNECTION_SAMPLE 256
struct connection_sample {
    int64_t count, last;
};
/* Of a statement that answers both. */
enum err connection_sample_end(struct query *q, struct connection_sample *out, struct fault *why) MUST_CHECK;
double connection_sample_share(const struct connection_sample *s, int64_t after); /* 0: fewer than a sample */

#endif
