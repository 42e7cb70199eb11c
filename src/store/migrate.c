#include "store/migrations.h"

#include <openssl/evp.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/encode.h"
#include "store/connection.h"
#include "store/store_limits.h"

#define CHECKSUM (2 * 32)

struct run {
    const struct migration *rows;
    size_t count;
    bool done;
};

static const char *text_of(const struct db *db, const struct migration *m)
{
    return m->both ? m->both : db_is_postgres(db) ? m->postgres : m->sqlite;
}

/* OpenSSL directly: crypto/ is on our own floor, and rooms on one floor are strangers. */
static struct str checksum(const char *text, char out[CHECKSUM])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!EVP_Digest(text, strlen(text), digest, &size, EVP_sha256(), NULL))
        bug("SHA-256 is not to be had");
    hex_write(out, (struct str){ (const char *)digest, size });
    return (struct str){ out, CHECKSUM };
}

/* Compares what was applied with `rows`; *applied is how many there are. */
static enum err check_applied(struct db *db, const struct run *r, size_t *applied, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    char sum[CHECKSUM];
    int64_t changed = 0, missing = 0, newest = 0;
    *applied = 0;
    struct query *q = query_begin(db, "SELECT number, checksum FROM schema_migration ORDER BY number");
    while (query_next(q)) {
        newest = query_get_i64(q, 0);
        if (newest != (int64_t)++*applied) {
            missing = missing ? missing : (int64_t)*applied;
            continue;
        }
        if (*applied <= r->count && !changed &&
            !str_eq(checksum(text_of(db, &r->rows[*applied - 1]), sum), query_get_text(q, 1, a)))
            changed = newest;
    }
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (newest > (int64_t)r->count)
        return fault(why, ERR_STORE_NEWER, STR(""), "the database is at migration %lld, this program at %zu", (long long)newest,
                     r->count);
    if (missing)
        return fault(why, ERR_STORE, STR(""), "migration %lld was not applied but a later one was", (long long)missing);
    if (changed)
        return fault(why, ERR_STORE, STR(""), "migration %lld (%s) was applied with another text than this program's",
                     (long long)changed, r->rows[changed - 1].what);
    return ERR_NONE;
}

static enum err record(struct db *db, const struct migration *m, struct fault *why)
{
    char sum[CHECKSUM];
    struct query *q =
        query_begin(db, "INSERT INTO schema_migration (number, what, checksum, applied_ms) VALUES ($1, $2, $3, $4)");
    query_i64(q, m->number);
    query_text(q, str_of(m->what));
    query_text(q, checksum(text_of(db, m), sum));
    query_i64(q, clock_wall());
    return query_end(q, why);
}

/* One transaction: look at what is there, now that nobody else can change it, and apply the next. */
static enum err apply_next(struct db *db, void *context, struct fault *why)
{
    struct run *r = context;
    size_t applied;
    enum err e = connection_patient(db, why);
    if (!e)
        e = db_script(db,
                      "CREATE TABLE IF NOT EXISTS schema_migration ("
                           " number BIGINT PRIMARY KEY,"
                           " what TEXT NOT NULL,"
                           " checksum TEXT NOT NULL,"
                           " applied_ms BIGINT NOT NULL)",
                           why);
    if (e || (e = check_applied(db, r, &applied, why)))
        return e;
    r->done = applied == r->count;
    if (r->done)
        return ERR_NONE;
    const struct migration *m = &r->rows[applied];
    if ((e = db_script(db, text_of(db, m), why))) {
        char note[sizeof why->note];
        str_copy(note, sizeof note, str_of(why ? why->note : ""));
        return fault(why, e, STR(""), "migration %d (%s): %.180s", m->number, m->what, note);
    }
    return record(db, m, why);
}

/* Most starts find everything applied: a look suffices, and nobody who writes meanwhile holds the start up. */
static enum err look(struct db *db, struct run *r, struct fault *why)
{
    struct query *q = query_begin(db, db->engine->table_exists);
    query_text(q, STR("schema_migration"));
    size_t applied = 0;
    bool there = query_next(q);
    enum err e = query_end(q, why);
    if (!e && there)
        e = check_applied(db, r, &applied, why);
    r->done = there && applied == r->count;
    return e;
}

enum err migrations_run(struct store *s, const struct migration *rows, size_t count, struct fault *why)
{
    struct run r = { .rows = rows, .count = count };
    struct db *db = store_reader(s, why);
    enum err e = db ? look(db, &r, why) : ERR_STORE;
    while (!e && !r.done)
        e = store_write(s, apply_next, &r, why);
    return e;
}

enum err migrations_run_on(struct db *db, const struct migration *rows, size_t count, struct fault *why)
{
    struct run r = { .rows = rows, .count = count };
    enum err e = ERR_NONE;
    while (!e && !r.done)
        e = connection_transaction(db, STORE_WAIT_MS, apply_next, &r, why);
    return e;
}
