#include "vault/header_name.h"

/* Requirement 2.2, then our own additions of 2.4. */
static const char *const forbidden[] = {
    "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection", "content-md5",
    "cookie", "date", "expect", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "server",
    "referer", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via", "warning", "www-authenticate",

    "content-length", "content-type", "forwarded", "http2-settings", "keep-alive", "proxy-connection", "set-cookie",
};

/* Requirement 2.3, then our own: `raccord-` marks the hub's own headers (invariant 7). */
static const char *const forbidden_prefixes[] = {
    "x-amz-", "x-amzn-", "x-forwarded-", "x-zis-",

    "proxy-", "raccord-", "sec-",
};

/* Many servers hand header names on as CGI variables, where '-' has become '_'. */
static char fold(char c)
{
    return c == '_' ? '-' : ascii_lower(c);
}

bool header_name_same(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (fold(a.p[i]) != fold(b.p[i]))
            return false;
    return true;
}

static bool starts_same(struct str name, struct str prefix)
{
    return name.n >= prefix.n && header_name_same(str_sub(name, 0, prefix.n), prefix);
}

enum err header_name_check(struct str name, bool digits_ok, struct fault *why)
{
    if (name.n < 1 || name.n > 128)
        return fault(why, ERR_HEADER_NAME_INVALID, STR("write 1 to 128 characters"), "header name of %zu bytes", name.n);
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (ascii_digit(c) && !digits_ok)
            return fault(why, ERR_HEADER_NAME_INVALID,
                         STR("digits are not permitted here; an administrator can permit them (header_names.allow_digits)"),
                         "digit in header name");
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_')
            return fault(why, ERR_HEADER_NAME_INVALID, STR("use only letters, hyphens and underscores"),
                         "byte 0x%02x in header name", (unsigned char)c);
    }
    for (size_t i = 0; i < COUNT(forbidden); i++)
        if (header_name_same(name, str_of(forbidden[i])))
            return fault(why, ERR_HEADER_NAME_INVALID, str_of(forbidden[i]),
                         "forbidden name; HTTP or the hub gives it a meaning of its own");
    for (size_t i = 0; i < COUNT(forbidden_prefixes); i++)
        if (starts_same(name, str_of(forbidden_prefixes[i])))
            return fault(why, ERR_HEADER_NAME_INVALID, str_of(forbidden_prefixes[i]), "forbidden prefix");
    return ERR_NONE;
}
