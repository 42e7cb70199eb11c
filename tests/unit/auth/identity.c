/* Identity providers: what their rows hold, whose secret opens where, attempts to sign in, and who a person becomes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "access/folder.h"
#include "access/user.h"
#include "auth/identity_person.h"
#include "store/room.h"

struct hall {
    struct room *room;
    struct arena *a;
    struct keyring *keyring;
    struct db *db;
    struct identity_provider p;
    struct fault why;
};

static enum err shared(struct db *db, void *context, struct fault *why)
{
    struct str id;
    return folder_ensure_shared(db, ((struct hall *)context)->a, &id, why);
}

static int open_hall(void **state)
{
    struct hall *h = mem_zero(sizeof *h);
    struct secret key = secret_new(32);
    memset(key.p, 7, key.n);
    h->room = room_new();
    h->a = h->room->arena;
    assert_int_equal(room_open_store(h->room->directory, &h->room->store, &h->why), ERR_NONE);
    assert_int_equal(keyring_open(h->room->store, key, &h->keyring, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, shared, h, &h->why), ERR_NONE);
    h->db = store_reader(h->room->store, &h->why);
    *state = h;
    return 0;
}

static int close_hall(void **state)
{
    struct hall *h = *state;
    keyring_close(h->keyring);
    room_end(h->room);
    free(h);
    return 0;
}

static struct json *json(struct hall *h, const char *text)
{
    struct json *v = NULL;
    if (text && json_read(h->a, str_of(text), &v, &h->why))
        fail_msg("test JSON: %s", h->why.subject);
    return v;
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    enum err e = identity_provider_insert(db, h->a, &h->p, why);
    return e ? e : identity_provider_set_secret(db, h->keyring, &h->p, (struct secret){ (unsigned char *)"s3cret", 6 }, why);
}

static void add(struct hall *h, const char *key, const char *issuer, const char *sign_in)
{
    h->p = (struct identity_provider){ .key = str_of(key), .name = str_of(key), .issuer = str_of(issuer) };
    assert_int_equal(identity_provider_read(h->db, h->a, NULL, json(h, sign_in), NULL, &h->p, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, insert, h, &h->why), ERR_NONE);
}

/* ---- rows ---- */

static void a_row_comes_back_as_it_was_stored(void **state)
{
    struct hall *h = *state;
    struct identity_provider back;
    add(h, "sso", "https://i.example",
        "{\"client_id\":\"c\",\"scopes\":[\"openid\",\"x\"],\"groups\":[{\"group\":\"g\",\"role\":\"admin\"}],"
        "\"second_factor\":{\"amr\":[\"mfa\"]},\"default_role\":\"none\",\"token_auth\":\"client_secret_post\"}");
    assert_int_equal(identity_provider_get(h->db, h->a, STR("sso"), &back, &h->why), ERR_NONE);
    assert_true(back.signs_in && !back.calls && back.secret_updated);
    assert_true(str_is(back.sign_in.scopes, "openid x"));
    assert_int_equal(back.sign_in.token_auth, TOKEN_AUTH_POST);
    assert_int_equal(back.sign_in.default_role, ROLE_NONE);
    assert_int_equal(back.sign_in.mapping_count, 1);
    assert_int_equal(back.sign_in.mappings[0].role, ROLE_ADMIN);
    assert_true(back.sign_in.second_factor && str_is(back.sign_in.amr[0], "mfa"));
}

static void a_client_secret_opens_only_for_its_row_and_issuer(void **state)
{
    struct hall *h = *state;
    struct secret found;
    add(h, "one", "https://i.example", "{\"client_id\":\"c\"}");
    struct identity_provider moved = h->p;
    assert_int_equal(identity_provider_secret(h->db, h->keyring, &h->p, &found, &h->why), ERR_NONE);
    assert_memory_equal(found.p, "s3cret", 6);
    secret_end(&found);
    moved.issuer = STR("https://evil.example");
    assert_int_equal(identity_provider_secret(h->db, h->keyring, &moved, &found, &h->why), ERR_CRYPTO);
}

/* ---- attempts ---- */

static enum err begin(struct db *db, void *context, struct fault *why) { return oidc_begin(db, context, why); }

static enum err settle(struct db *db, void *context, struct fault *why) { return oidc_settle(db, context, why); }

struct taking {
    struct hall *h;
    struct str state, browser;
    struct oidc_attempt out;
};

static enum err take(struct db *db, void *context, struct fault *why)
{
    struct taking *t = context;
    return oidc_take(db, t->h->a, t->state, t->browser, &t->out, why);
}

static enum err try(struct hall *h, struct str text, struct str browser)
{
    struct taking t = { .h = h, .state = text, .browser = browser };
    return store_write(h->room->store, take, &t, &h->why);
}

static void an_attempt_fits_its_browser_and_is_used_once(void **state)
{
    struct hall *h = *state;
    add(h, "sso", "https://i.example", "{\"client_id\":\"c\"}");
    struct oidc_attempt one = { .provider = h->p.id, .return_path = STR("/") }, two = one;
    assert_int_equal(store_write(h->room->store, begin, &one, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, begin, &two, &h->why), ERR_NONE);
    assert_int_equal(try(h, str_of(one.state), str_of(two.browser)), ERR_SIGN_IN_OVER);
    assert_int_equal(try(h, str_of(one.state), STR("")), ERR_SIGN_IN_OVER);
    assert_int_equal(try(h, STR_NONE, str_of(one.browser)), ERR_SIGN_IN_OVER);
    assert_int_equal(try(h, str_of(one.state), str_of(one.browser)), ERR_NONE);
    assert_int_equal(try(h, str_of(one.state), str_of(one.browser)), ERR_SIGN_IN_OVER);
    assert_int_equal(try(h, str_of(two.state), str_of(two.browser)), ERR_NONE);
}

static enum err age(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return db_script(db, "UPDATE identity_attempt SET expires_ms = expires_ms - 600000", why);
}

static void an_attempt_of_ten_minutes_ago_is_over(void **state)
{
    struct hall *h = *state;
    add(h, "sso", "https://i.example", "{\"client_id\":\"c\"}");
    struct oidc_attempt one = { .provider = h->p.id, .return_path = STR("/") };
    assert_int_equal(store_write(h->room->store, begin, &one, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, age, NULL, &h->why), ERR_NONE);
    assert_int_equal(try(h, str_of(one.state), str_of(one.browser)), ERR_SIGN_IN_OVER);
}

/* ---- people ---- */

struct arriving {
    struct hall *h;
    struct oidc_person person;
    struct identity_admitted out;
};

static enum err admit(struct db *db, void *context, struct fault *why)
{
    struct arriving *v = context;
    return identity_admit(db, v->h->a, &v->h->p, &v->person, STR("en"), &v->out, why);
}

static enum err arrive(struct arriving *v) { return store_write(v->h->room->store, admit, v, &v->h->why); }

static void an_address_that_went_to_somebody_else_gives_them_no_account(void **state)
{
    struct hall *h = *state;
    add(h, "sso", "https://i.example", "{\"client_id\":\"c\",\"create_users\":true}");
    struct arriving first = { .h = h, .person = { .subject = STR("1"), .email = STR("a@x.example"), .email_verified = true } },
                    second = first;
    second.person.subject = STR("2");
    assert_int_equal(arrive(&first), ERR_NONE);
    assert_true(first.out.created);
    assert_int_equal(arrive(&second), ERR_SIGN_IN_REFUSED);
    /* ... and whose address changed is still who they were. */
    struct arriving again = { .h = h, .person = { .subject = STR("1"), .email = STR("b@x.example"), .email_verified = true } };
    assert_int_equal(arrive(&again), ERR_NONE);
    assert_true(str_eq(again.out.user, first.out.user) && !again.out.created);
}

static void two_providers_with_one_subject_are_two_people(void **state)
{
    struct hall *h = *state;
    add(h, "one", "https://i.example", "{\"client_id\":\"c\",\"create_users\":true}");
    struct arriving first = { .h = h, .person = { .subject = STR("1"), .email = STR("a@x.example"), .email_verified = true } };
    assert_int_equal(arrive(&first), ERR_NONE);
    add(h, "two", "https://j.example", "{\"client_id\":\"c\",\"create_users\":true}");
    struct arriving second = { .h = h, .person = { .subject = STR("1"), .email = STR("b@x.example"), .email_verified = true } };
    assert_int_equal(arrive(&second), ERR_NONE);
    assert_false(str_eq(first.out.user, second.out.user));
}

static void an_unverified_address_makes_no_account_and_passes_no_domain(void **state)
{
    struct hall *h = *state;
    struct arriving v = { .h = h, .person = { .subject = STR("1"), .email = STR("a@x.example") } };
    add(h, "one", "https://i.example", "{\"client_id\":\"c\",\"create_users\":true}");
    assert_int_equal(arrive(&v), ERR_SIGN_IN_REFUSED);
    add(h, "two", "https://j.example", "{\"client_id\":\"c\",\"create_users\":true,\"email_domains\":[\"x.example\"]}");
    assert_int_equal(arrive(&v), ERR_SIGN_IN_REFUSED);
    v.person.email = STR("a@evil.example");
    v.person.email_verified = true;
    assert_int_equal(arrive(&v), ERR_SIGN_IN_REFUSED);
    v.person.email = STR("a@x.example.evil.example");
    assert_int_equal(arrive(&v), ERR_SIGN_IN_REFUSED);
    v.person.email = STR("a@X.example");
    assert_int_equal(arrive(&v), ERR_NONE);
}

static void of_two_roles_the_one_that_holds_the_other_counts_whatever_the_order_of_the_enum(void **state)
{
    struct hall *h = *state;
    struct str groups[] = { STR("auditors"), STR("editors"), STR("custodians"), STR("admins") };
    add(h, "sso", "https://i.example",
        "{\"client_id\":\"c\",\"create_users\":true,\"groups\":[{\"group\":\"auditors\",\"role\":\"auditor\"},"
        "{\"group\":\"viewers\",\"role\":\"viewer\"},{\"group\":\"editors\",\"role\":\"editor\"},"
        "{\"group\":\"custodians\",\"role\":\"custodian\"},{\"group\":\"admins\",\"role\":\"admin\"}]}");
    struct arriving v = { .h = h, .person = { .subject = STR("1"), .email = STR("a@x.example"), .email_verified = true } };
    const struct { struct str *at; size_t n; enum role role; } rows[] = {
        { groups, 4, ROLE_ADMIN },       { groups, 2, ROLE_AUDITOR }, /* an editor reads no audit log: who is listed first stays */
        { groups + 1, 2, ROLE_EDITOR },  { groups + 2, 1, ROLE_CUSTODIAN }, { groups, 0, ROLE_USER },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        v.person.groups = rows[i].at;
        v.person.group_count = rows[i].n;
        assert_int_equal(arrive(&v), ERR_NONE);
        assert_int_equal(v.out.role, rows[i].role);
    }
    /* A group of viewers takes away what the default would give. */
    struct str viewers = STR("viewers");
    v.person.groups = &viewers;
    v.person.group_count = 1;
    assert_int_equal(arrive(&v), ERR_NONE);
    assert_int_equal(v.out.role, ROLE_VIEWER);
}

static void one_address_begins_twenty_sign_ins_a_minute_that_lead_nowhere(void **state)
{
    struct hall *h = *state;
    add(h, "sso", "https://i.example", "{\"client_id\":\"c\"}");
    struct oidc_attempt t = { .provider = h->p.id, .return_path = STR("/"), .network = STR("192.0.2.7") };
    for (int i = 0; i < OIDC_ATTEMPTS_A_MINUTE; i++) {
        assert_int_equal(store_write(h->room->store, begin, &t, &h->why), ERR_NONE);
        assert_int_equal(try(h, str_of(t.state), str_of(t.browser)), ERR_NONE); /* came back, and was wrong */
    }
    assert_int_equal(store_write(h->room->store, begin, &t, &h->why), ERR_RATE_LIMITED);
    struct oidc_attempt other = { .provider = h->p.id, .return_path = STR("/"), .network = STR("192.0.2.8") };
    assert_int_equal(store_write(h->room->store, begin, &other, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->room->store, settle, &t, &h->why), ERR_NONE); /* the last one signed in: it counts no longer */
    assert_int_equal(store_write(h->room->store, begin, &t, &h->why), ERR_NONE);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_hall, close_hall)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_row_comes_back_as_it_was_stored),
        T(a_client_secret_opens_only_for_its_row_and_issuer),
        T(an_attempt_fits_its_browser_and_is_used_once),
        T(an_attempt_of_ten_minutes_ago_is_over),
        T(an_address_that_went_to_somebody_else_gives_them_no_account),
        T(two_providers_with_one_subject_are_two_people),
        T(an_unverified_address_makes_no_account_and_passes_no_domain),
        T(of_two_roles_the_one_that_holds_the_other_counts_whatever_the_order_of_the_enum),
        T(one_address_begins_twenty_sign_ins_a_minute_that_lead_nowhere),
    };
    return cmocka_run_group_tests_name("auth/identity", tests, NULL, NULL);
}
