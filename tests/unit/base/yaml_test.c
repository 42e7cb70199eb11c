#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/yaml.h"

#define LIMIT 100000

static int with_arena(void **state)
{
    *state = arena_new(64 * 1024);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

static struct str as_json(struct arena *a, struct str yaml)
{
    struct json *v = NULL;
    struct fault why = { 0 };
    if (yaml_read(a, yaml, LIMIT, &v, &why))
        fail_msg("%s in %.*s", why.subject, STR_ARG(yaml));
    AUTO_BUF b;
    buf_init(&b, 10 << 20);
    struct json_out o = json_out(&b);
    json_put(&o, v);
    return arena_str(a, buf_str(&b));
}

struct pair {
    const char *yaml, *json;
};

static void check_pairs(struct arena *a, const struct pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(as_json(a, str_of(pairs[i].yaml)).p, pairs[i].json);
}

static struct str repeated(struct arena *a, const char *piece, int n, const char *end)
{
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < n; i++)
        buf_add(&b, str_of(piece));
    buf_add(&b, str_of(end));
    return arena_str(a, buf_str(&b));
}

static void plain_scalars_follow_the_core_schema(void **state)
{
    static const struct pair pairs[] = {
        { "[null, Null, NULL, ~, ]", "[null,null,null,null]" },
        { "a:\nb: ~", "{\"a\":null,\"b\":null}" },
        { "[true, True, TRUE, false, False, FALSE]", "[true,true,true,false,false,false]" },
        { "[yes, no, on, off, y, n]", "[\"yes\",\"no\",\"on\",\"off\",\"y\",\"n\"]" },
        { "[0, -5, +5, 007, 12345678901234567890123]", "[0,-5,5,7,12345678901234567890123]" },
        { "[0o17, 0x1F, 0xffffffffffffffff]", "[15,31,18446744073709551615]" },
        { "[1.5, 1.50, -.5, 5., +.5e3, 1e3, 1E-3, 0.0, -00.10]", "[1.5,1.50,-0.5,5.0,0.5e3,1e3,1E-3,0.0,-0.10]" },
        { "[.inf, -.INF, .nan, 1_000, 0b1, 1e, ., 0x, 0o8, 12:30, 2024-01-01]",
          "[\".inf\",\"-.INF\",\".nan\",\"1_000\",\"0b1\",\"1e\",\".\",\"0x\",\"0o8\",\"12:30\",\"2024-01-01\"]" },
        { "x: 0x10000000000000000", "{\"x\":\"0x10000000000000000\"}" },
    };
    check_pairs(*state, pairs, COUNT(pairs));
}

static void a_quoted_scalar_is_text(void **state)
{
    static const struct pair pairs[] = {
        { "[\"1\", '2', \"true\", 'null', '']", "[\"1\",\"2\",\"true\",\"null\",\"\"]" },
        { "a: |\n  1\n", "{\"a\":\"1\\n\"}" },
        { "a: >-\n  x\n  y\n", "{\"a\":\"x y\"}" },
        { "a: \"d\\xe9j\\u00e0 \\ud83d\\ude00 \\0\"", "{\"a\":\"d\xc3\xa9j\xc3\xa0 \xf0\x9f\x98\x80 \\u0000\"}" },
        { "['it''s', '''', '''''', 'a''''b', '''x''', '']", "[\"it's\",\"'\",\"''\",\"a''b\",\"'x'\",\"\"]" },
        { "a: 'x  \n   y\t\r\n\n  \n   z''''\n '\n", "{\"a\":\"x y\\n\\nz'' \"}" },
        { "a: '  \n  b  '", "{\"a\":\" b  \"}" },
        { "a: \"x\\\\\\\n  y\\\\\n  z \\\n \n \\  w\\t \n v\"", "{\"a\":\"x\\\\y\\\\ z \\n  w\\t v\"}" },
        { "a: \"\\x41\\U0001F600\\/\\e\\N\\_\\L\\P\\\"\"",
          "{\"a\":\"A\xf0\x9f\x98\x80/\\u001b\xc2\x85\xc2\xa0\xe2\x80\xa8\xe2\x80\xa9\\\"\"}" },
    };
    check_pairs(*state, pairs, COUNT(pairs));
}

/* The leak sanitizer is the judge: the library loses memory over texts of many pieces when asked in the easy way. */
static void a_text_of_many_pieces_loses_no_memory(void **state)
{
    struct arena *a = *state;
    struct str quotes = repeated(a, "''", 50, ""), lines = repeated(a, "  a\n\n", 50, ""), escapes = repeated(a, "\\t\\\"", 50, "");
    struct json *v = NULL;
    struct str text = str_fmt(a, "single: '%s'\nfolded: >\n%s\ndouble: \"%s\"\nplain:\n%s\n'%s': key\n", quotes.p, lines.p,
                              escapes.p, lines.p, quotes.p);
    assert_int_equal(yaml_read(a, text, LIMIT, &v, NULL), ERR_NONE);
    assert_string_equal(json_str(v, "single").p, repeated(a, "'", 50, "").p);
    assert_string_equal(json_str(v, "folded").p, repeated(a, "a\n", 50, "").p);
    assert_string_equal(json_str(v, "double").p, repeated(a, "\t\"", 50, "").p);
    assert_string_equal(json_str(v, "plain").p, repeated(a, "a\n", 49, "a").p);
    assert_true(str_is(json_str(v, repeated(a, "'", 50, "").p), "key"));
}

static void tags_of_yaml_decide_and_others_are_refused(void **state)
{
    struct arena *a = *state;
    static const struct pair pairs[] = {
        { "[!!str 5, !!int \"5\", !!float '1.5', !!bool \"true\", !!null '', ! 5]", "[\"5\",5,1.5,true,null,\"5\"]" },
        { "!!map {a: !!seq [1]}", "{\"a\":[1]}" },
    };
    check_pairs(a, pairs, COUNT(pairs));
    static const char *const bad[] = { "a: !secret x", "!!python/object:os.system x", "!!binary aGk=", "!!str [a]", "!!map x",
                                       "!foo k: v" };
    struct json *v;
    for (size_t i = 0; i < COUNT(bad); i++)
        if (yaml_read(a, str_of(bad[i]), LIMIT, &v, NULL) != ERR_INPUT_INVALID)
            fail_msg("%s", bad[i]);
}

static void collections_nest_in_either_style(void **state)
{
    static const struct pair pairs[] = {
        { "", "null" },
        { "# only a comment\n", "null" },
        { "---\n...\n", "null" },
        { "\xef\xbb\xbf"
          "a: 1",
          "{\"a\":1}" },
        { "- a\n- - b\n  - c\n-\n  d: e\n", "[\"a\",[\"b\",\"c\"],{\"d\":\"e\"}]" },
        { "tls:\n  certificate: c.pem\n  key: k.pem\nlist: [a, {b: c}]\n",
          "{\"tls\":{\"certificate\":\"c.pem\",\"key\":\"k.pem\"},\"list\":[\"a\",{\"b\":\"c\"}]}" },
        { "a: [\n1,\n2\n]\n", "{\"a\":[1,2]}" },
        { "200: ok\ntrue: t\n~: z\n'q': r\n", "{\"200\":\"ok\",\"true\":\"t\",\"~\":\"z\",\"q\":\"r\"}" },
        { "{a: [], b: {}}", "{\"a\":[],\"b\":{}}" },
    };
    check_pairs(*state, pairs, COUNT(pairs));
}

static void json_is_yaml_and_keeps_its_number_text(void **state)
{
    static const struct pair pairs[] = {
        { "{\"a\":19.990,\"b\":-0,\"c\":1E5,\"d\":\"\\/\\ud83d\\ude00\"}",
          "{\"a\":19.990,\"b\":-0,\"c\":1E5,\"d\":\"/\xf0\x9f\x98\x80\"}" },
        { "\n\t[1,\n\t2]\n", "[1,2]" },
        { "\"x\"", "\"x\"" },
    };
    check_pairs(*state, pairs, COUNT(pairs));
}

static void aliases_repeat_what_was_anchored(void **state)
{
    static const struct pair pairs[] = {
        { "a: &x [1, {b: 2}]\nc: *x\nd: *x\n", "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"d\":[1,{\"b\":2}]}" },
        { "- &x one\n- *x\n- &x two\n- *x\n", "[\"one\",\"one\",\"two\",\"two\"]" },
        { "- &e\n- *e\n", "[null,null]" },
    };
    check_pairs(*state, pairs, COUNT(pairs));
}

static void aliases_of_aliases_cannot_grow_without_limit(void **state)
{
    struct arena *a = *state;
    AUTO_BUF b;
    buf_init(&b, 10000);
    buf_add(&b, STR("a0: &a0 [x,x,x,x,x,x,x,x,x]\n"));
    for (int i = 1; i < 30; i++)
        buf_fmt(&b, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1,
                i - 1);
    struct json *v = NULL;
    struct fault why = { 0 };
    size_t before = arena_used(a);
    assert_int_equal(yaml_read(a, buf_str(&b), LIMIT, &v, &why), ERR_LIMIT);
    assert_null(v);
    assert_true(arena_used(a) - before < 10 * LIMIT);
}

static void one_long_text_cannot_be_repeated_without_limit(void **state)
{
    struct arena *a = *state;
    struct json *v;
    AUTO_BUF b;
    buf_init(&b, 100000);
    buf_fmt(&b, "- &x %*d\n", 1, 0);
    buf_add(&b, STR("- &y "));
    for (int i = 0; i < 30000; i++)
        buf_char(&b, 'y');
    buf_add(&b, STR("\n- *y\n- *y\n- *y\n"));
    assert_int_equal(yaml_read(a, buf_str(&b), LIMIT, &v, NULL), ERR_NONE);
    buf_add(&b, STR("- *y\n"));
    assert_int_equal(yaml_read(a, buf_str(&b), LIMIT, &v, NULL), ERR_LIMIT);
}

static void what_is_not_one_tree_is_refused_with_its_place(void **state)
{
    struct arena *a = *state;
    static const struct {
        const char *yaml, *where;
    } cases[] = {
        { "a: 1\nb: 2\na: 3\n", "line 3, column 1: this key comes twice in its mapping" },
        { "'a': 1\n\"\\x61\": 2\n", "line 2, column 2: this key comes twice in its mapping" },
        { "a: 1\n---\nb: 2\n", "line 2, column 1: a second document" },
        { "a: &x [1, *x]\n", "line 1, column 12: an alias inside its own anchor" },
        { "a: *nowhere\n", "line 1, column 5: an alias without its anchor" },
        { "? [a]\n: b\n", "line 1, column 3: a key must be a plain or quoted text" },
        { "x: 1\na: b: c\n", "line 2, column 5: this is not valid YAML" },
        { "a:\n\t- b\n", "line 2, column 1: this is not valid YAML" },
        { "a: \"s3cr3t", "line 1, column 5: this is not valid YAML" },
        { "a: !s3cr3t x", "line 1, column 12: an unknown tag" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json *v = NULL;
        struct fault why = { 0 };
        assert_int_equal(yaml_read(a, str_of(cases[i].yaml), LIMIT, &v, &why), ERR_INPUT_INVALID);
        assert_string_equal(why.subject, cases[i].where);
        assert_null(v);
    }
}

static void bytes_that_are_no_text_are_refused(void **state)
{
    struct arena *a = *state;
    static const struct str bad[] = { { "a: \xff", 4 },
                                      { "a: \0", 4 },
                                      { "\xff\xfe"
                                        "a\0",
                                        4 },
                                      { "- \"\\ud800\"", 10 },
                                      { "- \"\\ud800\\u0041\"", 16 },
                                      { "- \"\\U00110000\"", 14 },
                                      { "- \"\\q\"", 6 } };
    struct json *v;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(yaml_read(a, bad[i], LIMIT, &v, NULL), ERR_INPUT_INVALID);
}

static void nesting_is_read_to_the_limit_and_refused_one_beyond(void **state)
{
    struct arena *a = *state;
    struct json *v;
    struct fault why = { 0 };
    assert_int_equal(yaml_read(a, repeated(a, "- ", JSON_DEPTH, "x"), LIMIT, &v, NULL), ERR_NONE);
    assert_int_equal(yaml_read(a, repeated(a, "- ", JSON_DEPTH + 1, "x"), LIMIT, &v, &why), ERR_INPUT_INVALID);
    assert_string_equal(why.subject, "line 1, column 129: nested too deep");
    assert_int_equal(yaml_read(a, repeated(a, "[x, ", 20000, ""), LIMIT, &v, NULL), ERR_INPUT_INVALID);
    /* An alias brings its own depth: 40 under 30 is too deep, 40 under 20 is not. */
    struct str deep = str_fmt(a, "- &x %s\n", repeated(a, "[", 40, repeated(a, "]", 40, "").p).p);
    assert_int_equal(yaml_read(a, str_fmt(a, "%s%s", deep.p, repeated(a, "- ", 20, "*x").p), LIMIT, &v, NULL), ERR_NONE);
    assert_int_equal(yaml_read(a, str_fmt(a, "%s%s", deep.p, repeated(a, "- ", 30, "*x").p), LIMIT, &v, NULL), ERR_INPUT_INVALID);
}

static void a_document_is_taken_to_its_limit_and_not_beyond(void **state)
{
    struct arena *a = *state;
    struct json *v;
    struct fault why = { 0 };
    assert_int_equal(yaml_read(a, STR("abcde"), 5, &v, &why), ERR_NONE);
    assert_int_equal(yaml_read(a, STR("abcdef"), 5, &v, &why), ERR_BODY_TOO_LARGE);
    assert_string_equal(why.subject, "5 bytes");
}

static void the_tree_outlives_its_text(void **state)
{
    struct arena *a = *state;
    struct json *v, *w;
    char yaml[] = "a: plain text", json[] = "{\"a\": [12345, \"text\"]}";
    assert_int_equal(yaml_read(a, str_of(yaml), LIMIT, &v, NULL), ERR_NONE);
    assert_int_equal(yaml_read(a, str_of(json), LIMIT, &w, NULL), ERR_NONE);
    memset(yaml, 'x', sizeof yaml - 1);
    memset(json, 'x', sizeof json - 1);
    assert_true(str_is(json_str(v, "a"), "plain text"));
    assert_true(str_is(json_get(w, "a")->child->text, "12345"));
    assert_true(str_is(json_get(w, "a")->child->next->text, "text"));
}

static void a_large_mapping_is_looked_up_like_a_small_one(void **state)
{
    struct arena *a = *state;
    struct json *v;
    AUTO_BUF b;
    buf_init(&b, LIMIT);
    for (int i = 0; i < 200; i++)
        buf_fmt(&b, "key-%d: value %d\n", i, i);
    assert_int_equal(yaml_read(a, buf_str(&b), LIMIT, &v, NULL), ERR_NONE);
    for (int i = 0; i < 200; i++)
        assert_true(str_eq(json_str(v, str_fmt(a, "key-%d", i).p), str_fmt(a, "value %d", i)));
    buf_add(&b, STR("key-7: again\n"));
    assert_int_equal(yaml_read(a, buf_str(&b), LIMIT, &v, NULL), ERR_INPUT_INVALID);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, with_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(plain_scalars_follow_the_core_schema),
        TEST(a_quoted_scalar_is_text),
        TEST(a_text_of_many_pieces_loses_no_memory),
        TEST(tags_of_yaml_decide_and_others_are_refused),
        TEST(collections_nest_in_either_style),
        TEST(json_is_yaml_and_keeps_its_number_text),
        TEST(aliases_repeat_what_was_anchored),
        TEST(aliases_of_aliases_cannot_grow_without_limit),
        TEST(one_long_text_cannot_be_repeated_without_limit),
        TEST(what_is_not_one_tree_is_refused_with_its_place),
        TEST(bytes_that_are_no_text_are_refused),
        TEST(nesting_is_read_to_the_limit_and_refused_one_beyond),
        TEST(a_document_is_taken_to_its_limit_and_not_beyond),
        TEST(the_tree_outlives_its_text),
        TEST(a_large_mapping_is_looked_up_like_a_small_one),
    };
    return cmocka_run_group_tests_name("base/yaml", tests, NULL, NULL);
}
