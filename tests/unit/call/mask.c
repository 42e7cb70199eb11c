/* Secrets in every spelling, and what must not be taken for one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/json.h"
#include "call/mask.h"

static int with_arena(void **state) { return (*state = arena_new(4096)) == NULL; }
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static struct mask *mask_of(const char *const *texts, size_t n)
{
    struct secret secrets[8];
    for (size_t i = 0; i < n; i++)
        secrets[i] = secret_from(str_of(texts[i]));
    struct mask *m = mask_new(secrets, n);
    for (size_t i = 0; i < n; i++)
        secret_end(&secrets[i]);
    return m;
}

static void becomes(struct arena *a, const struct mask *m, const char *text, const char *expected)
{
    char *got = arena_cstr(a, mask_apply(m, a, str_of(text)));
    assert_string_equal(got, expected);
    assert_int_equal(mask_hits(m, str_of(text)), strcmp(text, expected) != 0);
}

static void a_secret_is_masked_raw_and_the_rest_is_left(void **state)
{
    const char *secrets[] = { "s3cr3t-value" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "token s3cr3t-value, again: s3cr3t-values3cr3t-value!", "token [masked], again: [masked][masked]!");
    becomes(*state, m, "s3cr3t-valu", "s3cr3t-valu");
    becomes(*state, m, "", "");
    mask_free(m);
}

static void text_without_a_secret_is_not_copied(void **state)
{
    const char *secrets[] = { "s3cr3t-value" };
    struct mask *m = mask_of(secrets, 1);
    struct str text = STR("/v1/users/42");
    assert_ptr_equal(mask_apply(m, *state, text).p, text.p);
    mask_free(m);
}

static void percent_escapes_of_either_case_do_not_hide_a_secret(void **state)
{
    const char *secrets[] = { "a/b+c d&e" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "k=a%2Fb%2Bc%20d%26e&x", "k=[masked]&x");
    becomes(*state, m, "k=a%2fb%2bc%20d%26e&x", "k=[masked]&x");
    becomes(*state, m, "k=a%2Fb%2Bc+d%26e", "k=[masked]");
    becomes(*state, m, "k=a/b%2Bc%20d%26e", "k=[masked]");
    becomes(*state, m, "k=%61%2F%62%2B%63%20%64%26%65", "k=[masked]");
    mask_free(m);
}

static void json_escapes_do_not_hide_a_secret(void **state)
{
    const char *secrets[] = { "line1\nq\"\\/\xc3\xa9\xf0\x9f\x98\x80" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "{\"k\":\"line1\\nq\\\"\\\\/\xc3\xa9\xf0\x9f\x98\x80\"}", "{\"k\":\"[masked]\"}");
    becomes(*state, m, "{\"k\":\"line1\\u000aq\\u0022\\u005C\\/\\u00E9\\ud83d\\uDE00\"}", "{\"k\":\"[masked]\"}");
    mask_free(m);
}

static void a_secret_that_looks_like_an_escape_is_masked_as_it_is(void **state)
{
    const char *secrets[] = { "ab%25cd", "x\\ny\\u0041" };
    struct mask *m = mask_of(secrets, 2);
    becomes(*state, m, "ab%25cd", "[masked]");
    becomes(*state, m, "ab%2525cd", "[masked]");
    becomes(*state, m, "x\\ny\\u0041", "[masked]");
    becomes(*state, m, "x\\\\ny\\\\u0041", "[masked]");
    mask_free(m);
}

static void hexadecimal_hides_nothing(void **state)
{
    const char *secrets[] = { "K\x7f\xc3\xa9z" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "sum 4b7fc3a97a.", "sum [masked].");
    becomes(*state, m, "sum 4B7FC3A97A.", "sum [masked].");
    mask_free(m);
}

/* Both alphabets, with 0 to 5 bytes before and after it: each alignment, and ends that fall within a character. */
static void base64_of_a_text_around_a_secret_shows_nothing_of_it(void **state)
{
    const char *secrets[] = { "pa?>ss~w\xff\xfe-0rd" };
    struct mask *m = mask_of(secrets, 1);
    struct arena *a = *state;
    for (int before = 0; before < 6; before++)
        for (int after = 0; after < 6; after++)
            for (int kind = 0; kind < 2; kind++) {
                struct str plain = str_fmt(a, "%.*s%s%.*s", before, "user::", secrets[0], after, "-tail-");
                struct str coded = base64_encode(a, plain, (enum base64_kind)kind);
                struct str shown = mask_apply(m, a, coded);
                assert_true(str_find_str(shown, STR("[masked]")) != SIZE_MAX);
                /* Nothing but whole characters of the neighbours is left: those that hold a bit of them, and padding. */
                assert_true(shown.n - 8 <= (size_t)(before * 8 / 6 + (after * 8 + 5) / 6 + 2));
                /* In a header, percent-encoded or in JSON, it is found as well. */
                AUTO_BUF escaped;
                buf_init(&escaped, 1024);
                percent_encode(&escaped, coded);
                assert_true(mask_hits(m, buf_str(&escaped)));
            }
    assert_true(mask_hits(m, str_fmt(a, "{\"a\":\"cGE\\/PnNzfnf\\/\\/i0wcmQ=\"}")));
    mask_free(m);
}

static void overlapping_secrets_are_masked_whole(void **state)
{
    const char *secrets[] = { "abcdef", "efghij", "cdefgh", "abcd" };
    struct mask *m = mask_of(secrets, 4);
    becomes(*state, m, "<abcdefghij>", "<[masked]>");
    becomes(*state, m, "<abcde>", "<[masked]e>");
    becomes(*state, m, "abcdefefghij", "[masked][masked]");
    mask_free(m);
}

static void a_secret_that_repeats_itself_is_masked_to_its_last_byte(void **state)
{
    const char *secrets[] = { "ababab" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "abababab", "[masked]");
    becomes(*state, m, "xabababx", "x[masked]x");
    mask_free(m);
}

static void short_and_empty_secrets_mask_nothing(void **state)
{
    const char *secrets[] = { "", "a", "abc" };
    struct mask *m = mask_of(secrets, 3);
    becomes(*state, m, "a abc aaa", "a abc aaa");
    mask_free(m);
    m = mask_new(NULL, 0);
    becomes(*state, m, "anything", "anything");
    mask_free(m);
    mask_free(NULL);
    assert_false(mask_hits(NULL, STR("anything")));
}

static void text_cut_in_the_middle_of_an_escape_is_read_to_its_end_only(void **state)
{
    const char *secrets[] = { "abc/" };
    struct mask *m = mask_of(secrets, 1);
    becomes(*state, m, "abc%2", "abc%2");
    becomes(*state, m, "abc%", "abc%");
    becomes(*state, m, "abc\\", "abc\\");
    becomes(*state, m, "abc\\u00", "abc\\u00");
    becomes(*state, m, "abc%2f", "[masked]");
    mask_free(m);
}

/* A secret of each byte value, in each spelling: none comes through. */
static void no_spelling_of_a_canary_comes_through(void **state)
{
    struct arena *a = *state;
    for (int seed = 1; seed < 256; seed += 3) {
        char canary[24] = "canary-";
        for (size_t i = 7; i < sizeof canary - 1; i++)
            canary[i] = (char)(1 + (seed * 31 + (int)i * 17) % 127);
        canary[sizeof canary - 1] = 0;
        const char *secrets[] = { canary };
        struct mask *m = mask_of(secrets, 1);
        AUTO_BUF percent, json;
        char hex[64];
        buf_init(&percent, 256);
        buf_init(&json, 256);
        percent_encode(&percent, str_of(canary));
        json_escape(&json, str_of(canary));
        size_t n = hex_write(hex, str_of(canary));
        assert_true(mask_hits(m, str_of(canary)));
        assert_true(mask_hits(m, buf_str(&percent)));
        assert_true(mask_hits(m, buf_str(&json)));
        assert_true(mask_hits(m, (struct str){ hex, n }));
        assert_true(mask_hits(m, base64_encode(a, str_of(canary), BASE64_STANDARD)));
        assert_string_equal(arena_cstr(a, mask_apply(m, a, buf_str(&json))), "[masked]");
        assert_string_equal(arena_cstr(a, mask_apply(m, a, buf_str(&percent))), "[masked]");
        mask_free(m);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_secret_is_masked_raw_and_the_rest_is_left),
        TEST(text_without_a_secret_is_not_copied),
        TEST(percent_escapes_of_either_case_do_not_hide_a_secret),
        TEST(json_escapes_do_not_hide_a_secret),
        TEST(a_secret_that_looks_like_an_escape_is_masked_as_it_is),
        TEST(hexadecimal_hides_nothing),
        TEST(base64_of_a_text_around_a_secret_shows_nothing_of_it),
        TEST(overlapping_secrets_are_masked_whole),
        TEST(a_secret_that_repeats_itself_is_masked_to_its_last_byte),
        TEST(short_and_empty_secrets_mask_nothing),
        TEST(text_cut_in_the_middle_of_an_escape_is_read_to_its_end_only),
        TEST(no_spelling_of_a_canary_comes_through),
    };
    return cmocka_run_group_tests_name("call/mask", tests, NULL, NULL);
}
