/* A member of a body as its sender wrote it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "web/source.h"

static void body_comes_out_as(const char *text, const char *expected)
{
    AUTO_ARENA a = arena_new(4096);
    struct json *doc;
    struct fault why;
    assert_int_equal(json_read(a, str_of(text), &doc, &why), ERR_NONE);
    struct str got = source_member(a, str_of(text), doc, "body");
    if (!expected)
        assert_null(got.p);
    else
        assert_string_equal(arena_cstr(a, got), expected);
}

static void numbers_order_and_spacing_stay_as_they_were_written(void **state)
{
    (void)state;
    body_comes_out_as("{\"method\":\"POST\",\"body\": {\"b\" :19.99,\n \"a\":[9007199254740993 , 123456789012345678901234567890, "
                      "1E400,-0]} ,\"path\":\"/\"}",
                      "{\"b\" :19.99,\n \"a\":[9007199254740993 , 123456789012345678901234567890, 1E400,-0]}");
    body_comes_out_as("{\"body\":1.10}", "1.10");
    body_comes_out_as(" { \"body\" : null } ", "null");
    body_comes_out_as("{\"x\":[],\"body\":[]}", "[]");
}

static void brackets_and_quotes_in_texts_do_not_end_a_value(void **state)
{
    (void)state;
    body_comes_out_as("{\"a\":\"}],\\\"body\\\":\\\\\",\"body\":\"{\\\"x\\\":]}\",\"z\":0}", "\"{\\\"x\\\":]}\"");
    body_comes_out_as("{\"a\":{\"body\":1},\"b\":[{\"body\":2}],\"body\":3}", "3");
}

static void a_key_spelled_with_escapes_is_found_too(void **state)
{
    (void)state;
    body_comes_out_as("{\"b\\u006fdy\":{\"n\": 19.990}}", "{\"n\":19.990}");
}

static void a_member_that_is_not_there_is_none(void **state)
{
    (void)state;
    body_comes_out_as("{}", NULL);
    body_comes_out_as("{\"a\":\"body\",\"b\":{\"body\":1}}", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_order_and_spacing_stay_as_they_were_written),
        cmocka_unit_test(brackets_and_quotes_in_texts_do_not_end_a_value),
        cmocka_unit_test(a_key_spelled_with_escapes_is_found_too),
        cmocka_unit_test(a_member_that_is_not_there_is_none),
    };
    return cmocka_run_group_tests_name("web/source", tests, NULL, NULL);
}
