/* cmd/listener_tls.h - the certificate that the hub itself serves, read again when its files change (requirement 7.3).
 *
 * Asked for by a signal, or noticed: the upkeep thread looks at both files. What is accepted afterwards gets the new certificate;
 * nothing that is open is touched. Files that are of no use leave the old certificate in place, and are said once in the log.
 */
#ifndef CMD_LISTENER_TLS_H
#define CMD_LISTENER_TLS_H

#include <pthread.h>
#include <sys/stat.h>

#include "crypto/tls.h"

struct listener_tls {
    struct tls_context *context; /* NULL: plain http */
    struct str certificate, key; /* files; they live as long as this */
    struct stat seen[2];         /* as they were when last read */
    pthread_mutex_t lock;
};

/* Without a certificate: no context. ERR_CONFIG. */
enum err listener_tls_open(struct listener_tls *l, struct str certificate, struct str key, struct fault *why) MUST_CHECK;
void listener_tls_close(struct listener_tls *l);
/* Read both files again, changed or not; says in the log how it went. From any thread. */
void listener_tls_reload(struct listener_tls *l);
/* The same, if one of them has changed since it was read. */
void listener_tls_look(struct listener_tls *l);

#endif
