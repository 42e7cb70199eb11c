#include "store/folder_scope.h"

#include "store/folder_map.h"

#define DEPTH_MOST 64 /* deeper than trees get: a loop in damaged data ends there */

void folder_scope_sql(struct buf *sql, const struct folder_scope *s, const char *column, int *param)
{
    if (s->few) {
        buf_fmt(sql, " %s IN ", column);
        many_list(sql, param);
        return;
    }
    buf_fmt(sql, " EXISTS (SELECT 1 FROM folder_above WHERE folder_above.folder_id = %s AND (folder_above.above_id = $%d"
                 " OR (folder_above.inherited = 1 AND folder_above.above_id IN ", column, ++*param);
    many_list(sql, param);
    buf_add(sql, STR(")))"));
}

/* PostgreSQL leads by one index or by the other, and reads a whole tree for what is asked of both: so each of the folders above is
 * asked by itself. SQLite does that unbidden. */
void folder_scope_folders_sql(struct buf *sql, const struct db *db, int most, int *param)
{
    bool each = db_is_postgres(db);
    if (each)
        buf_fmt(sql, "SELECT DISTINCT x.folder_id FROM (SELECT CAST($%d AS TEXT) AS id, 0 AS least UNION ALL SELECT key, 1 FROM ",
                ++*param);
    else
        buf_fmt(sql, "SELECT DISTINCT folder_id FROM folder_above WHERE (above_id = $%d OR (inherited = 1 AND above_id IN ",
                ++*param);
    many_list(sql, param);
    if (each)
        buf_fmt(sql, " AS keys) AS above CROSS JOIN LATERAL (SELECT folder_id FROM folder_above WHERE above_id = above.id"
                     " AND inherited >= above.least LIMIT %d) AS x LIMIT %d", most, most);
    else
        buf_fmt(sql, ")) LIMIT %d", most);
}

void folder_scope_bind(struct query *q, const struct folder_scope *s)
{
    if (s->few) {
        many_values(q, s->folders, s->folder_count);
        return;
    }
    query_text(q, s->all.p ? s->all : STR(""));
    many_values(q, s->above, s->above_count);
}

void folder_scope_connections_sql(struct buf *sql, const struct folder_scope *s, const char *column, const char *connection,
                                  int *param)
{
    if (!s->connection_count) {
        folder_scope_sql(sql, s, column, param);
        return;
    }
    buf_add(sql, STR(" ("));
    folder_scope_sql(sql, s, column, param);
    buf_fmt(sql, " OR %s IN ", connection);
    many_list(sql, param);
    buf_char(sql, ')');
}

void folder_scope_connections_bind(struct query *q, const struct folder_scope *s)
{
    folder_scope_bind(q, s);
    if (s->connection_count)
        many_values(q, s->connections, s->connection_count);
}

static bool among(const struct str *list, size_t n, struct str id)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], id))
            return true;
    return false;
}

enum err folder_scope_holds(struct db *db, const struct folder_scope *s, struct str folder, bool *out, struct fault *why)
{
    if (s->few) {
        *out = among(s->folders, s->folder_count, folder);
        return ERR_NONE;
    }
    AUTO_BUF sql;
    int param = 1;
    buf_init(&sql, 64 * 1024);
    buf_add(&sql, STR("SELECT 1 FROM folder WHERE id = $1 AND"));
    folder_scope_sql(&sql, s, "folder.id", &param);
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return fault(why, ERR_INTERNAL, STR(""), "the query for a folder is too long");
    struct query *q = query_begin(db, sql.p);
    query_text(q, folder);
    folder_scope_bind(q, s);
    *out = query_next(q);
    return query_end(q, why);
}

bool folder_scope_shares(const struct folder_scope *s, struct str connection)
{
    return among(s->connections, s->connection_count, connection);
}

/* ---- in memory ---- */

static enum err look_at_tree(struct db *db, struct arena *a, const struct folder_scope *s, struct folder_sight *out,
                             struct fault *why)
{
    enum err e = folder_map_get(db, &out->map, why);
    if (e)
        return e;
    out->below = s->all.p ? folder_map_find(out->map, s->all) : NULL;
    out->above = arena_zero(a, folder_map_count(out->map) + 1);
    for (size_t i = 0; i < s->above_count; i++) {
        const struct folder_node *node = folder_map_find(out->map, s->above[i]);
        if (node)
            out->above[node->place] = true;
    }
    return ERR_NONE;
}

enum err folder_sight_begin(struct db *db, struct arena *a, const struct folder_scope *s, struct folder_sight *out,
                            struct fault *why)
{
    *out = (struct folder_sight){ .folders = many_of(a, s->folders, s->few ? s->folder_count : 0) };
    return s->few ? ERR_NONE : look_at_tree(db, a, s, out, why);
}

void folder_sight_end(struct folder_sight *s)
{
    folder_map_release(s->map);
    s->map = NULL;
}

static bool is_seen(const struct folder_sight *s, const struct folder_node *node)
{
    bool inherited = true;
    for (int depth = 0; node && depth < DEPTH_MOST; depth++) {
        if (node == s->below || (inherited && s->above[node->place]))
            return true;
        inherited = inherited && node->inherits;
        node = node->parent;
    }
    return false;
}

bool folder_sight_holds(const struct folder_sight *s, struct str folder)
{
    size_t unused;
    return s->map ? is_seen(s, folder_map_find(s->map, folder)) : many_find(&s->folders, folder, &unused);
}

double folder_sight_share(const struct folder_sight *s)
{
    size_t all = s->map ? folder_map_count(s->map) : 0, seen = 0;
    for (size_t i = 0; i < all; i++)
        seen += is_seen(s, folder_map_at(s->map, i));
    return all ? (double)seen / (double)all : 0;
}

void folder_sight_folders(const struct folder_sight *s, struct arena *a, size_t most, const struct str **out, size_t *n)
{
    *out = s->folders.keys;
    *n = s->folders.n;
    if (!s->map)
        return;
    struct str *ids = arena_array(a, most + 1, sizeof *ids);
    *n = 0;
    for (size_t i = 0; i < folder_map_count(s->map) && *n <= most; i++)
        if (is_seen(s, folder_map_at(s->map, i)))
            ids[(*n)++] = str_of(folder_map_at(s->map, i)->id);
    *out = ids;
}
