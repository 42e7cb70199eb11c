#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/caller.h"
#include "access/role.h"

/* Typed again here, right by right: a change of the table has to be made twice. c: custodian, d: auditor, v: viewer, u: user, e:
 * editor, a: admin, o: owner; n: nobody. */
static const struct {
    enum right right;
    const char *name, *who;
} expected[] = {
    { RIGHT_MISSING,       "missing",       "" },
    { RIGHT_OPEN,          "open",          "ncdvueao" },
    { RIGHT_SIGNED_IN,     "signed_in",     "cdvueao" },
    { RIGHT_VIEW,          "view",          "dvueao" },
    { RIGHT_USE,           "use",           "ueao" },
    { RIGHT_EDIT,          "edit",          "eao" },
    { RIGHT_SECRETS_WRITE, "secrets_write", "eao" },
    { RIGHT_SHARE,         "share",         "ao" },
    { RIGHT_DELETE,        "delete",        "eao" },
    { RIGHT_PUBLISH,       "publish",       "eao" },
    { RIGHT_APPROVE,       "approve",       "ao" },
    { RIGHT_AUDIT,         "audit",         "dao" },
    { RIGHT_CATALOG_VIEW,  "catalog_view",  "dvueao" },
    { RIGHT_TOKEN_OWN,     "token_own",     "cdvueao" },
    { RIGHT_PEOPLE,        "people",        "ao" },
    { RIGHT_POLICIES,      "policies",      "ao" },
    { RIGHT_AUDIT_READ,    "audit_read",    "dao" },
    { RIGHT_KEYS,          "keys",          "cao" },
    { RIGHT_METRICS,       "metrics",       "ao" },
    { RIGHT_OWNERS,        "owners",        "o" },
};
static const char letters[ROLE_COUNT] = { [ROLE_NONE] = 'n', [ROLE_CUSTODIAN] = 'c', [ROLE_AUDITOR] = 'd', [ROLE_VIEWER] = 'v',
                                          [ROLE_USER] = 'u', [ROLE_EDITOR] = 'e',    [ROLE_ADMIN] = 'a',   [ROLE_OWNER] = 'o' };

static void each_role_has_exactly_its_rights(void **state)
{
    (void)state;
    assert_int_equal(COUNT(expected), RIGHT_COUNT);
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(expected[i].right, i);
        assert_string_equal(right_name(expected[i].right), expected[i].name);
        for (enum role r = ROLE_NONE; r < ROLE_COUNT; r++)
            if (role_has(r, expected[i].right) != (strchr(expected[i].who, letters[r]) != NULL))
                fail_msg("%s, %s", role_name(r), expected[i].name);
    }
}

static void what_is_no_role_or_no_right_opens_nothing(void **state)
{
    (void)state;
    assert_false(role_has((enum role)99, RIGHT_OPEN));
    assert_false(role_has((enum role)-1, RIGHT_OPEN));
    assert_false(role_has(ROLE_OWNER, RIGHT_COUNT));
    assert_false(role_has(ROLE_OWNER, (enum right)40));
    assert_int_equal(role_rights_in((enum role)99, PRESET_EDITORS_EDIT), 0);
    assert_int_equal(role_rights_own((enum role)99), 0);
}

static void role_names_come_back_as_the_same_role_and_none_is_not_a_role_to_give(void **state)
{
    (void)state;
    enum role r = ROLE_NONE;
    for (int i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        assert_true(role_parse(str_of(role_name((enum role)i)), &r));
        assert_int_equal(r, i);
        assert_non_null(strstr(ROLE_NAMES, role_name(r)));
    }
    assert_false(role_parse(STR("none"), &r));
    assert_false(role_parse(STR("Admin"), &r));
    assert_false(role_parse(STR("admin "), &r));
    assert_false(role_parse(STR(""), &r));
    assert_int_equal(r, ROLE_OWNER);
}

static void nobody_gives_a_right_that_they_do_not_have(void **state)
{
    (void)state;
    /* Whom one of the first role may make: all others are refused. */
    static const struct { enum role own; const char *may; } rows[] = {
        { ROLE_NONE, "" },          { ROLE_CUSTODIAN, "c" },  { ROLE_AUDITOR, "dv" },    { ROLE_VIEWER, "v" },
        { ROLE_USER, "vu" },        { ROLE_EDITOR, "vue" },   { ROLE_ADMIN, "cdvuea" },   { ROLE_OWNER, "cdvueao" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (enum role r = ROLE_NONE; r < ROLE_COUNT; r++)
            if (role_within(r, rows[i].own) != (strchr(rows[i].may, letters[r]) != NULL))
                fail_msg("%s by %s", role_name(r), role_name(rows[i].own));
}

static void presets_move_editors_and_users_and_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(role_rights_in(ROLE_USER, PRESET_OPEN_FOLDER), role_rights_in(ROLE_EDITOR, PRESET_EDITORS_EDIT));
    assert_int_equal(role_rights_in(ROLE_EDITOR, PRESET_ADMINISTRATORS_ONLY), role_rights_in(ROLE_USER, PRESET_EDITORS_EDIT));
    assert_int_equal(role_rights_in(ROLE_VIEWER, PRESET_OPEN_FOLDER), RIGHT_BIT(RIGHT_VIEW));
    assert_int_equal(role_rights_in(ROLE_ADMIN, PRESET_ADMINISTRATORS_ONLY), role_rights_in(ROLE_ADMIN, PRESET_EDITORS_EDIT));
    assert_int_equal(role_rights_in(ROLE_CUSTODIAN, PRESET_OPEN_FOLDER), 0);
    assert_int_equal(role_rights_own(ROLE_CUSTODIAN), 0);
    enum preset p;
    assert_true(preset_parse(STR("administrators_only"), &p));
    assert_int_equal(p, PRESET_ADMINISTRATORS_ONLY);
    assert_false(preset_parse(STR("everyone"), &p));
}

static void nobody_may_only_what_is_open(void **state)
{
    (void)state;
    assert_true(caller_may(NULL, RIGHT_OPEN));
    assert_false(caller_may(NULL, RIGHT_SIGNED_IN));
}

static void a_token_takes_away_what_its_role_has_not_and_adds_nothing(void **state)
{
    (void)state;
    struct caller c = { .role = ROLE_ADMIN, .narrowed = ROLE_USER };
    assert_false(caller_may(&c, RIGHT_PEOPLE));
    assert_true(caller_may(&c, RIGHT_CATALOG_VIEW));
    assert_int_equal(caller_role(&c), ROLE_USER);
    c = (struct caller){ .role = ROLE_USER, .narrowed = ROLE_OWNER };
    assert_false(caller_may(&c, RIGHT_PEOPLE));
    assert_int_equal(caller_role(&c), ROLE_USER);
}

static void a_limited_token_has_its_connections_and_no_others(void **state)
{
    (void)state;
    struct str granted[] = { STR("con_1") };
    struct caller c = { .role = ROLE_OWNER };
    assert_true(caller_granted(&c, STR("con_2")));
    c.narrow.lists[NARROW_CONNECTION] = (struct narrow_list){ true, NULL, 0 };
    assert_false(caller_granted(&c, STR("con_1")));
    c.narrow.lists[NARROW_CONNECTION] = (struct narrow_list){ true, granted, 1 };
    assert_true(caller_granted(&c, STR("con_1")));
    assert_false(caller_granted(&c, STR("con_2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_role_has_exactly_its_rights),
        cmocka_unit_test(what_is_no_role_or_no_right_opens_nothing),
        cmocka_unit_test(role_names_come_back_as_the_same_role_and_none_is_not_a_role_to_give),
        cmocka_unit_test(nobody_gives_a_right_that_they_do_not_have),
        cmocka_unit_test(presets_move_editors_and_users_and_nobody_else),
        cmocka_unit_test(nobody_may_only_what_is_open),
        cmocka_unit_test(a_token_takes_away_what_its_role_has_not_and_adds_nothing),
        cmocka_unit_test(a_limited_token_has_its_connections_and_no_others),
    };
    return cmocka_run_group_tests_name("access/role", tests, NULL, NULL);
}
