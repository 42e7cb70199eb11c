/* Which header may carry an API key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <stdio.h>

#include <cmocka.h>

#include "vault/header_name.h"

static bool takes(struct str name, bool digits_ok)
{
    struct fault why = { 0 };
    enum err e = header_name_check(name, digits_ok, &why);
    if (e) {
        assert_int_equal(e, ERR_HEADER_NAME_INVALID);
        assert_true(why.subject[0]);
    }
    return !e;
}

static void ordinary_names_are_taken(void **state)
{
    (void)state;
    static const char *const names[] = {
        "X-API-Key", "authorization", "Authorization", "apikey",    "api_key", "Private-Token", "a",     "-",   "X-Auth-Token",
        "x-amz",     "xamz-key",      "security",      "proxyauth", "raccord", "hosts",         "x-via", "ten", "cookies"
    };
    for (size_t i = 0; i < COUNT(names); i++)
        if (!takes(str_of(names[i]), false))
            fail_msg("%s", names[i]);
}

static void a_name_has_1_to_128_characters(void **state)
{
    (void)state;
    char name[129];
    memset(name, 'a', sizeof name);
    assert_false(takes(STR(""), false));
    assert_false(takes(STR_NONE, false));
    assert_true(takes((struct str){ name, 128 }, false));
    assert_false(takes((struct str){ name, 129 }, false));
}

/* 256 values in three places: requirement 2.1's table. */
static void only_letters_hyphens_and_underscores_are_taken(void **state)
{
    (void)state;
    for (int digits_ok = 0; digits_ok < 2; digits_ok++)
        for (size_t place = 0; place < 3; place++)
            for (int byte = 0; byte < 256; byte++) {
                char name[3] = { 'k', 'k', 'k' };
                name[place] = (char)byte;
                bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_';
                bool digit = byte >= '0' && byte <= '9';
                if (takes((struct str){ name, 3 }, digits_ok) != (plain || (digit && digits_ok)))
                    fail_msg("byte 0x%02x at %zu, digits_ok %d", byte, place, digits_ok);
            }
}

/* Typed anew, not taken from the table under test. */
static const char *const reserved =
    "accept accept-charset accept-encoding accept-language cache-control connection content-md5 cookie date expect from host "
    "if-match "
    "if-modified-since if-none-match if-range if-unmodified-since max-forwards pragma proxy-authenticate proxy-authorization range "
    "server "
    "referer te trailer transfer-encoding upgrade user-agent via warning www-authenticate "
    "content-length content-type keep-alive proxy-connection http2-settings forwarded set-cookie "
    "sec-fetch-site sec-websocket-key sec- proxy- proxy-x x-amz- x-amz-date x-amzn- x-amzn-trace-id x-forwarded- x-forwarded-for "
    "x-zis- x-zis-key raccord- raccord-error";

static void reserved_names_are_refused_in_every_spelling(void **state)
{
    (void)state;
    struct str rest = str_of(reserved), name;
    int n = 0;
    while (str_piece(&rest, ' ', &name)) {
        n++;
        char spelt[64];
        for (int spelling = 0; spelling < 16; spelling++) {
            for (size_t i = 0; i < name.n; i++) {
                char c = name.p[i];
                if (spelling & 1 && c == '-')
                    c = '_';
                if (spelling & 2 && c == '-' && i % 2)
                    c = '_';
                if (spelling & 4 || (spelling & 8 && i % 3 == 0))
                    c = (char)toupper((unsigned char)c);
                spelt[i] = c;
            }
            if (takes((struct str){ spelt, name.n }, true))
                fail_msg("%.*s", (int)name.n, spelt);
        }
    }
    assert_int_equal(n, 32 + 7 + 15);
}

static void a_refusal_names_the_rule(void **state)
{
    (void)state;
    struct fault why = { 0 };
    assert_int_equal(header_name_check(STR("X_Forwarded_For"), false, &why), ERR_HEADER_NAME_INVALID);
    assert_string_equal(why.subject, "x-forwarded-");
    assert_int_equal(header_name_check(STR("X-API-2"), false, &why), ERR_HEADER_NAME_INVALID);
    assert_non_null(strstr(why.subject, "digits"));
}

static void names_are_the_same_whatever_their_case_and_hyphens(void **state)
{
    (void)state;
    assert_true(header_name_same(STR("X-API-Key"), STR("x_api-KEY")));
    assert_true(header_name_same(STR(""), STR("")));
    assert_false(header_name_same(STR("X-API-Key"), STR("X-API-Keys")));
    assert_false(header_name_same(STR("X-API-Key"), STR("XAPIKey")));
    assert_false(header_name_same(STR("a@b"), STR("a`b")));
    assert_false(header_name_same(STR("a-b"), STR("a b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_names_are_taken),
        cmocka_unit_test(a_name_has_1_to_128_characters),
        cmocka_unit_test(only_letters_hyphens_and_underscores_are_taken),
        cmocka_unit_test(reserved_names_are_refused_in_every_spelling),
        cmocka_unit_test(a_refusal_names_the_rule),
        cmocka_unit_test(names_are_the_same_whatever_their_case_and_hyphens),
    };
    return cmocka_run_group_tests_name("vault/header_name", tests, NULL, NULL);
}
