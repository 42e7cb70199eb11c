/* Attempts of people to authorize a connection: bound to one browser, taken once, over in time; and what providers say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/authorization_url.h"
#include "auth/connect_session.h"
#include "store/room.h"

#define BROWSER STR("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
#define OTHER STR("zbcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
#define STATE STR("2bcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")

struct hall {
    struct room *room;
    struct arena *a;
    struct db *db;
    struct authorization t;
    struct connect_session s;
    struct str browser, state;
    char link[AUTHORIZATION_TEXT];
    struct fault why;
};

static enum err furnish(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return db_script(
        db,
        "INSERT INTO principal (id, kind, name, role, created_ms, updated_ms) VALUES ('usr_1', 'user', 'a', 'owner', 1, 1);"
        "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld_1', 's', 's', 'shared', 1, 1);"
        "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type,"
        " allowed_domain, fields, owner_id, state, created_ms, updated_ms) VALUES ('con_1', 'k', 'k', 'k',"
        " 'fld_1', 'http', '1', 'oauth2_authorization_code', 'example.com', '{}', 'system', 'needs_auth', 1, 1)",
        why);
}

static int open_hall(void **state)
{
    struct hall *h = mem_zero(sizeof *h);
    h->room = room_new();
    h->a = h->room->arena;
    assert_int_equal(room_open_store(h->room->directory, &h->room->store, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, furnish, h, &h->why), ERR_NONE);
    h->db = store_reader(h->room->store, &h->why);
    *state = h;
    return 0;
}

static int close_hall(void **state)
{
    struct hall *h = *state;
    room_end(h->room);
    free(h);
    return 0;
}

static enum err write_begin(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    h->t = (struct authorization){ .connection = STR("con_1"), .principal = STR("usr_1"), .expires = h->t.expires };
    return authorization_begin(db, h->a, &h->t, h->browser, h->link, why);
}

static enum err write_send(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    return authorization_send(db, h->t.id, h->browser, h->state, STR("https://as.example"), why);
}

static enum err write_take(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    struct authorization taken;
    return authorization_take(db, h->a, h->state, h->browser, &taken, why);
}

static enum err with(struct hall *h, store_work *work, struct str browser, struct str state)
{
    h->browser = browser;
    h->state = state;
    return store_write(h->room->store, work, h, &h->why);
}

static void a_state_is_taken_once_and_by_the_browser_that_it_was_sent_with(void **state)
{
    struct hall *h = *state;
    struct authorization found;
    assert_int_equal(with(h, write_begin, STR_NONE, STR("")), ERR_NONE);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_NONE);
    assert_int_equal(with(h, write_send, BROWSER, STATE), ERR_NONE);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), OTHER, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_send, OTHER, STATE), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_take, OTHER, STATE), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_take, BROWSER, OTHER), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_take, STR(""), STATE), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_take, BROWSER, STR("")), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_look(h->db, STATE, BROWSER, &h->why), ERR_NONE);
    assert_int_equal(with(h, write_take, BROWSER, STATE), ERR_NONE);
    assert_int_equal(with(h, write_take, BROWSER, STATE), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_look(h->db, STATE, BROWSER, &h->why), ERR_AUTHORIZATION_OVER);
}

static void a_link_of_a_console_session_is_good_in_its_browser_only(void **state)
{
    struct hall *h = *state;
    struct authorization found;
    assert_int_equal(with(h, write_begin, BROWSER, STR("")), ERR_NONE);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), OTHER, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), BROWSER, &found, &h->why), ERR_NONE);
}

static void an_attempt_ends_with_its_time(void **state)
{
    struct hall *h = *state;
    struct authorization found;
    h->t.expires = clock_wall() - 1;
    assert_int_equal(with(h, write_begin, STR_NONE, STR("")), ERR_NONE);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(with(h, write_send, BROWSER, STATE), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_get(h->db, h->a, h->t.id, &found, &h->why), ERR_NONE);
    assert_int_equal(found.state, AUTHORIZATION_EXPIRED);
}

static void one_connection_keeps_ten_attempts_under_way(void **state)
{
    struct hall *h = *state;
    struct authorization found;
    char first[AUTHORIZATION_TEXT];
    for (int i = 0; i <= AUTHORIZATIONS_OF_CONNECTION; i++) {
        h->t.expires = 0;
        assert_int_equal(with(h, write_begin, STR_NONE, STR("")), ERR_NONE);
        if (!i)
            memcpy(first, h->link, sizeof first);
    }
    assert_int_equal(authorization_find(h->db, h->a, str_of(first), STR_NONE, &found, &h->why), ERR_AUTHORIZATION_OVER);
    assert_int_equal(authorization_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_NONE);
}

static void a_verifier_has_43_characters_of_browser_and_state(void **state)
{
    struct hall *h = *state;
    struct str v = authorization_verifier(h->a, BROWSER, STATE);
    assert_int_equal(v.n, 43);
    assert_false(str_eq(v, authorization_verifier(h->a, OTHER, STATE)));
    assert_false(str_eq(v, authorization_verifier(h->a, BROWSER, OTHER)));
}

static void an_answer_of_another_issuer_is_refused(void **state)
{
    struct hall *h = *state;
    struct str mine = STR("https://as.example"), theirs = STR("https://as.example/"), none = STR("");
    const struct { bool names; struct str issuer, begun, iss; enum err e; } cases[] = {
        { false, mine, mine, STR_NONE, ERR_NONE },
        { false, mine, mine, mine, ERR_NONE },
        { false, mine, mine, theirs, ERR_AUTHORIZATION_INVALID },
        { true, mine, mine, mine, ERR_NONE },
        { true, mine, mine, STR_NONE, ERR_AUTHORIZATION_INVALID },
        { true, mine, mine, none, ERR_AUTHORIZATION_INVALID },
        { false, mine, theirs, theirs, ERR_AUTHORIZATION_INVALID },
        { false, none, none, STR_NONE, ERR_NONE },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct oauth_profile p = { .issuer = cases[i].issuer, .names_itself = cases[i].names };
        assert_int_equal(authorization_check_issuer(&p, cases[i].begun, cases[i].iss, &h->why), cases[i].e);
    }
}

static enum err write_session(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    h->s = (struct connect_session){ .connection = STR("con_1"), .principal = STR("usr_1"), .expires = clock_wall() + 60000 };
    return connect_session_begin(db, h->a, &h->s, h->link, why);
}

static enum err write_bind(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    return connect_session_bind(db, h->s.id, h->browser, why);
}

static enum err write_done(struct db *db, void *context, struct fault *why)
{
    return connect_session_done(db, ((struct hall *)context)->s.id, why);
}

static void a_connect_session_is_of_the_first_browser_and_done_once(void **state)
{
    struct hall *h = *state;
    struct connect_session found;
    assert_int_equal(with(h, write_session, STR_NONE, STR("")), ERR_NONE);
    assert_int_equal(connect_session_find(h->db, h->a, str_of(h->link), STR_NONE, &found, &h->why), ERR_NONE);
    assert_int_equal(with(h, write_bind, BROWSER, STR("")), ERR_NONE);
    assert_int_equal(with(h, write_bind, BROWSER, STR("")), ERR_NONE);
    assert_int_equal(with(h, write_bind, OTHER, STR("")), ERR_CONNECT_LINK_INVALID);
    assert_int_equal(connect_session_find(h->db, h->a, str_of(h->link), OTHER, &found, &h->why), ERR_CONNECT_LINK_INVALID);
    assert_int_equal(with(h, write_done, BROWSER, STR("")), ERR_NONE);
    assert_int_equal(with(h, write_done, BROWSER, STR("")), ERR_CONNECT_LINK_INVALID);
    assert_int_equal(connect_session_find(h->db, h->a, str_of(h->link), BROWSER, &found, &h->why), ERR_CONNECT_LINK_INVALID);
    assert_int_equal(connect_session_get(h->db, h->a, h->s.id, &found, &h->why), ERR_NONE);
    assert_int_equal(found.state, CONNECT_DONE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, open_hall, close_hall)
    const struct CMUnitTest tests[] = {
        T(a_state_is_taken_once_and_by_the_browser_that_it_was_sent_with),
        T(a_link_of_a_console_session_is_good_in_its_browser_only),
        T(an_attempt_ends_with_its_time),
        T(one_connection_keeps_ten_attempts_under_way),
        T(a_verifier_has_43_characters_of_browser_and_state),
        T(an_answer_of_another_issuer_is_refused),
        T(a_connect_session_is_of_the_first_browser_and_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
