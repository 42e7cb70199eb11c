#include "auth/identity_provider.h"

#include <stdio.h>

#include "base/encode.h"
#include "crypto/hash.h"
#include "vault/sealed.h"

static struct data_owner owner_of(struct str id) { return (struct data_owner){ STR("identity_provider"), id }; }

/* ---- rows ---- */

#define COLUMNS \
    "id, key, name, issuer, keys_url, disabled, sign_in, callers, secret_ms, created_ms, updated_ms, revision"

struct stored {
    struct identity_provider p;
    struct str sign_in, callers;
};

static void read_columns(struct query *q, struct arena *a, struct stored *s)
{
    s->p = (struct identity_provider){
        .id = query_get_text(q, 0, a),
        .key = query_get_text(q, 1, a),
        .name = query_get_text(q, 2, a),
        .issuer = query_get_text(q, 3, a),
        .keys_url = query_get_text(q, 4, a),
        .disabled = query_get_i64(q, 5) != 0,
        .secret_updated = query_get_i64(q, 8),
        .created = query_get_i64(q, 9),
        .updated = query_get_i64(q, 10),
        .revision = query_get_i64(q, 11),
    };
    s->sign_in = query_get_text(q, 6, a);
    s->callers = query_get_text(q, 7, a);
}

static enum err parse(struct arena *a, struct str text, struct json **out, struct fault *why)
{
    *out = NULL;
    return text.p ? json_read(a, text, out, why) : ERR_NONE;
}

static enum err finish(struct arena *a, struct stored *s, struct fault *why)
{
    struct json *sign_in, *callers;
    enum err e;
    if ((e = parse(a, s->sign_in, &sign_in, why)) || (e = parse(a, s->callers, &callers, why)))
        return e;
    return identity_provider_read(NULL, a, NULL, sign_in, callers, &s->p, why);
}

enum err identity_provider_get(struct db *db, struct arena *a, struct str id, struct identity_provider *out, struct fault *why)
{
    struct stored s = { 0 };
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM identity_provider WHERE id = $1 OR key = $2");
    query_text(q, id);
    query_text(q, id);
    bool found = query_next(q);
    if (found)
        read_columns(q, a, &s);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("identity provider"), "no such row");
    e = finish(a, &s, why);
    *out = s.p;
    return e;
}

enum err identity_provider_list(struct db *db, struct arena *a, struct str issuer, struct str after, int limit,
                                struct identity_provider **out, size_t *n, struct fault *why)
{
    struct stored *rows = arena_array(a, (size_t)limit, sizeof *rows);
    struct identity_provider *all = arena_array(a, (size_t)limit, sizeof *all);
    size_t count = 0;
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM identity_provider"
                                      " WHERE id > $1 AND ($2 = '' OR issuer = $2) ORDER BY id LIMIT $3");
    query_text(q, after.p ? after : STR(""));
    query_text(q, issuer.p ? issuer : STR(""));
    query_i64(q, limit);
    while (count < (size_t)limit && query_next(q))
        read_columns(q, a, &rows[count++]);
    enum err e = query_end(q, why);
    for (size_t i = 0; i < count && !e; i++) {
        e = finish(a, &rows[i], why);
        all[i] = rows[i].p;
    }
    *out = all;
    *n = count;
    return e;
}

/* STR_NONE when the provider does not do that. */
static struct str rendered(struct arena *a, const struct identity_provider *p, bool does,
                           void (*write)(struct json_out *o, const struct identity_provider *p))
{
    AUTO_BUF b;
    buf_init(&b, 1024 * 1024);
    struct json_out o = json_out(&b);
    if (!does)
        return STR_NONE;
    write(&o, p);
    return arena_str(a, buf_str(&b));
}

static enum err check_room(struct db *db, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT COUNT(*) FROM identity_provider");
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    if (!e && n >= IDENTITY_PROVIDERS_MOST)
        e = fault(why, ERR_LIMIT, STR("50 identity providers"), "%lld rows", (long long)n);
    return e;
}

static enum err insert_named(struct db *db, struct str provider, struct str connection, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO identity_rule_connection (provider_id, connection_id) VALUES ($1, $2)"
                                      " ON CONFLICT (connection_id, provider_id) DO NOTHING");
    query_text(q, provider);
    query_text(q, connection);
    return query_end(q, why);
}

static enum err insert_all_named(struct db *db, struct str provider, const struct identity_rule *r, struct fault *why)
{
    const struct narrow_list *l = &r->narrow.lists[NARROW_CONNECTION];
    enum err e = ERR_NONE;
    for (size_t k = 0; !e && k < l->count; k++)
        e = insert_named(db, provider, l->at[k], why);
    return e;
}

/* Which connections its rules name, in a table of their own: whoever harms one wants to know. */
static enum err write_named(struct db *db, const struct identity_provider *p, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM identity_rule_connection WHERE provider_id = $1");
    query_text(q, p->id);
    enum err e = query_end(q, why);
    if (!e && p->calls)
        e = insert_all_named(db, p->id, &p->callers.users_limits, why);
    for (size_t i = 0; !e && p->calls && i < p->callers.rule_count; i++)
        e = insert_all_named(db, p->id, &p->callers.rules[i], why);
    return e;
}

enum err identity_provider_insert(struct db *db, struct arena *a, struct identity_provider *p, struct fault *why)
{
    char text[ID_SIZE];
    enum err e = check_room(db, why);
    if (e)
        return e;
    p->id = arena_str(a, str_of(id_new(text, "idp_")));
    p->created = p->updated = clock_wall();
    p->revision = 1;
    struct query *q = query_begin(
        db, "INSERT INTO identity_provider (id, key, name, issuer, keys_url, disabled, sign_in, callers, revision, created_ms,"
            " updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9)");
    query_text(q, p->id);
    query_text(q, p->key);
    query_text(q, p->name);
    query_text(q, p->issuer);
    query_text(q, p->keys_url.p ? p->keys_url : STR(""));
    query_i64(q, p->disabled);
    query_text(q, rendered(a, p, p->signs_in, identity_provider_write_sign_in));
    query_text(q, rendered(a, p, p->calls, identity_provider_write_callers));
    query_i64(q, p->created);
    e = query_end(q, why);
    if (e == ERR_CONFLICT)
        return fault(why, e, p->key, "key of another identity provider");
    return e ? e : write_named(db, p, why);
}

enum err identity_provider_update(struct db *db, struct arena *a, struct identity_provider *p, struct fault *why)
{
    wall_ms now = clock_wall();
    struct query *q =
        query_begin(db, "UPDATE identity_provider SET name = $3, keys_url = $4, disabled = $5, sign_in = $6, callers = $7,"
                        " revision = revision + 1, updated_ms = $8 WHERE id = $1 AND revision = $2");
    query_text(q, p->id);
    query_i64(q, p->revision);
    query_text(q, p->name);
    query_text(q, p->keys_url.p ? p->keys_url : STR(""));
    query_i64(q, p->disabled);
    query_text(q, rendered(a, p, p->signs_in, identity_provider_write_sign_in));
    query_text(q, rendered(a, p, p->calls, identity_provider_write_callers));
    query_i64(q, now);
    enum err e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "identity provider changed meanwhile");
    p->revision++;
    p->updated = now;
    return e ? e : write_named(db, p, why);
}

enum err identity_provider_delete(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM identity_provider WHERE id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_NOT_FOUND, STR("identity provider"), "no such row");
    return e ? e : sealed_forget(db, owner_of(id), why);
}

static enum err finds_owner(struct db *db, const char *sql, struct str id, bool *out, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, id);
    *out |= query_next(q);
    return query_end(q, why);
}

enum err identity_provider_reaches_owner(struct db *db, const struct identity_provider *p, bool *out, struct fault *why)
{
    *out = false;
    enum err e = finds_owner(db, "SELECT p.id FROM identity_link l JOIN principal p ON p.id = l.user_id"
                                 " WHERE l.provider_id = $1 AND p.role = 'owner' LIMIT 1", p->id.p ? p->id : STR(""), out, why);
    for (size_t i = 0; p->calls && i < p->callers.rule_count && !e; i++)
        e = finds_owner(db, "SELECT id FROM principal WHERE id = $1 AND role = 'owner'", p->callers.rules[i].principal, out, why);
    return e;
}

/* ---- the client secret ---- */

#define SECRET_NAME 80

/* The issuer is in the name that the secret is bound to: under another one it does not open. */
static struct str secret_name(const struct identity_provider *p, char out[SECRET_NAME])
{
    unsigned char digest[SHA256_SIZE];
    sha256(p->issuer, digest);
    size_t n = (size_t)snprintf(out, SECRET_NAME, "client_secret.");
    return (struct str){ out, n + hex_write(out + n, (struct str){ (const char *)digest, sizeof digest }) };
}

enum err identity_provider_set_secret(struct db *db, struct keyring *k, struct identity_provider *p, struct secret secret,
                                      struct fault *why)
{
    char name[SECRET_NAME];
    wall_ms now = secret.n ? clock_wall() : 0;
    enum err e = secret.n ? sealed_put(db, k, owner_of(p->id), secret_name(p, name), secret, why)
                          : sealed_forget(db, owner_of(p->id), why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE identity_provider SET secret_ms = $2 WHERE id = $1");
    query_text(q, p->id);
    query_i64(q, now);
    p->secret_updated = now;
    return query_end(q, why);
}

enum err identity_provider_secret(struct db *db, struct keyring *k, const struct identity_provider *p, struct secret *out,
                                  struct fault *why)
{
    char name[SECRET_NAME];
    *out = SECRET_NONE;
    if (!p->secret_updated)
        return ERR_NONE;
    enum err e = sealed_get(db, k, owner_of(p->id), secret_name(p, name), out, why);
    return e == ERR_NOT_FOUND ? fault(why, ERR_CRYPTO, STR(""), "client secret of %.*s is gone", STR_ARG(p->id)) : e;
}
