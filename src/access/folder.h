/* access/folder.h - the unit of sharing: the tree below "shared", and one personal workspace per user, made when first needed.
 *
 * Paths: "shared", "shared/sales", "personal" (the caller's own). Nobody sees another's personal workspace, administrators
 * included. Rights come down the tree (access/rights.h). Kept with each folder: its row, and its rows in folder_above.
 */
#ifndef ACCESS_FOLDER_H
#define ACCESS_FOLDER_H

#include "access/caller.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"
#include "store/folder_scope.h"

#define FOLDER_DEPTH 8          /* folders below each other, with "shared" */
#define FOLDER_PATH_MAX 512     /* bytes */

struct folder_row {
    struct str id, path, kind /* "shared" | "personal" */, owner, parent, slug;
    struct str sort;            /* the path as it is stored: what lists go by */
    enum preset preset;
    bool inherits;
    int64_t revision;
    wall_ms created, updated;
};

/* By path or id. ERR_NOT_FOUND "folder", for one that the caller may not see as well. */
enum err folder_resolve(struct db *db, struct arena *a, const struct caller *c, struct str path_or_id, struct folder_row *out,
                        struct fault *why) MUST_CHECK;
/* By id, whoever asks: rights are the caller's to check. ERR_NOT_FOUND "folder". */
enum err folder_get(struct db *db, struct arena *a, struct str id, struct folder_row *out, struct fault *why) MUST_CHECK;
/* paths[i] of folders->keys[i], as who sees `seen` knows it: STR_NONE of one that is not in there. For pages, within the
 * db_snapshot() of the sight: rights are not looked at again. */
enum err folder_paths(struct db *db, struct arena *a, const struct folder_sight *seen, const struct many *folders,
                      struct str *paths, struct fault *why) MUST_CHECK;
/* What the caller may see, by path; `after` is `sort` of the last one of the page before, or empty. */
enum err folder_list(struct db *db, struct arena *a, const struct caller *c, struct str after, int limit, struct folder_row **out,
                     size_t *n, struct fault *why) MUST_CHECK;
/* Found, or made (then `db` must be a writer). */
enum err folder_ensure_personal(struct db *db, struct arena *a, struct str user, struct str *id, struct fault *why) MUST_CHECK;
/* Likewise; `serve` and the CLI call it at start. */
enum err folder_ensure_shared(struct db *db, struct arena *a, struct str *id, struct fault *why) MUST_CHECK;

#endif
