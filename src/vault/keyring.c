#include "vault/keyring.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/seal.h"
#include "vault/data_key.h"

#define MASTER_ID 0            /* key number in values that the master key sealed */
#define DAMAGED_MAX 64
#define LINGER_MS (60 * 1000)  /* a destroyed key stays in memory so long: some reader may hold a row that it sealed */

struct wrapping_key {
    uint32_t id;
    struct secret key;
    int64_t gone_ms;           /* monotonic; since when the table does not have it; 0: it has */
};

struct keyring {
    struct wrapping_key *keys; /* in no order */
    size_t count;
    uint32_t active;           /* its id; the highest of all, now and ever: ids are never used again */
    struct secret master;
    struct str file, directory; /* where another master key may be found; empty: nowhere */
    bool reloads;
    uint32_t damaged[DAMAGED_MAX]; /* ids of wrapping keys that did not open when others did */
    size_t damaged_count;
    keyring_lost *lost;
    struct secret fingerprint; /* key of keyring_fingerprint() */
    pthread_rwlock_t lock;     /* over all of this */
    bool wiped;
};

static struct str wrapping_place(struct arena *a, uint32_t id)
{
    return str_fmt(a, "wrapping_key|%u|sealed|1", id);
}

void keyring_close(struct keyring *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->count; i++)
        secret_end(&k->keys[i].key);
    secret_end(&k->master);
    secret_end(&k->fingerprint);
    pthread_rwlock_destroy(&k->lock);
    free(k->keys);
    free(k);
}

void keyring_wipe(struct keyring *k)
{
    pthread_rwlock_wrlock(&k->lock);
    k->wiped = true;
    for (size_t i = 0; i < k->count; i++)
        secret_wipe(k->keys[i].key.p, k->keys[i].key.n);
    secret_wipe(k->master.p, k->master.n);
    secret_wipe(k->fingerprint.p, k->fingerprint.n);
    pthread_rwlock_unlock(&k->lock);
}

static enum err check_wiped(const struct keyring *k, struct fault *why)
{
    return k->wiped ? fault(why, ERR_SEALED, STR_NONE, "the keys are wiped") : ERR_NONE;
}

/* Until keys_done(), which is owed only when this answers ERR_NONE. */
static enum err keys_use(struct keyring *k, struct fault *why)
{
    pthread_rwlock_rdlock(&k->lock);
    enum err e = check_wiped(k, why);
    if (e)
        pthread_rwlock_unlock(&k->lock);
    return e;
}

static void keys_done(struct keyring *k) { pthread_rwlock_unlock(&k->lock); }

static struct wrapping_key *find(const struct keyring *k, uint32_t id)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->keys[i].id == id)
            return &k->keys[i];
    return NULL;
}

/* ---- the table ---- */

struct ring_row {
    int64_t id, active;
    struct str sealed, master, sealed_next, master_next;
};

struct ring_rows {
    struct ring_row *rows;
    size_t count;
    uint32_t active;
};

#define RING_MAX 1024 /* a ring has one or two keys; more than this is not ours */

static enum err read_rows(struct db *db, struct arena *a, struct ring_rows *out, struct fault *why)
{
    size_t actives = 0;
    *out = (struct ring_rows){ .rows = arena_array(a, RING_MAX, sizeof *out->rows) };
    struct query *q = query_begin(db, "SELECT id, active, sealed, master, sealed_next, master_next FROM wrapping_key ORDER BY id");
    while (out->count < RING_MAX && query_next(q)) {
        struct ring_row *r = &out->rows[out->count++];
        *r = (struct ring_row){ query_get_i64(q, 0),     query_get_i64(q, 1),     query_get_text(q, 2, a),
                                query_get_text(q, 3, a), query_get_text(q, 4, a), query_get_text(q, 5, a) };
        if (r->active) {
            actives++;
            out->active = (uint32_t)r->id;
        }
    }
    enum err e = query_end(q, why);
    if (e)
        return e;
    for (size_t i = 0; i < out->count; i++)
        if (out->rows[i].id < 1 || out->rows[i].id > UINT32_MAX)
            return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld: no such number", (long long)out->rows[i].id);
    if (out->count && actives != 1)
        return fault(why, ERR_CRYPTO, STR_NONE, "%zu wrapping keys are active, not one", actives);
    return ERR_NONE;
}

static enum err wrong_master(struct str needed, int64_t id, struct fault *why)
{
    return fault(why, ERR_KEY_WRONG, needed.n ? needed : STR("of this database"), "wrapping key %lld does not open", (long long)id);
}

/* A value that is not in the sealed form is refused, never taken for a key (requirement 12.6). */
static enum err open_row(struct arena *a, struct secret master, const struct ring_row *r, struct secret *key, struct fault *why)
{
    struct master_key_id mine = master_key_id(master);
    bool next = r->master_next.n && str_is(r->master_next, mine.text);
    struct str sealed;
    uint32_t by;
    if (!next && r->master.n && !str_is(r->master, mine.text))
        return wrong_master(r->master, r->id, why);
    if (!base64_decode(a, next ? r->sealed_next : r->sealed, BASE64_STANDARD, &sealed) || !seal_key_id(sealed, &by) ||
        by != MASTER_ID)
        return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld is not in the sealed form", (long long)r->id);
    if (seal_open(master, wrapping_place(a, (uint32_t)r->id), sealed, key, NULL))
        return wrong_master(r->master, r->id, why);
    if (key->n == SEAL_KEY)
        return ERR_NONE;
    size_t n = key->n;
    secret_end(key);
    return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %lld has %zu bytes", (long long)r->id, n);
}

static bool is_damaged(const struct keyring *k, uint32_t id)
{
    for (size_t i = 0; i < k->damaged_count; i++)
        if (k->damaged[i] == id)
            return true;
    return false;
}

static enum err add_keys(struct keyring *k, struct arena *a, const struct ring_rows *rows, bool tolerant, struct fault *why)
{
    struct fault unused, *say = tolerant ? &unused : why;
    for (size_t i = 0; i < rows->count; i++) {
        const struct ring_row *r = &rows->rows[i];
        struct wrapping_key *known = find(k, (uint32_t)r->id);
        struct secret key;
        if (known) {
            known->gone_ms = 0;
            continue;
        }
        if (is_damaged(k, (uint32_t)r->id))
            continue;
        enum err e = open_row(a, k->master, r, &key, say);
        if (e && !tolerant)
            return e;
        if (e)
            continue;
        k->keys = mem_grow(k->keys, (k->count + 1) * sizeof *k->keys);
        k->keys[k->count++] = (struct wrapping_key){ (uint32_t)r->id, key, 0 };
    }
    return ERR_NONE;
}

/* Requirement 18.6: one row that does not open is no reason not to start, as long as another shows that the master key is right.
 * What it sealed fails, the rest works. */
static enum err note_damaged(struct keyring *k, const struct ring_rows *rows, struct fault *why)
{
    for (size_t i = 0; i < rows->count; i++) {
        uint32_t id = (uint32_t)rows->rows[i].id;
        if (find(k, id))
            continue;
        if (k->damaged_count == DAMAGED_MAX)
            return fault(why, ERR_CRYPTO, STR_NONE, "more than %d wrapping keys are damaged", DAMAGED_MAX);
        k->damaged[k->damaged_count++] = id;
        log_text(LOG_ERROR, "wrapping key %u is damaged and does not open: connections whose keys it sealed need new credentials,"
                            " or restore a backup", id);
    }
    return ERR_NONE;
}

static bool in_rows(const struct ring_rows *rows, uint32_t id)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].id == (int64_t)id)
            return true;
    return false;
}

static void drop_destroyed(struct keyring *k, const struct ring_rows *rows)
{
    int64_t now = clock_mono().ms;
    for (size_t i = 0; i < k->count;) {
        struct wrapping_key *w = &k->keys[i];
        if (!in_rows(rows, w->id) && !w->gone_ms)
            w->gone_ms = now;
        if (!w->gone_ms || now - w->gone_ms < LINGER_MS) {
            i++;
            continue;
        }
        secret_end(&w->key);
        *w = k->keys[--k->count];
    }
}

static const struct ring_row *active_row(const struct ring_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].active)
            return &rows->rows[i];
    return NULL;
}

static bool is_master_of(const struct ring_row *r, struct master_key_id id)
{
    return !r->master.n || str_is(r->master, id.text) || str_is(r->master_next, id.text);
}

/* The master key may have been changed on the disk while this process ran. Another one than the table asks for is left alone. */
static void meet_master(struct keyring *k, const struct ring_row *active)
{
    struct master_key_source from = { STR_NONE, k->file, k->directory };
    struct secret key;
    bool created;
    if (!active || is_master_of(active, master_key_id(k->master)) || !k->reloads ||
        master_key_load(&from, false, &key, &created, NULL))
        return;
    struct secret *unwanted = is_master_of(active, master_key_id(key)) ? &k->master : &key;
    secret_end(unwanted);
    if (unwanted == &k->master)
        k->master = key;
}

static enum err take_rows(struct keyring *k, struct arena *a, const struct ring_rows *rows, struct fault *why)
{
    /* An old snapshot knows less than we do: what it lacks is not gone, and what it calls active is not. */
    bool old = rows->active < k->active;
    if (!old)
        meet_master(k, active_row(rows));
    enum err e = add_keys(k, a, rows, false, why);
    if (e || old)
        return e;
    k->active = rows->active;
    drop_destroyed(k, rows);
    return ERR_NONE;
}

enum err keyring_refresh(struct keyring *k, struct db *db, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct ring_rows rows;
    enum err e = read_rows(db, a, &rows, why);
    if (e)
        return e;
    pthread_rwlock_wrlock(&k->lock);
    if (!(e = check_wiped(k, why)))
        e = take_rows(k, a, &rows, why);
    pthread_rwlock_unlock(&k->lock);
    return e;
}

/* ---- opening ---- */

static enum err insert_key(struct db *db, struct secret master, int64_t id, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    AUTO_SECRET key = secret_new(SEAL_KEY);
    struct str sealed;
    struct master_key_id by = master_key_id(master);
    random_bytes(key.p, key.n);
    seal(a, master, MASTER_ID, wrapping_place(a, (uint32_t)id), secret_str(key), &sealed);
    struct query *q =
        query_begin(db, "INSERT INTO wrapping_key (id, sealed, active, created_ms, master) VALUES ($1, $2, 1, $3, $4)");
    query_i64(q, id);
    query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
    query_i64(q, clock_wall());
    query_text(q, str_of(by.text));
    return query_end(q, why);
}

/* The first wrapping key, unless another process made it meanwhile. */
static enum err make_first(struct db *db, void *context, struct fault *why)
{
    const struct secret *master = context;
    int64_t keys, sealed;
    enum err e = query_number(db, "SELECT count(*) FROM wrapping_key", &keys, why);
    if (!e)
        e = query_number(db, "SELECT count(*) FROM (SELECT 1 FROM data_key LIMIT 1) AS one", &sealed, why);
    if (e || keys)
        return e;
    if (sealed)
        return fault(why, ERR_CRYPTO, STR_NONE, "there are data keys, but no wrapping key that they are sealed by");
    return insert_key(db, *master, 1, why);
}

static enum err replace_active(struct db *db, void *context, struct fault *why)
{
    const struct secret *master = context;
    int64_t newest;
    enum err e = query_number(db, "SELECT max(id) FROM wrapping_key", &newest, why);
    if (e || (e = query_end(query_begin(db, "UPDATE wrapping_key SET active = 0"), why)))
        return e;
    if (newest >= UINT32_MAX)
        return fault(why, ERR_CRYPTO, STR_NONE, "no number is left for a wrapping key");
    return insert_key(db, *master, newest + 1, why);
}

/* At the start: opens what opens. None does: the fault of the first. */
static enum err open_rows(struct store *s, struct keyring *k, struct arena *a, struct ring_rows *rows, struct fault *why)
{
    enum err e = add_keys(k, a, rows, true, why);
    if (e || (k->count < rows->count && k->count && (e = note_damaged(k, rows, why))))
        return e;
    if (k->count && !find(k, rows->active)) {
        struct db *db = store_reader(s, why);
        if (!db || (e = store_write(s, replace_active, &k->master, why)) || (e = read_rows(db, a, rows, why)))
            return db ? e : ERR_STORE;
    }
    return take_rows(k, a, rows, why);
}

/* The master key in hand takes over from one that it was prepared beside, or was never noted. */
static enum err settle(struct db *db, void *context, struct fault *why)
{
    return keyring_confirm_master(db, *(struct master_key_id *)context, why);
}

static bool settled(const struct ring_rows *rows, const struct master_key_id *mine)
{
    for (size_t i = 0; i < rows->count; i++)
        if (!rows->rows[i].master.n || str_is(rows->rows[i].master_next, mine->text))
            return false;
    return true;
}

static enum err open_ring(struct store *s, struct keyring *k, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct master_key_id mine = master_key_id(k->master);
    struct ring_rows rows;
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    enum err e = read_rows(db, a, &rows, why);
    if (!e && !rows.count && !(e = store_write(s, make_first, &k->master, why)))
        e = read_rows(db, a, &rows, why);
    if (!e && !rows.count)
        e = fault(why, ERR_CRYPTO, STR_NONE, "the first wrapping key was written and is not there");
    if (e || (e = open_rows(s, k, a, &rows, why)) || settled(&rows, &mine))
        return e;
    return store_write(s, settle, &mine, why);
}

/* A data key like any other, so that fingerprints outlive the wrapping key. */
static const struct data_owner fingerprints = { STR("hub"), STR("fingerprint") };

static enum err make_fingerprint_key(struct db *db, void *context, struct fault *why)
{
    struct keyring *k = context;
    secret_end(&k->fingerprint);
    return data_key_new(db, k, fingerprints, 0, &k->fingerprint, why);
}

static enum err open_fingerprint_key(struct store *s, struct keyring *k, struct fault *why)
{
    struct db *db = store_reader(s, why);
    if (!db)
        return ERR_STORE;
    enum err e = data_key_open(db, k, fingerprints, &k->fingerprint, why);
    /* A damaged one is not worth a hub that does not start. */
    return e == ERR_NOT_FOUND || e == ERR_CRYPTO ? store_write(s, make_fingerprint_key, k, why) : e;
}

enum err keyring_open(struct store *s, struct secret master, struct keyring **out, struct fault *why)
{
    struct keyring *k = mem_zero(sizeof *k);
    pthread_rwlock_init(&k->lock, NULL);
    if (master.n != SEAL_KEY)
        bug("a master key of %zu bytes", master.n);
    k->master = master;
    enum err e = open_ring(s, k, why);
    if (!e)
        e = open_fingerprint_key(s, k, why);
    if (e) {
        keyring_close(k);
        return e;
    }
    *out = k;
    return ERR_NONE;
}

void keyring_source(struct keyring *k, const struct master_key_source *from)
{
    k->file = from->file;
    k->directory = from->directory;
    k->reloads = !from->text.n;
}

void keyring_on_lost(struct keyring *k, keyring_lost *told) { k->lost = told; }

enum err keyring_tell_lost(struct keyring *k, struct db *db, struct str kind, struct str id, struct fault *why)
{
    return k->lost ? k->lost(db, kind, id, why) : ERR_NONE;
}

/* ---- using ---- */

uint32_t keyring_active(struct keyring *k)
{
    pthread_rwlock_rdlock(&k->lock);
    uint32_t id = k->active;
    pthread_rwlock_unlock(&k->lock);
    return id;
}

bool keyring_damaged(struct keyring *k, uint32_t id)
{
    pthread_rwlock_rdlock(&k->lock);
    bool damaged = is_damaged(k, id);
    pthread_rwlock_unlock(&k->lock);
    return damaged;
}

bool keyring_knows(struct keyring *k, uint32_t id)
{
    pthread_rwlock_rdlock(&k->lock);
    bool known = find(k, id) != NULL;
    pthread_rwlock_unlock(&k->lock);
    return known;
}

struct master_key_id keyring_master(struct keyring *k)
{
    pthread_rwlock_rdlock(&k->lock);
    struct master_key_id id = master_key_id(k->master);
    pthread_rwlock_unlock(&k->lock);
    return id;
}

enum err keyring_master_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why)
{
    enum err e = keys_use(k, why);
    if (e)
        return e;
    *out = master_key_derive(k->master, label);
    keys_done(k);
    return ERR_NONE;
}

enum err keyring_wrap(struct keyring *k, struct arena *a, struct str place, struct secret key, struct str *sealed, uint32_t *by,
                      struct fault *why)
{
    enum err e = keys_use(k, why);
    if (e)
        return e;
    *by = k->active;
    seal(a, find(k, k->active)->key, k->active, place, secret_str(key), sealed);
    keys_done(k);
    return ERR_NONE;
}

enum err keyring_unwrap(struct keyring *k, struct str place, struct str sealed, struct secret *key, struct fault *why)
{
    uint32_t id;
    struct secret opened;
    if (!seal_key_id(sealed, &id))
        return fault(why, ERR_CRYPTO, STR_NONE, "the key at %.*s is not in the sealed form", STR_ARG(place));
    enum err e = keys_use(k, why);
    if (e)
        return e;
    const struct wrapping_key *by = find(k, id);
    if (by)
        e = seal_open(by->key, place, sealed, &opened, why);
    else
        e = fault(why, ERR_CRYPTO, STR_NONE, "the key at %.*s is sealed by wrapping key %u, which is not here", STR_ARG(place), id);
    keys_done(k);
    if (e)
        return e;
    if (opened.n != SEAL_KEY) {
        secret_end(&opened);
        return fault(why, ERR_CRYPTO, STR_NONE, "the key at %.*s has the wrong size", STR_ARG(place));
    }
    *key = opened;
    return ERR_NONE;
}

/* ---- changing ---- */

/* New keys are sealed by the master key of the table, or not at all: two at once would leave keys that neither opens. */
static enum err check_master(struct keyring *k, struct db *db, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct ring_rows rows;
    enum err e = keyring_refresh(k, db, why);
    if (e || (e = read_rows(db, a, &rows, why)))
        return e;
    const struct ring_row *r = active_row(&rows);
    if (!r || !is_master_of(r, keyring_master(k)))
        return wrong_master(r ? r->master : STR_NONE, r ? r->id : 0, why);
    if (r->master_next.n)
        return fault(why, ERR_CONFLICT, STR("a change of the master key that is not finished"), "to master key %.*s",
                     STR_ARG(r->master_next));
    return ERR_NONE;
}

enum err keyring_add(struct keyring *k, struct db *db, uint32_t *id, struct fault *why)
{
    int64_t newest;
    enum err e = check_master(k, db, why);
    if (e || (e = query_number(db, "SELECT max(id) FROM wrapping_key", &newest, why)) ||
        (e = query_end(query_begin(db, "UPDATE wrapping_key SET active = 0"), why)) || (e = keys_use(k, why)))
        return e;
    e = newest >= UINT32_MAX ? fault(why, ERR_CRYPTO, STR_NONE, "no number is left for a wrapping key")
                             : insert_key(db, k->master, newest + 1, why);
    keys_done(k);
    *id = (uint32_t)(newest + 1);
    return e;
}

enum err keyring_prepare_master(struct keyring *k, struct db *db, struct secret next, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct master_key_id by = master_key_id(next);
    struct ring_rows rows;
    enum err e = keyring_refresh(k, db, why);
    if (e || (e = read_rows(db, a, &rows, why)))
        return e;
    for (size_t i = 0; i < rows.count && !e; i++) {
        uint32_t id = (uint32_t)rows.rows[i].id;
        struct str sealed;
        if ((e = keys_use(k, why)))
            return e;
        const struct wrapping_key *w = find(k, id);
        if (w)
            seal(a, next, MASTER_ID, wrapping_place(a, id), secret_str(w->key), &sealed);
        bool damaged = !w && is_damaged(k, id);
        keys_done(k);
        if (damaged)
            continue;
        if (!w)
            return fault(why, ERR_CRYPTO, STR_NONE, "wrapping key %u is not in the ring", id);
        struct query *q = query_begin(db, "UPDATE wrapping_key SET sealed_next = $1, master_next = $2 WHERE id = $3");
        query_text(q, base64_encode(a, sealed, BASE64_STANDARD));
        query_text(q, str_of(by.text));
        query_i64(q, id);
        e = query_end(q, why);
    }
    return e;
}

enum err keyring_confirm_master(struct db *db, struct master_key_id next, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE wrapping_key SET sealed = sealed_next, master = master_next, sealed_next = NULL,"
                                      " master_next = NULL WHERE master_next = $1");
    query_text(q, str_of(next.text));
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "UPDATE wrapping_key SET master = $1 WHERE master = ''");
    query_text(q, str_of(next.text));
    return query_end(q, why);
}

struct str keyring_fingerprint(struct keyring *k, struct arena *a, struct str secret)
{
    unsigned char mac[SHA256_SIZE];
    char *text = arena_alloc(a, 16);
    pthread_rwlock_rdlock(&k->lock);
    hmac_sha256(secret_str(k->fingerprint), secret, mac);
    pthread_rwlock_unlock(&k->lock);
    hex_write(text, (struct str){ (char *)mac, 8 });
    secret_wipe(mac, sizeof mac);
    return (struct str){ text, 16 };
}

/* The label keeps these apart from fingerprints, which are MACs of secrets under the same key: a secret is never such a text, for
 * it would have to begin with this one. */
#define DERIVE_LABEL "raccord derived key 1\0"

enum err keyring_derive(struct keyring *k, struct str label, struct secret *out, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    enum err e = keys_use(k, why);
    if (e)
        return e;
    *out = secret_new(SHA256_SIZE);
    hmac_sha256(secret_str(k->fingerprint), arena_join(a, STR(DERIVE_LABEL), label), out->p);
    keys_done(k);
    return ERR_NONE;
}
