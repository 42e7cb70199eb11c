#include "room.h"

static struct trial *with_two(const char *fields)
{
    struct trial *t = trial_new("custom_fields", NULL, fields);
    trial_secret(t, "tenant-key", STR("t3n4nt"));
    trial_secret(t, "sig_1", STR("a/b+c"));
    return t;
}

static void each_credential_goes_where_its_template_says(void **state)
{
    (void)state;
    struct trial *t = with_two(
        "{\"headers\":{\"X-Tenant-Key\":\"{{credentials.tenant-key}}\",\"Authorization\":\"Key k={{ credentials.tenant-key "
        "}}, s={{credentials.sig_1}}\"},\"query\":{\"sig\":\"v1.{{credentials.sig_1}}\"},"
        "\"body\":{\"client \\\"x\\\"\":\"{{credentials.sig_1}}\"}}");

    trial_expect(t, 0, INJECT_HEADER, "X-Tenant-Key", STR("t3n4nt"));
    trial_expect(t, 1, INJECT_HEADER, "Authorization", STR("Key k=t3n4nt, s=a/b+c"));
    trial_expect(t, 2, INJECT_QUERY, "sig", STR("v1.a%2Fb%2Bc"));
    trial_expect(t, 3, INJECT_BODY, "client \"x\"", STR("a/b+c"));
    assert_int_equal(t->out.count, 4);
    trial_end(t);
}

static void a_value_is_never_expanded_again(void **state)
{
    (void)state;
    struct trial *t = trial_new("custom_fields", NULL, "{\"headers\":{\"x-a\":\"{{credentials.a}}\"}}");
    trial_secret(t, "a", STR("{{credentials.b}}"));
    trial_secret(t, "b", STR("inner"));
    trial_expect(t, 0, INJECT_HEADER, "x-a", STR("{{credentials.b}}"));
    trial_end(t);
}

static void a_connectors_own_places_come_first(void **state)
{
    (void)state;
    struct trial *t =
        trial_new("custom_fields", "{\"headers\":{\"x-app\":\"{{credentials.app}}\"}}", "{\"headers\":{\"x-more\":\"1\"}}");
    trial_secret(t, "app", STR("a11"));
    trial_expect(t, 0, INJECT_HEADER, "x-app", STR("a11"));
    trial_expect(t, 1, INJECT_HEADER, "x-more", STR("1"));
    trial_end(t);
}

static void refused(const char *fields, enum err e, const char *pointer)
{
    struct trial *t = with_two(fields);
    trial_refused(t, e, pointer);
    trial_end(t);
}

static void a_placeholder_without_a_credential_is_refused_where_it_stands(void **state)
{
    (void)state;
    refused("{\"headers\":{\"X-A\":\"{{credentials.tenant-key}}\",\"X-B\":\"{{credentials.tenant}}\"}}", ERR_FIELD_INVALID,
            "/fields/headers/X-B");
    refused("{\"query\":{\"q\":\"{{credentials.}}\"}}", ERR_FIELD_INVALID, "/fields/query/q");
    refused("{\"query\":{\"q\":\"{{fields.base_url}}\"}}", ERR_FIELD_INVALID, "/fields/query/q");
    refused("{\"body\":{\"a/b~c\":\"{{tenant-key}}\"}}", ERR_FIELD_INVALID, "/fields/body/a~1b~0c");
    refused("{\"headers\":{\"X-A\":\"{{credentials.tenant-key\"}}", ERR_FIELD_INVALID, "/fields/headers/X-A");
}

static void every_header_name_is_checked(void **state)
{
    (void)state;
    refused("{\"headers\":{\"Cookie\":\"a=1\"}}", ERR_HEADER_NAME_INVALID, "/fields/headers/Cookie");
    refused("{\"headers\":{\"x-ok\":\"1\",\"X-Forwarded-Host\":\"a\"}}", ERR_HEADER_NAME_INVALID,
            "/fields/headers/X-Forwarded-Host");
    refused("{\"headers\":{\"x-2\":\"1\"}}", ERR_HEADER_NAME_INVALID, "/fields/headers/x-2");
    refused("{\"query\":{\"a=b\":\"1\"}}", ERR_FIELD_INVALID, "/fields/query/a=b");
    refused("{\"body\":{\"\":\"1\"}}", ERR_FIELD_INVALID, "/fields/body/");
}

static void one_name_is_never_sent_twice(void **state)
{
    (void)state;
    refused("{\"headers\":{\"X-A\":\"1\",\"x_a\":\"2\"}}", ERR_FIELD_INVALID, "/fields/headers/x_a");
    struct trial *t = trial_new("custom_fields", "{\"headers\":{\"x-app\":\"1\"}}", "{\"headers\":{\"X-App\":\"2\"}}");
    trial_refused(t, ERR_FIELD_INVALID, "/fields/headers/X-App");
    trial_end(t);
}

static void a_value_that_could_break_a_message_is_refused_after_expansion(void **state)
{
    (void)state;
    static const char *const values[] = { "one\r\ntwo", "nul\n", " lead" };
    for (size_t i = 0; i < COUNT(values); i++) {
        struct trial *t = trial_new("custom_fields", NULL, "{\"headers\":{\"x-a\":\"{{credentials.a}}\"}}");
        trial_secret(t, "a", str_of(values[i]));
        trial_refused(t, ERR_FIELD_INVALID, "/fields/headers/x-a");
        trial_end(t);
    }
    refused("{\"headers\":{\"x-a\":\"a\\nb\"}}", ERR_FIELD_INVALID, "/fields/headers/x-a");
    refused("{\"headers\":{\"x-a\":7}}", ERR_FIELD_INVALID, "/fields/headers/x-a");
}

static void more_than_sixteen_places_or_8_kib_reach_a_named_limit(void **state)
{
    (void)state;
    struct trial *t = trial_new("custom_fields", NULL, NULL);
    struct buf b;
    buf_init(&b, 65536);
    buf_add(&b, STR("{\"query\":{"));
    for (int i = 0; i < 17; i++)
        buf_fmt(&b, "%s\"p%d\":\"v\"", i ? "," : "", i);
    buf_add(&b, STR("}}"));
    t->in.fields = trial_json(t, arena_cstr(t->a, buf_str(&b)));
    trial_refused(t, ERR_LIMIT, "/fields/query/p16");

    buf_clear(&b);
    buf_add(&b, STR("{\"body\":{\"b\":\"x{{credentials.a}}\"}}"));
    t->in.fields = trial_json(t, arena_cstr(t->a, buf_str(&b)));
    char *big = arena_alloc(t->a, 8192);
    memset(big, 'k', 8192);
    trial_secret(t, "a", (struct str){ big, 8192 });
    trial_refused(t, ERR_LIMIT, "/fields/body/b");
    buf_end(&b);
    trial_end(t);
}

static void credentials_without_a_place_yet_are_fine(void **state)
{
    (void)state;
    struct trial *t = with_two("{}");
    assert_int_equal(trial_check(t), ERR_NONE);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->out.count, 0);
    trial_end(t);
}

static void a_failed_preparation_leaves_no_injection_behind(void **state)
{
    (void)state;
    struct trial *t = with_two("{\"headers\":{\"x-a\":\"{{credentials.tenant-key}}\",\"x-b\":\"{{credentials.gone}}\"}}");
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_FIELD_INVALID);
    assert_int_equal(t->out.count, 0);
    trial_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_credential_goes_where_its_template_says),
        cmocka_unit_test(a_value_is_never_expanded_again),
        cmocka_unit_test(a_connectors_own_places_come_first),
        cmocka_unit_test(a_placeholder_without_a_credential_is_refused_where_it_stands),
        cmocka_unit_test(every_header_name_is_checked),
        cmocka_unit_test(one_name_is_never_sent_twice),
        cmocka_unit_test(a_value_that_could_break_a_message_is_refused_after_expansion),
        cmocka_unit_test(more_than_sixteen_places_or_8_kib_reach_a_named_limit),
        cmocka_unit_test(credentials_without_a_place_yet_are_fine),
        cmocka_unit_test(a_failed_preparation_leaves_no_injection_behind),
    };
    return cmocka_run_group_tests_name("auth/custom_fields", tests, NULL, NULL);
}
