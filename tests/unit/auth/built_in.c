/* Each built-in connector, set up as its users would, down to the bytes that its calls carry. */
#include "room.h"

#include "catalog/setup.h"

struct wire {
    enum inject_where where;
    const char *name, *value;
};

static const struct example {
    const char *connector, *auth, *fields, *credentials, *domain; /* domain: typed, or NULL */
    const char *base_url, *allowed, *verify;
    struct wire injected[4];
    const char *headers[4][2];
} examples[] = {
    { "zendesk",
      "basic",
      "{\"subdomain\":\"acme\"}",
      "{\"email\":\"joe@acme.com\",\"api_token\":\"tok123\\n\"}",
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      { { INJECT_HEADER, "Authorization", "Basic am9lQGFjbWUuY29tL3Rva2VuOnRvazEyMw==" } },
      { { NULL } } },
    { "zendesk",
      "basic",
      "{\"base_url\":\"https://acme.zendesk.com\"}",
      "{\"username\":\"joe@acme.com/token\",\"password\":\"tok123\"}",
      NULL,
      "https://acme.zendesk.com",
      "acme.zendesk.com",
      "/api/v2/users/me.json",
      { { INJECT_HEADER, "Authorization", "Basic am9lQGFjbWUuY29tL3Rva2VuOnRvazEyMw==" } },
      { { NULL } } },
    { "github",
      "pat",
      NULL,
      "{\"token\":\"github_pat_11AA\"}",
      NULL,
      "https://api.github.com",
      "api.github.com",
      "/user",
      { { INJECT_HEADER, "Authorization", "Bearer github_pat_11AA" } },
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } } },
    { "github",
      "pat",
      "{\"base_url\":\"https://git.acme.com/api/v3\"}",
      "{\"token\":\"ghp_1\"}",
      NULL,
      "https://git.acme.com/api/v3",
      "git.acme.com",
      "/user",
      { { INJECT_HEADER, "Authorization", "Bearer ghp_1" } },
      { { "Accept", "application/vnd.github+json" }, { "X-GitHub-Api-Version", "2022-11-28" } } },
    { "stripe",
      "api_key",
      NULL,
      "{\"value\":\" rk_test_abc \"}",
      NULL,
      "https://api.stripe.com",
      "api.stripe.com",
      "/v1/balance",
      { { INJECT_HEADER, "Authorization", "Bearer rk_test_abc" } },
      { { NULL } } },
    { "stripe",
      "api_key",
      "{\"stripe_account\":\"acct_1\"}",
      "{\"api_key\":\"sk_test_abc\"}",
      NULL,
      "https://api.stripe.com",
      "api.stripe.com",
      "/v1/balance",
      { { INJECT_HEADER, "Authorization", "Bearer sk_test_abc" } },
      { { "Stripe-Account", "acct_1" } } },
    { "slack",
      "bearer",
      NULL,
      "{\"bot_token\":\"xoxb-1-2-a\"}",
      NULL,
      "https://slack.com/api",
      "slack.com",
      "/auth.test",
      { { INJECT_HEADER, "Authorization", "Bearer xoxb-1-2-a" } },
      { { NULL } } },
    { "openai",
      "bearer",
      "{\"organization\":\"org-1\"}",
      "{\"api_key\":\"sk-proj-a\"}",
      NULL,
      "https://api.openai.com/v1",
      "api.openai.com",
      "/models",
      { { INJECT_HEADER, "Authorization", "Bearer sk-proj-a" } },
      { { "OpenAI-Organization", "org-1" } } },
    { "http",
      "none",
      "{\"base_url\":\"https://api.acme.com\"}",
      NULL,
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { 0 } },
      { { NULL } } },
    { "http",
      "api_key",
      "{\"base_url\":\"https://api.acme.com/v2\",\"header\":\"X-Api-Key\",\"verify_path\":\"/me\"}",
      "{\"value\":\"abc\"}",
      "*.acme.com",
      "https://api.acme.com/v2",
      "*.acme.com",
      "/me",
      { { INJECT_HEADER, "X-Api-Key", "abc" } },
      { { NULL } } },
    { "http",
      "api_key",
      "{\"base_url\":\"https://api.acme.com\",\"query\":\"key\"}",
      "{\"value\":\"a b\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_QUERY, "key", "a%20b" } },
      { { NULL } } },
    { "http",
      "basic",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"username\":\"Aladdin\",\"password\":\"open sesame\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" } },
      { { NULL } } },
    { "http",
      "basic",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"username\":\"key\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Basic a2V5Og==" } },
      { { NULL } } },
    { "http",
      "bearer",
      "{\"base_url\":\"https://api.acme.com\"}",
      "{\"token\":\"t\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Bearer t" } },
      { { NULL } } },
    { "http",
      "pat",
      "{\"base_url\":\"https://api.acme.com\",\"prefix\":\"Token\",\"expires_on\":\"2027-01-31\"}",
      "{\"token\":\"t\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "Authorization", "Token t" } },
      { { NULL } } },
    { "http",
      "custom_fields",
      "{\"base_url\":\"https://api.acme.com\",\"headers\":{\"X-Key\":\"v1 "
      "{{credentials.k}}\"},\"query\":{\"s\":\"{{credentials.s}}\"},"
      "\"body\":{\"c\":\"{{credentials.k}}\"}}",
      "{\"k\":\"kk\",\"s\":\"s/s\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_HEADER, "X-Key", "v1 kk" }, { INJECT_QUERY, "s", "s%2Fs" }, { INJECT_BODY, "c", "kk" } },
      { { NULL } } },
    { "http",
      "aws_sigv4",
      "{\"base_url\":\"https://lambda.eu-west-3.amazonaws.com\",\"region\":\"eu-west-3\",\"service\":\"lambda\"}",
      "{\"access_key\":\"ASIAEXAMPLE\",\"secret_key\":\"wJalr/+=\",\"session_token\":\"IQoJ\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" },
        { INJECT_SIGNED, "X-Amz-Date", "" },
        { INJECT_SIGNED, "X-Amz-Content-Sha256", "" },
        { INJECT_HEADER, "X-Amz-Security-Token", "IQoJ" } },
      { { NULL } } },
    { "http",
      "aws_assume_role",
      "{\"base_url\":\"https://lambda.eu-west-3.amazonaws.com\",\"region\":\"eu-west-3\",\"service\":\"lambda\","
      "\"role_arn\":\"arn:aws:iam::123456789012:role/raccord\"}",
      "{\"access_key_id\":\"AKIAEXAMPLE\",\"secret_access_key\":\"wJalr/+=\"}",
      NULL,
      "https://lambda.eu-west-3.amazonaws.com",
      "lambda.eu-west-3.amazonaws.com",
      "",
      { { INJECT_HEADER, NULL, NULL } },
      { { NULL } } },
    { "http",
      "digest",
      "{\"base_url\":\"https://camera.acme.com\"}",
      "{\"login\":\"joe\",\"password\":\" p \"}",
      NULL,
      "https://camera.acme.com",
      "camera.acme.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" } },
      { { NULL } } },
    { "http",
      "oauth1",
      "{\"base_url\":\"https://1234567-sb1.suitetalk.api.netsuite.com\",\"realm\":\"1234567_SB1\"}",
      "{\"consumer_key\":\"ck\",\"consumer_secret\":\"cs\",\"token_id\":\"tk\",\"token_secret\":\"ts\"}",
      NULL,
      "https://1234567-sb1.suitetalk.api.netsuite.com",
      "1234567-sb1.suitetalk.api.netsuite.com",
      "",
      { { INJECT_SIGNED, "Authorization", "" } },
      { { NULL } } },
    { "http",
      "hmac",
      "{\"base_url\":\"https://api.acme.com\",\"signed\":\"{{timestamp}}{{method}}{{target}}{{body}}\",\"header\":\"X-Sign\","
      "\"timestamp_header\":\"X-Time\",\"key_header\":\"X-Key\"}",
      "{\"secret\":\"s\",\"key_id\":\"k1\"}",
      NULL,
      "https://api.acme.com",
      "api.acme.com",
      "",
      { { INJECT_SIGNED, "X-Sign", "" }, { INJECT_SIGNED, "X-Time", "" }, { INJECT_HEADER, "X-Key", "k1" } },
      { { NULL } } },
};

static void expect_text(const char *what, const struct example *x, struct str is, const char *wanted)
{
    if (!str_is(is, wanted))
        fail_msg("%s %s: %s is “%.*s”, wanted “%s”", x->connector, x->auth, what, STR_ARG(is), wanted);
}

static const struct json *read_json(struct trial *t, const char *text)
{
    return trial_json(t, text);
}

static void try_example(const struct catalog *catalog, const struct example *x)
{
    struct trial *t = trial_new(x->auth, NULL, NULL);
    struct setup s;
    if (setup_check(t->a, catalog_find(catalog, str_of(x->connector)), str_of(x->auth), read_json(t, x->fields),
                    read_json(t, x->credentials), str_of(x->domain), NULL, false, &s, &t->why))
        fail_msg("%s %s: refused at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    assert_true(s.has_credentials);
    expect_text("base URL", x, s.base_url, x->base_url);
    expect_text("allowed domain", x, s.allowed_domain, x->allowed);
    expect_text("verify path", x, s.target.verify_path, x->verify);

    t->in.options = s.auth->options;
    t->in.fields = s.fields_json;
    for (size_t i = 0; i < s.secret_count; i++)
        t->secrets[t->in.secret_count++] = (struct auth_secret){ s.secrets[i].name, secret_copy(s.secrets[i].value) };
    setup_end(&s);
    if (trial_check(t))
        fail_msg("%s %s: auth refuses at %s: %s", x->connector, x->auth, t->why.pointer, t->why.subject);
    /* What has to be fetched first sends nothing of its own accord. */
    bool fetched = !x->injected[0].name && !str_is(str_of(x->auth), "none");
    assert_int_equal(t->method->prepare(t->a, &t->in, &t->out, &t->why), fetched ? ERR_NEEDS_AUTH : ERR_NONE);
    size_t n = 0;
    for (; n < COUNT(x->injected) && x->injected[n].name; n++)
        trial_expect(t, n, x->injected[n].where, x->injected[n].name, str_of(x->injected[n].value));
    assert_int_equal(t->out.count, n);

    for (n = 0; n < COUNT(x->headers) && x->headers[n][0]; n++) {
        expect_text("header", x, s.target.headers[n][0], x->headers[n][0]);
        expect_text("header value", x, s.target.headers[n][1], x->headers[n][1]);
    }
    assert_int_equal(s.target.header_count, n);
    trial_end(t);
}

static struct catalog *built_in(struct arena *a)
{
    struct catalog *c = NULL;
    struct fault why = { 0 };
    assert_int_equal(catalog_load(a, STR_NONE, &c, &why), ERR_NONE);
    return c;
}

static void each_connector_set_up_by_example_sends_exactly_these_bytes(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < COUNT(examples); i++)
        try_example(c, &examples[i]);
}

static void every_auth_type_of_every_connector_has_an_example(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < catalog_count(c); i++)
        for (size_t m = 0; m < catalog_at(c, i)->auth_count; m++) {
            bool found = false;
            for (size_t x = 0; x < COUNT(examples); x++)
                found = found || (str_is(catalog_at(c, i)->id, examples[x].connector) &&
                                  str_is(catalog_at(c, i)->auth[m].type, examples[x].auth));
            if (!found)
                fail_msg("%.*s %.*s has none", STR_ARG(catalog_at(c, i)->id), STR_ARG(catalog_at(c, i)->auth[m].type));
        }
}

/* catalog/ does not know auth/: here the two are held against each other. */
static void every_connector_offers_only_methods_that_exist_with_the_credentials_they_take(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(65536);
    struct catalog *c = built_in(a);
    for (size_t i = 0; i < catalog_count(c); i++)
        for (size_t m = 0; m < catalog_at(c, i)->auth_count; m++) {
            const struct connector_auth *offered = &catalog_at(c, i)->auth[m];
            const struct auth_method *method = auth_find(offered->type);
            if (!method)
                fail_msg("%.*s offers %.*s", STR_ARG(catalog_at(c, i)->id), STR_ARG(offered->type));
            assert_int_equal(method->open_fields, offered->open_credentials);
            size_t n = 0;
            for (; !method->open_fields && method->fields[n].name; n++)
                assert_memory_equal(offered->credentials[n].key.p, method->fields[n].name, strlen(method->fields[n].name) + 1);
            assert_int_equal(n, offered->credential_count);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_connector_set_up_by_example_sends_exactly_these_bytes),
        cmocka_unit_test(every_auth_type_of_every_connector_has_an_example),
        cmocka_unit_test(every_connector_offers_only_methods_that_exist_with_the_credentials_they_take),
    };
    return cmocka_run_group_tests_name("auth/built_in", tests, NULL, NULL);
}
