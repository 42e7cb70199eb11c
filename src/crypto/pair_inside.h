/* crypto/pair_inside.h - what pair.c and tls.c share, and how certificates are put together. Private to the room. */
#ifndef CRYPTO_PAIR_INSIDE_H
#define CRYPTO_PAIR_INSIDE_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "crypto/pair.h"

struct pair {
    EVP_PKEY *key;
    STACK_OF(X509) *chain; /* the leaf first */
};

/* Certificates of a PEM text, in its order; what stands between them is passed over. NULL when one is broken, or there are more
 * than `most`; an empty stack when there is none. The caller's to free, with sk_X509_pop_free(). */
STACK_OF(X509) *pair_certificates(struct str pem, int most);

/* ---- x509.c ---- */

struct x509_extension {
    int nid;
    const char *value;
};
/* Version 3, serial, dates, subject, key; NULL when anything fails. `organization` may be empty. */
X509 *x509_new(struct str name, struct str organization, wall_ms not_before, wall_ms not_after, EVP_PKEY *key);
bool x509_extend(X509 *x, X509 *issuer, const struct x509_extension *e, size_t n);
/* The extensions of an authority that signs end certificates only. */
bool x509_extend_authority(X509 *x);
/* ERR_CRYPTO, with the library's word for it. */
enum err x509_failed(struct fault *why, const char *step);
struct str x509_pem(X509 *x, struct arena *a);

#endif
