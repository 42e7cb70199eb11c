/* The problem document: RFC 9457, in two languages, without what is secret. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "web/web.h"

static char *written(struct arena *a, const struct fault *why, enum language lang, struct str run)
{
    AUTO_BUF text;
    buf_init(&text, 8192);
    problem_write(&text, why, lang, run, STR("https://hub.example/raccord"));
    return arena_cstr(a, buf_str(&text));
}

static void a_problem_says_who_can_act_in_the_callers_language(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    fault(&why, ERR_UPSTREAM_TIMEOUT, STR("30s"), "note for the log");
    assert_string_equal(
        written(a, &why, LANG_EN, STR("run_1")),
        "{\"type\":\"https://hub.example/raccord/problems/upstream_timeout\",\"title\":\"Provider timeout\",\"status\":504,"
        "\"detail\":\"The provider did not answer in time "
        "(30s).\",\"code\":\"upstream_timeout\",\"fault\":\"provider\",\"retryable\":true,"
        "\"run_id\":\"run_1\"}");
    assert_string_equal(written(a, &why, LANG_FR, STR("")),
                        "{\"type\":\"https://hub.example/raccord/problems/upstream_timeout\",\"title\":\"D\xc3\xa9lai du "
                        "fournisseur d\xc3\xa9pass\xc3\xa9\",\"status\":504,"
                        "\"detail\":\"Le fournisseur n'a pas r\xc3\xa9pondu \xc3\xa0 temps "
                        "(30s).\",\"code\":\"upstream_timeout\",\"fault\":\"provider\",\"retryable\":true}");
}

static void a_member_at_fault_is_pointed_at(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    fault(&why, ERR_UNKNOWN_FIELD, STR("na\"me"), "note");
    fault_at(&why, "/na\"me");
    char *text = written(a, &why, LANG_EN, STR(""));
    assert_non_null(strstr(text, "\"errors\":[{\"pointer\":\"/na\\\"me\",\"detail\":\"There is no field named"));
}

static void a_query_string_never_comes_out(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    fault(&why, ERR_URL_INVALID, STR("https://x.example/p?api_key=CANARY#f and /q?t=CANARY, is it \"?a=CANARY\"? Yes?"), "note");
    for (int lang = 0; lang < 2; lang++) {
        char *text = written(a, &why, (enum language)lang, STR(""));
        assert_null(strstr(text, "CANARY"));
        assert_non_null(strstr(text, "https://x.example/p? and /q? is it"));
        assert_non_null(strstr(text, "Yes?"));
    }
}

static void the_note_for_the_log_is_not_shown(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    fault(&why, ERR_STORE, STR("subject"), "disk /dev/CANARY");
    assert_null(strstr(written(a, &why, LANG_EN, STR("")), "CANARY"));
}

static void every_error_makes_a_problem_in_both_languages(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    for (int e = 1; e < ERR_COUNT; e++)
        for (int lang = 0; lang < 2; lang++) {
            struct fault why, unused;
            struct json *doc;
            fault(&why, (enum err)e, STR("x"), "note");
            char *text = written(a, &why, (enum language)lang, STR(""));
            assert_int_equal(json_read(a, str_of(text), &doc, &unused), ERR_NONE);
            assert_true(json_str(doc, "title").n && json_str(doc, "detail").n);
            int64_t status;
            assert_true(json_i64(json_get(doc, "status"), &status));
            assert_in_range(status, 400, 599);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_says_who_can_act_in_the_callers_language),
        cmocka_unit_test(a_member_at_fault_is_pointed_at),
        cmocka_unit_test(a_query_string_never_comes_out),
        cmocka_unit_test(the_note_for_the_log_is_not_shown),
        cmocka_unit_test(every_error_makes_a_problem_in_both_languages),
    };
    return cmocka_run_group_tests_name("web/problem", tests, NULL, NULL);
}
