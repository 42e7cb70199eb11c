#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

/* What is logged while standard error stands on a file of ours. */
static FILE *caught;
static int real_stderr;
static char text[8192];

static void catch_stderr(enum log_level most, bool json)
{
    log_setup(most, json);
    caught = tmpfile();
    assert_non_null(caught);
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
}

static struct str caught_text(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(caught);
    size_t n = fread(text, 1, sizeof text - 1, caught);
    fclose(caught);
    text[n] = 0;
    return (struct str){ text, n };
}

static size_t lines(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

/* The line after its time. */
static struct str after_time(struct str s) { return str_sub(s, 25, s.n); }

static void a_line_is_an_event_and_its_pairs(void **state)
{
    (void)state;
    catch_stderr(LOG_INFO, false);
    log_line(LOG_INFO, "listening", LOG("address", STR("127.0.0.1:8640")), LOG("empty", STR("")), LOG("said", STR("a b")));
    log_line(LOG_WARN, "alone");
    struct str s = caught_text();
    assert_non_null(strstr(s.p, " info listening address=127.0.0.1:8640 empty=\"\" said=\"a b\"\n"));
    assert_non_null(strstr(s.p, " warn alone\n"));
}

static void a_value_cannot_forge_a_line_or_a_pair(void **state)
{
    (void)state;
    catch_stderr(LOG_INFO, false);
    log_line(LOG_INFO, "e", LOG("v", STR("x\n2026-01-01T00:00:00.000Z error forged \"a=b\" \\ \x1b[2J \xc2\x9b \x7f\r")));
    struct str s = caught_text();
    assert_int_equal(lines(s), 1);
    assert_true(str_is(after_time(s),
                       "info e v=\"x\\u000a2026-01-01T00:00:00.000Z error forged \\\"a=b\\\" \\\\ \\u001b[2J \\u009b "
                       "\\u007f\\u000d\"\n"));
    catch_stderr(LOG_INFO, false);
    log_line(LOG_INFO, "e", LOG("v", STR("a=b")));
    assert_true(str_is(after_time(caught_text()), "info e v=\"a=b\"\n"));
}

static struct json *parsed(struct arena *a, struct str line)
{
    struct json *v = NULL;
    struct fault why = { 0 };
    if (json_read(a, line, &v, &why))
        fail_msg("%s in %s", why.subject, line.p);
    return v;
}

static void the_json_form_is_json_whatever_the_value(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    catch_stderr(LOG_INFO, true);
    log_line(LOG_ERROR, "e \"quoted\"", LOG("v", STR("\"\\\n\x01\x7f\xff\xc3 \xe2\x82\xac")));
    struct json *v = parsed(a, caught_text());
    assert_true(str_is(json_str(v, "level"), "error"));
    assert_true(str_is(json_str(v, "event"), "e \"quoted\""));
    assert_true(str_is(json_str(v, "v"), "\"\\\n\x01\x7f\xef\xbf\xbd\xef\xbf\xbd \xe2\x82\xac"));
}

static void a_line_that_is_too_long_is_cut_and_still_json(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    char big[4000];
    memset(big, 'x', sizeof big);
    for (size_t n = 1900; n < 2100; n++) {
        memcpy(big + n - 4, "\xf0\x9f\x98\x80", 4);
        catch_stderr(LOG_INFO, true);
        log_line(LOG_INFO, "e", LOG("v", ((struct str){ big, n })), LOG("after", STR("\n\n\n")), LOG("later", STR("z")));
        struct str s = caught_text();
        assert_int_equal(lines(s), 1);
        assert_true(s.n <= 2048);
        assert_true(json_str(parsed(a, s), "v").n > 1800);
        arena_reset(a);
    }
    catch_stderr(LOG_INFO, true);
    log_fields(LOG_INFO, arena_cstr(a, (struct str){ big, sizeof big }), &LOG("v", STR("x")), 1);
    assert_null(json_get(parsed(a, caught_text()), "v"));
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    catch_stderr(LOG_WARN, false);
    log_text(LOG_INFO, "hidden");
    log_text(LOG_WARN, "shown %d", 1);
    struct str s = caught_text();
    assert_int_equal(lines(s), 1);
    assert_non_null(strstr(s.p, "shown 1"));
    assert_true(log_wanted(LOG_ERROR) && !log_wanted(LOG_DEBUG));
}

static void a_fault_is_logged_with_its_note(void **state)
{
    (void)state;
    struct fault why;
    fault(&why, ERR_LIMIT, STR("workers"), "queue of %d", 5);
    catch_stderr(LOG_INFO, false);
    log_fault(LOG_ERROR, "start", &why);
    assert_true(str_is(after_time(caught_text()), "error start code=limit_reached subject=workers note=\"queue of 5\"\n"));
}

static void levels_are_known_by_name(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(log_level_parse(STR("debug"), &level) && level == LOG_DEBUG);
    assert_true(log_level_parse(STR("error"), &level) && level == LOG_ERROR);
    assert_false(log_level_parse(STR("Debug"), &level));
    assert_false(log_level_parse(STR(""), &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_an_event_and_its_pairs),
        cmocka_unit_test(a_value_cannot_forge_a_line_or_a_pair),
        cmocka_unit_test(the_json_form_is_json_whatever_the_value),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_still_json),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(a_fault_is_logged_with_its_note),
        cmocka_unit_test(levels_are_known_by_name),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
