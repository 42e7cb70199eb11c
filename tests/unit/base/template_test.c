#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/template.h"

static const char long_value[] = "0123456789012345678901234567890123456789012345678901234567890123456789";

static bool look_up(void *context, struct str name, struct str *value)
{
    static const struct {
        const char *name, *value;
    } values[] = {
        { "site", "acme" }, { "fields.region", "eu-1" }, { "empty", "" }, { "braces", "{{site}}" }, { "long", long_value }
    };
    ++*(int *)context;
    for (size_t i = 0; i < COUNT(values); i++)
        if (str_is(name, values[i].name)) {
            *value = str_of(values[i].value);
            return true;
        }
    return false;
}

static enum err expand(struct buf *out, const char *text, struct fault *why)
{
    int asked = 0;
    return template_expand(out, str_of(text), look_up, &asked, why);
}

static void placeholders_become_their_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        { "https://{{site}}.example.com/{{fields.region}}/v2", "https://acme.example.com/eu-1/v2" },
        { "{{site}}", "acme" },
        { "{{ site\t}}", "acme" },
        { "{{site}}{{site}}", "acmeacme" },
        { "[{{empty}}]", "[]" },
        { "", "" },
        { "no placeholder } { }}", "no placeholder } { }}" },
        { "{{{{", NULL },
    };
    for (size_t i = 0; cases[i].wanted; i++) {
        struct fault why = { 0 };
        AUTO_BUF out;
        buf_init(&out, 200);
        assert_int_equal(expand(&out, cases[i].text, &why), ERR_NONE);
        assert_true(str_is(buf_str(&out), cases[i].wanted));
    }
}

static void a_value_is_not_expanded_again(void **state)
{
    (void)state;
    struct fault why;
    AUTO_BUF out;
    buf_init(&out, 100);
    assert_int_equal(expand(&out, "{{braces}}", &why), ERR_NONE);
    assert_true(str_is(buf_str(&out), "{{site}}"));
}

static void an_unknown_name_is_refused_by_name_and_nothing_is_written(void **state)
{
    (void)state;
    struct fault why;
    AUTO_BUF out;
    buf_init(&out, 100);
    buf_add(&out, STR("kept"));
    assert_int_equal(expand(&out, "{{site}}/{{sitte}}", &why), ERR_FIELD_INVALID);
    assert_string_equal(why.subject, "{{sitte}}");
    assert_true(str_is(buf_str(&out), "kept"));
}

static void a_broken_placeholder_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "{{",           "a{{site",        "{{}}",       "{{ }}",           "{{si te}}", "{{site}",
                                       "{{{{site}}}}", "{{site|upper}}", "{{{site}}}", "{{sit\xc3\xa9}}", "{{a\nb}}" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct fault why;
        AUTO_BUF out;
        buf_init(&out, 100);
        if (expand(&out, bad[i], &why) != ERR_FIELD_INVALID || out.n)
            fail_msg("%s", bad[i]);
        assert_int_equal(template_each(str_of(bad[i]), NULL, NULL, &why), ERR_FIELD_INVALID);
    }
}

static void a_result_that_does_not_fit_is_refused_whole(void **state)
{
    (void)state;
    struct fault why;
    AUTO_BUF out;
    buf_init(&out, 75);
    assert_int_equal(expand(&out, "{{long}}12345", &why), ERR_NONE);
    assert_int_equal(out.n, 75);
    buf_clear(&out);
    assert_int_equal(expand(&out, "{{long}}123456", &why), ERR_LIMIT);
    assert_int_equal(out.n, 0);
}

/* A buffer that grows while it is filled leaves outgrown copies of a secret on the heap. */
static void memory_grows_before_the_first_value_is_written(void **state)
{
    (void)state;
    struct fault why;
    AUTO_BUF out;
    buf_init(&out, 10000);
    assert_int_equal(expand(&out, "{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}", &why), ERR_NONE);
    const char *first = out.p;
    size_t size = out.size;
    assert_true(size > out.n);
    out.n = 0;
    assert_int_equal(expand(&out, "{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}{{long}}", &why), ERR_NONE);
    assert_ptr_equal(out.p, first);
    assert_int_equal(out.size, size);
}

static bool collect(void *context, struct str name)
{
    buf_add(context, name);
    buf_char(context, ',');
    return !str_is(name, "bad");
}

static void the_names_in_a_template_can_be_listed_in_order(void **state)
{
    (void)state;
    struct fault why;
    AUTO_BUF names;
    buf_init(&names, 100);
    assert_int_equal(template_each(STR("a {{x.y}} b {{ z }}{{x.y}}"), collect, &names, &why), ERR_NONE);
    assert_true(str_is(buf_str(&names), "x.y,z,x.y,"));
    assert_int_equal(template_each(STR("{{x}}{{bad}}{{z}}"), collect, &names, &why), ERR_FIELD_INVALID);
    assert_string_equal(why.subject, "{{bad}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_become_their_values),
        cmocka_unit_test(a_value_is_not_expanded_again),
        cmocka_unit_test(an_unknown_name_is_refused_by_name_and_nothing_is_written),
        cmocka_unit_test(a_broken_placeholder_is_refused),
        cmocka_unit_test(a_result_that_does_not_fit_is_refused_whole),
        cmocka_unit_test(memory_grows_before_the_first_value_is_written),
        cmocka_unit_test(the_names_in_a_template_can_be_listed_in_order),
    };
    return cmocka_run_group_tests_name("base/template", tests, NULL, NULL);
}
