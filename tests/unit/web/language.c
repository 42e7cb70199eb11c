/* Which language an Accept-Language asks for: RFC 9110 12.5.4. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "web/language.h"

static struct head with(const char *value)
{
    struct head h = { .count = 1, .headers = { { STR("Accept-Language"), str_of(value) } } };
    return h;
}

/* `wanted`: "en", "fr", or "" when the header leaves it to others. */
static void expect(const char *value, const char *wanted)
{
    struct head h = with(value);
    for (int lang = LANG_EN; lang <= LANG_FR; lang++) {
        enum language got = (enum language)lang;
        bool said = language_wanted(&h, &got);
        if (said != (*wanted != 0))
            fail_msg("“%s” %s", value, said ? "was taken for a wish" : "was not understood");
        if (said ? got != (strcmp(wanted, "fr") == 0 ? LANG_FR : LANG_EN) : (int)got != lang)
            fail_msg("“%s” gave language %d", value, (int)got);
    }
}

static void a_language_or_a_region_of_it_is_what_is_wanted(void **state)
{
    (void)state;
    expect("fr", "fr");
    expect("en", "en");
    expect("FR", "fr");
    expect("fr-CA", "fr");
    expect("en-GB", "en");
    expect("fr-Latn-BE", "fr");
    expect("de, fr-CH", "fr");
}

static void a_longer_word_is_another_language(void **state)
{
    (void)state;
    expect("frr", "");
    expect("fro, en;q=0.1", "en");
    expect("enm", "");
    expect("f", "");
    expect("de-FR", "");
}

static void the_greater_weight_wins_to_the_third_decimal(void **state)
{
    (void)state;
    expect("en;q=0.8, fr", "fr");
    expect("en;q=0.8, fr;q=0.9", "fr");
    expect("fr;q=0.85, en;q=0.851", "en");
    expect("fr;q=0.5, en;q=0.05", "fr");
    expect("fr;q=1.000, en;q=0.999", "fr");
    expect("fr ; q=0.2 , en ; Q=0.7", "en");
    expect("fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7", "fr");
    expect("fr-CA;q=0.2, fr;q=0.9, en;q=0.5", "fr");
}

static void the_first_of_equals_wins(void **state)
{
    (void)state;
    expect("fr, en", "fr");
    expect("en, fr", "en");
    expect("en;q=0.5, fr-CA;q=0.5, en;q=0.1", "en");
}

static void what_is_refused_is_not_taken(void **state)
{
    (void)state;
    expect("fr;q=0", "en");
    expect("en;q=0", "fr");
    expect("fr;q=0.0, en;q=0.001", "en");
    expect("fr;q=0.000, en;q=0", "");
    expect("de, en;q=0", "fr");
}

static void a_refused_region_does_not_refuse_the_language(void **state)
{
    (void)state;
    expect("en-GB;q=0", "");
    expect("en-GB;q=0, en;q=0.8, fr;q=0.5", "en");
}

static void a_star_stands_for_what_is_not_named(void **state)
{
    (void)state;
    expect("*", "");
    expect("*;q=0.3", "");
    expect("*;q=0", "");
    expect("fr;q=0.5, *;q=0.8", "en");
    expect("*, fr;q=0.1", "en");
    expect("en;q=0, *", "fr");
    expect("fr, *;q=0.1", "fr");
    expect("de, *;q=0.5", "");
    expect("en, *;q=0", "en");
}

static void a_language_by_name_comes_before_a_star_of_the_same_weight(void **state)
{
    (void)state;
    expect("fr, *", "fr");
    expect("*, fr", "fr");
    expect("*, en", "en");
}

static void a_weight_of_no_form_drops_its_language_only(void **state)
{
    (void)state;
    expect("fr;q=2, en;q=0.1", "en");
    expect("fr;q=1.001, en;q=0.1", "en");
    expect("fr;q=, en;q=0.1", "en");
    expect("fr;q=0.1234, en;q=0.1", "en");
    expect("fr;q=-1, en;q=0.1", "en");
    expect("fr;q=0,5, en;q=0.1", "en");
    expect("fr;level=1;q=0.5, en;q=0.4", "fr");
}

static void nothing_wanted_leaves_the_language_as_it_was(void **state)
{
    (void)state;
    expect("", "");
    expect(",,", "");
    expect("de, it;q=0.5", "");
    struct head none = { 0 };
    enum language lang = LANG_FR;
    assert_false(language_wanted(&none, &lang));
    assert_int_equal(lang, LANG_FR);
}

static void two_headers_are_one_list(void **state)
{
    (void)state;
    struct head h = {
        .count = 2, .headers = { { STR("accept-language"), STR("en;q=0.5") }, { STR("Accept-Language"), STR("fr") } }
    };
    enum language lang = LANG_EN;
    assert_true(language_wanted(&h, &lang));
    assert_int_equal(lang, LANG_FR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_language_or_a_region_of_it_is_what_is_wanted),
        cmocka_unit_test(a_longer_word_is_another_language),
        cmocka_unit_test(the_greater_weight_wins_to_the_third_decimal),
        cmocka_unit_test(the_first_of_equals_wins),
        cmocka_unit_test(what_is_refused_is_not_taken),
        cmocka_unit_test(a_refused_region_does_not_refuse_the_language),
        cmocka_unit_test(a_star_stands_for_what_is_not_named),
        cmocka_unit_test(a_language_by_name_comes_before_a_star_of_the_same_weight),
        cmocka_unit_test(a_weight_of_no_form_drops_its_language_only),
        cmocka_unit_test(nothing_wanted_leaves_the_language_as_it_was),
        cmocka_unit_test(two_headers_are_one_list),
    };
    return cmocka_run_group_tests_name("web/language", tests, NULL, NULL);
}
