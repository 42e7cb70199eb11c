/* access/folder_tree.h - changing the tree of shared folders: making, moving, narrowing, removing, and who is a member.
 *
 * Rights are the caller's to check. All runs inside the caller's transaction; folder_above is right again when it ends.
 */
#ifndef ACCESS_FOLDER_TREE_H
#define ACCESS_FOLDER_TREE_H

#include "access/folder.h"

#define FOLDER_MEMBERS_MAX 500
#define FOLDERS_IN_ONE 1000

/* The last piece of a path: 1 to 63 of a-z 0-9 - _, not beginning with - or _. ERR_FIELD_INVALID. */
enum err folder_slug_check(struct str slug, struct fault *why) MUST_CHECK;
/* Below `parent`, which is a shared folder. ERR_CONFLICT (path), ERR_LIMIT (depth, length). */
enum err folder_create(struct db *db, struct arena *a, const struct folder_row *parent, struct str slug, enum preset preset,
                       bool inherits, struct str *id, struct fault *why) MUST_CHECK;
/* Slug, preset, inherits of `row`, and its place below `parent` (NULL: where it is), with all that is below it. `shared` keeps its
 * name and place, has a preset of its own and inherits nothing. ERR_PRECONDITION_FAILED when row->revision is not the stored one;
 * ERR_CONFLICT, ERR_LIMIT; ERR_FIELD_INVALID for a place below itself. */
enum err folder_change(struct db *db, struct arena *a, const struct folder_row *row, const struct folder_row *parent,
                       struct fault *why) MUST_CHECK;
/* ERR_LIMIT, whose subject says what is left in it. */
enum err folder_remove(struct db *db, const struct folder_row *row, struct fault *why) MUST_CHECK;

/* A personal workspace becomes the shared folder of this path, right below "shared", which inherits nothing. */
enum err folder_adopt(struct db *db, struct str id, struct str path, struct fault *why) MUST_CHECK;

/* -- members -- */

struct folder_member {
    struct str principal, name, kind; /* name and kind: when read */
    enum role role;
    wall_ms expires;                  /* 0: never */
};
/* By name. */
enum err folder_members(struct db *db, struct arena *a, struct str folder, struct folder_member **out, size_t *n,
                        struct fault *why) MUST_CHECK;
/* These, and no others; bumps the folder's revision. */
enum err folder_members_set(struct db *db, struct str folder, const struct folder_member *members, size_t n,
                            struct fault *why) MUST_CHECK;

#endif
