#include "auth/revocation.h"

#include <stdlib.h>

#include "access/audit.h"
#include "auth/client_tls.h"
#include "auth/renewal_inside.h"
#include "http/url.h"
#include "vault/sealed.h"

#define KIND "revocation"
#define ITEMS 2                       /* the refresh token, and the access token */
#define AGAIN_MS 60000                /* then twice as long each time */
#define AGAIN_MOST_MS (6 * 3600 * (int64_t)1000)
#define ABOUT_MAX (48 * 1024)         /* a certificate chain and what else is known of the client */
#define REPLY_MAX (64 * 1024)

struct item {
    char id[ID_SIZE];
    const char *hint;
    struct secret token;
};

/* The request is made anew for each try: a signed proof lives for minutes, the queue for days. So what it is made of is kept. */
struct revocation {
    struct renewals *r;
    struct arena *arena;
    struct connection_row row;
    bool by_person;
    struct str host;
    struct secret about;              /* JSON: the door, and how the client proves itself there */
    struct secret client_secret, next_secret, private_key, next_key;
    struct item items[ITEMS];
    size_t count;
};

void revocation_free(struct revocation *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->count; i++)
        secret_end(&v->items[i].token);
    secret_end(&v->about);
    secret_end(&v->client_secret);
    secret_end(&v->next_secret);
    secret_end(&v->private_key);
    secret_end(&v->next_key);
    arena_free(v->arena);
    free(v);
}

/* ---- what is kept ---- */

static enum err describe(struct revocation *v, const struct oauth_profile *p, struct fault *why)
{
    AUTO_BUF b;
    buf_init(&b, ABOUT_MAX);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "url", p->revocation_url);
    json_member_str(&o, "token_url", p->token_url);
    json_member_str(&o, "issuer", p->issuer);
    json_member_str(&o, "client_id", p->client_id);
    json_member_str(&o, "client_authentication", str_of(client_auth_name(p->refresh_auth)));
    json_member_str(&o, "algorithm", p->algorithm);
    json_member_str(&o, "key_id", p->key_id);
    json_member_str(&o, "thumbprint", p->thumbprint);
    json_member_str(&o, "certificate", p->certificate);
    json_member_str(&o, "next_key_id", p->next_key_id);
    json_member_str(&o, "next_thumbprint", p->next_thumbprint);
    json_member_str(&o, "next_certificate", p->next_certificate);
    json_member_bool(&o, "json", p->quirks.json_body);
    json_close(&o, '}');
    if (buf_failed(&b))
        return fault(why, ERR_LIMIT, STR("64 KiB in one secret"), "revocation");
    v->about = secret_from(buf_str(&b));
    v->client_secret = secret_copy(p->client_secret);
    v->next_secret = secret_copy(p->next_secret);
    v->private_key = secret_copy(p->private_key);
    v->next_key = secret_copy(p->next_key);
    return ERR_NONE;
}

static void add(struct revocation *v, struct secret token, const char *hint)
{
    struct item *item = &v->items[v->count++];
    item->hint = hint;
    item->token = secret_copy(token);
    id_new(item->id, "rvk_");
}

static enum err make(void *revocation, const struct renewal_view *view, struct fault *why)
{
    struct revocation *v = revocation;
    static const char *const names[ITEMS] = { "refresh_token", "access_token" };
    struct url url;
    enum err e;
    v->by_person = view->by_person;
    v->row = *view->row;
    v->row.id = arena_str(v->arena, view->row->id);
    v->row.name = arena_str(v->arena, view->row->name);
    v->row.folder = arena_str(v->arena, view->row->folder);
    if (!view->profile || !view->profile->revocation_url.n)
        return ERR_NONE;
    if ((e = url_parse(v->arena, view->profile->revocation_url, &url, why)) || (e = describe(v, view->profile, why)))
        return e;
    v->host = arena_str(v->arena, url.host);
    for (size_t k = 0; k < ITEMS; k++)
        for (size_t i = 0; i < view->value_count; i++)
            if (str_is(view->values[i].name, names[k]))
                add(v, view->values[i].value, names[k]);
    return ERR_NONE;
}

enum err revocation_new(struct renewals *r, struct str connection, struct revocation **out, struct fault *why)
{
    struct revocation *v = mem_zero(sizeof *v);
    v->r = r;
    v->arena = arena_new(4096);
    *out = NULL;
    enum err e = renewal_view(r, connection, make, v, why);
    if (e || !v->count) {
        revocation_free(v);
        return e;
    }
    *out = v;
    return ERR_NONE;
}

/* ---- the queue ---- */

static struct data_owner owner_of(struct str id) { return (struct data_owner){ STR(KIND), id }; }

static enum err keep(struct db *db, const struct revocation *v, const struct item *item, struct fault *why)
{
    const struct { const char *name; struct secret value; } all[] = {
        { "about", v->about }, { item->hint, item->token }, { "client_secret", v->client_secret },
        { "next_client_secret", v->next_secret }, { "private_key", v->private_key },
        { "next_private_key", v->next_key },
    };
    enum err e = ERR_NONE;
    for (size_t i = 0; i < COUNT(all) && !e; i++)
        if (all[i].value.n)
            e = sealed_put(db, v->r->config.keyring, owner_of(str_of(item->id)), str_of(all[i].name), all[i].value, why);
    return e;
}

static enum err insert(struct db *db, struct revocation *v, const struct item *item, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO revocation (id, connection_id, name, folder, host, tries, next_ms, created_ms)"
                                      " VALUES ($1, $2, $3, $4, $5, 0, $6, $7)");
    query_text(q, str_of(item->id));
    query_text(q, v->row.id);
    query_text(q, v->row.name);
    query_text(q, v->row.folder);
    query_text(q, v->host);
    query_i64(q, now + AGAIN_MS); /* the first try is made at once, by who deletes */
    query_i64(q, now);
    enum err e = query_end(q, why);
    return e ? e : keep(db, v, item, why);
}

enum err revocation_store(struct db *db, struct revocation *v, struct fault *why)
{
    wall_ms now = clock_steady();
    enum err e = ERR_NONE;
    for (size_t i = 0; v && i < v->count && !e; i++)
        e = insert(db, v, &v->items[i], now, why);
    if (e || !v)
        return e;
    struct query *q = query_begin(db, "UPDATE connection_grant SET state = $1, reason = 'revoked', next_ms = 0, expires_ms = 0,"
                                      " refreshable = 0, fence = fence + 1, holder = '' WHERE connection_id = $2");
    query_text(q, str_of(grant_state_name(v->by_person ? GRANT_OVER : GRANT_NONE)));
    query_text(q, v->row.id);
    if ((e = query_end(q, why)))
        return e;
    return sealed_forget(db, (struct data_owner){ STR(GRANT_KIND), v->row.id }, why);
}

struct settling {
    struct str id, connection, name, folder, code;
    bool done, over;
    int64_t tries;
    wall_ms now;
};

static enum err put_off(struct db *db, const struct settling *s, struct fault *why)
{
    int64_t wait = s->tries < 9 ? AGAIN_MS << s->tries : AGAIN_MOST_MS;
    struct query *q = query_begin(db, "UPDATE revocation SET tries = tries + 1, next_ms = $1 WHERE id = $2");
    query_i64(q, s->now + (wait < AGAIN_MOST_MS ? wait : AGAIN_MOST_MS) + renewal_chance(AGAIN_MS));
    query_text(q, s->id);
    return query_end(q, why);
}

/* OAU-27: what came of it is told. */
static enum err settle(struct db *db, void *settling, struct fault *why)
{
    const struct settling *s = settling;
    if (!s->done && !s->over)
        return put_off(db, s, why);
    struct query *q = query_begin(db, "DELETE FROM revocation WHERE id = $1");
    query_text(q, s->id);
    enum err e = query_end(q, why);
    if (e || !db_changes(db) || (e = sealed_forget(db, owner_of(s->id), why)))
        return e;
    struct audit_entry entry = {
        .via = STR("system"), .action = STR("connection.revoke"), .object = s->connection, .name = s->name, .folder = s->folder,
        .outcome = s->done ? AUDIT_DONE : AUDIT_FAILED, .code = s->done ? STR("") : s->code,
    };
    return audit_add(db, &entry, why);
}

/* ---- one try ---- */

struct order {
    struct oauth_profile profile;
    struct secret about, token;
    struct str hint;
    struct tls_context *tls, *next_tls; /* NULL: that of all, and none */
};

static void order_end(struct order *o)
{
    oauth_profile_end(&o->profile);
    secret_end(&o->about);
    secret_end(&o->token);
    tls_context_free(o->tls);
    tls_context_free(o->next_tls);
}

/* None there is fine. */
static enum err kept(struct renewals *r, struct db *db, struct str id, const char *name, struct secret *out, struct fault *why)
{
    enum err e = sealed_get(db, r->config.keyring, owner_of(id), str_of(name), out, why);
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err read_about(struct arena *a, struct order *o, struct fault *why)
{
    struct oauth_profile *p = &o->profile;
    struct json *v;
    enum err e = json_read(a, secret_str(o->about), &v, why);
    if (e)
        return e;
    p->revocation_url = json_str(v, "url");
    p->token_url = json_str(v, "token_url");
    p->issuer = json_str(v, "issuer");
    p->client_id = json_str(v, "client_id");
    (void)client_auth_parse(json_str(v, "client_authentication"), &p->client_auth);
    p->refresh_auth = p->client_auth;
    p->algorithm = json_str(v, "algorithm");
    p->key_id = json_str(v, "key_id");
    p->thumbprint = json_str(v, "thumbprint");
    p->certificate = json_str(v, "certificate");
    p->next_key_id = json_str(v, "next_key_id");
    p->next_thumbprint = json_str(v, "next_thumbprint");
    p->next_certificate = json_str(v, "next_certificate");
    p->quirks.json_body = json_bool(v, "json", false);
    return ERR_NONE;
}

/* The connection may be in the trash, or gone: then its own certificate is, too. */
static enum err show(struct renewals *r, struct db *db, struct arena *a, struct str connection, struct order *o, struct fault *why)
{
    struct connection_row row;
    struct fault gone;
    bool there = !connection_get(db, a, connection, &row, &gone) || !connection_get_deleted(db, a, connection, &row, &gone);
    const struct connection_row *of = there ? &row : NULL;
    enum err e = client_tls(r->config.tls, db, r->config.keyring, a, of, &o->profile, &o->tls, why);
    return e ? e : client_tls_next(r->config.tls, db, r->config.keyring, a, of, &o->profile, &o->next_tls, why);
}

static enum err order_open(struct renewals *r, struct db *db, struct arena *a, const struct settling *s, struct order *o,
                           struct fault *why)
{
    enum err e;
    o->hint = STR("refresh_token");
    if ((e = sealed_get(db, r->config.keyring, owner_of(s->id), STR("about"), &o->about, why)) ||
        (e = kept(r, db, s->id, "refresh_token", &o->token, why)))
        return e;
    if (!o->token.n) {
        o->hint = STR("access_token");
        if ((e = sealed_get(db, r->config.keyring, owner_of(s->id), o->hint, &o->token, why)))
            return e;
    }
    if ((e = kept(r, db, s->id, "client_secret", &o->profile.client_secret, why)) ||
        (e = kept(r, db, s->id, "next_client_secret", &o->profile.next_secret, why)) ||
        (e = kept(r, db, s->id, "private_key", &o->profile.private_key, why)) ||
        (e = kept(r, db, s->id, "next_private_key", &o->profile.next_key, why)) || (e = read_about(a, o, why)))
        return e;
    return show(r, db, a, s->connection, o, why);
}

static enum err send(struct renewals *r, struct arena *a, const struct order *o, const struct oauth_profile *p,
                     struct tls_context *tls, int64_t ms, struct fetch_answer *answer, struct fault *why)
{
    const struct token_param params[] = { { STR("token"), secret_str(o->token) }, { STR("token_type_hint"), o->hint } };
    struct token_request q;
    enum err e = token_request_build(a, p, p->revocation_url, TOKEN_REFRESH, params, COUNT(params), SECRET_NONE,
                                     STR(""), clock_wall(), &q, why);
    q.http.egress = r->config.egress;
    q.http.tls = tls ? tls : r->config.tls;
    q.http.timeout_ms = ms;
    q.http.response_max = REPLY_MAX;
    if (!e)
        e = fetch(a, &q.http, answer, why);
    token_request_end(&q);
    return e;
}

/* RFC 7009 2.2: 200 for a token that the server does not know, too. 2.2.1: 503 is later. */
static void judge(struct settling *s, enum err e, const struct fetch_answer *answer)
{
    s->done = !e && answer->status / 100 == 2;
    if (!e && answer->status / 100 == 4 && answer->status != 408 && answer->status != 429)
        s->over = true;
    s->code = e ? str_of(err_row(e)->code) : STR("refused");
}

/* False: nothing could be tried, for a reason of the hub's own that passes. */
static bool attempt(struct renewals *r, struct db *db, struct settling *s, int64_t ms)
{
    AUTO_ARENA a = arena_new(8192);
    struct order o = { .about = SECRET_NONE };
    struct fetch_answer answer = { 0 };
    struct fault why;
    enum err e = order_open(r, db, a, s, &o, &why);
    bool passes = e == ERR_SEALED || e == ERR_STORE;
    if (e) {
        s->over = true;
        s->code = STR("unreadable");
    } else {
        struct oauth_profile next;
        e = send(r, a, &o, &o.profile, o.tls, ms, &answer, &why);
        if (!e && token_answer_refuses_client(&answer) && oauth_profile_next(&o.profile, &next)) /* during rotation (OAU-04) */
            e = send(r, a, &o, &next, o.next_tls ? o.next_tls : o.tls, ms, &answer, &why);
        judge(s, e, &answer);
    }
    order_end(&o);
    s->now = clock_steady();
    if (passes)
        return false;
    if (store_write(r->config.store, settle, s, &why))
        renewal_report(r, "what came of a revocation was not noted", &why);
    return true;
}

void revocation_go(struct revocation *v)
{
    int64_t until = clock_mono().ms + REVOCATION_WAIT_MS;
    for (size_t i = 0; v && i < v->count; i++) {
        struct settling s = { .id = str_of(v->items[i].id), .connection = v->row.id, .name = v->row.name, .folder = v->row.folder };
        int64_t left = until - clock_mono().ms;
        struct fault unused;
        struct db *db = store_reader(v->r->config.store, &unused);
        if (db && left > 100)
            (void)attempt(v->r, db, &s, left);
    }
    revocation_free(v);
}

static enum err store_one(struct db *db, void *revocation, struct fault *why) { return revocation_store(db, revocation, why); }

enum err renewals_revoke(struct renewals *r, struct str connection, struct fault *why)
{
    struct revocation *v;
    enum err e = revocation_new(r, connection, &v, why);
    if (e)
        return e;
    if (v && (e = store_write(r->config.store, store_one, v, why))) {
        revocation_free(v);
        return e;
    }
    revocation_go(v);
    return ERR_NONE;
}

/* ---- later ---- */

bool revocation_next(struct renewals *r)
{
    AUTO_ARENA a = arena_new(2048);
    struct settling s = { .now = clock_steady() };
    struct fault why;
    struct db *db = store_reader(r->config.store, &why);
    if (!db)
        return false;
    struct query *q =
        query_begin(db, "SELECT id, connection_id, name, folder, tries, created_ms FROM revocation WHERE next_ms <= $1"
                        " ORDER BY next_ms LIMIT 1");
    query_i64(q, s.now);
    bool found = query_next(q);
    s.id = query_get_text(q, 0, a);
    s.connection = query_get_text(q, 1, a);
    s.name = query_get_text(q, 2, a);
    s.folder = query_get_text(q, 3, a);
    s.tries = query_get_i64(q, 4);
    wall_ms created = query_get_i64(q, 5);
    if (query_end(q, &why) || !found)
        return false;
    s.over = s.now - created > REVOCATION_GIVE_UP_MS;
    s.code = STR("given_up");
    if (!s.over)
        return attempt(r, db, &s, REVOCATION_WAIT_MS);
    return !store_write(r->config.store, settle, &s, &why);
}
