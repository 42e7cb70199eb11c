#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "http/head.h"

static const struct head_limits limits = { .max_bytes = 4096, .max_uri = 1024, .max_headers = 10 };

static enum head_result request(struct str in, struct head *h, const char **why)
{
    size_t resume = 0;
    *why = "";
    return head_request(in, &resume, &limits, h, why);
}

/* The text is good when `wrong` is NULL; else it must be refused with this very reason. */
static void judge_request(struct str in, const char *wrong)
{
    struct head h;
    const char *why;
    enum head_result e = request(in, &h, &why);
    if (e != (wrong ? HEAD_BAD : HEAD_DONE) || (wrong && strcmp(why, wrong) != 0))
        fail_msg("%.*s -> %d %s, not %s", STR_ARG(in), (int)e, why, wrong ? wrong : "accepted");
}

static void a_plain_request_is_read_whole(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    struct str in = STR("POST /proxy/crm/v1/x?a=1&b=2 HTTP/1.1\r\nHost: hub.example:8080\r\nX-A:\t one two \t\r\nEmpty:\r\n"
                        "X-Latin: caf\xe9\r\n\r\nbody");

    assert_int_equal(request(in, &h, &why), HEAD_DONE);

    assert_true(str_is(h.method, "POST"));
    assert_true(str_is(h.target, "/proxy/crm/v1/x?a=1&b=2"));
    assert_true(str_is(h.path, "/proxy/crm/v1/x"));
    assert_true(str_is(h.query, "a=1&b=2"));
    assert_true(str_is(h.host, "hub.example:8080"));
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.count, 4);
    assert_true(str_is(h.headers[1].value, "one two"));
    assert_true(str_is(h.headers[2].value, ""));
    assert_true(str_is(head_value(&h, STR("x-latin")), "caf\xe9"));
    assert_null(head_find(&h, STR("x-lati")));
    assert_int_equal(h.size, in.n - 4);
    assert_int_equal(h.status, 0);
}

static void a_query_that_is_absent_differs_from_an_empty_one(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    assert_int_equal(request(STR("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), &h, &why), HEAD_DONE);
    assert_null(h.query.p);
    assert_int_equal(request(STR("GET /a? HTTP/1.1\r\nHost: a\r\n\r\n"), &h, &why), HEAD_DONE);
    assert_non_null(h.query.p);
    assert_int_equal(h.query.n, 0);
}

static void each_broken_rule_is_refused_by_its_name(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *wrong;
    } rows[] = {
#define R(text, wrong) { { text, sizeof text - 1 }, wrong }
        R("GET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("GET / HTTP/1.0\r\n\r\n", NULL),
        R("M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method is not a token"),
        R("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "method is not a token"),
        R("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare CR"),
        R(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "blank before the method"),
        R("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare LF"),
        R("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare LF"),
        R("GET / HTTP/1.1\r\nHost: a\r\n\n", "bare LF"),
        R("GET / HTTP/1.1\r\nHost: a\n\n", "bare LF"),
        R("GET\n", "bare LF"),
        R("GET /\n", "bare LF"),
        R("GET / HTTP/1.1\rHost: a\r\n\r\n", "bare CR"),
        R("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "bare CR"),
        R("GET / HTTP/1.1\r\nHost: a\r\n\rX", "bare CR"),
        R("GET / HTTP/1.1\r\nHost\r: a\r\n\r\n", "bare CR"),
        R("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "folded header line"),
        R("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", "folded header line"),
        R("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "blank before the first header"),
        R("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "space before colon"),
        R("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", "space before colon"),
        R("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "empty header name"),
        R("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "header line without a colon"),
        R("GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", "header name is not a token"),
        R("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "control byte in a header value"),
        R("GET / HTTP/1.1\r\n\r\n", "no Host header"),
        R("GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", "second Host header"),
        R("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "second Host header"),
        R("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "empty request target"),
        R("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "no HTTP version where one must stand"),
        R("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bytes after the HTTP version"),
        R("GET / http/1.1\r\nHost: a\r\n\r\n", "no HTTP version where one must stand"),
        R("GET / HTTP/11\r\nHost: a\r\n\r\n", "malformed HTTP version"),
        R("GET / HTTP/1.1.1\r\nHost: a\r\n\r\n", "bytes after the HTTP version"),
        R("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bytes after the HTTP version"),
        R("GET /\r\n\r\n", "request line without a version"),
        R("GET\r\n\r\n", "method is not a token"),
        R("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "method is not a token"),
        R("\x16\x03\x01\x02", "method is not a token"),
        R("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT is not served"),
        R("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT is not served"),
        R("GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "request target of no known form"),
        R("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "target * with a method other than OPTIONS"),
        R("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", "request target of no known form"),
        R("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "request target of no known form"),
        R("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "byte that no request target may hold"),
        R("GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "byte that no request target may hold"),
        R("GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("GET HTTP://A/b HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("GET http://a:80/b HTTP/1.1\r\nHost: a\r\n\r\n", NULL),
        R("GET https://a/b HTTP/1.1\r\nHost: a:443\r\n\r\n", NULL),
        R("GET http://a:443/b HTTP/1.1\r\nHost: a\r\n\r\n", "host of the request target differs from Host"),
        R("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host of the request target differs from Host"),
        R("GET http://a:81/ HTTP/1.1\r\nHost: a:82\r\n\r\n", "host of the request target differs from Host"),
        R("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "malformed host in the request target"),
        R("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "malformed host in the request target"),
        R("GET http://b/ HTTP/1.1\r\n\r\n", "no Host header"),
        R("GET / HTTP/1.1\r\nHost:\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: caf\xc3\xa9.fr\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", NULL),
        R("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", NULL),
        R("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: [g::]\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: []\r\n\r\n", "malformed Host header"),
        R("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "malformed Host header"),
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        judge_request(rows[i].in, rows[i].wrong);
}

static void the_absolute_form_speaks_for_the_host(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    assert_int_equal(request(STR("GET http://A.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n"), &h, &why), HEAD_DONE);
    assert_true(str_is(h.host, "A.example"));
    assert_true(str_is(h.path, "/"));
    assert_true(str_is(h.query, "q"));
}

static void other_versions_get_an_answer_of_their_own(void **state)
{
    (void)state;
    static const char *const others[] = { "HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9" };
    for (size_t i = 0; i < COUNT(others); i++) {
        char text[64];
        struct head h;
        const char *why;
        snprintf(text, sizeof text, "GET / %s\r\nHost: a\r\n\r\n", others[i]);
        assert_int_equal(request(str_of(text), &h, &why), HEAD_VERSION);
    }
}

static void limits_have_results_of_their_own(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    char text[8192];
    int n = snprintf(text, sizeof text, "GET /%01024d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_URI_TOO_LONG);
    n = snprintf(text, sizeof text, "GET /%01023d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_DONE);
    n = snprintf(text, sizeof text, "GET /%02000d", 0); /* before its end is seen */
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_URI_TOO_LONG);
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %05000d\r\n\r\n", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_TOO_LARGE);
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: %04096d", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_TOO_LARGE);
    n = snprintf(text, sizeof text, "%033d / HTTP/1.1\r\n", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_BAD);
    n = snprintf(text, sizeof text, "%032d / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), HEAD_DONE);
}

static void a_head_of_exactly_the_limit_passes_and_a_byte_more_does_not(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody");
    for (size_t max = in.n; max > 0; max--) {
        struct head_limits tight = { .max_bytes = max, .max_uri = 100, .max_headers = 10 };
        size_t resume = 0;
        enum head_result e = head_request(in, &resume, &tight, &h, &why);
        assert_int_equal(e, max >= in.n - 4 ? HEAD_DONE : HEAD_TOO_LARGE);
    }
}

static void too_many_headers_are_told_apart(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    char text[1024];
    for (int count = 9; count <= 11; count++) {
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (int i = 1; i < count; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "X-%d: 1\r\n", i);
        n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
        assert_int_equal(request((struct str){ text, (size_t)n }, &h, &why), count > 10 ? HEAD_TOO_MANY_HEADERS : HEAD_DONE);
    }
}

/* What each byte may be part of, said here a second time and in another way. */
static bool token_byte(int c)
{
    return c && c < 0x80 && ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || strchr("!#$%&'*+-.^_`|~", c));
}
static bool value_byte(int c) { return c == '\t' || (c >= 0x20 && c != 0x7f); }
static bool target_byte(int c) { return c > 0x20 && c < 0x7f && c != '#'; }

/* One byte put into each place of a head; padded so that the vector path and the tail path both meet it. */
static void with_byte(const char *before, int c, const char *after, bool good)
{
    static char text[512];
    size_t n = strlen(before), m = strlen(after);
    memcpy(text, before, n);
    text[n] = (char)c;
    memcpy(text + n + 1, after, m);
    struct head h;
    const char *why;
    enum head_result e = request((struct str){ text, n + 1 + m }, &h, &why);
    if ((e == HEAD_DONE) != good || e == HEAD_MORE)
        fail_msg("byte 0x%02x after \"%s\": %d %s", c, before, (int)e, why);
}

static void every_byte_is_judged_in_every_place(void **state)
{
    (void)state;
#define REST " HTTP/1.1\r\nHost: a\r\n\r\n"
#define LONG "0123456789abcdef0123456789abcdef"
    for (int c = 0; c < 256; c++) {
        with_byte("G", c, "T /" REST, token_byte(c));
        with_byte("GET /a", c, "b" REST, target_byte(c));
        with_byte("GET /a?", c, "b" REST, target_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX", c, "Y: v\r\n\r\n", token_byte(c) || c == ':');
        with_byte("GET / HTTP/1.1\r\nHost: a\r\n", c, "X: v\r\n\r\n", token_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX", c, ": v\r\n\r\n", token_byte(c) || c == ':');
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX: a", c, "b\r\n\r\n", value_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX:", c, "b\r\n\r\n", value_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX: a", c, "\r\n\r\n", value_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX: " LONG "0123456", c, LONG "\r\n\r\n" LONG, value_byte(c));
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX: v", c, "\nY: w\r\n\r\n", c == '\r');
        with_byte("GET / HTTP/1.1\r\nHost: a\r\nX: v\r", c, "Y: w\r\n\r\n", c == '\n');
        with_byte("GET / HTTP/1.1\r\nHost: a", c, "b\r\n\r\n", c < 0x80 && token_byte(c) && !strchr("!#$%&'*+^`|", c));
    }
}

static void a_value_is_judged_alike_at_every_offset_of_the_buffer(void **state)
{
    (void)state;
    static char text[256];
    for (size_t pad = 0; pad < 70; pad++) {
        for (int wrong = 0; wrong < 2; wrong++) {
            int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
            memset(text + n, 'x', pad);
            text[n + (int)pad] = wrong ? 0x01 : 'y';
            memcpy(text + n + pad + 1, "\r\n\r\n", 4);
            struct head h;
            const char *why;
            assert_int_equal(request((struct str){ text, (size_t)n + pad + 5 }, &h, &why), wrong ? HEAD_BAD : HEAD_DONE);
            if (!wrong)
                assert_int_equal(h.headers[1].value.n, pad + 1);
        }
    }
}

static void a_head_that_comes_byte_by_byte_is_the_same_head(void **state)
{
    (void)state;
    static const char text[] = "\r\nPUT /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 3\r\n\r\nabcGET ";
    char moved[2][sizeof text];
    size_t resume = 0;
    struct head h;
    const char *why;
    for (size_t n = 0; n < sizeof text; n++) {
        char *buffer = moved[n % 2]; /* the buffer may move between the calls */
        memset(moved, 0xee, sizeof moved);
        memcpy(buffer, text, n);
        enum head_result e = head_request((struct str){ buffer, n }, &resume, &limits, &h, &why);
        if (n < sizeof text - 8) {
            assert_int_equal(e, HEAD_MORE);
            continue;
        }
        assert_int_equal(e, HEAD_DONE);
        assert_int_equal(h.size, sizeof text - 8);
        assert_int_equal(h.count, 3);
        assert_true(str_is(h.path, "/a"));
        return;
    }
    fail_msg("the head never ended");
}

static void every_cut_of_a_bad_head_ends_in_the_same_refusal(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",  "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n x\r\n\r\n",  "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",              "GET / HTTP/1.1\r\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct str all = str_of(heads[i]);
        for (size_t cut = 0; cut < all.n; cut++) {
            size_t resume = 0;
            struct head h;
            const char *why;
            enum head_result e = head_request(str_sub(all, 0, cut), &resume, &limits, &h, &why);
            assert_int_not_equal(e, HEAD_DONE);
            if (e == HEAD_MORE)
                e = head_request(all, &resume, &limits, &h, &why);
            assert_int_equal(e, HEAD_BAD);
        }
    }
}

static void a_line_end_without_cr_is_refused_before_the_head_is_complete(void **state)
{
    (void)state;
    size_t resume = 0;
    struct head h;
    const char *why;
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ");
    assert_int_equal(head_request(str_sub(in, 0, 20), &resume, &limits, &h, &why), HEAD_MORE);
    assert_int_equal(head_request(in, &resume, &limits, &h, &why), HEAD_BAD);
    assert_string_equal(why, "bare LF");
}

static void a_slow_sender_meets_the_size_limit_too(void **state)
{
    (void)state;
    static char text[5000];
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + n, 'x', sizeof text - (size_t)n);
    size_t resume = 0;
    struct head h;
    const char *why;
    for (size_t got = 1; got < limits.max_bytes; got++)
        assert_int_equal(head_request((struct str){ text, got }, &resume, &limits, &h, &why), HEAD_MORE);
    assert_int_equal(head_request((struct str){ text, limits.max_bytes }, &resume, &limits, &h, &why), HEAD_TOO_LARGE);
}

static enum head_result response(struct str in, struct head *h, const char **why)
{
    size_t resume = 0;
    *why = "";
    return head_response(in, &resume, &limits, h, why);
}

static void a_response_is_read_whole(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    assert_int_equal(response(STR("HTTP/1.0 404 Not  Found\r\nA: b\r\n\r\nx"), &h, &why), HEAD_DONE);
    assert_int_equal(h.status, 404);
    assert_int_equal(h.minor, 0);
    assert_true(str_is(h.reason, "Not  Found"));
    assert_int_equal(h.count, 1);
    assert_int_equal(response(STR("HTTP/1.1 200 \r\n\r\n"), &h, &why), HEAD_DONE);
    assert_int_equal(h.reason.n, 0);
    assert_int_equal(response(STR("HTTP/1.1 200\r\n\r\n"), &h, &why), HEAD_DONE);
    assert_int_equal(h.count, 0);
}

static void a_bad_response_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum head_result e;
        const char *wrong;
    } rows[] = {
        { "HTTP/1.1 99 x\r\n\r\n", HEAD_BAD, "status is not three digits" },
        { "HTTP/1.1 099 x\r\n\r\n", HEAD_BAD, "status outside 100-599" },
        { "HTTP/1.1 600 x\r\n\r\n", HEAD_BAD, "status outside 100-599" },
        { "HTTP/1.1 2000 x\r\n\r\n", HEAD_BAD, "control byte in the status line" },
        { "HTTP/1.1  200 x\r\n\r\n", HEAD_BAD, "status is not three digits" },
        { "HTTP/1.1 +20 x\r\n\r\n", HEAD_BAD, "status is not three digits" },
        { "HTTP/1.1 200 a\x01\r\n\r\n", HEAD_BAD, "control byte in the status line" },
        { "HTTP/1.1 200 OK\n\n", HEAD_BAD, "bare LF" },
        { "HTTP/1.1 200 OK\rX: y\r\n\r\n", HEAD_BAD, "bare CR" },
        { "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", HEAD_BAD, "space before colon" },
        { "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", HEAD_BAD, "folded header line" },
        { "HTTP/2.0 200 OK\r\n\r\n", HEAD_VERSION, "HTTP version other than 1.0 and 1.1" },
        { "HTTP/2 200 OK\r\n\r\n", HEAD_BAD, "malformed HTTP version" },
        { "ICY 200 OK\r\n\r\n", HEAD_BAD, "no HTTP version where one must stand" },
        { "\r\nHTTP/1.1 200 OK\r\n\r\n", HEAD_BAD, "no HTTP version where one must stand" },
        { "<html>", HEAD_BAD, "no HTTP version where one must stand" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head h;
        const char *why;
        if (response(str_of(rows[i].in), &h, &why) != rows[i].e || strcmp(why, rows[i].wrong) != 0)
            fail_msg("%s -> %s", rows[i].in, why);
    }
}

static void list_members_are_found_in_every_header_of_the_name(void **state)
{
    (void)state;
    struct head h;
    const char *why;
    struct str in = STR("GET / HTTP/1.1\r\nHost: a\r\nConnection: ,close , \"x,y\"\r\nX: z\r\nCONNECTION: b\r\n\r\n");
    assert_int_equal(request(in, &h, &why), HEAD_DONE);
    static const char *const members[] = { "close", "\"x,y\"", "b" };
    struct head_list at = { 0 };
    struct str member;
    for (size_t i = 0; i < COUNT(members); i++) {
        assert_true(head_list(&h, STR("connection"), &at, &member));
        assert_true(str_is(member, members[i]));
    }
    assert_false(head_list(&h, STR("connection"), &at, &member));
    assert_true(head_list_has(&h, STR("Connection"), STR("B")));
    assert_false(head_list_has(&h, STR("connection"), STR("y")));
    assert_false(head_list_has(&h, STR("absent"), STR("")));
}

static void names_and_values_of_ours_are_held_to_the_same_rules(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char one = (char)c, three[] = { 'a', (char)c, 'b' };
        assert_int_equal(head_is_token((struct str){ &one, 1 }), token_byte(c));
        assert_int_equal(head_is_value((struct str){ three, 3 }), value_byte(c));
        assert_int_equal(head_is_value((struct str){ &one, 1 }), value_byte(c) && c != ' ' && c != '\t');
    }
    assert_false(head_is_token(STR("")));
    assert_true(head_is_value(STR("")));
    assert_false(head_is_value(STR("a\r\nb")));
    assert_false(head_is_value(STR("a ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_is_read_whole),
        cmocka_unit_test(a_query_that_is_absent_differs_from_an_empty_one),
        cmocka_unit_test(each_broken_rule_is_refused_by_its_name),
        cmocka_unit_test(the_absolute_form_speaks_for_the_host),
        cmocka_unit_test(other_versions_get_an_answer_of_their_own),
        cmocka_unit_test(limits_have_results_of_their_own),
        cmocka_unit_test(a_head_of_exactly_the_limit_passes_and_a_byte_more_does_not),
        cmocka_unit_test(too_many_headers_are_told_apart),
        cmocka_unit_test(every_byte_is_judged_in_every_place),
        cmocka_unit_test(a_value_is_judged_alike_at_every_offset_of_the_buffer),
        cmocka_unit_test(a_head_that_comes_byte_by_byte_is_the_same_head),
        cmocka_unit_test(every_cut_of_a_bad_head_ends_in_the_same_refusal),
        cmocka_unit_test(a_line_end_without_cr_is_refused_before_the_head_is_complete),
        cmocka_unit_test(a_slow_sender_meets_the_size_limit_too),
        cmocka_unit_test(a_response_is_read_whole),
        cmocka_unit_test(a_bad_response_is_refused_by_name),
        cmocka_unit_test(list_members_are_found_in_every_header_of_the_name),
        cmocka_unit_test(names_and_values_of_ours_are_held_to_the_same_rules),
    };
    return cmocka_run_group_tests_name("http/head", tests, NULL, NULL);
}
