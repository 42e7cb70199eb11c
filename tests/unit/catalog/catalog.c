#include "room.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/embed.h"

static struct catalog *loaded(struct arena *a, const char *directory)
{
    struct catalog *c = NULL;
    struct fault why = { 0 };
    if (catalog_load(a, str_of(directory), &c, &why))
        fail_msg("%s", why.subject);
    return c;
}

static void the_built_in_connectors_are_there_in_order_of_name(void **state)
{
    static const char *const names[] = {
        "AWS Lambda", "Genesys Cloud",   "GitHub", "Google Cloud", "Google Workspace", "HTTP",    "Jira",  "Microsoft Dynamics 365",
        "Microsoft Graph", "OpenAI", "Salesforce",   "ServiceNow",       "Shopify", "Slack", "Stripe",
        "Zendesk"
    };
    struct catalog *c = loaded(*state, NULL);
    assert_int_equal(catalog_count(c), COUNT(names));
    assert_int_equal(embedded_connectors_count, COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_memory_equal(catalog_at(c, i)->name.p, names[i], strlen(names[i]));
        assert_ptr_equal(catalog_find(c, catalog_at(c, i)->id), catalog_at(c, i));
    }
    assert_null(catalog_at(c, COUNT(names)));
    assert_null(catalog_find(c, STR("nope")));
    assert_null(catalog_find(c, STR("")));
}

static void every_built_in_file_is_named_after_its_connector(void **state)
{
    for (size_t i = 0; i < embedded_connectors_count; i++) {
        struct connector c;
        struct fault why = { 0 };
        if (connector_read(*state, embedded_connectors[i].bytes, &c, &why))
            fail_msg("%s: %s: %s", embedded_connectors[i].name, why.pointer, why.subject);
        struct str file = str_fmt(*state, "%.*s.json", STR_ARG(c.id));
        assert_string_equal(embedded_connectors[i].name, file.p);
    }
}

static void every_built_in_connector_speaks_both_languages_throughout(void **state)
{
    struct catalog *catalog = loaded(*state, NULL);
    for (size_t i = 0; i < catalog_count(catalog); i++) {
        const struct connector *c = catalog_at(catalog, i);
        for (int lang = LANG_EN; lang <= LANG_FR; lang++) {
            assert_true(c->description[lang].n && c->prerequisites[lang].n);
            for (size_t f = 0; f < c->field_count; f++)
                assert_true(c->fields[f].label[lang].n && c->fields[f].help[lang].n);
            for (size_t m = 0; m < c->auth_count; m++) {
                assert_true(c->auth[m].label[lang].n && c->auth[m].instructions[lang].n);
                for (size_t f = 0; f < c->auth[m].credential_count; f++)
                    assert_true(c->auth[m].credentials[f].label[lang].n && c->auth[m].credentials[f].help[lang].n);
                for (size_t f = 0; f < c->auth[m].field_count; f++)
                    assert_true(c->auth[m].fields[f].label[lang].n && c->auth[m].fields[f].help[lang].n);
            }
        }
        assert_false(str_eq(c->description[LANG_EN], c->description[LANG_FR]));
        assert_false(str_eq(c->prerequisites[LANG_EN], c->prerequisites[LANG_FR]));
        expect_str(c->version, "1.0.0");
        expect_str(c->stage, "stable");
        assert_true(c->keyword_count > 0);
    }
}

static const char installed[] =
    "{\"id\":\"%s\",\"name\":\"Ours\",\"version\":\"%s\",\"stage\":\"preview\",\"description\":{\"en\":\"x\",\"fr\":\"x\"},"
    "\"documentation\":\"https://a.example\",\"domains\":[\"data\"],\"base_url\":\"https://"
    "a.example\",\"prerequisites\":{\"en\":\"x\",\"fr\":\"x\"},"
    "\"auth\":[{\"type\":\"none\",\"label\":{\"en\":\"x\",\"fr\":\"x\"},\"instructions\":{\"en\":\"x\",\"fr\":\"x\"}}]}";

struct folder {
    char path[32];
};

static void put(const struct folder *f, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    fputs(text, to);
    assert_int_equal(fclose(to), 0);
}

static void put_installed(const struct folder *f, const char *name, const char *id, const char *version)
{
    char text[1024];
    /* the format is a constant above, with two places */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, installed, id, version);
#pragma GCC diagnostic pop
    put(f, name, text);
}

static struct folder folder_new(void)
{
    struct folder f = { "/tmp/raccord-catalog-XXXXXX" };
    assert_non_null(mkdtemp(f.path));
    return f;
}

static void folder_end(const struct folder *f, const char *const *names, size_t count)
{
    char path[128];
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", f->path, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->path);
}

static void an_installed_connector_wins_only_with_a_higher_version(void **state)
{
    static const char *const names[] = { "a.json", "b.json", "c.json", "d.json", "notes.txt" };
    struct folder f = folder_new();
    put_installed(&f, names[0], "ours", "0.9.0");
    put_installed(&f, names[1], "slack", "1.0.0");
    put_installed(&f, names[2], "stripe", "1.0.10");
    put_installed(&f, names[3], "github", "0.99.99");
    put(&f, names[4], "not a connector");

    struct catalog *c = loaded(*state, f.path);
    folder_end(&f, names, COUNT(names));

    assert_int_equal(catalog_count(c), embedded_connectors_count + 1);
    expect_str(catalog_find(c, STR("ours"))->name, "Ours");
    expect_str(catalog_find(c, STR("slack"))->name, "Slack");
    expect_str(catalog_find(c, STR("stripe"))->name, "Ours");
    expect_str(catalog_find(c, STR("github"))->name, "GitHub");
}

static void a_bad_installed_file_is_named_with_the_place(void **state)
{
    static const char *const names[] = { "broken.json" };
    struct folder f = folder_new();
    put_installed(&f, names[0], "ours", "one");
    struct catalog *c = NULL;
    struct fault why = { 0 };
    assert_int_equal(catalog_load(*state, str_of(f.path), &c, &why), ERR_FILE);
    folder_end(&f, names, COUNT(names));
    assert_non_null(strstr(why.subject, "broken.json"));
    assert_non_null(strstr(why.subject, "/version"));
}

static void a_folder_that_is_not_there_holds_nothing(void **state)
{
    assert_int_equal(catalog_count(loaded(*state, "/nonexistent/raccord")), embedded_connectors_count);
}

static void people_find_connectors_by_what_they_do(void **state)
{
    static const struct {
        const char *search, *id;
    } finds[] = { { "paiement", "stripe" },
                  { "PAYMENT", "stripe" },
                  { "tickets support", "zendesk" },
                  { "depot", "github" },
                  { "messagerie", "slack" },
                  { "generique", "http" },
                  { "llm", "openai" },
                  { "helpdesk", "zendesk" },
                  { "g suite", "google-workspace" },
                  { "bigquery", "google-cloud" },
                  { "commande", "shopify" },
                  { "soql", "salesforce" },
                  { "dataverse", "microsoft-dynamics-365" },
                  { "outlook", "microsoft-graph" },
                  { "centre de contact", "genesys-cloud" },
                  { "incident", "servicenow" },
                  { "atlassian", "jira" }, { "serverless", "aws-lambda" } };
    struct catalog *c = loaded(*state, NULL);
    for (size_t i = 0; i < COUNT(finds); i++)
        if (!connector_matches(catalog_find(c, str_of(finds[i].id)), str_of(finds[i].search)))
            fail_msg("“%s” does not find %s", finds[i].search, finds[i].id);
    assert_false(connector_matches(catalog_find(c, STR("stripe")), STR("zendesk")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_arena(the_built_in_connectors_are_there_in_order_of_name),
        in_arena(every_built_in_file_is_named_after_its_connector),
        in_arena(every_built_in_connector_speaks_both_languages_throughout),
        in_arena(an_installed_connector_wins_only_with_a_higher_version),
        in_arena(a_bad_installed_file_is_named_with_the_place),
        in_arena(a_folder_that_is_not_there_holds_nothing),
        in_arena(people_find_connectors_by_what_they_do),
    };
    return cmocka_run_group_tests_name("catalog/catalog", tests, NULL, NULL);
}
