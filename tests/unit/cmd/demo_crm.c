#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/demo_crm.h"

#include "base/json.h"

struct crm {
    struct arena *arena;
    struct demo_crm *crm;
    struct demo_answer answer;
};

static int with_crm(void **state)
{
    struct crm *c = mem_zero(sizeof *c);
    c->arena = arena_new(64 * 1024);
    c->crm = demo_crm_new(STR("https://localhost:1"), STR("demo_secret"));
    *state = c;
    return 0;
}

static int drop_crm(void **state)
{
    struct crm *c = *state;
    demo_crm_free(c->crm);
    arena_free(c->arena);
    free(c);
    return 0;
}

/* Ask with further header lines ("Name: value\r\n..."); answers the status. */
static int ask_with(struct crm *c, const char *method, const char *target, const char *lines, const char *body)
{
    struct str text = str_fmt(c->arena, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, target, lines);
    struct head *h = arena_zero(c->arena, sizeof *h);
    struct head_limits limits = HEAD_LIMITS_PRESET;
    size_t resume = 0;
    const char *why;
    assert_int_equal(head_request(text, &resume, &limits, h, &why), HEAD_DONE);
    struct demo_request q = { c->arena, h, str_of(body) };
    demo_crm_answer(c->crm, &q, &c->answer);
    return c->answer.status;
}

static int ask(struct crm *c, const char *method, const char *target, const char *body)
{
    return ask_with(c, method, target, "Authorization: Bearer demo_secret\r\n", body);
}

static struct json *body_of(struct crm *c)
{
    struct json *v;
    struct fault why = { 0 };
    assert_int_equal(json_read(c->arena, c->answer.body, &v, &why), ERR_NONE);
    return v;
}

static struct str header_of(struct crm *c, const char *name)
{
    for (size_t i = 0; i < c->answer.header_count; i++)
        if (str_ieq(c->answer.headers[i][0], str_of(name)))
            return c->answer.headers[i][1];
    return STR_NONE;
}

static void without_the_token_nothing_is_answered(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask_with(c, "GET", "/v1/contacts", "", NULL), 401);
    assert_true(str_is(header_of(c, "WWW-Authenticate"), "Bearer realm=\"demo\""));
    assert_true(str_is(json_str(json_get(body_of(c), "error"), "code"), "unauthorized"));
    assert_int_equal(ask_with(c, "GET", "/v1/contacts", "Authorization: Bearer demo_secre\r\n", NULL), 401);
    assert_int_equal(ask_with(c, "GET", "/v1/contacts", "Authorization: Bearer demo_secret2\r\n", NULL), 401);
    assert_int_equal(ask_with(c, "GET", "/v1/contacts", "Authorization: Basic demo_secret\r\n", NULL), 401);
    assert_int_equal(ask_with(c, "GET", "/v1/nothing", "", NULL), 401);
}

/* Walk all pages; answers how many rows, each id greater than the one before. */
static size_t walk(struct crm *c, const char *path)
{
    size_t n = 0;
    int64_t before = 0;
    const char *target = path;
    for (int page = 0; page < 100; page++) {
        assert_int_equal(ask(c, "GET", target, NULL), 200);
        struct json *v = body_of(c);
        json_each(row, json_get(v, "data")) {
            int64_t id;
            assert_true(json_i64(json_get(row, "id"), &id));
            assert_true(id > before);
            before = id;
            n++;
        }
        struct str next = json_str(v, "next_cursor"), link = header_of(c, "Link");
        if (!next.n) {
            assert_null(link.p);
            return n;
        }
        /* The link and the cursor lead to the same page. */
        assert_true(str_starts(link, STR("<https://localhost:1")));
        struct str url = str_sub(link, strlen("<https://localhost:1"), str_find(link, '>'));
        assert_true(str_find_str(url, next) != SIZE_MAX);
        target = arena_cstr(c->arena, url);
    }
    fail_msg("the pages never end");
    return 0;
}

static void all_contacts_and_deals_are_reached_by_following_pages(void **state)
{
    struct crm *c = *state;

    assert_int_equal(walk(c, "/v1/contacts?limit=100"), DEMO_CONTACTS);
    assert_int_equal(walk(c, "/v1/deals?limit=97"), DEMO_DEALS);
}

static void a_filter_stays_in_the_link_to_the_next_page(void **state)
{
    struct crm *c = *state;
    size_t won = walk(c, "/v1/deals?limit=50&stage=won");

    assert_true(won > 100 && won < DEMO_DEALS / 2);
    assert_true(walk(c, "/v1/contacts?search=Atelier&limit=100") > 10);
}

static void the_data_hold_numbers_that_doubles_would_spoil(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask(c, "GET", "/v1/deals/9007199254740993", NULL), 200);
    assert_true(str_is(json_get(body_of(c), "id")->text, "9007199254740993"));
    assert_true(str_is(json_get(body_of(c), "amount")->text, "19.99"));
    assert_int_equal(ask(c, "GET", "/v1/deals/9007199254740992", NULL), 404);
    assert_int_equal(ask(c, "GET", "/v1/contacts/1001", NULL), 200);
    assert_true(str_is(json_get(body_of(c), "balance")->text, "19.99"));
}

static void the_data_are_the_same_at_every_start(void **state)
{
    struct crm *c = *state;
    struct demo_crm *first = c->crm, *second = demo_crm_new(STR("https://localhost:1"), STR("demo_secret"));

    assert_int_equal(ask(c, "GET", "/v1/contacts?limit=100", NULL), 200);
    struct str before = c->answer.body;
    c->crm = second;
    assert_int_equal(ask(c, "GET", "/v1/contacts?limit=100", NULL), 200);
    c->crm = first;
    assert_true(str_eq(before, c->answer.body));
    demo_crm_free(second);
}

static void a_contact_is_made_changed_and_deleted(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask(c, "POST", "/v1/contacts", "{\"last_name\":\"Noël\",\"email\":\"n@example.com\",\"balance\":0.10}"), 201);
    assert_true(str_is(header_of(c, "Location"), "https://localhost:1/v1/contacts/3001"));
    assert_true(str_is(json_get(body_of(c), "balance")->text, "0.10"));
    assert_int_equal(ask(c, "PATCH", "/v1/contacts/3001", "{\"city\":\"Lyon\"}"), 200);
    assert_int_equal(ask(c, "GET", "/v1/contacts/3001", NULL), 200);
    assert_true(str_is(json_str(body_of(c), "city"), "Lyon"));
    assert_true(str_is(json_str(body_of(c), "last_name"), "Noël"));
    assert_int_equal(ask(c, "DELETE", "/v1/contacts/3001", NULL), 204);
    assert_null(c->answer.body.p);
    assert_int_equal(ask(c, "GET", "/v1/contacts/3001", NULL), 404);
    assert_int_equal(walk(c, "/v1/contacts?limit=100"), DEMO_CONTACTS);
}

static void a_contact_that_is_not_valid_is_refused_and_nothing_changes(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask(c, "POST", "/v1/contacts", "{"), 400);
    assert_int_equal(ask(c, "POST", "/v1/contacts", NULL), 400);
    assert_int_equal(ask(c, "POST", "/v1/contacts", "[]"), 400);
    assert_int_equal(ask(c, "POST", "/v1/contacts", "{\"email\":\"a@b\"}"), 422);
    assert_int_equal(ask(c, "POST", "/v1/contacts", "{\"last_name\":\"x\",\"email\":\"no address\"}"), 422);
    assert_int_equal(ask(c, "POST", "/v1/contacts", "{\"last_name\":\"x\",\"email\":\"a@b\",\"balance\":\"1\"}"), 422);
    assert_int_equal(ask(c, "POST", "/v1/contacts", "{\"last_name\":\"x\",\"email\":\"a@b\",\"colour\":\"red\"}"), 422);
    assert_int_equal(ask(c, "PATCH", "/v1/contacts/1001", "{\"last_name\":null}"), 422);
    assert_int_equal(walk(c, "/v1/contacts?limit=100"), DEMO_CONTACTS);
}

static void an_etag_spares_an_answer_and_guards_a_change(void **state)
{
    struct crm *c = *state;
    assert_int_equal(ask(c, "GET", "/v1/contacts/1002", NULL), 200);
    struct str tag = header_of(c, "ETag");
    const char *same = str_fmt(c->arena, "Authorization: Bearer demo_secret\r\nIf-None-Match: %.*s\r\n", STR_ARG(tag)).p;
    const char *match = str_fmt(c->arena, "Authorization: Bearer demo_secret\r\nIf-Match: %.*s\r\n", STR_ARG(tag)).p;

    assert_int_equal(ask_with(c, "GET", "/v1/contacts/1002", same, NULL), 304);
    assert_int_equal(ask_with(c, "PATCH", "/v1/contacts/1002", match, "{\"notes\":\"first\"}"), 200);
    assert_int_equal(ask_with(c, "PATCH", "/v1/contacts/1002", match, "{\"notes\":\"late\"}"), 412);
    assert_int_equal(ask_with(c, "GET", "/v1/contacts/1002", same, NULL), 200);
}

static void it_fails_waits_streams_and_redirects_as_asked(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask(c, "GET", "/v1/fail?status=503", NULL), 503);
    assert_true(str_is(header_of(c, "Retry-After"), "1"));
    assert_int_equal(ask(c, "GET", "/v1/fail", NULL), 500);
    assert_int_equal(ask(c, "GET", "/v1/fail?status=200", NULL), 400);
    assert_int_equal(ask(c, "GET", "/v1/slow?ms=250", NULL), 200);
    assert_int_equal(c->answer.wait_ms, 250);
    assert_int_equal(ask(c, "GET", "/v1/slow?ms=60001", NULL), 400);
    assert_int_equal(ask(c, "GET", "/v1/download?bytes=12345", NULL), 200);
    assert_int_equal(c->answer.stream, 12345);
    assert_int_equal(ask(c, "GET", "/v1/redirect", NULL), 302);
    assert_false(str_starts(header_of(c, "Location"), STR("https://localhost")));
    assert_int_equal(ask(c, "GET", "/v1/me", NULL), 200);
    assert_true(str_is(json_str(body_of(c), "name"), "Atelier Horizon"));
}

static void a_wrong_method_page_or_path_is_told_apart(void **state)
{
    struct crm *c = *state;

    assert_int_equal(ask(c, "PUT", "/v1/contacts/1001", NULL), 405);
    assert_true(str_is(header_of(c, "Allow"), "GET, PATCH, DELETE"));
    assert_int_equal(ask(c, "GET", "/v1/contacts/1001/x", NULL), 404);
    assert_int_equal(ask(c, "GET", "/v1/contacts/", NULL), 404);
    assert_int_equal(ask(c, "GET", "/v2/contacts", NULL), 404);
    assert_int_equal(ask(c, "GET", "/v1/contacts?limit=101", NULL), 400);
    assert_int_equal(ask(c, "GET", "/v1/contacts?cursor=bogus", NULL), 400);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, with_crm, drop_crm)
    const struct CMUnitTest tests[] = {
        CASE(without_the_token_nothing_is_answered),
        CASE(all_contacts_and_deals_are_reached_by_following_pages),
        CASE(a_filter_stays_in_the_link_to_the_next_page),
        CASE(the_data_hold_numbers_that_doubles_would_spoil),
        CASE(the_data_are_the_same_at_every_start),
        CASE(a_contact_is_made_changed_and_deleted),
        CASE(a_contact_that_is_not_valid_is_refused_and_nothing_changes),
        CASE(an_etag_spares_an_answer_and_guards_a_change),
        CASE(it_fails_waits_streams_and_redirects_as_asked),
        CASE(a_wrong_method_page_or_path_is_told_apart),
    };
    return cmocka_run_group_tests_name("cmd/demo_crm", tests, NULL, NULL);
}
