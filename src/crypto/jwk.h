/* crypto/jwk.h - what the two halves of crypto/jwt.h share. Private to this room. */
#ifndef CRYPTO_JWK_H
#define CRYPTO_JWK_H

#include "base/err.h"
#include "base/str.h"

/* One of the signatures of RFC 7518 3.1 and RFC 8037 that a public key verifies. */
bool jwk_algorithm_known(struct str name);
/* ERR_TOKEN_INVALID with a class of reasons. */
enum err jwt_refused(struct fault *why, struct str reason, const char *note);

#endif
