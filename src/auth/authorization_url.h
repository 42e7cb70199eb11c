/* auth/authorization_url.h - what a provider is asked before a person is: the address that the browser is sent to, pushed first
 * where the provider takes that (RFC 9126), and a device's codes (RFC 8628 3.1). Waits for the network: worker threads only.
 */
#ifndef AUTH_AUTHORIZATION_URL_H
#define AUTH_AUTHORIZATION_URL_H

#include "auth/authorization.h"
#include "auth/issuer.h"

/* Who asks: as at the token endpoint, what comes next is tried where what proves the client now is refused. */
struct client_door {
    const struct oauth_profile *profile;
    struct tls_context *tls, *next_tls;   /* auth/client_tls.h; NULL: that of all, and none of its own */
};
struct authorization_request {
    struct str redirect_uri, state;
    struct str verifier;       /* its challenge is sent (S256), unless the connector opts out of PKCE */
};
/* ERR_OAUTH_CLIENT_MISSING: nothing says where people authorize; ERR_AUTHORIZATION_SERVER, its subject in the server's words. */
enum err authorization_url(const struct issuers *s, struct arena *a, const struct client_door *c,
                           const struct authorization_request *r, struct str *url, struct fault *why) MUST_CHECK;

/* Fills user_code, verification_uri, verification_uri_complete, interval_ms, next and expires; pages for people are https, or http
 * on hosts that the administrator lists. *code is the caller's to end. Errors as above. */
struct egress;
enum err authorization_device_ask(const struct issuers *s, const struct egress *egress, struct arena *a,
                                  const struct client_door *c, struct authorization *t, struct secret *code,
                                  struct fault *why) MUST_CHECK;

/* RFC 9207 2.4 and RFC 9700 4.4: does the answer come from whom it was asked? `iss` p == NULL: it says nothing.
 * ERR_AUTHORIZATION_INVALID. */
enum err authorization_check_issuer(const struct oauth_profile *p, struct str begun_for, struct str iss,
                                    struct fault *why) MUST_CHECK;

#endif
