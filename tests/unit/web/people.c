/* The doors of setup, sessions, users, service accounts and tokens. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "access/session.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "web/hall.h"

#define CODE "k5v2m7xq"
#define PASSWORD "four plain words here"

static int with_hall(void **state) { return (*state = hall_new()) == NULL; }
static int drop_hall(void **state)
{
    hall_free(*state);
    return 0;
}

static void open_setup(struct hall *h)
{
    unsigned char digest[SHA256_SIZE];
    char *hex = arena_zero(h->boot, 2 * SHA256_SIZE + 1);
    sha256(STR(CODE), digest);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    h->hub.setup_code_hash = str_of(hex);
    atomic_store(&h->hub.setup_open, true);
}

#define OWNER "{\"code\":\"" CODE "\",\"email\":\"Owner@Example.com\",\"password\":\"" PASSWORD "\",\"language\":\"fr\"}"

/* ---- setup and sessions ---- */

static void the_setup_code_makes_the_owner_once(void **state)
{
    struct hall *h = *state;
    open_setup(h);
    hall_ask(h, METHOD_POST, "/api/v1/setup", "{\"code\":\"wrong\",\"email\":\"x@example.com\",\"password\":\"" PASSWORD "\"}");
    assert_refused(h, ERR_SETUP_CODE_INVALID, "");
    hall_ask(h, METHOD_POST, "/api/v1/setup", "{\"code\":\"" CODE "\",\"email\":\"x@example.com\",\"password\":\"short\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/password");
    hall_ask(h, METHOD_POST, "/api/v1/setup", "{\"code\":\"" CODE "\",\"email\":\"nobody\",\"password\":\"" PASSWORD "\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/email");
    hall_ask(h, METHOD_POST, "/api/v1/setup", OWNER);
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "email"), "owner@example.com");
    assert_string_equal(hall_text(h, "role"), "owner");
    assert_string_equal(hall_text(h, "language"), "fr");
    assert_null(strstr(h->body, PASSWORD));
    hall_ask(h, METHOD_POST, "/api/v1/setup", OWNER);
    assert_refused(h, ERR_SETUP_DONE, "");
    /* Two that came at once: the second finds a user there. */
    atomic_store(&h->hub.setup_open, true);
    hall_ask(h, METHOD_POST, "/api/v1/setup", OWNER);
    assert_refused(h, ERR_SETUP_DONE, "");
}

static void signing_in_gives_a_cookie_and_the_csrf_token(void **state)
{
    struct hall *h = *state;
    struct caller me;
    bool touch;
    open_setup(h);
    hall_ask(h, METHOD_POST, "/api/v1/setup", OWNER);
    hall_ask(h, METHOD_POST, "/api/v1/session", "{\"email\":\"owner@example.com\",\"password\":\"" PASSWORD "\"}");
    assert_ok(h, 200);
    const char *csrf = hall_text(h, "csrf_token"), *cookie = hall_reply_header(h, "Set-Cookie");
    assert_non_null(strstr(cookie, "; HttpOnly; SameSite=Strict; Secure"));
    struct str name, value, rest;
    assert_true(str_cut(str_of(cookie), '=', &name, &value));
    str_cut(value, ';', &value, &rest);
    assert_int_equal(session_resolve(store_reader(h->hub.store, &h->why), h->exchange, value, &me, &touch, &h->why), ERR_NONE);
    assert_string_equal(arena_cstr(h->exchange, me.session_csrf), csrf);

    h->caller = &me;
    hall_ask(h, METHOD_GET, "/api/v1/session", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "principal.name"), "owner@example.com");
    assert_string_equal(hall_text(h, "role"), "owner");
    assert_string_equal(hall_text(h, "language"), "fr");
    assert_string_equal(hall_text(h, "csrf_token"), csrf);
    assert_string_equal(hall_text(h, "token"), "null");

    hall_header(h, "Cookie", str_fmt(h->exchange, "__Host-raccord=%.*s", STR_ARG(value)).p);
    hall_ask(h, METHOD_DELETE, "/api/v1/session", NULL);
    assert_ok(h, 204);
    assert_non_null(strstr(hall_reply_header(h, "Set-Cookie"), "Max-Age=0"));
    struct caller gone;
    assert_int_equal(session_resolve(store_reader(h->hub.store, &h->why), h->exchange, value, &gone, &touch, &h->why),
                     ERR_UNAUTHENTICATED);
}

static void a_wrong_password_says_no_more_than_an_unknown_address(void **state)
{
    struct hall *h = *state;
    open_setup(h);
    hall_ask(h, METHOD_POST, "/api/v1/setup", OWNER);
    hall_ask(h, METHOD_POST, "/api/v1/session", "{\"email\":\"owner@example.com\",\"password\":\"wrong\"}");
    assert_refused(h, ERR_BAD_CREDENTIALS, "");
    hall_ask(h, METHOD_POST, "/api/v1/session", "{\"email\":\"who@example.com\",\"password\":\"wrong\"}");
    assert_refused(h, ERR_BAD_CREDENTIALS, "");
    hall_ask(h, METHOD_POST, "/api/v1/session", "{\"email\":\"owner@example.com\"}");
    assert_refused(h, ERR_FIELD_REQUIRED, "/password");
}

/* ---- users ---- */

static const char *user_path(struct hall *h, const struct caller *c)
{
    return str_fmt(h->exchange, "/api/v1/users/%.*s", STR_ARG(c->principal)).p;
}

static void users_are_made_and_seen_by_administrators(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false);
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    hall_ask(h, METHOD_POST, "/api/v1/users", "{\"email\":\"new@example.com\",\"language\":\"fr\"}");
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "role"), "user");
    hall_ask(h, METHOD_POST, "/api/v1/users", "{\"email\":\"NEW@example.com\"}");
    assert_refused(h, ERR_CONFLICT, "/email");
    hall_ask(h, METHOD_POST, "/api/v1/users", "{\"email\":\"o@example.com\",\"role\":\"owner\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_POST, "/api/v1/users", "{\"email\":\"o@example.com\",\"role\":\"king\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/role");
    hall_ask(h, METHOD_GET, "/api/v1/users?limit=2", NULL);
    assert_ok(h, 200);
    assert_int_equal(hall_count(h, "items"), 2);
    assert_true(strcmp(hall_text(h, "next_cursor"), "null"));
    h->caller = ann;
    hall_ask(h, METHOD_GET, "/api/v1/users", NULL);
    assert_refused(h, ERR_DENIED, "");
}

static void a_user_sees_and_changes_oneself_and_no_one_else(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false),
                  *bob = hall_person(h, "bob@example.com", ROLE_USER, false);
    h->caller = ann;
    hall_ask(h, METHOD_GET, user_path(h, ann), NULL);
    assert_ok(h, 200);
    hall_ask(h, METHOD_GET, user_path(h, bob), NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
    hall_ask(h, METHOD_PATCH, user_path(h, bob), "{\"language\":\"fr\"}");
    assert_refused(h, ERR_NOT_FOUND, "");
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"language\":\"fr\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "language"), "fr");
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"role\":\"admin\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"disabled\":true}");
    assert_refused(h, ERR_DENIED, "");
}

static void ones_own_password_is_changed_by_who_knows_it(void **state)
{
    struct hall *h = *state;
    struct caller *owner = hall_person(h, "owner@example.com", ROLE_OWNER, false),
                  *ann = hall_person(h, "ann@example.com", ROLE_USER, false);
    h->caller = owner;
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"password\":\"" PASSWORD "\"}");
    assert_ok(h, 200);
    h->caller = ann;
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"password\":\"another plain word\"}");
    assert_refused(h, ERR_FIELD_REQUIRED, "/current_password");
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"password\":\"another plain word\",\"current_password\":\"guess\"}");
    assert_refused(h, ERR_BAD_CREDENTIALS, "");
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"password\":\"another plain word\",\"current_password\":\"" PASSWORD "\"}");
    assert_ok(h, 200);
    hall_ask(h, METHOD_POST, "/api/v1/session", "{\"email\":\"ann@example.com\",\"password\":\"another plain word\"}");
    assert_ok(h, 200);
}

static void an_administrator_does_not_touch_the_owner(void **state)
{
    struct hall *h = *state;
    struct caller *owner = hall_person(h, "owner@example.com", ROLE_OWNER, false);
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    hall_ask(h, METHOD_PATCH, user_path(h, owner), "{\"password\":\"" PASSWORD "\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_PATCH, user_path(h, owner), "{\"role\":\"user\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_DELETE, user_path(h, owner), NULL);
    assert_refused(h, ERR_DENIED, "");
    h->caller = owner;
    hall_ask(h, METHOD_DELETE, user_path(h, owner), NULL);
    assert_refused(h, ERR_LIMIT, "");
}

static void a_user_changed_meanwhile_is_not_overwritten(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false);
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    hall_ask(h, METHOD_GET, user_path(h, ann), NULL);
    const char *tag = hall_reply_header(h, "ETag");
    hall_header(h, "If-Match", tag);
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"disabled\":true}");
    assert_ok(h, 200);
    hall_header(h, "If-Match", tag);
    hall_ask(h, METHOD_PATCH, user_path(h, ann), "{\"disabled\":false}");
    assert_refused(h, ERR_PRECONDITION_FAILED, "");
    hall_ask(h, METHOD_DELETE, user_path(h, ann), NULL);
    assert_ok(h, 204);
    hall_ask(h, METHOD_GET, user_path(h, ann), NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
}

/* ---- service accounts ---- */

static void a_service_account_lives_from_its_making_to_its_end(void **state)
{
    struct hall *h = *state;
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    hall_ask(h, METHOD_POST, "/api/v1/service-accounts", "{\"name\":\"crm-sync\"}");
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "role"), "user");
    const char *id = hall_text(h, "id"), *tag = hall_reply_header(h, "ETag");
    hall_ask(h, METHOD_POST, "/api/v1/service-accounts", "{\"name\":\"crm-sync\"}");
    assert_refused(h, ERR_CONFLICT, "/name");
    hall_ask(h, METHOD_POST, "/api/v1/service-accounts", "{\"name\":\"x\",\"role\":\"owner\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/role");
    hall_ask(h, METHOD_GET, "/api/v1/service-accounts/crm-sync", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "id"), id);
    hall_header(h, "If-Match", tag);
    hall_ask(h, METHOD_PATCH, "/api/v1/service-accounts/crm-sync",
             "{\"name\":\"crm-sync-2\",\"role\":\"admin\",\"disabled\":true}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "name"), "crm-sync-2");
    assert_string_equal(hall_text(h, "disabled"), "true");
    hall_header(h, "If-Match", tag);
    hall_ask(h, METHOD_DELETE, "/api/v1/service-accounts/crm-sync-2", NULL);
    assert_refused(h, ERR_PRECONDITION_FAILED, "");
    hall_ask(h, METHOD_GET, "/api/v1/service-accounts", NULL);
    assert_int_equal(hall_count(h, "items"), 1);
    hall_ask(h, METHOD_DELETE, "/api/v1/service-accounts/crm-sync-2", NULL);
    assert_ok(h, 204);
    hall_ask(h, METHOD_GET, "/api/v1/service-accounts/crm-sync-2", NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
}

/* ---- tokens ---- */

static void a_tokens_secret_is_shown_once(void **state)
{
    struct hall *h = *state;
    h->caller = hall_person(h, "ann@example.com", ROLE_USER, false);
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"laptop\",\"expires_in\":\"30d\"}");
    assert_ok(h, 201);
    const char *id = hall_text(h, "id"), *secret = hall_text(h, "secret");
    assert_true(token_well_formed(str_of(secret)));
    assert_string_equal(hall_text(h, "last4"), secret + strlen(secret) - 4);
    assert_string_equal(hall_text(h, "role"), "user");
    assert_string_equal(hall_text(h, "connections"), "null");
    assert_string_equal(hall_text(h, "principal.name"), "ann@example.com");
    assert_true(strcmp(hall_text(h, "expires_at"), "null"));
    const struct caller *as = hall_resolve(h, secret);
    assert_string_equal(arena_cstr(h->exchange, as->name), "ann@example.com");
    const char *const doors[] = { str_fmt(h->exchange, "/api/v1/tokens/%s", id).p, "/api/v1/tokens" };
    for (size_t i = 0; i < COUNT(doors); i++) {
        hall_ask(h, METHOD_GET, doors[i], NULL);
        assert_ok(h, 200);
        assert_true(str_find_str(buf_str(&h->reply.body), str_of(secret)) == SIZE_MAX);
        assert_true(str_find_str(buf_str(&h->reply.body), STR("secret")) == SIZE_MAX);
    }
}

static void a_token_gives_no_more_than_its_maker_has(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false),
                  *admin = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    h->caller = ann;
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"role\":\"admin\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"service_account\":\"robot\"}");
    assert_refused(h, ERR_DENIED, "");
    h->caller = admin;
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"role\":\"owner\"}");
    assert_refused(h, ERR_DENIED, "");

    /* A limited token makes tokens of the same limits, or narrower ones. */
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"one\",\"folder\":\"shared\",\"fields\":{\"base_url\":"
             "\"https://a.example.com\"}}");
    const char *one = hall_text(h, "id");
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"two\",\"folder\":\"shared\",\"fields\":{\"base_url\":"
             "\"https://a.example.com\"}}");
    hall_ask(h, METHOD_POST, "/api/v1/tokens",
             "{\"name\":\"narrow\",\"role\":\"admin\",\"connections\":[\"one\"],\"expires_in\":\"1h\"}");
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "connections.0"), one);
    const char *end = hall_text(h, "expires_at");
    h->caller = hall_resolve(h, hall_text(h, "secret"));
    assert_true(caller_limited(h->caller));
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"heir\"}");
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "connections.0"), one);
    assert_int_equal(hall_count(h, "connections"), 1);
    assert_string_equal(hall_text(h, "expires_at"), end);
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"connections\":[\"one\",\"two\"]}");
    assert_refused(h, ERR_CONNECTION_NOT_FOUND, "/connections/1");
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"expires_in\":\"2h\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/expires_at");
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"x\",\"connections\":[]}");
    assert_ok(h, 201);
    assert_int_equal(hall_count(h, "connections"), 0);
    assert_string_equal(hall_text(h, "connections"), "[]");
}

static void a_limited_token_does_not_lengthen_its_own_life(void **state)
{
    struct hall *h = *state;
    h->caller = hall_person(h, "ann@example.com", ROLE_USER, false);
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"short\",\"expires_in\":\"1h\"}");
    const char *path = str_fmt(h->exchange, "/api/v1/tokens/%s", hall_text(h, "id")).p;
    h->caller = hall_resolve(h, hall_text(h, "secret"));
    hall_ask(h, METHOD_PATCH, path, "{\"expires_in\":\"30d\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/expires_at");
    hall_ask(h, METHOD_PATCH, path, "{\"expires_at\":null}");
    assert_true(h->err != ERR_NONE || strcmp(hall_text(h, "expires_at"), "null"));
    hall_ask(h, METHOD_PATCH, path, "{\"name\":\"renamed\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "name"), "renamed");
}

static void a_body_that_makes_no_token_is_pointed_at(void **state)
{
    struct hall *h = *state;
    static const struct { const char *body; enum err err; const char *pointer; } cases[] = {
        { "{}", ERR_FIELD_REQUIRED, "/name" },
        { "{\"name\":\"x\",\"expire\":\"1d\"}", ERR_UNKNOWN_FIELD, "/expire" },
        { "{\"name\":\"x\",\"expires_in\":\"soon\"}", ERR_FIELD_INVALID, "/expires_in" },
        { "{\"name\":\"x\",\"expires_at\":\"2001-01-01T00:00:00Z\"}", ERR_FIELD_INVALID, "/expires_at" },
        { "{\"name\":\"x\",\"expires_at\":\"2101-01-01T00:00:00Z\",\"expires_in\":\"1d\"}", ERR_FIELD_INVALID, "/expires_at" },
        { "{\"name\":\"x\",\"connections\":\"crm\"}", ERR_FIELD_INVALID, "/connections" },
        { "{\"name\":\"x\",\"connections\":[\"crm\"]}", ERR_CONNECTION_NOT_FOUND, "/connections/0" },
        { "{\"name\":\"x\",\"connections\":[1]}", ERR_FIELD_INVALID, "/connections/0" },
        { "{\"name\":\"x\",\"service_account\":\"usr_1\"}", ERR_FIELD_INVALID, "/service_account" },
    };
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(h, METHOD_POST, "/api/v1/tokens", cases[i].body);
        if (h->err != cases[i].err || strcmp(h->why.pointer, cases[i].pointer))
            fail_msg("%s: %s at %s", cases[i].body, err_row(h->err)->code, h->why.pointer);
    }
}

static void a_service_account_gets_tokens_of_its_role(void **state)
{
    struct hall *h = *state;
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"t\",\"service_account\":\"sync\"}");
    assert_ok(h, 201);
    assert_string_equal(hall_text(h, "principal.name"), "sync");
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"t\",\"service_account\":\"sync\",\"role\":\"admin\"}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"t\",\"service_account\":\"svc_none\"}");
    assert_refused(h, ERR_NOT_FOUND, "");
}

static void a_revoked_token_opens_nothing_and_stays_in_the_list(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false),
                  *bob = hall_person(h, "bob@example.com", ROLE_USER, false);
    h->caller = ann;
    hall_ask(h, METHOD_POST, "/api/v1/tokens", "{\"name\":\"lost\"}");
    const char *id = hall_text(h, "id"), *secret = hall_text(h, "secret"), *path = str_fmt(h->exchange, "/api/v1/tokens/%s", id).p;
    h->caller = bob;
    hall_ask(h, METHOD_DELETE, path, NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
    hall_ask(h, METHOD_GET, path, NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
    h->caller = ann;
    for (int again = 0; again < 2; again++) {
        hall_ask(h, METHOD_DELETE, path, NULL);
        assert_ok(h, 204);
    }
    struct caller as;
    assert_int_equal(token_resolve(store_reader(h->hub.store, &h->why), h->exchange, str_of(secret), &as, &h->why),
                     ERR_TOKEN_INVALID);
    hall_ask(h, METHOD_GET, path, NULL);
    assert_ok(h, 200);
    assert_true(strcmp(hall_text(h, "revoked_at"), "null"));
}

static void a_user_lists_the_own_tokens_and_an_administrator_everyones(void **state)
{
    struct hall *h = *state;
    struct caller *ann = hall_person(h, "ann@example.com", ROLE_USER, false),
                  *admin = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    h->caller = ann;
    hall_ask(h, METHOD_GET, "/api/v1/tokens", NULL);
    assert_int_equal(hall_count(h, "items"), 1);
    hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/tokens?principal=%.*s", STR_ARG(admin->principal)).p, NULL);
    assert_string_equal(hall_text(h, "items.0.principal.name"), "ann@example.com");
    h->caller = admin;
    hall_ask(h, METHOD_GET, "/api/v1/tokens", NULL);
    assert_int_equal(hall_count(h, "items"), 2);
    hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/tokens?principal=%.*s", STR_ARG(ann->principal)).p, NULL);
    assert_int_equal(hall_count(h, "items"), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_hall, drop_hall)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_setup_code_makes_the_owner_once),
        TEST(signing_in_gives_a_cookie_and_the_csrf_token),
        TEST(a_wrong_password_says_no_more_than_an_unknown_address),
        TEST(users_are_made_and_seen_by_administrators),
        TEST(a_user_sees_and_changes_oneself_and_no_one_else),
        TEST(ones_own_password_is_changed_by_who_knows_it),
        TEST(an_administrator_does_not_touch_the_owner),
        TEST(a_user_changed_meanwhile_is_not_overwritten),
        TEST(a_service_account_lives_from_its_making_to_its_end),
        TEST(a_tokens_secret_is_shown_once),
        TEST(a_token_gives_no_more_than_its_maker_has),
        TEST(a_limited_token_does_not_lengthen_its_own_life),
        TEST(a_body_that_makes_no_token_is_pointed_at),
        TEST(a_service_account_gets_tokens_of_its_role),
        TEST(a_revoked_token_opens_nothing_and_stays_in_the_list),
        TEST(a_user_lists_the_own_tokens_and_an_administrator_everyones),
    };
    return cmocka_run_group_tests_name("web/people", tests, NULL, NULL);
}
