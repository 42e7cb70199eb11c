#include "auth/identity_groups.h"

#include "crypto/hash.h"

struct group {
    struct str id, name; /* name: the provider's */
};

static enum err list_groups(struct db *db, struct arena *a, struct str provider, struct group **out, size_t *n, struct fault *why)
{
    struct group *all = arena_array(a, IDENTITY_LIST_MOST, sizeof *all);
    struct query *q = query_begin(db, "SELECT group_id, name FROM identity_group WHERE provider_id = $1 ORDER BY name");
    query_text(q, provider);
    *n = 0;
    while (*n < IDENTITY_LIST_MOST && query_next(q)) {
        all[*n].id = query_get_text(q, 0, a);
        all[(*n)++].name = query_get_text(q, 1, a);
    }
    *out = all;
    return query_end(q, why);
}

/* ---- what mappings make ---- */

static enum err folder_id(struct db *db, struct arena *a, struct str folder, size_t mapping, struct str *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM folder WHERE (path = $1 OR id = $1) AND kind = 'shared'");
    query_text(q, folder);
    *out = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    enum err e = query_end(q, why);
    if (e || out->p)
        return e;
    fault(why, ERR_FIELD_INVALID, STR("folder: no such shared folder"), "mapping %zu", mapping);
    return fault_at(why, "/sign_in/groups/%zu/folder", mapping);
}

static enum err make_group(struct db *db, const struct identity_provider *p, struct str name, struct str id, struct arena *a,
                           struct fault *why)
{
    wall_ms now = clock_wall();
    struct str full = str_fmt(a, "%.*s/%.*s", STR_ARG(p->key), STR_ARG(name));
    struct query *q = query_begin(db, "INSERT INTO principal (id, kind, name, role, created_ms, updated_ms)"
                                      " VALUES ($1, 'group', $2, 'none', $3, $3)");
    query_text(q, id);
    query_text(q, full);
    query_i64(q, now);
    enum err e = query_end(q, why);
    if (e)
        return e == ERR_CONFLICT ? fault(why, e, full, "a group of that name") : e;
    q = query_begin(db, "INSERT INTO identity_group (provider_id, name, group_id) VALUES ($1, $2, $3)");
    query_text(q, p->id);
    query_text(q, name);
    query_text(q, id);
    return query_end(q, why);
}

static enum err ensure_group(struct db *db, struct arena *a, const struct identity_provider *p, struct str name, struct str *id,
                             struct fault *why)
{
    char made[ID_SIZE];
    struct query *q = query_begin(db, "SELECT group_id FROM identity_group WHERE provider_id = $1 AND name = $2");
    query_text(q, p->id);
    query_text(q, name);
    *id = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    enum err e = query_end(q, why);
    if (e || id->p)
        return e;
    *id = arena_str(a, str_of(id_new(made, "grp_")));
    return make_group(db, p, name, *id, a, why);
}

static enum err place_group(struct db *db, struct str folder, struct str group, enum role role, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO folder_member (folder_id, principal_id, role) VALUES ($1, $2, $3)"
                                      " ON CONFLICT (folder_id, principal_id) DO UPDATE SET role = $3");
    query_text(q, folder);
    query_text(q, group);
    query_text(q, str_of(role_name(role)));
    return query_end(q, why);
}

static bool has_folder(const struct identity_provider *p, struct str group)
{
    for (size_t i = 0; p->signs_in && i < p->sign_in.mapping_count; i++)
        if (p->sign_in.mappings[i].folder.n && str_eq(p->sign_in.mappings[i].group, group))
            return true;
    return false;
}

static enum err delete_by(struct db *db, const char *sql, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, id);
    return query_end(q, why);
}

/* Groups that are mapped no longer go; places of the others are given anew. */
static enum err clear(struct db *db, struct arena *a, const struct identity_provider *p, struct fault *why)
{
    struct group *all;
    size_t n;
    enum err e = list_groups(db, a, p->id, &all, &n, why);
    for (size_t i = 0; i < n && !e; i++)
        e = has_folder(p, all[i].name) ? delete_by(db, "DELETE FROM folder_member WHERE principal_id = $1", all[i].id, why)
                                       : delete_by(db, "DELETE FROM principal WHERE id = $1", all[i].id, why);
    return e;
}

enum err identity_groups_apply(struct db *db, struct arena *a, const struct identity_provider *p, struct fault *why)
{
    enum err e = clear(db, a, p, why);
    for (size_t i = 0; p->signs_in && i < p->sign_in.mapping_count && !e; i++) {
        const struct identity_mapping *m = &p->sign_in.mappings[i];
        struct str folder, group;
        if (!m->folder.n)
            continue;
        if (!(e = folder_id(db, a, m->folder, i, &folder, why)) && !(e = ensure_group(db, a, p, m->group, &group, why)))
            e = place_group(db, folder, group, m->role, why);
    }
    return e;
}

enum err identity_groups_remove(struct db *db, struct str provider, struct fault *why)
{
    return delete_by(db, "DELETE FROM principal WHERE id IN (SELECT group_id FROM identity_group WHERE provider_id = $1)", provider,
                     why);
}

/* ---- who is in them ---- */

enum err identity_groups_join(struct db *db, struct arena *a, const struct identity_provider *p, const struct oidc_person *person,
                              struct str user, bool *changed, struct fault *why)
{
    struct group *all;
    size_t n;
    enum err e = list_groups(db, a, p->id, &all, &n, why);
    *changed = false;
    for (size_t i = 0; i < n && !e; i++) {
        struct query *q = query_begin(db, str_among(all[i].name, person->groups, person->group_count)
                                              ? "INSERT INTO group_member (group_id, member_id) VALUES ($1, $2)"
                                                " ON CONFLICT (group_id, member_id) DO NOTHING"
                                              : "DELETE FROM group_member WHERE group_id = $1 AND member_id = $2");
        query_text(q, all[i].id);
        query_text(q, user);
        e = query_end(q, why);
        *changed |= !e && db_changes(db) > 0;
    }
    return e;
}
