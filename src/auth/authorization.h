/* auth/authorization.h - a person on the way to a provider and back, to let the hub act for one connection. RFC 6749 4.1, 7636,
 * 8628, 9207; requirements 8.1 to 8.9.
 *
 * An attempt begins with a link of the hub's own. The browser that follows it first is bound to it: from then on a cookie holds
 * `browser`, and `state` travels through the provider. The store keeps hashes of the three. The PKCE verifier is derived from
 * `browser` and `state`, so that nothing at rest helps a thief, and a code that was begun in another browser fits neither. Coming
 * back is possible once. A device's attempt has a code for the person instead, and no browser.
 */
#ifndef AUTH_AUTHORIZATION_H
#define AUTH_AUTHORIZATION_H

#include "auth/oauth_profile.h"
#include "store/db.h"

#define AUTHORIZATION_TEXT 53 /* 52 characters of base32, 5 bits each, and NUL */
#define AUTHORIZATION_MS (10 * 60 * 1000)
#define AUTHORIZATIONS_MOST 5000            /* under way; the oldest make room */
#define AUTHORIZATIONS_OF_CONNECTION 10     /* likewise */
#define AUTHORIZATION_KEPT_MS (60 * 60 * 1000) /* how long after its end what came of it can be asked */

enum authorization_state {
    AUTHORIZATION_PENDING,
    AUTHORIZATION_RETURNED, /* the person is back, the code is on its way to the token endpoint */
    AUTHORIZATION_DONE,
    AUTHORIZATION_FAILED,
    AUTHORIZATION_EXPIRED
};
const char *authorization_state_name(enum authorization_state s);

struct authorization {
    struct str id;             /* aut_... */
    struct str connection, principal; /* principal: in whose name */
    struct str token;          /* of ours, by which it was begun (tok_...), or empty: it ends with that */
    struct str session;        /* the connect session: css_..., or empty */
    struct str issuer;         /* that it was begun for; empty: none is known */
    struct str redirect_uri, return_path; /* return_path: of this hub, or empty */
    bool device;
    bool accept_account;       /* what comes may be of another account than what was there (CON-55) */
    enum authorization_state state;
    struct str reason;         /* of FAILED: a stable code */
    wall_ms created, expires, ended; /* ended 0: it has not */
    struct str user_code, verification_uri, verification_uri_complete; /* of a device */
    int64_t interval_ms;
    wall_ms next;              /* when the provider may be asked again */
};

/* Inside store_write(): `t` with connection, principal, token, session, redirect_uri and return_path becomes a new attempt; id and
 * times are filled in. `browser`: that it is bound to at once, or STR_NONE: the first that follows the link. */
enum err authorization_begin(struct db *db, struct arena *a, struct authorization *t, struct str browser,
                             char link[AUTHORIZATION_TEXT], struct fault *why) MUST_CHECK;
/* Is there such a link, for this browser (STR_NONE: it has no cookie yet)? Reads only. ERR_AUTHORIZATION_OVER. */
enum err authorization_find(struct db *db, struct arena *a, struct str link, struct str browser, struct authorization *out,
                            struct fault *why) MUST_CHECK;
/* Inside store_write(): on its way with this state, in this browser, for this issuer. May be done again by the same browser: the
 * older state opens nothing then. ERR_AUTHORIZATION_OVER. */
enum err authorization_send(struct db *db, struct str id, struct str browser, struct str state, struct str issuer,
                            struct fault *why) MUST_CHECK;
/* Is there such an attempt? Reads only: knocking with made-up texts writes nothing. ERR_AUTHORIZATION_OVER. */
enum err authorization_look(struct db *db, struct str state, struct str browser, struct fault *why) MUST_CHECK;
/* Inside store_write(): the attempt of these texts, which cannot be taken again: of two at once, one gets it.
 * ERR_AUTHORIZATION_OVER. */
enum err authorization_take(struct db *db, struct arena *a, struct str state, struct str browser, struct authorization *out,
                            struct fault *why) MUST_CHECK;
/* Inside store_write(). */
enum err authorization_end(struct db *db, struct str id, enum authorization_state state, struct str reason,
                           struct fault *why) MUST_CHECK;
/* One whose time is over and that never ended is EXPIRED. ERR_NOT_FOUND "authorization". */
enum err authorization_get(struct db *db, struct arena *a, struct str id, struct authorization *out, struct fault *why) MUST_CHECK;

/* ---- devices ---- */

/* Inside store_write(): what the provider said is kept with the attempt; the device code is sealed. */
enum err authorization_device(struct db *db, struct keyring *k, struct authorization *t, struct secret device_code,
                              struct fault *why) MUST_CHECK;
enum err authorization_device_code(struct db *db, struct keyring *k, struct str id, struct secret *out,
                                   struct fault *why) MUST_CHECK;
/* Those that wait for their person, the next to be asked about first. */
enum err authorization_devices(struct db *db, struct arena *a, int limit, struct authorization **out, size_t *n,
                               struct fault *why) MUST_CHECK;
/* Inside store_write(): its turn, unless somebody else took it; `next` keeps the time if this process dies. */
enum err authorization_claim(struct db *db, const struct authorization *t, wall_ms next, bool *mine, struct fault *why) MUST_CHECK;
/* Inside store_write(): asked about now, and again at `next`. */
enum err authorization_asked(struct db *db, struct str id, wall_ms next, int64_t interval_ms, struct fault *why) MUST_CHECK;

/* ---- texts ---- */

bool authorization_text_ok(struct str s); /* could it be a link, a state, a browser? */
/* 43 characters, derived. */
struct str authorization_verifier(struct arena *a, struct str browser, struct str state);

#endif
