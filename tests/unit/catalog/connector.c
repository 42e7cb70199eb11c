#include "room.h"

#include <stdlib.h>

#define BOTH(x) "{\"en\":\"" x "\",\"fr\":\"" x "\"}"

/* A small connector that holds one of everything. */
/* clang-format off: it takes the macros for calls */
static const char whole[] =
    "{\"id\":\"acme\",\"name\":\"Acme\",\"version\":\"1.2.3\",\"stage\":\"preview\","
    "\"description\":{\"en\":\"Anvils\",\"fr\":[\"Enclumes\",\"et "
    "ressorts\"]},\"homepage\":\"https://acme.example\",\"documentation\":\"https://acme.example/docs\",\"domains\":[\"commerce\"],"
    "\"keywords\":[\"anvil\",\"Café\"],\"base_url\":\"https://{{fields.tenant}}.acme.example/{{fields.region}}\","
    "\"allowed_domain\":\"{{fields.tenant}}.acme.example\",\"fields\":["
    "{\"key\":\"tenant\",\"type\":\"text\",\"label\":" BOTH("Tenant") ",\"required\":true,"
    "\"host_suffix\":\".acme.example\",\"aliases\":[\"org\"]},"
    "{\"key\":\"region\",\"type\":\"select\",\"label\":" BOTH("Region") ",\"options\":[\"eu\",\"us\"],\"default\":\"eu\"},"
    "{\"key\":\"beta\",\"type\":\"boolean\",\"label\":" BOTH("Beta") ",\"default\":true,\"advanced\":true},"
    "{\"key\":\"since\",\"type\":\"text\",\"format\":\"date\",\"label\":" BOTH("Since") "}],"
    "\"headers\":{\"X-Since\":\"{{fields.since}}\"},"
    "\"verify\":{\"method\":\"GET\",\"path\":\"/me\",\"account\":\"/name\",\"account_detail\":\"/team\",\"ok_pointer\":\"/ok\"},"
    "\"follow_redirects\":true,\"timeouts\":{\"first_byte\":\"90s\",\"total\":\"10m\"},"
    "\"prerequisites\":" BOTH("An account") ",\"auth\":["
    "{\"type\":\"bearer\",\"label\":" BOTH("Token") ",\"instructions\":" BOTH("Ask.") ",\"prefix\":\"Acme\","
    "\"credentials\":[{\"key\":\"token\",\"type\":\"secret\",\"label\":" BOTH("Token") ",\"required\":true,\"aliases\":[\"key\"]}],"
    "\"fields\":[{\"key\":\"note\",\"type\":\"text\",\"label\":" BOTH("Note") "}]},"
    "{\"type\":\"custom_fields\",\"label\":" BOTH("Own") ",\"instructions\":" BOTH("Any.") ",\"open_credentials\":true,"
    "\"fields\":[{\"key\":\"cloud\",\"type\":\"host\",\"label\":" BOTH("Cloud") ",\"required\":true,"
    "\"hosts\":[\"*.Acme.example\",\"cloud.example.org\"]}],"
    "\"base_url\":\"https://{{fields.cloud}}/own\",\"allowed_domain\":\"{{fields.cloud}}\","
    "\"verify\":{\"method\":\"HEAD\",\"path\":\"/ping/{{fields.cloud}}\"}}]}";
/* clang-format on */

static void a_whole_file_is_read_into_its_parts(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    enum err e = connector_read(*state, str_of(whole), &c, &why);
    if (e)
        fail_msg("%s: %s", why.pointer, why.subject);

    expect_str(c.id, "acme");
    expect_str(c.description[LANG_EN], "Anvils");
    expect_str(c.description[LANG_FR], "Enclumes\net ressorts");
    expect_str(c.base_url, "https://{{fields.tenant}}.acme.example/{{fields.region}}");
    assert_int_equal(c.field_count, 4);
    expect_str(c.fields[0].key, "tenant");
    expect_str(c.fields[0].aliases[0], "org");
    expect_str(c.fields[0].host_suffix, ".acme.example");
    assert_true(c.fields[0].required);
    assert_int_equal(c.fields[1].type, FIELD_SELECT);
    expect_str(c.fields[1].options[1], "us");
    expect_str(c.fields[2].preset, "true");
    assert_int_equal(c.fields[3].format, FORMAT_DATE);
    assert_int_equal(c.auth_count, 2);
    expect_str(c.auth[0].credentials[0].key, "token");
    assert_true(c.auth[0].credentials[0].secret);
    expect_str(json_str(c.auth[0].options, "prefix"), "Acme");
    assert_true(c.auth[1].open_credentials);
    expect_str(c.auth[0].base_url, "https://{{fields.tenant}}.acme.example/{{fields.region}}");
    expect_str(c.auth[0].allowed_domain, "{{fields.tenant}}.acme.example");
    expect_str(c.auth[0].verify.path, "/me");
    expect_str(c.auth[1].base_url, "https://{{fields.cloud}}/own");
    expect_str(c.auth[1].allowed_domain, "{{fields.cloud}}");
    expect_str(c.auth[1].verify.path, "/ping/{{fields.cloud}}");
    expect_str(c.auth[1].fields[0].hosts[0], "*.acme.example");
    expect_str(c.verify.account_detail, "/team");
    expect_str(c.headers[0][1], "{{fields.since}}");
    assert_true(c.follow_redirects);
    assert_int_equal(c.times.first_byte_ms, 90000);
    assert_int_equal(c.times.total_ms, 600000);
    assert_int_equal(c.times.connect_ms, 0);
    assert_ptr_equal(connector_auth_find(&c, STR("custom_fields")), &c.auth[1]);
    assert_null(connector_auth_find(&c, STR("basic")));
}

static void mistakes_are_refused_where_they_stand(void **state)
{
    static const struct {
        const char *old, *new;
        enum err e;
        const char *pointer;
    } mistakes[] = {
        { "\"homepage\"", "\"home_page\"", ERR_UNKNOWN_FIELD, "/home_page" },
        { "\"id\":\"acme\",", "", ERR_FIELD_REQUIRED, "/id" },
        { "\"acme\"", "\"Acme\"", ERR_FIELD_INVALID, "/id" },
        { "\"acme\"", "7", ERR_FIELD_INVALID, "/id" },
        { "\"name\":\"Acme\"", "\"name\":{\"en\":\"Acme\",\"fr\":\"Acmé\"}", ERR_FIELD_INVALID,
          "/name" }, /* D10: names are not translated */
        { "1.2.3", "1.2", ERR_FIELD_INVALID, "/version" },
        { "1.2.3", "1.2.x", ERR_FIELD_INVALID, "/version" },
        { "1.2.3", "1.02.3", ERR_FIELD_INVALID, "/version" },
        { "preview", "beta", ERR_FIELD_INVALID, "/stage" },
        { "{\"en\":\"Anvils\",", "{", ERR_FIELD_REQUIRED, "/description/en" },
        { ",\"fr\":[\"Enclumes\",\"et ressorts\"]", "", ERR_FIELD_REQUIRED, "/description/fr" },
        { "[\"Enclumes\",\"et ressorts\"]", "\"\"", ERR_FIELD_INVALID, "/description/fr" },
        { "[\"Enclumes\",\"et ressorts\"]", "\"x\",\"de\":\"y\"", ERR_UNKNOWN_FIELD, "/description/de" },
        { "https://acme.example/docs", "http://acme.example/docs", ERR_FIELD_INVALID, "/documentation" },
        { "[\"commerce\"]", "[]", ERR_FIELD_REQUIRED, "/domains" },
        { "[\"commerce\"]", "[\"Commerce\"]", ERR_FIELD_INVALID, "/domains/0" },
        { "https://{{", "http://{{", ERR_FIELD_INVALID, "/base_url" },
        { "https://{{fields.tenant}}", "https://{{fields.tenent}}", ERR_FIELD_INVALID, "/base_url" },
        { "https://{{fields.tenant}}", "https://{{credentials.token}}", ERR_FIELD_INVALID, "/base_url" },
        { "https://{{fields.tenant}}", "https://{{fields.since}}", ERR_FIELD_INVALID, "/base_url" }, /* may be missing */
        { "https://{{fields.tenant}}", "https://{{fields.beta}}", ERR_FIELD_INVALID, "/base_url" },  /* no part of a host */
        { "https://{{fields.tenant}}.acme.example/{{fields.region}}", "{{fields.tenant}}", ERR_FIELD_INVALID, "/base_url" },
        { "\"{{fields.tenant}}.acme.example\"", "\"{{fields.tenant}.acme.example\"", ERR_FIELD_INVALID, "/allowed_domain" },
        { "\"key\":\"tenant\"", "\"key\":\"Tenant\"", ERR_FIELD_INVALID, "/fields/0/key" },
        { "\"key\":\"tenant\",", "", ERR_FIELD_REQUIRED, "/fields/0/key" },
        { "\"type\":\"text\",\"label\":{\"en\":\"Tenant\"", "\"type\":\"string\",\"label\":{\"en\":\"Tenant\"", ERR_FIELD_INVALID,
          "/fields/0/type" },
        { "\"type\":\"text\",\"label\":{\"en\":\"Tenant\"", "\"type\":\"secret\",\"label\":{\"en\":\"Tenant\"", ERR_FIELD_INVALID,
          "/fields/0/host_suffix" },
        { "\"format\":\"date\"", "\"format\":\"time\"", ERR_FIELD_INVALID, "/fields/3/format" },
        { "\"type\":\"text\",\"format\":\"date\"", "\"type\":\"secret\"", ERR_FIELD_INVALID,
          "/fields/3/type" }, /* would be stored bare */
        { "\"label\":{\"en\":\"Region\",\"fr\":\"Region\"}", "\"label\":{\"en\":\"Region\"}", ERR_FIELD_REQUIRED,
          "/fields/1/label/fr" },
        { "\"default\":\"eu\"", "\"default\":\"asia\"", ERR_FIELD_INVALID, "/fields/1/default" },
        { "\"options\":[\"eu\",\"us\"],\"default\":\"eu\"", "\"required\":true", ERR_FIELD_INVALID, "/fields/1/options" },
        { "\"default\":true", "\"default\":\"true\"", ERR_FIELD_INVALID, "/fields/2/default" },
        { "\"advanced\":true", "\"advanced\":1", ERR_FIELD_INVALID, "/fields/2/advanced" },
        { "\"advanced\":true", "\"changeable\":\"yes\"", ERR_FIELD_INVALID, "/fields/2/changeable" },
        { "\"type\":\"text\",\"format\":\"date\"", "\"type\":\"map\",\"changeable\":true", ERR_FIELD_INVALID,
          "/fields/3/changeable" }, /* nothing that one types into a line */
        { "\"key\":\"since\"", "\"key\":\"org\"", ERR_FIELD_INVALID, "/fields/3/key" }, /* an alias of another */
        { "\"key\":\"note\"", "\"key\":\"tenant\"", ERR_FIELD_INVALID, "/auth/0/fields/0/key" },
        { "\"X-Since\"", "\"Authorization\"", ERR_FIELD_INVALID, "/headers/Authorization" },
        { "\"X-Since\"", "\"X Since\"", ERR_FIELD_INVALID, "/headers/X Since" },
        { "\"{{fields.since}}\"", "\"{{fields.sinse}}\"", ERR_FIELD_INVALID, "/headers/X-Since" },
        { "\"{{fields.since}}\"", "\"a\\r\\nb\"", ERR_FIELD_INVALID, "/headers/X-Since" },
        { "\"path\":\"/me\"", "\"path\":\"me\"", ERR_FIELD_INVALID, "/verify/path" },
        { "\"path\":\"/me\"", "\"path\":\"https://elsewhere.example/me\"", ERR_FIELD_INVALID, "/verify/path" },
        { "\"path\":\"/me\"", "\"path\":\"{{fields.tenant}}\"", ERR_FIELD_INVALID, "/verify/path" }, /* not a path */
        { "\"method\":\"GET\"", "\"method\":\"DELETE\"", ERR_FIELD_INVALID, "/verify/method" },
        { "\"account\":\"/name\"", "\"account\":\"name\"", ERR_FIELD_INVALID, "/verify/account" },
        { "\"ok_pointer\"", "\"ok\"", ERR_UNKNOWN_FIELD, "/verify/ok" },
        { "\"prerequisites\":" BOTH("An account") ",", "", ERR_FIELD_REQUIRED, "/prerequisites" },
        { "\"instructions\":" BOTH("Ask."), "\"instructions\":{\"en\":\"Ask.\"}", ERR_FIELD_REQUIRED, "/auth/0/instructions/fr" },
        { "\"prefix\":\"Acme\"", "\"prefx\":\"Acme\"", ERR_UNKNOWN_FIELD, "/auth/0/prefx" },
        { "\"prefix\":\"Acme\"", "\"prefix\":[]", ERR_FIELD_INVALID, "/auth/0/prefix" },
        { "\"type\":\"secret\"", "\"type\":\"boolean\"", ERR_FIELD_INVALID, "/auth/0/credentials/0/type" },
        { "\"type\":\"custom_fields\"", "\"type\":\"bearer\"", ERR_FIELD_INVALID, "/auth/1/type" },
        { "\"open_credentials\":true",
          "\"open_credentials\":true,\"credentials\":[{\"key\":\"a\",\"type\":\"secret\",\"label\":" BOTH("A") "}]",
          ERR_FIELD_INVALID, "/auth/1/open_credentials" },
        { "https://{{fields.cloud}}/own", "https://{{fields.note}}/own", ERR_FIELD_INVALID,
          "/auth/1/base_url" }, /* of another type */
        { "https://{{fields.cloud}}/own", "http://{{fields.cloud}}/own", ERR_FIELD_INVALID, "/auth/1/base_url" },
        { "https://{{fields.cloud}}/own", "https://{{fields.cloud}}/{{fields.since}}", ERR_FIELD_INVALID, "/auth/1/base_url" },
        { "\"base_url\":\"https://{{fields.cloud}}/own\",", "", ERR_FIELD_INVALID, "/auth/1/allowed_domain" },
        { "\"{{fields.cloud}}\"", "\"{{fields.clod}}\"", ERR_FIELD_INVALID, "/auth/1/allowed_domain" },
        { "/ping/{{fields.cloud}}", "/ping/{{fields.clod}}", ERR_FIELD_INVALID, "/auth/1/verify/path" },
        { "\"HEAD\"", "\"PUT\"", ERR_FIELD_INVALID, "/auth/1/verify/method" },
        { "\"*.Acme.example\"", "\"*.com\"", ERR_FIELD_INVALID, "/auth/1/fields/0/hosts/0" }, /* nobody's own */
        { "\"cloud.example.org\"", "\"https://cloud.example.org\"", ERR_FIELD_INVALID, "/auth/1/fields/0/hosts/1" },
        { "\"type\":\"host\"", "\"type\":\"text\"", ERR_FIELD_INVALID, "/auth/1/fields/0/hosts" },
        { "\"follow_redirects\":true", "\"follow_redirects\":\"yes\"", ERR_FIELD_INVALID, "/follow_redirects" },
        { "\"90s\"", "90", ERR_FIELD_INVALID, "/timeouts/first_byte" },
        { "\"90s\"", "\"90ms\"", ERR_FIELD_INVALID, "/timeouts/first_byte" },
        { "\"10m\"", "\"2h\"", ERR_FIELD_INVALID, "/timeouts/total" },
        { "\"first_byte\"", "\"first\"", ERR_UNKNOWN_FIELD, "/timeouts/first" },
    };
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        struct connector c;
        struct fault why = { 0 };
        enum err e = connector_read(*state, replaced(*state, str_of(whole), mistakes[i].old, mistakes[i].new), &c, &why);
        if (e != mistakes[i].e || strcmp(why.pointer, mistakes[i].pointer))
            fail_msg("“%s” for “%s”: answers %d at “%s” (%s), wanted %d at “%s”", mistakes[i].new, mistakes[i].old, e, why.pointer,
                     why.subject, mistakes[i].e, mistakes[i].pointer);
    }
}

static void what_is_no_json_or_no_object_is_refused(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    assert_int_equal(connector_read(*state, STR("{\"id\":"), &c, &why), ERR_JSON_INVALID);
    assert_int_equal(connector_read(*state, STR(""), &c, &why), ERR_JSON_INVALID);
    assert_int_equal(connector_read(*state, STR("[]"), &c, &why), ERR_FIELD_INVALID);
    assert_int_equal(connector_read(*state, STR("{\"id\":\"a\",\"id\":\"b\"}"), &c, &why), ERR_JSON_INVALID);
    assert_int_equal(connector_read(*state, STR("{}"), &c, NULL), ERR_FIELD_REQUIRED);
}

/* The reference's own example, so that it cannot rot. */
static void the_example_in_the_reference_is_a_good_file(void **state)
{
    FILE *f = fopen(SOURCE "/docs/connector-format.md", "re");
    assert_non_null(f);
    char *text = arena_zero(*state, 65536);
    size_t n = fread(text, 1, 65535, f);
    fclose(f);
    struct str doc = { text, n };
    size_t from = str_find_str(doc, STR("```json\n"));
    assert_true(from != SIZE_MAX);
    doc = str_sub(doc, from + 8, doc.n);
    doc.n = str_find_str(doc, STR("```"));

    struct connector c;
    struct fault why = { 0 };
    if (connector_read(*state, doc, &c, &why))
        fail_msg("%s: %s", why.pointer, why.subject);
    expect_str(c.id, "acme");
}

static void a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        AUTO_ARENA a = arena_new(4096);
        char *copy = mem_cstr((struct str){ whole, n }); /* its own block: reading past it is found out */
        struct connector c;
        struct fault why = { 0 };
        assert_int_equal(connector_read(a, (struct str){ copy, n }, &c, &why), ERR_JSON_INVALID);
        free(copy);
    }
}

static void a_search_ignores_case_and_accents_and_wants_every_word(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    assert_int_equal(connector_read(*state, str_of(whole), &c, &why), ERR_NONE);

    static const char *const found[] = { "",     "acme",         "ACME",     "  anvil ",      "café",
                                         "CAFE", "cafe\xcc\x81", "enclumes", "commerce acme", "Ressorts" };
    for (size_t i = 0; i < COUNT(found); i++)
        if (!connector_matches(&c, str_of(found[i])))
            fail_msg("not found by “%s”", found[i]);
    assert_false(connector_matches(&c, STR("acme hammer")));
    assert_false(connector_matches(&c, STR("bearer")));
}

static struct json *shown(struct arena *a, const struct connector *c, enum language lang, bool full)
{
    AUTO_BUF b;
    buf_init(&b, 1 << 20);
    struct json_out o = json_out(&b);
    connector_write(&o, c, lang, full, NULL, 0);
    return parsed(a, arena_cstr(a, buf_str(&b)));
}

static void the_api_shows_a_connector_in_the_callers_language(void **state)
{
    struct connector c;
    struct fault why = { 0 };
    assert_int_equal(connector_read(*state, str_of(whole), &c, &why), ERR_NONE);

    struct json *en = shown(*state, &c, LANG_EN, false), *fr = shown(*state, &c, LANG_FR, true);

    expect_str(json_str(en, "description"), "Anvils");
    expect_str(json_str(fr, "description"), "Enclumes\net ressorts");
    expect_str(json_str(fr, "name"), "Acme");
    assert_null(json_get(en, "auth"));
    assert_int_equal(json_get(en, "auth_types")->count, 2);
    struct json *bearer = json_get(fr, "auth")->child;
    expect_str(json_str(bearer, "type"), "bearer");
    expect_str(json_str(json_get(bearer, "credentials")->child, "key"), "token");
    assert_true(json_bool(json_get(bearer, "credentials")->child, "secret", false));
    struct json *fields = json_get(fr, "fields");
    assert_int_equal(fields->count, 4);
    expect_str(json_str(fields->child->next, "default"), "eu");
    assert_true(json_is(json_get(fields->child->next->next, "default"), JSON_TRUE));
    expect_str(json_str(fields->child->next->next->next, "format"), "date");
    expect_str(json_str(json_get(fr, "verify"), "path"), "/me");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_arena(a_whole_file_is_read_into_its_parts),
        in_arena(mistakes_are_refused_where_they_stand),
        in_arena(what_is_no_json_or_no_object_is_refused),
        in_arena(the_example_in_the_reference_is_a_good_file),
        in_arena(a_file_cut_short_anywhere_is_refused),
        in_arena(a_search_ignores_case_and_accents_and_wants_every_word),
        in_arena(the_api_shows_a_connector_in_the_callers_language),
    };
    return cmocka_run_group_tests_name("catalog/connector", tests, NULL, NULL);
}
