/* auth/dpop.h - proof that who shows a token holds the key that it was given for. RFC 9449.
 *
 * A connection has a key of its own. A nonce of the authorization server is not one of the API's: each is kept where it came from.
 */
#ifndef AUTH_DPOP_H
#define AUTH_DPOP_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/jwt_sign.h"
#include "crypto/secret.h"

/* A new key, as PKCS#8 PEM: the grant's value "dpop_key". ERR_CRYPTO. */
enum err dpop_key_new(struct secret *pem, struct fault *why) MUST_CHECK;
enum err dpop_key_open(struct secret pem, struct jwt_key **out, struct fault *why) MUST_CHECK;
/* The key's thumbprint, for the parameter dpop_jkt of an authorization request (10). */
struct str dpop_thumbprint(struct arena *a, const struct jwt_key *key);

/* The value of a DPoP header. `url`: query and fragment are cut off. `nonce`, `ath` empty: none. *out is the caller's to end.
 * ERR_CRYPTO. */
enum err dpop_proof(struct arena *a, const struct jwt_key *key, struct str method, struct str url, struct str nonce,
                    struct str ath, wall_ms now, struct secret *out, struct fault *why) MUST_CHECK;
/* The claim ath (4.2). */
struct str dpop_ath(struct arena *a, struct str access_token);

#endif
