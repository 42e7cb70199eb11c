#include "vault/sealed.h"

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/seal.h"

#define PART_MAX 128
#define USES_MAX 4000000000 /* of a data key; under 2^32 (requirement 12.3) */

static void check_part(struct str s)
{
    if (!s.n || s.n > PART_MAX || str_find(s, '|') != SIZE_MAX || str_has_control(s))
        bug("a sealed value's kind, id or name: %.*s", STR_ARG(s));
}

static void check_place(struct data_owner owner, struct str name)
{
    check_part(owner.kind);
    check_part(owner.id);
    check_part(name);
    if (str_is(owner.kind, "connection"))
        bug("connections keep their secrets in connection_secret");
}

static struct str place(struct arena *a, struct data_owner owner, struct str name)
{
    return str_fmt(a, "sealed_value|%.*s|%.*s|%.*s|1", STR_ARG(owner.kind), STR_ARG(owner.id), STR_ARG(name));
}

static enum err missing(struct data_owner owner, struct str name, struct fault *why)
{
    return fault(why, ERR_NOT_FOUND, STR("sealed value"), "%.*s of %.*s %.*s", STR_ARG(name), STR_ARG(owner.kind),
                 STR_ARG(owner.id));
}

static enum err write_value(struct db *db, struct data_owner owner, struct str name, struct secret key, struct secret value,
                            struct fault *why)
{
    AUTO_ARENA a = arena_new(value.n * 3 + 1024);
    struct str sealed;
    seal(a, key, 0, place(a, owner, name), secret_str(value), &sealed);
    struct query *q = query_begin(
        db, "INSERT INTO sealed_value (kind, owner_id, name, sealed, updated_ms) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (kind, owner_id, name) DO UPDATE SET sealed = excluded.sealed, updated_ms = excluded.updated_ms");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    query_text(q, name);
    query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
    query_i64(q, clock_wall());
    return query_end(q, why);
}

/* The owner's key with one use counted, or its first, or one in place of a key that has sealed enough. */
static enum err key_for_writing(struct db *db, struct keyring *k, struct data_owner owner, struct secret *key, struct fault *why)
{
    int64_t uses;
    bool found;
    enum err e = data_key_count(db, owner, 1, &uses, &found, why);
    if (e)
        return e;
    if (!found)
        return data_key_new(db, k, owner, 1, key, why);
    if (uses > USES_MAX && (e = sealed_renew(db, k, owner, why)))
        return e;
    return data_key_open(db, k, owner, key, why);
}

enum err sealed_put(struct db *db, struct keyring *k, struct data_owner owner, struct str name, struct secret value,
                    struct fault *why)
{
    check_place(owner, name);
    if (value.n > SEALED_MAX)
        return fault(why, ERR_LIMIT, STR("64 KiB in one secret"), "%zu bytes", value.n);
    AUTO_SECRET key = SECRET_NONE;
    enum err e = key_for_writing(db, k, owner, &key, why);
    return e ? e : write_value(db, owner, name, key, value, why);
}

static enum err open_value(struct db *db, struct data_owner owner, struct str name, struct secret key, struct secret *out,
                           struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct query *q = query_begin(db, "SELECT sealed FROM sealed_value WHERE kind = $1 AND owner_id = $2 AND name = $3");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    query_text(q, name);
    bool found = query_next(q);
    struct str text = query_get_text(q, 0, a), sealed;
    uint32_t id;
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return missing(owner, name, why);
    if (!base64_decode(a, text, BASE64_STANDARD, &sealed) || !seal_key_id(sealed, &id) || id != 0)
        return fault(why, ERR_CRYPTO, STR_NONE, "%.*s of %.*s is not in the sealed form", STR_ARG(name), STR_ARG(owner.id));
    return seal_open(key, place(a, owner, name), sealed, out, why);
}

enum err sealed_get(struct db *db, struct keyring *k, struct data_owner owner, struct str name, struct secret *out,
                    struct fault *why)
{
    AUTO_SECRET key = SECRET_NONE;
    check_place(owner, name);
    /* The key and what it sealed, of one moment: somebody may be replacing both. */
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = data_key_open(db, k, owner, &key, why);
    if (e == ERR_NOT_FOUND)
        missing(owner, name, why);
    if (!e)
        e = open_value(db, owner, name, key, out, why);
    db_snapshot_end(db);
    return e;
}

enum err sealed_remove(struct db *db, struct data_owner owner, struct str name, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM sealed_value WHERE kind = $1 AND owner_id = $2 AND name = $3");
    check_place(owner, name);
    query_text(q, owner.kind);
    query_text(q, owner.id);
    query_text(q, name);
    return query_end(q, why);
}

enum err sealed_forget(struct db *db, struct data_owner owner, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM sealed_value WHERE kind = $1 AND owner_id = $2");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    enum err e = query_end(q, why);
    return e ? e : data_key_destroy(db, owner, why);
}

/* Every name of the owner, in order. */
static enum err read_names(struct db *db, struct arena *a, struct data_owner owner, struct str **out, size_t *n, struct fault *why)
{
    int64_t count = 0;
    struct query *q = query_begin(db, "SELECT count(*) FROM sealed_value WHERE kind = $1 AND owner_id = $2");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    if (query_next(q))
        count = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    if (e)
        return e;
    *out = arena_array(a, (size_t)count + 1, sizeof **out);
    *n = 0;
    q = query_begin(db, "SELECT name FROM sealed_value WHERE kind = $1 AND owner_id = $2 ORDER BY name");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    while (*n < (size_t)count && query_next(q))
        (*out)[(*n)++] = query_get_text(q, 0, a);
    return query_end(q, why);
}

static enum err renew_one(struct db *db, struct data_owner owner, struct str name, struct secret old, struct secret new,
                          struct fault *why)
{
    AUTO_SECRET value = SECRET_NONE;
    enum err e = open_value(db, owner, name, old, &value, why);
    return e ? e : write_value(db, owner, name, new, value, why);
}

enum err sealed_renew(struct db *db, struct keyring *k, struct data_owner owner, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_SECRET old = SECRET_NONE;
    AUTO_SECRET new = SECRET_NONE;
    struct str *names;
    size_t n;
    enum err e = data_key_open(db, k, owner, &old, why);
    if (e || (e = read_names(db, a, owner, &names, &n, why)))
        return e;
    /* All or none: whoever asks rolls back on an error. */
    if ((e = data_key_new(db, k, owner, (int64_t)n, &new, why)))
        return e;
    for (size_t i = 0; i < n && !e; i++)
        e = renew_one(db, owner, names[i], old, new, why);
    return e;
}
