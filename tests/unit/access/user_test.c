#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "house.h"

static enum err create(struct house *h, struct str email, enum role role, const char *language)
{
    struct str id;
    return user_create(h->db, h->arena, email, STR_NONE, role, str_of(language), &id, &h->why);
}

static void a_user_comes_back_as_made_with_the_address_in_lower_case(void **state)
{
    struct house *h = *state;
    struct str id;
    struct user_row row;
    wall_ms now = clock_wall();
    assert_ok(user_create(h->db, h->arena, STR("Zo\xc3\xa9@Example.ORG"), STR_NONE, ROLE_ADMIN, STR("fr"), &id, &h->why));
    assert_true(str_starts(id, STR("usr_")));
    assert_ok(user_get(h->db, h->arena, id, &row, &h->why));
    assert_true(str_eq(row.id, id));
    assert_true(str_is(row.email, "zo\xc3\xa9@example.org"));
    assert_true(str_is(row.language, "fr"));
    assert_int_equal(row.role, ROLE_ADMIN);
    assert_false(row.disabled);
    assert_in_range(row.created, now, now + MINUTE);
    assert_int_equal(row.updated, row.created);
    assert_int_equal(row.revision, 1);
}

static void an_address_is_one_user_whatever_the_letter_case(void **state)
{
    struct house *h = *state;
    assert_int_equal(create(h, STR("ANN@example.com"), ROLE_USER, "en"), ERR_CONFLICT);
    assert_string_equal(h->why.subject, "ann@example.com");
}

static void an_address_has_one_at_sign_no_spaces_and_at_most_254_characters(void **state)
{
    struct house *h = *state;
    static const struct str bad[] = {
        { "nobody", 6 },  { "@example.com", 12 }, { "a@", 2 },     { "a@b@c", 5 },      { "a b@c", 5 }, { " a@b", 4 },
        { "a@b\n", 4 },   { "a@b\0c", 5 },        { "a@b\x7f", 4 }, { "a@\xff\xfe", 4 }, { "a\t@b", 4 },
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(create(h, bad[i], ROLE_USER, "en"), ERR_FIELD_INVALID);
    assert_int_equal(create(h, STR(""), ROLE_USER, "en"), ERR_FIELD_REQUIRED);
    char text[256];
    memset(text, 'x', sizeof text);
    text[100] = '@';
    assert_int_equal(create(h, (struct str){ text, 255 }, ROLE_USER, "en"), ERR_FIELD_INVALID);
    assert_ok(create(h, (struct str){ text, 254 }, ROLE_USER, "en"));
}

static void role_and_language_are_checked(void **state)
{
    struct house *h = *state;
    assert_int_equal(create(h, STR("x@example.com"), ROLE_NONE, "en"), ERR_FIELD_INVALID);
    assert_int_equal(create(h, STR("x@example.com"), ROLE_USER, "de"), ERR_FIELD_INVALID);
    assert_ok(create(h, STR("x@example.com"), ROLE_USER, "fr"));
}

static void users_are_listed_page_by_page_and_service_accounts_are_no_users(void **state)
{
    struct house *h = *state;
    struct str svc, after = STR_NONE, expected[] = { h->owner, h->admin, h->ann, h->bob };
    struct user_row *rows, row;
    size_t n, seen = 0;
    int64_t count;
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("robot"), ROLE_USER, &svc, &h->why));
    do {
        assert_ok(user_list(h->db, h->arena, after, 3, &rows, &n, &h->why));
        for (size_t i = 0; i < n; i++)
            assert_true(str_eq(rows[i].id, expected[seen++]));
        after = n ? rows[n - 1].id : after;
    } while (n);
    assert_int_equal(seen, 4);
    assert_ok(user_count(h->db, &count, &h->why));
    assert_int_equal(count, 4);
    assert_int_equal(user_get(h->db, h->arena, svc, &row, &h->why), ERR_NOT_FOUND);
    assert_string_equal(h->why.subject, "user");
}

static void an_update_is_written_and_the_row_knows_its_new_revision(void **state)
{
    struct house *h = *state;
    struct user_row row, again;
    assert_ok(user_get(h->db, h->arena, h->ann, &row, &h->why));
    row.email = STR("Ann.New@example.com");
    row.language = STR("fr");
    row.role = ROLE_ADMIN;
    row.disabled = true;
    assert_ok(user_update(h->db, &row, STR_NONE, &h->why));
    assert_ok(user_get(h->db, h->arena, h->ann, &again, &h->why));
    assert_true(str_is(again.email, "ann.new@example.com"));
    assert_true(str_is(again.language, "fr"));
    assert_int_equal(again.role, ROLE_ADMIN);
    assert_true(again.disabled);
    assert_int_equal(again.revision, 2);
    assert_int_equal(again.revision, row.revision);
    assert_int_equal(again.updated, row.updated);
    assert_ok(user_update(h->db, &row, STR_NONE, &h->why));
}

static void an_update_of_what_changed_meanwhile_is_refused(void **state)
{
    struct house *h = *state;
    struct user_row mine, theirs;
    assert_ok(user_get(h->db, h->arena, h->ann, &mine, &h->why));
    theirs = mine;
    theirs.role = ROLE_ADMIN;
    assert_ok(user_update(h->db, &theirs, STR_NONE, &h->why));
    mine.language = STR("fr");
    assert_int_equal(user_update(h->db, &mine, STR_NONE, &h->why), ERR_PRECONDITION_FAILED);
    assert_ok(user_get(h->db, h->arena, h->ann, &mine, &h->why));
    assert_int_equal(mine.role, ROLE_ADMIN);
    assert_true(str_is(mine.language, "en"));
    mine.id = STR("usr_none");
    assert_int_equal(user_update(h->db, &mine, STR_NONE, &h->why), ERR_NOT_FOUND);
}

static void an_update_cannot_take_the_address_of_another_and_is_checked_like_a_new_user(void **state)
{
    struct house *h = *state;
    struct user_row row;
    assert_ok(user_get(h->db, h->arena, h->ann, &row, &h->why));
    row.email = STR("BOB@example.com");
    assert_int_equal(user_update(h->db, &row, STR_NONE, &h->why), ERR_CONFLICT);
    assert_string_equal(h->why.subject, "bob@example.com");
    row.email = STR("no address");
    assert_int_equal(user_update(h->db, &row, STR_NONE, &h->why), ERR_FIELD_INVALID);
    row.email = STR("ann@example.com");
    row.language = STR("");
    assert_int_equal(user_update(h->db, &row, STR_NONE, &h->why), ERR_FIELD_INVALID);
}

static void a_password_is_kept_unless_a_new_one_is_given(void **state)
{
    struct house *h = *state;
    struct user_row row;
    assert_ok(user_get(h->db, h->arena, h->ann, &row, &h->why));
    assert_ok(user_update(h->db, &row, STR("$argon2id$one"), &h->why));
    assert_ok(user_update(h->db, &row, STR_NONE, &h->why));
    assert_int_equal(house_number(h, "SELECT count(*) FROM principal WHERE password = '$argon2id$one'"), 1);
    assert_ok(user_update(h->db, &row, STR("$argon2id$two"), &h->why));
    assert_int_equal(house_number(h, "SELECT count(*) FROM principal WHERE password = '$argon2id$two'"), 1);
}

static void the_last_owner_is_neither_deleted_nor_disabled_nor_demoted(void **state)
{
    struct house *h = *state;
    struct user_row row;
    assert_ok(user_get(h->db, h->arena, h->owner, &row, &h->why));
    row.role = ROLE_ADMIN;
    assert_int_equal(user_update(h->db, &row, STR_NONE, &h->why), ERR_LIMIT);
    row.role = ROLE_OWNER;
    row.disabled = true;
    assert_int_equal(user_update(h->db, &row, STR_NONE, &h->why), ERR_LIMIT);
    assert_int_equal(user_delete(h->db, h->owner, &h->why), ERR_LIMIT);
    row.disabled = false;
    row.language = STR("fr");
    assert_ok(user_update(h->db, &row, STR_NONE, &h->why));

    /* A disabled owner and a service account are nobody who could let others in. */
    struct str second = house_user(h, "second@example.com", ROLE_OWNER, STR_NONE), svc;
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("robot"), ROLE_OWNER, &svc, &h->why));
    house_run(h, "UPDATE principal SET disabled = 1 WHERE name = 'second@example.com'");
    assert_int_equal(user_delete(h->db, h->owner, &h->why), ERR_LIMIT);
    house_run(h, "UPDATE principal SET disabled = 0 WHERE name = 'second@example.com'");
    assert_ok(user_delete(h->db, h->owner, &h->why));
    assert_int_equal(user_delete(h->db, second, &h->why), ERR_LIMIT);
}

static void a_deleted_user_takes_tokens_sessions_and_an_empty_personal_folder_along(void **state)
{
    struct house *h = *state;
    struct str personal;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &personal, &h->why));
    house_caller(h, h->ann, ROLE_USER);
    house_caller(h, h->bob, ROLE_USER);
    house_run(h, "INSERT INTO session (hash, user_id, csrf, created_ms, seen_ms) SELECT 'hash', id, '', 0, 0 FROM principal WHERE "
                 "name = 'ann@example.com'");
    assert_ok(user_delete(h->db, h->ann, &h->why));
    assert_int_equal(house_number(h, "SELECT count(*) FROM token"), 1);
    assert_int_equal(house_number(h, "SELECT count(*) FROM session"), 0);
    assert_int_equal(house_number(h, "SELECT count(*) FROM folder"), 1);
    assert_int_equal(user_delete(h->db, h->ann, &h->why), ERR_NOT_FOUND);
}

static void connections_left_in_a_personal_folder_are_not_thrown_away_with_the_user(void **state)
{
    struct house *h = *state;
    struct str personal;
    struct user_row row;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &personal, &h->why));
    house_run(
        h,
        "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, allowed_domain,"
        " fields, owner_id, state, created_ms, updated_ms) SELECT 'con_1', 'k', 'k', 'k', id, 'http', '1', 'none', 'x',"
        " '{}', owner_id, 'active', 0, 0 FROM folder WHERE kind = 'personal'");
    assert_int_equal(user_delete(h->db, h->ann, &h->why), ERR_LIMIT);
    assert_ok(user_get(h->db, h->arena, h->ann, &row, &h->why));
    assert_int_equal(house_number(h, "SELECT count(*) FROM folder"), 2);
}

static void a_service_account_is_made_once_and_keeps_its_role(void **state)
{
    struct house *h = *state;
    struct str one, again, other;
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("Robot 1"), ROLE_USER, &one, &h->why));
    assert_true(str_starts(one, STR("svc_")));
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("Robot 1"), ROLE_ADMIN, &again, &h->why));
    assert_true(str_eq(one, again));
    assert_int_equal(house_number(h, "SELECT count(*) FROM principal WHERE kind = 'service_account' AND role = 'user'"), 1);
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("Robot 2"), ROLE_USER, &other, &h->why));
    assert_false(str_eq(one, other));
    assert_int_equal(service_account_find_or_create(h->db, h->arena, STR("a\nb"), ROLE_USER, &other, &h->why), ERR_FIELD_INVALID);
    assert_int_equal(service_account_find_or_create(h->db, h->arena, STR(""), ROLE_USER, &other, &h->why), ERR_FIELD_REQUIRED);
    assert_int_equal(service_account_find_or_create(h->db, h->arena, STR("x"), ROLE_NONE, &other, &h->why), ERR_FIELD_INVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(a_user_comes_back_as_made_with_the_address_in_lower_case),
        T(an_address_is_one_user_whatever_the_letter_case),
        T(an_address_has_one_at_sign_no_spaces_and_at_most_254_characters),
        T(role_and_language_are_checked),
        T(users_are_listed_page_by_page_and_service_accounts_are_no_users),
        T(an_update_is_written_and_the_row_knows_its_new_revision),
        T(an_update_of_what_changed_meanwhile_is_refused),
        T(an_update_cannot_take_the_address_of_another_and_is_checked_like_a_new_user),
        T(a_password_is_kept_unless_a_new_one_is_given),
        T(the_last_owner_is_neither_deleted_nor_disabled_nor_demoted),
        T(a_deleted_user_takes_tokens_sessions_and_an_empty_personal_folder_along),
        T(connections_left_in_a_personal_folder_are_not_thrown_away_with_the_user),
        T(a_service_account_is_made_once_and_keeps_its_role),
    };
    return cmocka_run_group_tests_name("access/user", tests, NULL, NULL);
}
