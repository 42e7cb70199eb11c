/* Sealed values: what opens, and all that must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/seal.h"

/* "kept", sealed for "a|b" with the key 80 81 ... 9f as number 7 and the nonce 40 41 ... 57 */
#define LONG_AGO "0100000007404142434445464748494a4b4c4d4e4f5051525354555657" \
                 "9a6903806d25a8d6c53c57e78934c5fb7613c65e"

#define CANARY "canary-4f1d-of-a-secret"

static struct str unhex(struct arena *a, const char *text)
{
    struct str out;
    assert_true(hex_decode(a, str_of(text), &out));
    return out;
}

static struct secret test_key(unsigned char first)
{
    struct secret key = secret_new(SEAL_KEY);
    for (size_t i = 0; i < key.n; i++)
        key.p[i] = (unsigned char)(first + i);
    return key;
}

/* draft-irtf-cfrg-xchacha-03, A.3.1 */
static void the_cipher_is_xchacha20_poly1305(void **state)
{
    struct arena *a = *state;
    struct str plain =
        STR("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.");
    struct str key = unhex(a, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    struct str nonce = unhex(a, "404142434445464748494a4b4c4d4e4f5051525354555657");
    struct str ad = unhex(a, "50515253c0c1c2c3c4c5c6c7");
    struct str expected = unhex(a, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
                                   "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
                                   "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
                                   "21f9664c97637da9768812f615c68b13b52e"
                                   "c0875924c1c7987947deafd8780acf49");
    unsigned char made[256];
    unsigned long long n;
    crypto_aead_xchacha20poly1305_ietf_encrypt(made, &n, (const unsigned char *)plain.p, plain.n, (const unsigned char *)ad.p, ad.n,
                                               NULL, (const unsigned char *)nonce.p, (const unsigned char *)key.p);
    assert_int_equal(n, expected.n);
    assert_memory_equal(made, expected.p, expected.n);
}

/* The form of the header, taken apart by hand: what is stored today must open in ten years. */
static void the_sealed_form_is_the_documented_one(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(7);
    struct str sealed;
    seal(a, key, 0x01020304, STR("place"), STR(CANARY), &sealed);

    assert_int_equal(sealed.n, SEAL_OVERHEAD + strlen(CANARY));
    assert_memory_equal(sealed.p, "\x01\x01\x02\x03\x04", 5);
    const unsigned char *p = (const unsigned char *)sealed.p;
    unsigned char plain[64];
    unsigned long long n;
    assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &n, NULL, p + 29, sealed.n - 29,
                     (const unsigned char *)"\x01\x01\x02\x03\x04place", 10, p + 5, key.p), 0);
    assert_int_equal(n, strlen(CANARY));
    assert_memory_equal(plain, CANARY, strlen(CANARY));

    uint32_t id = 0;
    assert_true(seal_key_id(sealed, &id));
    assert_int_equal(id, 0x01020304);
}

static void a_value_sealed_long_ago_still_opens(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(0x80);
    struct str sealed = unhex(a, LONG_AGO);
    AUTO_SECRET out = SECRET_NONE;
    assert_int_equal(seal_open(key, STR("a|b"), sealed, &out, NULL), ERR_NONE);
    assert_true(str_is(secret_str(out), "kept"));
}

static void what_was_sealed_opens(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    static const size_t sizes[] = { 0, 1, 31, 32, 4096, 65536 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *plain = arena_alloc(a, sizes[i] + 1);
        memset(plain, 'x', sizes[i]);
        struct str sealed;
        seal(a, key, 1, STR_NONE, (struct str){ plain, sizes[i] }, &sealed);
        AUTO_SECRET out = SECRET_NONE;
        assert_int_equal(seal_open(key, STR_NONE, sealed, &out, NULL), ERR_NONE);
        assert_int_equal(out.n, sizes[i]);
        assert_memory_equal(out.p, plain, sizes[i]);
    }
}

static void must_not_open(struct secret key, struct str associated, struct str sealed)
{
    struct fault why = { 0 };
    struct secret out = SECRET_NONE;
    assert_int_equal(seal_open(key, associated, sealed, &out, &why), ERR_CRYPTO);
    assert_null(out.p);
    assert_null(strstr(why.subject, "canary"));
    assert_null(strstr(why.note, "canary"));
}

static void no_flipped_bit_goes_unseen(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    struct str sealed;
    seal(a, key, 1, STR("place"), STR(CANARY), &sealed);
    char *bytes = (char *)sealed.p;
    for (size_t i = 0; i < sealed.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (char)(1 << bit);
            must_not_open(key, STR("place"), sealed);
            bytes[i] ^= (char)(1 << bit);
        }
    AUTO_SECRET out = SECRET_NONE;
    assert_int_equal(seal_open(key, STR("place"), sealed, &out, NULL), ERR_NONE);
}

static void a_cut_or_lengthened_value_does_not_open(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    struct str sealed;
    seal(a, key, 1, STR("place"), STR(CANARY), &sealed);
    for (size_t n = 0; n < sealed.n; n++)
        must_not_open(key, STR("place"), arena_str(a, (struct str){ sealed.p, n }));
    for (size_t from = 1; from < sealed.n; from++)
        must_not_open(key, STR("place"), arena_str(a, str_sub(sealed, from, sealed.n)));
    must_not_open(key, STR("place"), arena_join(a, sealed, STR("\0")));
    must_not_open(key, STR("place"), arena_join(a, STR("\x01"), sealed));
}

static void a_value_opens_only_at_its_place_and_by_its_key(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    AUTO_SECRET other = test_key(2);
    struct str sealed;
    seal(a, key, 1, STR("row|1|field"), STR(CANARY), &sealed);
    must_not_open(other, STR("row|1|field"), sealed);
    must_not_open(key, STR("row|2|field"), sealed);
    must_not_open(key, STR("row|1|fiel"), sealed);
    must_not_open(key, STR("row|1|field "), sealed);
    must_not_open(key, STR_NONE, sealed);
}

static void clear_text_is_not_taken_for_a_sealed_value(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    uint32_t id;
    must_not_open(key, STR_NONE, STR("canary in clear, planted by someone who can write to the database"));
    must_not_open(key, STR_NONE, STR_NONE);
    assert_false(seal_key_id(STR("canary in clear, planted by someone who can write to the database"), &id));
    char *form_2 = arena_zero(a, 100);
    form_2[0] = 2;
    assert_false(seal_key_id((struct str){ form_2, 100 }, &id));
}

static void the_same_text_is_never_sealed_twice_alike(void **state)
{
    struct arena *a = *state;
    AUTO_SECRET key = test_key(1);
    enum { N = 1000 };
    static struct str all[N];
    for (int i = 0; i < N; i++)
        seal(a, key, 1, STR_NONE, STR("same"), &all[i]);
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++)
            assert_memory_not_equal(all[i].p + 5, all[j].p + 5, 24);
}

static int with_arena(void **state)
{
    *state = arena_new(256 * 1024);
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
        TEST(the_cipher_is_xchacha20_poly1305),
        TEST(the_sealed_form_is_the_documented_one),
        TEST(a_value_sealed_long_ago_still_opens),
        TEST(what_was_sealed_opens),
        TEST(no_flipped_bit_goes_unseen),
        TEST(a_cut_or_lengthened_value_does_not_open),
        TEST(a_value_opens_only_at_its_place_and_by_its_key),
        TEST(clear_text_is_not_taken_for_a_sealed_value),
        TEST(the_same_text_is_never_sealed_twice_alike),
    };
    return cmocka_run_group_tests_name("crypto/seal", tests, NULL, NULL);
}
