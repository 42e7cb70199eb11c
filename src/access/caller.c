#include "access/caller.h"

bool caller_may(const struct caller *c, enum right right)
{
    if (!c)
        return role_has(ROLE_NONE, right);
    return role_has(c->role, right) && (c->narrowed == ROLE_NONE || role_has(c->narrowed, right));
}

enum role caller_role(const struct caller *c)
{
    return c->narrowed != ROLE_NONE && role_within(c->narrowed, c->role) ? c->narrowed : c->role;
}

void caller_asked(const struct caller *c, enum right right)
{
    if (c->asked)
        *c->asked |= RIGHT_BIT(right);
}

bool caller_narrowed(const struct caller *c)
{
    bool narrowed = false;
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        narrowed |= c->narrow.lists[k].set;
    return narrowed;
}

bool caller_granted(const struct caller *c, struct str connection_id)
{
    return !caller_limited(c) || narrow_list_holds(caller_connections(c), connection_id);
}
