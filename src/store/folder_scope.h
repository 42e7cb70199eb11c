/* store/folder_scope.h - which folders a list looks into, as a condition of SQL. What the rights are is for access/ to know
 * (rights_visible() fills it); lists of connections, runs and records need the answer only, without thousands of ids in each.
 *
 * Of each folder, folder_above has a row for itself and for every folder above it. `inherited` is 0 past a folder that does not
 * inherit: what is held above it does not reach down to here.
 */
#ifndef STORE_FOLDER_SCOPE_H
#define STORE_FOLDER_SCOPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/db.h"
#include "store/many.h"

struct folder_map;
struct folder_node;

#define FOLDER_SCOPE_FEW 64

struct folder_scope {
    /* Up to FOLDER_SCOPE_FEW folders are named one by one. */
    bool few;
    const struct str *folders; size_t folder_count;
    /* More than that: what is at or below one of these ... */
    const struct str *above; size_t above_count;
    struct str all;             /* ... and below this one all, whether it inherits or not; p == NULL: no such */
    /* Beside the folders: connections that are shared singly. */
    const struct str *connections; size_t connection_count;
};

/* " (<column> IN (...))" or an EXISTS: `column` holds a folder's id, in the query's own words. *param: the number of the last
 * parameter in use; bind with folder_scope_bind() when its turn comes. Few texts for many scopes: statements are kept. */
void folder_scope_sql(struct buf *sql, const struct folder_scope *s, const char *column, int *param);
void folder_scope_bind(struct query *q, const struct folder_scope *s);
/* The same, with the singly shared connections: `connection` is the column of a connection's id. */
void folder_scope_connections_sql(struct buf *sql, const struct folder_scope *s, const char *column, const char *connection,
                                  int *param);
void folder_scope_connections_bind(struct query *q, const struct folder_scope *s);
/* `most` of the folders of a scope that does not name them, each once; found from above, so that others cost nothing. Bind with
 * folder_scope_bind(). */
void folder_scope_folders_sql(struct buf *sql, const struct db *db, int most, int *param);
/* For one folder. */
enum err folder_scope_holds(struct db *db, const struct folder_scope *s, struct str folder, bool *out,
                            struct fault *why) MUST_CHECK;
bool folder_scope_shares(const struct folder_scope *s, struct str connection);

/* The folders of a scope for thousands of questions, none of which costs a statement: the tree is in memory. Connections that are
 * shared singly are not among them. */
struct folder_sight {
    /* Private. */
    struct many folders;
    struct folder_map *map;            /* NULL: the folders are named */
    const struct folder_node *below;
    bool *above;
};
/* Within one db_snapshot(). Owned by `a`, but for what folder_sight_end() gives back. ERR_STORE. */
enum err folder_sight_begin(struct db *db, struct arena *a, const struct folder_scope *s, struct folder_sight *out,
                            struct fault *why) MUST_CHECK;
void folder_sight_end(struct folder_sight *s); /* zeros are fine */
bool folder_sight_holds(const struct folder_sight *s, struct str folder);
/* Which part of all folders; 0: they are named, and nobody counted. */
double folder_sight_share(const struct folder_sight *s);
/* The folders, if they are `most` at most; else *n = most + 1. Owned by `a` and the sight. */
void folder_sight_folders(const struct folder_sight *s, struct arena *a, size_t most, const struct str **out, size_t *n);

#endif
