#include "http/url.h"

#include "base/buf.h"
#include "base/encode.h"
#include "base/idna.h"
#include "http/address.h"

#define HOST_MAX 253  /* bytes of a DNS name, RFC 1035 2.3.4 */
#define LABEL_MAX 63

static enum err refuse(struct fault *why, const char *what)
{
    return fault(why, ERR_URL_INVALID, str_of(what), "%s", what);
}

/* ---- host names ---- */

/* https://url.spec.whatwg.org/#ipv4-number-parser: decimal, 0 octal, 0x hexadecimal. False when it is no number; the value
 * stays above UINT32_MAX once it was. */
static bool ipv4_number(struct str s, uint64_t *out)
{
    unsigned base = 10;
    if (s.n > 1 && s.p[0] == '0' && ascii_lower(s.p[1]) == 'x') {
        base = 16;
        s = str_sub(s, 2, s.n);
    } else if (s.n > 1 && s.p[0] == '0') {
        base = 8;
        s = str_sub(s, 1, s.n);
    } else if (!s.n) {
        return false;
    }
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        unsigned digit = ascii_digit(c) ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
        if (digit >= base)
            return false;
        if (*out <= UINT32_MAX)
            *out = *out * base + digit;
    }
    return true;
}

/* https://url.spec.whatwg.org/#ends-in-a-number-checker, for a name without trailing dot. */
static bool ends_in_number(struct str name)
{
    size_t at = name.n;
    while (at && name.p[at - 1] != '.')
        at--;
    struct str last = str_sub(name, at, name.n);
    uint64_t value;
    bool digits = last.n;
    for (size_t i = 0; i < last.n; i++)
        digits &= ascii_digit(last.p[i]);
    return digits || ipv4_number(last, &value);
}

/* https://url.spec.whatwg.org/#concept-ipv4-parser: one to four numbers, the last fills what is left. */
static bool ipv4_spelled(struct str name, struct address *out)
{
    uint64_t part[4];
    struct str piece;
    int n = 0;
    while (str_piece(&name, '.', &piece))
        if (n == 4 || !ipv4_number(piece, &part[n++]))
            return false;
    uint64_t value = part[n - 1];
    if (value >= UINT64_C(1) << 8 * (5 - n))
        return false;
    for (int i = 0; i < n - 1; i++) {
        if (part[i] > 255)
            return false;
        value |= part[i] << 8 * (3 - i);
    }
    *out = (struct address){ .family = 4 };
    for (int i = 0; i < 4; i++)
        out->ip[i] = (unsigned char)(value >> 8 * (3 - i));
    return true;
}

/* Letters, digits, hyphens and underscores: what resolvers ask for. WHATWG lets more through, no DNS name holds it. */
static bool name_byte(char c) { return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_'; }

static const char *name_fault(struct str name)
{
    if (!name.n)
        return "the host is empty";
    if (name.n > HOST_MAX)
        return "the host is too long";
    struct str label;
    while (str_piece(&name, '.', &label)) {
        if (!label.n)
            return "the host has an empty label";
        if (label.n > LABEL_MAX)
            return "the host has a label of more than 63 bytes";
        for (size_t i = 0; i < label.n; i++)
            if (!name_byte(label.p[i]))
                return "the host holds a byte that no host name may hold";
    }
    return NULL;
}

/* Plain ASCII without A-labels needs lower case only. */
static bool needs_idna(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80 || str_istarts(str_sub(text, i, text.n), STR("xn--")))
            return true;
    return false;
}

static struct str lower(struct arena *a, struct str text)
{
    char *to = arena_cstr(a, text);
    for (size_t i = 0; i < text.n; i++)
        to[i] = ascii_lower(to[i]);
    return (struct str){ to, text.n };
}

static struct str address_text(struct arena *a, const struct address *address)
{
    char text[ADDRESS_TEXT];
    return arena_str(a, str_of(address_format(address, text)));
}

enum err host_parse(struct arena *a, struct str text, struct str *out, bool *ip, bool *ip6, struct fault *why)
{
    struct address address;
    if (text.n && text.p[0] == '[') {
        bool closed = text.n > 1 && text.p[text.n - 1] == ']';
        if (!closed || !address_parse(str_sub(text, 1, text.n - 1), &address) || address.family != 6)
            return refuse(why, "the IPv6 address is malformed");
        *out = address_text(a, &address);
        *ip = *ip6 = true;
        return ERR_NONE;
    }
    struct str name;
    if (str_find(text, '%') != SIZE_MAX)
        return refuse(why, "the host is percent-encoded");
    if (text.n > IDNA_INPUT)
        return refuse(why, "the host is too long");
    if (!needs_idna(text))
        name = lower(a, text);
    else if (!idna_to_ascii(a, text, &name))
        return refuse(why, "the host is not a valid international name");
    /* One trailing dot: the same name to a resolver, another one to a certificate and a policy. */
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    const char *wrong = name_fault(name);
    if (wrong)
        return refuse(why, wrong);
    *ip = *ip6 = false;
    if (ends_in_number(name)) {
        if (!ipv4_spelled(name, &address))
            return refuse(why, "the host ends in a number but is no IPv4 address");
        name = address_text(a, &address);
        *ip = true;
    }
    *out = name;
    return ERR_NONE;
}

/* ---- paths ---- */

static bool hex_pair(struct str s, size_t at, unsigned *byte)
{
    unsigned value = 0;
    if (at + 2 > s.n)
        return false;
    for (size_t i = at; i < at + 2; i++) {
        char c = ascii_lower(s.p[i]);
        if (!ascii_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        value = value << 4 | (unsigned)(ascii_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *byte = value;
    return true;
}

/* 1 for ".", 2 for "..", each dot also as %2e; 0 for any other segment. */
static int dots(struct str segment)
{
    int n = 0;
    for (size_t i = 0; i < segment.n; n++) {
        unsigned byte;
        if (segment.p[i] == '.')
            i++;
        else if (segment.p[i] == '%' && hex_pair(segment, i + 1, &byte) && byte == '.')
            i += 3;
        else
            return 0;
    }
    return n <= 2 ? n : 0;
}

/* What WHATWG's URLs percent-encode, beside controls and everything from 0x7f on. */
#define PATH_ENCODED " \"#<>?^`{}"
#define QUERY_ENCODED " \"#<>'"

static void add_encoded(struct buf *to, struct str s, const char *encoded)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr(encoded, c))
            buf_fmt(to, "%%%02X", c);
        else
            buf_char(to, s.p[i]);
    }
}

/* Take the last segment off. */
static void climb(struct buf *path)
{
    while (path->n && path->p[path->n - 1] != '/')
        path->n--;
    path->n -= path->n > 0;
}

/* https://url.spec.whatwg.org/#path-state: `text` without its leading '/' onto `path`, which ends without one. */
static void add_segments(struct buf *path, struct str text)
{
    struct str segment;
    while (str_piece(&text, '/', &segment)) {
        int n = dots(segment);
        if (n == 2)
            climb(path);
        if (!n || !text.p)
            buf_char(path, '/');
        if (!n)
            add_encoded(path, segment, PATH_ENCODED);
    }
}

static struct str path_of(struct arena *a, struct str directory, struct str text)
{
    AUTO_BUF path;
    buf_init(&path, 4 * (directory.n + text.n) + 8);
    buf_add(&path, directory);
    add_segments(&path, text);
    return arena_str(a, buf_str(&path));
}

static struct str query_of(struct arena *a, struct str text)
{
    AUTO_BUF query;
    buf_init(&query, 4 * text.n + 8);
    add_encoded(&query, text, QUERY_ENCODED);
    struct str none = STR("");
    return arena_str(a, query.n ? buf_str(&query) : none);
}

/* ---- whole URLs ---- */

/* A reference in its parts, none decoded. Absent parts have p == NULL. */
struct parts {
    struct str scheme, authority, path, query;
};

static bool has_scheme(struct str s, size_t *end)
{
    size_t i = 0;
    while (i < s.n && (ascii_alpha(s.p[i]) || (i && (ascii_digit(s.p[i]) || strchr("+-.", s.p[i])))))
        i++;
    *end = i;
    return i && i < s.n && s.p[i] == ':';
}

static struct str trim_spaces(struct str s)
{
    while (s.n && s.p[0] == ' ')
        s = str_sub(s, 1, s.n);
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

static size_t find_any(struct str s, const char *stops)
{
    size_t i = 0;
    while (i < s.n && !strchr(stops, s.p[i]))
        i++;
    return i;
}

/* RFC 3986 appendix B. WHATWG drops tabs and line ends and takes '\' for '/': others do not, so these are refused. */
static enum err split(struct str text, struct parts *out, struct fault *why)
{
    struct str rest = trim_spaces(text), fragment;
    size_t n;
    *out = (struct parts){ 0 };
    if (str_has_control(rest))
        return refuse(why, "it holds a control byte");
    if (!utf8_valid(rest))
        return refuse(why, "it is not UTF-8");
    str_cut(rest, '#', &rest, &fragment);
    if (str_cut(rest, '?', &rest, &fragment))
        out->query = fragment;
    if (str_find(rest, '\\') != SIZE_MAX)
        return refuse(why, "it holds a backslash");
    if (has_scheme(rest, &n)) {
        out->scheme = str_sub(rest, 0, n);
        rest = str_sub(rest, n + 1, rest.n);
    }
    if (str_starts(rest, STR("//"))) {
        n = find_any(str_sub(rest, 2, rest.n), "/");
        out->authority = str_sub(rest, 2, 2 + n);
        rest = str_sub(rest, 2 + n, rest.n);
    }
    out->path = rest;
    return ERR_NONE;
}

static enum err read_authority(struct arena *a, struct str text, struct url *u, struct fault *why)
{
    if (str_find(text, '@') != SIZE_MAX)
        return refuse(why, "it holds a user name; credentials belong in the connection");
    size_t from = text.n && text.p[0] == '[' ? str_find(text, ']') : 0;
    if (from == SIZE_MAX)
        return refuse(why, "the IPv6 address is malformed");
    size_t colon = str_find(str_sub(text, from, text.n), ':');
    struct str host = colon == SIZE_MAX ? text : str_sub(text, 0, from + colon);
    struct str port = colon == SIZE_MAX ? STR_NONE : str_sub(text, from + colon + 1, text.n);
    uint64_t number = u->https ? 443 : 80;
    if (port.n && (!str_u64(port, &number) || !number || number > 65535))
        return refuse(why, "the port is not a number from 1 to 65535");
    u->port = (uint16_t)number;
    return host_parse(a, host, &u->host, &u->ip, &u->ip6, why);
}

/* Scheme, authority, path: all given. */
static enum err absolute(struct arena *a, const struct parts *p, struct url *out, struct fault *why)
{
    struct url u = { .https = str_ieq(p->scheme, STR("https")) };
    if (!u.https && !str_ieq(p->scheme, STR("http")))
        return refuse(why, "only http and https URLs are understood");
    if (!p->authority.p)
        return refuse(why, "two slashes and a host must follow the scheme");
    enum err e = read_authority(a, p->authority, &u, why);
    if (e)
        return e;
    u.path = path_of(a, STR(""), p->path.n ? str_sub(p->path, 1, p->path.n) : p->path);
    u.query = p->query.p ? query_of(a, p->query) : STR_NONE;
    *out = u;
    return ERR_NONE;
}

enum err url_parse(struct arena *a, struct str text, struct url *out, struct fault *why)
{
    struct parts p;
    enum err e = split(text, &p, why);
    if (e)
        return e;
    if (!p.scheme.p)
        return refuse(why, "it must start with https://");
    return absolute(a, &p, out, why);
}

/* Up to its last '/', which is left off. */
static struct str directory(struct str path)
{
    while (path.n && path.p[path.n - 1] != '/')
        path.n--;
    path.n -= path.n > 0;
    return path;
}

enum err url_resolve(struct arena *a, const struct url *from, struct str reference, struct url *out, struct fault *why)
{
    struct parts p;
    enum err e = split(reference, &p, why);
    if (e)
        return e;
    if (!p.scheme.p && p.authority.p)
        p.scheme = from->https ? STR("https") : STR("http");
    if (p.scheme.p)
        return absolute(a, &p, out, why);

    struct url u = *from;
    u.host = arena_str(a, from->host);
    u.query = p.query.p ? query_of(a, p.query) : STR_NONE;
    if (!p.path.n) {
        u.path = arena_str(a, from->path);
        if (!p.query.p && from->query.p)
            u.query = arena_str(a, from->query);
    } else if (p.path.p[0] == '/') {
        u.path = path_of(a, STR(""), str_sub(p.path, 1, p.path.n));
    } else {
        u.path = path_of(a, directory(from->path), p.path);
    }
    *out = u;
    return ERR_NONE;
}

struct str url_authority(struct arena *a, const struct url *u)
{
    const char *open = u->ip6 ? "[" : "", *close = u->ip6 ? "]" : "";
    if (u->port == (u->https ? 443 : 80))
        return str_fmt(a, "%s%.*s%s", open, STR_ARG(u->host), close);
    return str_fmt(a, "%s%.*s%s:%u", open, STR_ARG(u->host), close, u->port);
}

/* ---- a caller's path onto a base ---- */

/* One level of percent-encoding off, in place of itself: `%25` becomes `%`. Answers whether anything changed. */
static bool peel(char *s, size_t *n)
{
    size_t to = 0;
    bool changed = false;
    for (size_t i = 0; i < *n; i++) {
        unsigned byte;
        if (s[i] == '%' && hex_pair((struct str){ s, *n }, i + 1, &byte)) {
            s[to++] = (char)byte;
            i += 2;
            changed = true;
        } else {
            s[to++] = s[i];
        }
    }
    *n = to;
    return changed;
}

/* Decoded as a careless server would: does a piece between slashes or backslashes read "." or ".."? Parameters
 * ("..;x=1") count as absent, as servlet containers have it. */
static bool hides_dots(struct str s)
{
    while (s.p) {
        size_t n = find_any(s, "/\\");
        struct str piece = str_sub(s, 0, n), parameters;
        s = n < s.n ? str_sub(s, n + 1, s.n) : STR_NONE;
        str_cut(piece, ';', &piece, &parameters);
        if (str_is(piece, ".") || str_is(piece, ".."))
            return true;
    }
    return false;
}

/* A segment that is no plain dot segment: must it be refused for what it decodes to? `top`: nothing stands before it. */
static const char *segment_fault(struct arena *a, struct str segment, bool top)
{
    if (str_find(segment, '%') == SIZE_MAX && str_find(segment, ';') == SIZE_MAX)
        return NULL;
    char *s = arena_cstr(a, segment);
    size_t n = segment.n;
    /* Nobody escapes four times in good faith. */
    for (int round = 0; round < 4; round++) {
        if (memchr(s, 0, n))
            return "the path holds an encoded NUL";
        if (top && n && (s[0] == '/' || s[0] == '\\'))
            return "the path starts with a second, encoded slash";
        if (hides_dots((struct str){ s, n }))
            return "the path hides a dot segment";
        if (!peel(s, &n))
            return NULL;
    }
    return "the path is percent-encoded too many times";
}

/* The bytes a request target may hold, but '?' and '#', which end a path, and '\', which some servers take for '/'. */
static const char *path_bytes_fault(struct str tail)
{
    for (size_t i = 0; i < tail.n; i++) {
        unsigned char c = (unsigned char)tail.p[i];
        if (c == '\\')
            return "the path holds a backslash";
        if (c == '?' || c == '#')
            return "the path holds a '?' or '#'";
        if (c < 0x20 || c == 0x7f)
            return "the path holds a control byte";
        if (c == 0x20 || c > 0x7f)
            return "the path holds a byte that must be percent-encoded";
    }
    return NULL;
}

/* Some servers merge empty segments, decode %2F or drop ";x" before they climb: such segments give no depth to climb from. */
static bool gives_depth(struct str segment)
{
    return segment.n && segment.p[0] != ';' && str_find(segment, '%') == SIZE_MAX;
}

static const char *tail_fault(struct arena *a, struct str tail)
{
    struct str segment;
    int depth = 0; /* that every server sees */
    int level = 0; /* of segments that are not empty */
    while (str_piece(&tail, '/', &segment)) {
        int n = dots(segment);
        if (!segment.n && !level && tail.p)
            return "the path starts with two slashes";
        if (n == 2 && --depth < 0)
            return "the path climbs out of the base URL";
        level -= n == 2;
        if (n)
            continue;
        const char *wrong = segment_fault(a, segment, !level);
        if (wrong)
            return wrong;
        depth += gives_depth(segment);
        level += segment.n > 0;
    }
    return NULL;
}

enum err url_join_path(struct arena *a, const struct url *base, struct str tail, struct str *path, struct fault *why)
{
    const char *wrong = path_bytes_fault(tail);
    if (wrong)
        return refuse(why, wrong);
    if (!tail.n) {
        *path = arena_str(a, base->path);
        return ERR_NONE;
    }
    if (tail.p[0] == '/')
        tail = str_sub(tail, 1, tail.n);
    wrong = tail_fault(a, tail);
    if (wrong)
        return refuse(why, wrong);
    struct str root = base->path;
    if (root.n && root.p[root.n - 1] == '/')
        root.n--;
    *path = str_fmt(a, "%.*s/%.*s", STR_ARG(root), STR_ARG(tail));
    return ERR_NONE;
}
