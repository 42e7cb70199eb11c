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
#include "store/migrations.h"

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

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_open_store, drop_room)
#define BARE(name) cmocka_unit_test_setup_teardown(name, with_room, drop_room)
    const struct CMUnitTest tests[] = {
        T(every_kind_of_value_comes_back_as_it_went_in),
    };
    return cmocka_run_group_tests_name("store/db", tests, NULL, NULL);
}
