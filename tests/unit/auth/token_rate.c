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
            token_rate_over(l->rate, HOST, now);
            token_rate_leave(l->rate, HOST, false);
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
    assert_in_range(worst_second(l), 40, 50);
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
    assert_in_range(worst_second(l), 40, 50);
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
    token_rate_leave(r, HOST, true);
    assert_true(token_rate_enter(r, HOST, 30000, &again));
    token_rate_free(r);
}

/* ---- what the host sees: requests arrive some time between their being let in and their being over ---- */

#define TOKENS 10000
#define THREADS 16
#define LIMIT 100

struct request {
    int64_t over_us;   /* 0: the thread has none */
    bool waits, asked; /* for one more of the same renewal */
};

struct hub {
    struct token_rate *rate;
    struct request threads[THREADS];
    int64_t go_us[TOKENS], arrived_us[3 * TOKENS];
    int tokens, begun, arrived, repeats;
    uint64_t seed;
    /* How long a request takes; where in that time it arrives, in thousandths. */
    int64_t (*takes_us)(struct hub *h, int64_t now_us);
    int (*arrives)(struct hub *h);
};

static int64_t chance(struct hub *h, int64_t below)
{
    h->seed = h->seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)(h->seed >> 33) % below;
}

static void send(struct hub *h, struct request *r, int64_t now)
{
    int64_t takes = h->takes_us(h, now);
    h->arrived_us[h->arrived++] = now + takes * h->arrives(h) / 1000;
    r->over_us = now + takes;
}

static void renewal_is_over(struct hub *h, struct request *r, int64_t now)
{
    token_rate_over(h->rate, HOST, now);
    r->over_us = 0;
    r->waits = h->repeats && chance(h, h->repeats) == 0;
    r->asked = false;
    if (!r->waits)
        token_rate_leave(h->rate, HOST, false);
}

static void turn(struct hub *h, struct request *r, int64_t now)
{
    int64_t again;
    if (r->over_us && r->over_us <= now)
        renewal_is_over(h, r, now);
    if (r->over_us)
        return;
    if (r->waits) {
        if (token_rate_again(h->rate, HOST, r->asked, now, &again)) {
            r->waits = false;
            send(h, r, now);
        }
        r->asked = true;
        return;
    }
    if (h->begun < h->tokens && h->go_us[h->begun] <= now && token_rate_enter(h->rate, HOST, now, &again)) {
        h->begun++;
        send(h, r, now);
    }
}

static int by_time(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

/* The most that arrived in one second; *seconds until the last. */
static int busiest(int tokens, int64_t (*takes_us)(struct hub *h, int64_t now_us), int (*arrives)(struct hub *h), int repeats,
                   int64_t *seconds)
{
    struct hub *h = mem_zero(sizeof *h);
    int worst = 0, first = 0;
    *h = (struct hub){ .rate = token_rate_new(LIMIT, THREADS), .tokens = tokens, .takes_us = takes_us, .arrives = arrives,
                        .repeats = repeats, .seed = 7 };
    for (int i = 0; i < tokens; i++)
        h->go_us[i] = token_rate_reserve(h->rate, HOST, 0);
    bool busy = true;
    for (int64_t now = 0; busy; now += 2000) {
        busy = h->begun < tokens;
        for (int i = 0; i < THREADS; i++) {
            turn(h, &h->threads[i], now);
            busy |= h->threads[i].over_us || h->threads[i].waits;
        }
    }
    qsort(h->arrived_us, (size_t)h->arrived, sizeof *h->arrived_us, by_time);
    for (int last = 0; last < h->arrived; last++) {
        while (h->arrived_us[last] - h->arrived_us[first] >= 1000000)
            first++;
        worst = last - first + 1 > worst ? last - first + 1 : worst;
    }
    assert_true(h->arrived >= tokens);
    *seconds = h->arrived_us[h->arrived - 1] / 1000000;
    token_rate_free(h->rate);
    free(h);
    return worst;
}

static int64_t quick(struct hub *h, int64_t now_us)
{
    (void)now_us;
    return 2000 + chance(h, 30000);
}

/* Every now and then a disk holds all of them up that were let in and not sent, until it has done. */
static int64_t held_up(struct hub *h, int64_t now_us)
{
    int64_t into = now_us % 1700000;
    return into > 1200000 ? 1700000 - into + 2000 : 2000 + chance(h, 200000);
}

static int at_the_end(struct hub *h)
{
    (void)h;
    return 990;
}

static int anywhere(struct hub *h) { return (int)chance(h, 1001); }

static void ten_thousand_tokens_that_end_together_are_asked_for_no_faster_than_the_limit(void **state)
{
    (void)state;
    int64_t seconds;
    assert_in_range(busiest(TOKENS, quick, anywhere, 0, &seconds), LIMIT * 9 / 10, LIMIT);
    assert_in_range(seconds, 99, 115);
    assert_in_range(busiest(2000, held_up, at_the_end, 0, &seconds), LIMIT / 2, LIMIT);
    assert_in_range(busiest(2000, held_up, anywhere, 0, &seconds), LIMIT / 2, LIMIT);
}

/* A nonce, another secret: each third renewal takes a request more, some of them several. */
static void requests_that_are_repeated_count_as_any_other(void **state)
{
    (void)state;
    int64_t seconds;
    assert_in_range(busiest(2000, quick, anywhere, 3, &seconds), LIMIT * 9 / 10, LIMIT);
    assert_in_range(seconds, 28, 36);
    assert_in_range(busiest(2000, held_up, at_the_end, 3, &seconds), LIMIT / 2, LIMIT);
}

static void who_needs_one_more_request_goes_before_those_who_have_not_begun(void **state)
{
    (void)state;
    struct token_rate *r = token_rate_new(2, 8);
    int64_t again;
    assert_true(token_rate_enter(r, HOST, 0, &again));
    token_rate_over(r, HOST, 10000);
    assert_true(token_rate_again(r, HOST, false, 10000, &again));
    token_rate_over(r, HOST, 20000);
    assert_false(token_rate_again(r, HOST, false, 20000, &again)); /* two in this second */
    assert_int_equal(again, 1010000);
    assert_true(token_rate_again(r, HOST, true, again, &again));
    assert_false(token_rate_enter(r, HOST, 1015000, &again));
    token_rate_over(r, HOST, 1016000);
    token_rate_leave(r, HOST, false);
    assert_true(token_rate_enter(r, HOST, 1020000, &again)); /* the one of 20 ms is out of it */
    assert_false(token_rate_enter(r, HOST, 1020000, &again));
    token_rate_free(r);
}

static void what_was_let_in_and_never_sent_takes_no_place(void **state)
{
    (void)state;
    struct token_rate *r = token_rate_new(1, 8);
    int64_t again;
    assert_true(token_rate_enter(r, HOST, 0, &again));
    token_rate_leave(r, HOST, true);
    assert_true(token_rate_enter(r, HOST, 1050000, &again));
    token_rate_over(r, HOST, 1060000);
    token_rate_leave(r, HOST, false);
    assert_false(token_rate_enter(r, HOST, 2059999, &again));
    assert_int_equal(again, 2060000);
    token_rate_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_second_has_more_than_the_limit),
        cmocka_unit_test(after_a_stall_those_whose_time_has_passed_do_not_go_all_at_once),
        cmocka_unit_test(as_many_at_once_as_are_allowed_and_hosts_do_not_mind_each_other),
        cmocka_unit_test(ten_thousand_tokens_that_end_together_are_asked_for_no_faster_than_the_limit),
        cmocka_unit_test(requests_that_are_repeated_count_as_any_other),
        cmocka_unit_test(who_needs_one_more_request_goes_before_those_who_have_not_begun),
        cmocka_unit_test(what_was_let_in_and_never_sent_takes_no_place),
    };
    return cmocka_run_group_tests_name("auth/token_rate", tests, NULL, NULL);
}
