#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>

#include "access/rights.h"
#include "house.h"

static struct narrow_list list_of(struct arena *a, const char *words)
{
    struct narrow_list l = { true, arena_array(a, 16, sizeof *l.at), 0 };
    struct str rest = str_of(words), word;
    while (str_piece(&rest, ' ', &word))
        l.at[l.count++] = word;
    return l;
}

static struct narrow narrowed(struct arena *a, enum narrow_kind k, const char *words)
{
    struct narrow n = { 0 };
    n.lists[k] = list_of(a, words);
    narrow_prepare(a, &n);
    return n;
}

static bool may(const struct narrow *n, const char *method, const char *path, const char *from)
{
    unsigned char ip[16];
    bool six = strchr(from, ':');
    assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, from, ip), 1);
    return narrow_permits(n, narrow_method(str_of(method)), str_of(path), six ? 6 : 4, ip, NULL);
}

static void nothing_named_narrows_nothing(void **state)
{
    struct house *h = *state;
    struct narrow n = { 0 };
    narrow_prepare(h->arena, &n);
    assert_false(n.calls);
    assert_true(may(&n, "DELETE", "/x", "192.0.2.1"));
    assert_true(may(&n, "BREW", "/x", "192.0.2.1"));
}

static void a_method_that_is_not_named_is_refused(void **state)
{
    struct house *h = *state;
    struct narrow n = narrowed(h->arena, NARROW_METHOD, "GET HEAD");
    assert_true(may(&n, "GET", "/", "192.0.2.1"));
    assert_true(may(&n, "HEAD", "/", "192.0.2.1"));
    assert_false(may(&n, "POST", "/", "192.0.2.1"));
    assert_false(may(&n, "get", "/", "192.0.2.1"));
    assert_false(may(&n, "BREW", "/", "192.0.2.1"));
}

static void risk_follows_the_method_and_an_unknown_one_destroys(void **state)
{
    struct house *h = *state;
    static const struct {
        const char *method, *risk;
    } rows[] = { { "GET", "read" },  { "HEAD", "read" },   { "OPTIONS", "read" },       { "POST", "write" },
                 { "PUT", "write" }, { "PATCH", "write" }, { "DELETE", "destructive" }, { "BREW", "destructive" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(narrow_risk(narrow_method(str_of(rows[i].method))), rows[i].risk);
        struct narrow with = narrowed(h->arena, NARROW_RISK, rows[i].risk);
        struct narrow without = narrowed(h->arena, NARROW_RISK, strcmp(rows[i].risk, "read") ? "read" : "write");
        assert_true(may(&with, rows[i].method, "/", "192.0.2.1"));
        assert_false(may(&without, rows[i].method, "/", "192.0.2.1"));
    }
}

static void methods_and_risks_hold_together(void **state)
{
    struct house *h = *state;
    struct narrow n = { 0 };
    enum narrow_kind which;
    n.lists[NARROW_METHOD] = list_of(h->arena, "GET DELETE");
    n.lists[NARROW_RISK] = list_of(h->arena, "read write");
    narrow_prepare(h->arena, &n);
    assert_true(may(&n, "GET", "/", "192.0.2.1"));
    assert_false(narrow_permits(&n, narrow_method(STR("POST")), STR("/"), 0, NULL, &which));
    assert_int_equal(which, NARROW_METHOD);
    assert_false(narrow_permits(&n, narrow_method(STR("DELETE")), STR("/"), 0, NULL, &which));
    assert_int_equal(which, NARROW_RISK);
}

static void an_address_outside_every_range_is_refused(void **state)
{
    struct house *h = *state;
    struct narrow n = narrowed(h->arena, NARROW_ADDRESS, "10.1.0.0/15 192.0.2.7 2001:db8:40::/42");
    assert_true(may(&n, "GET", "/", "10.0.0.1"));
    assert_true(may(&n, "GET", "/", "10.1.255.255"));
    assert_false(may(&n, "GET", "/", "10.2.0.0"));
    assert_true(may(&n, "GET", "/", "192.0.2.7"));
    assert_false(may(&n, "GET", "/", "192.0.2.6"));
    assert_true(may(&n, "GET", "/", "2001:db8:7f:ffff::1"));
    assert_false(may(&n, "GET", "/", "2001:db8:80::"));
    assert_true(may(&n, "GET", "/", "::ffff:192.0.2.7")); /* the same peer, on a listener for both families */
    assert_false(may(&n, "GET", "/", "::ffff:192.0.2.8"));
    assert_false(narrow_permits(&n, narrow_method(STR("GET")), STR("/"), 0, NULL, NULL));
}

static void a_range_of_no_bits_holds_its_family_only(void **state)
{
    struct house *h = *state;
    struct narrow n = narrowed(h->arena, NARROW_ADDRESS, "0.0.0.0/0");
    assert_true(may(&n, "GET", "/", "203.0.113.9"));
    assert_false(may(&n, "GET", "/", "2001:db8::1"));
}

static void a_path_counts_by_whole_segments(void **state)
{
    struct house *h = *state;
    struct narrow n = narrowed(h->arena, NARROW_PATH, "/contacts /v2/deals/");
    assert_true(may(&n, "GET", "/contacts", "192.0.2.1"));
    assert_true(may(&n, "GET", "/contacts/1", "192.0.2.1"));
    assert_false(may(&n, "GET", "/contacts-old", "192.0.2.1"));
    assert_true(may(&n, "GET", "/v2/deals", "192.0.2.1"));
    assert_false(may(&n, "GET", "/v2", "192.0.2.1"));
    assert_false(may(&n, "GET", "", "192.0.2.1"));
    static const char *const ways_out[] = { "/contacts/../deals", "/contacts/%2e%2E/deals", "/contacts/.%2e/deals", "/contacts/.",
                                            "/contacts/..", "/contacts/x/../../deals" };
    for (size_t i = 0; i < COUNT(ways_out); i++)
        assert_false(may(&n, "GET", ways_out[i], "192.0.2.1"));
    assert_true(may(&n, "GET", "/contacts/...", "192.0.2.1"));
    assert_true(may(&n, "GET", "/contacts/.hidden", "192.0.2.1"));
}

static void entries_that_cannot_be_read_are_refused_and_others_normalised(void **state)
{
    struct house *h = *state;
    struct str out;
    static const struct {
        enum narrow_kind kind;
        const char *typed, *stored; /* NULL: refused */
    } rows[] = {
        { NARROW_METHOD, "get", "GET" },         { NARROW_METHOD, "BREW", NULL },
        { NARROW_RISK, "read", "read" },         { NARROW_RISK, "some", NULL },
        { NARROW_ADDRESS, "10.1.2.3/8", "10.0.0.0/8" }, { NARROW_ADDRESS, "10.0.0.0/33", NULL },
        { NARROW_ADDRESS, "10.0.0", NULL },      { NARROW_ADDRESS, "010.0.0.1", NULL },
        { NARROW_ADDRESS, "2001:DB8::1/32", "2001:db8::/32" }, { NARROW_ADDRESS, "::1", "::1" },
        { NARROW_ADDRESS, "host", NULL },        { NARROW_PATH, "contacts", NULL },
        { NARROW_PATH, "/a?b", NULL },           { NARROW_PATH, "/a", "/a" },
        { NARROW_ACTION, "crm.*", "crm.*" },     { NARROW_ACTION, "  ", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = narrow_entry(h->arena, rows[i].kind, str_of(rows[i].typed), &out, &h->why);
        if (!rows[i].stored) {
            assert_int_equal(e, ERR_FIELD_INVALID);
            continue;
        }
        assert_ok(e);
        assert_string_equal(arena_cstr(h->arena, out), rows[i].stored);
    }
}

static void a_pattern_fits_whole_keys(void **state)
{
    (void)state;
    assert_true(narrow_glob(STR("crm.*"), STR("crm.contacts.list")));
    assert_true(narrow_glob(STR("*.list"), STR("crm.contacts.list")));
    assert_true(narrow_glob(STR("crm.*.l?st"), STR("crm.contacts.list")));
    assert_false(narrow_glob(STR("crm.*"), STR("my.crm.contacts")));
    assert_false(narrow_glob(STR("crm"), STR("crm.contacts")));
    assert_false(narrow_glob(STR("?"), STR("")));
    assert_true(narrow_glob(STR("**"), STR("")));
}

static void what_is_narrowed_is_never_within_something_narrower(void **state)
{
    struct house *h = *state;
    static const struct {
        enum narrow_kind kind;
        const char *inner, *outer;
        bool within;
    } rows[] = {
        { NARROW_METHOD, "GET", "GET HEAD", true },
        { NARROW_METHOD, "GET POST", "GET HEAD", false },
        { NARROW_ADDRESS, "10.1.0.0/16", "10.0.0.0/8", true },
        { NARROW_ADDRESS, "10.0.0.0/7", "10.0.0.0/8", false },
        { NARROW_ADDRESS, "::/0", "0.0.0.0/0", false },
        { NARROW_PATH, "/a/b", "/a", true },
        { NARROW_PATH, "/ab", "/a", false },
        { NARROW_ACTION, "crm.contacts.*", "crm.*", true },
        { NARROW_ACTION, "crm.*", "crm.contacts.*", false },
        { NARROW_ACTION, "*x", "?x", false }, /* the one stands for more than one character */
        { NARROW_ACTION, "ax", "?x", true },
    };
    enum narrow_kind which;
    struct narrow none = { 0 };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct narrow inner = narrowed(h->arena, rows[i].kind, rows[i].inner);
        struct narrow outer = narrowed(h->arena, rows[i].kind, rows[i].outer);
        assert_int_equal(narrow_within(&inner, &outer, &which), rows[i].within);
        assert_true(narrow_within(&inner, &none, &which));
        assert_false(narrow_within(&none, &outer, &which));
        assert_int_equal(which, rows[i].kind);
    }
}

static void a_refusal_says_which_narrowing_it_was(void **state)
{
    struct house *h = *state;
    struct narrow n = narrowed(h->arena, NARROW_RISK, "read");
    assert_int_equal(narrow_check(&n, STR("DELETE"), STR("/"), 0, NULL, &h->why), ERR_TOKEN_NOT_GRANTED);
    assert_string_equal(h->why.subject, "risk destructive");
    n = narrowed(h->arena, NARROW_PATH, "/a");
    assert_int_equal(narrow_check(&n, STR("GET"), STR("/s3cr3t"), 0, NULL, &h->why), ERR_TOKEN_NOT_GRANTED);
    assert_null(strstr(h->why.subject, "s3cr3t"));
    assert_null(strstr(h->why.note, "s3cr3t"));
}

/* ---- tokens ---- */

static struct str narrow_token(struct house *h, const struct narrow *n, char text[TOKEN_TEXT])
{
    struct str id;
    struct token_new t = { .name = STR("narrow"), .principal = h->ann, .role = ROLE_USER, .narrow = n };
    assert_ok(token_create(h->db, h->arena, &t, text, &id, &h->why));
    return id;
}

static void a_token_comes_back_as_narrow_as_it_was_made(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct narrow n = narrowed(h->arena, NARROW_METHOD, "GET");
    struct caller c;
    struct token_row row;
    n.lists[NARROW_ADDRESS] = list_of(h->arena, "10.0.0.0/8");
    struct str id = narrow_token(h, &n, text);
    assert_ok(token_resolve(h->db, h->arena, str_of(text), &c, &h->why));
    assert_true(may(&c.narrow, "GET", "/", "10.9.9.9"));
    assert_false(may(&c.narrow, "POST", "/", "10.9.9.9"));
    assert_false(may(&c.narrow, "GET", "/", "11.9.9.9"));
    assert_ok(token_get(h->db, h->arena, id, &row, &h->why));
    assert_int_equal(row.narrow.lists[NARROW_METHOD].count, 1);
    assert_false(row.narrow.lists[NARROW_PATH].set);

    struct narrow wider = { 0 };
    assert_ok(token_set_grants(h->db, id, &wider, &h->why));
    assert_ok(token_resolve(h->db, h->arena, str_of(text), &c, &h->why));
    assert_true(may(&c.narrow, "POST", "/", "11.9.9.9"));
}

static void a_token_whose_grants_were_lost_may_less_and_not_more(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct narrow n = narrowed(h->arena, NARROW_METHOD, "GET");
    struct caller c;
    narrow_token(h, &n, text);
    house_run(h, "DELETE FROM token_grant");
    assert_ok(token_resolve(h->db, h->arena, str_of(text), &c, &h->why));
    assert_false(may(&c.narrow, "GET", "/", "192.0.2.1"));
}

static bool sees(struct house *h, const struct caller *c, struct str folder)
{
    struct folder_scope seen;
    struct rights r;
    bool listed;
    assert_ok(rights_in_folder(h->db, h->arena, c, folder, &r, &h->why));
    assert_ok(rights_visible(h->db, h->arena, c, &seen, &h->why));
    assert_ok(folder_scope_holds(h->db, &seen, folder, &listed, &h->why));
    assert_int_equal(listed, (r.mask & RIGHT_BIT(RIGHT_VIEW)) != 0);
    return listed;
}

static void a_token_for_a_folder_sees_what_is_below_and_nothing_beside(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct narrow n = { 0 };
    struct caller c;
    struct str own;
    house_run(h, "INSERT INTO folder (id, parent_id, slug, path, kind, preset, created_ms, updated_ms)"
                 " SELECT 'fld_sales', id, 'sales', 'shared/sales', 'shared', 'inherited', 1, 1 FROM folder WHERE path = 'shared'"
                 " UNION ALL SELECT 'fld_hr', id, 'hr', 'shared/hr', 'shared', 'inherited', 1, 1 FROM folder WHERE path = 'shared'"
                 " UNION ALL SELECT 'fld_eu', 'fld_sales', 'eu', 'shared/sales/eu', 'shared', 'inherited', 1, 1;"
                 "INSERT INTO folder_above SELECT f.id, s.id, 1, 1 FROM folder f, folder s WHERE s.path = 'shared'"
                 " AND f.id IN ('fld_sales', 'fld_hr', 'fld_eu');"
                 "INSERT INTO folder_above VALUES ('fld_sales', 'fld_sales', 1, 0), ('fld_hr', 'fld_hr', 1, 0),"
                 " ('fld_eu', 'fld_eu', 1, 0), ('fld_eu', 'fld_sales', 1, 1)");
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &own, &h->why));
    n.lists[NARROW_FOLDER] = list_of(h->arena, "fld_sales");
    narrow_token(h, &n, text);
    assert_ok(token_resolve(h->db, h->arena, str_of(text), &c, &h->why));
    assert_true(sees(h, &c, STR("fld_sales")));
    assert_true(sees(h, &c, STR("fld_eu")));
    assert_false(sees(h, &c, h->shared));
    assert_false(sees(h, &c, STR("fld_hr")));
    assert_false(sees(h, &c, own));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
        TEST(nothing_named_narrows_nothing),
        TEST(a_method_that_is_not_named_is_refused),
        TEST(risk_follows_the_method_and_an_unknown_one_destroys),
        TEST(methods_and_risks_hold_together),
        TEST(an_address_outside_every_range_is_refused),
        TEST(a_range_of_no_bits_holds_its_family_only),
        TEST(a_path_counts_by_whole_segments),
        TEST(entries_that_cannot_be_read_are_refused_and_others_normalised),
        TEST(a_pattern_fits_whole_keys),
        TEST(what_is_narrowed_is_never_within_something_narrower),
        TEST(a_refusal_says_which_narrowing_it_was),
        TEST(a_token_comes_back_as_narrow_as_it_was_made),
        TEST(a_token_whose_grants_were_lost_may_less_and_not_more),
        TEST(a_token_for_a_folder_sees_what_is_below_and_nothing_beside),
    };
    return cmocka_run_group_tests_name("access/narrow", tests, NULL, NULL);
}
