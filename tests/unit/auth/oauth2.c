/* Tokens on requests, and what is refused of the credentials that they are obtained with. */
#include "room.h"

#include "auth/dpop.h"
#include "base/encode.h"
#include "crypto/private_key.h"

static const char *const types[] = { "oauth2_authorization_code", "oauth2_client_credentials", "oauth2_jwt_bearer",
                                     "oauth2_device_code" };

/* Checked, prepared with this token, and held against the bytes. */
static void expect(const char *type, const char *options, const char *fields, enum inject_where where, const char *name,
                   const char *value)
{
    struct trial *t = trial_new(type, options, fields);
    AUTO_SECRET token = secret_from(STR("at/1+x"));
    struct auth_secret granted[] = { { STR("access_token"), token } };
    assert_int_equal(trial_check(t), ERR_NONE);
    t->in.granted = granted;
    t->in.granted_count = 1;
    trial_expect(t, 0, where, name, str_of(value));
    assert_int_equal(t->out.count, 1);
    trial_end(t);
}

static void a_token_goes_where_the_connector_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        expect(types[i], NULL, NULL, INJECT_HEADER, "Authorization", "Bearer at/1+x");
        expect(types[i], "{\"prefix\":\"OAuth\"}", NULL, INJECT_HEADER, "Authorization", "OAuth at/1+x");
        expect(types[i], "{\"header\":\"authorization\"}", NULL, INJECT_HEADER, "Authorization", "Bearer at/1+x");
        expect(types[i], "{\"header\":\"X-Shopify-Access-Token\"}", NULL, INJECT_HEADER, "X-Shopify-Access-Token", "at/1+x");
        expect(types[i], "{\"header\":\"X-Token\",\"prefix\":\"tok \"}", NULL, INJECT_HEADER, "X-Token", "tok at/1+x");
        expect(types[i], "{\"query\":\"access_token\"}", NULL, INJECT_QUERY, "access_token", "at%2F1%2Bx");
        expect(types[i], NULL, "{\"prefix\":\"Token\"}", INJECT_HEADER, "Authorization", "Token at/1+x");
    }
}

static void without_a_token_the_connection_needs_authorization(void **state)
{
    (void)state;
    static const char *const all[] = { "oauth2_authorization_code", "oauth2_client_credentials", "google_service_account",
                                       "github_app" };
    for (size_t i = 0; i < COUNT(all); i++) {
        struct trial *t = trial_new(all[i], NULL, NULL);
        t->out.count = 3;
        assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NEEDS_AUTH);
        assert_int_equal(t->out.count, 0);
        trial_end(t);
    }
}

static void a_place_that_cannot_carry_a_token_is_refused(void **state)
{
    (void)state;
    expect_refused("oauth2_client_credentials", "{\"header\":\"Host\"}", NULL, NULL, STR(""), ERR_HEADER_NAME_INVALID,
                   "/fields/header");
    expect_refused("oauth2_client_credentials", "{\"prefix\":\"two words\"}", NULL, NULL, STR(""), ERR_FIELD_INVALID,
                   "/fields/prefix");
}

static void what_a_grant_needs_is_asked_for(void **state)
{
    (void)state;
    expect_refused("oauth2_password", NULL, NULL, "password", STR("abcdef"), ERR_FIELD_REQUIRED, "/credentials/username");
    expect_refused("oauth2_password", NULL, NULL, "username", STR("abcdef"), ERR_FIELD_REQUIRED, "/credentials/password");
    expect_refused("google_service_account", NULL, NULL, NULL, STR(""), ERR_FIELD_REQUIRED, "/credentials/private_key");
    expect_refused("github_app", NULL, NULL, NULL, STR(""), ERR_FIELD_REQUIRED, "/credentials/private_key");
    expect_refused("oauth2_jwt_bearer", NULL, NULL, "private_key", STR("no key of mine"), ERR_FIELD_INVALID,
                   "/credentials/private_key");
    expect_refused("oauth2_client_credentials", NULL, NULL, "client_private_key", STR("no key of mine"), ERR_FIELD_INVALID,
                   "/credentials/client_private_key");
}

static void a_google_key_needs_the_address_that_it_is_of(void **state)
{
    (void)state;
    struct fault why;
    AUTO_SECRET pem = SECRET_NONE;
    AUTO_BUF file;
    assert_int_equal(private_key_new(&pem, &why), ERR_NONE);
    expect_refused("google_service_account", NULL, NULL, "private_key", secret_str(pem), ERR_FIELD_REQUIRED,
                   "/credentials/client_email");
    struct trial *t = trial_new("google_service_account", NULL, NULL);
    trial_secret(t, "private_key", secret_str(pem));
    trial_secret(t, "client_email", STR("a@b"));
    assert_int_equal(trial_check(t), ERR_NONE);
    trial_end(t);
    buf_init(&file, 8192);
    struct json_out o = json_out(&file);
    json_open(&o, '{');
    json_member_str(&o, "private_key", secret_str(pem));
    json_member_str(&o, "client_email", STR("a@b"));
    json_close(&o, '}');
    t = trial_new("google_service_account", NULL, NULL);
    trial_secret(t, "private_key", buf_str(&file));
    assert_int_equal(trial_check(t), ERR_NONE);
    trial_end(t);
}

/* ---- tokens bound to a key: RFC 9449 ---- */

struct bound {
    struct trial *t;
    struct auth_secret granted[2];
    struct signer *signer;
};

static void bind(struct bound *b)
{
    b->t = trial_new("oauth2_authorization_code", NULL, NULL);
    b->granted[0] = (struct auth_secret){ STR("access_token"), secret_from(STR("at-1")) };
    b->granted[1] = (struct auth_secret){ STR("dpop_key"), SECRET_NONE };
    assert_int_equal(dpop_key_new(&b->granted[1].value, &b->t->why), ERR_NONE);
    b->t->in.granted = b->granted;
    b->t->in.granted_count = 2;
    assert_int_equal(b->t->method->prepare(b->t->a, &b->t->in, &b->t->out, &b->t->why), ERR_NONE);
    assert_int_equal(b->t->method->signer_new(b->t->a, &b->t->in, &b->signer, &b->t->why), ERR_NONE);
    assert_non_null(b->signer);
}

static void loosen(struct bound *b)
{
    b->t->method->signer_free(b->signer);
    secret_end(&b->granted[0].value);
    secret_end(&b->granted[1].value);
    trial_end(b->t);
}

static const struct json *proof_for(struct bound *b, const char *host, const char *path)
{
    struct sign_request q = { .method = STR("PUT"), .host = str_of(host), .path = str_of(path), .query = STR("x=1"), .https = true,
                              .now = 1790000000000 };
    struct signature made = { 0 };
    struct str head, claims, text;
    assert_int_equal(b->t->method->sign(b->signer, b->t->a, &q, &b->t->out, &made, &b->t->why), ERR_NONE);
    assert_null(made.values[0].p);
    assert_true(str_cut(made.values[1], '.', &head, &claims));
    str_cut(claims, '.', &claims, &head);
    assert_true(base64_decode(b->t->a, claims, BASE64_URL, &text));
    return trial_json(b->t, arena_cstr(b->t->a, text));
}

static bool challenge(struct bound *b, const char *host, int status, const char *nonce, const char *scheme)
{
    struct head answer = { .status = status, .count = 2,
                           .headers = { { STR("DPoP-Nonce"), str_of(nonce) }, { STR("WWW-Authenticate"), str_of(scheme) } } };
    struct signature sent = { 0 };
    bool again = true;
    assert_int_equal(b->t->method->challenged(b->signer, &sent, str_of(host), status, &answer, &again, &b->t->why), ERR_NONE);
    return again;
}

static void a_bound_token_goes_with_a_proof_of_each_request(void **state)
{
    (void)state;
    struct bound b;
    bind(&b);
    assert_int_equal(b.t->out.count, 2);
    assert_true(str_is(secret_str(b.t->out.at[0].value), "DPoP at-1"));
    assert_int_equal(b.t->out.at[1].where, INJECT_SIGNED);
    assert_true(str_is(b.t->out.at[1].name, "DPoP"));
    const struct json *c = proof_for(&b, "api.example.com:8443", "/v1/x"), *d = proof_for(&b, "api.example.com:8443", "/v1/x");
    assert_true(str_is(json_str(c, "htm"), "PUT"));
    assert_true(str_is(json_str(c, "htu"), "https://api.example.com:8443/v1/x"));
    assert_true(str_eq(json_str(c, "ath"), dpop_ath(b.t->a, STR("at-1"))));
    assert_false(str_eq(json_str(c, "jti"), json_str(d, "jti")));
    assert_null(json_get(c, "nonce"));
    loosen(&b);
}

static void an_apis_nonce_is_used_with_that_host_and_asks_for_one_more_try_only_when_it_is_wanted(void **state)
{
    (void)state;
    struct bound b;
    bind(&b);
    assert_true(challenge(&b, "one", 401, "n-1", "DPoP error=\"use_dpop_nonce\""));
    assert_true(str_is(json_str(proof_for(&b, "one", "/"), "nonce"), "n-1"));
    assert_null(json_get(proof_for(&b, "two", "/"), "nonce"));
    assert_false(challenge(&b, "one", 200, "n-2", ""));
    assert_true(str_is(json_str(proof_for(&b, "one", "/"), "nonce"), "n-2"));
    assert_false(challenge(&b, "one", 401, "n-3", "DPoP error=\"invalid_token\""));
    assert_false(challenge(&b, "one", 401, "", "DPoP error=\"use_dpop_nonce\""));
    assert_true(str_is(json_str(proof_for(&b, "one", "/"), "nonce"), "n-3"));
    static const char *const more[] = { "a", "b", "c", "d" };
    for (size_t i = 0; i < COUNT(more); i++)
        challenge(&b, more[i], 200, more[i], "");
    assert_null(json_get(proof_for(&b, "one", "/"), "nonce")); /* the oldest gave way */
    assert_true(str_is(json_str(proof_for(&b, "d", "/"), "nonce"), "d"));
    loosen(&b);
}

static void a_token_without_a_key_is_not_signed_for(void **state)
{
    (void)state;
    struct trial *t = trial_new("oauth2_client_credentials", NULL, NULL);
    AUTO_SECRET token = secret_from(STR("at"));
    struct auth_secret granted[] = { { STR("access_token"), token } };
    struct signer *s;
    t->in.granted = granted;
    t->in.granted_count = 1;
    assert_int_equal(t->method->signer_new(t->a, &t->in, &s, &t->why), ERR_NONE);
    assert_null(s);
    trial_end(t);
}

/* ---- custom_oauth ---- */

#define LOGIN "\"login\":{\"url\":\"https://e.com/\",\"values\":{\"access_token\":\"/t\",\"session\":\"$.s\"}}"

static struct trial *logged_in(const char *options, const char *fields, struct auth_secret *granted)
{
    struct trial *t = trial_new("custom_oauth", options, fields);
    trial_secret(t, "key", STR("k1"));
    granted[0] = (struct auth_secret){ STR("access_token"), secret_from(STR("at-1")) };
    granted[1] = (struct auth_secret){ STR("session"), secret_from(STR("s-1")) };
    if (trial_check(t))
        fail_msg("refused at %s: %s", t->why.pointer, t->why.subject);
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NEEDS_AUTH);
    t->in.granted = granted;
    t->in.granted_count = 2;
    return t;
}

static void over(struct trial *t, struct auth_secret *granted)
{
    secret_end(&granted[0].value);
    secret_end(&granted[1].value);
    trial_end(t);
}

static void what_a_login_gave_goes_where_templates_say(void **state)
{
    (void)state;
    struct auth_secret granted[2];
    struct trial *t = logged_in("{" LOGIN ",\"headers\":{\"X-A\":\"{{authResponse.access_token}}/{{credentials.key}}\"},"
                                "\"query\":{\"sid\":\"{{authResponse.session}}\"}}", NULL, granted);
    trial_expect(t, 0, INJECT_HEADER, "X-A", STR("at-1/k1"));
    trial_expect(t, 1, INJECT_QUERY, "sid", STR("s-1"));
    assert_int_equal(t->out.count, 2);
    over(t, granted);
    t = logged_in("{" LOGIN "}", NULL, granted);
    trial_expect(t, 0, INJECT_HEADER, "Authorization", STR("Bearer at-1"));
    over(t, granted);
    /* all of it the connection's own */
    t = logged_in(NULL, "{\"login_url\":\"https://e.com/\",\"login_values\":{\"access_token\":\"/t\",\"session\":\"$.s\"},"
                        "\"headers\":{\"X-S\":\"{{authResponse.session}}\"}}", granted);
    trial_expect(t, 0, INJECT_HEADER, "X-S", STR("s-1"));
    over(t, granted);
}

static void a_login_that_could_not_work_is_refused_when_it_is_saved(void **state)
{
    (void)state;
    static const struct { const char *options, *fields; enum err e; const char *pointer; } rows[] = {
        { NULL, NULL, ERR_FIELD_REQUIRED, "/fields/login_url" },
        { NULL, "{\"login_url\":\"https://e.com\"}", ERR_FIELD_REQUIRED, "/fields/login_values" },
        { NULL, "{\"login_url\":\"https://e.com\",\"login_values\":{\"a\":\"$..b\"}}", ERR_FIELD_INVALID, "/fields/login_values" },
        { NULL, "{\"login_url\":\"https://e.com\",\"login_values\":{\"a\":\"b\"}}", ERR_FIELD_INVALID, "/fields/login_values" },
        { "{" LOGIN "}", "{\"login_method\":\"DELETE\"}", ERR_FIELD_INVALID, "/fields/login_method" },
        { "{" LOGIN "}", "{\"login_headers\":{\"Host\":\"evil\"}}", ERR_FIELD_INVALID, "/fields/login_headers" },
        { "{" LOGIN "}", "{\"login_expires_in\":\"$.*\"}", ERR_FIELD_INVALID, "/fields/login_expires_in" },
        { "{" LOGIN "}", "{\"headers\":{\"X-A\":\"{{authResponse.other}}\"}}", ERR_FIELD_INVALID, "/fields/headers/X-A" },
        { NULL, "{\"login_url\":\"https://e.com\",\"login_values\":{\"a\":\"/b\"}}", ERR_FIELD_REQUIRED, "/fields/headers" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused("custom_oauth", rows[i].options, rows[i].fields, "key", STR("secret-1"), rows[i].e, rows[i].pointer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_goes_where_the_connector_says),
        cmocka_unit_test(without_a_token_the_connection_needs_authorization),
        cmocka_unit_test(a_place_that_cannot_carry_a_token_is_refused),
        cmocka_unit_test(what_a_grant_needs_is_asked_for),
        cmocka_unit_test(a_google_key_needs_the_address_that_it_is_of),
        cmocka_unit_test(a_bound_token_goes_with_a_proof_of_each_request),
        cmocka_unit_test(an_apis_nonce_is_used_with_that_host_and_asks_for_one_more_try_only_when_it_is_wanted),
        cmocka_unit_test(a_token_without_a_key_is_not_signed_for),
        cmocka_unit_test(what_a_login_gave_goes_where_templates_say),
        cmocka_unit_test(a_login_that_could_not_work_is_refused_when_it_is_saved),
    };
    return cmocka_run_group_tests_name("auth/oauth2", tests, NULL, NULL);
}
