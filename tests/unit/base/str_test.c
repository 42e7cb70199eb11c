#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"

static void text_with_a_nul_inside_is_compared_whole(void **state)
{
    (void)state;
    assert_false(str_eq(STR("a\0b"), STR("a\0c")));
    assert_true(str_eq(STR("a\0b"), STR("a\0b")));
    assert_false(str_is(STR("a\0b"), "a"));
    assert_true(str_eq(STR_NONE, STR("")));
}

static void letter_case_is_ignored_for_ascii_only(void **state)
{
    (void)state;
    assert_true(str_ieq(STR("X-API-Key"), STR("x-api-kEY")));
    assert_false(str_ieq(STR("@"), STR("`")));
    assert_false(str_ieq(STR("["), STR("{")));
    assert_false(str_ieq(STR("\xc3\x89"), STR("\xc3\xa9")));
    assert_true(str_istarts(STR("Bearer x"), STR("bearer ")));
    assert_false(str_istarts(STR("Bear"), STR("bearer ")));
}

static void a_prefix_longer_than_the_text_does_not_match(void **state)
{
    (void)state;
    assert_false(str_starts(STR("ab"), STR("abc")));
    assert_true(str_starts(STR("abc"), STR("")));
    assert_true(str_starts(STR_NONE, STR("")));
    assert_true(str_ends(STR("a.example"), STR(".example")));
    assert_false(str_ends(STR("xample"), STR("example")));
}

static void order_is_bytewise_and_shorter_first(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
    assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
}

static void trimming_takes_both_ends_and_nothing_inside(void **state)
{
    (void)state;
    assert_true(str_is(str_trim(STR(" \t\r\n a b \n")), "a b"));
    assert_int_equal(str_trim(STR(" \t ")).n, 0);
    assert_true(str_is(str_trim(STR("\va\v")), "\va\v"));
}

static void what_is_not_there_is_found_nowhere(void **state)
{
    (void)state;
    assert_true(str_find(STR("abc"), 'c') == 2);
    assert_true(str_find(STR("abc"), 'd') == SIZE_MAX);
    assert_true(str_find(STR_NONE, 'd') == SIZE_MAX);
    assert_true(str_find_str(STR("abcabd"), STR("abd")) == 3);
    assert_true(str_find_str(STR("ab"), STR("abc")) == SIZE_MAX);
    assert_true(str_find_str(STR(""), STR("")) == 0);
}

static void a_cut_without_its_mark_gives_everything_and_says_so(void **state)
{
    (void)state;
    struct str head, tail;
    assert_true(str_cut(STR("a=b=c"), '=', &head, &tail));
    assert_true(str_is(head, "a") && str_is(tail, "b=c"));
    assert_false(str_cut(STR("abc"), '=', &head, &tail));
    assert_true(str_is(head, "abc") && tail.n == 0);
    assert_true(str_cut(STR("="), '=', &head, &tail));
    assert_true(head.n == 0 && tail.n == 0);
}

static void a_list_gives_its_empty_pieces_too(void **state)
{
    (void)state;
    struct str rest = STR("a,,b,"), piece;
    static const char *const wanted[] = { "a", "", "b", "" };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_true(str_piece(&rest, ',', &piece));
        assert_true(str_is(piece, wanted[i]));
    }
    assert_false(str_piece(&rest, ',', &piece));
}

static void words_stand_between_any_of_the_separators_and_none_is_empty(void **state)
{
    (void)state;
    struct str rest = STR(" a,,b\t\r\n c "), word;
    static const char *const wanted[] = { "a", "b", "c" };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_true(str_word(&rest, " ,\t\r\n", &word));
        assert_true(str_is(word, wanted[i]));
    }
    assert_false(str_word(&rest, " ,\t\r\n", &word));
    rest = STR_NONE;
    assert_false(str_word(&rest, " ", &word));
}

static void a_number_is_digits_that_fit_and_nothing_else(void **state)
{
    (void)state;
    uint64_t n = 7;
    assert_true(str_u64(STR("0"), &n) && n == 0);
    assert_true(str_u64(STR("18446744073709551615"), &n) && n == UINT64_MAX);
    static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "99999999999999999999" };
    n = 7;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(str_u64(str_of(bad[i]), &n));
    assert_int_equal(n, 7);
}

static void control_bytes_are_seen_and_utf8_is_not_taken_for_them(void **state)
{
    (void)state;
    assert_true(str_has_control(STR("a\nb")));
    assert_true(str_has_control(STR("a\0b")));
    assert_true(str_has_control(STR("\x7f")));
    assert_false(str_has_control(STR("d\xc3\xa9j\xc3\xa0 vu")));
}

static void a_copy_is_cut_to_fit_and_always_ends(void **state)
{
    (void)state;
    char four[4] = "xxx";
    assert_string_equal(str_copy(four, sizeof four, STR("abcdef")), "abc");
    assert_string_equal(str_copy(four, sizeof four, STR("ab")), "ab");
    assert_string_equal(str_copy(four, sizeof four, STR_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_with_a_nul_inside_is_compared_whole),
        cmocka_unit_test(letter_case_is_ignored_for_ascii_only),
        cmocka_unit_test(a_prefix_longer_than_the_text_does_not_match),
        cmocka_unit_test(order_is_bytewise_and_shorter_first),
        cmocka_unit_test(trimming_takes_both_ends_and_nothing_inside),
        cmocka_unit_test(what_is_not_there_is_found_nowhere),
        cmocka_unit_test(a_cut_without_its_mark_gives_everything_and_says_so),
        cmocka_unit_test(a_list_gives_its_empty_pieces_too),
        cmocka_unit_test(words_stand_between_any_of_the_separators_and_none_is_empty),
        cmocka_unit_test(a_number_is_digits_that_fit_and_nothing_else),
        cmocka_unit_test(control_bytes_are_seen_and_utf8_is_not_taken_for_them),
        cmocka_unit_test(a_copy_is_cut_to_fit_and_always_ends),
    };
    return cmocka_run_group_tests_name("base/str", tests, NULL, NULL);
}
