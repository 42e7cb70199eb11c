#include <stdlib.h>

#include "base/map.h"
#include "call/run_block.h"
#include "call/run_store.h"

#define KEYS_MOST 64       /* of one condition; with more it does not choose the spans, but the records only */
#define KEY_BLOCKS_MOST 32 /* that a key's row may name */
#define KEY_TEXT_MAX 512
#define KEYS_QUICK 4       /* of one condition; with more a block's kinds are read at once */
#define WANTS_MOST 5
#define BOUND_MOST 1000    /* connections of one token */
#define LAST_ID STR("~")   /* after every id */

/* ---- which spans ---- */

/* A key, and the latest span at or before the walk's place that has records of it. */
struct want_key {
    struct str text;
    int64_t span;             /* -1: none; INT64_MAX: not looked yet */
    int64_t blocks[KEY_BLOCKS_MOST];
    size_t count;             /* 0: any block of the span */
};

/* One condition: a record has one of these keys. All conditions must hold. */
struct want {
    struct want_key keys[KEYS_MOST];
    size_t count;
};

struct fresh {
    int64_t span, block;
};

struct walk {
    struct db *db;
    const struct run_filter *filter;
    struct arena *arena;
    struct arena *scratch;    /* of one block */
    struct want *wants[WANTS_MOST];
    size_t want_count;
    struct fresh *fresh;      /* by span; blocks that are in no index yet and may have what is wanted */
    size_t fresh_count;
    struct str before;
    int64_t at;               /* the next span is at or before */
    int64_t floor;            /* nothing in earlier spans */
    struct map *folders;      /* of connections met: whether they are in one of the filter's folders */
};

/* "12,34": the blocks. More than fit, or anything else, is any block. */
static void read_blocks(struct want_key *k, struct str text)
{
    struct str piece;
    uint64_t block;
    k->count = 0;
    while (str_piece(&text, ',', &piece)) {
        if (k->count == KEY_BLOCKS_MOST || !str_u64(piece, &block)) {
            k->count = 0;
            return;
        }
        k->blocks[k->count++] = (int64_t)block;
    }
}

static enum err want_key_seek(struct walk *w, struct want_key *k, int64_t at, struct fault *why)
{
    struct arena_mark mark = arena_mark(w->scratch);
    struct query *q =
        query_begin(w->db, "SELECT span, blocks FROM run_key WHERE key = $1 AND span <= $2 ORDER BY span DESC LIMIT 1");
    query_text(q, k->text);
    query_i64(q, at);
    bool found = query_next(q);
    k->span = found ? query_get_i64(q, 0) : -1;
    read_blocks(k, found ? query_get_text(q, 1, w->scratch) : STR_NONE);
    arena_rewind(w->scratch, mark);
    return query_end(q, why);
}

static enum err want_next(struct walk *w, struct want *want, int64_t at, int64_t *span, struct fault *why)
{
    enum err e = ERR_NONE;
    *span = -1;
    for (size_t i = 0; !e && i < want->count; i++) {
        struct want_key *k = &want->keys[i];
        if (k->span > at)
            e = want_key_seek(w, k, at, why);
        if (k->span > *span)
            *span = k->span;
    }
    return e;
}

static int64_t fresh_next(const struct walk *w, int64_t at)
{
    size_t low = 0, high = w->fresh_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (w->fresh[middle].span <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? w->fresh[low - 1].span : -1;
}

static bool is_fresh(const struct walk *w, int64_t span, int64_t block)
{
    size_t low = 0, high = w->fresh_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct fresh *f = &w->fresh[middle];
        if (f->span == span && f->block == block)
            return true;
        if (f->span < span || (f->span == span && f->block < block))
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static enum err any_next(struct walk *w, int64_t at, int64_t *span, struct fault *why)
{
    struct query *q = query_begin(w->db, "SELECT span FROM run_block WHERE span <= $1 ORDER BY span DESC LIMIT 1");
    query_i64(q, at);
    *span = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, why);
}

/* The latest span that all conditions agree on: each in turn draws the place back to where it has something. */
static enum err wanted_next(struct walk *w, int64_t at, int64_t *span, struct fault *why)
{
    size_t agreed = 0;
    enum err e;
    for (size_t i = 0; at >= 0 && agreed < w->want_count; i = (i + 1) % w->want_count) {
        int64_t there;
        if ((e = want_next(w, w->wants[i], at, &there, why)))
            return e;
        agreed = there == at ? agreed + 1 : 1;
        at = there;
    }
    *span = at;
    return ERR_NONE;
}

static enum err span_next(struct walk *w, int64_t *span, struct fault *why)
{
    enum err e;
    if (!w->want_count) {
        e = any_next(w, w->at, span, why);
    } else {
        int64_t fresh = fresh_next(w, w->at);
        e = wanted_next(w, w->at, span, why);
        if (fresh > *span)
            *span = fresh;
    }
    if (*span < w->floor)
        *span = -1;
    return e;
}

static bool key_names(const struct want_key *k, int64_t block)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->blocks[i] == block)
            return true;
    return !k->count;
}

static bool want_names(const struct want *want, int64_t span, int64_t block)
{
    for (size_t i = 0; i < want->count; i++)
        if (want->keys[i].span == span && key_names(&want->keys[i], block))
            return true;
    return false;
}

static bool may_hold(const struct walk *w, int64_t span, int64_t block)
{
    if (w->want_count && is_fresh(w, span, block))
        return true;
    for (size_t i = 0; i < w->want_count; i++)
        if (!want_names(w->wants[i], span, block))
            return false;
    return true;
}

/* ---- which blocks of a span ---- */

struct header {
    int64_t id;
    struct str max_id;
};

struct headers {
    struct header *at;
    size_t n, room;
};

static void headers_add(struct headers *h, struct arena *a, struct header header)
{
    if (h->n == h->room) {
        h->room = h->room ? h->room * 2 : 16;
        struct header *wider = arena_array(a, h->room, sizeof *wider);
        if (h->n)
            memcpy(wider, h->at, h->n * sizeof *wider);
        h->at = wider;
    }
    h->at[h->n++] = header;
}

/* The keys of one condition that name their blocks, all of them; NULL: no condition does, or there may be more. */
static const struct want *want_exact(const struct walk *w, int64_t span)
{
    if (!w->want_count || fresh_next(w, span) == span)
        return NULL;
    for (size_t i = 0; i < w->want_count; i++) {
        bool exact = true;
        for (size_t k = 0; k < w->wants[i]->count; k++)
            exact &= w->wants[i]->keys[k].span != span || w->wants[i]->keys[k].count;
        if (exact)
            return w->wants[i];
    }
    return NULL;
}

static enum err header_named(struct walk *w, struct arena *a, int64_t span, int64_t id, struct headers *h, struct fault *why)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->at[i].id == id)
            return ERR_NONE;
    struct query *q =
        query_begin(w->db, "SELECT max_id FROM run_block WHERE id = $1 AND span = $2 AND min_id < $3 AND to_ms >= $4");
    query_i64(q, id);
    query_i64(q, span);
    query_text(q, w->before);
    query_i64(q, w->filter->since);
    if (query_next(q))
        headers_add(h, a, (struct header){ id, query_get_text(q, 0, a) });
    return query_end(q, why);
}

static int latest_first(const void *x, const void *y)
{
    return str_cmp(((const struct header *)y)->max_id, ((const struct header *)x)->max_id);
}

static enum err headers_named(struct walk *w, struct arena *a, int64_t span, const struct want *want, struct headers *h,
                              struct fault *why)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; i < want->count; i++)
        for (size_t k = 0; !e && want->keys[i].span == span && k < want->keys[i].count; k++)
            if (may_hold(w, span, want->keys[i].blocks[k]))
                e = header_named(w, a, span, want->keys[i].blocks[k], h, why);
    if (h->n)
        qsort(h->at, h->n, sizeof *h->at, latest_first);
    return e;
}

/* Newest first. Only the index is read, or the few blocks that a rare key names. */
static enum err headers_read(struct walk *w, struct arena *a, int64_t span, struct headers *h, struct fault *why)
{
    const struct want *exact = want_exact(w, span);
    *h = (struct headers){ 0 };
    if (exact)
        return headers_named(w, a, span, exact, h, why);
    struct query *q = query_begin(w->db,
        "SELECT id, max_id FROM run_block WHERE span = $1 AND min_id < $2 AND to_ms >= $3 ORDER BY max_id DESC");
    query_i64(q, span);
    query_text(q, w->before);
    query_i64(q, w->filter->since);
    while (query_next(q)) {
        int64_t id = query_get_i64(q, 0);
        if (may_hold(w, span, id))
            headers_add(h, a, (struct header){ id, query_get_text(q, 1, a) });
    }
    return query_end(q, why);
}

/* ---- which records of a block ---- */

/* In a folder of the filter today; a connection that is gone is in none. Each is asked for once a walk. */
static enum err in_folders(struct walk *w, struct str connection, bool *in, struct fault *why)
{
    static const char yes = 1, no = 0;
    const char *known = w->folders ? map_get(w->folders, connection) : NULL;
    if (known) {
        *in = *known;
        return ERR_NONE;
    }
    struct arena_mark mark = arena_mark(w->scratch);
    struct query *q = query_begin(w->db, "SELECT folder_id FROM connection WHERE id = $1");
    query_text(q, connection);
    struct str folder = query_next(q) ? query_get_text(q, 0, w->scratch) : STR_NONE;
    enum err e = query_end(q, why);
    *in = folder.p && folder_scope_shares(w->filter->seen, connection);
    if (!e && folder.p && !*in)
        e = folder_scope_holds(w->db, w->filter->seen, folder, in, why);
    arena_rewind(w->scratch, mark);
    if (e)
        return e;
    if (!w->folders)
        w->folders = map_new();
    map_put(w->folders, connection, (void *)(*in ? &yes : &no));
    return ERR_NONE;
}

/* A record without a connection or a caller is nobody's; so an empty text never matches. */
static bool is(struct str value, struct str asked) { return value.n && str_eq(value, asked); }

static enum err kind_wanted(struct walk *w, struct str row, bool *wanted, struct fault *why)
{
    const struct run_filter *f = w->filter;
    struct run_kind k;
    *wanted = !f->connection.p || is(run_kind_connection(row), f->connection);
    enum err e = *wanted ? run_kind_read(row, &k, why) : ERR_NONE;
    if (e || !*wanted)
        return e;
    *wanted = (!f->caller.p || is(k.caller, f->caller)) && (!f->by_outcome || str_is(k.outcome, run_outcome_name(f->outcome))) &&
              (!f->limited || (k.connection.n && str_among(k.connection, f->connections, f->connection_count)));
    if (!*wanted || !f->seen || (f->own.p && is(k.caller, f->own)))
        return ERR_NONE;
    *wanted = false;
    return k.connection.n ? in_folders(w, k.connection, wanted, why) : ERR_NONE;
}

#define KINDS_OF "SELECT kinds FROM run_block WHERE id = $1"
#define RECORDS_OF "SELECT records FROM run_block WHERE id = $1"

static enum err column_read(struct db *db, struct arena *a, const char *sql, int64_t block, struct str *text, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_i64(q, block);
    *text = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

static enum err block_whole(const struct run_lines *lines, int64_t id, struct fault *why)
{
    return lines->broken ? fault(why, ERR_STORE, STR(""), "block %lld of run records is damaged", (long long)id) : ERR_NONE;
}

struct block {
    struct run_kinds kinds;
    struct run_lines lines;
};

/* Whether all conditions find one of their keys in the text: quicker than to read it, and mostly they do not. */
static bool text_may_hold(const struct walk *w, struct str kinds)
{
    for (size_t i = 0; i < w->want_count; i++) {
        const struct want *want = w->wants[i];
        bool any = want->count > KEYS_QUICK;
        for (size_t k = 0; !any && k < want->count; k++)
            any = memmem(kinds.p, kinds.n, want->keys[k].text.p, want->keys[k].text.n);
        if (!any)
            return false;
    }
    return true;
}

static enum err kinds_read(struct walk *w, struct str text, struct run_kinds *kinds, bool *any, struct fault *why)
{
    *any = false;
    if (!text_may_hold(w, text))
        return ERR_NONE;
    enum err e = run_kinds_rows(w->scratch, text, kinds, why);
    for (size_t i = 0; !e && i < kinds->n; i++) {
        e = kind_wanted(w, kinds->rows[i], &kinds->wanted[i], why);
        *any |= kinds->wanted[i];
    }
    return e;
}

/* Records are fetched only when a kind is wanted: they fill pages of their own. */
static enum err block_read(struct walk *w, int64_t id, struct block *b, bool *any, struct fault *why)
{
    struct str text;
    enum err e = column_read(w->db, w->scratch, KINDS_OF, id, &text, why);
    *any = false;
    if (e || (e = kinds_read(w, text, &b->kinds, any, why)) || !*any ||
        (e = column_read(w->db, w->scratch, RECORDS_OF, id, &text, why)))
        return e;
    b->lines = run_lines(text, b->kinds.n);
    return ERR_NONE;
}

/* The next record that the filter wants. */
static bool block_next(const struct walk *w, struct block *b, struct run_line *line)
{
    while (run_lines_next(&b->lines, line))
        if (b->kinds.wanted[line->kind] && line->started >= w->filter->since && str_cmp(line->id, w->before) < 0)
            return true;
    return false;
}

/* ---- beginning and end ---- */

static struct want *want_add(struct walk *w)
{
    struct want *want = arena_zero(w->arena, sizeof *want);
    w->wants[w->want_count++] = want;
    return want;
}

static void want_key_add(struct want *want, struct str text)
{
    if (text.n)
        want->keys[want->count++] = (struct want_key){ .text = text, .span = INT64_MAX };
}

static void want_one(struct walk *w, struct str text) { want_key_add(want_add(w), text); }

/* What one may see chooses the spans if it is little: connections of the folders, or oneself. */
static enum err want_visible(struct walk *w, struct fault *why)
{
    const struct run_filter *f = w->filter;
    struct want want = { 0 };
    AUTO_BUF sql;
    int param = 0;
    if (!f->seen->few)
        return ERR_NONE;
    buf_init(&sql, 64 * 1024);
    buf_add(&sql, STR("SELECT id FROM connection WHERE"));
    folder_scope_connections_sql(&sql, f->seen, "connection.folder_id", "connection.id", &param);
    buf_fmt(&sql, " LIMIT %d", KEYS_MOST);
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return fault(why, ERR_INTERNAL, STR(""), "the query for connections is too long");
    struct query *q = query_begin(w->db, sql.p);
    folder_scope_connections_bind(q, f->seen);
    while (want.count < KEYS_MOST && query_next(q))
        want_key_add(&want, query_get_text(q, 0, w->arena));
    enum err e = query_end(q, why);
    if (e || want.count == KEYS_MOST)
        return e;
    if (f->own.p)
        want_key_add(&want, f->own);
    *want_add(w) = want;
    return ERR_NONE;
}

static bool mask_may_hold(const struct walk *w, struct str mask)
{
    for (size_t i = 0; i < w->want_count; i++) {
        bool any = false;
        for (size_t k = 0; !any && k < w->wants[i]->count; k++)
            any = run_mask_may_hold(mask, w->wants[i]->keys[k].text);
        if (!any)
            return false;
    }
    return true;
}

static enum err read_fresh(struct walk *w, struct fault *why)
{
    struct query *q =
        query_begin(w->db, "SELECT span, block_id, mask FROM run_fresh WHERE span <= $1 AND span >= $2 ORDER BY span, block_id");
    size_t room = 0;
    query_i64(q, w->at);
    query_i64(q, w->floor);
    while (query_next(q)) {
        struct arena_mark mark = arena_mark(w->scratch);
        bool may = mask_may_hold(w, query_get_text(q, 2, w->scratch));
        arena_rewind(w->scratch, mark);
        if (!may)
            continue;
        if (w->fresh_count == room) {
            room = room ? room * 2 : 256;
            struct fresh *wider = arena_array(w->arena, room, sizeof *wider);
            if (w->fresh_count)
                memcpy(wider, w->fresh, w->fresh_count * sizeof *wider);
            w->fresh = wider;
        }
        w->fresh[w->fresh_count++] = (struct fresh){ query_get_i64(q, 0), query_get_i64(q, 1) };
    }
    return query_end(q, why);
}

/* With a time given, spans that begin well before it hold nothing, but for blocks astray, which have an index of their own. */
static enum err read_floor(struct walk *w, struct fault *why)
{
    w->floor = w->filter->since - RUN_ASTRAY_MS;
    if (w->filter->since <= 0)
        return ERR_NONE;
    struct query *q =
        query_begin(w->db, "SELECT span FROM run_block WHERE to_ms > span + 7200000 AND to_ms >= $1 ORDER BY span LIMIT 1");
    query_i64(q, w->filter->since);
    if (query_next(q) && query_get_i64(q, 0) < w->floor)
        w->floor = query_get_i64(q, 0);
    return query_end(q, why);
}

static enum err walk_conditions(struct walk *w, struct fault *why)
{
    const struct run_filter *f = w->filter;
    if (f->connection.p)
        want_one(w, f->connection);
    if (f->caller.p)
        want_one(w, f->caller);
    if (f->by_outcome)
        want_one(w, str_of(run_outcome_name(f->outcome)));
    if (f->limited && f->connection_count < KEYS_MOST) {
        struct want *want = want_add(w);
        for (size_t i = 0; i < f->connection_count; i++)
            want_key_add(want, f->connections[i]);
    }
    return f->seen ? want_visible(w, why) : ERR_NONE;
}

static enum err walk_begin(struct walk *w, struct db *db, const struct run_filter *f, struct fault *why)
{
    *w = (struct walk){ .db = db,
                        .filter = f,
                        .arena = arena_new(4096),
                        .scratch = arena_new(64 * 1024),
                        .before = f->before.p ? f->before : LAST_ID };
    w->at = run_id_ms(w->before);
    enum err e = read_floor(w, why);
    if (!e)
        e = walk_conditions(w, why);
    return e || !w->want_count ? e : read_fresh(w, why);
}

static void walk_end(struct walk *w)
{
    if (w->folders)
        map_free(w->folders);
    arena_free(w->scratch);
    arena_free(w->arena);
}

/* ---- a list ---- */

/* The newest so far, in order; the last one's place is used again when a newer one pushes it out. */
struct page {
    struct run **runs;
    size_t n, most;
    struct arena *arena;
};

/* Nothing that is as old as this would come into it. */
static bool page_closed(const struct page *p, struct str id)
{
    return p->n == p->most && str_cmp(id, str_of(p->runs[p->n - 1]->id)) < 0;
}

static struct run *page_place(struct page *p, struct str id)
{
    struct run *place = p->n == p->most ? p->runs[--p->n] : arena_zero(p->arena, sizeof *place);
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (str_cmp(str_of(p->runs[middle]->id), id) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    memmove(&p->runs[low + 1], &p->runs[low], (p->n - low) * sizeof *p->runs);
    p->runs[low] = place;
    p->n++;
    return place;
}

static enum err list_block(struct walk *w, int64_t id, struct page *p, struct fault *why)
{
    struct arena_mark mark = arena_mark(w->scratch);
    struct block b;
    struct run_line line;
    bool any;
    enum err e = block_read(w, id, &b, &any, why);
    while (!e && any && block_next(w, &b, &line) && !page_closed(p, line.id))
        e = run_line_read(&line, &b.kinds, page_place(p, line.id), why);
    if (!e && any)
        e = block_whole(&b.lines, id, why);
    arena_rewind(w->scratch, mark);
    return e;
}

static enum err list_span(struct walk *w, int64_t span, struct page *p, struct fault *why)
{
    struct arena_mark mark = arena_mark(w->arena);
    struct headers h;
    enum err e = headers_read(w, w->arena, span, &h, why);
    for (size_t i = 0; !e && i < h.n && !page_closed(p, h.at[i].max_id); i++)
        e = list_block(w, h.at[i].id, p, why);
    arena_rewind(w->arena, mark);
    return e;
}

static enum err list_walk(struct walk *w, struct page *p, struct fault *why)
{
    while (p->n < p->most) {
        int64_t span;
        enum err e = span_next(w, &span, why);
        if (e || span < 0 || (e = list_span(w, span, p, why)))
            return e;
        w->at = span - 1;
    }
    return ERR_NONE;
}

static enum err list_in_order(struct db *db, const struct run_filter *f, struct page *p, struct fault *why)
{
    struct walk w;
    enum err e = walk_begin(&w, db, f, why);
    if (!e)
        e = list_walk(&w, p, why);
    walk_end(&w);
    return e;
}

enum err run_list(struct db *db, struct arena *a, const struct run_filter *f, struct run **out, size_t *n, struct fault *why)
{
    *out = NULL;
    *n = 0;
    /* Actions and automations do not run yet, so none of these records is theirs. */
    if (f->limit < 1 || f->action.p || f->automation.p)
        return ERR_NONE;
    if (f->connection_count > BOUND_MOST)
        return fault(why, ERR_LIMIT, STR("connections of one token"), "%zu connections", f->connection_count);
    AUTO_ARENA own = arena_new(64 * 1024);
    struct page page = { arena_array(own, (size_t)f->limit, sizeof *page.runs), 0, (size_t)f->limit, own };
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = list_in_order(db, f, &page, why);
    db_snapshot_end(db);
    if (e)
        return e;
    *out = arena_array(a, page.n + 1, sizeof **out);
    for (*n = 0; *n < page.n; (*n)++)
        (*out)[*n] = *page.runs[*n];
    return ERR_NONE;
}

/* ---- counting ---- */

static enum err count_lines(struct walk *w, int64_t id, struct block *b, int64_t *count, struct fault *why)
{
    struct run_line line;
    struct str text;
    enum err e = column_read(w->db, w->scratch, RECORDS_OF, id, &text, why);
    b->lines = run_lines(text, b->kinds.n);
    while (!e && block_next(w, b, &line))
        ++*count;
    return e ? e : block_whole(&b->lines, id, why);
}

static enum err count_kinds(const struct run_kinds *kinds, int64_t *count, struct fault *why)
{
    struct run_kind kind;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < kinds->n; i++)
        if (kinds->wanted[i] && !(e = run_kind_read(kinds->rows[i], &kind, why)))
            *count += kind.count;
    return e;
}

/* The kinds suffice, but in blocks where the time that is asked for lies. */
static enum err count_block(struct walk *w, int64_t id, int64_t *count, struct fault *why)
{
    struct block b;
    bool any;
    struct query *q = query_begin(w->db, "SELECT kinds, from_ms FROM run_block WHERE id = $1");
    query_i64(q, id);
    struct str text = query_next(q) ? query_get_text(q, 0, w->scratch) : STR_NONE;
    bool whole = query_get_i64(q, 1) >= w->filter->since;
    enum err e = query_end(q, why);
    if (e || (e = kinds_read(w, text, &b.kinds, &any, why)) || !any)
        return e;
    return whole ? count_kinds(&b.kinds, count, why) : count_lines(w, id, &b, count, why);
}

static enum err count_span(struct walk *w, int64_t span, int64_t most, int64_t *count, struct fault *why)
{
    struct arena_mark mark = arena_mark(w->arena);
    struct headers h;
    enum err e = headers_read(w, w->arena, span, &h, why);
    for (size_t i = 0; !e && i < h.n && *count < most; i++) {
        struct arena_mark block = arena_mark(w->scratch);
        e = count_block(w, h.at[i].id, count, why);
        arena_rewind(w->scratch, block);
    }
    arena_rewind(w->arena, mark);
    return e;
}

static enum err count_walk(struct db *db, const struct run_filter *f, int64_t most, int64_t *count, struct fault *why)
{
    struct walk w;
    int64_t span;
    enum err e = walk_begin(&w, db, f, why);
    while (!e && *count < most && !(e = span_next(&w, &span, why)) && span >= 0) {
        e = count_span(&w, span, most, count, why);
        w.at = span - 1;
    }
    if (*count > most)
        *count = most;
    walk_end(&w);
    return e;
}

enum err run_count(struct db *db, struct str connection, wall_ms since, int64_t most, int64_t *out, struct fault *why)
{
    *out = 0;
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = count_walk(db, &(struct run_filter){ .connection = connection, .since = since }, most, out, why);
    db_snapshot_end(db);
    return e;
}

/* ---- one ---- */

struct block_id {
    struct block_id *next;
    int64_t id;
};

/* The blocks that may hold it: of the one span where its time is. */
static enum err blocks_around(struct db *db, struct arena *a, struct str id, struct block_id **out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM run_block WHERE span = (SELECT max(span) FROM run_block WHERE span <= $1) "
                                      "AND max_id >= $2 AND min_id <= $2");
    *out = NULL;
    query_i64(q, run_id_ms(id));
    query_text(q, id);
    while (query_next(q)) {
        struct block_id *b = arena_zero(a, sizeof *b);
        *b = (struct block_id){ *out, query_get_i64(q, 0) };
        *out = b;
    }
    return query_end(q, why);
}

static enum err get_from(struct db *db, struct arena *a, int64_t block, struct str id, struct run *out, bool *found,
                         struct fault *why)
{
    struct run_kinds kinds;
    struct run_line line;
    struct str text;
    enum err e = column_read(db, a, RECORDS_OF, block, &text, why);
    struct run_lines lines = run_lines(text, RUN_BLOCK_MOST);
    int order = 1;
    while (!e && order > 0 && run_lines_next(&lines, &line))
        order = str_cmp(line.id, id);
    if (e || order)
        return e ? e : block_whole(&lines, block, why);
    *found = true;
    if ((e = column_read(db, a, KINDS_OF, block, &text, why)) || (e = run_kinds_rows(a, text, &kinds, why)))
        return e;
    return line.kind < kinds.n ? run_line_read(&line, &kinds, out, why)
                               : fault(why, ERR_STORE, STR(""), "block %lld lacks a kind", (long long)block);
}

static enum err get(struct db *db, struct str id, struct run *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    struct block_id *blocks;
    bool found = false;
    enum err e = blocks_around(db, a, id, &blocks, why);
    struct arena_mark mark = arena_mark(a);
    for (struct block_id *b = blocks; !e && !found && b; b = b->next) {
        arena_rewind(a, mark);
        e = get_from(db, a, b->id, id, out, &found, why);
    }
    return e || found ? e : fault(why, ERR_NOT_FOUND, STR("run"), "no run of that id");
}

enum err run_get(struct db *db, struct str id, struct run *out, struct fault *why)
{
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = get(db, id, out, why);
    db_snapshot_end(db);
    return e;
}
