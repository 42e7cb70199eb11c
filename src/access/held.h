/* access/held.h - every role that somebody holds: the one in the instance, and those of memberships in folders, one's own and one's
 * groups'. A token has one role, which only takes away; what it should leave is told by these. */
#ifndef ACCESS_HELD_H
#define ACCESS_HELD_H

#include "access/caller.h"
#include "store/db.h"

#define ROLE_BIT(role) (1u << (role))

/* A principal and its groups; $N is the principal. */
#define SELF_AND_GROUPS(N) "(SELECT " N " UNION ALL SELECT group_id FROM group_member WHERE member_id = " N ")"

/* ROLE_BIT()s of what the principal holds in folders today. */
enum err held_in_folders(struct db *db, struct arena *a, struct str principal, unsigned *out, struct fault *why) MUST_CHECK;
/* Are all rights of `role` among those of one of these roles? */
bool held_within(unsigned held, enum role role);

#endif
