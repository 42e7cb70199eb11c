/* Keys that turn: what was sealed opens before, during and after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hub.h"
#include "vault/rotation.h"
#include "vault/sealed.h"

#define CANARY "canary-77aa-credential"

static enum err insert_work(struct db *db, void *context, struct fault *why)
{
    struct hub *h = context;
    for (int i = 0; i < 250; i++) {
        AUTO_SECRET value = secret_from(str_fmt(h->arena, CANARY "-%d", i));
        struct connection_secret one = { STR("token"), value };
        struct connection_row row = {
            .key = str_fmt(h->arena, "c%d", i), .name = STR("x"), .folder = STR("fld_a"), .connector = STR("http"),
            .connector_version = STR("1"), .auth_type = STR("bearer"), .allowed_domain = STR("api.example.com"),
            .fields = STR("{}"), .owner = STR("usr_1"), .state = CONNECTION_ACTIVE,
        };
        enum err e = connection_insert(db, h->keys, h->arena, &row, &one, 1, why);
        if (e)
            return e;
    }
    AUTO_SECRET value = secret_from(STR(CANARY));
    return sealed_put(db, h->keys, (struct data_owner){ STR("user"), STR("usr_1") }, STR("totp"), value, why);
}

static int64_t number(struct hub *h, const char *sql)
{
    struct query *q = query_begin(store_reader(h->store, &h->why), sql);
    int64_t n = query_next(q) ? query_get_i64(q, 0) : -1;
    assert_int_equal(query_end(q, &h->why), ERR_NONE);
    return n;
}

/* How many of the 250 open, each with its own value. */
static int opens(struct hub *h, struct keyring *k)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct db *db = store_reader(h->store, &h->why);
    int good = 0;
    for (int i = 0; i < 250; i++) {
        struct connection_secret all[CONNECTION_SECRETS];
        struct connection_row row;
        struct str folder = STR("fld_a");
        size_t n;
        assert_int_equal(connection_find(db, a, str_fmt(a, "c%d", i),
                                         &(struct folder_scope){ .few = true, .folders = &folder, .folder_count = 1 }, &row,
                                         &h->why),
                         ERR_NONE);
        if (connection_open_secrets(db, k, a, &row, all, &n, &h->why))
            continue;
        good += n == 1 && str_eq(secret_str(all[0].value), str_fmt(a, CANARY "-%d", i));
        secret_end(&all[0].value);
    }
    AUTO_SECRET value = SECRET_NONE;
    assert_int_equal(sealed_get(db, k, (struct data_owner){ STR("user"), STR("usr_1") }, STR("totp"), &value, &h->why), ERR_NONE);
    assert_true(str_is(secret_str(value), CANARY));
    return good;
}

struct begin {
    struct hub *h;
    struct keyring *keys;
    struct rotation made;
};

static enum err begin_work(struct db *db, void *context, struct fault *why)
{
    struct begin *b = context;
    return rotation_begin(db, b->keys, b->h->arena, "asked", &b->made, why);
}

static enum err begin(struct hub *h, struct rotation *out)
{
    struct begin b = { h, h->keys, { 0 } };
    enum err e = store_write(h->store, begin_work, &b, &h->why);
    *out = b.made;
    return e;
}

static void run_to_end(struct hub *h)
{
    struct rotation_count c;
    do
        assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_NONE);
    while (c.more && !c.finished);
}

static void reopen(struct hub *h, unsigned char master)
{
    keyring_close(h->keys);
    h->keys = NULL;
    assert_int_equal(keyring_open(h->store, hub_master(master), &h->keys, &h->why), ERR_NONE);
}

static void every_credential_opens_before_during_and_after_a_rotation(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct rotation_count c;
    int steps = 0;
    struct str old = hub_text(h, "SELECT sealed FROM wrapping_key");
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(r.key, 2);
    assert_int_equal(r.total, 252); /* the hub's own, too */
    assert_int_equal(opens(h, h->keys), 250);
    do {
        assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_NONE);
        assert_int_equal(opens(h, h->keys), 250);
        steps++;
    } while (c.more && !c.finished);
    assert_int_equal(steps, 4); /* 100, 100, 52, and the end */

    assert_int_equal(number(h, "SELECT count(*) FROM wrapping_key"), 1);
    assert_int_equal(number(h, "SELECT id FROM wrapping_key"), 2);
    assert_int_equal(number(h, "SELECT count(*) FROM data_key WHERE wrapping_key <> 2 OR wrapping_key IS NULL"), 0);
    assert_int_equal(number(h, "SELECT uses FROM wrapping_key"), 252);
    assert_int_equal(rotation_newest(store_reader(h->store, &h->why), h->arena, &r, &h->why), ERR_NONE);
    assert_int_equal(r.done, 252);
    assert_true(r.finished >= r.started && r.started > 0);
    reopen(h, 1);
    assert_int_equal(opens(h, h->keys), 250);

    struct str files = hub_files(h); /* the old key is nowhere, the log included */
    assert_true(str_find_str(files, hub_text(h, "SELECT sealed FROM wrapping_key")) != SIZE_MAX);
    assert_true(str_find_str(files, old) == SIZE_MAX);
    free((char *)files.p);
}

static void a_rotation_goes_on_where_another_process_stopped(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct rotation_count c;
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_NONE);
    assert_int_equal(c.done, 100);
    assert_int_equal(number(h, "SELECT done FROM key_rotation"), 100);
    reopen(h, 1);
    assert_int_equal(opens(h, h->keys), 250);
    run_to_end(h);
    assert_int_equal(number(h, "SELECT done FROM key_rotation"), 252);
    assert_int_equal(number(h, "SELECT count(*) FROM wrapping_key"), 1);
    assert_int_equal(opens(h, h->keys), 250);
}

static void a_ring_of_another_process_learns_of_the_new_key_by_itself(void **state)
{
    struct hub *h = *state;
    struct keyring *other;
    struct rotation r;
    struct data_owner owner = { STR("user"), STR("usr_1") };
    assert_int_equal(keyring_open(h->store, hub_master(1), &other, &h->why), ERR_NONE);
    assert_int_equal(begin(h, &r), ERR_NONE);
    run_to_end(h);
    assert_int_equal(keyring_active(other), 1);
    assert_int_equal(opens(h, other), 250); /* met an unknown key, and read the table again */
    assert_int_equal(keyring_active(other), 2);

    assert_int_equal(begin(h, &r), ERR_NONE);
    struct keyring *mine = h->keys;
    h->keys = other; /* still at key 2: what it seals now must not be sealed by a key that is about to go */
    assert_int_equal(store_write(h->store, (store_work *)insert_work, h, &h->why), ERR_CONFLICT);
    hub_sql(h, "DELETE FROM connection_secret; DELETE FROM connection; DELETE FROM data_key WHERE kind = 'connection'");
    assert_int_equal(store_write(h->store, insert_work, h, &h->why), ERR_NONE);
    assert_int_equal(number(h, "SELECT count(*) FROM data_key WHERE kind = 'connection' AND wrapping_key = 3"), 250);
    h->keys = mine;
    run_to_end(h);
    assert_int_equal(opens(h, other), 250);
    AUTO_SECRET value = SECRET_NONE;
    assert_int_equal(sealed_get(store_reader(h->store, &h->why), other, owner, STR("totp"), &value, &h->why), ERR_NONE);
    keyring_close(other);
}

static void a_key_that_somebody_needs_cannot_be_destroyed(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(store_write(h->store, hub_script_work, "DELETE FROM wrapping_key WHERE id = 1", &h->why), ERR_STORE);
    assert_int_equal(opens(h, h->keys), 250);
}

static void a_data_key_that_does_not_open_stops_one_connection_and_no_rotation(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    hub_sql(h, "UPDATE data_key SET sealed = 'damaged' WHERE owner_id = (SELECT id FROM connection WHERE key = 'c7');"
               "UPDATE data_key SET sealed = (SELECT sealed FROM data_key WHERE kind = 'user') WHERE owner_id = (SELECT id FROM "
               "connection WHERE key = 'c9')");
    assert_int_equal(begin(h, &r), ERR_NONE);
    run_to_end(h);
    assert_int_equal(number(h, "SELECT broken FROM key_rotation"), 2);
    assert_int_equal(number(h, "SELECT count(*) FROM wrapping_key"), 1);
    assert_int_equal(number(h, "SELECT count(*) FROM connection WHERE health = 'reconnect_required'"), 2);
    assert_int_equal(number(h, "SELECT count(*) FROM connection WHERE health = 'reconnect_required' AND key IN ('c7', 'c9')"), 2);
    assert_int_equal(opens(h, h->keys), 248);
    assert_int_equal(begin(h, &r), ERR_NONE); /* the next one leaves them alone */
    run_to_end(h);
    assert_int_equal(number(h, "SELECT broken FROM key_rotation WHERE id = 3"), 0);
}

static void a_rotation_in_which_nothing_opens_destroys_nothing(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct rotation_count c;
    hub_sql(h, "UPDATE data_key SET sealed = 'damaged'");
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_CRYPTO);
    assert_int_equal(number(h, "SELECT count(*) FROM wrapping_key"), 2);
    assert_int_equal(number(h, "SELECT count(*) FROM data_key WHERE wrapping_key = 1"), 252);
}

static void a_damaged_wrapping_key_costs_what_it_sealed_and_nothing_else(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct rotation_count c;
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_NONE);
    int64_t left = number(h, "SELECT count(*) FROM data_key WHERE wrapping_key = 1 AND kind = 'connection'");
    assert_true(left > 0 && left < 250);
    hub_sql(h, "UPDATE wrapping_key SET sealed = 'damaged' WHERE id = 2"); /* the active one */
    reopen(h, 1);
    assert_int_equal(opens(h, h->keys), left);
    assert_int_equal(number(h, "SELECT id FROM wrapping_key WHERE active = 1"), 3);
    run_to_end(h);
    assert_int_equal(begin(h, &r), ERR_NONE);
    run_to_end(h);
    assert_int_equal(opens(h, h->keys), left);
    assert_int_equal(number(h, "SELECT count(*) FROM connection WHERE health = 'reconnect_required'"), 250 - left);
    assert_int_equal(number(h, "SELECT count(*) FROM wrapping_key"), 1);
    reopen(h, 1);
    assert_int_equal(opens(h, h->keys), left);
    reopen(h, 1);
    hub_sql(h, "UPDATE wrapping_key SET sealed = 'damaged'"); /* all there are */
    keyring_close(h->keys);
    h->keys = NULL;
    assert_int_equal(keyring_open(h->store, hub_master(1), &h->keys, &h->why), ERR_CRYPTO);
    assert_null(h->keys);
}

static void two_rotations_do_not_overlap(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(begin(h, &r), ERR_CONFLICT);
    run_to_end(h);
    assert_int_equal(begin(h, &r), ERR_NONE);
}

static void a_rotation_is_due_by_age_or_uses(void **state)
{
    struct hub *h = *state;
    struct db *db = store_reader(h->store, &h->why);
    struct rotation_policy p = ROTATION_POLICY_PRESET;
    const char *reason;
    wall_ms at;
    struct rotation r;
    assert_int_equal(rotation_due(db, &p, &reason, &at, &h->why), ERR_NONE);
    assert_null(reason);
    assert_true(at > clock_wall() + 89 * (int64_t)86400000);
    p.max_uses = 252;
    assert_int_equal(rotation_due(db, &p, &reason, &at, &h->why), ERR_NONE);
    assert_string_equal(reason, "uses");
    p.max_uses = 253; /* counted in the database: a restart forgets none */
    reopen(h, 1);
    assert_int_equal(rotation_due(db, &p, &reason, &at, &h->why), ERR_NONE);
    assert_null(reason);
    hub_sql(h, "UPDATE wrapping_key SET created_ms = created_ms - 7776000001");
    assert_int_equal(rotation_due(db, &p, &reason, &at, &h->why), ERR_NONE);
    assert_string_equal(reason, "age");
    assert_int_equal(begin(h, &r), ERR_NONE);
    assert_int_equal(rotation_due(db, &p, &reason, &at, &h->why), ERR_NONE);
    assert_null(reason);
}

static void old_data_keys_are_replaced_and_their_secrets_stay(void **state)
{
    struct hub *h = *state;
    struct rotation_count c;
    hub_sql(h,
            "UPDATE data_key SET created_ms = 5 WHERE kind <> 'connection' OR owner_id IN (SELECT id FROM connection WHERE key IN "
            "('c1', 'c2', 'c3'));"
            "UPDATE connection_secret SET sealed = '' WHERE connection_id = (SELECT id FROM connection WHERE key = 'c3')");
    struct str before = hub_text(h, "SELECT sealed FROM connection_secret WHERE connection_id = (SELECT id FROM connection WHERE "
                                    "key = 'c1')"),
               key = hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'user'");
    int64_t revision = number(h, "SELECT sum(revision) FROM connection");
    int done = 0, broken = 0;
    do {
        assert_int_equal(rotation_renew(h->store, h->keys, 1000, &c, &h->why), ERR_NONE);
        done += (int)c.done;
        broken += (int)c.broken;
    } while (c.more);
    assert_int_equal(done, 3);
    assert_int_equal(broken, 1);
    assert_int_equal(opens(h, h->keys), 249);
    assert_false(str_eq(before, hub_text(h, "SELECT sealed FROM connection_secret WHERE connection_id = (SELECT id FROM connection "
                                            "WHERE key = 'c1')")));
    assert_false(str_eq(key, hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'user'")));
    assert_int_equal(number(h, "SELECT sum(revision) FROM connection"), revision);
    assert_int_equal(number(h, "SELECT count(*) FROM connection WHERE health = 'reconnect_required' AND key = 'c3'"), 1);
}

static void old_data_keys_share_transactions_and_one_that_does_not_open_keeps_none_of_the_others(void **state)
{
    struct hub *h = *state;
    struct rotation_count c;
    int calls = 0, done = 0, broken = 0;
    hub_sql(h, "UPDATE data_key SET created_ms = 5 WHERE kind = 'connection';"
               "UPDATE connection_secret SET sealed = '' WHERE connection_id = (SELECT id FROM connection WHERE key = 'c30')");
    do {
        assert_int_equal(rotation_renew(h->store, h->keys, 1000, &c, &h->why), ERR_NONE);
        done += (int)c.done;
        broken += (int)c.broken;
        calls++;
    } while (c.more);
    assert_int_equal(done, number(h, "SELECT count(*) FROM data_key WHERE kind = 'connection' AND created_ms <> 5"));
    assert_int_equal(number(h, "SELECT count(*) FROM data_key WHERE created_ms = 5 AND wrapping_key IS NOT NULL AND kind <> 'hub'"),
                     0);
    assert_int_equal(broken, 1);
    assert_true(done > 200 && calls < done / 10);
}

/* ---- the master key ---- */

struct change {
    struct keyring *keys;
    unsigned char next;
    bool confirm;
};

static enum err master_work(struct db *db, void *context, struct fault *why)
{
    const struct change *c = context;
    AUTO_SECRET next = hub_master(c->next);
    if (c->confirm)
        return keyring_confirm_master(db, master_key_id(next), why);
    return keyring_prepare_master(c->keys, db, next, why);
}

static enum err try_master(struct hub *h, unsigned char master)
{
    struct keyring *k = NULL;
    enum err e = keyring_open(h->store, hub_master(master), &k, &h->why);
    keyring_close(k);
    return e;
}

static void both_master_keys_open_until_the_new_one_has_been_used(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct str data_key = hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'user'");
    assert_int_equal(store_write(h->store, master_work, &(struct change){ h->keys, 2, false }, &h->why), ERR_NONE);
    assert_int_equal(try_master(h, 1), ERR_NONE);
    assert_int_equal(try_master(h, 3), ERR_KEY_WRONG);
    assert_int_equal(begin(h, &r), ERR_CONFLICT); /* a wrapping key of the old master key alone would be lost */
    assert_int_equal(try_master(h, 1), ERR_NONE);

    assert_int_equal(try_master(h, 2), ERR_NONE); /* it has taken over */
    assert_int_equal(try_master(h, 1), ERR_KEY_WRONG);
    AUTO_SECRET two = hub_master(2);
    assert_string_equal(h->why.subject, master_key_id(two).text);
    reopen(h, 2);
    assert_int_equal(opens(h, h->keys), 250);
    assert_true(str_eq(data_key, hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'user'"))); /* wrapping keys alone */
    assert_int_equal(begin(h, &r), ERR_NONE);
    run_to_end(h);
    reopen(h, 2);
    assert_int_equal(opens(h, h->keys), 250);
}

static void a_change_of_master_key_can_be_begun_again_with_another_key(void **state)
{
    struct hub *h = *state;
    assert_int_equal(store_write(h->store, master_work, &(struct change){ h->keys, 2, false }, &h->why), ERR_NONE);
    assert_int_equal(store_write(h->store, master_work, &(struct change){ h->keys, 3, false }, &h->why), ERR_NONE);
    assert_int_equal(try_master(h, 2), ERR_KEY_WRONG);
    assert_int_equal(store_write(h->store, master_work, &(struct change){ h->keys, 3, true }, &h->why), ERR_NONE);
    assert_int_equal(try_master(h, 1), ERR_KEY_WRONG);
    reopen(h, 3);
    assert_int_equal(opens(h, h->keys), 250);
}

static void a_ring_with_the_old_master_key_makes_no_key_that_the_new_one_does_not_open(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    assert_int_equal(store_write(h->store, master_work, &(struct change){ h->keys, 2, false }, &h->why), ERR_NONE);
    assert_int_equal(try_master(h, 2), ERR_NONE);
    assert_int_equal(begin(h, &r), ERR_KEY_WRONG);
    assert_int_equal(opens(h, h->keys), 250); /* it goes on with what it has */

    char path[128];
    snprintf(path, sizeof path, "%s/new.key", h->directory);
    AUTO_SECRET two = hub_master(2);
    assert_int_equal(master_key_replace(str_of(path), two, &h->why), ERR_NONE);
    keyring_source(h->keys, &(struct master_key_source){ .file = str_of(path) });
    assert_int_equal(begin(h, &r), ERR_NONE); /* it found the new one */
    run_to_end(h);
    reopen(h, 2);
    assert_int_equal(opens(h, h->keys), 250);
}

static void a_wiped_ring_turns_no_key(void **state)
{
    struct hub *h = *state;
    struct rotation r;
    struct rotation_count c;
    assert_int_equal(begin(h, &r), ERR_NONE);
    keyring_wipe(h->keys);
    assert_int_equal(rotation_step(h->store, h->keys, &c, &h->why), ERR_SEALED);
    assert_int_equal(number(h, "SELECT count(*) FROM data_key WHERE wrapping_key = 1"), 252);
}

struct turning {
    struct hub *h;
    _Atomic bool over;
    enum err e;
};

static void *turn_again_and_again(void *context)
{
    struct turning *t = context;
    struct rotation made;
    struct rotation_count c = { 0 };
    for (int i = 0; !t->e && i < 30; i++) {
        t->e = begin(t->h, &made);
        for (c.finished = false; !t->e && !c.finished;)
            t->e = rotation_step(t->h->store, t->h->keys, &c, &(struct fault){ 0 });
    }
    t->over = true;
    return NULL;
}

static void a_report_tells_of_one_moment(void **state)
{
    struct hub *h = *state;
    struct turning t = { .h = h };
    pthread_t thread;
    int finished = 0;
    assert_int_equal(pthread_create(&thread, NULL, turn_again_and_again, &t), 0);
    while (!t.over) {
        AUTO_ARENA a = arena_new(4096);
        struct rotation_report r;
        struct fault why;
        assert_int_equal(rotation_report(store_reader(h->store, &why), a, &r, &why), ERR_NONE);
        bool turned = r.newest.key && r.newest.finished;
        assert_true(turned ? r.count == 1 && r.keys[0].id == r.newest.key : r.count == (r.newest.key ? 2 : 1));
        finished += turned;
    }
    pthread_join(thread, NULL);
    assert_int_equal(t.e, ERR_NONE);
    assert_true(finished > 0);
}

static int with_hub(void **state)
{
    struct hub *h = hub_new_ready();
    *state = h;
    if (store_write(h->store, insert_work, h, &h->why)) {
        fprintf(stderr, "%s\n", h->why.note);
        abort();
    }
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
        TEST(every_credential_opens_before_during_and_after_a_rotation),
        TEST(a_rotation_goes_on_where_another_process_stopped),
        TEST(a_ring_of_another_process_learns_of_the_new_key_by_itself),
        TEST(a_key_that_somebody_needs_cannot_be_destroyed),
        TEST(a_data_key_that_does_not_open_stops_one_connection_and_no_rotation),
        TEST(a_rotation_in_which_nothing_opens_destroys_nothing),
        TEST(a_damaged_wrapping_key_costs_what_it_sealed_and_nothing_else),
        TEST(two_rotations_do_not_overlap),
        TEST(a_rotation_is_due_by_age_or_uses),
        TEST(old_data_keys_are_replaced_and_their_secrets_stay),
        TEST(old_data_keys_share_transactions_and_one_that_does_not_open_keeps_none_of_the_others),
        TEST(both_master_keys_open_until_the_new_one_has_been_used),
        TEST(a_change_of_master_key_can_be_begun_again_with_another_key),
        TEST(a_ring_with_the_old_master_key_makes_no_key_that_the_new_one_does_not_open),
        TEST(a_wiped_ring_turns_no_key),
        TEST(a_report_tells_of_one_moment),
    };
    return cmocka_run_group_tests_name("vault/rotation", tests, NULL, NULL);
}
