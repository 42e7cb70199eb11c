#include "web/doorman.h"

#include <stdio.h>

#define NAMES_MOST 64

struct doorman {
    struct str names[NAMES_MOST];
    size_t count;
    struct address listen;
    bool loopback, everywhere;       /* what it listens on */
    bool tls, https;
    struct str origin;               /* of public_url: "https://hub.example" */
    struct address_ranges *trusted;
};

/* "https://hub.example:8443/raccord" -> "https://hub.example:8443" and "hub.example". */
static struct str origin_of(struct str url, struct str *host)
{
    size_t scheme = str_find_str(url, STR("://"));
    size_t from = scheme == SIZE_MAX ? 0 : scheme + 3, to = from;
    while (to < url.n && url.p[to] != '/')
        to++;
    *host = str_sub(url, from, to);
    return str_sub(url, 0, to);
}

/* "hub.example:443", "[::1]:443" -> without port, brackets and final dot. */
static struct str host_only(struct str s)
{
    size_t end = s.n && s.p[0] == '[' ? str_find(s, ']') : str_find(s, ':');
    if (s.n && s.p[0] == '[')
        return end == SIZE_MAX ? s : str_sub(s, 1, end);
    s = end == SIZE_MAX ? s : str_sub(s, 0, end);
    return str_ends(s, STR(".")) ? str_sub(s, 0, s.n - 1) : s;
}

static enum err add_name(struct doorman *d, struct str name, struct fault *why)
{
    name = host_only(str_trim(name));
    if (!name.n)
        return ERR_NONE;
    if (d->count == NAMES_MOST || name.n > 253 || str_has_control(name) || str_find(name, '/') != SIZE_MAX)
        return fault(why, ERR_CONFIG, STR("hosts takes up to 60 host names with commas between"), "hosts");
    d->names[d->count++] = name;
    return ERR_NONE;
}

enum err doorman_new(struct arena *boot, const struct doorman_config *c, struct doorman **out, struct fault *why)
{
    struct doorman *d = arena_zero(boot, sizeof *d);
    struct str host, item, rest = c->hosts;
    d->listen = *c->listen;
    d->loopback = address_classify(c->listen) == ADDRESS_LOOPBACK;
    d->everywhere = address_classify(c->listen) == ADDRESS_UNSPECIFIED;
    d->tls = c->tls;
    d->https = str_starts(c->public_url, STR("https://"));
    d->origin = origin_of(c->public_url, &host);
    enum err e = add_name(d, host, why);
    if (!e && (d->loopback || d->everywhere))
        e = add_name(d, STR("localhost"), why);
    while (!e && str_piece(&rest, ',', &item))
        e = add_name(d, item, why);
    if (!e)
        e = address_ranges_new(boot, c->trusted_proxies, "trusted_proxies", &d->trusted, why);
    *out = d;
    return e;
}

static bool knows_address(const struct doorman *d, const struct address *a)
{
    if (d->everywhere || (d->loopback && address_classify(a) == ADDRESS_LOOPBACK))
        return true;
    return a->family == d->listen.family && memcmp(a->ip, d->listen.ip, a->family == 4 ? 4 : 16) == 0;
}

bool doorman_knows_host(const struct doorman *d, struct str host)
{
    struct address a;
    if (!d || !host.p)
        return true;
    struct str name = host_only(host);
    for (size_t i = 0; i < d->count; i++)
        if (str_ieq(name, d->names[i]))
            return true;
    return address_parse(name, &a) && knows_address(d, &a);
}

/* The public address, or the very one that the browser asked (Host was found to be ours), https where the public one is. */
static bool own_origin(const struct doorman *d, struct str origin, struct str host)
{
    struct str scheme = d->https || d->tls ? STR("https://") : STR("http://");
    if (str_ieq(origin, d->origin))
        return true;
    return str_istarts(origin, scheme) && host.n && str_ieq(str_sub(origin, scheme.n, origin.n), host);
}

enum err doorman_check_origin(const struct doorman *d, const struct head *h, struct fault *why)
{
    struct str origin = head_value(h, STR("origin")), site = head_value(h, STR("sec-fetch-site"));
    if (!d)
        return ERR_NONE;
    if (origin.p && !own_origin(d, origin, h->host))
        return fault(why, ERR_ORIGIN_REFUSED, STR(""), "Origin of another site");
    /* W3C Fetch Metadata: "none" is a person's own doing, such as a bookmark. */
    if (site.p && !str_is(site, "same-origin") && !str_is(site, "none"))
        return fault(why, ERR_ORIGIN_REFUSED, STR(""), "Sec-Fetch-Site");
    return ERR_NONE;
}

struct address doorman_client(const struct doorman *d, const struct head *h, const struct address *peer)
{
    return address_of_client(h, peer, d ? d->trusted : NULL);
}

const struct address_ranges *doorman_trusted(const struct doorman *d) { return d ? d->trusted : NULL; }

bool doorman_private(const struct doorman *d, const struct address *peer, const struct address *client)
{
    return !d || d->tls || address_classify(client) == ADDRESS_LOOPBACK || (d->https && address_ranges_hold(d->trusted, peer));
}

struct str doorman_network(const struct address *client, char out[DOORMAN_NETWORK])
{
    struct address a = *client;
    char text[ADDRESS_TEXT];
    if (a.family == 6)
        memset(a.ip + 8, 0, 8);
    snprintf(out, DOORMAN_NETWORK, a.family == 6 ? "%s/64" : "%s", address_format(&a, text));
    return str_of(out);
}

void doorman_headers(struct exchange *x, bool https)
{
    static const struct {
        struct str name, value;
    } headers[] = {
#define H(name, value) { STR(name), STR(value) }
        H("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
                                     " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"),
        H("X-Content-Type-Options", "nosniff"),
        H("Referrer-Policy", "no-referrer"),
        H("Cross-Origin-Opener-Policy", "same-origin"),
        H("Cross-Origin-Resource-Policy", "same-origin"),
#undef H
    };
    for (size_t i = 0; i < COUNT(headers); i++)
        exchange_header(x, headers[i].name, headers[i].value);
    if (https)
        exchange_header(x, STR("Strict-Transport-Security"), STR("max-age=31536000"));
}
