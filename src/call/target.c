#include "call/target.h"

#include "call/rewrite.h"
#include "vault/domain.h"

/* Another port of the same host is another server: where egress.ports lists none, only the base URL's own is meant (requirement
 * 3.8). A listed one is for egress_check_url() to judge. */
enum err target_check(const struct live *c, const struct url *u, struct fault *why)
{
    const struct url *base = &c->to->base;
    if (!domain_matches(c->to->row.allowed_domain, u->host))
        return fault(why, ERR_DOMAIN_NOT_ALLOWED, u->host, "allowed domain %.*s", STR_ARG(c->to->row.allowed_domain));
    if (base->https && !u->https)
        return fault(why, ERR_SCHEME_NOT_ALLOWED, u->host, "plain http beside an https base URL");
    if (u->port == base->port || egress_lists_ports(switchboard_config(c->board->switchboard)->egress))
        return ERR_NONE;
    char number[8];
    snprintf(number, sizeof number, "%u", u->port);
    return fault(why, ERR_PORT_NOT_ALLOWED, str_of(number), "not the port of the base URL");
}

/* The target's path as the caller would write it, below the base URL; "" is below nothing. */
static struct str path_below_base(const struct live *c, const struct url *u)
{
    struct str base = c->to->base.path;
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    bool at_base = u->https == c->to->base.https && u->port == c->to->base.port && str_eq(u->host, c->to->base.host);
    if (!at_base || !str_starts(u->path, base) || (u->path.n > base.n && u->path.p[base.n] != '/'))
        return STR("");
    return u->path.n > base.n ? str_sub(u->path, base.n, u->path.n) : STR("/");
}

/* Headers by which some providers take another method than the one that was sent: each is judged as that method. */
static const char *const override_names[] = { "x-http-method-override", "x-http-method", "x-method-override", "x-method" };
/* Headers by which some take another path. Nobody who is narrowed to paths needs one. */
static const char *const rewrite_names[] = { "x-original-url", "x-rewrite-url" };

/* Behind CGI and its heirs, "_" and "-" are one letter. */
static bool header_among(struct str name, const char *const *names, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        struct str known = str_of(names[k]);
        size_t i = 0;
        while (i < name.n && name.n == known.n && (ascii_lower(name.p[i]) == known.p[i] || (name.p[i] == '_' && known.p[i] == '-')))
            i++;
        if (name.n == known.n && i == known.n)
            return true;
    }
    return false;
}

static enum err check_one_narrowing(const struct live *c, const struct narrow *n, struct str method, const struct url *u,
                                    struct fault *why)
{
    unsigned char family = c->source ? c->source->family : 0;
    const unsigned char *ip = c->source ? c->source->ip : NULL;
    struct str path = path_below_base(c, u);
    enum err e = narrow_check(n, method, path, family, ip, why);
    for (int i = 0; !e && i < c->from->count; i++) {
        const struct header *h = &c->from->headers[i];
        if (header_among(h->name, override_names, COUNT(override_names)))
            e = narrow_check(n, h->value, path, family, ip, why);
        else if (n->lists[NARROW_PATH].set && header_among(h->name, rewrite_names, COUNT(rewrite_names)))
            e = narrow_check(n, method, STR(""), family, ip, why); /* below no prefix */
    }
    return e;
}

static enum err check_gate(const struct live *c, const struct policy_gate *g, struct str method, struct fault *why)
{
    unsigned char family = c->source ? c->source->family : 0;
    const unsigned char *ip = c->source ? c->source->ip : NULL;
    enum err e = policy_gate_check(g, method, family, ip, why);
    for (int i = 0; !e && i < c->from->count; i++)
        if (header_among(c->from->headers[i].name, override_names, COUNT(override_names)))
            e = policy_gate_check(g, c->from->headers[i].value, family, ip, why);
    return e;
}

enum err target_check_narrowing(const struct live *c, struct str method, const struct url *u, struct fault *why)
{
    enum err e = c->narrow && c->narrow->calls ? check_one_narrowing(c, c->narrow, method, u, why) : ERR_NONE;
    for (size_t i = 0; !e && i < c->to->gate_count; i++)
        e = check_gate(c, &c->to->gates[i], method, why);
    return e;
}

static enum err check_query(struct str query, struct fault *why)
{
    for (size_t i = 0; i < query.n; i++)
        if ((unsigned char)query.p[i] <= 0x20 || (unsigned char)query.p[i] >= 0x7f || query.p[i] == '#')
            return fault(why, ERR_URL_INVALID,
                         STR("the query holds a blank, a control character, '#' or a non-ASCII byte; percent-encode it"), "query");
    return ERR_NONE;
}

enum err target_resolve(struct live *c, struct str path, struct str query, struct fault *why)
{
    enum err e;
    if (str_istarts(path, STR("https://")) || str_istarts(path, STR("http://"))) {
        /* PRX-03: an absolute URL is fine within the allowed domain. */
        if ((e = url_parse(c->arena, path, &c->target, why)))
            return e;
        if (c->target.query.p && query.p)
            return fault(why, ERR_URL_INVALID, STR("the query stands both in the URL and beside it"), "query");
        query = c->target.query.p ? c->target.query : query;
    } else {
        struct str joined;
        c->target = c->to->base;
        if ((e = url_join_path(c->arena, &c->to->base, path, &joined, why)))
            return e;
        c->target.path = joined;
    }
    c->target.query = STR_NONE;
    if ((e = check_query(query, why)))
        return e;
    c->query = rewrite_query(c->arena, query, &c->to->injections);
    return target_check(c, &c->target, why);
}
