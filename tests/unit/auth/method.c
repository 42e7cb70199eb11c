#include "room.h"

static void methods_are_found_by_the_names_of_the_api(void **state)
{
    (void)state;
    static const char *const names[] = { "none",
                                         "api_key",
                                         "basic",
                                         "bearer",
                                         "pat",
                                         "custom_fields",
                                         "oauth2_authorization_code",
                                         "oauth2_client_credentials",
                                         "oauth2_password",
                                         "oauth2_jwt_bearer",
                                         "oauth2_token_exchange",
                                         "oauth2_device_code",
                                         "google_service_account",
                                         "github_app",
                                         "custom_oauth" };
    for (size_t i = 0; i < COUNT(names); i++)
        assert_non_null(auth_find(str_of(names[i])));
    for (size_t i = 0; auth_at(i); i++)
        assert_ptr_equal(auth_find(str_of(auth_at(i)->name)), auth_at(i)); /* and so each name stands there once */
    assert_null(auth_find(STR("Bearer")));
    assert_null(auth_find(STR("")));
    assert_null(auth_find(STR_NONE));
}

static void every_method_checks_and_prepares_and_lists_its_credentials(void **state)
{
    (void)state;
    for (size_t i = 0; auth_at(i); i++) {
        assert_non_null(auth_at(i)->check);
        assert_non_null(auth_at(i)->prepare);
        assert_true(auth_at(i)->open_fields == !auth_at(i)->fields);
    }
}

static void no_authentication_adds_nothing(void **state)
{
    (void)state;
    struct trial *t = trial_new("none", NULL, NULL);
    assert_int_equal(trial_check(t), ERR_NONE);
    t->out.count = 3;
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NONE);
    assert_int_equal(t->out.count, 0);
    trial_end(t);
}

static void an_empty_credential_is_not_an_absent_one(void **state)
{
    (void)state;
    struct trial *t = trial_new("basic", NULL, NULL);
    assert_null(auth_secret(&t->in, "username"));
    trial_secret(t, "username", STR(""));
    assert_non_null(auth_secret(&t->in, "username"));
    assert_int_equal(auth_secret(&t->in, "username")->n, 0);
    trial_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_found_by_the_names_of_the_api),
        cmocka_unit_test(every_method_checks_and_prepares_and_lists_its_credentials),
        cmocka_unit_test(no_authentication_adds_nothing),
        cmocka_unit_test(an_empty_credential_is_not_an_absent_one),
    };
    return cmocka_run_group_tests_name("auth/method", tests, NULL, NULL);
}
