#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/hold.h"

#include "base/json.h"

static struct oauth_expired rule(struct arena *a, const char *entry)
{
    struct json *options;
    struct oauth_expired x;
    struct fault why;
    assert_int_equal(json_read(a, str_of(entry), &options, &why), ERR_NONE);
    oauth_expired_read(json_get(json_get(options, "oauth"), "expired"), &x);
    return x;
}

static void without_a_rule_only_401_says_that_a_token_is_over(void **state)
{
    (void)state;
    struct oauth_expired x;
    oauth_expired_read(NULL, &x);
    assert_int_equal(hold_judge(&x, 401), HOLD_OVER);
    static const int others[] = { 200, 400, 403, 404, 407, 419, 429, 500 };
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(hold_judge(&x, others[i]), HOLD_NO);
}

static void a_rule_adds_statuses_and_may_want_the_body(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    struct oauth_expired x = rule(a, "{\"oauth\":{\"expired\":{\"status\":[403,498]}}}");
    assert_int_equal(hold_judge(&x, 403), HOLD_OVER);
    assert_int_equal(hold_judge(&x, 498), HOLD_OVER);
    assert_int_equal(hold_judge(&x, 401), HOLD_OVER);
    assert_int_equal(hold_judge(&x, 400), HOLD_NO);
    x = rule(a, "{\"oauth\":{\"expired\":{\"status\":[401,400],\"pointer\":\"/e/0/code\",\"equals\":\"old\"}}}");
    assert_int_equal(hold_judge(&x, 401), HOLD_LOOK_AT_BODY);
    assert_int_equal(hold_judge(&x, 400), HOLD_LOOK_AT_BODY);
}

static void only_a_body_with_the_value_says_so(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    struct oauth_expired x = { .pointer = STR("/e/0/code"), .equals = STR("190") };
    static const struct { const char *body; bool over; } rows[] = {
        { "{\"e\":[{\"code\":190}]}", true },   { "{\"e\":[{\"code\":\"190\"}]}", true },
        { "{\"e\":[{\"code\":190.0}]}", false }, { "{\"e\":[]}", false },
        { "{\"e\":[{\"code\":190}]", false },   { "", false },
        { "<html>190</html>", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head = { .status = 400, .minor = 1 };
        struct framing framing = { .kind = FRAMING_CHUNKED };
        struct hold *h = hold_new(a, &head, &framing);
        assert_true(hold_add(h, str_of(rows[i].body)));
        assert_int_equal(hold_says_over(h, a, &x), rows[i].over);
        assert_true(str_is(hold_left(h), rows[i].body));
        hold_end(h);
    }
}

/* AWS says it in JSON or XML, by a code or by a sentence alone, as the service likes. */
static void a_word_in_any_kind_of_body_says_so(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    struct oauth_expired x =
        rule(a, "{\"oauth\":{\"expired\":{\"status\":[400,403],\"contains\":[\"ExpiredToken\",\"is expired\"]}}}");
    static const struct { const char *body; bool over; } rows[] = {
        { "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}", true },
        { "<Error><Code>ExpiredToken</Code></Error>", true },
        { "{\"message\":\"The security token included in the request is expired\"}", true },
        { "{\"message\":\"expiredtoken\"}", false },
        { "", false },
    };
    assert_int_equal(hold_judge(&x, 403), HOLD_LOOK_AT_BODY);
    assert_int_equal(hold_judge(&x, 404), HOLD_NO);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct head head = { .status = 403, .minor = 1 };
        struct framing framing = { .kind = FRAMING_CHUNKED };
        struct hold *h = hold_new(a, &head, &framing);
        assert_true(hold_add(h, str_of(rows[i].body)));
        assert_int_equal(hold_says_over(h, a, &x), rows[i].over);
        hold_end(h);
    }
}

static void a_long_body_is_not_held(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    static char bytes[HOLD_MAX + 1];
    struct head head = { .status = 403, .count = 1, .headers = { { STR("X-A"), STR("b") } } };
    struct framing framing = { .kind = FRAMING_LENGTH, .length = sizeof bytes };
    struct hold *h = hold_new(a, &head, &framing);
    assert_true(str_is(h->head.headers[0].value, "b"));
    assert_true(hold_add(h, (struct str){ bytes, 10 }));
    assert_false(hold_add(h, (struct str){ bytes, HOLD_MAX }));
    assert_int_equal(hold_left(h).n, 10);
    h->let_go = true;
    assert_false(hold_add(h, STR("x")));
    hold_end(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rule_only_401_says_that_a_token_is_over),
        cmocka_unit_test(a_rule_adds_statuses_and_may_want_the_body),
        cmocka_unit_test(only_a_body_with_the_value_says_so),
        cmocka_unit_test(a_word_in_any_kind_of_body_says_so),
        cmocka_unit_test(a_long_body_is_not_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
