/* crypto/jwk.h - what the halves of crypto/jwt.h and crypto/jwt_sign.h share. Private to this room. */
#ifndef CRYPTO_JWK_H
#define CRYPTO_JWK_H

#include "base/err.h"
#include "base/str.h"

/* One of the signatures of RFC 7518 3.1 and RFC 8037 that a public key verifies. */
enum jwk_family { JWK_RSA_PKCS1, JWK_RSA_PSS, JWK_ECDSA, JWK_ED25519 };
struct jwk_algorithm {
    const char *name, *digest; /* digest NULL: the signature has its own */
    enum jwk_family family;
    const char *curve;         /* ECDSA: RFC 7518 3.4 ties each to one */
    size_t half;               /* ECDSA: bytes of r, and of s */
};
const struct jwk_algorithm *jwk_algorithm(struct str name); /* NULL: unknown */
/* ERR_TOKEN_INVALID with a class of reasons. */
enum err jwt_refused(struct fault *why, struct str reason, const char *note);

#endif
