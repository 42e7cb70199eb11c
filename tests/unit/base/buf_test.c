#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

static void a_buffer_takes_its_maximum_to_the_last_byte(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 5);
    buf_add(&b, STR("abc"));
    buf_char(&b, 'd');
    buf_char(&b, 'e');
    assert_false(buf_failed(&b));
    assert_true(str_is(buf_str(&b), "abcde"));
    buf_char(&b, 'f');
    assert_true(buf_failed(&b));
    assert_true(str_is(buf_str(&b), "abcde"));
}

static void a_format_may_fill_the_buffer_to_the_last_byte(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 5);
    buf_fmt(&b, "%s", "abcde");
    assert_false(buf_failed(&b));
    assert_true(str_is(buf_str(&b), "abcde"));
    buf_fmt(&b, "%s", "");
    assert_false(buf_failed(&b));
    buf_fmt(&b, "%d", 1);
    assert_true(buf_failed(&b));
}

static void after_a_failure_nothing_is_added_until_cleared(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 4);
    buf_add(&b, STR("ab"));
    buf_add(&b, STR("cde"));
    buf_add(&b, STR("x"));
    buf_u64(&b, 1);
    assert_true(buf_failed(&b));
    assert_true(str_is(buf_str(&b), "ab"));
    assert_null(buf_room(&b, 1));
    buf_clear(&b);
    assert_false(buf_failed(&b));
    buf_add(&b, STR("cd"));
    assert_true(str_is(buf_str(&b), "cd"));
}

static void growing_keeps_what_was_there(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 20000; i++)
        buf_fmt(&b, "%05u,", i);
    assert_int_equal(b.n, 120000);
    assert_memory_equal(b.p, "00000,00001,", 12);
    assert_memory_equal(b.p + 119994, "19999,", 6);
    char *room = buf_room(&b, 900000);
    assert_non_null(room);
    memset(room, 'x', 900000);
    b.n += 900000;
    assert_memory_equal(b.p + 119994, "19999,x", 7);
    assert_null(buf_room(&b, 1 << 20));
}

static void a_request_that_cannot_be_added_up_fails_instead_of_wrapping(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 100);
    buf_add(&b, STR("abc"));
    assert_null(buf_room(&b, SIZE_MAX - 1));
    assert_true(buf_failed(&b));
}

static void numbers_are_written_to_their_limits(void **state)
{
    (void)state;
    AUTO_BUF b;
    buf_init(&b, 200);
    buf_u64(&b, 0);
    buf_char(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_char(&b, ' ');
    buf_i64(&b, INT64_MIN);
    buf_char(&b, ' ');
    buf_i64(&b, INT64_MAX);
    assert_true(str_is(buf_str(&b), "0 18446744073709551615 -9223372036854775808 9223372036854775807"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_takes_its_maximum_to_the_last_byte),
        cmocka_unit_test(a_format_may_fill_the_buffer_to_the_last_byte),
        cmocka_unit_test(after_a_failure_nothing_is_added_until_cleared),
        cmocka_unit_test(growing_keeps_what_was_there),
        cmocka_unit_test(a_request_that_cannot_be_added_up_fails_instead_of_wrapping),
        cmocka_unit_test(numbers_are_written_to_their_limits),
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
