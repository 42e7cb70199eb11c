#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

static void times_are_written_in_utc_with_milliseconds(void **state)
{
    (void)state;
    char text[CLOCK_TEXT];
    assert_string_equal(clock_format(0, text), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_format(-1, text), "1969-12-31T23:59:59.999Z");
    assert_string_equal(clock_format(1709210096789, text), "2024-02-29T12:34:56.789Z");
    assert_string_equal(clock_format(253402300799999, text), "9999-12-31T23:59:59.999Z");
}

static void a_time_that_was_written_is_read_back(void **state)
{
    (void)state;
    static const wall_ms times[] = { 0, 1, 999, 1000, 951782400000, 1709210096789, 4102444800000, 253402300799999 };
    for (size_t i = 0; i < COUNT(times); i++) {
        char text[CLOCK_TEXT];
        wall_ms back = -1;
        assert_true(clock_parse(str_of(clock_format(times[i], text)), &back));
        assert_int_equal(back, times[i]);
    }
    wall_ms t;
    assert_true(clock_parse(STR("2024-02-29T12:34:56Z"), &t));
    assert_int_equal(t, 1709210096000);
}

static void a_day_that_does_not_exist_is_not_a_time(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "2023-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z",
        "2024-00-01T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-32T00:00:00Z",
        "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z", "2024-01-01T00:00:61Z",
    };
    wall_ms t;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (clock_parse(str_of(bad[i]), &t))
            fail_msg("%s", bad[i]);
    assert_true(clock_parse(STR("2000-02-29T00:00:00Z"), &t));
}

static void other_forms_of_time_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00Z",
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T00:00:00.1Z",
        "2024-01-01T00:00:00.12aZ",
        "2024-01-01T00:00:00,123Z",
        "+024-01-01T00:00:00Z",
        "2024-1-01T00:00:000Z",
        "2024-01-01T00:00:00.123Z ",
    };
    wall_ms t;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (clock_parse(str_of(bad[i]), &t))
            fail_msg("%s", bad[i]);
}

static void durations_carry_their_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "250ms", 250 }, { "0", 0 },          { "5", 5000 },         { "30s", 30000 },
                 { "5m", 300000 }, { "12h", 43200000 }, { "30d", 2592000000 }, { "3660d", 316224000000 } };
    for (size_t i = 0; i < COUNT(good); i++) {
        int64_t ms = -1;
        assert_true(duration_parse(str_of(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    static const char *const bad[] = { "", "s", "-1s", "1.5s", "5 s", "5S", "5w", "3661d", "99999999999999999999", "5m5s" };
    int64_t ms;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (duration_parse(str_of(bad[i]), &ms))
            fail_msg("%s", bad[i]);
}

static void the_waiting_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t before = clock_mono_us();
    struct mono start = clock_mono();
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= before);
        before = now;
    }
    assert_true(mono_since(start, clock_mono()) >= 0);
    assert_true(clock_wall() > 1700000000000); /* some time after 2023 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_written_in_utc_with_milliseconds),
        cmocka_unit_test(a_time_that_was_written_is_read_back),
        cmocka_unit_test(a_day_that_does_not_exist_is_not_a_time),
        cmocka_unit_test(other_forms_of_time_are_refused),
        cmocka_unit_test(durations_carry_their_unit),
        cmocka_unit_test(the_waiting_clock_never_goes_back),
    };
    return cmocka_run_group_tests_name("base/clock", tests, NULL, NULL);
}
