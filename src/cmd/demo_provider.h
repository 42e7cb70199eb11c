/* cmd/demo_provider.h - the demonstration provider: the CRM of demo_crm.h behind real HTTPS on loopback, with threads of its own.
 *
 * Its certificate comes from an authority made at start, whose key is gone when the certificate is issued: TLS verification
 * stays on. Only `raccord serve --demo` starts it.
 */
#ifndef CMD_DEMO_PROVIDER_H
#define CMD_DEMO_PROVIDER_H

#include "base/arena.h"
#include "base/err.h"

struct demo {
    uint16_t port;       /* on 127.0.0.1; the certificate is for localhost and 127.0.0.1 */
    struct str ca_file;  /* DIRECTORY/demo/ca.pem: the root to trust */
    char token[64];      /* the bearer token it asks for; new at each start */
};

/* Writes DIRECTORY/demo/ (ca.pem, certificate.pem, key.pem). *out is ended by demo_stop; its texts are in `boot`.
 * Errors: ERR_FILE, ERR_CRYPTO, ERR_INTERNAL. */
enum err demo_start(struct arena *boot, struct str directory, struct demo **out, struct fault *why) MUST_CHECK;
/* Ends every connection, joins its threads. NULL is fine. */
void demo_stop(struct demo *d);

#endif
