#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "access/audit.h"
#include "access/folder_tree.h"
#include "house.h"

#define RECORDS 6

static const char columns[][16] = { "number", "id",          "at_ms",      "actor",    "actor_name", "via", "action",
                                    "kind",   "object",      "name",       "folder",   "client",     "run", "outcome",
                                    "code",   "before_json", "after_json", "previous", "hash" };

static void add(struct house *h, const char *action, const char *object)
{
    struct audit_entry e = {
        .actor = STR("usr_1"), .actor_name = STR("ann@example.com"), .via = STR("session"), .action = str_of(action),
        .object = str_of(object), .name = STR("CRM"), .folder = STR("fld_1"), .client = STR("192.0.2.1"), .run = STR("run_1"),
        .code = STR("x"), .before = STR("{\"name\":\"old\"}"), .after = STR("{\"name\":\"new\"}"),
    };
    assert_ok(audit_add(h->db, &e, &h->why));
}

static void fill(struct house *h)
{
    for (int i = 0; i < RECORDS; i++)
        add(h, i % 2 ? "connection.update" : "token.create", "con_1");
}

/* What an intruder with a database editor does first. */
static void unlock_table(struct house *h)
{
    house_run(h, db_is_postgres(h->db) ? "DROP TRIGGER audit_is_not_changed ON audit"
                                       : "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_removed");
}

static struct audit_finding check(struct house *h, const struct audit_witness *w, size_t n)
{
    struct audit_finding f;
    assert_ok(audit_check(h->db, w, n, NULL, NULL, &f, &h->why));
    return f;
}

static void assert_flaw(struct house *h, enum audit_flaw flaw, int64_t number)
{
    struct audit_finding f = check(h, NULL, 0);
    assert_string_equal(audit_flaw_name(f.flaw), audit_flaw_name(flaw));
    assert_int_equal(f.number, number);
}

static struct audit_witness newest(struct house *h)
{
    struct audit_mark m;
    struct audit_witness w = { 0 };
    assert_ok(audit_newest(h->db, &m, &h->why));
    w.number = m.number;
    memcpy(w.hash, m.hash, AUDIT_HASH);
    return w;
}

static void an_untouched_log_is_sound(void **state)
{
    struct house *h = *state;
    assert_flaw(h, AUDIT_SOUND, 0);
    fill(h);
    struct audit_finding f = check(h, (struct audit_witness[]){ newest(h) }, 1);
    assert_int_equal(f.flaw, AUDIT_SOUND);
    assert_int_equal(f.records, RECORDS);
    assert_int_equal(f.newest.number, RECORDS);
}

static void the_database_itself_refuses_to_edit_a_record(void **state)
{
    struct house *h = *state;
    fill(h);
    assert_int_equal(db_script(h->db, "UPDATE audit SET actor = 'usr_2' WHERE number = 2", &h->why), ERR_STORE);
    assert_int_equal(db_script(h->db, "DELETE FROM audit WHERE number = 2", &h->why), ERR_STORE);
    assert_flaw(h, AUDIT_SOUND, 0);
}

static void every_changed_byte_of_every_column_is_found(void **state)
{
    struct house *h = *state;
    struct fault why;
    fill(h);
    unlock_table(h);
    house_run(h, "CREATE TABLE kept AS SELECT * FROM audit");
    bool postgres = db_is_postgres(h->db);
    for (size_t c = 0; c < COUNT(columns); c++) {
        char sql[768];
        bool numeric = !strcmp(columns[c], "number") || !strcmp(columns[c], "at_ms");
        snprintf(sql, sizeof sql, "SELECT %s(CAST(%s AS %s)) FROM audit WHERE number = 3", postgres ? "octet_length" : "length",
                 columns[c], postgres ? "TEXT" : "BLOB");
        int64_t bytes = numeric ? 8 : house_number(h, sql);
        assert_true(bytes > 0);
        for (int64_t i = 1; i <= bytes; i++) {
            if (numeric)
                snprintf(sql, sizeof sql, "UPDATE audit SET %s = %s + %lld WHERE number = 3", columns[c], columns[c],
                         1ll << ((i - 1) * 7 + 4));
            else
                snprintf(sql, sizeof sql,
                         "UPDATE audit SET %s = substr(%s, 1, %lld) || %s((%s(substr(%s, %lld, 1)) + 1) %% 128)"
                         " || substr(%s, %lld) WHERE number = 3",
                         columns[c], columns[c], (long long)i - 1, postgres ? "chr" : "char", postgres ? "ascii" : "unicode",
                         columns[c], (long long)i, columns[c], (long long)i + 1);
            house_run(h, sql);
            struct audit_finding f;
            assert_ok(audit_check(h->db, NULL, 0, NULL, NULL, &f, &why));
            if (f.flaw == AUDIT_SOUND || f.number != 3)
                fail_msg("byte %lld of %s: %s at %lld", (long long)i, columns[c], audit_flaw_name(f.flaw), (long long)f.number);
            house_run(h, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept");
        }
    }
    assert_flaw(h, AUDIT_SOUND, 0);
}

static void a_value_taken_away_altogether_is_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "UPDATE audit SET before_json = NULL WHERE number = 4");
    assert_flaw(h, AUDIT_CHANGED, 4);
}

static void bytes_moved_from_one_column_to_the_next_are_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "UPDATE audit SET actor = 'usr_1a', actor_name = 'nn@example.com' WHERE number = 5");
    assert_flaw(h, AUDIT_CHANGED, 5);
}

static void a_removed_record_is_missing(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "DELETE FROM audit WHERE number = 3");
    assert_flaw(h, AUDIT_MISSING, 3);
}

static void a_removed_beginning_is_missing(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "DELETE FROM audit WHERE number <= 2");
    assert_flaw(h, AUDIT_MISSING, 1);
}

static void closing_the_gap_by_new_numbers_is_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "DELETE FROM audit WHERE number = 3; UPDATE audit SET number = number - 1 WHERE number > 3");
    assert_flaw(h, AUDIT_CHANGED, 3);
}

static void two_records_that_swapped_places_are_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "UPDATE audit SET number = 100 WHERE number = 2; UPDATE audit SET number = 2 WHERE number = 3;"
                 "UPDATE audit SET number = 3 WHERE number = 100");
    assert_flaw(h, AUDIT_CHANGED, 2);
}

static void an_inserted_record_is_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(
        h,
        "UPDATE audit SET number = -number WHERE number > 3; UPDATE audit SET number = -number + 1 WHERE number < 0;"
        "INSERT INTO audit SELECT 4, id, at_ms, actor, actor_name, via, action, kind, object, name, folder, client, run, outcome,"
        " code, before_json, after_json, previous, hash FROM audit WHERE number = 3");
    assert_flaw(h, AUDIT_CHANGED, 4);
}

/* One who knows how to compute hashes takes the last records away and writes others: each follows the one before it. */
static void a_record_made_anew_shows_at_its_follower(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    house_run(h, "CREATE TABLE kept AS SELECT * FROM audit WHERE number > 4; DELETE FROM audit WHERE number > 3");
    add(h, "connection.view", "con_2");
    house_run(h, "INSERT INTO audit SELECT * FROM kept");
    assert_flaw(h, AUDIT_REORDERED, 5);
}

static void a_tail_that_was_exported_and_cut_off_is_found(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    struct audit_witness w = newest(h);
    house_run(h, "DELETE FROM audit WHERE number > 4");
    struct audit_finding f = check(h, &w, 1);
    assert_int_equal(f.flaw, AUDIT_TRUNCATED);
    assert_int_equal(f.number, 5);
}

static void an_emptied_log_is_truncated_at_its_first_record(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    struct audit_witness w = newest(h);
    house_run(h, "DELETE FROM audit");
    struct audit_finding f = check(h, &w, 1);
    assert_int_equal(f.flaw, AUDIT_TRUNCATED);
    assert_int_equal(f.number, 1);
}

static void an_old_state_that_went_on_is_rolled_back(void **state)
{
    struct house *h = *state;
    fill(h);
    unlock_table(h);
    struct audit_witness w = newest(h);
    house_run(h, "DELETE FROM audit WHERE number > 4");
    for (int i = 0; i < 5; i++)
        add(h, "token.revoke", "tok_9");
    assert_flaw(h, AUDIT_SOUND, 0); /* the chain alone cannot know */
    struct audit_finding f = check(h, &w, 1);
    assert_int_equal(f.flaw, AUDIT_ROLLED_BACK);
    assert_int_equal(f.number, RECORDS);
}

static void a_record_whose_change_fails_is_not_there(void **state)
{
    struct house *h = *state;
    house_run(h, "BEGIN");
    add(h, "token.create", "tok_1");
    house_run(h, "ROLLBACK");
    assert_int_equal(house_number(h, "SELECT count(*) FROM audit"), 0);
}

static void the_list_finds_by_actor_object_action_and_time(void **state)
{
    struct house *h = *state;
    struct audit_row *rows;
    size_t n;
    fill(h);
    add(h, "user.create", "usr_7");
    struct audit_filter f = { .object = STR("usr_7"), .limit = 10 };
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].number, RECORDS + 1);
    f = (struct audit_filter){ .action = STR("connection.*"), .actor = STR("usr_1"), .limit = 10 };
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    assert_int_equal(n, RECORDS / 2);
    f = (struct audit_filter){ .action = STR("connection"), .limit = 10 };
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    assert_int_equal(n, 0);
    f = (struct audit_filter){ .actor = STR("ann@example.com"), .before = 3, .limit = 10 };
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    assert_int_equal(n, 2);
    assert_int_equal(rows[0].number, 2);
    f = (struct audit_filter){ .since = clock_wall() + MINUTE, .limit = 10 };
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    assert_int_equal(n, 0);
}

/* ---- a folder's page ---- */

static struct str make_folder(struct house *h, struct str above, const char *slug, bool inherits)
{
    struct folder_row parent;
    struct str id;
    assert_ok(folder_get(h->db, h->arena, above, &parent, &h->why));
    assert_ok(folder_create(h->db, h->arena, &parent, str_of(slug), PRESET_INHERITED, inherits, &id, &h->why));
    return id;
}

/* Records whose folders are these in turn, as `order` says: a digit is the folder of that place, anything else none. */
static void record_in(struct house *h, const struct str *folders, const char *order)
{
    for (; *order; order++) {
        struct audit_entry e = { .action = STR("connection.update") };
        if (*order >= '0' && *order <= '9')
            e.folder = folders[*order - '0'];
        assert_ok(audit_add(h->db, &e, &h->why));
    }
}

/* All pages, one behind the other, hold the numbers of the folders that are named in `these`, newest first, and nothing else. */
static void assert_pages(struct house *h, struct str folder, const struct str *folders, const char *these, int limit)
{
    struct audit_filter every = { .limit = 200 }, f = { .folder = folder, .limit = limit };
    struct audit_row *all, *rows;
    size_t total, n = 0, at = 0;
    assert_ok(audit_list(h->db, h->arena, &every, &all, &total, &h->why));
    assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
    for (size_t i = 0; i < total; i++) {
        bool in = false;
        for (const char *c = these; *c && !in; c++)
            in = str_eq(all[i].entry.folder, folders[*c - '0']);
        if (!in)
            continue;
        if (at == n) {
            assert_int_equal(n, limit);
            f.before = rows[n - 1].number;
            assert_ok(audit_list(h->db, h->arena, &f, &rows, &n, &h->why));
            at = 0;
        }
        assert_true(at < n);
        assert_int_equal(rows[at].number, all[i].number);
        assert_true(str_eq(rows[at].hash, all[i].hash));
        at++;
    }
    assert_int_equal(at, n);
}

static const char turns[] = "0120-3312004441133-2201-0000000111111133333332222244444401234-012300--1";

static void a_folders_pages_hold_its_own_records_and_those_below_in_their_order(void **state)
{
    struct house *h = *state;
    struct str f[5];
    f[0] = make_folder(h, h->shared, "sales", true);
    f[1] = make_folder(h, f[0], "east", true);
    f[2] = make_folder(h, f[0], "closed", false);
    f[3] = make_folder(h, f[1], "deep", true);
    f[4] = make_folder(h, h->shared, "other", true);
    record_in(h, f, turns);
    for (int limit = 1; limit < 60; limit = limit * 3 / 2 + 1) {
        assert_pages(h, f[0], f, "013", limit);
        assert_pages(h, f[1], f, "13", limit);
        assert_pages(h, f[2], f, "2", limit);
        assert_pages(h, h->shared, f, "0134", limit);
    }
    assert_pages(h, make_folder(h, h->shared, "empty", true), f, "", 5);
}

/* More folders than are asked one by one: the newest records of all are looked at first. */
static void a_page_of_a_folder_with_hundreds_below_is_whole_wherever_its_records_lie(void **state)
{
    struct house *h = *state;
    struct str f[3];
    char slug[16];
    f[0] = make_folder(h, h->shared, "wide", true);
    f[1] = make_folder(h, f[0], "one", true);
    f[2] = make_folder(h, h->shared, "other", true);
    house_run(h, "BEGIN");
    for (int i = 0; i < 210; i++) {
        snprintf(slug, sizeof slug, "f%d", i);
        make_folder(h, f[0], slug, true);
    }
    house_run(h, "COMMIT");
    record_in(h, f, "0120-2211002-2201-00000001111111222220120-0100--1");
    assert_pages(h, f[0], f, "01", 7);
    /* Too far behind the newest for that. */
    house_run(h, db_is_postgres(h->db)
                     ? "INSERT INTO audit SELECT a.number + n, 'aud_' || n, a.at_ms, '', '', '', '', '', '', '', '', '', '', '', "
                       "'', NULL, NULL, '', ''"
                       " FROM audit a, generate_series(1, 5000) AS c(n) WHERE a.number = (SELECT MAX(number) FROM audit)"
                     : "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000)"
                       " INSERT INTO audit SELECT a.number + n, 'aud_' || n, a.at_ms, '', '', '', '', '', '', '', '', '', '', '', "
                       "'', NULL, NULL, '', ''"
                       " FROM c, audit a WHERE a.number = (SELECT MAX(number) FROM audit)");
    struct audit_filter page = { .folder = f[0], .limit = 200 };
    struct audit_row *rows;
    size_t n;
    assert_ok(audit_list(h->db, h->arena, &page, &rows, &n, &h->why));
    assert_int_equal(n, 31);
    for (size_t i = 1; i < n; i++)
        assert_true(rows[i].number < rows[i - 1].number);
}

static void values_that_look_like_secrets_become_hashes(void **state)
{
    struct house *h = *state;
    struct secret key = secret_from(STR("01234567890123456789012345678901"));
    struct str before = STR("{\"name\":\"CRM\",\"fields\":{\"client_secret\":\"hunter2hunter2\"},\"same\":[1,19.990]}");
    struct str after = STR("{\"name\":\"ERP\",\"fields\":{\"client_secret\":\"correct horse\"},\"same\":[1,19.990]}");
    audit_value(h->arena, key, &before, &after);
    assert_int_equal(str_find_str(before, STR("hunter2")), SIZE_MAX);
    assert_int_equal(str_find_str(after, STR("horse")), SIZE_MAX);
    assert_int_equal(str_find_str(after, STR("same")), SIZE_MAX);
    assert_true(str_find_str(after, STR("\"name\":\"ERP\"")) != SIZE_MAX);
    /* an operator who has the value finds where it was */
    assert_true(str_find_str(after, audit_hash(h->arena, key, STR("correct horse"))) != SIZE_MAX);
    secret_end(&key);
}

static void a_value_that_is_no_json_is_kept_as_a_hash(void **state)
{
    struct house *h = *state;
    struct str before = STR_NONE, after = STR("hunter2 is no json");
    audit_value(h->arena, SECRET_NONE, &before, &after);
    assert_null(before.p);
    assert_int_equal(str_find_str(after, STR("hunter2")), SIZE_MAX);
}

static void a_value_too_large_is_told_by_size_and_digest(void **state)
{
    struct house *h = *state;
    struct str big = { arena_zero(h->arena, AUDIT_VALUE_MAX + 1), AUDIT_VALUE_MAX + 1 };
    struct audit_entry e = { .action = STR("test.large"), .after = big };
    memset((char *)big.p, 'x', big.n);
    assert_ok(audit_add(h->db, &e, &h->why));
    assert_true(house_number(h, "SELECT length(after_json) FROM audit") < 200);
    assert_flaw(h, AUDIT_SOUND, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, house_open, house_close)
    const struct CMUnitTest tests[] = {
        T(an_untouched_log_is_sound),
        T(the_database_itself_refuses_to_edit_a_record),
        T(every_changed_byte_of_every_column_is_found),
        T(a_value_taken_away_altogether_is_found),
        T(bytes_moved_from_one_column_to_the_next_are_found),
        T(a_removed_record_is_missing),
        T(a_removed_beginning_is_missing),
        T(closing_the_gap_by_new_numbers_is_found),
        T(two_records_that_swapped_places_are_found),
        T(an_inserted_record_is_found),
        T(a_record_made_anew_shows_at_its_follower),
        T(a_tail_that_was_exported_and_cut_off_is_found),
        T(an_emptied_log_is_truncated_at_its_first_record),
        T(an_old_state_that_went_on_is_rolled_back),
        T(a_record_whose_change_fails_is_not_there),
        T(the_list_finds_by_actor_object_action_and_time),
        T(a_folders_pages_hold_its_own_records_and_those_below_in_their_order),
        T(a_page_of_a_folder_with_hundreds_below_is_whole_wherever_its_records_lie),
        T(values_that_look_like_secrets_become_hashes),
        T(a_value_that_is_no_json_is_kept_as_a_hash),
        T(a_value_too_large_is_told_by_size_and_digest),
    };
    return cmocka_run_group_tests_name("access/audit", tests, NULL, NULL);
}
