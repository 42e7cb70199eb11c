#include "http/address.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/encode.h"
#include "http/url.h"

/* ---- reading and writing ---- */

/* Four decimal numbers, no leading zeros: "010" is 8 to some readers and 10 to others. */
static bool parse_v4(struct str text, unsigned char ip[4])
{
    struct str piece;
    int n = 0;
    while (str_piece(&text, '.', &piece)) {
        uint64_t value;
        if (n == 4 || piece.n > 3 || !str_u64(piece, &value) || value > 255 || (piece.n > 1 && piece.p[0] == '0'))
            return false;
        ip[n++] = (unsigned char)value;
    }
    return n == 4;
}

/* One to four hex digits from *at on; false when there is none. */
static bool hex_group(struct str s, size_t *at, unsigned *value)
{
    size_t start = *at;
    for (*value = 0; *at < s.n && *at - start < 4 && hex_digit(s.p[*at]) >= 0; (*at)++)
        *value = *value << 4 | (unsigned)hex_digit(s.p[*at]);
    return *at > start;
}

/* RFC 4291 2.2: groups, at most one "::", dotted decimal in the last 32 bits. No zone. */
static bool parse_v6(struct str s, unsigned char ip[16])
{
    unsigned char out[16] = { 0 };
    size_t at = 0, n = 0, gap = SIZE_MAX;
    if (str_starts(s, STR("::"))) {
        gap = 0;
        at = 2;
    }
    while (at < s.n) {
        size_t start = at;
        unsigned value;
        if (n > 14 || !hex_group(s, &at, &value))
            return false;
        if (at < s.n && s.p[at] == '.') {
            if (n > 12 || !parse_v4(str_sub(s, start, s.n), out + n))
                return false;
            n += 4;
            break;
        }
        out[n++] = (unsigned char)(value >> 8);
        out[n++] = (unsigned char)value;
        if (at == s.n)
            break;
        if (s.p[at++] != ':' || at == s.n)
            return false;
        if (s.p[at] != ':')
            continue;
        if (gap != SIZE_MAX)
            return false;
        gap = n;
        at++;
    }
    if (gap == SIZE_MAX ? n != 16 : n > 14)
        return false;
    /* What follows the gap moves to the end. */
    size_t head = gap == SIZE_MAX ? n : gap;
    memset(ip, 0, 16);
    memcpy(ip, out, head);
    memcpy(ip + 16 - (n - head), out + head, n - head);
    return true;
}

bool address_parse(struct str text, struct address *out)
{
    struct address a = { 0 };
    a.family = str_find(text, ':') == SIZE_MAX ? 4 : 6;
    if (a.family == 4 ? !parse_v4(text, a.ip) : !parse_v6(text, a.ip))
        return false;
    *out = a;
    return true;
}

/* The longest run of two or more zero groups, the first of equals: RFC 5952 4.2. */
static void zero_run(const unsigned group[8], int *from, int *to)
{
    *from = *to = -1;
    for (int i = 0, end; i < 8; i = end) {
        for (end = i; end < 8 && !group[end]; end++)
            ;
        if (end - i > 1 && end - i > *to - *from) {
            *from = i;
            *to = end;
        }
        end += end == i;
    }
}

/* As https://url.spec.whatwg.org/#concept-ipv6-serializer: never dotted decimal inside. */
char *address_format(const struct address *a, char out[ADDRESS_TEXT])
{
    if (a->family == 4) {
        snprintf(out, ADDRESS_TEXT, "%u.%u.%u.%u", a->ip[0], a->ip[1], a->ip[2], a->ip[3]);
        return out;
    }
    unsigned group[8];
    for (int i = 0; i < 8; i++)
        group[i] = (unsigned)a->ip[2 * i] << 8 | a->ip[2 * i + 1];
    int from, to;
    zero_run(group, &from, &to);
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < 8; i++) {
        if (i == from) {
            n += (size_t)snprintf(out + n, ADDRESS_TEXT - n, "::");
            i = to - 1;
            continue;
        }
        n += (size_t)snprintf(out + n, ADDRESS_TEXT - n, "%s%x", i && i != to ? ":" : "", group[i]);
    }
    return out;
}

/* ---- classing ---- */

static bool inside(const unsigned char *ip, const unsigned char *net, unsigned bits)
{
    if (memcmp(ip, net, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return !rest || !((ip[bits / 8] ^ net[bits / 8]) >> (8 - rest));
}

/* The IANA IPv4 Special-Purpose Address Registry, multicast, and where clouds hand out credentials. First match wins. */
static const struct {
    unsigned char net[4];
    unsigned char bits;
    enum address_class class;
} v4_table[] = {
    { { 169, 254, 169, 254 }, 32, ADDRESS_METADATA }, /* AWS, Azure, Google Cloud, OpenStack and others */
    { { 169, 254, 170, 2 }, 32, ADDRESS_METADATA },   /* AWS: credentials of ECS tasks */
    { { 169, 254, 170, 23 }, 32, ADDRESS_METADATA },  /* AWS: credentials of EKS pods */
    { { 100, 100, 100, 200 }, 32, ADDRESS_METADATA }, /* Alibaba Cloud */
    { { 192, 0, 0, 192 }, 32, ADDRESS_METADATA },     /* Oracle Cloud, classic */
    { { 168, 63, 129, 16 }, 32, ADDRESS_METADATA },   /* Azure WireServer: looks public, answers only inside */
    { { 0, 0, 0, 0 }, 32, ADDRESS_UNSPECIFIED },
    { { 0, 0, 0, 0 }, 8, ADDRESS_RESERVED },          /* RFC 791 3.2 */
    { { 10, 0, 0, 0 }, 8, ADDRESS_PRIVATE },          /* RFC 1918 */
    { { 100, 64, 0, 0 }, 10, ADDRESS_SHARED },        /* RFC 6598 */
    { { 127, 0, 0, 0 }, 8, ADDRESS_LOOPBACK },        /* RFC 1122 */
    { { 169, 254, 0, 0 }, 16, ADDRESS_LINK_LOCAL },   /* RFC 3927 */
    { { 172, 16, 0, 0 }, 12, ADDRESS_PRIVATE },       /* RFC 1918 */
    { { 192, 0, 0, 0 }, 24, ADDRESS_RESERVED },       /* RFC 6890; its few global addresses serve no API */
    { { 192, 0, 2, 0 }, 24, ADDRESS_RESERVED },       /* RFC 5737 */
    { { 192, 88, 99, 0 }, 24, ADDRESS_RESERVED },     /* RFC 7526: 6to4 relays */
    { { 192, 168, 0, 0 }, 16, ADDRESS_PRIVATE },      /* RFC 1918 */
    { { 198, 18, 0, 0 }, 15, ADDRESS_RESERVED },      /* RFC 2544 */
    { { 198, 51, 100, 0 }, 24, ADDRESS_RESERVED },    /* RFC 5737 */
    { { 203, 0, 113, 0 }, 24, ADDRESS_RESERVED },     /* RFC 5737 */
    { { 224, 0, 0, 0 }, 4, ADDRESS_MULTICAST },       /* RFC 5771 */
    { { 240, 0, 0, 0 }, 4, ADDRESS_RESERVED },        /* RFC 1112, and limited broadcast */
};

/* The same for IPv6. What no row names and 2000::/3 does not hold is not global unicast (RFC 4291 2.4). `v4` says at which
 * byte an IPv4 address stands inside; 0: none. */
static const struct {
    unsigned char net[16];
    unsigned char bits;
    enum address_class class;
    unsigned char v4;
} v6_table[] = {
    { { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128, ADDRESS_METADATA, 0 }, /* AWS fd00:ec2::254 */
    { { 0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23 }, 128, ADDRESS_METADATA, 0 },                           /* EKS fd00:ec2::23 */
    { { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 }, 128, ADDRESS_METADATA, 0 }, /* Google Cloud fd20:ce::254 */
    { { 0 }, 128, ADDRESS_UNSPECIFIED, 0 },
    { { [15] = 1 }, 128, ADDRESS_LOOPBACK, 0 },
    { { [10] = 0xff, [11] = 0xff }, 96, ADDRESS_EMBEDDED, 12 },                   /* ::ffff/96 mapped, RFC 4291 */
    { { [8] = 0xff, [9] = 0xff }, 96, ADDRESS_EMBEDDED, 12 },                     /* ::ffff:0/96 translated, RFC 2765 */
    { { 0 }, 96, ADDRESS_EMBEDDED, 12 },                                          /* ::/96 compatible, RFC 4291 */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, ADDRESS_EMBEDDED, 12 },                     /* NAT64, RFC 6052 */
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, ADDRESS_EMBEDDED, 12 },         /* local-use NAT64, RFC 8215 */
    { { 0x20, 0x01, 0x00, 0x00 }, 32, ADDRESS_EMBEDDED, 4 },                      /* Teredo, RFC 4380 */
    { { 0x20, 0x02 }, 16, ADDRESS_EMBEDDED, 2 },                                  /* 6to4, RFC 3056 */
    { { 0x20, 0x01 }, 23, ADDRESS_RESERVED, 0 },                                  /* RFC 2928 */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_RESERVED, 0 },                      /* RFC 3849 */
    { { 0x3f, 0xff }, 20, ADDRESS_RESERVED, 0 },                                  /* RFC 9637 */
    { { 0xfc }, 7, ADDRESS_PRIVATE, 0 },                                          /* RFC 4193 */
    { { 0xfe, 0x80 }, 10, ADDRESS_LINK_LOCAL, 0 },                                /* RFC 4291 */
    { { 0xfe, 0xc0 }, 10, ADDRESS_PRIVATE, 0 },                                   /* site-local, RFC 3879 */
    { { 0xff }, 8, ADDRESS_MULTICAST, 0 },
    { { 0x20 }, 3, ADDRESS_PUBLIC, 0 },
};

static enum address_class classify_v4(const unsigned char ip[4])
{
    for (size_t i = 0; i < COUNT(v4_table); i++)
        if (inside(ip, v4_table[i].net, v4_table[i].bits))
            return v4_table[i].class;
    return ADDRESS_PUBLIC;
}

/* ISATAP interface identifiers (RFC 5214 6.1): an IPv4 address behind 0000:5efe or 0200:5efe, in any prefix. */
static bool isatap(const unsigned char ip[16])
{
    return (ip[8] & 0xfd) == 0 && ip[9] == 0 && ip[10] == 0x5e && ip[11] == 0xfe;
}

static bool metadata_v4(const unsigned char *ip) { return classify_v4(ip) == ADDRESS_METADATA; }

/* Every place where an IPv4 address can hide, whatever the prefix claims to be. */
static bool hides_metadata(const unsigned char ip[16], unsigned v4)
{
    unsigned char split[4] = { ip[6], ip[7], ip[9], ip[10] };                 /* RFC 6052 2.2, a /48 prefix */
    unsigned char client[4] = { ip[12] ^ 0xff, ip[13] ^ 0xff, ip[14] ^ 0xff, ip[15] ^ 0xff }; /* RFC 4380 4 */
    return metadata_v4(ip + v4) || metadata_v4(ip + 12) || metadata_v4(split) || metadata_v4(client);
}

static int v6_row(const unsigned char ip[16])
{
    for (size_t i = 0; i < COUNT(v6_table); i++)
        if (inside(ip, v6_table[i].net, v6_table[i].bits))
            return (int)i;
    return -1;
}

static enum address_class classify_v6(const unsigned char ip[16])
{
    int row = v6_row(ip);
    enum address_class class = row < 0 ? ADDRESS_RESERVED : v6_table[row].class;
    if (class == ADDRESS_EMBEDDED)
        return hides_metadata(ip, v6_table[row].v4) ? ADDRESS_METADATA : ADDRESS_EMBEDDED;
    if (isatap(ip) && class != ADDRESS_MULTICAST)
        return metadata_v4(ip + 12) ? ADDRESS_METADATA : class == ADDRESS_PUBLIC ? ADDRESS_EMBEDDED : class;
    return class;
}

enum address_class address_classify(const struct address *a)
{
    return a->family == 4 ? classify_v4(a->ip) : a->family == 6 ? classify_v6(a->ip) : ADDRESS_RESERVED;
}

/* The IPv4 address that an embedding address leads to. False when it is none. */
static bool unwrap(const struct address *a, struct address *v4)
{
    if (a->family != 6)
        return false;
    int row = v6_row(a->ip);
    bool embeds = row >= 0 && v6_table[row].class == ADDRESS_EMBEDDED;
    if (!embeds && !isatap(a->ip))
        return false;
    *v4 = (struct address){ .family = 4, .port = a->port };
    memcpy(v4->ip, a->ip + (embeds ? v6_table[row].v4 : 12), 4);
    return true;
}

/* ---- the policy ---- */

/* One item of allow_private or allow_http: a host, a range, or (an IP address) both. */
struct rule {
    struct str host; /* p == NULL: a range only */
    struct address net;
    unsigned bits;   /* of net; family 0: no range */
    uint16_t port;   /* 0: any */
};
struct rules {
    struct rule *rule;
    size_t count;
};

#define SELF_MAX 64
struct egress {
    struct rules private, http;
    uint16_t *ports;
    size_t port_count;
    struct address self[SELF_MAX];
    size_t self_count;
};

static enum err bad_item(struct fault *why, const char *setting, struct str item, const char *what)
{
    char shown[sizeof why->subject];
    snprintf(shown, sizeof shown, "%s: “%.*s” %s", setting, STR_ARG(item), what);
    return fault(why, ERR_CONFIG, str_of(shown), "%s", shown);
}

static bool parse_port(struct str text, uint16_t *out)
{
    uint64_t value;
    if (text.n > 5 || !str_u64(text, &value) || !value || value > 65535)
        return false;
    *out = (uint16_t)value;
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port", "v6". *port stays 0 without one. */
static bool split_port(struct str item, struct str *host, uint16_t *port)
{
    struct address v6;
    *port = 0;
    *host = item;
    if (address_parse(item, &v6))
        return true;
    size_t from = 0;
    if (item.n && item.p[0] == '[') {
        from = str_find(item, ']');
        if (from == SIZE_MAX)
            return false;
    }
    size_t colon = str_find(str_sub(item, from, item.n), ':');
    if (colon == SIZE_MAX)
        return true;
    *host = str_sub(item, 0, from + colon);
    return parse_port(str_sub(item, from + colon + 1, item.n), port);
}

static struct str unbracketed(struct str s)
{
    return s.n > 1 && s.p[0] == '[' && s.p[s.n - 1] == ']' ? str_sub(s, 1, s.n - 1) : s;
}

static bool host_bits_clear(const struct address *net, unsigned bits)
{
    unsigned all = net->family == 4 ? 32 : 128;
    for (unsigned i = bits; i < all; i++)
        if (net->ip[i / 8] & 0x80 >> i % 8)
            return false;
    return true;
}

/* "10.0.0.0/8", "10.0.0.0/8:443", "fd00::/8", "[fd00::]/8:443". */
static const char *parse_range(struct str item, size_t slash, struct rule *out)
{
    struct str bits, port;
    uint64_t n;
    if (!address_parse(unbracketed(str_sub(item, 0, slash)), &out->net))
        return "is not an address range";
    if (str_cut(str_sub(item, slash + 1, item.n), ':', &bits, &port) && !parse_port(port, &out->port))
        return "has no valid port";
    if (!str_u64(bits, &n) || n > (out->net.family == 4 ? 32 : 128))
        return "has no valid prefix length";
    out->bits = (unsigned)n;
    return host_bits_clear(&out->net, out->bits) ? NULL : "has bits set behind its prefix length";
}

static const char *parse_rule(struct arena *boot, struct str item, bool ranges, struct rule *out)
{
    size_t slash = str_find(item, '/');
    if (slash != SIZE_MAX)
        return ranges ? parse_range(item, slash, out) : "is not a host";
    struct str host;
    if (!split_port(item, &host, &out->port))
        return "has no valid port";
    /* An address may be written with or without its brackets. */
    if (address_parse(unbracketed(host), &out->net)) {
        char text[ADDRESS_TEXT];
        out->bits = out->net.family == 4 ? 32 : 128;
        out->host = arena_str(boot, str_of(address_format(&out->net, text)));
        return NULL;
    }
    bool ip, ip6;
    if (host_parse(boot, host, &out->host, &ip, &ip6, NULL))
        return "is not a host, host:port or address range";
    return ip ? "is an oddly written address" : NULL;
}

static size_t count_items(struct str list)
{
    size_t n = 1;
    for (size_t i = 0; i < list.n; i++)
        n += list.p[i] == ',';
    return n;
}

static enum err parse_rules(struct arena *boot, struct str list, const char *setting, bool ranges, struct rules *out,
                            struct fault *why)
{
    out->rule = arena_array(boot, count_items(list), sizeof *out->rule);
    struct str item;
    while (str_piece(&list, ',', &item)) {
        item = str_trim(item);
        if (!item.n)
            continue;
        const char *wrong = parse_rule(boot, item, ranges, &out->rule[out->count]);
        if (wrong)
            return bad_item(why, setting, item, wrong);
        out->count++;
    }
    return ERR_NONE;
}

/* ---- ranges, and who stands behind a proxy ---- */

struct address_ranges {
    struct rules rules;
};

enum err address_ranges_new(struct arena *a, struct str list, const char *setting, struct address_ranges **out, struct fault *why)
{
    *out = arena_zero(a, sizeof **out);
    enum err e = parse_rules(a, list, setting, true, &(*out)->rules, why);
    if (e)
        return e;
    for (size_t i = 0; i < (*out)->rules.count; i++) {
        const struct rule *r = &(*out)->rules.rule[i];
        if (!r->net.family || r->port)
            return bad_item(why, setting, r->host, "is not an address or a range of addresses");
    }
    return ERR_NONE;
}

/* A mapped address reaches what the IPv4 address reaches. */
static struct address plain(const struct address *a)
{
    struct address v4;
    static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
    if (a->family == 6 && memcmp(a->ip, mapped, sizeof mapped) == 0 && unwrap(a, &v4))
        return v4;
    return *a;
}

bool address_ranges_hold(const struct address_ranges *r, const struct address *a)
{
    struct address is = plain(a);
    for (size_t i = 0; r && i < r->rules.count; i++) {
        const struct rule *rule = &r->rules.rule[i];
        if (rule->net.family == is.family && inside(is.ip, rule->net.ip, rule->bits))
            return true;
    }
    return false;
}

/* "192.0.2.1", "[2001:db8::1]", either with a port, which some proxies add. */
static bool parse_forwarded(struct str s, struct address *out)
{
    struct str host;
    uint16_t port;
    return split_port(str_trim(s), &host, &port) && address_parse(unbracketed(host), out);
}

static struct str last_piece(struct str *rest)
{
    size_t comma = rest->n;
    while (comma && rest->p[comma - 1] != ',')
        comma--;
    struct str piece = str_sub(*rest, comma, rest->n);
    rest->n = comma ? comma - 1 : 0;
    return piece;
}

struct address address_of_client(const struct head *h, const struct address *peer, const struct address_ranges *trusted)
{
    struct address at = plain(peer), next;
    /* Several headers are one list (RFC 9110 5.3): from the end of the last one backwards. */
    for (int i = h->count; i-- && address_ranges_hold(trusted, &at);) {
        if (!str_ieq(h->headers[i].name, STR("x-forwarded-for")))
            continue;
        struct str rest = h->headers[i].value;
        while (rest.n && address_ranges_hold(trusted, &at)) {
            if (!parse_forwarded(last_piece(&rest), &next))
                return at;
            at = plain(&next);
        }
    }
    return at;
}

static enum err parse_ports(struct arena *boot, struct str list, struct egress *e, struct fault *why)
{
    e->ports = arena_array(boot, count_items(list), sizeof *e->ports);
    struct str item;
    while (str_piece(&list, ',', &item)) {
        item = str_trim(item);
        if (!item.n)
            continue;
        if (!parse_port(item, &e->ports[e->port_count]))
            return bad_item(why, "egress.ports", item, "is not a port");
        e->port_count++;
    }
    return ERR_NONE;
}

enum err egress_new(struct arena *boot, struct str allow_private, struct str allow_http, struct str ports, struct egress **out,
                    struct fault *why)
{
    struct egress *e = arena_zero(boot, sizeof *e);
    enum err failed = parse_rules(boot, allow_private, "egress.allow_private", true, &e->private, why);
    if (!failed)
        failed = parse_rules(boot, allow_http, "egress.allow_http", false, &e->http, why);
    if (!failed)
        failed = parse_ports(boot, ports, e, why);
    if (!failed)
        *out = e;
    return failed;
}

/* ---- the hub itself ---- */

static void add_self(struct egress *e, const struct address *a)
{
    if (e->self_count == SELF_MAX)
        bug("more than %d addresses to listen on", SELF_MAX);
    e->self[e->self_count++] = plain(a);
}

static void add_interfaces(struct egress *e, uint16_t port)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return; /* The listener itself is known, and loopback is covered by it. */
    for (struct ifaddrs *i = list; i && e->self_count < SELF_MAX; i = i->ifa_next) {
        struct address a = { .port = port };
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET) {
            a.family = 4;
            memcpy(a.ip, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
        } else if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6) {
            a.family = 6;
            memcpy(a.ip, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
        } else {
            continue;
        }
        add_self(e, &a);
    }
    freeifaddrs(list);
}

void egress_add_self(struct egress *e, const struct address *listener)
{
    add_self(e, listener);
    struct address a = plain(listener);
    if (address_classify(&a) == ADDRESS_UNSPECIFIED)
        add_interfaces(e, listener->port);
}

/* Dialling the unspecified address reaches loopback on Linux; a listener there covers all of loopback. */
static bool is_self(const struct egress *e, const struct address *dialled)
{
    struct address to = plain(dialled);
    enum address_class class = address_classify(&to);
    for (size_t i = 0; i < e->self_count; i++) {
        const struct address *self = &e->self[i];
        if (self->port != to.port)
            continue;
        enum address_class own = address_classify(self);
        bool any = class == ADDRESS_UNSPECIFIED || own == ADDRESS_UNSPECIFIED;
        if (any && (class == ADDRESS_UNSPECIFIED || class == ADDRESS_LOOPBACK))
            return true;
        if (self->family == to.family && memcmp(self->ip, to.ip, self->family == 4 ? 4 : 16) == 0)
            return true;
    }
    return false;
}

/* ---- judging ---- */

static bool rule_names(const struct rule *r, struct str host, uint16_t port)
{
    return r->host.p && str_ieq(r->host, host) && (!r->port || r->port == port);
}

static bool rule_holds(const struct rule *r, const struct address *to)
{
    return r->net.family == to->family && inside(to->ip, r->net.ip, r->bits) && (!r->port || r->port == to->port);
}

static bool rules_name(const struct rules *rules, struct str host, uint16_t port)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rule_names(&rules->rule[i], host, port))
            return true;
    return false;
}

static bool listed(const struct egress *e, struct str host, const struct address *to)
{
    if (rules_name(&e->private, host, to->port))
        return true;
    for (size_t i = 0; i < e->private.count; i++)
        if (rule_holds(&e->private.rule[i], to))
            return true;
    return false;
}

enum err egress_check(const struct egress *e, struct str host, const struct address *to, struct fault *why)
{
    struct address inner;
    enum address_class class = address_classify(to);
    if (class == ADDRESS_METADATA)
        return fault(why, ERR_ADDRESS_NOT_ALLOWED, host, "metadata address");
    if (is_self(e, to))
        return fault(why, ERR_ADDRESS_NOT_ALLOWED, host, "one of the hub's own listeners");
    if (class == ADDRESS_PUBLIC)
        return ERR_NONE;
    if (!listed(e, host, to))
        return fault(why, ERR_ADDRESS_NOT_ALLOWED, host, "address class %d is not allowed", (int)class);
    /* A listed range of embedding addresses (say NAT64) opens only what would be open without it. */
    if (unwrap(to, &inner) && (is_self(e, &inner) || (address_classify(&inner) != ADDRESS_PUBLIC && !listed(e, host, &inner))))
        return fault(why, ERR_ADDRESS_NOT_ALLOWED, host, "embedded address is not allowed");
    return ERR_NONE;
}

static bool port_allowed(const struct egress *e, struct str host, uint16_t port)
{
    for (size_t i = 0; i < e->port_count; i++)
        if (e->ports[i] == port)
            return true;
    if (!e->port_count)
        return true;
    /* A host listed with this very port needs no second mention. */
    const struct rules *both[] = { &e->private, &e->http };
    for (size_t b = 0; b < COUNT(both); b++)
        for (size_t i = 0; i < both[b]->count; i++)
            if (both[b]->rule[i].port == port && rule_names(&both[b]->rule[i], host, port))
                return true;
    return false;
}

bool egress_lists_ports(const struct egress *e) { return e->port_count > 0; }

enum err egress_check_url(const struct egress *e, bool https, struct str host, uint16_t port, struct fault *why)
{
    if (!https && !rules_name(&e->http, host, port))
        return fault(why, ERR_SCHEME_NOT_ALLOWED, host, "plain http");
    if (!port || !port_allowed(e, host, port)) {
        char number[8];
        snprintf(number, sizeof number, "%u", port);
        return fault(why, ERR_PORT_NOT_ALLOWED, str_of(number), "port %u of %.*s", port, STR_ARG(host));
    }
    return ERR_NONE;
}

/* The name localhost is loopback and nothing else (RFC 6761 6.3): a rule for that address speaks of it too. */
bool egress_allows_private_host(const struct egress *e, struct str host, uint16_t port)
{
    struct address a;
    if (!address_parse(str_ieq(host, STR("localhost")) ? STR("127.0.0.1") : host, &a))
        return rules_name(&e->private, host, port);
    a.port = port;
    return listed(e, host, &a);
}
