/* Private keys in the shapes in which people paste them (CON-22). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "base/json.h"
#include "crypto/private_key.h"

static EVP_PKEY *rsa;

static int make_keys(void **state)
{
    (void)state;
    rsa = EVP_RSA_gen(2048);
    return rsa ? 0 : -1;
}

static int drop_keys(void **state)
{
    (void)state;
    EVP_PKEY_free(rsa);
    return 0;
}

static struct str taken(struct arena *a, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct str text = arena_str(a, (struct str){ p, (size_t)n });
    BIO_free(bio);
    return text;
}

static struct str pkcs8(struct arena *a, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    return taken(a, bio);
}

/* PKCS#1 or SEC1. */
static struct str traditional(struct arena *a, EVP_PKEY *key, const EVP_CIPHER *cipher)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PrivateKey_traditional(bio, key, cipher, (const unsigned char *)"pass", cipher ? 4 : 0, NULL, NULL));
    return taken(a, bio);
}

static struct str replaced(struct arena *a, struct str s, const char *with)
{
    AUTO_BUF out;
    buf_init(&out, 64 * 1024);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\n')
            buf_add(&out, str_of(with));
        else
            buf_char(&out, s.p[i]);
    return arena_str(a, buf_str(&out));
}

static struct str joined(struct arena *a, const char *before, struct str s, const char *after)
{
    return arena_join(a, arena_join(a, str_of(before), s), str_of(after));
}

/* It is read, and comes out as the PKCS#8 that OpenSSL writes. */
static void expect_key(struct arena *a, const char *shape, struct str pasted, EVP_PKEY *key)
{
    struct fault why = { 0 };
    AUTO_SECRET pem = SECRET_NONE;
    if (private_key_read(pasted, &pem, &why))
        fail_msg("%s: %s", shape, why.subject);
    if (!str_eq(secret_str(pem), pkcs8(a, key)))
        fail_msg("%s: another key came out", shape);
}

static void shapes_of(struct arena *a, struct str pem, EVP_PKEY *key)
{
    struct str one_line = replaced(a, pem, "\\n"), bare = replaced(a, pem, "");
    expect_key(a, "as it is", pem, key);
    expect_key(a, "with CRLF", replaced(a, pem, "\r\n"), key);
    expect_key(a, "with CR", replaced(a, pem, "\r"), key);
    expect_key(a, "with a written backslash-n", one_line, key);
    expect_key(a, "with a written \\r\\n", replaced(a, pem, "\\r\\n"), key);
    expect_key(a, "with doubled backslashes", replaced(a, pem, "\\\\n"), key);
    expect_key(a, "without line ends", bare, key);
    expect_key(a, "with blanks for line ends", replaced(a, pem, " "), key);
    expect_key(a, "with blank lines", replaced(a, pem, "\n\n"), key);
    expect_key(a, "indented", replaced(a, pem, "\n    "), key);
    expect_key(a, "in quotes", joined(a, "\"", one_line, "\""), key);
    expect_key(a, "in single quotes", joined(a, "'", pem, "'"), key);
    expect_key(a, "with the comma behind it", joined(a, "\"", one_line, "\","), key);
    expect_key(a, "with its name before it", joined(a, "  \"private_key\": \"", one_line, "\",\n  \"client_email\": \"a@b\""), key);
    expect_key(a, "with blanks around it", joined(a, " \n\t", pem, " \n\n"), key);
    expect_key(a, "in a JSON file",
               joined(a, "{\"type\":\"service_account\",\"private_key\":\"", one_line, "\",\"client_email\":\"a@b\"}"), key);
}

static void every_shape_of_an_rsa_key_is_read(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    shapes_of(a, pkcs8(a, rsa), rsa);
    shapes_of(a, traditional(a, rsa, NULL), rsa);
}

static void every_shape_of_a_curves_key_is_read(void **state)
{
    (void)state;
    static const char *const curves[] = { "P-256", "P-384", "P-521" };
    for (size_t i = 0; i < COUNT(curves); i++) {
        AUTO_ARENA a = arena_new(64 * 1024);
        EVP_PKEY *key = EVP_EC_gen(curves[i]);
        shapes_of(a, pkcs8(a, key), key);
        shapes_of(a, traditional(a, key, NULL), key);
        /* as `openssl ecparam -genkey` writes it */
        expect_key(a, "behind its parameters",
                   joined(a, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n",
                          traditional(a, key, NULL), ""),
                   key);
        EVP_PKEY_free(key);
    }
    AUTO_ARENA a = arena_new(64 * 1024);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    shapes_of(a, pkcs8(a, key), key);
    EVP_PKEY_free(key);
}

static void its_base64_alone_will_do(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str pem = pkcs8(a, rsa), head = STR("-----BEGIN PRIVATE KEY-----\n"), foot = STR("-----END PRIVATE KEY-----\n");
    struct str inner = str_sub(pem, head.n, pem.n - foot.n);
    expect_key(a, "bare", inner, rsa);
    expect_key(a, "bare, one line", replaced(a, inner, ""), rsa);
}

/* Escapes that writers of JSON put into base64. */
static void escapes_of_json_writers_are_undone(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str pem = pkcs8(a, rsa);
    AUTO_BUF out;
    buf_init(&out, 64 * 1024);
    for (size_t i = 0; i < pem.n; i++) {
        char c = pem.p[i];
        buf_add(&out, c == '\n'  ? STR("\\n")
                      : c == '/' ? STR("\\/")
                      : c == '=' ? STR("\\u003d")
                      : c == '+' ? STR("\\u002B")
                                 : str_sub(pem, i, i + 1));
    }
    expect_key(a, "escaped", buf_str(&out), rsa);
}

static void refused_for(struct str pasted, const char *word)
{
    struct fault why = { 0 };
    struct secret pem;
    assert_int_equal(private_key_read(pasted, &pem, &why), ERR_FIELD_INVALID);
    assert_null(pem.p);
    if (str_find_str(str_of(why.subject), str_of(word)) == SIZE_MAX)
        fail_msg("refused for “%s”, not for “%s”", why.subject, word);
    /* Nothing of the key in what is said: no run of base64 of more than a word's length. */
    for (const char *p = why.subject; *p; p++) {
        size_t run = strcspn(p, " ,.;:()-");
        assert_true(run < 24);
        p += run ? run - 1 : 0;
    }
    assert_true(strlen(why.note) < 60);
}

static void what_is_no_usable_private_key_is_refused_with_its_reason(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct fault why;
    struct secret none;
    struct str pem = pkcs8(a, rsa);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PKCS8PrivateKey(bio, rsa, EVP_aes_256_cbc(), "pass", 4, NULL, NULL));
    refused_for(taken(a, bio), "encrypted");
    refused_for(traditional(a, rsa, EVP_aes_256_cbc()), "encrypted");
    bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PUBKEY(bio, rsa));
    refused_for(taken(a, bio), "public key");
    refused_for(STR("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"), "certificate");
    refused_for(STR("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n-----END OPENSSH PRIVATE KEY-----\n"), "OpenSSH");
    refused_for(STR("-----BEGIN DSA PRIVATE KEY-----\nMIIB\n-----END DSA PRIVATE KEY-----\n"), "DSA");
    refused_for(STR("-----BEGIN SOMETHING-----\nMIIB\n-----END SOMETHING-----\n"), "unknown kind");
    refused_for(str_sub(pem, 0, pem.n / 2), "cut off");
    refused_for(joined(a, "", str_sub(pem, 0, pem.n / 2), "\n-----END PRIVATE KEY-----\n"), "damaged");
    refused_for(joined(a, "-----BEGIN PRIVATE KEY-----\n",
                       STR("MII\xe2\x80\xa6"
                           "QQ=="),
                       "\n-----END PRIVATE KEY-----\n"),
                "belong in no key");
    refused_for(STR("AKIAIOSFODNN7EXAMPLE"), "no private key");
    refused_for(STR("hunter2, of course"), "no private key");
    refused_for(STR("{\"type\":\"service_account\"}"), "no member private_key");
    refused_for(STR("{\"installed\":{\"client_id\":\"x\"}}"), "OAuth client");
    refused_for(STR("{\"kty\":\"RSA\",\"n\":\"x\"}"), "JSON web key");
    refused_for(joined(a, "{\"private_key\":\"", replaced(a, pem, "\\n"), ""), "not valid JSON");
    refused_for(STR("{\"private_key\":\"{}\"}"), "no member private_key");
    assert_int_equal(private_key_read(STR(" \n "), &none, &why), ERR_FIELD_REQUIRED);

    char *large = arena_zero(a, PRIVATE_KEY_MAX + 1);
    memset(large, 'A', PRIVATE_KEY_MAX + 1);
    refused_for((struct str){ large, PRIVATE_KEY_MAX + 1 }, "32 KiB");
}

static void keys_that_are_too_weak_or_of_another_kind_are_refused(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    EVP_PKEY *keys[] = { EVP_RSA_gen(1024), EVP_EC_gen("secp256k1"), EVP_PKEY_Q_keygen(NULL, NULL, "X25519") };
    static const char *const words[] = { "2048 bits", "curve", "is needed" };
    for (size_t i = 0; i < COUNT(keys); i++) {
        refused_for(pkcs8(a, keys[i]), words[i]);
        EVP_PKEY_free(keys[i]);
    }
}

/* Each letter of the base64, changed in turn: a key with one wrong letter is never taken for one. */
static void a_key_with_one_wrong_letter_is_refused(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct str pem = pkcs8(a, rsa);
    for (size_t i = 100; i < pem.n - 40; i += 7) {
        if (pem.p[i] == '\n')
            continue;
        char *copy = arena_cstr(a, pem);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        struct fault why = { 0 };
        AUTO_SECRET out = SECRET_NONE;
        if (!private_key_read((struct str){ copy, pem.n }, &out, &why))
            fail_msg("a wrong letter at %zu was taken", i);
    }
}

static void a_new_key_is_one_of_p256(void **state)
{
    (void)state;
    struct fault why;
    AUTO_SECRET pem = SECRET_NONE, other = SECRET_NONE, again = SECRET_NONE;
    assert_int_equal(private_key_new(&pem, &why), ERR_NONE);
    assert_int_equal(private_key_new(&other, &why), ERR_NONE);
    assert_false(secret_equal(pem, other));
    assert_int_equal(private_key_read(secret_str(pem), &again, &why), ERR_NONE);
    assert_true(secret_equal(pem, again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_of_an_rsa_key_is_read),
        cmocka_unit_test(every_shape_of_a_curves_key_is_read),
        cmocka_unit_test(its_base64_alone_will_do),
        cmocka_unit_test(escapes_of_json_writers_are_undone),
        cmocka_unit_test(what_is_no_usable_private_key_is_refused_with_its_reason),
        cmocka_unit_test(keys_that_are_too_weak_or_of_another_kind_are_refused),
        cmocka_unit_test(a_key_with_one_wrong_letter_is_refused),
        cmocka_unit_test(a_new_key_is_one_of_p256),
    };
    return cmocka_run_group_tests_name("crypto/private_key", tests, make_keys, drop_keys);
}
