#include "vault/trash.h"

#include "vault/certificate.h"
#include "vault/connection_rules.h"
#include "vault/connection_sealed.h"
#include "vault/connection_words.h"
#include "vault/data_key.h"
#include "vault/sealed.h"

/* Its own certificates with their keys. The choice to show the hub's, and roots, are no secrets. */
static enum err destroy_certificates(struct db *db, struct str id, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct connection_tls t;
    enum err e = connection_tls_get(db, a, id, &t, why);
    if (!e && t.has_certificate && t.source != CERTIFICATE_INSTANCE) {
        t.has_certificate = false;
        e = connection_tls_put(db, id, &t, why);
    }
    return e ? e : certificate_forget(db, id, why);
}

static enum err destroy_secrets(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM connection_secret WHERE connection_id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    if (e || (e = destroy_certificates(db, id, why)) || (e = connection_codes_forget(db, id, why)))
        return e;
    e = sealed_forget(db, (struct data_owner){ STR("grant"), id }, why);
    return e ? e : data_key_destroy(db, (struct data_owner){ STR("connection"), id }, why);
}

enum err trash_get(struct db *db, struct arena *a, struct str id, struct connection_row *out, struct fault *why)
{
    return connection_get_deleted(db, a, id, out, why);
}

enum err trash_put(struct db *db, struct connection_row *row, struct str by, bool destroy, struct fault *why)
{
    wall_ms now = clock_wall();
    struct query *q =
        query_begin(db, "UPDATE connection SET state_before = state, state = 'deleted', deleted_ms = $1, deleted_by = $2,"
                        " is_default = 0, updated_ms = $1, revision = revision + 1"
                        " WHERE id = $3 AND revision = $4 AND deleted_ms = 0");
    query_i64(q, now);
    query_text(q, by);
    query_text(q, row->id);
    query_i64(q, row->revision);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!db_changes(db))
        return fault(why, ERR_PRECONDITION_FAILED, row->key, "revision %lld is not stored", (long long)row->revision);
    if (destroy && (e = destroy_secrets(db, row->id, why)))
        return e;
    row->state = CONNECTION_DELETED;
    row->is_default = false;
    row->deleted = row->updated = now;
    row->revision++;
    return ERR_NONE;
}

static enum err state_before(struct db *db, struct arena *a, struct str id, enum connection_state *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT state_before FROM connection WHERE id = $1");
    query_text(q, id);
    if (!query_next(q) || !connection_state_parse(query_get_text(q, 0, a), out) || *out == CONNECTION_DELETED)
        *out = CONNECTION_DISABLED;
    return query_end(q, why);
}

static enum err has_data_key(struct db *db, struct str id, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM data_key WHERE kind = 'connection' AND owner_id = $1");
    query_text(q, id);
    *out = query_next(q);
    return query_end(q, why);
}

static enum err other_default(struct db *db, const struct connection_row *row, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM connection WHERE folder_id = $1 AND connector = $2 AND is_default = 1 AND"
                                      " deleted_ms = 0 LIMIT 1");
    query_text(q, row->folder);
    query_text(q, row->connector);
    *out = query_next(q);
    return query_end(q, why);
}

static enum err write_back(struct db *db, struct arena *a, const struct connection_row *row, struct fault *why)
{
    struct str before, search;
    enum err e = connection_words_stored(db, a, row->id, &before, why);
    if (e || (e = connection_words_text(a, row, &search, why)))
        return e;
    struct query *q =
        query_begin(db, "UPDATE connection SET key = $1, search = $2, state = $3, state_before = NULL, deleted_ms = 0,"
                        " deleted_by = NULL, is_default = $4, updated_ms = $5, revision = revision + 1"
                        " WHERE id = $6 AND revision = $7 AND deleted_ms > 0");
    query_text(q, row->key);
    query_text(q, search);
    query_text(q, str_of(connection_state_name(row->state)));
    query_i64(q, row->is_default);
    query_i64(q, row->updated);
    query_text(q, row->id);
    query_i64(q, row->revision);
    e = query_end(q, why);
    if (e == ERR_CONFLICT)
        return fault(why, ERR_CONFLICT, row->key, "the key is taken in its folder");
    if (e)
        return e;
    if (!db_changes(db))
        return fault(why, ERR_PRECONDITION_FAILED, row->key, "changed meanwhile");
    return connection_words_follow(db, row->number, before, search, why);
}

enum err trash_restore(struct db *db, struct arena *a, struct connection_row *row, struct str key, struct fault *why)
{
    struct connection_row made = *row;
    bool has_key, has_default;
    enum err e;
    if (key.p && (e = connection_rules_key(key, why)))
        return e;
    if ((e = state_before(db, a, row->id, &made.state, why)) || (e = has_data_key(db, row->id, &has_key, why)) ||
        (e = other_default(db, row, &has_default, why)))
        return e;
    made.key = key.p ? key : row->key;
    /* A connection without credentials of its kind keeps a data key all the same: no key means that they were destroyed. */
    if (!has_key && made.state != CONNECTION_DRAFT)
        made.state = CONNECTION_NEEDS_AUTH;
    made.is_default = !has_default;
    made.updated = clock_wall();
    made.deleted = 0;
    if ((e = write_back(db, a, &made, why)))
        return e;
    made.revision++;
    *row = made;
    return ERR_NONE;
}

/* ---- upkeep ---- */

static enum err ids_of(struct db *db, struct arena *a, const char *sql, wall_ms before, int most, struct str **out, size_t *n,
                       struct fault *why)
{
    struct str *ids = arena_array(a, (size_t)most, sizeof *ids);
    size_t count = 0;
    struct query *q = query_begin(db, sql);
    query_i64(q, before);
    query_i64(q, most);
    while (count < (size_t)most && query_next(q))
        ids[count++] = query_get_text(q, 0, a);
    *out = ids;
    *n = count;
    return query_end(q, why);
}

enum err trash_empty(struct db *db, const struct trash_ages *ages, int64_t *done, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str *ids;
    size_t n;
    *done = 0;
    enum err e = ids_of(db, a, "SELECT id FROM connection WHERE deleted_ms > 0 AND deleted_ms < $1 ORDER BY deleted_ms LIMIT $2",
                        ages->rows_before, ages->most, &ids, &n, why);
    for (size_t i = 0; !e && i < n; i++, ++*done)
        e = connection_delete(db, ids[i], why);
    if (e || *done)
        return e;
    /* The few that are deleted lead, not the keys of all. */
    e = ids_of(db, a, "SELECT c.id FROM connection c CROSS JOIN data_key k WHERE k.kind = 'connection' AND k.owner_id = c.id"
                      " AND c.deleted_ms > 0 AND c.deleted_ms < $1 ORDER BY c.deleted_ms LIMIT $2",
               ages->secrets_before, ages->most, &ids, &n, why);
    for (size_t i = 0; !e && i < n; i++, ++*done)
        e = destroy_secrets(db, ids[i], why);
    return e;
}
