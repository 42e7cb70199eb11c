/* How a session of an AWS role is asked for, and what is made of the answers of the token service. */
#include "room.h"

#include "auth/obtain.h"

#define NOW 1440938160000 /* 2015-08-30T12:36:00Z */

static struct trial *role_trial(const char *fields)
{
    struct trial *t = trial_new("aws_assume_role", "{\"service\":\"lambda\"}", fields);
    trial_secret(t, "access_key_id", STR("AKIDEXAMPLE"));
    trial_secret(t, "secret_access_key", STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"));
    return t;
}

static struct str header_of(const struct fetch_request *q, const char *name)
{
    for (size_t i = 0; i < q->header_count; i++)
        if (str_is(q->headers[i][0], name))
            return q->headers[i][1];
    return STR_NONE;
}

static void a_session_is_asked_of_the_regions_own_service_with_the_external_id(void **state)
{
    (void)state;
    struct trial *t =
        role_trial("{\"region\":\"eu-west-3\",\"role_arn\":\"arn:aws:iam::123456789012:role/a/b\",\"external_id\":\"ext/1\","
                   "\"session_name\":\"me@acme\",\"duration\":900}");
    const struct obtain *o = obtain_find(STR("aws_assume_role"));
    struct obtain_input q = { .in = &t->in, .now = NOW };
    struct token_request r = { 0 };
    assert_int_equal(trial_check(t), ERR_NONE);
    assert_non_null(o);
    assert_int_equal(o->build(t->a, &q, &r, &t->why), ERR_NONE);
    assert_true(str_is(r.http.method, "POST") && str_is(r.http.url, "https://sts.eu-west-3.amazonaws.com/"));
    assert_true(str_is(r.http.body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa%2Fb"
                                    "&RoleSessionName=me%40acme&DurationSeconds=900&ExternalId=ext%2F1"));
    assert_true(str_is(header_of(&r.http, "accept"), "application/json"));
    assert_true(str_is(header_of(&r.http, "x-amz-date"), "20150830T123600Z"));
    assert_true(str_starts(header_of(&r.http, "authorization"),
                           STR("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-3/sts/aws4_request, "
                               "SignedHeaders=content-type;host;x-amz-date, Signature=")));
    token_request_end(&r);
    trial_end(t);
    t = role_trial("{\"region\":\"cn-north-1\",\"role_arn\":\"arn:aws-cn:iam::123456789012:role/a\"}");
    q.in = &t->in;
    assert_int_equal(o->build(t->a, &q, &r, &t->why), ERR_NONE);
    assert_true(str_is(r.http.url, "https://sts.cn-north-1.amazonaws.com.cn/"));
    token_request_end(&r);
    trial_end(t);
}

static struct obtained answered(struct trial *t, int status, const char *body)
{
    struct obtained out;
    struct fetch_answer f = { .status = status, .body = str_of(body) };
    struct obtain_input q = { .in = &t->in, .now = NOW };
    obtain_find(STR("aws_assume_role"))->read(t->a, &q, &f, NOW, &out);
    return out;
}

static void a_session_is_read_from_json_and_from_xml(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"AssumeRoleResponse\":{\"AssumeRoleResult\":{\"AssumedRoleUser\":{\"Arn\":\"a\"},\"Credentials\":{\"AccessKeyId\":"
        "\"ASIA1\","
        "\"SecretAccessKey\":\"sec\",\"SessionToken\":\"tok\",\"Expiration\":1.44094176E9}}}}",
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>"
        "<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>sec</SecretAccessKey><SessionToken>tok</SessionToken>"
        "<Expiration>2015-08-30T13:36:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    };
    struct trial *t = role_trial("{}");
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct obtained o = answered(t, 200, bodies[i]);
        assert_int_equal(o.answer.outcome, TOKEN_GIVEN);
        assert_int_equal(o.answer.expires_in_ms, 3600 * 1000);
        assert_int_equal(o.count, 3);
        assert_true(str_is(secret_str(o.values[0].value), "ASIA1") && str_is(secret_str(o.values[1].value), "sec") &&
                    str_is(secret_str(o.values[2].value), "tok"));
        obtained_end(&o);
    }
    trial_end(t);
}

static void refusals_say_whose_fault_they_are(void **state)
{
    (void)state;
    static const struct { int status; const char *body; enum token_outcome outcome; const char *error;
    } rows[] = {
        { 403, "{\"Error\":{\"Code\":\"InvalidClientTokenId\",\"Message\":\"m\\n\",\"Type\":\"Sender\"},\"RequestId\":\"r\"}",
          TOKEN_CLIENT_WRONG, "InvalidClientTokenId" },
        { 403, "{\"Error\":{\"Code\":\"SignatureDoesNotMatch\",\"Message\":\"m\"}}", TOKEN_CLIENT_WRONG, "SignatureDoesNotMatch" },
        { 403, "{\"Error\":{\"Code\":\"AccessDenied\",\"Message\":\"not authorized\"}}", TOKEN_ASKED_WRONG, "AccessDenied" },
        { 403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>x</Message></Error></ErrorResponse>", TOKEN_ASKED_WRONG,
          "AccessDenied" },
        { 400, "{\"Error\":{\"Code\":\"Throttling\"}}", TOKEN_LATER, "Throttling" },
        { 503, "busy", TOKEN_LATER, "" },
        { 200, "{\"AssumeRoleResponse\":{}}", TOKEN_UNKNOWN, "" },
        { 200, "{\"AssumeRole", TOKEN_UNKNOWN, "" },
        { 200, "", TOKEN_UNKNOWN, "" },
    };
    struct trial *t = role_trial("{}");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct obtained o = answered(t, rows[i].status, rows[i].body);
        if (o.answer.outcome != rows[i].outcome || !str_is(o.answer.error, rows[i].error))
            fail_msg("row %zu: outcome %d, %.*s", i, o.answer.outcome, STR_ARG(o.answer.error));
        assert_int_equal(o.count, 0);
        assert_false(str_has_control(o.answer.description));
        obtained_end(&o);
    }
    trial_end(t);
}

static void calls_are_signed_with_the_sessions_key_and_wait_for_it(void **state)
{
    (void)state;
    struct trial *t = role_trial("{\"region\":\"eu-west-3\",\"role_arn\":\"arn:aws:iam::123456789012:role/a\"}");
    struct signer *s = NULL;
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), ERR_NEEDS_AUTH);
    assert_int_equal(t->method->signer_new(t->a, &t->in, &s, &t->why), ERR_NONE);
    assert_null(s);
    const struct auth_secret granted[] = { { STR("role_access_key_id"), secret_from(STR("ASIA1")) },
                                           { STR("role_secret_access_key"), secret_from(STR("sec")) },
                                           { STR("role_session_token"), secret_from(STR("tok")) } };
    t->in.granted = granted;
    t->in.granted_count = COUNT(granted);
    trial_expect(t, 3, INJECT_HEADER, "X-Amz-Security-Token", STR("tok"));
    assert_int_equal(t->method->signer_new(t->a, &t->in, &s, &t->why), ERR_NONE);
    struct sign_request q = { .method = STR("GET"), .host = STR("h"), .path = STR("/"), .now = NOW };
    struct signature out = { 0 };
    assert_int_equal(t->method->sign(s, t->a, &q, &t->out, &out, &t->why), ERR_NONE);
    assert_true(str_starts(out.values[0], STR("AWS4-HMAC-SHA256 Credential=ASIA1/20150830/eu-west-3/lambda/aws4_request")));
    t->method->signer_free(s);
    for (size_t i = 0; i < COUNT(granted); i++)
        secret_end((struct secret *)(uintptr_t)&granted[i].value);
    trial_end(t);
}

static void what_sts_would_refuse_is_refused_first(void **state)
{
    (void)state;
    static const struct { const char *fields, *pointer; } rows[] = {
        { "{\"region\":\"r\"}", "/fields/role_arn" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::12345:role/a\"}", "/fields/role_arn" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::123456789012:user/a\"}", "/fields/role_arn" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::123456789012:role/\"}", "/fields/role_arn" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::123456789012:role/a\",\"session_name\":\"a b\"}", "/fields/session_name" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::123456789012:role/a\",\"duration\":60}", "/fields/duration" },
        { "{\"region\":\"r\",\"role_arn\":\"arn:aws:iam::123456789012:role/a\",\"duration\":1e3}", "/fields/duration" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trial *t = role_trial(rows[i].fields);
        assert_true(trial_check(t) != ERR_NONE);
        assert_string_equal(t->why.pointer, rows[i].pointer);
        trial_end(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_asked_of_the_regions_own_service_with_the_external_id),
        cmocka_unit_test(a_session_is_read_from_json_and_from_xml),
        cmocka_unit_test(refusals_say_whose_fault_they_are),
        cmocka_unit_test(calls_are_signed_with_the_sessions_key_and_wait_for_it),
        cmocka_unit_test(what_sts_would_refuse_is_refused_first),
    };
    return cmocka_run_group_tests_name("auth/aws_role", tests, NULL, NULL);
}
