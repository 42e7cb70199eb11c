/* access/group.h - principals, by id or name; and groups of them, which may be members of folders like anybody. */
#ifndef ACCESS_GROUP_H
#define ACCESS_GROUP_H

#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

#define GROUP_MEMBERS_MAX 1000

struct principal_row {
    struct str id, name, kind; /* user, service_account, group */
    enum role role;            /* ROLE_NONE for a group */
    bool disabled;
};
/* By id, e-mail address, or name of a service account or group. ERR_NOT_FOUND "principal"; ERR_AMBIGUOUS for a name of several. */
enum err principal_find(struct db *db, struct arena *a, struct str id_or_name, struct principal_row *out,
                        struct fault *why) MUST_CHECK;

struct group_row {
    struct str id, name;
    int64_t members, revision;
    wall_ms created, updated;
};
/* ERR_FIELD_INVALID, ERR_CONFLICT for a name that is taken. */
enum err group_create(struct db *db, struct arena *a, struct str name, struct str *id, struct fault *why) MUST_CHECK;
/* By id or name. ERR_NOT_FOUND "group". */
enum err group_get(struct db *db, struct arena *a, struct str id_or_name, struct group_row *out, struct fault *why) MUST_CHECK;
enum err group_list(struct db *db, struct arena *a, struct str after, int limit, struct group_row **out, size_t *n,
                    struct fault *why) MUST_CHECK;
/* ERR_PRECONDITION_FAILED when the revision is not the stored one. */
enum err group_rename(struct db *db, const struct group_row *row, struct str name, struct fault *why) MUST_CHECK;
enum err group_delete(struct db *db, const struct group_row *row, struct fault *why) MUST_CHECK;
enum err group_members(struct db *db, struct arena *a, struct str group, struct principal_row **out, size_t *n,
                       struct fault *why) MUST_CHECK;
/* These, and no others. A group has no groups in it. ERR_LIMIT, ERR_FIELD_INVALID. */
enum err group_members_set(struct db *db, struct str group, const struct principal_row *members, size_t n,
                           struct fault *why) MUST_CHECK;

#endif
