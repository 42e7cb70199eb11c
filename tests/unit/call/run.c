/* Run records: kept once, found by every filter, shown to those who may see them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "call/run.h"
#include "store/room.h"

#define T0 1800000000000LL

static struct db *reader(struct room *r)
{
    struct db *db = store_reader(r->store, &r->why);
    assert_non_null(db);
    return db;
}

struct batch {
    const struct run *runs;
    size_t n;
};

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct batch *b = context;
    return runs_insert(db, b->runs, b->n, why);
}

static void keep(struct room *r, const struct run *runs, size_t n)
{
    struct batch b = { runs, n };
    assert_int_equal(store_write(r->store, insert, &b, &r->why), ERR_NONE);
}

static enum err seed(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return db_script(db,
                     "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld_a', 'a', 'a', 'shared', 1, "
                     "1), ('fld_b', 'b', 'b', 'shared', 1, 1);"
                     "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, "
                     "allowed_domain, fields, owner_id, state,"
                     " created_ms, updated_ms) VALUES"
                     " ('con_a', 'a', 'a', 'a', 'fld_a', 'http', '1', 'none', 'x.example', '{}', 'usr_1', 'active', 1, 1),"
                     " ('con_b', 'b', 'b', 'b', 'fld_b', 'http', '1', 'none', 'x.example', '{}', 'usr_2', 'active', 1, 1)",
                     why);
}

static int with_store(void **state)
{
    struct room *r = room_new();
    *state = r;
    if (room_open_store(r->directory, &r->store, &r->why) || store_write(r->store, seed, NULL, &r->why)) {
        fprintf(stderr, "%s\n", r->why.note);
        return 1;
    }
    return 0;
}

static int drop_store(void **state)
{
    room_end(*state);
    return 0;
}

static struct run sample(int number, const char *connection, const char *caller, enum run_outcome outcome)
{
    struct run run = {
        .via = RUN_CALL, .outcome = outcome, .status = outcome == RUN_SUCCESS ? 200 : 0, .started = T0 + number * 1000
    };
    snprintf(run.id, sizeof run.id, "run_%04d", number);
    str_copy(run.connection, sizeof run.connection, str_of(connection));
    str_copy(run.connection_key, sizeof run.connection_key, STR("crm"));
    str_copy(run.caller, sizeof run.caller, str_of(caller));
    str_copy(run.token, sizeof run.token, STR("tok_1"));
    str_copy(run.method, sizeof run.method, STR("POST"));
    str_copy(run.host, sizeof run.host, STR("api.example.com"));
    str_copy(run.path, sizeof run.path, STR("/v1/[masked]"));
    return run;
}

/* con_a: 1 3 5 7 9 by usr_1 and failed at 9; con_b: 2 4 6 8 by usr_2; 10: no connection, by usr_1 */
static void keep_ten(struct room *r)
{
    struct run runs[10];
    for (int i = 1; i <= 9; i++)
        runs[i - 1] =
            i % 2 ? sample(i, "con_a", "usr_1", i == 9 ? RUN_FAILED : RUN_SUCCESS) : sample(i, "con_b", "usr_2", RUN_SUCCESS);
    runs[8].error = ERR_UPSTREAM_TIMEOUT;
    runs[9] = sample(10, "", "usr_1", RUN_REFUSED);
    keep(r, runs, 10);
}

static const char *listed(struct room *r, const struct run_filter *f)
{
    static char text[128];
    struct run *runs;
    size_t n, at = 0;
    text[0] = 0;
    assert_int_equal(run_list(reader(r), r->arena, f, &runs, &n, &r->why), ERR_NONE);
    for (size_t i = 0; i < n; i++) {
        uint64_t number = 0;
        struct str digits = str_sub(str_of(runs[i].id), 4, 8);
        assert_true(str_u64(digits, &number));
        at += (size_t)snprintf(text + at, sizeof text - at, at ? " %d" : "%d", (int)number);
    }
    return text;
}

static void a_record_comes_back_as_it_was(void **state)
{
    struct room *r = *state;
    struct run in = sample(1, "con_a", "usr_1", RUN_PROVIDER_ERROR), out;
    in.status = 503;
    in.via = RUN_VERIFY;
    in.request_bytes = 12;
    in.response_bytes = 1LL << 40;
    in.connect_us = 1;
    in.tls_us = 12345;
    in.first_byte_us = 999;
    in.total_us = 2000000000;
    in.reused = true;
    keep(r, &in, 1);
    assert_int_equal(run_get(reader(r), STR("run_0001"), &out, &r->why), ERR_NONE);
    assert_memory_equal(&in, &out, sizeof in);
    assert_int_equal(run_get(reader(r), STR("run_0002"), &out, &r->why), ERR_NOT_FOUND);
}

static void a_record_that_fails_has_no_status_but_an_error(void **state)
{
    struct room *r = *state;
    struct run run = sample(1, "", "", RUN_FAILED), out;
    run.error = ERR_UPSTREAM_DNS;
    memset(run.token, 0, sizeof run.token);
    memset(run.connection_key, 0, sizeof run.connection_key);
    keep(r, &run, 1);
    assert_int_equal(run_get(reader(r), STR("run_0001"), &out, &r->why), ERR_NONE);
    assert_memory_equal(&run, &out, sizeof run);
    AUTO_BUF text;
    buf_init(&text, 4096);
    struct json_out o = json_out(&text);
    run_write(&o, &out);
    assert_string_equal(
        arena_cstr(r->arena, buf_str(&text)),
        "{\"id\":\"run_0001\",\"started_at\":\"2027-01-15T08:00:01.000Z\",\"connection\":null,\"caller\":null,\"token\":null,"
        "\"via\":\"call\","
        "\"method\":\"POST\",\"host\":\"api.example.com\",\"path\":\"/v1/[masked]\",\"status\":null,\"outcome\":\"failed\","
        "\"error\":\"upstream_dns\",\"request_bytes\":0,\"response_bytes\":0,\"timing_ms\":{\"resolve\":null,\"connect\":null,"
        "\"tls\":null,"
        "\"first_byte\":null,\"total\":null,\"reused\":false}}");
}

static void a_batch_written_twice_is_kept_once(void **state)
{
    struct room *r = *state;
    keep_ten(r);
    keep_ten(r);
    assert_int_equal(room_number(r, reader(r), "SELECT sum(count) FROM run_block"), 10);
}

static void lists_are_newest_first_and_go_on_from_the_cursor(void **state)
{
    struct room *r = *state;
    keep_ten(r);
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 4 }), "10 9 8 7");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 4, .before = STR("run_0007") }), "6 5 4 3");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 4, .before = STR("run_0001") }), "");
}

static void each_filter_narrows(void **state)
{
    struct room *r = *state;
    keep_ten(r);
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20, .connection = STR("con_b") }), "8 6 4 2");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20, .caller = STR("usr_1") }), "10 9 7 5 3 1");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20, .by_outcome = true, .outcome = RUN_FAILED }), "9");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20, .since = T0 + 8000 }), "10 9 8");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 2,
                                                        .connection = STR("con_a"),
                                                        .caller = STR("usr_1"),
                                                        .by_outcome = true,
                                                        .outcome = RUN_SUCCESS,
                                                        .since = T0 + 3000,
                                                        .before = STR("run_0007") }),
                        "5 3");
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20, .action = STR("act_1") }), "");
}

static void runs_of_folders_one_does_not_see_are_not_listed(void **state)
{
    struct room *r = *state;
    const struct str a[] = { STR("fld_a") }, none[] = { STR("fld_none") };
    keep_ten(r);
    assert_string_equal(
        listed(r,
               &(struct run_filter){ .limit = 20, .seen = &(struct folder_scope){ .few = true, .folders = a, .folder_count = 1 } }),
        "9 7 5 3 1");
    assert_string_equal(
        listed(r, &(struct run_filter){ .limit = 20,
                                        .seen = &(struct folder_scope){ .few = true, .folders = a, .folder_count = 1 },
                                        .own = STR("usr_2") }),
        "9 8 7 6 5 4 3 2 1");
    assert_string_equal(
        listed(r, &(struct run_filter){ .limit = 20,
                                        .seen = &(struct folder_scope){ .few = true, .folders = none, .folder_count = 1 },
                                        .own = STR("usr_3") }),
        "");
    assert_string_equal(
        listed(r, &(struct run_filter){ .limit = 20,
                                        .seen = &(struct folder_scope){ .few = true, .folders = none, .folder_count = 0 },
                                        .own = STR("usr_1") }),
        "10 9 7 5 3 1");
}

static void a_token_limited_to_connections_lists_their_runs_only(void **state)
{
    struct room *r = *state;
    const struct str folders[] = { STR("fld_a"), STR("fld_b") }, one[] = { STR("con_b") };
    keep_ten(r);
    struct run_filter f = { .limit = 20,
                            .seen = &(struct folder_scope){ .few = true, .folders = folders, .folder_count = 2 },
                            .own = STR("usr_1"),
                            .limited = true,
                            .connections = one };
    assert_string_equal(listed(r, &f), "");
    f.connection_count = 1;
    assert_string_equal(listed(r, &f), "8 6 4 2");
}

static void counting_stops_at_its_limit(void **state)
{
    struct room *r = *state;
    int64_t n;
    keep_ten(r);
    assert_int_equal(run_count(reader(r), STR("con_a"), T0, 100, &n, &r->why), ERR_NONE);
    assert_int_equal(n, 5);
    assert_int_equal(run_count(reader(r), STR("con_a"), T0 + 6000, 100, &n, &r->why), ERR_NONE);
    assert_int_equal(n, 2);
    assert_int_equal(run_count(reader(r), STR("con_a"), T0, 3, &n, &r->why), ERR_NONE);
    assert_int_equal(n, 3);
}

struct pruning {
    wall_ms before;
    int most;
    int64_t deleted;
};

static enum err prune(struct db *db, void *context, struct fault *why)
{
    struct pruning *p = context;
    return runs_prune(db, p->before, p->most, &p->deleted, why);
}

static void old_records_go_a_few_at_a_time_and_new_ones_stay(void **state)
{
    struct room *r = *state;
    struct pruning p = { .before = T0 + 5500, .most = 3 };
    const int64_t expected[] = { 3, 2, 0 };
    keep_ten(r);
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_int_equal(store_write(r->store, prune, &p, &r->why), ERR_NONE);
        assert_int_equal(p.deleted, expected[i]);
    }
    assert_string_equal(listed(r, &(struct run_filter){ .limit = 20 }), "10 9 8 7 6");
}

static void outcomes_are_read_as_they_are_written(void **state)
{
    (void)state;
    for (enum run_outcome o = RUN_SUCCESS; o <= RUN_CANCELLED; o++) {
        enum run_outcome back;
        assert_true(run_outcome_parse(str_of(run_outcome_name(o)), &back));
        assert_int_equal(back, o);
    }
    enum run_outcome none;
    assert_false(run_outcome_parse(STR("Success"), &none));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_store, drop_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_comes_back_as_it_was),
        TEST(a_record_that_fails_has_no_status_but_an_error),
        TEST(a_batch_written_twice_is_kept_once),
        TEST(lists_are_newest_first_and_go_on_from_the_cursor),
        TEST(each_filter_narrows),
        TEST(runs_of_folders_one_does_not_see_are_not_listed),
        TEST(a_token_limited_to_connections_lists_their_runs_only),
        TEST(counting_stops_at_its_limit),
        TEST(old_records_go_a_few_at_a_time_and_new_ones_stay),
        cmocka_unit_test(outcomes_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests_name("call/run", tests, NULL, NULL);
}
