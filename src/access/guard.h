/* access/guard.h - what guessing costs (requirement 15.2): sign-in, a changed password, one-time codes, links with a code.
 *
 * An attempt is written down as a failure before anything is looked at, and struck out when it was right. So a guess is never free:
 * not when the store cannot write, not when the process dies in between, not when many come at once. Kept in the database, as
 * hashes: what was typed as an address may have been a password.
 *
 * Per account: 5 failures in 15 minutes, then a lock of 15 minutes, 30 for the next one, an hour from then on. The right answer and
 * an administrator end it. Per address: 20 attempts a minute that were not right.
 */
#ifndef ACCESS_GUARD_H
#define ACCESS_GUARD_H

#include "access/text.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

struct guard {
    struct str account;   /* what is guessed at, as it is stored: an e-mail address in small letters; empty: none */
    struct str address;   /* who guesses: an IPv4 address, an IPv6 network; at most 60 bytes; empty: not limited by it */
    /* Private from here. */
    char account_hash[TEXT_HASH], address_hash[TEXT_HASH], attempt[32];
    wall_ms at;
};

/* ERR_RATE_LIMITED with the wait as subject; ERR_STORE. On ERR_NONE guard_leave() must follow, on the same thread: attempts on one
 * account run one after another in between, so that right ones at the same moment do not count against each other. */
enum err guard_enter(struct store *s, struct guard *g, struct fault *why) MUST_CHECK;
enum guard_end {
    GUARD_WRONG,     /* it stays a failure; the fifth one locks */
    GUARD_RIGHT,     /* the account's failures are forgotten */
    GUARD_UNDECIDED  /* neither: this attempt is forgotten */
};
enum err guard_leave(struct store *s, struct guard *g, enum guard_end end, struct fault *why) MUST_CHECK;

/* 0: not locked. */
enum err guard_locked_until(struct db *db, struct str account, wall_ms *until, struct fault *why) MUST_CHECK;
enum err guard_unlock(struct db *db, struct str account, struct fault *why) MUST_CHECK;
/* Failures of all accounts within the last five minutes. */
enum err guard_pressure(struct db *db, int64_t *failures, struct fault *why) MUST_CHECK;

#endif
