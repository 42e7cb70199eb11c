#include "vault/data_key.h"

#include "base/clock.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "crypto/seal.h"

struct str data_key_place(struct arena *a, struct data_owner owner)
{
    return str_fmt(a, "%.*s|%.*s|data_key|1", STR_ARG(owner.kind), STR_ARG(owner.id));
}

/* Another process may have made a new wrapping key: what the old one sealed now would outlive it. Inside a write the table cannot
 * change under us. */
static enum err meet_active(struct db *db, struct keyring *k, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM wrapping_key WHERE active = 1");
    int64_t active = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    return e || active == (int64_t)keyring_active(k) ? e : keyring_refresh(k, db, why);
}

static enum err store_key(struct db *db, struct data_owner owner, uint32_t by, struct str text, int64_t uses, struct fault *why)
{
    struct query *q = query_begin(
        db, "INSERT INTO data_key (kind, owner_id, wrapping_key, sealed, uses, created_ms) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (kind, owner_id) DO UPDATE SET wrapping_key = excluded.wrapping_key, sealed = excluded.sealed,"
            " uses = excluded.uses, created_ms = excluded.created_ms");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    query_i64(q, by);
    query_text(q, text);
    query_i64(q, uses);
    query_i64(q, clock_wall());
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "UPDATE wrapping_key SET uses = uses + 1 WHERE id = $1");
    query_i64(q, by);
    return query_end(q, why);
}

enum err data_key_new(struct db *db, struct keyring *k, struct data_owner owner, int64_t uses, struct secret *key,
                      struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_SECRET made = secret_new(SEAL_KEY);
    struct str sealed;
    uint32_t by;
    random_bytes(made.p, made.n);
    enum err e = meet_active(db, k, why);
    if (e || (e = keyring_wrap(k, a, data_key_place(a, owner), made, &sealed, &by, why)) ||
        (e = store_key(db, owner, by, base64_encode(a, sealed, BASE64_STANDARD), uses, why)))
        return e;
    *key = made;
    made = SECRET_NONE;
    return ERR_NONE;
}

static enum err read_key(struct db *db, struct arena *a, struct data_owner owner, struct str *sealed, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT sealed FROM data_key WHERE kind = $1 AND owner_id = $2");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    bool found = query_next(q);
    struct str text = query_get_text(q, 0, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("data key"), "%.*s %.*s has no data key", STR_ARG(owner.kind), STR_ARG(owner.id));
    if (!base64_decode(a, text, BASE64_STANDARD, sealed))
        return fault(why, ERR_CRYPTO, STR_NONE, "the data key of %.*s is no base64", STR_ARG(owner.id));
    return ERR_NONE;
}

enum err data_key_open(struct db *db, struct keyring *k, struct data_owner owner, struct secret *key, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct str sealed;
    uint32_t by;
    enum err e = read_key(db, a, owner, &sealed, why);
    if (e)
        return e;
    /* Sealed anew by a key that another process made, or read before the old one was destroyed: look again, once. */
    if (seal_key_id(sealed, &by) && !keyring_knows(k, by)) {
        enum err refreshed = keyring_refresh(k, db, why);
        if (refreshed)
            return refreshed;
        if ((e = read_key(db, a, owner, &sealed, why)))
            return e;
    }
    return keyring_unwrap(k, data_key_place(a, owner), sealed, key, why);
}

enum err data_key_count(struct db *db, struct data_owner owner, int64_t more, int64_t *uses, bool *found, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE data_key SET uses = uses + $1 WHERE kind = $2 AND owner_id = $3 RETURNING uses");
    query_i64(q, more);
    query_text(q, owner.kind);
    query_text(q, owner.id);
    *found = query_next(q);
    *uses = query_get_i64(q, 0);
    return query_end(q, why);
}

enum err data_key_destroy(struct db *db, struct data_owner owner, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM data_key WHERE kind = $1 AND owner_id = $2");
    query_text(q, owner.kind);
    query_text(q, owner.id);
    return query_end(q, why);
}
