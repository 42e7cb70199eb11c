/* auth/assertion.h - a short-lived signed statement: who a client is, or for whom a token is wanted. RFC 7521, 7523. Private to
 * auth/.
 *
 * Issued 30 s back, for clocks that differ; over after five minutes at most; with an id of its own (requirements 9.2, 11.3).
 */
#ifndef AUTH_ASSERTION_H
#define AUTH_ASSERTION_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"

#define ASSERTION_LEEWAY_S 30
#define ASSERTION_LIFETIME_S 300 /* from iat to exp */

struct assertion {
    struct str algorithm;           /* crypto/jwt_sign.h; empty: the key says it */
    struct str kid, thumbprint;     /* thumbprint: x5t#S256 */
    struct str issuer, subject, audience, scope; /* empty: left out */
    const struct json *claims;      /* more of them; may be NULL. The above are not replaced by these */
    int64_t lifetime_s;             /* from now on; 0, or more than there is: ASSERTION_LIFETIME_S less the leeway */
};
/* *out is the caller's to end. ERR_FIELD_INVALID for a key that does not fit, ERR_CRYPTO. */
/* `lifetime` of the setting `assertion`, in seconds; 0: it says none. */
int64_t assertion_lifetime(const struct json *setting);
enum err assertion_sign(const struct assertion *x, struct secret key, wall_ms now, struct secret *out,
                        struct fault *why) MUST_CHECK;

#endif
