#include "access/held.h"

#include "base/clock.h"

enum err held_in_folders(struct db *db, struct arena *a, struct str principal, unsigned *out, struct fault *why)
{
    struct query *q = query_begin(db,
        "SELECT DISTINCT role FROM folder_member WHERE (expires_ms = 0 OR expires_ms > $2)"
        " AND principal_id IN " SELF_AND_GROUPS("$1"));
    query_text(q, principal);
    query_i64(q, clock_wall());
    *out = 0;
    while (query_next(q)) {
        enum role held = ROLE_NONE;
        if (role_parse(query_get_text(q, 0, a), &held))
            *out |= ROLE_BIT(held);
    }
    return query_end(q, why);
}

bool held_within(unsigned held, enum role role)
{
    for (enum role r = ROLE_NONE + 1; r < ROLE_COUNT; r++)
        if (held & ROLE_BIT(r) && role_within(role, r))
            return true;
    return false;
}
