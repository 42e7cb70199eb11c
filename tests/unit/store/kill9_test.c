/* Invariant 8: a write that was acknowledged survives kill -9.
 *
 * A child writes rows and acknowledges each on a pipe once store_write() has returned; the parent kills it at a moment
 * that nobody chose, opens the database again, and asks for every acknowledged row. One database lives through all rounds. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "room.h"

#define ROUNDS 50
#define assert_ok(call) assert_int_equal((call), ERR_NONE)

struct row {
    int64_t round, number;
};

/* Several pages a row, so that a transaction is more than one write. */
static enum err put(struct db *db, void *context, struct fault *why)
{
    static const char filler[9000];
    struct row *row = context;
    struct query *q = query_begin(db, "INSERT INTO ack (round, number, filler) VALUES ($1, $2, $3)");
    query_i64(q, row->round);
    query_i64(q, row->number);
    query_blob(q, (struct str){ filler, sizeof filler });
    return query_end(q, why);
}

static int write_until_killed(struct room *r, int round, int acks)
{
    enum err e = store_open(str_of(r->directory), &r->store, &r->why);
    for (int64_t n = 1; !e; n++) {
        e = store_write(r->store, put, &(struct row){ round, n }, &r->why);
        if (!e && write(acks, &n, sizeof n) != sizeof n)
            return 1;
    }
    fprintf(stderr, "child: %s\n", r->why.note);
    return 2;
}

static unsigned random_below(unsigned n)
{
    unsigned x;
    return getrandom(&x, sizeof x, 0) == sizeof x ? x % n : 0;
}

/* Takes acknowledgements until the chosen one, then waits a random part of a write's time for something more. */
static int64_t take_acks(int acks, unsigned until)
{
    int64_t last = 0, n;
    for (unsigned i = 0; i < until && read(acks, &n, sizeof n) == sizeof n; i++)
        last = n;
    struct timespec part = { 0, (long)random_below(3000) * 1000 };
    ppoll(NULL, 0, &part, NULL);
    return last;
}

static int64_t kill_one(struct room *r, int round)
{
    int acks[2], status;
    int64_t n, last;
    assert_int_equal(pipe(acks), 0);
    pid_t child = fork();
    if (child == 0) {
        close(acks[0]);
        _exit(write_until_killed(r, round, acks[1]));
    }
    close(acks[1]);
    last = take_acks(acks[0], random_below(8));
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_true(WIFSIGNALED(status));
    while (read(acks[0], &n, sizeof n) == sizeof n) /* those on their way when it died */
        last = n;
    close(acks[0]);
    return last;
}

static void an_acknowledged_write_survives_kill_9(void **state)
{
    struct room *r = *state;
    int64_t acknowledged = 0, unacknowledged = 0;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "CREATE TABLE ack (round BIGINT, number BIGINT, filler BLOB, PRIMARY KEY (round, number))"));
    for (int round = 1; round <= ROUNDS; round++) {
        store_close(r->store); /* nothing of SQLite may be open across a fork */
        r->store = NULL;
        int64_t last = kill_one(r, round);

        assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
        struct query *q =
            query_begin(store_reader(r->store, &r->why),
                        "SELECT count(*), coalesce(max(number), 0) FROM ack WHERE round = $1 AND length(filler) = 9000");
        query_i64(q, round);
        assert_true(query_next(q));
        int64_t rows = query_get_i64(q, 0), newest = query_get_i64(q, 1);
        assert_ok(query_end(q, &r->why));
        /* All that were acknowledged, without a hole, and at most the one that was being written. */
        assert_int_equal(rows, newest);
        assert_in_range(rows, last, last + 1);
        acknowledged += last;
        unacknowledged += rows - last;
    }
    struct query *q = query_begin(store_reader(r->store, &r->why), "PRAGMA integrity_check");
    assert_true(query_next(q));
    assert_true(str_is(query_get_text(q, 0, r->arena), "ok"));
    assert_ok(query_end(q, &r->why));
    print_message("%d kills, %lld acknowledged rows all there, %lld more that were not acknowledged yet\n", ROUNDS,
                  (long long)acknowledged, (long long)unacknowledged);
    assert_true(acknowledged > ROUNDS);
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_acknowledged_write_survives_kill_9, with_room, drop_room),
    };
    return cmocka_run_group_tests_name("store/kill9", tests, NULL, NULL);
}
