/* access/session.h - console sessions: random bits in a cookie, stored hashed; idle 15 min, absolute 8 h (requirement 15.3). */
#ifndef ACCESS_SESSION_H
#define ACCESS_SESSION_H

#include "access/caller.h"
#include "base/arena.h"
#include "base/err.h"
#include "store/db.h"

#define SESSION_TEXT 53 /* 52 characters of base32, 5 bits each, and NUL */

struct session_new {
    struct str user;
    struct str address, agent;  /* shown to the user; the browser's name is cut to 200 bytes */
    enum session_how how;
};
/* A new one for each sign-in. Sessions that are over are removed on the way. `text` is the caller's to wipe. */
enum err session_create(struct db *db, struct arena *a, const struct session_new *n, char text[SESSION_TEXT], struct str *csrf,
                        struct fault *why) MUST_CHECK;
/* The same session under a new text and CSRF token, proved now: after a password or code was shown, and when rights change
 * (requirement 15.3). The old text opens nothing any more. `id`: ses_... ERR_UNAUTHENTICATED when it is gone. */
enum err session_renew(struct db *db, struct arena *a, struct str id, enum session_how how, char text[SESSION_TEXT],
                       struct str *csrf, struct fault *why) MUST_CHECK;
/* ERR_UNAUTHENTICATED when unknown, idle too long or over, or its user is disabled. `touch` is set when the idle time should be
 * written (at most once a minute). Writes nothing. */
enum err session_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, bool *touch,
                         struct fault *why) MUST_CHECK;
enum err session_touch(struct db *db, struct str text, struct fault *why) MUST_CHECK;
enum err session_end(struct db *db, struct str text, struct fault *why) MUST_CHECK; /* unknown: fine, it is over */
/* All of the user's but that one (ses_..., or empty: all). */
enum err sessions_end_others(struct db *db, struct str user, struct str but, struct fault *why) MUST_CHECK;
enum err sessions_end_of_user(struct db *db, struct str user, struct fault *why) MUST_CHECK;

struct session_row {
    struct str id, address, agent;
    enum session_how how;
    wall_ms created, seen, expires;
};
/* Of one user, those that are not over, newest first: there are at most 20. */
enum err session_list(struct db *db, struct arena *a, struct str user, struct session_row **out, size_t *n,
                      struct fault *why) MUST_CHECK;
/* Whose it is. ERR_NOT_FOUND. */
enum err session_owner(struct db *db, struct arena *a, struct str id, struct str *user, struct fault *why) MUST_CHECK;
enum err session_end_id(struct db *db, struct str id, struct fault *why) MUST_CHECK;
const char *session_how_name(enum session_how how); /* password, second_factor, provider */

#endif
