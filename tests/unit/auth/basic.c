#include "room.h"

#include "base/encode.h"

static void expect_basic(const char *options, struct str user, const char *password, const char *value)
{
    struct trial *t = trial_new("basic", options, NULL);
    trial_secret(t, "username", user);
    if (password)
        trial_secret(t, "password", str_of(password));
    trial_expect(t, 0, INJECT_HEADER, "Authorization", str_of(value));
    assert_int_equal(t->out.count, 1);
    trial_end(t);
}

/* RFC 7617 2 and 2.1 give these two. */
static void user_and_password_become_base64_of_their_utf8(void **state)
{
    (void)state;
    expect_basic(NULL, STR("Aladdin"), "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    expect_basic(NULL, STR("test"), "123\xc2\xa3", "Basic dGVzdDoxMjPCow==");
}

static void user_and_password_may_both_be_empty(void **state)
{
    (void)state;
    expect_basic(NULL, STR("key"), "", "Basic a2V5Og==");
    expect_basic(NULL, STR("key"), NULL, "Basic a2V5Og==");
    expect_basic(NULL, STR(""), "key", "Basic OmtleQ==");
    expect_basic(NULL, STR(""), "", "Basic Og==");
}

static void a_password_keeps_its_colons_and_blanks(void **state)
{
    (void)state;
    expect_basic(NULL, STR("u"), " a:b ", "Basic dTogYTpiIA==");
}

static void a_user_name_with_a_colon_is_refused(void **state)
{
    (void)state;
    expect_refused("basic", NULL, NULL, "username", STR("user:name"), ERR_FIELD_INVALID, "/credentials/username");
    expect_refused("basic", NULL, NULL, "username", STR(":user"), ERR_FIELD_INVALID, "/credentials/username");
}

static void a_user_name_must_be_given_even_if_empty(void **state)
{
    (void)state;
    expect_refused("basic", NULL, NULL, "password", STR("pass word"), ERR_FIELD_REQUIRED, "/credentials/username");
}

static void control_bytes_and_broken_utf8_are_refused(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x20; byte++) {
        char text[] = "ab?d";
        text[2] = (char)byte;
        expect_refused("basic", NULL, NULL, "username", (struct str){ text, 4 }, ERR_FIELD_INVALID, "/credentials/username");
    }
    expect_refused("basic", NULL, NULL, "username", STR("us\xff" "er"), ERR_FIELD_INVALID, "/credentials/username");
    struct trial *t = trial_new("basic", NULL, NULL);
    trial_secret(t, "username", STR("user"));
    trial_secret(t, "password", STR("pass\r\nX-Evil: 1"));
    trial_refused(t, ERR_FIELD_INVALID, "/credentials/password");
    trial_end(t);
}

static void a_suffix_is_put_behind_the_user_name_once(void **state)
{
    (void)state;
    const char *options = "{\"username_suffix\":\"/token\"}";
    const char *wire = "Basic am9lQGV4YW1wbGUuY29tL3Rva2VuOmFiYzEyMw=="; /* joe@example.com/token:abc123 */
    expect_basic(options, STR("joe@example.com"), "abc123", wire);
    expect_basic(options, STR("joe@example.com/token"), "abc123", wire);
}

static void a_suffix_is_the_connectors_to_set_and_not_the_connections(void **state)
{
    (void)state;
    struct trial *t = trial_new("basic", NULL, "{\"username_suffix\":\"/token\"}");
    trial_secret(t, "username", STR("u"));
    trial_secret(t, "password", STR("p"));
    trial_expect(t, 0, INJECT_HEADER, "Authorization", STR("Basic dTpw"));
    trial_end(t);
}

static void the_longest_user_and_password_fit(void **state)
{
    (void)state;
    struct trial *t = trial_new("basic", NULL, NULL);
    char *text = arena_alloc(t->a, 8193);
    memset(text, 'x', 8193);
    trial_secret(t, "username", (struct str){ text, 8192 });
    trial_secret(t, "password", (struct str){ text, 8192 });
    assert_int_equal(trial_check(t), ERR_NONE);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->out.at[0].value.n, 6 + base64_size(2 * 8192 + 1));
    trial_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_and_password_become_base64_of_their_utf8),
        cmocka_unit_test(user_and_password_may_both_be_empty),
        cmocka_unit_test(a_password_keeps_its_colons_and_blanks),
        cmocka_unit_test(a_user_name_with_a_colon_is_refused),
        cmocka_unit_test(a_user_name_must_be_given_even_if_empty),
        cmocka_unit_test(control_bytes_and_broken_utf8_are_refused),
        cmocka_unit_test(a_suffix_is_put_behind_the_user_name_once),
        cmocka_unit_test(a_suffix_is_the_connectors_to_set_and_not_the_connections),
        cmocka_unit_test(the_longest_user_and_password_fit),
    };
    return cmocka_run_group_tests_name("auth/basic", tests, NULL, NULL);
}
