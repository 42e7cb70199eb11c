#include "call/headers.h"

#include "http/framing.h"
#include "vault/header_name.h"

/* Of a request. The caller's own Authorization is its Raccord token; its cookies are the hub's; forwarding headers would tell the
 * provider about our network; framing and host are written anew. */
static const struct str request_stays[] = {
    { "host", 4 },         { "content-length", 14 },     { "expect", 6 },           { "cookie", 6 },
    { "forwarded", 9 },    { "via", 3 },                 { "http2-settings", 14 },  { "x-real-ip", 9 },
    { "x-csrf-token", 12 },
};
static const struct str request_prefix_stays[] = {
    { "x-forwarded-", 12 }, { "proxy-", 6 }, { "raccord-", 8 }, { "sec-", 4 },
};

/* Of an answer. Cookies would be set on the hub's own host; the others speak about the provider's origin, and the caller would take
 * them for the hub's. Content-Length is the framing's. */
static const struct str response_stays[] = {
    { "content-length", 14 }, { "set-cookie", 10 },  { "set-cookie2", 11 }, { "alt-svc", 7 },
    { "strict-transport-security", 25 }, { "public-key-pins", 15 }, { "clear-site-data", 15 },
};

static bool one_of(struct str name, const struct str *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name.n == table[i].n && str_ieq(name, table[i]))
            return true;
    return false;
}

static bool begins_with_one_of(struct str name, const struct str *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_istarts(name, table[i]))
            return true;
    return false;
}

static bool sets_it(const struct injections *injections, struct str name)
{
    for (size_t i = 0; i < injections->count; i++)
        if (inject_is_header(injections->at[i].where) && header_name_same(injections->at[i].name, name))
            return true;
    return false;
}

static bool stays(const struct head *h, struct str name)
{
    return framing_hop_by_hop(h, name) || one_of(name, request_stays, COUNT(request_stays)) ||
           begins_with_one_of(name, request_prefix_stays, COUNT(request_prefix_stays));
}

/* "X_Forwarded_For" is read as "X-Forwarded-For" by many servers behind a gateway (requirement 2.5). A name that does not fit
 * here is longer than any that the tables hold; its beginning decides. */
static struct str dashed(struct str name, char *out, size_t size)
{
    size_t n = name.n < size ? name.n : size;
    for (size_t i = 0; i < n; i++)
        out[i] = name.p[i] == '_' ? '-' : name.p[i];
    return (struct str){ out, n };
}

enum header_verdict headers_request(const struct head *h, const struct header *header, const struct injections *injections)
{
    if (sets_it(injections, header->name) || header_name_same(header->name, STR("authorization")))
        return HEADER_OVERRIDES;
    if (stays(h, header->name))
        return HEADER_STAYS;
    char spelt[64];
    if (str_find(header->name, '_') != SIZE_MAX && stays(h, dashed(header->name, spelt, sizeof spelt)))
        return HEADER_STAYS;
    return HEADER_PASSES;
}

bool headers_response(const struct head *h, const struct header *header)
{
    return !one_of(header->name, response_stays, COUNT(response_stays)) && !str_istarts(header->name, STR("raccord-")) &&
           !framing_hop_by_hop(h, header->name);
}
