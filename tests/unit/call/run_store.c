/* Blocks of run records against a plain array: whatever comes, in whatever order, lists, cursors, filters and look-ups agree with
 * it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <cmocka.h>

#include "call/run_block.h"
#include "call/run_store.h"
#include "store/room.h"

#define T0 1800000000000LL
#define RUNS_MAX 20000
#define SECOND 1000LL
#define HOUR (3600 * SECOND)

static const char *const connections[] = { "con_a", "con_b", "con_c", "con_rare", "con_gone", "" };
static const char *const callers[] = { "usr_1", "usr_2", "sac_rare", "" };

struct model {
    struct room *room;
    struct run *runs; /* newest first, when sorted */
    size_t n;
    uint64_t seed;
    wall_ms now;
    struct run batch[600];
    size_t batch_n;
    wall_ms prune_before;
    int prune_most;
    int64_t deleted;
    bool more;
    struct busy *busy;
    struct folder_scope seen;
};

/* Another thread that puts late calls among the old ones and moves blocks about; its model has a generator of its own. */
struct busy {
    struct model m;
    struct store *store;
    pthread_t thread;
    _Atomic bool over, stop;
    struct fault why;
    enum err e;
};

static uint64_t draw(struct model *m, uint64_t below)
{
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    m->seed ^= m->seed << 17;
    return m->seed % below;
}

static void name_run(char out[ID_SIZE], wall_ms ms, uint64_t low)
{
    __extension__ unsigned __int128 n = (unsigned __int128)(uint64_t)ms << 80 | low;
    memcpy(out, "run_", 4);
    for (int i = 26; i--; n >>= 5)
        out[4 + i] = "0123456789abcdefghjkmnpqrstvwxyz"[(unsigned)n & 31];
    out[30] = 0;
}

static enum err seed(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return db_script(db,
                     "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES ('fld_a', 'a', 'a', 'shared', 1, "
                     "1), ('fld_b', 'b', 'b', 'shared', 1, 1);"
                     "INSERT INTO connection (id, key, name, search, folder_id, connector, connector_version, auth_type, "
                     "allowed_domain, fields, owner_id, state,"
                     " created_ms, updated_ms) VALUES"
                     " ('con_a', 'a', 'a', 'a', 'fld_a', 'http', '1', 'none', 'x.example', '{}', 'usr_1', 'active', 1, 1),"
                     " ('con_b', 'b', 'b', 'b', 'fld_a', 'http', '1', 'none', 'x.example', '{}', 'usr_1', 'active', 1, 1),"
                     " ('con_c', 'c', 'c', 'c', 'fld_b', 'http', '1', 'none', 'x.example', '{}', 'usr_1', 'active', 1, 1),"
                     " ('con_rare', 'r', 'r', 'r', 'fld_b', 'http', '1', 'none', 'x.example', '{}', 'usr_2', 'active', 1, 1)",
                     why);
}

static int setup(void **state)
{
    struct model *m = mem_zero(sizeof *m);
    m->room = room_new();
    m->runs = mem_grow(NULL, RUNS_MAX * sizeof *m->runs);
    m->now = T0;
    *state = m;
    if (room_open_store(m->room->directory, &m->room->store, &m->room->why) ||
        store_write(m->room->store, seed, NULL, &m->room->why)) {
        fprintf(stderr, "%s\n", m->room->why.note);
        return 1;
    }
    return 0;
}

static int teardown(void **state)
{
    struct model *m = *state;
    if (m->busy) {
        atomic_store(&m->busy->stop, true);
        pthread_join(m->busy->thread, NULL);
        free(m->busy);
    }
    room_end(m->room);
    free(m->runs);
    free(m);
    return 0;
}

static struct db *reader(struct model *m) { return store_reader(m->room->store, &m->room->why); }

/* ---- what happens ---- */

static const char *pick(struct model *m, const char *const *from, size_t n)
{
    size_t at = (size_t)draw(m, n);
    return strstr(from[at], "rare") && draw(m, 20) ? from[0] : from[at];
}

/* Mostly of the last moments; some began long ago; rarely the clock was wrong, so that start and id have nothing to do with each
 * other. */
static struct run some_run(struct model *m)
{
    struct run r = { .via = (enum run_via)draw(m, 3), .status = draw(m, 2) ? 200 : 0, .started = m->now - (int64_t)draw(m, 300) };
    if (!draw(m, 10))
        r.started -= (int64_t)draw(m, 20 * SECOND);
    if (!draw(m, 60))
        r.started -= (int64_t)draw(m, 5 * HOUR);
    name_run(r.id, r.started, draw(m, UINT64_MAX));
    if (!draw(m, 300))
        r.started = T0 + (int64_t)draw(m, 100 * HOUR) - 50 * HOUR;
    str_copy(r.connection, sizeof r.connection, str_of(pick(m, connections, COUNT(connections))));
    str_copy(r.connection_key, sizeof r.connection_key, STR("k\"ey"));
    str_copy(r.caller, sizeof r.caller, str_of(pick(m, callers, COUNT(callers))));
    str_copy(r.token, sizeof r.token, r.caller[0] ? STR("tok_1") : STR(""));
    str_copy(r.method, sizeof r.method, draw(m, 3) ? STR("GET") : STR("POST"));
    str_copy(r.host, sizeof r.host, STR("api.example.com"));
    str_copy(r.path, sizeof r.path, draw(m, 4) ? STR("/v1/things") : STR("/v1/\"quoted\\\"/\x01\xc3\xa9\n"));
    r.outcome = draw(m, 40) ? RUN_SUCCESS : (enum run_outcome)draw(m, 5);
    r.error = r.outcome == RUN_FAILED ? ERR_UPSTREAM_TIMEOUT : ERR_NONE;
    r.response_bytes = (int64_t)draw(m, 1 << 30);
    r.total_us = (int32_t)draw(m, 1000000);
    r.reused = draw(m, 2);
    return r;
}

static void connect(struct run *r, const char *connection)
{
    memset(r->connection, 0, sizeof r->connection); /* records are compared to the last byte */
    str_copy(r->connection, sizeof r->connection, str_of(connection));
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct model *m = context;
    return runs_insert(db, m->batch, m->batch_n, why);
}

static enum err insert_and_fail(struct db *db, void *context, struct fault *why)
{
    enum err e = insert(db, context, why);
    return e ? e : fault(why, ERR_INTERNAL, STR(""), "on purpose");
}

static void keep_batch(struct model *m)
{
    if (!draw(m, 6))
        assert_int_equal(store_write(m->room->store, insert_and_fail, m, &m->room->why), ERR_INTERNAL);
    int times = draw(m, 6) ? 1 : 2;
    while (times--)
        if (store_write(m->room->store, insert, m, &m->room->why))
            fail_msg("insert: %s", m->room->why.note);
    memcpy(m->runs + m->n, m->batch, m->batch_n * sizeof *m->batch);
    m->n += m->batch_n;
}

static void insert_some(struct model *m)
{
    static const uint64_t sizes[] = { 1, 1, 3, 30, 256, 300, 600 };
    m->batch_n = 1 + (size_t)draw(m, sizes[draw(m, COUNT(sizes))]);
    if (m->n + m->batch_n > RUNS_MAX)
        return;
    for (size_t i = 0; i < m->batch_n; i++)
        m->batch[i] = some_run(m);
    keep_batch(m);
    m->now += (int64_t)(draw(m, 20) ? draw(m, 2 * SECOND) : draw(m, 2 * HOUR));
}

static enum err compact(struct db *db, void *context, struct fault *why)
{
    struct model *m = context;
    return runs_compact(db, &m->more, why);
}

static void compact_step(struct model *m)
{
    if (store_write(m->room->store, compact, m, &m->room->why))
        fail_msg("compact: %s", m->room->why.note);
}

static void compact_all(struct model *m)
{
    int steps = 0;
    do
        compact_step(m);
    while (m->more && ++steps < 1000);
    assert_false(m->more);
}

/* ---- what is true of it ---- */

static int newest_first(const void *x, const void *y) { return strcmp(((const struct run *)y)->id, ((const struct run *)x)->id); }

static bool in(const char *value, const struct str *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (value[0] && str_is(list[i], value))
            return true;
    return false;
}

static bool in_folders(const struct run *r, const struct run_filter *f)
{
    static const struct { const char *connection, *folder; } where[] = {
        { "con_a", "fld_a" }, { "con_b", "fld_a" }, { "con_c", "fld_b" }, { "con_rare", "fld_b" },
    };
    for (size_t i = 0; i < COUNT(where); i++)
        if (!strcmp(r->connection, where[i].connection))
            return in(where[i].folder, f->seen->folders, f->seen->folder_count);
    return false;
}

static bool wanted(const struct run *r, const struct run_filter *f)
{
    return (!f->connection.p || in(r->connection, &f->connection, 1)) && (!f->caller.p || in(r->caller, &f->caller, 1)) &&
           (!f->by_outcome || r->outcome == f->outcome) && r->started >= f->since &&
           (!f->before.p || str_cmp(str_of(r->id), f->before) < 0) &&
           (!f->limited || in(r->connection, f->connections, f->connection_count)) &&
           (!f->seen || in_folders(r, f) || (f->own.p && in(r->caller, &f->own, 1)));
}

static void assert_same(const struct run *a, const struct run *b)
{
    assert_string_equal(a->id, b->id);
    assert_memory_equal(a, b, sizeof *a);
}

/* Page for page to the end, with the last id as the cursor. */
static void check_list(struct model *m, struct run_filter f, size_t pages)
{
    size_t at = 0;
    while (pages--) {
        AUTO_ARENA a = arena_new(4096);
        struct run *runs;
        size_t n;
        if (run_list(reader(m), a, &f, &runs, &n, &m->room->why))
            fail_msg("list: %s", m->room->why.note);
        for (size_t i = 0; i < n; i++, at++) {
            while (at < m->n && !wanted(&m->runs[at], &f))
                at++;
            assert_true(at < m->n);
            assert_same(&m->runs[at], &runs[i]);
        }
        if (n < (size_t)f.limit) {
            for (; at < m->n; at++)
                assert_false(wanted(&m->runs[at], &f));
            return;
        }
        f.before = str_of(m->runs[at - 1].id);
    }
}

static struct run_filter some_filter(struct model *m)
{
    static const struct str folders[] = { STR("fld_a"), STR("fld_b") };
    static const struct str granted[] = { STR("con_rare"), STR("con_a") };
    struct run_filter f = { .limit = 1 + (int)draw(m, draw(m, 4) ? 60 : 500) };
    if (!draw(m, 2))
        f.connection = str_of(connections[draw(m, COUNT(connections))]);
    if (!draw(m, 3))
        f.caller = str_of(callers[draw(m, COUNT(callers))]);
    f.by_outcome = !draw(m, 3);
    f.outcome = (enum run_outcome)draw(m, 5);
    if (!draw(m, 3))
        f.since = m->now - (int64_t)draw(m, draw(m, 2) ? 20 * SECOND : 10 * HOUR);
    if (!draw(m, 2)) {
        m->seen = (struct folder_scope){ .few = true, .folders = folders + draw(m, 2), .folder_count = (size_t)draw(m, 2) };
        f.seen = &m->seen;
        f.own = draw(m, 2) ? str_of(callers[draw(m, COUNT(callers))]) : STR_NONE;
    }
    f.limited = !draw(m, 4);
    f.connections = granted;
    f.connection_count = (size_t)draw(m, 3);
    if (m->n && !draw(m, 3))
        f.before = str_of(m->runs[draw(m, m->n)].id);
    return f;
}

static void check_gets(struct model *m)
{
    struct run out;
    for (int i = 0; i < 5 && m->n; i++) {
        const struct run *r = &m->runs[draw(m, m->n)];
        if (run_get(reader(m), str_of(r->id), &out, &m->room->why))
            fail_msg("get %s: %s", r->id, m->room->why.note);
        assert_same(r, &out);
        struct run absent = *r;
        name_run(absent.id, r->started, draw(m, UINT64_MAX));
        assert_int_equal(run_get(reader(m), str_of(absent.id), &out, &m->room->why), ERR_NOT_FOUND);
    }
    assert_int_equal(run_get(reader(m), STR("run_"), &out, &m->room->why), ERR_NOT_FOUND);
    assert_int_equal(run_get(reader(m), STR("zebra"), &out, &m->room->why), ERR_NOT_FOUND);
}

static void check_count(struct model *m)
{
    struct run_filter f = { .connection = str_of(connections[draw(m, COUNT(connections))]),
                            .since = m->now - (int64_t)draw(m, HOUR) };
    int64_t most = 1 + (int64_t)draw(m, 500), expected = 0, n;
    for (size_t i = 0; i < m->n; i++)
        expected += wanted(&m->runs[i], &f);
    assert_int_equal(run_count(reader(m), f.connection, f.since, most, &n, &m->room->why), ERR_NONE);
    assert_int_equal(n, expected < most ? expected : most);
}

static int64_t number(struct model *m, const char *sql) { return room_number(m->room, reader(m), sql); }

/* Spans do not overlap; no key and no note of a fresh block outlives what it points to. */
static void check_rows(struct model *m)
{
    assert_int_equal(number(m, "SELECT coalesce(sum(count), 0) FROM run_block"), m->n);
    assert_int_equal(number(m, "SELECT count(*) FROM run_key k WHERE NOT EXISTS (SELECT 1 FROM run_block b WHERE b.span = k.span)"),
                     0);
    assert_int_equal(number(m, "SELECT count(*) FROM run_fresh f WHERE NOT EXISTS (SELECT 1 FROM run_block b WHERE b.span = f.span "
                               "AND b.id = f.block_id)"),
                     0);
    assert_int_equal(number(m, "SELECT count(*) FROM run_key k WHERE NOT EXISTS (SELECT 1 FROM run_block b WHERE b.span = k.span "
                               "AND replace(b.kinds, k.key, '') <> b.kinds)"),
                     0);
    assert_int_equal(number(m, "SELECT count(*) FROM (SELECT span, max(max_id) AS last, lead(min(min_id)) OVER (ORDER BY span) AS "
                               "next FROM run_block GROUP BY span) AS s"
                               " WHERE next <= last"),
                     0);
}

static void check(struct model *m)
{
    qsort(m->runs, m->n, sizeof *m->runs, newest_first);
    check_rows(m);
    check_list(m, (struct run_filter){ .limit = 97 }, 3);
    for (int i = 0; i < 6; i++)
        check_list(m, some_filter(m), 4);
    check_gets(m);
    check_count(m);
}

static enum err prune(struct db *db, void *context, struct fault *why)
{
    struct model *m = context;
    return runs_prune(db, m->prune_before, m->prune_most, &m->deleted, why);
}

/* What went was old, and as much as was said; what is left of the old shares a block with something newer. */
static void prune_some(struct model *m)
{
    m->prune_before = m->now - (int64_t)draw(m, 6 * HOUR);
    m->prune_most = 1 + (int)draw(m, 2000);
    int rounds = (int)draw(m, 4);
    do {
        if (store_write(m->room->store, prune, m, &m->room->why))
            fail_msg("prune: %s", m->room->why.note);
        assert_true(m->deleted <= m->prune_most || m->deleted <= RUN_BLOCK_MOST);
        size_t kept = 0;
        for (size_t i = 0; i < m->n; i++) {
            struct run out;
            if (run_get(reader(m), str_of(m->runs[i].id), &out, &m->room->why))
                assert_true(m->runs[i].started < m->prune_before);
            else
                m->runs[kept++] = m->runs[i];
        }
        assert_int_equal(m->n - kept, m->deleted);
        m->n = kept;
    } while (m->deleted && rounds--);
    if (!m->deleted) {
        char sql[160];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM run_block WHERE to_ms < %lld AND span < %lld", (long long)m->prune_before,
                 (long long)m->prune_before);
        assert_int_equal(number(m, sql), 0);
    }
}

/* ---- tests ---- */

static void lists_cursors_filters_and_gets_agree_with_a_plain_array(void **state)
{
    struct model *m = *state;
    const char *asked = getenv("RUN_STORE_SEED"), *steps = getenv("RUN_STORE_STEPS");
    uint64_t given;
    m->seed = asked && str_u64(str_of(asked), &given) ? given : 20260117;
    uint64_t n = steps && str_u64(str_of(steps), &given) ? given : 120;
    for (uint64_t i = 0; i < n; i++) {
        switch (draw(m, 10)) {
        case 0: compact_step(m); break;
        case 1: compact_all(m); break;
        case 2: if (!draw(m, 4)) prune_some(m); break;
        default: insert_some(m);
        }
        if (i % 4 == 0)
            check(m);
    }
    check(m);
    compact_all(m);
    check(m);
    m->prune_before = T0 + 1000 * HOUR;
    m->prune_most = 100000;
    for (m->deleted = 1; m->deleted;)
        assert_int_equal(store_write(m->room->store, prune, m, &m->room->why), ERR_NONE);
    assert_int_equal(
        number(m, "SELECT (SELECT count(*) FROM run_block) + (SELECT count(*) FROM run_key) + (SELECT count(*) FROM run_fresh)"),
        0);
}

/* One call every ten seconds, a batch each. */
static void a_quiet_day_becomes_a_few_blocks(void **state)
{
    struct model *m = *state;
    m->seed = 7;
    for (int i = 0; i < 4000; i++, m->now += 10 * SECOND) {
        m->batch_n = 1;
        m->batch[0] = some_run(m);
        name_run(m->batch[0].id, m->now, draw(m, UINT64_MAX));
        assert_int_equal(store_write(m->room->store, insert, m, &m->room->why), ERR_NONE);
        memcpy(m->runs + m->n++, m->batch, sizeof *m->batch);
        if (i % 64 == 63)
            compact_all(m);
    }
    compact_all(m);
    /* 4,000 calls in 11 hours: an hour is at most 360 calls, and a block 256. */
    assert_true(number(m, "SELECT count(*) FROM run_block") <= 4000 / 100);
    assert_true(number(m, "SELECT count(*) FROM run_key") <= 40 * 13);
    check(m);
}

/* One busy second of 40 small batches, in no order, is put in order. */
static void a_busy_second_of_small_batches_becomes_full_blocks(void **state)
{
    struct model *m = *state;
    m->seed = 11;
    for (int i = 0; i < 40; i++) {
        m->batch_n = 32;
        for (size_t k = 0; k < m->batch_n; k++) {
            m->batch[k] = some_run(m);
            name_run(m->batch[k].id, T0 + (int64_t)draw(m, SECOND), draw(m, UINT64_MAX));
        }
        keep_batch(m);
    }
    m->batch_n = 1;
    name_run(m->batch[0].id, T0 + 10 * SECOND, 1);
    keep_batch(m);
    compact_all(m);
    assert_int_equal(number(m, "SELECT count(*) FROM run_block"), 5 + 1);
    assert_int_equal(number(m, "SELECT count(*) FROM run_fresh"), 1);
    check(m);
    /* Two of its five blocks go; what they were found by still finds the others. */
    m->prune_before = T0 + HOUR;
    m->prune_most = 2 * RUN_BLOCK_MOST;
    assert_int_equal(store_write(m->room->store, prune, m, &m->room->why), ERR_NONE);
    assert_int_equal(m->deleted, 2 * RUN_BLOCK_MOST);
    qsort(m->runs, m->n, sizeof *m->runs, newest_first);
    m->n -= (size_t)m->deleted;
    check(m);
}

/* A call of half an hour ends when all else of its time has long been put together. */
static void a_long_call_finds_its_place_among_old_blocks(void **state)
{
    struct model *m = *state;
    a_quiet_day_becomes_a_few_blocks(state);
    for (int i = 1; i < 30; i++) {
        m->batch_n = 1;
        m->batch[0] = some_run(m);
        name_run(m->batch[0].id, T0 + i * 17 * 60 * SECOND, draw(m, UINT64_MAX));
        connect(&m->batch[0], "con_rare");
        keep_batch(m);
        if (i % 3 == 0)
            compact_all(m);
        if (i % 5 == 0)
            check(m);
    }
    check(m);
}

static enum err insert_late(struct db *db, void *context, struct fault *why)
{
    enum err e = insert(db, context, why);
    return e ? e : compact(db, context, why);
}

static void *keep_busy(void *context)
{
    struct busy *b = context;
    for (int i = 0; i < 300 && !b->e && !atomic_load(&b->stop); i++) {
        b->m.batch_n = 2;
        for (size_t k = 0; k < b->m.batch_n; k++) {
            b->m.batch[k] = some_run(&b->m);
            name_run(b->m.batch[k].id, T0 + (int64_t)draw(&b->m, 11 * HOUR), draw(&b->m, UINT64_MAX));
            connect(&b->m.batch[k], "con_b");
        }
        b->e = store_write(b->store, insert_late, &b->m, &b->why);
    }
    atomic_store(&b->over, true);
    return NULL;
}

static void lists_are_whole_while_blocks_are_put_together(void **state)
{
    struct model *m = *state;
    m->seed = 13;
    for (int i = 0; i < 2000; i++, m->now += 20 * SECOND) {
        m->batch_n = 1;
        m->batch[0] = some_run(m);
        name_run(m->batch[0].id, m->now, draw(m, UINT64_MAX));
        connect(&m->batch[0], "con_a");
        assert_int_equal(store_write(m->room->store, insert, m, &m->room->why), ERR_NONE);
        memcpy(m->runs + m->n++, m->batch, sizeof *m->batch);
    }
    qsort(m->runs, m->n, sizeof *m->runs, newest_first);
    struct busy *b = m->busy = mem_zero(sizeof *b);
    b->store = m->room->store;
    b->m.seed = 17;
    b->m.now = m->now;
    assert_int_equal(pthread_create(&b->thread, NULL, keep_busy, b), 0);
    while (!atomic_load(&b->over))
        check_list(m, (struct run_filter){ .limit = 700, .connection = STR("con_a") }, 4);
    if (b->e)
        fail_msg("%s", b->why.note);
}

static void the_time_in_an_id_never_contradicts_the_order_of_ids(void **state)
{
    struct model *m = *state;
    m->seed = 3;
    char texts[2][24];
    for (int i = 0; i < 200000; i++) {
        for (int k = 0; k < 2; k++) {
            size_t n = (size_t)draw(m, 16);
            memcpy(texts[k], "run_", 4);
            if (!draw(m, 8))
                texts[k][draw(m, 4)] = (char)(1 + draw(m, 255));
            for (size_t c = 0; c < n; c++)
                texts[k][4 + c] = draw(m, 3) ? "0129aijklmouz"[draw(m, 13)] : (char)(1 + draw(m, 255));
            texts[k][4 + n] = 0;
        }
        struct str a = str_of(texts[0]), b = str_of(texts[1]);
        int order = str_cmp(a, b);
        if ((order < 0 && run_id_ms(a) > run_id_ms(b)) || (order > 0 && run_id_ms(a) < run_id_ms(b)))
            fail_msg("%s %lld, %s %lld", a.p, (long long)run_id_ms(a), b.p, (long long)run_id_ms(b));
    }
    char id[ID_SIZE];
    name_run(id, 1792345678901, 5);
    assert_int_equal(run_id_ms(str_of(id)), 1792345678901);
}

static enum err damage(struct db *db, void *context, struct fault *why) { return db_script(db, context, why); }

/* Every text that is cut or changed anywhere is refused or read; never past its end. */
static void damaged_blocks_are_refused(void **state)
{
    struct model *m = *state;
    struct fault why;
    m->seed = 5;
    m->batch_n = 3;
    for (size_t i = 0; i < m->batch_n; i++)
        m->batch[i] = some_run(m);
    const struct run *order[] = { &m->batch[0], &m->batch[1], &m->batch[2] };
    assert_int_equal(run_order(order, 3), 3);
    AUTO_BUF kinds, records, mask;
    buf_init(&kinds, 1 << 20);
    buf_init(&records, 1 << 20);
    buf_init(&mask, 1 << 20);
    run_block_write(order, 3, &kinds, &records, &mask);
    for (size_t i = 0; i < 2 * (kinds.n + records.n); i++) {
        AUTO_ARENA a = arena_new(4096);
        size_t cut = i / 2;
        char *k = mem_cstr(buf_str(&kinds)), *r = mem_cstr(buf_str(&records));
        struct str kind_text = { k, kinds.n }, record_text = { r, records.n };
        if (i % 2)
            (cut < kinds.n ? k : r)[cut < kinds.n ? cut : cut - kinds.n] = "\"],[0\\"[draw(m, 6)];
        else if (cut < kinds.n)
            kind_text = (struct str){ k = mem_grow(k, cut + 1), cut };
        else
            record_text = (struct str){ r = mem_grow(r, cut - kinds.n + 1), cut - kinds.n };
        struct run_kinds read;
        struct run_line line;
        struct run out;
        enum err e = run_kinds_rows(a, kind_text, &read, &why);
        for (size_t row = 0; !e && row < read.n; row++)
            e = run_kind_read(read.rows[row], &(struct run_kind){ 0 }, &why);
        if (!e) {
            assert_true(i % 2 || cut >= kinds.n);
            struct run_lines lines = run_lines(record_text, read.n);
            while (!e && run_lines_next(&lines, &line))
                e = run_line_read(&line, &read, &out, &why);
            assert_true(i % 2 || lines.broken || e);
        }
        free(k);
        free(r);
    }
    assert_int_equal(store_write(m->room->store, insert, m, &m->room->why), ERR_NONE);
    assert_int_equal(store_write(m->room->store, damage, "UPDATE run_block SET records = '[[\"run_'", &m->room->why), ERR_NONE);
    struct run *runs;
    assert_int_equal(run_list(reader(m), m->room->arena, &(struct run_filter){ .limit = 5 }, &runs, &(size_t){ 0 }, &m->room->why),
                     ERR_STORE);
    m->prune_before = T0 + 1000 * HOUR;
    m->prune_most = 100;
    assert_int_equal(store_write(m->room->store, prune, m, &m->room->why), ERR_NONE);
    assert_int_equal(m->deleted, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lists_cursors_filters_and_gets_agree_with_a_plain_array),
        TEST(a_quiet_day_becomes_a_few_blocks),
        TEST(a_busy_second_of_small_batches_becomes_full_blocks),
        TEST(a_long_call_finds_its_place_among_old_blocks),
        TEST(lists_are_whole_while_blocks_are_put_together),
        TEST(the_time_in_an_id_never_contradicts_the_order_of_ids),
        TEST(damaged_blocks_are_refused),
    };
    return cmocka_run_group_tests_name("call/run_store", tests, NULL, NULL);
}
