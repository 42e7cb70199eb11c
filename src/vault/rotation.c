#include "vault/rotation.h"

#include "base/encode.h"
#include "crypto/seal.h"
#include "vault/certificate.h"
#include "vault/connection.h"
#include "vault/data_key.h"
#include "vault/sealed.h"

#define SUSPICIOUS 8 /* rows in a row that do not open: the ring is wrong, not the rows */

/* ---- what goes on ---- */

enum err rotation_newest(struct db *db, struct arena *a, struct rotation *out, struct fault *why)
{
    *out = (struct rotation){ .reason = STR("") };
    struct query *q = query_begin(db, "SELECT id, reason, total, done, broken, started_ms, finished_ms FROM key_rotation"
                                      " ORDER BY id DESC LIMIT 1");
    if (query_next(q))
        *out = (struct rotation){ (uint32_t)query_get_i64(q, 0), query_get_text(q, 1, a), query_get_i64(q, 2), query_get_i64(q, 3),
                                  query_get_i64(q, 4),           query_get_i64(q, 5),     query_get_i64(q, 6) };
    return query_end(q, why);
}

static enum err insert(struct db *db, const struct rotation *r, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO key_rotation (id, reason, total, started_ms) VALUES ($1, $2, $3, $4)");
    query_i64(q, r->key);
    query_text(q, r->reason);
    query_i64(q, r->total);
    query_i64(q, r->started);
    return query_end(q, why);
}

enum err rotation_begin(struct db *db, struct keyring *k, struct arena *a, const char *reason, struct rotation *out,
                        struct fault *why)
{
    struct rotation r;
    enum err e = rotation_newest(db, a, &r, why);
    if (e)
        return e;
    if (r.key && !r.finished)
        return fault(why, ERR_CONFLICT, STR("a rotation of keys that is not finished"), "to wrapping key %u", r.key);
    r = (struct rotation){ .reason = arena_str(a, str_of(reason)), .started = clock_wall() };
    if ((e = keyring_add(k, db, &r.key, why)) ||
        (e = query_number(db, "SELECT count(*) FROM data_key WHERE wrapping_key IS NOT NULL", &r.total, why)) ||
        (e = insert(db, &r, why)))
        return e;
    *out = r;
    return ERR_NONE;
}

enum err rotation_due(struct db *db, const struct rotation_policy *p, const char **reason, wall_ms *at, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT w.created_ms, w.uses, r.total FROM wrapping_key w LEFT JOIN key_rotation r ON r.id = w.id"
                        " WHERE w.active = 1");
    bool found = query_next(q);
    wall_ms created = query_get_i64(q, 0);
    /* A rotation uses the key once for each data key: a limit under that must not make it turn for ever. */
    int64_t uses = query_get_i64(q, 1), limit = p->max_uses, least = 2 * query_get_i64(q, 2), going = 0;
    enum err e = query_end(q, why);
    if (e || (e = query_number(db, "SELECT count(*) FROM key_rotation WHERE finished_ms = 0", &going, why)))
        return e;
    *at = created + p->max_age;
    *reason = !found || going ? NULL : uses >= (limit > least ? limit : least) ? "uses" : clock_wall() >= *at ? "age" : NULL;
    return ERR_NONE;
}

/* ---- a step ---- */

struct wrapped {
    struct data_owner owner;
    struct str text;
    int64_t by;
};

struct step {
    struct keyring *keys;
    struct rotation_count *out;
};

static enum err read_batch(struct db *db, struct arena *a, uint32_t active, struct wrapped rows[ROTATION_BATCH], size_t *n,
                           struct fault *why)
{
    struct query *q = query_begin(db, "SELECT kind, owner_id, sealed, wrapping_key FROM data_key WHERE wrapping_key < $1"
                                      " ORDER BY wrapping_key LIMIT $2");
    query_i64(q, active);
    query_i64(q, ROTATION_BATCH);
    *n = 0;
    while (*n < ROTATION_BATCH && query_next(q)) {
        struct wrapped *w = &rows[(*n)++];
        *w = (struct wrapped){ { query_get_text(q, 0, a), query_get_text(q, 1, a) }, query_get_text(q, 2, a), query_get_i64(q, 3) };
    }
    return query_end(q, why);
}

/* With wrapping key 0: set aside. */
static enum err write_row(struct db *db, const struct wrapped *w, uint32_t by, struct str text, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE data_key SET wrapping_key = $1, sealed = $2 WHERE kind = $3 AND owner_id = $4");
    if (by)
        query_i64(q, by);
    else
        query_null(q);
    query_text(q, text);
    query_text(q, w->owner.kind);
    query_text(q, w->owner.id);
    return query_end(q, why);
}

static enum err mark_owner(struct db *db, struct keyring *k, struct data_owner owner, struct fault *why)
{
    enum err e = ERR_NONE;
    if (str_is(owner.kind, "connection"))
        e = connection_set_health(db, owner.id, HEALTH_RECONNECT_REQUIRED, 0, STR_NONE, why);
    else if (str_is(owner.kind, "certificate"))
        e = certificate_lost(db, owner.id, why);
    return e && e != ERR_CONNECTION_NOT_FOUND ? e : keyring_tell_lost(k, db, owner.kind, owner.id, why);
}

static enum err set_aside(struct db *db, struct keyring *k, const struct wrapped *w, struct fault *why)
{
    enum err e = write_row(db, w, 0, w->text, why);
    return e ? e : mark_owner(db, k, w->owner, why);
}

static enum err rewrap(struct db *db, struct keyring *k, const struct wrapped *w, bool *opened, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    AUTO_SECRET key = SECRET_NONE;
    struct str sealed, place = data_key_place(a, w->owner);
    uint32_t by;
    struct fault inner = { 0 };
    *opened = false;
    enum err e = base64_decode(a, w->text, BASE64_STANDARD, &sealed) ? keyring_unwrap(k, place, sealed, &key, &inner) : ERR_CRYPTO;
    if (e == ERR_CRYPTO)
        return set_aside(db, k, w, why);
    if (e) {
        if (why)
            *why = inner;
        return e;
    }
    *opened = true;
    if ((e = keyring_wrap(k, a, place, key, &sealed, &by, why)))
        return e;
    return write_row(db, w, by, base64_encode(a, sealed, BASE64_STANDARD), why);
}

static enum err rewrap_all(struct db *db, struct keyring *k, const struct wrapped *rows, size_t n, struct rotation_count *out,
                           struct fault *why)
{
    int64_t lost = 0; /* with a wrapping key that is known to be damaged: says nothing of the ring */
    for (size_t i = 0; i < n; i++) {
        bool opened;
        if (keyring_damaged(k, (uint32_t)rows[i].by)) {
            enum err e = set_aside(db, k, &rows[i], why);
            if (e)
                return e;
            out->broken++;
            lost++;
            continue;
        }
        if (!keyring_knows(k, (uint32_t)rows[i].by))
            return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld is not in the ring", (long long)rows[i].by);
        enum err e = rewrap(db, k, &rows[i], &opened, why);
        if (e)
            return e;
        out->done += opened;
        out->broken += !opened;
    }
    if (out->broken - lost >= SUSPICIOUS && !out->done)
        return fault(why, ERR_CRYPTO, STR_NONE, "none of %zu data keys opens: the rotation stops, the old keys stay", n);
    return ERR_NONE;
}

static enum err note_progress(struct db *db, const struct rotation *r, const struct rotation_count *c, struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE key_rotation SET done = done + $1, broken = broken + $2, finished_ms = $3 WHERE id = $4");
    query_i64(q, c->done);
    query_i64(q, c->broken);
    query_i64(q, c->finished ? clock_wall() : 0);
    query_i64(q, r->key);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "UPDATE wrapping_key SET uses = uses + $1 WHERE id = $2");
    query_i64(q, c->done);
    query_i64(q, r->key);
    return query_end(q, why);
}

/* The database itself refuses to delete a key that a data key refers to. */
static enum err destroy_older(struct db *db, const struct rotation *r, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM wrapping_key WHERE id < $1 AND active = 0");
    query_i64(q, r->key);
    return query_end(q, why);
}

static enum err step_work(struct db *db, void *context, struct fault *why)
{
    struct step *s = context;
    AUTO_ARENA a = arena_new(64 * 1024);
    struct wrapped *rows = arena_array(a, ROTATION_BATCH, sizeof *rows);
    struct rotation r;
    size_t n;
    *s->out = (struct rotation_count){ 0 };
    enum err e = rotation_newest(db, a, &r, why);
    if (e || !r.key || r.finished)
        return e;
    s->out->more = true;
    if (keyring_active(s->keys) != r.key && (e = keyring_refresh(s->keys, db, why)))
        return e;
    if ((e = read_batch(db, a, r.key, rows, &n, why)) || (e = rewrap_all(db, s->keys, rows, n, s->out, why)))
        return e;
    s->out->finished = n == 0;
    if (s->out->finished && (e = destroy_older(db, &r, why)))
        return e;
    return note_progress(db, &r, s->out, why);
}

enum err rotation_step(struct store *s, struct keyring *k, struct rotation_count *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct rotation r;
    struct db *db = store_reader(s, why);
    *out = (struct rotation_count){ 0 };
    enum err e = db ? rotation_newest(db, a, &r, why) : ERR_STORE;
    if (e || !r.key || r.finished)
        return e;
    if ((e = store_write(s, step_work, &(struct step){ k, out }, why)) || !out->finished)
        return e;
    /* The log still has pages with the old key; and the ring drops it. */
    if ((e = store_checkpoint(s, why)))
        return e;
    return keyring_refresh(k, db, why);
}

/* ---- data keys that are too old ---- */

#define RENEWED_AT_ONCE 25 /* a sync each is what a million would wait for; more, and others wait for the writer */

struct renewal {
    struct keyring *keys;
    struct data_owner owner; /* the one at hand */
    wall_ms before;
    struct arena *arena;
    int64_t done;
};

static enum err oldest(struct db *db, struct arena *a, wall_ms before, struct data_owner *out, struct fault *why)
{
    *out = (struct data_owner){ STR_NONE, STR_NONE };
    /* The hub's own key seals nothing: it tells fingerprints, which are to stay. */
    struct query *q = query_begin(db, "SELECT kind, owner_id FROM data_key WHERE created_ms < $1 AND wrapping_key IS NOT NULL"
                                      " AND kind <> 'hub' ORDER BY created_ms LIMIT 1");
    query_i64(q, before);
    if (query_next(q))
        *out = (struct data_owner){ query_get_text(q, 0, a), query_get_text(q, 1, a) };
    return query_end(q, why);
}

static enum err renew_one(struct db *db, const struct renewal *r, struct fault *why)
{
    if (str_is(r->owner.kind, "connection"))
        return connection_renew_key(db, r->keys, r->owner.id, why);
    return sealed_renew(db, r->keys, r->owner, why);
}

/* All of them or none: with one that does not open, those before it are done again without it. */
static enum err renew_work(struct db *db, void *context, struct fault *why)
{
    struct renewal *r = context;
    enum err e = ERR_NONE;
    for (r->done = 0; !e && r->done < RENEWED_AT_ONCE; r->done++) {
        e = oldest(db, r->arena, r->before, &r->owner, why);
        if (e || !r->owner.id.p)
            return e;
        e = renew_one(db, r, why);
    }
    return e;
}

static enum err set_aside_work(struct db *db, void *context, struct fault *why)
{
    const struct renewal *r = context;
    struct query *q =
        query_begin(db, "UPDATE data_key SET wrapping_key = NULL WHERE kind = $1 AND owner_id = $2 AND created_ms < $3");
    query_text(q, r->owner.kind);
    query_text(q, r->owner.id);
    query_i64(q, r->before);
    enum err e = query_end(q, why);
    return e || !db_changes(db) ? e : mark_owner(db, r->keys, r->owner, why);
}

enum err rotation_renew(struct store *s, struct keyring *k, wall_ms before, struct rotation_count *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct renewal r = { .keys = k, .before = before, .arena = a };
    struct db *db = store_reader(s, why);
    *out = (struct rotation_count){ 0 };
    enum err e = db ? oldest(db, a, before, &r.owner, why) : ERR_STORE;
    if (e || !r.owner.id.p)
        return e;
    out->more = true;
    e = store_write(s, renew_work, &r, why);
    out->done = e ? 0 : r.done;
    if (e != ERR_CRYPTO && e != ERR_RECONNECT_REQUIRED)
        return e;
    out->broken = 1;
    return store_write(s, set_aside_work, &r, why);
}

/* ---- for people ---- */

static enum err count_data_keys(struct db *db, struct rotation_report *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT wrapping_key, count(*) FROM data_key GROUP BY wrapping_key");
    while (query_next(q)) {
        if (query_is_null(q, 0))
            out->broken = query_get_i64(q, 1);
        for (size_t i = 0; i < out->count; i++)
            if ((int64_t)out->keys[i].id == query_get_i64(q, 0))
                out->keys[i].data_keys = query_get_i64(q, 1);
    }
    return query_end(q, why);
}

static enum err read_report(struct db *db, struct arena *a, struct rotation_report *out, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT id, active, uses, created_ms, master, master_next FROM wrapping_key ORDER BY id DESC");
    while (out->count < ROTATION_KEYS && query_next(q))
        out->keys[out->count++] = (struct rotation_key){
            .id = (uint32_t)query_get_i64(q, 0), .active = query_get_i64(q, 1), .uses = query_get_i64(q, 2),
            .created = query_get_i64(q, 3), .master = query_get_text(q, 4, a), .master_next = query_get_text(q, 5, a),
        };
    enum err e = query_end(q, why);
    if (e || (e = count_data_keys(db, out, why)))
        return e;
    return rotation_newest(db, a, &out->newest, why);
}

/* Keys and rotation of one state: else a rotation is finished whose older keys are still there. */
enum err rotation_report(struct db *db, struct arena *a, struct rotation_report *out, struct fault *why)
{
    *out = (struct rotation_report){ .count = 0 };
    enum err e = db_snapshot(db, why);
    if (e)
        return e;
    e = read_report(db, a, out, why);
    db_snapshot_end(db);
    return e;
}
