#include "access/folder.h"

#include "access/rights.h"
#include "base/buf.h"
#include "crypto/hash.h"

#define PERSONAL "personal/" /* and the user's id */
#define PAGE_MOST 1000
#define COLUMNS "id, path, kind, owner_id, parent_id, slug, preset, inherits, revision, created_ms, updated_ms"

static struct str personal_path(struct arena *a, struct str principal) { return arena_join(a, STR(PERSONAL), principal); }

/* Only its owner ever sees a personal one, to whom it has one name. */
static struct str shown_path(struct str kind, struct str path) { return str_is(kind, "personal") ? STR("personal") : path; }

static struct folder_row read_row(struct query *q, struct arena *a)
{
    struct folder_row row = {
        .id = query_get_text(q, 0, a),
        .sort = query_get_text(q, 1, a),
        .kind = query_get_text(q, 2, a),
        .owner = query_get_text(q, 3, a),
        .parent = query_get_text(q, 4, a),
        .slug = query_get_text(q, 5, a),
        .inherits = query_get_i64(q, 7) != 0,
        .revision = query_get_i64(q, 8),
        .created = query_get_i64(q, 9),
        .updated = query_get_i64(q, 10),
    };
    preset_parse(query_get_text(q, 6, a), &row.preset);
    row.path = shown_path(row.kind, row.sort);
    return row;
}

static enum err not_there(struct fault *why) { return fault(why, ERR_NOT_FOUND, STR("folder"), "no such folder, or not visible"); }

static enum err find(struct db *db, struct arena *a, bool by_id, struct str what, struct folder_row *out, struct fault *why)
{
    struct query *q = by_id ? query_begin(db, "SELECT " COLUMNS " FROM folder WHERE id = $1")
                            : query_begin(db, "SELECT " COLUMNS " FROM folder WHERE path = $1");
    query_text(q, what);
    bool found = query_next(q);
    struct folder_row row = read_row(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return not_there(why);
    *out = row;
    return ERR_NONE;
}

enum err folder_get(struct db *db, struct arena *a, struct str id, struct folder_row *out, struct fault *why)
{
    return find(db, a, true, id, out, why);
}

enum err folder_resolve(struct db *db, struct arena *a, const struct caller *c, struct str path_or_id, struct folder_row *out,
                        struct fault *why)
{
    struct str wanted = str_is(path_or_id, "personal") ? personal_path(a, c->principal) : path_or_id;
    bool by_id = str_starts(wanted, STR("fld_"));
    if (str_starts(path_or_id, STR(PERSONAL))) /* a person's id is not a way in */
        return not_there(why);
    enum err e = find(db, a, by_id, wanted, out, why);
    return e ? e : rights_need(db, a, c, out->id, RIGHT_VIEW, why);
}

enum err folder_paths(struct db *db, struct arena *a, const struct folder_sight *seen, const struct many *folders,
                      struct str *paths, struct fault *why)
{
    struct query *q = many_begin(db, "SELECT id, kind, path FROM folder WHERE id IN $keys", 0, folders);
    many_bind(q, folders);
    for (size_t i = 0; i < folders->n; i++)
        paths[i] = STR_NONE;
    for (size_t i; query_next(q);)
        if (many_find(folders, query_get_text(q, 0, a), &i) && folder_sight_holds(seen, folders->keys[i]))
            paths[i] = shown_path(query_get_text(q, 1, a), query_get_text(q, 2, a));
    return query_end(q, why);
}

enum err folder_list(struct db *db, struct arena *a, const struct caller *c, struct str after, int limit, struct folder_row **out,
                     size_t *n, struct fault *why)
{
    limit = limit < 0 ? 0 : limit > PAGE_MOST ? PAGE_MOST : limit;
    struct folder_row *rows = arena_array(a, (size_t)limit, sizeof *rows);
    struct folder_scope scope;
    size_t count = 0;
    int param = 2;
    enum err e = rights_visible(db, a, c, &scope, why);
    if (e)
        return e;
    AUTO_BUF sql;
    buf_init(&sql, 64 * 1024);
    buf_add(&sql, STR("SELECT " COLUMNS " FROM folder WHERE path > $1 AND"));
    folder_scope_sql(&sql, &scope, "folder.id", &param);
    buf_add(&sql, STR(" ORDER BY path LIMIT $2"));
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return fault(why, ERR_INTERNAL, STR(""), "the query for folders is too long");
    struct query *q = query_begin(db, sql.p);
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    folder_scope_bind(q, &scope);
    while (count < (size_t)limit && query_next(q))
        rows[count++] = read_row(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

static enum err find_by_path(struct db *db, struct arena *a, struct str path, struct str *id, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM folder WHERE path = $1");
    query_text(q, path);
    *id = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    return query_end(q, why);
}

/* Who comes second, in another process, finds the first one's row. */
static enum err add_itself(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO folder_above (folder_id, above_id, inherited, distance) VALUES ($1, $1, 1, 0)"
                                      " ON CONFLICT (folder_id, above_id) DO NOTHING");
    query_text(q, id);
    return query_end(q, why);
}

/* `owner` is NULL for a shared folder. */
static enum err ensure(struct db *db, struct arena *a, struct str path, struct str slug, struct str owner, struct str *id,
                       struct fault *why)
{
    char text[ID_SIZE];
    enum err e = find_by_path(db, a, path, id, why);
    if (e || id->p)
        return e;
    wall_ms now = clock_wall();
    struct query *q = query_begin(db, "INSERT INTO folder (id, slug, path, kind, owner_id, created_ms, updated_ms)"
                                      " VALUES ($1, $2, $3, $2, $4, $5, $5) ON CONFLICT (path) DO NOTHING");
    query_text(q, str_of(id_new(text, "fld_")));
    query_text(q, slug);
    query_text(q, path);
    query_text(q, owner);
    query_i64(q, now);
    if ((e = query_end(q, why)) || (e = find_by_path(db, a, path, id, why)))
        return e;
    return add_itself(db, *id, why);
}

enum err folder_ensure_shared(struct db *db, struct arena *a, struct str *id, struct fault *why)
{
    return ensure(db, a, STR("shared"), STR("shared"), STR_NONE, id, why);
}

enum err folder_ensure_personal(struct db *db, struct arena *a, struct str user, struct str *id, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE id = $1 AND kind = 'user'");
    query_text(q, user);
    bool found = query_next(q);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("user"), "a personal workspace belongs to a user");
    return ensure(db, a, personal_path(a, user), STR("personal"), user, id, why);
}
