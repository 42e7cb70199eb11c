/* The `oauth`, `login` and `login_hosts` of a connector's auth entries: read whole, and mistakes refused where they stand. */
#include "room.h"

#define BOTH(text) "{\"en\":\"" text "\",\"fr\":\"" text "\"}"

/* clang-format off: it takes the macros for calls */
static const char whole[] =
    "{\"id\":\"acme\",\"name\":\"Acme\",\"version\":\"1.0.0\",\"stage\":\"preview\",\"description\":" BOTH("Anvils") ","
    "\"documentation\":\"https://acme.example/docs\",\"domains\":[\"commerce\"],"
    "\"base_url\":\"https://{{fields.tenant}}.acme.example/\",\"fields\":["
    "{\"key\":\"tenant\",\"type\":\"text\",\"label\":" BOTH("Tenant") ",\"required\":true,\"host_suffix\":\".acme.example\"},"
    "{\"key\":\"site\",\"type\":\"url\",\"label\":" BOTH("Site") "},"
    "{\"key\":\"note\",\"type\":\"text\",\"label\":" BOTH("Note") "}],"
    "\"auth\":[{\"type\":\"oauth2_jwt_bearer\",\"label\":" BOTH("OAuth") ",\"instructions\":" BOTH("Do.") ","
    "\"credentials\":[{\"key\":\"robot\",\"type\":\"text\",\"label\":" BOTH("Robot") "},"
    "{\"key\":\"private_key\",\"type\":\"secret\",\"label\":" BOTH("Key") "}],"
    "\"fields\":[{\"key\":\"realm\",\"type\":\"text\",\"label\":" BOTH("Realm") "}],"
    "\"oauth\":{\"authorization_url\":\"https://{{fields.tenant}}.acme.example/{{fields.realm}}/a\","
    "\"token_url\":\"https://login.acme.example/token\",\"revocation_url\":\"{{fields.site}}/revoke\","
    "\"client_authentication\":\"client_secret_post\",\"scopes\":[\"a\",\"b\"],\"scope_separator\":\",\","
    "\"known_scopes\":{\"a\":" BOTH("Read") "},\"pkce\":false,\"authorize_parameters\":{\"prompt\":\"{{fields.note}}\"},"
    "\"answer\":{\"ok\":\"/ok\"},\"capture\":{\"site\":\"/instance_url\"},"
    "\"expired\":{\"status\":[403],\"pointer\":\"/error\",\"equals\":\"old\"},\"max_idle\":\"30d\","
    "\"token_hosts\":[\"*.acme.example\"],"
    "\"assertion\":{\"issuer\":\"{{credentials.robot}}\",\"audience\":\"x\",\"algorithm\":\"ES256\",\"claims\":{\"n\":1}}}},"
    "{\"type\":\"custom_oauth\",\"label\":" BOTH("Login") ",\"instructions\":" BOTH("Do.") ",\"open_credentials\":true,"
    "\"login\":{\"method\":\"POST\",\"url\":\"https://{{fields.tenant}}.acme.example/login\","
    "\"headers\":{\"X\":\"{{credentials.any}}\"},"
    "\"body\":\"u={{credentials.user}}\",\"success\":{\"status\":[200]},\"values\":{\"access_token\":\"$.t\"},\"lifetime\":\"1h\"},"
    "\"login_hosts\":[\"login.acme.example\"]}],"
    "\"prerequisites\":" BOTH("An account") "}";
/* clang-format on */

static void a_whole_entry_is_taken_and_offers_a_client_of_ones_own(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    if (connector_read(*state, str_of(whole), &c, &why))
        fail_msg("%s: %s", why.pointer, why.subject);
    assert_int_equal(c.auth[0].credential_count, 5);
    expect_str(c.auth[0].credentials[2].key, "client_id");
    expect_str(c.auth[0].credentials[3].key, "client_secret");
    assert_true(c.auth[0].credentials[3].secret);
    assert_false(c.auth[0].credentials[3].required);
    expect_str(c.auth[0].credentials[4].key, "client_private_key");
    assert_int_equal(c.auth[1].credential_count, 0);
}

static void what_the_file_lists_itself_is_not_offered_twice(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    struct str text = replaced(*state, str_of(whole), "\"robot\",\"type\"", "\"client_id\",\"type\"");
    text = replaced(*state, text, "credentials.robot", "credentials.client_id");
    assert_int_equal(connector_read(*state, text, &c, &why), ERR_NONE);
    assert_int_equal(c.auth[0].credential_count, 4);
}

static void mistakes_are_refused_where_they_stand(void **state)
{
    static const struct {
        const char *old, *new, *pointer;
    } mistakes[] = {
        { "\"token_url\"", "\"token_uri\"", "/auth/0/oauth/token_uri" },
        { "https://login.acme", "ftp://login.acme", "/auth/0/oauth/token_url" },
        { "https://{{fields.tenant}}.acme.example/{{fields.realm}}/a", "https://{{fields.note}}.acme.example/a",
          "/auth/0/oauth/authorization_url" },
        { "https://{{fields.tenant}}.acme.example/{{fields.realm}}/a", "https://a.example/{{fields.nothing}}",
          "/auth/0/oauth/authorization_url" },
        { "{{fields.site}}/revoke", "{{fields.note}}/revoke", "/auth/0/oauth/revocation_url" },
        { "{{fields.site}}/revoke", "{{fields.site}}.evil.example/revoke", "/auth/0/oauth/revocation_url" },
        { "{{credentials.robot}}", "{{credentials.private_key}}", "/auth/0/oauth/assertion/issuer" },
        { "\"ES256\"", "\"none\"", "/auth/0/oauth/assertion/algorithm" },
        { "\"prompt\":", "\"redirect_uri\":", "/auth/0/oauth/authorize_parameters" },
        { "{{fields.note}}", "{{credentials.robot}}", "/auth/0/oauth/authorize_parameters" },
        { "\"/ok\"", "\"ok\"", "/auth/0/oauth/answer" },
        { "[403]", "[\"403\"]", "/auth/0/oauth/expired" },
        { "\"30d\"", "\"30 days\"", "/auth/0/oauth/max_idle" },
        { "*.acme.example\"]", "*.example\"]", "/auth/0/oauth/token_hosts" },
        { "\"scopes\":[\"a\"", "\"scopes\":[\"a b\"", "/auth/0/oauth/scopes" },
        { "\"pkce\":false", "\"key_id\":\"x\"", "/auth/0/oauth/key_id" }, /* a client's, not a connector's */
        { "\"method\":\"POST\"", "\"method\":\"TRACE\"", "/auth/1/login/method" },
        { "https://{{fields.tenant}}.acme.example/login", "https://{{credentials.any}}/login", "/auth/1/login/url" },
        { "\"values\":{\"access_token\":\"$.t\"}", "\"values\":{}", "/auth/1/login/values" },
        { "\"$.t\"", "\"t\"", "/auth/1/login/values" },
        { "{\"status\":[200]}", "{\"state\":[200]}", "/auth/1/login/success/state" },
        { "u={{credentials.user}}", "u={{secrets.user}}", "/auth/1/login/body" },
        { "[\"login.acme.example\"]", "[\"https://login.acme.example\"]", "/auth/1/login_hosts" },
    };
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct connector c;
        struct fault why = { 0 };
        enum err e = connector_read(*state, replaced(*state, str_of(whole), mistakes[i].old, mistakes[i].new), &c, &why);
        if (!e || strcmp(why.pointer, mistakes[i].pointer))
            fail_msg("“%s” for “%s”: answers %d at “%s” (%s), wanted “%s”", mistakes[i].new, mistakes[i].old, e, why.pointer,
                     why.subject, mistakes[i].pointer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_arena(a_whole_entry_is_taken_and_offers_a_client_of_ones_own),
        in_arena(what_the_file_lists_itself_is_not_offered_twice),
        in_arena(mistakes_are_refused_where_they_stand),
    };
    return cmocka_run_group_tests_name("catalog/connector_oauth", tests, NULL, NULL);
}
