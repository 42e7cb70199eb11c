/* access/rights.h - what a caller may in a folder, and on one connection.
 *
 * Rights add up: the own role, which is held in `shared` and comes down from there; memberships of oneself and of one's groups,
 * each from its folder down; for administrators and auditors, every shared folder. A folder that does not inherit lets through what
 * is held in it or below it, and administrators, and nothing else. A preset changes what editors and users may. Nobody but its
 * owner has rights in a personal workspace. From all that, a token takes away what its own role has not.
 *
 * Nothing here is remembered: who changes a role, a member, a group, a share or a folder ends with switchboard_forget_tokens().
 */
#ifndef ACCESS_RIGHTS_H
#define ACCESS_RIGHTS_H

#include "access/caller.h"
#include "base/clock.h"
#include "store/db.h"
#include "store/folder_scope.h"
#include "store/many.h"

struct rights {
    unsigned mask;      /* RIGHT_BIT()s */
    wall_ms until;      /* when a membership or share among them ends; 0: none does */
    struct str path;    /* of the folder, as the caller knows it; STR_NONE when it may not see the folder */
};

/* A folder that is not there: no rights. Errors: the store's. */
enum err rights_in_folder(struct db *db, struct arena *a, const struct caller *c, struct str folder, struct rights *out,
                          struct fault *why) MUST_CHECK;
/* The same for a page of folders, out[i] for folders->keys[i]. */
enum err rights_in_folders(struct db *db, struct arena *a, const struct caller *c, const struct many *folders, struct rights *out,
                           struct fault *why) MUST_CHECK;
/* The folder's, and those of shares of this one connection (view and use). A token limited to others: none. */
enum err rights_on_connection(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct str folder,
                              struct rights *out, struct fault *why) MUST_CHECK;
/* ERR_DENIED, whose subject says which right is missing and in which folder. A folder that the caller may not see is not there:
 * ERR_NOT_FOUND "folder"; in the second, ERR_CONNECTION_NOT_FOUND. */
enum err rights_need(struct db *db, struct arena *a, const struct caller *c, struct str folder, enum right right,
                     struct fault *why) MUST_CHECK;
enum err rights_need_on_connection(struct db *db, struct arena *a, const struct caller *c, struct str connection, struct str folder,
                                   enum right right, struct fault *why) MUST_CHECK;
/* All that the caller sees, for lists. ERR_LIMIT beyond 1000 memberships. */
enum err rights_visible(struct db *db, struct arena *a, const struct caller *c, struct folder_scope *out,
                        struct fault *why) MUST_CHECK;
/* May the caller give `role` to somebody, in the instance? Nobody gives a right that they do not have: not one above the own role,
 * and none at all with a token that is narrowed, since what is given would not be. ERR_DENIED. */
enum err rights_may_give(const struct caller *c, enum role role, struct fault *why) MUST_CHECK;
/* To a token of one's own: there, the roles of one's memberships count too, administrators' as well. The token only takes away from
 * them, and in the instance may no more than its principal. */
enum err rights_may_hold(struct db *db, struct arena *a, const struct caller *c, enum role role, struct fault *why) MUST_CHECK;
/* The same for a membership of a folder. A token narrowed to folders gives it in those. */
enum err rights_may_give_in(struct db *db, struct arena *a, const struct caller *c, struct str folder, enum role role,
                            struct fault *why) MUST_CHECK;

/* Rights of somebody who does not ask: for previews. `role` is theirs in the instance. */
enum err rights_of(struct db *db, struct arena *a, struct str principal, enum role role, struct str folder, unsigned *mask,
                   struct fault *why) MUST_CHECK;

#endif
