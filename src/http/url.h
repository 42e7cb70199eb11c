/* http/url.h - URLs of providers: parsing, host names, and joining a caller's path to a base URL.
 *
 * One parser serves checking and dialling (requirement 1.5). The host comes out as what is dialled: lower-case A-labels
 * (UTS #46 through libidn2, as WHATWG's "domain to ASCII"), or canonical IP text. Tricks (user info, backslashes, control bytes,
 * percent-encoded hosts, odd IPv4 spellings: decimal, octal, hex, short) are refused or parsed as WHATWG does and then judged:
 * never a different host from the one dialled.
 */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct url {
    bool https;
    struct str host;      /* A-labels lower-case without trailing dot, or IPv4 text, or IPv6 text without brackets */
    bool ip;              /* host is an IP literal */
    bool ip6;
    uint16_t port;        /* explicit or the scheme's own */
    struct str path;      /* starts with '/', dot segments removed, as WHATWG serialises */
    struct str query;     /* without '?'; p == NULL when absent */
};

/* An absolute http or https URL. User info is refused (a credential must not travel there); a fragment is dropped.
 * Errors: ERR_URL_INVALID, subject says what is wrong. All texts are owned by `a`. */
enum err url_parse(struct arena *a, struct str text, struct url *out, struct fault *why) MUST_CHECK;

/* Host text -> what is dialled (see struct url). ERR_URL_INVALID. */
enum err host_parse(struct arena *a, struct str text, struct str *out, bool *ip, bool *ip6, struct fault *why) MUST_CHECK;

/* The caller's path (as in "/proxy/crm/<here>", may start with '/'; '?query' apart) joined to the base URL's.
 * Documented normalisation (docs/proxy-paths.md): bytes are kept as sent, except that dot segments (also spelled %2e) that would
 * climb out are refused, as are backslashes, control bytes, and %2f, %5c, %00 that would form a dot segment or a second
 * authority; an empty first segment ("//evil/") never becomes a host. The result always starts with the base path.
 * *path is owned by `a`; query of the base (if any) is not included. ERR_URL_INVALID. */
enum err url_join_path(struct arena *a, const struct url *base, struct str tail, struct str *path, struct fault *why) MUST_CHECK;

/* RFC 3986 5.2 resolution of a Location header against the URL that answered. ERR_URL_INVALID. */
enum err url_resolve(struct arena *a, const struct url *from, struct str reference, struct url *out, struct fault *why) MUST_CHECK;

/* "host" or "host:port" when the port is not the scheme's own; IPv6 in brackets: the Host header. */
struct str url_authority(struct arena *a, const struct url *u);

#endif
