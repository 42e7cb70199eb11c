/* auth/client_tls.h - the certificate by which a client proves itself to an authorization server, at each of its doors: token,
 * pushed requests, devices, revocation. RFC 8705 2.
 */
#ifndef AUTH_CLIENT_TLS_H
#define AUTH_CLIENT_TLS_H

#include "auth/oauth_profile.h"
#include "crypto/tls.h"
#include "vault/connection.h"

/* *out: with the client's certificate, else with that of the connection's calls (`row`; NULL: it is gone), and the roots that the
 * connection trusts besides; the caller's to free. NULL when the client proves itself otherwise: `base` serves. ERR_CRYPTO, and
 * those of pair_read() and certificate_open(). */
enum err client_tls(struct tls_context *base, struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row,
                    const struct oauth_profile *p, struct tls_context **out, struct fault *why) MUST_CHECK;
/* The same with the certificate that comes next, during rotation; NULL also when none does. */
enum err client_tls_next(struct tls_context *base, struct db *db, struct keyring *k, struct arena *a,
                         const struct connection_row *row, const struct oauth_profile *p, struct tls_context **out,
                         struct fault *why) MUST_CHECK;

#endif
