/* A page of keys in one statement, and each answer at its key's place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "room.h"
#include "store/many.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)
#define MOST 300

static int with_things(void **state)
{
    struct room *r = *state = room_new();
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT);"
                             "WITH RECURSIVE some (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM some WHERE n < 300)"
                             " INSERT INTO thing SELECT 'thing ' || n, n FROM some"));
    return 0;
}

static int drop_room(void **state)
{
    room_end(*state);
    return 0;
}

static void numbers_of(struct room *r, struct arena *a, const struct many *m, int64_t *out)
{
    struct db *db = store_reader(r->store, &r->why);
    struct query *q = many_begin(db, "SELECT name, n FROM thing WHERE n <= $1 AND name IN $keys AND n <> $2", 2, m);
    query_i64(q, 250);
    query_i64(q, 13);
    many_bind(q, m);
    for (size_t i; query_next(q);) {
        assert_true(many_find(m, query_get_text(q, 0, a), &i));
        assert_int_equal(out[i], 0);
        out[i] = query_get_i64(q, 1);
    }
    assert_ok(query_end(q, &r->why));
}

static void each_answer_stands_at_its_key_whatever_the_length_of_the_page(void **state)
{
    struct room *r = *state;
    static const size_t sizes[] = { 0, 1, 2, 3, 31, 32, 33, 200, MOST };
    AUTO_ARENA a = arena_new(64 * 1024);
    for (size_t s = 0; s < COUNT(sizes); s++) {
        struct str keys[MOST];
        int64_t found[MOST] = { 0 };
        /* Backwards, for they come in any order. */
        for (size_t i = 0; i < sizes[s]; i++)
            keys[i] = str_fmt(a, "thing %zu", sizes[s] - i);
        struct many m = many_of(a, keys, sizes[s]);
        assert_int_equal(m.n, sizes[s]);
        numbers_of(r, a, &m, found);
        for (size_t i = 0; i < m.n; i++) {
            uint64_t n;
            assert_true(str_u64(str_sub(m.keys[i], 6, m.keys[i].n), &n));
            assert_int_equal(found[i], n > 250 || n == 13 ? 0 : n);
        }
    }
}

static void a_key_that_comes_twice_has_one_place_and_none_has_no_place(void **state)
{
    (void)state;
    AUTO_ARENA a = arena_new(1024);
    const struct str keys[] = { STR("b"), STR_NONE, STR("a"), STR("b"), STR("") };
    struct many m = many_of(a, keys, COUNT(keys));
    size_t at;
    assert_int_equal(m.n, 3);
    assert_true(many_find(&m, STR("b"), &at) && at == 2);
    assert_true(many_find(&m, STR(""), &at) && at == 0);
    assert_false(many_find(&m, STR("c"), &at));
    assert_false(many_find(&(struct many){ 0 }, STR("a"), &at));
}

static void keys_with_quotes_and_other_letters_are_found(void **state)
{
    struct room *r = *state;
    AUTO_ARENA a = arena_new(1024);
    const struct str odd[] = { STR("\"}"),           STR("back\\slash"),       STR("it's"),
                               STR("tab\tand \x7f"), STR("\xc3\xa9t\xc3\xa9"), STR("\xf0\x9f\x98\x80") };
    struct many m = many_of(a, odd, COUNT(odd));
    int64_t found[COUNT(odd)] = { 0 };
    assert_ok(room_script(
        r, "INSERT INTO thing VALUES ('\"}', 1), ('back\\slash', 2), ('it''s', 3), ('tab\tand \x7f', 4), ('\xc3\xa9t\xc3\xa9', 5),"
           " ('\xf0\x9f\x98\x80', 6)"));
    numbers_of(r, a, &m, found);
    for (size_t i = 0; i < m.n; i++)
        assert_in_range(found[i], 1, COUNT(odd));
}

/* SQLite looks a parameter up by its name: 256 of them cost more than what they ask for. */
static void a_page_of_keys_is_one_parameter_whatever_its_length(void **state)
{
    struct room *r = *state;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct db *db = store_reader(r->store, &r->why);
    struct str keys[MOST];
    for (size_t i = 0; i < MOST; i++)
        keys[i] = str_fmt(a, "thing %zu", i + 1);
    for (size_t n = 0; n <= MOST; n += MOST) {
        AUTO_BUF sql;
        int param = 1;
        struct many m = many_of(a, keys, n);
        buf_init(&sql, 1024);
        buf_add(&sql, STR("SELECT count(*) FROM thing WHERE n > $1 AND name IN "));
        many_list(&sql, &param);
        buf_char(&sql, 0);
        assert_int_equal(param, 2);
        struct query *q = query_begin(db, sql.p);
        query_i64(q, 0);
        many_bind(q, &m);
        assert_true(query_next(q));
        assert_int_equal(query_get_i64(q, 0), n);
        assert_ok(query_end(q, &r->why));
    }
}

static void numbers_are_listed_as_keys_are(void **state)
{
    struct room *r = *state;
    struct db *db = store_reader(r->store, &r->why);
    const int64_t numbers[] = { 3, 299, 7000000000, -1 };
    for (size_t n = 0; n <= COUNT(numbers); n++) {
        AUTO_BUF sql;
        int param = 0;
        buf_init(&sql, 1024);
        buf_add(&sql, STR("SELECT count(*) FROM thing WHERE n IN "));
        many_list_numbers(&sql, &param);
        buf_char(&sql, 0);
        struct query *q = query_begin(db, sql.p);
        many_numbers(q, numbers, n);
        assert_true(query_next(q));
        assert_int_equal(query_get_i64(q, 0), n < 2 ? n : 2);
        assert_ok(query_end(q, &r->why));
    }
}

static void no_keys_match_nothing(void **state)
{
    struct room *r = *state;
    AUTO_ARENA a = arena_new(1024);
    const struct many none = { 0 }, absent = many_one(&(const struct str){ NULL, 0 });
    int64_t n = 0;
    assert_ok(room_script(r, "INSERT INTO thing VALUES ('', 7)"));
    numbers_of(r, a, &none, &n);
    numbers_of(r, a, &absent, &n);
    assert_int_equal(n, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_things, drop_room)
    const struct CMUnitTest tests[] = {
        T(each_answer_stands_at_its_key_whatever_the_length_of_the_page),
        cmocka_unit_test(a_key_that_comes_twice_has_one_place_and_none_has_no_place),
        T(no_keys_match_nothing),
        T(keys_with_quotes_and_other_letters_are_found),
        T(a_page_of_keys_is_one_parameter_whatever_its_length),
        T(numbers_are_listed_as_keys_are),
    };
    return cmocka_run_group_tests_name("store/many", tests, NULL, NULL);
}
