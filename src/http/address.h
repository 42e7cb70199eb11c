/* http/address.h - IP addresses: reading, classing, and the egress policy (invariant 4).
 *
 * Everything that is not plain global unicast is refused unless the administrator allowed it; metadata
 * addresses stay shut even then. Embedded IPv4 (mapped, compatible, NAT64, 6to4, Teredo) is refused or unwrapped and
 * judged as what it embeds, whichever is stricter. Source: IANA special-purpose registries, RFC 6890, RFC 8190.
 */
#ifndef HTTP_ADDRESS_H
#define HTTP_ADDRESS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "http/head.h"

struct address {
    unsigned char family; /* 4 or 6 */
    unsigned char ip[16]; /* network order; IPv4 in the first 4 */
    uint16_t port;        /* host order */
};

bool address_parse(struct str text, struct address *out);  /* canonical forms only: 1.2.3.4, ::1; port 0 */
#define ADDRESS_TEXT 48
char *address_format(const struct address *a, char out[ADDRESS_TEXT]); /* without port */

/* ADDRESS_PUBLIC may be dialled by everyone; ADDRESS_METADATA by nobody; the rest only when allowed. */
enum address_class {
    ADDRESS_PUBLIC, ADDRESS_LOOPBACK, ADDRESS_PRIVATE, ADDRESS_LINK_LOCAL, ADDRESS_SHARED, ADDRESS_MULTICAST,
    ADDRESS_RESERVED, ADDRESS_UNSPECIFIED, ADDRESS_EMBEDDED, ADDRESS_METADATA
};
enum address_class address_classify(const struct address *a);

/* Addresses and ranges: "192.0.2.7", "10.0.0.0/8", "fd00::/8". Immutable. An IPv4 address that came in IPv6 clothes (::ffff:0:0/96)
 * is judged as IPv4. */
struct address_ranges;
/* Comma-separated; `setting` names the list in the fault. ERR_CONFIG. */
enum err address_ranges_new(struct arena *a, struct str list, const char *setting, struct address_ranges **out,
                            struct fault *why) MUST_CHECK;
bool address_ranges_hold(const struct address_ranges *r, const struct address *a); /* NULL: holds none */

/* Who really asks. A peer that is no trusted proxy speaks for itself, whatever it claims. Behind trusted ones it is the rightmost
 * address of X-Forwarded-For that is not trusted itself; an entry that is no address ends the search at the proxy that passed it
 * on. Allocates nothing. */
struct address address_of_client(const struct head *h, const struct address *peer, const struct address_ranges *trusted);

/* What the administrator allowed. Built once at boot, immutable. */
struct egress;
/* allow_private: CIDRs ("10.0.0.0/8"), hosts ("intranet", "localhost"), host:port ("localhost:9443", "127.0.0.1:9443"),
 * comma-separated.  allow_http: hosts or host:port, comma-separated, towards which plain http is permitted.
 * ports: comma-separated list; empty: any port that a base URL names.
 * Errors: ERR_CONFIG naming the bad item. */
enum err egress_new(struct arena *boot, struct str allow_private, struct str allow_http, struct str ports,
                    struct egress **out, struct fault *why) MUST_CHECK;
/* The hub's own listener: refused as a destination whatever the policy. Call after listening, before serving.
 * A listener on the unspecified address covers every local address at that port. */
void egress_add_self(struct egress *e, const struct address *listener);

/* May `host` (lower-case A-label name or IP text), resolved to `to` (with port), be dialled?
 * ERR_ADDRESS_NOT_ALLOWED; subject is the host, never the address. */
enum err egress_check(const struct egress *e, struct str host, const struct address *to, struct fault *why) MUST_CHECK;
/* Before any look-up: scheme and port. Where no ports are listed every port passes: the caller holds it against the base URL's.
 * ERR_SCHEME_NOT_ALLOWED, ERR_PORT_NOT_ALLOWED. */
enum err egress_check_url(const struct egress *e, bool https, struct str host, uint16_t port, struct fault *why) MUST_CHECK;
bool egress_lists_ports(const struct egress *e);
/* True when `host` was listed in allow_private: by name; an IP literal also by a range that holds it, and localhost by a rule for
 * 127.0.0.1. Single-label and private names may then be an allowed domain. */
bool egress_allows_private_host(const struct egress *e, struct str host, uint16_t port);

#endif
