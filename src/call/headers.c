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

/* "X_Forwarded_For" is read as "X-Forwarded-For" by many servers behind a gateway: both spellings are one name (requirement 2.5).
 */
static bool same_as_one_of(struct str name, const struct str *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (header_name_same(name, table[i]))
            return true;
    return false;
}

static bool begins_with_one_of(struct str name, const struct str *table, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (name.n >= table[i].n && header_name_same(str_sub(name, 0, table[i].n), table[i]))
            return true;
    return false;
}

static bool sets_it(const struct injections *injections, struct str name)
{
    for (size_t i = 0; i < injections->count; i++)
        if (injections->at[i].where == INJECT_HEADER && header_name_same(injections->at[i].name, name))
            return true;
    return false;
}

enum header_verdict headers_request(const struct head *h, const struct header *header, const struct injections *injections)
{
    if (sets_it(injections, header->name) || header_name_same(header->name, STR("authorization")))
        return HEADER_OVERRIDES;
    if (framing_hop_by_hop(h, header->name) || same_as_one_of(header->name, request_stays, COUNT(request_stays)) ||
        begins_with_one_of(header->name, request_prefix_stays, COUNT(request_prefix_stays)))
        return HEADER_STAYS;
    return HEADER_PASSES;
}

bool headers_response(const struct head *h, const struct header *header)
{
    return !one_of(header->name, response_stays, COUNT(response_stays)) && !str_istarts(header->name, STR("raccord-")) &&
           !framing_hop_by_hop(h, header->name);
}
