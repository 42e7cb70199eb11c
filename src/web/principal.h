/* web/principal.h - names of principals for answers, and service accounts. */
#ifndef WEB_PRINCIPAL_H
#define WEB_PRINCIPAL_H

#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "store/many.h"

/* E-mail address or account name; STR_NONE when the principal is gone. */
struct str principal_name(struct db *db, struct arena *a, struct str id);
/* The same for a page, names[i] for ids->keys[i]. */
enum err principal_names(struct db *db, struct arena *a, const struct many *ids, struct str *names, struct fault *why) MUST_CHECK;

struct service_account {
    struct str id, name;
    enum role role;
    bool disabled;
    wall_ms created, updated;
    int64_t revision;
};
/* By id or name. ERR_NOT_FOUND. */
enum err service_account_get(struct db *db, struct arena *a, struct str id, struct service_account *out,
                             struct fault *why) MUST_CHECK;
/* By id; `after` is the last id of the page before, or empty. */
enum err service_account_list(struct db *db, struct arena *a, struct str after, int limit, struct service_account **out, size_t *n,
                              struct fault *why) MUST_CHECK;
/* Name, role, disabled. ERR_PRECONDITION_FAILED when the revision is not the stored one, ERR_CONFLICT for a name that is taken. */
enum err service_account_update(struct db *db, struct service_account *row, struct fault *why) MUST_CHECK;
/* With its tokens. */
enum err service_account_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK;

#endif
