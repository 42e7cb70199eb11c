/* vault/trash.h - deleted connections, which can be brought back for a while (CON-39).
 *
 * A deleted connection is in nobody's way: connection_get(), connection_find() and lists do not find it, its key is free for
 * another, no call goes through it. Its row, and its secrets unless they were destroyed at once, stay until trash_empty() or
 * connection_delete() ends them for good; then its data key is destroyed too.
 */
#ifndef VAULT_TRASH_H
#define VAULT_TRASH_H

#include "vault/connection.h"

/* All of these run inside the caller's transaction; rights are not checked here. */

/* row->state, deleted, is_default and revision are the new ones on success. With `destroy` its secrets and data key go now.
 * ERR_PRECONDITION_FAILED when row->revision is not the stored one. */
enum err trash_put(struct db *db, struct connection_row *row, struct str by, bool destroy, struct fault *why) MUST_CHECK;
/* A deleted one, by id. ERR_CONNECTION_NOT_FOUND, for one that is not deleted as well. */
enum err trash_get(struct db *db, struct arena *a, struct str id, struct connection_row *out, struct fault *why) MUST_CHECK;
/* Back where it was, under `key` (p == NULL: its own). Without secrets it needs_auth. It is the default again only where there is
 * none. ERR_CONFLICT: another has the key now. */
enum err trash_restore(struct db *db, struct arena *a, struct connection_row *row, struct str key, struct fault *why) MUST_CHECK;

/* One step of upkeep: at most `most` connections deleted before `rows_before` go for good, and the secrets of as many deleted
 * before `secrets_before`. *done: how many were touched; 0: nothing is left to do. */
struct trash_ages {
    wall_ms rows_before, secrets_before;
    int most;
};
enum err trash_empty(struct db *db, const struct trash_ages *ages, int64_t *done, struct fault *why) MUST_CHECK;

#endif
