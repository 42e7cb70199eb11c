#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "base/err.h"

static bool snake_case(const char *code)
{
    for (const char *c = code; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !ascii_digit(*c) && !(*c == '_' && c > code && c[1] && c[1] != '_'))
            return false;
    return code[0] >= 'a' && code[0] <= 'z';
}

static int holes(const char *text)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, "{}")); at += 2)
        n++;
    return n;
}

static void every_error_says_something_in_both_languages(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        const struct err_row *row = err_row((enum err)e);
        for (int lang = LANG_EN; lang <= LANG_FR; lang++) {
            if (!row->title[lang][0] || !row->detail[lang][0])
                fail_msg("%s has an empty text", row->code);
            if (!utf8_valid(str_of(row->title[lang])) || !utf8_valid(str_of(row->detail[lang])))
                fail_msg("%s is not UTF-8", row->code);
        }
    }
}

static void every_error_takes_one_subject_at_most_and_the_same_in_both_languages(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        const struct err_row *row = err_row((enum err)e);
        int en = holes(row->detail[LANG_EN]), fr = holes(row->detail[LANG_FR]);
        if (en > 1 || en != fr || holes(row->title[LANG_EN]) || holes(row->title[LANG_FR]))
            fail_msg("%s: %d holes in English, %d in French", row->code, en, fr);
    }
}

static void every_code_is_snake_case_and_its_own(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        const char *code = err_row((enum err)e)->code;
        if (!snake_case(code))
            fail_msg("%s is not snake_case", code);
        if (err_find(str_of(code)) != (enum err)e)
            fail_msg("%s is there twice", code);
    }
    assert_int_equal(err_find(STR("no_such_code")), ERR_NONE);
    assert_int_equal(err_find(STR("")), ERR_NONE);
}

static void every_status_is_an_error_and_every_exit_code_is_known(void **state)
{
    (void)state;
    for (int e = 1; e < ERR_COUNT; e++) {
        const struct err_row *row = err_row((enum err)e);
        if (row->status < 400 || row->status > 599 || row->exit < 1 || row->exit > 5)
            fail_msg("%s: status %d, exit %d", row->code, row->status, row->exit);
        assert_true(blame_name(row->blame)[0]);
    }
}

static void a_fault_puts_its_subject_into_the_sentence(void **state)
{
    (void)state;
    struct fault why;
    char say[200];
    assert_int_equal(fault(&why, ERR_FIELD_REQUIRED, STR("token"), "note %d", 7), ERR_FIELD_REQUIRED);
    assert_string_equal(fault_say(&why, LANG_EN, say, sizeof say), "The field “token” is required.");
    assert_string_equal(fault_say(&why, LANG_FR, say, sizeof say), "Le champ « token » est obligatoire.");
    assert_string_equal(why.note, "note 7");
    assert_string_equal(why.pointer, "");
    assert_int_equal(fault_at(&why, "/credentials/%s", "token"), ERR_FIELD_REQUIRED);
    assert_string_equal(why.pointer, "/credentials/token");
    assert_int_equal(fault(NULL, ERR_LIMIT, STR("x"), "y"), ERR_LIMIT);
    fault(&why, ERR_LIMIT, STR("{}"), "y");
    assert_string_equal(fault_say(&why, LANG_EN, say, sizeof say), "A limit is reached: {}");
}

static void a_subject_cannot_bring_control_bytes(void **state)
{
    (void)state;
    struct fault why;
    fault(&why, ERR_LIMIT, STR("a\nb\x1b[31m\x7f"), "n");
    assert_string_equal(why.subject, "a?b?[31m?");
}

static void a_long_subject_is_cut_between_characters(void **state)
{
    (void)state;
    struct fault why;
    char text[400];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'x', lead);
        for (size_t i = lead; i + 3 <= sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        fault(&why, ERR_LIMIT, (struct str){ text, sizeof text }, "n");
        assert_true(utf8_valid(str_of(why.subject)));
        assert_true(strlen(why.subject) >= sizeof why.subject - 4);
    }
}

static void a_subject_that_just_fits_is_not_cut(void **state)
{
    (void)state;
    struct fault why;
    char text[sizeof why.subject - 1];
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 2, "\xc3\xa9", 2);
    fault(&why, ERR_LIMIT, (struct str){ text, sizeof text }, "n");
    assert_int_equal(strlen(why.subject), sizeof text);
    assert_true(str_ends(str_of(why.subject), STR("\xc3\xa9")));
}

static void a_fault_may_be_told_again_as_another(void **state)
{
    (void)state;
    struct fault why;
    fault(&why, ERR_INPUT_INVALID, STR("line 1"), "the note");
    fault(&why, ERR_CONFIG, str_of(why.subject), "again: %s", why.note);
    assert_int_equal(why.err, ERR_CONFIG);
    assert_string_equal(why.subject, "line 1");
    assert_string_equal(why.note, "again: the note");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_says_something_in_both_languages),
        cmocka_unit_test(every_error_takes_one_subject_at_most_and_the_same_in_both_languages),
        cmocka_unit_test(every_code_is_snake_case_and_its_own),
        cmocka_unit_test(every_status_is_an_error_and_every_exit_code_is_known),
        cmocka_unit_test(a_fault_puts_its_subject_into_the_sentence),
        cmocka_unit_test(a_subject_cannot_bring_control_bytes),
        cmocka_unit_test(a_long_subject_is_cut_between_characters),
        cmocka_unit_test(a_subject_that_just_fits_is_not_cut),
        cmocka_unit_test(a_fault_may_be_told_again_as_another),
    };
    return cmocka_run_group_tests_name("base/err", tests, NULL, NULL);
}
