/* One place in a document: pointers of RFC 6901, and the plain paths of RFC 9535. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json_path.h"

/* RFC 6901 5 */
#define POINTED                                                                                                                    \
    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}"
#define NESTED "{\"a\":{\"b\":[{\"c d\":\"x\",\"e.f\":{\"0\":\"zero\"}},[1,2]]},\"it's\":9,\"~1\":10}"

static const struct { const char *document, *place, *value; } rows[] = {
    { POINTED, "/foo/0", "bar" },      { POINTED, "/", "0" },            { POINTED, "/a~1b", "1" },
    { POINTED, "/c%d", "2" },          { POINTED, "/e^f", "3" },         { POINTED, "/g|h", "4" },
    { POINTED, "/i\\j", "5" },         { POINTED, "/k\"l", "6" },        { POINTED, "/ ", "7" },
    { POINTED, "/m~0n", "8" },         { POINTED, "/foo/2", NULL },      { POINTED, "/foo/-", NULL },
    { POINTED, "/foo/bar", NULL },     { POINTED, "/foo/0/x", NULL },    { POINTED, "/none", NULL },
    { NESTED, "/~01", "10" },          { NESTED, "/a/b/0/c d", "x" },    { NESTED, "$.a.b[0]['c d']", "x" },
    { NESTED, "$['a']['b'][0][\"c d\"]", "x" },                          { NESTED, "$.a.b[1][1]", "2" },
    { NESTED, "$.a.b[0]['e.f']['0']", "zero" },                          { NESTED, "$.a.b[0]['e.f'][0]", NULL },
    { NESTED, "$['it\\'s']", "9" },    { NESTED, "$.a.b[2]", NULL },     { NESTED, "$.a.b[99999999999999999999]", NULL },
    { NESTED, "$.a.b.0", NULL },       { NESTED, "$.none.b", NULL },     { NESTED, "$.~1", "10" },
};

static const struct json *read_it(struct arena *a, const char *text)
{
    struct json *v;
    struct fault why;
    assert_int_equal(json_read(a, str_of(text), &v, &why), ERR_NONE);
    return v;
}

static void each_place_of_the_table_is_found_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(4096);
        const struct json *v = json_path(read_it(a, rows[i].document), str_of(rows[i].place));
        if (rows[i].value ? !v || !str_is(v->text, rows[i].value) : v != NULL)
            fail_msg("%s: %.*s", rows[i].place, v ? (int)v->text.n : 4, v ? v->text.p : "none");
        assert_true(json_path_valid(str_of(rows[i].place)));
    }
}

static void nothing_is_the_whole_document(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    const struct json *v = read_it(a, NESTED);
    assert_ptr_equal(json_path(v, STR("")), v);
    assert_ptr_equal(json_path(v, STR("$")), v);
    assert_null(json_path(NULL, STR("/a")));
}

static void what_is_no_place_finds_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = { "a", "a/b", ".a", "$a", "$.", "$..a", "$.*", "$[*]", "$[-1]", "$[0:2]", "$[?(@.a)]", "$['a'",
                                       "$['a", "$[]", "$['']", "$[a]", "$.a b", "$.a.", "/a~", "/a~2", "$[0", "$ .a" };
    AUTO_ARENA a = arena_new(4096);
    const struct json *v = read_it(a, "{\"a\":[1,2],\"b\":{\"a\":1}}");
    for (size_t i = 0; i < COUNT(bad); i++)
        if (json_path_valid(str_of(bad[i])) || json_path(v, str_of(bad[i])))
            fail_msg("%s was taken", bad[i]);
    char name[600];
    memset(name, 'x', sizeof name);
    name[0] = '/';
    assert_false(json_path_valid((struct str){ name, sizeof name }));
    assert_true(json_path_valid((struct str){ name, 500 }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_place_of_the_table_is_found_or_not),
        cmocka_unit_test(nothing_is_the_whole_document),
        cmocka_unit_test(what_is_no_place_finds_nothing),
    };
    return cmocka_run_group_tests_name("base/json_path", tests, NULL, NULL);
}
