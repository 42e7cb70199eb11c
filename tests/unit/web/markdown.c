#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "web/markdown.h"

static void expect(const char *text, const char *markup)
{
    AUTO_BUF out;
    buf_init(&out, 64 * 1024);
    markdown_write(&out, str_of(text));
    if (!str_is(buf_str(&out), markup))
        fail_msg("%s\nbecame\n%.*s", text, STR_ARG(buf_str(&out)));
}

static void paragraphs_and_lists_are_told_apart(void **state)
{
    (void)state;
    expect("", "");
    expect("One.", "<p>One.</p>\n");
    expect("One\ntwo.\n\nThree.", "<p>One\ntwo.</p>\n<p>Three.</p>\n");
    expect("Do:\n\n1. This\n2. that\n\n- also\n- too",
           "<p>Do:</p>\n<ol>\n<li>This</li>\n<li>that</li>\n</ol>\n<ul>\n<li>also</li>\n"
           "<li>too</li>\n</ul>\n");
    expect("1.5 is a number, -1 too", "<p>1.5 is a number, -1 too</p>\n");
}

static void marks_within_a_line_are_known_and_a_lone_one_is_itself(void **state)
{
    (void)state;
    expect("a `b*c*` **d e** *f*", "<p>a <code>b*c*</code> <strong>d e</strong> <em>f</em></p>\n");
    expect("2 * 3, `open, ** and ****", "<p>2 * 3, `open, ** and ****</p>\n");
}

static void nothing_in_it_is_markup(void **state)
{
    (void)state;
    expect("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n");
    expect("- `<b>` **\"&'** [x](javascript:1) ![y](https://e.vil/z.png)",
           "<ul>\n<li><code>&lt;b&gt;</code> <strong>&quot;&amp;&#39;</strong> [x](javascript:1) "
           "![y](https://e.vil/z.png)</li>\n</ul>\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paragraphs_and_lists_are_told_apart),
        cmocka_unit_test(marks_within_a_line_are_known_and_a_lone_one_is_itself),
        cmocka_unit_test(nothing_in_it_is_markup),
    };
    return cmocka_run_group_tests_name("web/markdown", tests, NULL, NULL);
}
