#include "access/caller.h"

bool caller_may(const struct caller *c, enum right right) { return role_has(c ? c->role : ROLE_NONE, right); }

static bool among(const struct str *ids, size_t n, struct str id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(ids[i], id))
            return true;
    return false;
}

bool caller_may_connection(const struct caller *c, struct str connection_id, struct str folder)
{
    return c && among(c->folders, c->folder_count, folder) &&
           (!c->limited || among(c->connections, c->connection_count, connection_id));
}
