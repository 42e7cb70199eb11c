/* http/head.h - the head of an HTTP/1.1 message: start line and headers, read strictly. RFC 9112.
 *
 * One contiguous buffer in, borrowed texts out: nothing is copied or allocated. What two readers could understand
 * differently is refused rather than repaired: bare CR or LF, folded lines, space before a colon, control bytes, a missing
 * or second Host, a request target that is not plain ASCII. What remains has one meaning only.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "base/clock.h"
#include "base/str.h"

#define HEAD_HEADERS_MAX 128
#define HEAD_METHOD_MAX 32 /* bytes */

struct header {
    struct str name;  /* as sent; compare with str_ieq */
    struct str value; /* without the blanks around it; may hold bytes 0x80-0xff */
};

/* Filled by head_request or head_response when they answer HEAD_DONE. All texts point into the buffer that was read (or are
 * literals): they live as long as it stays where it is. */
struct head {
    struct str method, target; /* requests; target as sent */
    struct str path;           /* requests: path of the target, starts with '/', or is "*" */
    struct str query;          /* requests: without '?'; p == NULL when absent */
    struct str host;           /* requests: the Host header; p == NULL when absent (HTTP/1.0 only) */
    int status;                /* responses: 100-599; 0 in requests */
    struct str reason;         /* responses; may be empty */
    int minor;                 /* HTTP/1.<minor>: 0 or 1 */
    int count;                 /* of headers */
    size_t size;               /* bytes of the head, its final empty line included; the body starts there */
    struct header headers[HEAD_HEADERS_MAX];
};

struct head_limits {
    size_t max_bytes;   /* of the whole head */
    size_t max_uri;     /* of the request target */
    int max_headers;    /* at most HEAD_HEADERS_MAX */
};
#define HEAD_LIMITS_PRESET ((struct head_limits){ .max_bytes = 64 * 1024, .max_uri = 16 * 1024, .max_headers = 100 })

enum head_result {
    HEAD_MORE,             /* not complete; call again with the same and more bytes */
    HEAD_DONE,
    HEAD_BAD,              /* 400, or 502 for a provider's */
    HEAD_VERSION,          /* well-formed, but not HTTP/1.0 or HTTP/1.1: 505 */
    HEAD_TOO_LARGE,        /* 431 */
    HEAD_TOO_MANY_HEADERS, /* 431 */
    HEAD_URI_TOO_LONG      /* 414 */
};

/* Read a head from the start of `in`. *resume is 0 for a new head and is kept between the calls for one head: it spares a slow
 * sender's bytes from being read again at each call (the buffer may move in between). *why says what is wrong, as a constant
 * text, whenever the answer is neither HEAD_MORE nor HEAD_DONE. *out is unspecified unless HEAD_DONE.
 * Requests: one empty line before the request line is skipped (RFC 9112 2.2) and counted in out->size. CONNECT is refused. */
enum head_result head_request(struct str in, size_t *resume, const struct head_limits *limits, struct head *out, const char **why);
enum head_result head_response(struct str in, size_t *resume, const struct head_limits *limits, struct head *out, const char **why);

/* First header of that name, letter case ignored, or NULL. */
const struct header *head_find(const struct head *h, struct str name);
/* Its value, or STR_NONE. */
struct str head_value(const struct head *h, struct str name);

/* The comma-separated members of all headers of that name, in order (RFC 9110 5.6.1: empty members are passed over).
 *     struct head_list at = { 0 };
 *     while (head_list(h, STR("connection"), &at, &member)) ...
 * Members are trimmed; a comma inside a quoted string does not part. */
struct head_list {
    int next;        /* header to look at next */
    struct str rest; /* of the current header's value */
};
bool head_list(const struct head *h, struct str name, struct head_list *at, struct str *member);
/* True when the list holds `member`, letter case ignored. */
bool head_list_has(const struct head *h, struct str name, struct str member);

/* A Retry-After value, in seconds or as a date (RFC 9110 10.2.3): milliseconds from `now` on; 0: it says nothing, or the time is
 * past. */
int64_t head_retry_after(struct str value, wall_ms now);

/* RFC 9110 5.6.2: one or more token characters. */
bool head_is_token(struct str s);
/* May stand as a header's value: no control byte but tab, no blanks at the ends. */
bool head_is_value(struct str s);

#endif
