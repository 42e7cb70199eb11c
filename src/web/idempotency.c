#include "web/idempotency.h"

#include <pthread.h>
#include <stdlib.h>

#include "access/grants.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/map.h"
#include "crypto/hash.h"
#include "vault/sealed.h"
#include "web/handlers.h"

#define KEY_MAX 255
#define PARTS_MAX ((IDEMPOTENCY_ANSWER_MAX + SEALED_MAX - 1) / SEALED_MAX) /* sealed values that one answer takes */

struct idempotency {
    pthread_mutex_t lock;
    struct map *running; /* id -> struct once */
};

/* One request with a key. */
struct once {
    struct str id;      /* hex SHA-256 of who, where and the key */
    struct str request; /* keyed fingerprint of query and body */
    struct str principal;
    struct str maker;   /* this request, and no other */
};

/* What these do happens at a provider: that they began is written before, for nobody could tell after a crash. */
static handler *const leave_the_house[] = { connections_call };

struct idempotency *idempotency_new(void)
{
    struct idempotency *t = mem_zero(sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    t->running = map_new();
    return t;
}

void idempotency_free(struct idempotency *t)
{
    if (!t)
        return;
    map_free(t->running);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- who, where, what ---- */

static struct str hex_digest(struct arena *a, struct str text)
{
    unsigned char digest[SHA256_SIZE];
    char *hex = arena_alloc(a, 2 * SHA256_SIZE);
    sha256(text, digest);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    return (struct str){ hex, 2 * SHA256_SIZE };
}

/* draft-ietf-httpapi-idempotency-key-header: a quoted string. Many clients send it bare: both name the same key. */
static enum err read_key(const struct web_request *q, struct str *key, struct fault *why)
{
    *key = head_value(q->head, STR("idempotency-key"));
    if (key->n >= 2 && key->p[0] == '"' && key->p[key->n - 1] == '"')
        *key = str_sub(*key, 1, key->n - 1);
    bool good = key->n && key->n <= KEY_MAX;
    for (size_t i = 0; good && i < key->n; i++)
        good = key->p[i] > 0x20 && key->p[i] < 0x7f;
    return good ? ERR_NONE : fault(why, ERR_FIELD_INVALID, STR("Idempotency-Key: 1 to 255 visible ASCII characters"), "key");
}

/* An issuer's tokens have one name here, and may differ in what they may: none gets the answer to a wider one. Tokens of ours have
 * one each, whatever becomes of their grants. */
static struct str narrowing_of(const struct web_request *q)
{
    AUTO_BUF text;
    buf_init(&text, 1024 * 1024);
    if (str_starts(q->caller->token, STR("tok_")))
        return STR("");
    buf_add(&text, str_of(role_name(q->caller->narrowed)));
    struct json_out o = json_out(&text);
    grants_write(&o, &q->caller->narrow);
    return hex_digest(q->arena, buf_str(&text));
}

static struct once *once_new(const struct web_request *q, struct str key)
{
    const struct caller *c = q->caller;
    struct once *o = arena_zero(q->arena, sizeof *o);
    struct str body = hex_digest(q->arena, q->body);
    char maker[ID_SIZE];
    o->principal = c->principal;
    o->maker = arena_str(q->arena, str_of(id_new(maker, "req_")));
    o->id = hex_digest(q->arena, str_fmt(q->arena, "%.*s|%.*s|%.*s|%.*s|%.*s", STR_ARG(c->principal), STR_ARG(c->token),
                                         STR_ARG(narrowing_of(q)), STR_ARG(q->path), STR_ARG(key)));
    /* Keyed: a plain digest of a body with a short password would let it be guessed. */
    o->request = keyring_fingerprint(q->hub->keyring, q->arena, str_fmt(q->arena, "%.*s|%.*s", STR_ARG(body), STR_ARG(q->query)));
    return o;
}

/* ---- one at a time ---- */

static enum err reused(struct fault *why)
{
    return fault(why, ERR_IDEMPOTENCY_KEY_REUSED, STR(""), "another body or query under the same key");
}

static enum err in_flight(struct fault *why)
{
    return fault(why, ERR_IDEMPOTENCY_IN_FLIGHT, STR(""), "the first request with this key still runs");
}

static enum err take_turn(struct idempotency *t, struct once *o, struct fault *why)
{
    enum err e = ERR_NONE;
    pthread_mutex_lock(&t->lock);
    const struct once *other = map_get(t->running, o->id);
    if (!other)
        map_put(t->running, o->id, o);
    else if (!str_eq(other->request, o->request))
        e = reused(why);
    else
        e = in_flight(why);
    pthread_mutex_unlock(&t->lock);
    return e;
}

static void end_turn(struct idempotency *t, const struct once *o)
{
    pthread_mutex_lock(&t->lock);
    map_take(t->running, o->id);
    pthread_mutex_unlock(&t->lock);
}

/* ---- the row ---- */

struct kept {
    struct str request, maker;
    wall_ms created;
    int64_t bytes; /* of the answer; 0: there is none yet; below: none could be kept */
};

static enum err find(struct db *db, struct arena *a, struct str id, struct kept *out, bool *found, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT request, created_ms, bytes, maker FROM idempotency WHERE id = $1");
    query_text(q, id);
    *found = query_next(q);
    *out = (struct kept){ query_get_text(q, 0, a), query_get_text(q, 3, a), query_get_i64(q, 1), query_get_i64(q, 2) };
    enum err e = query_end(q, why);
    *found = *found && clock_wall() - out->created < IDEMPOTENCY_KEPT_MS;
    return e;
}

static enum err check_limits(struct db *db, struct arena *a, struct str principal, struct fault *why)
{
    int64_t keys = 0, bytes = 0;
    struct query *q = query_begin(db, "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM idempotency WHERE principal_id = $1");
    query_text(q, principal);
    if (query_next(q)) {
        keys = query_get_i64(q, 0);
        bytes = query_get_i64(q, 1);
    }
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (keys >= IDEMPOTENCY_KEYS_MOST)
        return fault(why, ERR_LIMIT, str_fmt(a, "%d Idempotency-Keys of one caller in 24 hours", IDEMPOTENCY_KEYS_MOST), "keys");
    if (bytes >= IDEMPOTENCY_BYTES_MOST)
        return fault(why, ERR_LIMIT, STR("64 MiB of answers to Idempotency-Keys of one caller in 24 hours"), "bytes");
    return ERR_NONE;
}

static struct data_owner owner_of(struct str id) { return (struct data_owner){ STR("idempotency"), id }; }

static enum err remove_row(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM idempotency WHERE id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    return e ? e : sealed_forget(db, owner_of(id), why);
}

/* In place of one that is too old to count, if there is such a one. */
static enum err insert_row(struct db *db, const struct once *o, struct fault *why)
{
    enum err e = remove_row(db, o->id, why);
    if (e)
        return e;
    struct query *q =
        query_begin(db, "INSERT INTO idempotency (id, principal_id, request, created_ms, bytes, maker)"
                        " VALUES ($1, $2, $3, $4, 0, $5)");
    query_text(q, o->id);
    query_text(q, o->principal);
    query_text(q, o->request);
    query_i64(q, clock_wall());
    query_text(q, o->maker);
    return query_end(q, why);
}

enum err idempotency_mark(struct web_request *q, struct db *db, struct fault *why)
{
    struct kept row;
    bool found;
    if (!q->once)
        return ERR_NONE;
    /* A request may have several transactions: the first one writes the row. */
    enum err e = find(db, q->arena, q->once->id, &row, &found, why);
    if (e || !found)
        return e ? e : insert_row(db, q->once, why);
    if (str_eq(row.maker, q->once->maker))
        return ERR_NONE;
    /* Another process on the same database was quicker: this one's change is not made. */
    return str_eq(row.request, q->once->request) ? in_flight(why) : reused(why);
}

struct writing {
    struct web_request *q;
    struct secret answer;
};

static enum err write_mark(struct db *db, void *context, struct fault *why)
{
    return idempotency_mark(((struct writing *)context)->q, db, why);
}

static struct str part_name(struct arena *a, size_t i) { return str_fmt(a, "part%zu", i); }

static enum err write_answer(struct db *db, void *context, struct fault *why)
{
    const struct writing *w = context;
    struct web_request *web = w->q;
    enum err e = idempotency_mark(web, db, why);
    for (size_t at = 0; !e && at < w->answer.n; at += SEALED_MAX) {
        struct secret part = { w->answer.p + at, w->answer.n - at < SEALED_MAX ? w->answer.n - at : SEALED_MAX };
        e = sealed_put(db, web->hub->keyring, owner_of(web->once->id), part_name(web->arena, at / SEALED_MAX), part, why);
    }
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE idempotency SET bytes = $1 WHERE id = $2");
    query_i64(q, w->answer.n ? (int64_t)w->answer.n : -1);
    query_text(q, web->once->id);
    return query_end(q, why);
}

static enum err take_mark_back(struct db *db, void *context, struct fault *why)
{
    return remove_row(db, ((const struct writing *)context)->q->once->id, why);
}

/* ---- the answer: one line of JSON, then the body ---- */

static void write_head(struct buf *out, const struct reply *r, const struct fault *failed)
{
    struct json_out o = json_out(out);
    json_open(&o, '{');
    json_member_str(&o, "run", r->run_id);
    if (failed) {
        json_member_str(&o, "error", str_of(err_row(failed->err)->code));
        json_member_str(&o, "subject", str_of(failed->subject));
        json_member_str(&o, "pointer", str_of(failed->pointer));
    } else {
        json_member_i64(&o, "status", r->status);
        json_member_str(&o, "type", r->content_type ? str_of(r->content_type) : STR_NONE);
        json_key(&o, "headers");
        json_open(&o, '{');
        for (size_t i = 0; i < r->header_count; i++)
            json_member_str(&o, r->headers[i][0].p, r->headers[i][1]);
        json_close(&o, '}');
    }
    json_close(&o, '}');
    buf_char(out, '\n');
}

/* After the handler, before the answer leaves. When it cannot be kept, the caller still gets it. */
static void keep(struct web_request *q, const struct reply *r, const struct fault *failed)
{
    AUTO_SECRET memory = secret_new(IDEMPOTENCY_ANSWER_MAX);
    struct buf plain = { .p = (char *)memory.p, .size = memory.n, .max = memory.n }; /* never grows: no copies are left behind */
    struct fault why;
    write_head(&plain, r, failed);
    if (!failed)
        buf_add(&plain, buf_str(&r->body));
    struct writing w = { q, { memory.p, buf_failed(&plain) || buf_failed(&r->body) ? 0 : plain.n } };
    if (store_write(q->hub->store, write_answer, &w, &why))
        log_fault(LOG_WARN, "the answer to an Idempotency-Key was not kept", &why);
}

static void forget(struct web_request *q)
{
    struct writing w = { .q = q };
    struct fault why;
    if (store_write(q->hub->store, take_mark_back, &w, &why))
        log_fault(LOG_WARN, "an Idempotency-Key without effect was not forgotten", &why);
}

static enum err lost(struct fault *why, const char *note)
{
    return fault(why, ERR_IDEMPOTENCY_ANSWER_LOST, STR(""), "%s", note);
}

static void replay_head(struct web_request *q, struct reply *r, const struct json *head)
{
    int64_t status;
    struct str run = json_str(head, "run"), error = json_str(head, "error"), type = json_str(head, "type");
    if (error.p) {
        struct fault was;
        fault(&was, err_find(error), json_str(head, "subject"), "replayed");
        str_copy(was.pointer, sizeof was.pointer, json_str(head, "pointer"));
        r->status = err_row(was.err)->status;
        r->content_type = "application/problem+json";
        reply_header(r, "Raccord-Error", arena_str(q->arena, error));
        if (run.n)
            reply_header(r, "Raccord-Run", run);
        problem_write(&r->body, &was, q->language, run, q->hub->public_url);
        return;
    }
    r->status = json_i64(json_get(head, "status"), &status) ? (int)status : 200;
    r->content_type = type.n ? arena_cstr(q->arena, type) : NULL;
    json_each (h, json_get(head, "headers"))
        reply_header(r, arena_cstr(q->arena, h->key), h->text);
}

static enum err read_answer(struct web_request *q, int64_t bytes, struct secret *out, struct fault *why)
{
    struct secret all = secret_new((size_t)bytes);
    size_t at = 0;
    for (size_t i = 0; at < all.n; i++) {
        AUTO_SECRET part = SECRET_NONE;
        enum err e = i < PARTS_MAX ? sealed_get(q->db, q->hub->keyring, owner_of(q->once->id), part_name(q->arena, i), &part, why)
                                   : ERR_CRYPTO;
        if (e || !part.n || part.n > all.n - at) {
            secret_end(&all);
            return e == ERR_SEALED ? e : lost(why, "the kept answer does not open");
        }
        memcpy(all.p + at, part.p, part.n);
        at += part.n;
    }
    *out = all;
    return ERR_NONE;
}

static enum err replay(struct web_request *q, struct reply *r, const struct kept *row, struct fault *why)
{
    AUTO_SECRET plain = SECRET_NONE;
    struct str line, body;
    struct json *head;
    enum err e;
    if (!str_eq(row->request, q->once->request))
        return reused(why);
    /* It does not run here. Who shares the database may still be at it, and cannot be asked. */
    if (!row->bytes && store_is_shared(q->hub->store) && clock_wall() - row->created < IDEMPOTENCY_RUNS_MS)
        return in_flight(why);
    if (row->bytes <= 0 || row->bytes > IDEMPOTENCY_ANSWER_MAX)
        return lost(why, "the hub stopped before the answer was kept, or it was too large");
    if ((e = read_answer(q, row->bytes, &plain, why)))
        return e;
    str_cut(secret_str(plain), '\n', &line, &body);
    if (json_read(q->arena, arena_str(q->arena, line), &head, NULL))
        return lost(why, "the kept answer is not in our form");
    replay_head(q, r, head);
    buf_add(&r->body, body);
    reply_header(r, "Idempotency-Replayed", STR("true"));
    q->audit.written = true; /* nothing was changed this time */
    if (q->route)
        caller_asked(q->caller, q->route->right); /* it was, for the answer that is given again */
    return ERR_NONE;
}

/* ---- one request ---- */

static bool leaves(const struct web_request *q)
{
    handler *handle = q->route ? q->route->handle : NULL;
    for (size_t i = 0; i < COUNT(leave_the_house); i++)
        if (handle == leave_the_house[i])
            return true;
    return false;
}

/* A call that left the house had an effect, whatever came of it; so had a change that was written before something else failed. */
static void after_failure(struct web_request *q, const struct reply *r, const struct fault *failed)
{
    struct kept row;
    struct fault why;
    bool marked;
    if (find(q->db, q->arena, q->once->id, &row, &marked, &why) || !marked ||
        !str_eq(row.maker, q->once->maker))
        return;
    if (leaves(q) && !r->run_id.n)
        forget(q);
    else
        keep(q, r, failed);
}

static enum err run_first(struct web_request *q, struct reply *r, handler *handle, struct fault *why)
{
    enum err e = check_limits(q->db, q->arena, q->caller->principal, why);
    if (!e && leaves(q))
        e = store_write(q->hub->store, write_mark, &(struct writing){ .q = q }, why);
    if (e)
        return e;
    e = handle(q, r, why);
    if (!e)
        keep(q, r, NULL);
    else
        after_failure(q, r, why);
    return e;
}

enum err idempotency_run(struct web_request *q, struct reply *r, handler *handle, struct fault *why)
{
    struct idempotency *t = q->hub->idempotency;
    struct kept row;
    struct str key;
    bool found;
    enum err e;
    if (q->method != METHOD_POST || !q->caller || !t || !q->head || !head_find(q->head, STR("idempotency-key")))
        return handle(q, r, why);
    if ((e = read_key(q, &key, why)))
        return e;
    q->once = once_new(q, key);
    if ((e = take_turn(t, q->once, why)))
        return e;
    if (!(e = find(q->db, q->arena, q->once->id, &row, &found, why)))
        e = found ? replay(q, r, &row, why) : run_first(q, r, handle, why);
    end_turn(t, q->once);
    return e;
}

enum err idempotency_prune(struct db *db, wall_ms now, int most, int64_t *deleted, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct str *ids = arena_array(a, (size_t)most, sizeof *ids);
    size_t n = 0;
    struct query *q = query_begin(db, "SELECT id FROM idempotency WHERE created_ms <= $1 ORDER BY created_ms LIMIT $2");
    query_i64(q, now - IDEMPOTENCY_KEPT_MS);
    query_i64(q, most);
    while (n < (size_t)most && query_next(q))
        ids[n++] = query_get_text(q, 0, a);
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < n; i++)
        e = remove_row(db, ids[i], why);
    *deleted = (int64_t)n;
    return e;
}
