/* http/fetch.h - one blocking HTTP request, for the CLI, and for workers that need a document or a token of an identity provider:
 * no pool, no credential rules.
 *
 * Certificates are verified. The CLI reaches the very host that its user named; the hub itself gives its egress policy, and nothing
 * is dialled that the policy does not allow. Redirects are not followed. Not for calls through connections: those leave through
 * call/.
 */
#ifndef HTTP_FETCH_H
#define HTTP_FETCH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct egress;
struct fetch_answer;
struct tls_context;

struct fetch_request {
    struct str method, url;
    struct str headers[16][2];
    size_t header_count;
    struct str body;            /* p == NULL: none */
    const struct egress *egress; /* NULL: towards the named host anything goes */
    struct tls_context *tls;     /* NULL: the system's roots and those of `ca_file` */
    struct str ca_file;
    int64_t timeout_ms;
    size_t response_max;        /* bytes */
    bool secret; /* the answer holds secrets: no copy of it stays but the one in `a`, which is the caller's to wipe */
    /* Asked when the connection stands, right before the first byte goes: false sends nothing, ERR_CANCELLED. NULL: yes. */
    bool (*may_send)(void *context);
    /* The whole answer is there; before anything else is done, the connection's end included. NULL: nobody waits for that. */
    void (*arrived)(void *context, const struct fetch_answer *answer);
    void *context;
};
struct fetch_answer {
    int status;
    struct str (*headers)[2];
    size_t header_count;
    struct str body;
    bool sent;                  /* there on failure, too: the request, or a part of it, may have reached the other side */
    int64_t received_us;        /* clock_mono_us() when it was complete */
};
/* Everything in `a`. ERR_URL_INVALID, ERR_INPUT_INVALID, ERR_UPSTREAM_*, ERR_RESPONSE_TOO_LARGE. */
enum err fetch(struct arena *a, const struct fetch_request *q, struct fetch_answer *out, struct fault *why) MUST_CHECK;
struct str fetch_header(const struct fetch_answer *f, const char *name); /* STR_NONE when absent */

#endif
