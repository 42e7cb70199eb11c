#include "access/narrow.h"

#include <arpa/inet.h>
#include <stdio.h>

#define ENTRY_MAX 256
#define OTHER_METHOD (1u << 7)

enum risk { READ = 1, WRITE = 2, DESTRUCTIVE = 4 };

static const struct {
    const char *name;
    enum risk risk;
} methods[] = {
    { "GET", READ }, { "HEAD", READ }, { "OPTIONS", READ }, { "POST", WRITE }, { "PUT", WRITE }, { "PATCH", WRITE },
    { "DELETE", DESTRUCTIVE },
};
_Static_assert(COUNT(methods) == 7, "the bit after the last one is for other methods");

static const struct {
    const char *name;
    enum risk risk;
} risks[] = { { "read", READ }, { "write", WRITE }, { "destructive", DESTRUCTIVE } };

static const struct {
    const char *name, *member;
} kinds[] = {
    [NARROW_CONNECTION] = { "connection", "connections" },
    [NARROW_FOLDER] = { "folder", "folders" },
    [NARROW_ACTION] = { "action", "actions" },
    [NARROW_METHOD] = { "method", "methods" },
    [NARROW_RISK] = { "risk", "risks" },
    [NARROW_ADDRESS] = { "address", "addresses" },
    [NARROW_PATH] = { "path", "paths" },
};

bool narrow_list_holds(const struct narrow_list *l, struct str text)
{
    return str_among(text, l->at, l->count);
}

const char *narrow_kind_name(enum narrow_kind k) { return kinds[k].name; }
const char *narrow_kind_member(enum narrow_kind k) { return kinds[k].member; }

/* -- methods and risks ----------------------------------------------------------------------------------------- */

unsigned narrow_method(struct str name)
{
    for (unsigned i = 0; i < COUNT(methods); i++)
        if (str_is(name, methods[i].name))
            return 1u << i;
    return OTHER_METHOD;
}

static enum risk risk_of(unsigned method)
{
    for (unsigned i = 0; i < COUNT(methods); i++)
        if (method == 1u << i)
            return methods[i].risk;
    return DESTRUCTIVE;
}

const char *narrow_risk(unsigned method)
{
    for (size_t i = 0; i < COUNT(risks); i++)
        if (risks[i].risk == risk_of(method))
            return risks[i].name;
    return "destructive";
}

bool narrow_risk_known(struct str word)
{
    for (size_t i = 0; i < COUNT(risks); i++)
        if (str_is(word, risks[i].name))
            return true;
    return false;
}

/* -- addresses ------------------------------------------------------------------------------------------------- */

/* "10.0.0.0/8", "2001:db8::/32", or one address. Bits beyond the length are dropped. */
static bool range_parse(struct str text, struct narrow_range *out)
{
    char host[INET6_ADDRSTRLEN];
    struct str address, length;
    uint64_t bits;
    bool cut = str_cut(text, '/', &address, &length);
    if (address.n >= sizeof host)
        return false;
    str_copy(host, sizeof host, address);
    *out = (struct narrow_range){ .family = 4 };
    if (inet_pton(AF_INET, host, out->ip) != 1) {
        out->family = 6;
        if (inet_pton(AF_INET6, host, out->ip) != 1)
            return false;
    }
    unsigned most = out->family == 4 ? 32 : 128;
    if (cut && (!str_u64(length, &bits) || bits > most))
        return false;
    out->bits = (unsigned char)(cut ? bits : most);
    for (unsigned i = out->bits; i < 128; i++)
        out->ip[i / 8] &= (unsigned char)~(0x80u >> i % 8);
    return true;
}

static struct str range_format(struct arena *a, const struct narrow_range *r)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(r->family == 4 ? AF_INET : AF_INET6, r->ip, text, sizeof text);
    return r->bits == (r->family == 4 ? 32 : 128) ? arena_str(a, str_of(text)) : str_fmt(a, "%s/%u", text, r->bits);
}

static bool same_bits(const unsigned char *x, const unsigned char *y, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(x, y, whole) == 0 && (!rest || ((x[whole] ^ y[whole]) & (unsigned char)(0xff00u >> rest)) == 0);
}

/* An IPv4 peer of a listener for both families (RFC 4291 2.5.5.2): it is judged as what it is. */
static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool narrow_permits_address(const struct narrow *n, unsigned char family, const unsigned char *ip)
{
    if (!n->lists[NARROW_ADDRESS].set)
        return true;
    if (family == 6 && memcmp(ip, mapped, sizeof mapped) == 0) {
        family = 4;
        ip += sizeof mapped;
    }
    for (size_t i = 0; i < n->lists[NARROW_ADDRESS].count; i++)
        if (family && n->ranges[i].family == family && same_bits(n->ranges[i].ip, ip, n->ranges[i].bits))
            return true;
    return false;
}

/* -- patterns -------------------------------------------------------------------------------------------------- */

bool narrow_glob(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool narrow_permits_action(const struct narrow *n, struct str key)
{
    const struct narrow_list *l = &n->lists[NARROW_ACTION];
    for (size_t i = 0; i < l->count; i++)
        if (narrow_glob(l->at[i], key))
            return true;
    return !l->set;
}

/* Whole segments: "/contacts" holds "/contacts" and "/contacts/1", not "/contacts-old". */
static bool path_under(struct str prefix, struct str path)
{
    while (prefix.n && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    return str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/');
}

/* "." and "..", each dot also as %2e, or as the overlong %c0%ae that careless decoders take. The hub passes them on as sent; the
 * provider may resolve them. */
static bool dot_segment(struct str s)
{
    int dots = 0;
    for (size_t i = 0; i < s.n; i++, dots++) {
        if (str_istarts(str_sub(s, i, s.n), STR("%2e")))
            i += 2;
        else if (str_istarts(str_sub(s, i, s.n), STR("%c0%ae")))
            i += 5;
        else if (s.p[i] != '.')
            return false;
    }
    return dots == 1 || dots == 2;
}

static bool permits_path(const struct narrow *n, struct str path)
{
    const struct narrow_list *l = &n->lists[NARROW_PATH];
    struct str rest = path, segment;
    while (l->set && str_piece(&rest, '/', &segment))
        if (dot_segment(segment))
            return false;
    for (size_t i = 0; i < l->count; i++)
        if (path_under(l->at[i], path))
            return true;
    return !l->set;
}

/* -- entries --------------------------------------------------------------------------------------------------- */

static enum err expected(struct fault *why, struct str what) { return fault(why, ERR_FIELD_INVALID, what, "entry of a narrowing"); }

static struct str upper(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        copy[i] = copy[i] >= 'a' && copy[i] <= 'z' ? (char)(copy[i] - 'a' + 'A') : copy[i];
    return (struct str){ copy, s.n };
}

static bool path_plain(struct str s)
{
    if (!s.n || s.p[0] != '/')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == '?' || s.p[i] == '#')
            return false;
    return true;
}

enum err narrow_entry(struct arena *a, enum narrow_kind k, struct str typed, struct str *out, struct fault *why)
{
    struct narrow_range range;
    typed = str_trim(typed);
    *out = arena_str(a, typed);
    if (!typed.n || typed.n > ENTRY_MAX || str_has_control(typed))
        return expected(why, STR("1 to 256 characters each"));
    switch (k) {
    case NARROW_METHOD:
        *out = upper(a, typed);
        return narrow_method(*out) == OTHER_METHOD ? expected(why, STR("GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE")) : ERR_NONE;
    case NARROW_RISK:
        return narrow_risk_known(typed) ? ERR_NONE : expected(why, STR("read, write, destructive"));
    case NARROW_ADDRESS:
        if (!range_parse(typed, &range))
            return expected(why, STR("an address or a range such as 10.0.0.0/8 or 2001:db8::/32"));
        *out = range_format(a, &range);
        return ERR_NONE;
    case NARROW_PATH:
        return path_plain(typed) ? ERR_NONE : expected(why, STR("a path that begins with '/', without query"));
    default:
        return ERR_NONE;
    }
}

/* -- the prepared form ----------------------------------------------------------------------------------------- */

static unsigned methods_of(const struct narrow_list *l)
{
    unsigned bits = l->set ? 0 : ~0u;
    for (size_t i = 0; i < l->count; i++)
        bits |= narrow_method(l->at[i]) & ~OTHER_METHOD;
    return bits;
}

static unsigned risks_of(const struct narrow_list *l)
{
    unsigned bits = l->set ? 0 : ~0u;
    for (size_t i = 0; i < l->count; i++)
        for (size_t k = 0; k < COUNT(risks); k++)
            bits |= str_is(l->at[i], risks[k].name) ? risks[k].risk : 0u;
    return bits;
}

void narrow_prepare(struct arena *a, struct narrow *n)
{
    const struct narrow_list *l = n->lists;
    unsigned named = methods_of(&l[NARROW_METHOD]), risked = risks_of(&l[NARROW_RISK]);
    n->methods = 0;
    for (unsigned bit = 1; bit <= OTHER_METHOD; bit <<= 1)
        n->methods |= named & bit && risked & risk_of(bit) ? bit : 0;
    n->ranges = arena_array(a, l[NARROW_ADDRESS].count + 1, sizeof *n->ranges);
    for (size_t i = 0; i < l[NARROW_ADDRESS].count; i++)
        if (!range_parse(l[NARROW_ADDRESS].at[i], &n->ranges[i]))
            n->ranges[i] = (struct narrow_range){ 0 }; /* of no family: holds nothing */
    n->calls = l[NARROW_METHOD].set || l[NARROW_RISK].set || l[NARROW_ADDRESS].set || l[NARROW_PATH].set;
}

/* -- asking ---------------------------------------------------------------------------------------------------- */

bool narrow_permits(const struct narrow *n, unsigned method, struct str path, unsigned char family, const unsigned char *ip,
                    enum narrow_kind *which)
{
    enum narrow_kind kind;
    if (!n->calls)
        return true;
    if (!(n->methods & method))
        kind = methods_of(&n->lists[NARROW_METHOD]) & method ? NARROW_RISK : NARROW_METHOD;
    else if (!narrow_permits_address(n, family, ip))
        kind = NARROW_ADDRESS;
    else if (path.p && !permits_path(n, path))
        kind = NARROW_PATH;
    else
        return true;
    if (which)
        *which = kind;
    return false;
}

/* The path is the caller's own text: it is not said again. */
enum err narrow_check(const struct narrow *n, struct str method, struct str path, unsigned char family, const unsigned char *ip,
                      struct fault *why)
{
    enum narrow_kind which;
    char said[64];
    if (!n || !n->calls || narrow_permits(n, narrow_method(method), path, family, ip, &which))
        return ERR_NONE;
    switch (which) {
    case NARROW_METHOD:
        snprintf(said, sizeof said, "method %.*s", STR_ARG(method.n > 40 ? str_sub(method, 0, 40) : method));
        break;
    case NARROW_RISK:
        snprintf(said, sizeof said, "risk %s", narrow_risk(narrow_method(method)));
        break;
    case NARROW_ADDRESS:
        snprintf(said, sizeof said, "from this source address");
        break;
    default:
        snprintf(said, sizeof said, "a path outside its prefixes");
    }
    return fault(why, ERR_TOKEN_NOT_GRANTED, str_of(said), "narrowed by %s", kinds[which].name);
}

/* -- comparing ------------------------------------------------------------------------------------------------- */

static bool entry_within(enum narrow_kind k, struct str inner, struct str outer)
{
    struct narrow_range x, y;
    switch (k) {
    case NARROW_ACTION:
        /* The inner pattern's '*' is matched by a '*' of the outer one; a '?' would take it for one character. */
        return str_eq(inner, outer) ||
               ((str_find(inner, '*') == SIZE_MAX || str_find(outer, '?') == SIZE_MAX) && narrow_glob(outer, inner));
    case NARROW_PATH:
        return path_under(outer, inner);
    case NARROW_ADDRESS:
        return range_parse(inner, &x) && range_parse(outer, &y) && x.family == y.family && x.bits >= y.bits &&
               same_bits(x.ip, y.ip, y.bits);
    default:
        return str_eq(inner, outer);
    }
}

static bool list_within(enum narrow_kind k, const struct narrow_list *inner, const struct narrow_list *outer)
{
    if (!outer->set)
        return true;
    if (!inner->set)
        return false;
    for (size_t i = 0; i < inner->count; i++) {
        bool held = false;
        for (size_t o = 0; o < outer->count && !held; o++)
            held = entry_within(k, inner->at[i], outer->at[o]);
        if (!held)
            return false;
    }
    return true;
}

bool narrow_within(const struct narrow *inner, const struct narrow *outer, enum narrow_kind *which)
{
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        if (!list_within(k, &inner->lists[k], &outer->lists[k])) {
            *which = k;
            return false;
        }
    return true;
}
