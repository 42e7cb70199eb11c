/* auth/identity_groups.h - the groups of an identity provider that have a role in a folder, as groups here.
 *
 * Each is a group named "<provider's key>/<group>", a member of its folders with the mapped roles. People join and leave it at
 * sign-in; groups and memberships that an administrator made are not touched.
 */
#ifndef AUTH_IDENTITY_GROUPS_H
#define AUTH_IDENTITY_GROUPS_H

#include "auth/identity_provider.h"
#include "auth/oidc.h"

/* All inside store_write(). */

/* After the row was written: its groups and their places in folders become what its mappings say. ERR_FIELD_INVALID with the
 * pointer for a folder that is not there. */
enum err identity_groups_apply(struct db *db, struct arena *a, const struct identity_provider *p, struct fault *why) MUST_CHECK;
/* The user is in those of the row's groups that the provider names today, and in no other of them. *changed: it was not so before.
 */
enum err identity_groups_join(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                              struct str user, bool *changed, struct fault *why) MUST_CHECK;
/* Before the row goes. */
enum err identity_groups_remove(struct db *db, struct str provider, struct fault *why) MUST_CHECK;

#endif
