#include "access/caller.h"

/* A token that is for some connections, folders, actions or paths is not for the instance: with a say there it would take away
 * what others are held by, and see what it is kept from. */
static bool instance_is_left(const struct caller *c, enum right right)
{
    static const enum narrow_kind kinds[] = { NARROW_CONNECTION, NARROW_FOLDER, NARROW_ACTION, NARROW_PATH };
    const unsigned instance = RIGHT_BIT(RIGHT_PEOPLE) | RIGHT_BIT(RIGHT_POLICIES) | RIGHT_BIT(RIGHT_AUDIT_READ) |
                              RIGHT_BIT(RIGHT_KEYS) | RIGHT_BIT(RIGHT_OWNERS);
    bool narrowed = false;
    for (size_t i = 0; i < COUNT(kinds); i++)
        narrowed |= c->narrow.lists[kinds[i]].set;
    return !narrowed || !(instance & RIGHT_BIT(right));
}

bool caller_may(const struct caller *c, enum right right)
{
    if (!c)
        return role_has(ROLE_NONE, right);
    if (!instance_is_left(c, right))
        return false;
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
