#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "house.h"

#include "access/folder_tree.h"

static void the_shared_folder_is_made_once(void **state)
{
    struct house *h = *state;
    struct str again;
    assert_true(str_starts(h->shared, STR("fld_")));
    assert_ok(folder_ensure_shared(h->db, h->arena, &again, &h->why));
    assert_true(str_eq(again, h->shared));
    /* A reader may ask too, once it is there. */
    assert_ok(folder_ensure_shared(store_reader(h->store, &h->why), h->arena, &again, &h->why));
    assert_true(str_eq(again, h->shared));
    assert_int_equal(house_number(h, "SELECT count(*) FROM folder"), 1);
}

static void each_user_gets_one_personal_folder_when_it_is_first_needed(void **state)
{
    struct house *h = *state;
    struct str anns, again, bobs;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &again, &h->why));
    assert_ok(folder_ensure_personal(h->db, h->arena, h->bob, &bobs, &h->why));
    assert_true(str_eq(anns, again));
    assert_false(str_eq(anns, bobs));
    assert_int_equal(house_number(h, "SELECT count(*) FROM folder WHERE kind = 'personal' AND path = 'personal/' || owner_id"), 2);
}

static void only_a_user_has_a_personal_folder(void **state)
{
    struct house *h = *state;
    struct str svc, id;
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("robot"), ROLE_USER, &svc, &h->why));
    assert_int_equal(folder_ensure_personal(h->db, h->arena, svc, &id, &h->why), ERR_NOT_FOUND);
    assert_int_equal(folder_ensure_personal(h->db, h->arena, STR("usr_none"), &id, &h->why), ERR_NOT_FOUND);
    assert_string_equal(h->why.subject, "user");
}

static void folders_are_found_by_path_and_by_id_by_those_who_may_see_them(void **state)
{
    struct house *h = *state;
    struct str anns, bobs;
    struct folder_row row;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    assert_ok(folder_ensure_personal(h->db, h->arena, h->bob, &bobs, &h->why));
    struct caller ann = house_caller(h, h->ann, ROLE_USER);
    const struct {
        struct str ask, id;
        const char *path, *kind;
    } found[] = {
        { STR("shared"), h->shared, "shared", "shared" },     { h->shared, h->shared, "shared", "shared" },
        { STR("personal"), anns, "personal", "personal" },    { anns, anns, "personal", "personal" },
    };
    for (size_t i = 0; i < COUNT(found); i++) {
        assert_ok(folder_resolve(h->db, h->arena, &ann, found[i].ask, &row, &h->why));
        assert_true(str_eq(row.id, found[i].id));
        assert_true(str_is(row.path, found[i].path));
        assert_true(str_is(row.kind, found[i].kind));
    }
    assert_true(str_eq(row.owner, h->ann));
    assert_true(row.created > 0);

    const struct str not_found[] = { bobs, str_fmt(h->arena, "personal/%.*s", STR_ARG(h->bob)), STR("shared/none"), STR("fld_none"),
                                     STR(""), STR_NONE, STR("Shared"), STR("%") };
    for (size_t i = 0; i < COUNT(not_found); i++) {
        assert_int_equal(folder_resolve(h->db, h->arena, &ann, not_found[i], &row, &h->why), ERR_NOT_FOUND);
        assert_string_equal(h->why.subject, "folder");
    }
}

static void administrators_and_owners_do_not_see_the_personal_folders_of_others(void **state)
{
    struct house *h = *state;
    struct str anns;
    struct folder_row row, *rows;
    size_t n;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    struct caller callers[] = { house_caller(h, h->admin, ROLE_ADMIN), house_caller(h, h->owner, ROLE_OWNER) };
    for (size_t i = 0; i < COUNT(callers); i++) {
        assert_int_equal(folder_resolve(h->db, h->arena, &callers[i], anns, &row, &h->why), ERR_NOT_FOUND);
        assert_int_equal(folder_resolve(h->db, h->arena, &callers[i], STR("personal"), &row, &h->why), ERR_NOT_FOUND);
        assert_ok(folder_list(h->db, h->arena, &callers[i], STR(""), 10, &rows, &n, &h->why));
        assert_int_equal(n, 1);
        assert_true(str_is(rows[0].path, "shared"));
    }
}

static void the_list_holds_ones_own_and_the_shared_folder(void **state)
{
    struct house *h = *state;
    struct str anns, bobs;
    struct folder_row *rows;
    size_t n;
    struct caller ann = house_caller(h, h->ann, ROLE_USER);
    assert_ok(folder_ensure_personal(h->db, h->arena, h->bob, &bobs, &h->why));
    assert_ok(folder_list(h->db, h->arena, &ann, STR(""), 10, &rows, &n, &h->why));
    assert_int_equal(n, 1);
    /* Made after the caller was resolved, and seen all the same. */
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    assert_ok(folder_list(h->db, h->arena, &ann, STR(""), 10, &rows, &n, &h->why));
    assert_int_equal(n, 2);
    assert_true(str_eq(rows[0].id, anns) && str_is(rows[0].path, "personal"));
    assert_true(str_eq(rows[1].id, h->shared) && str_is(rows[1].path, "shared"));
}

static void a_folder_holds_a_thousand_folders(void **state)
{
    struct house *h = *state;
    struct folder_row shared, last, below;
    struct str id;
    assert_ok(folder_get(h->db, h->arena, h->shared, &shared, &h->why));
    house_run(h,
              "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
              " INSERT INTO folder (id, parent_id, slug, path, kind, created_ms, updated_ms)"
              " SELECT 'fld_' || i, f.id, 's' || i, 'shared/s' || i, 'shared', 1, 1 FROM folder f, n WHERE f.path = 'shared'");
    assert_ok(folder_create(h->db, h->arena, &shared, STR("last"), PRESET_EDITORS_EDIT, true, &id, &h->why));
    assert_int_equal(folder_create(h->db, h->arena, &shared, STR("more"), PRESET_EDITORS_EDIT, true, &id, &h->why), ERR_LIMIT);
    assert_ok(folder_get(h->db, h->arena, id, &last, &h->why));
    assert_ok(folder_create(h->db, h->arena, &last, STR("below"), PRESET_EDITORS_EDIT, true, &id, &h->why));
    /* None comes in by moving either; who is there already may still be renamed. */
    assert_ok(folder_get(h->db, h->arena, id, &below, &h->why));
    assert_int_equal(folder_change(h->db, h->arena, &below, &shared, &h->why), ERR_LIMIT);
    last.slug = STR("renamed");
    assert_ok(folder_change(h->db, h->arena, &last, &shared, &h->why));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(the_shared_folder_is_made_once),
        T(each_user_gets_one_personal_folder_when_it_is_first_needed),
        T(only_a_user_has_a_personal_folder),
        T(folders_are_found_by_path_and_by_id_by_those_who_may_see_them),
        T(administrators_and_owners_do_not_see_the_personal_folders_of_others),
        T(the_list_holds_ones_own_and_the_shared_folder),
        T(a_folder_holds_a_thousand_folders),
    };
    return cmocka_run_group_tests_name("access/folder", tests, NULL, NULL);
}
