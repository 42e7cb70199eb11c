/* crypto/jwt_sign.h - JSON web tokens that we sign: proofs of a client, assertions, DPoP. RFC 7515, 7518, 7519, 7638, 8037.
 *
 * Compact form. What is signed is a credential for as long as it lives, so it stays in secret memory.
 */
#ifndef CRYPTO_JWT_SIGN_H
#define CRYPTO_JWT_SIGN_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

struct jwt_key; /* a key with its algorithm; immutable, safe from any thread */

/* RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA with a private key (crypto/private_key.h); HS256, HS384,
 * HS512 with any bytes; empty: the usual one for the private key's kind. ERR_FIELD_INVALID: the algorithm is none of these, or the
 * key does not fit it; and those of private_key_read(). jwt_key_free() by whoever holds it. */
enum err jwt_key_open(struct str algorithm, struct secret key, struct jwt_key **out, struct fault *why) MUST_CHECK;
void jwt_key_free(struct jwt_key *k); /* NULL is fine; wipes */
/* The public half as a JSON web key, members in the order of RFC 7638 3.2. STR_NONE for HS*. */
struct str jwt_key_public(const struct jwt_key *k, struct arena *a);
/* SHA-256 of such a text, base64url: RFC 7638. */
struct str jwt_thumbprint(struct arena *a, struct str jwk);

/* Empty: left out. `jwk` is JSON. `alg` is the key's. */
struct jwt_head { struct str type, kid, x5t_s256, jwk; };
/* `claims` is JSON. *out is the caller's to end. ERR_CRYPTO. */
enum err jwt_sign(const struct jwt_key *k, const struct jwt_head *h, struct str claims, struct secret *out,
                  struct fault *why) MUST_CHECK;
/* The same with a header of one's own, which must name the key's algorithm. */
enum err jws_sign(const struct jwt_key *k, struct str header, struct str payload, struct secret *out, struct fault *why) MUST_CHECK;

#endif
