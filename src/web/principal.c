#include "web/principal.h"

enum err principal_names(struct db *db, struct arena *a, const struct many *ids, struct str *names, struct fault *why)
{
    return many_texts(db, a, "SELECT id, name FROM principal WHERE id IN $keys", ids, names, why);
}

struct str principal_name(struct db *db, struct arena *a, struct str id)
{
    struct str name = STR_NONE;
    const struct many one = many_one(&id);
    return principal_names(db, a, &one, &name, NULL) ? STR_NONE : name;
}

static void read_row(struct query *q, struct arena *a, struct service_account *out)
{
    *out = (struct service_account){
        .id = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .disabled = query_get_i64(q, 3) != 0,
        .revision = query_get_i64(q, 4),
        .created = query_get_i64(q, 5),
        .updated = query_get_i64(q, 6),
    };
    if (!role_parse(query_get_text(q, 2, a), &out->role))
        out->role = ROLE_NONE;
}

#define COLUMNS "id, name, role, disabled, revision, created_ms, updated_ms"

enum err service_account_get(struct db *db, struct arena *a, struct str id, struct service_account *out, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT " COLUMNS " FROM principal WHERE kind = 'service_account' AND (id = $1 OR name = $2)");
    query_text(q, id);
    query_text(q, id);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    if (e || found)
        return e;
    return fault(why, ERR_NOT_FOUND, STR("service account"), "no such account");
}

enum err service_account_list(struct db *db, struct arena *a, struct str after, int limit, struct service_account **out, size_t *n,
                              struct fault *why)
{
    struct service_account *rows = arena_array(a, (size_t)limit, sizeof *rows);
    struct query *q = query_begin(db,
        "SELECT " COLUMNS " FROM principal WHERE kind = 'service_account' AND id > $1 ORDER BY id LIMIT $2");
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    *n = 0;
    while (*n < (size_t)limit && query_next(q))
        read_row(q, a, &rows[(*n)++]);
    *out = rows;
    return query_end(q, why);
}

enum err service_account_update(struct db *db, struct service_account *row, struct fault *why)
{
    wall_ms now = clock_wall();
    struct query *q = query_begin(db,
        "UPDATE principal SET name = $3, role = $4, disabled = $5, revision = revision + 1, updated_ms = $6"
        " WHERE id = $1 AND revision = $2 AND kind = 'service_account'");
    query_text(q, row->id);
    query_i64(q, row->revision);
    query_text(q, row->name);
    query_text(q, str_of(role_name(row->role)));
    query_i64(q, row->disabled);
    query_i64(q, now);
    enum err e = query_end(q, why);
    if (e)
        return e == ERR_CONFLICT ? fault(why, e, row->name, "name of another service account") : e;
    if (db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "service account changed meanwhile");
    row->revision++;
    row->updated = now;
    return ERR_NONE;
}

enum err service_account_delete(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM principal WHERE id = $1 AND kind = 'service_account'");
    query_text(q, id);
    enum err e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_NOT_FOUND, STR("service account"), "no such account");
    return e;
}
