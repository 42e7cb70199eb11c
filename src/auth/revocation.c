#include "auth/revocation.h"

#include <stdlib.h>

#include "access/audit.h"
#include "auth/renewal_inside.h"
#include "http/url.h"
#include "vault/sealed.h"

#define KIND "revocation"
#define ITEMS 2                       /* the refresh token, and the access token */
#define AGAIN_MS 60000                /* then twice as long each time */
#define AGAIN_MOST_MS (6 * 3600 * (int64_t)1000)
#define REQUEST_MAX (64 * 1024)
#define HEADERS 8

struct item {
    char id[ID_SIZE];
    struct secret text;               /* the request: {"url", "headers": [[name, value]], "body"} */
};

struct revocation {
    struct renewals *r;
    struct arena *arena;
    struct connection_row row;
    bool by_person;
    struct str host;
    struct item items[ITEMS];
    size_t count;
};

void revocation_free(struct revocation *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->count; i++)
        secret_end(&v->items[i].text);
    arena_free(v->arena);
    free(v);
}

/* ---- making the requests ---- */

static enum err flatten(const struct fetch_request *q, struct secret *out, struct fault *why)
{
    struct buf b;
    buf_init(&b, REQUEST_MAX);
    buf_room(&b, REQUEST_MAX); /* it does not move and leave copies behind */
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "url", q->url);
    json_key(&o, "headers");
    json_open(&o, '[');
    for (size_t i = 0; i < q->header_count; i++) {
        json_open(&o, '[');
        json_put_str(&o, q->headers[i][0]);
        json_put_str(&o, q->headers[i][1]);
        json_close(&o, ']');
    }
    json_close(&o, ']');
    json_member_str(&o, "body", q->body);
    json_close(&o, '}');
    bool fits = !buf_failed(&b);
    if (fits)
        *out = secret_from(buf_str(&b));
    secret_wipe(b.p, b.n);
    buf_end(&b);
    return fits ? ERR_NONE : fault(why, ERR_LIMIT, STR("64 KiB in one secret"), "revocation");
}

static enum err add(struct revocation *v, const struct oauth_profile *p, struct secret token, struct str hint, struct fault *why)
{
    struct token_request req = { 0 };
    struct url url;
    const struct token_param params[] = { { STR("token"), secret_str(token) }, { STR("token_type_hint"), hint } };
    enum err e = token_request_build(v->arena, p, p->revocation_url, TOKEN_REFRESH, params, COUNT(params), SECRET_NONE, STR(""),
                                     clock_wall(), &req, why);
    if (!e)
        e = url_parse(v->arena, p->revocation_url, &url, why);
    if (!e && !(e = flatten(&req.http, &v->items[v->count].text, why))) {
        v->host = arena_str(v->arena, url.host);
        id_new(v->items[v->count++].id, "rvk_");
    }
    token_request_end(&req);
    return e;
}

static enum err make(void *revocation, const struct renewal_view *view, struct fault *why)
{
    struct revocation *v = revocation;
    static const char *const names[ITEMS] = { "refresh_token", "access_token" };
    enum err e = ERR_NONE;
    v->by_person = view->by_person;
    v->row = *view->row;
    v->row.id = arena_str(v->arena, view->row->id);
    v->row.name = arena_str(v->arena, view->row->name);
    v->row.folder = arena_str(v->arena, view->row->folder);
    if (!view->profile || !view->profile->revocation_url.n)
        return ERR_NONE;
    for (size_t k = 0; k < ITEMS && !e; k++)
        for (size_t i = 0; i < view->value_count && !e; i++)
            if (str_is(view->values[i].name, names[k]))
                e = add(v, view->profile, view->values[i].value, str_of(names[k]), why);
    return e;
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
    return e ? e : sealed_put(db, v->r->config.keyring, owner_of(str_of(item->id)), STR("request"), item->text, why);
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

/* RFC 7009 2.2: 200 for a token that the server does not know, too. 2.2.1: 503 is later. */
static void judge(struct settling *s, enum err e, const struct fetch_answer *answer)
{
    s->done = !e && answer->status / 100 == 2;
    if (!e && answer->status / 100 == 4 && answer->status != 408 && answer->status != 429)
        s->over = true;
    s->code = e ? str_of(err_row(e)->code) : STR("refused");
}

static bool read_request(struct arena *a, struct secret text, struct fetch_request *out)
{
    struct json *v;
    struct fault unused;
    if (json_read(a, secret_str(text), &v, &unused))
        return false;
    out->method = STR("POST");
    out->url = json_str(v, "url");
    out->body = json_str(v, "body");
    json_each(pair, json_get(v, "headers"))
    {
        if (out->header_count == HEADERS || !pair->child || !pair->child->next)
            return false;
        out->headers[out->header_count][0] = pair->child->text;
        out->headers[out->header_count++][1] = pair->child->next->text;
    }
    return true;
}

static void send(struct renewals *r, struct settling *s, struct secret text, int64_t ms)
{
    AUTO_ARENA a = arena_new(8192);
    struct fetch_request q = { .egress = r->config.egress, .tls = r->config.tls, .timeout_ms = ms, .response_max = REQUEST_MAX };
    struct fetch_answer answer = { 0 };
    struct fault why;
    if (!read_request(a, text, &q)) {
        s->over = true;
        s->code = STR("unreadable");
    } else {
        judge(s, fetch(a, &q, &answer, &why), &answer);
    }
    s->now = clock_steady();
    if (store_write(r->config.store, settle, s, &why))
        renewal_report(r, "what came of a revocation was not noted", &why);
}

void revocation_go(struct revocation *v)
{
    int64_t until = clock_mono().ms + REVOCATION_WAIT_MS;
    for (size_t i = 0; v && i < v->count; i++) {
        struct settling s = { .id = str_of(v->items[i].id), .connection = v->row.id, .name = v->row.name, .folder = v->row.folder };
        int64_t left = until - clock_mono().ms;
        if (left > 100)
            send(v->r, &s, v->items[i].text, left);
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
    AUTO_SECRET text = SECRET_NONE;
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
    enum err e = sealed_get(db, r->config.keyring, owner_of(s.id), STR("request"), &text, &why);
    if (e == ERR_SEALED || e == ERR_STORE)
        return false;
    s.over = e || s.now - created > REVOCATION_GIVE_UP_MS;
    s.code = STR("given_up");
    if (!s.over)
        send(r, &s, text, REVOCATION_WAIT_MS);
    else if (store_write(r->config.store, settle, &s, &why))
        return false;
    return true;
}
