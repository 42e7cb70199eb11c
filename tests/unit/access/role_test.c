#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/caller.h"
#include "access/role.h"

/* Typed again here, right by right: a change of the table has to be made twice. */
static const struct {
    enum right right;
    const char *name;
    bool none, user, admin, owner;
} expected[] = {
    { RIGHT_MISSING,         "missing",         false, false, false, false },
    { RIGHT_OPEN,            "open",            true,  true,  true,  true },
    { RIGHT_SIGNED_IN,       "signed_in",       false, true,  true,  true },
    { RIGHT_CATALOG_VIEW,    "catalog.view",    false, true,  true,  true },
    { RIGHT_CONNECTION_VIEW, "connection.view", false, true,  true,  true },
    { RIGHT_CONNECTION_USE,  "connection.use",  false, true,  true,  true },
    { RIGHT_CONNECTION_EDIT, "connection.edit", false, false, true,  true },
    { RIGHT_RUN_VIEW,        "run.view",        false, true,  true,  true },
    { RIGHT_TOKEN_OWN,       "token.own",       false, true,  true,  true },
    { RIGHT_ADMINISTER,      "administer",      false, false, true,  true },
    { RIGHT_METRICS,         "metrics",         false, false, true,  true },
    { RIGHT_AUDIT,           "audit",           false, false, true,  true },
};

static void each_role_has_exactly_its_rights(void **state)
{
    (void)state;
    assert_int_equal(COUNT(expected), RIGHT_AUDIT + 1);
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(expected[i].right, i);
        assert_string_equal(right_name(expected[i].right), expected[i].name);
        assert_int_equal(role_has(ROLE_NONE, expected[i].right), expected[i].none);
        assert_int_equal(role_has(ROLE_USER, expected[i].right), expected[i].user);
        assert_int_equal(role_has(ROLE_ADMIN, expected[i].right), expected[i].admin);
        assert_int_equal(role_has(ROLE_OWNER, expected[i].right), expected[i].owner);
    }
}

static void what_is_no_role_or_no_right_opens_nothing(void **state)
{
    (void)state;
    assert_false(role_has((enum role)99, RIGHT_OPEN));
    assert_false(role_has((enum role)-1, RIGHT_OPEN));
    assert_false(role_has(ROLE_OWNER, (enum right)(RIGHT_AUDIT + 1)));
    assert_false(role_has(ROLE_OWNER, (enum right)40));
}

static void role_names_come_back_as_the_same_role_and_none_is_not_a_role_to_give(void **state)
{
    (void)state;
    enum role r = ROLE_NONE;
    for (int i = ROLE_USER; i <= ROLE_OWNER; i++) {
        assert_true(role_parse(str_of(role_name((enum role)i)), &r));
        assert_int_equal(r, i);
    }
    assert_false(role_parse(STR("none"), &r));
    assert_false(role_parse(STR("Admin"), &r));
    assert_false(role_parse(STR("admin "), &r));
    assert_false(role_parse(STR(""), &r));
    assert_int_equal(r, ROLE_OWNER);
}

static void nobody_may_only_what_is_open(void **state)
{
    (void)state;
    assert_true(caller_may(NULL, RIGHT_OPEN));
    assert_false(caller_may(NULL, RIGHT_SIGNED_IN));
    assert_false(caller_may_connection(NULL, STR("con_1"), STR("fld_1")));
}

static void a_connection_must_be_in_a_visible_folder_and_among_the_granted_ones(void **state)
{
    (void)state;
    struct str folders[] = { STR("fld_shared"), STR("fld_own") }, granted[] = { STR("con_1") };
    struct caller c = { .role = ROLE_OWNER, .folders = folders, .folder_count = 2 };
    assert_true(caller_may_connection(&c, STR("con_2"), STR("fld_own")));
    assert_false(caller_may_connection(&c, STR("con_2"), STR("fld_other")));

    c.limited = true;
    assert_false(caller_may_connection(&c, STR("con_1"), STR("fld_shared")));
    c.connections = granted;
    c.connection_count = 1;
    assert_true(caller_may_connection(&c, STR("con_1"), STR("fld_shared")));
    assert_false(caller_may_connection(&c, STR("con_2"), STR("fld_shared")));
    assert_false(caller_may_connection(&c, STR("con_1"), STR("fld_other")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_has_exactly_its_rights),
        cmocka_unit_test(what_is_no_role_or_no_right_opens_nothing),
        cmocka_unit_test(role_names_come_back_as_the_same_role_and_none_is_not_a_role_to_give),
        cmocka_unit_test(nobody_may_only_what_is_open),
        cmocka_unit_test(a_connection_must_be_in_a_visible_folder_and_among_the_granted_ones),
    };
    return cmocka_run_group_tests_name("access/role", tests, NULL, NULL);
}
