/* crypto/pair.h - a certificate chain with its private key: what a client shows to a server that asks for one (mutual TLS), and
 * what an authority signs with.
 *
 * The leaf comes first, then whoever issued it, and so on (RFC 8446 4.4.2). The key is OpenSSL's own object in here: it is wiped
 * when freed and never printed, but lies in ordinary memory, for the library offers no other that does not run out (an exception to
 * “a secret in memory is a struct secret”; core dumps are off).
 *
 * Faults point into what was given: /certificate, /private_key, /passphrase, /pkcs12.
 */
#ifndef CRYPTO_PAIR_H
#define CRYPTO_PAIR_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/secret.h"

#define PAIR_CHAIN_MAX (32 * 1024) /* bytes of PEM */
#define PAIR_KEY_MAX (16 * 1024)
#define PAIR_PKCS12_MAX (64 * 1024)
#define PAIR_CERTIFICATES 10

struct pair; /* immutable: safe from any thread */

/* PEM both. The key: PKCS#8, PKCS#1 or SEC1, encrypted or not; `passphrase` is empty when there is none. Refused: what cannot be
 * read, a key that belongs to another certificate, a chain out of order, keys that are too weak for TLS, too much of anything.
 * ERR_FIELD_REQUIRED, ERR_FIELD_INVALID. Dates are the caller's to judge. */
enum err pair_read(struct str certificate, struct str key, struct str passphrase, struct pair **out, struct fault *why) MUST_CHECK;
/* DER of a PKCS#12 file (.p12, .pfx); its certificates may stand in any order. */
enum err pair_read_pkcs12(struct str der, struct str passphrase, struct pair **out, struct fault *why) MUST_CHECK;
void pair_free(struct pair *p); /* NULL is fine; wipes the key */

/* As it is kept: the chain as PEM, and the key as DER of PKCS#8, the caller's to end. */
struct str pair_chain(const struct pair *p, struct arena *a);
enum err pair_key(const struct pair *p, struct secret *out, struct fault *why) MUST_CHECK;
/* And back. ERR_CRYPTO. */
enum err pair_open(struct str chain, struct secret key, struct pair **out, struct fault *why) MUST_CHECK;

/* What anybody may know of the leaf. Texts in the arena; subject and issuer as RFC 4514 writes them, serial and fingerprint
 * (SHA-256 of the DER) in hex. */
struct pair_facts {
    struct str subject, issuer, serial, fingerprint;
    wall_ms not_before, not_after;
    bool client_auth; /* its extended key usage permits TLS clients, or says nothing */
};
struct pair_facts pair_facts(const struct pair *p, struct arena *a);

enum pair_kind { PAIR_EC_P256, PAIR_EC_P384, PAIR_RSA_3072 };
struct pair_wish {
    struct str name, organization; /* common name, 1 to 64 bytes; organization may be empty */
    enum pair_kind kind;
    wall_ms not_before, not_after;
};
/* A self-signed authority that may sign end certificates only (path length 0). ERR_CRYPTO. */
enum err pair_make_authority(const struct pair_wish *w, struct pair **out, struct fault *why) MUST_CHECK;
/* A client's certificate, signed by `authority`; its end is cut to the authority's. The chain is the leaf alone: who trusts the
 * authority has its certificate. ERR_CRYPTO. */
enum err pair_issue(const struct pair *authority, const struct pair_wish *w, struct pair **out, struct fault *why) MUST_CHECK;

/* How many certificates a PEM text of trusted authorities holds. ERR_FIELD_INVALID: none, too many, or something unreadable. */
enum err pair_check_authorities(struct str pem, size_t *count, struct fault *why) MUST_CHECK;

#endif
