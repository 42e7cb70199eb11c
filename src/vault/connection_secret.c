/* The sealed half of vault/connection.h: each secret under the connection's own data key. */
#include "vault/connection.h"

#include "base/encode.h"
#include "crypto/seal.h"
#include "vault/connection_rules.h"
#include "vault/connection_sealed.h"
#include "vault/data_key.h"

/* Where a secret belongs, authenticated with it (requirement 12.1). No part can hold '|': see connection_rules.c. */
static struct str place(struct arena *a, const struct connection_row *row, struct str name)
{
    return str_fmt(a, "connection_secret|%.*s|%.*s|%.*s|%.*s|1", STR_ARG(row->id), STR_ARG(name), STR_ARG(row->allowed_domain),
                   STR_ARG(row->auth_type));
}

static struct data_owner owner(struct str id) { return (struct data_owner){ STR("connection"), id }; }

enum err connection_sealed_key(struct db *db, struct keyring *k, struct str id, size_t secrets, struct secret *key,
                               struct fault *why)
{
    return data_key_new(db, k, owner(id), (int64_t)secrets, key, why);
}

static enum err forget_codes_in(struct db *db, const char *sql, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, id);
    return query_end(q, why);
}

enum err connection_codes_forget(struct db *db, struct str id, struct fault *why)
{
    enum err e = forget_codes_in(db, "DELETE FROM sealed_value WHERE kind = 'authorization' AND owner_id IN"
                                     " (SELECT id FROM authorization_attempt WHERE connection_id = $1)", id, why);
    return e ? e : forget_codes_in(db, "DELETE FROM data_key WHERE kind = 'authorization' AND owner_id IN"
                                       " (SELECT id FROM authorization_attempt WHERE connection_id = $1)", id, why);
}

enum err connection_sealed_forget(struct db *db, struct str id, struct fault *why) { return data_key_destroy(db, owner(id), why); }

enum err connection_sealed_insert(struct db *db, struct arena *a, const struct connection_row *row, struct secret key,
                                  const struct connection_secret *secrets, size_t n, struct fault *why)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; i < n && !e; i++) {
        struct str sealed;
        seal(a, key, 0, place(a, row, secrets[i].name), secret_str(secrets[i].value), &sealed);
        struct query *q =
            query_begin(db, "INSERT INTO connection_secret (connection_id, name, sealed, updated_ms) VALUES ($1, $2, $3, $4)");
        query_text(q, row->id);
        query_text(q, secrets[i].name);
        query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
        query_i64(q, row->updated);
        e = query_end(q, why);
    }
    return e;
}

enum err connection_secrets_set(struct db *db, struct arena *a, const struct many *ids, struct connection_secrets_set *out,
                                struct fault *why)
{
    struct query *q = many_begin(db, "SELECT connection_id, name, updated_ms FROM connection_secret WHERE connection_id IN $keys"
                                     " ORDER BY connection_id, name", 0, ids);
    many_bind(q, ids);
    for (size_t i = 0; i < ids->n; i++)
        out[i] = (struct connection_secrets_set){ 0 };
    for (size_t i; query_next(q);) {
        if (!many_find(ids, query_get_text(q, 0, a), &i) || out[i].n == CONNECTION_SECRETS)
            continue;
        if (!out[i].n)
            out[i].infos = arena_array(a, CONNECTION_SECRETS, sizeof *out[i].infos);
        out[i].infos[out[i].n++] = (struct connection_secret_info){ query_get_text(q, 1, a), query_get_i64(q, 2) };
    }
    return query_end(q, why);
}

static enum err unusable(const struct connection_row *row, struct fault *why, const char *what)
{
    return fault(why, ERR_RECONNECT_REQUIRED, row->key, "connection %.*s: %s", STR_ARG(row->id), what);
}

static enum err open_data_key(struct db *db, struct keyring *k, const struct connection_row *row, struct secret *key,
                              struct fault *why)
{
    struct fault inner = { 0 };
    enum err e = data_key_open(db, k, owner(row->id), key, &inner);
    if (e == ERR_NOT_FOUND)
        return unusable(row, why, "it has no data key");
    if (e == ERR_CRYPTO)
        return unusable(row, why, "its data key does not open");
    if (e && why)
        *why = inner;
    return e;
}

static bool open_one(struct arena *a, const struct connection_row *row, struct secret key, struct str text,
                     struct connection_secret *out)
{
    struct str sealed;
    uint32_t id;
    return base64_decode(a, text, BASE64_STANDARD, &sealed) && seal_key_id(sealed, &id) && id == 0 &&
           !seal_open(key, place(a, row, out->name), sealed, &out->value, NULL);
}

static enum err open_all(struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row,
                         struct connection_secret out[CONNECTION_SECRETS], size_t *n, struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    enum err e = open_data_key(db, k, row, &key, why);
    if (e)
        return e;
    const char *broken = NULL;
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT name, sealed FROM connection_secret WHERE connection_id = $1 ORDER BY name");
    query_text(q, row->id);
    while (!broken && query_next(q)) {
        if (count == CONNECTION_SECRETS) {
            broken = "it has more secrets than were ever stored";
            break;
        }
        out[count] = (struct connection_secret){ .name = query_get_text(q, 0, a) };
        if (open_one(a, row, key, query_get_text(q, 1, a), &out[count]))
            count++;
        else
            broken = "one of its secrets does not open";
    }
    e = query_end(q, why);
    if (!e && broken)
        e = unusable(row, why, broken);
    if (e) {
        while (count)
            secret_end(&out[--count].value);
        return e;
    }
    *n = count;
    return ERR_NONE;
}

void connection_secrets_end(struct connection_secret *secrets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        secret_end(&secrets[i].value);
}

enum err connection_open_secrets(struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row,
                                 struct connection_secret out[CONNECTION_SECRETS], size_t *n, struct fault *why)
{
    /* The key and what it sealed, of one moment: somebody may be replacing both. */
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = open_all(db, k, a, row, out, n, why);
    db_snapshot_end(db);
    return e;
}

struct loss {
    struct keyring *keys;
    const struct connection_row *row;
};

static enum err lost_work(struct db *db, void *context, struct fault *why)
{
    const struct loss *l = context;
    struct query *q = query_begin(db, "UPDATE connection SET health = 'reconnect_required' WHERE id = $1 AND revision = $2"
                                      " AND health <> 'reconnect_required'");
    query_text(q, l->row->id);
    query_i64(q, l->row->revision);
    enum err e = query_end(q, why);
    return e || !db_changes(db) ? e : keyring_tell_lost(l->keys, db, STR("connection"), l->row->id, why);
}

enum err connection_lost(struct store *s, struct keyring *k, const struct connection_row *row, struct fault *why)
{
    return store_write(s, lost_work, &(struct loss){ k, row }, why);
}

static enum err reseal_one(struct db *db, struct arena *a, const struct connection_row *row, struct secret key,
                           const struct connection_secret *secret, struct fault *why)
{
    struct str sealed;
    seal(a, key, 0, place(a, row, secret->name), secret_str(secret->value), &sealed);
    struct query *q = query_begin(db, "UPDATE connection_secret SET sealed = $1 WHERE connection_id = $2 AND name = $3");
    query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
    query_text(q, row->id);
    query_text(q, secret->name);
    return query_end(q, why);
}

enum err connection_renew_key(struct db *db, struct keyring *k, struct str id, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_SECRET key = SECRET_NONE;
    struct connection_row row;
    struct connection_secret all[CONNECTION_SECRETS];
    size_t n;
    enum err e = connection_get(db, a, id, &row, why);
    if (e || (e = connection_open_secrets(db, k, a, &row, all, &n, why)))
        return e;
    e = data_key_new(db, k, owner(id), (int64_t)n, &key, why);
    for (size_t i = 0; i < n; i++) {
        if (!e)
            e = reseal_one(db, a, &row, key, &all[i], why);
        secret_end(&all[i].value);
    }
    return e;
}
