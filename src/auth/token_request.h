/* auth/token_request.h - one request to a token endpoint, ready to be sent: the grant's parameters, and the client's proof of
 * itself. No network, no store. RFC 6749 2.3 and 4, 7521, 7523, 8705, 9449.
 */
#ifndef AUTH_TOKEN_REQUEST_H
#define AUTH_TOKEN_REQUEST_H

#include "auth/form.h"
#include "auth/oauth_profile.h"
#include "http/fetch.h"

struct token_request {
    struct fetch_request http;     /* its body and headers point into what follows */
    struct secret body, authorization, proof, url;
    struct secret more[8];         /* values of further headers that hold secrets */
};

enum token_step { TOKEN_FIRST, TOKEN_REFRESH }; /* which client authentication and which extra parameters (OAU-30) */

/* To `url` (the token endpoint, or another of the same server). `params` first, then the profile's, then the client's proof. Of one
 * name there is one: what the profile says replaces what `params` say, and an empty text leaves the parameter out.
 * `dpop_key` (PKCS#8 PEM; n == 0: none) and `nonce` make the DPoP proof. *out is the caller's to end, an error or not.
 * ERR_FIELD_INVALID: a key that does not fit its algorithm; ERR_CRYPTO: one that cannot sign. */
enum err token_request_build(struct arena *a, const struct oauth_profile *p, struct str url, enum token_step step,
                             const struct token_param *params, size_t n, struct secret dpop_key, struct str nonce, wall_ms now,
                             struct token_request *out, struct fault *why) MUST_CHECK;
void token_request_end(struct token_request *r);

#endif
