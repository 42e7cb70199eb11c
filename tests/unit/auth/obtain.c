/* How each auth type gets its token: what is sent, and what of the answer is kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth/device_code.h"
#include "auth/introspection.h"
#include "auth/obtain.h"
#include "base/encode.h"
#include "crypto/private_key.h"

#define NOW INT64_C(1790000000000)
#define URL "https://as.example.com/token"
#define GIVEN "{\"access_token\":\"at-2\",\"token_type\":\"Bearer\",\"expires_in\":3600"

struct trial {
    struct arena *a;
    const struct obtain *how;
    struct auth_input in;
    struct auth_secret secrets[12];
    struct oauth_profile p;
    struct grant_value values[4];
    struct obtain_input q;
    struct token_request r;
    struct obtained got;
    struct fault why;
};

static const struct json *json(struct trial *t, const char *text)
{
    struct json *v = NULL;
    if (text && json_read(t->a, arena_str(t->a, str_of(text)), &v, &t->why))
        fail_msg("test JSON: %s", t->why.subject);
    return v;
}

static void begin(struct trial *t, const char *type, const char *options, const char *fields)
{
    *t = (struct trial){ .a = arena_new(16 * 1024), .how = obtain_find(str_of(type)) };
    assert_non_null(t->how);
    t->in = (struct auth_input){ .options = json(t, options), .fields = json(t, fields), .secrets = t->secrets };
    t->p =
        (struct oauth_profile){ .token_url = STR(URL), .client_id = STR("app"), .scope_separator = ' ', .algorithm = STR("RS256") };
    t->q = (struct obtain_input){ .in = &t->in, .profile = &t->p, .values = t->values, .now = NOW, .nonce = STR("") };
}

static void end(struct trial *t)
{
    token_request_end(&t->r);
    obtained_end(&t->got);
    for (size_t i = 0; i < t->in.secret_count; i++)
        secret_end(&t->secrets[i].value);
    for (size_t i = 0; i < t->q.value_count; i++)
        secret_end(&t->values[i].value);
    secret_end(&t->p.private_key);
    arena_free(t->a);
}

static void secret(struct trial *t, const char *name, struct str value)
{
    t->secrets[t->in.secret_count++] = (struct auth_secret){ str_of(name), secret_from(value) };
}

static void value(struct trial *t, const char *name, const char *text)
{
    t->values[t->q.value_count++] = (struct grant_value){ str_of(name), secret_from(str_of(text)) };
}

static enum err build(struct trial *t)
{
    token_request_end(&t->r);
    return t->how->build(t->a, &t->q, &t->r, &t->why);
}

static void expect_body(struct trial *t, const char *body)
{
    if (build(t))
        fail_msg("refused: %s (%s)", t->why.subject, t->why.note);
    if (!str_is(t->r.http.body, body))
        fail_msg("body: %.*s", STR_ARG(t->r.http.body));
}

static void answer_of(struct trial *t, int status, const char *body)
{
    struct str type[1][2] = { { STR("Content-Type"), STR("application/json") } };
    struct fetch_answer f = { .status = status, .headers = type, .header_count = 1, .body = arena_str(t->a, str_of(body)) };
    obtained_end(&t->got);
    t->how->read(t->a, &t->q, &f, NOW, &t->got);
}

static struct str kept(const struct trial *t, const char *name)
{
    for (size_t i = 0; i < t->got.count; i++)
        if (str_is(t->got.values[i].name, name))
            return secret_str(t->got.values[i].value);
    return STR_NONE;
}

static struct str parameter(struct trial *t, const char *name)
{
    struct str pair, key, text, rest = t->r.http.body;
    while (str_piece(&rest, '&', &pair))
        if (str_cut(pair, '=', &key, &text) && str_is(key, name)) {
            assert_true(percent_decode(t->a, text, &text));
            return text;
        }
    return STR_NONE;
}

static const struct json *claims_of(struct trial *t, struct str token, int which)
{
    struct str piece = STR_NONE, text;
    for (int i = 0; i <= which; i++)
        str_piece(&token, '.', &piece);
    assert_true(base64_decode(t->a, piece, BASE64_URL, &text));
    return json(t, arena_cstr(t->a, text));
}

/* ---- RFC 6749 ---- */

static void each_type_has_its_row_and_others_have_none(void **state)
{
    (void)state;
    static const struct { const char *type; bool oauth, by_person;
    } rows[] = {
        { "oauth2_authorization_code", true, true },
        { "oauth2_device_code", true, true },
        { "oauth2_client_credentials", true, false },
        { "oauth2_password", true, false },
        { "oauth2_jwt_bearer", true, false },
        { "oauth2_token_exchange", true, false },
        { "google_service_account", true, false },
        { "github_app", true, false },
        { "custom_oauth", false, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct obtain *o = obtain_find(str_of(rows[i].type));
        assert_non_null(o);
        assert_int_equal(o->oauth, rows[i].oauth);
        assert_int_equal(o->by_person, rows[i].by_person);
    }
    assert_null(obtain_find(STR("bearer")));
    assert_null(obtain_find(STR("")));
}

static void a_code_is_changed_and_then_refreshed_and_without_either_a_person_is_needed(void **state)
{
    (void)state;
    static const char *const types[] = { "oauth2_authorization_code", "oauth2_device_code" };
    const struct token_param code[] = { { STR("grant_type"), STR("authorization_code") }, { STR("code"), STR("c-1") } };
    for (size_t i = 0; i < COUNT(types); i++) {
        struct trial t;
        begin(&t, types[i], NULL, NULL);
        assert_int_equal(build(&t), ERR_NEEDS_AUTH);
        t.q.params = code;
        t.q.param_count = COUNT(code);
        expect_body(&t, "grant_type=authorization_code&code=c-1&client_id=app");
        t.q.params = NULL;
        value(&t, "refresh_token", "rt-1");
        expect_body(&t, "grant_type=refresh_token&refresh_token=rt-1&client_id=app");
        end(&t);
    }
}

static void a_refresh_token_that_is_not_replaced_goes_on(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_authorization_code", NULL, NULL);
    value(&t, "access_token", "at-1");
    value(&t, "refresh_token", "rt-1");
    answer_of(&t, 200, GIVEN "}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GIVEN);
    assert_true(str_is(kept(&t, "access_token"), "at-2"));
    assert_true(str_is(kept(&t, "refresh_token"), "rt-1"));
    assert_int_equal(t.got.count, 2);
    answer_of(&t, 200, GIVEN ",\"refresh_token\":\"rt-2\"}");
    assert_true(str_is(kept(&t, "refresh_token"), "rt-2"));
    assert_int_equal(t.got.count, 2);
    answer_of(&t, 400, "{\"error\":\"invalid_grant\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GRANT_OVER);
    assert_int_equal(t.got.count, 0);
    end(&t);
}

/* The new grant may be another account's: what the old one had is not its own. */
static void a_new_grant_inherits_no_refresh_token(void **state)
{
    (void)state;
    struct trial t;
    const struct token_param code[] = { { STR("code"), STR("c-1") } };
    begin(&t, "oauth2_authorization_code", NULL, NULL);
    value(&t, "refresh_token", "rt-1");
    value(&t, "dpop_key", "pem");
    t.q.params = code;
    t.q.param_count = 1;
    answer_of(&t, 200, GIVEN "}");
    assert_null(kept(&t, "dpop_key").p); /* the token is not bound to it */
    t.p.dpop = true;
    answer_of(&t, 200, "{\"access_token\":\"at-2\",\"token_type\":\"DPoP\"}");
    assert_null(kept(&t, "refresh_token").p);
    assert_true(str_is(kept(&t, "dpop_key"), "pem"));
    end(&t);
}

static void client_credentials_are_fetched_again_with_their_scopes(void **state)
{
    (void)state;
    struct trial t;
    struct str scopes[] = { STR("read"), STR("write") };
    begin(&t, "oauth2_client_credentials", NULL, NULL);
    expect_body(&t, "grant_type=client_credentials&client_id=app");
    t.p.scopes = scopes;
    t.p.scope_count = 2;
    value(&t, "refresh_token", "rt-1");
    expect_body(&t, "grant_type=client_credentials&scope=read%20write&client_id=app");
    t.p.scope_separator = ',';
    expect_body(&t, "grant_type=client_credentials&scope=read%2Cwrite&client_id=app");
    end(&t);
}

static void a_lifetime_that_the_answer_does_not_say_is_the_connectors(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_client_credentials", NULL, NULL);
    t.p.lifetime_ms = 7200000;
    answer_of(&t, 200, "{\"access_token\":\"at\",\"token_type\":\"bearer\"}");
    assert_int_equal(t.got.answer.expires_in_ms, 7200000);
    answer_of(&t, 200, GIVEN "}");
    assert_int_equal(t.got.answer.expires_in_ms, 3600000);
    end(&t);
}

/* Salesforce: right behind the password (CON-17). */
static void a_security_token_stands_behind_the_password(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_password", NULL, NULL);
    secret(&t, "username", STR("joe@acme.com"));
    secret(&t, "password", STR("p&ss"));
    expect_body(&t, "grant_type=password&username=joe%40acme.com&password=p%26ss&client_id=app");
    secret(&t, "security_token", STR("Xy1"));
    expect_body(&t, "grant_type=password&username=joe%40acme.com&password=p%26ssXy1&client_id=app");
    value(&t, "refresh_token", "rt-1");
    expect_body(&t, "grant_type=refresh_token&refresh_token=rt-1&client_id=app");
    end(&t);
}

/* Dynamics 365 through Entra (CON-23). */
static void the_organisation_goes_along_as_the_resource(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_password", NULL, NULL);
    secret(&t, "username", STR("joe"));
    secret(&t, "password", STR("x"));
    t.p.token_parameters = json(&t, "{\"resource\":\"https://acme.crm4.dynamics.com\"}");
    expect_body(&t, "grant_type=password&username=joe&password=x&resource=https%3A%2F%2Facme.crm4.dynamics.com&client_id=app");
    end(&t);
}

static void what_repeats_a_secret_is_not_said(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_password", NULL, NULL);
    secret(&t, "username", STR("joe"));
    secret(&t, "password", STR("hunter22"));
    answer_of(&t, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"wrong password hunter22\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GRANT_OVER);
    assert_int_equal(t.got.answer.description.n, 0);
    end(&t);
}

/* ---- signed grants ---- */

static void private_key(struct trial *t)
{
    AUTO_SECRET pem = SECRET_NONE;
    assert_int_equal(private_key_new(&pem, &t->why), ERR_NONE);
    t->p.algorithm = STR("ES256");
    secret(t, "private_key", secret_str(pem));
}

static void a_jwt_bearer_grant_says_who_asks_for_whom(void **state)
{
    (void)state;
    struct trial t;
    struct str scopes[] = { STR("api") };
    begin(&t, "oauth2_jwt_bearer", NULL, NULL);
    private_key(&t);
    t.p.scopes = scopes;
    t.p.scope_count = 1;
    t.p.assertion = json(&t, "{\"subject\":\"joe@acme.com\",\"audience\":\"https://login.salesforce.com\",\"lifetime\":\"2m\","
                             "\"claims\":{\"box_sub_type\":\"enterprise\",\"iss\":\"evil\",\"exp\":1}}");
    assert_int_equal(build(&t), ERR_NONE);
    assert_true(str_is(parameter(&t, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_true(str_is(parameter(&t, "scope"), "api"));
    const struct json *c = claims_of(&t, parameter(&t, "assertion"), 1);
    int64_t exp, iat;
    assert_true(str_is(json_str(c, "iss"), "app"));
    assert_true(str_is(json_str(c, "sub"), "joe@acme.com"));
    assert_true(str_is(json_str(c, "aud"), "https://login.salesforce.com"));
    assert_true(str_is(json_str(c, "box_sub_type"), "enterprise"));
    assert_null(json_get(c, "scope"));
    assert_true(json_i64(json_get(c, "exp"), &exp) && json_i64(json_get(c, "iat"), &iat));
    assert_int_equal(iat, NOW / 1000 - 30);
    assert_int_equal(exp, NOW / 1000 + 120);
    t.p.assertion = json(&t, "{\"scope_claim\":true,\"lifetime\":\"1h\"}");
    assert_int_equal(build(&t), ERR_NONE);
    c = claims_of(&t, parameter(&t, "assertion"), 1);
    assert_true(str_is(json_str(c, "scope"), "api"));
    assert_true(str_is(json_str(c, "aud"), URL));
    assert_null(parameter(&t, "scope").p);
    assert_true(json_i64(json_get(c, "exp"), &exp));
    assert_int_equal(exp - iat, 300);
    end(&t);
}

/* RFC 8693 2.1: grant_type, subject_token and its type are required, an actor's type only with an actor. */
static void a_token_is_exchanged_for_one_for_other_ears(void **state)
{
    (void)state;
    struct trial t;
    struct str scopes[] = { STR("read") };
    begin(&t, "oauth2_token_exchange", NULL, "{\"audience\":\"orders\",\"resource\":\"https://orders.example.com\"}");
    secret(&t, "subject_token", STR("st-1"));
    t.p.scopes = scopes;
    t.p.scope_count = 1;
    expect_body(&t, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=st-1"
                    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token&audience=orders"
                    "&resource=https%3A%2F%2Forders.example.com&scope=read&client_id=app");
    secret(&t, "actor_token", STR("ac-1"));
    t.in.fields = json(&t, "{\"subject_token_type\":\"x:saml\",\"actor_token_type\":\"x:jwt\",\"requested_token_type\":\"x:y\"}");
    expect_body(&t, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=st-1"
                    "&subject_token_type=x%3Asaml&actor_token=ac-1&actor_token_type=x%3Ajwt&requested_token_type=x%3Ay"
                    "&scope=read&client_id=app");
    value(&t, "refresh_token", "rt-1"); /* 2.2.1: where one is given, it is good without the subject */
    expect_body(&t, "grant_type=refresh_token&refresh_token=rt-1&client_id=app");
    end(&t);
}

/* 2.1: "multiple audience parameters", and resources, may say for whom the token is. */
static void a_token_is_exchanged_for_several_ears_at_once(void **state)
{
    (void)state;
    static const char head[] = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=st-1"
                               "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
    struct trial t;
    begin(&t, "oauth2_token_exchange", NULL,
          "{\"audience\":\"orders  stock orders\",\"resource\":\"https://a.example.com https://b.example.com\"}");
    secret(&t, "subject_token", STR("st-1"));
    expect_body(&t, str_fmt(t.a, "%s&audience=orders&audience=stock&resource=https%%3A%%2F%%2Fa.example.com"
                                 "&resource=https%%3A%%2F%%2Fb.example.com&client_id=app", head).p);
    t.p.resources =
        json(&t, "[\"https://c.example.com\",\"https://d.example.com\"]"); /* the client's, where the connection names none */
    t.in.fields = json(&t, "{}");
    t.in.options = json(&t, "{\"type\":\"oauth2_token_exchange\",\"audience\":[\"one name\",\"another\"]}");
    expect_body(&t, str_fmt(t.a, "%s&audience=one%%20name&audience=another&resource=https%%3A%%2F%%2Fc.example.com"
                                 "&resource=https%%3A%%2F%%2Fd.example.com&client_id=app", head).p);
    t.p.token_parameters = json(&t, "{\"audience\":[\"x\",\"y\"],\"resource\":\"https://e.example.com\"}");
    expect_body(&t, str_fmt(t.a, "%s&resource=https%%3A%%2F%%2Fe.example.com&audience=x&audience=y&client_id=app", head).p);
    end(&t);
}

static void a_subject_that_nobody_gave_is_signed_for_each_exchange(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_token_exchange", NULL, NULL);
    assert_int_equal(build(&t), ERR_FIELD_REQUIRED);
    assert_string_equal(t.why.pointer, "/credentials/subject_token");
    private_key(&t);
    t.p.assertion = json(&t, "{\"subject\":\"system:robot\",\"audience\":\"https://sts.example.com\"}");
    assert_int_equal(build(&t), ERR_NONE);
    struct str one = arena_str(t.a, parameter(&t, "subject_token"));
    assert_true(str_is(json_str(claims_of(&t, one, 1), "sub"), "system:robot"));
    assert_true(str_is(json_str(claims_of(&t, one, 1), "aud"), "https://sts.example.com"));
    assert_true(str_is(parameter(&t, "subject_token_type"), "urn:ietf:params:oauth:token-type:jwt"));
    assert_int_equal(build(&t), ERR_NONE);
    assert_false(str_eq(one, parameter(&t, "subject_token")));
    end(&t);
}

static void what_an_exchange_gives_may_be_no_access_token_when_that_was_asked_for(void **state)
{
    (void)state;
    static const char given[] = "{\"access_token\":\"at-2\",\"issued_token_type\":\"x:jwt\",\"token_type\":\"N_A\"}";
    struct trial t;
    begin(&t, "oauth2_token_exchange", NULL, NULL);
    secret(&t, "subject_token", STR("st-1"));
    answer_of(&t, 200, given);
    assert_int_equal(t.got.answer.outcome, TOKEN_ASKED_WRONG);
    t.in.fields = json(&t, "{\"requested_token_type\":\"x:jwt\"}");
    answer_of(&t, 200, given);
    assert_int_equal(t.got.answer.outcome, TOKEN_GIVEN);
    assert_true(str_is(kept(&t, "access_token"), "at-2"));
    /* 2.2.2: the subject is over. Where we sign it, the request is what is wrong. */
    answer_of(&t, 400, "{\"error\":\"invalid_request\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GRANT_OVER);
    answer_of(&t, 400, "{\"error\":\"invalid_target\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_ASKED_WRONG);
    secret_end(&t.secrets[--t.in.secret_count].value);
    answer_of(&t, 400, "{\"error\":\"invalid_request\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_ASKED_WRONG);
    end(&t);
}

static struct str key_file(struct trial *t)
{
    AUTO_SECRET pem = SECRET_NONE;
    AUTO_BUF out;
    assert_int_equal(private_key_new(&pem, &t->why), ERR_NONE);
    buf_init(&out, 8192);
    struct json_out o = json_out(&out);
    json_open(&o, '{');
    json_member_str(&o, "type", STR("service_account"));
    json_member_str(&o, "private_key_id", STR("kid-9"));
    json_member_str(&o, "private_key", secret_str(pem));
    json_member_str(&o, "client_email", STR("robot@p.iam.gserviceaccount.com"));
    json_close(&o, '}');
    t->p.algorithm = STR("ES256");
    return arena_str(t->a, buf_str(&out));
}

static void a_google_key_file_says_who_signs_and_sub_stands_only_where_somebody_is_impersonated(void **state)
{
    (void)state;
    struct str scopes[] = { STR("https://www.googleapis.com/auth/a"), STR("https://www.googleapis.com/auth/b") };
    for (int impersonate = 0; impersonate < 2; impersonate++) {
        struct trial t;
        begin(&t, "google_service_account", NULL, impersonate ? "{\"impersonate\":\"ann@acme.com\"}" : "{}");
        secret(&t, "private_key", key_file(&t));
        t.p.scopes = scopes;
        t.p.scope_count = 2;
        t.p.client_id = STR("123456789012345678901"); /* of the file: no OAuth client */
        assert_int_equal(build(&t), ERR_NONE);
        const struct json *c = claims_of(&t, parameter(&t, "assertion"), 1);
        assert_true(str_is(json_str(claims_of(&t, parameter(&t, "assertion"), 0), "kid"), "kid-9"));
        assert_true(str_is(json_str(c, "iss"), "robot@p.iam.gserviceaccount.com"));
        assert_true(str_is(json_str(c, "scope"), "https://www.googleapis.com/auth/a https://www.googleapis.com/auth/b"));
        assert_true(str_is(json_str(c, "aud"), URL));
        assert_true(impersonate ? str_is(json_str(c, "sub"), "ann@acme.com") : !json_get(c, "sub"));
        assert_null(parameter(&t, "client_id").p);
        end(&t);
    }
}

static void a_google_key_alone_goes_with_the_address_and_id_that_were_typed(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "google_service_account", NULL, NULL);
    private_key(&t);
    secret(&t, "client_email", STR("typed@p.iam.gserviceaccount.com"));
    secret(&t, "private_key_id", STR("kid-1"));
    assert_int_equal(build(&t), ERR_NONE);
    assert_true(str_is(json_str(claims_of(&t, parameter(&t, "assertion"), 0), "kid"), "kid-1"));
    assert_true(str_is(json_str(claims_of(&t, parameter(&t, "assertion"), 1), "iss"), "typed@p.iam.gserviceaccount.com"));
    end(&t);
}

static void a_github_app_shows_its_assertion_and_gets_an_installations_token(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "github_app", NULL, "{\"app_id\":\"12345\"}");
    private_key(&t);
    t.p.client_id = STR("");
    t.p.token_url = STR("https://api.github.com/app/installations/7/access_tokens");
    assert_int_equal(build(&t), ERR_NONE);
    assert_true(str_is(t.r.http.url, "https://api.github.com/app/installations/7/access_tokens"));
    struct str shown = STR_NONE;
    for (size_t i = 0; i < t.r.http.header_count; i++)
        if (str_is(t.r.http.headers[i][0], "Authorization"))
            shown = t.r.http.headers[i][1];
    assert_true(str_starts(shown, STR("Bearer ey")));
    assert_true(str_is(json_str(claims_of(&t, str_sub(shown, 7, shown.n), 1), "iss"), "12345"));
    answer_of(&t, 201, "{\"token\":\"ghs_1\",\"expires_at\":\"2026-09-21T15:13:20Z\",\"permissions\":{}}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GIVEN);
    assert_true(str_is(kept(&t, "access_token"), "ghs_1"));
    assert_int_equal(t.got.answer.expires_in_ms, 3600000);
    answer_of(&t, 404, "{\"message\":\"Not Found\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GRANT_OVER);
    assert_true(str_is(t.got.answer.description, "Not Found"));
    answer_of(&t, 503, "{\"message\":\"later\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_LATER);
    end(&t);
}

static void a_key_that_cannot_be_read_says_where_it_is(void **state)
{
    (void)state;
    struct trial t;
    begin(&t, "oauth2_jwt_bearer", NULL, NULL);
    secret(&t, "private_key", STR("not a key at all, but secret"));
    assert_int_equal(build(&t), ERR_FIELD_INVALID);
    assert_string_equal(t.why.pointer, "/credentials/private_key");
    assert_null(strstr(t.why.subject, "but secret"));
    end(&t);
}

/* ---- custom_oauth ---- */

#define LOGIN_ENTRY(more)                                                                                                          \
    "{\"login_hosts\":[\"login.example.com\"],\"login\":{\"url\":\"https://login.example.com/{{fields.tenant}}/"                   \
    "auth?k={{credentials.key}}\","                                                                                                \
    "\"headers\":{\"X-Key\":\"{{credentials.key}}\"},\"body\":{\"user\":\"{{credentials.user}}\",\"n\":1},"                        \
    "\"values\":{\"access_token\":\"$.data['the.token']\",\"session\":\"/session\"},\"expires_in\":\"/ttl\"" more "}}"

static void custom(struct trial *t, const char *options, const char *fields)
{
    begin(t, "custom_oauth", options, fields);
    t->q.profile = NULL;
    secret(t, "key", STR("k&1"));
    secret(t, "user", STR("jo\"e\\"));
}

static void a_login_encodes_each_value_for_its_place(void **state)
{
    (void)state;
    struct trial t;
    custom(&t, LOGIN_ENTRY(""), "{\"tenant\":\"a/../b\"}");
    expect_body(&t, "{\"user\":\"jo\\\"e\\\\\",\"n\":1}");
    assert_true(str_is(t.r.http.url, "https://login.example.com/a%2F..%2Fb/auth?k=k%261"));
    assert_true(str_is(t.r.http.method, "POST"));
    assert_int_equal(t.r.http.header_count, 3);
    assert_true(str_is(t.r.http.headers[1][1], "application/json"));
    assert_true(str_is(t.r.http.headers[2][0], "X-Key") && str_is(t.r.http.headers[2][1], "k&1"));
    end(&t);
    custom(&t, "{\"login_hosts\":[\"*.example.com\"],\"login\":{\"url\":\"https://login.example.com/\",\"values\":{\"t\":\"/t\"},"
               "\"body\":\"u={{credentials.user}}&k={{credentials.key}}&again={{credentials.key}}\"}}", NULL);
    expect_body(&t, "u=jo%22e%5C&k=k%261&again=k%261");
    end(&t);
    custom(&t, "{\"login_hosts\":[\"*.example.com\"],\"login\":{\"url\":\"https://login.example.com/\",\"values\":{\"t\":\"/t\"},"
               "\"content_type\":\"text/xml\",\"body\":\"<k>{{credentials.key}}</k>\"}}", NULL);
    expect_body(&t, "<k>k&amp;1</k>");
    end(&t);
}

static void a_login_goes_to_its_own_hosts_and_the_allowed_domain_only(void **state)
{
    (void)state;
    static const struct { const char *url, *domain; enum err e; } rows[] = {
        { "https://login.example.com/x", "", ERR_NONE },
        { "https://api.acme.com/login", "api.acme.com", ERR_NONE },
        { "https://api.acme.com/login", "*.acme.com", ERR_NONE },
        { "https://api.acme.com/login", "other.acme.com", ERR_DOMAIN_NOT_ALLOWED },
        { "https://api.acme.com/login", "", ERR_DOMAIN_NOT_ALLOWED },
        { "https://evil.example.com/x", "", ERR_DOMAIN_NOT_ALLOWED },
        { "https://login.example.com@evil.com/x", "", ERR_URL_INVALID },
        { "https://login.example.com.evil.com/x", "", ERR_DOMAIN_NOT_ALLOWED },
        { "https://evil.com\\\\@login.example.com/x", "", ERR_DOMAIN_NOT_ALLOWED },
        { "{{credentials.key}}", "", ERR_URL_INVALID },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial t;
        AUTO_BUF fields;
        buf_init(&fields, 1024);
        buf_fmt(&fields, "{\"tenant\":\"t\",\"login_url\":\"%s\"}", rows[i].url);
        buf_char(&fields, 0);
        custom(&t, LOGIN_ENTRY(""), fields.p);
        t.q.allowed_domain = str_of(rows[i].domain);
        enum err e = build(&t);
        if (e != rows[i].e && !(rows[i].e == ERR_DOMAIN_NOT_ALLOWED && e == ERR_URL_INVALID))
            fail_msg("%s within %s: error %d", rows[i].url, rows[i].domain, e);
        end(&t);
    }
}

static void what_a_login_gives_is_kept_under_its_names(void **state)
{
    (void)state;
    struct trial t;
    custom(&t, LOGIN_ENTRY(""), NULL);
    answer_of(&t, 200, "{\"data\":{\"the.token\":\"at-1\"},\"session\":42,\"ttl\":\"600\"}");
    assert_int_equal(t.got.answer.outcome, TOKEN_GIVEN);
    assert_true(str_is(kept(&t, "access_token"), "at-1"));
    assert_true(str_is(kept(&t, "session"), "42"));
    assert_int_equal(t.got.count, 2);
    assert_int_equal(t.got.answer.expires_in_ms, 600000);
    end(&t);
    custom(&t, LOGIN_ENTRY(",\"lifetime\":\"1h\""), NULL);
    answer_of(&t, 200, "{\"data\":{\"the.token\":\"at-1\"},\"session\":\"s\"}");
    assert_int_equal(t.got.answer.expires_in_ms, 3600000);
    end(&t);
}

static void a_login_that_fails_is_told_apart_by_what_can_be_done(void **state)
{
    (void)state;
    static const struct { const char *more; int status; const char *body; enum token_outcome outcome;
    } rows[] = {
        { "", 401, "{}", TOKEN_GRANT_OVER },
        { "", 403, "<h1>no</h1>", TOKEN_GRANT_OVER },
        { "", 400, "{\"error\":\"bad user\"}", TOKEN_ODD },
        { "", 404, "", TOKEN_ASKED_WRONG },
        { "", 429, "", TOKEN_LATER },
        { "", 503, "", TOKEN_LATER },
        { "", 200, "{\"data\":{\"the.token\":\"at\"}}", TOKEN_ODD },                      /* no session */
        { "", 200, "{\"data\":{\"the.token\":\"a\\nb\"},\"session\":\"s\"}", TOKEN_ODD }, /* would break a header */
        { "", 200, "{\"data\":{\"the.token\":\"at\"},\"session\":\"\"}", TOKEN_ODD },
        { "", 200, "{\"data\":", TOKEN_UNKNOWN },
        { "", 200, "<html>", TOKEN_UNKNOWN },
        { ",\"success\":{\"status\":[201]}", 200, "{\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}", TOKEN_ODD },
        { ",\"success\":{\"status\":[200,201]}", 201, "{\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}", TOKEN_GIVEN },
        { ",\"success\":{\"pointer\":\"/ok\"}", 200, "{\"ok\":true,\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}",
          TOKEN_GIVEN },
        { ",\"success\":{\"pointer\":\"/ok\"}", 200, "{\"ok\":false,\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}",
          TOKEN_ODD },
        { ",\"success\":{\"pointer\":\"/code\",\"equals\":\"0\"}", 200,
          "{\"code\":0,\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}", TOKEN_GIVEN },
        { ",\"success\":{\"pointer\":\"/code\",\"equals\":\"0\"}", 200, "{\"data\":{\"the.token\":\"at\"},\"session\":\"s\"}",
          TOKEN_ODD },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial t;
        AUTO_BUF entry;
        buf_init(&entry, 4096);
        buf_fmt(&entry, "%s", LOGIN_ENTRY(""));
        entry.n -= 2;
        buf_fmt(&entry, "%s}}", rows[i].more);
        buf_char(&entry, 0);
        custom(&t, entry.p, NULL);
        answer_of(&t, rows[i].status, rows[i].body);
        if (t.got.answer.outcome != rows[i].outcome || (t.got.count != 0) != (rows[i].outcome == TOKEN_GIVEN))
            fail_msg("row %zu: outcome %d, %zu values", i, t.got.answer.outcome, t.got.count);
        end(&t);
    }
}

static void a_placeholder_without_a_credential_sends_nothing(void **state)
{
    (void)state;
    struct trial t;
    custom(&t,
           "{\"login_hosts\":[\"login.example.com\"],\"login\":{\"url\":\"https://login.example.com/\",\"values\":{\"t\":\"/t\"},"
           "\"body\":\"{{credentials.absent}}\"}}",
           NULL);
    assert_int_equal(build(&t), ERR_FIELD_INVALID);
    assert_non_null(strstr(t.why.subject, "credentials.absent"));
    end(&t);
}

/* ---- introspection (9.9), device code (8.9) ---- */

static void introspection_says_dead_only_where_it_says_so(void **state)
{
    (void)state;
    static const struct { int status; const char *body; enum introspected says; wall_ms expires; } rows[] = {
        { 200, "{\"active\":false}", INTROSPECTED_DEAD, 0 },
        { 200, "{\"active\":true}", INTROSPECTED_ACTIVE, 0 },
        { 200, "{\"active\":true,\"exp\":1790000000,\"scope\":\"a\"}", INTROSPECTED_ACTIVE, NOW },
        { 200, "{\"active\":true,\"exp\":\"soon\"}", INTROSPECTED_ACTIVE, 0 },
        { 200, "{\"active\":\"false\"}", INTROSPECTED_UNKNOWN, 0 },
        { 200, "{\"active\":true,\"active\":false}", INTROSPECTED_UNKNOWN, 0 },
        { 200, "{}", INTROSPECTED_UNKNOWN, 0 },
        { 200, "", INTROSPECTED_UNKNOWN, 0 },
        { 401, "{\"active\":false}", INTROSPECTED_UNKNOWN, 0 },
        { 503, "", INTROSPECTED_UNKNOWN, 0 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fetch_answer f = { .status = rows[i].status, .body = str_of(rows[i].body) };
        wall_ms expires;
        assert_int_equal(introspection_read(&f, &expires), rows[i].says);
        assert_int_equal(expires, rows[i].expires);
    }
    struct trial t;
    begin(&t, "oauth2_authorization_code", NULL, NULL);
    AUTO_SECRET token = secret_from(STR("at-1"));
    assert_int_equal(introspection_build(t.a, &t.p, token, STR("access_token"), NOW, &t.r, &t.why), ERR_NOT_IMPLEMENTED);
    t.p.introspection_url = STR("https://as.example.com/introspect");
    assert_int_equal(introspection_build(t.a, &t.p, token, STR("access_token"), NOW, &t.r, &t.why), ERR_NONE);
    assert_true(str_is(t.r.http.body, "token=at-1&token_type_hint=access_token&client_id=app"));
    assert_true(str_is(t.r.http.url, "https://as.example.com/introspect"));
    end(&t);
}

static enum err device(struct arena *a, const char *body, struct device_code *out)
{
    struct fault why;
    struct fetch_answer f = { .status = 200, .body = str_of(body) };
    return device_code_read(a, &f, out, &why);
}

static void a_device_codes_answer_is_read_strictly_where_people_see_it(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(4096);
    struct device_code d;
    struct token_param params[DEVICE_PARAMS];
    assert_int_equal(
        device(a,
               "{\"device_code\":\"dc\",\"user_code\":\"WDJB-MJHT\",\"verification_uri\":\"https://e.com/d\",\"expires_in\":1800}",
               &d),
        ERR_NONE);
    assert_true(str_is(d.user_code, "WDJB-MJHT") && str_is(d.uri, "https://e.com/d") && !d.uri_complete.n);
    assert_int_equal(d.interval_ms, 5000);
    assert_int_equal(d.expires_in_ms, 1800000);
    device_code_params(&d, params);
    assert_true(str_is(params[1].value, "dc"));
    device_code_end(&d);
    assert_int_equal(device(a,
                            "{\"device_code\":\"dc\",\"user_code\":\"X\",\"verification_url\":\"https://e.com/"
                            "d\",\"expires_in\":\"99999\",\"interval\":7,"
                            "\"verification_uri_complete\":\"javascript:alert(1)\"}",
                            &d),
                     ERR_NONE);
    assert_int_equal(d.interval_ms, 7000);
    assert_int_equal(d.expires_in_ms, DEVICE_LIFETIME_MOST_MS);
    assert_int_equal(d.uri_complete.n, 0);
    device_code_end(&d);
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"device_code\":\"dc\",\"user_code\":\"X\"}",
        "{\"user_code\":\"X\",\"verification_uri\":\"https://e.com\"}",
        "{\"device_code\":\"dc\",\"user_code\":\"X\",\"verification_uri\":\"ftp://e.com\"}",
        "{\"device_code\":\"dc\",\"user_code\":\"X\",\"verification_uri\":\"javascript:alert(1)\"}",
        "{\"device_code\":\"dc\",\"user_code\":\"a\\nb\",\"verification_uri\":\"https://e.com\"}",
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(device(a, bad[i], &d), ERR_UPSTREAM_INVALID);
}

static void a_device_is_never_asked_about_faster_than_allowed(void **state)
{
    (void)state;
    assert_int_equal(device_code_next(5000, TOKEN_PENDING, 0), 5000);
    assert_int_equal(device_code_next(5000, TOKEN_SLOW_DOWN, 0), 10000);
    assert_int_equal(device_code_next(10000, TOKEN_SLOW_DOWN, 0), 15000);
    assert_int_equal(device_code_next(5000, TOKEN_UNKNOWN, 0), 10000);
    assert_int_equal(device_code_next(5000, TOKEN_LATER, 60000), 60000);
    assert_int_equal(device_code_next(250000, TOKEN_LATER, 0), DEVICE_INTERVAL_MOST_MS);
    static const enum token_outcome over[] = { TOKEN_GIVEN, TOKEN_DENIED, TOKEN_CODE_EXPIRED, TOKEN_GRANT_OVER, TOKEN_CLIENT_WRONG,
                                               TOKEN_ASKED_WRONG, TOKEN_ODD };
    for (size_t i = 0; i < COUNT(over); i++)
        assert_int_equal(device_code_next(5000, over[i], 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_has_its_row_and_others_have_none),
        cmocka_unit_test(a_code_is_changed_and_then_refreshed_and_without_either_a_person_is_needed),
        cmocka_unit_test(a_refresh_token_that_is_not_replaced_goes_on),
        cmocka_unit_test(a_new_grant_inherits_no_refresh_token),
        cmocka_unit_test(client_credentials_are_fetched_again_with_their_scopes),
        cmocka_unit_test(a_lifetime_that_the_answer_does_not_say_is_the_connectors),
        cmocka_unit_test(a_security_token_stands_behind_the_password),
        cmocka_unit_test(the_organisation_goes_along_as_the_resource),
        cmocka_unit_test(what_repeats_a_secret_is_not_said),
        cmocka_unit_test(a_jwt_bearer_grant_says_who_asks_for_whom),
        cmocka_unit_test(a_token_is_exchanged_for_one_for_other_ears),
        cmocka_unit_test(a_token_is_exchanged_for_several_ears_at_once),
        cmocka_unit_test(a_subject_that_nobody_gave_is_signed_for_each_exchange),
        cmocka_unit_test(what_an_exchange_gives_may_be_no_access_token_when_that_was_asked_for),
        cmocka_unit_test(a_google_key_file_says_who_signs_and_sub_stands_only_where_somebody_is_impersonated),
        cmocka_unit_test(a_google_key_alone_goes_with_the_address_and_id_that_were_typed),
        cmocka_unit_test(a_github_app_shows_its_assertion_and_gets_an_installations_token),
        cmocka_unit_test(a_key_that_cannot_be_read_says_where_it_is),
        cmocka_unit_test(a_login_encodes_each_value_for_its_place),
        cmocka_unit_test(a_login_goes_to_its_own_hosts_and_the_allowed_domain_only),
        cmocka_unit_test(what_a_login_gives_is_kept_under_its_names),
        cmocka_unit_test(a_login_that_fails_is_told_apart_by_what_can_be_done),
        cmocka_unit_test(a_placeholder_without_a_credential_sends_nothing),
        cmocka_unit_test(introspection_says_dead_only_where_it_says_so),
        cmocka_unit_test(a_device_codes_answer_is_read_strictly_where_people_see_it),
        cmocka_unit_test(a_device_is_never_asked_about_faster_than_allowed),
    };
    return cmocka_run_group_tests_name("auth/obtain", tests, NULL, NULL);
}
