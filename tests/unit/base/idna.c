/* What people type as a host name, and what machines make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/encode.h"
#include "base/idna.h"

static const struct {
    const char *typed, *ascii; /* NULL: refused */
} vectors[] = {
    { "API.Example.COM", "api.example.com" },
    { "bücher.example", "xn--bcher-kva.example" },
    { "BÜCHER.example", "xn--bcher-kva.example" },
    { "faß.de", "xn--fa-hia.de" },          /* non-transitional */
    { "straẞe.de", "xn--strae-oqa.de" },
    { "ⓔxample.com", "example.com" },       /* U+24D4 */
    { "ＡＰＩ．example．com", "api.example.com" }, /* full-width letters and dots */
    { "api。example｡com", "api.example.com" },
    { "fo\xcc\x80o.com", "xn--fo-2ja.com" },
    { "aa--", "aa--" },
    { "ab--c.ß", "ab--c.xn--zca" },
    { "-x.ß", "-x.xn--zca" },
    { "x-.ß", "x-.xn--zca" },
    { "-é", "xn----bga" },
    { "é-", "xn----9fa" },
    { "x..ß", "x..xn--zca" },
    { "example.com.", "example.com." },
    { "xn--a", "xn--a" },
    { "xn--a.ß", NULL },
    { "xn--teš", NULL },
    { "a_b.ß", "a_b.xn--zca" },
    { "a\xc2\xad" "b.com", "ab.com" },         /* soft hyphen */
    { "\xe2\x80\x8d.example", NULL },       /* a joiner that joins nothing */
    { "يa", NULL },                         /* bidi rule */
    { "0a.א", NULL },
    { "a0.א", "a0.xn--4db" },
    { "", NULL },
    { "\xc2\xad", NULL },                   /* nothing left */
    { "a b.com", NULL },
    { "exa%6dple.com", NULL },
    { "exa％6dple.com", NULL },
    { "a／b", NULL },
    { "℀.com", NULL },                      /* a/c */
    { "a@b", NULL },
    { "a＠b", NULL },
    { "a:80", NULL },
    { "[::1]", NULL },
    { "a\\b", NULL },
    { "a|b", NULL },
    { "a^b", NULL },
    { "a\x7f" "b", NULL },
    { "a\tb", NULL },
    { "\xff.com", NULL },
    { "\xc0\xae.com", NULL },
    { "\xed\xa0\x80.com", NULL },
    { "\xef\xbf\xbd.com", NULL },
};

static void names_become_their_a_labels(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str out = STR("untouched");
        bool ok = idna_to_ascii(a, str_of(vectors[i].typed), &out);
        if (ok != (vectors[i].ascii != NULL) || !str_is(out, vectors[i].ascii ? vectors[i].ascii : "untouched"))
            fail_msg("%s: %s %.*s", vectors[i].typed, ok ? "became" : "refused", STR_ARG(out));
    }
}

static void a_nul_byte_ends_no_name_early(void **state)
{
    struct str out;
    assert_false(idna_to_ascii(*state, STR("good.example\0.evil.example"), &out));
    assert_false(idna_to_ascii(*state, STR("b\xc3\xbc" "cher\0.evil.example"), &out));
}

static void a_name_over_the_limit_is_refused(void **state)
{
    static char text[IDNA_INPUT + 2];
    struct str out;
    memset(text, 'a', sizeof text);
    assert_true(idna_to_ascii(*state, (struct str){ text, IDNA_INPUT }, &out));
    assert_int_equal(out.n, IDNA_INPUT);
    assert_false(idna_to_ascii(*state, (struct str){ text, IDNA_INPUT + 1 }, &out));
}

static void what_was_made_once_is_made_of_itself(void **state)
{
    struct arena *a = *state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct str once, twice;
        if (!idna_to_ascii(a, str_of(vectors[i].typed), &once))
            continue;
        assert_true(idna_to_ascii(a, once, &twice));
        assert_true(str_eq(once, twice));
    }
}

/* Enough of JSON for a file of {"input": "...", "output": "..." or null}. */
static bool json_text(const char **at, char *out, size_t *n)
{
    const char *p = *at + 1;
    for (*n = 0; *p != '"'; p++) {
        if (*p != '\\') {
            out[(*n)++] = *p;
            continue;
        }
        if (*++p != 'u')
            return false;
        uint32_t cp = (uint32_t)strtoul((char[]){ p[1], p[2], p[3], p[4], 0 }, NULL, 16);
        p += 4;
        if (cp >= 0xd800 && cp < 0xdc00) {
            cp = 0x10000 + ((cp & 0x3ff) << 10 | (strtoul((char[]){ p[3], p[4], p[5], p[6], 0 }, NULL, 16) & 0x3ff));
            p += 6;
        }
        *n += utf8_write(out + *n, cp);
    }
    *at = p + 1;
    return true;
}

static void the_web_platform_s_names_are_read_alike_or_refused(void **state)
{
    struct arena *a = *state;
    FILE *f = fopen(CORPORA "/url/toascii.json", "re");
    if (!f) {
        print_message("left out: corpora not here\n");
        return;
    }
    static char file[64 * 1024];
    file[fread(file, 1, sizeof file - 1, f)] = 0;
    fclose(f);

    int same = 0, stricter = 0;
    for (const char *p = file; (p = strstr(p, "\"input\": "));) {
        static char typed[4096], expected[4096];
        size_t typed_n, expected_n = 0;
        p += strlen("\"input\": ");
        assert_true(json_text(&p, typed, &typed_n));
        p = strstr(p, "\"output\": ");
        assert_non_null(p);
        p += strlen("\"output\": ");
        bool accepted = *p == '"';
        if (accepted)
            assert_true(json_text(&p, expected, &expected_n));

        struct str out = STR_NONE, want = { expected, expected_n };
        bool ok = idna_to_ascii(a, (struct str){ typed, typed_n }, &out);
        if (ok && (!accepted || !str_eq(out, want)))
            fail_msg("%.*s: became %.*s, not %.*s", (int)typed_n, typed, STR_ARG(out), STR_ARG(want));
        if (ok == accepted)
            same++;
        else
            print_message("stricter than WHATWG: %.*s (%.*s)\n", (int)typed_n, typed, STR_ARG(want)), stricter++;
    }
    print_message("%d alike, %d refused that WHATWG takes\n", same, stricter);
    assert_true(same >= 70);
    assert_true(stricter <= 12);
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_become_their_a_labels),
        TEST(a_nul_byte_ends_no_name_early),
        TEST(a_name_over_the_limit_is_refused),
        TEST(what_was_made_once_is_made_of_itself),
        TEST(the_web_platform_s_names_are_read_alike_or_refused),
    };
    return cmocka_run_group_tests_name("base/idna", tests, NULL, NULL);
}
