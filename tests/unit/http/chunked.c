#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "http/chunked.h"

static char body[4096];
static size_t body_size;

/* Feed `in` in spans of `step` bytes. Answers the last result; *used counts the bytes taken. */
static enum chunked_result decode(struct str in, size_t step, size_t *used, const char **why)
{
    struct chunked d;
    chunked_init(&d);
    body_size = *used = 0;
    enum chunked_result r = CHUNKED_MORE;
    while (r == CHUNKED_DATA || (r == CHUNKED_MORE && *used < in.n)) {
        size_t to = *used + step < in.n ? *used + step : in.n, consumed;
        struct str data, span = str_sub(in, *used, to);
        r = chunked_next(&d, span, &data, &consumed);
        assert_true(consumed <= span.n);
        if (r == CHUNKED_DATA) {
            assert_true(data.n > 0 && data.p >= span.p && data.p + data.n <= span.p + span.n);
            memcpy(body + body_size, data.p, data.n);
            body_size += data.n;
        }
        if (r == CHUNKED_MORE)
            assert_int_equal(consumed, span.n);
        *used += consumed;
    }
    *why = d.why;
    if (r == CHUNKED_BAD) { /* sticky */
        struct str data;
        size_t consumed;
        assert_int_equal(chunked_next(&d, STR("0\r\n\r\n"), &data, &consumed), CHUNKED_BAD);
    }
    return r;
}

static void a_body_is_the_same_however_it_is_cut(void **state)
{
    (void)state;
    struct str in = STR("5\r\nhello\r\n00A;name=value;q=\"a;\\\"b\"\r\n, world!!!\r\n0\r\nTrailer: x\r\nOther:\r\n\r\nNEXT");
    for (size_t step = 1; step <= in.n; step++) {
        size_t used;
        const char *why;
        assert_int_equal(decode(in, step, &used, &why), CHUNKED_END);
        assert_int_equal(body_size, 15);
        assert_memory_equal(body, "hello, world!!!", 15);
        assert_int_equal(used, in.n - 4);
    }
}

static void an_empty_body_ends_at_once(void **state)
{
    (void)state;
    size_t used;
    const char *why;
    assert_int_equal(decode(STR("0\r\n\r\n"), 100, &used, &why), CHUNKED_END);
    assert_int_equal(used, 5);
    assert_int_equal(decode(STR("000;x\r\n\r\n"), 100, &used, &why), CHUNKED_END);
    assert_int_equal(decode(STR("0\r\n\r"), 100, &used, &why), CHUNKED_MORE);
    assert_int_equal(decode(STR(""), 100, &used, &why), CHUNKED_MORE);
}

static void what_two_readers_could_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *wrong;
    } rows[] = {
#define R(text, wrong) { { text, sizeof text - 1 }, wrong }
        R("\r\n", "chunk without a size"),
        R(";x\r\n", "chunk without a size"),
        R(" 1\r\nx\r\n", "chunk without a size"),
        R("+1\r\nx\r\n", "chunk without a size"),
        R("-1\r\nx\r\n", "chunk without a size"),
        R("0x1\r\nx\r\n", "chunk size is not hexadecimal"),
        R("1 \r\nx\r\n", "chunk size is not hexadecimal"),
        R("1\t\r\nx\r\n", "chunk size is not hexadecimal"),
        R("1 ;a\r\nx\r\n", "chunk size is not hexadecimal"),
        R("1g\r\nx\r\n", "chunk size is not hexadecimal"),
        R("1\nx\r\n", "chunk size is not hexadecimal"),
        R("1\0\r\nx\r\n", "chunk size is not hexadecimal"),
        R("1\rx\r\n", "bare CR"),
        R("1\r\nxy\r\n", "chunk longer than its size"),
        R("1\r\nx\n0\r\n", "chunk longer than its size"),
        R("1\r\nx\rx", "bare CR"),
        R("2\r\nx\r\n0\r\n\r\n", "chunk longer than its size"),
        R("1;\r\nx\r\n", "malformed chunk extension"),
        R("1;;a\r\nx\r\n", "malformed chunk extension"),
        R("1;a=\r\nx\r\n", "malformed chunk extension"),
        R("1; a\r\nx\r\n", "malformed chunk extension"),
        R("1;a =b\r\nx\r\n", "malformed chunk extension"),
        R("1;a=b=c\r\nx\r\n", "malformed chunk extension"),
        R("1;a=b\"c\"\r\nx\r\n", "malformed chunk extension"),
        R("1;a=\"b\"c\r\nx\r\n", "malformed chunk extension"),
        R("1;a\nx\r\n", "malformed chunk extension"),
        R("1;a=\"b\r\nx\r\n", "control byte in a chunk extension"),
        R("1;a=\"\\\n\"\r\nx\r\n", "control byte in a chunk extension"),
        R("0\r\nX\r\n\r\n", "malformed trailer"),
        R("0\r\nX : y\r\n\r\n", "malformed trailer"),
        R("0\r\n: y\r\n\r\n", "malformed trailer"),
        R("0\r\n x: y\r\n\r\n", "malformed trailer"),
        R("0\r\nX: y\r\n z\r\n\r\n", "malformed trailer"),
        R("0\r\n\n", "malformed trailer"),
        R("0\r\nX: y\n\r\n", "control byte in a trailer"),
        R("0\r\nX: a\0b\r\n\r\n", "control byte in a trailer"),
        R("0\r\nX: y\rZ\r\n\r\n", "bare CR"),
        R("0\r\n\rX", "bare CR"),
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (size_t step = 1; step < 40; step += 38) {
            size_t used;
            const char *why;
            enum chunked_result r = decode(rows[i].in, step, &used, &why);
            if (r != CHUNKED_BAD || strcmp(why, rows[i].wrong) != 0)
                fail_msg("%.*s -> %d %s, not %s", STR_ARG(rows[i].in), (int)r, why ? why : "", rows[i].wrong);
        }
    }
}

static void a_size_may_reach_but_not_pass_63_bits(void **state)
{
    (void)state;
    size_t used;
    const char *why;
    assert_int_equal(decode(STR("7fffffffffffffff\r\nx"), 100, &used, &why), CHUNKED_MORE);
    assert_int_equal(body_size, 1);
    assert_int_equal(decode(STR("8000000000000000\r\nx"), 100, &used, &why), CHUNKED_BAD);
    assert_int_equal(decode(STR("ffffffffffffffff\r\nx"), 100, &used, &why), CHUNKED_BAD);
    assert_int_equal(decode(STR("10000000000000005\r\nhello\r\n"), 100, &used, &why), CHUNKED_BAD);
    assert_int_equal(decode(STR("0000000000000001\r\nx"), 100, &used, &why), CHUNKED_MORE);
    assert_int_equal(decode(STR("00000000000000001\r\nx"), 100, &used, &why), CHUNKED_BAD);
}

static void extensions_and_trailers_have_a_limit(void **state)
{
    (void)state;
    static char text[16 * 1024];
    size_t used;
    const char *why;
    for (int n = 254; n <= 257; n++) { /* ';' and n letters */
        int size = snprintf(text, sizeof text, "1;%0*d\r\nx\r\n0\r\n\r\n", n, 0);
        assert_int_equal(decode((struct str){ text, (size_t)size }, 7, &used, &why), n < 255 ? CHUNKED_END : CHUNKED_BAD);
    }
    /* The limit is for one chunk, not for all. */
    size_t at = 0;
    for (int i = 0; i < 10; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "1;%0200d\r\nx\r\n", 0);
    at += (size_t)snprintf(text + at, sizeof text - at, "0\r\n\r\n");
    assert_int_equal(decode((struct str){ text, at }, 50, &used, &why), CHUNKED_END);

    for (int n = 8187; n <= 8188; n++) { /* "X: ", n digits and both CRs: the last chunk's extension is not counted */
        int size = snprintf(text, sizeof text, "0;%0200d\r\nX: %0*d\r\n\r\n", 0, n, 0);
        assert_int_equal(decode((struct str){ text, (size_t)size }, 50, &used, &why), n == 8187 ? CHUNKED_END : CHUNKED_BAD);
    }
    at = (size_t)snprintf(text, sizeof text, "0\r\n");
    while (at < 9000)
        at += (size_t)snprintf(text + at, sizeof text - at, "X: %0100d\r\n", 0);
    assert_int_equal(decode((struct str){ text, at }, 50, &used, &why), CHUNKED_BAD);
    assert_string_equal(why, "trailers too large");
}

static void every_byte_is_judged_in_every_place(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        static const struct {
            const char *before, *after, *good; /* bytes that must pass; others must not, "*": every text byte */
        } places[] = {
            { "", "\r\n", "0123456789abcdefABCDEF" },
            { "0", "\r\n", "0123456789abcdefABCDEF" },
            { "0\r", "\r\n", "\n" },
            { "0\r\n\r", "", "\n" },
            { "1\r\nx\r", "0\r\n\r\n", "\n" },
            { "1\r\nx", "\n0\r\n\r\n", "\r" },
            { "0;a=\"", "\"\r\n\r\n", "*" },
            { "0;a=\"\\", "\"\r\n\r\n", "*" },
            { "0\r\nX: a", "b\r\n\r\n", "*" },
        };
        for (size_t i = 0; i < COUNT(places); i++) {
            char text[64];
            size_t n = strlen(places[i].before), m = strlen(places[i].after), used;
            memcpy(text, places[i].before, n);
            text[n] = (char)c;
            memcpy(text + n + 1, places[i].after, m);
            bool any = places[i].good[0] == '*';
            bool quote = any && (c == '"' || c == '\\') && places[i].before[n - 1] != '\\' && places[i].before[1] == ';';
            bool good = any ? c == '\t' || (c >= 0x20 && c != 0x7f) : c && strchr(places[i].good, c);
            if (quote)
                continue;
            const char *why;
            enum chunked_result r = decode((struct str){ text, n + 1 + m }, 100, &used, &why);
            if ((r == CHUNKED_BAD) == good)
                fail_msg("byte 0x%02x after \"%s\": %d", c, places[i].before, (int)r);
        }
    }
}

static void chunks_that_we_write_can_be_read(void **state)
{
    (void)state;
    static const uint64_t sizes[] = { 1, 9, 10, 15, 16, 500, 4095, 4096, INT64_MAX };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char head[CHUNKED_HEAD_MAX], expected[32];
        size_t n = chunked_head(head, sizes[i]);
        assert_int_equal(n, snprintf(expected, sizeof expected, "%lx\r\n", (unsigned long)sizes[i]));
        assert_memory_equal(head, expected, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_is_the_same_however_it_is_cut),
        cmocka_unit_test(an_empty_body_ends_at_once),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(a_size_may_reach_but_not_pass_63_bits),
        cmocka_unit_test(extensions_and_trailers_have_a_limit),
        cmocka_unit_test(every_byte_is_judged_in_every_place),
        cmocka_unit_test(chunks_that_we_write_can_be_read),
    };
    return cmocka_run_group_tests_name("http/chunked", tests, NULL, NULL);
}
