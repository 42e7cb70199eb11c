/* access/departure.h - somebody leaves: what is theirs goes to another, and what rests on their consent is named (FLD-07).
 *
 * The personal workspace becomes a shared folder of its own, which inherits nothing and which the new one administers: connections
 * keep their folder and their keys. Owned connections elsewhere change hands. The account is disabled; its sessions end, its tokens
 * are revoked, its memberships, shares, open invitation and links to identity providers go; the caller takes its second factor off
 * (access/second_factor.h), whose secret is kept elsewhere. Nothing stored is unsealed on the way.
 */
#ifndef ACCESS_DEPARTURE_H
#define ACCESS_DEPARTURE_H

#include "access/group.h"
#include "base/arena.h"
#include "base/err.h"
#include "store/db.h"

#define DEPARTURE_GRANTS 200

struct departure_grant { struct str id, key, name, auth_type; };
struct departure {
    struct str workspace;           /* folder id; p == NULL: never made */
    struct str workspace_path;      /* what it becomes; p == NULL: it was empty, and goes */
    int64_t workspace_connections, owned_connections, tokens, memberships;
    /* Connections that rest on this person's own consent at the provider: to be authorised anew by another. The first ones. */
    struct departure_grant grants[DEPARTURE_GRANTS];
    size_t grant_count;
};

/* What there is; changes nothing. */
enum err departure_plan(struct db *db, struct arena *a, const struct principal_row *who, struct departure *out,
                        struct fault *why) MUST_CHECK;
/* In the caller's transaction. `to` is a user who stays. */
enum err departure_carry_out(struct db *db, struct arena *a, const struct principal_row *who, const struct principal_row *to,
                             struct departure *out, struct fault *why) MUST_CHECK;

#endif
