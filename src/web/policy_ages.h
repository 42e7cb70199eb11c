/* web/policy_ages.h - what policies say of time: credentials that are too old to be used, connections that nobody uses (GOV-08).
 *
 * That old credentials are refused is decided at each call (access/policy.h, call/switchboard.h). Here the calendar is walked: the
 * health of connections tells 30 days ahead that their credentials are due, and what is idle is disabled, with a record in the
 * audit log and a line in the log that names the owner.
 */
#ifndef WEB_POLICY_AGES_H
#define WEB_POLICY_AGES_H

#include "access/policy.h"
#include "web/web.h"

/* Everything that is due at `now`, page by page; stops early once *stop. Of one thread at a time. */
void policy_ages_round(struct hub *hub, wall_ms now, const _Atomic bool *stop);
/* Since when nobody has used or changed it, in a slack of the ten minutes in which use is noted. */
bool policy_ages_idle(const struct policy_set *set, const struct policy_subject *s, wall_ms used, wall_ms updated, wall_ms now,
                      const struct policy **policy);

#endif
