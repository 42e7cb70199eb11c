/* access/session.h - console sessions: random bits in a cookie, stored hashed; idle 15 min, absolute 8 h (requirement 15.3). */
#ifndef ACCESS_SESSION_H
#define ACCESS_SESSION_H

#include "access/caller.h"
#include "base/arena.h"
#include "base/err.h"
#include "store/db.h"

#define SESSION_TEXT 53 /* 52 characters of base32, 5 bits each, and NUL */

/* A new one for each sign-in. Sessions that are over are removed on the way. `text` is the caller's to wipe. */
enum err session_create(struct db *db, struct arena *a, struct str user, char text[SESSION_TEXT], struct str *csrf,
                        struct fault *why) MUST_CHECK;
/* ERR_UNAUTHENTICATED when unknown, idle too long or over, or its user is disabled. `touch` is set when the idle time should be
 * written (at most once a minute). Writes nothing. */
enum err session_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, bool *touch,
                         struct fault *why) MUST_CHECK;
enum err session_touch(struct db *db, struct str text, struct fault *why) MUST_CHECK;
enum err session_end(struct db *db, struct str text, struct fault *why) MUST_CHECK; /* unknown: fine, it is over */
enum err sessions_end_of_user(struct db *db, struct str user, struct fault *why) MUST_CHECK;

#endif
