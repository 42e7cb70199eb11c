#include "auth/oauth_client.h"

#include <stdio.h>

#include "auth/grant.h"
#include "auth/obtain.h"

#include "base/encode.h"
#include "base/fold.h"
#include "crypto/hash.h"
#include "crypto/jwt_sign.h"
#include "vault/oauth_settings.h"
#include "vault/sealed.h"

static struct data_owner owner_of(struct str id) { return (struct data_owner){ STR("oauth_client"), id }; }

static const char *const secret_names[] = { "client_secret", "next_client_secret", "private_key", "next_private_key" };
static const char *const secret_columns[] = { "secret_ms", "next_secret_ms", "private_key_ms", "next_private_key_ms" };

const char *oauth_secret_name(enum oauth_secret s) { return secret_names[s]; }

/* ---- settings ---- */

/* A client is made before the connections that use it, whose connector says which fields there are: any name may come. */
static bool placeholder(void *context, struct str name, enum oauth_place place, bool whole)
{
    (void)context;
    if (place == OAUTH_IN_HOST && whole)
        return false;
    if (place == OAUTH_IN_ASSERTION && (str_is(name, "credentials.client_id") || str_is(name, "credentials.client_email") ||
                                        str_is(name, "credentials.username")))
        return true; /* none that could be a secret */
    return str_starts(name, STR("fields."));
}

void oauth_client_hosts(struct arena *a, const struct oauth_client *c, struct str **out, size_t *n)
{
    const struct json *given = json_get(c->settings, "token_hosts");
    *out = arena_array(a, OAUTH_TOKEN_HOSTS, sizeof **out);
    *n = 0;
    if (!given) {
        oauth_settings_hosts(a, c->settings, *out, n);
        return;
    }
    json_each(h, given)
        if (*n < OAUTH_TOKEN_HOSTS)
            (*out)[(*n)++] = h->text;
}

/* "*.example.com" and its like are compared as texts: a pattern covers itself, and hosts. */
static bool host_covered(const struct json *hosts, struct str host)
{
    json_each(h, hosts)
        if (str_eq(h->text, host))
            return true;
    return !str_starts(host, STR("*.")) && oauth_hosts_hold(hosts, host);
}

enum err oauth_client_check(struct arena *a, const struct oauth_client *c, const char *at, struct fault *why)
{
    const struct oauth_settings_rules rules = { true, placeholder, NULL };
    enum err e = oauth_settings_check(c->settings, &rules, at, why);
    if (e)
        return e;
    if (!c->connector.n && !json_str(c->settings, "token_url").n) {
        fault(why, ERR_FIELD_REQUIRED, STR("token_url, or an issuer whose document names it"), "no token url");
        return fault_at(why, "%s/token_url", at);
    }
    const struct json *given = json_get(c->settings, "token_hosts");
    struct str hosts[OAUTH_TOKEN_HOSTS];
    size_t n;
    oauth_settings_hosts(a, c->settings, hosts, &n);
    for (size_t i = 0; given && i < n; i++)
        if (!host_covered(given, hosts[i])) {
            fault(why, ERR_DOMAIN_NOT_ALLOWED, hosts[i], "not in token_hosts");
            return fault_at(why, "%s/token_hosts", at);
        }
    return ERR_NONE;
}

/* ---- rows ---- */

#define COLUMNS \
    "id, key, name, connector, client_id, settings, secret_ms, next_secret_ms, private_key_ms, discovered_ms, created_ms," \
    " updated_ms, revision, next_private_key_ms, jwk, next_jwk"

struct stored {
    struct oauth_client c;
    struct str settings;
};

static void read_columns(struct query *q, struct arena *a, struct stored *s)
{
    s->c = (struct oauth_client){
        .id = query_get_text(q, 0, a),
        .key = query_get_text(q, 1, a),
        .name = query_get_text(q, 2, a),
        .connector = query_get_text(q, 3, a),
        .client_id = query_get_text(q, 4, a),
        .secrets = { query_get_i64(q, 6), query_get_i64(q, 7), query_get_i64(q, 8), query_get_i64(q, 13) },
        .jwk = query_get_text(q, 14, a),
        .next_jwk = query_get_text(q, 15, a),
        .discovered = query_get_i64(q, 9),
        .created = query_get_i64(q, 10),
        .updated = query_get_i64(q, 11),
        .revision = query_get_i64(q, 12),
    };
    s->settings = query_get_text(q, 5, a);
}

static enum err finish(struct arena *a, struct stored *s, struct oauth_client *out, struct fault *why)
{
    struct json *settings;
    enum err e = json_read(a, s->settings, &settings, why);
    *out = s->c;
    out->settings = settings;
    return e;
}

enum err oauth_client_get(struct db *db, struct arena *a, struct str id, struct oauth_client *out, struct fault *why)
{
    struct stored s = { 0 };
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM oauth_client WHERE id = $1 OR key = $2");
    query_text(q, id.p ? id : STR(""));
    query_text(q, id.p ? id : STR(""));
    bool found = query_next(q);
    if (found)
        read_columns(q, a, &s);
    enum err e = query_end(q, why);
    if (e)
        return e;
    return found ? finish(a, &s, out, why) : fault(why, ERR_NOT_FOUND, STR("oauth client"), "no such row");
}

enum err oauth_clients_named(struct db *db, struct arena *a, const struct many *ids, struct oauth_client *out, bool *found,
                             struct fault *why)
{
    struct stored *all = arena_array(a, ids->n, sizeof *all);
    struct query *q = many_begin(db, "SELECT " COLUMNS " FROM oauth_client WHERE id IN $keys", 0, ids);
    many_bind(q, ids);
    for (size_t i = 0; i < ids->n; i++)
        found[i] = false;
    while (query_next(q)) {
        struct stored s = { 0 };
        size_t i;
        read_columns(q, a, &s);
        if (!many_find(ids, s.c.id, &i))
            continue;
        found[i] = true;
        all[i] = s;
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < ids->n; i++)
        found[i] = found[i] && !finish(a, &all[i], &out[i], NULL);
    return e;
}

static struct str low(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(p[i]);
    return (struct str){ p, s.n };
}

enum err oauth_client_list(struct db *db, struct arena *a, const struct oauth_client_filter *f, struct oauth_client **out,
                           size_t *n, struct fault *why)
{
    struct stored *rows = arena_array(a, (size_t)f->limit, sizeof *rows);
    *out = arena_array(a, (size_t)f->limit, sizeof **out);
    *n = 0;
    /* At most a thousand rows: a look through them is quick. */
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM oauth_client WHERE id > $1 AND ($2 = '' OR connector = $2)"
                                      " AND ($3 = '' OR lower(key || ' ' || name) LIKE $3 ESCAPE '\\') ORDER BY id LIMIT $4");
    query_text(q, f->after.p ? f->after : STR(""));
    query_text(q, f->connector.p ? f->connector : STR(""));
    query_text(q, f->search.p ? fold_like(a, low(a, f->search)) : STR(""));
    query_i64(q, f->limit);
    while (*n < (size_t)f->limit && query_next(q))
        read_columns(q, a, &rows[(*n)++]);
    enum err e = query_end(q, why);
    for (size_t i = 0; i < *n && !e; i++)
        e = finish(a, &rows[i], &(*out)[i], why);
    return e;
}

static enum err count(struct db *db, const char *sql, struct str id, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    if (id.p)
        query_text(q, id);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

enum err oauth_client_users(struct db *db, struct str id, int64_t *out, struct fault *why)
{
    return count(db, "SELECT count(*) FROM connection_oauth o JOIN connection c ON c.id = o.connection_id"
                     " WHERE o.client_id = $1 AND c.deleted_ms = 0", id, out, why);
}

bool oauth_client_is_key(const struct oauth_client *c)
{
    json_each(g, json_get(c->settings, "grant_types"))
        if (str_is(g->text, "aws_assume_role"))
            return true;
    return false;
}

static enum err rendered(struct arena *a, const struct oauth_client *c, struct str *out, struct fault *why)
{
    AUTO_BUF b;
    buf_init(&b, OAUTH_SETTINGS_MOST);
    struct json_out o = json_out(&b);
    json_put(&o, c->settings);
    if (buf_failed(&b))
        return fault(why, ERR_LIMIT, STR("64 KiB of settings"), "oauth client");
    *out = arena_str(a, buf_str(&b));
    return ERR_NONE;
}

enum err oauth_client_insert(struct db *db, struct arena *a, struct oauth_client *c, struct fault *why)
{
    char text[ID_SIZE];
    int64_t rows;
    struct str settings;
    enum err e;
    if ((e = rendered(a, c, &settings, why)) || (e = count(db, "SELECT count(*) FROM oauth_client", STR_NONE, &rows, why)))
        return e;
    if (rows >= OAUTH_CLIENTS_MOST)
        return fault(why, ERR_LIMIT, STR("1000 OAuth clients"), "%lld rows", (long long)rows);
    c->id = arena_str(a, str_of(id_new(text, "cli_")));
    c->created = c->updated = clock_wall();
    c->revision = 1;
    c->jwk = c->next_jwk = STR("");
    struct query *q = query_begin(
        db, "INSERT INTO oauth_client (id, key, name, connector, client_id, settings, discovered_ms, revision, created_ms,"
            " updated_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)");
    query_text(q, c->id);
    query_text(q, c->key);
    query_text(q, c->name);
    query_text(q, c->connector.p ? c->connector : STR(""));
    query_text(q, c->client_id);
    query_text(q, settings);
    query_i64(q, c->discovered);
    query_i64(q, c->created);
    e = query_end(q, why);
    return e == ERR_CONFLICT ? fault(why, e, c->key, "key of another oauth client") : e;
}

enum err oauth_client_update(struct db *db, struct oauth_client *c, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str settings;
    wall_ms now = clock_wall();
    enum err e = rendered(a, c, &settings, why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE oauth_client SET name = $3, client_id = $4, settings = $5, discovered_ms = $6,"
                                      " revision = revision + 1, updated_ms = $7 WHERE id = $1 AND revision = $2");
    query_text(q, c->id);
    query_i64(q, c->revision);
    query_text(q, c->name);
    query_text(q, c->client_id);
    query_text(q, settings);
    query_i64(q, c->discovered);
    query_i64(q, now);
    e = query_end(q, why);
    if (!e && db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "oauth client changed meanwhile");
    c->revision++;
    c->updated = now;
    return e ? e : grant_resume(db, c->id, STR(""), why);
}

enum err oauth_client_delete(struct db *db, const struct oauth_client *c, struct fault *why)
{
    int64_t users;
    enum err e = count(db, "SELECT count(*) FROM connection_oauth WHERE client_id = $1", c->id, &users, why);
    if (e)
        return e;
    if (users)
        return fault(why, ERR_OAUTH_CLIENT_IN_USE, c->key, "%lld connections, deleted ones among them", (long long)users);
    struct query *q = query_begin(db, "DELETE FROM oauth_client WHERE id = $1");
    query_text(q, c->id);
    e = query_end(q, why);
    return e ? e : sealed_forget(db, owner_of(c->id), why);
}

/* ---- secrets ---- */

#define SECRET_NAME 96

/* Where the secret may go is in the name that it is bound to: for another place it does not open. */
static struct str bound_name(const struct oauth_client *c, enum oauth_secret which, char out[SECRET_NAME])
{
    AUTO_ARENA a = arena_new(1024);
    unsigned char digest[SHA256_SIZE];
    struct str *hosts;
    size_t n;
    AUTO_BUF text;
    buf_init(&text, OAUTH_SETTINGS_MOST);
    buf_fmt(&text, "%.*s\n", STR_ARG(c->connector));
    oauth_client_hosts(a, c, &hosts, &n);
    for (size_t i = 0; i < n; i++)
        buf_fmt(&text, "%.*s\n", STR_ARG(hosts[i]));
    sha256(buf_str(&text), digest);
    size_t used = (size_t)snprintf(out, SECRET_NAME, "%s.", secret_names[which]);
    return (struct str){ out, used + hex_write(out + used, (struct str){ (const char *)digest, sizeof digest }) };
}

bool oauth_client_same_hosts(const struct oauth_client *before, const struct oauth_client *after)
{
    char x[SECRET_NAME], y[SECRET_NAME];
    return str_eq(bound_name(before, OAUTH_SECRET, x), bound_name(after, OAUTH_SECRET, y));
}

static enum err note_secret(struct db *db, struct oauth_client *c, enum oauth_secret which, wall_ms when, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    struct query *q = query_begin(db, str_fmt(a, "UPDATE oauth_client SET %s = $2 WHERE id = $1", secret_columns[which]).p);
    query_text(q, c->id);
    query_i64(q, when);
    c->secrets[which] = when;
    return query_end(q, why);
}

/* Whatever hosts it was bound to. */
static enum err remove_secret(struct db *db, const struct oauth_client *c, enum oauth_secret which, struct fault *why)
{
    AUTO_ARENA a = arena_new(256);
    struct query *q =
        query_begin(db, "DELETE FROM sealed_value WHERE kind = 'oauth_client' AND owner_id = $1 AND name LIKE $2");
    query_text(q, c->id);
    query_text(q, str_fmt(a, "%s.%%", secret_names[which]));
    return query_end(q, why);
}

/* What anybody may know of a private key stands beside it in the open: to show it, nothing has to be opened. */
static enum err note_public(struct db *db, struct arena *a, struct oauth_client *c, enum oauth_secret which, struct secret key,
                            struct fault *why)
{
    bool next = which == OAUTH_NEXT_PRIVATE_KEY;
    struct jwt_key *open = NULL;
    struct str jwk = STR("");
    if (which != OAUTH_PRIVATE_KEY && !next)
        return ERR_NONE;
    enum err e = key.n ? jwt_key_open(STR(""), key, &open, why) : ERR_NONE;
    if (e)
        return fault_at(why, "/%s", secret_names[which]);
    if (open)
        jwk = jwt_key_public(open, a);
    jwt_key_free(open);
    *(next ? &c->next_jwk : &c->jwk) = jwk;
    struct query *q = query_begin(db, next ? "UPDATE oauth_client SET next_jwk = $2 WHERE id = $1"
                                           : "UPDATE oauth_client SET jwk = $2 WHERE id = $1");
    query_text(q, c->id);
    query_text(q, jwk);
    return query_end(q, why);
}

enum err oauth_client_set_secret(struct db *db, struct keyring *k, struct arena *a, struct oauth_client *c,
                                 enum oauth_secret which, struct secret value, struct fault *why)
{
    char name[SECRET_NAME];
    enum err e = remove_secret(db, c, which, why);
    if (!e)
        e = note_public(db, a, c, which, value, why);
    if (!e && value.n)
        e = sealed_put(db, k, owner_of(c->id), bound_name(c, which, name), value, why);
    if (!e)
        e = note_secret(db, c, which, value.n ? clock_wall() : 0, why);
    return e ? e : grant_resume(db, c->id, STR(""), why);
}

enum err oauth_client_secret(struct db *db, struct keyring *k, const struct oauth_client *c, enum oauth_secret which,
                             struct secret *out, struct fault *why)
{
    char name[SECRET_NAME];
    *out = SECRET_NONE;
    if (!c->secrets[which])
        return ERR_NONE;
    enum err e = sealed_get(db, k, owner_of(c->id), bound_name(c, which, name), out, why);
    return e == ERR_NOT_FOUND ? fault(why, ERR_CRYPTO, STR(""), "%s of %.*s is gone", secret_names[which], STR_ARG(c->id)) : e;
}

static enum err take_place(struct db *db, struct keyring *k, struct arena *a, struct oauth_client *c, enum oauth_secret next,
                           enum oauth_secret old, struct fault *why)
{
    AUTO_SECRET value = SECRET_NONE;
    enum err e;
    if (!c->secrets[next])
        return ERR_NONE;
    if ((e = oauth_client_secret(db, k, c, next, &value, why)) || (e = oauth_client_set_secret(db, k, a, c, old, value, why)))
        return e;
    return oauth_client_set_secret(db, k, a, c, next, SECRET_NONE, why);
}

/* The old key's id and certificate go with it. */
static const struct json *settings_of_next_key(struct arena *a, const struct json *settings)
{
    static const struct {
        const char *next, *now;
    } moved[] = { { "next_key_id", "key_id" }, { "next_certificate", "certificate" } };
    struct json *out = json_new(a, JSON_OBJECT), *last = NULL;
    json_each(v, settings) {
        struct str key = v->key;
        for (size_t i = 0; i < COUNT(moved); i++)
            key = str_is(v->key, moved[i].now) ? STR("") : str_is(v->key, moved[i].next) ? str_of(moved[i].now) : key;
        if (!key.n)
            continue;
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->key = key;
        copy->next = NULL;
        json_link(a, out, &last, copy);
    }
    return out;
}

enum err oauth_client_promote(struct db *db, struct keyring *k, struct arena *a, struct oauth_client *c, struct fault *why)
{
    bool key = c->secrets[OAUTH_NEXT_PRIVATE_KEY];
    if (!c->secrets[OAUTH_NEXT_SECRET] && !key)
        return fault(why, ERR_NOT_FOUND, STR("next client secret or private key"), "nothing to promote");
    enum err e = take_place(db, k, a, c, OAUTH_NEXT_SECRET, OAUTH_SECRET, why);
    if (!e)
        e = take_place(db, k, a, c, OAUTH_NEXT_PRIVATE_KEY, OAUTH_PRIVATE_KEY, why);
    if (!e && key)
        c->settings = settings_of_next_key(a, c->settings);
    return e;
}

/* ---- what providers are told of its keys ---- */

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

/* RFC 7517 4.7: each certificate's DER in base64, which is what a PEM has between its lines. */
static void put_chain(struct json_out *o, struct str pem)
{
    struct str begin = str_of(PEM_BEGIN), end = str_of(PEM_END);
    size_t at, to;
    json_key(o, "x5c");
    json_open(o, '[');
    while ((at = str_find_str(pem, begin)) != SIZE_MAX) {
        AUTO_BUF text;
        buf_init(&text, OAUTH_SETTINGS_MOST);
        pem = str_sub(pem, at + begin.n, pem.n);
        to = str_find_str(pem, end);
        for (size_t i = 0; i < to && i < pem.n; i++)
            if (pem.p[i] > ' ')
                buf_char(&text, pem.p[i]);
        json_put_str(o, buf_str(&text));
    }
    json_close(o, ']');
}

static void put_key(struct json_out *o, const struct oauth_client *c, struct str jwk, const char *id, const char *certificate)
{
    AUTO_ARENA a = arena_new(4096);
    struct str algorithm = json_str(c->settings, "algorithm"), pem = json_str(c->settings, certificate);
    struct json *key;
    if (!jwk.n || json_read(a, jwk, &key, NULL))
        return;
    json_open(o, '{');
    json_each(v, key) {
        json_key(o, arena_cstr(a, v->key));
        json_put_str(o, v->text);
    }
    json_member_str(o, "use", STR("sig"));
    if (json_str(c->settings, id).n)
        json_member_str(o, "kid", json_str(c->settings, id));
    if (algorithm.n && !str_starts(algorithm, STR("HS")))
        json_member_str(o, "alg", algorithm);
    if (pem.n)
        put_chain(o, pem);
    json_close(o, '}');
}

void oauth_client_jwks(struct json_out *o, const struct oauth_client *c)
{
    json_open(o, '{');
    json_key(o, "keys");
    json_open(o, '[');
    put_key(o, c, c->jwk, "key_id", "certificate");
    put_key(o, c, c->next_jwk, "next_key_id", "next_certificate");
    json_close(o, ']');
    json_close(o, '}');
}

/* ---- connections ---- */

enum err connections_oauth(struct db *db, struct arena *a, const struct many *connections, struct connection_oauth *out,
                           struct fault *why)
{
    struct query *q = many_begin(
        db, "SELECT connection_id, client_id, scopes FROM connection_oauth WHERE connection_id IN $keys", 0, connections);
    many_bind(q, connections);
    for (size_t i = 0; i < connections->n; i++)
        out[i] = (struct connection_oauth){ STR(""), STR_NONE };
    for (size_t i; query_next(q);)
        if (many_find(connections, query_get_text(q, 0, a), &i))
            out[i] = (struct connection_oauth){ query_get_text(q, 1, a), query_get_text(q, 2, a) };
    return query_end(q, why);
}

enum err connection_oauth_get(struct db *db, struct arena *a, struct str connection, struct connection_oauth *out,
                              struct fault *why)
{
    const struct many one = many_one(&connection);
    return connections_oauth(db, a, &one, out, why);
}

enum err connection_oauth_put(struct db *db, struct str connection, const struct connection_oauth *o, struct fault *why)
{
    struct query *q =
        query_begin(db, "INSERT INTO connection_oauth (connection_id, client_id, scopes) VALUES ($1, $2, $3)"
                        " ON CONFLICT (connection_id) DO UPDATE SET client_id = excluded.client_id, scopes = excluded.scopes");
    query_text(q, connection);
    query_text(q, o->client.p ? o->client : STR(""));
    query_text(q, o->scopes);
    return query_end(q, why);
}

/* A client id that was typed into a field is one of its own as well, where no other takes its place. */
struct policy_client connection_client_with(struct str auth_type, const struct json *fields, bool own, struct str client)
{
    const struct obtain *how = obtain_find(auth_type);
    bool typed = !client.n && json_str(fields, "client_id").n;
    return (struct policy_client){ .known = obtain_takes_client(how), .own = own || typed, .access_key = how && how->keyed,
                                   .id = client };
}

enum err connection_client_of(struct db *db, struct arena *a, struct str connection, struct str auth_type,
                              const struct json *fields, struct policy_client *out, struct fault *why)
{
    *out = connection_client_with(auth_type, fields, false, STR(""));
    if (!out->known)
        return ERR_NONE;
    struct query *q =
        query_begin(db, "SELECT (SELECT count(*) FROM connection_secret WHERE connection_id = $1 AND name = $2),"
                        " COALESCE((SELECT client_id FROM connection_oauth WHERE connection_id = $1), ''),"
                        " (SELECT scopes FROM connection_oauth WHERE connection_id = $1)");
    query_text(q, connection);
    query_text(q, out->access_key ? STR("access_key_id") : STR("client_id"));
    if (query_next(q)) {
        *out = connection_client_with(auth_type, fields, query_get_i64(q, 0) > 0, query_get_text(q, 1, a));
        out->scopes = query_get_text(q, 2, a);
    }
    return query_end(q, why);
}

static bool listed(struct str list, struct str scope)
{
    struct str piece;
    while (str_piece(&list, ' ', &piece))
        if (str_eq(piece, scope))
            return true;
    return false;
}

static bool add_scope(struct buf *b, struct str scope)
{
    if (!oauth_scope_valid(scope))
        return false;
    if (listed(buf_str(b), scope))
        return true;
    if (b->n)
        buf_char(b, ' ');
    buf_add(b, scope);
    return true;
}

static bool add_text(struct buf *b, struct str text)
{
    struct str scope;
    while (str_word(&text, SCOPES_BETWEEN, &scope))
        if (!add_scope(b, scope))
            return false;
    return true;
}

enum err connection_scopes_read(struct arena *a, const struct json *v, const char *at, struct str *out, struct fault *why)
{
    AUTO_BUF all;
    buf_init(&all, CONNECTION_SCOPES_MAX);
    *out = STR_NONE;
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    bool good = v->type == JSON_STRING || v->type == JSON_ARRAY;
    if (v->type == JSON_STRING)
        good = add_text(&all, v->text);
    json_each(s, v->type == JSON_ARRAY ? v : NULL)
        good = good && s->type == JSON_STRING && add_scope(&all, s->text);
    if (buf_failed(&all))
        fault(why, ERR_LIMIT, STR("16 KiB of scopes"), "scopes");
    else if (!good)
        fault(why, ERR_FIELD_INVALID, STR("scopes are a list, or a text with blanks or commas between"), "scopes");
    else
        *out = arena_str(a, all.n ? buf_str(&all) : STR(""));
    return good && !buf_failed(&all) ? ERR_NONE : fault_at(why, "%s", at);
}
