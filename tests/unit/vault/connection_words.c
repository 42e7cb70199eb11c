/* Which way a search goes among rows that have what it looks for often, rarely, or not where it may look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "searched.h"
#include "store/sqlite.h"

#define ROWS 6000
#define MOST 20000 /* steps of SQLite for a page: of the folders, of the looks at what is rare, and of the few rows */
#define assert_ok(call) assert_int_equal((call), ERR_NONE)

/* Every tenth row has a word first, and every hundredth a pair; a connector of five is in every fifth. */
static struct connection_row row_of(struct arena *a, size_t i)
{
    const char *first = words[i % WORDS], *second = words[i / WORDS % WORDS];
    return (struct connection_row){
        .id = str_fmt(a, "con_%zu", i), .key = str_fmt(a, "%s-%s-%zu", first, second, i),
        .name = str_fmt(a, "%s %s %zu", first, second, i), .connector = str_fmt(a, "kind-%zu", i / 7 % 5),
        .tags = i % 31 ? STR_NONE : STR("[\"eu\",\"x\"]"), .number = (int64_t)i + 1,
        .folder = hidden(i) ? STR("other") : STR("fld"),
        .state = i % 500 == 0 ? CONNECTION_DISABLED : i % 19 ? CONNECTION_ACTIVE : CONNECTION_NEEDS_AUTH, .deleted = i % 700 == 3,
    };
}

struct some { struct arena *a; size_t from, to; };

static enum err insert_some(struct db *db, void *context, struct fault *why)
{
    const struct some *s = context;
    enum err e = ERR_NONE;
    for (size_t i = s->from; !e && i < s->to; i++) {
        struct connection_row row = row_of(s->a, i);
        e = searched_insert(db, &row, s->a, why);
    }
    return e;
}

static int set_up(void **state)
{
    struct hub *h = *state = hub_new_ready();
    searched_folders(h);
    /* In many transactions, for many segments. */
    for (size_t at = 0; at < ROWS; at += 150)
        assert_ok(store_write(h->store, insert_some, &(struct some){ h->arena, at, at + 150 }, &h->why));
    return 0;
}

static int tear_down(void **state)
{
    hub_end(*state);
    return 0;
}

static struct connection_words read_words(struct hub *h, struct connection_filter f)
{
    struct connection_words w;
    assert_ok(connection_words_read(store_reader(h->store, &h->why), h->arena, &f, 0, &w, &h->why));
    return w;
}

static int64_t matching(struct hub *h, struct str match)
{
    int64_t n = 0;
    struct query *q =
        query_begin(store_reader(h->store, &h->why), "SELECT COUNT(*) FROM connection_search WHERE connection_search MATCH $1");
    query_text(q, match);
    n = query_next(q) ? query_get_i64(q, 0) : -1;
    assert_ok(query_end(q, &h->why));
    return n;
}

/* What SQLite did since it was asked last. */
static int64_t steps(struct hub *h)
{
    int64_t n = 0;
    sqlite3 *db = sqlite_of(store_reader(h->store, &h->why))->sqlite;
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db, s));)
        n += sqlite3_stmt_status(s, SQLITE_STMTSTATUS_VM_STEP, 1);
    return n;
}

/* How many rows there are, and what finding the first page of them took. */
static int64_t list(struct hub *h, struct connection_filter f, int64_t *taken)
{
    const struct str top = STR("fld");
    struct connection_row *rows;
    size_t n;
    f.scope = (struct folder_scope){ .above = &top, .above_count = 1 };
    f.limit = 20;
    steps(h);
    assert_ok(connection_list(store_reader(h->store, &h->why), h->arena, &f, &rows, &n, &h->why));
    *taken = steps(h);
    return (int64_t)n;
}

static void two_words_are_found_by_the_place_where_they_meet(void **state)
{
    struct hub *h = *state;
    struct connection_words w = read_words(h, (struct connection_filter){ .search = STR("night market") });
    assert_true(w.few);
    assert_false(w.exact || w.none);
    /* "light market" and "delight market" have the same mark, and nothing else. */
    assert_int_equal(matching(h, w.match), 3 * ROWS / 100);
    assert_int_equal(str_find_str(w.match, STR(" AND ")), SIZE_MAX);
}

static void words_that_end_alike_are_told_apart_by_more_letters(void **state)
{
    struct hub *h = *state;
    /* Four letters before: delight, light and night. Six: delight. */
    assert_int_equal(matching(h, read_words(h, (struct connection_filter){ .search = STR("light market") }).match), 3 * ROWS / 100);
    assert_int_equal(matching(h, read_words(h, (struct connection_filter){ .search = STR("delight market") }).match), ROWS / 100);
    /* Three. */
    assert_int_equal(matching(h, read_words(h, (struct connection_filter){ .search = STR("ight mar") }).match), 3 * ROWS / 100);
    /* Two. */
    assert_int_equal(matching(h, read_words(h, (struct connection_filter){ .search = STR("ht market") }).match), 3 * ROWS / 100);
}

static void what_few_rows_have_is_asked_alone(void **state)
{
    struct hub *h = *state;
    struct connection_words w = read_words(h, (struct connection_filter){ .search = STR("market 4567") });
    assert_true(w.few);
    assert_in_range(matching(h, w.match), 1, 60);
    assert_true(read_words(h, (struct connection_filter){ .search = STR("marzipan") }).none);
}

static void a_search_that_repeats_itself_is_led_by_what_lies_between(void **state)
{
    struct hub *h = *state;
    /* "alp" twice is in many rows, "lpa" in none. */
    assert_true(read_words(h, (struct connection_filter){ .search = STR("alpalp") }).none);
    assert_false(read_words(h, (struct connection_filter){ .search = STR("alp") }).none);
}

static void a_word_is_found_together_with_its_connector_and_tag(void **state)
{
    struct hub *h = *state;
    struct connection_words w = read_words(h, (struct connection_filter){ .search = STR("alpha"), .connector = STR("kind-2") });
    assert_false(w.few);
    int64_t both = 0, tagged = 0;
    for (size_t i = 0; i < ROWS; i++) {
        struct connection_row row = row_of(h->arena, i);
        bool has = str_find_str(row.name, STR("alpha")) != SIZE_MAX;
        both += has && str_is(row.connector, "kind-2");
        tagged += has && row.tags.p;
    }
    assert_int_equal(matching(h, w.match), both);
    assert_true(w.share > 0.02 && w.share < 0.08); /* a fifth of a fifth */
    w = read_words(h, (struct connection_filter){ .search = STR("alpha"), .tag = STR("eu") });
    assert_in_range(matching(h, w.match), tagged, ROWS / 31 + 1);
    assert_true(read_words(h, (struct connection_filter){ .search = STR("alpha"), .connector = STR("none") }).none);
}

static void marks_are_not_found_by_words(void **state)
{
    struct hub *h = *state;
    struct connection_words w = read_words(h, (struct connection_filter){ .search = STR("kin") });
    assert_true(w.none); /* connectors are named so */
    w = read_words(h, (struct connection_filter){ .search = STR("ha") });
    assert_true(w.exact);
    w = read_words(h, (struct connection_filter){ .search = STR("alp") });
    assert_true(w.exact);
    assert_int_equal(matching(h, w.match), ROWS / WORDS + ROWS / WORDS - ROWS / WORDS / WORDS);
}

/* One row in 500 is disabled, one in five has the word. */
static void a_state_that_few_rows_have_leads_a_word_that_many_have(void **state)
{
    struct hub *h = *state;
    int64_t taken,
        n = list(h, (struct connection_filter){ .search = STR("alpha"), .by_state = true, .state = CONNECTION_DISABLED }, &taken);
    assert_int_equal(n, ROWS / 500);
    assert_in_range(taken, 1, MOST);
    n = list(h, (struct connection_filter){ .search = STR("delta"), .deleted = true }, &taken);
    assert_in_range(n, 1, ROWS / 700 + 1);
    assert_in_range(taken, 1, MOST);
}

static void a_pair_of_words_leads_a_state_that_many_have(void **state)
{
    struct hub *h = *state;
    int64_t taken,
        n = list(h, (struct connection_filter){ .search = STR("order order"), .by_state = true, .state = CONNECTION_ACTIVE },
                 &taken);
    assert_int_equal(n, 20);
    assert_in_range(taken, 1, MOST);
}

static bool takes(struct arena *a, size_t i)
{
    struct connection_row row = row_of(a, i);
    return row.state == CONNECTION_NEEDS_AUTH && !row.deleted && !hidden(i) && str_find_str(row.name, STR("order")) != SIZE_MAX;
}

/* Both have many rows: the state's index leads, and holds the text. */
static void a_word_and_a_state_that_many_rows_have_find_what_has_both_and_is_seen(void **state)
{
    struct hub *h = *state;
    const struct str top = STR("fld");
    struct connection_filter f = { .search = STR("order"), .by_state = true, .state = CONNECTION_NEEDS_AUTH, .limit = 7 };
    struct connection_row *rows;
    size_t at = 0, n;
    f.scope = (struct folder_scope){ .above = &top, .above_count = 1 };
    do {
        assert_ok(connection_list(store_reader(h->store, &h->why), h->arena, &f, &rows, &n, &h->why));
        for (size_t i = 0; i < n; i++, at++) {
            while (!takes(h->arena, at))
                at++;
            assert_int_equal(rows[i].number, at + 1);
        }
        f.after = n ? str_fmt(h->arena, "%lld", (long long)rows[n - 1].number) : STR_NONE;
    } while (n);
    for (; at < ROWS; at++)
        assert_false(takes(h->arena, at));
}

static bool is_there(struct arena *a, size_t i, struct str search)
{
    struct connection_row row = row_of(a, i);
    return hidden(i) && !row.deleted && (!search.n || str_find_str(row.name, search) != SIZE_MAX);
}

/* One row in fifty: a page is found in several batches, whatever leads. */
static void who_sees_little_of_many_folders_gets_whole_pages(void **state)
{
    struct hub *h = *state;
    struct str above[451] = { STR("other") };
    struct connection_filter f = { .limit = 40 };
    const struct str searches[] = { STR_NONE, STR("al"), STR("ht market"), STR("alpha") };
    for (size_t i = 1; i < COUNT(above); i++)
        above[i] = str_fmt(h->arena, "fld_%zu", i);
    f.scope = (struct folder_scope){ .above = above, .above_count = COUNT(above) };
    for (size_t k = 0; k < COUNT(searches); k++) {
        struct connection_row *rows;
        size_t at = 0, n;
        f.search = searches[k];
        f.after = STR_NONE;
        do {
            assert_ok(connection_list(store_reader(h->store, &h->why), h->arena, &f, &rows, &n, &h->why));
            for (size_t i = 0; i < n; i++, at++) {
                while (!is_there(h->arena, at, f.search))
                    at++;
                assert_int_equal(rows[i].number, at + 1);
            }
            f.after = n ? str_fmt(h->arena, "%lld", (long long)rows[n - 1].number) : STR_NONE;
        } while (n == 40);
        for (; at < ROWS; at++)
            assert_false(is_there(h->arena, at, f.search));
    }
}

static int64_t segments(struct hub *h)
{
    int64_t n;
    assert_ok(
        query_number(store_reader(h->store, &h->why), "SELECT COUNT(DISTINCT segid) FROM connection_search_idx", &n, &h->why));
    return n;
}

static enum err tidy(struct db *db, void *upkeep, struct fault *why) { return connection_words_tidy(db, upkeep, why); }

static void many_segments_become_one_in_steps_and_find_the_same(void **state)
{
    struct hub *h = *state;
    struct connection_words w = read_words(h, (struct connection_filter){ .search = STR("market") });
    int64_t before = matching(h, w.match);
    assert_true(segments(h) > 1);
    struct connection_words_upkeep u = { 0 };
    do
        assert_ok(store_write(h->store, tidy, &u, &h->why));
    while (u.more);
    assert_in_range(u.steps, 1, 100);
    assert_int_equal(segments(h), 1);
    assert_int_equal(matching(h, w.match), before);
    /* And stay as they are. */
    u = (struct connection_words_upkeep){ 0 };
    assert_ok(store_write(h->store, tidy, &u, &h->why));
    assert_int_equal(u.steps, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_words_are_found_by_the_place_where_they_meet),
        cmocka_unit_test(what_few_rows_have_is_asked_alone),
        cmocka_unit_test(a_search_that_repeats_itself_is_led_by_what_lies_between),
        cmocka_unit_test(a_word_is_found_together_with_its_connector_and_tag),
        cmocka_unit_test(words_that_end_alike_are_told_apart_by_more_letters),
        cmocka_unit_test(who_sees_little_of_many_folders_gets_whole_pages),
        cmocka_unit_test(marks_are_not_found_by_words),
        cmocka_unit_test(a_state_that_few_rows_have_leads_a_word_that_many_have),
        cmocka_unit_test(a_pair_of_words_leads_a_state_that_many_have),
        cmocka_unit_test(a_word_and_a_state_that_many_rows_have_find_what_has_both_and_is_seen),
        cmocka_unit_test(many_segments_become_one_in_steps_and_find_the_same),
    };
    return cmocka_run_group_tests_name("vault/connection_words", tests, set_up, tear_down);
}
