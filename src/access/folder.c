#include "access/folder.h"

#include "crypto/hash.h"

#define PERSONAL "personal/" /* and the user's id */

/* The rule of who sees what, for SQL: $1 is the path of one's own personal workspace. Administrators are no exception. */
#define VISIBLE "path IN ('shared', $1)"
#define COLUMNS "id, path, kind, owner_id, created_ms"

static struct str personal_path(struct arena *a, struct str principal) { return arena_join(a, STR(PERSONAL), principal); }

static struct folder_row read_row(struct query *q, struct arena *a)
{
    struct folder_row row = {
        .id = query_get_text(q, 0, a),
        .path = query_get_text(q, 1, a),
        .kind = query_get_text(q, 2, a),
        .owner = query_get_text(q, 3, a),
        .created = query_get_i64(q, 4),
    };
    /* Only its owner ever sees one, to whom it has one name. */
    if (str_is(row.kind, "personal"))
        row.path = STR("personal");
    return row;
}

enum err folder_resolve(struct db *db, struct arena *a, const struct caller *c, struct str path_or_id, struct folder_row *out,
                        struct fault *why)
{
    struct str own = personal_path(a, c->principal);
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM folder WHERE " VISIBLE " AND (id = $2 OR path = $2)");
    query_text(q, own);
    query_text(q, str_is(path_or_id, "personal") ? own : path_or_id);
    bool found = query_next(q);
    struct folder_row row = read_row(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("folder"), "no such folder, or not visible");
    *out = row;
    return ERR_NONE;
}

#define VISIBLE_MOST 2 /* rows that the rule can match */

enum err folder_list(struct db *db, struct arena *a, const struct caller *c, struct folder_row **out, size_t *n, struct fault *why)
{
    struct folder_row *rows = arena_array(a, VISIBLE_MOST, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM folder WHERE " VISIBLE " ORDER BY path");
    query_text(q, personal_path(a, c->principal));
    while (count < VISIBLE_MOST && query_next(q))
        rows[count++] = read_row(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

enum err folder_visible(struct db *db, struct arena *a, struct str principal, struct str **ids, size_t *n, struct fault *why)
{
    struct str *found = arena_array(a, VISIBLE_MOST, sizeof *found);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT id FROM folder WHERE " VISIBLE " ORDER BY path");
    query_text(q, personal_path(a, principal));
    while (count < VISIBLE_MOST && query_next(q))
        found[count++] = query_get_text(q, 0, a);
    *ids = found;
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

/* `owner` is NULL for a shared folder. Who comes second, in another process, finds the first one's row. */
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
    if ((e = query_end(q, why)))
        return e;
    return find_by_path(db, a, path, id, why);
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
