/* crypto/totp.h - one-time codes of authenticator apps: RFC 4226 (HOTP), RFC 6238 (TOTP) with SHA-1, six digits, 30 seconds. */
#ifndef CRYPTO_TOTP_H
#define CRYPTO_TOTP_H

#include "base/clock.h"
#include "crypto/secret.h"

#define TOTP_SECRET 20  /* bytes: RFC 4226 4 asks for 160 bits */
#define TOTP_DIGITS 6
#define TOTP_STEP_MS 30000

/* The code for one counter; RFC 4226 5.3. */
uint32_t hotp(struct str secret, uint64_t counter);
static inline int64_t totp_step(wall_ms now) { return now / TOTP_STEP_MS; }
/* The step whose code this is, among the present one and its neighbours (clocks differ), all looked at in constant time; 0: none.
 * The caller holds the step against the last one taken. Blanks inside the code are passed over. */
int64_t totp_match(struct str secret, struct str code, wall_ms now);

#endif
