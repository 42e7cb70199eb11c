/* access/sign_in.h - is it this person? A password, and a second factor when the person has one; every guess is counted (guard.h).
 */
#ifndef ACCESS_SIGN_IN_H
#define ACCESS_SIGN_IN_H

#include "access/second_factor.h"
#include "base/arena.h"
#include "base/err.h"
#include "store/db.h"

struct sign_in {
    struct str email;     /* as typed */
    struct str password;
    struct str code;      /* of the second factor; empty: none given */
    struct str address;   /* of the asker, for its limit; see guard.h */
    const struct second_factor_keeper *keeper;
    /* Answers */
    struct str user;
    bool second_factor;   /* the person has one, and showed it */
};

/* Whole sign-in. The same answer and time whether or not the user exists. ERR_BAD_CREDENTIALS; ERR_SECOND_FACTOR_REQUIRED when the
 * password was right and a code is missing (not counted as a failure); ERR_SECOND_FACTOR_INVALID; ERR_RATE_LIMITED with the wait as
 * subject. When the store fails nobody signs in: ERR_STORE. A hash of another cost than today's is made anew. Not inside a
 * transaction: attempts are recorded in their own. */
enum err sign_in(struct store *s, struct arena *a, struct sign_in *in, struct fault *why) MUST_CHECK;
/* Somebody who is signed in shows again who it is: the password, or (when that is empty) the code. Counted likewise. */
enum err sign_in_again(struct store *s, struct arena *a, struct sign_in *in, struct fault *why) MUST_CHECK;
/* The first code of a second factor that is being set up, counted likewise. */
enum err sign_in_confirm_code(struct store *s, struct arena *a, struct sign_in *in, struct fault *why) MUST_CHECK;

#endif
