#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "access/audit_head.h"
#include "access/audit_refusals.h"
#include "house.h"

static struct secret key_of(char c)
{
    struct secret key = secret_new(32);
    memset(key.p, c, key.n);
    return key;
}

static struct audit_heads heads_of(struct house *h, char key)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/audit-heads.log", h->room->directory);
    return (struct audit_heads){ .path = arena_cstr(h->arena, str_of(path)), .key = key_of(key) };
}

static struct audit_mark mark_of(int64_t number, char digit)
{
    struct audit_mark m = { .number = number };
    memset(m.hash, digit, AUDIT_HASH);
    return m;
}

static void add(struct house *h, const struct audit_heads *heads, int64_t number, char digit)
{
    struct audit_mark m = mark_of(number, digit);
    assert_ok(audit_heads_add(heads, &m, &h->why));
}

static struct audit_heads_found read_all(struct house *h, const struct audit_heads *heads)
{
    struct audit_heads_found f;
    assert_ok(audit_heads_read(heads, false, h->arena, &f, &h->why));
    return f;
}

static char *load(struct house *h, const struct audit_heads *heads, size_t *n)
{
    char *text = arena_alloc(h->arena, 64 * 1024);
    FILE *f = fopen(heads->path, "rb");
    assert_non_null(f);
    *n = fread(text, 1, 64 * 1024, f);
    fclose(f);
    return text;
}

static void store(const struct audit_heads *heads, const char *text, size_t n)
{
    FILE *f = fopen(heads->path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void heads_come_back_as_they_were_written(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    assert_false(read_all(h, &heads).there);
    add(h, &heads, 3, 'a');
    add(h, &heads, 9, 'b');
    struct audit_heads_found f = read_all(h, &heads);
    assert_int_equal(f.flaw, AUDIT_SOUND);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.witnesses[1].number, 9);
    assert_memory_equal(f.witnesses[1].hash, "bbbb", 4);
    secret_end(&heads.key);
}

static void every_changed_byte_of_the_file_is_found(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    size_t n;
    for (int i = 1; i <= 3; i++)
        add(h, &heads, i, (char)('0' + i));
    char *text = load(h, &heads, &n);
    for (size_t i = 0; i + 1 < n; i++) {
        text[i] ^= 1;
        store(&heads, text, n);
        struct audit_heads_found f = read_all(h, &heads);
        /* a last line that is no line any more is taken for one that a crash cut: its number is then no witness */
        if (f.flaw == AUDIT_SOUND && f.count == 3)
            fail_msg("byte %zu", i);
        text[i] ^= 1;
    }
    secret_end(&heads.key);
}

static void a_line_taken_out_of_the_middle_is_found(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    size_t n;
    for (int i = 1; i <= 3; i++)
        add(h, &heads, i, 'a');
    char *text = load(h, &heads, &n), *second = memchr(text, '\n', n) + 1, *third = memchr(second, '\n', n) + 1;
    memmove(second, third, (size_t)(text + n - third));
    store(&heads, text, n - (size_t)(third - second));
    assert_int_equal(read_all(h, &heads).flaw, AUDIT_HEADS_CHANGED);
    secret_end(&heads.key);
}

static void lines_of_another_key_are_found(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k'), forged = heads_of(h, 'x');
    add(h, &forged, 1, 'a');
    assert_int_equal(read_all(h, &heads).flaw, AUDIT_HEADS_CHANGED);
    /* until one of the right key vouches for them: so a key may be replaced */
    add(h, &heads, 2, 'b');
    assert_int_equal(read_all(h, &heads).flaw, AUDIT_SOUND);
    secret_end(&heads.key);
    secret_end(&forged.key);
}

static void a_line_that_a_crash_cut_in_two_is_passed_over(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    size_t n;
    add(h, &heads, 1, 'a');
    add(h, &heads, 2, 'b');
    char *text = load(h, &heads, &n);
    store(&heads, text, n - 40);
    assert_int_equal(read_all(h, &heads).count, 1);
    add(h, &heads, 3, 'c');
    struct audit_heads_found f = read_all(h, &heads);
    assert_int_equal(f.flaw, AUDIT_SOUND);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.witnesses[1].number, 3);
    secret_end(&heads.key);
}

static void heads_that_go_back_tell_of_a_rollback(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    add(h, &heads, 9, 'a');
    add(h, &heads, 4, 'b');
    assert_int_equal(read_all(h, &heads).flaw, AUDIT_ROLLED_BACK);
    secret_end(&heads.key);
}

static void the_same_head_twice_is_fine(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    add(h, &heads, 4, 'b');
    add(h, &heads, 4, 'b');
    struct audit_heads_found f = read_all(h, &heads);
    assert_int_equal(f.flaw, AUDIT_SOUND);
    assert_int_equal(f.count, 1);
    secret_end(&heads.key);
}

static void the_end_of_a_long_file_is_enough_for_every_minute(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = heads_of(h, 'k');
    struct audit_heads_found f;
    for (int i = 1; i <= 400; i++)
        add(h, &heads, i, 'a');
    assert_ok(audit_heads_read(&heads, true, h->arena, &f, &h->why));
    assert_int_equal(f.flaw, AUDIT_SOUND);
    assert_true(f.count > 100 && f.count < 400);
    assert_int_equal(f.witnesses[f.count - 1].number, 400);
    assert_int_equal(read_all(h, &heads).count, 400);
    secret_end(&heads.key);
}

static void a_directory_in_the_files_place_is_an_error_and_no_crash(void **state)
{
    struct house *h = *state;
    struct audit_heads heads = { .path = h->room->directory, .key = key_of('k') };
    struct audit_mark m = mark_of(1, 'a');
    struct audit_heads_found f;
    assert_int_equal(audit_heads_add(&heads, &m, &h->why), ERR_FILE);
    assert_int_equal(audit_heads_read(&heads, false, h->arena, &f, &h->why), ERR_FILE);
    secret_end(&heads.key);
}

/* ---- refusals ---- */

static struct audit_entry refusal(const char *actor, const char *object, const char *client)
{
    return (struct audit_entry){ .actor = str_of(actor), .action = STR("connection.update"), .object = str_of(object),
                                 .client = str_of(client), .code = STR("denied"), .outcome = AUDIT_REFUSED };
}

static void the_same_refusal_again_is_counted_until_its_minute_is_over(void **state)
{
    (void)state;
    struct refusals *r = refusals_new();
    struct audit_entry e = refusal("usr_1", "con_1", "192.0.2.1"), out;
    struct mono start = { 1000 };
    assert_true(refusals_note(r, &e, true, start));
    for (int i = 0; i < 7; i++)
        assert_false(refusals_note(r, &e, true, start));
    assert_false(refusals_due(r, start, false, &out));
    assert_true(refusals_due(r, (struct mono){ 1000 + REFUSALS_WINDOW_MS }, false, &out));
    assert_true(str_is(out.after, "{\"more\":7}"));
    assert_true(str_is(out.object, "con_1"));
    assert_false(refusals_due(r, (struct mono){ 1000 + REFUSALS_WINDOW_MS }, false, &out));
    /* a quiet minute later it is told at once again */
    assert_false(refusals_due(r, (struct mono){ 1000 + 2 * REFUSALS_WINDOW_MS }, false, &out));
    assert_true(refusals_note(r, &e, true, (struct mono){ 1000 + 2 * REFUSALS_WINDOW_MS }));
    refusals_free(r);
}

static void strangers_cannot_crowd_out_those_who_are_known(void **state)
{
    (void)state;
    struct refusals *r = refusals_new();
    struct audit_entry out;
    struct mono now = { 1 };
    int told = 0;
    for (int i = 0; i < 1000; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.2.%d", i);
        struct audit_entry e = refusal("", "con_1", client);
        told += refusals_note(r, &e, true, now);
    }
    assert_int_equal(told, REFUSALS_OF_STRANGERS);
    struct audit_entry known = refusal("usr_1", "con_1", "192.0.2.1");
    assert_true(refusals_note(r, &known, true, now));
    assert_true(refusals_due(r, now, true, &out));
    assert_true(str_is(out.action, "refusals.many"));
    assert_true(str_is(out.after, "{\"more\":968}"));
    refusals_free(r);
}

static void a_refusal_on_a_loop_is_told_by_the_thread_that_may_write(void **state)
{
    (void)state;
    struct refusals *r = refusals_new();
    struct audit_entry e = refusal("usr_1", "con_1", ""), out;
    assert_false(refusals_note(r, &e, false, (struct mono){ 1 }));
    assert_true(refusals_due(r, (struct mono){ 2 }, false, &out));
    assert_null(out.after.p);
    assert_false(refusals_due(r, (struct mono){ 2 }, false, &out));
    refusals_free(r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(heads_come_back_as_they_were_written),
        T(every_changed_byte_of_the_file_is_found),
        T(a_line_taken_out_of_the_middle_is_found),
        T(lines_of_another_key_are_found),
        T(a_line_that_a_crash_cut_in_two_is_passed_over),
        T(heads_that_go_back_tell_of_a_rollback),
        T(the_same_head_twice_is_fine),
        T(the_end_of_a_long_file_is_enough_for_every_minute),
        T(a_directory_in_the_files_place_is_an_error_and_no_crash),
        cmocka_unit_test(the_same_refusal_again_is_counted_until_its_minute_is_over),
        cmocka_unit_test(strangers_cannot_crowd_out_those_who_are_known),
        cmocka_unit_test(a_refusal_on_a_loop_is_told_by_the_thread_that_may_write),
    };
    return cmocka_run_group_tests_name("access/audit_head", tests, NULL, NULL);
}
