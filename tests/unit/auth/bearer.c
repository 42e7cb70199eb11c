#include "room.h"

static const char *const methods[] = { "bearer", "pat" };

static void a_token_goes_behind_the_word_bearer(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(methods); i++)
        expect_header(methods[i], NULL, NULL, "token", "mF_9.B5f-4.1JqM", "Authorization", "Bearer mF_9.B5f-4.1JqM");
}

static void another_word_may_stand_there_with_exactly_one_blank(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(methods); i++) {
        expect_header(methods[i], NULL, "{\"prefix\":\"Token\"}", "token", "abc", "Authorization", "Token abc");
        expect_header(methods[i], NULL, "{\"prefix\":\"Token \"}", "token", "abc", "Authorization", "Token abc");
        expect_header(methods[i], "{\"prefix\":\"ApiKey\"}", NULL, "token", "abc", "Authorization", "ApiKey abc");
        expect_header(methods[i], "{\"prefix\":\"ApiKey\"}", "{\"prefix\":\"GenieKey\"}", "token", "abc", "Authorization",
                      "GenieKey abc");
        expect_header(methods[i], NULL, "{\"prefix\":\"\"}", "token", "abc", "Authorization", "Bearer abc");
    }
}

static void a_word_that_would_break_the_header_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(methods); i++) {
        expect_refused(methods[i], NULL, "{\"prefix\":\"a\\r\\nX-Evil: \"}", "token", STR("abcd"), ERR_FIELD_INVALID,
                       "/fields/prefix");
        expect_refused(methods[i], NULL, "{\"prefix\":\"two words\"}", "token", STR("abcd"), ERR_FIELD_INVALID, "/fields/prefix");
    }
}

static void a_token_with_a_line_break_or_blanks_around_it_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(methods); i++) {
        expect_refused(methods[i], NULL, NULL, "token", STR("abcd\nefgh"), ERR_FIELD_INVALID, "/credentials/token");
        expect_refused(methods[i], NULL, NULL, "token", STR("abcd "), ERR_FIELD_INVALID, "/credentials/token");
        expect_refused(methods[i], NULL, NULL, "token", STR(" abcd"), ERR_FIELD_INVALID, "/credentials/token");
        expect_refused(methods[i], NULL, NULL, "token", STR(""), ERR_FIELD_REQUIRED, "/credentials/token");
        expect_refused(methods[i], NULL, NULL, "value", STR("abcd"), ERR_FIELD_REQUIRED, "/credentials/token");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_goes_behind_the_word_bearer),
        cmocka_unit_test(another_word_may_stand_there_with_exactly_one_blank),
        cmocka_unit_test(a_word_that_would_break_the_header_is_refused),
        cmocka_unit_test(a_token_with_a_line_break_or_blanks_around_it_is_refused),
    };
    return cmocka_run_group_tests_name("auth/bearer", tests, NULL, NULL);
}
