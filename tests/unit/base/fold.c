/* Text as people search for it, and keys made of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fold.h"

static void accents_and_capitals_do_not_hide_a_name(void **state)
{
    static const struct { const char *text, *folded; } rows[] = {
        { "Éditions", "editions" }, { "ÉDITIONS", "editions" }, { "e\xcc\x81" "ditions", "editions" }, { "Œuvre", "oeuvre" },
        { "Straße", "strasse" }, { "Æther", "aether" }, { "Łódź", "lodz" }, { "Çelik Ğ", "celik g" }, { "Ÿ", "y" }, { "ŉ", "n" },
        { "naïve Zürich 42", "naive zurich 42" }, { "", "" }, { "日本", "日本" }, { "Ω", "Ω" }, { "50 % ×", "50 % x" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str got = fold_search(*state, str_of(rows[i].text));
        if (!str_is(got, rows[i].folded))
            fail_msg("%s: %.*s", rows[i].text, STR_ARG(got));
    }
}

static void broken_utf8_is_left_alone(void **state)
{
    for (int byte = 0x80; byte < 0x100; byte++) {
        char s[1] = { (char)byte };
        struct str got = fold_search(*state, (struct str){ s, 1 });
        assert_int_equal(got.n, 1);
        assert_int_equal(got.p[0], s[0]);
    }
}

static void a_searched_percent_is_a_percent(void **state)
{
    assert_true(str_is(fold_like(*state, STR("50%_\\x")), "%50\\%\\_\\\\x%"));
    assert_true(str_is(fold_like(*state, STR("")), "%%"));
}

static void a_name_becomes_a_key(void **state)
{
    static const struct { const char *name, *key;
    } rows[] = {
        { "CRM", "crm" },
        { "Éditions Œuvre", "editions-oeuvre" },
        { "  a  --  b  ", "a-b" },
        { "a_b", "a-b" },
        { "日本", "" },
        { "9 lives!", "9-lives" },
        { "-", "" },
        { "A/B (test)", "a-b-test" },
        { "abcdefghij-", "abcdefghij" },
        { "abcdefghi-klm", "abcdefghi" },
        { "abcdefghijkl", "abcdefghij" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str got = fold_key(*state, str_of(rows[i].name), i < 8 ? 64 : 10);
        if (!str_is(got, rows[i].key))
            fail_msg("%s: %.*s", rows[i].name, STR_ARG(got));
    }
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(accents_and_capitals_do_not_hide_a_name),
        TEST(broken_utf8_is_left_alone),
        TEST(a_searched_percent_is_a_percent),
        TEST(a_name_becomes_a_key),
    };
    return cmocka_run_group_tests_name("vault/fold", tests, NULL, NULL);
}
