#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cmd/table.h"

#include <stdio.h>

static const struct column columns[] = {
    { "KEY", "key", COLUMN_TEXT },
    { "FOLDER", "folder.path", COLUMN_TEXT },
    { "MS", "ms", COLUMN_NUMBER },
    { "AT", "at", COLUMN_TIME },
};

/* What is printed for an array of objects; in the arena. */
static const char *printed(struct arena *a, const char *json, int width)
{
    struct json *array, *items[16];
    struct fault why = { 0 };
    size_t n = 0, size;
    char *text;
    assert_int_equal(json_read(a, str_of(json), &array, &why), ERR_NONE);
    json_each(v, array)
        items[n++] = v;
    FILE *f = open_memstream(&text, &size);
    table_print(f, a, columns, COUNT(columns), items, n, width);
    fclose(f);
    const char *copy = arena_cstr(a, (struct str){ text, size });
    free(text);
    return copy;
}

static void columns_align_by_what_is_seen_not_by_bytes(void **state)
{
    assert_string_equal(printed(*state,
                                "[{\"key\":\"é\",\"folder\":{\"path\":\"shared\"},\"ms\":7,\"at\":\"2026-01-02T03:04:05.678Z\"},"
                                " {\"key\":\"long-key\",\"folder\":{\"path\":\"x\"},\"ms\":1234,\"at\":null}]", 0),
                        "KEY       FOLDER    MS  AT\n"
                        "é         shared     7  2026-01-02 03:04:05Z\n"
                        "long-key  x       1234  -\n");
}

static void what_is_absent_or_empty_shows_as_a_dash(void **state)
{
    assert_string_equal(printed(*state, "[{\"key\":\"\",\"folder\":null}]", 0),
                        "KEY  FOLDER  MS  AT\n"
                        "-    -        -  -\n");
}

static void a_row_is_cut_to_the_terminal_and_only_there(void **state)
{
    const char *json = "[{\"key\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
                       "\"folder\":{\"path\":\"shared\"},\"ms\":1,\"at\":\"x\"}]";

    assert_string_equal(printed(*state, json, 40),
                        "KEY                       FOLDER  MS  AT\n"
                        "aaaaaaaaaaaaaaaaaaaaaaa…  shared   1  x\n");
    assert_non_null(strstr(printed(*state, json, 0), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "));
}

static void numbers_are_shown_as_they_came(void **state)
{
    assert_non_null(strstr(printed(*state, "[{\"key\":1.10,\"ms\":9007199254740993}]", 0), "1.10"));
    assert_non_null(strstr(printed(*state, "[{\"key\":1.10,\"ms\":9007199254740993}]", 0), "9007199254740993"));
}

static void a_long_list_says_how_many_more(void **state)
{
    static const char *const lists[][2] = {
        { "[\"bearer\"]", "bearer" },
        { "[\"bearer\",\"basic\",\"none\"]", "bearer, basic, none" },
        { "[\"oauth2_authorization_code\",\"oauth2_client_credentials\",\"basic\"]", "oauth2_authorization_code, +2" },
        { "[\"a-name-that-is-longer-than-all-the-room-there-is\",\"x\"]", "a-name-that-is-longer-than-all-the-room-there-is, +1" },
        { "[]", "-" },
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct json *v;
        struct fault why = { 0 };
        assert_int_equal(json_read(*state, str_of(lists[i][0]), &v, &why), ERR_NONE);
        struct str said = table_cell(*state, v, COLUMN_FEW);
        assert_string_equal(arena_cstr(*state, said), lists[i][1]);
    }
}

static void a_value_cannot_break_the_table_or_the_terminal(void **state)
{
    const char *text = printed(*state, "[{\"key\":\"a\\nb\\u001b[31m\"}]", 0);

    assert_non_null(strstr(text, "a b?[31m"));
    assert_null(strchr(text, 0x1b));
}

static void an_object_is_shown_line_by_line_with_dotted_names(void **state)
{
    struct json *v;
    struct fault why = { 0 };
    char *text;
    size_t size;
    assert_int_equal(json_read(*state, STR("{\"id\":\"con_1\",\"folder\":{\"path\":\"shared\"},\"scopes\":[\"a\",\"b\"],"
                                           "\"none\":{},\"auth\":[{\"type\":\"basic\"}],\"default\":true,"
                                           "\"created_at\":\"2026-01-02T03:04:05.000Z\"}"),
                               &v, &why), ERR_NONE);
    FILE *f = open_memstream(&text, &size);
    table_print_object(f, *state, v);
    fclose(f);

    assert_string_equal(text, "id           con_1\n"
                              "folder.path  shared\n"
                              "scopes       a, b\n"
                              "none         -\n"
                              "auth.0.type  basic\n"
                              "default      yes\n"
                              "created_at   2026-01-02 03:04:05Z\n");
    free(text);
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
        CASE(columns_align_by_what_is_seen_not_by_bytes),
        CASE(what_is_absent_or_empty_shows_as_a_dash),
        CASE(a_row_is_cut_to_the_terminal_and_only_there),
        CASE(numbers_are_shown_as_they_came),
        CASE(a_long_list_says_how_many_more),
        CASE(a_value_cannot_break_the_table_or_the_terminal),
        CASE(an_object_is_shown_line_by_line_with_dotted_names),
    };
    return cmocka_run_group_tests_name("cmd/table", tests, NULL, NULL);
}
