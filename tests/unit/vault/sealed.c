/* Secrets of anything but a connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hub.h"
#include "vault/sealed.h"

#define CANARY "canary-4d1e-of-a-second-factor"

enum what { PUT, REMOVE, FORGET, RENEW };

struct act {
    struct hub *h;
    enum what what;
    const char *id, *name, *value;
    size_t size;
};

static enum err act_work(struct db *db, void *context, struct fault *why)
{
    const struct act *w = context;
    struct data_owner owner = { STR("user"), str_of(w->id) };
    AUTO_SECRET value = secret_from((struct str){ w->value, w->value ? w->size ? w->size : strlen(w->value) : 0 });
    switch (w->what) {
    case PUT:
        return sealed_put(db, w->h->keys, owner, str_of(w->name), value, why);
    case REMOVE:
        return sealed_remove(db, owner, str_of(w->name), why);
    case FORGET:
        return sealed_forget(db, owner, why);
    case RENEW:
        return sealed_renew(db, w->h->keys, owner, why);
    }
    return ERR_INTERNAL;
}

#define DO(h, ...) store_write((h)->store, act_work, &(struct act){ h, __VA_ARGS__ }, &(h)->why)

static enum err get(struct hub *h, const char *id, const char *name, struct str *out)
{
    AUTO_SECRET value = SECRET_NONE;
    struct data_owner owner = { STR("user"), str_of(id) };
    enum err e = sealed_get(store_reader(h->store, &h->why), h->keys, owner, str_of(name), &value, &h->why);
    *out = e ? STR_NONE : arena_str(h->arena, secret_str(value));
    return e;
}

static void is(struct hub *h, const char *id, const char *name, const char *value)
{
    struct str got;
    assert_int_equal(get(h, id, name, &got), ERR_NONE);
    if (!str_is(got, value))
        fail_msg("%s of %s is %.*s", name, id, STR_ARG(got));
}

static void a_sealed_value_comes_back_and_is_replaced(void **state)
{
    struct hub *h = *state;
    struct str got;
    assert_int_equal(get(h, "usr_1", "totp", &got), ERR_NOT_FOUND);
    assert_int_equal(DO(h, PUT, "usr_1", "totp", CANARY), ERR_NONE);
    assert_int_equal(DO(h, PUT, "usr_1", "other", "second"), ERR_NONE);
    assert_int_equal(DO(h, PUT, "usr_2", "totp", "third"), ERR_NONE);
    is(h, "usr_1", "totp", CANARY);
    assert_int_equal(DO(h, PUT, "usr_1", "totp", "changed"), ERR_NONE);
    is(h, "usr_1", "totp", "changed");
    is(h, "usr_1", "other", "second");
    is(h, "usr_2", "totp", "third");
    assert_true(str_is(hub_text(h, "SELECT CAST(uses AS TEXT) FROM data_key WHERE owner_id = 'usr_1'"), "3"));
    assert_int_equal(DO(h, PUT, "usr_1", "empty", ""), ERR_NONE);
    is(h, "usr_1", "empty", "");
}

static void a_sealed_value_is_in_no_file(void **state)
{
    struct hub *h = *state;
    assert_int_equal(DO(h, PUT, "usr_1", "totp", CANARY), ERR_NONE);
    struct str files = hub_files(h);
    assert_true(str_find_str(files, STR("usr_1")) != SIZE_MAX);
    assert_true(str_find_str(files, STR(CANARY)) == SIZE_MAX);
    free((char *)files.p);
}

static void a_sealed_value_opens_only_in_its_place(void **state)
{
    struct hub *h = *state;
    static const char *const edits[] = {
        "UPDATE sealed_value SET name = 'x' WHERE name = 'totp'; UPDATE sealed_value SET name = 'totp' WHERE name = 'other';"
        "UPDATE sealed_value SET name = 'other' WHERE name = 'x'",
        "UPDATE sealed_value SET sealed = (SELECT min(sealed) FROM sealed_value WHERE owner_id = 'usr_2') WHERE owner_id = 'usr_1'",
        "UPDATE data_key SET sealed = (SELECT sealed FROM data_key WHERE owner_id = 'usr_2') WHERE owner_id = 'usr_1'",
        "UPDATE sealed_value SET sealed = '' WHERE owner_id = 'usr_1'",
        "UPDATE sealed_value SET sealed = 'Y2FuYXJ5LTRkMWUtb2YtYS1zZWNvbmQtZmFjdG9yLWFuZC1tb3JlLXRleHQtdG8tYmUtbG9uZw=='",
    };
    struct str got;
    for (size_t i = 0; i < COUNT(edits); i++) {
        assert_int_equal(DO(h, FORGET, "usr_1"), ERR_NONE);
        assert_int_equal(DO(h, PUT, "usr_1", "totp", CANARY), ERR_NONE);
        assert_int_equal(DO(h, PUT, "usr_1", "other", CANARY), ERR_NONE);
        assert_int_equal(DO(h, PUT, "usr_2", "totp", CANARY), ERR_NONE);
        hub_sql(h, edits[i]);
        if (get(h, "usr_1", "totp", &got) != ERR_CRYPTO)
            fail_msg("%s", edits[i]);
    }
}

static void what_is_removed_is_gone_and_what_is_forgotten_takes_its_key_along(void **state)
{
    struct hub *h = *state;
    struct str got;
    assert_int_equal(DO(h, PUT, "usr_1", "totp", CANARY), ERR_NONE);
    assert_int_equal(DO(h, PUT, "usr_1", "other", "second"), ERR_NONE);
    assert_int_equal(DO(h, REMOVE, "usr_1", "totp"), ERR_NONE);
    assert_int_equal(DO(h, REMOVE, "usr_1", "totp"), ERR_NONE);
    assert_int_equal(get(h, "usr_1", "totp", &got), ERR_NOT_FOUND);
    is(h, "usr_1", "other", "second");
    struct str key = hub_text(h, "SELECT sealed FROM data_key WHERE owner_id = 'usr_1'");
    assert_int_equal(DO(h, FORGET, "usr_1"), ERR_NONE);
    assert_int_equal(get(h, "usr_1", "other", &got), ERR_NOT_FOUND);
    hub_close(h);
    struct str files = hub_files(h);
    assert_true(str_find_str(files, key) == SIZE_MAX);
    free((char *)files.p);
}

static void renewing_changes_the_key_and_no_value(void **state)
{
    struct hub *h = *state;
    assert_int_equal(DO(h, PUT, "usr_1", "totp", CANARY), ERR_NONE);
    assert_int_equal(DO(h, PUT, "usr_1", "other", "second"), ERR_NONE);
    struct str key = hub_text(h, "SELECT sealed FROM data_key WHERE owner_id = 'usr_1'"),
               value = hub_text(h, "SELECT sealed FROM sealed_value WHERE name = 'totp'");
    assert_int_equal(DO(h, RENEW, "usr_1"), ERR_NONE);
    assert_false(str_eq(key, hub_text(h, "SELECT sealed FROM data_key WHERE owner_id = 'usr_1'")));
    assert_false(str_eq(value, hub_text(h, "SELECT sealed FROM sealed_value WHERE name = 'totp'")));
    is(h, "usr_1", "totp", CANARY);
    is(h, "usr_1", "other", "second");

    hub_sql(h, "UPDATE sealed_value SET sealed = '' WHERE name = 'totp'");
    assert_int_equal(DO(h, RENEW, "usr_1"), ERR_CRYPTO);
    is(h, "usr_1", "other", "second"); /* all or none */
}

static void a_value_that_is_too_large_is_refused(void **state)
{
    struct hub *h = *state;
    char *large = mem_zero(SEALED_MAX + 1);
    assert_int_equal(DO(h, PUT, "usr_1", "large", large, SEALED_MAX), ERR_NONE);
    assert_int_equal(DO(h, PUT, "usr_1", "large", large, SEALED_MAX + 1), ERR_LIMIT);
    free(large);
}

static int with_hub(void **state)
{
    *state = hub_new_ready();
    return 0;
}

static int drop_hub(void **state)
{
    hub_end(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_hub, drop_hub)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sealed_value_comes_back_and_is_replaced),
        TEST(a_sealed_value_is_in_no_file),
        TEST(a_sealed_value_opens_only_in_its_place),
        TEST(what_is_removed_is_gone_and_what_is_forgotten_takes_its_key_along),
        TEST(renewing_changes_the_key_and_no_value),
        TEST(a_value_that_is_too_large_is_refused),
    };
    return cmocka_run_group_tests_name("vault/sealed", tests, NULL, NULL);
}
