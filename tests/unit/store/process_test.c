/* Several processes at one database. Each child opens its own store: a connection must not cross a fork. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "room.h"
#include "store/migrations.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)

static int with_room(void **state)
{
    *state = room_new();
    return 0;
}

static int drop_room(void **state)
{
    room_end(*state);
    return 0;
}

static int exit_of(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void processes_that_start_at_once_on_an_empty_directory_all_get_the_same_schema(void **state)
{
    struct room *r = *state;
    enum { CHILDREN = 4 };
    pid_t children[CHILDREN];
    int gate[2];
    size_t count;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char c;
            close(gate[1]);
            ssize_t end = read(gate[0], &c, 1); /* all leave together when the gate closes */
            enum err e = end ? ERR_INTERNAL : store_open(str_of(r->directory), &r->store, &r->why);
            if (e)
                fprintf(stderr, "child: %s %s\n", r->why.subject, r->why.note);
            store_close(r->store);
            _exit(e);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(exit_of(children[i]), 0);
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    migrations_all(&count);
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM schema_migration"), count);
}

static enum err add_many(struct room *r, int n)
{
    enum err e = store_open(str_of(r->directory), &r->store, &r->why);
    for (int i = 0; !e && i < n; i++)
        e = store_write(r->store, room_add_one, NULL, &r->why);
    return e;
}

static void two_processes_that_write_at_once_wait_for_each_other_and_lose_nothing(void **state)
{
    struct room *r = *state;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL)"));
    store_close(r->store);
    r->store = NULL;
    pid_t child = fork();
    if (child == 0) {
        enum err e = add_many(r, 150);
        store_close(r->store);
        _exit(e);
    }
    assert_ok(add_many(r, 150));
    assert_int_equal(exit_of(child), 0);
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT n FROM thing WHERE name = 'sum'"), 300);
}

struct locker {
    pid_t pid;
    int held;    /* readable when the child holds the write lock */
    int release; /* closing it lets go */
};

/* The child's part: its exit code says how far it came. */
static int hold_lock(const char *file, int held, int release)
{
    sqlite3 *db;
    char c = 0;
    if (sqlite3_open(file, &db) || sqlite3_exec(db, "BEGIN IMMEDIATE; INSERT INTO setting VALUES ('other', '1')", NULL, NULL, NULL))
        return 1;
    if (write(held, &c, 1) != 1 || read(release, &c, 1) != 0)
        return 2;
    int rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db);
    return rc ? 3 : 0;
}

/* A process that holds the write lock until told otherwise, then commits a row. */
static struct locker lock_elsewhere(const char *file)
{
    int held[2], release[2];
    if (pipe(held) || pipe(release))
        abort();
    struct locker l = { fork(), held[0], release[1] };
    if (l.pid == 0) {
        close(held[0]);
        close(release[1]);
        _exit(hold_lock(file, held[1], release[0]));
    }
    close(held[1]);
    close(release[0]);
    return l;
}

static enum err must_see_the_other(struct db *db, void *saw, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM setting WHERE name = 'other'");
    *(int64_t *)saw = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, why);
}

struct waiting {
    struct room *room;
    int64_t saw;
    enum err err;
};

static void *write_in_thread(void *context)
{
    struct waiting *w = context;
    struct fault why;
    w->err = store_write(w->room->store, must_see_the_other, &w->saw, &why);
    return NULL;
}

static void another_process_that_writes_stops_neither_start_nor_reads_and_a_write_waits_for_it(void **state)
{
    struct room *r = *state;
    struct waiting w = { r, 0, ERR_INTERNAL };
    pthread_t thread;
    char c;
    /* The schema, then close: nothing of SQLite may be open across the fork. */
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    store_close(r->store);
    r->store = NULL;
    struct locker other = lock_elsewhere(r->file);
    assert_int_equal(read(other.held, &c, 1), 1);

    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_int_equal(room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM setting"), 0);

    struct mono start = clock_mono();
    assert_int_equal(store_ready(r->store, &r->why), ERR_STORE);
    assert_in_range(mono_since(start, clock_mono()), 900, 4000);
    assert_non_null(strstr(r->why.note, "locked"));

    assert_int_equal(pthread_create(&thread, NULL, write_in_thread, &w), 0);
    close(other.release);
    pthread_join(thread, NULL);
    assert_int_equal(exit_of(other.pid), 0);
    close(other.held);
    assert_int_equal(w.err, ERR_NONE);
    assert_int_equal(w.saw, 1);
    assert_ok(store_ready(r->store, &r->why));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_room, drop_room)
    const struct CMUnitTest tests[] = {
        T(processes_that_start_at_once_on_an_empty_directory_all_get_the_same_schema),
        T(two_processes_that_write_at_once_wait_for_each_other_and_lose_nothing),
        T(another_process_that_writes_stops_neither_start_nor_reads_and_a_write_waits_for_it),
    };
    return cmocka_run_group_tests_name("store/process", tests, NULL, NULL);
}
