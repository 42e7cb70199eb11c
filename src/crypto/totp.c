#include "crypto/totp.h"

#include "crypto/hash.h"

#define NEIGHBOURS 1 /* steps to either side; RFC 6238 5.2 */

uint32_t hotp(struct str secret, uint64_t counter)
{
    unsigned char text[8], digest[SHA1_SIZE];
    for (int i = 8; i--; counter >>= 8)
        text[i] = (unsigned char)counter;
    hmac_sha1(secret, (struct str){ (const char *)text, sizeof text }, digest);
    /* RFC 4226 5.3: dynamic truncation. */
    const unsigned char *at = digest + (digest[SHA1_SIZE - 1] & 15);
    uint32_t code = (uint32_t)(at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    secret_wipe(digest, sizeof digest);
    return code % 1000000;
}

static bool read_code(struct str code, uint32_t *out)
{
    int digits = 0;
    *out = 0;
    for (size_t i = 0; i < code.n; i++) {
        if (code.p[i] == ' ')
            continue;
        if (!ascii_digit(code.p[i]) || ++digits > TOTP_DIGITS)
            return false;
        *out = *out * 10 + (uint32_t)(code.p[i] - '0');
    }
    return digits == TOTP_DIGITS;
}

int64_t totp_match(struct str secret, struct str code, wall_ms now)
{
    uint32_t said;
    int64_t found = 0;
    if (!read_code(code, &said))
        return 0;
    for (int64_t step = totp_step(now) - NEIGHBOURS; step <= totp_step(now) + NEIGHBOURS; step++) {
        uint32_t right = hotp(secret, (uint64_t)step);
        if (equal_constant_time(&right, &said, sizeof right))
            found = step;
    }
    return found;
}
