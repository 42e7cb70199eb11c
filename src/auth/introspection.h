/* auth/introspection.h - is a token still good, by its server's own word? RFC 7662; requirement 9.9. */
#ifndef AUTH_INTROSPECTION_H
#define AUTH_INTROSPECTION_H

#include "auth/token_request.h"

enum introspected {
    INTROSPECTED_UNKNOWN, /* the answer says nothing: neither good nor dead may be concluded */
    INTROSPECTED_ACTIVE,
    INTROSPECTED_DEAD     /* `active` is false: expired, revoked, or never known */
};

/* To the profile's introspection endpoint. `hint`: access_token or refresh_token. *out is the caller's to end, an error or not.
 * ERR_NOT_IMPLEMENTED: it has none. */
enum err introspection_build(struct arena *a, const struct oauth_profile *p, struct secret token, struct str hint, wall_ms now,
                             struct token_request *out, struct fault *why) MUST_CHECK;
/* Members beside `active` are optional. *expires: when it ends, 0: not said. */
enum introspected introspection_read(const struct fetch_answer *f, wall_ms *expires);

#endif
