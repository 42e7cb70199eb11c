/* crypto/tls.h - TLS on a non-blocking socket, both ways (OpenSSL 3).
 *
 * Client side: TLS 1.2 at least; chain, name and dates always verified; there is no switch to turn that off. Server side:
 * TLS 1.2 and 1.3. Writing to a peer that has gone raises SIGPIPE: programs ignore it.
 */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "crypto/pair.h"

struct tls_context; /* shared by threads; immutable but for session caches, and for a server's certificate */
struct tls;         /* one connection */
struct tls_session; /* to resume with; owned by its holder */

/* ca_file: further trusted roots beside the system's (PEM); empty: the system's alone. */
enum err tls_client_context(struct str ca_file, struct tls_context **out, struct fault *why) MUST_CHECK;
/* One more file of trusted roots. At boot only. ERR_CONFIG. */
enum err tls_client_trust(struct tls_context *c, struct str ca_file, struct fault *why) MUST_CHECK;
/* A client's context for one connection: the rules and roots of `base`, and what is this connection's own.
 * `pair`: shown to a server that asks for a certificate (NULL: none); `authorities`: PEM of roots to trust as well (empty: none).
 * What is verified stays the same. Resumption: a session belongs to who took it; one of another context is never to be given to
 * tls_client(). ERR_CRYPTO when the library refuses the pair. */
enum err tls_client_own(struct tls_context *base, const struct pair *pair, struct str authorities, struct tls_context **out,
                        struct fault *why) MUST_CHECK;
enum err tls_server_context(struct str certificate, struct str key, struct tls_context **out, struct fault *why) MUST_CHECK;
/* Read both files again. What is accepted from then on gets the new certificate; handshakes and connections under way go on with
 * the old one. From any thread. When the files are not usable (ERR_CONFIG), nothing changes. */
enum err tls_server_reload(struct tls_context *c, struct str certificate, struct str key, struct fault *why) MUST_CHECK;
/* When the certificate that is served ends. */
wall_ms tls_server_not_after(struct tls_context *c);
void tls_context_free(struct tls_context *c);

enum tls_result { TLS_DONE, TLS_WANT_READ, TLS_WANT_WRITE, TLS_EOF, TLS_FAILED };

/* `host`: the name to send (SNI, unless an IP literal) and to verify. `resume` may be NULL; it stays the caller's. */
struct tls *tls_client(struct tls_context *c, int fd, const char *host, bool ip, struct tls_session *resume);
struct tls *tls_server(struct tls_context *c, int fd);
void tls_free(struct tls *t);
enum tls_result tls_handshake(struct tls *t);
enum tls_result tls_read(struct tls *t, void *p, size_t n, size_t *got);
/* A failed write leaves reading possible. At most 16 KiB at once (one record). */
enum tls_result tls_write(struct tls *t, const void *p, size_t n, size_t *put);
/* After tls_write() answered TLS_WANT_...: true when the bytes are in a record that is built and waits, so that the next write must
 * be of as many bytes, whatever they are; false when the library was busy with a message of its own (a key update) and took none.
 */
bool tls_write_held(struct tls *t);
void tls_shutdown(struct tls *t);            /* sends close-notify if it can; does not wait */
/* Newest session of a client connection that may be resumed, or NULL. The answer is the caller's. */
struct tls_session *tls_take_session(struct tls *t);
void tls_session_free(struct tls_session *s);
/* The peer ended it over our certificate: it wants one, or does not take the one it got. */
bool tls_certificate_refused(const struct tls *t);
/* What went wrong, for a fault's note: verification result or library error. */
const char *tls_error(struct tls *t, char *out, size_t size);

#endif
