/* crypto/hash.h - digests, message authentication, random. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

#define SHA256_SIZE 32

void sha256(struct str in, unsigned char out[SHA256_SIZE]);
/* In pieces: begin, add ..., done. */
struct sha256_run {
    uint64_t space[13];
};
void sha256_begin(struct sha256_run *r);
void sha256_add(struct sha256_run *r, struct str in);
void sha256_done(struct sha256_run *r, unsigned char out[SHA256_SIZE]);
void hmac_sha256(struct str key, struct str in, unsigned char out[SHA256_SIZE]);
/* A keyed digest that is cheaper than HMAC, for what is digested by the thousand: BLAKE2b-256 (RFC 7693). The key has 16 to 64
 * bytes. */
void keyed_digest(struct str key, struct str in, unsigned char out[32]);
bool equal_constant_time(const void *a, const void *b, size_t n);

/* Bytes from the system's random source (getrandom); failure aborts. */
void random_bytes(void *p, size_t n);
/* `n` characters of lower-case base32 (a-z, 2-7 without look-alikes is not needed): 5 bits each. */
void random_text(char *out, size_t n);

/* A 128-bit fingerprint of two texts, keyed with randomness of this process: for finding remembered decisions without keeping the
 * texts. SipHash-2-4-128 (libsodium); the texts are told apart by their lengths. Cheap. */
struct fingerprint {
    uint64_t low, high;
};
struct fingerprint fingerprint(struct str x, struct str y);

/* An id: "con_" + 26 characters, the first 10 of them the time (so that ids sort by age), 80 random bits.
 * Crockford base32, lower case. ID_SIZE fits prefix, id and NUL. Cheap: draws from a per-thread pool. */
#define ID_SIZE 32
char *id_new(char out[ID_SIZE], const char *prefix);

/* HMAC-SHA-1, for one-time passwords only (RFC 4226 B.2: its weakness to collisions does not matter there). */
#define SHA1_SIZE 20
void hmac_sha1(struct str key, struct str in, unsigned char out[SHA1_SIZE]);

#endif
