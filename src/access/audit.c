#include "access/audit.h"

#include "base/encode.h"
#include "crypto/hash.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define LIST_MOST 201
#define FOLDERS_FEW 200  /* so many are asked one by one at once */
#define WALK 2000        /* records: where there are more folders, a page mostly lies among the newest of all */

static const char *const outcomes[] = { [AUDIT_DONE] = "done", [AUDIT_REFUSED] = "refused", [AUDIT_FAILED] = "failed" };
static const char *const flaws[] = {
    [AUDIT_SOUND] = "sound",
    [AUDIT_CHANGED] = "changed",
    [AUDIT_MISSING] = "missing",
    [AUDIT_REORDERED] = "reordered",
    [AUDIT_TRUNCATED] = "truncated",
    [AUDIT_ROLLED_BACK] = "rolled_back",
    [AUDIT_HEADS_CHANGED] = "heads_changed",
    [AUDIT_CALLS_CHANGED] = "calls_changed",
    [AUDIT_FILE_CHANGED] = "file_changed",
};

const char *audit_outcome_name(enum audit_outcome o) { return (unsigned)o < COUNT(outcomes) ? outcomes[o] : "failed"; }
const char *audit_flaw_name(enum audit_flaw f) { return (unsigned)f < COUNT(flaws) ? flaws[f] : "changed"; }

/* ---- the columns, once: their order is the order of the hash ---- */

enum {
    COLUMN_NUMBER, COLUMN_ID, COLUMN_AT, COLUMN_ACTOR, COLUMN_ACTOR_NAME, COLUMN_VIA, COLUMN_ACTION, COLUMN_KIND, COLUMN_OBJECT,
    COLUMN_NAME, COLUMN_FOLDER, COLUMN_CLIENT, COLUMN_RUN, COLUMN_OUTCOME, COLUMN_CODE, COLUMN_BEFORE, COLUMN_AFTER,
    COLUMN_PREVIOUS, COLUMN_HASH, COLUMNS
};
#define COLUMN_LIST \
    "number, id, at_ms, actor, actor_name, via, action, kind, object, name, folder, client, run, outcome, code, before_json," \
    " after_json, previous, hash"

/* As the database holds it: the outcome is still its text, so that one the program does not know counts as well. */
struct record {
    int64_t number;
    wall_ms at;
    struct str text[COLUMNS]; /* of number and at: none */
};

/* Each value by its length, so that no two records have the same text; an absent one is told from an empty one. */
static void canonical(struct buf *out, const struct record *r)
{
    buf_add(out, STR("raccord audit 1\n"));
    buf_i64(out, r->number);
    buf_char(out, '\n');
    buf_i64(out, r->at);
    buf_char(out, '\n');
    for (int i = 0; i < COLUMN_HASH; i++) {
        if (i == COLUMN_NUMBER || i == COLUMN_AT)
            continue;
        if (!r->text[i].p) {
            buf_add(out, STR("-\n"));
            continue;
        }
        buf_u64(out, r->text[i].n);
        buf_char(out, ':');
        buf_add(out, r->text[i]);
        buf_char(out, '\n');
    }
}

static void record_hash(const struct record *r, char out[AUDIT_HASH])
{
    unsigned char digest[SHA256_SIZE];
    AUTO_BUF text;
    buf_init(&text, SIZE_MAX / 2);
    canonical(&text, r);
    sha256(buf_str(&text), digest);
    hex_write(out, (struct str){ (const char *)digest, sizeof digest });
}

/* ---- adding ---- */

/* An empty text is never NULL in the table: only before and after know "none". Cut between characters. */
static struct str column(struct str s)
{
    if (!s.p)
        return STR("");
    if (s.n <= AUDIT_TEXT_MAX)
        return s;
    size_t n = AUDIT_TEXT_MAX;
    while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_sub(s, 0, n);
}

static struct str value_column(struct arena *a, struct str json)
{
    unsigned char digest[SHA256_SIZE];
    char hex[AUDIT_HASH];
    if (json.n <= AUDIT_VALUE_MAX)
        return json;
    sha256(json, digest);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    return str_fmt(a, "{\"left_out\":{\"bytes\":%zu,\"sha256\":\"%.*s\"}}", json.n, AUDIT_HASH, hex);
}

static struct str kind_of(struct str action)
{
    struct str head, rest;
    str_cut(action, '.', &head, &rest);
    return head;
}

static enum err insert(struct db *db, const struct record *r, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO audit (" COLUMN_LIST ") VALUES"
                                      " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)");
    query_i64(q, r->number);
    query_text(q, r->text[COLUMN_ID]);
    query_i64(q, r->at);
    for (int i = COLUMN_ACTOR; i < COLUMNS; i++)
        query_text(q, r->text[i]);
    return query_end(q, why);
}

enum err audit_newest(struct db *db, struct audit_mark *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    struct query *q = query_begin(db, "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1");
    *out = (struct audit_mark){ 0 };
    memcpy(out->hash, ZEROS, AUDIT_HASH);
    if (query_next(q)) {
        struct str hash = query_get_text(q, 1, a);
        out->number = query_get_i64(q, 0);
        memset(out->hash, '?', AUDIT_HASH); /* a hash that was cut is no reason to stop recording: the check finds it */
        memcpy(out->hash, hash.p ? hash.p : "", hash.n < AUDIT_HASH ? hash.n : AUDIT_HASH);
    }
    return query_end(q, why);
}

enum err audit_add(struct db *db, const struct audit_entry *entry, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct audit_mark last;
    char id[ID_SIZE], hash[AUDIT_HASH];
    enum err e = audit_newest(db, &last, why);
    if (e)
        return e;
    struct record r = { .number = last.number + 1, .at = clock_wall() };
    r.text[COLUMN_ID] = str_of(id_new(id, "aud_"));
    r.text[COLUMN_ACTOR] = column(entry->actor);
    r.text[COLUMN_ACTOR_NAME] = column(entry->actor_name);
    r.text[COLUMN_VIA] = column(entry->via);
    r.text[COLUMN_ACTION] = column(entry->action);
    r.text[COLUMN_KIND] = column(entry->kind.p ? entry->kind : kind_of(entry->action));
    r.text[COLUMN_OBJECT] = column(entry->object);
    r.text[COLUMN_NAME] = column(entry->name);
    r.text[COLUMN_FOLDER] = column(entry->folder);
    r.text[COLUMN_CLIENT] = column(entry->client);
    r.text[COLUMN_RUN] = column(entry->run);
    r.text[COLUMN_OUTCOME] = str_of(audit_outcome_name(entry->outcome));
    r.text[COLUMN_CODE] = column(entry->code);
    r.text[COLUMN_BEFORE] = value_column(a, entry->before);
    r.text[COLUMN_AFTER] = value_column(a, entry->after);
    r.text[COLUMN_PREVIOUS] = (struct str){ last.hash, AUDIT_HASH };
    record_hash(&r, hash);
    r.text[COLUMN_HASH] = (struct str){ hash, AUDIT_HASH };
    return insert(db, &r, why);
}

/* ---- reading ---- */

static struct record read_record(struct query *q, struct arena *a)
{
    struct record r = { .number = query_get_i64(q, COLUMN_NUMBER), .at = query_get_i64(q, COLUMN_AT) };
    for (int i = 0; i < COLUMNS; i++)
        if (i != COLUMN_NUMBER && i != COLUMN_AT)
            r.text[i] = query_get_text(q, i, a);
    return r;
}

static struct audit_row row_of(const struct record *r)
{
    enum audit_outcome outcome = AUDIT_FAILED;
    for (size_t i = 0; i < COUNT(outcomes); i++)
        if (str_is(r->text[COLUMN_OUTCOME], outcomes[i]))
            outcome = (enum audit_outcome)i;
    return (struct audit_row){
        .number = r->number, .id = r->text[COLUMN_ID], .at = r->at,
        .entry = { .actor = r->text[COLUMN_ACTOR], .actor_name = r->text[COLUMN_ACTOR_NAME], .via = r->text[COLUMN_VIA],
                   .action = r->text[COLUMN_ACTION], .kind = r->text[COLUMN_KIND], .object = r->text[COLUMN_OBJECT],
                   .name = r->text[COLUMN_NAME], .folder = r->text[COLUMN_FOLDER], .client = r->text[COLUMN_CLIENT],
                   .run = r->text[COLUMN_RUN], .outcome = outcome, .code = r->text[COLUMN_CODE],
                   .before = r->text[COLUMN_BEFORE], .after = r->text[COLUMN_AFTER] },
        .previous = r->text[COLUMN_PREVIOUS], .hash = r->text[COLUMN_HASH],
    };
}

/* One text per filter, so that each has its index: a term that is always true would hide it. */
static const char *list_text(struct arena *a, const struct audit_filter *f, struct str *action)
{
    AUTO_BUF sql;
    int n = 2; /* $1 and $2 bound the numbers */
    bool any = f->action.n && str_ends(f->action, STR(".*"));
    *action = any ? str_sub(f->action, 0, f->action.n - 1) : f->action;
    buf_init(&sql, 2048);
    buf_add(&sql, STR("SELECT " COLUMN_LIST " FROM audit WHERE number > $1 AND number < $2"));
    if (f->actor.p) {
        buf_fmt(&sql, str_starts(f->actor, STR("usr_")) || str_starts(f->actor, STR("svc_")) ? " AND actor = $%d"
                                                                                             : " AND actor_name = $%d", n + 1);
        n++;
    }
    if (f->object.p) {
        buf_fmt(&sql, " AND object = $%d", n + 1);
        n++;
    }
    if (f->action.p) {
        if (any)
            buf_fmt(&sql, " AND action >= $%d AND action < $%d", n + 1, n + 2);
        else
            buf_fmt(&sql, " AND action = $%d", n + 1);
        n += any ? 2 : 1;
    }
    if (f->folder.p)
        buf_fmt(&sql, " AND EXISTS (SELECT 1 FROM folder_above v WHERE v.folder_id = audit.folder AND v.above_id = $%d"
                      " AND v.inherited = 1)", ++n);
    if (f->since)
        buf_fmt(&sql, " AND at_ms >= $%d", ++n);
    if (f->until)
        buf_fmt(&sql, " AND at_ms < $%d", ++n);
    buf_fmt(&sql, " ORDER BY number %s LIMIT $%d", f->oldest_first ? "ASC" : "DESC", n + 1);
    return arena_cstr(a, buf_str(&sql));
}

static enum err list_rows(struct db *db, struct arena *a, const struct audit_filter *f, struct audit_row *rows, size_t limit,
                          size_t *n, struct fault *why)
{
    size_t count = 0;
    struct str action;
    struct query *q = query_begin(db, list_text(a, f, &action));
    query_i64(q, f->after);
    query_i64(q, f->before ? f->before : INT64_MAX);
    if (f->actor.p)
        query_text(q, f->actor);
    if (f->object.p)
        query_text(q, f->object);
    if (f->action.p)
        query_text(q, action);
    if (f->action.p && action.n < f->action.n) /* "connection." to "connection/": the byte after the dot */
        query_text(q, str_fmt(a, "%.*s/", (int)action.n - 1, action.p));
    if (f->folder.p)
        query_text(q, f->folder);
    if (f->since)
        query_i64(q, f->since);
    if (f->until)
        query_i64(q, f->until);
    query_i64(q, (int64_t)limit);
    while (count < limit && query_next(q)) {
        struct record r = read_record(q, a);
        rows[count++] = row_of(&r);
    }
    *n = count;
    return query_end(q, why);
}

/* ---- a folder's page: the records of many folders, merged, each found by the index ---- */

/* A folder that has records of the page, and the newest of those that are not on it yet. */
struct source {
    struct str folder;
    int64_t newest;
};

struct page {
    struct db *db;
    struct arena *a;
    const struct audit_filter *f;
    struct audit_row *rows;
    size_t count, limit;
    struct source *sources;       /* newest first */
    size_t source_count;
};

static int64_t page_below(const struct audit_filter *f) { return f->before ? f->before : INT64_MAX; }

/* One look at the index for each folder. No more than `limit` of them have a record on the page: those whose newest are newest. */
static enum err find_sources(struct page *p, struct fault *why)
{
    struct query *q = query_begin(
        p->db, "SELECT v.folder_id, COALESCE((SELECT number FROM audit WHERE folder = v.folder_id AND folder <> '' AND number < $2"
               " ORDER BY number DESC LIMIT 1), 0) AS newest FROM folder_above v WHERE v.above_id = $1 AND v.inherited = 1"
               " ORDER BY newest DESC LIMIT $3");
    query_text(q, p->f->folder);
    query_i64(q, page_below(p->f));
    query_i64(q, (int64_t)p->limit);
    p->sources = arena_array(p->a, p->limit, sizeof *p->sources);
    while (p->source_count < p->limit && query_next(q) && query_get_i64(q, 1) > p->f->after)
        p->sources[p->source_count++] = (struct source){ query_get_text(q, 0, p->a), query_get_i64(q, 1) };
    return query_end(q, why);
}

/* Those of the first folder that are newer than what the next one has. */
static enum err read_run(struct page *p, int64_t older, struct fault *why)
{
    struct query *q = query_begin(p->db, "SELECT " COLUMN_LIST " FROM audit WHERE folder = $1 AND folder <> '' AND number <= $2"
                                         " AND number > $3 ORDER BY number DESC LIMIT $4");
    query_text(q, p->sources[0].folder);
    query_i64(q, p->sources[0].newest);
    query_i64(q, older);
    query_i64(q, (int64_t)(p->limit - p->count));
    while (p->count < p->limit && query_next(q)) {
        struct record r = read_record(q, p->a);
        p->rows[p->count++] = row_of(&r);
    }
    return query_end(q, why);
}

/* The first folder's newest is older now: it goes where it belongs, or away. */
static enum err next_source(struct page *p, int64_t older, struct fault *why)
{
    struct source first = p->sources[0];
    struct query *q =
        query_begin(p->db, "SELECT number FROM audit WHERE folder = $1 AND folder <> '' AND number <= $2 AND number > $3"
                           " ORDER BY number DESC LIMIT 1");
    query_text(q, first.folder);
    query_i64(q, older);
    query_i64(q, p->f->after);
    first.newest = query_next(q) ? query_get_i64(q, 0) : 0;
    size_t i = 0;
    for (; i + 1 < p->source_count && p->sources[i + 1].newest > first.newest; i++)
        p->sources[i] = p->sources[i + 1];
    p->sources[i] = first;
    p->source_count -= !first.newest;
    return query_end(q, why);
}

static enum err merge_sources(struct page *p, struct fault *why)
{
    enum err e = find_sources(p, why);
    while (!e && p->source_count && p->count < p->limit) {
        int64_t older = p->source_count > 1 ? p->sources[1].newest : p->f->after;
        if (!(e = read_run(p, older, why)) && p->count < p->limit)
            e = next_source(p, older, why);
    }
    return e;
}

static enum err has_many_folders(const struct page *p, bool *out, struct fault *why)
{
    struct query *q = query_begin(
        p->db, "SELECT COUNT(*) FROM (SELECT 1 FROM folder_above WHERE above_id = $1 AND inherited = 1 LIMIT $2) AS few");
    query_text(q, p->f->folder);
    query_i64(q, FOLDERS_FEW + 1);
    *out = query_next(q) && query_get_i64(q, 0) > FOLDERS_FEW;
    return query_end(q, why);
}

/* The page, if it lies among the WALK records before the cursor: *done. */
static enum err walk_newest(struct page *p, bool *done, struct fault *why)
{
    struct audit_filter near = *p->f;
    struct audit_mark newest;
    enum err e = audit_newest(p->db, &newest, why);
    if (e)
        return e;
    near.before = page_below(p->f) > newest.number ? newest.number + 1 : p->f->before;
    near.after = near.before - 1 - WALK > p->f->after ? near.before - 1 - WALK : p->f->after;
    e = list_rows(p->db, p->a, &near, p->rows, p->limit, &p->count, why);
    *done = p->count == p->limit || near.after == p->f->after;
    if (!*done)
        p->count = 0;
    return e;
}

static enum err folder_page(struct page *p, struct fault *why)
{
    bool many, done = false;
    enum err e = has_many_folders(p, &many, why);
    if (!e && many)
        e = walk_newest(p, &done, why);
    return e || done ? e : merge_sources(p, why);
}

bool audit_filter_finds(const struct audit_filter *f)
{
    return !f->folder.p ||
           !(f->actor.p || f->object.p || f->action.p || f->since || f->until || f->oldest_first);
}

enum err audit_list(struct db *db, struct arena *a, const struct audit_filter *f, struct audit_row **out, size_t *n,
                    struct fault *why)
{
    size_t limit = f->limit < 0 ? 0 : f->limit > LIST_MOST ? LIST_MOST : (size_t)f->limit;
    struct page p = { .db = db, .a = a, .f = f, .limit = limit, .rows = arena_array(a, limit + 1, sizeof *p.rows) };
    enum err e = f->folder.p && audit_filter_finds(f) ? folder_page(&p, why) : list_rows(db, a, f, p.rows, limit, &p.count, why);
    *out = p.rows;
    *n = p.count;
    return e;
}

/* ---- holding the chain against itself ---- */

struct walk {
    struct audit_finding *out;
    const struct audit_witness *witnesses;
    size_t witness_count, witness;
    char last[AUDIT_HASH];
};

static bool found(struct walk *w, enum audit_flaw flaw, int64_t number)
{
    w->out->flaw = flaw;
    w->out->number = number;
    return false;
}

/* True when nothing is wrong so far. */
static bool look_at(struct walk *w, const struct record *r)
{
    char hash[AUDIT_HASH];
    int64_t expected = w->out->newest.number + 1;
    if (r->number > expected)
        return found(w, AUDIT_MISSING, expected);
    record_hash(r, hash);
    if (r->number < expected || !str_eq((struct str){ hash, AUDIT_HASH }, r->text[COLUMN_HASH]))
        return found(w, AUDIT_CHANGED, r->number);
    if (!str_eq((struct str){ w->last, AUDIT_HASH }, r->text[COLUMN_PREVIOUS]))
        return found(w, AUDIT_REORDERED, r->number);
    for (; w->witness < w->witness_count && w->witnesses[w->witness].number <= r->number; w->witness++)
        if (w->witnesses[w->witness].number == r->number && memcmp(w->witnesses[w->witness].hash, hash, AUDIT_HASH))
            return found(w, AUDIT_ROLLED_BACK, r->number);
    memcpy(w->last, hash, AUDIT_HASH);
    memcpy(w->out->newest.hash, hash, AUDIT_HASH);
    w->out->newest.number = r->number;
    w->out->records++;
    return true;
}

static enum err walk_all(struct db *db, struct walk *w, audit_each *each, void *context, struct fault *why)
{
    AUTO_ARENA a = arena_new(64 * 1024);
    bool good = true;
    enum err e = ERR_NONE;
    struct query *q = query_begin(db, "SELECT " COLUMN_LIST " FROM audit ORDER BY number");
    while (good && !e && query_next(q)) {
        arena_reset(a);
        struct record r = read_record(q, a);
        struct audit_row row = row_of(&r);
        good = look_at(w, &r);
        if (good && each)
            e = each(&row, context, why);
    }
    enum err ended = query_end(q, e ? NULL : why);
    if (e || ended)
        return e ? e : ended;
    if (good && w->witness < w->witness_count)
        found(w, AUDIT_TRUNCATED, w->out->newest.number + 1);
    return ERR_NONE;
}

enum err audit_check(struct db *db, const struct audit_witness *witnesses, size_t n, audit_each *each, void *context,
                     struct audit_finding *out, struct fault *why)
{
    *out = (struct audit_finding){ 0 };
    struct walk w = { .out = out, .witnesses = witnesses, .witness_count = n };
    memcpy(w.last, ZEROS, AUDIT_HASH);
    memcpy(out->newest.hash, ZEROS, AUDIT_HASH);
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = walk_all(db, &w, each, context, why);
    db_snapshot_end(db);
    return e;
}
