/* The doors of connections: who may, what is answered, what is refused and where it points. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "web/hall.h"

#define CANARY "canary-7f3a9c51e0"
#define CRM "{\"connector\":\"http\",\"auth_type\":\"bearer\",\"key\":\"crm\",\"name\":\"CRM\",\"folder\":\"shared\"," \
            "\"fields\":{\"base_url\":\"https://api.example.com/v2\"},\"credentials\":{\"token\":\"" CANARY "\"}}"

struct people {
    struct hall *hall;
    struct caller *owner, *admin, *ann, *bob, *robot;
};

static int with_people(void **state)
{
    struct people *p = mem_zero(sizeof *p);
    p->hall = hall_new();
    p->owner = hall_person(p->hall, "owner@example.com", ROLE_OWNER, false);
    p->admin = hall_person(p->hall, "admin@example.com", ROLE_ADMIN, false);
    p->ann = hall_person(p->hall, "ann@example.com", ROLE_USER, false);
    p->bob = hall_person(p->hall, "bob@example.com", ROLE_USER, false);
    p->robot = hall_person(p->hall, "robot", ROLE_ADMIN, true);
    p->hall->caller = p->admin;
    *state = p;
    return 0;
}

static int drop_people(void **state)
{
    struct people *p = *state;
    hall_free(p->hall);
    free(p);
    return 0;
}

static const char *id_path(struct hall *h, const char *id, const char *rest)
{
    return str_fmt(h->exchange, "/api/v1/connections/%s%s", id, rest).p;
}

static const char *create(struct hall *h, const char *body)
{
    hall_ask(h, METHOD_POST, "/api/v1/connections", body);
    assert_ok(h, 201);
    return hall_text(h, "id");
}

/* ---- create ---- */

static void a_new_connection_is_answered_as_the_contract_says(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *id = create(h, CRM);
    assert_true(str_starts(str_of(id), STR("con_")));
    static const char *const expected[][2] = {
        { "key", "crm" },
        { "name", "CRM" },
        { "folder.path", "shared" },
        { "connector.id", "http" },
        { "connector.version", "1.0.0" },
        { "auth_type", "bearer" },
        { "allowed_domain", "api.example.com" },
        { "fields.base_url", "https://api.example.com/v2" },
        { "credentials.token.set", "true" },
        { "state", "active" },
        { "health", "unknown" },
        { "account", "null" },
        { "scopes.requested", "[]" },
        { "scopes.granted", "[]" },
        { "scopes.missing", "[]" },
        { "default", "true" },
        { "owner.name", "admin@example.com" },
        { "used_by", "0" },
        { "notes", "" },
        { "verified_at", "null" },
        { "warnings", "(none)" },
    };
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_string_equal(hall_text(h, expected[i][0]), expected[i][1]);
    assert_string_equal(hall_reply_header(h, "ETag"), "\"1\"");
    assert_string_equal(hall_reply_header(h, "Location"),
                        str_fmt(h->exchange, "https://hub.example/raccord/api/v1/connections/%s", id).p);
}

static void a_credential_never_comes_back(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *id = create(h, CRM);
    const char *const doors[] = { "", "/usage" };
    assert_true(str_find_str(buf_str(&h->reply.body), STR(CANARY)) == SIZE_MAX);
    assert_null(strstr(h->body, CANARY)); /* nor does it stay in the request's memory */
    for (size_t i = 0; i < COUNT(doors); i++) {
        hall_ask(h, METHOD_GET, id_path(h, id, doors[i]), NULL);
        assert_ok(h, 200);
        assert_true(str_find_str(buf_str(&h->reply.body), STR(CANARY)) == SIZE_MAX);
    }
    hall_ask(h, METHOD_GET, "/api/v1/connections?search=crm", NULL);
    assert_true(str_find_str(buf_str(&h->reply.body), STR(CANARY)) == SIZE_MAX);
}

static void a_refused_body_does_not_show_the_credential(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"bearer\",\"fields\":{\"base_url\":\"https://"
             "api.example.com\"},\"credentials\":{\"token\":\"" CANARY "\\u0000\"}}");
    assert_true(h->err != ERR_NONE);
    assert_null(strstr(h->why.subject, CANARY));
    assert_null(strstr(h->why.note, CANARY));
    assert_null(strstr(h->body, CANARY));
}

static void a_new_connection_goes_where_its_maker_works(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *body = "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://api.example.com\"}}";
    h->caller = p->ann;
    create(h, body);
    assert_string_equal(hall_text(h, "folder.path"), "personal");
    assert_string_equal(hall_text(h, "name"), "HTTP");
    h->caller = p->robot;
    create(h, body);
    assert_string_equal(hall_text(h, "folder.path"), "shared");
    assert_string_equal(hall_text(h, "owner.name"), "robot");
}

static void without_credentials_a_connection_waits_for_them(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *id =
        create(h, "{\"connector\":\"http\",\"auth_type\":\"bearer\",\"fields\":{\"base_url\":\"https://api.example.com\"}}");
    assert_string_equal(hall_text(h, "state"), "needs_auth");
    assert_string_equal(hall_text(h, "credentials"), "{}");
    hall_ask(h, METHOD_POST, id_path(h, id, "/enable"), NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "state"), "needs_auth");
    hall_ask(h, METHOD_POST, id_path(h, id, "/call"), "{\"method\":\"GET\",\"path\":\"/\"}");
    assert_refused(h, ERR_NEEDS_AUTH, "");
    hall_ask(h, METHOD_PUT, id_path(h, id, "/credentials"), "{\"credentials\":{\"token\":\"abc\"}}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "state"), "active");
}

static void what_cannot_be_stored_is_pointed_at(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    static const struct { const char *body; enum err err; const char *pointer;
    } cases[] = {
        { "{}", ERR_FIELD_REQUIRED, "/connector" },
        { "{\"connector\":1}", ERR_FIELD_INVALID, "/connector" },
        { "{\"connector\":\"nope\"}", ERR_CONNECTOR_NOT_FOUND, "/connector" },
        { "{\"connector\":\"http\",\"nmae\":\"x\"}", ERR_UNKNOWN_FIELD, "/nmae" },
        { "{\"connector\":\"http\",\"auth_type\":\"kerberos\"}", ERR_AUTH_TYPE_NOT_OFFERED, "/auth_type" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\"}", ERR_FIELD_REQUIRED, "/fields/base_url" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://a.example.com\",\"x\":1}}",
          ERR_UNKNOWN_FIELD, "/fields/x" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://"
          "a.example.com\"},\"allowed_domain\":\"b.example.com\"}",
          ERR_DOMAIN_NOT_ALLOWED, "/fields/base_url" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://"
          "a.co.uk\"},\"allowed_domain\":\"*.co.uk\"}",
          ERR_DOMAIN_INVALID, "/allowed_domain" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"http://a.example.com\"}}",
          ERR_SCHEME_NOT_ALLOWED, "/fields/base_url" },
        { "{\"connector\":\"http\",\"auth_type\":\"bearer\",\"fields\":{\"base_url\":\"https://"
          "a.example.com\"},\"credentials\":{\"tokn\":\"x\"}}",
          ERR_UNKNOWN_FIELD, "/credentials/tokn" },
        { "{\"connector\":\"http\",\"auth_type\":\"bearer\",\"fields\":{\"base_url\":\"https://"
          "a.example.com\"},\"credentials\":{\"token\":\"a\\nb\"}}",
          ERR_FIELD_INVALID, "/credentials/token" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://a.example.com\"},\"key\":\"Not A "
          "Key\"}",
          ERR_FIELD_INVALID, "/key" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://a.example.com\"},\"key\":\"con_1\"}",
          ERR_FIELD_INVALID, "/key" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://"
          "a.example.com\"},\"folder\":\"elsewhere\"}",
          ERR_NOT_FOUND, "/folder" },
        { "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://a.example.com\"},\"default\":\"yes\"}",
          ERR_FIELD_INVALID, "/default" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(h, METHOD_POST, "/api/v1/connections", cases[i].body);
        if (h->err != cases[i].err || strcmp(h->why.pointer, cases[i].pointer))
            fail_msg("%s: %s at %s", cases[i].body, err_row(h->err)->code, h->why.pointer);
    }
}

static void a_taken_key_is_a_conflict_and_a_taken_name_a_warning(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    hall_ask(h, METHOD_POST, "/api/v1/connections", CRM);
    assert_refused(h, ERR_CONFLICT, "/key");
    h->language = LANG_FR;
    create(h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"name\":\"CRM\",\"folder\":\"shared\",\"fields\":{\"base_url\":"
              "\"https://api.example.com\"}}");
    assert_string_equal(hall_text(h, "key"), "crm-2");
    assert_int_equal(hall_count(h, "warnings"), 1);
    assert_non_null(strstr(hall_text(h, "warnings.0"), "m\xc3\xaame nom"));
}

/* ---- who may ---- */

static void a_user_edits_in_the_own_workspace_only(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *shared = create(h, CRM);
    h->caller = p->ann;
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"none\",\"folder\":\"shared\",\"fields\":{\"base_url\":\"https://"
             "api.example.com\"}}");
    assert_refused(h, ERR_DENIED, "");
    hall_ask(h, METHOD_GET, id_path(h, shared, ""), NULL);
    assert_ok(h, 200);
    static const struct { unsigned method; const char *rest, *body; } changes[] = {
        { METHOD_PATCH, "", "{\"name\":\"x\"}" }, { METHOD_DELETE, "", NULL }, { METHOD_PUT, "/credentials", "{\"token\":\"x\"}" },
        { METHOD_POST, "/enable", NULL }, { METHOD_POST, "/disable", NULL }, { METHOD_POST, "/default", NULL },
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        hall_ask(h, changes[i].method, id_path(h, shared, changes[i].rest), changes[i].body);
        assert_refused(h, ERR_DENIED, "");
    }
    const char *own = create(
        h,
        "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"mine\",\"fields\":{\"base_url\":\"https://api.example.com\"}}");
    hall_ask(h, METHOD_PATCH, id_path(h, own, ""), "{\"name\":\"x\"}");
    assert_ok(h, 200);
}

/* Requirement 16.2: not there and not to be seen are the same, for every door and every role. */
static void anothers_workspace_is_as_if_it_were_not_there(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    struct caller *const others[] = { p->bob, p->admin, p->owner, p->robot };
    static const struct { unsigned method; const char *rest, *body; } doors[] = {
        { METHOD_GET, "", NULL }, { METHOD_PATCH, "", "{\"name\":\"x\"}" }, { METHOD_DELETE, "", NULL },
        { METHOD_PUT, "/credentials", "{\"token\":\"x\"}" }, { METHOD_POST, "/verify", NULL }, { METHOD_POST, "/enable", NULL },
        { METHOD_POST, "/disable", NULL }, { METHOD_POST, "/default", NULL }, { METHOD_GET, "/usage", NULL },
        { METHOD_POST, "/call", "{\"method\":\"GET\",\"path\":\"/\"}" },
    };
    h->caller = p->ann;
    const char *id = create(
        h,
        "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"mine\",\"fields\":{\"base_url\":\"https://api.example.com\"}}");
    for (size_t who = 0; who < COUNT(others); who++)
        for (size_t i = 0; i < COUNT(doors); i++)
            for (int by_key = 0; by_key < 2; by_key++) {
                h->caller = others[who];
                hall_ask(h, doors[i].method, id_path(h, by_key ? "mine" : id, doors[i].rest), doors[i].body);
                assert_refused(h, ERR_CONNECTION_NOT_FOUND, "");
            }
    h->caller = p->bob;
    hall_ask(h, METHOD_GET, "/api/v1/connections", NULL);
    assert_int_equal(hall_count(h, "items"), 0);
    h->caller = p->ann;
    hall_ask(h, METHOD_GET, id_path(h, "mine", ""), NULL);
    assert_ok(h, 200);
}

static void run(struct hall *h, const char *sql)
{
    if (store_write(h->room->store, room_script_work, (void *)(uintptr_t)sql, &h->why))
        fail_msg("%s", h->why.note);
}

static void a_personal_workspace_holds_ten_thousand_however_it_is_named_or_filled(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    h->caller = p->admin;
    create(h,
           "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"own\",\"fields\":{\"base_url\":\"https://a.example.com\"}}");
    const char *folder = hall_text(h, "folder.id"), *shared = create(h, CRM);
    run(h,
        "WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 9999)"
        " INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, allowed_domain, "
        "fields,"
        " owner_id, state, created_ms, updated_ms, number, deleted_ms)"
        " SELECT 'con_' || i, 'k' || i, name, search, folder_id, connector, connector_version, auth_type, allowed_domain, fields,"
        " owner_id, state, 1, 1, 100 + i, i % 2 FROM connection, counted WHERE key = 'own'");
    const char *bodies[] = { "", ",\"folder\":\"personal\"", str_fmt(h->boot, ",\"folder\":\"%s\"", folder).p };
    for (size_t i = 0; i < COUNT(bodies); i++) {
        hall_ask(h, METHOD_POST, "/api/v1/connections",
                 str_fmt(h->boot,
                         "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://a.example.com\"}%s}",
                         bodies[i])
                     .p);
        assert_refused(h, ERR_LIMIT, "");
    }
    hall_ask(h, METHOD_POST, id_path(h, shared, "/move"), "{\"folder\":\"personal\"}");
    assert_refused(h, ERR_LIMIT, "");
}

static struct caller *limited_to(struct people *p, struct caller *base, const char *id)
{
    struct caller *c = arena_zero(p->hall->boot, sizeof *c);
    *c = *base;
    struct str *ids = arena_array(p->hall->boot, 1, sizeof *ids);
    ids[0] = str_of(id);
    c->narrow.lists[NARROW_CONNECTION] = (struct narrow_list){ true, ids, id ? 1 : 0 };
    return c;
}

static void a_limited_token_sees_its_connections_and_makes_none(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *one = create(h, CRM);
    const char *two = create(h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"erp\",\"folder\":\"shared\",\"fields\":{"
                                "\"base_url\":\"https://api.example.com\"}}");
    h->caller = limited_to(p, p->admin, two);
    hall_ask(h, METHOD_GET, id_path(h, one, ""), NULL);
    assert_refused(h, ERR_CONNECTION_NOT_FOUND, "");
    hall_ask(h, METHOD_GET, id_path(h, "erp", ""), NULL);
    assert_ok(h, 200);
    static const struct { const char *query; int n;
    } lists[] = {
        { "", 1 },
        { "?search=ERP", 1 },
        { "?search=crm", 0 },
        { "?folder=shared", 1 },
        { "?state=active", 1 },
        { "?state=disabled", 0 },
        { "?connector=http", 1 },
        { "?connector=github", 0 },
        { "?health=ok", 0 },
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/connections%s", lists[i].query).p, NULL);
        assert_ok(h, 200);
        assert_int_equal(hall_count(h, "items"), lists[i].n);
    }
    hall_ask(h, METHOD_POST, "/api/v1/connections",
             "{\"connector\":\"http\",\"auth_type\":\"none\",\"fields\":{\"base_url\":\"https://api.example.com\"}}");
    assert_refused(h, ERR_DENIED, "");
    h->caller = limited_to(p, p->admin, NULL);
    hall_ask(h, METHOD_GET, "/api/v1/connections", NULL);
    assert_int_equal(hall_count(h, "items"), 0);
}

/* ---- list ---- */

static void pages_follow_one_another_without_gap_or_repetition(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    for (int i = 0; i < 5; i++)
        create(h, str_fmt(h->exchange,
                          "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"c%d\",\"folder\":\"shared\",\"fields\":{\"base_"
                          "url\":\"https://a.example.com\"}}",
                          i)
                      .p);
    const char *cursor = NULL;
    bool seen[5] = { false };
    int pages = 0;
    do {
        hall_ask(h, METHOD_GET,
                 cursor ? str_fmt(h->exchange, "/api/v1/connections?limit=2&cursor=%s", cursor).p : "/api/v1/connections?limit=2",
                 NULL);
        assert_ok(h, 200);
        for (int i = 0; i < hall_count(h, "items"); i++) {
            int n = hall_text(h, str_fmt(h->exchange, "items.%d.key", i).p)[1] - '0';
            assert_false(seen[n]);
            seen[n] = true;
        }
        cursor = hall_text(h, "next_cursor");
        pages++;
    } while (strcmp(cursor, "null"));
    assert_int_equal(pages, 3);
    for (int i = 0; i < 5; i++)
        assert_true(seen[i]);
}

static void filters_that_do_not_exist_are_refused(void **state)
{
    struct people *p = *state;
    static const struct { const char *query; enum err err; } cases[] = {
        { "?stat=active", ERR_UNKNOWN_FIELD }, { "?state=on", ERR_FIELD_INVALID }, { "?health=good", ERR_FIELD_INVALID },
        { "?folder=nowhere", ERR_NOT_FOUND }, { "?limit=0", ERR_FIELD_INVALID }, { "?cursor=%20", ERR_FIELD_INVALID },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(p->hall, METHOD_GET, str_fmt(p->hall->exchange, "/api/v1/connections%s", cases[i].query).p, NULL);
        assert_refused(p->hall, cases[i].err, "");
    }
}

static void a_key_in_two_folders_needs_its_folder(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *shared = create(h, CRM);
    const char *own = create(h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"crm\",\"folder\":\"personal\",\"fields\":"
                                "{\"base_url\":\"https://a.example.com\"}}");
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm", NULL);
    assert_refused(h, ERR_AMBIGUOUS, "");
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm?folder=shared", NULL);
    assert_string_equal(hall_text(h, "id"), shared);
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm?folder=personal", NULL);
    assert_string_equal(hall_text(h, "id"), own);
}

/* ---- change ---- */

static void a_patch_changes_what_it_names_and_nothing_else(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"name\":\" Sales \",\"notes\":\"a\\nb\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "name"), "Sales");
    assert_string_equal(hall_text(h, "notes"), "a\nb");
    assert_string_equal(hall_text(h, "fields.base_url"), "https://api.example.com/v2");
    assert_string_equal(hall_reply_header(h, "ETag"), "\"2\"");
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"fields\":{\"verify_path\":\"/me\"},\"notes\":null}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "fields.base_url"), "https://api.example.com/v2");
    assert_string_equal(hall_text(h, "fields.verify_path"), "/me");
    assert_string_equal(hall_text(h, "notes"), "");
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"fields\":{\"verify_path\":null}}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "fields.verify_path"), "(none)");
}

static void a_patched_base_url_stays_inside_the_frozen_domain(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"fields\":{\"base_url\":\"https://evil.example.net\"}}");
    assert_refused(h, ERR_DOMAIN_NOT_ALLOWED, "/fields/base_url");
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"fields\":{\"base_url\":\"https://api.example.com/v3\"}}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "fields.base_url"), "https://api.example.com/v3");
}

static void what_never_changes_is_refused_unless_it_is_the_same(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    static const char *const others[][2] = {
        { "{\"key\":\"crm2\"}", "/key" },
        { "{\"auth_type\":\"basic\"}", "/auth_type" },
        { "{\"allowed_domain\":\"*.example.com\"}", "/allowed_domain" },
        { "{\"connector\":\"github\"}", "/connector" },
        { "{\"folder\":\"personal\"}", "/folder" },
        { "{\"folder\":7}", "/folder" },
        { "{\"key\":null}", "/key" },
    };
    create(h, CRM);
    for (size_t i = 0; i < COUNT(others); i++) {
        hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", others[i][0]);
        assert_refused(h, ERR_FIELD_IMMUTABLE, others[i][1]);
    }
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm",
             "{\"key\":\"crm\",\"auth_type\":\"bearer\",\"allowed_domain\":\"api.example.com\",\"connector\":{\"id\":\"http\","
             "\"version\":\"1.0.0\"},"
             "\"folder\":\"shared\",\"name\":\"Same\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "name"), "Same");
}

static void a_change_of_what_was_changed_meanwhile_is_refused(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    static const struct { unsigned method; const char *rest, *body; } changes[] = {
        { METHOD_PATCH, "", "{\"name\":\"x\"}" }, { METHOD_DELETE, "", NULL }, { METHOD_PUT, "/credentials", "{\"token\":\"x\"}" },
        { METHOD_POST, "/disable", NULL }, { METHOD_POST, "/default", NULL }, { METHOD_POST, "/enable", NULL },
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        hall_header(h, "If-Match", "\"99\"");
        hall_ask(h, changes[i].method, id_path(h, "crm", changes[i].rest), changes[i].body);
        assert_refused(h, ERR_PRECONDITION_FAILED, "");
    }
    hall_header(h, "If-Match", "\"1\"");
    hall_ask(h, METHOD_DELETE, "/api/v1/connections/crm", NULL);
    assert_ok(h, 204);
    assert_int_equal(h->reply.body.n, 0);
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm", NULL);
    assert_refused(h, ERR_CONNECTION_NOT_FOUND, "");
}

static void a_disabled_connection_is_not_called_until_it_is_enabled(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    hall_ask(h, METHOD_POST, "/api/v1/connections/crm/disable", "{}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "state"), "disabled");
    hall_ask(h, METHOD_POST, "/api/v1/connections/crm/call", "{\"method\":\"GET\",\"path\":\"/\"}");
    assert_refused(h, ERR_CONNECTION_DISABLED, "");
    hall_ask(h, METHOD_PUT, "/api/v1/connections/crm/credentials", "{\"token\":\"new\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "state"), "disabled");
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"state\":\"active\"}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "state"), "active");
    hall_ask(h, METHOD_PATCH, "/api/v1/connections/crm", "{\"state\":\"draft\"}");
    assert_refused(h, ERR_FIELD_INVALID, "/state");
    hall_ask(h, METHOD_POST, "/api/v1/connections/crm/disable", "{\"why\":1}");
    assert_refused(h, ERR_UNKNOWN_FIELD, "/why");
}

static void there_is_one_default_of_a_connector_in_a_folder(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    create(h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"two\",\"folder\":\"shared\",\"fields\":{\"base_url\":"
              "\"https://a.example.com\"}}");
    assert_string_equal(hall_text(h, "default"), "false");
    hall_ask(h, METHOD_POST, "/api/v1/connections/two/default", NULL);
    assert_string_equal(hall_text(h, "default"), "true");
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm", NULL);
    assert_string_equal(hall_text(h, "default"), "false");
    create(h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"three\",\"folder\":\"shared\",\"default\":true,\"fields\":{"
              "\"base_url\":\"https://a.example.com\"}}");
    assert_string_equal(hall_text(h, "default"), "true");
    hall_ask(h, METHOD_GET, "/api/v1/connections/two", NULL);
    assert_string_equal(hall_text(h, "default"), "false");
}

static void credentials_are_replaced_whole(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, "{\"connector\":\"http\",\"auth_type\":\"basic\",\"key\":\"b\",\"folder\":\"shared\",\"fields\":{\"base_url\":"
              "\"https://a.example.com\"},"
              "\"credentials\":{\"username\":\"u\",\"password\":\"" CANARY "\"}}");
    hall_ask(h, METHOD_PUT, "/api/v1/connections/b/credentials", "{\"credentials\":{\"username\":\"v\"}}");
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "credentials.username.set"), "true");
    assert_string_equal(hall_text(h, "credentials.password"), "(none)");
    static const struct { const char *body; enum err err; const char *pointer;
    } cases[] = {
        { "{}", ERR_FIELD_REQUIRED, "/credentials" },
        { "{\"credentials\":{}}", ERR_FIELD_REQUIRED, "/credentials" },
        { "{\"password\":\"x\"}", ERR_FIELD_REQUIRED, "/credentials/username" },
        { "{\"usr\":\"x\"}", ERR_UNKNOWN_FIELD, "/credentials/usr" },
        { "{\"username\":\"a:b\",\"password\":\"x\"}", ERR_FIELD_INVALID, "/credentials/username" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(h, METHOD_PUT, "/api/v1/connections/b/credentials", cases[i].body);
        if (h->err != cases[i].err || strcmp(h->why.pointer, cases[i].pointer))
            fail_msg("%s: %s at %s", cases[i].body, err_row(h->err)->code, h->why.pointer);
    }
}

/* ---- use ---- */

static void verifying_needs_a_verify_call(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    create(h, CRM);
    hall_ask(h, METHOD_POST, "/api/v1/connections/crm/verify", NULL);
    assert_refused(h, ERR_VERIFY_NOT_OFFERED, "");
}

static void a_call_that_makes_no_sense_never_leaves(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    static const struct { const char *body; enum err err; const char *pointer; } cases[] = {
        { "{}", ERR_FIELD_REQUIRED, "/method" },
        { "{\"method\":\"GET\"}", ERR_FIELD_REQUIRED, "/path" },
        { "{\"method\":\"get\",\"path\":\"/\"}", ERR_FIELD_INVALID, "/method" },
        { "{\"method\":\"CONNECT\",\"path\":\"/\"}", ERR_FIELD_INVALID, "/method" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"headrs\":{}}", ERR_UNKNOWN_FIELD, "/headrs" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a b\":\"x\"}}", ERR_FIELD_INVALID, "/headers" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":\"x\\r\\nb: c\"}}", ERR_FIELD_INVALID, "/headers" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":{}}}", ERR_FIELD_INVALID, "/headers" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"query\":7}", ERR_FIELD_INVALID, "/query" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"query\":\"a b\"}", ERR_FIELD_INVALID, "/query" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"query\":\"a=1#f\"}", ERR_FIELD_INVALID, "/query" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"query\":{\"a\":null}}", ERR_FIELD_INVALID, "/query" },
        { "{\"method\":\"POST\",\"path\":\"/\",\"body\":1,\"body_text\":\"x\"}", ERR_FIELD_INVALID, "/body" },
        { "{\"method\":\"POST\",\"path\":\"/\",\"body_base64\":\"***\"}", ERR_FIELD_INVALID, "/body_base64" },
        { "{\"method\":\"POST\",\"path\":\"/\",\"body_text\":1}", ERR_FIELD_INVALID, "/body_text" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"timeout_ms\":0}", ERR_FIELD_INVALID, "/timeout_ms" },
        { "{\"method\":\"GET\",\"path\":\"/\",\"timeout_ms\":1.5}", ERR_FIELD_INVALID, "/timeout_ms" },
    };
    create(h, CRM);
    for (size_t i = 0; i < COUNT(cases); i++) {
        hall_ask(h, METHOD_POST, "/api/v1/connections/crm/call", cases[i].body);
        if (h->err != cases[i].err || strcmp(h->why.pointer, cases[i].pointer))
            fail_msg("%s: %s at %s", cases[i].body, err_row(h->err)->code, h->why.pointer);
    }
}

/* ---- runs ---- */

struct kept {
    struct run run;
};

static enum err keep_run(struct db *db, void *context, struct fault *why)
{
    return runs_insert(db, &((struct kept *)context)->run, 1, why);
}

static void keep(struct hall *h, const char *id, const char *connection, const struct caller *who)
{
    struct kept k = { .run = { .via = RUN_CALL, .outcome = RUN_SUCCESS, .status = 200, .started = clock_wall() } };
    str_copy(k.run.id, sizeof k.run.id, str_of(id));
    str_copy(k.run.connection, sizeof k.run.connection, str_of(connection));
    str_copy(k.run.caller, sizeof k.run.caller, who->principal);
    str_copy(k.run.method, sizeof k.run.method, STR("GET"));
    assert_int_equal(store_write(h->hub.store, keep_run, &k, &h->why), ERR_NONE);
}

static void runs_are_seen_by_their_callers_and_by_who_sees_the_connection(void **state)
{
    struct people *p = *state;
    struct hall *h = p->hall;
    const char *shared = create(h, CRM);
    h->caller = p->ann;
    const char *own = create(
        h, "{\"connector\":\"http\",\"auth_type\":\"none\",\"key\":\"mine\",\"fields\":{\"base_url\":\"https://a.example.com\"}}");
    struct caller *ann = p->ann;
    keep(h, "run_1", shared, p->admin);
    keep(h, "run_2", own, p->ann);
    keep(h, "run_3", "con_gone", p->ann);
    const struct { struct caller *who; const char *query; int n; } lists[] = {
        { ann, "", 3 }, { p->bob, "", 1 }, { p->admin, "", 1 }, { ann, "?connection=crm", 1 }, { ann, "?outcome=failed", 0 },
        { ann, "?connection=con_gone", 1 }, { p->bob, "?connection=con_gone", 0 }, { ann, "?action=act_1", 0 },
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        h->caller = lists[i].who;
        hall_ask(h, METHOD_GET, str_fmt(h->exchange, "/api/v1/runs%s", lists[i].query).p, NULL);
        assert_ok(h, 200);
        assert_int_equal(hall_count(h, "items"), lists[i].n);
    }
    h->caller = p->bob;
    hall_ask(h, METHOD_GET, "/api/v1/runs/run_1", NULL);
    assert_ok(h, 200);
    hall_ask(h, METHOD_GET, "/api/v1/runs/run_2", NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
    hall_ask(h, METHOD_GET, "/api/v1/runs/run_3", NULL);
    assert_refused(h, ERR_NOT_FOUND, "");
    hall_ask(h, METHOD_GET, "/api/v1/runs?since=yesterday", NULL);
    assert_refused(h, ERR_FIELD_INVALID, "");
    h->caller = p->admin;
    hall_ask(h, METHOD_GET, "/api/v1/connections/crm/usage", NULL);
    assert_ok(h, 200);
    assert_string_equal(hall_text(h, "used_by"), "0");
    assert_string_equal(hall_text(h, "runs.last_day"), "1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_people, drop_people)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_connection_is_answered_as_the_contract_says),
        TEST(a_credential_never_comes_back),
        TEST(a_refused_body_does_not_show_the_credential),
        TEST(a_new_connection_goes_where_its_maker_works),
        TEST(without_credentials_a_connection_waits_for_them),
        TEST(what_cannot_be_stored_is_pointed_at),
        TEST(a_taken_key_is_a_conflict_and_a_taken_name_a_warning),
        TEST(a_user_edits_in_the_own_workspace_only),
        TEST(anothers_workspace_is_as_if_it_were_not_there),
        TEST(a_personal_workspace_holds_ten_thousand_however_it_is_named_or_filled),
        TEST(a_limited_token_sees_its_connections_and_makes_none),
        TEST(pages_follow_one_another_without_gap_or_repetition),
        TEST(filters_that_do_not_exist_are_refused),
        TEST(a_key_in_two_folders_needs_its_folder),
        TEST(a_patch_changes_what_it_names_and_nothing_else),
        TEST(a_patched_base_url_stays_inside_the_frozen_domain),
        TEST(what_never_changes_is_refused_unless_it_is_the_same),
        TEST(a_change_of_what_was_changed_meanwhile_is_refused),
        TEST(a_disabled_connection_is_not_called_until_it_is_enabled),
        TEST(there_is_one_default_of_a_connector_in_a_folder),
        TEST(credentials_are_replaced_whole),
        TEST(verifying_needs_a_verify_call),
        TEST(a_call_that_makes_no_sense_never_leaves),
        TEST(runs_are_seen_by_their_callers_and_by_who_sees_the_connection),
    };
    return cmocka_run_group_tests_name("web/connections", tests, NULL, NULL);
}
