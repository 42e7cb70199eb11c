/* access/share.h - one connection, shared to be used only: with a user, a service account, a group, or who is in a folder. */
#ifndef ACCESS_SHARE_H
#define ACCESS_SHARE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

#define SHARES_MAX 200 /* of one connection */

struct share {
    struct str target, name, kind; /* fld_... and its path, or a principal's id, name and kind */
    wall_ms expires;               /* 0: until revoked */
    struct str shared_by;          /* principal id */
    wall_ms created;
};
enum err share_list(struct db *db, struct arena *a, struct str connection, struct share **out, size_t *n,
                    struct fault *why) MUST_CHECK;
/* New, or with another end. ERR_LIMIT. `kind` "folder" or a principal's; the target is there. */
enum err share_set(struct db *db, struct str connection, const struct share *s, struct fault *why) MUST_CHECK;
/* ERR_NOT_FOUND "share". */
enum err share_remove(struct db *db, struct str connection, struct str target, struct fault *why) MUST_CHECK;

#endif
