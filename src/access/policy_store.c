#include "access/policy_store.h"

#include <pthread.h>
#include <stdlib.h>

#include "access/text.h"
#include "crypto/hash.h"

#define COLUMNS                                                                                                     \
    "p.id, p.name, p.description, p.folder_id, f.path, p.rules, p.enabled, p.revision, p.created_ms, p.updated_ms" \
    " FROM policy p LEFT JOIN folder f ON f.id = p.folder_id "

static struct policy_row read_row(struct query *q, struct arena *a)
{
    return (struct policy_row){
        .id = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .description = query_get_text(q, 2, a),
        .folder = query_get_text(q, 3, a),
        .folder_path = query_get_text(q, 4, a),
        .rules = query_get_text(q, 5, a),
        .enabled = query_get_i64(q, 6) != 0,
        .revision = query_get_i64(q, 7),
        .created = query_get_i64(q, 8),
        .updated = query_get_i64(q, 9),
    };
}

static enum err taken(enum err e, const struct policy_row *row, struct fault *why)
{
    return e == ERR_CONFLICT ? fault(why, e, row->name, "name of another policy") : e;
}

enum err policy_insert(struct db *db, struct arena *a, struct policy_row *row, struct fault *why)
{
    char id[ID_SIZE];
    enum err e = text_check_name(row->name, "name", why);
    if (e)
        return e;
    struct query *q = query_begin(db, "SELECT COUNT(*) FROM policy");
    int64_t count = query_next(q) ? query_get_i64(q, 0) : 0;
    if ((e = query_end(q, why)))
        return e;
    if (count >= POLICIES_MAX)
        return fault(why, ERR_LIMIT, STR("1000 policies"), "policies");
    row->id = arena_str(a, str_of(id_new(id, "pol_")));
    row->revision = 1;
    row->created = row->updated = clock_wall();
    q = query_begin(db, "INSERT INTO policy (id, name, description, folder_id, rules, enabled, created_ms, updated_ms)"
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)");
    query_text(q, row->id);
    query_text(q, row->name);
    query_text(q, row->description.p ? row->description : STR(""));
    query_text(q, row->folder);
    query_text(q, row->rules);
    query_i64(q, row->enabled);
    query_i64(q, row->created);
    query_i64(q, row->updated);
    return taken(query_end(q, why), row, why);
}

enum err policy_update(struct db *db, struct policy_row *row, struct fault *why)
{
    enum err e = text_check_name(row->name, "name", why);
    if (e)
        return e;
    row->updated = clock_wall();
    struct query *q = query_begin(db, "UPDATE policy SET name = $1, description = $2, folder_id = $3, rules = $4, enabled = $5,"
                                      " updated_ms = $6, revision = revision + 1 WHERE id = $7 AND revision = $8");
    query_text(q, row->name);
    query_text(q, row->description.p ? row->description : STR(""));
    query_text(q, row->folder);
    query_text(q, row->rules);
    query_i64(q, row->enabled);
    query_i64(q, row->updated);
    query_text(q, row->id);
    query_i64(q, row->revision);
    if ((e = taken(query_end(q, why), row, why)))
        return e;
    if (db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "policy changed meanwhile");
    row->revision++;
    return ERR_NONE;
}

static enum err missing(struct fault *why) { return fault(why, ERR_NOT_FOUND, STR("policy"), "no such policy"); }

enum err policy_delete(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM policy WHERE id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    return e ? e : db_changes(db) == 1 ? ERR_NONE : missing(why);
}

enum err policy_get(struct db *db, struct arena *a, struct str id_or_name, struct policy_row *out, struct fault *why)
{
    /* An id is also found as what it is when another policy is called so. */
    struct query *q =
        query_begin(db, "SELECT " COLUMNS "WHERE p.id = $1 OR p.name = $1 ORDER BY CASE WHEN p.id = $1 THEN 0 ELSE 1 END LIMIT 1");
    query_text(q, id_or_name);
    bool found = query_next(q);
    struct policy_row row = read_row(q, a);
    enum err e = query_end(q, why);
    if (!e && found)
        *out = row;
    return e ? e : found ? ERR_NONE : missing(why);
}

enum err policy_list(struct db *db, struct arena *a, struct str after, int limit, struct policy_row **out, size_t *n,
                     struct fault *why)
{
    struct policy_row *rows = arena_array(a, (size_t)limit, sizeof *rows);
    struct query *q = query_begin(db, "SELECT " COLUMNS "WHERE p.id > $1 ORDER BY p.id LIMIT $2");
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    *n = 0;
    while (*n < (size_t)limit && query_next(q))
        rows[(*n)++] = read_row(q, a);
    *out = rows;
    return query_end(q, why);
}

/* -- sets ------------------------------------------------------------------------------------------------------ */

static enum err add(struct policy_set *s, const struct policy_row *row, struct fault *why)
{
    struct json *rules;
    struct policy *p = &s->at[s->count];
    struct str text = arena_str(s->arena, row->rules);
    p->id = arena_str(s->arena, row->id);
    p->name = arena_str(s->arena, row->name);
    p->folder = row->folder.p ? arena_str(s->arena, row->folder) : STR_NONE;
    if (json_read(s->arena, text, &rules, why) || policy_read(s->arena, rules, p->folder.p != NULL, "/rules", p, why))
        return fault(why, ERR_INTERNAL, STR(""), "the stored policy %.*s cannot be read", STR_ARG(row->id));
    s->count++;
    return ERR_NONE;
}

/* The instance's come first: a trace reads from the outside in. */
static int by_layer(const void *x, const void *y)
{
    const struct policy *a = x, *b = y;
    int layer = (a->folder.p != NULL) - (b->folder.p != NULL);
    return layer ? layer : str_cmp(a->id, b->id);
}

enum err policy_set_load(struct db *db, const struct policy_row *instead, struct policy_set **out, struct fault *why)
{
    struct policy_set *s = mem_zero(sizeof *s);
    struct policy_row *rows;
    size_t n;
    s->references = 1;
    s->arena = arena_new(4096);
    enum err e = policy_list(db, s->arena, STR(""), POLICIES_MAX, &rows, &n, why);
    s->at = e ? NULL : arena_array(s->arena, n + 1, sizeof *s->at);
    for (size_t i = 0; !e && i < n; i++)
        if (rows[i].enabled && !(instead && str_eq(instead->id, rows[i].id)))
            e = add(s, &rows[i], why);
    if (!e && instead && instead->enabled)
        e = add(s, instead, why);
    if (e) {
        policy_set_release(s);
        return e;
    }
    qsort(s->at, s->count, sizeof *s->at, by_layer);
    *out = s;
    return ERR_NONE;
}

enum err policy_folders(struct db *db, struct arena *a, struct str folder, struct str **ids, size_t *n, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT above_id FROM folder_above WHERE folder_id = $1 ORDER BY distance");
    *ids = arena_array(a, 64, sizeof **ids);
    *n = 0;
    query_text(q, folder);
    while (*n < 64 && query_next(q))
        (*ids)[(*n)++] = query_get_text(q, 0, a);
    return query_end(q, why);
}

/* -- the book -------------------------------------------------------------------------------------------------- */

struct policy_book {
    pthread_mutex_t lock; /* guards `now` */
    pthread_mutex_t load; /* one reads at a time, so that an older reading never takes the place of a newer one */
    struct policy_set *now;
};

struct policy_book *policy_book_new(void)
{
    struct policy_book *b = mem_zero(sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_mutex_init(&b->load, NULL);
    return b;
}

void policy_book_free(struct policy_book *b)
{
    if (!b)
        return;
    policy_set_release(b->now);
    pthread_mutex_destroy(&b->lock);
    pthread_mutex_destroy(&b->load);
    free(b);
}

enum err policy_book_load(struct policy_book *b, struct db *db, struct fault *why)
{
    struct policy_set *set, *before;
    pthread_mutex_lock(&b->load);
    enum err e = policy_set_load(db, NULL, &set, why);
    if (!e) {
        pthread_mutex_lock(&b->lock);
        before = b->now;
        b->now = set;
        pthread_mutex_unlock(&b->lock);
        policy_set_release(before);
    }
    pthread_mutex_unlock(&b->load);
    return e;
}

struct policy_set *policy_book_set(struct policy_book *b)
{
    if (!b)
        return NULL;
    pthread_mutex_lock(&b->lock);
    struct policy_set *s = policy_set_keep(b->now);
    pthread_mutex_unlock(&b->lock);
    return s;
}
