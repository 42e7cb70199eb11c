#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "hall.h"

#include "web/idempotency.h"

/* Two processes on one database: each has a table of its own of what is in flight. */
struct two {
    struct hall *hall;
    struct caller *caller;
    struct idempotency *tables[2];
    int effects;
};
static struct two *now;

static enum err effect(struct db *db, void *context, struct fault *why)
{
    enum err e = idempotency_mark(context, db, why);
    struct query *q =
        query_begin(db, "INSERT INTO setting (name, value) VALUES ('effect.' || (SELECT COUNT(*) FROM setting), 'x')");
    enum err second = query_end(q, why);
    return e ? e : second;
}

static enum err answer(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = store_write(q->hub->store, effect, q, why);
    if (e)
        return e;
    now->effects++;
    r->status = 201;
    buf_add(&r->body, STR("{\"made\":true}"));
    return ERR_NONE;
}

static enum err ask(int process, handler *handle, const char *body, struct reply *r, struct fault *why)
{
    struct hub hub = now->hall->hub;
    hub.idempotency = now->tables[process];
    struct head head = { .count = 1, .headers = { { STR("idempotency-key"), STR("k1") } } };
    struct web_request q = { .hub = &hub, .arena = now->hall->exchange, .method = METHOD_POST, .head = &head, .caller = now->caller,
                             .path = STR("/api/v1/connections"), .body = str_of(body) };
    q.db = store_reader(hub.store, why);
    r->status = 200;
    return idempotency_run(&q, r, handle, why);
}

static void with_reply(int process, handler *handle, const char *body, enum err expected, bool replayed)
{
    struct reply r = { 0 };
    struct fault why = { 0 };
    buf_init(&r.body, 1024);
    enum err e = ask(process, handle, body, &r, &why);
    assert_string_equal(err_row(e)->code, err_row(expected)->code);
    bool said = false;
    for (size_t i = 0; i < r.header_count; i++)
        said |= str_is(r.headers[i][0], "Idempotency-Replayed");
    assert_int_equal(said, replayed);
    if (!e)
        assert_true(str_is(buf_str(&r.body), "{\"made\":true}"));
    buf_end(&r.body);
}

/* While the first one is at work, the other process does the whole of it. */
static enum err overtaken(struct web_request *q, struct reply *r, struct fault *why)
{
    with_reply(1, answer, "{}", ERR_NONE, false);
    return answer(q, r, why);
}

static enum err overtaken_by_another(struct web_request *q, struct reply *r, struct fault *why)
{
    with_reply(1, answer, "{\"other\":1}", ERR_NONE, false);
    return answer(q, r, why);
}

static void an_answer_is_given_again_by_another_process(void **state)
{
    (void)state;
    with_reply(0, answer, "{}", ERR_NONE, false);
    with_reply(1, answer, "{}", ERR_NONE, true);
    with_reply(1, answer, "{\"other\":1}", ERR_IDEMPOTENCY_KEY_REUSED, false);
    assert_int_equal(now->effects, 1);
}

static void of_two_processes_that_are_asked_at_once_one_makes_the_change(void **state)
{
    (void)state;
    with_reply(0, overtaken, "{}", ERR_IDEMPOTENCY_IN_FLIGHT, false);
    assert_int_equal(now->effects, 1);
    with_reply(0, answer, "{}", ERR_NONE, true);
    assert_int_equal(now->effects, 1);
}

static void a_key_that_another_process_took_meanwhile_for_another_request_is_refused(void **state)
{
    (void)state;
    with_reply(0, overtaken_by_another, "{}", ERR_IDEMPOTENCY_KEY_REUSED, false);
    assert_int_equal(now->effects, 1);
}

static void a_narrower_token_of_the_same_issuer_gets_no_answer_of_a_wider_one(void **state)
{
    (void)state;
    static struct str get = { "GET", 3 };
    now->caller->token = STR("idp_1");
    with_reply(0, answer, "{}", ERR_NONE, false);
    now->caller->narrow.lists[NARROW_METHOD] = (struct narrow_list){ true, &get, 1 };
    with_reply(0, answer, "{}", ERR_NONE, false);
    assert_int_equal(now->effects, 2);
}

static int setup(void **state)
{
    now = mem_zero(sizeof *now);
    now->hall = hall_new();
    now->caller = hall_person(now->hall, "ann@example.com", ROLE_USER, false);
    for (int i = 0; i < 2; i++)
        now->tables[i] = idempotency_new();
    *state = now;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        idempotency_free(now->tables[i]);
    hall_free(now->hall);
    free(now);
    return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_given_again_by_another_process),
        TEST(of_two_processes_that_are_asked_at_once_one_makes_the_change),
        TEST(a_key_that_another_process_took_meanwhile_for_another_request_is_refused),
        TEST(a_narrower_token_of_the_same_issuer_gets_no_answer_of_a_wider_one),
    };
    return cmocka_run_group_tests_name("web/idempotency", tests, NULL, NULL);
}
