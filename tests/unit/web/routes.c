/* The table of doors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "web/web.h"

struct found {
    const struct route *route;
    struct str params[4];
    size_t count;
    bool known;
    unsigned allow;
};

static struct found find(struct arena *a, unsigned method, const char *path)
{
    struct found f = { 0 };
    f.route = route_find(method, str_of(path), a, f.params, &f.count, &f.known, &f.allow);
    return f;
}

static void every_door_has_a_right_a_handler_and_a_path(void **state)
{
    (void)state;
    assert_null(routes_check());
}

static void no_door_stands_behind_another(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    size_t n;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(find(a, routes[i].methods, routes[i].path).route, &routes[i]);
}

/* The open doors, each with its reason to be open. A new one is added here on purpose or not at all. */
static void only_these_doors_are_open_to_everybody(void **state)
{
    (void)state;
    static const char *const open[] = { "/",
                                        "/setup",
                                        "/assets/{name}",
                                        "/problems/{code}",
                                        "/healthz",
                                        "/readyz",
                                        "/api/v1/openapi.json",
                                        "/api/v1/setup",
                                        "/api/v1/session",
                                        "/invite",
                                        "/api/v1/invitations:accept",
                                        "/api/v1/session/providers",
                                        "/api/v1/session/oidc/{provider}",
                                        "/oidc/callback",
                                        "/oauth/jwks/{id}",
                                        "/oauth/start/{link}",
                                        "/oauth/callback",
                                        "/provisioning_/callback",
                                        "/connect/{link}", "/connect/{link}" };
    size_t n, seen = 0;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (routes[i].right != RIGHT_OPEN)
            continue;
        bool listed = false;
        for (size_t k = 0; k < COUNT(open); k++)
            listed |= !strcmp(open[k], routes[i].path);
        if (!listed)
            fail_msg("%s is open", routes[i].path);
        seen++;
    }
    assert_int_equal(seen, COUNT(open));
}

static void what_changes_something_is_never_a_get(void **state)
{
    (void)state;
    size_t n;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++) {
        unsigned m = routes[i].methods;
        assert_true(m == METHOD_GET || m == METHOD_POST || m == METHOD_PUT || m == METHOD_PATCH || m == METHOD_DELETE);
        assert_int_equal(m == METHOD_GET || m == METHOD_DELETE, routes[i].body_max == 0);
    }
}

static void segments_come_out_decoded(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct found f = find(a, METHOD_POST, "/api/v1/connections/shared%2Fcrm%20x/call");
    assert_non_null(f.route);
    assert_int_equal(f.count, 1);
    assert_true(str_is(f.params[0], "shared/crm x"));
}

static void a_wrong_method_names_those_that_are_taken(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct found f = find(a, METHOD_PUT, "/api/v1/connections/con_1");
    assert_null(f.route);
    assert_true(f.known);
    assert_int_equal(f.allow, METHOD_GET | METHOD_HEAD | METHOD_PATCH | METHOD_DELETE);
    f = find(a, METHOD_OPTIONS, "/api/v1/tokens");
    assert_int_equal(f.allow, METHOD_GET | METHOD_HEAD | METHOD_POST);
}

static void head_finds_what_get_finds(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    assert_ptr_equal(find(a, METHOD_HEAD, "/healthz").route, find(a, METHOD_GET, "/healthz").route);
    assert_null(find(a, METHOD_HEAD, "/api/v1/setup").route);
}

static void an_address_that_only_looks_like_one_is_unknown(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    static const char *const paths[] = { "",
                                         "//",
                                         "/api",
                                         "/api/v1",
                                         "/api/v1/connections/",
                                         "/api/v1//connections",
                                         "/api/v1/connections//call",
                                         "/API/v1/connections",
                                         "/api/v1/connections/a/b/c",
                                         "/api/v1/connections/%zz",
                                         "/api/v1/connections/%00",
                                         "/api/v1/connections/%ff",
                                         "/healthz/",
                                         "/assets/",
                                         "/assets/a/b",
                                         "*",
                                         "/proxy/crm/x" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct found f = find(a, METHOD_GET, paths[i]);
        if (f.route || f.known)
            fail_msg("%s is known", paths[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_door_has_a_right_a_handler_and_a_path),
        cmocka_unit_test(no_door_stands_behind_another),
        cmocka_unit_test(only_these_doors_are_open_to_everybody),
        cmocka_unit_test(what_changes_something_is_never_a_get),
        cmocka_unit_test(segments_come_out_decoded),
        cmocka_unit_test(a_wrong_method_names_those_that_are_taken),
        cmocka_unit_test(head_finds_what_get_finds),
        cmocka_unit_test(an_address_that_only_looks_like_one_is_unknown),
    };
    return cmocka_run_group_tests_name("web/routes", tests, NULL, NULL);
}
