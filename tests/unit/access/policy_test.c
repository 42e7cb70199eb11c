#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "access/policy_store.h"
#include "house.h"

/* A set of policies: "folder or -|rules", ... */
struct text_policy {
    const char *id, *folder, *rules;
};

static struct policy_set *set_of(struct house *h, const struct text_policy *rows, size_t n)
{
    struct policy_set *s = arena_zero(h->arena, sizeof *s);
    s->references = 1;
    s->arena = h->arena;
    s->at = arena_array(h->arena, n, sizeof *s->at);
    for (; s->count < n; s->count++) {
        struct json *rules;
        struct policy *p = &s->at[s->count];
        assert_ok(json_read(h->arena, str_of(rows[s->count].rules), &rules, &h->why));
        p->id = p->name = str_of(rows[s->count].id);
        p->folder = rows[s->count].folder ? str_of(rows[s->count].folder) : STR_NONE;
        assert_ok(policy_read(h->arena, rules, p->folder.p != NULL, "/rules", p, &h->why));
    }
    return s;
}
#define SET(h, ...) set_of(h, (struct text_policy[]){ __VA_ARGS__ }, COUNT(((struct text_policy[]){ __VA_ARGS__ })))

static struct str sales[] = { { "fld_eu", 6 }, { "fld_sales", 9 }, { "fld_shared", 10 } };

static struct policy_subject subject(const char *connector, const char *auth_type, const char *domain)
{
    return (struct policy_subject){
        .moment = POLICY_CREATE, .folders = sales, .folder_count = COUNT(sales), .connector = str_of(connector),
        .auth_type = str_of(auth_type), .domain = str_of(domain),
    };
}

static enum err decide(struct house *h, const struct policy_set *s, struct policy_subject q)
{
    return policy_decide(s, &q, NULL, &h->why);
}

static void without_policies_everything_is_allowed(void **state)
{
    struct house *h = *state;
    assert_ok(decide(h, NULL, subject("http", "bearer", "*.example.com")));
}

static void a_block_wins_over_any_allowance_in_whatever_order(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "allow", NULL, "[{\"rule\":\"connectors_allow\",\"values\":[\"http\",\"slack\"]}]" },
                               { "block", NULL, "[{\"rule\":\"connectors_block\",\"values\":[\"http\"]}]" });
    assert_int_equal(decide(h, s, subject("http", "bearer", "a.example")), ERR_CONNECTOR_BLOCKED);
    assert_string_equal(h->why.subject, "http (policy “block”)");
    assert_ok(decide(h, s, subject("slack", "bearer", "a.example")));
    s = SET(h, { "block", NULL, "[{\"rule\":\"connectors_block\",\"values\":[\"http\"]}]" },
            { "allow", NULL, "[{\"rule\":\"connectors_allow\",\"values\":[\"http\",\"slack\"]}]" });
    assert_int_equal(decide(h, s, subject("http", "bearer", "a.example")), ERR_CONNECTOR_BLOCKED);
}

static void what_several_policies_allow_is_what_all_of_them_allow(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "one", NULL, "[{\"rule\":\"connectors_allow\",\"values\":[\"http\",\"slack\"]}]" },
                               { "two", "fld_sales", "[{\"rule\":\"connectors_allow\",\"values\":[\"slack\",\"stripe\"]}]" });
    assert_ok(decide(h, s, subject("slack", "bearer", "a.example")));
    assert_int_equal(decide(h, s, subject("http", "bearer", "a.example")), ERR_CONNECTOR_BLOCKED);
    assert_int_equal(decide(h, s, subject("stripe", "bearer", "a.example")), ERR_CONNECTOR_BLOCKED);
}

static void a_folders_policy_holds_below_it_and_nowhere_else(void **state)
{
    struct house *h = *state;
    static const char rules[] = "[{\"rule\":\"auth_types_block\",\"values\":[\"basic\"]}]";
    assert_int_equal(decide(h, SET(h, { "p", "fld_sales", rules }), subject("http", "basic", "a.example")), ERR_AUTH_TYPE_BLOCKED);
    assert_int_equal(decide(h, SET(h, { "p", "fld_shared", rules }), subject("http", "basic", "a.example")), ERR_AUTH_TYPE_BLOCKED);
    assert_ok(decide(h, SET(h, { "p", "fld_hr", rules }), subject("http", "basic", "a.example")));
}

static void a_rule_for_some_connectors_leaves_the_others_alone(void **state)
{
    struct house *h = *state;
    struct policy_set *s =
        SET(h, { "p", NULL, "[{\"rule\":\"auth_types_allow\",\"connectors\":[\"http\"],\"values\":[\"bearer\"]}]" });
    assert_int_equal(decide(h, s, subject("http", "basic", "a.example")), ERR_AUTH_TYPE_BLOCKED);
    assert_ok(decide(h, s, subject("slack", "basic", "a.example")));
}

static void domains_are_compared_as_sets_of_hosts(void **state)
{
    struct house *h = *state;
    static const struct {
        const char *rule, *pattern, *domain;
        enum err wanted;
    } rows[] = {
        { "domains_allow", "*.example.com", "api.example.com", ERR_NONE },
        { "domains_allow", "*.example.com", "example.com", ERR_NONE },
        { "domains_allow", "*.example.com", "*.eu.example.com", ERR_NONE },
        { "domains_allow", "*.example.com", "*.com", ERR_DOMAIN_BLOCKED },
        { "domains_allow", "*.example.com", "badexample.com", ERR_DOMAIN_BLOCKED },
        { "domains_allow", "api.example.com", "*.example.com", ERR_DOMAIN_BLOCKED },
        { "domains_block", "*.example.com", "api.example.com", ERR_DOMAIN_BLOCKED },
        { "domains_block", "secret.example.com", "*.example.com", ERR_DOMAIN_BLOCKED }, /* it would reach it */
        { "domains_block", "secret.example.com", "api.example.com", ERR_NONE },
        { "domains_block", "*", "api.example.com", ERR_DOMAIN_BLOCKED },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char rules[256];
        snprintf(rules, sizeof rules, "[{\"rule\":\"%s\",\"values\":[\"%s\"]}]", rows[i].rule, rows[i].pattern);
        assert_int_equal(decide(h, SET(h, { "p", NULL, rules }), subject("http", "bearer", rows[i].domain)), rows[i].wanted);
    }
    struct policy_set *exact = SET(h, { "p", NULL, "[{\"rule\":\"domains_exact\"}]" });
    assert_int_equal(decide(h, exact, subject("http", "bearer", "*.example.com")), ERR_DOMAIN_BLOCKED);
    assert_ok(decide(h, exact, subject("http", "bearer", "api.example.com")));
}

static void ones_own_oauth_client_is_refused_where_clients_are_managed(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "p", NULL, "[{\"rule\":\"managed_only\"}]" });
    struct policy_subject q = subject("slack", "oauth2_authorization_code", "slack.com");
    assert_ok(decide(h, s, q));
    q.client = (struct policy_client){ .known = true, .own = true };
    assert_int_equal(decide(h, s, q), ERR_MANAGED_ONLY);
    q.auth_type = STR("bearer");
    assert_ok(decide(h, s, q));
}

static void an_enforced_oauth_client_is_the_only_one_that_connections_of_its_kind_may_have(void **state)
{
    struct house *h = *state;
#define CLIENT(name, value, mode)                                                                                                  \
    "[{\"rule\":\"preset\",\"connectors\":[\"slack\"],\"part\":\"oauth_client\",\"name\":\"" name "\",\"value\":" value            \
    ",\"mode\":\"" mode "\"}]"
    struct policy_set *named = SET(h, { "p", NULL, CLIENT("oauth_client", "{\"set\":true,\"client\":\"cli_1\"}", "enforced") });
    struct policy_set *ours = SET(h, { "p", NULL, CLIENT("client_id", "{\"set\":true}", "hidden") });
    struct policy_set *keys =
        SET(h, { "p", NULL, CLIENT("oauth_client", "{\"set\":true,\"access_key\":true,\"client\":\"cli_1\"}", "enforced") });
    struct policy_set *either = SET(h, { "p", NULL, CLIENT("oauth_client", "{\"set\":true,\"client\":\"cli_1\"}", "optional") });
    const struct { struct policy_client has; enum err named, ours, keys; } cases[] = {
        { { .known = true, .id = STR("cli_1") }, ERR_NONE, ERR_PRESET_ENFORCED, ERR_NONE },
        { { .known = true, .id = STR("cli_2") }, ERR_PRESET_ENFORCED, ERR_PRESET_ENFORCED, ERR_NONE },
        { { .known = true, .id = STR("p/slack") }, ERR_PRESET_ENFORCED, ERR_NONE, ERR_NONE },
        { { .known = true, .id = STR("q/slack") }, ERR_PRESET_ENFORCED, ERR_PRESET_ENFORCED, ERR_NONE },
        { { .known = true, .own = true, .id = STR("") }, ERR_PRESET_ENFORCED, ERR_PRESET_ENFORCED, ERR_NONE },
        { { .known = true, .id = STR("") }, ERR_NONE, ERR_NONE, ERR_NONE },
        { { .known = true, .access_key = true, .id = STR("cli_1") }, ERR_NONE, ERR_NONE, ERR_NONE },
        { { .known = true, .access_key = true, .id = STR("cli_2") }, ERR_NONE, ERR_NONE, ERR_PRESET_ENFORCED },
        { { .known = true, .access_key = true, .own = true, .id = STR("") }, ERR_NONE, ERR_NONE, ERR_PRESET_ENFORCED },
        { { .known = false }, ERR_NONE, ERR_NONE, ERR_NONE },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct policy_subject q = subject("slack", "oauth2_authorization_code", "slack.com");
        q.client = cases[i].has;
        for (enum policy_moment m = POLICY_CREATE; m <= POLICY_CALL; m = (enum policy_moment)(m << 1)) {
            q.moment = m;
            assert_int_equal(decide(h, named, q), cases[i].named);
            assert_int_equal(decide(h, ours, q), cases[i].ours);
            assert_int_equal(decide(h, keys, q), cases[i].keys);
            assert_ok(decide(h, either, q));
        }
    }
}

static void an_enforced_field_must_have_its_value(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "p", NULL,
                                    "[{\"rule\":\"preset\",\"connectors\":[\"http\"],\"part\":\"field\",\"name\":\"base_url\","
                                    "\"value\":\"https://a\",\"mode\":\"hidden\"}]" });
    struct policy_subject q = subject("http", "bearer", "a");
    struct json *fields;
    assert_ok(json_read(h->arena, STR("{\"base_url\":\"https://b\"}"), &fields, &h->why));
    q.fields = fields;
    assert_int_equal(decide(h, s, q), ERR_PRESET_ENFORCED);
    assert_ok(json_read(h->arena, STR("{\"base_url\":\"https://a\"}"), &fields, &h->why));
    q.fields = fields;
    assert_ok(decide(h, s, q));
}

static void enforced_scopes_are_the_same_however_they_are_written(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "p", NULL,
                                    "[{\"rule\":\"preset\",\"connectors\":[\"http\"],\"part\":\"scopes\","
                                    "\"value\":\"\\tread,\\r\\nwrite\\n\",\"mode\":\"enforced\"}]" });
    struct policy_subject q = subject("http", "oauth2_authorization_code", "a");
    q.client = (struct policy_client){ .known = true, .id = STR("cli_1") };
    static const struct { const char *asked; enum err wanted;
    } cases[] = {
        { "read write", ERR_NONE },
        { "write read", ERR_NONE },
        { "read", ERR_PRESET_ENFORCED },
        { "read write x", ERR_PRESET_ENFORCED },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        q.client.scopes = str_of(cases[i].asked);
        assert_int_equal(decide(h, s, q), cases[i].wanted);
    }
}

static void calls_are_asked_about_when_they_are_made_only(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "p", NULL, "[{\"rule\":\"methods_block\",\"values\":[\"DELETE\"]}]" });
    struct policy_subject q = subject("http", "bearer", "a.example");
    q.method = STR("DELETE");
    assert_ok(decide(h, s, q));
    q.moment = POLICY_CALL;
    assert_int_equal(decide(h, s, q), ERR_CALL_BLOCKED);
    q.method = STR("GET");
    assert_ok(decide(h, s, q));
}

static void gates_say_the_same_as_the_decision(void **state)
{
    struct house *h = *state;
    static const unsigned char near[] = { 10, 0, 0, 1 }, far[] = { 192, 0, 2, 1 };
    static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE" };
    struct policy_set *s = SET(h, { "a", NULL, "[{\"rule\":\"risks_allow\",\"values\":[\"read\",\"write\"]},"
                                               "{\"rule\":\"addresses_allow\",\"values\":[\"10.0.0.0/8\"]}]" },
                               { "b", "fld_sales", "[{\"rule\":\"methods_block\",\"values\":[\"PUT\"]}]" },
                               { "c", "fld_hr", "[{\"rule\":\"methods_block\",\"values\":[\"GET\"]}]" });
    struct policy_subject q = subject("http", "bearer", "a.example");
    struct policy_gate *gates;
    size_t n;
    q.moment = POLICY_CALL;
    policy_gates(s, &q, h->arena, &gates, &n);
    assert_int_equal(n, 3);
    for (size_t m = 0; m < COUNT(methods); m++)
        for (int k = 0; k < 2; k++) {
            enum err by_gates = ERR_NONE;
            q.method = str_of(methods[m]);
            q.family = 4;
            q.ip = k ? far : near;
            for (size_t i = 0; i < n && !by_gates; i++)
                by_gates = policy_gate_check(&gates[i], q.method, 4, q.ip, NULL);
            assert_int_equal(policy_decide(s, &q, NULL, NULL), by_gates);
        }
}

static void the_trace_tells_each_rule_that_was_asked_after_a_refusal_too(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "one", NULL, "[{\"rule\":\"connectors_block\",\"values\":[\"http\"]}]" },
                               { "two", "fld_sales", "[{\"rule\":\"auth_types_allow\",\"values\":[\"bearer\"]}]" },
                               { "else", "fld_hr", "[{\"rule\":\"connectors_block\",\"values\":[\"http\"]}]" });
    struct policy_trace t = { .arena = h->arena };
    struct policy_subject q = subject("http", "bearer", "a.example");
    assert_int_equal(policy_decide(s, &q, &t, &h->why), ERR_CONNECTOR_BLOCKED);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.steps[0].layer, "instance");
    assert_string_equal(t.steps[0].rule, "connectors_block");
    assert_false(t.steps[0].allows);
    assert_string_equal(t.steps[1].layer, "folder");
    assert_true(t.steps[1].allows);
}

static void the_least_of_several_numbers_counts(void **state)
{
    struct house *h = *state;
    struct policy_set *s = SET(h, { "one", NULL, "[{\"rule\":\"secret_max_age\",\"value\":\"365d\"}]" },
                               { "two", "fld_sales", "[{\"rule\":\"secret_max_age\",\"value\":\"30d\"}]" });
    struct policy_subject q = subject("http", "bearer", "a.example");
    assert_int_equal(policy_least(s, &q, POLICY_SECRET_MAX_AGE), 30 * 86400000ll);
    q.folder_count = 0;
    assert_int_equal(policy_least(s, &q, POLICY_SECRET_MAX_AGE), 365 * 86400000ll);
    assert_int_equal(policy_least(s, &q, POLICY_QUOTA), 0);
}

static void a_walk_over_rules_finds_each_once(void **state)
{
    struct house *h = *state;
    struct policy_set *s =
        SET(h, { "one", NULL, "[{\"rule\":\"quota\",\"value\":1},{\"rule\":\"secure\"},{\"rule\":\"quota\",\"value\":2}]" },
            { "two", "fld_hr", "[{\"rule\":\"quota\",\"value\":3}]" }, { "three", NULL, "[{\"rule\":\"quota\",\"value\":4}]" });
    struct policy_subject q = subject("http", "bearer", "a.example");
    int64_t sum = 0;
    size_t at = 0;
    for (const struct policy_rule *r; (r = policy_next(s, &q, POLICY_QUOTA, &at, NULL));)
        sum = sum * 10 + r->number;
    assert_int_equal(sum, 124);
}

static void the_shipped_preset_can_be_read(void **state)
{
    struct house *h = *state;
    struct policy p;
    struct json *rules;
    assert_ok(json_read(h->arena, str_of(policy_preset(STR("genesys"))), &rules, &h->why));
    assert_ok(policy_read(h->arena, rules, false, "/rules", &p, &h->why));
    assert_int_equal(p.rule_count, 3);
    assert_null(policy_preset(STR("other")));
}

static void every_kind_of_rule_has_a_row_and_a_name_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICY_KINDS; i++) {
        assert_non_null(policy_kind_row(i)->name);
        assert_non_null(policy_kind_row(i)->help);
        assert_true(!policy_kind_row(i)->moments || policy_kind_row(i)->err);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(policy_kind_row(i)->name, policy_kind_row(k)->name);
    }
    assert_null(policy_kind_row(POLICY_KINDS));
}

static void instance_rules_are_refused_in_a_folder(void **state)
{
    struct house *h = *state;
    struct policy p;
    struct json *rules;
    assert_ok(json_read(h->arena, STR("[{\"rule\":\"secure\"},{\"rule\":\"run_retention\",\"value\":\"30d\"}]"), &rules, &h->why));
    assert_ok(policy_read(h->arena, rules, false, "/rules", &p, &h->why));
    assert_int_equal(policy_read(h->arena, rules, true, "/rules", &p, &h->why), ERR_FIELD_INVALID);
    assert_string_equal(h->why.pointer, "/rules/1/rule");
}

static void a_stored_policy_that_cannot_be_read_fails_the_set_rather_than_opening_it(void **state)
{
    struct house *h = *state;
    struct policy_set *s = NULL;
    struct policy_row row = { .name = STR("p"),
                              .rules = STR("[{\"rule\":\"connectors_block\",\"values\":[\"http\"]}]"),
                              .enabled = true };
    assert_ok(policy_insert(h->db, h->arena, &row, &h->why));
    assert_ok(policy_set_load(h->db, NULL, &s, &h->why));
    assert_int_equal(s->count, 1);
    policy_set_release(s);
    house_run(h, "UPDATE policy SET rules = '[{\"rule\":\"from_the_future\"}]'");
    assert_int_equal(policy_set_load(h->db, NULL, &s, &h->why), ERR_INTERNAL);
    house_run(h, "UPDATE policy SET enabled = 0");
    assert_ok(policy_set_load(h->db, NULL, &s, &h->why));
    assert_int_equal(s->count, 0);
    policy_set_release(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
        TEST(without_policies_everything_is_allowed),
        TEST(a_block_wins_over_any_allowance_in_whatever_order),
        TEST(what_several_policies_allow_is_what_all_of_them_allow),
        TEST(a_folders_policy_holds_below_it_and_nowhere_else),
        TEST(a_rule_for_some_connectors_leaves_the_others_alone),
        TEST(domains_are_compared_as_sets_of_hosts),
        TEST(ones_own_oauth_client_is_refused_where_clients_are_managed),
        TEST(an_enforced_oauth_client_is_the_only_one_that_connections_of_its_kind_may_have),
        TEST(an_enforced_field_must_have_its_value),
        TEST(enforced_scopes_are_the_same_however_they_are_written),
        TEST(calls_are_asked_about_when_they_are_made_only),
        TEST(gates_say_the_same_as_the_decision),
        TEST(the_trace_tells_each_rule_that_was_asked_after_a_refusal_too),
        TEST(the_least_of_several_numbers_counts),
        TEST(a_walk_over_rules_finds_each_once),
        TEST(the_shipped_preset_can_be_read),
        TEST(every_kind_of_rule_has_a_row_and_a_name_of_its_own),
        TEST(instance_rules_are_refused_in_a_folder),
        TEST(a_stored_policy_that_cannot_be_read_fails_the_set_rather_than_opening_it),
    };
    return cmocka_run_group_tests_name("access/policy", tests, NULL, NULL);
}
