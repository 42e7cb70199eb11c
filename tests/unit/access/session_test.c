#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/session.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "house.h"

#define HOUR (60 * MINUTE)

struct open_session {
    char text[SESSION_TEXT];
    struct str csrf;
};

static struct open_session open_for(struct house *h, struct str user)
{
    struct open_session s;
    struct session_new n = { user, STR("192.0.2.7"), STR("Browser/1.0"), SESSION_PASSWORD };
    assert_ok(session_create(h->db, h->arena, &n, s.text, &s.csrf, &h->why));
    return s;
}

static enum err resolve(struct house *h, const struct open_session *s, struct caller *c, bool *touch)
{
    return session_resolve(h->db, h->arena, str_of(s->text), c, touch, &h->why);
}

static enum err still(struct house *h, const struct open_session *s)
{
    struct caller c;
    bool touch;
    return resolve(h, s, &c, &touch);
}

static void age(struct house *h, const char *column, int64_t ms)
{
    house_run(h, str_fmt(h->arena, "UPDATE session SET %s = %s - %lld", column, column, (long long)ms).p);
}

static void a_session_resolves_to_its_user(void **state)
{
    struct house *h = *state;
    struct caller c;
    bool touch = true;
    struct str personal;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->admin, &personal, &h->why));
    wall_ms now = clock_wall();
    struct open_session s = open_for(h, h->admin);
    assert_int_equal(strlen(s.text), SESSION_TEXT - 1);
    assert_ok(resolve(h, &s, &c, &touch));
    assert_true(str_eq(c.principal, h->admin));
    assert_true(str_is(c.name, "admin@example.com"));
    assert_int_equal(c.role, ROLE_ADMIN);
    assert_null(c.token.p);
    assert_true(c.session_csrf.n >= 26 && str_eq(c.session_csrf, s.csrf));
    assert_int_equal(c.language, LANG_EN);
    assert_false(caller_limited(&c));
    assert_in_range(c.expires, now + 8 * HOUR, now + 8 * HOUR + MINUTE);
    assert_false(touch);
}

static void sessions_and_their_csrf_tokens_are_never_alike(void **state)
{
    struct house *h = *state;
    struct open_session one = open_for(h, h->ann), two = open_for(h, h->ann);
    assert_string_not_equal(one.text, two.text);
    assert_false(str_eq(one.csrf, two.csrf));
    assert_ok(still(h, &one));
    assert_ok(still(h, &two));
}

static void the_database_holds_the_hash_of_a_session_and_nowhere_its_text(void **state)
{
    struct house *h = *state;
    char hex[64];
    unsigned char digest[SHA256_SIZE];
    struct open_session s = open_for(h, h->ann);
    sha256(str_of(s.text), digest);
    hex_write(hex, (struct str){ (char *)digest, sizeof digest });
    struct query *q = query_begin(h->db, "SELECT hash, hash || user_id || csrf FROM session");
    assert_true(query_next(q));
    assert_true(str_eq(query_get_text(q, 0, h->arena), (struct str){ hex, 64 }));
    assert_int_equal(str_find_str(query_get_text(q, 1, h->arena), (struct str){ s.text, 16 }), SIZE_MAX);
    assert_ok(query_end(q, &h->why));
}

static void a_session_ends_after_a_quarter_of_an_hour_of_silence(void **state)
{
    struct house *h = *state;
    struct open_session s = open_for(h, h->ann);
    age(h, "seen_ms", 14 * MINUTE);
    assert_ok(still(h, &s));
    age(h, "seen_ms", MINUTE);
    assert_int_equal(still(h, &s), ERR_UNAUTHENTICATED);
}

static void a_session_ends_after_eight_hours_however_busy(void **state)
{
    struct house *h = *state;
    struct open_session s = open_for(h, h->ann);
    age(h, "created_ms", 8 * HOUR - MINUTE);
    assert_ok(still(h, &s));
    age(h, "created_ms", MINUTE);
    assert_int_equal(still(h, &s), ERR_UNAUTHENTICATED);
}

static void a_touch_is_asked_for_once_a_minute_and_starts_the_silence_anew(void **state)
{
    struct house *h = *state;
    struct caller c;
    bool touch;
    struct open_session s = open_for(h, h->ann);
    age(h, "seen_ms", 30 * 1000);
    assert_ok(resolve(h, &s, &c, &touch));
    assert_false(touch);
    age(h, "seen_ms", 31 * 1000);
    assert_ok(resolve(h, &s, &c, &touch));
    assert_true(touch);
    age(h, "seen_ms", 13 * MINUTE);
    assert_ok(session_touch(h->db, str_of(s.text), &h->why));
    age(h, "seen_ms", 14 * MINUTE);
    assert_ok(still(h, &s));
}

static void resolving_a_session_writes_nothing(void **state)
{
    struct house *h = *state;
    struct caller c;
    bool touch;
    struct open_session s = open_for(h, h->ann);
    assert_ok(session_resolve(store_reader(h->store, &h->why), h->arena, str_of(s.text), &c, &touch, &h->why));
}

static void what_is_no_session_is_unauthenticated(void **state)
{
    struct house *h = *state;
    struct caller c;
    bool touch;
    struct open_session s = open_for(h, h->ann);
    s.text[0] = s.text[0] == 'a' ? 'b' : 'a';
    assert_int_equal(still(h, &s), ERR_UNAUTHENTICATED);
    static const char *const others[] = { "", "x", "rcd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "%" };
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(session_resolve(h->db, h->arena, str_of(others[i]), &c, &touch, &h->why), ERR_UNAUTHENTICATED);
}

static void a_disabled_users_session_is_over(void **state)
{
    struct house *h = *state;
    struct open_session s = open_for(h, h->ann);
    house_run(h, "UPDATE principal SET disabled = 1 WHERE name = 'ann@example.com'");
    assert_int_equal(still(h, &s), ERR_UNAUTHENTICATED);
    struct str csrf;
    assert_int_equal(session_create(h->db, h->arena, &(struct session_new){ .user = h->ann }, s.text, &csrf, &h->why),
                     ERR_NOT_FOUND);
}

static void a_renewed_session_goes_on_under_a_new_text_only(void **state)
{
    struct house *h = *state;
    struct open_session was = open_for(h, h->ann), is;
    struct caller before, after;
    bool touch;
    assert_ok(resolve(h, &was, &before, &touch));
    age(h, "proved_ms", HOUR);
    assert_ok(session_renew(h->db, h->arena, before.session, SESSION_SECOND_FACTOR, is.text, &is.csrf, &h->why));
    assert_int_equal(still(h, &was), ERR_UNAUTHENTICATED);
    assert_ok(resolve(h, &is, &after, &touch));
    assert_true(str_eq(before.session, after.session));
    assert_false(str_eq(was.csrf, is.csrf));
    assert_true(clock_wall() - after.proved < MINUTE);
    assert_int_equal(after.how, SESSION_SECOND_FACTOR);
    assert_ok(session_end(h->db, str_of(is.text), &h->why));
    assert_int_equal(session_renew(h->db, h->arena, before.session, SESSION_PASSWORD, is.text, &is.csrf, &h->why),
                     ERR_UNAUTHENTICATED);
}

static void a_person_sees_where_one_is_signed_in_and_ends_the_others(void **state)
{
    struct house *h = *state;
    struct open_session mine = open_for(h, h->ann), old = open_for(h, h->ann), bobs = open_for(h, h->bob);
    struct session_row *rows;
    struct caller c;
    bool touch;
    size_t n;
    assert_ok(resolve(h, &mine, &c, &touch));
    assert_ok(session_list(h->db, h->arena, h->ann, &rows, &n, &h->why));
    assert_int_equal(n, 2);
    assert_true(str_eq(rows[1].id, c.session));
    assert_true(str_is(rows[0].address, "192.0.2.7") && str_is(rows[0].agent, "Browser/1.0"));
    assert_ok(sessions_end_others(h->db, h->ann, c.session, &h->why));
    assert_ok(still(h, &mine));
    assert_int_equal(still(h, &old), ERR_UNAUTHENTICATED);
    assert_ok(still(h, &bobs));
}

static void signing_out_ends_one_session_and_only_that(void **state)
{
    struct house *h = *state;
    struct open_session one = open_for(h, h->ann), two = open_for(h, h->ann);
    assert_ok(session_end(h->db, str_of(one.text), &h->why));
    assert_int_equal(still(h, &one), ERR_UNAUTHENTICATED);
    assert_ok(still(h, &two));
    assert_ok(session_end(h->db, str_of(one.text), &h->why));
}

static void all_sessions_of_one_user_end_and_those_of_others_go_on(void **state)
{
    struct house *h = *state;
    struct open_session one = open_for(h, h->ann), two = open_for(h, h->ann), other = open_for(h, h->bob);
    assert_ok(sessions_end_of_user(h->db, h->ann, &h->why));
    assert_int_equal(still(h, &one), ERR_UNAUTHENTICATED);
    assert_int_equal(still(h, &two), ERR_UNAUTHENTICATED);
    assert_ok(still(h, &other));
}

/* What a change of the user does to the sessions of before. */
static enum err after_update(struct house *h, struct str user, void (*change)(struct user_row *), struct str password_hash)
{
    struct user_row row;
    struct open_session s = open_for(h, user), other = open_for(h, h->bob);
    assert_ok(user_get(h->db, h->arena, user, &row, &h->why));
    if (change)
        change(&row);
    assert_ok(user_update(h->db, &row, password_hash, &h->why));
    assert_ok(still(h, &other));
    return still(h, &s);
}

static void make_admin(struct user_row *row) { row->role = ROLE_ADMIN; }
static void disable(struct user_row *row) { row->disabled = true; }
static void speak_french(struct user_row *row) { row->language = STR("fr"); }

static void a_new_password_a_new_role_or_disabling_ends_all_sessions_of_the_user(void **state)
{
    struct house *h = *state;
    assert_ok(after_update(h, h->ann, speak_french, STR_NONE));
    assert_int_equal(after_update(h, h->ann, NULL, STR("$argon2id$new")), ERR_UNAUTHENTICATED);
    assert_int_equal(after_update(h, h->ann, make_admin, STR_NONE), ERR_UNAUTHENTICATED);
    assert_int_equal(after_update(h, h->ann, disable, STR_NONE), ERR_UNAUTHENTICATED);
}

static void sessions_that_are_over_are_removed_and_a_user_has_twenty_at_most(void **state)
{
    struct house *h = *state;
    struct open_session first = open_for(h, h->bob), mine[25];
    age(h, "seen_ms", 15 * MINUTE);
    for (int i = 0; i < 25; i++) {
        mine[i] = open_for(h, h->ann);
        age(h, "created_ms", 1000);
    }
    assert_int_equal(house_number(h, "SELECT count(*) FROM session"), 20);
    assert_int_equal(still(h, &first), ERR_UNAUTHENTICATED);
    assert_int_equal(still(h, &mine[4]), ERR_UNAUTHENTICATED);
    assert_ok(still(h, &mine[5]));
    assert_ok(still(h, &mine[24]));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(a_session_resolves_to_its_user),
        T(sessions_and_their_csrf_tokens_are_never_alike),
        T(the_database_holds_the_hash_of_a_session_and_nowhere_its_text),
        T(a_session_ends_after_a_quarter_of_an_hour_of_silence),
        T(a_session_ends_after_eight_hours_however_busy),
        T(a_touch_is_asked_for_once_a_minute_and_starts_the_silence_anew),
        T(resolving_a_session_writes_nothing),
        T(what_is_no_session_is_unauthenticated),
        T(a_disabled_users_session_is_over),
        T(a_renewed_session_goes_on_under_a_new_text_only),
        T(a_person_sees_where_one_is_signed_in_and_ends_the_others),
        T(signing_out_ends_one_session_and_only_that),
        T(all_sessions_of_one_user_end_and_those_of_others_go_on),
        T(a_new_password_a_new_role_or_disabling_ends_all_sessions_of_the_user),
        T(sessions_that_are_over_are_removed_and_a_user_has_twenty_at_most),
    };
    return cmocka_run_group_tests_name("access/session", tests, NULL, NULL);
}
