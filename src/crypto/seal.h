/* crypto/seal.h - sealing with associated data: XChaCha20-Poly1305 (libsodium, IETF variant).
 *
 * Sealed form: format(1) = 0x01 | key id(4, big-endian) | nonce(24, random) | ciphertext | tag(16).
 * Format and key id are authenticated together with the associated data.
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

#define SEAL_KEY 32
#define SEAL_OVERHEAD 45

/* *out is owned by `a`. `key` has SEAL_KEY bytes. */
void seal(struct arena *a, struct secret key, uint32_t key_id, struct str associated, struct str plain, struct str *out);
/* Errors: ERR_CRYPTO when the form is not ours, cut, altered, or made with other associated data. *out is the caller's. */
enum err seal_open(struct secret key, struct str associated, struct str sealed, struct secret *out,
                   struct fault *why) MUST_CHECK;
/* Key id of a sealed value; false when it is not in our form. */
bool seal_key_id(struct str sealed, uint32_t *key_id);

#endif
