/* vault/connection_words.h - the index of searches: trigrams of what is searched, and the one place of lists where the engines'
 * statements differ. Private to the room.
 *
 * The table connection_search has a row for each connection, by its number (which FTS5 calls rowid, and so do both). SQLite keeps
 * the trigrams in FTS5, PostgreSQL in a tsvector under GIN: the same ones, of characters as they are, blanks and hyphens too.
 */
#ifndef VAULT_CONNECTION_WORDS_H
#define VAULT_CONNECTION_WORDS_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/db.h"

/* One search on its way. */
struct connection_words {
    struct str like;   /* for LIKE ... ESCAPE '\' on connection.search */
    struct str match;  /* for connection_words_sql(); p == NULL: the search has to go without the index */
    bool exact;        /* what matches needs no second look with LIKE */
    bool none;         /* nothing matches, whatever the folder */
};

/* `search` as people typed it, not empty. Owned by `a`. ERR_STORE. */
enum err connection_words_read(struct db *db, struct arena *a, struct str search, struct connection_words *out,
                               struct fault *why) MUST_CHECK;
/* " AND ...": the condition on connection_search, called s in the statement, that takes `match` as its next parameter. */
void connection_words_sql(struct buf *sql, const struct db *db, int *param);
/* The index follows a row's search text; p == NULL: it had none, or has none any more. */
enum err connection_words_follow(struct db *db, int64_t number, struct str before, struct str after, struct fault *why) MUST_CHECK;

#endif
