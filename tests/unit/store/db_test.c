/* What db.h promises about statements, transactions and the data directory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "room.h"
#include "store/sqlite.h"
#include "store/migrations.h"
#include "store/store_limits.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)

static int with_room(void **state)
{
    *state = room_new();
    return 0;
}

static int with_open_store(void **state)
{
    struct room *r = *state = room_new();
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT, bytes BLOB)"));
    return 0;
}

static int drop_room(void **state)
{
    room_end(*state);
    return 0;
}

/* -- statements ---------------------------------------------------------------------------------------------- */

static enum err put_all_kinds(struct db *db, void *context, struct fault *why)
{
    (void)context;
    struct query *q = query_begin(db, "INSERT INTO thing (name, n, bytes) VALUES ($1, $2, $3)");
    query_text(q, STR("d\0\xc3\xa9"));
    query_i64(q, INT64_MIN);
    query_blob(q, STR("\0\xff"));
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "INSERT INTO thing (name, n, bytes) VALUES ($1, $2, $3)");
    query_text(q, STR(""));
    query_null(q);
    query_blob(q, STR_NONE);
    return query_end(q, why);
}

static void every_kind_of_value_comes_back_as_it_went_in(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, put_all_kinds, NULL, &r->why));

    struct query *q = query_begin(store_reader(r->store, &r->why), "SELECT name, n, bytes FROM thing ORDER BY n DESC");
    assert_true(query_next(q));
    struct str name = query_get_text(q, 0, r->arena), bytes = query_get_blob(q, 2, r->arena);
    assert_true(str_eq(name, STR("d\0\xc3\xa9")));
    assert_true(query_get_i64(q, 1) == INT64_MIN);
    assert_true(str_eq(bytes, STR("\0\xff")));
    assert_true(query_next(q));
    name = query_get_text(q, 0, r->arena);
    assert_true(name.p != NULL && name.n == 0);
    assert_true(query_is_null(q, 1));
    assert_int_equal(query_get_i64(q, 1), 0);
    assert_null(query_get_blob(q, 2, r->arena).p);
    assert_false(query_next(q));
    assert_null(query_get_text(q, 0, r->arena).p);
    assert_ok(query_end(q, &r->why));
}

static enum err insert_name(struct db *db, void *name, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO thing (name, n) VALUES ($1, 1)");
    query_text(q, str_of(name));
    return query_end(q, why);
}

static void parameters_go_where_their_number_stands_not_where_they_appear_first(void **state)
{
    struct room *r = *state;
    struct query *q = query_begin(store_reader(r->store, &r->why), "SELECT $2 || $1 || $2");
    query_text(q, STR("one"));
    query_text(q, STR("two"));
    assert_true(query_next(q));
    assert_true(str_is(query_get_text(q, 0, r->arena), "twoonetwo"));
    assert_ok(query_end(q, &r->why));
}

static void nothing_stays_bound_from_one_use_of_a_statement_to_the_next(void **state)
{
    struct room *r = *state;
    struct db *db = store_reader(r->store, &r->why);
    for (int i = 0; i < 2; i++) {
        struct query *q = query_begin(db, "SELECT $1");
        if (i == 0)
            query_text(q, STR("left over"));
        else
            query_text(q, STR_NONE);
        assert_true(query_next(q));
        assert_int_equal(query_is_null(q, 0), i);
        assert_ok(query_end(q, &r->why));
    }
}

static void a_taken_name_is_a_conflict_that_names_the_table_and_never_the_value(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, insert_name, (void *)"s3cr3t", &r->why));

    assert_int_equal(store_write(r->store, insert_name, (void *)"s3cr3t", &r->why), ERR_CONFLICT);
    assert_string_equal(r->why.subject, "thing");
    assert_null(strstr(r->why.note, "s3cr3t"));
}

static enum err insert_twice_then_another(struct db *db, void *context, struct fault *why)
{
    (void)context;
    enum err e = insert_name(db, "a", why);
    if (!e && insert_name(db, "a", NULL) == ERR_CONFLICT)
        e = insert_name(db, "b", why);
    return e;
}

/* PostgreSQL has given the transaction up by then. Work that lived from going on would live on one engine only. */
static void a_transaction_that_met_a_conflict_takes_nothing_more_and_leaves_nothing(void **state)
{
    struct room *r = *state;
    assert_int_equal(store_write(r->store, insert_twice_then_another, NULL, &r->why), ERR_CONFLICT);
    assert_string_equal(r->why.subject, "thing");
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(r->store, insert_name, (void *)"a", &r->why));
}

static void a_reference_to_nothing_is_refused(void **state)
{
    struct room *r = *state;
    assert_int_equal(
        room_script(r, "INSERT INTO session (hash, user_id, csrf, created_ms, seen_ms) VALUES ('h', 'usr_none', '', 0, 0)"),
        ERR_STORE);
    assert_non_null(strstr(r->why.note, "FOREIGN KEY"));
}

static void an_error_sticks_to_its_query_until_the_end(void **state)
{
    struct room *r = *state;
    struct query *q = query_begin(store_reader(r->store, &r->why), "SELECT x FROM no_such_table WHERE y = $1");
    query_text(q, STR("bound in vain"));
    assert_false(query_next(q));
    assert_null(query_get_text(q, 0, r->arena).p);
    assert_int_equal(query_get_i64(q, 0), 0);
    assert_true(query_is_null(q, 0));
    assert_int_equal(query_end(q, &r->why), ERR_STORE);
    assert_non_null(strstr(r->why.note, "no_such_table"));

    /* and the thread gets on with a fresh connection */
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT 7"), 7);
}

static void a_name_in_double_quotes_is_never_taken_for_a_text(void **state)
{
    struct room *r = *state;
    assert_int_equal(
        query_end(query_begin(store_reader(r->store, &r->why), "SELECT name FROM thing WHERE name = \"misspelt\""), &r->why),
        ERR_STORE);
}

static enum err insert_then_fail(struct db *db, void *context, struct fault *why)
{
    enum err e = insert_name(db, context, why);
    return e ? e : fault(why, ERR_NOT_FOUND, STR("folder"), "on purpose");
}

static void work_that_fails_leaves_nothing_behind_and_its_error_is_passed_on(void **state)
{
    struct room *r = *state;
    assert_int_equal(store_write(r->store, insert_then_fail, (void *)"a", &r->why), ERR_NOT_FOUND);
    assert_string_equal(r->why.subject, "folder");
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(r->store, insert_name, (void *)"a", &r->why));
}

static enum err insert_and_pass_over_a_failure(struct db *db, void *context, struct fault *why)
{
    enum err e = insert_name(db, context, why);
    if (!e && query_end(query_begin(db, "UPDATE no_such_table SET x = 1"), NULL) != ERR_STORE)
        e = ERR_INTERNAL;
    /* What comes after must not run either: SQLite may have rolled back, and it would be a transaction of its own. */
    if (!e && insert_name(db, "after", NULL) != ERR_STORE)
        e = ERR_INTERNAL;
    return e;
}

static void a_transaction_whose_work_passed_over_a_failure_is_not_committed(void **state)
{
    struct room *r = *state;
    assert_int_equal(store_write(r->store, insert_and_pass_over_a_failure, (void *)"a", &r->why), ERR_STORE);
    assert_non_null(strstr(r->why.note, "no_such_table"));
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(r->store, insert_name, (void *)"a", &r->why));
}

static enum err leave_a_query_running(struct db *db, void *context, struct fault *why)
{
    (void)context;
    query_next(query_begin(db, "SELECT name FROM thing"));
    return fault(why, ERR_DENIED, STR(""), "left early");
}

static void work_that_leaves_early_with_an_error_harms_nobody(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, insert_name, (void *)"a", &r->why));
    for (int i = 0; i < 3; i++)
        assert_int_equal(store_write(r->store, leave_a_query_running, NULL, &r->why), ERR_DENIED);
    assert_ok(room_script(r, "DROP TABLE thing")); /* fails as locked while a statement runs on it */
}

static void a_reader_cannot_write(void **state)
{
    struct room *r = *state;
    assert_int_equal(insert_name(store_reader(r->store, &r->why), "a", &r->why), ERR_STORE);
    assert_non_null(strstr(r->why.note, "readonly"));
}

static void a_running_read_sees_the_rows_of_its_beginning_and_the_next_read_the_new_ones(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('a'), ('b'), ('c')"));
    struct db *db = store_reader(r->store, &r->why);
    struct query *q = query_begin(db, "SELECT name FROM thing ORDER BY name");
    assert_true(query_next(q));

    assert_ok(room_script(r, "DELETE FROM thing"));
    assert_true(query_next(q));
    assert_true(query_next(q));
    assert_false(query_next(q));
    assert_ok(query_end(q, &r->why));

    assert_int_equal(room_number(r, db, "SELECT count(*) FROM thing"), 0);
}

static void reads_in_a_snapshot_see_one_state_and_the_next_read_the_new_one(void **state)
{
    struct room *r = *state;
    struct db *db = store_reader(r->store, &r->why);
    const char *count = "SELECT count(*) FROM thing";
    assert_ok(db_snapshot(db, &r->why));
    assert_int_equal(room_number(r, db, count), 0);
    assert_ok(db_snapshot(db, &r->why)); /* nested */
    assert_ok(store_write(r->store, insert_name, "a", &r->why));
    assert_int_equal(room_number(r, db, count), 0);
    db_snapshot_end(db);
    assert_int_equal(room_number(r, db, count), 0);
    db_snapshot_end(db);
    assert_int_equal(room_number(r, db, count), 1);
    assert_ok(db_snapshot(db, &r->why));
    assert_int_equal(room_number(r, db, count), 1);
    db_snapshot_end(db);
}

static enum err snapshot_inside(struct db *db, void *context, struct fault *why)
{
    enum err e = db_snapshot(db, why);
    if (e || (e = insert_name(db, context, why)))
        return e;
    db_snapshot_end(db);
    return insert_name(db, "b", why);
}

static void a_snapshot_inside_a_transaction_neither_begins_nor_ends_one(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, snapshot_inside, "a", &r->why));
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing"), 2);
}

static void ending_a_read_half_way_gives_up_its_snapshot(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('a'), ('b')"));
    struct db *db = store_reader(r->store, &r->why);
    struct query *q = query_begin(db, "SELECT name FROM thing");
    assert_true(query_next(q));
    assert_ok(query_end(q, &r->why));

    assert_ok(room_script(r, "DELETE FROM thing WHERE name = 'a'"));
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM thing"), 1);
}

static void the_same_statement_may_run_inside_itself(void **state)
{
    struct room *r = *state;
    static const char sql[] = "SELECT n FROM thing WHERE n > $1 ORDER BY n";
    assert_ok(room_script(r, "INSERT INTO thing (name, n) VALUES ('a', 1), ('b', 2), ('c', 3)"));
    struct db *db = store_reader(r->store, &r->why);
    int pairs = 0, kept = db->kept_count;
    struct query *outer = query_begin(db, sql);
    query_i64(outer, 0);
    while (query_next(outer)) {
        struct query *inner = query_begin(db, sql);
        query_i64(inner, query_get_i64(outer, 0));
        while (query_next(inner))
            pairs++;
        assert_ok(query_end(inner, &r->why));
    }
    assert_ok(query_end(outer, &r->why));
    assert_int_equal(pairs, 3);
    assert_int_equal(db->kept_count, kept + 1);
}

static void statements_are_kept_up_to_a_limit_and_the_least_recently_used_goes(void **state)
{
    struct room *r = *state;
    struct db *db = store_reader(r->store, &r->why);
    sqlite3_stmt *first = NULL;
    for (int i = 0; i < 3 * STORE_STATEMENTS; i++) {
        char sql[40];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        assert_int_equal(room_number(r, db, sql), i);
        assert_int_equal(room_number(r, db, "SELECT -5"), -5); /* used all the time: stays */
        sqlite3_stmt *found = NULL;
        for (sqlite3_stmt *s = sqlite3_next_stmt(sqlite_of(db)->sqlite, NULL); s; s = sqlite3_next_stmt(sqlite_of(db)->sqlite, s))
            if (str_is(str_of(sqlite3_sql(s)), "SELECT -5"))
                found = s;
        first = first ? first : found;
        assert_ptr_equal(found, first);
    }
    assert_int_equal(db->kept_count, STORE_STATEMENTS);
}

static enum err insert_returning_unread(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return query_end(query_begin(db, "INSERT INTO thing (name) VALUES ('a'), ('b'), ('c') RETURNING name"), why);
}

static void a_change_is_made_whole_even_if_nobody_reads_what_it_returns(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, insert_returning_unread, NULL, &r->why));
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing"), 3);
}

static enum err insert_session_of_nobody(struct db *db, void *context, struct fault *why)
{
    (void)context;
    struct query *q = query_begin(db, "INSERT INTO session (hash, user_id, csrf, created_ms, seen_ms)"
                                      " VALUES ('h', 'usr_none', '', 0, 0) RETURNING hash");
    query_next(q);
    return query_end(q, why);
}

static void a_refused_change_that_would_return_a_row_is_an_error_all_the_same(void **state)
{
    struct room *r = *state;
    assert_int_equal(store_write(r->store, insert_session_of_nobody, NULL, &r->why), ERR_STORE);
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM session"), 0);
}

static enum err count_changes(struct db *db, void *out, struct fault *why)
{
    enum err e = query_end(query_begin(db, "UPDATE thing SET n = 5 WHERE name < 'c'"), why);
    *(int64_t *)out = db_changes(db);
    return e;
}

static void changes_are_counted_for_the_last_statement(void **state)
{
    struct room *r = *state;
    int64_t changed = -1;
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('a'), ('b'), ('c')"));
    assert_ok(store_write(r->store, count_changes, &changed, &r->why));
    assert_int_equal(changed, 2);
    assert_ok(room_script(r, "DELETE FROM thing"));
    assert_ok(store_write(r->store, count_changes, &changed, &r->why));
    assert_int_equal(changed, 0);
}

static const struct {
    const char *pragma;
    int64_t value;
} promised[] = {
    { "PRAGMA synchronous", 2 },    { "PRAGMA foreign_keys", 1 },    { "PRAGMA trusted_schema", 0 },
    { "PRAGMA secure_delete", 1 },  { "PRAGMA cell_size_check", 1 },
};

static enum err check_settings(struct db *db, void *context, struct fault *why)
{
    struct room *r = context;
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM thing"), 0);
    for (size_t i = 0; i < COUNT(promised); i++)
        assert_int_equal(room_number(r, db, promised[i].pragma), promised[i].value);
    struct query *q = query_begin(db, "PRAGMA journal_mode");
    assert_true(query_next(q));
    assert_true(str_is(query_get_text(q, 0, r->arena), "wal"));
    return query_end(q, why);
}

static void every_connection_has_the_promised_settings(void **state)
{
    struct room *r = *state;
    assert_ok(store_write(r->store, check_settings, r, &r->why));
    assert_ok(check_settings(store_reader(r->store, &r->why), r, &r->why));
}

/* -- threads ------------------------------------------------------------------------------------------------- */

static void *add_and_read(void *context)
{
    struct room *r = context;
    intptr_t failures = 0;
    for (int i = 0; i < 25; i++) {
        struct fault why;
        failures += store_write(r->store, room_add_one, NULL, &why) != ERR_NONE;
        struct db *db = store_reader(r->store, &why);
        failures += !db || query_end(query_begin(db, "SELECT n FROM thing"), &why);
    }
    return (void *)failures;
}

static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void many_threads_write_without_losing_an_update_and_leave_no_reader_open(void **state)
{
    struct room *r = *state;
    enum { ROUNDS = 4, THREADS = 8 };
    pthread_t threads[THREADS];
    int before = open_files();
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, add_and_read, r), 0);
        for (size_t i = 0; i < THREADS; i++) {
            void *failures;
            pthread_join(threads[i], &failures);
            assert_null(failures);
        }
    }
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT n FROM thing"), 25 * THREADS * ROUNDS);
    /* SQLite parks the file of a closed connection for the next one while others hold POSIX locks on it, so one per thread
     * that ran at once may stay; readers that nobody closed would be one per thread that ever ran, and their logs. */
    assert_in_range(open_files(), before, before + THREADS + 3);
}

static void each_thread_has_a_reader_of_its_own_and_keeps_it(void **state)
{
    struct room *r = *state;
    struct db *mine = store_reader(r->store, &r->why);
    assert_non_null(mine);
    assert_ptr_equal(store_reader(r->store, &r->why), mine);
}

/* -- the directory ------------------------------------------------------------------------------------------- */

static mode_t mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) ? 0 : st.st_mode & 07777;
}

static void the_directory_and_every_file_in_it_are_for_their_owner_only(void **state)
{
    struct room *r = *state;
    mode_t before = umask(0);
    enum err e = store_open(str_of(r->directory), &r->store, &r->why);
    umask(before);
    assert_ok(e);
    assert_ok(store_claim(r->store, &r->why));
    assert_int_equal(mode_of(r->directory), 0700);
    DIR *d = opendir(r->directory);
    int files = 0;
    for (struct dirent *at; (at = readdir(d));) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", r->directory, at->d_name);
        if (at->d_name[0] != '.') {
            assert_int_equal(mode_of(path), 0600);
            files++;
        }
    }
    closedir(d);
    assert_int_equal(files, 4); /* raccord.db, its -wal and -shm, serve.lock */
}

static void a_directory_that_others_may_write_is_refused_with_a_clear_word(void **state)
{
    struct room *r = *state;
    static const mode_t bad[] = { 0770, 0702 };
    assert_int_equal(mkdir(r->directory, 0700), 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(chmod(r->directory, bad[i]), 0);
        assert_int_equal(store_open(str_of(r->directory), &r->store, &r->why), ERR_FILE);
        assert_non_null(strstr(r->why.subject, "writable by others"));
        assert_non_null(strstr(r->why.subject, "chmod 700"));
    }
    assert_int_equal(access(r->file, F_OK), -1);
}

static void a_database_that_others_could_read_is_closed_to_them(void **state)
{
    struct room *r = *state;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    store_close(r->store);
    r->store = NULL;
    assert_int_equal(chmod(r->file, 0644), 0);
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_int_equal(mode_of(r->file), 0600);
}

static void a_link_in_place_of_the_database_is_not_followed(void **state)
{
    struct room *r = *state;
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", r->above);
    assert_int_equal(mkdir(r->directory, 0700), 0);
    assert_int_equal(symlink(elsewhere, r->file), 0);
    assert_int_equal(store_open(str_of(r->directory), &r->store, &r->why), ERR_FILE);
    assert_int_equal(access(elsewhere, F_OK), -1);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
    struct room *r = *state;
    assert_int_equal(store_open(STR("/proc/raccord/data"), &r->store, &r->why), ERR_FILE);
    assert_int_equal(store_open(STR(""), &r->store, &r->why), ERR_FILE);
    assert_int_equal(store_open(STR("a\0b"), &r->store, &r->why), ERR_FILE);
}

static void a_file_that_is_no_database_is_refused_and_left_alone(void **state)
{
    struct room *r = *state;
    static const char text[] = "my notes, precious";
    char found[64] = "";
    assert_int_equal(mkdir(r->directory, 0700), 0);
    FILE *f = fopen(r->file, "w");
    fwrite(text, 1, sizeof text, f);
    fclose(f);
    assert_int_equal(store_open(str_of(r->directory), &r->store, &r->why), ERR_STORE);
    f = fopen(r->file, "r");
    assert_int_equal(fread(found, 1, sizeof found, f), sizeof text);
    fclose(f);
    assert_string_equal(found, text);
}

static void a_second_server_on_the_directory_is_told_so_until_the_first_is_gone(void **state)
{
    struct room *r = *state;
    struct store *second;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(store_open(str_of(r->directory), &second, &r->why));
    assert_ok(store_claim(r->store, &r->why));
    assert_ok(store_claim(r->store, &r->why));

    assert_int_equal(store_claim(second, &r->why), ERR_CONFLICT);
    assert_string_equal(r->why.subject, "another raccord serve runs on this data directory");

    store_close(r->store);
    r->store = NULL;
    assert_ok(store_claim(second, &r->why));
    store_close(second);
}

/* -- migrations ---------------------------------------------------------------------------------------------- */

static enum err reopen(struct room *r)
{
    store_close(r->store);
    r->store = NULL;
    return store_open(str_of(r->directory), &r->store, &r->why);
}

static void every_migration_is_recorded_once_and_a_second_start_changes_nothing(void **state)
{
    struct room *r = *state;
    size_t count;
    migrations_all(&count);
    assert_true(migrations_sound());
    assert_ok(reopen(r));
    struct db *db = store_reader(r->store, &r->why);
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM schema_migration"), count);
    assert_int_equal(room_number(r, db, "SELECT min(length(checksum)) FROM schema_migration"), 64);
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM thing"), 0);
}

static void a_changed_migration_stops_the_start_and_is_named(void **state)
{
    struct room *r = *state;
    assert_ok(
        room_script(r, "UPDATE schema_migration SET checksum = replace(checksum, substr(checksum, 1, 1), '-') WHERE number = 2"));
    assert_int_equal(reopen(r), ERR_STORE);
    assert_non_null(strstr(r->why.note, "migration 2 (tokens)"));
}

static void a_hole_in_the_applied_migrations_stops_the_start(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "DELETE FROM schema_migration WHERE number = 3"));
    assert_int_equal(reopen(r), ERR_STORE);
    assert_non_null(strstr(r->why.note, "migration 3"));
}

static void a_database_of_a_newer_program_is_refused_and_not_touched(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "INSERT INTO schema_migration SELECT max(number) + 1, 'later', 'x', 0 FROM schema_migration"));
    assert_int_equal(reopen(r), ERR_STORE_NEWER);
    assert_int_equal(reopen(r), ERR_STORE_NEWER);
}

static void a_migration_that_fails_half_way_leaves_nothing_and_is_tried_again(void **state)
{
    struct room *r = *state;
    size_t count;
    const struct migration *all = migrations_all(&count);
    struct migration *more = arena_array(r->arena, count + 2, sizeof *more);
    memcpy(more, all, count * sizeof *more);
    more[count] = (struct migration){ .number = (int)count + 1, .what = "good", .both = "CREATE TABLE good (x BIGINT)" };
    more[count + 1] = (struct migration){ .number = (int)count + 2, .what = "bad",
        .both = "CREATE TABLE half (x BIGINT); INSERT INTO no_such_table VALUES (1)" };

    assert_int_equal(migrations_run(r->store, more, count + 2, &r->why), ERR_STORE);
    assert_non_null(strstr(r->why.note, "(bad)"));
    struct db *db = store_reader(r->store, &r->why);
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'good'"), 1);
    assert_int_equal(room_number(r, db, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);

    more[count + 1].both = "CREATE TABLE half (x BIGINT)";
    assert_ok(migrations_run(r->store, more, count + 2, &r->why));
    assert_int_equal(room_number(r, db, "SELECT max(number) FROM schema_migration"), count + 2);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_open_store, drop_room)
#define BARE(name) cmocka_unit_test_setup_teardown(name, with_room, drop_room)
    const struct CMUnitTest tests[] = {
        T(every_kind_of_value_comes_back_as_it_went_in),
        T(parameters_go_where_their_number_stands_not_where_they_appear_first),
        T(nothing_stays_bound_from_one_use_of_a_statement_to_the_next),
        T(a_taken_name_is_a_conflict_that_names_the_table_and_never_the_value),
        T(a_transaction_that_met_a_conflict_takes_nothing_more_and_leaves_nothing),
        T(a_reference_to_nothing_is_refused),
        T(an_error_sticks_to_its_query_until_the_end),
        T(a_name_in_double_quotes_is_never_taken_for_a_text),
        T(work_that_fails_leaves_nothing_behind_and_its_error_is_passed_on),
        T(a_transaction_whose_work_passed_over_a_failure_is_not_committed),
        T(work_that_leaves_early_with_an_error_harms_nobody),
        T(a_reader_cannot_write),
        T(a_running_read_sees_the_rows_of_its_beginning_and_the_next_read_the_new_ones),
        T(reads_in_a_snapshot_see_one_state_and_the_next_read_the_new_one),
        T(a_snapshot_inside_a_transaction_neither_begins_nor_ends_one),
        T(ending_a_read_half_way_gives_up_its_snapshot),
        T(the_same_statement_may_run_inside_itself),
        T(statements_are_kept_up_to_a_limit_and_the_least_recently_used_goes),
        T(a_change_is_made_whole_even_if_nobody_reads_what_it_returns),
        T(a_refused_change_that_would_return_a_row_is_an_error_all_the_same),
        T(changes_are_counted_for_the_last_statement),
        T(every_connection_has_the_promised_settings),
        T(many_threads_write_without_losing_an_update_and_leave_no_reader_open),
        T(each_thread_has_a_reader_of_its_own_and_keeps_it),
        BARE(the_directory_and_every_file_in_it_are_for_their_owner_only),
        BARE(a_directory_that_others_may_write_is_refused_with_a_clear_word),
        BARE(a_database_that_others_could_read_is_closed_to_them),
        BARE(a_link_in_place_of_the_database_is_not_followed),
        BARE(a_directory_that_cannot_be_made_is_told),
        BARE(a_file_that_is_no_database_is_refused_and_left_alone),
        BARE(a_second_server_on_the_directory_is_told_so_until_the_first_is_gone),
        T(every_migration_is_recorded_once_and_a_second_start_changes_nothing),
        T(a_changed_migration_stops_the_start_and_is_named),
        T(a_hole_in_the_applied_migrations_stops_the_start),
        T(a_database_of_a_newer_program_is_refused_and_not_touched),
        T(a_migration_that_fails_half_way_leaves_nothing_and_is_tried_again),
    };
    return cmocka_run_group_tests_name("store/db", tests, NULL, NULL);
}
