/* http/upstream.h - requests to providers, from one loop: kept-alive pools, timeouts, streaming both ways, cancellation.
 *
 * A pool belongs to one (connection, scheme, host, port): credentials of different connections never share a socket. Dialling goes
 * through the egress guard: the name is looked up once, every address of the answer must be permitted, and the socket is connected
 * to one of those very addresses (invariants 3 and 4).
 *
 * A request is a struct upstream inside its owner, zeroed and filled before upstream_start(). From then on exactly one of `end` and
 * `failed` is called, once, unless upstream_cancel() comes first; the owner may then forget it. Callbacks may call any function
 * here.
 */
#ifndef HTTP_UPSTREAM_H
#define HTTP_UPSTREAM_H

#include "http/address.h"
#include "http/framing.h"
#include "http/stream.h"
#include "http/times.h"
#include "http/url.h"
#include "loop/loop.h"
#include "loop/resolve.h"

struct upstreams;   /* of one loop */
struct upstream;

struct upstream_limits {
    struct http_times times;
    int64_t keep_ms;             /* a socket without a request */
    int kept;                    /* idle sockets per pool */
    struct head_limits head;
};

enum err upstreams_new(struct loop *l, const struct egress *egress, struct tls_context *tls, const struct upstream_limits *limits,
                       struct upstreams **out, struct fault *why) MUST_CHECK;
void upstreams_free(struct upstreams *s);
struct upstream_counts { uint64_t opened, reused, retried, failed; int idle, busy; };
/* From any thread. */
struct upstream_counts upstreams_counts(const struct upstreams *s);

struct upstream_timing { int32_t resolve_us, connect_us, tls_us, first_byte_us; bool reused; };

struct upstream {
    /* filled by the owner; texts and pointers stay valid until the end */
    struct upstreams *owner;     /* the loop's */
    uint64_t pool;               /* names the owner's connection; sockets are shared within it only */
    const struct url *url;       /* scheme, host, port */
    struct str host;             /* NUL-terminated copy of url->host */
    struct tls_context *tls;     /* NULL: the loop's own; one pool has one context, for as long as it is used */
    const struct http_times *times; /* NULL, or 0 inside: the loop's own; total_ms is not read from here */
    bool head_request;           /* the method is HEAD */
    bool chunked;                /* the request body goes out in chunks: framed here */
    bool safe_to_retry;          /* idempotent and without a streamed body: may be sent again when a kept socket turns out dead */
    int64_t total_ms;            /* until the answer's head has come (buffered: until its end); 0: none */
    bool total_covers_body;
    /* Write the request head, final empty line included, with stream_put(); may be called again for a retry. */
    void (*render)(struct upstream *u, struct stream *to);
    /* The head is on its way: the body may be written. NULL: there is none. */
    void (*writable)(struct upstream *u);
    /* Final answer's head (1xx are passed over). Borrowed for the call. */
    void (*head)(struct upstream *u, const struct head *h, const struct framing *f);
    /* Body bytes; answers how many were taken; fewer pauses until upstream_resume(). */
    size_t (*body)(struct upstream *u, struct str span);
    void (*end)(struct upstream *u);
    void (*failed)(struct upstream *u, const struct fault *why);
    void *user;

    /* to read afterwards */
    struct upstream_timing timing;
    uint64_t body_bytes;         /* of the answer */

    /* private */
    struct line *line;
    struct resolve resolve;
    struct timer total, connect;
    struct address addresses[8];
    int address_count, address_at;
    int64_t started_us, phase_us;
    bool resolving, body_done, retried, over;
};

void upstream_start(struct upstream *u);
/* Request body: answers how many bytes were taken; fewer: wait for `writable`. */
size_t upstream_write(struct upstream *u, struct str span);
void upstream_write_end(struct upstream *u);
void upstream_resume(struct upstream *u);
/* No callback after this. The socket is closed. */
void upstream_cancel(struct upstream *u);

#endif
