/* crypto/password.h - passwords: Argon2id (RFC 9106), and which ones are taken at all (requirement 15.1). */
#ifndef CRYPTO_PASSWORD_H
#define CRYPTO_PASSWORD_H

#include "base/arena.h"
#include "base/err.h"

/* What a hash costs from now on: bytes and passes; 64 MiB and 3 when never called. Less than 19 MiB or 2 passes is raised to that.
 * Once, before threads start. */
#define PASSWORD_MEMORY_LEAST (19u * 1024 * 1024)
#define PASSWORD_PASSES_LEAST 2
void password_cost(size_t memory, unsigned passes);

/* libsodium's string form, parameters inside, one lane. At most two run at once in the process; further callers wait. */
enum err password_hash(struct arena *a, struct str password, struct str *out, struct fault *why) MUST_CHECK;
bool password_check(struct str hash, struct str password);
/* The same time as a check, for unknown users. */
void password_check_nobody(struct str password);
/* Made at another cost than today's: hash again while the password is at hand. */
bool password_stale(struct str hash);

/* At least 12 characters, and not among the first that others would try: common ones, sequences, repetitions, the e-mail address
 * (may be empty) or the product's name with little else. ERR_FIELD_INVALID. */
enum err password_acceptable(struct str password, struct str email, struct fault *why) MUST_CHECK;

#endif
