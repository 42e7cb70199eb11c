#include "call/run_store.h"

#include <stdlib.h>

#include "base/map.h"
#include "call/run_block.h"

#define SMALL (RUN_BLOCK_MOST / 2)  /* blocks below are put together with others of their span */
#define SETTLED_MS 2000             /* behind the newest span: most of what belongs there has come */
#define STEP_BLOCKS 256             /* fresh blocks of one step */
#define OLD_BLOCKS 10000            /* deleted at once */
#define KEY_BLOCKS 8                /* a key that is in more of a span's blocks is looked for in all */
#define KEY_TEXT 200                /* "blocks" grows no longer than this and one more entry */
#define TEXT_MAX (4 << 20)          /* of one block; never met */

/* ---- spans ---- */

#define ID_PREFIX "run_"
#define ID_TIME 10 /* characters of base32 */

/* 0-31 for the digits of ids, 0-9 and a-z without i, l, o, u; -1 for all else. */
static int digit(unsigned char c)
{
#define D(c, value) [c] = (value) + 1
    static const int8_t digits[256] = {
        D('0', 0),  D('1', 1),  D('2', 2),  D('3', 3),  D('4', 4),  D('5', 5),  D('6', 6),  D('7', 7),
        D('8', 8),  D('9', 9),  D('a', 10), D('b', 11), D('c', 12), D('d', 13), D('e', 14), D('f', 15),
        D('g', 16), D('h', 17), D('j', 18), D('k', 19), D('m', 20), D('n', 21), D('p', 22), D('q', 23),
        D('r', 24), D('s', 25), D('t', 26), D('v', 27), D('w', 28), D('x', 29), D('y', 30), D('z', 31),
    };
#undef D
    return digits[c] - 1;
}

/* What is no digit lies between two: the text comes after all that begin with the lower one. Answers `ms` with the rest filled up.
 */
static int64_t between_digits(int64_t ms, unsigned char c, int places)
{
    int below = -1;
    for (unsigned char lower = c; lower && below < 0; lower--)
        below = digit(lower);
    return ((ms * 32 + below + 1) << 5 * (places - 1)) - (below >= 0);
}

int64_t run_id_ms(struct str id)
{
    const struct str prefix = STR(ID_PREFIX);
    if (!str_starts(id, prefix))
        return str_cmp(id, prefix) < 0 ? 0 : (INT64_C(1) << 5 * ID_TIME) - 1;
    int64_t ms = 0;
    for (int i = 0; i < ID_TIME; i++) {
        if (prefix.n + (size_t)i >= id.n)
            return ms << 5 * (ID_TIME - i);
        unsigned char c = (unsigned char)id.p[prefix.n + (size_t)i];
        int value = digit(c);
        if (value < 0)
            return between_digits(ms, c, ID_TIME - i);
        ms = ms * 32 + value;
    }
    return ms;
}

/* ---- writing blocks ---- */

/* Where a new block of this second of ids belongs: a span of its own, unless an older one reaches over it already. */
static enum err span_find(struct db *db, int64_t second, int64_t *span, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    struct query *q =
        query_begin(db, "SELECT span, max_id FROM run_block WHERE span <= $1 ORDER BY span DESC, max_id DESC LIMIT 1");
    query_i64(q, second);
    *span = second;
    if (query_next(q) && run_id_ms(query_get_text(q, 1, a)) >= second)
        *span = query_get_i64(q, 0);
    return query_end(q, why);
}

/* *id is 0 when it is there already: no two blocks have a record in common, so the newest tells that it is the same. */
static enum err block_put(struct db *db, int64_t span, const struct run *const *runs, size_t n, int64_t *id, struct buf *mask,
                          struct fault *why)
{
    AUTO_BUF kinds, records;
    wall_ms from = INT64_MAX, to = INT64_MIN;
    buf_init(&kinds, TEXT_MAX);
    buf_init(&records, TEXT_MAX);
    (void)buf_room(&records, n * 160);
    for (size_t i = 0; i < n; i++) {
        from = runs[i]->started < from ? runs[i]->started : from;
        to = runs[i]->started > to ? runs[i]->started : to;
    }
    run_block_write(runs, n, &kinds, &records, mask);
    if (buf_failed(mask) || buf_failed(&kinds) || buf_failed(&records))
        return fault(why, ERR_INTERNAL, STR(""), "a block of %zu run records is too long", n);
    struct query *q = query_begin(db, "INSERT INTO run_block (span, max_id, min_id, to_ms, from_ms, count, kinds, records) VALUES "
                                      "($1, $2, $3, $4, $5, $6, $7, $8)"
                                      " ON CONFLICT (span, max_id, min_id, to_ms) DO NOTHING RETURNING id");
    query_i64(q, span);
    query_text(q, str_of(runs[0]->id));
    query_text(q, str_of(runs[n - 1]->id));
    query_i64(q, to);
    query_i64(q, from);
    query_i64(q, (int64_t)n);
    query_text(q, buf_str(&kinds));
    query_text(q, buf_str(&records));
    *id = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

static enum err fresh_put(struct db *db, int64_t span, int64_t block, struct str mask, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO run_fresh (span, block_id, mask) VALUES ($1, $2, $3)");
    query_i64(q, span);
    query_i64(q, block);
    query_text(q, mask);
    return query_end(q, why);
}

static int64_t second_of(const struct run *r) { return run_id_ms(str_of(r->id)) / RUN_SPAN_MS * RUN_SPAN_MS; }

static enum err piece_put(struct db *db, int64_t second, const struct run *const *runs, size_t n, struct fault *why)
{
    AUTO_BUF mask;
    int64_t span, block;
    enum err e;
    buf_init(&mask, TEXT_MAX);
    if ((e = span_find(db, second, &span, why)) || (e = block_put(db, span, runs, n, &block, &mask, why)))
        return e;
    return block ? fresh_put(db, span, block, buf_str(&mask), why) : ERR_NONE;
}

enum err runs_insert_from(struct db *db, const struct run **runs, size_t n, struct fault *why)
{
    enum err e = ERR_NONE;
    n = run_order(runs, n);
    for (size_t at = 0, size = 0; !e && at < n; at += size) {
        int64_t second = second_of(runs[at]);
        for (size = 1; size < RUN_BLOCK_MOST && at + size < n && second_of(runs[at + size]) == second;)
            size++;
        e = piece_put(db, second, runs + at, size, why);
    }
    return e;
}

enum err runs_insert(struct db *db, const struct run *runs, size_t n, struct fault *why)
{
    const struct run *few[RUN_BLOCK_MOST], **each = n <= COUNT(few) ? few : mem_grow(NULL, n * sizeof *each);
    for (size_t i = 0; i < n; i++)
        each[i] = &runs[i];
    enum err e = runs_insert_from(db, each, n, why);
    if (each != few)
        free(each);
    return e;
}

/* ---- keys ---- */

struct key {
    struct str text; /* p == NULL: a free slot */
    uint64_t hash;
    size_t count;
    int64_t blocks[KEY_BLOCKS];
};

/* The distinct keys of some blocks: open addressing, at most half full. Texts are the blocks', memory is the arena's. */
struct keys {
    struct arena *arena;
    struct key *slots;
    size_t size, count;
};

static struct key *keys_slot(const struct keys *k, struct str text, uint64_t hash)
{
    size_t at = hash & (k->size - 1);
    while (k->slots[at].text.p && (k->slots[at].hash != hash || !str_eq(k->slots[at].text, text)))
        at = (at + 1) & (k->size - 1);
    return &k->slots[at];
}

static void keys_grow(struct keys *k)
{
    struct keys old = *k;
    k->size = old.size ? old.size * 2 : 64;
    k->slots = arena_array(k->arena, k->size, sizeof *k->slots);
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].text.p)
            *keys_slot(k, old.slots[i].text, old.slots[i].hash) = old.slots[i];
}

static void keys_add(struct keys *k, struct str text, int64_t block)
{
    if (!run_is_key(text))
        return;
    if (k->count * 2 >= k->size)
        keys_grow(k);
    uint64_t hash = hash_keyed(text);
    struct key *key = keys_slot(k, text, hash);
    if (!key->text.p) {
        *key = (struct key){ .text = text, .hash = hash };
        k->count++;
    }
    size_t known = key->count < KEY_BLOCKS ? key->count : KEY_BLOCKS;
    if (known && key->blocks[known - 1] == block)
        return;
    if (key->count < KEY_BLOCKS)
        key->blocks[key->count] = block;
    key->count++;
}

static bool keys_have(const struct keys *k, struct str text) { return k->size && keys_slot(k, text, hash_keyed(text))->text.p; }

static enum err keys_add_kinds(struct keys *k, const struct run_kinds *kinds, int64_t block, struct fault *why)
{
    struct run_kind kind, last = { 0 };
    for (size_t i = 0; i < kinds->n; i++, last = kind) {
        enum err e = run_kind_read(kinds->rows[i], &kind, why);
        if (e)
            return e;
        if (!str_eq(last.connection, kind.connection))
            keys_add(k, kind.connection, block);
        if (!str_eq(last.caller, kind.caller))
            keys_add(k, kind.caller, block);
        if (!str_eq(last.outcome, kind.outcome))
            keys_add(k, kind.outcome, block);
    }
    return ERR_NONE;
}

static enum err keys_add_block(struct db *db, struct keys *k, int64_t block, struct fault *why)
{
    struct run_kinds kinds;
    struct query *q = query_begin(db, "SELECT kinds FROM run_block WHERE id = $1");
    query_i64(q, block);
    struct str text = query_next(q) ? query_get_text(q, 0, k->arena) : STR_NONE;
    enum err e = query_end(q, why);
    if (e || (e = run_kinds_rows(k->arena, text, &kinds, why)))
        return e;
    return keys_add_kinds(k, &kinds, block, why);
}

/* Adds what is new to what is known of this span. A text that names blocks which are gone does no harm. */
static enum err key_write(struct db *db, const struct key *key, int64_t span, struct fault *why)
{
    char text[KEY_BLOCKS * (STR_U64_MAX + 1)];
    size_t n = 0;
    for (size_t i = 0; i < key->count && key->count <= KEY_BLOCKS; i++) {
        if (i)
            text[n++] = ',';
        n += str_put_u64(text + n, (uint64_t)key->blocks[i]);
    }
    struct query *q =
        query_begin(db, "INSERT INTO run_key (key, span, blocks) VALUES ($1, $2, $3) ON CONFLICT (key, span) DO UPDATE SET blocks ="
                        " CASE WHEN length(run_key.blocks) > $4 THEN NULL ELSE run_key.blocks || ',' || excluded.blocks END WHERE "
                        "run_key.blocks IS NOT NULL");
    query_text(q, key->text);
    query_i64(q, span);
    query_text(q, n ? (struct str){ text, n } : STR_NONE);
    query_i64(q, KEY_TEXT);
    return query_end(q, why);
}

static int by_text(const void *x, const void *y)
{
    const struct key *const *a = x, *const *b = y;
    return str_cmp((*a)->text, (*b)->text);
}

/* In their order, so that neighbours in the index come one after the other. */
static enum err keys_write(struct db *db, const struct keys *k, int64_t span, struct fault *why)
{
    const struct key **sorted = arena_array(k->arena, k->count + 1, sizeof *sorted);
    size_t n = 0;
    enum err e = ERR_NONE;
    for (size_t i = 0; i < k->size; i++)
        if (k->slots[i].text.p)
            sorted[n++] = &k->slots[i];
    qsort(sorted, n, sizeof *sorted, by_text);
    for (size_t i = 0; !e && i < n; i++)
        e = key_write(db, sorted[i], span, why);
    return e;
}

/* Those of `k` that are not in `left`. */
static enum err keys_delete(struct db *db, const struct keys *k, const struct keys *left, int64_t span, struct fault *why)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < k->size; i++) {
        if (!k->slots[i].text.p || keys_have(left, k->slots[i].text))
            continue;
        struct query *q = query_begin(db, "DELETE FROM run_key WHERE key = $1 AND span = $2");
        query_text(q, k->slots[i].text);
        query_i64(q, span);
        e = query_end(q, why);
    }
    return e;
}

/* ---- a span and its blocks ---- */

struct part {
    int64_t id, count;
    bool fresh, rewritten;
};

struct span {
    int64_t begin, count;
    struct part *parts;
    size_t n, room;
};

static void span_add(struct span *s, struct arena *a, struct part part)
{
    if (s->n == s->room) {
        s->room = s->room ? s->room * 2 : 8;
        struct part *wider = arena_array(a, s->room, sizeof *wider);
        if (s->n)
            memcpy(wider, s->parts, s->n * sizeof *wider);
        s->parts = wider;
    }
    s->parts[s->n++] = part;
    s->count += part.count;
}

static enum err span_read(struct db *db, struct arena *a, int64_t begin, struct span *s, struct fault *why)
{
    struct query *q = query_begin(db,
        "SELECT b.id, b.count, f.block_id FROM run_block b LEFT JOIN run_fresh f ON f.span = b.span AND f.block_id = b.id"
        " WHERE b.span = $1 ORDER BY b.id");
    *s = (struct span){ .begin = begin };
    query_i64(q, begin);
    while (query_next(q))
        span_add(s, a, (struct part){ .id = query_get_i64(q, 0), .count = query_get_i64(q, 1), .fresh = !query_is_null(q, 2) });
    return query_end(q, why);
}

static enum err block_delete(struct db *db, int64_t id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM run_block WHERE id = $1");
    query_i64(q, id);
    return query_end(q, why);
}

static enum err span_unfresh(struct db *db, int64_t span, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM run_fresh WHERE span = $1");
    query_i64(q, span);
    return query_end(q, why);
}

/* ---- putting together ---- */

/* Spans that become one: neighbours, their records in order. */
struct group {
    struct span spans[RUN_BLOCK_MOST];
    size_t n;
    int64_t count;
};

struct records {
    struct run *runs;
    size_t n, room;
};

static enum err records_read(struct db *db, struct arena *a, int64_t block, struct records *r, struct fault *why)
{
    struct run_kinds kinds;
    struct run_line line;
    struct str texts[2] = { STR(""), STR("") };
    struct query *q = query_begin(db, "SELECT kinds, records FROM run_block WHERE id = $1");
    query_i64(q, block);
    bool there = query_next(q);
    for (int i = 0; there && i < 2; i++)
        texts[i] = query_get_text(q, i, a);
    enum err e = query_end(q, why);
    if (e || (e = run_kinds_rows(a, texts[0], &kinds, why)))
        return e;
    struct run_lines lines = run_lines(texts[1], kinds.n);
    while (!e && run_lines_next(&lines, &line)) {
        if (r->n == r->room)
            return fault(why, ERR_STORE, STR(""), "block %lld holds more records than it says", (long long)block);
        e = run_line_read(&line, &kinds, &r->runs[r->n++], why);
    }
    return e ? e : lines.broken ? fault(why, ERR_STORE, STR(""), "block %lld is damaged", (long long)block) : ERR_NONE;
}

/* Takes the marked blocks of a span out, with what they hold. */
static enum err span_take(struct db *db, struct arena *a, const struct span *s, struct records *r, struct fault *why)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < s->n; i++) {
        if (!s->parts[i].rewritten)
            continue;
        struct arena_mark mark = arena_mark(a);
        e = records_read(db, a, s->parts[i].id, r, why);
        arena_rewind(a, mark);
        if (!e)
            e = block_delete(db, s->parts[i].id, why);
    }
    return e;
}

/* Keys go with their span; fresh blocks have none yet. */
static enum err span_dissolve(struct db *db, const struct span *s, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct keys gone = { .arena = a }, none = { .arena = a };
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < s->n; i++)
        if (!s->parts[i].fresh)
            e = keys_add_block(db, &gone, s->parts[i].id, why);
    if (!e)
        e = keys_delete(db, &gone, &none, s->begin, why);
    return e ? e : span_unfresh(db, s->begin, why);
}

static enum err records_write(struct db *db, int64_t span, const struct records *r, struct keys *keys, struct fault *why)
{
    const struct run **order = arena_array(keys->arena, r->n + 1, sizeof *order);
    for (size_t i = 0; i < r->n; i++)
        order[i] = &r->runs[i];
    size_t n = run_order(order, r->n), size;
    enum err e = ERR_NONE;
    for (size_t at = 0; !e && at < n; at += size) {
        AUTO_BUF mask;
        int64_t id;
        buf_init(&mask, TEXT_MAX);
        size = n - at < RUN_BLOCK_MOST ? n - at : RUN_BLOCK_MOST;
        if (!(e = block_put(db, span, order + at, size, &id, &mask, why)))
            e = keys_add_block(db, keys, id, why);
    }
    return e;
}

/* Small blocks are written anew as large ones, the others stay as they are; then the keys of all that is new. */
static enum err group_write(struct db *db, struct group *g, struct fault *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct keys keys = { .arena = a };
    struct records r = { 0 };
    struct span *first = &g->spans[0];
    enum err e = ERR_NONE;
    for (size_t s = 0; s < g->n; s++)
        for (size_t i = 0; i < g->spans[s].n; i++)
            r.room += g->spans[s].parts[i].rewritten ? (size_t)g->spans[s].parts[i].count : 0;
    r.runs = arena_array(a, r.room + 1, sizeof *r.runs);
    for (size_t s = 1; !e && s < g->n; s++)
        e = span_dissolve(db, &g->spans[s], why);
    for (size_t s = 0; !e && s < g->n; s++)
        e = span_take(db, a, &g->spans[s], &r, why);
    for (size_t i = 0; !e && i < first->n; i++)
        if (first->parts[i].fresh && !first->parts[i].rewritten)
            e = keys_add_block(db, &keys, first->parts[i].id, why);
    if (e || (e = records_write(db, first->begin, &r, &keys, why)) || (e = keys_write(db, &keys, first->begin, why)))
        return e;
    return span_unfresh(db, first->begin, why);
}

/* All of several spans, for they have to end in one; of a single span the small ones, if that makes them half as many. */
static void group_mark(struct group *g)
{
    struct span *s = &g->spans[0];
    size_t small = 0, records = 0;
    for (size_t i = 0; i < s->n; i++) {
        small += s->parts[i].count < SMALL;
        records += s->parts[i].count < SMALL ? (size_t)s->parts[i].count : 0;
    }
    bool worth = small >= 2 * ((records + RUN_BLOCK_MOST - 1) / RUN_BLOCK_MOST);
    for (size_t k = 0; k < g->n; k++)
        for (size_t i = 0; i < g->spans[k].n; i++)
            g->spans[k].parts[i].rewritten = g->n > 1 || (worth && g->spans[k].parts[i].count < SMALL);
}

/* The span before or after, -1: none. */
static enum err span_beside(struct db *db, bool after, int64_t span, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, after ? "SELECT span FROM run_block WHERE span > $1 ORDER BY span LIMIT 1"
                                            : "SELECT span FROM run_block WHERE span < $1 ORDER BY span DESC LIMIT 1");
    query_i64(q, span);
    *out = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, why);
}

static bool group_fits(const struct group *g, const struct span *s)
{
    int64_t first = g->spans[0].begin, last = s->begin;
    return g->n < COUNT(g->spans) && g->count + s->count <= RUN_BLOCK_MOST &&
           (last > first ? last - first : first - last) < RUN_SPAN_MOST_MS;
}

/* A span with fresh blocks, the one before it if it is as small, and those after it, while all fit into one block. */
static enum err group_gather(struct db *db, struct arena *a, int64_t begin, int64_t settled, struct group *g, struct fault *why)
{
    struct span s;
    int64_t beside;
    enum err e = span_read(db, a, begin, &g->spans[0], why);
    g->n = 1;
    g->count = g->spans[0].count;
    if (e || (e = span_beside(db, false, begin, &beside, why)))
        return e;
    if (beside >= 0 && !(e = span_read(db, a, beside, &s, why)) && group_fits(g, &s)) {
        g->spans[g->n++] = g->spans[0];
        g->spans[0] = s;
        g->count += s.count;
    }
    for (;;) {
        if (e || (e = span_beside(db, true, g->spans[g->n - 1].begin, &beside, why)) || beside < 0 || beside > settled)
            return e;
        if ((e = span_read(db, a, beside, &s, why)) || !group_fits(g, &s))
            return e;
        g->spans[g->n++] = s;
        g->count += s.count;
    }
}

static size_t group_fresh(const struct group *g)
{
    size_t fresh = 0;
    for (size_t s = 0; s < g->n; s++)
        for (size_t i = 0; i < g->spans[s].n; i++)
            fresh += g->spans[s].parts[i].fresh;
    return fresh;
}

/* The next span with fresh blocks that is old enough, from `from` on; -1: none. */
static enum err fresh_next(struct db *db, int64_t from, int64_t settled, int64_t *span, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT span FROM run_fresh WHERE span >= $1 AND span <= $2 ORDER BY span LIMIT 1");
    query_i64(q, from);
    query_i64(q, settled);
    *span = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, why);
}

static enum err newest_span(struct db *db, int64_t *span, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT span FROM run_block ORDER BY span DESC LIMIT 1");
    *span = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, why);
}

enum err runs_compact(struct db *db, bool *more, struct fault *why)
{
    int64_t newest, span;
    size_t done = 0;
    enum err e = newest_span(db, &newest, why);
    int64_t settled = newest - SETTLED_MS;
    *more = false;
    if (!e)
        e = fresh_next(db, 0, settled, &span, why);
    while (!e && span >= 0 && done < STEP_BLOCKS) {
        AUTO_ARENA a = arena_new(16 * 1024);
        struct group *g = arena_zero(a, sizeof *g);
        if ((e = group_gather(db, a, span, settled, g, why)))
            return e;
        done += group_fresh(g);
        group_mark(g);
        if (!(e = group_write(db, g, why)))
            e = fresh_next(db, g->spans[g->n - 1].begin + 1, settled, &span, why);
    }
    *more = !e && span >= 0;
    return e;
}

/* ---- pruning ---- */

struct old {
    int64_t span;
    struct part part;
};

/* The oldest blocks with nothing newer than `before`: as many as hold `most` records, at least one. */
static enum err old_blocks(struct db *db, struct arena *a, wall_ms before, int most, struct old **out, size_t *n, struct fault *why)
{
    struct query *q = query_begin(db,
        "SELECT b.span, b.id, b.count, f.block_id FROM run_block b LEFT JOIN run_fresh f ON f.span = b.span AND f.block_id = b.id"
        " WHERE b.span < $1 AND b.to_ms < $1 ORDER BY b.span, b.max_id LIMIT $2");
    int rows = most < OLD_BLOCKS ? most : OLD_BLOCKS;
    struct old *blocks = arena_array(a, (size_t)rows, sizeof *blocks);
    int64_t count = 0;
    *n = 0;
    query_i64(q, before);
    query_i64(q, rows);
    while (query_next(q)) {
        struct part part = { .id = query_get_i64(q, 1), .count = query_get_i64(q, 2), .fresh = !query_is_null(q, 3) };
        if (*n && count + part.count > most)
            break;
        count += part.count;
        blocks[(*n)++] = (struct old){ query_get_i64(q, 0), part };
    }
    *out = blocks;
    return query_end(q, why);
}

static enum err fresh_delete(struct db *db, int64_t span, int64_t block, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM run_fresh WHERE span = $1 AND block_id = $2");
    query_i64(q, span);
    query_i64(q, block);
    return query_end(q, why);
}

/* Blocks of one span. Their keys go with them, but for those that others of the span have too. */
static enum err span_prune(struct db *db, const struct old *blocks, size_t n, struct fault *why)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct keys gone = { .arena = a }, left = { .arena = a };
    struct span s;
    enum err e = ERR_NONE;
    /* What is damaged has no keys that one could tell, and has to go all the same. A failure of the database sticks to it. */
    for (size_t i = 0; i < n; i++)
        if (!blocks[i].part.fresh && keys_add_block(db, &gone, blocks[i].part.id, why))
            continue;
    for (size_t i = 0; !e && i < n; i++)
        if (!(e = block_delete(db, blocks[i].part.id, why)) && blocks[i].part.fresh)
            e = fresh_delete(db, blocks[i].span, blocks[i].part.id, why);
    if (e || (e = span_read(db, a, blocks[0].span, &s, why)))
        return e;
    for (size_t i = 0; i < s.n; i++)
        if (!s.parts[i].fresh && keys_add_block(db, &left, s.parts[i].id, why))
            continue;
    return keys_delete(db, &gone, &left, blocks[0].span, why);
}

enum err runs_prune(struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct old *blocks;
    size_t n;
    *deleted = 0;
    if (most < 1)
        return ERR_NONE;
    enum err e = old_blocks(db, a, before, most, &blocks, &n, why);
    for (size_t at = 0, size; !e && at < n; at += size) {
        for (size = 0; at + size < n && blocks[at + size].span == blocks[at].span; size++)
            *deleted += blocks[at + size].part.count;
        e = span_prune(db, blocks + at, size, why);
    }
    if (e)
        *deleted = 0;
    return e;
}
