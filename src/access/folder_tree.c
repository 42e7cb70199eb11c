#include "access/folder_tree.h"

#include <stdio.h>

#include "crypto/hash.h"

#define SLUG_MAX 63
#define MEMBERS_READ (2 * FOLDER_MEMBERS_MAX)

/* Everything below a path: '0' is the character after '/'. */
#define BELOW(path) "(path > " path " || '/' AND path < " path " || '0')"

enum err folder_slug_check(struct str slug, struct fault *why)
{
    bool good = slug.n && slug.n <= SLUG_MAX && slug.p[0] != '-' && slug.p[0] != '_';
    for (size_t i = 0; good && i < slug.n; i++)
        good = ascii_digit(slug.p[i]) || (slug.p[i] >= 'a' && slug.p[i] <= 'z') || slug.p[i] == '-' || slug.p[i] == '_';
    return good ? ERR_NONE
                : fault(why, ERR_FIELD_INVALID, STR("a folder's name: 1 to 63 of a-z, 0-9, - and _"), "slug of %zu bytes", slug.n);
}

static int depth_of(struct str path)
{
    int depth = 1;
    for (size_t i = 0; i < path.n; i++)
        depth += path.p[i] == '/';
    return depth;
}

/* How far the tree goes on below a folder, and how much longer its longest path is than its own. */
static enum err extent(struct db *db, struct str id, struct str path, int *levels, size_t *longer, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT max(v.distance), max(length(f.path)) FROM folder_above v JOIN folder f ON f.id = v.folder_id"
                        " WHERE v.above_id = $1");
    query_text(q, id);
    *levels = query_next(q) ? (int)query_get_i64(q, 0) : 0;
    *longer = (size_t)query_get_i64(q, 1) - path.n;
    return query_end(q, why);
}

static enum err place_free(struct db *db, struct str path, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM folder WHERE path = $1");
    query_text(q, path);
    bool taken = query_next(q);
    enum err e = query_end(q, why);
    return e ? e : taken ? fault(why, ERR_CONFLICT, path, "a folder of that path exists") : ERR_NONE;
}

static enum err place_fits(struct str path, int levels, size_t longer, struct fault *why)
{
    if (depth_of(path) + levels > FOLDER_DEPTH)
        return fault(why, ERR_LIMIT, STR("8 folders below each other"), "depth");
    if (path.n + longer > FOLDER_PATH_MAX)
        return fault(why, ERR_LIMIT, STR("512 bytes of path"), "path of %zu bytes", path.n + longer);
    return ERR_NONE;
}

/* What stands in folder_above for the folder of this path and all below it, made anew from parent_id and inherits. */
static enum err rebuild(struct db *db, struct str path, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM folder_above WHERE folder_id IN"
                                      " (SELECT id FROM folder WHERE path = $1 OR " BELOW("$1") ")");
    query_text(q, path);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db,
        "WITH RECURSIVE chain (folder_id, above_id, inherited, distance) AS ("
        " SELECT id, id, 1, 0 FROM folder WHERE path = $1 OR " BELOW("$1")
        " UNION ALL SELECT c.folder_id, f.parent_id, CASE WHEN f.inherits = 1 THEN c.inherited ELSE 0 END, c.distance + 1"
        " FROM chain c JOIN folder f ON f.id = c.above_id WHERE f.parent_id IS NOT NULL)"
        " INSERT INTO folder_above (folder_id, above_id, inherited, distance)"
        " SELECT folder_id, above_id, inherited, distance FROM chain");
    query_text(q, path);
    return query_end(q, why);
}

static enum err check_room(struct db *db, struct str parent, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM folder WHERE parent_id = $1");
    query_text(q, parent);
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    return e || n < FOLDERS_IN_ONE ? e : fault(why, ERR_LIMIT, STR("1000 folders in one folder"), "%lld", (long long)n);
}

enum err folder_create(struct db *db, struct arena *a, const struct folder_row *parent, struct str slug, enum preset preset,
                       bool inherits, struct str *id, struct fault *why)
{
    char text[ID_SIZE];
    struct str path = str_fmt(a, "%.*s/%.*s", STR_ARG(parent->sort), STR_ARG(slug));
    enum err e;
    if ((e = folder_slug_check(slug, why)) || (e = place_fits(path, 0, 0, why)) || (e = place_free(db, path, why)) ||
        (e = check_room(db, parent->id, why)))
        return e;
    *id = arena_str(a, str_of(id_new(text, "fld_")));
    struct query *q =
        query_begin(db, "INSERT INTO folder (id, parent_id, slug, path, kind, preset, inherits, created_ms, updated_ms)"
                        " VALUES ($1, $2, $3, $4, 'shared', $5, $6, $7, $7)");
    query_text(q, *id);
    query_text(q, parent->id);
    query_text(q, slug);
    query_text(q, path);
    query_text(q, str_of(preset_name(preset)));
    query_i64(q, inherits);
    query_i64(q, clock_wall());
    return (e = query_end(q, why)) ? e : rebuild(db, path, why);
}

/* Paths of all that is below follow. Slugs are ASCII: bytes and characters are the same. */
static enum err move_paths(struct db *db, struct str from, struct str to, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE folder SET path = $2 || substr(path, $3) WHERE path = $1 OR " BELOW("$1"));
    query_text(q, from);
    query_text(q, to);
    query_i64(q, (int64_t)from.n + 1);
    return query_end(q, why);
}

static enum err write_row(struct db *db, const struct folder_row *row, struct str parent, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE folder SET parent_id = $3, slug = $4, preset = $5, inherits = $6,"
                                      " revision = revision + 1, updated_ms = $7 WHERE id = $1 AND revision = $2");
    query_text(q, row->id);
    query_i64(q, row->revision);
    query_text(q, parent);
    query_text(q, row->slug);
    query_text(q, str_of(preset_name(row->preset)));
    query_i64(q, row->inherits);
    query_i64(q, clock_wall());
    enum err e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "the folder changed meanwhile");
    return e;
}

static enum err check_root(const struct folder_row *row, bool moves, struct fault *why)
{
    if (moves || !str_is(row->slug, "shared"))
        return fault(why, ERR_FIELD_INVALID, STR("“shared” keeps its name and its place"), "the root");
    if (row->preset == PRESET_INHERITED || !row->inherits)
        return fault(why, ERR_FIELD_INVALID, STR("“shared” has nothing above it"), "the root");
    return ERR_NONE;
}

static enum err check_place(struct db *db, const struct folder_row *row, struct str from, struct str to, struct fault *why)
{
    int levels;
    size_t longer;
    enum err e;
    if (str_starts(to, from) && to.n > from.n && to.p[from.n] == '/')
        return fault(why, ERR_FIELD_INVALID, STR("a folder cannot be moved below itself"), "cycle");
    if ((e = extent(db, row->id, from, &levels, &longer, why)) || (e = place_fits(to, levels, longer, why)))
        return e;
    return place_free(db, to, why);
}

enum err folder_change(struct db *db, struct arena *a, const struct folder_row *row, const struct folder_row *parent,
                       struct fault *why)
{
    struct folder_row was, above;
    enum err e = folder_get(db, a, row->id, &was, why);
    if (e)
        return e;
    if (!was.parent.p) {
        if ((e = check_root(row, parent != NULL, why)))
            return e;
        return write_row(db, row, STR_NONE, why);
    }
    if ((e = folder_slug_check(row->slug, why)) || (!parent && (e = folder_get(db, a, was.parent, &above, why))))
        return e;
    const struct folder_row *below = parent ? parent : &above;
    struct str path = str_fmt(a, "%.*s/%.*s", STR_ARG(below->sort), STR_ARG(row->slug));
    bool moves = !str_eq(path, was.sort), elsewhere = !str_eq(below->id, was.parent);
    if ((elsewhere && (e = check_room(db, below->id, why))) || (moves && (e = check_place(db, &was, was.sort, path, why))) ||
        (e = write_row(db, row, below->id, why)) || (moves && (e = move_paths(db, was.sort, path, why))))
        return e;
    return rebuild(db, path, why);
}

enum err folder_adopt(struct db *db, struct str id, struct str path, struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE folder SET kind = 'shared', owner_id = NULL, path = $2, slug = $3, preset = 'inherited',"
                        " inherits = 0, parent_id = (SELECT id FROM folder WHERE path = 'shared') WHERE id = $1");
    query_text(q, id);
    query_text(q, path);
    query_text(q, str_sub(path, sizeof "shared/" - 1, path.n));
    enum err e = query_end(q, why);
    return e ? e : rebuild(db, path, why);
}

static enum err count(struct db *db, const char *sql, struct str id, int64_t *n, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, id);
    *n = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

enum err folder_remove(struct db *db, const struct folder_row *row, struct fault *why)
{
    int64_t folders, connections, trash, policies;
    char said[160];
    enum err e;
    if (!row->parent.p)
        return fault(why, ERR_LIMIT, STR("“shared” and personal workspaces stay"), "root of a tree");
    if ((e = count(db, "SELECT count(*) FROM folder WHERE parent_id = $1", row->id, &folders, why)) ||
        (e = count(db, "SELECT count(*) FROM connection WHERE folder_id = $1 AND deleted_ms = 0", row->id, &connections, why)) ||
        (e = count(db, "SELECT count(*) FROM connection WHERE folder_id = $1 AND deleted_ms > 0", row->id, &trash, why)) ||
        (e = count(db, "SELECT count(*) FROM policy WHERE folder_id = $1", row->id, &policies, why)))
        return e;
    /* Else whoever may delete a folder could make one without its policies in its place. */
    if (policies)
        return fault(why, ERR_LIMIT, STR("policies hold for this folder; remove them first"), "%lld policies", (long long)policies);
    if (folders || connections || trash) {
        snprintf(said, sizeof said,
                 "the folder is not empty: folders %lld, connections %lld, in the trash %lld; move or delete them first",
                 (long long)folders, (long long)connections, (long long)trash);
        return fault(why, ERR_LIMIT, str_of(said), "not empty");
    }
    struct query *q = query_begin(db, "DELETE FROM folder WHERE id = $1 AND revision = $2"); /* members and shares go with it */
    query_text(q, row->id);
    query_i64(q, row->revision);
    e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "the folder changed meanwhile");
    return e;
}

/* -- members -------------------------------------------------------------------------------------------------- */

enum err folder_members(struct db *db, struct arena *a, struct str folder, struct folder_member **out, size_t *n, struct fault *why)
{
    struct folder_member *rows = arena_array(a, MEMBERS_READ, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT m.principal_id, p.name, p.kind, m.role, m.expires_ms FROM folder_member m"
                                      " JOIN principal p ON p.id = m.principal_id WHERE m.folder_id = $1 ORDER BY p.name, p.id");
    query_text(q, folder);
    for (; count < MEMBERS_READ && query_next(q); count++) {
        rows[count] = (struct folder_member){
            .principal = query_get_text(q, 0, a),
            .name = query_get_text(q, 1, a),
            .kind = query_get_text(q, 2, a),
            .expires = query_get_i64(q, 4),
        };
        role_parse(query_get_text(q, 3, a), &rows[count].role);
    }
    *out = rows;
    *n = count;
    return query_end(q, why);
}

static enum err member_add(struct db *db, struct str folder, const struct folder_member *m, struct fault *why)
{
    struct query *q =
        query_begin(db, "INSERT INTO folder_member (folder_id, principal_id, role, expires_ms) VALUES ($1, $2, $3, $4)");
    query_text(q, folder);
    query_text(q, m->principal);
    query_text(q, str_of(role_name(m->role)));
    query_i64(q, m->expires);
    enum err e = query_end(q, why);
    return e == ERR_CONFLICT ? fault(why, ERR_FIELD_INVALID, STR("members: somebody is named twice"), "member twice") : e;
}

enum err folder_members_set(struct db *db, struct str folder, const struct folder_member *members, size_t n, struct fault *why)
{
    if (n > FOLDER_MEMBERS_MAX)
        return fault(why, ERR_LIMIT, STR("500 members of a folder; make a group of them"), "%zu members", n);
    struct query *q = query_begin(db, "DELETE FROM folder_member WHERE folder_id = $1");
    query_text(q, folder);
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < n; i++)
        e = member_add(db, folder, &members[i], why);
    if (e)
        return e;
    q = query_begin(db, "UPDATE folder SET revision = revision + 1, updated_ms = $2 WHERE id = $1");
    query_text(q, folder);
    query_i64(q, clock_wall());
    return query_end(q, why);
}
