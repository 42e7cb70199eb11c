/* crypto/x509.h - a throw-away certificate authority, for the demonstration provider and for tests.
 *
 * EC P-256, SHA-256. The authority's key never leaves memory and dies with it, so a root that was trusted for a demonstration
 * cannot sign anything afterwards. RFC 5280.
 */
#ifndef CRYPTO_X509_H
#define CRYPTO_X509_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

struct x509_ca;

/* A self-signed authority that may sign end certificates only (path length 0). `name` becomes its common name.
 * Errors: ERR_CRYPTO. */
enum err x509_self_ca(struct str name, int days, struct x509_ca **out, struct fault *why) MUST_CHECK;
void x509_ca_free(struct x509_ca *ca); /* NULL is fine; wipes the key */
/* Its certificate as PEM, owned by `a`. */
struct str x509_ca_pem(struct x509_ca *ca, struct arena *a);

/* A server certificate and its key, both PEM. `hosts` is comma-separated: DNS names and IP addresses become subject alternative
 * names of their kind; the first one is the common name too. *certificate is owned by `a`, *key is the caller's to end.
 * Errors: ERR_CRYPTO; ERR_INPUT_INVALID for an empty list or a name with a comma, quote or control byte. */
enum err x509_issue(struct x509_ca *ca, struct arena *a, struct str hosts, int days, struct str *certificate,
                    struct secret *key, struct fault *why) MUST_CHECK;

#endif
