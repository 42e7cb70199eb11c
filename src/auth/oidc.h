/* auth/oidc.h - sign-in with an OpenID Connect provider: authorization code with PKCE. OpenID Connect Core 1.0, RFC 6749, 7636,
 * 9207, 9700.
 *
 * An attempt has two random texts: `state` travels through the provider, `browser` stays in a cookie. What the store keeps are
 * their hashes; nonce and PKCE verifier are derived from both, so that nothing at rest helps a thief, and a code that was begun in
 * another browser fits neither. An attempt is used once.
 */
#ifndef AUTH_OIDC_H
#define AUTH_OIDC_H

#include "auth/identity_provider.h"
#include "auth/issuer.h"

#define OIDC_TEXT 53         /* 52 characters of base32, 5 bits each, and NUL */
#define OIDC_ATTEMPT_MS (10 * 60 * 1000)
#define OIDC_ATTEMPTS_MOST 5000 /* the oldest make room */
#define OIDC_ATTEMPTS_A_MINUTE 20 /* of one address, that did not end in a sign-in */
#define OIDC_GROUPS_MOST 1000 /* that a person may be in, at the provider */

struct oidc_attempt {
    char state[OIDC_TEXT], browser[OIDC_TEXT];
    struct str provider;     /* id */
    struct str return_path;
    struct str network;      /* who begins it, as limits count; only for oidc_begin() */
    struct str session;      /* ses_... whose person is to show again who it is; empty: somebody signs in */
    wall_ms begun;
};
/* Inside store_write(): a new attempt; fills state, browser and begun. ERR_RATE_LIMITED with the wait as subject. */
enum err oidc_begin(struct db *db, struct oidc_attempt *t, struct fault *why) MUST_CHECK;
/* Is there such an attempt? Reads only: knocking with made-up texts writes nothing. ERR_SIGN_IN_OVER. */
enum err oidc_look(struct db *db, struct str state, struct str browser, struct fault *why) MUST_CHECK;
/* Inside store_write(): the attempt of these texts, which is then over. ERR_SIGN_IN_OVER: there is none, or not of this browser. */
enum err oidc_take(struct db *db, struct arena *a, struct str state, struct str browser, struct oidc_attempt *out,
                   struct fault *why) MUST_CHECK;
/* Inside store_write(): it ended well, and counts no longer. */
enum err oidc_settle(struct db *db, const struct oidc_attempt *t, struct fault *why) MUST_CHECK;

/* Where the browser is sent. Of a session the provider is to ask again (prompt=login, max_age=0). ERR_IDENTITY_PROVIDER. */
enum err oidc_url(struct issuers *s, struct arena *a, const struct identity_provider *p, const struct oidc_attempt *t,
                  struct str redirect_uri, struct str *url, struct fault *why) MUST_CHECK;

/* Who the provider says it is; texts in `a`. */
struct oidc_person {
    struct str subject, email, name; /* email, name: may be empty */
    bool email_verified;
    struct str *groups; size_t group_count;
    bool second_factor;              /* amr or acr named one that the row takes */
};
/* With what came back from the browser: `issuer` is its `iss`, p == NULL when there was none. Changes the code for tokens, verifies
 * the ID token, asks userinfo for what it lacks. Of a session: the provider asked after the attempt had begun (auth_time).
 * ERR_SIGN_IN_REFUSED with a class of reasons, ERR_IDENTITY_PROVIDER. */
enum err oidc_person(struct issuers *s, struct arena *a, const struct identity_provider *p, struct secret client_secret,
                     const struct oidc_attempt *t, struct str code, struct str issuer, struct str redirect_uri,
                     struct oidc_person *out, struct fault *why) MUST_CHECK;

#endif
