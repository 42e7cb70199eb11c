/* access/user.h - users and service accounts. */
#ifndef ACCESS_USER_H
#define ACCESS_USER_H

#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

struct user_row {
    struct str id, email, language;
    enum role role;
    bool disabled;
    wall_ms created, updated;
    int64_t revision;
};

/* The e-mail address is kept in lower case and unique. ERR_FIELD_INVALID (email, language, role), ERR_CONFLICT. */
enum err user_create(struct db *db, struct arena *a, struct str email, struct str password_hash /* NULL: cannot sign in */,
                     enum role role, struct str language, struct str *id, struct fault *why) MUST_CHECK;
enum err user_get(struct db *db, struct arena *a, struct str id, struct user_row *out, struct fault *why) MUST_CHECK;
/* By id, which is by age; `after` is the last id of the page before, or empty. */
enum err user_list(struct db *db, struct arena *a, struct str after, int limit, struct user_row **out, size_t *n,
                   struct fault *why) MUST_CHECK;
/* Writes the row back; `revision` must be the one that was read (ERR_PRECONDITION_FAILED), and is the new one afterwards, as is
 * `updated`. A new password, and disabling, end all sessions of the user. ERR_LIMIT when the last owner would be demoted or
 * disabled. */
enum err user_update(struct db *db, struct user_row *row, struct str password_hash /* NULL: keep */, struct fault *why) MUST_CHECK;
enum err user_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK; /* refuses the last owner: ERR_LIMIT */
enum err user_count(struct db *db, int64_t *out, struct fault *why) MUST_CHECK;
/* The role is for a new account; one that exists keeps its own. */
enum err service_account_find_or_create(struct db *db, struct arena *a, struct str name, enum role role, struct str *id,
                                        struct fault *why) MUST_CHECK;
#define USER_EMAIL 254 /* RFC 5321 4.5.3.1.3, less the angle brackets */
/* As it is kept, in small letters, with a NUL. What mail servers take is wider than any rule; this keeps out what can only be a
 * mistake or a trick. */
bool user_email_parse(struct str s, char out[USER_EMAIL + 1]);

#endif
