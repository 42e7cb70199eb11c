/* OAuth clients: rows, secrets that open for one set of hosts only, and the profile that comes of connector, client and connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/oauth_client.h"
#include "auth/oauth_profile.h"
#include "crypto/private_key.h"
#include "store/room.h"
#include "vault/connection.h"
#include "vault/sealed.h"

struct hall {
    struct room *room;
    struct arena *a;
    struct keyring *keyring;
    struct db *db;
    struct oauth_client c;
    enum oauth_secret which;
    const char *secret;
    struct auth_secret secrets[4];
    struct auth_input in;
    struct oauth_profile p;
    struct fault why;
};

static int open_hall(void **state)
{
    struct hall *h = mem_zero(sizeof *h);
    struct secret key = secret_new(32);
    memset(key.p, 7, key.n);
    h->room = room_new();
    h->a = h->room->arena;
    assert_int_equal(room_open_store(h->room->directory, &h->room->store, &h->why), ERR_NONE);
    assert_int_equal(keyring_open(h->room->store, key, &h->keyring, &h->why), ERR_NONE);
    h->db = store_reader(h->room->store, &h->why);
    h->in.secrets = h->secrets;
    *state = h;
    return 0;
}

static int close_hall(void **state)
{
    struct hall *h = *state;
    for (size_t i = 0; i < h->in.secret_count; i++)
        secret_end(&h->secrets[i].value);
    oauth_profile_end(&h->p);
    keyring_close(h->keyring);
    room_end(h->room);
    free(h);
    return 0;
}

static struct json *json(struct hall *h, const char *text)
{
    struct json *v = NULL;
    if (text && json_read(h->a, str_of(text), &v, &h->why))
        fail_msg("test JSON: %s", h->why.subject);
    return v;
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    return oauth_client_insert(db, h->a, &h->c, why);
}

static enum err update(struct db *db, void *context, struct fault *why)
{
    return oauth_client_update(db, &((struct hall *)context)->c, why);
}

static enum err remove_it(struct db *db, void *context, struct fault *why)
{
    return oauth_client_delete(db, &((struct hall *)context)->c, why);
}

static enum err promote(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    return oauth_client_promote(db, h->keyring, h->a, &h->c, why);
}

static void sql(struct hall *h, const char *text)
{
    assert_int_equal(room_script(h->room, text), ERR_NONE);
}

static enum err put_secret(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    AUTO_SECRET value = h->secret ? secret_from(str_of(h->secret)) : SECRET_NONE;
    return oauth_client_set_secret(db, h->keyring, h->a, &h->c, h->which, value, why);
}

static enum err run(struct hall *h, store_work *work) { return store_write(h->room->store, work, h, &h->why); }

static void add(struct hall *h, const char *key, const char *connector, const char *settings, const char *secret)
{
    h->c = (struct oauth_client){ .key = str_of(key), .name = str_of(key), .connector = str_of(connector),
                                  .client_id = STR("id-1"), .settings = json(h, settings) };
    if (oauth_client_check(h->a, &h->c, "", &h->why))
        fail_msg("settings: %s %s", h->why.pointer, h->why.subject);
    assert_int_equal(run(h, insert), ERR_NONE);
    h->which = OAUTH_SECRET;
    h->secret = secret;
    assert_int_equal(run(h, put_secret), ERR_NONE);
}

static void give(struct hall *h, const char *name, const char *value)
{
    h->secrets[h->in.secret_count++] = (struct auth_secret){ str_of(name), secret_from(str_of(value)) };
}

static enum err load(struct hall *h, const char *options, const char *fields, struct str client)
{
    oauth_profile_end(&h->p);
    h->why = (struct fault){ 0 };
    h->in.options = json(h, options);
    h->in.fields = json(h, fields);
    return oauth_profile_load(h->db, h->keyring, h->a, &h->in, client, &h->p, &h->why);
}

static void loaded(struct hall *h, const char *options, const char *fields, struct str client)
{
    if (load(h, options, fields, client))
        fail_msg("%s %s (%s)", h->why.pointer, h->why.subject, h->why.note);
}

#define expect_str(s, literal) \
    do { \
        struct str expect_is = (s), expect_wanted = STR(literal); \
        if (!str_eq(expect_is, expect_wanted)) \
            fail_msg("is “%.*s”, wanted “%.*s”", STR_ARG(expect_is), STR_ARG(expect_wanted)); \
    } while (0)

/* ---- rows ---- */

static const char plain[] = "{\"token_url\": \"https://login.example.com/token\", \"scopes\": [\"a\", \"b\"]}";

static void a_client_comes_back_as_it_was_stored(void **state)
{
    struct hall *h = *state;
    struct oauth_client c;
    AUTO_SECRET value = SECRET_NONE;
    add(h, "crm", "", plain, "s3cr:et/+ %");
    assert_int_equal(oauth_client_get(h->db, h->a, STR("crm"), &c, &h->why), ERR_NONE);
    assert_true(str_eq(c.id, h->c.id) && str_starts(c.id, STR("cli_")));
    expect_str(c.client_id, "id-1");
    expect_str(json_str(c.settings, "token_url"), "https://login.example.com/token");
    assert_int_equal(oauth_client_secret(h->db, h->keyring, &c, OAUTH_SECRET, &value, &h->why), ERR_NONE);
    expect_str(secret_str(value), "s3cr:et/+ %");
}

static void two_clients_of_one_key_are_refused(void **state)
{
    struct hall *h = *state;
    add(h, "crm", "", plain, "x");
    h->c.id = STR_NONE;
    assert_int_equal(run(h, insert), ERR_CONFLICT);
}

static void a_secret_does_not_open_for_another_token_host(void **state)
{
    struct hall *h = *state;
    struct oauth_client before;
    AUTO_SECRET value = SECRET_NONE;
    add(h, "crm", "", plain, "secret");
    before = h->c;
    h->c.settings = json(h, "{\"token_url\": \"https://evil.example.net/token\"}");
    assert_false(oauth_client_same_hosts(&before, &h->c));
    assert_int_equal(run(h, update), ERR_NONE);
    assert_int_equal(oauth_client_secret(h->db, h->keyring, &h->c, OAUTH_SECRET, &value, &h->why), ERR_CRYPTO);
}

static void a_path_may_change_without_the_secret(void **state)
{
    struct hall *h = *state;
    struct oauth_client before;
    add(h, "crm", "", plain, "secret");
    before = h->c;
    h->c.settings =
        json(h, "{\"token_url\": \"https://LOGIN.example.com/v2/token\", \"authorization_url\": \"https://other.example.org/a\"}");
    assert_true(oauth_client_same_hosts(&before, &h->c));
}

static void the_next_secret_takes_the_place_of_the_other(void **state)
{
    struct hall *h = *state;
    AUTO_SECRET value = SECRET_NONE;
    add(h, "crm", "", plain, "old");
    assert_int_equal(run(h, promote), ERR_NOT_FOUND);
    h->which = OAUTH_NEXT_SECRET;
    h->secret = "new";
    assert_int_equal(run(h, put_secret), ERR_NONE);
    loaded(h, "{\"type\": \"oauth2_client_credentials\"}", "{}", h->c.id);
    expect_str(secret_str(h->p.client_secret), "old");
    expect_str(secret_str(h->p.next_secret), "new");
    assert_int_equal(run(h, promote), ERR_NONE);
    assert_int_equal(oauth_client_secret(h->db, h->keyring, &h->c, OAUTH_SECRET, &value, &h->why), ERR_NONE);
    expect_str(secret_str(value), "new");
    assert_int_equal(h->c.secrets[OAUTH_NEXT_SECRET], 0);
}

static const struct json *key_of_set(struct hall *h, size_t at)
{
    AUTO_BUF text;
    struct oauth_client stored;
    buf_init(&text, 64 * 1024);
    struct json_out o = json_out(&text);
    assert_int_equal(oauth_client_get(h->db, h->a, h->c.id, &stored, &h->why), ERR_NONE);
    oauth_client_jwks(&o, &stored);
    const struct json *key = json_get(json(h, arena_cstr(h->a, buf_str(&text))), "keys")->child;
    while (key && at--)
        key = key->next;
    return key;
}

static void put_key(struct hall *h, enum oauth_secret which)
{
    struct secret pem;
    assert_int_equal(private_key_new(&pem, &h->why), ERR_NONE);
    h->which = which;
    h->secret = arena_cstr(h->a, secret_str(pem));
    secret_end(&pem);
    assert_int_equal(run(h, put_secret), ERR_NONE);
}

static void of_two_private_keys_both_are_told_and_the_next_takes_the_others_place(void **state)
{
    struct hall *h = *state;
    struct oauth_profile next;
    add(h, "crm", "", "{\"token_url\": \"https://login.example.com/token\", \"key_id\": \"k1\", \"next_key_id\": \"k2\","
                      " \"client_authentication\": \"private_key_jwt\", \"algorithm\": \"ES256\"}", NULL);
    assert_null(key_of_set(h, 0));
    put_key(h, OAUTH_PRIVATE_KEY);
    const char *first = h->secret;
    assert_null(key_of_set(h, 1));
    put_key(h, OAUTH_NEXT_PRIVATE_KEY);
    const struct json *one = key_of_set(h, 0), *two = key_of_set(h, 1);
    expect_str(json_str(one, "kid"), "k1");
    expect_str(json_str(two, "kid"), "k2");
    expect_str(json_str(two, "alg"), "ES256");
    assert_false(str_eq(json_str(one, "x"), json_str(two, "x")));
    assert_null(json_get(two, "d"));
    loaded(h, "{\"type\": \"oauth2_client_credentials\"}", "{}", h->c.id);
    assert_true(str_is(secret_str(h->p.private_key), first));
    assert_true(oauth_profile_next(&h->p, &next));
    assert_true(str_is(secret_str(next.private_key), h->secret));
    expect_str(next.key_id, "k2");
    struct str x = json_str(two, "x");
    assert_int_equal(run(h, promote), ERR_NONE);
    assert_int_equal(run(h, update), ERR_NONE);
    assert_null(key_of_set(h, 1));
    assert_true(str_eq(json_str(key_of_set(h, 0), "x"), x));
    expect_str(json_str(key_of_set(h, 0), "kid"), "k2");
    assert_null(json_get(h->c.settings, "next_key_id"));
    loaded(h, "{\"type\": \"oauth2_client_credentials\"}", "{}", h->c.id);
    assert_true(str_is(secret_str(h->p.private_key), h->secret));
    assert_false(oauth_profile_next(&h->p, &next));
}

static enum err use_it(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    struct connection_row row = { .key = STR("c"), .name = STR("C"), .folder = STR("fld_a"), .connector = STR("http"),
                                  .connector_version = STR("1.0.0"), .auth_type = STR("oauth2_client_credentials"),
                                  .allowed_domain = STR("api.example.com"), .fields = STR("{}"), .notes = STR(""),
                                  .owner = STR("system"), .state = CONNECTION_ACTIVE };
    enum err e = db_script(db, "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES"
                               " ('fld_a', 'a', 'shared', 'shared', 1, 1)", why);
    if (e || (e = connection_insert(db, h->keyring, h->a, &row, NULL, 0, why)))
        return e;
    return connection_oauth_put(db, row.id, &(struct connection_oauth){ h->c.id, STR_NONE }, why);
}

static void a_client_in_use_is_not_deleted(void **state)
{
    struct hall *h = *state;
    add(h, "crm", "", plain, "x");
    assert_int_equal(run(h, use_it), ERR_NONE);
    int64_t users;
    assert_int_equal(oauth_client_users(h->db, h->c.id, &users, &h->why), ERR_NONE);
    assert_int_equal(users, 1);
    assert_int_equal(run(h, remove_it), ERR_OAUTH_CLIENT_IN_USE);
    sql(h, "DELETE FROM connection_oauth");
    assert_int_equal(run(h, remove_it), ERR_NONE);
    assert_int_equal(room_number(h->room, h->db, "SELECT count(*) FROM sealed_value"), 0);
    assert_int_equal(oauth_client_get(h->db, h->a, STR("crm"), &h->c, &h->why), ERR_NOT_FOUND);
}

/* ---- settings ---- */

static void settings_that_could_send_a_secret_astray_are_refused(void **state)
{
    struct hall *h = *state;
    static const struct {
        const char *settings, *pointer;
    } rows[] = {
        { "{}", "/s/token_url" },
        { "{\"token_url\": \"ftp://a.example.com/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://user@a.example.com/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://a.example.com/t#f\"}", "/s/token_url" },
        { "{\"token_url\": \"https://a.example.com\\\\@b/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https:///t\"}", "/s/token_url" },
        { "{\"token_url\": \"{{fields.anything}}/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://{{fields.host}}/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://{{fields.host}}.com/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://{{fields.host}}.co.uk/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://login.{{fields.host}}/t\"}", "/s/token_url" },
        { "{\"token_url\": \"https://a.example.com/{{credentials.x}}\"}", "/s/token_url" },
        { "{\"token_url\": \"https://a.example.com/t\", \"token_hosts\": [\"b.example.com\"]}", "/s/token_hosts" },
        { "{\"token_url\": \"https://a.example.com/t\", \"token_hosts\": [\"*.com\"]}", "/s/token_hosts" },
        { "{\"token_url\": \"https://a.example.com/t\", \"authorize_parameters\": {\"state\": \"x\"}}", "/s/authorize_parameters" },
        { "{\"token_url\": \"https://a.example.com/t\", \"token_parameters\": {\"client_secret\": \"x\"}}", "/s/token_parameters" },
        { "{\"token_url\": \"https://a.example.com/t\", \"token_parameters\": {\"x\": [\"a\", \"b\"]}}", "/s/token_parameters" },
        { "{\"token_url\": \"https://a.example.com/t\", \"token_parameters\": {\"audience\": []}}", "/s/token_parameters" },
        { "{\"token_url\": \"https://a.example.com/t\", \"resource\": \"https://api.example.com/#x\"}", "/s/resource" },
        { "{\"token_url\": \"https://a.example.com/t\", \"resource\": [\"https://api.example.com\", \"orders\"]}", "/s/resource" },
        { "{\"token_url\": \"https://a.example.com/t\", \"scopes\": [\"a b\"]}", "/s/scopes" },
        { "{\"token_url\": \"https://a.example.com/t\", \"client_authentication\": \"magic\"}", "/s/client_authentication" },
        { "{\"token_url\": \"https://a.example.com/t\", \"lifetime\": \"soon\"}", "/s/lifetime" },
        { "{\"token_url\": \"https://a.example.com/t\", \"assertion\": {\"claims\": {\"k\": \"{{credentials.private_key}}\"}}}",
          "/s/assertion/claims" },
        { "{\"token_url\": \"https://a.example.com/t\", \"tokenurl\": \"x\"}", "/s/tokenurl" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        h->why = (struct fault){ 0 };
        h->c = (struct oauth_client){ .connector = STR(""), .settings = json(h, rows[i].settings) };
        if (!oauth_client_check(h->a, &h->c, "/s", &h->why))
            fail_msg("taken: %s", rows[i].settings);
        assert_string_equal(h->why.pointer, rows[i].pointer);
    }
}

/* ---- profiles ---- */

static const char tenant[] =
    "{\"type\": \"oauth2_authorization_code\", \"oauth\": {"
    "\"authorization_url\": \"https://{{fields.shop}}.example.com/authorize\","
    "\"token_url\": \"https://{{fields.shop}}.example.com/{{fields.tenant}}/token\","
    "\"scopes\": [\"read\"], \"scope_separator\": \",\", \"client_authentication\": \"client_secret_post\","
    "\"authorize_parameters\": {\"access_type\": \"offline\", \"prompt\": \"consent\", \"login_hint\": \"{{fields.hint}}\"},"
    "\"answer\": {\"ok\": \"/ok\"}, \"expired\": {\"status\": [403], \"pointer\": \"/code\", \"equals\": \"old\"},"
    "\"max_idle\": \"30d\"}}";

static void a_clients_settings_lie_over_the_connectors(void **state)
{
    struct hall *h = *state;
    add(h, "crm", "shop",
        "{\"scopes\": [\"write\", \"read\"], \"authorize_parameters\": {\"prompt\": \"\", \"audience\": \"x\"}, \"pkce\": false}",
        "secret");
    loaded(h, tenant, "{\"shop\": \"acme\", \"tenant\": \"a/b c\", \"hint\": \"\"}", STR("crm"));
    assert_true(str_eq(h->p.client, h->c.id));
    expect_str(h->p.token_url, "https://acme.example.com/a%2Fb%20c/token");
    expect_str(h->p.authorization_url, "https://acme.example.com/authorize");
    expect_str(oauth_profile_scope(h->a, &h->p), "write,read");
    assert_int_equal(h->p.client_auth, CLIENT_AUTH_POST);
    assert_int_equal(h->p.refresh_auth, CLIENT_AUTH_POST);
    assert_false(h->p.pkce);
    expect_str(json_str(h->p.authorize_parameters, "access_type"), "offline");
    expect_str(json_str(h->p.authorize_parameters, "audience"), "x");
    assert_null(json_get(h->p.authorize_parameters, "prompt"));
    assert_null(json_get(h->p.authorize_parameters, "login_hint"));
    expect_str(h->p.quirks.ok, "/ok");
    assert_int_equal(h->p.expired.statuses[0], 403);
    assert_int_equal(h->p.max_idle_ms, 30ll * 24 * 3600 * 1000);
    oauth_profile_ask(h->a, &h->p, STR("other more"));
    expect_str(oauth_profile_scope(h->a, &h->p), "other,more");
}

/* RFC 8707 2, RFC 8693 2.1 */
static void what_may_be_repeated_is_a_list_or_a_field_with_blanks_between(void **state)
{
    struct hall *h = *state;
    static const char entry[] =
        "{\"type\": \"oauth2_client_credentials\", \"oauth\": {\"resource\": \"https://lower.example.com\","
        "\"token_parameters\": {\"resource\": [\"one name\", \"{{fields.ears}}\"], \"audience\": \"{{fields.ears}}\"}}}";
    add(h, "crm", "", "{\"token_url\": \"https://login.example.com/token\", \"resource\": [\"https://a.example.com\", \"urn:b\"]}",
        "x");
    loaded(h, entry, "{\"ears\": \"orders  stock\"}", STR("crm"));
    const struct json *list = json_get(h->p.token_parameters, "resource");
    assert_int_equal(list->count, 3);
    expect_str(list->child->text, "one name");
    expect_str(list->child->next->text, "orders");
    expect_str(list->child->next->next->text, "stock");
    expect_str(json_str(h->p.token_parameters, "audience"), "orders  stock");
    assert_int_equal(h->p.resources->count, 2);
    expect_str(h->p.resources->child->next->text, "urn:b");
    loaded(h, "{\"type\": \"oauth2_client_credentials\", \"oauth\": {\"token_parameters\": {\"audience\": \"{{fields.ears}}\"}}}",
           "{\"ears\": \"\"}", STR("crm"));
    assert_null(h->p.token_parameters);
}

static void a_field_cannot_move_the_host(void **state)
{
    struct hall *h = *state;
    static const char *const shops[] = { "evil.net/", "evil.net#", "evil.net?", "a@evil.net", "evil.net:8443", "x\\y", "a b" };
    add(h, "crm", "shop", "{}", "secret");
    for (size_t i = 0; i < COUNT(shops); i++) {
        const char *fields = str_fmt(h->a, "{\"shop\": \"%s\", \"tenant\": \"t\"}", *shops[i] == 'x' ? "x\\\\y" : shops[i]).p;
        if (!load(h, tenant, fields, STR("crm")))
            fail_msg("%s gave %.*s", shops[i], STR_ARG(h->p.token_url));
    }
    assert_int_equal(load(h, tenant, "{\"shop\": \"acme\", \"tenant\": \"..\"}", STR("crm")), ERR_URL_INVALID);
    assert_int_equal(load(h, tenant, "{\"shop\": \"acme\"}", STR("crm")), ERR_FIELD_REQUIRED);
    assert_string_equal(h->why.pointer, "/fields/tenant");
}

static void a_shared_secret_never_goes_to_a_host_of_the_connections_choice(void **state)
{
    struct hall *h = *state;
    static const char free_host[] =
        "{\"type\": \"oauth2_authorization_code\", \"oauth\": {\"token_url\": \"https://{{fields.host}}/token\"}}";
    static const char free_url[] =
        "{\"type\": \"oauth2_authorization_code\", \"oauth\": {\"token_url\": \"{{fields.url}}/token\"}}";
    add(h, "crm", "any", "{}", "secret");
    assert_int_equal(load(h, free_host, "{\"host\": \"evil.example.net\"}", STR("crm")), ERR_TOKEN_HOST_NOT_ALLOWED);
    assert_int_equal(load(h, free_url, "{\"url\": \"https://evil.example.net\"}", STR("crm")), ERR_TOKEN_HOST_NOT_ALLOWED);
    add(h, "declared", "any", "{\"token_hosts\": [\"*.example.org\"]}", "secret");
    loaded(h, free_host, "{\"host\": \"login.example.org\"}", STR("declared"));
    loaded(h, free_url, "{\"url\": \"https://login.example.org/\"}", STR("declared"));
    expect_str(h->p.token_url, "https://login.example.org/token");
    assert_int_equal(load(h, free_host, "{\"host\": \"example.org.evil.net\"}", STR("declared")), ERR_TOKEN_HOST_NOT_ALLOWED);
    /* A secret of the connection's own goes where its owner says. */
    give(h, "client_id", "mine");
    give(h, "client_secret", "own secret");
    loaded(h, free_host, "{\"host\": \"login.example.net\"}", STR_NONE);
    expect_str(h->p.client_id, "mine");
    expect_str(secret_str(h->p.client_secret), "own secret");
    assert_int_equal(h->p.client_auth, CLIENT_AUTH_BASIC);
}

static enum err seal_preset(struct db *db, void *context, struct fault *why)
{
    struct hall *h = context;
    const struct data_owner owner = { STR("policy"), STR("pol_a") };
    AUTO_SECRET id = secret_from(STR("theirs"));
    AUTO_SECRET value = secret_from(STR("their secret"));
    enum err e = sealed_put(db, h->keyring, owner, STR("shop.oauth_client.client_id"), id, why);
    return e ? e : sealed_put(db, h->keyring, owner, STR("shop.oauth_client.client_secret"), value, why);
}

static void a_policys_client_is_used_as_the_policy_has_it_and_goes_where_the_connector_says(void **state)
{
    struct hall *h = *state;
    static const char free_host[] = "{\"type\": \"oauth2_authorization_code\", \"oauth\": {\"token_url\": \"{{fields.url}}\"}}";
    assert_int_equal(run(h, seal_preset), ERR_NONE);
    loaded(h, tenant, "{\"shop\": \"acme\", \"tenant\": \"t\"}", STR("pol_a/shop"));
    expect_str(h->p.client_id, "theirs");
    expect_str(secret_str(h->p.client_secret), "their secret");
    assert_int_equal(load(h, free_host, "{\"url\": \"https://evil.example.net/t\"}", STR("pol_a/shop")),
                     ERR_TOKEN_HOST_NOT_ALLOWED);
    assert_int_equal(load(h, tenant, "{\"shop\": \"acme\", \"tenant\": \"t\"}", STR("pol_b/shop")), ERR_NOT_FOUND);
}

static void a_client_without_a_secret_is_a_public_one(void **state)
{
    struct hall *h = *state;
    add(h, "crm", "", "{\"token_url\": \"https://login.example.com/token\", \"client_authentication\": \"client_secret_basic\"}",
        NULL);
    loaded(h, "{\"type\": \"oauth2_authorization_code\"}", "{}", STR("crm"));
    assert_int_equal(h->p.client_auth, CLIENT_AUTH_NONE);
    assert_true(h->p.pkce);
}

static void a_client_that_lacks_what_its_proof_takes_says_so(void **state)
{
    struct hall *h = *state;
    add(h, "crm", "", "{\"token_url\": \"https://login.example.com/token\", \"client_authentication\": \"private_key_jwt\"}", NULL);
    assert_int_equal(load(h, "{\"type\": \"oauth2_authorization_code\"}", "{}", STR("crm")), ERR_FIELD_REQUIRED);
    assert_int_equal(load(h, "{\"type\": \"oauth2_authorization_code\"}", "{}", STR("nothing")), ERR_NOT_FOUND);
    assert_int_equal(load(h, "{\"type\": \"oauth2_authorization_code\"}", "{}", STR_NONE), ERR_OAUTH_CLIENT_MISSING);
}

static void claims_take_fields_and_what_is_no_secret(void **state)
{
    struct hall *h = *state;
    static const char service[] =
        "{\"type\": \"google_service_account\", \"oauth\": {\"token_url\": \"https://oauth2.example.com/token\", \"assertion\": {"
        "\"issuer\": \"{{credentials.client_email}}\", \"subject\": \"{{fields.impersonate}}\", \"scope_claim\": true,"
        "\"claims\": {\"x\": \"{{fields.project}}\", \"n\": 5}}}}";
    give(h, "client_email", "robot@example.com");
    loaded(h, service, "{\"project\": \"p\"}", STR_NONE);
    expect_str(json_str(h->p.assertion, "issuer"), "robot@example.com");
    assert_null(json_get(h->p.assertion, "subject"));
    assert_true(json_bool(h->p.assertion, "scope_claim", false));
    expect_str(json_str(json_get(h->p.assertion, "claims"), "x"), "p");
    expect_str(json_get(json_get(h->p.assertion, "claims"), "n")->text, "5");
}

static void hosts_of_token_requests_are_told(void **state)
{
    struct hall *h = *state;
    struct str hosts;
    add(h, "crm", "", "{\"token_url\": \"https://login.example.com/token\", \"revocation_url\": \"https://login.example.com/r\","
                      "\"par_url\": \"https://par.example.com:8443/p\"}", "x");
    h->in.options = json(h, "{\"type\": \"oauth2_client_credentials\"}");
    assert_int_equal(oauth_profile_hosts(h->db, h->keyring, h->a, &h->in, STR("crm"), &hosts, &h->why), ERR_NONE);
    expect_str(hosts, "login.example.com,par.example.com:8443");
}

/* ---- scopes ---- */

static void scopes_come_as_a_list_or_a_text(void **state)
{
    struct hall *h = *state;
    static const struct {
        const char *given, *read; /* NULL: refused */
    } rows[] = {
        { "[\"a\", \"b\"]", "a b" }, { "\"a b,c,, d\"", "a b c d" }, { "\" a a \"", "a" }, { "[]", "" }, { "\"\"", "" },
        { "[\"a b\"]", NULL },       { "[1]", NULL },                { "5", NULL },        { "[\"\"]", NULL },
        { "\"https://www.example.com/auth/x y:z\"", "https://www.example.com/auth/x y:z" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct str out;
        enum err e = connection_scopes_read(h->a, json(h, rows[i].given), "/scopes", &out, &h->why);
        if (!rows[i].read)
            assert_int_equal(e, ERR_FIELD_INVALID);
        else if (e || !str_is(out, rows[i].read))
            fail_msg("%s gave %.*s", rows[i].given, STR_ARG(out));
    }
    struct str out;
    assert_int_equal(connection_scopes_read(h->a, NULL, "/scopes", &out, &h->why), ERR_NONE);
    assert_null(out.p);
}

#define in_hall(test) cmocka_unit_test_setup_teardown(test, open_hall, close_hall)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_hall(a_client_comes_back_as_it_was_stored),
        in_hall(two_clients_of_one_key_are_refused),
        in_hall(a_secret_does_not_open_for_another_token_host),
        in_hall(a_path_may_change_without_the_secret),
        in_hall(the_next_secret_takes_the_place_of_the_other),
        in_hall(of_two_private_keys_both_are_told_and_the_next_takes_the_others_place),
        in_hall(a_client_in_use_is_not_deleted),
        in_hall(settings_that_could_send_a_secret_astray_are_refused),
        in_hall(a_clients_settings_lie_over_the_connectors),
        in_hall(what_may_be_repeated_is_a_list_or_a_field_with_blanks_between),
        in_hall(a_field_cannot_move_the_host),
        in_hall(a_shared_secret_never_goes_to_a_host_of_the_connections_choice),
        in_hall(a_policys_client_is_used_as_the_policy_has_it_and_goes_where_the_connector_says),
        in_hall(a_client_without_a_secret_is_a_public_one),
        in_hall(a_client_that_lacks_what_its_proof_takes_says_so),
        in_hall(claims_take_fields_and_what_is_no_secret),
        in_hall(hosts_of_token_requests_are_told),
        in_hall(scopes_come_as_a_list_or_a_text),
    };
    return cmocka_run_group_tests_name("auth/oauth_client", tests, NULL, NULL);
}
