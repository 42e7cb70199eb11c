/* What is sent to a token endpoint: the parameters, and the client's proof of itself (requirements 9.1, 9.2, 9.7, 11.3). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "auth/dpop.h"
#include "auth/pkce.h"
#include "auth/token_request.h"
#include "base/encode.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "crypto/jwt.h"
#include "crypto/private_key.h"

#define NOW INT64_C(1790000000000)
#define URL "https://as.example.com/token"

struct trial {
    struct arena *a;
    struct oauth_profile p;
    struct token_request r;
    struct fault why;
};

static void begin(struct trial *t, enum client_auth how, const char *id, const char *secret)
{
    *t = (struct trial){ .a = arena_new(16 * 1024) };
    t->p = (struct oauth_profile){ .token_url = STR(URL), .client_id = str_of(id), .client_auth = how, .refresh_auth = how,
                                   .client_secret = secret ? secret_from(str_of(secret)) : SECRET_NONE, .scope_separator = ' ' };
}

static void end(struct trial *t)
{
    token_request_end(&t->r);
    secret_end(&t->p.client_secret);
    secret_end(&t->p.private_key);
    arena_free(t->a);
}

static const struct token_param grant[] = { { { "grant_type", 10 }, { "client_credentials", 18 } } };

static void build(struct trial *t, enum token_step step)
{
    token_request_end(&t->r);
    if (token_request_build(t->a, &t->p, STR(URL), step, grant, 1, SECRET_NONE, STR(""), NOW, &t->r, &t->why))
        fail_msg("refused: %s (%s)", t->why.subject, t->why.note);
}

static struct str header(const struct trial *t, const char *name)
{
    for (size_t i = 0; i < t->r.http.header_count; i++)
        if (str_ieq(t->r.http.headers[i][0], str_of(name)))
            return t->r.http.headers[i][1];
    return STR_NONE;
}

static void expect(struct trial *t, const char *body, const char *authorization)
{
    if (!str_is(t->r.http.body, body))
        fail_msg("body: %.*s", STR_ARG(t->r.http.body));
    if (authorization ? !str_is(header(t, "Authorization"), authorization) : header(t, "Authorization").p != NULL)
        fail_msg("Authorization: %.*s", STR_ARG(header(t, "Authorization")));
}

static void a_form_is_posted_and_json_is_wanted(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_NONE, "app", NULL);
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=client_credentials&client_id=app", NULL);
    assert_true(str_is(t.r.http.method, "POST"));
    assert_true(str_is(t.r.http.url, URL));
    assert_true(str_is(header(&t, "Accept"), "application/json"));
    assert_true(str_is(header(&t, "Content-Type"), "application/x-www-form-urlencoded"));
    assert_int_equal(t.r.http.response_max, 1024 * 1024);
    end(&t);
}

/* RFC 6749 2.3.1 */
static void basic_is_that_of_the_rfc_and_stands_alone(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_BASIC, "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw");
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=client_credentials", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
    end(&t);
    /* each form-encoded before they are joined */
    begin(&t, CLIENT_AUTH_BASIC, "a:b c", "s3cr:et/+ %\xc3\xa9");
    build(&t, TOKEN_FIRST);
    struct str pair = base64_encode(t.a, STR("a%3Ab%20c:s3cr%3Aet%2F%2B%20%25%C3%A9"), BASE64_STANDARD);
    expect(&t, "grant_type=client_credentials", arena_cstr(t.a, arena_join(t.a, STR("Basic "), pair)));
    end(&t);
}

static void the_secret_in_the_body_is_encoded_once(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_POST, "app", "s3cr:et/+ %&=~-._");
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=client_credentials&client_secret=s3cr%3Aet%2F%2B%20%25%26%3D~-._&client_id=app", NULL);
    end(&t);
}

static void a_certificate_speaks_for_the_client_of_tls(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_TLS, "app", "never sent");
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=client_credentials&client_id=app", NULL);
    end(&t);
}

static void another_proof_may_be_used_for_refreshing(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_BASIC, "app", "xyz");
    t.p.refresh_auth = CLIENT_AUTH_POST;
    build(&t, TOKEN_REFRESH);
    expect(&t, "grant_type=client_credentials&client_secret=xyz&client_id=app", NULL);
    end(&t);
}

static const struct json *object(struct trial *t, const char *text)
{
    struct json *v;
    assert_int_equal(json_read(t->a, str_of(text), &v, &t->why), ERR_NONE);
    return v;
}

static void what_the_profile_says_of_a_parameter_wins_and_each_comes_once(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_NONE, "app", NULL);
    t.p.token_parameters =
        object(&t, "{\"grant_type\":\"account_credentials\",\"account_id\":\"7\",\"client_id\":\"\",\"client_secret\":\"x\"}");
    t.p.refresh_parameters = object(&t, "{\"resource\":\"https://acme.crm.dynamics.com\"}");
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=account_credentials&account_id=7&client_id=app", NULL);
    build(&t, TOKEN_REFRESH);
    expect(&t, "grant_type=client_credentials&resource=https%3A%2F%2Facme.crm.dynamics.com&client_id=app", NULL);
    /* they are the token endpoint's, no other's */
    token_request_end(&t.r);
    assert_int_equal(token_request_build(t.a, &t.p, STR("https://as.example.com/revoke"), TOKEN_FIRST, grant, 1, SECRET_NONE,
                                         STR(""), NOW, &t.r, &t.why),
                     ERR_NONE);
    expect(&t, "grant_type=client_credentials&client_id=app", NULL);
    end(&t);
}

/* RFC 8707 2.2 */
static void resources_stand_in_each_token_request_and_a_map_that_names_one_says_otherwise(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_NONE, "app", NULL);
    t.p.resources = object(&t, "[\"https://a\",\"https://b\"]");
    t.p.refresh_parameters = object(&t, "{\"resource\":\"https://b\"}");
    build(&t, TOKEN_FIRST);
    expect(&t, "grant_type=client_credentials&resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb&client_id=app", NULL);
    build(&t, TOKEN_REFRESH);
    expect(&t, "grant_type=client_credentials&resource=https%3A%2F%2Fb&client_id=app", NULL);
    t.p.quirks.json_body = true;
    build(&t, TOKEN_FIRST);
    expect(&t, "{\"grant_type\":\"client_credentials\",\"resource\":[\"https://a\",\"https://b\"],\"client_id\":\"app\"}", NULL);
    end(&t);
}

static void a_parameter_that_the_profile_empties_is_left_out(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_NONE, "app", NULL);
    t.p.token_parameters = object(&t, "{\"grant_type\":\"\",\"x\":\"1\"}");
    build(&t, TOKEN_FIRST);
    expect(&t, "x=1&client_id=app", NULL);
    end(&t);
}

static void json_is_sent_where_the_provider_wants_it(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_POST, "app", "a\"b\\c\n");
    t.p.quirks.json_body = true;
    build(&t, TOKEN_FIRST);
    expect(&t, "{\"grant_type\":\"client_credentials\",\"client_secret\":\"a\\\"b\\\\c\\n\",\"client_id\":\"app\"}", NULL);
    assert_true(str_is(header(&t, "Content-Type"), "application/json"));
    end(&t);
}

/* ---- signed proofs ---- */

static struct str parameter(struct trial *t, const char *name)
{
    struct str pair, key, value, rest = t->r.http.body;
    while (str_piece(&rest, '&', &pair))
        if (str_cut(pair, '=', &key, &value) && str_is(key, name)) {
            assert_true(percent_decode(t->a, value, &value));
            return value;
        }
    return STR_NONE;
}

static const struct json *part(struct trial *t, struct str token, int which)
{
    struct str piece = STR_NONE, text;
    struct json *v;
    for (int i = 0; i <= which; i++)
        str_piece(&token, '.', &piece);
    assert_true(base64_decode(t->a, piece, BASE64_URL, &text));
    assert_int_equal(json_read(t->a, text, &v, &t->why), ERR_NONE);
    return v;
}

static int64_t number(const struct json *v, const char *name)
{
    int64_t n = -1;
    assert_true(json_i64(json_get(v, name), &n));
    return n;
}

static void expect_claims(struct trial *t, struct str token, const char *audience)
{
    const struct json *c = part(t, token, 1);
    assert_true(str_is(json_str(c, "iss"), "app"));
    assert_true(str_is(json_str(c, "sub"), "app"));
    assert_true(str_is(json_str(c, "aud"), audience));
    assert_int_equal(number(c, "iat"), NOW / 1000 - 30);
    assert_true(number(c, "exp") > NOW / 1000 + 60);
    assert_true(number(c, "exp") - number(c, "iat") <= 300);
    assert_true(json_str(c, "jti").n >= 22);
}

static void a_client_signs_with_its_secret(void **state)
{
    (void)state;
    struct trial t;
    unsigned char mac[SHA256_SIZE];
    struct str signature;
    begin(&t, CLIENT_AUTH_SECRET_JWT, "app", "0123456789abcdef0123456789abcdef");
    t.p.issuer = STR("https://as.example.com");
    t.p.key_id = STR("not for secrets");
    build(&t, TOKEN_FIRST);
    struct str token = parameter(&t, "client_assertion");
    assert_true(str_is(parameter(&t, "client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    assert_true(str_is(parameter(&t, "client_id"), "app"));
    assert_null(parameter(&t, "client_secret").p);
    assert_null(header(&t, "Authorization").p);
    assert_true(str_is(json_str(part(&t, token, 0), "alg"), "HS256"));
    assert_null(json_get(part(&t, token, 0), "kid"));
    expect_claims(&t, token, "https://as.example.com");
    size_t dot = token.n;
    while (token.p[dot - 1] != '.')
        dot--;
    assert_true(base64_decode(t.a, str_sub(token, dot, token.n), BASE64_URL, &signature));
    hmac_sha256(STR("0123456789abcdef0123456789abcdef"), str_sub(token, 0, dot - 1), mac);
    assert_int_equal(signature.n, sizeof mac);
    assert_memory_equal(signature.p, mac, sizeof mac);
    end(&t);
}

static void verify(struct trial *t, struct secret pem, const char *algorithm, struct str token)
{
    struct jwt_key *key;
    struct jwk_set *set;
    struct jwt jwt;
    assert_int_equal(jwt_key_open(str_of(algorithm), pem, &key, &t->why), ERR_NONE);
    struct str jwk = jwt_key_public(key, t->a);
    assert_int_equal(jwk_set_read(str_fmt(t->a, "{\"keys\":[%.*s]}", STR_ARG(jwk)), &set, &t->why), ERR_NONE);
    assert_int_equal(jwt_read(t->a, token, &jwt, &t->why), ERR_NONE);
    jwt.kid = STR_NONE;
    assert_int_equal(jwt_verify(&jwt, set, &t->why), ERR_NONE);
    jwk_set_free(set);
    jwt_key_free(key);
}

static void a_client_signs_with_its_private_key_and_never_twice_the_same(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_PRIVATE_KEY_JWT, "app", NULL);
    assert_int_equal(private_key_new(&t.p.private_key, &t.why), ERR_NONE);
    t.p.algorithm = STR("ES256");
    t.p.key_id = STR("key-1");
    t.p.thumbprint = STR("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
    build(&t, TOKEN_FIRST);
    struct str token = arena_str(t.a, parameter(&t, "client_assertion"));
    const struct json *head = part(&t, token, 0);
    assert_true(str_is(json_str(head, "alg"), "ES256"));
    assert_true(str_is(json_str(head, "typ"), "JWT"));
    assert_true(str_is(json_str(head, "kid"), "key-1"));
    assert_true(str_is(json_str(head, "x5t#S256"), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"));
    expect_claims(&t, token, URL); /* without an issuer, the endpoint itself */
    verify(&t, t.p.private_key, "ES256", token);
    build(&t, TOKEN_FIRST);
    struct str again = parameter(&t, "client_assertion");
    assert_false(str_eq(json_str(part(&t, token, 1), "jti"), json_str(part(&t, again, 1), "jti")));
    end(&t);
}

static void a_key_that_does_not_fit_its_algorithm_sends_nothing(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, CLIENT_AUTH_PRIVATE_KEY_JWT, "app", NULL);
    assert_int_equal(private_key_new(&t.p.private_key, &t.why), ERR_NONE);
    t.p.algorithm = STR("RS256");
    assert_int_equal(token_request_build(t.a, &t.p, STR(URL), TOKEN_FIRST, grant, 1, SECRET_NONE, STR(""), NOW, &t.r, &t.why),
                     ERR_FIELD_INVALID);
    assert_null(t.r.http.url.p);
    end(&t);
}

/* ---- DPoP ---- */

/* RFC 9449 7.1: the hash of the access token there. */
static void the_hash_of_a_token_is_that_of_rfc_9449(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    assert_true(
        str_is(dpop_ath(a, STR("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"));
}

/* RFC 9449 6.1 and RFC 7638: the key of the examples there. */
static void the_thumbprint_of_a_key_is_that_of_rfc_9449(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    assert_true(
        str_is(jwt_thumbprint(a, STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs\","
                                     "\"y\":\"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA\"}")),
               "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
}

static void a_proof_says_what_is_sent_where_and_when(void **state)
{
    (void)state;
    struct trial t;
    AUTO_SECRET pem = SECRET_NONE, proof = SECRET_NONE;
    struct jwt_key *key;
    begin(&t, CLIENT_AUTH_NONE, "app", NULL);
    assert_int_equal(dpop_key_new(&pem, &t.why), ERR_NONE);
    assert_int_equal(token_request_build(t.a, &t.p, STR(URL), TOKEN_FIRST, grant, 1, pem, STR("n-1"), NOW, &t.r, &t.why), ERR_NONE);
    struct str sent = header(&t, "DPoP");
    const struct json *head = part(&t, sent, 0), *claims = part(&t, sent, 1);
    assert_true(str_is(json_str(head, "typ"), "dpop+jwt"));
    assert_true(str_is(json_str(head, "alg"), "ES256"));
    assert_true(str_is(json_str(json_get(head, "jwk"), "crv"), "P-256"));
    assert_null(json_get(json_get(head, "jwk"), "d"));
    assert_true(str_is(json_str(claims, "htm"), "POST"));
    assert_true(str_is(json_str(claims, "htu"), URL));
    assert_true(str_is(json_str(claims, "nonce"), "n-1"));
    assert_null(json_get(claims, "ath"));
    assert_int_equal(number(claims, "iat"), NOW / 1000);
    verify(&t, pem, "ES256", sent);

    assert_int_equal(dpop_key_open(pem, &key, &t.why), ERR_NONE);
    assert_int_equal(dpop_proof(t.a, key, STR("GET"), STR("https://api.example.com/x?y=1#z"), STR(""), dpop_ath(t.a, STR("at")),
                                NOW, &proof, &t.why),
                     ERR_NONE);
    claims = part(&t, secret_str(proof), 1);
    assert_true(str_is(json_str(claims, "htu"), "https://api.example.com/x"));
    assert_null(json_get(claims, "nonce"));
    assert_true(str_eq(json_str(claims, "ath"), dpop_ath(t.a, STR("at"))));
    jwt_key_free(key);
    end(&t);
}

/* ---- PKCE: RFC 7636 B ---- */

static void a_challenge_is_that_of_rfc_7636(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    assert_true(str_is(pkce_challenge(a, STR("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")),
                       "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    char one[PKCE_VERIFIER], two[PKCE_VERIFIER];
    pkce_verifier(one);
    pkce_verifier(two);
    assert_int_equal(strlen(one), 43);
    assert_int_equal(strspn(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"), 43);
    assert_string_not_equal(one, two);
}

/* ---- the RFCs' examples, as far as the corpora have them ---- */

static bool is_shown(struct arena *a, const struct json *v)
{
    struct str kind = json_str(v, "kind"), bytes;
    struct fault why;
    if (str_is(kind, "pkce-s256"))
        return str_eq(pkce_challenge(a, json_str(v, "verifier")), json_str(v, "challenge"));
    if (str_is(kind, "dpop-ath"))
        return str_eq(dpop_ath(a, json_str(v, "access_token")), json_str(v, "ath"));
    if (str_is(kind, "client-basic")) {
        AUTO_SECRET value = form_basic(json_str(v, "client_id"), json_str(v, "client_secret"));
        return str_eq(secret_str(value), json_str(v, "authorization"));
    }
    if (str_is(kind, "jwk-thumbprint")) {
        const struct json *k = json_get(v, "jwk");
        struct str e = json_str(k, "e"), n = json_str(k, "n");
        return str_eq(jwt_thumbprint(a, str_fmt(a, "{\"e\":\"%.*s\",\"kty\":\"RSA\",\"n\":\"%.*s\"}", STR_ARG(e), STR_ARG(n))),
                      json_str(v, "thumbprint"));
    }
    if (!str_is(kind, "jws-hs256") || !base64_decode(a, json_str(v, "k_b64url"), BASE64_URL, &bytes))
        return false;
    struct str head, payload, rest, text[2];
    struct jwt_key *key;
    AUTO_SECRET k = secret_from(bytes), token = SECRET_NONE;
    str_cut(json_str(v, "compact"), '.', &head, &rest);
    str_cut(rest, '.', &payload, &rest);
    bool same = base64_decode(a, head, BASE64_URL, &text[0]) && base64_decode(a, payload, BASE64_URL, &text[1]) &&
                !jwt_key_open(STR("HS256"), k, &key, &why);
    same = same && !jws_sign(key, text[0], text[1], &token, &why) && str_eq(secret_str(token), json_str(v, "compact"));
    jwt_key_free(key);
    return same;
}

static void the_examples_of_the_rfcs_come_out_as_they_stand_there(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct json *all;
    struct fault why;
    FILE *f = fopen(CORPORA "/oauth/rfc-vectors.json", "r");
    if (!f) {
        print_message("left out: corpora not here\n");
        return;
    }
    char *text = arena_zero(a, 32 * 1024);
    size_t n = fread(text, 1, 32 * 1024, f);
    fclose(f);
    assert_int_equal(json_read(a, (struct str){ text, n }, &all, &why), ERR_NONE);
    assert_true(all->count >= 5);
    json_each(v, all)
        if (!is_shown(a, v))
            fail_msg("RFC %.*s, %.*s", STR_ARG(json_str(v, "rfc")), STR_ARG(json_str(v, "where")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_posted_and_json_is_wanted),
        cmocka_unit_test(basic_is_that_of_the_rfc_and_stands_alone),
        cmocka_unit_test(the_secret_in_the_body_is_encoded_once),
        cmocka_unit_test(a_certificate_speaks_for_the_client_of_tls),
        cmocka_unit_test(another_proof_may_be_used_for_refreshing),
        cmocka_unit_test(what_the_profile_says_of_a_parameter_wins_and_each_comes_once),
        cmocka_unit_test(resources_stand_in_each_token_request_and_a_map_that_names_one_says_otherwise),
        cmocka_unit_test(a_parameter_that_the_profile_empties_is_left_out),
        cmocka_unit_test(json_is_sent_where_the_provider_wants_it),
        cmocka_unit_test(a_client_signs_with_its_secret),
        cmocka_unit_test(a_client_signs_with_its_private_key_and_never_twice_the_same),
        cmocka_unit_test(a_key_that_does_not_fit_its_algorithm_sends_nothing),
        cmocka_unit_test(the_hash_of_a_token_is_that_of_rfc_9449),
        cmocka_unit_test(the_thumbprint_of_a_key_is_that_of_rfc_9449),
        cmocka_unit_test(a_proof_says_what_is_sent_where_and_when),
        cmocka_unit_test(a_challenge_is_that_of_rfc_7636),
        cmocka_unit_test(the_examples_of_the_rfcs_come_out_as_they_stand_there),
    };
    return cmocka_run_group_tests_name("auth/token_request", tests, NULL, NULL);
}
