/* access/second_factor.h - the second thing that a person shows at sign-in: a code of an authenticator app (RFC 6238), or one of
 * ten recovery codes. Each code is taken once. */
#ifndef ACCESS_SECOND_FACTOR_H
#define ACCESS_SECOND_FACTOR_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/secret.h"
#include "store/db.h"

/* Where the app's secret is kept, sealed; passed down by web/. Owners are user ids. put and forget run inside store_write(). */
struct second_factor_keeper {
    void *context;
    enum err (*put)(void *context, struct db *db, struct str owner, struct secret value, struct fault *why);
    enum err (*get)(void *context, struct db *db, struct str owner, struct secret *value, struct fault *why);
    enum err (*forget)(void *context, struct db *db, struct str owner, struct fault *why);
};

struct second_factor_state {
    bool enabled;
    wall_ms since;        /* 0: not enabled */
    int recovery_codes;   /* unused ones */
};
enum err second_factor_state(struct db *db, struct str user, struct second_factor_state *out, struct fault *why) MUST_CHECK;

/* All inside store_write(). */

/* A fresh secret that is not asked for yet; one that is being set up is replaced. *secret is the caller's to end.
 * ERR_CONFLICT when the user has one already. */
enum err second_factor_begin(struct db *db, const struct second_factor_keeper *k, struct str user, struct secret *secret,
                             struct fault *why) MUST_CHECK;
/* The first code shows that the app has the secret: from now on it is asked for. ERR_SECOND_FACTOR_INVALID; ERR_NOT_FOUND when
 * nothing is being set up. */
enum err second_factor_confirm(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code,
                               struct fault *why) MUST_CHECK;
/* Takes a code of the app or a recovery code. ERR_SECOND_FACTOR_INVALID: wrong, old, or taken before. */
enum err second_factor_take(struct db *db, const struct second_factor_keeper *k, struct str user, struct str code,
                            struct fault *why) MUST_CHECK;
#define RECOVERY_CODES 10
#define RECOVERY_TEXT 20 /* "abcd-efgh-ijkl-mnop" and NUL: 80 random bits */
/* In place of those that were there. The texts are the caller's to show once and to wipe. */
enum err second_factor_recovery(struct db *db, struct str user, char codes[RECOVERY_CODES][RECOVERY_TEXT],
                                struct fault *why) MUST_CHECK;
/* None there is fine. */
enum err second_factor_remove(struct db *db, const struct second_factor_keeper *k, struct str user, struct fault *why) MUST_CHECK;

/* otpauth://totp/Raccord:ann%40example.com?secret=...&issuer=Raccord: what an app reads from a QR code. Holds the secret. */
struct str second_factor_uri(struct arena *a, struct str account, struct secret secret);

#endif
