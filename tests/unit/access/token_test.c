#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "house.h"

#include "access/rights.h"

#define LIMITED(ids, n) (&(struct narrow){ .lists[NARROW_CONNECTION] = { true, ids, n } })

static enum err make(struct house *h, struct token_new t, char text[TOKEN_TEXT], struct str *id)
{
    t.name = t.name.p ? t.name : STR("build server");
    t.role = t.role ? t.role : ROLE_USER;
    return token_create(h->db, h->arena, &t, text, id, &h->why);
}

static enum err resolve(struct house *h, const char *text, struct caller *c)
{
    return token_resolve(h->db, h->arena, str_of(text), c, &h->why);
}

/* -- the text ---- */

static void the_checksum_is_that_of_crc_32_in_base32(void **state)
{
    (void)state;
    /* CRC-32 of "rcd_" and forty times "a" is 0xc5abd393 (zlib's crc32 says so); its low 30 bits in base32. */
    assert_true(token_well_formed(STR("rcd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac2xu4t")));
    assert_false(token_well_formed(STR("rcd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabc2xu4t")));
}

static void a_token_has_the_form_that_scanners_know(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    assert_int_equal(strlen(text), 50);
    assert_true(str_starts(str_of(text), STR("rcd_")));
    assert_int_equal(strspn(text + 4, "abcdefghijklmnopqrstuvwxyz234567"), 46);
    assert_true(token_well_formed(str_of(text)));
    assert_true(str_starts(id, STR("tok_")));
}

static void one_wrong_character_anywhere_is_told_without_asking_the_database(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    for (size_t i = 0; i < strlen(text); i++) {
        char was = text[i];
        text[i] = was == 'q' ? 'r' : 'q';
        assert_false(token_well_formed(str_of(text)));
        text[i] = 'A';
        assert_false(token_well_formed(str_of(text)));
        text[i] = was;
    }
    for (size_t n = 0; n < strlen(text); n++)
        assert_false(token_well_formed((struct str){ text, n }));
    assert_false(token_well_formed(arena_join(h->arena, str_of(text), STR("a"))));
    assert_false(token_well_formed((struct str){ (char[50]){ 'r', 'c', 'd', '_' }, 50 }));
    text[10] ^= 1;
    assert_int_equal(token_resolve(NULL, h->arena, str_of(text), &c, &h->why), ERR_TOKEN_INVALID);
}

static void two_tokens_are_never_alike(void **state)
{
    struct house *h = *state;
    char one[TOKEN_TEXT], two[TOKEN_TEXT];
    struct str a, b;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, one, &a));
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, two, &b));
    assert_string_not_equal(one, two);
    assert_false(str_eq(a, b));
}

static void the_database_holds_the_hash_of_a_token_and_nowhere_its_text(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT], hex[64];
    unsigned char digest[SHA256_SIZE];
    struct str id;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    sha256(str_of(text), digest);
    hex_write(hex, (struct str){ (char *)digest, sizeof digest });
    struct query *q = query_begin(h->db, "SELECT hash, last4, id || hash || last4 || name || principal_id || role FROM token");
    assert_true(query_next(q));
    assert_true(str_eq(query_get_text(q, 0, h->arena), (struct str){ hex, 64 }));
    assert_true(str_is(query_get_text(q, 1, h->arena), text + 46));
    assert_int_equal(str_find_str(query_get_text(q, 2, h->arena), (struct str){ text + 4, 20 }), SIZE_MAX);
    assert_ok(query_end(q, &h->why));
}

/* -- making ---- */

static void a_token_needs_a_name_a_role_and_a_time_to_come(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT], long_name[102];
    struct str id;
    struct token_new t = { .principal = h->ann, .name = STR("x"), .role = ROLE_USER };
    memset(long_name, 'x', sizeof long_name);
    static const struct str bad[] = { { " x", 2 }, { "x\n", 2 }, { "\xff", 1 }, { "a\0b", 3 } };
    for (size_t i = 0; i < COUNT(bad); i++) {
        t.name = bad[i];
        assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_FIELD_INVALID);
    }
    t.name = (struct str){ long_name, 101 };
    assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_FIELD_INVALID);
    t.name = STR("");
    assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_FIELD_REQUIRED);
    assert_string_equal(h->why.subject, "name");
    t.name = (struct str){ long_name, 100 };
    t.role = ROLE_NONE;
    assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_FIELD_INVALID);
    t.role = ROLE_USER;
    t.expires = clock_wall() - 1;
    assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_FIELD_INVALID);
    t.expires = clock_wall() + MINUTE;
    t.principal = STR("usr_nobody");
    assert_int_equal(token_create(h->db, h->arena, &t, text, &id, &h->why), ERR_NOT_FOUND);
    assert_int_equal(house_number(h, "SELECT count(*) FROM token"), 0);
    t.principal = h->ann;
    assert_ok(token_create(h->db, h->arena, &t, text, &id, &h->why));
}

/* -- resolving ---- */

static void a_token_resolves_to_all_that_its_caller_is(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, personal;
    struct caller c;
    wall_ms expires = clock_wall() + MINUTE;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &personal, &h->why));
    house_run(h, "UPDATE principal SET language = 'fr' WHERE name = 'ann@example.com'");
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .expires = expires }, text, &id));

    assert_ok(resolve(h, text, &c));
    assert_true(str_eq(c.principal, h->ann));
    assert_true(str_is(c.name, "ann@example.com"));
    assert_int_equal(c.role, ROLE_USER);
    assert_true(str_eq(c.token, id));
    assert_null(c.session_csrf.p);
    assert_int_equal(c.language, LANG_FR);
    assert_false(caller_limited(&c));
    assert_int_equal(c.expires, expires);
    struct folder_scope seen;
    assert_ok(rights_visible(h->db, h->arena, &c, &seen, &h->why));
    assert_true(seen.few);
    assert_int_equal(seen.folder_count, 2);
}

static void a_service_account_has_tokens_too_and_sees_the_shared_folder(void **state)
{
    struct house *h = *state;
    struct str svc;
    assert_ok(service_account_find_or_create(h->db, h->arena, STR("robot"), ROLE_USER, &svc, &h->why));
    struct caller c = house_caller(h, svc, ROLE_USER);
    assert_true(str_is(c.name, "robot"));
    struct folder_scope seen;
    assert_ok(rights_visible(h->db, h->arena, &c, &seen, &h->why));
    assert_int_equal(seen.folder_count, 1);
    assert_true(str_eq(seen.folders[0], h->shared));
}

static void nobody_sees_the_personal_folder_of_another_not_even_the_owner(void **state)
{
    struct house *h = *state;
    struct str anns, admins;
    assert_ok(folder_ensure_personal(h->db, h->arena, h->ann, &anns, &h->why));
    assert_ok(folder_ensure_personal(h->db, h->arena, h->admin, &admins, &h->why));
    struct caller owner = house_caller(h, h->owner, ROLE_OWNER), admin = house_caller(h, h->admin, ROLE_ADMIN),
                  bob = house_caller(h, h->bob, ROLE_USER);
    const struct caller *others[] = { &owner, &bob, &admin };
    for (size_t i = 0; i < COUNT(others); i++) {
        struct rights r;
        assert_ok(rights_in_folder(h->db, h->arena, others[i], anns, &r, &h->why));
        assert_int_equal(r.mask, 0);
        assert_null(r.path.p);
    }
    assert_ok(rights_need(h->db, h->arena, &admin, admins, RIGHT_USE, &h->why));
}

static void the_role_is_the_lesser_of_the_tokens_and_the_principals_of_today(void **state)
{
    struct house *h = *state;
    char as_user[TOKEN_TEXT], as_admin[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->admin, .role = ROLE_USER }, as_user, &id));
    assert_ok(make(h, (struct token_new){ .principal = h->admin, .role = ROLE_ADMIN }, as_admin, &id));
    assert_ok(resolve(h, as_user, &c));
    assert_int_equal(caller_role(&c), ROLE_USER);
    assert_false(caller_may(&c, RIGHT_PEOPLE));
    assert_ok(resolve(h, as_admin, &c));
    assert_int_equal(caller_role(&c), ROLE_ADMIN);
    assert_true(caller_may(&c, RIGHT_PEOPLE));

    house_run(h, "UPDATE principal SET role = 'user' WHERE name = 'admin@example.com'");
    assert_ok(resolve(h, as_admin, &c));
    assert_int_equal(caller_role(&c), ROLE_USER);
    assert_false(caller_may(&c, RIGHT_PEOPLE));

    house_run(h, "UPDATE principal SET role = 'owner' WHERE name = 'admin@example.com'");
    assert_ok(resolve(h, as_admin, &c));
    assert_int_equal(caller_role(&c), ROLE_ADMIN);
    assert_false(caller_may(&c, RIGHT_OWNERS));

    /* What both have, and no more: people are not among a custodian's rights, keys not among a user's. */
    house_run(h, "UPDATE principal SET role = 'custodian' WHERE name = 'admin@example.com'");
    assert_ok(resolve(h, as_admin, &c));
    assert_true(caller_may(&c, RIGHT_KEYS));
    assert_false(caller_may(&c, RIGHT_PEOPLE));
    assert_ok(resolve(h, as_user, &c));
    assert_false(caller_may(&c, RIGHT_KEYS));

    house_run(h, "UPDATE principal SET role = 'king' WHERE name = 'admin@example.com'");
    assert_int_equal(resolve(h, as_admin, &c), ERR_TOKEN_INVALID);
}

static void a_token_of_a_disabled_principal_is_invalid_until_it_is_enabled_again(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    house_run(h, "UPDATE principal SET disabled = 1 WHERE name = 'ann@example.com'");
    assert_int_equal(resolve(h, text, &c), ERR_TOKEN_INVALID);
    house_run(h, "UPDATE principal SET disabled = 0 WHERE name = 'ann@example.com'");
    assert_ok(resolve(h, text, &c));
}

static void a_token_expires_at_its_time(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .expires = clock_wall() + MINUTE }, text, &id));
    assert_ok(resolve(h, text, &c));
    house_run(h, "UPDATE token SET expires_ms = expires_ms - 60001");
    assert_int_equal(resolve(h, text, &c), ERR_TOKEN_EXPIRED);
}

static void a_revoked_token_is_invalid_for_good_and_its_row_stays(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    struct token_row row;
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .expires = clock_wall() + MINUTE }, text, &id));
    assert_ok(token_revoke(h->db, id, &h->why));
    assert_int_equal(resolve(h, text, &c), ERR_TOKEN_INVALID);
    house_run(h, "UPDATE token SET expires_ms = 1");
    assert_int_equal(resolve(h, text, &c), ERR_TOKEN_INVALID); /* revoked says more than expired */

    house_run(h, "UPDATE token SET revoked_ms = 7");
    assert_ok(token_revoke(h->db, id, &h->why)); /* again: the first time stands */
    assert_ok(token_get(h->db, h->arena, id, &row, &h->why));
    assert_int_equal(row.revoked, 7);
    assert_int_equal(token_revoke(h->db, STR("tok_none"), &h->why), ERR_NOT_FOUND);
}

static void a_well_formed_token_that_nobody_made_is_invalid(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    house_run(h, "DELETE FROM token");
    assert_int_equal(resolve(h, text, &c), ERR_TOKEN_INVALID);
    assert_null(strstr(h->why.note, text));
}

static void a_limited_token_names_its_connections_and_without_any_opens_none(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, two[] = { STR("con_b"), STR("con_a"), STR("con_b") };
    struct caller c;
    assert_ok(
        make(h, (struct token_new){ .principal = h->ann, .narrow = LIMITED(two, 3) }, text, &id));
    assert_ok(resolve(h, text, &c));
    assert_true(caller_limited(&c));
    assert_int_equal(caller_connections(&c)->count, 2);
    assert_true(caller_granted(&c, STR("con_a")));
    assert_true(caller_granted(&c, STR("con_b")));
    assert_false(caller_granted(&c, STR("con_c")));

    assert_ok(make(h, (struct token_new){ .principal = h->ann, .narrow = LIMITED(NULL, 0) }, text, &id));
    assert_ok(resolve(h, text, &c));
    assert_true(caller_limited(&c));
    assert_false(caller_granted(&c, STR("con_a")));
}

static void a_token_that_names_connections_is_limited_even_if_the_flag_was_forgotten(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, one[] = { STR("con_a") };
    struct caller c;
    assert_ok(make(
        h, (struct token_new){ .principal = h->ann, .narrow = &(struct narrow){ .lists[NARROW_CONNECTION] = { false, one, 1 } } },
        text, &id));
    assert_ok(resolve(h, text, &c));
    assert_true(caller_limited(&c));
    assert_false(caller_granted(&c, STR("con_b")));
}

static void many_grants_all_come_back(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, ids[100];
    struct caller c;
    for (int i = 0; i < 100; i++)
        ids[i] = str_fmt(h->arena, "con_%03d", i);
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .narrow = LIMITED(ids, 100) }, text, &id));
    assert_ok(resolve(h, text, &c));
    assert_int_equal(caller_connections(&c)->count, 100);
    for (int i = 0; i < 100; i++)
        assert_true(str_eq(caller_connections(&c)->at[i], ids[i]));
    assert_int_equal(make(h, (struct token_new){ .principal = h->ann, .narrow = LIMITED(ids, 1001) }, text, &id),
                     ERR_FIELD_INVALID);
}

static void resolving_writes_nothing(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    struct db *reader = store_reader(h->store, &h->why); /* which cannot */
    assert_ok(token_resolve(reader, h->arena, str_of(text), &c, &h->why));
}

/* -- how many ---- */

/* `n` rows beside those that are there; `ends`: columns for revoked_ms and expires_ms. */
static void fill(struct house *h, struct str principal, int n, const char *ends)
{
    house_run(h, str_fmt(h->arena,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
        " INSERT INTO token (id, hash, last4, name, principal_id, role, created_ms, revoked_ms, expires_ms)"
        " SELECT 'tok_%d_' || i, 'h%d' || i, 'last', 'x', '%.*s', 'user', 1, %s FROM n", n, n, n, STR_ARG(principal), ends).p);
}

static void a_principal_has_at_most_a_thousand_tokens_that_work(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, last;
    fill(h, h->ann, 999, "0, 0");
    fill(h, h->ann, 10, "5, 0");
    fill(h, h->ann, 11, "0, 5");
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &last));
    assert_int_equal(make(h, (struct token_new){ .principal = h->ann }, text, &id), ERR_LIMIT);
    assert_ok(make(h, (struct token_new){ .principal = h->bob }, text, &id));
    assert_ok(token_revoke(h->db, last, &h->why));
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
}

static void making_and_revoking_in_a_loop_leaves_the_last_thousand(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, kept;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &kept));
    fill(h, h->ann, 1500, "5, 0");
    fill(h, h->bob, 3, "5, 0");
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    assert_int_equal(house_number(h, "SELECT count(*) FROM token WHERE revoked_ms <> 0 AND name = 'x'"), 1000 + 3);
    assert_int_equal(house_number(h, "SELECT count(*) FROM token WHERE revoked_ms = 0"), 2);
}

static void ended_tokens_go_when_their_time_has_come_and_take_their_grants_along(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, one[] = { STR("con_a") };
    int64_t deleted;
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .narrow = LIMITED(one, 1) }, text, &id));
    assert_ok(token_revoke(h->db, id, &h->why));
    assert_ok(make(h, (struct token_new){ .principal = h->ann, .expires = clock_wall() + MINUTE }, text, &id));
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    assert_ok(token_prune(h->db, clock_wall() - MINUTE, 100, &deleted, &h->why));
    assert_int_equal(deleted, 0);
    assert_ok(token_prune(h->db, clock_wall() + 2 * MINUTE, 1, &deleted, &h->why));
    assert_int_equal(deleted, 2);
    assert_int_equal(house_number(h, "SELECT count(*) FROM token"), 1);
    assert_int_equal(house_number(h, "SELECT count(*) FROM token_grant"), 0);
    assert_ok(token_prune(h->db, clock_wall() + 2 * MINUTE, 1, &deleted, &h->why));
    assert_int_equal(deleted, 0);
}

/* -- rows ---- */

static void a_token_is_shown_with_all_but_its_text(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id, one[] = { STR("con_a") };
    struct token_row row;
    wall_ms now = clock_wall(), expires = now + MINUTE;
    assert_ok(make(
        h,
        (struct token_new){
            .principal = h->admin, .name = STR("Caf\xc3\xa9"), .role = ROLE_ADMIN, .narrow = LIMITED(one, 1), .expires = expires },
        text, &id));
    assert_ok(token_get(h->db, h->arena, id, &row, &h->why));
    assert_true(str_eq(row.id, id));
    assert_true(str_is(row.name, "Caf\xc3\xa9"));
    assert_true(str_eq(row.principal, h->admin));
    assert_true(str_is(row.principal_name, "admin@example.com"));
    assert_true(str_is(row.last4, text + 46));
    assert_int_equal(row.role, ROLE_ADMIN);
    assert_int_equal(row.narrow.lists[NARROW_CONNECTION].count, 1);
    assert_true(str_is(row.narrow.lists[NARROW_CONNECTION].at[0], "con_a"));
    assert_in_range(row.created, now, now + MINUTE);
    assert_int_equal(row.expires, expires);
    assert_int_equal(row.last_used, 0);
    assert_int_equal(row.revoked, 0);
    assert_int_equal(token_get(h->db, h->arena, STR("tok_none"), &row, &h->why), ERR_NOT_FOUND);
    assert_string_equal(h->why.subject, "token");
}

static void tokens_are_listed_page_by_page_without_a_gap_or_a_double(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str made[5], after = STR_NONE, one[] = { STR("con_a") };
    struct token_row *rows;
    size_t n, seen = 0;
    for (int i = 0; i < 5; i++)
        assert_ok(make(h,
                       (struct token_new){ .principal = i % 2 ? h->bob : h->ann, .narrow = i == 3 ? LIMITED(one, 1) : NULL },
                       text, &made[i]));
    assert_ok(token_revoke(h->db, made[1], &h->why));
    do {
        assert_ok(token_list(h->db, h->arena, STR_NONE, after, 2, &rows, &n, &h->why));
        assert_true(n <= 2);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(rows[i].narrow.lists[NARROW_CONNECTION].count, seen == 3);
            assert_true(str_eq(rows[i].id, made[seen++]));
        }
        after = n ? rows[n - 1].id : after;
    } while (n);
    assert_int_equal(seen, 5);

    assert_ok(token_list(h->db, h->arena, h->bob, STR_NONE, 50, &rows, &n, &h->why));
    assert_int_equal(n, 2);
    assert_true(str_eq(rows[0].id, made[1]) && rows[0].revoked);
    assert_true(str_eq(rows[1].id, made[3]));
    assert_ok(token_list(h->db, h->arena, h->bob, made[1], 50, &rows, &n, &h->why));
    assert_int_equal(n, 1);
    assert_ok(token_list(h->db, h->arena, STR_NONE, STR_NONE, -1, &rows, &n, &h->why));
    assert_int_equal(n, 0);
}

static void a_tokens_name_and_expiry_change_and_an_expired_one_keeps_its_time_when_renamed(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct token_row row;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    wall_ms later = clock_wall() + MINUTE;
    assert_ok(token_update(h->db, id, STR("new name"), later, &h->why));
    assert_ok(token_get(h->db, h->arena, id, &row, &h->why));
    assert_true(str_is(row.name, "new name"));
    assert_int_equal(row.expires, later);

    house_run(h, "UPDATE token SET expires_ms = 1000");
    assert_ok(token_update(h->db, id, STR("newer name"), 1000, &h->why));
    assert_int_equal(token_update(h->db, id, STR("newer name"), 2000, &h->why), ERR_FIELD_INVALID);
    assert_int_equal(token_update(h->db, id, STR(""), 0, &h->why), ERR_FIELD_REQUIRED);
    assert_int_equal(token_update(h->db, STR("tok_none"), STR("x"), 0, &h->why), ERR_NOT_FOUND);
}

static void last_used_only_moves_forward(void **state)
{
    struct house *h = *state;
    char text[TOKEN_TEXT];
    struct str id;
    struct token_row row;
    assert_ok(make(h, (struct token_new){ .principal = h->ann }, text, &id));
    assert_ok(token_touch(h->db, id, 2000, &h->why));
    assert_ok(token_touch(h->db, id, 1000, &h->why));
    assert_ok(token_get(h->db, h->arena, id, &row, &h->why));
    assert_int_equal(row.last_used, 2000);
    assert_ok(token_touch(h->db, STR("tok_gone"), 1000, &h->why));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(the_checksum_is_that_of_crc_32_in_base32),
        T(a_token_has_the_form_that_scanners_know),
        T(one_wrong_character_anywhere_is_told_without_asking_the_database),
        T(two_tokens_are_never_alike),
        T(the_database_holds_the_hash_of_a_token_and_nowhere_its_text),
        T(a_token_needs_a_name_a_role_and_a_time_to_come),
        T(a_token_resolves_to_all_that_its_caller_is),
        T(a_service_account_has_tokens_too_and_sees_the_shared_folder),
        T(nobody_sees_the_personal_folder_of_another_not_even_the_owner),
        T(the_role_is_the_lesser_of_the_tokens_and_the_principals_of_today),
        T(a_token_of_a_disabled_principal_is_invalid_until_it_is_enabled_again),
        T(a_token_expires_at_its_time),
        T(a_revoked_token_is_invalid_for_good_and_its_row_stays),
        T(a_well_formed_token_that_nobody_made_is_invalid),
        T(a_limited_token_names_its_connections_and_without_any_opens_none),
        T(a_token_that_names_connections_is_limited_even_if_the_flag_was_forgotten),
        T(many_grants_all_come_back),
        T(a_principal_has_at_most_a_thousand_tokens_that_work),
        T(making_and_revoking_in_a_loop_leaves_the_last_thousand),
        T(ended_tokens_go_when_their_time_has_come_and_take_their_grants_along),
        T(resolving_writes_nothing),
        T(a_token_is_shown_with_all_but_its_text),
        T(tokens_are_listed_page_by_page_without_a_gap_or_a_double),
        T(a_tokens_name_and_expiry_change_and_an_expired_one_keeps_its_time_when_renamed),
        T(last_used_only_moves_forward),
    };
    return cmocka_run_group_tests_name("access/token", tests, NULL, NULL);
}
