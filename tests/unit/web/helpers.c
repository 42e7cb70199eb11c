/* Query strings, pages, ETags, bodies. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/encode.h"
#include "web/body.h"
#include "web/cookie.h"
#include "web/page.h"

struct bench {
    struct arena *arena;
    struct head head;
    struct hub hub;
    struct web_request q;
    struct reply reply;
    struct fault why;
};

static int with_bench(void **state)
{
    struct bench *b = mem_zero(sizeof *b);
    b->arena = arena_new(4096);
    b->q.arena = b->arena;
    b->q.head = &b->head;
    b->q.hub = &b->hub;
    buf_init(&b->reply.body, 65536);
    *state = b;
    return 0;
}

static int drop_bench(void **state)
{
    struct bench *b = *state;
    buf_end(&b->reply.body);
    arena_free(b->arena);
    free(b);
    return 0;
}

static void header(struct bench *b, const char *name, const char *value)
{
    b->head.headers[b->head.count++] = (struct header){ str_of(name), str_of(value) };
}

static void a_query_parameter_is_decoded_once(void **state)
{
    struct bench *b = *state;
    b->q.query = STR("a=1&search=R%C3%A9union+du%20lundi%2B&empty=&fl%61g");
    assert_true(str_is(web_query(&b->q, "search"), "R\xc3\xa9union du lundi+"));
    assert_true(web_query(&b->q, "empty").p && !web_query(&b->q, "empty").n);
    assert_true(web_query(&b->q, "flag").p != NULL);
    assert_null(web_query(&b->q, "b").p);
    b->q.query = STR_NONE;
    assert_null(web_query(&b->q, "a").p);
}

/* No database text can hold either: they end here, not there. */
static void a_query_parameter_that_is_no_text_is_refused(void **state)
{
    struct bench *b = *state;
    static const char *const allowed[] = { "search", NULL };
    static const char *const values[] = { "search=a%00b", "search=%ff", "search=%ed%a0%80", "search=%" };
    for (size_t i = 0; i < COUNT(values); i++) {
        b->q.query = str_of(values[i]);
        assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_REQUEST_INVALID);
        assert_int_equal(web_query(&b->q, "search").n, 0);
    }
    b->q.query = STR("search=a%0ab");
    assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_NONE);
}

static void a_misspelt_query_parameter_is_refused_by_name(void **state)
{
    static const char *const allowed[] = { "limit", "search", NULL };
    struct bench *b = *state;
    b->q.query = STR("limit=2&&search=x");
    assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_NONE);
    b->q.query = STR("limit=2&serach=x");
    assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_UNKNOWN_FIELD);
    assert_string_equal(b->why.subject, "serach");
    b->q.query = STR("search=%C3%28");
    assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_REQUEST_INVALID);
    b->q.query = STR("search=%2");
    assert_int_equal(web_only_query(&b->q, allowed, &b->why), ERR_REQUEST_INVALID);
}

static void a_limit_is_1_to_200_and_50_unless_asked(void **state)
{
    struct bench *b = *state;
    static const struct { const char *query; int limit; } cases[] = {
        { "", 50 }, { "limit=1", 1 }, { "limit=200", 200 }, { "limit=0", 0 }, { "limit=201", 0 }, { "limit=-1", 0 },
        { "limit=", 0 }, { "limit=ten", 0 }, { "limit=99999999999999999999", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int limit = 0;
        b->q.query = str_of(cases[i].query);
        assert_int_equal(web_limit(&b->q, &limit, &b->why), cases[i].limit ? ERR_NONE : ERR_FIELD_INVALID);
        if (cases[i].limit)
            assert_int_equal(limit, cases[i].limit);
    }
}

static void a_cursor_is_taken_back_as_it_was_given(void **state)
{
    struct bench *b = *state;
    struct page page;
    struct json *doc;
    struct json_out o = page_open(&b->reply);
    json_put_i64(&o, 1);
    page_close(&o, b->arena, STR("con_0123"));
    assert_int_equal(json_read(b->arena, buf_str(&b->reply.body), &doc, &b->why), ERR_NONE);
    struct str cursor = json_str(doc, "next_cursor");
    b->q.query = str_fmt(b->arena, "limit=3&cursor=%.*s", STR_ARG(cursor));
    assert_int_equal(page_read(&b->q, &page, &b->why), ERR_NONE);
    assert_true(str_is(page.after, "con_0123"));
    assert_int_equal(page.limit, 3);
}

static void a_cursor_that_is_not_ours_is_refused(void **state)
{
    struct bench *b = *state;
    static const char *const bad[] = { "cursor=", "cursor=!!", "cursor=Y29uXw==", "cursor=AAAA", "cursor=_w" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct page page;
        b->q.query = str_of(bad[i]);
        assert_int_equal(page_read(&b->q, &page, &b->why), ERR_FIELD_INVALID);
    }
}

static void the_last_page_says_so(void **state)
{
    struct bench *b = *state;
    struct json_out o = page_open(&b->reply);
    page_close(&o, b->arena, STR_NONE);
    assert_string_equal(arena_cstr(b->arena, buf_str(&b->reply.body)), "{\"items\":[],\"next_cursor\":null}");
}

static void a_change_is_refused_when_the_object_is_another_by_now(void **state)
{
    struct bench *b = *state;
    static const struct { const char *tag; enum err expected; } cases[] = {
        { "\"7\"", ERR_NONE }, { "*", ERR_NONE }, { "\"6\", \"7\"", ERR_NONE }, { "\"6\"", ERR_PRECONDITION_FAILED },
        { "W/\"7\"", ERR_PRECONDITION_FAILED }, { "7", ERR_PRECONDITION_FAILED }, { "", ERR_PRECONDITION_FAILED },
    };
    assert_int_equal(web_if_match(&b->q, 7, &b->why), ERR_NONE);
    for (size_t i = 0; i < COUNT(cases); i++) {
        b->head.count = 0;
        header(b, "If-Match", cases[i].tag);
        assert_int_equal(web_if_match(&b->q, 7, &b->why), cases[i].expected);
    }
    reply_etag(&b->reply, &b->q, 7);
    assert_true(str_is(b->reply.headers[0][1], "\"7\""));
}

static void the_session_is_found_among_other_cookies(void **state)
{
    struct bench *b = *state;
    header(b, "Accept", "*/*");
    header(b, "cookie", "theme=dark; raccord=plain; x__Host-raccord=no; __Host-raccord=abc=");
    b->hub.public_is_https = true;
    assert_true(str_is(cookie_session(&b->head, &b->hub), "abc="));
    b->hub.public_is_https = false;
    assert_true(str_is(cookie_session(&b->head, &b->hub), "plain"));
    b->head.count = 1;
    assert_null(cookie_session(&b->head, &b->hub).p);
}

static void the_session_cookie_is_kept_from_scripts_and_other_sites(void **state)
{
    struct bench *b = *state;
    b->hub.public_is_https = true;
    cookie_set_session(&b->q, &b->reply, STR("abc"));
    assert_string_equal(arena_cstr(b->arena, b->reply.headers[0][1]),
                        "__Host-raccord=abc; Path=/; HttpOnly; SameSite=Strict; Secure");
    b->hub.public_is_https = false;
    cookie_set_session(&b->q, &b->reply, STR(""));
    assert_string_equal(arena_cstr(b->arena, b->reply.headers[1][1]), "raccord=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
}

static const struct json *parsed(struct bench *b, const char *text)
{
    struct json *doc;
    assert_int_equal(json_read(b->arena, str_of(text), &doc, &b->why), ERR_NONE);
    return doc;
}

static void a_wrong_member_is_pointed_at(void **state)
{
    struct bench *b = *state;
    const struct json *body =
        parsed(b, "{\"n\":1,\"long\":\"abcdef\",\"ctl\":\"a\\nb\",\"null\":null,\"empty\":\"\",\"yes\":true}");
    struct str text;
    bool flag = false;
    const struct json *object;
    assert_int_equal(body_text(body, "n", false, 9, &text, &b->why), ERR_FIELD_INVALID);
    assert_string_equal(b->why.pointer, "/n");
    assert_int_equal(body_text(body, "long", false, 5, &text, &b->why), ERR_FIELD_INVALID);
    assert_int_equal(body_text(body, "ctl", false, 9, &text, &b->why), ERR_FIELD_INVALID);
    assert_int_equal(body_prose(body, "ctl", 9, &text, &b->why), ERR_NONE);
    assert_int_equal(body_text(body, "null", true, 9, &text, &b->why), ERR_FIELD_REQUIRED);
    assert_int_equal(body_text(body, "empty", true, 9, &text, &b->why), ERR_FIELD_REQUIRED);
    assert_string_equal(b->why.pointer, "/empty");
    assert_int_equal(body_text(body, "absent", false, 9, &text, &b->why), ERR_NONE);
    assert_null(text.p);
    assert_int_equal(body_bool(body, "yes", &flag, &b->why), ERR_NONE);
    assert_true(flag);
    assert_int_equal(body_bool(body, "n", &flag, &b->why), ERR_FIELD_INVALID);
    assert_int_equal(body_object(body, "n", &object, &b->why), ERR_FIELD_INVALID);
    assert_int_equal(body_object(body, "null", &object, &b->why), ERR_NONE);
    assert_null(object);
}

static void a_password_is_gone_from_memory_after_its_request(void **state)
{
    struct bench *b = *state;
    char text[] = "{\"a\":{\"password\":\"plain-secret\"},\"b\":[\"esc\\u0061ped-secret\"]}";
    b->q.body = str_of(text);
    assert_int_equal(json_read(b->arena, b->q.body, &b->q.json, &b->why), ERR_NONE);
    struct str escaped = json_get(b->q.json, "b")->child->text;
    assert_true(str_is(escaped, "escaped-secret"));
    body_wipe(&b->q);
    for (size_t i = 0; i < escaped.n; i++)
        assert_int_equal(escaped.p[i], 0);
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_int_equal(text[i], 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_bench, drop_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_query_parameter_is_decoded_once),
        TEST(a_query_parameter_that_is_no_text_is_refused),
        TEST(a_misspelt_query_parameter_is_refused_by_name),
        TEST(a_limit_is_1_to_200_and_50_unless_asked),
        TEST(a_cursor_is_taken_back_as_it_was_given),
        TEST(a_cursor_that_is_not_ours_is_refused),
        TEST(the_last_page_says_so),
        TEST(a_change_is_refused_when_the_object_is_another_by_now),
        TEST(the_session_is_found_among_other_cookies),
        TEST(the_session_cookie_is_kept_from_scripts_and_other_sites),
        TEST(a_wrong_member_is_pointed_at),
        TEST(a_password_is_gone_from_memory_after_its_request),
    };
    return cmocka_run_group_tests_name("web/helpers", tests, NULL, NULL);
}
