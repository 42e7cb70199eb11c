/* auth/issuer.h - what an issuer of identities publishes: its discovery document and its keys. Fetched, checked, remembered.
 *
 * Everything leaves through the egress policy, over TLS unless the administrator lists the host for plain http. A document is used
 * for ten minutes, then fetched again by one thread while the others go on with what is there; while the issuer is away the old one
 * serves for a day. A token signed with an unknown key has the keys fetched again, at most once a minute for each issuer.
 * OpenID Connect Discovery 1.0, RFC 7517.
 *
 * Worker threads only: they wait here for the network; inside store_write() never, what is remembered has to do.
 */
#ifndef AUTH_ISSUER_H
#define AUTH_ISSUER_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/jwt.h"
#include "http/fetch.h"

#define ISSUER_MAX 512 /* bytes of an issuer's name, and of each of its URLs */

struct issuers; /* the memory of all of them; one for the process, safe from any thread */
/* Both are lent for its life. */
struct issuers *issuers_new(const struct egress *egress, struct tls_context *tls);
void issuers_free(struct issuers *s); /* NULL is fine; nobody uses it any more */
struct tls_context *issuers_tls(const struct issuers *s); /* lent */

/* What the discovery document says; texts in `a`. Empty: it names none. */
struct issuer_doors {
    struct str authorization, token, userinfo, keys;
    bool names_itself;     /* puts `iss` into its answers to the browser (RFC 9207) */
    bool takes_basic, takes_post; /* how a client may prove itself at the token door */
    struct str revocation, introspection, device, par;
    bool par_required;     /* authorization requests are to be pushed (RFC 9126 5) */
    bool takes_private_key_jwt, takes_secret_jwt, takes_tls, takes_none;
    struct issuer_aliases { struct str token, revocation, introspection, device, par; } by_tls; /* see below */
};
/* RFC 8705 5: a client that shows a certificate goes to the doors that ask for one, where there are such. */
void issuer_doors_by_tls(struct issuer_doors *d);
/* ERR_IDENTITY_PROVIDER, its subject a class of reasons. The document must be the issuer's own: its `issuer` is compared exactly.
 */
enum err issuer_discover(struct issuers *s, struct arena *a, struct str issuer, struct issuer_doors *out,
                         struct fault *why) MUST_CHECK;

/* The same for an authorization server: RFC 8414 3.1 first, then OpenID Connect Discovery. */
enum err issuer_discover_server(struct issuers *s, struct arena *a, struct str issuer, struct issuer_doors *out,
                                struct fault *why) MUST_CHECK;

/* Is the token signed by the issuer? `keys`: where its key set is; empty: where discovery says. ERR_TOKEN_INVALID,
 * ERR_IDENTITY_PROVIDER. Claims are not looked at. */
enum err issuer_verify(struct issuers *s, struct str issuer, struct str keys, const struct jwt *t, struct fault *why) MUST_CHECK;

/* One request to an issuer's door, within the egress policy. Any status is an answer. With q->tls, that is what is shown and
 * trusted. ERR_IDENTITY_PROVIDER. */
enum err issuer_fetch(const struct issuers *s, struct arena *a, struct fetch_request *q, struct fetch_answer *out,
                      struct fault *why) MUST_CHECK;

/* The same, for who wants to know why it failed: fetch()'s own errors. Time and size are the request's. */
enum err issuer_reach(const struct issuers *s, struct arena *a, struct fetch_request *q, struct fetch_answer *out,
                      struct fault *why) MUST_CHECK;

/* An https URL, or an http one, without query and fragment: what may name an issuer or a door. ERR_URL_INVALID. */
enum err issuer_check_url(struct str url, struct fault *why) MUST_CHECK;

#endif
