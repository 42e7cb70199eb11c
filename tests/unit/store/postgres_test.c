/* store/db.h on PostgreSQL: what tests/unit/store/db_test.c shows of SQLite, and what several processes see of each other. A real
 * server, started by tests/e2e/postgres.py; without one these tests are left out, and say so. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "store/many.h"
#include "room.h"

#define assert_ok(e) assert_int_equal((e), ERR_NONE)

struct ground {
    pid_t pid;
    FILE *ask, *answer;
};

static struct ground ground;

/* -- the server ------------------------------------------------------------------------------------------------ */

static bool ground_start(void)
{
    static const char path[] = RACCORD_SOURCE "/tests/e2e/postgres.py";
    int in[2], out[2];
    if (access(path, R_OK) || pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        return false;
    ground.pid = fork();
    if (!ground.pid) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execlp("python3", "python3", path, NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    ground.ask = fdopen(in[1], "w");
    ground.answer = fdopen(out[0], "r");
    return true;
}

/* The answer to one line; false: there is no server here. */
static bool ground_ask(const char *line, char *answer, size_t size)
{
    if (fprintf(ground.ask, "%s\n", line) < 0 || fflush(ground.ask) || !fgets(answer, (int)size, ground.answer))
        return false;
    answer[strcspn(answer, "\n")] = 0;
    return true;
}

static void ground_stop(void)
{
    fclose(ground.ask);
    fclose(ground.answer);
    waitpid(ground.pid, NULL, 0);
}

struct place_of {
    struct room *room;
    char url[256];
    struct store *other; /* another process's, as it were */
    char elsewhere[96];  /* its directory */
};

static int place_open(void **state)
{
    struct place_of *p = *state = mem_zero(sizeof *p);
    p->room = room_new();
    snprintf(p->elsewhere, sizeof p->elsewhere, "%s/other", p->room->above);
    assert_true(ground_ask("", p->url, sizeof p->url));
    assert_ok(store_open_at(str_of(p->room->directory), str_of(p->url), &p->room->store, &p->room->why));
    assert_ok(store_open_at(str_of(p->elsewhere), str_of(p->url), &p->other, &p->room->why));
    assert_ok(room_script(p->room, "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT, t TEXT)"));
    return 0;
}

static int place_close(void **state)
{
    struct place_of *p = *state;
    store_close(p->other);
    room_remove(p->elsewhere);
    room_end(p->room);
    free(p);
    return 0;
}

static int64_t number(struct place_of *p, const char *sql)
{
    return room_number(p->room, store_reader(p->room->store, &p->room->why), sql);
}

static enum err insert_name(struct db *db, void *name, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO thing (name, n) VALUES ($1, 1)");
    query_text(q, str_of(name));
    return query_end(q, why);
}

/* -- statements ------------------------------------------------------------------------------------------------ */

static enum err put_values(struct db *db, void *context, struct fault *why)
{
    (void)context;
    struct query *q = query_begin(db, "INSERT INTO thing (t, name, n) VALUES ($3, $1, $2)");
    query_text(q, STR("accents é, quotes ' \" and a \\"));
    query_i64(q, INT64_MIN);
    query_null(q);
    return query_end(q, why);
}

static void every_kind_of_value_comes_back_as_it_went_in(void **state)
{
    struct place_of *p = *state;
    assert_ok(store_write(p->room->store, put_values, NULL, &p->room->why));
    struct query *q =
        query_begin(store_reader(p->room->store, &p->room->why), "SELECT name, n, t, n < 0, length(name) > 5 FROM thing");
    assert_true(query_next(q));
    assert_true(str_is(query_get_text(q, 0, p->room->arena), "accents é, quotes ' \" and a \\"));
    assert_int_equal(query_get_i64(q, 1), INT64_MIN);
    assert_true(query_is_null(q, 2));
    assert_null(query_get_text(q, 2, p->room->arena).p);
    assert_int_equal(query_get_i64(q, 3), 1);
    assert_int_equal(query_get_i64(q, 4), 1);
    assert_false(query_next(q));
    assert_ok(query_end(q, &p->room->why));
}

static enum err put_nul(struct db *db, void *context, struct fault *why)
{
    (void)context;
    struct query *q = query_begin(db, "INSERT INTO thing (name) VALUES ($1)");
    query_text(q, (struct str){ "a\0b", 3 });
    return query_end(q, why);
}

static void a_text_that_the_server_would_cut_is_refused(void **state)
{
    struct place_of *p = *state;
    assert_int_equal(store_write(p->room->store, put_nul, NULL, &p->room->why), ERR_STORE);
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(p->room->store, insert_name, (void *)"fine", &p->room->why));
}

static enum err insert_twice_then_another(struct db *db, void *context, struct fault *why)
{
    (void)context;
    enum err e = insert_name(db, (void *)"s3cr3t", why);
    if (!e && insert_name(db, (void *)"s3cr3t", NULL) == ERR_CONFLICT)
        e = insert_name(db, (void *)"b", why);
    return e;
}

static void a_transaction_that_met_a_conflict_leaves_nothing_and_names_the_table_and_never_the_value(void **state)
{
    struct place_of *p = *state;
    assert_int_equal(store_write(p->room->store, insert_twice_then_another, NULL, &p->room->why), ERR_CONFLICT);
    assert_string_equal(p->room->why.subject, "thing");
    assert_null(strstr(p->room->why.note, "s3cr3t"));
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(p->room->store, insert_name, (void *)"b", &p->room->why));
}

static enum err insert_and_pass_over_a_failure(struct db *db, void *context, struct fault *why)
{
    enum err e = insert_name(db, context, why);
    (void)!query_end(query_begin(db, "UPDATE no_such_table SET x = 1"), NULL);
    return e;
}

static void a_transaction_whose_work_passed_over_a_failure_is_not_committed(void **state)
{
    struct place_of *p = *state;
    assert_int_equal(store_write(p->room->store, insert_and_pass_over_a_failure, (void *)"a", &p->room->why), ERR_STORE);
    assert_non_null(strstr(p->room->why.note, "no_such_table"));
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0);
}

static void a_reader_cannot_write(void **state)
{
    struct place_of *p = *state;
    assert_int_equal(insert_name(store_reader(p->room->store, &p->room->why), (void *)"a", &p->room->why), ERR_STORE);
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0); /* by a connection that is good */
}

static void reads_in_a_snapshot_see_one_state_and_the_next_read_the_new_one(void **state)
{
    struct place_of *p = *state;
    struct db *db = store_reader(p->room->store, &p->room->why);
    assert_ok(db_snapshot(db, &p->room->why));
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0);
    assert_ok(store_write(p->other, insert_name, (void *)"a", &p->room->why));
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 0);
    db_snapshot_end(db);
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 1);
}

static void a_page_of_keys_is_one_question(void **state)
{
    struct place_of *p = *state;
    const struct str keys[] = { STR("b"), STR("a"), STR("zz"), STR("a") };
    for (const char *name = "abc"; *name; name++) {
        char text[2] = { *name, 0 };
        assert_ok(store_write(p->room->store, insert_name, text, &p->room->why));
    }
    struct many m = many_of(p->room->arena, keys, COUNT(keys));
    struct query *q =
        many_begin(store_reader(p->room->store, &p->room->why), "SELECT name FROM thing WHERE name IN $keys ORDER BY name", 0, &m);
    many_bind(q, &m);
    assert_true(query_next(q) && str_is(query_get_text(q, 0, p->room->arena), "a"));
    assert_true(query_next(q) && str_is(query_get_text(q, 0, p->room->arena), "b"));
    assert_false(query_next(q));
    assert_ok(query_end(q, &p->room->why));
}

/* -- several processes ----------------------------------------------------------------------------------------- */

static void *add_fifty(void *store)
{
    struct fault why;
    for (int i = 0; i < 50; i++)
        if (store_write(store, room_add_one, NULL, &why))
            return (void *)why.err;
    return NULL;
}

static void two_processes_write_without_losing_an_update(void **state)
{
    struct place_of *p = *state;
    struct store *stores[] = { p->room->store, p->other, p->room->store, p->other };
    pthread_t threads[COUNT(stores)];
    for (size_t i = 0; i < COUNT(stores); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_fifty, stores[i]), 0);
    for (size_t i = 0; i < COUNT(stores); i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(number(p, "SELECT n FROM thing WHERE name = 'sum'"), 50 * COUNT(stores));
}

static struct str heard(struct place_of *p)
{
    struct str news = STR("");
    for (int i = 0; i < 100 && !news.n; i++)
        assert_ok(store_await(p->room->store, 100, p->room->arena, &news, &p->room->why));
    return news;
}

static enum err say(struct db *db, void *word, struct fault *why) { return db_script(db, word, why); }

static void what_another_process_announces_is_heard_when_it_is_committed_and_ones_own_is_not(void **state)
{
    struct place_of *p = *state;
    assert_true(str_is(heard(p), "*")); /* nobody knows what was before */
    assert_ok(store_write(p->room->store, say, (void *)"NOTIFY raccord, 'mine'", &p->room->why));
    assert_int_equal(store_write(p->other, say, (void *)"NOTIFY raccord, 'undone'; SELECT 1 / 0", &p->room->why), ERR_STORE);
    assert_ok(store_write(p->other, say, (void *)"NOTIFY raccord, 'theirs'", &p->room->why));
    assert_true(str_is(heard(p), "theirs"));
}

/* -- the server goes away -------------------------------------------------------------------------------------- */

static void a_server_that_was_away_is_found_again_and_whoever_listens_is_told_that_anything_may_have_changed(void **state)
{
    struct place_of *p = *state;
    char word[64];
    struct str news;
    assert_true(str_is(heard(p), "*"));
    assert_ok(store_write(p->room->store, insert_name, (void *)"kept", &p->room->why));
    assert_true(ground_ask("kill", word, sizeof word));
    assert_int_equal(store_write(p->room->store, insert_name, (void *)"lost", &p->room->why), ERR_STORE);
    enum err e = ERR_NONE;
    for (int i = 0; i < 10 && !e; i++) /* what the server said last may come first */
        e = store_await(p->room->store, 100, p->room->arena, &news, &p->room->why);
    assert_int_equal(e, ERR_STORE);
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), -1);
    assert_true(ground_ask("start", word, sizeof word));
    for (int i = 0; i < 200 && e; i++) {
        e = store_write(p->room->store, insert_name, (void *)"after", &p->room->why);
        usleep(e ? 50000 : 0); /* what failed a moment ago is left alone for a moment */
    }
    assert_ok(e);
    assert_int_equal(number(p, "SELECT count(*) FROM thing"), 2);
    assert_true(str_is(heard(p), "*"));
}

/* -- what is refused ------------------------------------------------------------------------------------------- */

static void a_database_that_sorts_by_a_language_is_refused_with_the_words_that_make_another(void **state)
{
    struct place_of *p = *state;
    char url[256], directory[128];
    struct store *s = NULL;
    snprintf(directory, sizeof directory, "%s/third", p->room->above);
    assert_true(ground_ask("en_US.utf8", url, sizeof url));
    if (!strcmp(url, "none")) {
        print_message("left out: the server knows no language to sort by\n");
        return;
    }
    assert_int_equal(store_open_at(str_of(directory), str_of(url), &s, &p->room->why), ERR_STORE);
    assert_non_null(strstr(p->room->why.note, "LC_COLLATE 'C'"));
    room_remove(directory);
}

static void a_directory_whose_database_is_elsewhere_gets_no_other_one(void **state)
{
    struct place_of *p = *state;
    struct store *s = NULL;
    assert_int_equal(store_open(str_of(p->elsewhere), &s, &p->room->why), ERR_FILE);
    assert_non_null(strstr(p->room->why.subject, "RACCORD_DATABASE_URL"));
}

static void a_directory_with_a_database_of_its_own_is_not_used_for_another(void **state)
{
    struct place_of *p = *state;
    struct store *s = NULL;
    char directory[128];
    snprintf(directory, sizeof directory, "%s/own", p->room->above);
    assert_ok(store_open(str_of(directory), &s, &p->room->why));
    store_close(s);
    assert_int_equal(store_open_at(str_of(directory), str_of(p->url), &s, &p->room->why), ERR_FILE);
    room_remove(directory);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, place_open, place_close)
        T(every_kind_of_value_comes_back_as_it_went_in),
        T(a_text_that_the_server_would_cut_is_refused),
        T(a_transaction_that_met_a_conflict_leaves_nothing_and_names_the_table_and_never_the_value),
        T(a_transaction_whose_work_passed_over_a_failure_is_not_committed),
        T(a_reader_cannot_write),
        T(reads_in_a_snapshot_see_one_state_and_the_next_read_the_new_one),
        T(a_page_of_keys_is_one_question),
        T(two_processes_write_without_losing_an_update),
        T(what_another_process_announces_is_heard_when_it_is_committed_and_ones_own_is_not),
        T(a_server_that_was_away_is_found_again_and_whoever_listens_is_told_that_anything_may_have_changed),
        T(a_database_that_sorts_by_a_language_is_refused_with_the_words_that_make_another),
        T(a_directory_whose_database_is_elsewhere_gets_no_other_one),
        T(a_directory_with_a_database_of_its_own_is_not_used_for_another),
#undef T
    };
    char url[256];
    signal(SIGPIPE, SIG_IGN);
    if (!ground_start() || !ground_ask("", url, sizeof url)) {
        print_message("left out: PostgreSQL is not here; tools/deps test installs it\n");
        return 0;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ground_stop();
    return failed;
}
