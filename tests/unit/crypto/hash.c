/* Digests, ids, passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <pthread.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/password.h"
#include "crypto/totp.h"

/* ---- Argon2id passes through here (see meson.build) ---- */

int __real_crypto_pwhash_str_alg(char *, const char *, unsigned long long, unsigned long long, size_t, int);
int __wrap_crypto_pwhash_str_alg(char *, const char *, unsigned long long, unsigned long long, size_t, int);
int __real_crypto_pwhash_str_verify(const char *, const char *, unsigned long long);
int __wrap_crypto_pwhash_str_verify(const char *, const char *, unsigned long long);

static atomic_int inside, most_inside, verified;
static char verified_against[crypto_pwhash_STRBYTES];

static void come_in(void)
{
    int now = ++inside, most = most_inside;
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now))
        ;
}

int __wrap_crypto_pwhash_str_alg(char *out, const char *password, unsigned long long n, unsigned long long passes, size_t memory,
                                 int alg)
{
    come_in();
    int answer = __real_crypto_pwhash_str_alg(out, password, n, passes, memory, alg);
    inside--;
    return answer;
}

int __wrap_crypto_pwhash_str_verify(const char *hash, const char *password, unsigned long long n)
{
    come_in();
    verified++;
    if (inside == 1)
        str_copy(verified_against, sizeof verified_against, str_of(hash));
    int answer = __real_crypto_pwhash_str_verify(hash, password, n);
    inside--;
    return answer;
}

static void digest_is(const unsigned char got[SHA256_SIZE], const char *expected)
{
    char text[2 * SHA256_SIZE + 1] = { 0 };
    hex_write(text, (struct str){ (const char *)got, SHA256_SIZE });
    assert_string_equal(text, expected);
}

/* FIPS 180-4 examples; RFC 4231 cases 1, 2, 6 */
static void digests_are_the_published_ones(void **state)
{
    (void)state;
    unsigned char out[SHA256_SIZE];
    sha256(STR_NONE, out);
    digest_is(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(STR("abc"), out);
    digest_is(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hmac_sha256(STR("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"), STR("Hi There"), out);
    digest_is(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), out);
    digest_is(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char key[131];
    memset(key, 0xaa, sizeof key);
    hmac_sha256((struct str){ key, sizeof key }, STR("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    digest_is(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256(STR_NONE, STR_NONE, out);
    digest_is(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* FIPS 180-4's million times "a"; both sides of where another library takes over */
static void long_texts_have_the_same_digests(void **state)
{
    (void)state;
    static char text[1000000];
    unsigned char out[SHA256_SIZE], steps[SHA256_SIZE];
    struct sha256_run run;
    memset(text, 'a', sizeof text);
    sha256((struct str){ text, sizeof text }, out);
    digest_is(out, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    hmac_sha256(STR("Jefe"), (struct str){ text, sizeof text }, out);
    digest_is(out, "abce68067d665c96b6f4491fdc3de999dc09731b2d50a1f5e758d9ed583319d6");
    for (size_t n = 0; n < 1100; n += 7) {
        sha256((struct str){ text, n }, out);
        sha256_begin(&run);
        sha256_add(&run, (struct str){ text, n });
        sha256_done(&run, steps);
        assert_memory_equal(out, steps, SHA256_SIZE);
    }
}

static void every_byte_counts_in_a_comparison(void **state)
{
    (void)state;
    char a[40], b[40];
    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    assert_true(equal_constant_time(a, b, sizeof a));
    assert_true(equal_constant_time(a, b, 0));
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] ^= 0x10;
        assert_false(equal_constant_time(a, b, sizeof a));
        b[i] ^= 0x10;
    }
}

static void random_bytes_fill_all_that_was_asked(void **state)
{
    (void)state;
    static unsigned char p[100000];
    random_bytes(p, sizeof p);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof p; i++)
        zeros += p[i] == 0;
    assert_in_range(zeros, 200, 700); /* 390 expected */
    random_bytes(p, 0);
}

static void random_text_uses_all_of_base32_and_nothing_else(void **state)
{
    (void)state;
    static char text[32000];
    int seen[256] = { 0 };
    random_text(text, sizeof text);
    for (size_t i = 0; i < sizeof text; i++)
        seen[(unsigned char)text[i]]++;
    int kinds = 0;
    for (int c = 0; c < 256; c++) {
        kinds += seen[c] != 0;
        if (seen[c])
            assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz234567", c));
    }
    assert_int_equal(kinds, 32);
}

static void ids_of_one_thread_only_grow(void **state)
{
    (void)state;
    char last[ID_SIZE] = "", now[ID_SIZE];
    for (int i = 0; i < 100000; i++) {
        assert_ptr_equal(id_new(now, "con_"), now);
        assert_int_equal(strlen(now), 30);
        if (strcmp(last, now) >= 0)
            fail_msg("%s after %s", now, last);
        memcpy(last, now, sizeof last);
    }
}

/* The first ten characters, read back, are the time. */
static void an_id_tells_its_age(void **state)
{
    (void)state;
    char id[ID_SIZE];
    wall_ms before = clock_wall();
    id_new(id, "run_");
    int64_t ms = 0;
    for (int i = 0; i < 10; i++)
        ms = ms << 5 | (strchr("0123456789abcdefghjkmnpqrstvwxyz", id[4 + i]) - "0123456789abcdefghjkmnpqrstvwxyz");
    assert_true(str_starts(str_of(id), STR("run_")));
    assert_in_range(ms, before, clock_wall());
    assert_int_equal(strspn(id + 4, "0123456789abcdefghjkmnpqrstvwxyz"), 26);
}

enum { IDS = 20000 };
static char many[4][IDS][ID_SIZE];

static void *make_ids(void *row)
{
    for (int i = 0; i < IDS; i++)
        id_new(((char (*)[ID_SIZE])row)[i], "con_");
    return NULL;
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void threads_make_no_id_twice(void **state)
{
    (void)state;
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, make_ids, many[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    qsort(many, sizeof many / ID_SIZE, ID_SIZE, by_text);
    char (*ids)[ID_SIZE] = many[0]; /* all four rows */
    for (size_t i = 1; i < sizeof many / ID_SIZE; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
}

static void a_password_is_known_by_its_hash_only(void **state)
{
    struct arena *a = *state;
    struct str hash, again;
    assert_int_equal(password_hash(a, STR("canary battery staple"), &hash, NULL), ERR_NONE);
    assert_int_equal(password_hash(a, STR("canary battery staple"), &again, NULL), ERR_NONE);

    assert_true(str_starts(hash, STR("$argon2id$v=19$m=65536,t=3,p=1$")));
    assert_false(str_eq(hash, again));
    assert_true(str_find_str(hash, STR("canary")) == SIZE_MAX);
    assert_true(password_check(hash, STR("canary battery staple")));
    assert_false(password_check(hash, STR("canary battery stapl")));
    assert_false(password_check(hash, STR("canary battery staple ")));
    assert_false(password_check(hash, STR("canary battery staple\0x")));
    assert_false(password_check(hash, STR_NONE));
}

static void a_broken_hash_lets_nobody_in(void **state)
{
    (void)state;
    assert_false(password_check(STR_NONE, STR_NONE));
    assert_false(password_check(STR(""), STR("")));
    assert_false(password_check(STR("plain text password"), STR("plain text password")));
    assert_false(password_check(STR("$argon2id$v=19$m=65536,t=3,p=1$"), STR("x")));
    char longer[200];
    memset(longer, '$', sizeof longer);
    assert_false(password_check((struct str){ longer, sizeof longer }, STR("x")));
}

/* Not a stop-watch: the work asked of Argon2id is the same, as its parameters say. */
static void an_unknown_user_costs_what_a_known_one_does(void **state)
{
    struct arena *a = *state;
    struct str hash;
    assert_int_equal(password_hash(a, STR("right horse battery"), &hash, NULL), ERR_NONE);
    char known[crypto_pwhash_STRBYTES];

    verified = 0;
    assert_false(password_check(hash, STR("wrong horse battery")));
    str_copy(known, sizeof known, str_of(verified_against));
    password_check_nobody(STR("wrong horse battery"));

    assert_int_equal(verified, 2);
    assert_string_not_equal(known, verified_against);
    assert_memory_equal(known, verified_against, strlen("$argon2id$v=19$m=65536,t=3,p=1$"));
    assert_int_equal(strlen(known), strlen(verified_against));
    /* 0: read without complaint, and these are its parameters */
    assert_int_equal(crypto_pwhash_str_needs_rehash(verified_against, 3, 64 * 1024 * 1024), 0);

    assert_false(password_check(STR("no hash at all"), STR("wrong horse battery")));
    assert_int_equal(verified, 3);
}

static void *hash_one(void *unused)
{
    (void)unused;
    AUTO_ARENA a = arena_new(4096);
    struct str hash;
    return password_hash(a, STR("correct horse battery"), &hash, NULL) ? (void *)"failed" : NULL;
}

static void no_more_than_two_passwords_are_hashed_at_once(void **state)
{
    (void)state;
    pthread_t t[6];
    most_inside = 0;
    for (size_t i = 0; i < COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, hash_one, NULL), 0);
    for (size_t i = 0; i < COUNT(t); i++) {
        void *complaint;
        pthread_join(t[i], &complaint);
        assert_null(complaint);
    }
    assert_in_range(most_inside, 1, 2);
}

static void weak_passwords_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const refused[] = { "", "short", "elevenchars", "éléphantbleu1" /* 13 characters, fine: see below */, };
    struct fault why = { 0 };
    for (size_t i = 0; i < COUNT(refused) - 1; i++)
        assert_int_equal(password_acceptable(str_of(refused[i]), STR(""), &why), ERR_FIELD_INVALID);
    assert_non_null(strstr(why.subject, "12"));
    assert_int_equal(password_acceptable(str_of(refused[3]), STR(""), NULL), ERR_NONE);
    assert_int_equal(password_acceptable(STR("éééééééé1234"), STR(""), NULL), ERR_NONE);
    assert_int_equal(password_acceptable(STR("ééééé123456"), STR(""), NULL), ERR_FIELD_INVALID); /* 11 characters in 16 bytes */

    assert_int_equal(password_acceptable(STR("Password1234"), STR(""), &why), ERR_FIELD_INVALID);
    assert_int_equal(password_acceptable(STR("motdepasse123"), STR(""), NULL), ERR_FIELD_INVALID);
    assert_int_equal(password_acceptable(STR("aaaaaaaaaaaaaa"), STR(""), NULL), ERR_FIELD_INVALID);
    assert_int_equal(password_acceptable(STR("abABabABabABab"), STR(""), NULL), ERR_FIELD_INVALID);
    assert_int_equal(password_acceptable(STR("bad utf8 \xff here"), STR(""), NULL), ERR_FIELD_INVALID);
    char longest[1025];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = (char)('a' + i * i % 23);
    assert_int_equal(password_acceptable((struct str){ longest, 1024 }, STR(""), NULL), ERR_NONE);
    assert_int_equal(password_acceptable((struct str){ longest, 1025 }, STR(""), NULL), ERR_FIELD_INVALID);
    assert_int_equal(password_acceptable(STR("pelican under gravel"), STR(""), NULL), ERR_NONE);
    assert_null(strstr(why.subject, "assword1234"));
}

static void what_others_would_try_first_is_refused_in_every_dress(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "P@ssw0rd1234!", "passwordpassword", "Qwertyuiop12", "azertyuiop123", "1qaz2wsx3edc4rfv", "abcdefghijkl", "987654321098",
        "Summer2024!!!", "marie2024dupont", "exampleexample", "Raccord12345", "xkcdxkcdxkcd", "correcthorsebatterystaple",
        "Bienvenue2025!", "motdepasse2023", "1q2w3e4r5t6y", "zzzzzzzzzzzzzzzz",
    };
    static const char *const good[] = {
        "four plain words here", "correct horse battery staple", "wk7-Lantern-ob", "le chat mange des mots", "g8Vt!qz0PmXw",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        if (!password_acceptable(str_of(bad[i]), STR("Marie.Dupont@example.com"), NULL))
            fail_msg("%s is taken", bad[i]);
    for (size_t i = 0; i < COUNT(good); i++)
        if (password_acceptable(str_of(good[i]), STR("Marie.Dupont@example.com"), NULL))
            fail_msg("%s is refused", good[i]);
}

static void a_lower_cost_is_raised_and_hashes_of_another_cost_are_stale(void **state)
{
    struct arena *a = *state;
    struct str cheap, dear;
    assert_int_equal(password_hash(a, STR("canary battery staple"), &dear, NULL), ERR_NONE);
    password_cost(1024, 1);
    assert_int_equal(password_hash(a, STR("canary battery staple"), &cheap, NULL), ERR_NONE);
    assert_true(str_starts(cheap, STR("$argon2id$v=19$m=19456,t=2,p=1$")));
    assert_true(password_stale(dear) && !password_stale(cheap));
    assert_true(password_check(dear, STR("canary battery staple"))); /* it still opens */
    verified = 0;
    password_check_nobody(STR("x"));
    assert_int_equal(verified, 1);
    assert_int_equal(crypto_pwhash_str_needs_rehash(verified_against, 2, 19 * 1024 * 1024), 0);
    password_cost(64 * 1024 * 1024, 3);
    assert_true(password_stale(cheap) && !password_stale(dear));
}

/* RFC 4226 appendix D, RFC 6238 appendix B (the last six of its eight digits). */
static void one_time_codes_are_those_of_the_rfcs(void **state)
{
    (void)state;
    static const uint32_t hotps[] = { 755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489 };
    static const struct { int64_t s; const char *code; } totps[] = {
        { 59, "287082" }, { 1111111109, "081804" }, { 1111111111, "050471" }, { 1234567890, "005924" }, { 2000000000, "279037" },
        { 20000000000, "353130" },
    };
    struct str key = STR("12345678901234567890");
    for (uint64_t i = 0; i < COUNT(hotps); i++)
        assert_int_equal(hotp(key, i), hotps[i]);
    for (size_t i = 0; i < COUNT(totps); i++) {
        wall_ms at = totps[i].s * 1000;
        struct str code = str_of(totps[i].code);
        assert_int_equal(totp_match(key, code, at), at / 30000);
        assert_int_equal(totp_match(key, code, at + 30000), at / 30000); /* one step late, one step early */
        assert_int_equal(totp_match(key, code, at - 30000), at / 30000);
        assert_int_equal(totp_match(key, code, at + 60000), 0);
        if (at > 60000)
            assert_int_equal(totp_match(key, code, at - 60000), 0);
    }
    static const char *const none[] = { "", "28708", "2870821", "28708x", "000000", "-87082" };
    for (size_t i = 0; i < COUNT(none); i++)
        assert_int_equal(totp_match(key, str_of(none[i]), 59000), 0);
    assert_int_equal(totp_match(key, STR("287 082"), 59000), 1);
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
        TEST(digests_are_the_published_ones),
        TEST(long_texts_have_the_same_digests),
        TEST(every_byte_counts_in_a_comparison),
        TEST(random_bytes_fill_all_that_was_asked),
        TEST(random_text_uses_all_of_base32_and_nothing_else),
        TEST(ids_of_one_thread_only_grow),
        TEST(an_id_tells_its_age),
        TEST(threads_make_no_id_twice),
        TEST(a_password_is_known_by_its_hash_only),
        TEST(a_broken_hash_lets_nobody_in),
        TEST(an_unknown_user_costs_what_a_known_one_does),
        TEST(no_more_than_two_passwords_are_hashed_at_once),
        TEST(weak_passwords_are_refused_with_a_reason),
        TEST(what_others_would_try_first_is_refused_in_every_dress),
        TEST(a_lower_cost_is_raised_and_hashes_of_another_cost_are_stale),
        TEST(one_time_codes_are_those_of_the_rfcs),
    };
    return cmocka_run_group_tests_name("crypto/hash", tests, NULL, NULL);
}
