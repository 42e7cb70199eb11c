/* http/framing.h - where a message ends, and whether the connection goes on. RFC 9112 6.3 and 9.3.
 *
 * One table of cases for server, client, fuzzers and tests. A message whose end two readers could see at different places
 * is FRAMING_BAD: answer 400 (or 502 for a provider's), close, and never pool the connection.
 */
#ifndef HTTP_FRAMING_H
#define HTTP_FRAMING_H

#include "http/head.h"

enum framing_kind {
    FRAMING_NONE,        /* no body */
    FRAMING_LENGTH,      /* exactly `length` bytes; may be 0 when so declared */
    FRAMING_CHUNKED,     /* http/chunked.h */
    FRAMING_UNTIL_CLOSE, /* responses only */
    FRAMING_BAD          /* `why` */
};
enum framing_expect { EXPECT_NONE, EXPECT_CONTINUE, EXPECT_UNKNOWN /* answer 417 */ };

struct framing {
    enum framing_kind kind;
    uint64_t length;            /* FRAMING_LENGTH: <= INT64_MAX. Answers without a body (HEAD, 304): what they declare, else 0 */
    const char *why;            /* FRAMING_BAD: constant text */
    bool keep_alive;            /* another message may follow on this connection */
    enum framing_expect expect; /* requests */
    bool names_headers;         /* Connection names more than close and keep-alive: see framing_hop_by_hop */
};

struct framing framing_request(const struct head *h);
/* `head_request`: the answer is to a HEAD request. 1xx answers are FRAMING_NONE; another head follows on them (101 too: the
 * caller, who never asks for an upgrade, refuses it). */
struct framing framing_response(const struct head *h, bool head_request);

/* Headers that belong to one connection and are not passed on (RFC 9110 7.6.1): Connection and what it names, Keep-Alive,
 * Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade, Proxy-Authenticate, Proxy-Authorization. Content-Length, which
 * the framing owns, is not among them. `h` may be NULL when its framing says !names_headers: quicker. */
bool framing_hop_by_hop(const struct head *h, struct str name);

#endif
