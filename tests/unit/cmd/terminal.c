#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/terminal.h"

#include <stdio.h>
#include <unistd.h>

static void wide_characters_count_two_columns_and_combining_ones_none(void **state)
{
    (void)state;
    assert_int_equal(text_columns(STR("abc")), 3);
    assert_int_equal(text_columns(STR("Éloïse")), 6);
    assert_int_equal(text_columns(STR("e\xcc\x81")), 1);
    assert_int_equal(text_columns(STR("日本")), 4);
    assert_int_equal(text_columns(STR("\xff\xfe")), 2); /* broken bytes take a place each */
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    assert_int_equal(text_fit(STR("Éloïse"), 1), 2);
    assert_int_equal(text_fit(STR("日本"), 3), 3);
    assert_int_equal(text_fit(STR("ab"), 9), 2);
    assert_int_equal(text_fit(STR("ab"), 0), 0);
}

static void text_from_outside_cannot_steer_the_terminal(void **state)
{
    struct arena *a = *state;
    struct str plain = STR("Zoé & Cie");

    assert_ptr_equal(text_safe(a, plain).p, plain.p);
    assert_true(str_is(text_safe(a, STR("a\x1b[2Jb")), "a?[2Jb"));
    assert_true(str_is(text_safe(a, STR("a\nb\tc")), "a b c"));
    assert_true(str_is(text_safe(a, STR("a\xc2\x9b" "b")), "a?b"));      /* C1: CSI in one character */
    assert_true(str_is(text_safe(a, STR("a\xe2\x80\xae" "b")), "a?b")); /* right-to-left override */
}

static void a_file_loses_one_line_end_only_when_asked(void **state)
{
    (void)state;
    char path[] = "/tmp/raccord-terminal-XXXXXX";
    int fd = mkstemp(path);
    struct fault why = { 0 };
    struct secret s;
    assert_int_equal(write(fd, "two\n\r\n", 6), 6);
    close(fd);

    assert_int_equal(secret_read_file(path, 100, true, &s, &why), ERR_NONE);
    assert_true(str_is(secret_str(s), "two\n"));
    secret_end(&s);
    assert_int_equal(secret_read_file(path, 100, false, &s, &why), ERR_NONE);
    assert_true(str_is(secret_str(s), "two\n\r\n"));
    secret_end(&s);
    unlink(path);
}

static void a_file_larger_than_its_limit_is_refused_and_one_at_it_is_not(void **state)
{
    (void)state;
    char path[] = "/tmp/raccord-terminal-XXXXXX";
    int fd = mkstemp(path);
    size_t n = 200 * 1024;
    char *bytes = mem_zero(n);
    struct fault why = { 0 };
    struct secret s;
    memset(bytes, 'x', n);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);

    assert_int_equal(secret_read_file(path, n - 1, false, &s, &why), ERR_FILE);
    assert_non_null(strstr(why.subject, path));
    assert_int_equal(secret_read_file(path, n, false, &s, &why), ERR_NONE);
    assert_int_equal(s.n, n);
    assert_memory_equal(s.p, bytes, n);
    secret_end(&s);
    free(bytes);
    unlink(path);
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct fault why = { 0 };
    struct secret s;

    assert_int_equal(secret_read_file("/nonexistent/secret", 10, true, &s, &why), ERR_FILE);
    assert_non_null(strstr(why.subject, "/nonexistent/secret"));
}

static int with_arena(void **state)
{
    *state = arena_new(4096);
    return 0;
}
static int drop_arena(void **state)
{
    arena_free(*state);
    return 0;
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, with_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        CASE(wide_characters_count_two_columns_and_combining_ones_none),
        CASE(a_cut_never_splits_a_character),
        CASE(text_from_outside_cannot_steer_the_terminal),
        CASE(a_file_loses_one_line_end_only_when_asked),
        CASE(a_file_larger_than_its_limit_is_refused_and_one_at_it_is_not),
        CASE(a_missing_file_is_named),
    };
    return cmocka_run_group_tests_name("cmd/terminal", tests, NULL, NULL);
}
