/* crypto/private_key.h - a private key, in whatever shape it was pasted, becomes PKCS#8 PEM.
 *
 * Taken: PEM of PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 A.1.2) and SEC1 (RFC 5915), not encrypted, with line ends of any kind or none,
 * or written as \n; in quotes, with surplus characters before and behind; its base64 alone; or a whole JSON key file whose member
 * `private_key` is one of these. RSA from 2048 bits, P-256, P-384, P-521, Ed25519.
 *
 * No fault holds a part of the key. Outside of OpenSSL's own object (crypto/pair.h says why it is an exception) the key stays in
 * secret memory.
 */
#ifndef CRYPTO_PRIVATE_KEY_H
#define CRYPTO_PRIVATE_KEY_H

#include "base/err.h"
#include "crypto/secret.h"

#define PRIVATE_KEY_MAX (32 * 1024) /* bytes of what is pasted */

/* *pem is the caller's to end. ERR_FIELD_REQUIRED "private_key": there is none; ERR_FIELD_INVALID with what is wrong; both without
 * pointer. */
enum err private_key_read(struct str pasted, struct secret *pem, struct fault *why) MUST_CHECK;
/* A new one, P-256. ERR_CRYPTO. */
enum err private_key_new(struct secret *pem, struct fault *why) MUST_CHECK;

#endif
