#include "access/share.h"

enum err share_list(struct db *db, struct arena *a, struct str connection, struct share **out, size_t *n, struct fault *why)
{
    struct share *rows = arena_array(a, SHARES_MAX, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db,
        "SELECT s.target_id, coalesce(p.name, f.path), coalesce(p.kind, 'folder'), s.expires_ms, s.shared_by, s.created_ms"
        " FROM connection_share s LEFT JOIN principal p ON p.id = s.principal_id LEFT JOIN folder f ON f.id = s.folder_id"
        " WHERE s.connection_id = $1 ORDER BY s.target_id");
    query_text(q, connection);
    for (; count < SHARES_MAX && query_next(q); count++)
        rows[count] = (struct share){
            .target = query_get_text(q, 0, a),
            .name = query_get_text(q, 1, a),
            .kind = query_get_text(q, 2, a),
            .expires = query_get_i64(q, 3),
            .shared_by = query_get_text(q, 4, a),
            .created = query_get_i64(q, 5),
        };
    *out = rows;
    *n = count;
    return query_end(q, why);
}

static enum err check_room(struct db *db, struct str connection, struct str target, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM connection_share WHERE connection_id = $1 AND target_id <> $2");
    query_text(q, connection);
    query_text(q, target);
    int64_t there = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    if (!e && there >= SHARES_MAX)
        return fault(why, ERR_LIMIT, STR("200 shares of a connection; share it with a group"), "%lld shares", (long long)there);
    return e;
}

enum err share_set(struct db *db, struct str connection, const struct share *s, struct fault *why)
{
    bool folder = str_is(s->kind, "folder");
    enum err e = check_room(db, connection, s->target, why);
    if (e)
        return e;
    struct query *q = query_begin(
        db, "INSERT INTO connection_share (connection_id, target_id, principal_id, folder_id, expires_ms, shared_by, created_ms)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (connection_id, target_id) DO UPDATE SET expires_ms = $5, shared_by "
            "= $6");
    query_text(q, connection);
    query_text(q, s->target);
    query_text(q, folder ? STR_NONE : s->target);
    query_text(q, folder ? s->target : STR_NONE);
    query_i64(q, s->expires);
    query_text(q, s->shared_by);
    query_i64(q, clock_wall());
    return query_end(q, why);
}

enum err share_remove(struct db *db, struct str connection, struct str target, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM connection_share WHERE connection_id = $1 AND target_id = $2");
    query_text(q, connection);
    query_text(q, target);
    enum err e = query_end(q, why);
    return e || db_changes(db) == 1 ? e : fault(why, ERR_NOT_FOUND, STR("share"), "no such share");
}
