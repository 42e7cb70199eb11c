/* Tokens that others signed: the RFCs' own, and all that must not pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "base/encode.h"
#include "crypto/jwt.h"

#define CLAIMS "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

/* RFC 7515 A.2 */
#define A2_KEY                                                                                                                     \
    "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"                \
    "4qPCJrcS2mJPMEzP1Pt0B"                                                                                                        \
    "m4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"          \
    "UTo7WTBEMa2"                                                                                                                  \
    "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"                                             \
    "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}"
#define A2_TOKEN                                                                                                                   \
    "eyJhbGciOiJSUzI1NiJ9." CLAIMS                                                                                                 \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj"                             \
    "Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--" \
    "xi1"                                                                                                                          \
    "2jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"

/* RFC 7515 A.3 */
#define A3_KEY \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define A3_TOKEN \
    "eyJhbGciOiJFUzI1NiJ9." CLAIMS ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

/* RFC 7515 A.1, with the HMAC that is right for its key */
#define A1_TOKEN "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
/* RFC 7515 A.5 */
#define A5_TOKEN "eyJhbGciOiJub25lIn0." CLAIMS "."

/* RFC 7515 A.4 and RFC 8037 A.4 sign what is no JSON: their bytes are verified without being read as claims. */
#define A4_KEY                                                                                                                     \
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_"                           \
    "NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\","                                                                                          \
    "\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}"
#define A4_SIGNATURE                                                                                                               \
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_"                                         \
    "7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEH"                                                                               \
    "wJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
#define ED_KEY "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define ED_SIGNATURE "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

static struct jwk_set *keys(struct arena *a, const char *jwks)
{
    struct jwk_set *s;
    struct fault why;
    assert_int_equal(jwk_set_read(str_fmt(a, "{\"keys\":[%s]}", jwks), &s, &why), ERR_NONE);
    arena_defer(a, (void (*)(void *))jwk_set_free, s);
    return s;
}

static enum err verify(struct arena *a, const char *token, const char *jwks, struct fault *why)
{
    struct jwt t;
    enum err e = jwt_read(a, str_of(token), &t, why);
    return e ? e : jwt_verify(&t, keys(a, jwks), why);
}

static void refused(struct arena *a, const char *token, const char *jwks, const char *reason)
{
    struct fault why = { 0 };
    assert_int_equal(verify(a, token, jwks, &why), ERR_TOKEN_INVALID);
    assert_string_equal(why.subject, reason);
}

static void accepted(struct arena *a, const char *token, const char *jwks)
{
    struct fault why = { 0 };
    enum err e = verify(a, token, jwks, &why);
    if (e)
        fail_msg("refused: %s (%s)", why.subject, why.note);
}

static void the_tokens_of_rfc_7515_verify(void **state)
{
    accepted(*state, A2_TOKEN, A2_KEY);
    accepted(*state, A3_TOKEN, A3_KEY);
}

static bool bytes_verify(struct arena *a, const char *algorithm, const char *input, const char *signature, const char *jwks)
{
    struct jwt t = { .algorithm = str_of(algorithm), .signing_input = str_of(input) };
    assert_true(base64_decode(a, str_of(signature), BASE64_URL, &t.signature));
    return jwt_verify(&t, keys(a, jwks), NULL) == ERR_NONE;
}

static void es512_and_ed25519_of_the_rfcs_verify(void **state)
{
    assert_true(bytes_verify(*state, "ES512", "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA", A4_SIGNATURE, A4_KEY));
    assert_true(bytes_verify(*state, "EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", ED_SIGNATURE, ED_KEY));
    assert_false(bytes_verify(*state, "EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd", ED_SIGNATURE, ED_KEY));
}

static void a_token_with_any_bit_changed_does_not_verify(void **state)
{
    struct arena *a = *state;
    for (size_t at = sizeof "eyJhbGciOiJFUzI1NiJ9."; at < sizeof A3_TOKEN - 2; at += 7) {
        char changed[] = A3_TOKEN;
        struct fault why;
        changed[at] = changed[at] == 'A' ? 'B' : 'A';
        if (strcmp(changed, A3_TOKEN) != 0)
            assert_int_equal(verify(a, changed, A3_KEY, &why), ERR_TOKEN_INVALID);
    }
}

static void none_and_hmac_are_refused_whatever_the_keys(void **state)
{
    refused(*state, A1_TOKEN, A2_KEY, "algorithm not accepted");
    refused(*state, A5_TOKEN "AA", A2_KEY, "algorithm not accepted");
    refused(*state, A5_TOKEN, A2_KEY, "malformed");
    /* The key of A.1 as a JSON web key: there is no such thing as a symmetric key here. */
    refused(*state, A1_TOKEN,
            "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}",
            "algorithm not accepted");
}

static void a_key_verifies_only_the_algorithms_of_its_type(void **state)
{
    refused(*state, A2_TOKEN, A3_KEY, "signed with an unknown key");
    refused(*state, A3_TOKEN, A2_KEY, "signed with an unknown key");
    refused(*state, A3_TOKEN, A4_KEY, "signed with an unknown key");
}

/* The JWK with one more member. */
static const char *with(struct arena *a, const char *jwk, const char *member) { return str_fmt(a, "{%s,%s", member, jwk + 1).p; }

static void a_key_says_what_it_is_for(void **state)
{
    struct arena *a = *state;
    accepted(a, A2_TOKEN, with(a, A2_KEY, "\"alg\":\"RS256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]"));
    refused(a, A2_TOKEN, with(a, A2_KEY, "\"alg\":\"PS256\""), "signed with an unknown key");
    refused(a, A2_TOKEN, with(a, A2_KEY, "\"alg\":\"RS512\""), "signed with an unknown key");
    refused(a, A2_TOKEN, with(a, A2_KEY, "\"alg\":\"RSA-OAEP\""), "signed with an unknown key");
    refused(a, A2_TOKEN, with(a, A2_KEY, "\"use\":\"enc\""), "signed with an unknown key");
    refused(a, A2_TOKEN, with(a, A2_KEY, "\"key_ops\":[\"encrypt\"]"), "signed with an unknown key");
}

/* ---- tokens made here ---- */

static EVP_PKEY *new_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    assert_non_null(key);
    return key;
}

static const char *rsa_jwk(struct arena *a, EVP_PKEY *key, const char *more)
{
    BIGNUM *n = NULL;
    unsigned char bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    size_t size = (size_t)BN_bn2bin(n, bytes);
    BN_free(n);
    struct str text = base64_encode(a, (struct str){ (const char *)bytes, size }, BASE64_URL);
    return str_fmt(a, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%.*s\"%s}", STR_ARG(text), more).p;
}

static const char *made(struct arena *a, EVP_PKEY *key, const char *digest, int salt, const char *header, const char *claims)
{
    struct str input = str_fmt(a, "%.*s.%.*s", STR_ARG(base64_encode(a, str_of(header), BASE64_URL)),
                               STR_ARG(base64_encode(a, str_of(claims), BASE64_URL)));
    unsigned char signature[1024];
    size_t n = sizeof signature;
    EVP_PKEY_CTX *details;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(context, &details, digest, NULL, NULL, key, NULL), 1);
    if (salt) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(details, salt), 1);
    }
    assert_int_equal(EVP_DigestSign(context, signature, &n, (const unsigned char *)input.p, input.n), 1);
    EVP_MD_CTX_free(context);
    return str_fmt(a, "%.*s.%.*s", STR_ARG(input), STR_ARG(base64_encode(a, (struct str){ (char *)signature, n }, BASE64_URL))).p;
}

static void every_rsa_algorithm_verifies_and_pss_salts_are_as_long_as_the_digest(void **state)
{
    static const struct { const char *name, *digest; int salt; } all[] = {
        { "RS256", "SHA256", 0 }, { "RS384", "SHA384", 0 }, { "RS512", "SHA512", 0 },
        { "PS256", "SHA256", 32 }, { "PS384", "SHA384", 48 }, { "PS512", "SHA512", 64 },
    };
    struct arena *a = *state;
    EVP_PKEY *key = new_rsa(2048);
    const char *jwk = rsa_jwk(a, key, "");
    for (size_t i = 0; i < COUNT(all); i++) {
        const char *header = str_fmt(a, "{\"alg\":\"%s\"}", all[i].name).p;
        accepted(a, made(a, key, all[i].digest, all[i].salt, header, "{}"), jwk);
    }
    refused(a, made(a, key, "SHA256", 20, "{\"alg\":\"PS256\"}", "{}"), jwk, "signature does not verify");
    refused(a, made(a, key, "SHA256", 0, "{\"alg\":\"RS384\"}", "{}"), jwk, "signature does not verify");
    EVP_PKEY_free(key);
}

static void an_rsa_key_below_2048_bits_is_passed_over(void **state)
{
    struct arena *a = *state;
    EVP_PKEY *key = new_rsa(1024);
    refused(a, made(a, key, "SHA256", 0, "{\"alg\":\"RS256\"}", "{}"), rsa_jwk(a, key, ""), "signed with an unknown key");
    EVP_PKEY_free(key);
}

static void the_kid_picks_the_key_and_a_token_without_one_tries_them_all(void **state)
{
    struct arena *a = *state;
    EVP_PKEY *first = new_rsa(2048), *second = new_rsa(2048);
    const char *set =
        str_fmt(a, "%s,%s,%s", ED_KEY, rsa_jwk(a, first, ",\"kid\":\"one\""), rsa_jwk(a, second, ",\"kid\":\"two\"")).p;
    accepted(a, made(a, second, "SHA256", 0, "{\"alg\":\"RS256\",\"kid\":\"two\"}", "{}"), set);
    accepted(a, made(a, second, "SHA256", 0, "{\"alg\":\"RS256\"}", "{}"), set);
    refused(a, made(a, second, "SHA256", 0, "{\"alg\":\"RS256\",\"kid\":\"one\"}", "{}"), set, "signature does not verify");
    refused(a, made(a, second, "SHA256", 0, "{\"alg\":\"RS256\",\"kid\":\"three\"}", "{}"), set, "signed with an unknown key");
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
}

static void what_the_header_says_about_keys_is_not_used(void **state)
{
    struct arena *a = *state;
    EVP_PKEY *mine = new_rsa(2048);
    const char *header = str_fmt(a, "{\"alg\":\"RS256\",\"jwk\":%s,\"jku\":\"https://evil.example\"}", rsa_jwk(a, mine, "")).p;
    refused(a, made(a, mine, "SHA256", 0, header, "{}"), A2_KEY, "signature does not verify");
    EVP_PKEY_free(mine);
}

static void headers_that_are_not_understood_are_refused(void **state)
{
    struct arena *a = *state;
    static const struct { const char *header, *reason; } bad[] = {
        { "{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}", "extensions that are not understood" },
        { "{\"alg\":\"RS256\",\"crit\":[]}", "extensions that are not understood" },
        { "{\"alg\":\"RS256\",\"zip\":\"DEF\"}", "extensions that are not understood" },
        { "{\"alg\":\"RS256\",\"alg\":\"none\"}", "malformed" },
        { "{\"alg\":\"RS256\",\"kid\":7}", "malformed" },
        { "[\"RS256\"]", "malformed" },
        { "{\"alg\":\"rs256\"}", "algorithm not accepted" },
        { "{\"alg\":\"none\"}", "algorithm not accepted" },
        { "{\"alg\":\"NONE\"}", "algorithm not accepted" },
        { "{\"alg\":null}", "algorithm not accepted" },
        { "{}", "algorithm not accepted" },
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct str token = str_fmt(a, "%.*s.e30.AAAA", STR_ARG(base64_encode(a, str_of(bad[i].header), BASE64_URL)));
        refused(a, token.p, A2_KEY, bad[i].reason);
    }
}

static void what_is_no_compact_token_is_malformed(void **state)
{
    static const char *const bad[] = { "",
                                       ".",
                                       "..",
                                       "a.b",
                                       "e30.e30.",
                                       ".e30.AA",
                                       "e30..AA",
                                       "e30.e30.AA.AA",
                                       "eyJhbGciOiJSUzI1NiJ9.e30.A=",
                                       "e30 .e30.AA",
                                       "eyJhbGciOiJSUzI1NiJ9.W10.AA",
                                       "eyJhbGciOiJSUzI1NiJ9.bnVsbA.AA" };
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(*state, bad[i], A2_KEY, "malformed");
    char *huge = arena_alloc(*state, JWT_MAX + 2);
    memset(huge, 'a', JWT_MAX + 1);
    huge[JWT_MAX + 1] = 0;
    refused(*state, huge, A2_KEY, "malformed");
    assert_false(jwt_looks_like(STR("rcd_aaaa")));
    assert_false(jwt_looks_like(STR("eyJhbGciOiJSUzI1NiJ9.e30")));
    assert_true(jwt_looks_like(STR(A3_TOKEN)));
}

static void a_set_with_strange_keys_keeps_the_others(void **state)
{
    struct arena *a = *state;
    static const char strange[] =
        "7,null,{},{\"kty\":\"EC\"},{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"},"
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"},{\"kty\":\"oct\",\"k\":\"AAAA\"},"
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"}";
    struct jwk_set *s = keys(a, str_fmt(a, "%s,%s", strange, A3_KEY).p);
    assert_int_equal(jwk_set_count(s), 1);
    /* A point that is not on its curve is no key. */
    struct jwk_set *off = keys(a, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"}");
    assert_int_equal(jwk_set_count(off), 0);
    struct jwk_set *none;
    struct fault why;
    assert_int_equal(jwk_set_read(STR("[]"), &none, &why), ERR_UPSTREAM_INVALID);
    assert_int_equal(jwk_set_read(STR("<html>"), &none, &why), ERR_UPSTREAM_INVALID);
}

/* ---- claims ---- */

#define NOW 1700000000

static enum err check(struct arena *a, const char *claims, struct jwt_expected x, struct fault *why)
{
    struct json *v;
    wall_ms expires;
    assert_int_equal(json_read(a, str_of(claims), &v, why), ERR_NONE);
    x.now = INT64_C(1000) * NOW;
    return jwt_check(v, &x, &expires, why);
}

static void dates_have_a_minute_of_leeway_and_no_more(void **state)
{
    static const struct { const char *claims; enum err e; } cases[] = {
        { "{\"exp\":1700000001}", ERR_NONE },
        { "{\"exp\":1699999941}", ERR_NONE },
        { "{\"exp\":1699999940}", ERR_TOKEN_EXPIRED },
        { "{\"exp\":1699999940.9}", ERR_TOKEN_EXPIRED },
        { "{\"exp\":1700000001,\"nbf\":1700000060}", ERR_NONE },
        { "{\"exp\":1700000001,\"nbf\":1700000061}", ERR_TOKEN_INVALID },
        { "{\"exp\":1700000001,\"iat\":1700000061}", ERR_TOKEN_INVALID },
        { "{}", ERR_TOKEN_INVALID },
        { "{\"exp\":\"1700000001\"}", ERR_TOKEN_INVALID },
        { "{\"exp\":-1}", ERR_TOKEN_INVALID },
        { "{\"exp\":1e99}", ERR_TOKEN_INVALID },
        { "{\"exp\":99999999999999999999}", ERR_TOKEN_INVALID },
        { "{\"exp\":1700000001,\"nbf\":true}", ERR_TOKEN_INVALID },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault why = { 0 };
        if (check(*state, cases[i].claims, (struct jwt_expected){ 0 }, &why) != cases[i].e)
            fail_msg("%s: %s", cases[i].claims, why.note);
    }
}

static void issuer_audience_party_and_nonce_are_compared_exactly(void **state)
{
    struct jwt_expected x = {
        .issuer = STR("https://i"), .audience = STR("hub"), .authorized_party = STR("hub"), .nonce = STR("n1")
    };
    static const struct { const char *more; bool good; } cases[] = {
        { "\"iss\":\"https://i\",\"aud\":\"hub\",\"nonce\":\"n1\"", true },
        { "\"iss\":\"https://i\",\"aud\":[\"hub\"],\"nonce\":\"n1\"", true },
        { "\"iss\":\"https://i\",\"aud\":[\"x\",\"hub\"],\"azp\":\"hub\",\"nonce\":\"n1\"", true },
        { "\"iss\":\"https://i\",\"aud\":[\"x\",\"hub\"],\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":\"hub\",\"azp\":\"x\",\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":\"hub\",\"azp\":7,\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i/\",\"aud\":\"hub\",\"nonce\":\"n1\"", false },
        { "\"aud\":\"hub\",\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":\"hubs\",\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":[],\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":{\"hub\":1},\"nonce\":\"n1\"", false },
        { "\"iss\":\"https://i\",\"aud\":\"hub\",\"nonce\":\"n2\"", false },
        { "\"iss\":\"https://i\",\"aud\":\"hub\"", false },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fault why = { 0 };
        const char *claims = str_fmt(*state, "{\"exp\":1700000100,%s}", cases[i].more).p;
        if ((check(*state, claims, x, &why) == ERR_NONE) != cases[i].good)
            fail_msg("%s: %s", claims, why.note);
    }
}

static void a_token_that_lives_longer_than_allowed_is_refused(void **state)
{
    struct jwt_expected x = { .lifetime_max_s = 600 };
    struct fault why;
    assert_int_equal(check(*state, "{\"iat\":1699999900,\"exp\":1700000500}", x, &why), ERR_NONE);
    assert_int_equal(check(*state, "{\"iat\":1699999900,\"exp\":1700000501}", x, &why), ERR_TOKEN_INVALID);
    assert_int_equal(check(*state, "{\"exp\":1700000500}", x, &why), ERR_TOKEN_INVALID);
}

static void a_claim_is_found_by_name_or_by_pointer(void **state)
{
    struct arena *a = *state;
    struct json *v;
    struct fault why;
    assert_int_equal(json_read(a, STR("{\"a/b\":\"name\",\"a\":{\"b\":[\"x\",7,true],\"c~d\":\"t\"},\"n\":1.50}"), &v, &why),
                     ERR_NONE);
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("a/b")), STR("name")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a/b")), STR("x")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a/b")), STR("7")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a/b")), STR("true")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a/c~0d")), STR("t")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a~1b")), STR("name")));
    assert_false(jwt_claim_is(jwt_claim(a, v, STR("n")), STR("1.5")));
    assert_false(jwt_claim_is(jwt_claim(a, v, STR("/a")), STR("x")));
    assert_true(jwt_claim_is(jwt_claim(a, v, STR("/a/b/0")), STR("x")));
    assert_null(jwt_claim(a, v, STR("none")));
}

static int with_arena(void **state)
{
    *state = arena_new(64 * 1024);
    return 0;
}

static int without(void **state)
{
    arena_free(*state);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, with_arena, without)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_tokens_of_rfc_7515_verify),
        T(es512_and_ed25519_of_the_rfcs_verify),
        T(a_token_with_any_bit_changed_does_not_verify),
        T(none_and_hmac_are_refused_whatever_the_keys),
        T(a_key_verifies_only_the_algorithms_of_its_type),
        T(a_key_says_what_it_is_for),
        T(every_rsa_algorithm_verifies_and_pss_salts_are_as_long_as_the_digest),
        T(an_rsa_key_below_2048_bits_is_passed_over),
        T(the_kid_picks_the_key_and_a_token_without_one_tries_them_all),
        T(what_the_header_says_about_keys_is_not_used),
        T(headers_that_are_not_understood_are_refused),
        T(what_is_no_compact_token_is_malformed),
        T(a_set_with_strange_keys_keeps_the_others),
        T(dates_have_a_minute_of_leeway_and_no_more),
        T(issuer_audience_party_and_nonce_are_compared_exactly),
        T(a_token_that_lives_longer_than_allowed_is_refused),
        T(a_claim_is_found_by_name_or_by_pointer),
    };
    return cmocka_run_group_tests_name("crypto/jwt", tests, NULL, NULL);
}
