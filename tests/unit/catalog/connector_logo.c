#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "catalog/connector_logo.h"

static enum err read_logo(struct arena *a, const char *text, struct connector_logo *out, struct fault *why)
{
    struct json *doc;
    assert_int_equal(json_read(a, str_of(text), &doc, why), ERR_NONE);
    return connector_logo_read(a, doc, out, why);
}

static void a_connector_without_shapes_shows_its_first_letter(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    static const struct { const char *name, *letter; } rows[] = { { "acme", ">A</text>" }, { "Éclair", ">É</text>" },
                                                                   { "<b>", ">·</text>" }, { "3M", ">3</text>" } };
    struct fault why;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct connector c = { .id = STR("x"), .name = str_of(rows[i].name) };
        AUTO_BUF out;
        buf_init(&out, 4096);
        assert_int_equal(read_logo(a, "{}", &c.logo, &why), ERR_NONE);
        connector_logo_svg(&out, &c);
        assert_true(str_find_str(buf_str(&out), str_of(rows[i].letter)) != SIZE_MAX);
    }
}

static void shapes_are_drawn_and_nothing_else_gets_in(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    struct connector c = { .id = STR("x"), .name = STR("X") };
    struct fault why;
    AUTO_BUF out;
    buf_init(&out, 4096);
    assert_int_equal(read_logo(a, "{\"logo\":{\"box\":\"0 0 9 9\",\"color\":\"#00ff00\",\"paths\":[\"M1 1h3z\"]}}", &c.logo, &why),
                     ERR_NONE);
    connector_logo_svg(&out, &c);
    assert_true(str_is(buf_str(&out),
                       "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"logo\" aria-hidden=\"true\" viewBox=\"0 0 9 9\">\n"
                       "<path fill=\"#00ff00\" d=\"M1 1h3z\"/>\n</svg>\n"));
    static const char *const bad[] = {
        "{\"logo\":1}", "{\"logo\":{}}", "{\"logo\":{\"paths\":[]}}", "{\"logo\":{\"paths\":[\"M1\\\"/><script>\"]}}",
        "{\"logo\":{\"paths\":[\"M1\"],\"color\":\"red\"}}", "{\"logo\":{\"paths\":[\"M1\"],\"color\":\"#12345\\\"\"}}",
        "{\"logo\":{\"paths\":[\"M1\"],\"box\":\"0\\\" onload=\\\"x\"}}", "{\"logo\":{\"paths\":[\"M1\"],\"href\":\"x\"}}",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (!read_logo(a, bad[i], &c.logo, &why) || strncmp(why.pointer, "/logo", 5))
            fail_msg("%s: %s", bad[i], why.pointer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connector_without_shapes_shows_its_first_letter),
        cmocka_unit_test(shapes_are_drawn_and_nothing_else_gets_in),
    };
    return cmocka_run_group_tests_name("catalog/connector_logo", tests, NULL, NULL);
}
