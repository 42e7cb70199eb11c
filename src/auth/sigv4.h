/* auth/sigv4.h - AWS Signature Version 4, in the Authorization header. Private to auth/.
 *
 * Rule: the canonical request and the string to sign as AWS's "Signing AWS API requests" states them.
 */
#ifndef AUTH_SIGV4_H
#define AUTH_SIGV4_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "crypto/digest.h"
#include "crypto/secret.h"
#include "http/head.h"

struct sigv4_key { struct str id, region, service; struct secret secret; }; /* lent */

struct sigv4_request {
    struct str method;
    struct str path, query;          /* as they go on the wire; query without '?' */
    const struct header *headers;    /* all that are signed, Host and X-Amz-Date included; any order and case */
    size_t header_count;
    struct str payload;              /* 64 hex digits, or UNSIGNED-PAYLOAD */
    bool raw_path;                   /* S3: dot segments and empty ones are names like others; escapes are escaped once */
};

#define SIGV4_DATE_SIZE 17           /* "20150830T123600Z" and a NUL */
void sigv4_date(wall_ms now, char out[SIGV4_DATE_SIZE]);
#define SIGV4_HASH_SIZE 64
void sigv4_hash(struct str body, char out[SIGV4_HASH_SIZE]);

/* The canonical request; in between, its list of signed headers is also appended to `names`. It may hold a session token: the
 * caller wipes `out`. */
void sigv4_canonical(struct arena *a, const struct sigv4_request *q, struct buf *out, struct buf *names);
/* The header's value, in `a`; *signature: the hex digits at its end. */
struct str sigv4_authorization(struct arena *a, const struct sigv4_key *key, const struct sigv4_request *q,
                               const char date[SIGV4_DATE_SIZE], struct str *signature);

#endif
