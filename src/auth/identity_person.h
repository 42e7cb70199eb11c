/* auth/identity_person.h - who a person of an identity provider is here, and what its groups give them.
 *
 * A person is known by (provider, subject), never by the address: addresses are given to others. Who comes for the first time is
 * linked to an account of the same verified address, or gets a new one, where the provider's row says so.
 */
#ifndef AUTH_IDENTITY_PERSON_H
#define AUTH_IDENTITY_PERSON_H

#include "auth/identity_provider.h"
#include "auth/oidc.h"

struct identity_admitted {
    struct str user;         /* id */
    bool created, linked;    /* now, for the first time */
    enum role before, role;  /* in the instance */
    bool changed;            /* what is remembered of its rights is out of date */
};
/* Inside store_write(): finds, links or makes the user, and brings role and memberships up to what the provider says today.
 * ERR_SIGN_IN_REFUSED with a class of reasons. */
enum err identity_admit(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                        struct str language, struct identity_admitted *out, struct fault *why) MUST_CHECK;

/* Is it the person of this user, and may it come in? For a session that shows again who it is. ERR_SIGN_IN_REFUSED. */
enum err identity_same(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                       struct str user, struct fault *why) MUST_CHECK;

#endif
