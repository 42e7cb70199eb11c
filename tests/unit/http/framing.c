#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/chunked.h"
#include "http/framing.h"
#include "corpus.h"

static const struct head_limits limits = { .max_bytes = 65536, .max_uri = 8192, .max_headers = 100 };

static void read_head(const char *first_line, const char *headers, struct head *h)
{
    static char text[2048];
    int n = snprintf(text, sizeof text, "%s\r\n%s\r\n", first_line, headers);
    size_t resume = 0;
    const char *why = "";
    struct str in = { text, (size_t)n };
    bool response = first_line[0] == 'H';
    enum head_result e = (response ? head_response : head_request)(in, &resume, &limits, h, &why);
    if (e != HEAD_DONE)
        fail_msg("%s: %s", text, why);
}

static struct framing of_request(const char *headers)
{
    struct head h;
    char with_host[1024];
    snprintf(with_host, sizeof with_host, "Host: a\r\n%s", headers);
    read_head("POST / HTTP/1.1", with_host, &h);
    return framing_request(&h);
}

static struct framing of_response(const char *status, const char *headers)
{
    struct head h;
    read_head(status, headers, &h);
    return framing_response(&h, false);
}

static void a_request_has_one_end_or_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        enum framing_kind kind;
        uint64_t length;
    } rows[] = {
        { "", FRAMING_NONE, 0 },
        { "Content-Length: 0\r\n", FRAMING_LENGTH, 0 },
        { "content-LENGTH: 17\r\n", FRAMING_LENGTH, 17 },
        { "Content-Length: 007\r\n", FRAMING_LENGTH, 7 },
        { "Content-Length: 9223372036854775807\r\n", FRAMING_LENGTH, INT64_MAX },
        { "Content-Length: 9223372036854775808\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 18446744073709551617\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 99999999999999999999999999\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5\r\nContent-Length: 5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5\r\nContent-Length: 6\r\n", FRAMING_BAD, 0 },
        { "Content-Length: +5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: -5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5, 5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5,5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 0x5\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5 6\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5.0\r\n", FRAMING_BAD, 0 },
        { "Content-Length: \"5\"\r\n", FRAMING_BAD, 0 },
        { "Content-Length:\r\n", FRAMING_BAD, 0 },
        { "Content-Length: a\r\n", FRAMING_BAD, 0 },
        { "Content-Length: \xd9\xa5\r\n", FRAMING_BAD, 0 }, /* an Arabic five */
        { "Content_Length: 5\r\n", FRAMING_BAD, 0 },
        { "Content_Length: 5\r\nContent-Length: 5\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked\r\n", FRAMING_CHUNKED, 0 },
        { "TRANSFER-ENCODING:\tChUnKeD \r\n", FRAMING_CHUNKED, 0 },
        { "Transfer_Encoding: chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: identity\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: gzip, chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked, gzip\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked, chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked,\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: ,chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked;q=1\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: xchunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked x\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: \"chunked\"\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding:\r\n", FRAMING_BAD, 0 },
        { "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", FRAMING_BAD, 0 },
        { "Transfer-Encoding: chunked\r\nContent_Length: 0\r\n", FRAMING_BAD, 0 },
        { "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", FRAMING_LENGTH, 5 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct framing f = of_request(rows[i].headers);
        if (f.kind != rows[i].kind || f.length != rows[i].length)
            fail_msg("%s -> kind %d, length %lu", rows[i].headers, (int)f.kind, (unsigned long)f.length);
        assert_int_equal(f.why != NULL, f.kind == FRAMING_BAD);
        if (f.kind == FRAMING_BAD)
            assert_false(f.keep_alive);
    }
}

static void http_1_0_knows_no_transfer_encoding(void **state)
{
    (void)state;
    struct head h;
    read_head("POST / HTTP/1.0", "Transfer-Encoding: chunked\r\n", &h);
    assert_int_equal(framing_request(&h).kind, FRAMING_BAD);
    assert_int_equal(of_response("HTTP/1.0 200 OK", "Transfer-Encoding: chunked\r\n").kind, FRAMING_BAD);
}

static void a_response_has_one_end_or_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *status, *headers;
        enum framing_kind kind;
        uint64_t length;
        bool keep_alive;
    } rows[] = {
        { "HTTP/1.1 200 OK", "", FRAMING_UNTIL_CLOSE, 0, false },
        { "HTTP/1.1 200 OK", "Content-Length: 0\r\n", FRAMING_LENGTH, 0, true },
        { "HTTP/1.1 200 OK", "Content-Length: 4\r\n", FRAMING_LENGTH, 4, true },
        { "HTTP/1.1 200 OK", "Content-Length: 4\r\nConnection: close\r\n", FRAMING_LENGTH, 4, false },
        { "HTTP/1.0 200 OK", "Content-Length: 4\r\n", FRAMING_LENGTH, 4, false },
        { "HTTP/1.0 200 OK", "Content-Length: 4\r\nConnection: Keep-Alive\r\n", FRAMING_LENGTH, 4, true },
        { "HTTP/1.0 200 OK", "Connection: Keep-Alive\r\n", FRAMING_UNTIL_CLOSE, 0, false },
        { "HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n", FRAMING_CHUNKED, 0, true },
        { "HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 200 OK", "Transfer-Encoding: gzip\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 200 OK", "Content-Length: 3\r\nContent-Length: 4\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 200 OK", "Content-Length: 3\r\nContent-Length: 3\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 204 No", "", FRAMING_NONE, 0, true },
        { "HTTP/1.1 204 No", "Content-Length: 0\r\n", FRAMING_NONE, 0, true },
        { "HTTP/1.1 204 No", "Content-Length: 4\r\n", FRAMING_NONE, 0, false },
        { "HTTP/1.1 204 No", "Transfer-Encoding: chunked\r\n", FRAMING_NONE, 0, false },
        { "HTTP/1.1 204 No", "Content-Length: x\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 304 Same", "Content-Length: 4\r\n", FRAMING_NONE, 4, true },
        { "HTTP/1.1 304 Same", "", FRAMING_NONE, 0, true },
        { "HTTP/1.1 304 Same", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 100 Go on", "", FRAMING_NONE, 0, true },
        { "HTTP/1.1 101 Switch", "Connection: upgrade\r\n", FRAMING_NONE, 0, true },
        { "HTTP/1.1 103 Hints", "Content-Length: 4\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 100 Go on", "Transfer-Encoding: chunked\r\n", FRAMING_BAD, 0, false },
        { "HTTP/1.1 500 Oops", "Content-Length: 4\r\n", FRAMING_LENGTH, 4, true },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct framing f = of_response(rows[i].status, rows[i].headers);
        if (f.kind != rows[i].kind || f.length != rows[i].length || f.keep_alive != rows[i].keep_alive)
            fail_msg("%s %s -> kind %d, length %lu, keep-alive %d", rows[i].status, rows[i].headers, (int)f.kind,
                     (unsigned long)f.length, f.keep_alive);
    }
}

static void the_answer_to_head_has_no_body_whatever_it_declares(void **state)
{
    (void)state;
    struct head h;
    read_head("HTTP/1.1 200 OK", "Content-Length: 1234\r\n", &h);
    struct framing f = framing_response(&h, true);
    assert_int_equal(f.kind, FRAMING_NONE);
    assert_int_equal(f.length, 1234);
    assert_true(f.keep_alive);
    read_head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n", &h);
    assert_int_equal(framing_response(&h, true).kind, FRAMING_NONE);
    read_head("HTTP/1.1 200 OK", "", &h);
    assert_true(framing_response(&h, true).keep_alive);
    read_head("HTTP/1.1 200 OK", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &h);
    assert_int_equal(framing_response(&h, true).kind, FRAMING_BAD);
}

static void a_connection_goes_on_as_its_version_and_options_say(void **state)
{
    (void)state;
    static const struct {
        const char *line, *headers;
        bool keep_alive;
    } rows[] = {
        { "GET / HTTP/1.1", "", true },
        { "GET / HTTP/1.1", "Connection: close\r\n", false },
        { "GET / HTTP/1.1", "Connection: x, CLOSE ,y\r\n", false },
        { "GET / HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false },
        { "GET / HTTP/1.1", "Connection: keep-alive, close\r\n", false },
        { "GET / HTTP/1.1", "Connection: closed\r\n", true },
        { "GET / HTTP/1.0", "", false },
        { "GET / HTTP/1.0", "Connection: keep-alive\r\n", true },
        { "GET / HTTP/1.0", "Connection: keep-alive, close\r\n", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head h;
        char headers[256];
        snprintf(headers, sizeof headers, "Host: a\r\n%s", rows[i].headers);
        read_head(rows[i].line, headers, &h);
        if (framing_request(&h).keep_alive != rows[i].keep_alive)
            fail_msg("%s %s", rows[i].line, rows[i].headers);
    }
}

static void only_100_continue_may_be_expected(void **state)
{
    (void)state;
    assert_int_equal(of_request("").expect, EXPECT_NONE);
    assert_int_equal(of_request("Expect: 100-Continue\r\n").expect, EXPECT_CONTINUE);
    assert_int_equal(of_request("Expect: 200-ok\r\n").expect, EXPECT_UNKNOWN);
    assert_int_equal(of_request("Expect: 100-continue\r\nExpect: x\r\n").expect, EXPECT_UNKNOWN);
    assert_int_equal(of_request("Expect:\r\n").expect, EXPECT_UNKNOWN);
    struct head h;
    read_head("GET / HTTP/1.0", "Expect: 100-continue\r\n", &h);
    assert_int_equal(framing_request(&h).expect, EXPECT_NONE);
}

static void headers_of_one_connection_are_known(void **state)
{
    (void)state;
    struct head h;
    read_head("GET / HTTP/1.1", "Host: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n", &h);
    assert_true(framing_hop_by_hop(&h, STR("x-mine")));
    assert_true(framing_hop_by_hop(&h, STR("CONNECTION")));
    static const char *const always[] = { "te", "Upgrade", "keep-alive", "Proxy-Connection", "Trailer", "Transfer-Encoding",
                                          "proxy-authenticate", "Proxy-Authorization" };
    for (size_t i = 0; i < COUNT(always); i++)
        assert_true(framing_hop_by_hop(&h, str_of(always[i])));
    assert_false(framing_hop_by_hop(&h, STR("x-mine2")));
    assert_false(framing_hop_by_hop(&h, STR("content-type")));
    assert_true(framing_request(&h).names_headers);
    assert_true(framing_hop_by_hop(NULL, STR("Connection")));
    assert_false(framing_hop_by_hop(NULL, STR("x-mine")));
    read_head("GET / HTTP/1.1", "Host: a\r\nConnection: Close, ,keep-alive\r\n", &h);
    assert_false(framing_request(&h).names_headers);
    read_head("HTTP/1.1 200 OK", "Connection: close\r\nConnection: x\r\n", &h);
    assert_true(framing_response(&h, false).names_headers);
}

/* ---- corpora ---- */

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

enum reading { READ_REFUSED, READ_INCOMPLETE, READ_CLOSED, READ_OPEN };

/* What a server does with these bytes: the first message, its body included. */
static enum reading serve(struct str in, struct framing *f, const char **why)
{
    struct head h;
    size_t resume = 0, used;
    enum head_result e = head_request(in, &resume, &limits, &h, why);
    if (e == HEAD_MORE)
        return READ_INCOMPLETE;
    if (e != HEAD_DONE)
        return READ_REFUSED;
    *f = framing_request(&h);
    *why = f->why;
    if (f->kind == FRAMING_BAD)
        return READ_REFUSED;
    in = str_sub(in, h.size, in.n);
    struct chunked d;
    struct str data;
    chunked_init(&d);
    enum chunked_result c = CHUNKED_DATA;
    while (f->kind == FRAMING_CHUNKED && c == CHUNKED_DATA) {
        c = chunked_next(&d, in, &data, &used);
        in = str_sub(in, used, in.n);
    }
    *why = d.why;
    if (c == CHUNKED_BAD || c == CHUNKED_MORE)
        return c == CHUNKED_BAD ? READ_REFUSED : READ_INCOMPLETE;
    return f->keep_alive ? READ_OPEN : READ_CLOSED;
}

static struct str hex_of(struct arena *a, const struct corpus *item)
{
    struct str raw;
    assert_true(hex_decode(a, corpus_str(item, "raw_hex"), &raw));
    return raw;
}

/* The vectors lack the Host that HTTP/1.1 asks for, and often their last empty line: both are put in, so that the refusal is
 * for what the vector is about. */
static struct str completed(struct arena *a, struct str raw, bool has_host)
{
    size_t line = str_find_str(raw, STR("\r\n"));
    if (!has_host && line != SIZE_MAX)
        raw = str_fmt(a, "%.*s\r\nHost: a%.*s", (int)line, raw.p, (int)(raw.n - line), raw.p + line);
    return raw;
}

static enum reading serve_completed(struct arena *a, struct str raw, struct framing *f, const char **why)
{
    enum reading r = READ_INCOMPLETE;
    for (int ends = 0; ends < 3 && r == READ_INCOMPLETE; ends++) {
        r = serve(raw, f, why);
        raw = arena_join(a, raw, STR("\r\n"));
    }
    return r;
}

/* Vectors that other parsers take and we refuse, each for a rule of ours. */
static const struct {
    const char *name, *rule;
} stricter[] = {
    { "M-SEARCH request", "target * with a method other than OPTIONS" },
    { "SOURCE request with ICE", "no HTTP version where one must stand" },
    { "OPTIONS request with RTSP", "no HTTP version where one must stand" },
    { "ANNOUNCE request with RTSP", "no HTTP version where one must stand" },
    { "curl GET", "malformed Host header" },    /* Host: 0.0.0.0=5000 */
    { "Firefox GET", "malformed Host header" }, /* the same */
};

/* Vectors that others refuse and we take, since the fault lies outside the first message. */
static const char *const taken[] = {
    "No restart when keep-alive is off (1.0)",     /* bytes behind a message that closes: never looked at */
    "CRLF between requests, implicit `keep-alive`", /* the fault is in the second message */
    "HTTP protocol and ANNOUNCE method",            /* a method is any token to us */
    "Invalid method",                               /* MKCOLA: the same */
};

static const char *stricter_rule(struct str name)
{
    for (size_t i = 0; i < COUNT(stricter); i++)
        if (str_is(name, stricter[i].name))
            return stricter[i].rule;
    return NULL;
}

static void other_parsers_vectors_are_refused_or_read_as_they_should(void **state)
{
    struct corpus *all = corpus_read(*state, "http/llhttp-requests.json");
    int refused = 0, accepted = 0, exceptions = 0;
    for (const struct corpus *item = all ? all->first : NULL; item; item = item->next) {
        struct str name = corpus_str(item, "name");
        struct framing f = { 0 };
        const char *why = NULL;
        bool has_host = corpus_true(item, "has_host");
        if (corpus_true(item, "must_reject")) {
            enum reading r = serve_completed(*state, completed(*state, hex_of(*state, item), has_host), &f, &why);
            bool ours = false;
            for (size_t i = 0; i < COUNT(taken); i++)
                ours |= str_is(name, taken[i]);
            if (r != READ_REFUSED && !ours)
                fail_msg("accepted: %.*s", STR_ARG(name));
            refused++;
        } else if (has_host && !corpus_true(item, "lenient")) {
            enum reading r = serve_completed(*state, hex_of(*state, item), &f, &why);
            const char *rule = stricter_rule(name);
            if (r == READ_REFUSED && (!rule || strcmp(rule, why) != 0))
                fail_msg("refused: %.*s: %s", STR_ARG(name), why);
            exceptions += r == READ_REFUSED;
            accepted += r != READ_REFUSED;
        }
    }
    if (!all)
        return;
    refused -= (int)COUNT(taken);
    printf("%d refused as they must, %d accepted, %d refused by our stricter rules\n", refused, accepted, exceptions);
    assert_int_equal(exceptions, COUNT(stricter));
}

/* A mutation that we accept must leave no second reading: of the names, split as loosely as any known parser does, only
 * one is a framing header. */
static void assert_one_reading(struct str raw, struct str name, const struct framing *f)
{
    struct str rest = str_sub(raw, 0, str_find_str(raw, STR("\r\n\r\n"))), line;
    int lengths = 0, encodings = 0;
    while (str_piece(&rest, '\n', &line)) {
        line = str_trim(line);
        lengths += str_istarts(line, STR("content-length"));
        encodings += str_istarts(line, STR("transfer-encoding"));
    }
    if (lengths + encodings != 1 || f->kind != (lengths ? FRAMING_LENGTH : FRAMING_CHUNKED))
        fail_msg("two readings: %.*s", STR_ARG(name));
}

static void smuggling_mutations_leave_no_second_reading(void **state)
{
    struct corpus *all = corpus_read(*state, "http/smuggler-default.json");
    int refused = 0, accepted = 0;
    for (const struct corpus *item = all ? all->first : NULL; item; item = item->next) {
        struct framing f = { 0 };
        const char *why = NULL;
        struct str raw = hex_of(*state, item);
        enum reading r = serve(raw, &f, &why);
        if (r == READ_INCOMPLETE)
            fail_msg("incomplete: %.*s", STR_ARG(corpus_str(item, "name")));
        if (r == READ_REFUSED) {
            refused++;
            continue;
        }
        accepted++;
        assert_one_reading(raw, corpus_str(item, "name"), &f);
    }
    if (all)
        printf("%d refused, %d with one reading\n", refused, accepted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_one_end_or_is_refused),
        cmocka_unit_test(http_1_0_knows_no_transfer_encoding),
        cmocka_unit_test(a_response_has_one_end_or_is_refused),
        cmocka_unit_test(the_answer_to_head_has_no_body_whatever_it_declares),
        cmocka_unit_test(a_connection_goes_on_as_its_version_and_options_say),
        cmocka_unit_test(only_100_continue_may_be_expected),
        cmocka_unit_test(headers_of_one_connection_are_known),
        cmocka_unit_test_setup_teardown(other_parsers_vectors_are_refused_or_read_as_they_should, with_arena, drop_arena),
        cmocka_unit_test_setup_teardown(smuggling_mutations_leave_no_second_reading, with_arena, drop_arena),
    };
    return cmocka_run_group_tests_name("http/framing", tests, NULL, NULL);
}
