#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"

static int with_arena(void **state)
{
    *state = arena_new(4096);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

/* RFC 4648 10 */
static const struct {
    const char *plain, *standard, *url;
} vectors[] = {
    { "", "", "" },
    { "f", "Zg==", "Zg" },
    { "fo", "Zm8=", "Zm8" },
    { "foo", "Zm9v", "Zm9v" },
    { "foob", "Zm9vYg==", "Zm9vYg" },
    { "fooba", "Zm9vYmE=", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
    { "\xfb\xff\xfe", "+//+", "-__-" },
};

static void base64_matches_the_rfc_both_ways(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str plain = str_of(vectors[i].plain), back;
        assert_string_equal(base64_encode(a, plain, BASE64_STANDARD).p, vectors[i].standard);
        assert_string_equal(base64_encode(a, plain, BASE64_URL).p, vectors[i].url);
        assert_true(base64_decode(a, str_of(vectors[i].standard), BASE64_STANDARD, &back));
        assert_true(str_eq(back, plain));
        assert_true(base64_decode(a, str_of(vectors[i].url), BASE64_URL, &back));
        assert_true(str_eq(back, plain));
    }
}

static void base64_that_two_readers_could_read_differently_is_refused(void **state)
{
    struct arena *a = *state;
    struct str out;
    static const char *const standard[] = { "Zg",   "Zg=",    "Zg===", "Zh==", "Zm9=", "Z",
                                            "====", "Zm9v\n", " Zm9v", "Zm=v", "-__-", "Zg==Zg==" };
    for (size_t i = 0; i < COUNT(standard); i++)
        if (base64_decode(a, str_of(standard[i]), BASE64_STANDARD, &out))
            fail_msg("standard: %s", standard[i]);
    static const char *const url[] = { "Zg==", "Zh", "Z", "+//+", "Zm9v=", "Zm9vY" };
    for (size_t i = 0; i < COUNT(url); i++)
        if (base64_decode(a, str_of(url[i]), BASE64_URL, &out))
            fail_msg("url: %s", url[i]);
}

static void every_byte_survives_base64_hex_and_percent(void **state)
{
    struct arena *a = *state;
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    for (size_t n = 0; n <= 256; n += 17) {
        struct str in = { all, n }, out;
        char hex[512];
        AUTO_BUF percent;
        buf_init(&percent, 1000);
        assert_true(base64_decode(a, base64_encode(a, in, BASE64_STANDARD), BASE64_STANDARD, &out) && str_eq(in, out));
        assert_true(base64_decode(a, base64_encode(a, in, BASE64_URL), BASE64_URL, &out) && str_eq(in, out));
        assert_true(hex_decode(a, (struct str){ hex, hex_write(hex, in) }, &out) && str_eq(in, out));
        percent_encode(&percent, in);
        assert_true(percent_decode(a, buf_str(&percent), &out) && str_eq(in, out));
    }
}

static void hex_takes_either_case_and_only_whole_bytes(void **state)
{
    struct arena *a = *state;
    struct str out;
    char text[4];
    assert_int_equal(hex_write(text, STR("\x0f\xa0")), 4);
    assert_memory_equal(text, "0fa0", 4);
    assert_true(hex_decode(a, STR("0FA0"), &out) && str_eq(out, STR("\x0f\xa0")));
    assert_false(hex_decode(a, STR("0"), &out));
    assert_false(hex_decode(a, STR("0g"), &out));
    assert_false(hex_decode(a, STR("0 "), &out));
}

static void percent_encoding_leaves_the_unreserved_alone(void **state)
{
    struct arena *a = *state;
    struct str out;
    AUTO_BUF b;
    buf_init(&b, 100);
    percent_encode(&b, STR("aZ09-._~ /?&+%\xc3\xa9"));
    assert_true(str_is(buf_str(&b), "aZ09-._~%20%2F%3F%26%2B%25%C3%A9"));
    assert_true(percent_decode(a, STR("a+b%2fc"), &out) && str_is(out, "a+b/c"));
    assert_false(percent_decode(a, STR("%"), &out));
    assert_false(percent_decode(a, STR("%2"), &out));
    assert_false(percent_decode(a, STR("%2x"), &out));
    assert_false(percent_decode(a, STR("%%41"), &out));
}

static void only_shortest_form_utf8_of_real_characters_is_valid(void **state)
{
    (void)state;
    static const struct str good[] = {
        { "", 0 },
        { "a\0b", 3 },
        { "\xc2\x80", 2 },
        { "\xdf\xbf", 2 },
        { "\xe0\xa0\x80", 3 },
        { "\xed\x9f\xbf", 3 },
        { "\xee\x80\x80", 3 },
        { "\xef\xbf\xbf", 3 },
        { "\xf0\x90\x80\x80", 4 },
        { "\xf4\x8f\xbf\xbf", 4 },
    };
    static const struct str bad[] = {
        { "\x80", 1 },
        { "\xc0\x80", 2 },
        { "\xc1\xbf", 2 },
        { "\xe0\x9f\xbf", 3 },
        { "\xed\xa0\x80", 3 },
        { "\xed\xbf\xbf", 3 },
        { "\xf0\x8f\xbf\xbf", 4 },
        { "\xf4\x90\x80\x80", 4 },
        { "\xf5\x80\x80\x80", 4 },
        { "\xff", 1 },
        { "\xc3", 1 },
        { "\xe2\x82", 2 },
        { "\xf0\x9f\x98", 3 },
        { "\xc3(", 2 },
        { "a\xe2\x28\xa1", 4 },
    };
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(utf8_valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(utf8_valid(bad[i]));
}

static void every_code_point_is_written_as_valid_utf8(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 97) {
        char out[4];
        size_t n = utf8_write(out, c);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        assert_int_equal(utf8_first((struct str){ out, n }), surrogate ? 0 : n);
    }
    char out[4];
    assert_int_equal(utf8_write(out, 0x1f600), 4);
    assert_memory_equal(out, "\xf0\x9f\x98\x80", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(base64_matches_the_rfc_both_ways, with_arena, drop_arena),
        cmocka_unit_test_setup_teardown(base64_that_two_readers_could_read_differently_is_refused, with_arena, drop_arena),
        cmocka_unit_test_setup_teardown(every_byte_survives_base64_hex_and_percent, with_arena, drop_arena),
        cmocka_unit_test_setup_teardown(hex_takes_either_case_and_only_whole_bytes, with_arena, drop_arena),
        cmocka_unit_test_setup_teardown(percent_encoding_leaves_the_unreserved_alone, with_arena, drop_arena),
        cmocka_unit_test(only_shortest_form_utf8_of_real_characters_is_valid),
        cmocka_unit_test(every_code_point_is_written_as_valid_utf8),
    };
    return cmocka_run_group_tests_name("base/encode", tests, NULL, NULL);
}
