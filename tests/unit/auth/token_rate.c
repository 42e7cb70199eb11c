/* How often a token endpoint is asked, on a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/token_rate.h"
#include "base/arena.h"

#define HOST STR("login.example.com")
#define COUNT_OF 1000

struct line {
    struct token_rate *rate;
    int64_t go_us[COUNT_OF], sent_us[COUNT_OF];
    int sent;
};

/* As the flights do: who has a place that has come tries, in order, and is told when to come again. */
static void pass_time(struct line *l, int64_t from_us, int64_t until_us)
{
    for (int64_t now = from_us; now < until_us && l->sent < COUNT_OF; now += 500)
        for (int i = l->sent; i < COUNT_OF && l->go_us[i] <= now; i++) {
            int64_t again;
            if (!token_rate_enter(l->rate, HOST, now, &again)) {
                assert_true(again > now);
                break;
            }
            token_rate_leave(l->rate, HOST);
            l->sent_us[l->sent++] = now;
        }
}

static int worst_second(const struct line *l)
{
    int worst = 0, first = 0;
    for (int last = 0; last < l->sent; last++) {
        while (l->sent_us[last] - l->sent_us[first] >= 1000000)
            first++;
        if (last - first + 1 > worst)
            worst = last - first + 1;
    }
    return worst;
}

static void begin(struct line *l, int per_second)
{
    *l = (struct line){ .rate = token_rate_new(per_second, 4) };
    for (int i = 0; i < COUNT_OF; i++)
        l->go_us[i] = token_rate_reserve(l->rate, HOST, 0);
}

static void no_second_has_more_than_the_limit(void **state)
{
    (void)state;
    struct line *l = mem_zero(sizeof *l);
    begin(l, 50);
    pass_time(l, 0, 60000000);
    assert_int_equal(l->sent, COUNT_OF);
    assert_in_range(worst_second(l), 40, 51);
    assert_in_range(l->sent_us[COUNT_OF - 1], 19000000, 22000000);
    token_rate_free(l->rate);
    free(l);
}

static void after_a_stall_those_whose_time_has_passed_do_not_go_all_at_once(void **state)
{
    (void)state;
    struct line *l = mem_zero(sizeof *l);
    begin(l, 50);
    pass_time(l, 0, 1000000);
    pass_time(l, 12000000, 60000000); /* the disk did not answer for eleven seconds */
    assert_int_equal(l->sent, COUNT_OF);
    assert_in_range(worst_second(l), 40, 51);
    token_rate_free(l->rate);
    free(l);
}

static void as_many_at_once_as_are_allowed_and_hosts_do_not_mind_each_other(void **state)
{
    (void)state;
    struct token_rate *r = token_rate_new(1000, 2);
    int64_t again;
    assert_true(token_rate_enter(r, HOST, 0, &again));
    assert_true(token_rate_enter(r, HOST, 10000, &again));
    assert_false(token_rate_enter(r, HOST, 20000, &again));
    assert_true(again > 20000);
    assert_true(token_rate_enter(r, STR("elsewhere.example.com"), 20000, &again));
    token_rate_leave(r, HOST);
    assert_true(token_rate_enter(r, HOST, 30000, &again));
    token_rate_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_has_more_than_the_limit),
        cmocka_unit_test(after_a_stall_those_whose_time_has_passed_do_not_go_all_at_once),
        cmocka_unit_test(as_many_at_once_as_are_allowed_and_hosts_do_not_mind_each_other),
    };
    return cmocka_run_group_tests_name("auth/token_rate", tests, NULL, NULL);
}
