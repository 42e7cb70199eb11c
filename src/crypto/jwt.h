/* crypto/jwt.h - JSON web tokens that others signed: read strictly, verified against their published keys, claims held against
 * what is expected. RFC 7515, 7517, 7518, 7519, 8037, 8725.
 *
 * Compact form only. The algorithm must fit the key's own type, and only signatures with public keys exist here: `none` and the
 * HMAC family are refused before any key is looked at, so a public key never becomes an HMAC secret. What a token's header says
 * about keys (jwk, jku, x5u, x5c) is never used; `crit` is refused (RFC 7515 4.1.11).
 *
 * Errors: ERR_TOKEN_INVALID and ERR_TOKEN_EXPIRED; the subject is a class of reasons, the note says more. Neither holds a part of
 * the token but names of algorithms and claims.
 */
#ifndef CRYPTO_JWT_H
#define CRYPTO_JWT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

#define JWT_MAX (16 * 1024)      /* bytes of a token */
#define JWT_LEEWAY_S 60          /* by which clocks may differ */
#define JWK_SET_MAX (256 * 1024) /* bytes of a key set */
#define JWK_SET_KEYS 64          /* keys that are kept of it; the rest is passed over */

/* Public keys of one issuer; immutable, safe from any thread. */
struct jwk_set;
/* Reads {"keys": [...]}. Keys that are of no use here are passed over: unknown types and curves, RSA below 2048 bits, keys for
 * encryption. ERR_UPSTREAM_INVALID when it is no key set. jwk_set_free() by whoever holds it. */
enum err jwk_set_read(struct str text, struct jwk_set **out, struct fault *why) MUST_CHECK;
void jwk_set_free(struct jwk_set *s); /* NULL is fine */
size_t jwk_set_count(const struct jwk_set *s);

/* A token taken apart; nothing in it may be believed before jwt_verify(). Texts are in the arena or the token. */
struct jwt {
    struct str algorithm, kid;   /* kid: STR_NONE when absent */
    struct str signing_input, signature;
    struct json *claims;         /* an object */
};
enum err jwt_read(struct arena *a, struct str token, struct jwt *out, struct fault *why) MUST_CHECK;
/* Three parts with dots between, the first of which begins as a JSON object does. Reads nothing else. */
bool jwt_looks_like(struct str token);

/* Is there a key that this token may have been signed with? Otherwise a fresher set is worth a look. */
bool jwk_set_may_verify(const struct jwk_set *s, const struct jwt *t);
enum err jwt_verify(const struct jwt *t, const struct jwk_set *s, struct fault *why) MUST_CHECK;

/* What the claims must say; empty or 0: not asked for. */
struct jwt_expected {
    struct str issuer;           /* iss, exactly */
    struct str audience;         /* aud is it, or holds it */
    struct str authorized_party; /* azp is it when there; must be there when aud names several (OpenID Connect Core 3.1.3.7) */
    struct str nonce;            /* exactly, in constant time */
    int64_t lifetime_max_s;      /* exp - iat at most; iat is then required */
    wall_ms now;
};
/* exp is always required, nbf and iat are held against the clock when there. *expires: when the token ends, leeway included. */
enum err jwt_check(const struct json *claims, const struct jwt_expected *x, wall_ms *expires, struct fault *why) MUST_CHECK;

/* exp - iat at most, both there; for whoever knows the limit only once the token is believed. */
enum err jwt_check_lifetime(const struct json *claims, int64_t most_s, struct fault *why) MUST_CHECK;

/* A claim by name; a name that begins with '/' is a JSON pointer (RFC 6901). NULL when absent. */
const struct json *jwt_claim(struct arena *a, const struct json *claims, struct str name);
/* Is the claim this text, or a list that holds it? Numbers and booleans compare as written. */
bool jwt_claim_is(const struct json *claim, struct str value);

#endif
