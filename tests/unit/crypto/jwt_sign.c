/* Tokens that we sign, against the RFCs' own examples and against our own reader. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/encode.h"
#include "crypto/jwt.h"
#include "crypto/jwt_sign.h"
#include "crypto/private_key.h"

#define CLAIMS STR("{\"iss\":\"joe\",\"exp\":1300819380}")

static struct secret pem_of(EVP_PKEY *key)
{
    char *p;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_non_null(key);
    assert_true(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    long n = BIO_get_mem_data(bio, &p);
    struct secret pem = secret_from((struct str){ p, (size_t)n });
    BIO_free(bio);
    EVP_PKEY_free(key);
    return pem;
}

/* RFC 7515 A.1: the header and payload with their line ends, and the key. */
static void rfc_7515_a1_is_signed_as_it_stands_there(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    struct jwt_key *k;
    struct str bytes;
    assert_true(base64_decode(a, STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"),
                              BASE64_URL, &bytes));
    AUTO_SECRET key = secret_from(bytes), token = SECRET_NONE;
    assert_int_equal(jwt_key_open(STR("HS256"), key, &k, &why), ERR_NONE);
    assert_int_equal(jws_sign(k, STR("{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}"),
                              STR("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"), &token,
                              &why),
                     ERR_NONE);
    assert_true(str_is(secret_str(token), "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiL"
                                          "A0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA"
                                          "6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert_null(jwt_key_public(k, a).p);
    jwt_key_free(k);
}

/* RFC 8037 A.1 to A.4. */
static void rfc_8037_a4_is_signed_as_it_stands_there(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    struct jwt_key *k;
    struct str d;
    assert_true(base64_decode(a, STR("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"), BASE64_URL, &d));
    AUTO_SECRET key = pem_of(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)d.p, d.n));
    AUTO_SECRET token = SECRET_NONE;
    assert_int_equal(jwt_key_open(STR("EdDSA"), key, &k, &why), ERR_NONE);
    assert_int_equal(jws_sign(k, STR("{\"alg\":\"EdDSA\"}"), STR("Example of Ed25519 signing"), &token, &why), ERR_NONE);
    assert_true(str_is(secret_str(token), "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.h"
                                          "gyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AI"
                                          "bQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));
    struct str jwk = jwt_key_public(k, a);
    assert_true(str_is(jwk, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"));
    assert_true(str_is(jwt_thumbprint(a, jwk), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
    jwt_key_free(k);
}

/* RFC 7638 3.1 */
static void a_keys_thumbprint_is_that_of_rfc_7638(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    assert_true(str_is(jwt_thumbprint(a, STR("{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuu"
                                             "PiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAA"
                                             "tVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjh"
                                             "Mstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w"
                                             "6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c"
                                             "7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNL"
                                             "yrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniI"
                                             "qbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}")),
                       "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
}

static void every_signature_verifies_with_the_public_half(void **state)
{
    (void)state;
    static const struct { const char *algorithm, *kind, *curve; } rows[] = {
        { "RS256", "RSA", NULL }, { "RS384", "RSA", NULL },  { "RS512", "RSA", NULL },  { "PS256", "RSA", NULL },
        { "PS384", "RSA", NULL }, { "ES256", "EC", "P-256" }, { "ES384", "EC", "P-384" }, { "ES512", "EC", "P-521" },
        { "EdDSA", "ED25519", NULL },
    };
    AUTO_SECRET rsa = pem_of(EVP_RSA_gen(2048));
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(8192);
        struct fault why = { 0 };
        struct jwt_key *k;
        struct jwk_set *set;
        struct jwt t;
        AUTO_SECRET key = rows[i].curve                          ? pem_of(EVP_EC_gen(rows[i].curve))
                          : strcmp(rows[i].kind, "RSA") == 0 ? secret_copy(rsa)
                                                                 : pem_of(EVP_PKEY_Q_keygen(NULL, NULL, rows[i].kind));
        AUTO_SECRET token = SECRET_NONE;
        assert_int_equal(jwt_key_open(str_of(rows[i].algorithm), key, &k, &why), ERR_NONE);
        struct jwt_head head = { .type = STR("JWT"), .kid = STR("k\"1"), .x5t_s256 = STR("abc") };
        assert_int_equal(jwt_sign(k, &head, CLAIMS, &token, &why), ERR_NONE);

        struct str jwk = jwt_key_public(k, a);
        struct str keys = str_fmt(a, "{\"keys\":[%.*s,\"kid\":\"k\\\"1\"}]}", (int)jwk.n - 1, jwk.p);
        assert_int_equal(jwk_set_read(keys, &set, &why), ERR_NONE);
        assert_int_equal(jwk_set_count(set), 1);
        assert_int_equal(jwt_read(a, secret_str(token), &t, &why), ERR_NONE);
        assert_true(str_is(t.algorithm, rows[i].algorithm));
        assert_true(str_is(t.kid, "k\"1"));
        assert_int_equal(jwt_verify(&t, set, &why), ERR_NONE);
        jwk_set_free(set);
        jwt_key_free(k);
    }
}

static void a_header_holds_what_is_given_and_no_more(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct fault why;
    struct jwt_key *k;
    struct str head;
    AUTO_SECRET key = secret_from(STR("0123456789abcdef0123456789abcdef")), token = SECRET_NONE, again = SECRET_NONE;
    assert_int_equal(jwt_key_open(STR("HS512"), key, &k, &why), ERR_NONE);
    assert_int_equal(jwt_sign(k, &(struct jwt_head){ 0 }, CLAIMS, &token, &why), ERR_NONE);
    size_t dot = str_find(secret_str(token), '.');
    assert_true(base64_decode(a, str_sub(secret_str(token), 0, dot), BASE64_URL, &head));
    assert_true(str_is(head, "{\"alg\":\"HS512\"}"));
    struct jwt_head full = { .type = STR("dpop+jwt"), .x5t_s256 = STR("t"), .jwk = STR("{\"kty\":\"EC\"}") };
    assert_int_equal(jwt_sign(k, &full, CLAIMS, &again, &why), ERR_NONE);
    dot = str_find(secret_str(again), '.');
    assert_true(base64_decode(a, str_sub(secret_str(again), 0, dot), BASE64_URL, &head));
    assert_true(str_is(head, "{\"alg\":\"HS512\",\"typ\":\"dpop+jwt\",\"x5t#S256\":\"t\",\"jwk\":{\"kty\":\"EC\"}}"));
    jwt_key_free(k);
}

static void a_key_says_its_algorithm_when_nobody_else_does(void **state)
{
    (void)state;
    static const struct { const char *kind, *curve, *head; } rows[] = {
        { "RSA", NULL, "{\"alg\":\"RS256\"}" }, { "EC", "P-256", "{\"alg\":\"ES256\"}" }, { "EC", "P-384", "{\"alg\":\"ES384\"}" },
        { "EC", "P-521", "{\"alg\":\"ES512\"}" }, { "ED25519", NULL, "{\"alg\":\"EdDSA\"}" }, { "EC", "secp256k1", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        AUTO_ARENA a = arena_new(8192);
        struct fault why = { 0 };
        struct jwt_key *k;
        struct str head;
        AUTO_SECRET key = rows[i].curve                      ? pem_of(EVP_EC_gen(rows[i].curve))
                          : strcmp(rows[i].kind, "RSA") == 0 ? pem_of(EVP_RSA_gen(2048))
                                                             : pem_of(EVP_PKEY_Q_keygen(NULL, NULL, rows[i].kind));
        AUTO_SECRET token = SECRET_NONE;
        assert_int_equal(jwt_key_open(STR(""), key, &k, &why), rows[i].head ? ERR_NONE : ERR_FIELD_INVALID);
        if (!rows[i].head)
            continue;
        assert_int_equal(jwt_sign(k, &(struct jwt_head){ .type = STR_NONE }, CLAIMS, &token, &why), ERR_NONE);
        assert_true(base64_decode(a, str_sub(secret_str(token), 0, str_find(secret_str(token), '.')), BASE64_URL, &head));
        assert_true(str_starts(head, str_sub(str_of(rows[i].head), 0, strlen(rows[i].head) - 1)));
        jwt_key_free(k);
    }
}

static void an_algorithm_that_the_key_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = { "RS256", "PS256", "ES384", "EdDSA", "none", "HS1", "rs256" };
    AUTO_SECRET key = pem_of(EVP_EC_gen("P-256"));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fault why = { 0 };
        struct jwt_key *k;
        assert_int_equal(jwt_key_open(str_of(rows[i]), key, &k, &why), ERR_FIELD_INVALID);
        assert_null(k);
        assert_true(why.subject[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_7515_a1_is_signed_as_it_stands_there),
        cmocka_unit_test(rfc_8037_a4_is_signed_as_it_stands_there),
        cmocka_unit_test(a_keys_thumbprint_is_that_of_rfc_7638),
        cmocka_unit_test(every_signature_verifies_with_the_public_half),
        cmocka_unit_test(a_header_holds_what_is_given_and_no_more),
        cmocka_unit_test(a_key_says_its_algorithm_when_nobody_else_does),
        cmocka_unit_test(an_algorithm_that_the_key_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("crypto/jwt_sign", tests, NULL, NULL);
}
