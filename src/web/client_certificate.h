/* web/client_certificate.h - the member `client_certificate` of credentials: read, checked, and kept for a connection.
 *
 *   {"certificate": PEM, "private_key": PEM, "passphrase"?}   a pair of one's own
 *   {"pkcs12": base64, "passphrase"?}                         the same, as one file
 *   {"issue": "connection"|"instance", "common_name"?, "days"?}   issued by the hub, for this connection or shared
 *   null                                                      without one from now on
 *
 * The passphrase opens the key once, here, and is not kept.
 */
#ifndef WEB_CLIENT_CERTIFICATE_H
#define WEB_CLIENT_CERTIFICATE_H

#include "vault/certificate.h"
#include "web/web.h"

struct client_certificate {
    bool given, none;             /* the member is there; it is null */
    struct pair *pair;            /* one's own */
    enum certificate_source source; /* own, connection, instance or authority */
    struct str name;              /* for what is issued; may be empty */
    int64_t valid_ms;             /* 0: as configured */
    struct certificate_row kept;  /* what client_certificate_put() left in use */
};

/* What `member` says; NULL: nothing given. `at` is its JSON pointer. `kinds`: what may be issued, NULL-terminated. ERR_FIELD_... */
enum err client_certificate_read(struct web_request *q, const struct json *member, const char *at, const char *const *kinds,
                                 struct client_certificate *out, struct fault *why) MUST_CHECK;
void client_certificate_end(struct client_certificate *c);
/* The credentials without that member, which goes to *member (NULL: it is not there). */
const struct json *client_certificate_part(struct arena *a, const struct json *credentials, const struct json **member);

/* Inside a transaction: the connection has this certificate from now on, in use at once. ERR_FIELD_INVALID for one that is over. */
enum err client_certificate_put(struct web_request *q, struct db *db, struct str connection, struct client_certificate *c,
                                struct fault *why) MUST_CHECK;
/* For the audit log: an object's text with what client_certificate_put() did. */
struct str client_certificate_audit(struct web_request *q, struct str json, const struct client_certificate *c);

/* A PEM text of further roots, as a member of the body. *given false: not there. Null and empty: none. */
enum err client_roots_read(struct web_request *q, bool *given, struct str *out, struct fault *why) MUST_CHECK;
enum err client_roots_put(struct db *db, struct arena *a, struct str connection, struct str authorities,
                          struct fault *why) MUST_CHECK;

#endif
