/* Stored connections and their sealed credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "crypto/seal.h"
#include "hub.h"

#define CANARY "canary-9b1f7-of-a-credential"

static struct connection_row a_row(const char *name, const char *folder)
{
    return (struct connection_row){
        .name = str_of(name),
        .folder = str_of(folder),
        .connector = STR("http"),
        .connector_version = STR("1.0.0"),
        .auth_type = STR("bearer"),
        .allowed_domain = STR("api.example.com"),
        .fields = STR("{\"base_url\":\"https://api.example.com/v2\"}"),
        .owner = STR("usr_1"),
        .state = CONNECTION_ACTIVE,
    };
}

/* One change in one transaction. */
struct change {
    struct hub *hub;
    enum { INSERT, UPDATE, REPLACE, DELETE, HEALTH } kind;
    struct connection_row *row;
    const struct connection_secret *secrets;
    size_t n;
    struct str id, account;
    enum connection_health health;
    wall_ms verified;
};

static enum err change_work(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    switch (c->kind) {
    case INSERT: return connection_insert(db, c->hub->keys, c->hub->arena, c->row, c->secrets, c->n, why);
    case UPDATE: return connection_update(db, c->row, why);
    case REPLACE: return connection_replace_secrets(db, c->hub->keys, c->hub->arena, c->row, c->secrets, c->n, why);
    case DELETE: return connection_delete(db, c->id, why);
    default: return connection_set_health(db, c->id, c->health, c->verified, c->account, why);
    }
}

static enum err change(struct change c)
{
    memset(&c.hub->why, 0, sizeof c.hub->why);
    return store_write(c.hub->store, change_work, &c, &c.hub->why);
}

static enum err insert(struct hub *h, struct connection_row *row)
{
    return change((struct change){ .hub = h, .kind = INSERT, .row = row });
}

static enum err update(struct hub *h, struct connection_row *row)
{
    return change((struct change){ .hub = h, .kind = UPDATE, .row = row });
}

/* With the credentials token and note. */
static enum err insert_sealed(struct hub *h, struct connection_row *row, const char *token)
{
    AUTO_SECRET one = secret_from(str_of(token));
    AUTO_SECRET two = secret_from(STR("second " CANARY));
    const struct connection_secret all[] = { { STR("token"), one }, { STR("Other_2-x"), two } };
    return change((struct change){ .hub = h, .kind = INSERT, .row = row, .secrets = all, .n = 2 });
}

static enum err replace(struct hub *h, struct connection_row *row, const char *token)
{
    AUTO_SECRET one = secret_from(str_of(token));
    const struct connection_secret all[] = { { STR("token"), one } };
    return change((struct change){ .hub = h, .kind = REPLACE, .row = row, .secrets = all, .n = 1 });
}

static struct db *reader(struct hub *h)
{
    struct db *db = store_reader(h->store, &h->why);
    assert_non_null(db);
    return db;
}

static struct connection_row get(struct hub *h, struct str id)
{
    struct connection_row row;
    assert_int_equal(connection_get(reader(h), h->arena, id, &row, &h->why), ERR_NONE);
    return row;
}

static enum err open_row(struct hub *h, const struct connection_row *row, struct connection_secret out[CONNECTION_SECRETS],
                         size_t *n)
{
    memset(&h->why, 0, sizeof h->why);
    return connection_open_secrets(reader(h), h->keys, h->arena, row, out, n, &h->why);
}

static void end_all(struct connection_secret *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        secret_end(&all[i].value);
}

/* As a caller reads it: the row as stored now. */
static bool opens(struct hub *h, struct str id)
{
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n = 0;
    struct connection_row row = get(h, id);
    enum err e = open_row(h, &row, all, &n);
    end_all(all, n);
    if (e) {
        assert_int_equal(e, ERR_RECONNECT_REQUIRED);
        assert_int_equal(n, 0);
        assert_true(str_is(row.key, h->why.subject));
        assert_null(strstr(h->why.note, "canary"));
    }
    return !e;
}

/* ---- keeping and finding ---- */

static void what_was_stored_comes_back(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("Éditions CRM", "fld_a");
    row.notes = STR("for sales");
    row.account = STR("me@example.com");
    row.state = CONNECTION_NEEDS_AUTH;
    row.health = HEALTH_EXPIRING;
    row.verified = 17;
    wall_ms before = clock_wall();
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    assert_true(str_starts(row.id, STR("con_")));
    assert_true(str_is(row.key, "editions-crm"));
    assert_int_equal(row.revision, 1);
    assert_true(row.is_default);
    assert_in_range(row.created, before, clock_wall());
    assert_int_equal(row.updated, row.created);

    hub_close(h);
    hub_open(h);
    struct connection_row got = get(h, row.id);
    const struct { struct str a, b;
    } texts[] = {
        { row.id, got.id },
        { row.key, got.key },
        { row.name, got.name },
        { row.folder, got.folder },
        { row.connector, got.connector },
        { row.connector_version, got.connector_version },
        { row.auth_type, got.auth_type },
        { row.allowed_domain, got.allowed_domain },
        { row.fields, got.fields },
        { row.notes, got.notes },
        { row.account, got.account },
        { row.owner, got.owner },
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_true(str_eq(texts[i].a, texts[i].b));
    assert_int_equal(got.state, CONNECTION_NEEDS_AUTH);
    assert_int_equal(got.health, HEALTH_EXPIRING);
    assert_true(got.is_default);
    assert_int_equal(got.revision, 1);
    assert_int_equal(got.created, row.created);
    assert_int_equal(got.updated, row.updated);
    assert_int_equal(got.verified, 17);

    assert_int_equal(keyring_open(h->store, hub_master(1), &h->keys, &h->why), ERR_NONE);
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n;
    assert_int_equal(open_row(h, &got, all, &n), ERR_NONE);
    assert_int_equal(n, 2);
    assert_true(str_is(all[0].name, "Other_2-x"));
    assert_true(str_is(secret_str(all[0].value), "second " CANARY));
    assert_true(str_is(all[1].name, "token"));
    assert_true(str_is(secret_str(all[1].value), CANARY));
    end_all(all, n);

    struct many one = many_one(&row.id);
    struct connection_secrets_set set;
    assert_int_equal(connection_secrets_set(reader(h), h->arena, &one, &set, &h->why), ERR_NONE);
    assert_int_equal(set.n, 2);
    assert_true(str_is(set.infos[1].name, "token"));
    assert_int_equal(set.infos[1].updated, row.created);
}

static void an_unknown_account_stays_unknown(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert(h, &row), ERR_NONE);
    struct connection_row got = get(h, row.id);
    assert_null(got.account.p);
    assert_int_equal(got.notes.n, 0);
    assert_int_equal(got.verified, 0);
}

static void a_connection_without_credentials_opens_with_none(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n = 9;
    assert_int_equal(insert(h, &row), ERR_NONE);
    assert_int_equal(open_row(h, &row, all, &n), ERR_NONE);
    assert_int_equal(n, 0);
}

static void a_made_up_key_is_the_name_and_a_number(void **state)
{
    struct hub *h = *state;
    static const char *const keys[] = { "sales", "sales-2", "sales-3" };
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct connection_row row = a_row("Sales", "fld_a");
        assert_int_equal(insert(h, &row), ERR_NONE);
        assert_true(str_is(row.key, keys[i]));
    }
    struct connection_row other = a_row("Sales", "fld_b"), foreign = a_row("日本", "fld_a");
    assert_int_equal(insert(h, &other), ERR_NONE);
    assert_true(str_is(other.key, "sales"));
    assert_int_equal(insert(h, &foreign), ERR_NONE);
    assert_true(str_is(foreign.key, "http")); /* the connector's, when the name has no letter for a key */

    /* 64 characters with the number, and no end to it */
    char name[121];
    memset(name, 'n', 120);
    name[120] = 0;
    for (int i = 1; i < 25; i++) {
        struct connection_row row = a_row(name, "fld_a");
        assert_int_equal(insert(h, &row), ERR_NONE);
        assert_int_equal(row.key.n, 64);
        if (i > 1 && i <= 20)
            assert_true(str_ends(row.key, str_fmt(h->arena, "n-%d", i)));
    }
}

static void a_key_is_taken_once_per_folder(void **state)
{
    struct hub *h = *state;
    struct connection_row first = a_row("One", "fld_a"), second = a_row("Two", "fld_a"), elsewhere = a_row("Three", "fld_b");
    first.key = second.key = elsewhere.key = STR("crm");
    assert_int_equal(insert(h, &first), ERR_NONE);
    assert_int_equal(insert(h, &second), ERR_CONFLICT);
    assert_string_equal(h->why.subject, "crm");
    assert_null(second.id.p);
    assert_int_equal(insert(h, &elsewhere), ERR_NONE);
}

static void fields_that_break_a_rule_are_named(void **state)
{
    struct hub *h = *state;
    static char long_text[70000];
    memset(long_text, 'a', sizeof long_text);
    struct connection_row good = a_row("x", "fld_a");
    good.key = STR("k");
#define LONG(n) ((struct str){ long_text, (n) })
    const struct { size_t at; struct str value; const char *pointer;
    } rows[] = {
#define F(field) offsetof(struct connection_row, field)
        { F(key), STR("-a"), "/key" },
        { F(key), STR("_a"), "/key" },
        { F(key), STR("A"), "/key" },
        { F(key), STR("a b"), "/key" },
        { F(key), STR("a/b"), "/key" },
        { F(key), STR("é"), "/key" },
        { F(key), STR("a\0b"), "/key" },
        { F(key), LONG(65), "/key" },
        { F(name), STR(""), "/name" },
        { F(name), STR("  "), "/name" },
        { F(name), LONG(129), "/name" },
        { F(name), STR("a\nb"), "/name" },
        { F(name), STR("\xff"), "/name" },
        { F(notes), LONG(16385), "/notes" },
        { F(notes), STR("\xff"), "/notes" },
        { F(notes), STR("a\0b"), "/notes" },
        { F(fields), STR(""), "/fields" },
        { F(fields), STR("[]"), "/fields" },
        { F(fields), STR("{"), "/fields" },
        { F(fields), STR("{}{}"), "/fields" },
        { F(fields), STR("{\"a\":1,\"a\":2}"), "/fields" },
        { F(account), LONG(256), "/account" },
        { F(account), STR("a\rb"), "/account" },
        { F(auth_type), STR("bearer|x"), "/auth_type" },
        { F(auth_type), STR(""), "/auth_type" },
        { F(allowed_domain), STR(""), "/allowed_domain" },
        { F(allowed_domain), STR("a|b.com"), "/allowed_domain" },
        { F(allowed_domain), LONG(129), "/allowed_domain" },
        { F(connector), STR(""), "/connector" },
        { F(folder), STR(""), "/folder" },
        { F(owner), STR(""), "/owner" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct connection_row row = good;
        memcpy((char *)&row + rows[i].at, &rows[i].value, sizeof(struct str));
        if (insert(h, &row) != ERR_FIELD_INVALID || strcmp(h->why.pointer, rows[i].pointer))
            fail_msg("row %zu: %s %s %s", i, h->why.pointer, h->why.subject, h->why.note);
    }
    /* and at the very limits */
    good.key = LONG(64);
    good.name = LONG(128);
    good.notes = LONG(16384);
    good.account = LONG(255);
    assert_int_equal(insert(h, &good), ERR_NONE);
    char *fields = arena_alloc(h->arena, 32769);
    memset(fields, ' ', 32769);
    fields[0] = '{';
    fields[32767] = '}';
    good.key = STR("k2");
    good.fields = (struct str){ fields, 32768 };
    assert_int_equal(insert(h, &good), ERR_NONE);
    good.key = STR("k3");
    good.fields = (struct str){ fields, 32769 };
    assert_int_equal(insert(h, &good), ERR_FIELD_INVALID);
}

static void credentials_have_names_and_limits(void **state)
{
    struct hub *h = *state;
    AUTO_SECRET small = secret_from(STR("x"));
    AUTO_SECRET largest = secret_new(64 * 1024);
    AUTO_SECRET too_large = secret_new(64 * 1024 + 1);
    static const char *const bad_names[] = { "",    "a b", "a|b",
                                             "a.b", "é",   "a12345678901234567890123456789012345678901234567890123456789012345" };
    struct connection_row row;
    for (size_t i = 0; i < COUNT(bad_names); i++) {
        row = a_row("x", "fld_a");
        struct connection_secret s = { str_of(bad_names[i]), small };
        assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = &s, .n = 1 }),
                         ERR_FIELD_INVALID);
    }
    const struct connection_secret twice[] = { { STR("a"), small }, { STR("a"), small } };
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = twice, .n = 2 }), ERR_FIELD_INVALID);

    struct connection_secret one = { STR("a"), largest };
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = &one, .n = 1 }), ERR_NONE);
    one.value = too_large;
    row = a_row("x", "fld_a");
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = &one, .n = 1 }), ERR_FIELD_INVALID);
    assert_string_equal(h->why.pointer, "/credentials/a");

    struct connection_secret many[CONNECTION_SECRETS + 1], opened[CONNECTION_SECRETS];
    size_t n;
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct connection_secret){ str_fmt(h->arena, "s%zu", i), small };
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = many, .n = 33 }), ERR_FIELD_INVALID);
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = many, .n = 32 }), ERR_NONE);
    assert_int_equal(open_row(h, &row, opened, &n), ERR_NONE);
    assert_int_equal(n, 32);
    end_all(opened, n);
}

static void a_key_finds_its_connection_in_the_folders_one_may_see(void **state)
{
    struct hub *h = *state;
    const struct str a[] = { STR("fld_a") }, b[] = { STR("fld_b") }, both[] = { STR("fld_a"), STR("fld_x"), STR("fld_b") };
    struct connection_row in_a = a_row("CRM", "fld_a"), in_b = a_row("CRM", "fld_b"), only = a_row("Only", "fld_b"), got;
    assert_int_equal(insert(h, &in_a), ERR_NONE);
    assert_int_equal(insert(h, &in_b), ERR_NONE);
    assert_int_equal(insert(h, &only), ERR_NONE);
    struct db *db = reader(h);
    assert_int_equal(connection_find(db, h->arena, STR("crm"),
                                     &(struct folder_scope){ .few = true, .folders = a, .folder_count = 1 }, &got, &h->why),
                     ERR_NONE);
    assert_true(str_eq(got.id, in_a.id));
    assert_int_equal(connection_find(db, h->arena, STR("crm"),
                                     &(struct folder_scope){ .few = true, .folders = b, .folder_count = 1 }, &got, &h->why),
                     ERR_NONE);
    assert_true(str_eq(got.id, in_b.id));
    assert_int_equal(connection_find(db, h->arena, STR("crm"),
                                     &(struct folder_scope){ .few = true, .folders = both, .folder_count = 3 }, &got, &h->why),
                     ERR_AMBIGUOUS);
    assert_int_equal(connection_find(db, h->arena, STR("only"),
                                     &(struct folder_scope){ .few = true, .folders = both, .folder_count = 3 }, &got, &h->why),
                     ERR_NONE);
    assert_int_equal(connection_find(db, h->arena, STR("only"),
                                     &(struct folder_scope){ .few = true, .folders = a, .folder_count = 1 }, &got, &h->why),
                     ERR_CONNECTION_NOT_FOUND);
    assert_int_equal(connection_find(db, h->arena, STR("none"),
                                     &(struct folder_scope){ .few = true, .folders = both, .folder_count = 3 }, &got, &h->why),
                     ERR_CONNECTION_NOT_FOUND);
    assert_int_equal(connection_find(db, h->arena, STR("crm"),
                                     &(struct folder_scope){ .few = true, .folders = NULL, .folder_count = 0 }, &got, &h->why),
                     ERR_CONNECTION_NOT_FOUND);
    assert_int_equal(connection_get(db, h->arena, STR("con_x"), &got, &h->why), ERR_CONNECTION_NOT_FOUND);
    assert_string_equal(h->why.subject, "con_x");
}

/* ---- changing ---- */

static void a_change_counts_and_a_stale_one_is_refused(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("Before", "fld_a"), stale;
    assert_int_equal(insert(h, &row), ERR_NONE);
    stale = row;
    row.name = STR("After");
    row.notes = STR("n");
    row.fields = STR("{}");
    row.state = CONNECTION_DISABLED;
    row.health = HEALTH_OK;
    row.account = STR("acc");
    row.verified = 5;
    assert_int_equal(update(h, &row), ERR_NONE);
    assert_int_equal(row.revision, 2);

    struct connection_row got = get(h, row.id);
    assert_true(str_is(got.name, "After"));
    assert_true(str_is(got.notes, "n"));
    assert_true(str_is(got.fields, "{}"));
    assert_true(str_is(got.account, "acc"));
    assert_int_equal(got.state, CONNECTION_DISABLED);
    assert_int_equal(got.health, HEALTH_OK);
    assert_int_equal(got.verified, 5);
    assert_int_equal(got.revision, 2);
    assert_int_equal(got.updated, row.updated);
    assert_true(str_is(got.key, "before"));

    stale.name = STR("Stale");
    assert_int_equal(update(h, &stale), ERR_PRECONDITION_FAILED);
    assert_int_equal(stale.revision, 1);
    assert_true(str_is(get(h, row.id).name, "After"));
    stale.id = STR("con_gone");
    assert_int_equal(update(h, &stale), ERR_CONNECTION_NOT_FOUND);
    row.name = STR("");
    assert_int_equal(update(h, &row), ERR_FIELD_INVALID);
}

static size_t list(struct hub *h, struct connection_filter f, struct connection_row **rows);

static void key_auth_type_and_domain_never_change(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    struct connection_row evil = row;
    evil.key = STR("other");
    evil.auth_type = STR("basic");
    evil.allowed_domain = STR("evil.example");
    evil.folder = STR("fld_b");
    evil.connector = STR("other");
    evil.owner = STR("usr_2");
    assert_int_equal(update(h, &evil), ERR_NONE);
    struct connection_row got = get(h, row.id);
    assert_true(str_eq(got.key, row.key));
    assert_true(str_eq(got.auth_type, row.auth_type));
    assert_true(str_eq(got.allowed_domain, row.allowed_domain));
    assert_true(str_eq(got.folder, row.folder));
    assert_true(str_eq(got.connector, row.connector));
    assert_true(str_eq(got.owner, row.owner));
    assert_true(opens(h, row.id));
    struct connection_row *found;
    assert_int_equal(list(h, (struct connection_filter){ .search = STR("other"), .limit = 9 }, &found), 0);

    got.allowed_domain = STR("evil.example");
    assert_int_equal(replace(h, &got, "new"), ERR_FIELD_IMMUTABLE);
    assert_string_equal(h->why.subject, "allowed_domain");
    assert_true(opens(h, row.id));
}

static void new_credentials_take_the_place_of_all_old_ones(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n;
    assert_int_equal(insert_sealed(h, &row, "old"), ERR_NONE);
    struct connection_row stale = row;
    struct str old_key = hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'connection'");
    assert_int_equal(replace(h, &row, CANARY), ERR_NONE);
    assert_int_equal(row.revision, 2);
    assert_int_equal(get(h, row.id).revision, 2);
    assert_int_equal(open_row(h, &row, all, &n), ERR_NONE);
    assert_int_equal(n, 1);
    assert_true(str_is(secret_str(all[0].value), CANARY));
    end_all(all, n);
    assert_false(str_eq(old_key, hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'connection'")));

    assert_int_equal(replace(h, &stale, "stale"), ERR_PRECONDITION_FAILED);
    assert_int_equal(open_row(h, &row, all, &n), ERR_NONE);
    assert_true(str_is(secret_str(all[0].value), CANARY));
    end_all(all, n);
}

static void a_failed_change_changes_nothing(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    AUTO_SECRET s = secret_from(STR("x"));
    const struct connection_secret bad[] = { { STR("a"), s }, { STR("a|"), s } };
    assert_int_equal(change((struct change){ .hub = h, .kind = REPLACE, .row = &row, .secrets = bad, .n = 2 }), ERR_FIELD_INVALID);
    assert_int_equal(row.revision, 1);
    assert_true(opens(h, row.id));
}

static void health_is_noted_without_a_new_revision(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert(h, &row), ERR_NONE);
    assert_int_equal(change((struct change){
                         .hub = h, .kind = HEALTH, .id = row.id, .health = HEALTH_OK, .verified = 99, .account = STR("me") }),
                     ERR_NONE);
    assert_int_equal(change((struct change){ .hub = h, .kind = HEALTH, .id = row.id, .health = HEALTH_FAILING }), ERR_NONE);
    struct connection_row got = get(h, row.id);
    assert_int_equal(got.health, HEALTH_FAILING);
    assert_int_equal(got.verified, 99);
    assert_true(str_is(got.account, "me"));
    assert_int_equal(got.revision, 1);
    assert_int_equal(change((struct change){ .hub = h, .kind = HEALTH, .id = STR("con_x") }), ERR_CONNECTION_NOT_FOUND);
}

static void a_folder_has_one_default_per_connector(void **state)
{
    struct hub *h = *state;
    struct connection_row first = a_row("1", "fld_a"), second = a_row("2", "fld_a"), third = a_row("3", "fld_a"),
                          other = a_row("4", "fld_b"), kind = a_row("5", "fld_a");
    kind.connector = STR("mail");
    assert_int_equal(insert(h, &first), ERR_NONE);
    assert_int_equal(insert(h, &second), ERR_NONE);
    assert_int_equal(insert(h, &other), ERR_NONE);
    assert_int_equal(insert(h, &kind), ERR_NONE);
    assert_true(first.is_default && !second.is_default && other.is_default && kind.is_default);

    second.is_default = true;
    assert_int_equal(update(h, &second), ERR_NONE);
    assert_false(get(h, first.id).is_default);
    assert_int_equal(get(h, first.id).revision, 2); /* it changed, too */
    assert_true(get(h, second.id).is_default);
    assert_true(get(h, other.id).is_default);
    assert_true(get(h, kind.id).is_default);

    third.is_default = true;
    assert_int_equal(insert(h, &third), ERR_NONE);
    assert_false(get(h, second.id).is_default);
    assert_true(str_is(
        hub_text(
            h, "SELECT CAST(count(*) AS TEXT) FROM connection WHERE is_default = 1 AND folder_id = 'fld_a' AND connector = 'http'"),
        "1"));
}

/* ---- lists ---- */

static size_t list(struct hub *h, struct connection_filter f, struct connection_row **rows)
{
    static const struct str folders[] = { STR("fld_a"), STR("fld_b") };
    size_t n = 0;
    if (!f.scope.few)
        f.scope = (struct folder_scope){ .few = true, .folders = folders, .folder_count = 2 };
    assert_int_equal(connection_list(reader(h), h->arena, &f, rows, &n, &h->why), ERR_NONE);
    return n;
}

static void a_list_is_walked_without_gaps_or_doubles(void **state)
{
    struct hub *h = *state;
    struct str ids[57];
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct connection_row row = a_row("row", i % 2 ? "fld_a" : "fld_b");
        assert_int_equal(insert(h, &row), ERR_NONE);
        ids[i] = row.id;
    }
    struct connection_row *rows;
    struct str after = STR_NONE;
    size_t seen = 0;
    for (size_t n; (n = list(h, (struct connection_filter){ .after = after, .limit = 10 }, &rows));
         after = str_fmt(h->arena, "%lld", (long long)rows[n - 1].number))
        for (size_t i = 0; i < n; i++)
            assert_true(str_eq(rows[i].id, ids[seen++]));
    assert_int_equal(seen, COUNT(ids));
    assert_int_equal(list(h, (struct connection_filter){ .limit = 57 }, &rows), 57);
    assert_int_equal(list(h, (struct connection_filter){ .limit = 0 }, &rows), 50);
}

static void a_list_shows_only_the_folders_asked_for(void **state)
{
    struct hub *h = *state;
    struct connection_row a = a_row("a", "fld_a"), b = a_row("b", "fld_b"), *rows;
    assert_int_equal(insert(h, &a), ERR_NONE);
    assert_int_equal(insert(h, &b), ERR_NONE);
    struct str many[65];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = str_fmt(h->arena, "fld_%zu", i);
    many[40] = STR("fld_b");
    size_t n;
    struct connection_filter f = { .scope = { .few = true, .folders = many }, .limit = 10 };
    for (size_t count = 1; count <= FOLDER_SCOPE_FEW; count++) {
        f.scope.folder_count = count;
        n = list(h, f, &rows);
        assert_int_equal(n, count > 40);
        assert_true(!n || str_eq(rows[0].id, b.id));
    }
    f.scope.folder_count = 0;
    assert_int_equal(list(h, f, &rows), 0);
}

static void filters_narrow_together(void **state)
{
    struct hub *h = *state;
    struct connection_row rows[4], *got;
    for (int i = 0; i < 4; i++) {
        rows[i] = a_row("x", "fld_a");
        rows[i].connector = i < 2 ? STR("http") : STR("mail");
        rows[i].state = i % 2 ? CONNECTION_ACTIVE : CONNECTION_DISABLED;
        rows[i].health = i == 3 ? HEALTH_OK : HEALTH_UNKNOWN;
        assert_int_equal(insert(h, &rows[i]), ERR_NONE);
    }
    assert_int_equal(list(h, (struct connection_filter){ .connector = STR("mail"), .limit = 9 }, &got), 2);
    assert_int_equal(list(h, (struct connection_filter){ .by_state = true, .state = CONNECTION_ACTIVE, .limit = 9 }, &got), 2);
    assert_int_equal(list(h, (struct connection_filter){ .by_state = true, .state = CONNECTION_DRAFT, .limit = 9 }, &got), 0);
    assert_int_equal(list(h, (struct connection_filter){ .by_health = true, .health = HEALTH_UNKNOWN, .limit = 9 }, &got), 3);
    assert_int_equal(list(h,
                          (struct connection_filter){ .connector = STR("mail"),
                                                      .by_state = true,
                                                      .state = CONNECTION_ACTIVE,
                                                      .by_health = true,
                                                      .health = HEALTH_OK,
                                                      .search = STR("x"),
                                                      .after = rows[2].id,
                                                      .limit = 9 },
                          &got),
                     1);
    assert_true(str_eq(got[0].id, rows[3].id));
}

static void a_search_finds_names_and_keys_without_accents_or_case(void **state)
{
    struct hub *h = *state;
    struct connection_row one = a_row("Éditions Gallimard", "fld_a"), two = a_row("100 % pur_jus", "fld_a"), *rows;
    two.key = STR("le-cle");
    assert_int_equal(insert(h, &one), ERR_NONE);
    assert_int_equal(insert(h, &two), ERR_NONE);
    static const struct { const char *search; size_t found;
    } cases[] = {
        { "editions", 1 },
        { "ÉDITIONS", 1 },
        { "e\xcc\x81"
          "dit",
          1 },
        { "LIMARD", 1 },
        { "le-cle", 1 },
        { "0 % p", 1 },
        { "pur_jus", 1 },
        { "100%", 0 },
        { "%", 1 },
        { "_", 1 },
        { "purxjus", 0 },
        { "\\", 0 },
        { "", 2 },
        { "l", 2 },
        { "'; DROP TABLE connection; --", 0 },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (list(h, (struct connection_filter){ .search = str_of(cases[i].search), .limit = 9 }, &rows) != cases[i].found)
            fail_msg("“%s”", cases[i].search);

    one.name = STR("Renommé");
    assert_int_equal(update(h, &one), ERR_NONE);
    assert_int_equal(list(h, (struct connection_filter){ .search = STR("renomme"), .limit = 9 }, &rows), 1);
    assert_int_equal(list(h, (struct connection_filter){ .search = STR("gallimard"), .limit = 9 }, &rows),
                     1); /* still in the key */
    assert_int_equal(list(h, (struct connection_filter){ .search = STR("editions gall"), .limit = 9 }, &rows), 0);
}

/* ---- what a database editor may try ---- */

static void every_flipped_or_cut_byte_makes_its_connection_unusable_and_no_other(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a"), other = a_row("y", "fld_a");
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    assert_int_equal(insert_sealed(h, &other, CANARY), ERR_NONE);
    const char *id = arena_cstr(h->arena, row.id);
    struct str text = hub_text(
                   h,
                   str_fmt(h->arena, "SELECT sealed FROM connection_secret WHERE connection_id = '%s' AND name = 'token'", id).p),
               sealed;
    assert_true(base64_decode(h->arena, text, BASE64_STANDARD, &sealed));
    char *bytes = (char *)sealed.p;
    for (size_t i = 0; i <= sealed.n; i++) {
        struct arena_mark mark = arena_mark(h->arena);
        struct str now = sealed;
        if (i < sealed.n)
            bytes[i] ^= (char)(1 << i % 8);
        else
            now.n--;
        hub_sql(h, str_fmt(h->arena, "UPDATE connection_secret SET sealed = '%s' WHERE connection_id = '%s' AND name = 'token'",
                           base64_encode(h->arena, now, BASE64_STANDARD).p, id).p);
        assert_false(opens(h, row.id));
        if (i < sealed.n)
            bytes[i] ^= (char)(1 << i % 8);
        arena_rewind(h->arena, mark);
    }
    assert_true(opens(h, other.id));
    hub_sql(h, str_fmt(h->arena, "UPDATE connection_secret SET sealed = '%s' WHERE connection_id = '%s' AND name = 'token'",
                       arena_cstr(h->arena, text), id)
                   .p);
    assert_true(opens(h, row.id));
}

static void a_credential_opens_only_where_it_was_sealed(void **state)
{
    struct hub *h = *state;
    static const char *const edits[] = {
        /* $x and $y: two connections, each with the credentials token and Other_2-x */
        "UPDATE connection SET allowed_domain = 'evil.example' WHERE id = '$x'",
        "UPDATE connection SET allowed_domain = '*.example.com' WHERE id = '$x'",
        "UPDATE connection SET auth_type = 'basic' WHERE id = '$x'",
        "UPDATE connection_secret SET sealed = (SELECT sealed FROM connection_secret WHERE connection_id = '$y' AND name = 'token')"
        " WHERE connection_id = '$x' AND name = 'token'",
        "UPDATE connection_secret SET sealed = (SELECT sealed FROM connection_secret WHERE connection_id = '$x' AND name = "
        "'Other_2-x')"
        " WHERE connection_id = '$x' AND name = 'token'",
        "UPDATE connection_secret SET name = 'password' WHERE connection_id = '$x' AND name = 'token'",
        "UPDATE data_key SET sealed = (SELECT sealed FROM data_key WHERE owner_id = '$y') WHERE owner_id = '$x'",
        /* with its key and all */
        "UPDATE data_key SET sealed = (SELECT sealed FROM data_key WHERE owner_id = '$y') WHERE owner_id = '$x';"
        "DELETE FROM connection_secret WHERE connection_id = '$x'; UPDATE connection_secret SET connection_id = '$x' WHERE "
        "connection_id = '$y'",
        "UPDATE data_key SET sealed = '' WHERE owner_id = '$x'",
        "UPDATE data_key SET sealed = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=' WHERE owner_id = '$x'",
        "UPDATE data_key SET sealed = (SELECT sealed FROM wrapping_key) WHERE owner_id = '$x'",
        "UPDATE connection_secret SET sealed = '' WHERE connection_id = '$x'",
        "UPDATE connection_secret SET sealed = '" CANARY "' WHERE connection_id = '$x'",
        "UPDATE connection_secret SET sealed = "
        "'Y2FuYXJ5LTliMWY3LW9mLWEtY3JlZGVudGlhbC1pbi1jbGVhci10aGF0LWlzLWxvbmctZW5vdWdoLWZvci1hLXNlYWxlZC12YWx1ZQ==' WHERE "
        "connection_id = '$x'",
        "UPDATE connection_secret SET sealed = sealed || ' ' WHERE connection_id = '$x'",
    };
    for (size_t i = 0; i < COUNT(edits); i++) {
        struct connection_row x = a_row("x", "fld_a"), y = a_row("y", "fld_b");
        assert_int_equal(insert_sealed(h, &x, CANARY), ERR_NONE);
        assert_int_equal(insert_sealed(h, &y, "other " CANARY), ERR_NONE);
        assert_true(opens(h, x.id));
        struct buf sql;
        buf_init(&sql, 4096);
        struct str rest = str_of(edits[i]), piece;
        while (str_cut(rest, '$', &piece, &rest)) {
            buf_add(&sql, piece);
            buf_add(&sql, rest.p[0] == 'x' ? x.id : y.id);
            rest = str_sub(rest, 1, rest.n);
        }
        buf_add(&sql, piece);
        buf_char(&sql, 0);
        hub_sql(h, sql.p);
        buf_end(&sql);
        if (opens(h, x.id))
            fail_msg("%s", edits[i]);
        hub_sql(h, "DELETE FROM connection_secret; DELETE FROM connection; DELETE FROM data_key WHERE kind = 'connection'");
    }
}

static void a_broken_connection_is_mended_by_new_credentials(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert_sealed(h, &row, "old"), ERR_NONE);
    hub_sql(h, "UPDATE data_key SET sealed = 'damaged'");
    assert_false(opens(h, row.id));
    assert_int_equal(replace(h, &row, CANARY), ERR_NONE);
    assert_true(opens(h, row.id));
}

static void more_credentials_than_were_ever_stored_do_not_open(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    AUTO_SECRET small = secret_from(STR("x"));
    struct connection_secret many[CONNECTION_SECRETS];
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct connection_secret){ str_fmt(h->arena, "s%zu", i), small };
    assert_int_equal(change((struct change){ .hub = h, .kind = INSERT, .row = &row, .secrets = many, .n = 32 }), ERR_NONE);
    assert_true(opens(h, row.id));
    hub_sql(h, "INSERT INTO connection_secret SELECT connection_id, 'zzz', sealed, 1 FROM connection_secret WHERE name = 's1'");
    assert_false(opens(h, row.id));
}

static void a_state_that_we_never_wrote_is_disabled(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert(h, &row), ERR_NONE);
    hub_sql(h, "UPDATE connection SET state = 'ACTIVE', health = 'fine'");
    assert_int_equal(get(h, row.id).state, CONNECTION_DISABLED);
    assert_int_equal(get(h, row.id).health, HEALTH_UNKNOWN);
}

/* ---- what lies on the disk ---- */

static bool in_files(struct hub *h, struct str needle)
{
    struct str files = hub_files(h);
    bool found = memmem(files.p, files.n, needle.p, needle.n) != NULL;
    free((char *)files.p);
    return found;
}

static void no_credential_lies_on_the_disk_in_any_spelling(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("on-the-disk", "fld_a");
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    assert_int_equal(replace(h, &row, "renewed " CANARY), ERR_NONE);
    hub_close(h);

    assert_true(in_files(h, STR("on-the-disk"))); /* the search does find what is there */
    struct str secret = STR(CANARY);
    assert_false(in_files(h, STR("canary-9b1f7")));
    char hex[2 * sizeof CANARY];
    size_t n = hex_write(hex, secret);
    assert_false(in_files(h, (struct str){ hex, n }));
    for (size_t i = 0; i < n; i++)
        if (hex[i] >= 'a')
            hex[i] -= 32;
    assert_false(in_files(h, (struct str){ hex, n }));
    /* Base64 at each of the three places that the text may have in a longer one */
    for (size_t shift = 0; shift < 3; shift++) {
        struct str part = str_sub(secret, shift, shift + (secret.n - shift) / 3 * 3);
        assert_false(in_files(h, base64_encode(h->arena, part, BASE64_STANDARD)));
        assert_false(in_files(h, base64_encode(h->arena, part, BASE64_URL)));
    }
}

static void deleting_leaves_neither_data_key_nor_credential(void **state)
{
    struct hub *h = *state;
    struct connection_row row = a_row("x", "fld_a");
    assert_int_equal(insert_sealed(h, &row, CANARY), ERR_NONE);
    struct str data_key = hub_text(h, "SELECT sealed FROM data_key WHERE kind = 'connection'"),
               sealed = hub_text(h, "SELECT sealed FROM connection_secret WHERE name = 'token'");
    assert_true(in_files(h, data_key));
    assert_true(in_files(h, sealed));

    assert_int_equal(change((struct change){ .hub = h, .kind = DELETE, .id = row.id }), ERR_NONE);

    assert_true(str_is(hub_text(h, "SELECT CAST(count(*) AS TEXT) FROM connection_secret"), "0"));
    assert_true(str_is(hub_text(h, "SELECT CAST(count(*) AS TEXT) FROM connection"), "0"));
    assert_int_equal(change((struct change){ .hub = h, .kind = DELETE, .id = row.id }), ERR_CONNECTION_NOT_FOUND);
    hub_close(h); /* the write-ahead log ends with the last connection */
    assert_false(in_files(h, data_key));
    assert_false(in_files(h, sealed));
}

static void names_of_states_and_health_are_read_back(void **state)
{
    (void)state;
    enum connection_state s;
    enum connection_health h;
    for (int i = CONNECTION_DRAFT; i <= CONNECTION_DISABLED; i++) {
        assert_true(connection_state_parse(str_of(connection_state_name(i)), &s));
        assert_int_equal(s, i);
    }
    for (int i = HEALTH_UNKNOWN; i <= HEALTH_RECONNECT_REQUIRED; i++) {
        assert_true(connection_health_parse(str_of(connection_health_name(i)), &h));
        assert_int_equal(h, i);
    }
    assert_string_equal(connection_state_name(CONNECTION_NEEDS_AUTH), "needs_auth");
    assert_false(connection_state_parse(STR("Active"), &s));
    assert_false(connection_health_parse(STR(""), &h));
}

static int with_hub(void **state)
{
    *state = hub_new_ready();
    return 0;
}

static int drop_hub(void **state)
{
    hub_end(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, with_hub, drop_hub)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_stored_comes_back),
        TEST(an_unknown_account_stays_unknown),
        TEST(a_connection_without_credentials_opens_with_none),
        TEST(a_made_up_key_is_the_name_and_a_number),
        TEST(a_key_is_taken_once_per_folder),
        TEST(fields_that_break_a_rule_are_named),
        TEST(credentials_have_names_and_limits),
        TEST(a_key_finds_its_connection_in_the_folders_one_may_see),
        TEST(a_change_counts_and_a_stale_one_is_refused),
        TEST(key_auth_type_and_domain_never_change),
        TEST(new_credentials_take_the_place_of_all_old_ones),
        TEST(a_failed_change_changes_nothing),
        TEST(health_is_noted_without_a_new_revision),
        TEST(a_folder_has_one_default_per_connector),
        TEST(a_list_is_walked_without_gaps_or_doubles),
        TEST(a_list_shows_only_the_folders_asked_for),
        TEST(filters_narrow_together),
        TEST(a_search_finds_names_and_keys_without_accents_or_case),
        TEST(every_flipped_or_cut_byte_makes_its_connection_unusable_and_no_other),
        TEST(a_credential_opens_only_where_it_was_sealed),
        TEST(a_broken_connection_is_mended_by_new_credentials),
        TEST(more_credentials_than_were_ever_stored_do_not_open),
        TEST(a_state_that_we_never_wrote_is_disabled),
        TEST(no_credential_lies_on_the_disk_in_any_spelling),
        TEST(deleting_leaves_neither_data_key_nor_credential),
        TEST(names_of_states_and_health_are_read_back),
    };
    return cmocka_run_group_tests_name("vault/connection", tests, NULL, NULL);
}
