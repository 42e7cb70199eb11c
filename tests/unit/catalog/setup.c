#include "room.h"

#include "catalog/setup.h"

/* What a person typed, as JSON; NULL: left out. */
struct typed {
    const char *connector, *auth, *fields, *credentials, *domain;
    const char *allow_private, *allow_http;
    bool digits_ok;
};

struct room {
    struct arena *a;
    struct catalog *catalog;
    struct setup s;
    struct fault why;
};

static int enter(void **state)
{
    struct arena *a = arena_new(64 * 1024);
    struct room *r = arena_zero(a, sizeof *r);
    r->a = a;
    assert_int_equal(catalog_load(a, STR_NONE, &r->catalog, &r->why), ERR_NONE);
    *state = r;
    return 0;
}

static int leave(void **state)
{
    struct room *r = *state;
    setup_end(&r->s);
    arena_free(r->a);
    return 0;
}
#define in_room(test) cmocka_unit_test_setup_teardown(test, enter, leave)

static struct egress *policy(struct room *r, const struct typed *t)
{
    struct egress *e = NULL;
    assert_int_equal(egress_new(r->a, str_of(t->allow_private), str_of(t->allow_http), STR_NONE, &e, &r->why), ERR_NONE);
    return e;
}

static enum err tried(struct room *r, struct typed t)
{
    setup_end(&r->s);
    r->why = (struct fault){ 0 };
    const struct connector *c = catalog_find(r->catalog, str_of(t.connector ? t.connector : "http"));
    return setup_check(r->a, c, str_of(t.auth ? t.auth : "none"), parsed(r->a, t.fields), parsed(r->a, t.credentials),
                       str_of(t.domain), policy(r, &t), t.digits_ok, &r->s, &r->why);
}

#define accepted(r, ...) \
    do { \
        if (tried((r), (struct typed){ __VA_ARGS__ })) \
            fail_msg("refused at %s: %s", (r)->why.pointer, (r)->why.subject); \
    } while (0)

#define refused(r, error, at, ...) \
    do { \
        enum err refused_e = tried((r), (struct typed){ __VA_ARGS__ }); \
        if (refused_e != (error) || strcmp((r)->why.pointer, (at))) \
            fail_msg("answers %s at “%s” (%s), wanted " #error " at “%s”", refused_e ? err_row(refused_e)->code : "accepted", \
                     (r)->why.pointer, (r)->why.subject, (at)); \
    } while (0)

static struct str secret_of(const struct setup *s, const char *name)
{
    for (size_t i = 0; i < s->secret_count; i++)
        if (str_is(s->secrets[i].name, name))
            return secret_str(s->secrets[i].value);
    return STR_NONE;
}

/* ---- base URL and allowed domain ---- */

static void a_base_url_gives_the_allowed_domain_when_none_is_typed(void **state)
{
    struct room *r = *state;
    accepted(r, .fields = "{\"base_url\":\" https://API.Example.com:8443/v2 \"}");
    expect_str(r->s.allowed_domain, "api.example.com");
    expect_str(r->s.base_url, "https://API.Example.com:8443/v2");
    expect_str(r->s.target.base.host, "api.example.com");
    assert_int_equal(r->s.target.base.port, 8443);
    expect_str(r->s.fields, "{\"base_url\":\"https://API.Example.com:8443/v2\",\"follow_redirects\":false}");
    expect_str(json_str(r->s.fields_json, "base_url"), "https://API.Example.com:8443/v2");
}

static void a_typed_domain_is_normalised_and_must_cover_the_base_url(void **state)
{
    struct room *r = *state;
    accepted(r, .fields = "{\"base_url\":\"https://api.example.com\"}", .domain = "API.Example.COM");
    expect_str(r->s.allowed_domain, "api.example.com");
    accepted(r, .fields = "{\"base_url\":\"https://eu.api.example.com\"}", .domain = "*.example.com");
    expect_str(r->s.allowed_domain, "*.example.com");
    accepted(r, .fields = "{\"base_url\":\"https://example.com\"}", .domain = "*.example.com");
    accepted(r, .fields = "{\"base_url\":\"https://b\\u00fccher.example\"}");
    expect_str(r->s.allowed_domain, "xn--bcher-kva.example");

    static const char *const outside[][2] = {
        { "https://api.example.org", "api.example.com" },     { "https://x.api.example.com", "api.example.com" },
        { "https://example.com", "api.example.com" },         { "https://evil-example.com", "*.example.com" },
        { "https://api.example.com.evil.net", "*.example.com" },
    };
    for (size_t i = 0; i < COUNT(outside); i++) {
        char fields[200];
        snprintf(fields, sizeof fields, "{\"base_url\":\"%s\"}", outside[i][0]);
        refused(r, ERR_DOMAIN_NOT_ALLOWED, "/fields/base_url", .fields = fields, .domain = outside[i][1]);
    }
}

static void a_domain_that_is_no_domain_is_refused(void **state)
{
    struct room *r = *state;
    static const char *const bad[] = { "*.com",
                                       "*.com.au",
                                       "*.myshopify.com",
                                       "exam*.com",
                                       "https://api.example.com",
                                       "api.example.com:8443",
                                       "api.example.com/v2",
                                       "localhost",
                                       "127.0.0.1",
                                       "10.0.0.1",
                                       "a..b" };
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(r, ERR_DOMAIN_INVALID, "/allowed_domain", .fields = "{\"base_url\":\"https://api.example.com\"}", .domain = bad[i]);
    refused(r, ERR_DOMAIN_INVALID, "/fields/base_url", .fields = "{\"base_url\":\"https://localhost:9443\"}");
    refused(r, ERR_DOMAIN_INVALID, "/fields/base_url", .fields = "{\"base_url\":\"https://192.168.1.1\"}");
}

static void a_private_host_is_fine_once_the_administrator_listed_it(void **state)
{
    struct room *r = *state;
    accepted(r, .fields = "{\"base_url\":\"https://localhost:9443/x\"}", .allow_private = "localhost:9443");
    expect_str(r->s.allowed_domain, "localhost");
    accepted(r, .fields = "{\"base_url\":\"https://127.0.0.1:9443\"}", .domain = "127.0.0.1", .allow_private = "127.0.0.1:9443");
    expect_str(r->s.allowed_domain, "127.0.0.1");
    refused(r, ERR_DOMAIN_INVALID, "/fields/base_url", .fields = "{\"base_url\":\"https://localhost:9444\"}",
            .allow_private = "localhost:9443");
}

static void plain_http_needs_the_administrators_word_for_that_host(void **state)
{
    struct room *r = *state;
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .fields = "{\"base_url\":\"http://api.example.com\"}");
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .fields = "{\"base_url\":\"ftps://api.example.com\"}");
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .fields = "{\"base_url\":\"http://127.0.0.1:8080\"}",
            .allow_private = "127.0.0.1:8080");
    accepted(r, .fields = "{\"base_url\":\"http://127.0.0.1:8080\"}", .allow_private = "127.0.0.1:8080",
             .allow_http = "127.0.0.1:8080");
    assert_false(r->s.target.base.https);
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .fields = "{\"base_url\":\"http://other.example\"}",
            .allow_http = "api.example.com");
}

static void without_an_egress_policy_only_https_and_public_names_pass(void **state)
{
    struct room *r = *state;
    const struct connector *c = catalog_find(r->catalog, STR("http"));
    struct json *plain = parsed(r->a, "{\"base_url\":\"http://api.example.com\"}"),
                *good = parsed(r->a, "{\"base_url\":\"https://api.example.com\"}");
    assert_int_equal(setup_check(r->a, c, STR("none"), plain, NULL, STR_NONE, NULL, false, &r->s, &r->why), ERR_SCHEME_NOT_ALLOWED);
    assert_int_equal(setup_check(r->a, c, STR("none"), good, NULL, STR_NONE, NULL, false, &r->s, &r->why), ERR_NONE);
}

static void a_base_url_with_user_info_query_or_fragment_is_refused_without_repeating_it(void **state)
{
    struct room *r = *state;
    static const char *const bad[] = { "https://joe:hunter2@api.example.com",
                                       "https://api.example.com?key=hunter2",
                                       "https://api.example.com/#hunter2",
                                       "https://api.example.com/?",
                                       "https://",
                                       "api.example.com",
                                       "https://exa mple.com",
                                       "https://api.example.com:99999" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char fields[200];
        snprintf(fields, sizeof fields, "{\"base_url\":\"%s\"}", bad[i]);
        refused(r, ERR_URL_INVALID, "/fields/base_url", .fields = fields);
        assert_null(strstr(r->why.subject, "hunter2"));
        assert_null(strstr(r->why.note, "hunter2"));
    }
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .fields = "{\"base_url\":\"ftp://joe:hunter2@api.example.com/x\"}");
    assert_string_equal(r->why.subject, "api.example.com");
}

/* ---- fields ---- */

static void fields_that_nobody_declared_are_refused(void **state)
{
    struct room *r = *state;
    refused(r, ERR_UNKNOWN_FIELD, "/fields/base-url", .fields = "{\"base-url\":\"https://api.example.com\"}");
    refused(r, ERR_UNKNOWN_FIELD, "/fields/header", .auth = "bearer",
            .fields = "{\"base_url\":\"https://a.example\",\"header\":\"x\"}");
    refused(r, ERR_UNKNOWN_FIELD, "/fields/a~1b", .fields = "{\"a/b\":1}");
    refused(r, ERR_FIELD_INVALID, "/fields", .fields = "[]");
    refused(r, ERR_UNKNOWN_FIELD, "/credentials/password", .auth = "bearer", .fields = "{\"base_url\":\"https://a.example\"}",
            .credentials = "{\"token\":\"t\",\"password\":\"p\"}");
}

static void a_required_field_must_be_there_and_filled(void **state)
{
    struct room *r = *state;
    refused(r, ERR_FIELD_REQUIRED, "/fields/base_url", .fields = NULL);
    refused(r, ERR_FIELD_REQUIRED, "/fields/base_url", .fields = "{}");
    refused(r, ERR_FIELD_REQUIRED, "/fields/base_url", .fields = "{\"base_url\":\"  \"}");
    refused(r, ERR_FIELD_REQUIRED, "/fields/base_url", .fields = "{\"base_url\":null}");
    refused(r, ERR_FIELD_INVALID, "/fields/base_url", .fields = "{\"base_url\":7}");
    refused(r, ERR_FIELD_REQUIRED, "/fields/subdomain", .connector = "zendesk", .auth = "basic");
}

static void presets_are_filled_in_and_typed_values_kept_in_their_type(void **state)
{
    struct room *r = *state;
    accepted(r, .auth = "bearer", .fields = "{\"follow_redirects\":true,\"base_url\":\"https://a.example\"}");
    expect_str(r->s.fields, "{\"base_url\":\"https://a.example\",\"follow_redirects\":true,\"prefix\":\"Bearer\"}");
    assert_true(r->s.target.follow_redirects);
    refused(r, ERR_FIELD_INVALID, "/fields/follow_redirects",
            .fields = "{\"base_url\":\"https://a.example\",\"follow_redirects\":\"yes\"}");
    refused(r, ERR_FIELD_INVALID, "/fields/headers", .auth = "custom_fields",
            .fields = "{\"base_url\":\"https://a.example\",\"headers\":\"x: y\"}");
    refused(r, ERR_FIELD_INVALID, "/fields/headers", .auth = "custom_fields",
            .fields = "{\"base_url\":\"https://a.example\",\"headers\":{\"x\":1}}");
}

static void a_prefix_keeps_its_blank(void **state)
{
    struct room *r = *state;
    accepted(r, .auth = "api_key",
             .fields = "{\"base_url\":\"https://a.example\",\"header\":\" authorization \",\"prefix\":\"Token \"}");
    expect_str(json_str(r->s.fields_json, "prefix"), "Token ");
    expect_str(json_str(r->s.fields_json, "header"), "authorization");
}

static void a_control_byte_in_a_field_is_refused(void **state)
{
    struct room *r = *state;
    refused(r, ERR_FIELD_INVALID, "/fields/organization", .connector = "openai", .auth = "bearer",
            .fields = "{\"organization\":\"org\\r\\nX-Evil: 1\"}");
    refused(r, ERR_FIELD_INVALID, "/fields/base_url", .fields = "{\"base_url\":\"https://a.exa\\tmple\"}");
}

static void an_illegal_header_name_is_refused_at_its_field(void **state)
{
    struct room *r = *state;
    const char *digits = "{\"base_url\":\"https://a.example\",\"header\":\"X-API-2\"}";
    refused(r, ERR_HEADER_NAME_INVALID, "/fields/header", .auth = "api_key",
            .fields = "{\"base_url\":\"https://a.example\",\"header\":\"Host\"}");
    refused(r, ERR_HEADER_NAME_INVALID, "/fields/header", .auth = "api_key", .fields = digits);
    accepted(r, .auth = "api_key", .fields = digits, .digits_ok = true);
}

static void an_expiry_is_a_day_of_the_calendar(void **state)
{
    struct room *r = *state;
    static const char *const good[] = { "2027-01-31", "2028-02-29", "2000-02-29" };
    static const char *const bad[] = { "2027-02-29", "1900-02-29", "2027-13-01",       "2027-00-10",
                                       "2027-1-31",  "31/01/2027", "2027-01-31T00:00", "+027-01-31" };
    char fields[120];
    for (size_t i = 0; i < COUNT(good); i++) {
        snprintf(fields, sizeof fields, "{\"expires_on\":\"%s\"}", good[i]);
        accepted(r, .connector = "github", .auth = "pat", .fields = fields);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(fields, sizeof fields, "{\"expires_on\":\"%s\"}", bad[i]);
        refused(r, ERR_FIELD_INVALID, "/fields/expires_on", .connector = "github", .auth = "pat", .fields = fields);
    }
}

static void a_verify_path_stays_under_the_base_url(void **state)
{
    struct room *r = *state;
    accepted(r, .fields = "{\"base_url\":\"https://a.example/v2\",\"verify_path\":\"/me?full=1\"}");
    expect_str(r->s.target.verify_path, "/me");
    expect_str(r->s.target.verify_query, "full=1");
    accepted(r, .fields = "{\"base_url\":\"https://a.example/v2\"}");
    assert_int_equal(r->s.target.verify_path.n, 0);
    static const char *const bad[] = { "me", "https://evil.example/", "/me#x" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char fields[120];
        snprintf(fields, sizeof fields, "{\"base_url\":\"https://a.example/v2\",\"verify_path\":\"%s\"}", bad[i]);
        refused(r, ERR_FIELD_INVALID, "/fields/verify_path", .fields = fields);
    }
    refused(r, ERR_URL_INVALID, "/fields/verify_path",
            .fields = "{\"base_url\":\"https://a.example/v2\",\"verify_path\":\"/../../x\"}");
}

/* ---- Zendesk's subdomain ---- */

static void a_subdomain_may_be_typed_as_a_label_a_host_or_a_url(void **state)
{
    struct room *r = *state;
    static const char *const same[] = { "acme-2",
                                        "ACME-2",
                                        "acme-2.zendesk.com",
                                        "https://acme-2.zendesk.com",
                                        "https://acme-2.zendesk.com/",
                                        " https://Acme-2.Zendesk.com " };
    for (size_t i = 0; i < COUNT(same); i++) {
        char fields[120];
        snprintf(fields, sizeof fields, "{\"%s\":\"%s\"}", i % 2 ? "base_url" : "subdomain", same[i]);
        accepted(r, .connector = "zendesk", .auth = "basic", .fields = fields);
        expect_str(r->s.fields, "{\"subdomain\":\"acme-2\"}");
        expect_str(r->s.base_url, "https://acme-2.zendesk.com");
        expect_str(r->s.allowed_domain, "acme-2.zendesk.com");
    }
}

static void a_subdomain_cannot_lead_anywhere_else(void **state)
{
    struct room *r = *state;
    static const char *const bad[] = { "evil.com/",
                                       "evil.com#",
                                       "evil.com?",
                                       "a.b",
                                       "a@b",
                                       "-a",
                                       "a-",
                                       "a_b",
                                       "",
                                       "https://acme.example.com",
                                       "https://acme.zendesk.com.evil.com",
                                       "https://acme",
                                       "https://zendesk.com",
                                       ".zendesk.com",
                                       "acme.zendesk.com/api/v2",
                                       "https://acme.zendesk.com/api/v2",
                                       "https://acme.zendesk.com:8443",
                                       "évil",
                                       "a%2fb",
                                       "a:443" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char fields[120];
        snprintf(fields, sizeof fields, "{\"subdomain\":\"%s\"}", bad[i]);
        enum err e = tried(r, (struct typed){ .connector = "zendesk", .auth = "basic", .fields = fields });
        if ((e != ERR_FIELD_INVALID && e != ERR_FIELD_REQUIRED && e != ERR_URL_INVALID) ||
            strcmp(r->why.pointer, "/fields/subdomain"))
            fail_msg("“%s” answers %d at %s", bad[i], e, r->why.pointer);
    }
    refused(r, ERR_SCHEME_NOT_ALLOWED, "/fields/base_url", .connector = "zendesk", .auth = "basic",
            .fields = "{\"base_url\":\"http://acme.zendesk.com\"}");
}

static void a_field_given_under_two_names_is_refused(void **state)
{
    struct room *r = *state;
    refused(r, ERR_FIELD_INVALID, "/fields/base_url", .connector = "zendesk", .auth = "basic",
            .fields = "{\"subdomain\":\"a\",\"base_url\":\"https://b.zendesk.com\"}");
    refused(r, ERR_FIELD_INVALID, "/credentials/email", .connector = "zendesk", .auth = "basic", .fields = "{\"subdomain\":\"a\"}",
            .credentials = "{\"username\":\"u\",\"email\":\"e\",\"token\":\"t\"}");
}

/* ---- credentials ---- */

static void credentials_are_trimmed_once_and_kept_under_their_own_names(void **state)
{
    struct room *r = *state;
    accepted(r, .connector = "zendesk", .auth = "basic", .fields = "{\"subdomain\":\"a\"}",
             .credentials = "{\"email\":\" joe@acme.com\\n\",\"api_token\":\"\\r\\n abc \\n\"}");
    assert_true(r->s.has_credentials);
    assert_int_equal(r->s.secret_count, 2);
    expect_str(secret_of(&r->s, "username"), "joe@acme.com");
    expect_str(secret_of(&r->s, "password"), "abc");
}

static void a_password_keeps_its_blanks_but_not_a_pasted_line_end(void **state)
{
    struct room *r = *state;
    accepted(r, .auth = "basic", .fields = "{\"base_url\":\"https://a.example\"}",
             .credentials = "{\"username\":\"\",\"password\":\" open sesame \\r\\n\"}");
    assert_int_equal(r->s.secret_count, 2);
    expect_str(secret_of(&r->s, "password"), " open sesame ");
    assert_non_null(secret_of(&r->s, "username").p);
    assert_int_equal(secret_of(&r->s, "username").n, 0);
}

static void a_connection_may_wait_for_its_credentials_but_not_have_half_of_them(void **state)
{
    struct room *r = *state;
    const char *fields = "{\"subdomain\":\"a\"}";
    accepted(r, .connector = "zendesk", .auth = "basic", .fields = fields);
    assert_false(r->s.has_credentials);
    accepted(r, .connector = "zendesk", .auth = "basic", .fields = fields, .credentials = "{}");
    assert_false(r->s.has_credentials);
    accepted(r, .connector = "zendesk", .auth = "basic", .fields = fields, .credentials = "null");
    assert_false(r->s.has_credentials);
    refused(r, ERR_FIELD_REQUIRED, "/credentials/password", .connector = "zendesk", .auth = "basic", .fields = fields,
            .credentials = "{\"email\":\"joe@acme.com\"}");
    refused(r, ERR_FIELD_REQUIRED, "/credentials/token", .connector = "zendesk", .auth = "basic", .fields = fields,
            .credentials = "{\"email\":\"joe@acme.com\",\"token\":\" \\n\"}");
    assert_int_equal(r->s.secret_count, 0);
    accepted(r, .auth = "none", .fields = "{\"base_url\":\"https://a.example\"}");
    assert_true(r->s.has_credentials);
}

static void a_credential_is_a_text_of_at_most_8_kib_and_never_quoted_in_a_fault(void **state)
{
    struct room *r = *state;
    char *credentials = arena_alloc(r->a, 9000);
    memset(credentials, 'k', 9000);
    memcpy(credentials, "{\"token\":\"", 10);
    memcpy(credentials + 10 + 8193, "\"}", 3);
    refused(r, ERR_FIELD_INVALID, "/credentials/token", .auth = "bearer", .fields = "{\"base_url\":\"https://a.example\"}",
            .credentials = credentials);
    assert_null(strstr(r->why.subject, "kkkk"));
    memcpy(credentials + 10 + 8192, "\"}", 3);
    accepted(r, .auth = "bearer", .fields = "{\"base_url\":\"https://a.example\"}", .credentials = credentials);
    assert_int_equal(secret_of(&r->s, "token").n, 8192);
    refused(r, ERR_FIELD_INVALID, "/credentials/token", .auth = "bearer", .fields = "{\"base_url\":\"https://a.example\"}",
            .credentials = "{\"token\":12345}");
    refused(r, ERR_FIELD_INVALID, "/credentials", .auth = "bearer", .fields = "{\"base_url\":\"https://a.example\"}",
            .credentials = "\"t\"");
}

static void custom_credentials_take_any_name_of_letters_digits_dash_and_underscore(void **state)
{
    struct room *r = *state;
    const char *fields = "{\"base_url\":\"https://a.example\",\"headers\":{\"x-k\":\"{{credentials.Tenant-key_2}}\"}}";
    accepted(r, .auth = "custom_fields", .fields = fields, .credentials = "{\"Tenant-key_2\":\" s3cret\\n\",\"b\":\"x\"}");
    expect_str(secret_of(&r->s, "Tenant-key_2"), "s3cret");
    static const char *const bad[] = { "a b", "a.b", "a/b", "", "é" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char credentials[64];
        snprintf(credentials, sizeof credentials, "{\"%s\":\"x\"}", bad[i]);
        refused(r, ERR_FIELD_INVALID, "/credentials", .auth = "custom_fields", .fields = fields, .credentials = credentials);
    }
    AUTO_BUF many;
    buf_init(&many, 4096);
    for (int i = 0; i < 33; i++)
        buf_fmt(&many, "%c\"c%d\":\"v\"", i ? ',' : '{', i);
    buf_add(&many, STR("}"));
    refused(r, ERR_LIMIT, "/credentials", .auth = "custom_fields", .fields = fields,
            .credentials = arena_cstr(r->a, buf_str(&many)));
    assert_int_equal(r->s.secret_count, 0);
}

static void an_auth_type_that_is_not_offered_is_refused(void **state)
{
    struct room *r = *state;
    refused(r, ERR_AUTH_TYPE_NOT_OFFERED, "/auth_type", .connector = "slack", .auth = "basic");
    const struct connector *slack = catalog_find(r->catalog, STR("slack"));
    assert_int_equal(setup_check(r->a, slack, STR_NONE, NULL, NULL, STR_NONE, NULL, false, &r->s, &r->why), ERR_NONE);
    expect_str(r->s.auth->type, "bearer");
}

/* ---- a field in the path ---- */

static const char tenants[] =
    "{\"id\":\"acme\",\"name\":\"Acme\",\"version\":\"1.0.0\",\"stage\":\"stable\",\"description\":{\"en\":\"x\",\"fr\":\"x\"},"
    "\"documentation\":\"https://a.example\",\"domains\":[\"data\"],\"base_url\":\"https://a.example/of/{{fields.tenant}}/v1\","
    "\"fields\":[{\"key\":\"tenant\",\"type\":\"text\",\"required\":true,\"label\":{\"en\":\"x\",\"fr\":\"x\"}}],"
    "\"prerequisites\":{\"en\":\"x\",\"fr\":\"x\"},"
    "\"auth\":[{\"type\":\"none\",\"label\":{\"en\":\"x\",\"fr\":\"x\"},\"instructions\":{\"en\":\"x\",\"fr\":\"x\"}}]}";

static void a_field_in_the_path_cannot_leave_its_segment(void **state)
{
    struct room *r = *state;
    struct connector c;
    assert_int_equal(connector_read(r->a, str_of(tenants), &c, &r->why), ERR_NONE);

    struct json *odd = parsed(r->a, "{\"tenant\":\"a/../b?c#d e\"}"), *up = parsed(r->a, "{\"tenant\":\"..\"}");
    assert_int_equal(setup_check(r->a, &c, STR("none"), odd, NULL, STR_NONE, NULL, false, &r->s, &r->why), ERR_NONE);
    expect_str(r->s.target.base.path, "/of/a%2F..%2Fb%3Fc%23d%20e/v1");

    assert_int_equal(setup_check(r->a, &c, STR("none"), up, NULL, STR_NONE, NULL, false, &r->s, &r->why), ERR_FIELD_INVALID);
    assert_string_equal(r->why.pointer, "/fields/tenant");
}

/* ---- stored connections ---- */

static void changed_fields_stay_inside_the_frozen_domain(void **state)
{
    struct room *r = *state;
    const struct connector *c = catalog_find(r->catalog, STR("http"));
    struct json *inside = parsed(r->a, "{\"base_url\":\"https://api.example.com/v3\"}");
    struct json *outside = parsed(r->a, "{\"base_url\":\"https://api.example.org/v3\"}");

    assert_int_equal(setup_check_fields(r->a, c, STR("bearer"), inside, STR("api.example.com"), NULL, false, &r->s, &r->why),
                     ERR_NONE);
    expect_str(r->s.allowed_domain, "api.example.com");
    expect_str(r->s.base_url, "https://api.example.com/v3");
    assert_int_equal(r->s.secret_count, 0);

    assert_int_equal(setup_check_fields(r->a, c, STR("bearer"), outside, STR("api.example.com"), NULL, false, &r->s, &r->why),
                     ERR_DOMAIN_NOT_ALLOWED);
    assert_string_equal(r->why.pointer, "/fields/base_url");
}

static void another_tenant_is_another_connection(void **state)
{
    struct room *r = *state;
    const struct connector *c = catalog_find(r->catalog, STR("zendesk"));
    assert_int_equal(setup_check_fields(r->a, c, STR("basic"), parsed(r->a, "{\"subdomain\":\"globex\"}"), STR("acme.zendesk.com"),
                                        NULL, false, &r->s, &r->why),
                     ERR_DOMAIN_NOT_ALLOWED);
    assert_string_equal(r->why.subject, "globex.zendesk.com");
}

static void new_credentials_are_checked_like_the_first(void **state)
{
    struct room *r = *state;
    const struct connector *c = catalog_find(r->catalog, STR("stripe"));
    assert_int_equal(setup_check_credentials(r->a, c, STR("api_key"), parsed(r->a, "{\"value\":\"rk_test_1\\n\"}"), &r->s, &r->why),
                     ERR_NONE);
    expect_str(secret_of(&r->s, "value"), "rk_test_1");
    setup_end(&r->s);
    assert_int_equal(setup_check_credentials(r->a, c, STR("api_key"), parsed(r->a, "{\"valeu\":\"rk_test_1\"}"), &r->s, &r->why),
                     ERR_UNKNOWN_FIELD);
    assert_int_equal(setup_check_credentials(r->a, c, STR("api_key"), NULL, &r->s, &r->why), ERR_NONE);
    assert_false(r->s.has_credentials);
}

static void the_target_of_a_stored_connection_is_what_set_up_said(void **state)
{
    struct room *r = *state;
    accepted(r, .connector = "github", .auth = "pat", .fields = "{\"base_url\":\"https://git.example.com/api/v3\"}");
    struct setup_target stored;
    assert_int_equal(setup_target(r->a, r->s.connector, r->s.auth, r->s.fields_json, &stored, &r->why), ERR_NONE);
    expect_str(stored.base.host, "git.example.com");
    expect_str(stored.base.path, "/api/v3");
    expect_str(stored.verify_path, "/user");
    assert_int_equal(stored.header_count, 2);
    /* A field that the connector gained later takes its preset. */
    assert_int_equal(setup_target(r->a, r->s.connector, r->s.auth, parsed(r->a, "{}"), &stored, &r->why), ERR_NONE);
    expect_str(stored.base.host, "api.github.com");
}

static void a_header_whose_field_is_empty_is_not_sent(void **state)
{
    struct room *r = *state;
    accepted(r, .connector = "openai", .auth = "bearer", .fields = "{\"project\":\"proj_1\",\"organization\":\"\"}");
    assert_int_equal(r->s.target.header_count, 1);
    expect_str(r->s.target.headers[0][0], "OpenAI-Project");
    expect_str(r->s.target.headers[0][1], "proj_1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_room(a_base_url_gives_the_allowed_domain_when_none_is_typed),
        in_room(a_typed_domain_is_normalised_and_must_cover_the_base_url),
        in_room(a_domain_that_is_no_domain_is_refused),
        in_room(a_private_host_is_fine_once_the_administrator_listed_it),
        in_room(plain_http_needs_the_administrators_word_for_that_host),
        in_room(without_an_egress_policy_only_https_and_public_names_pass),
        in_room(a_base_url_with_user_info_query_or_fragment_is_refused_without_repeating_it),
        in_room(fields_that_nobody_declared_are_refused),
        in_room(a_required_field_must_be_there_and_filled),
        in_room(presets_are_filled_in_and_typed_values_kept_in_their_type),
        in_room(a_prefix_keeps_its_blank),
        in_room(a_control_byte_in_a_field_is_refused),
        in_room(an_illegal_header_name_is_refused_at_its_field),
        in_room(an_expiry_is_a_day_of_the_calendar),
        in_room(a_verify_path_stays_under_the_base_url),
        in_room(a_subdomain_may_be_typed_as_a_label_a_host_or_a_url),
        in_room(a_subdomain_cannot_lead_anywhere_else),
        in_room(a_field_given_under_two_names_is_refused),
        in_room(credentials_are_trimmed_once_and_kept_under_their_own_names),
        in_room(a_password_keeps_its_blanks_but_not_a_pasted_line_end),
        in_room(a_connection_may_wait_for_its_credentials_but_not_have_half_of_them),
        in_room(a_credential_is_a_text_of_at_most_8_kib_and_never_quoted_in_a_fault),
        in_room(custom_credentials_take_any_name_of_letters_digits_dash_and_underscore),
        in_room(an_auth_type_that_is_not_offered_is_refused),
        in_room(a_field_in_the_path_cannot_leave_its_segment),
        in_room(changed_fields_stay_inside_the_frozen_domain),
        in_room(another_tenant_is_another_connection),
        in_room(new_credentials_are_checked_like_the_first),
        in_room(the_target_of_a_stored_connection_is_what_set_up_said),
        in_room(a_header_whose_field_is_empty_is_not_sent),
    };
    return cmocka_run_group_tests_name("catalog/setup", tests, NULL, NULL);
}
