/* The OpenAPI document and the route table say the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/embed.h"
#include "web/assets.h"
#include "web/handlers.h"

static const struct { const char *name; unsigned method; } methods[] = {
    { "get", METHOD_GET }, { "post", METHOD_POST }, { "put", METHOD_PUT }, { "patch", METHOD_PATCH }, { "delete", METHOD_DELETE },
};

static struct json *document(struct arena *a)
{
    struct json *doc;
    struct fault why;
    assert_int_equal(json_read(a, asset_bytes("openapi.json"), &doc, &why), ERR_NONE);
    return doc;
}

static void every_door_has_an_operation(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    const struct json *paths = json_get(document(a), "paths");
    size_t n;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < COUNT(methods); m++) {
            if (!(routes[i].methods & methods[m].method))
                continue;
            const struct json *op = json_get(json_get(paths, routes[i].path), methods[m].name);
            if (!op)
                fail_msg("%s %s is not described", methods[m].name, routes[i].path);
            /* Open doors, bodies and segments are described as they are. */
            const struct json *security = json_get(op, "security");
            assert_int_equal(routes[i].right == RIGHT_OPEN, security && !security->count);
            if (json_get(op, "requestBody"))
                assert_true(routes[i].body_max > 1024);
            else
                assert_true(routes[i].body_max <= 1024);
            size_t segments = 0, described = 0;
            for (const char *c = routes[i].path; *c; c++)
                segments += *c == '{';
            json_each (p, json_get(op, "parameters"))
                described += str_is(json_str(p, "in"), "path");
            assert_int_equal(segments, described);
        }
}

static void every_post_that_has_a_caller_takes_an_idempotency_key(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    json_each (path, json_get(document(a), "paths")) {
        const struct json *post = json_get(path, "post"), *security = json_get(post, "security");
        bool described = !post || (security && !security->count);
        json_each (p, json_get(post, "parameters"))
            described |= str_is(json_str(p, "$ref"), "#/components/parameters/idempotencyKey");
        if (!described)
            fail_msg("post %.*s does not describe Idempotency-Key", STR_ARG(path->key));
    }
}

static void every_operation_has_a_door(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    size_t n;
    const struct route *routes = routes_all(&n);
    json_each (path, json_get(document(a), "paths"))
        json_each (op, path) {
            bool there = false;
            for (size_t i = 0; i < n; i++)
                for (size_t m = 0; m < COUNT(methods); m++)
                    there |= str_is(path->key, routes[i].path) && str_is(op->key, methods[m].name) &&
                             (routes[i].methods & methods[m].method);
            if (!there)
                fail_msg("%.*s %.*s has no door", STR_ARG(op->key), STR_ARG(path->key));
        }
}

static void operation_names_are_unique(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str ids[200];
    size_t n = 0;
    json_each (path, json_get(document(a), "paths"))
        json_each (op, path) {
            struct str id = json_str(op, "operationId");
            assert_true(id.n > 0);
            for (size_t i = 0; i < n; i++)
                assert_false(str_eq(ids[i], id));
            ids[n++] = id;
        }
}

/* Every object schema names its members or says that any will do, so that holding an answer against it means something. */
static void check_strict(const struct json *schema, struct str where)
{
    if (json_get(schema, "properties") && !json_get(schema, "additionalProperties"))
        fail_msg("%.*s: an object without additionalProperties", STR_ARG(where));
    if (json_get(schema, "properties") && !json_get(schema, "required"))
        fail_msg("%.*s: an object without required", STR_ARG(where));
    json_each (v, schema)
        if (v->type == JSON_OBJECT || v->type == JSON_ARRAY)
            check_strict(v, where);
}

static void schemas_are_strict(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    json_each (schema, json_get(json_get(document(a), "components"), "schemas"))
        check_strict(schema, schema->key);
}

static void the_document_names_this_hub(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct hub hub = { .public_url = STR("https://hub.example/\"x") };
    struct web_request q = { .hub = &hub, .arena = a };
    struct reply r = { .status = 200 };
    struct fault why;
    struct json *doc;
    buf_init(&r.body, 1024 * 1024);
    assert_int_equal(openapi_get(&q, &r, &why), ERR_NONE);
    assert_int_equal(json_read(a, buf_str(&r.body), &doc, &why), ERR_NONE);
    assert_true(str_is(json_str(json_get(doc, "servers")->child, "url"), "https://hub.example/\"x"));
    assert_true(str_is(json_str(json_get(doc, "info"), "version"), RACCORD_VERSION));
    assert_true(str_find_str(buf_str(&r.body), STR("@PUBLIC_URL@")) == SIZE_MAX);
    buf_end(&r.body);
}

/* Requirement 15.6: nothing in line, nothing from elsewhere. */
static void pages_carry_no_script_or_style_in_line(void **state)
{
    (void)state;
    static const char *const banned[] = { "<style",      "style=",  "onclick=", "onsubmit=", "onload=",
                                          "javascript:", "http://", "https://", "src=\"/",   "href=\"/" };
    static const char *const pages[] = { "landing.html", "setup.html" };
    for (size_t p = 0; p < COUNT(pages); p++) {
        struct str page = asset_bytes(pages[p]);
        assert_true(page.n > 0);
        for (size_t i = 0; i < COUNT(banned); i++)
            if (str_find_str(page, str_of(banned[i])) != SIZE_MAX)
                fail_msg("%s: %s", pages[p], banned[i]);
        for (struct str rest = page; str_find_str(rest, STR("<script")) != SIZE_MAX;) {
            rest = str_sub(rest, str_find_str(rest, STR("<script")) + 7, rest.n);
            assert_true(str_starts(rest, STR(" src=\"assets/")));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_door_has_an_operation),
        cmocka_unit_test(every_post_that_has_a_caller_takes_an_idempotency_key),
        cmocka_unit_test(every_operation_has_a_door),
        cmocka_unit_test(operation_names_are_unique),
        cmocka_unit_test(schemas_are_strict),
        cmocka_unit_test(the_document_names_this_hub),
        cmocka_unit_test(pages_carry_no_script_or_style_in_line),
    };
    return cmocka_run_group_tests_name("web/openapi", tests, NULL, NULL);
}
