#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/url.h"
#include "corpus.h"

static int with_arena(void **state)
{
    *state = arena_new(1 << 20);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

/* "https://host:port/path?query", with the port always said; "-" when refused. */
static struct str shown(struct arena *a, enum err e, const struct url *u)
{
    if (e)
        return STR("-");
    return str_fmt(a, "%s://%s%.*s%s:%u%.*s%s%.*s", u->https ? "https" : "http", u->ip6 ? "[" : "", STR_ARG(u->host),
                   u->ip6 ? "]" : "", u->port, STR_ARG(u->path), u->query.p ? "?" : "", STR_ARG(u->query));
}

static struct str parsed(struct arena *a, struct str text)
{
    struct url u;
    struct fault why = { 0 };
    enum err e = url_parse(a, text, &u, &why);
    if (e) {
        assert_int_equal(e, ERR_URL_INVALID);
        assert_int_not_equal(why.subject[0], 0);
    }
    return shown(a, e, &u);
}

static void a_url_is_what_is_dialled_or_is_refused(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } rows[] = {
#define U(text, out) { { text, sizeof text - 1 }, out }
        U("https://api.example.com", "https://api.example.com:443/"),
        U("https://API.Example.COM/v1?x=1#frag", "https://api.example.com:443/v1?x=1"),
        U("HTTPS://a.example:443/", "https://a.example:443/"),
        U("https://a.example:8443", "https://a.example:8443/"),
        U("https://a.example:", "https://a.example:443/"),
        U("http://a.example", "http://a.example:80/"),
        U("http://a.example:000081/", "http://a.example:81/"),
        U("  https://a.example/x  ", "https://a.example:443/x"),
        U("https://a.example?q", "https://a.example:443/?q"),
        U("https://a.example?", "https://a.example:443/?"),
        U("https://a.example#f", "https://a.example:443/"),
        U("https://a.example/?a=/../b", "https://a.example:443/?a=/../b"),
        /* dots in the path */
        U("https://a.example/a/./b/../c", "https://a.example:443/a/c"),
        U("https://a.example/../../c", "https://a.example:443/c"),
        U("https://a.example/a/%2E%2e/%2e/b", "https://a.example:443/b"),
        U("https://a.example/a/..", "https://a.example:443/"),
        U("https://a.example/a/b/.", "https://a.example:443/a/b/"),
        U("https://a.example/a/...", "https://a.example:443/a/..."),
        U("https://a.example//a//b", "https://a.example:443//a//b"),
        U("https://a.example/a%2Fb%zz", "https://a.example:443/a%2Fb%zz"),
        U("https://a.example/caf\xc3\xa9 {x}?\xc3\xa9'\"", "https://a.example:443/caf%C3%A9%20%7Bx%7D?%C3%A9%27%22"),
        /* a trailing dot is the same name */
        U("https://api.example.com./", "https://api.example.com:443/"),
        U("https://api.example.com../", "-"),
        U("https://./", "-"),
        U("https://a..b/", "-"),
        U("https://.a/", "-"),
        /* user info, and what looks like it */
        U("https://allowed@evil/", "-"),
        U("https://allowed:pw@evil/", "-"),
        U("https://allowed%40evil/", "-"),
        U("https://@evil/", "-"),
        U("https://allowed#@evil/", "https://allowed:443/"),
        U("https://allowed?@evil/", "https://allowed:443/?@evil/"),
        U("https://allowed/@evil/", "https://allowed:443/@evil/"),
        U("https://allowed;@evil/", "-"),
        U("https://allowed:443@evil/", "-"),
        U("https://allowed\\@evil/", "-"),
        U("https://evil\\.allowed/", "-"),
        /* slashes */
        U("https:\\\\evil", "-"),
        U("https:/\\evil", "-"),
        U("https:/evil", "-"),
        U("https:evil", "-"),
        U("https:///evil", "-"),
        U("///evil", "-"),
        U("//evil", "-"),
        U("\\\\evil", "-"),
        U("https://", "-"),
        U("https:///", "-"),
        U("https://?x", "-"),
        U("https://#x", "-"),
        U("https://:443/", "-"),
        U("https", "-"),
        U("", "-"),
        U("evil.example", "-"),
        U("/path", "-"),
        /* other schemes */
        U("ftp://a/", "-"),
        U("file:///etc/passwd", "-"),
        U("gopher://a/", "-"),
        U("jar:https://a/!/", "-"),
        U("unix:/run/x", "-"),
        U("javascript://a/", "-"),
        U("httpss://a/", "-"),
        U("blob:https://a/x", "-"),
        U("ws://a/", "-"),
        /* control bytes and blanks */
        U("https://a\tb.example/", "-"),
        U("ht\ntps://a.example/", "-"),
        U("https://a.example/\r\nHost: evil", "-"),
        U("https://a.example\0.evil/", "-"),
        U("\thttps://a.example/", "-"),
        U("https://a.exa mple/", "-"),
        U("https://a.example\x7f/", "-"),
        U("https://a.example/\xff", "-"),
        /* percent-encoded hosts */
        U("https://%65xample.com/", "-"),
        U("https://a%2eexample/", "-"),
        U("https://a%00.example/", "-"),
        U("https://a%2f.example/", "-"),
        /* ports */
        U("https://a.example:0/", "-"),
        U("https://a.example:65536/", "-"),
        U("https://a.example:+1/", "-"),
        U("https://a.example:4 3/", "-"),
        U("https://a.example:44x/", "-"),
        U("https://a.example:1:2/", "-"),
        U("https://a.example:99999999999999999999/", "-"),
        /* names */
        U("https://ex_ample.com/", "https://ex_ample.com:443/"),
        U("https://a,b/", "-"),
        U("https://a*b/", "-"),
        U("https://a|b/", "-"),
        U("https://a^b/", "-"),
        U("https://a<b/", "-"),
        U("https://a=b/", "-"),
        U("https://$(x)/", "-"),
        U("https://caf\xc3\xa9.example/", "https://xn--caf-dma.example:443/"),
        U("https://XN--CAF-DMA.example/", "https://xn--caf-dma.example:443/"),
        U("https://\xe2\x93\x94xample.com/", "https://example.com:443/"),               /* circled e */
        U("https://api\xef\xbc\x8e" "example\xe3\x80\x82" "com/", "https://api.example.com:443/"),
        U("https://\xef\xbc\xa1\xef\xbc\xb0\xef\xbc\xa9.example/", "https://api.example:443/"),    /* full-width letters */
        U("https://a\xe2\x84\x80.example/", "-"),                                      /* a/c: would part the host */
        U("https://evil\xef\xbc\x8f.example/", "-"),                                   /* full-width slash */
        U("https://evil\xef\xbc\xa0.example/", "-"),                                   /* full-width @ */
        U("https://evil\xef\xbc\x9a" "80/", "-"),                                      /* full-width colon */
        U("https://a\xc2\xad.example/", "https://a.example:443/"),                     /* soft hyphen: mapped away */
        /* IPv4, as WHATWG reads it */
        U("https://127.0.0.1/", "https://127.0.0.1:443/"),
        U("https://2130706433/", "https://127.0.0.1:443/"),
        U("https://0x7f000001/", "https://127.0.0.1:443/"),
        U("https://0X7F.1/", "https://127.0.0.1:443/"),
        U("https://0177.0.0.01/", "https://127.0.0.1:443/"),
        U("https://017700000001/", "https://127.0.0.1:443/"),
        U("https://127.1/", "https://127.0.0.1:443/"),
        U("https://127.0.1/", "https://127.0.0.1:443/"),
        U("https://127.65535/", "https://127.0.255.255:443/"),
        U("https://0/", "https://0.0.0.0:443/"),
        U("https://0x/", "https://0.0.0.0:443/"),
        U("https://127.0.0.1./", "https://127.0.0.1:443/"),
        U("https://4294967295/", "https://255.255.255.255:443/"),
        U("https://4294967296/", "-"),
        U("https://18446744073709551617/", "-"),
        U("https://0x100000000/", "-"),
        U("https://256.0.0.1/", "-"),
        U("https://1.2.3.256/", "-"),
        U("https://1.2.65536/", "-"),
        U("https://1.2.3.4.5/", "-"),
        U("https://08.0.0.1/", "-"),
        U("https://1.2.3.09/", "-"),
        U("https://a.1/", "-"),
        U("https://a.0x1/", "-"),
        U("https://1.2..3/", "-"),
        U("https://1.0xg/", "https://1.0xg:443/"),
        U("https://127.0.0.1.example/", "https://127.0.0.1.example:443/"),
        U("https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "https://127.0.0.1:443/"), /* circled digits */
        U("https://169.254.169.254/", "https://169.254.169.254:443/"),
        U("https://0xa9fea9fe/", "https://169.254.169.254:443/"),
        U("https://0251.0376.0251.0376/", "https://169.254.169.254:443/"),
        U("https://425.510.425.510/", "-"),
        /* IPv6 */
        U("https://[::1]/", "https://[::1]:443/"),
        U("https://[::1]:8443/", "https://[::1]:8443/"),
        U("https://[0:0:0:0:0:0:0:1]/", "https://[::1]:443/"),
        U("https://[2001:DB8:0:0:1:0:0:1]/", "https://[2001:db8::1:0:0:1]:443/"),
        U("https://[1:0:0:2:0:0:0:3]/", "https://[1:0:0:2::3]:443/"),
        U("https://[1:0:2:3:4:5:6:7]/", "https://[1:0:2:3:4:5:6:7]:443/"),
        U("https://[1:2:3:4:5:6:7::]/", "https://[1:2:3:4:5:6:7:0]:443/"),
        U("https://[::]/", "https://[::]:443/"),
        U("https://[1::]/", "https://[1::]:443/"),
        U("https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]:443/"),
        U("https://[::127.0.0.1]/", "https://[::7f00:1]:443/"),
        U("https://[64:ff9b::1.2.3.4]/", "https://[64:ff9b::102:304]:443/"),
        U("https://[1:2:3:4:5:6:7.8.9.10]/", "https://[1:2:3:4:5:6:708:90a]:443/"),
        U("https://[::1%25eth0]/", "-"),
        U("https://[fe80::1%eth0]/", "-"),
        U("https://[::1/", "-"),
        U("https://[::1]x/", "-"),
        U("https://[::1]]/", "-"),
        U("https://::1/", "-"),
        U("https://[]/", "-"),
        U("https://[1]/", "-"),
        U("https://[127.0.0.1]/", "-"),
        U("https://[1:2:3:4:5:6:7:8:9]/", "-"),
        U("https://[1:2:3:4:5:6:7]/", "-"),
        U("https://[1::2::3]/", "-"),
        U("https://[:1:2:3:4:5:6:7]/", "-"),
        U("https://[1:2:3:4:5:6:7:]/", "-"),
        U("https://[1:2:3:4:5:6:7:8::]/", "-"),
        U("https://[::1:2:3:4:5:6:7:8]/", "-"),
        U("https://[:::]/", "-"),
        U("https://[12345::]/", "-"),
        U("https://[::1.2.3]/", "-"),
        U("https://[::1.2.3.4.5]/", "-"),
        U("https://[::1.2.3.400]/", "-"),
        U("https://[::01.2.3.4]/", "-"),
        U("https://[1.2.3.4::]/", "-"),
        U("https://[1:2:3:4:5:6:7:1.2.3.4]/", "-"),
        U("https://[v1.a]/", "-"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out = parsed(*state, rows[i].in);
        if (!str_is(out, rows[i].out))
            fail_msg("%.*s -> %.*s, not %s", STR_ARG(rows[i].in), STR_ARG(out), rows[i].out);
    }
}

static void every_byte_in_a_host_is_kept_or_refused(void **state)
{
    for (int c = 0; c < 256; c++) {
        char text[] = "https://a?b/";
        text[9] = (char)c;
        struct str out = parsed(*state, (struct str){ text, sizeof text - 1 });
        bool name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
        char expected[32] = "-";
        if (name)
            snprintf(expected, sizeof expected, "https://a%cb:443/", c);
        if (c >= 'A' && c <= 'Z')
            snprintf(expected, sizeof expected, "https://a%cb:443/", c + 32);
        if (c == '/' || c == '#' || c == '?') /* ends the host */
            snprintf(expected, sizeof expected, c == '/' ? "https://a:443/b/" : c == '?' ? "https://a:443/?b/" : "https://a:443/");
        if (!str_is(out, expected))
            fail_msg("byte 0x%02x -> %.*s", c, STR_ARG(out));
    }
}

static void what_a_path_or_query_may_not_hold_is_escaped(void **state)
{
    for (int c = 0x20; c < 0x7f; c++) {
        char path[] = "https://a/x_y", query[] = "https://a/?x_y", expected[64], escaped[4];
        if (strchr("#?\\/", c))
            continue; /* a part of its own, or refused */
        path[11] = query[12] = (char)c;
        snprintf(escaped, sizeof escaped, strchr(" \"<>^`{}", c) ? "%%%02X" : "%c", c);
        snprintf(expected, sizeof expected, "https://a:443/x%sy", escaped);
        assert_true(str_is(parsed(*state, str_of(path)), expected));
        snprintf(escaped, sizeof escaped, strchr(" \"<>'", c) ? "%%%02X" : "%c", c);
        snprintf(expected, sizeof expected, "https://a:443/?x%sy", escaped);
        assert_true(str_is(parsed(*state, str_of(query)), expected));
    }
}

static void names_have_the_lengths_of_dns(void **state)
{
    char text[2100];
    int n = snprintf(text, sizeof text, "https://%063d.a/", 0);
    assert_false(str_is(parsed(*state, (struct str){ text, (size_t)n }), "-"));
    n = snprintf(text, sizeof text, "https://%064d.a/", 0);
    assert_true(str_is(parsed(*state, (struct str){ text, (size_t)n }), "-"));
    n = snprintf(text, sizeof text, "https://%062d.%062d.%062d.%062d.a/", 0, 0, 0, 0); /* 253 */
    assert_false(str_is(parsed(*state, (struct str){ text, (size_t)n }), "-"));
    n = snprintf(text, sizeof text, "https://%062d.%062d.%062d.%062d.ab/", 0, 0, 0, 0);
    assert_true(str_is(parsed(*state, (struct str){ text, (size_t)n }), "-"));
    n = snprintf(text, sizeof text, "https://%02000d\xc3\xa9.a/", 0);
    assert_true(str_is(parsed(*state, (struct str){ text, (size_t)n }), "-"));
}

static void a_refused_url_leaves_the_answer_untouched(void **state)
{
    struct url u = { .port = 7 };
    bool ip = true, ip6 = true;
    struct str host = STR("kept");
    assert_int_equal(url_parse(*state, STR("https://a b/"), &u, NULL), ERR_URL_INVALID);
    assert_int_equal(u.port, 7);
    assert_int_equal(host_parse(*state, STR("1.2.3.999"), &host, &ip, &ip6, NULL), ERR_URL_INVALID);
    assert_true(str_is(host, "kept"));
}

static void the_host_header_says_a_port_only_when_it_must(void **state)
{
    static const struct {
        const char *url, *authority;
    } rows[] = {
        { "https://a.example:443/", "a.example" },   { "https://a.example:80/", "a.example:80" },
        { "http://a.example:80/", "a.example" },     { "http://a.example:443/", "a.example:443" },
        { "https://[::1]/", "[::1]" },               { "https://[::1]:8443/", "[::1]:8443" },
        { "https://1.2.3.4:8443/", "1.2.3.4:8443" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url u;
        assert_int_equal(url_parse(*state, str_of(rows[i].url), &u, NULL), ERR_NONE);
        assert_true(str_is(url_authority(*state, &u), rows[i].authority));
    }
}

static struct str resolved(struct arena *a, const char *base, struct str reference)
{
    struct url from, u;
    struct fault why;
    assert_int_equal(url_parse(a, str_of(base), &from, NULL), ERR_NONE);
    return shown(a, url_resolve(a, &from, reference, &u, &why), &u);
}

static void a_location_is_resolved_against_the_url_that_answered(void **state)
{
    static const struct {
        struct str reference;
        const char *out;
    } rows[] = {
        U("", "https://api.example.com:8443/a/b?q=1"),
        U("#f", "https://api.example.com:8443/a/b?q=1"),
        U("?x", "https://api.example.com:8443/a/b?x"),
        U("?", "https://api.example.com:8443/a/b?"),
        U("c", "https://api.example.com:8443/a/c"),
        U("c/", "https://api.example.com:8443/a/c/"),
        U("./c", "https://api.example.com:8443/a/c"),
        U("../c", "https://api.example.com:8443/c"),
        U("../../../c", "https://api.example.com:8443/c"),
        U(".", "https://api.example.com:8443/a/"),
        U("..", "https://api.example.com:8443/"),
        U("%2e%2e/c?d", "https://api.example.com:8443/c?d"),
        U("/c", "https://api.example.com:8443/c"),
        U("/c/../d", "https://api.example.com:8443/d"),
        U("//other.example/x", "https://other.example:443/x"),
        U("//other.example", "https://other.example:443/"),
        U("//other.example:99", "https://other.example:99/"),
        U("https://other.example/x", "https://other.example:443/x"),
        U("http://api.example.com/x", "http://api.example.com:80/x"),
        U("1foo:bar", "https://api.example.com:8443/a/1foo:bar"),
        U("a/b:c", "https://api.example.com:8443/a/a/b:c"),
        U("@evil", "https://api.example.com:8443/a/@evil"),
        U(".evil.example", "https://api.example.com:8443/a/.evil.example"),
        U("mailto:x@y", "-"),
        U("javascript:alert(1)", "-"),
        U("https:evil", "-"),
        U("https:/evil", "-"),
        U("///evil", "-"),
        U("////evil", "-"),
        U("/\\evil", "-"),
        U("\\/evil", "-"),
        U("\\\\evil", "-"),
        U("/\t/evil", "-"),
        U("//u@evil", "-"),
        U("//", "-"),
        U("/\xff", "-"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out = resolved(*state, "https://api.example.com:8443/a/b?q=1", rows[i].reference);
        if (!str_is(out, rows[i].out))
            fail_msg("%.*s -> %.*s, not %s", STR_ARG(rows[i].reference), STR_ARG(out), rows[i].out);
    }
}

static struct str joined(struct arena *a, const char *base, struct str tail)
{
    struct url u;
    struct str path;
    struct fault why = { 0 };
    assert_int_equal(url_parse(a, str_of(base), &u, NULL), ERR_NONE);
    enum err e = url_join_path(a, &u, tail, &path, &why);
    if (!e)
        return path;
    assert_int_equal(e, ERR_URL_INVALID);
    return STR("-");
}

static void a_callers_path_stays_below_the_base_url(void **state)
{
    static const struct {
        const char *base;
        struct str tail;
        const char *out;
    } rows[] = {
#define J(base, tail, out) { base, { tail, sizeof tail - 1 }, out }
        J("https://a.example", "", "/"),
        J("https://a.example", "/", "/"),
        J("https://a.example", "users", "/users"),
        J("https://a.example", "/users", "/users"),
        J("https://a.example/v3", "", "/v3"),
        J("https://a.example/v3", "/", "/v3/"),
        J("https://a.example/v3", "users/42", "/v3/users/42"),
        J("https://a.example/v3", "/users/42/", "/v3/users/42/"),
        J("https://a.example/v3/", "", "/v3/"),
        J("https://a.example/v3/", "users", "/v3/users"),
        J("https://a.example/v3/", "/users", "/v3/users"),
        /* kept byte for byte */
        J("https://a.example/v4", "projects/a%2Fb/issues", "/v4/projects/a%2Fb/issues"),
        J("https://a.example/v4", "a%2fb", "/v4/a%2fb"),
        J("https://a.example/v4", "%41%zz%", "/v4/%41%zz%"),
        J("https://a.example/v4", "x;a=1;b=2/y;c", "/v4/x;a=1;b=2/y;c"),
        J("https://a.example/v4", "a//b", "/v4/a//b"),
        J("https://a.example/v4", "x@y:80/(z)", "/v4/x@y:80/(z)"),
        J("https://a.example/v4", "a%25b/100%25", "/v4/a%25b/100%25"),
        J("https://a.example/v4", "a%5Cb", "/v4/a%5Cb"),
        J("https://a.example/v4", "...", "/v4/..."),
        J("https://a.example/v4", ".well-known/x", "/v4/.well-known/x"),
        J("https://a.example/v4", "a..b/..c/d..", "/v4/a..b/..c/d.."),
        J("https://a.example/v4", "http://evil/", "/v4/http://evil/"),
        /* dot segments that stay inside are kept too */
        J("https://a.example/v4", "a/../b", "/v4/a/../b"),
        J("https://a.example/v4", "./a", "/v4/./a"),
        J("https://a.example/v4", "a/%2e%2E/b", "/v4/a/%2e%2E/b"),
        J("https://a.example/v4", "a/b/../..", "/v4/a/b/../.."),
        /* climbing out */
        J("https://a.example/v4", "..", "-"),
        J("https://a.example/v4", "../v5", "-"),
        J("https://a.example/v4", "/../v5", "-"),
        J("https://a.example/v4", "%2e%2e/v5", "-"),
        J("https://a.example/v4", ".%2E/v5", "-"),
        J("https://a.example/v4", "a/../../v5", "-"),
        J("https://a.example/v4", "./../v5", "-"),
        J("https://a.example/v4", "a//../../v5", "-"),    /* where // counts as one slash */
        J("https://a.example/v4", "a/%2f/../../v5", "-"), /* and %2f as a slash */
        J("https://a.example/v4", "a/;x/../../v5", "-"),  /* and ;x as nothing */
        /* dot segments in disguise */
        J("https://a.example/v4", "a%2f..%2fb", "-"),
        J("https://a.example/v4", "..%2fv5", "-"),
        J("https://a.example/v4", "..%5cv5", "-"),
        J("https://a.example/v4", "a/..%2f", "-"),
        J("https://a.example/v4", "%252e%252e/v5", "-"),
        J("https://a.example/v4", "%25252e%25252e/v5", "-"),
        J("https://a.example/v4", "..%252fv5", "-"),
        J("https://a.example/v4", "..;/v5", "-"),
        J("https://a.example/v4", "..;x=1/v5", "-"),
        J("https://a.example/v4", "%2e%2e;/v5", "-"),
        J("https://a.example/v4", "..%3b/v5", "-"),
        J("https://a.example/v4", "%25252525252e", "-"),
        /* a second authority */
        J("https://a.example", "//evil/", "-"),
        J("https://a.example/v4", "//evil/", "-"),
        J("https://a.example", "/%2fevil", "-"),
        J("https://a.example", "%2Fevil", "-"),
        J("https://a.example", "%5cevil", "-"),
        J("https://a.example", "%252fevil", "-"),
        J("https://a.example", ".//evil", "-"),
        J("https://a.example", "a/..//evil", "-"),
        J("https://a.example", "a/../%2fevil", "-"),
        /* bytes */
        J("https://a.example", "a\\b", "-"),
        J("https://a.example", "\\evil", "-"),
        J("https://a.example", "a b", "-"),
        J("https://a.example", "a\r\nHost: evil", "-"),
        J("https://a.example", "a\0b", "-"),
        J("https://a.example", "a%00b", "-"),
        J("https://a.example", "a%2500b", "-"),
        J("https://a.example", "caf\xc3\xa9", "-"),
        J("https://a.example", "a?b", "-"),
        J("https://a.example", "a#b", "-"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out = joined(*state, rows[i].base, rows[i].tail);
        if (!str_is(out, rows[i].out))
            fail_msg("%s + %.*s -> %.*s, not %s", rows[i].base, STR_ARG(rows[i].tail), STR_ARG(out), rows[i].out);
    }
}

/* The text between the nth pair of backquotes of a line; p == NULL without one. */
static struct str quoted(struct str line, int nth)
{
    struct str piece = STR_NONE;
    for (int i = 0; i <= 2 * nth + 1; i++)
        if (!str_piece(&line, '`', &piece))
            return STR_NONE;
    return line.p ? piece : STR_NONE;
}

static void every_example_of_the_documentation_holds(void **state)
{
    FILE *f = fopen(SOURCE "/docs/proxy-paths.md", "re");
    char text[512];
    int good = 0, refused = 0;
    bool refusals = false;
    assert_non_null(f);
    while (fgets(text, sizeof text, f)) {
        struct str line = str_of(text), base = quoted(line, 0), tail = quoted(line, 1), expected = quoted(line, 2);
        refusals |= str_starts(line, STR("Refused:"));
        if (!str_starts(line, STR("| `https")))
            continue;
        char root[128];
        struct str path = joined(*state, str_copy(root, sizeof root, base), tail);
        if (!str_eq(path, refusals ? STR("-") : expected))
            fail_msg("%s gives %.*s", text, STR_ARG(path));
        good += !refusals;
        refused += refusals;
    }
    fclose(f);
    assert_int_equal(good, 11);
    assert_int_equal(refused, 13);
}

static void only_plain_ascii_passes_into_a_path(void **state)
{
    for (int c = 0; c < 256; c++) {
        char tail[] = { 'a', (char)c, 'b' };
        bool good = c > 0x20 && c < 0x7f && c != '?' && c != '#' && c != '\\';
        struct str out = joined(*state, "https://a.example/v", (struct str){ tail, 3 });
        assert_int_equal(!str_is(out, "-"), good);
        if (good)
            assert_memory_equal(out.p, "/v/a", 4);
    }
}

/* ---- corpora ---- */

static struct str without_dot(struct str host)
{
    host.n -= host.n && host.p[host.n - 1] == '.';
    return host;
}

/* Does what we read equal what WHATWG's rules give, the trailing dot of a name aside? */
static bool same_as_expected(const struct corpus *item, const struct url *u)
{
    struct str host = corpus_str(item, "hostname"), port = corpus_str(item, "port"), search = corpus_str(item, "search");
    uint64_t number = u->https ? 443 : 80;
    if (port.n && !str_u64(port, &number))
        return false;
    if (u->ip6)
        host = str_sub(host, 1, host.n - 1);
    /* "search" does not tell "?" from its absence. */
    if (search.n ? !u->query.p || !str_eq(u->query, str_sub(search, 1, search.n)) : u->query.n > 0)
        return false;
    return str_eq(without_dot(host), u->host) && number == u->port && str_eq(corpus_str(item, "pathname"), u->path) &&
           str_is(corpus_str(item, "protocol"), u->https ? "https:" : "http:") && !corpus_str(item, "username").n;
}

static void web_platform_urls_are_read_alike_or_refused(void **state)
{
    struct corpus *all = corpus_read(*state, "url/urltestdata.even.json");
    int same = 0, refused = 0, both = 0;
    for (const struct corpus *item = all ? all->first : NULL; item; item = item->next) {
        const struct corpus *input = corpus_get(item, "input"), *base = corpus_get(item, "base");
        if (item->kind != CORPUS_OBJECT || input->lone)
            continue;
        struct url from, u;
        enum err e;
        if (base && base->kind == CORPUS_TEXT) {
            if (url_parse(*state, base->text, &from, NULL))
                continue; /* a base that is no http(s) URL */
            e = url_resolve(*state, &from, input->text, &u, NULL);
        } else {
            e = url_parse(*state, input->text, &u, NULL);
        }
        bool fails = corpus_true(item, "failure");
        same += !e;
        refused += e && !fails;
        both += e && fails;
        if (!e && (fails || !same_as_expected(item, &u)))
            fail_msg("%.*s -> %.*s", STR_ARG(input->text), STR_ARG(shown(*state, e, &u)));
    }
    if (!all)
        return;
    printf("%d read alike, %d refused by both, %d refused by us\n", same, both, refused);
    assert_true(same > 70); /* refusing all would be easy */
}

static void international_names_become_what_browsers_dial_or_are_refused(void **state)
{
    struct corpus *all = corpus_read(*state, "url/toascii.json");
    int same = 0, refused = 0;
    for (const struct corpus *item = all ? all->first : NULL; item; item = item->next) {
        if (item->kind != CORPUS_OBJECT || corpus_get(item, "input")->lone)
            continue;
        struct str host;
        bool ip, ip6;
        enum err e = host_parse(*state, corpus_str(item, "input"), &host, &ip, &ip6, NULL);
        const struct corpus *output = corpus_get(item, "output");
        same += !e;
        refused += e && output->kind == CORPUS_TEXT;
        if (!e && (output->kind != CORPUS_TEXT || !str_eq(without_dot(output->text), host)))
            fail_msg("%.*s -> %.*s, not %.*s", STR_ARG(corpus_str(item, "input")), STR_ARG(host), STR_ARG(output->text));
    }
    if (!all)
        return;
    printf("%d alike, %d refused by us only\n", same, refused);
    assert_true(same > 40);
}

/* Redirect tricks: what starts with one slash stays on the host, all others name their own host or are refused. None of
 * them may name a host by any reading but WHATWG's. */
static void redirect_tricks_lead_where_browsers_go_or_nowhere(void **state)
{
    struct str rest = corpus_file(*state, "redirect/openredirects.txt"), line;
    int stayed = 0, left = 0, refused = 0;
    while (rest.n && str_piece(&rest, '\n', &line)) {
        if (!line.n)
            continue;
        struct url from, u;
        assert_int_equal(url_parse(*state, STR("https://api.example.com/a/b"), &from, NULL), ERR_NONE);
        if (url_resolve(*state, &from, line, &u, NULL)) {
            refused++;
            continue;
        }
        struct str expected = STR("api.example.com");
        if (str_starts(line, STR("//"))) {
            expected = str_sub(line, 2, line.n);
            expected.n = str_find(expected, '/') == SIZE_MAX ? expected.n : str_find(expected, '/');
            if (str_ends(expected, STR(":")))
                expected.n--; /* "//https://...": the host is "https", its port empty */
            left++;
        } else {
            stayed++;
        }
        if (!str_eq(u.host, expected))
            fail_msg("%.*s -> %.*s", STR_ARG(line), STR_ARG(u.host));
    }
    if (stayed + left + refused == 0)
        return;
    assert_true(stayed >= 30);
    printf("%d stay, %d leave for the host they name, %d refused\n", stayed, left, refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(test) cmocka_unit_test_setup_teardown(test, with_arena, drop_arena)
        T(a_url_is_what_is_dialled_or_is_refused),
        T(every_byte_in_a_host_is_kept_or_refused),
        T(what_a_path_or_query_may_not_hold_is_escaped),
        T(names_have_the_lengths_of_dns),
        T(a_refused_url_leaves_the_answer_untouched),
        T(the_host_header_says_a_port_only_when_it_must),
        T(a_location_is_resolved_against_the_url_that_answered),
        T(a_callers_path_stays_below_the_base_url),
        T(every_example_of_the_documentation_holds),
        T(only_plain_ascii_passes_into_a_path),
        T(web_platform_urls_are_read_alike_or_refused),
        T(international_names_become_what_browsers_dial_or_are_refused),
        T(redirect_tricks_lead_where_browsers_go_or_nowhere),
    };
    return cmocka_run_group_tests_name("http/url", tests, NULL, NULL);
}
