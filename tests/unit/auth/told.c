#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth/told.h"

static void what_a_provider_says_is_512_characters_of_plain_text(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    char many[3000];
    for (size_t i = 0; i + 1 < sizeof many; i += 2)
        memcpy(many + i, "\303\251", 2);
    assert_int_equal(told_text(a, (struct str){ many, sizeof many }).n, 1024);
    assert_true(str_is(told_text(a, STR("a\nb\377c\302\205d\033")), "a b c d"));
    assert_true(str_is(told_text(a, STR_NONE), ""));
}

static void words_stay_and_what_looks_like_a_secret_goes(void **state)
{
    (void)state;
    static const struct { const char *said, *shown;
    } rows[] = {
        { "The refresh token has expired or was revoked.", NULL },
        { "AADSTS700016: Application with identifier '6731de76-14a6-49ae-97bc-6eba6914391e' was not found in the directory.",
          NULL },
        { "see https://login.example.com/common/oauth2/v2.0/token", NULL },
        { "invalid scope https://www.googleapis.com/auth/admin.directory.user.readonly", NULL },
        { "UserHasNoPermissionException", NULL },
        { "code SplxlOBeZQQYbYS6WxSbIA is over", "code *** is over" },
        { "bad eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodWIxIn0.c2lnbmF0dXJlMTIzNDU2Nzg5", "bad ***.***.***" },
        { "Authorization: Basic aHViLWJhc2ljOnMzY3I6ZXQvKyAl", "Authorization: Basic ***" },
        { "client_secret=s3cr%3Aet%2F%2B+%25&x=1", "***&x=1" },
        { "dBjftJeZCVPmBmKuBYgBPqMIQYUsaWdcyqwEhGqjXkK?", "***?" }, /* no digit, but nobody's word */
        { "0123456789012345678901234567890", NULL }, /* a number */
        { "DONAUDAMPFSCHIFFFAHRTSGESELLSCHAFT", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(4096);
        const char *wanted = rows[i].shown ? rows[i].shown : rows[i].said;
        assert_string_equal(arena_cstr(a, told_text(a, str_of(rows[i].said))), wanted);
    }
}

static void a_run_that_is_cut_off_is_not_shown(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    char said[9000];
    memset(said, ' ', sizeof said);
    for (size_t i = 0; i < 8100; i++)
        said[i] = "aB3"[i % 3];
    memcpy(said + 8150, "Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9Zx9", 63);
    struct str shown = told_text(a, (struct str){ said, sizeof said });
    assert_int_equal(str_find_str(shown, STR("Zx9")), SIZE_MAX);
    assert_true(str_starts(shown, STR("***")));
}

static void a_piece_of_a_secret_is_found_however_it_is_written(void **state)
{
    (void)state;
    AUTO_SECRET s = secret_from(STR("s3cr:et/+ %and more"));
    static const char *const shows[] = {
        "is s3cr:et/+ %and more wrong?", "cr:et/+ ", "and more", "s3cr%3Aet%2F%2B%20%25and", "czNjcjpldC8rICVhbmQgbW9yZQ==",
        "xodWI6czNjcjpldC8rICVhbmQgbW9yZQ", "aWQ6czNjciUzQWV0JTJGJTJCJTIwJTI1YW5kJTIwbW9yZQ==",
    };
    static const char *const hides[] = { "", "s3cr:et", "no more", "czNjcjpl", "and", "%20%25" };
    for (size_t i = 0; i < COUNT(shows); i++)
        assert_true(told_shows(str_of(shows[i]), s));
    for (size_t i = 0; i < COUNT(hides); i++)
        assert_false(told_shows(str_of(hides[i]), s));
}

static void a_short_secret_is_found_as_a_whole_and_a_tiny_one_never(void **state)
{
    (void)state;
    AUTO_SECRET six = secret_from(STR("pass12"));
    AUTO_SECRET three = secret_from(STR("abc"));
    assert_true(told_shows(STR("not pass12!"), six));
    assert_false(told_shows(STR("not pass1!"), six));
    assert_false(told_shows(STR("abc"), three));
    assert_false(told_shows(STR("abc"), SECRET_NONE));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_provider_says_is_512_characters_of_plain_text),
        cmocka_unit_test(words_stay_and_what_looks_like_a_secret_goes),
        cmocka_unit_test(a_run_that_is_cut_off_is_not_shown),
        cmocka_unit_test(a_piece_of_a_secret_is_found_however_it_is_written),
        cmocka_unit_test(a_short_secret_is_found_as_a_whole_and_a_tiny_one_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
