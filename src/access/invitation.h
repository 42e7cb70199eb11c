/* access/invitation.h - a one-time link by which a person sets the own password: the first one, or a new one after it was
 * forgotten. 160 random bits, stored hashed, shown once; one link per person, a new one takes the old one's place. */
#ifndef ACCESS_INVITATION_H
#define ACCESS_INVITATION_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

#define INVITATION_CODE 33 /* with NUL */
#define INVITATION_MS ((wall_ms)7 * 24 * 60 * 60 * 1000)
#define RESET_MS ((wall_ms)24 * 60 * 60 * 1000)

/* Inside store_write(). `code` is the caller's to show once and to wipe. Links that are over are removed on the way. */
enum err invitation_make(struct db *db, struct str user, struct str made_by, wall_ms lasts, char code[INVITATION_CODE],
                         wall_ms *expires, struct fault *why) MUST_CHECK;
/* None there is fine. */
enum err invitation_revoke(struct db *db, struct str user, struct fault *why) MUST_CHECK;
/* When the user's link ends; 0: there is none. */
enum err invitation_until(struct db *db, struct str user, wall_ms *until, struct fault *why) MUST_CHECK;
/* Whose link it is. ERR_INVITATION_INVALID: unknown, used, withdrawn, too old, or its user is disabled. */
enum err invitation_find(struct db *db, struct arena *a, struct str code, struct str *user, struct fault *why) MUST_CHECK;
/* Inside store_write(): uses it up and sets the password; ends all sessions, locks and failures of the user, but not the second
 * factor. Of two at once one gets it. */
enum err invitation_accept(struct db *db, struct arena *a, struct str code, struct str password_hash, struct str language,
                           struct str *user, struct fault *why) MUST_CHECK;

#endif
