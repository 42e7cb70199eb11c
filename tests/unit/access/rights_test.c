#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "house.h"

#include "access/rights.h"

#define V RIGHT_BIT(RIGHT_VIEW)
#define U RIGHT_BIT(RIGHT_USE)
#define E RIGHT_BIT(RIGHT_EDIT)
#define S RIGHT_BIT(RIGHT_SHARE)
#define A RIGHT_BIT(RIGHT_AUDIT)

static struct caller as(struct str principal, enum role role) { return (struct caller){ .principal = principal, .role = role }; }

static unsigned mask(struct house *h, const struct caller *c, struct str folder)
{
    struct rights r;
    assert_ok(rights_in_folder(h->db, h->arena, c, folder, &r, &h->why));
    return r.mask & (V | U | E | S | A);
}

/* shared > sales > east; rows as access/folder_tree.c writes them. */
static void tree(struct house *h)
{
    house_run(h,
              "INSERT INTO folder (id, parent_id, slug, path, kind, preset, created_ms, updated_ms) VALUES"
              " ('fld_sales', (SELECT id FROM folder WHERE path = 'shared'), 'sales', 'shared/sales', 'shared', 'inherited', 1, 1),"
              " ('fld_east', 'fld_sales', 'east', 'shared/sales/east', 'shared', 'inherited', 1, 1);"
              "INSERT INTO folder_above SELECT 'fld_sales', id, 1, 1 FROM folder WHERE path = 'shared';"
              "INSERT INTO folder_above SELECT 'fld_east', id, 1, 2 FROM folder WHERE path = 'shared';"
              "INSERT INTO folder_above VALUES ('fld_sales', 'fld_sales', 1, 0), ('fld_east', 'fld_east', 1, 0),"
              " ('fld_east', 'fld_sales', 1, 1)");
}

static void narrow_east(struct house *h)
{
    house_run(h, "UPDATE folder SET inherits = 0 WHERE id = 'fld_east';"
                 "UPDATE folder_above SET inherited = 0 WHERE folder_id = 'fld_east' AND above_id <> 'fld_east'");
}

static void member(struct house *h, const char *folder, struct str who, const char *role, wall_ms expires)
{
    struct query *q =
        query_begin(h->db, "INSERT INTO folder_member (folder_id, principal_id, role, expires_ms) VALUES ($1, $2, $3, $4)");
    query_text(q, str_of(folder));
    query_text(q, who);
    query_text(q, str_of(role));
    query_i64(q, expires);
    assert_ok(query_end(q, &h->why));
}

static void a_role_in_the_instance_comes_down_the_shared_tree(void **state)
{
    struct house *h = *state;
    tree(h);
    static const struct { enum role role; unsigned mask; } rows[] = {
        { ROLE_OWNER, V | U | E | S | A }, { ROLE_ADMIN, V | U | E | S | A }, { ROLE_EDITOR, V | U | E }, { ROLE_USER, V | U },
        { ROLE_VIEWER, V },                { ROLE_AUDITOR, V | A },           { ROLE_CUSTODIAN, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct caller c = as(h->ann, rows[i].role);
        assert_int_equal(mask(h, &c, h->shared), rows[i].mask);
        assert_int_equal(mask(h, &c, STR("fld_east")), rows[i].mask);
        assert_int_equal(mask(h, &c, STR("fld_none")), 0);
    }
}

static void a_folder_that_does_not_inherit_keeps_out_all_but_its_members_and_administrators(void **state)
{
    struct house *h = *state;
    tree(h);
    narrow_east(h);
    struct caller ann = as(h->ann, ROLE_EDITOR), bob = as(h->bob, ROLE_USER), admin = as(h->admin, ROLE_ADMIN),
                  auditor = as(h->owner, ROLE_AUDITOR);
    member(h, "fld_east", h->bob, "editor", 0);
    member(h, "fld_sales", h->ann, "admin", 0);
    assert_int_equal(mask(h, &ann, STR("fld_sales")), V | U | E | S | A);
    assert_int_equal(mask(h, &ann, STR("fld_east")), 0);
    assert_int_equal(mask(h, &bob, STR("fld_east")), V | U | E);
    assert_int_equal(mask(h, &admin, STR("fld_east")), V | U | E | S | A);
    assert_int_equal(mask(h, &auditor, STR("fld_east")), V | A);
    assert_int_equal(rights_need(h->db, h->arena, &ann, STR("fld_east"), RIGHT_USE, &h->why), ERR_NOT_FOUND);
    assert_string_equal(h->why.subject, "folder");
}

static void a_narrowed_token_gives_nobody_what_it_has_not_itself(void **state)
{
    struct house *h = *state;
    tree(h);
    struct str sales = STR("fld_sales"), east = STR("fld_east");
    struct caller admin = as(h->admin, ROLE_ADMIN);
    assert_int_equal(rights_may_give(&admin, ROLE_ADMIN, &h->why), ERR_NONE);
    assert_int_equal(rights_may_give_in(h->db, h->arena, &admin, east, ROLE_ADMIN, &h->why), ERR_NONE);
    struct caller in_sales = admin, reading = admin, limited = admin;
    in_sales.narrow.lists[NARROW_FOLDER] = (struct narrow_list){ true, &sales, 1 };
    assert_int_equal(rights_may_give(&in_sales, ROLE_VIEWER, &h->why), ERR_DENIED);
    assert_int_equal(rights_may_give_in(h->db, h->arena, &in_sales, east, ROLE_ADMIN, &h->why), ERR_NONE);
    assert_int_equal(rights_may_give_in(h->db, h->arena, &in_sales, h->shared, ROLE_VIEWER, &h->why), ERR_DENIED);
    reading.narrow.lists[NARROW_PATH] = (struct narrow_list){ true, &sales, 1 };
    reading.narrow.calls = true;
    assert_int_equal(rights_may_give(&reading, ROLE_VIEWER, &h->why), ERR_DENIED);
    assert_int_equal(rights_may_give_in(h->db, h->arena, &reading, east, ROLE_VIEWER, &h->why), ERR_DENIED);
    assert_int_equal(mask(h, &reading, east), V | U | E | A); /* nor lets them in by a share */
    limited.narrow.lists[NARROW_CONNECTION].set = true;
    assert_int_equal(rights_may_give(&limited, ROLE_VIEWER, &h->why), ERR_DENIED);
    assert_int_equal(rights_may_give_in(h->db, h->arena, &limited, east, ROLE_VIEWER, &h->why), ERR_DENIED);
    assert_int_equal(rights_need(h->db, h->arena, &limited, east, RIGHT_VIEW, &h->why), ERR_NONE);
    assert_int_equal(rights_need(h->db, h->arena, &limited, east, RIGHT_SHARE, &h->why), ERR_DENIED);
    assert_int_equal(rights_need(h->db, h->arena, &limited, east, RIGHT_EDIT, &h->why), ERR_DENIED);
}

static void memberships_add_up_over_groups_and_end_on_their_day(void **state)
{
    struct house *h = *state;
    tree(h);
    struct caller ann = as(h->ann, ROLE_VIEWER);
    struct rights r;
    house_run(h,
              "INSERT INTO principal (id, kind, name, role, created_ms, updated_ms) VALUES ('grp_1', 'group', 'g', 'none', 1, 1)");
    member(h, "fld_sales", STR("grp_1"), "user", 0);
    assert_int_equal(mask(h, &ann, STR("fld_east")), V);
    house_run(h, "INSERT INTO group_member SELECT 'grp_1', id FROM principal WHERE name = 'ann@example.com'");
    assert_int_equal(mask(h, &ann, STR("fld_east")), V | U);
    assert_int_equal(mask(h, &ann, h->shared), V);
    wall_ms soon = clock_wall() + MINUTE;
    member(h, "fld_east", h->ann, "editor", soon);
    assert_ok(rights_in_folder(h->db, h->arena, &ann, STR("fld_east"), &r, &h->why));
    assert_true(r.mask & E && r.until == soon);
    house_run(h, "UPDATE folder_member SET expires_ms = 5 WHERE expires_ms > 0");
    assert_int_equal(mask(h, &ann, STR("fld_east")), V | U);
}

static void presets_hold_below_until_another_one_does(void **state)
{
    struct house *h = *state;
    tree(h);
    struct caller user = as(h->ann, ROLE_USER), editor = as(h->bob, ROLE_EDITOR);
    house_run(h, "UPDATE folder SET preset = 'open_folder' WHERE id = 'fld_sales'");
    assert_int_equal(mask(h, &user, STR("fld_east")), V | U | E);
    assert_int_equal(mask(h, &user, h->shared), V | U);
    house_run(h, "UPDATE folder SET preset = 'administrators_only' WHERE id = 'fld_east'");
    assert_int_equal(mask(h, &user, STR("fld_east")), V | U);
    assert_int_equal(mask(h, &editor, STR("fld_east")), V | U);
    assert_int_equal(mask(h, &editor, STR("fld_sales")), V | U | E);
}

static void a_token_narrows_and_never_widens(void **state)
{
    struct house *h = *state;
    struct str anns;
    tree(h);
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    struct caller c = as(h->ann, ROLE_ADMIN);
    c.narrowed = ROLE_USER;
    assert_int_equal(mask(h, &c, STR("fld_east")), V | U);
    assert_int_equal(mask(h, &c, anns) & E, E);
    c.narrowed = ROLE_VIEWER;
    assert_int_equal(mask(h, &c, anns), V);
    c = as(h->ann, ROLE_VIEWER);
    c.narrowed = ROLE_OWNER;
    assert_int_equal(mask(h, &c, STR("fld_east")), V);
    c.narrowed = ROLE_CUSTODIAN;
    struct folder_scope seen;
    assert_int_equal(mask(h, &c, STR("fld_east")), 0);
    assert_ok(rights_visible(h->db, h->arena, &c, &seen, &h->why));
    assert_true(seen.few && seen.folder_count == 0 && seen.connection_count == 0);
}

static void a_refusal_names_the_right_and_the_folder(void **state)
{
    struct house *h = *state;
    tree(h);
    struct caller c = as(h->ann, ROLE_USER);
    assert_int_equal(rights_need(h->db, h->arena, &c, STR("fld_east"), RIGHT_SECRETS_WRITE, &h->why), ERR_DENIED);
    assert_string_equal(h->why.subject, "secrets_write in shared/sales/east");
}

static void what_is_seen_in_lists_is_what_may_be_opened(void **state)
{
    struct house *h = *state;
    struct str anns;
    tree(h);
    narrow_east(h);
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    const struct str all[] = { h->shared, STR("fld_sales"), STR("fld_east"), anns };
    struct caller callers[] = { as(h->ann, ROLE_USER), as(h->bob, ROLE_USER), as(h->admin, ROLE_ADMIN),
                                as(h->owner, ROLE_CUSTODIAN) };
    for (size_t i = 0; i < COUNT(callers); i++)
        for (int few = 1; few >= 0; few--) {
            struct folder_scope seen;
            assert_ok(rights_visible(h->db, h->arena, &callers[i], &seen, &h->why));
            assert_true(seen.few);
            seen.few = few;
            for (size_t k = 0; k < COUNT(all); k++) {
                bool holds;
                assert_ok(folder_scope_holds(h->db, &seen, all[k], &holds, &h->why));
                assert_int_equal(holds, (mask(h, &callers[i], all[k]) & V) != 0);
            }
        }
}

static void a_connection_shared_singly_may_be_used_without_its_folder_until_the_share_ends(void **state)
{
    struct house *h = *state;
    struct rights r;
    struct folder_scope seen;
    tree(h);
    narrow_east(h);
    struct caller bob = as(h->bob, ROLE_USER), ann = as(h->ann, ROLE_USER);
    house_run(h,
              "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, allowed_domain,"
              " fields, owner_id, state, created_ms, updated_ms) VALUES ('con_1', 'k', 'n', 'k n', 'fld_east', 'http', '1',"
              " 'none', 'x', '{}', 'o', 'active', 1, 1);"
              "INSERT INTO connection_share SELECT 'con_1', id, id, NULL, 0, 'x', 1 FROM principal WHERE name = 'bob@example.com'");
    assert_ok(rights_on_connection(h->db, h->arena, &bob, STR("con_1"), STR("fld_east"), &r, &h->why));
    assert_int_equal(r.mask, V | U);
    assert_null(r.path.p);
    assert_ok(rights_visible(h->db, h->arena, &bob, &seen, &h->why));
    assert_true(folder_scope_shares(&seen, STR("con_1")));
    assert_int_equal(rights_need_on_connection(h->db, h->arena, &bob, STR("con_1"), STR("fld_east"), RIGHT_EDIT, &h->why),
                     ERR_DENIED);
    assert_int_equal(rights_need_on_connection(h->db, h->arena, &ann, STR("con_1"), STR("fld_east"), RIGHT_VIEW, &h->why),
                     ERR_CONNECTION_NOT_FOUND);

    house_run(h, "UPDATE connection_share SET expires_ms = 5");
    assert_ok(rights_on_connection(h->db, h->arena, &bob, STR("con_1"), STR("fld_east"), &r, &h->why));
    assert_int_equal(r.mask, 0);

    /* With a folder: with those who are in it. */
    house_run(
        h,
        "DELETE FROM connection_share; INSERT INTO connection_share VALUES ('con_1', 'fld_sales', NULL, 'fld_sales', 0, 'x', 1)");
    assert_ok(rights_on_connection(h->db, h->arena, &ann, STR("con_1"), STR("fld_east"), &r, &h->why));
    assert_int_equal(r.mask, V | U);
    ann.narrow.lists[NARROW_CONNECTION].set = true;
    assert_ok(rights_on_connection(h->db, h->arena, &ann, STR("con_1"), STR("fld_east"), &r, &h->why));
    assert_int_equal(r.mask, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(a_role_in_the_instance_comes_down_the_shared_tree),
        T(a_folder_that_does_not_inherit_keeps_out_all_but_its_members_and_administrators),
        T(a_narrowed_token_gives_nobody_what_it_has_not_itself),
        T(memberships_add_up_over_groups_and_end_on_their_day),
        T(presets_hold_below_until_another_one_does),
        T(a_token_narrows_and_never_widens),
        T(a_refusal_names_the_right_and_the_folder),
        T(what_is_seen_in_lists_is_what_may_be_opened),
        T(a_connection_shared_singly_may_be_used_without_its_folder_until_the_share_ends),
    };
    return cmocka_run_group_tests_name("access/rights", tests, NULL, NULL);
}
