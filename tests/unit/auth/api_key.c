#include "room.h"

static void a_key_goes_into_the_named_header_as_it_is(void **state)
{
    (void)state;
    expect_header("api_key", NULL, "{\"header\":\"X-Api-Key\"}", "value", "s3cr3t==", "X-Api-Key", "s3cr3t==");
    expect_header("api_key", "{\"header\":\"Authorization\"}", "{}", "value", "s3cr3t", "Authorization", "s3cr3t");
}

static void a_prefix_stands_before_the_key_with_its_blank_and_no_other(void **state)
{
    (void)state;
    expect_header("api_key", NULL, "{\"header\":\"authorization\",\"prefix\":\"Token \"}", "value", "abc", "authorization",
                  "Token abc");
    expect_header("api_key", NULL, "{\"header\":\"authorization\",\"prefix\":\"Token\"}", "value", "abc", "authorization",
                  "Tokenabc");
    expect_header("api_key", "{\"header\":\"Authorization\",\"prefix\":\"Bearer \"}", NULL, "value", "rk_test_1", "Authorization",
                  "Bearer rk_test_1");
}

static void a_key_in_the_query_is_percent_encoded(void **state)
{
    (void)state;
    struct trial *t = trial_new("api_key", NULL, "{\"query\":\"api[key]\"}");
    trial_secret(t, "value", STR("a b+c&d=/%é~"));
    trial_expect(t, 0, INJECT_QUERY, "api[key]", STR("a%20b%2Bc%26d%3D%2F%25%C3%A9~"));
    trial_end(t);
}

static void the_longest_key_fits_the_query_encoded(void **state)
{
    (void)state;
    struct trial *t = trial_new("api_key", NULL, "{\"query\":\"k\"}");
    char *key = arena_alloc(t->a, 8192);
    memset(key, '%', 8192);
    trial_secret(t, "value", (struct str){ key, 8192 });
    assert_int_equal(trial_check(t), ERR_NONE);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->out.at[0].value.n, 3 * 8192);
    assert_memory_equal(t->out.at[0].value.p + 3 * 8191, "%25", 3);
    trial_end(t);
}

static void a_place_of_the_connection_replaces_the_connectors_altogether(void **state)
{
    (void)state;
    struct trial *t = trial_new("api_key", "{\"header\":\"X-Key\"}", "{\"query\":\"key\"}");
    trial_secret(t, "value", STR("abc"));
    trial_expect(t, 0, INJECT_QUERY, "key", STR("abc"));
    assert_int_equal(t->out.count, 1);
    trial_end(t);
}

static void a_key_without_a_place_or_with_two_is_refused(void **state)
{
    (void)state;
    expect_refused("api_key", NULL, NULL, "value", STR("abcd"), ERR_FIELD_REQUIRED, "/fields/header");
    expect_refused("api_key", NULL, "{\"header\":\"\",\"query\":\"\"}", "value", STR("abcd"), ERR_FIELD_REQUIRED, "/fields/header");
    expect_refused("api_key", NULL, "{\"header\":\"X-A\",\"query\":\"a\"}", "value", STR("abcd"), ERR_FIELD_INVALID,
                   "/fields/query");
    expect_refused("api_key", NULL, "{\"query\":\"a\",\"prefix\":\"T \"}", "value", STR("abcd"), ERR_FIELD_INVALID,
                   "/fields/prefix");
}

static void a_header_that_may_not_carry_a_key_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "Cookie", "X-Forwarded-For", "x-amz-date", "User-Agent",
                                         "X Key",  "X-Key:",          "X-API-2",    "H\\u00f6st" };
    for (size_t i = 0; i < COUNT(names); i++) {
        char fields[64];
        snprintf(fields, sizeof fields, "{\"header\":\"%s\"}", names[i]);
        expect_refused("api_key", NULL, fields, "value", STR("abcd"), ERR_HEADER_NAME_INVALID, "/fields/header");
    }
}

static void digits_in_a_header_name_need_the_setting(void **state)
{
    (void)state;
    struct trial *t = trial_new("api_key", NULL, "{\"header\":\"X-API-2\"}");
    trial_secret(t, "value", STR("abcd"));
    trial_refused(t, ERR_HEADER_NAME_INVALID, "/fields/header");
    t->in.digits_ok = true;
    trial_expect(t, 0, INJECT_HEADER, "X-API-2", STR("abcd"));
    trial_end(t);
}

static void a_parameter_name_holds_only_what_needs_no_encoding(void **state)
{
    (void)state;
    char fields[200], name[130];
    static const char bad[] = "!$&'()*+,/:;=?@ #%~";
    for (size_t i = 0; i < sizeof bad - 1; i++) {
        snprintf(fields, sizeof fields, "{\"query\":\"a%cb\"}", bad[i]);
        expect_refused("api_key", NULL, fields, "value", STR("abcd"), ERR_FIELD_INVALID, "/fields/query");
    }
    memset(name, 'k', 129);
    name[129] = 0;
    snprintf(fields, sizeof fields, "{\"query\":\"%s\"}", name);
    expect_refused("api_key", NULL, fields, "value", STR("abcd"), ERR_FIELD_INVALID, "/fields/query");
    name[128] = 0;
    snprintf(fields, sizeof fields, "{\"query\":\"%s\"}", name);
    struct trial *t = trial_new("api_key", NULL, fields);
    trial_secret(t, "value", STR("abcd"));
    assert_int_equal(trial_check(t), ERR_NONE);
    trial_end(t);
}

static void a_prefix_is_one_word_and_at_most_one_blank(void **state)
{
    (void)state;
    static const char *const bad[] = { " Token", "Token  ", "To ken ", " ", "Tok\\ten", "Token:", "a\\r\\nb" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char fields[80];
        snprintf(fields, sizeof fields, "{\"header\":\"authorization\",\"prefix\":\"%s\"}", bad[i]);
        expect_refused("api_key", NULL, fields, "value", STR("abcd"), ERR_FIELD_INVALID, "/fields/prefix");
    }
}

static void every_control_byte_in_a_key_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool control = byte < 0x20 || byte == 0x7f;
        for (int at = 0; at < 3; at++) {
            char key[] = "abc";
            key[at] = (char)byte;
            bool blank = byte == ' ' && at != 1;
            struct trial *t = trial_new("api_key", NULL, "{\"header\":\"x-key\"}");
            trial_secret(t, "value", (struct str){ key, 3 });
            assert_int_equal(trial_check(t), control || blank ? ERR_FIELD_INVALID : ERR_NONE);
            trial_end(t);
        }
    }
}

static void an_empty_missing_or_oversized_key_is_refused(void **state)
{
    (void)state;
    static char big[8193];
    memset(big, 'k', sizeof big);
    expect_refused("api_key", NULL, "{\"header\":\"x-key\"}", NULL, STR_NONE, ERR_FIELD_REQUIRED, "/credentials/value");
    expect_refused("api_key", NULL, "{\"header\":\"x-key\"}", "value", STR(""), ERR_FIELD_REQUIRED, "/credentials/value");
    expect_refused("api_key", NULL, "{\"header\":\"x-key\"}", "value", (struct str){ big, 8193 }, ERR_FIELD_INVALID,
                   "/credentials/value");
    struct trial *t = trial_new("api_key", NULL, "{\"header\":\"x-key\"}");
    trial_secret(t, "value", (struct str){ big, 8192 });
    trial_expect(t, 0, INJECT_HEADER, "x-key", (struct str){ big, 8192 });
    trial_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_goes_into_the_named_header_as_it_is),
        cmocka_unit_test(a_prefix_stands_before_the_key_with_its_blank_and_no_other),
        cmocka_unit_test(a_key_in_the_query_is_percent_encoded),
        cmocka_unit_test(the_longest_key_fits_the_query_encoded),
        cmocka_unit_test(a_place_of_the_connection_replaces_the_connectors_altogether),
        cmocka_unit_test(a_key_without_a_place_or_with_two_is_refused),
        cmocka_unit_test(a_header_that_may_not_carry_a_key_is_refused),
        cmocka_unit_test(digits_in_a_header_name_need_the_setting),
        cmocka_unit_test(a_parameter_name_holds_only_what_needs_no_encoding),
        cmocka_unit_test(a_prefix_is_one_word_and_at_most_one_blank),
        cmocka_unit_test(every_control_byte_in_a_key_is_refused_wherever_it_stands),
        cmocka_unit_test(an_empty_missing_or_oversized_key_is_refused),
    };
    return cmocka_run_group_tests_name("auth/api_key", tests, NULL, NULL);
}
