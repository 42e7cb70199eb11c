/* vault/connection_walk.h - rows of connections walked in the order of their numbers, for connection_list.c alone: led by an index,
 * held against the folders that are seen, and merged with what was found elsewhere. No row is read that an index can judge. */
#ifndef VAULT_CONNECTION_WALK_H
#define VAULT_CONNECTION_WALK_H

#include "base/buf.h"
#include "store/folder_scope.h"
#include "vault/connection.h"
#include "vault/connection_words.h"

#define WALK_SQL_MAX (64 * 1024)
#define WALK_SPARE 1.25 /* more than a page is thought to need */

/* What is walked: rows themselves, the places of a word, or those of a tag. */
enum lead { LEAD_ROWS, LEAD_SEARCH, LEAD_TAG };

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
    double seen;                /* share of all folders, on PostgreSQL; 0: not known */
};

/* " AND ..." for each filter; *param is the number of the last parameter in use. Bind in the same order. */
void walk_filters_sql(struct buf *sql, const struct walk *w, enum lead lead, int *param);
void walk_filters_bind(struct query *q, const struct walk *w, enum lead lead);
enum err walk_too_long(struct fault *why) MUST_CHECK;

/* Merges `n` numbers of one place, which stand behind what was found, into it. */
void walk_merge(struct walk *w, size_t n);
/* Which rows are shared singly: before any walk. */
enum err walk_read_shared(struct walk *w, struct fault *why) MUST_CHECK;
/* Finds what is seen, led by one of these; all of `w` that is behind the cursor and before what was found already. */
enum err walk_rows(struct walk *w, enum lead lead, struct fault *why) MUST_CHECK;

/* Deleted ones and defaults are few, and their own indexes hold what is asked of them. */
bool walk_is_kind(const struct connection_filter *f);
/* Those that there are and the filter takes; then all of them, one behind the other. */
enum err walk_read_cells(struct walk *w, struct fault *why) MUST_CHECK;
enum err walk_cells(struct walk *w, struct fault *why) MUST_CHECK;

#endif
