/* Searches among rows whose numbers lie far apart, against a look at every row: on PostgreSQL they go by spans of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "searched.h"

#define ROWS 2500
#define APART 977 /* more than a span of each length, all in all */
#define assert_ok(call) assert_int_equal((call), ERR_NONE)

static bool is_tagged(size_t i) { return i % 31 == 0; }
static int64_t number_of(size_t i) { return 1 + (int64_t)i * APART; }

static struct connection_row row_of(struct arena *a, size_t i)
{
    return (struct connection_row){
        .id = str_fmt(a, "con_%zu", i), .key = str_fmt(a, "key-%zu", i),
        .name = str_fmt(a, "%s %s %zu", words[i % WORDS], words[i / WORDS % WORDS], i),
        .connector = str_fmt(a, "kind-%zu", i / 7 % 5), .tags = is_tagged(i) ? STR("[\"eu\",\"x\"]") : STR_NONE,
        .folder = hidden(i) ? STR("other") : STR("fld"), .number = number_of(i), .deleted = i % 700 == 3,
        .state = i % 500 == 0 ? CONNECTION_DISABLED : CONNECTION_ACTIVE,
    };
}

static enum err insert_all(struct db *db, void *context, struct fault *why)
{
    struct arena *a = context;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < ROWS; i++) {
        struct connection_row row = row_of(a, i);
        e = searched_insert(db, &row, a, why);
    }
    return e;
}

static int set_up(void **state)
{
    struct hub *h = *state = hub_new_ready();
    searched_folders(h);
    assert_ok(store_write(h->store, insert_all, h->arena, &h->why));
    return 0;
}

static int tear_down(void **state)
{
    hub_end(*state);
    return 0;
}

static bool is_wanted(struct arena *a, const struct connection_filter *f, size_t i)
{
    struct connection_row row = row_of(a, i);
    return !hidden(i) && !row.deleted && str_find_str(row.name, f->search) != SIZE_MAX &&
           (!f->connector.p || str_eq(f->connector, row.connector)) && (!f->tag.p || is_tagged(i)) &&
           (!f->by_state || f->state == row.state);
}

/* One page, and what every row says. */
static void page(struct hub *h, struct connection_filter f, size_t after)
{
    const struct str top = STR("fld");
    struct connection_row *rows;
    size_t n, found = 0;
    f.scope = (struct folder_scope){ .above = &top, .above_count = 1 };
    f.after = str_fmt(h->arena, "%lld", after ? (long long)number_of(after - 1) : 0);
    assert_ok(connection_list(store_reader(h->store, &h->why), h->arena, &f, &rows, &n, &h->why));
    for (size_t i = after; i < ROWS && found < (size_t)f.limit; i++) {
        if (!is_wanted(h->arena, &f, i))
            continue;
        assert_true(found < n);
        assert_int_equal(rows[found++].number, number_of(i));
    }
    assert_int_equal(found, n);
}

static void a_search_finds_each_row_once_however_far_apart_their_numbers_are(void **state)
{
    static const char *const searches[] = {
        "night", "light", "night market", "delight market", "a beta", "ta", "zq", "alpha zebra", "1", "delta order 123"
    };
    struct hub *h = *state;
    for (size_t i = 0; i < COUNT(searches); i++)
        for (size_t after = 0; after <= ROWS; after += 625)
            for (int limit = 1; limit <= 200; limit += 199) {
                struct connection_filter f = { .search = str_of(searches[i]), .limit = limit };
                page(h, f, after);
                f.connector = STR("kind-3");
                page(h, f, after);
                f.by_state = true;
                f.state = CONNECTION_ACTIVE;
                page(h, f, after);
                f.connector = STR_NONE;
                f.tag = STR("eu");
                page(h, f, after);
                arena_reset(h->arena);
            }
}

static size_t count(struct str text, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == c;
    return n;
}

static void spans_hold_what_is_wanted_and_not_much_more(void **state)
{
    struct hub *h = *state;
    struct connection_words w = { .last = INT64_MAX };
    int64_t after = 0;
    for (double wanted = 1; wanted < 8 << 20; wanted *= 1.7, after = (after * 7 + 4095) % 90000000) {
        int64_t end = connection_words_span(h->arena, &w, after, wanted);
        assert_true((double)(end - after) >= wanted);
        assert_true((double)(end - after) <= 4 * wanted + 3 * 4096);
        assert_in_range(count(w.spans, '|'), 1, 8);
    }
    w.few = true;
    assert_int_equal(connection_words_span(h->arena, &w, 5, 1), INT64_MAX);
    assert_null(w.spans.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_search_finds_each_row_once_however_far_apart_their_numbers_are),
        cmocka_unit_test(spans_hold_what_is_wanted_and_not_much_more),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
