/* auth/pkce.h - proof key for code exchange, S256 only. RFC 7636. */
#ifndef AUTH_PKCE_H
#define AUTH_PKCE_H

#include "base/arena.h"

#define PKCE_VERIFIER 44 /* 43 characters of base64url, 256 random bits (requirement 8.2), and NUL */

void pkce_verifier(char out[PKCE_VERIFIER]);
/* The parameter code_challenge; code_challenge_method is S256. */
struct str pkce_challenge(struct arena *a, struct str verifier);

#endif
