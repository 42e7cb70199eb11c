/* Which folders a scope holds: in memory the same as by SQL, whatever the tree, and as soon as it changes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "room.h"
#include "store/folder_scope.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)
#define FOLDERS 120
#define ABOVE_MADE                                                                                                                 \
    "DELETE FROM folder_above;"                                                                                                    \
    "WITH RECURSIVE chain (folder_id, above_id, inherited, distance) AS (SELECT id, id, 1, 0 FROM folder"                          \
    " UNION ALL SELECT c.folder_id, f.parent_id, CASE WHEN f.inherits = 1 THEN c.inherited ELSE 0 END, c.distance + 1"             \
    " FROM chain c JOIN folder f ON f.id = c.above_id WHERE f.parent_id IS NOT NULL)"                                              \
    " INSERT INTO folder_above (folder_id, above_id, inherited, distance) SELECT folder_id, above_id, inherited, distance FROM "   \
    "chain"

static struct str name(struct arena *a, size_t i) { return str_fmt(a, "fld_%zu", i); }

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Each below one of those before it, or a root. */
static void plant(struct room *r, uint64_t *seed)
{
    AUTO_BUF sql;
    buf_init(&sql, 1024 * 1024);
    for (size_t i = 0; i < FOLDERS; i++) {
        size_t parent = i ? next(seed) % i : 0;
        bool root = !i || next(seed) % 20 == 0;
        buf_fmt(&sql, "INSERT INTO folder (id, parent_id, slug, path, kind, inherits, created_ms, updated_ms) VALUES ('fld_%zu', ",
                i);
        buf_fmt(&sql, root ? "NULL" : "'fld_%zu'", parent);
        buf_fmt(&sql, ", 's', 'p%zu', 'shared', %d, 0, 0);", i, next(seed) % 3 != 0);
    }
    buf_fmt(&sql, "%s%c", ABOVE_MADE, 0);
    assert_ok(room_script(r, sql.p));
}

static int with_folders(void **state)
{
    struct room *r = *state = room_new();
    uint64_t seed = 7;
    assert_ok(room_open_store(r->directory, &r->store, &r->why));
    plant(r, &seed);
    return 0;
}

static int drop_room(void **state)
{
    room_end(*state);
    return 0;
}

static bool held(struct room *r, const struct folder_scope *s, struct str folder)
{
    struct folder_sight sight;
    struct db *db = store_reader(r->store, &r->why);
    assert_ok(db_snapshot(db, &r->why));
    assert_ok(folder_sight_begin(db, r->arena, s, &sight, &r->why));
    bool holds = folder_sight_holds(&sight, folder);
    folder_sight_end(&sight);
    db_snapshot_end(db);
    return holds;
}

static void compare(struct room *r, const struct folder_scope *s)
{
    struct folder_sight sight;
    struct db *db = store_reader(r->store, &r->why);
    const struct str *listed;
    size_t n, count = 0;
    assert_ok(db_snapshot(db, &r->why));
    assert_ok(folder_sight_begin(db, r->arena, s, &sight, &r->why));
    for (size_t i = 0; i < FOLDERS; i++) {
        bool holds;
        assert_ok(folder_scope_holds(db, s, name(r->arena, i), &holds, &r->why));
        if (folder_sight_holds(&sight, name(r->arena, i)) != holds)
            fail_msg("folder %zu: %d by SQL", i, holds);
        count += holds;
    }
    folder_sight_folders(&sight, r->arena, FOLDERS, &listed, &n);
    assert_true(s->few || n == count); /* named ones need not be there */
    for (size_t i = 0; i < n; i++)
        assert_true(folder_sight_holds(&sight, listed[i]));
    if (!s->few && count > 1) {
        folder_sight_folders(&sight, r->arena, count - 1, &listed, &n);
        assert_int_equal(n, count);
    }
    folder_sight_end(&sight);
    db_snapshot_end(db);
}

static void memory_and_SQL_agree_on_every_folder_of_any_tree(void **state)
{
    struct room *r = *state;
    uint64_t seed = 99;
    for (int i = 0; i < 60; i++) {
        struct str above[4];
        for (size_t k = 0; k < COUNT(above); k++)
            above[k] = name(r->arena, next(&seed) % (FOLDERS + 5)); /* some are not there */
        struct folder_scope by_above = { .above = above, .above_count = next(&seed) % (COUNT(above) + 1) };
        struct folder_scope with_all = { .above = above, .above_count = 2, .all = above[3] };
        struct folder_scope few = { .few = true, .folders = above, .folder_count = COUNT(above) };
        compare(r, &by_above);
        compare(r, &with_all);
        compare(r, &few);
    }
}

static void whatever_changes_the_tree_is_seen_by_who_asks_next(void **state)
{
    struct room *r = *state;
    struct str top = STR("top"), leaf = STR("leaf");
    const struct folder_scope s = { .above = &top, .above_count = 1 };
    assert_false(held(r, &s, leaf));
    assert_ok(room_script(r, "INSERT INTO folder (id, slug, path, kind, inherits, created_ms, updated_ms)"
                             " VALUES ('top', 't', 't', 'shared', 1, 0, 0);"
                             "INSERT INTO folder (id, parent_id, slug, path, kind, inherits, created_ms, updated_ms)"
                             " VALUES ('leaf', 'top', 'l', 't/l', 'shared', 1, 0, 0)"));
    assert_true(held(r, &s, leaf));
    assert_ok(room_script(r, "UPDATE folder SET inherits = 0 WHERE id = 'leaf'"));
    assert_false(held(r, &s, leaf));
    assert_ok(room_script(r, "UPDATE folder SET inherits = 1 WHERE id = 'leaf'"));
    assert_true(held(r, &s, leaf));
    assert_ok(room_script(r, "UPDATE folder SET parent_id = 'fld_0' WHERE id = 'leaf'"));
    assert_false(held(r, &s, leaf));
    assert_ok(room_script(r, "UPDATE folder SET parent_id = 'top' WHERE id = 'leaf'"));
    assert_true(held(r, &s, leaf));
    assert_ok(room_script(r, "DELETE FROM folder WHERE id = 'leaf'"));
    assert_false(held(r, &s, leaf));
}

static void another_process_that_changes_the_tree_is_noticed(void **state)
{
    struct room *r = *state;
    struct str top = STR("fld_0");
    const struct folder_scope s = { .above = &top, .above_count = 1 };
    struct store *other, *mine = r->store;
    assert_false(held(r, &s, STR("new")));
    assert_ok(room_open_store(r->directory, &other, &r->why));
    r->store = other;
    assert_ok(room_script(r, "INSERT INTO folder (id, parent_id, slug, path, kind, inherits, created_ms, updated_ms)"
                             " VALUES ('new', 'fld_0', 'n', 'n', 'shared', 1, 0, 0)"));
    store_close(other);
    r->store = mine;
    assert_true(held(r, &s, STR("new")));
}

/* What a transaction changed and gave up must not be what others see, nor what they see after the next one. */
static enum err hide_and_give_up(struct db *db, void *context, struct fault *why)
{
    struct room *r = context;
    struct str top = STR("top");
    struct folder_sight sight;
    assert_ok(db_script(db, "INSERT INTO folder (id, slug, path, kind, inherits, created_ms, updated_ms)"
                            " VALUES ('top', 't', 't', 'shared', 1, 0, 0);"
                            "UPDATE folder SET parent_id = 'top', inherits = 1 WHERE id = 'fld_0'", why));
    assert_ok(folder_sight_begin(db, r->arena, &(struct folder_scope){ .above = &top, .above_count = 1 }, &sight, why));
    assert_true(folder_sight_holds(&sight, STR("fld_0")));
    folder_sight_end(&sight);
    return ERR_CONFLICT;
}

static void what_a_transaction_gave_up_is_seen_by_nobody(void **state)
{
    struct room *r = *state;
    struct str top = STR("top");
    const struct folder_scope s = { .above = &top, .above_count = 1 };
    assert_false(held(r, &s, STR("fld_0")));
    assert_int_equal(store_write(r->store, hide_and_give_up, r, &r->why), ERR_CONFLICT);
    assert_false(held(r, &s, STR("fld_0")));
    assert_ok(room_script(r, "INSERT INTO folder (id, slug, path, kind, inherits, created_ms, updated_ms)"
                             " VALUES ('top', 't', 't', 'shared', 1, 0, 0)"));
    assert_false(held(r, &s, STR("fld_0")));
    assert_true(held(r, &s, top));
}

static void parents_that_go_round_in_damaged_data_come_to_an_end(void **state)
{
    struct room *r = *state;
    struct str top = STR("top");
    assert_ok(room_script(r, "UPDATE folder SET parent_id = 'fld_3', inherits = 1 WHERE id = 'fld_2';"
                             "UPDATE folder SET parent_id = 'fld_2', inherits = 1 WHERE id = 'fld_3'"));
    assert_false(held(r, &(struct folder_scope){ .above = &top, .above_count = 1 }, STR("fld_2")));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, with_folders, drop_room)
    const struct CMUnitTest tests[] = {
        TEST(memory_and_SQL_agree_on_every_folder_of_any_tree),
        TEST(whatever_changes_the_tree_is_seen_by_who_asks_next),
        TEST(another_process_that_changes_the_tree_is_noticed),
        TEST(what_a_transaction_gave_up_is_seen_by_nobody),
        TEST(parents_that_go_round_in_damaged_data_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
