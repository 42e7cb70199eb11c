#include "access/group.h"

#include "access/text.h"
#include "crypto/hash.h"

#define PAGE_MOST 1000

static struct principal_row read_principal(struct query *q, struct arena *a)
{
    struct principal_row row = {
        .id = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .kind = query_get_text(q, 2, a),
        .disabled = query_get_i64(q, 4) != 0,
    };
    role_parse(query_get_text(q, 3, a), &row.role);
    return row;
}

enum err principal_find(struct db *db, struct arena *a, struct str id_or_name, struct principal_row *out, struct fault *why)
{
    struct principal_row row = { 0 };
    int count = 0;
    struct query *q = query_begin(db, "SELECT id, name, kind, role, disabled FROM principal WHERE id = $1 OR name = $1 OR"
                                      " (kind = 'user' AND name = lower($1)) ORDER BY id LIMIT 2");
    query_text(q, id_or_name);
    while (query_next(q))
        if (!count++)
            row = read_principal(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (count != 1)
        return fault(why, count ? ERR_AMBIGUOUS : ERR_NOT_FOUND, count ? id_or_name : STR("principal"), "%d of that name", count);
    *out = row;
    return ERR_NONE;
}

#define COLUMNS \
    "id, name, (SELECT count(*) FROM group_member WHERE group_id = principal.id), revision, created_ms, updated_ms"

static struct group_row read_group(struct query *q, struct arena *a)
{
    return (struct group_row){
        .id = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .members = query_get_i64(q, 2),
        .revision = query_get_i64(q, 3),
        .created = query_get_i64(q, 4),
        .updated = query_get_i64(q, 5),
    };
}

enum err group_create(struct db *db, struct arena *a, struct str name, struct str *id, struct fault *why)
{
    char text[ID_SIZE];
    enum err e = text_check_name(name, "name", why);
    if (e)
        return e;
    *id = arena_str(a, str_of(id_new(text, "grp_")));
    struct query *q = query_begin(db, "INSERT INTO principal (id, kind, name, role, created_ms, updated_ms)"
                                      " VALUES ($1, 'group', $2, 'none', $3, $3)");
    query_text(q, *id);
    query_text(q, name);
    query_i64(q, clock_wall());
    e = query_end(q, why);
    return e == ERR_CONFLICT ? fault(why, e, name, "group of that name") : e;
}

enum err group_get(struct db *db, struct arena *a, struct str id_or_name, struct group_row *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM principal WHERE kind = 'group' AND (id = $1 OR name = $1)");
    query_text(q, id_or_name);
    bool found = query_next(q);
    struct group_row row = read_group(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("group"), "no such group");
    *out = row;
    return ERR_NONE;
}

enum err group_list(struct db *db, struct arena *a, struct str after, int limit, struct group_row **out, size_t *n,
                    struct fault *why)
{
    limit = limit < 0 ? 0 : limit > PAGE_MOST ? PAGE_MOST : limit;
    struct group_row *rows = arena_array(a, (size_t)limit, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM principal WHERE kind = 'group' AND id > $1 ORDER BY id LIMIT $2");
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    while (count < (size_t)limit && query_next(q))
        rows[count++] = read_group(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

static enum err changed(struct db *db, enum err e, struct fault *why)
{
    return e || db_changes(db) == 1 ? e : fault(why, ERR_PRECONDITION_FAILED, STR(""), "the group changed meanwhile");
}

enum err group_rename(struct db *db, const struct group_row *row, struct str name, struct fault *why)
{
    enum err e = text_check_name(name, "name", why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE principal SET name = $3, revision = revision + 1, updated_ms = $4"
                                      " WHERE id = $1 AND revision = $2 AND kind = 'group'");
    query_text(q, row->id);
    query_i64(q, row->revision);
    query_text(q, name);
    query_i64(q, clock_wall());
    e = query_end(q, why);
    return e == ERR_CONFLICT ? fault(why, e, name, "name of another group") : changed(db, e, why);
}

enum err group_delete(struct db *db, const struct group_row *row, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM principal WHERE id = $1 AND revision = $2 AND kind = 'group'");
    query_text(q, row->id);
    query_i64(q, row->revision);
    return changed(db, query_end(q, why), why);
}

enum err group_members(struct db *db, struct arena *a, struct str group, struct principal_row **out, size_t *n, struct fault *why)
{
    struct principal_row *rows = arena_array(a, GROUP_MEMBERS_MAX, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT p.id, p.name, p.kind, p.role, p.disabled FROM group_member m"
                                      " JOIN principal p ON p.id = m.member_id WHERE m.group_id = $1 ORDER BY p.name, p.id");
    query_text(q, group);
    while (count < GROUP_MEMBERS_MAX && query_next(q))
        rows[count++] = read_principal(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

static enum err member_add(struct db *db, struct str group, const struct principal_row *m, struct fault *why)
{
    if (str_is(m->kind, "group"))
        return fault(why, ERR_FIELD_INVALID, STR("members: a group has no groups in it"), "group in a group");
    struct query *q = query_begin(db, "INSERT INTO group_member (group_id, member_id) VALUES ($1, $2)");
    query_text(q, group);
    query_text(q, m->id);
    enum err e = query_end(q, why);
    return e == ERR_CONFLICT ? fault(why, ERR_FIELD_INVALID, STR("members: somebody is named twice"), "member twice") : e;
}

enum err group_members_set(struct db *db, struct str group, const struct principal_row *members, size_t n, struct fault *why)
{
    if (n > GROUP_MEMBERS_MAX)
        return fault(why, ERR_LIMIT, STR("1000 members of a group"), "%zu members", n);
    struct query *q = query_begin(db, "DELETE FROM group_member WHERE group_id = $1");
    query_text(q, group);
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < n; i++)
        e = member_add(db, group, &members[i], why);
    if (e)
        return e;
    q = query_begin(db, "UPDATE principal SET revision = revision + 1, updated_ms = $2 WHERE id = $1");
    query_text(q, group);
    query_i64(q, clock_wall());
    return query_end(q, why);
}
