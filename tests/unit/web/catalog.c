/* The doors of the catalog, folders, operation and pages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "web/hall.h"

static int with_hall(void **state)
{
    struct hall *h = hall_new();
    h->caller = hall_person(h, "admin@example.com", ROLE_ADMIN, false);
    *state = h;
    return 0;
}

static int drop_hall(void **state)
{
    hall_free(*state);
    return 0;
}

static void connectors_are_found_by_each_filter(void **state)
{
    struct hall *h = *state;
    static const struct { const char *query, *first; } cases[] = {
        { "?search=GitHub", "github" }, { "?search=no-such-thing", "(none)" }, { "?stage=deprecated", "(none)" },
        { "?auth_type=none", "http" }, { "?domain=no-such-domain", "(none)" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/connectors%s", cases[i].query).p, NULL);
        assert_ok(h, 200);
        assert_string_equal(hall_text(h, "items.0.id"), cases[i].first);
    }
}

static void the_catalog_is_paged_by_name(void **state)
{
    struct hall *h = *state;
    size_t total = catalog_count(h->hub.catalog), seen = 0;
    const char *cursor = "null", *before = "";
    assert_true(total > 2);
    do {
        hall_ask(h, METHOD_GET,
                 strcmp(cursor, "null") ? str_fmt(h->exchange, "/api/v1/connectors?limit=2&cursor=%s", cursor).p
                                        : "/api/v1/connectors?limit=2",
                 NULL);
        assert_ok(h, 200);
        for (int i = 0; i < hall_count(h, "items"); i++, seen++) {
            const char *id = hall_text(h, str_fmt(h->exchange, "items.%d.id", i).p);
            assert_string_not_equal(id, before);
            before = id;
        }
        cursor = hall_text(h, "next_cursor");
    } while (strcmp(cursor, "null") && seen <= total);
    assert_int_equal(seen, total);
}

static void a_connector_speaks_the_language_asked_for(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_GET, "/api/v1/connectors/http", NULL);
    assert_ok(h, 200);
    const char *english = hall_text(h, "description"), *tag = hall_reply_header(h, "ETag");
    hall_ask(h, METHOD_GET, "/api/v1/connectors/http?language=fr", NULL);
    assert_ok(h, 200);
    assert_string_not_equal(hall_text(h, "description"), english);
    assert_string_not_equal(hall_reply_header(h, "ETag"), tag);
    assert_true(hall_count(h, "auth") > 1);
    hall_ask(h, METHOD_GET, "/api/v1/connectors/http?language=de", NULL);
    assert_refused(h, ERR_FIELD_INVALID, "");
    hall_ask(h, METHOD_GET, "/api/v1/connectors/nope", NULL);
    assert_refused(h, ERR_CONNECTOR_NOT_FOUND, "");
}

static void business_domains_are_counted(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_GET, "/api/v1/domains", NULL);
    assert_ok(h, 200);
    int n = hall_count(h, "items");
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        const char *id = hall_text(h, str_fmt(h->exchange, "items.%d.id", i).p),
                   *count = hall_text(h, str_fmt(h->exchange, "items.%d.connectors", i).p);
        hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/connectors?limit=200&domain=%s", id).p, NULL);
        uint64_t expected;
        assert_true(str_u64(str_of(count), &expected));
        assert_int_equal(hall_count(h, "items"), expected);
        hall_ask(h, METHOD_GET, "/api/v1/domains", NULL);
    }
}

static void folders_are_those_one_sees(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_GET, "/api/v1/folders", NULL);
    assert_ok(h, 200);
    assert_int_equal(hall_count(h, "items"), 1);
    assert_string_equal(hall_text(h, "items.0.path"), "shared");
    const char *id = hall_text(h, "items.0.id");
    hall_ask(h, METHOD_GET, "/api/v1/folders/shared", NULL);
    assert_string_equal(hall_text(h, "id"), id);
    hall_ask(h, METHOD_GET, "/api/v1/folders/fld_nope", NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
}

static void readiness_says_why_not(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_GET, "/readyz", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "status"), "ready");
    atomic_store(&h->hub.stopping, true);
    h->language = LANG_FR;
    hall_ask(h, METHOD_GET, "/readyz", NULL);
    assert_ok(h, 503);
    assert_string_equal(hall_text(h, "reasons.0.code"), "stopping");
    assert_string_equal(hall_text(h, "reasons.0.detail"), "Le hub s'arr\xc3\xaate.");
    hall_ask(h, METHOD_GET, "/healthz", NULL);
    assert_ok(h, 200);
}

static void more_metrics(struct hub *hub, struct buf *out)
{
    (void)hub;
    buf_add(out, STR("raccord_more 1\n"));
}

static void metrics_count_connections_by_state(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"none\",\"folder\":\"shared\",\"fields\":{\"base_url\":\"https://"
             "a.example.com\"}}");
    h->hub.metrics = more_metrics;
    hall_ask(h, METHOD_GET, "/metrics", NULL);
    assert_ok(h, 200);
    assert_non_null(strstr(h->reply.content_type, "text/plain; version=0.0.4"));
    char *text = arena_cstr(h->exchange, buf_str(&h->reply.body));
    assert_non_null(strstr(text, "raccord_connections{state=\"active\"} 1\n"));
    assert_non_null(strstr(text, "raccord_connections{state=\"disabled\"} 0\n"));
    assert_non_null(strstr(text, "raccord_build_info{version=\"" RACCORD_VERSION "\"} 1\n"));
    assert_non_null(strstr(text, "raccord_more 1\n"));
    h->caller = hall_person(h, "ann@example.com", ROLE_USER, false);
    hall_ask(h, METHOD_GET, "/metrics", NULL);
    assert_refused(h, ERR_DENIED, "");
}

static void limits_are_listed_with_their_values(void **state)
{
    struct hall *h = *state;
    hall_ask(h, METHOD_GET, "/api/v1/limits", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "items.1.name"), "json_depth");
    assert_string_equal(hall_text(h, "items.1.value"), "64");
}

static void a_problems_address_explains_it(void **state)
{
    struct hall *h = *state;
    h->caller = NULL;
    hall_ask(h, METHOD_GET, "/problems/upstream_timeout", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "fault"), "provider");
    hall_ask(h, METHOD_GET, "/problems/none", NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
}

static void pages_are_served_and_nothing_else_that_is_embedded(void **state)
{
    struct hall *h = *state;
    static const struct { const char *path, *type;
    } pages[] = {
        { "/", "text/html; charset=utf-8" },
        { "/setup", "text/html; charset=utf-8" },
        { "/assets/setup.js", "text/javascript; charset=utf-8" },
        { "/assets/style.css", "text/css; charset=utf-8" },
        { "/assets/favicon.svg", "image/svg+xml" },
    };
    h->caller = NULL;
    for (size_t i = 0; i < COUNT(pages); i++) {
        hall_ask(h, METHOD_GET, pages[i].path, NULL);
        assert_ok(h, 200);
        assert_string_equal(h->reply.content_type, pages[i].type);
        assert_string_equal(hall_reply_header(h, "Cache-Control"), "no-cache");
    }
    static const char *const shut[] = { "/assets/openapi.json", "/assets/setup.html", "/assets/..%2fweb.c", "/assets/nope" };
    for (size_t i = 0; i < COUNT(shut); i++) {
        hall_ask(h, METHOD_GET, shut[i], NULL);
        assert_refused(h, ERR_NO_SUCH_ROUTE, "");
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_hall, drop_hall)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connectors_are_found_by_each_filter),
        TEST(the_catalog_is_paged_by_name),
        TEST(a_connector_speaks_the_language_asked_for),
        TEST(business_domains_are_counted),
        TEST(folders_are_those_one_sees),
        TEST(readiness_says_why_not),
        TEST(metrics_count_connections_by_state),
        TEST(limits_are_listed_with_their_values),
        TEST(a_problems_address_explains_it),
        TEST(pages_are_served_and_nothing_else_that_is_embedded),
    };
    return cmocka_run_group_tests_name("web/catalog", tests, NULL, NULL);
}
