/* auth/oauth1.h - the signature of OAuth 1.0 (RFC 5849 3.4), for the method of that name and its tests. Private to auth/. */
#ifndef AUTH_OAUTH1_H
#define AUTH_OAUTH1_H

#include "auth/method.h"
#include "crypto/digest.h"

struct oauth1 {
    struct str consumer_key, token; /* token.p == NULL: two-legged */
    struct str timestamp, nonce;
    enum digest_kind kind;
    bool version;                   /* say oauth_version="1.0" */
};

struct str oauth1_method_name(enum digest_kind kind); /* "HMAC-SHA256" ... */
/* The signature base string (3.4.1). Of q->body only forms count, and q->content_type says what it is. */
void oauth1_base(struct arena *a, const struct oauth1 *o, const struct sign_request *q, struct buf *out);
/* base64, as it stands before it is percent-encoded; in `a`. Empty when this system has no such digest. */
struct str oauth1_signature(struct arena *a, const struct oauth1 *o, const struct sign_request *q, struct str consumer_secret,
                            struct str token_secret);

#endif
