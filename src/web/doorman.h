/* web/doorman.h - what is looked at of a request before anybody is asked who it is: the Host it names, the site whose page sent it,
 * the address that it really comes from (requirements 15.5, 15.7), and what every answer of the hub's own says to browsers (15.6).
 *
 * A name that is not ours in Host is how a foreign page gets a browser to talk to us as if we were its own server (DNS rebinding).
 * Names count, ports do not: a gateway may listen on another one. Written addresses are what the hub listens on; where it listens
 * on all of them any will do, for a browser that shows an address in its bar went there by address.
 */
#ifndef WEB_DOORMAN_H
#define WEB_DOORMAN_H

#include "http/server.h"
#include "web/web.h"

struct doorman_config {
    struct str public_url;
    struct str hosts;               /* further names, comma-separated */
    struct str trusted_proxies;     /* comma-separated; see address_of_client() */
    const struct address *listen;
    bool tls;                       /* the listener speaks it */
};
/* Immutable. ERR_CONFIG names the bad item. */
enum err doorman_new(struct arena *boot, const struct doorman_config *c, struct doorman **out, struct fault *why) MUST_CHECK;

/* A NULL doorman knows every host and believes no proxy: for tests without a listener. */
bool doorman_knows_host(const struct doorman *d, struct str host /* p == NULL: HTTP/1.0, which no browser speaks */);
/* Of a changing request: no sign of another site's page. Origin and Sec-Fetch-Site, where they are sent. ERR_ORIGIN_REFUSED. */
enum err doorman_check_origin(const struct doorman *d, const struct head *h, struct fault *why) MUST_CHECK;
struct address doorman_client(const struct doorman *d, const struct head *h, const struct address *peer);
/* Nobody between reads along: it came over TLS, or from this machine, or through a trusted proxy of an https address. */
bool doorman_private(const struct doorman *d, const struct address *peer, const struct address *client);
/* The ranges of trusted_proxies, for proxy/; may be NULL. */
const struct address_ranges *doorman_trusted(const struct doorman *d);

/* What limits count by: an IPv4 address, or the /64 of an IPv6 one, since who has one has them all. */
#define DOORMAN_NETWORK 64
struct str doorman_network(const struct address *client, char out[DOORMAN_NETWORK]);

/* Content-Security-Policy and its like, on every answer that is the hub's own. */
void doorman_headers(struct exchange *x, bool https);

#endif
