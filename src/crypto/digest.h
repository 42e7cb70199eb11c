/* crypto/digest.h - the digests and HMACs that other people's protocols ask for, MD5 and SHA-1 among them (OpenSSL). Not for
 * anything of our own: see crypto/hash.h.
 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include "base/str.h"

enum digest_kind { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGEST_SHA512_256 };
#define DIGEST_MAX 64

/* Bytes written; 0 when this system has it switched off (MD5 in FIPS mode). */
size_t digest(enum digest_kind kind, struct str in, unsigned char out[DIGEST_MAX]);
/* RFC 2104. */
size_t digest_hmac(enum digest_kind kind, struct str key, struct str in, unsigned char out[DIGEST_MAX]);
/* "sha256", "SHA-256" ...; false for names that are none. */
bool digest_parse(struct str name, enum digest_kind *out);

#endif
