/* access/folder.h - the unit of sharing. Two in every instance: "shared", and one personal workspace per user, made when first
 * needed.
 *
 * Paths: "shared", "personal" (the caller's own), "shared/sales" later. Nobody sees another's personal workspace, administrators
 * included.
 */
#ifndef ACCESS_FOLDER_H
#define ACCESS_FOLDER_H

#include "access/caller.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

struct folder_row { struct str id, path, kind /* "shared" | "personal" */, owner; wall_ms created; };

/* ERR_NOT_FOUND "folder", for one that the caller may not see as well. */
enum err folder_resolve(struct db *db, struct arena *a, const struct caller *c, struct str path_or_id, struct folder_row *out,
                        struct fault *why) MUST_CHECK;
/* What the caller may see, by path. */
enum err folder_list(struct db *db, struct arena *a, const struct caller *c, struct folder_row **out, size_t *n,
                     struct fault *why) MUST_CHECK;
/* Found, or made (then `db` must be a writer). */
enum err folder_ensure_personal(struct db *db, struct arena *a, struct str user, struct str *id, struct fault *why) MUST_CHECK;
/* Likewise; `serve` and the CLI call it at start. */
enum err folder_ensure_shared(struct db *db, struct arena *a, struct str *id, struct fault *why) MUST_CHECK;
/* Ids of what a principal may see, for struct caller. */
enum err folder_visible(struct db *db, struct arena *a, struct str principal, struct str **ids, size_t *n,
                        struct fault *why) MUST_CHECK;

#endif
