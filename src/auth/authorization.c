#include "auth/authorization.h"

#include "access/text.h"
#include "base/encode.h"
#include "crypto/hash.h"
#include "vault/sealed.h"

#define OWNER(id) ((struct data_owner){ STR("authorization"), id })
#define DEVICE_CODE STR("device_code")

static const char *const state_names[] = {
    [AUTHORIZATION_PENDING] = "pending", [AUTHORIZATION_RETURNED] = "returned", [AUTHORIZATION_DONE] = "done",
    [AUTHORIZATION_FAILED] = "failed",   [AUTHORIZATION_EXPIRED] = "expired",
};

const char *authorization_state_name(enum authorization_state s) { return state_names[s]; }

static enum authorization_state state_of(struct str name)
{
    for (size_t i = 0; i < COUNT(state_names); i++)
        if (str_is(name, state_names[i]))
            return (enum authorization_state)i;
    return AUTHORIZATION_FAILED;
}

static enum err over(struct fault *why, const char *note)
{
    return fault(why, ERR_AUTHORIZATION_OVER, STR(""), "%s", note);
}

/* ---- texts ---- */

bool authorization_text_ok(struct str s)
{
    if (s.n != AUTHORIZATION_TEXT - 1)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !ascii_digit(s.p[i]))
            return false;
    return true;
}

/* 43 characters: RFC 7636 4.1 asks for at least as many of a verifier. */
struct str authorization_verifier(struct arena *a, struct str browser, struct str state)
{
    unsigned char digest[SHA256_SIZE];
    hmac_sha256(browser, arena_join(a, STR("verifier|"), state), digest);
    return base64_encode(a, (struct str){ (const char *)digest, sizeof digest }, BASE64_URL);
}

/* ---- begin ---- */

static enum err run_i64(struct db *db, const char *sql, int64_t n, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_i64(q, n);
    return query_end(q, why);
}

static enum err forget_codes(struct db *db, const char *which, struct str text, int64_t n, struct fault *why)
{
    AUTO_ARENA a = arena_new(1024);
    struct str ids[64];
    size_t count = 0;
    struct query *q = query_begin(db, which);
    if (text.p)
        query_text(q, text);
    query_i64(q, n);
    while (count < COUNT(ids) && query_next(q))
        ids[count++] = query_get_text(q, 0, a);
    enum err e = query_end(q, why);
    for (size_t i = 0; i < count && !e; i++) {
        e = sealed_forget(db, OWNER(ids[i]), why);
        if (e)
            break;
        q = query_begin(db, "DELETE FROM authorization_attempt WHERE id = $1");
        query_text(q, ids[i]);
        e = query_end(q, why);
    }
    return e;
}

static enum err make_room(struct db *db, struct str connection, wall_ms now, struct fault *why)
{
    enum err e;
    if ((e = forget_codes(db, "SELECT id FROM authorization_attempt WHERE device = 1 AND expires_ms <= $1 LIMIT 64", STR_NONE,
                          now - AUTHORIZATION_KEPT_MS, why)) ||
        (e = run_i64(db, "DELETE FROM authorization_attempt WHERE device = 0 AND expires_ms <= $1", now - AUTHORIZATION_KEPT_MS,
                     why)) ||
        (e = forget_codes(db,
                          "SELECT id FROM authorization_attempt WHERE connection_id = $1 AND state = 'pending'"
                          " ORDER BY created_ms DESC, id DESC LIMIT 64 OFFSET $2",
                          connection, AUTHORIZATIONS_OF_CONNECTION - 1, why)))
        return e;
    return forget_codes(db, "SELECT id FROM authorization_attempt ORDER BY created_ms DESC, id DESC LIMIT 64 OFFSET $1", STR_NONE,
                        AUTHORIZATIONS_MOST - 1, why);
}

static struct str or_empty(struct str s) { return s.p ? s : STR(""); }

static struct str hash_of(struct str text, char out[TEXT_HASH]) { return text.n ? text_hash(text, out) : STR(""); }

enum err authorization_begin(struct db *db, struct arena *a, struct authorization *t, struct str browser,
                             char link[AUTHORIZATION_TEXT], struct fault *why)
{
    char id[ID_SIZE], link_hash[TEXT_HASH], browser_hash[TEXT_HASH];
    t->created = clock_wall();
    if (!t->expires)
        t->expires = t->created + AUTHORIZATION_MS;
    enum err e = make_room(db, t->connection, t->created, why);
    if (e)
        return e;
    random_text(link, AUTHORIZATION_TEXT - 1);
    link[AUTHORIZATION_TEXT - 1] = 0;
    t->id = arena_str(a, str_of(id_new(id, "aut_")));
    struct query *q =
        query_begin(db, "INSERT INTO authorization_attempt (id, connection_id, principal_id, session, device, state,"
                        " reason, link, browser, code_state, issuer, redirect_uri, return_path, created_ms, expires_ms, token_id,"
                        " accept_account)"
                        " VALUES ($1, $2, $3, $4, $5, 'pending', '', $6, $7, '', $8, $9, $10, $11, $12, $13, $14)");
    query_text(q, t->id);
    query_text(q, t->connection);
    query_text(q, t->principal);
    query_text(q, or_empty(t->session));
    query_i64(q, t->device);
    query_text(q, text_hash(str_of(link), link_hash));
    query_text(q, hash_of(browser, browser_hash));
    query_text(q, or_empty(t->issuer));
    query_text(q, or_empty(t->redirect_uri));
    query_text(q, or_empty(t->return_path));
    query_i64(q, t->created);
    query_i64(q, t->expires);
    query_text(q, or_empty(t->token));
    query_i64(q, t->accept_account);
    return query_end(q, why);
}

/* ---- reading ---- */

#define COLUMNS                                                                                                                    \
    "id, connection_id, principal_id, session, issuer, redirect_uri, return_path, device, state, reason, created_ms, expires_ms,"  \
    " ended_ms, user_code, verification_uri, verification_uri_complete, interval_ms, next_ms, token_id,"    \
    " accept_account"

static void read_row(struct query *q, struct arena *a, struct authorization *out)
{
    struct str *const texts[] = { &out->id, &out->connection, &out->principal, &out->session, &out->issuer, &out->redirect_uri,
                                  &out->return_path };
    for (size_t i = 0; i < COUNT(texts); i++)
        *texts[i] = query_get_text(q, (int)i, a);
    out->device = query_get_i64(q, 7) != 0;
    out->state = state_of(query_get_text(q, 8, a));
    out->reason = query_get_text(q, 9, a);
    out->created = query_get_i64(q, 10);
    out->expires = query_get_i64(q, 11);
    out->ended = query_get_i64(q, 12);
    out->user_code = query_get_text(q, 13, a);
    out->verification_uri = query_get_text(q, 14, a);
    out->verification_uri_complete = query_get_text(q, 15, a);
    out->interval_ms = query_get_i64(q, 16);
    out->next = query_get_i64(q, 17);
    out->token = query_get_text(q, 18, a);
    out->accept_account = query_get_i64(q, 19) != 0;
}

enum err authorization_get(struct db *db, struct arena *a, struct str id, struct authorization *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM authorization_attempt WHERE id = $1");
    query_text(q, id);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    if (e || !found)
        return e ? e : fault(why, ERR_NOT_FOUND, STR("authorization"), "no such attempt");
    if (!out->ended && out->expires <= clock_wall())
        out->state = AUTHORIZATION_EXPIRED;
    return ERR_NONE;
}

/* ---- out ---- */

enum err authorization_find(struct db *db, struct arena *a, struct str link, struct str browser, struct authorization *out,
                            struct fault *why)
{
    struct link_hashes hashes;
    if (!authorization_text_ok(link))
        return over(why, "not a link of ours");
    struct query *q =
        text_link_query(db, "SELECT " COLUMNS " FROM authorization_attempt WHERE link = $1 AND device = 0 AND state = 'pending'"
                            " AND expires_ms > $2 AND (browser = '' OR browser = $3)", link, browser, &hashes);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    return e || found ? e : over(why, "no such link, or not of this browser");
}

enum err authorization_send(struct db *db, struct str id, struct str browser, struct str state, struct str issuer,
                            struct fault *why)
{
    char hash[TEXT_HASH], browser_hash[TEXT_HASH];
    struct query *q = query_begin(db, "UPDATE authorization_attempt SET browser = $2, code_state = $3, issuer = $4 WHERE id = $1"
                                      " AND state = 'pending' AND expires_ms > $5 AND (browser = '' OR browser = $2) RETURNING id");
    query_text(q, id);
    query_text(q, text_hash(browser, browser_hash));
    query_text(q, text_hash(state, hash));
    query_text(q, or_empty(issuer));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : over(why, "another browser followed the link, or it is too old");
}

/* ---- back ---- */

enum err authorization_look(struct db *db, struct str state, struct str browser, struct fault *why)
{
    char hash[TEXT_HASH], browser_hash[TEXT_HASH];
    if (!authorization_text_ok(state) || !authorization_text_ok(browser))
        return over(why, "state or cookie is missing");
    struct query *q = query_begin(db, "SELECT 1 FROM authorization_attempt WHERE code_state = $1 AND browser = $2"
                                      " AND expires_ms > $3 AND state = 'pending'");
    query_text(q, text_hash(state, hash));
    query_text(q, text_hash(browser, browser_hash));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : over(why, "no such attempt of this browser");
}

enum err authorization_take(struct db *db, struct arena *a, struct str state, struct str browser, struct authorization *out,
                            struct fault *why)
{
    char hash[TEXT_HASH], browser_hash[TEXT_HASH];
    if (!authorization_text_ok(state) || !authorization_text_ok(browser))
        return over(why, "state or cookie is missing");
    struct query *q = query_begin(db, "UPDATE authorization_attempt SET state = 'returned' WHERE code_state = $1 AND browser = $2"
                                      " AND expires_ms > $3 AND state = 'pending' RETURNING " COLUMNS);
    query_text(q, text_hash(state, hash));
    query_text(q, text_hash(browser, browser_hash));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    return e || found ? e : over(why, "no such attempt of this browser");
}

enum err authorization_end(struct db *db, struct str id, enum authorization_state state, struct str reason, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE authorization_attempt SET state = $2, reason = $3, ended_ms = $4 WHERE id = $1");
    query_text(q, id);
    query_text(q, str_of(authorization_state_name(state)));
    query_text(q, or_empty(reason));
    query_i64(q, clock_wall());
    enum err e = query_end(q, why);
    return e ? e : sealed_forget(db, OWNER(id), why);
}

/* ---- devices ---- */

enum err authorization_device(struct db *db, struct keyring *k, struct authorization *t, struct secret device_code,
                              struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE authorization_attempt SET user_code = $2, verification_uri = $3,"
                        " verification_uri_complete = $4, interval_ms = $5, next_ms = $6, expires_ms = $7 WHERE id = $1");
    query_text(q, t->id);
    query_text(q, t->user_code);
    query_text(q, t->verification_uri);
    query_text(q, or_empty(t->verification_uri_complete));
    query_i64(q, t->interval_ms);
    query_i64(q, t->next);
    query_i64(q, t->expires);
    enum err e = query_end(q, why);
    return e ? e : sealed_put(db, k, OWNER(t->id), DEVICE_CODE, device_code, why);
}

enum err authorization_device_code(struct db *db, struct keyring *k, struct str id, struct secret *out, struct fault *why)
{
    return sealed_get(db, k, OWNER(id), DEVICE_CODE, out, why);
}

enum err authorization_devices(struct db *db, struct arena *a, int limit, struct authorization **out, size_t *n, struct fault *why)
{
    *out = arena_array(a, (size_t)limit, sizeof **out);
    *n = 0;
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM authorization_attempt WHERE device = 1 AND state = 'pending'"
                                      " AND next_ms > 0 ORDER BY next_ms, id LIMIT $1");
    query_i64(q, limit);
    while (*n < (size_t)limit && query_next(q))
        read_row(q, a, &(*out)[(*n)++]);
    return query_end(q, why);
}

enum err authorization_claim(struct db *db, const struct authorization *t, wall_ms next, bool *mine, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE authorization_attempt SET next_ms = $3 WHERE id = $1 AND state = 'pending'"
                                      " AND next_ms = $2 RETURNING id");
    query_text(q, t->id);
    query_i64(q, t->next);
    query_i64(q, next);
    *mine = query_next(q);
    return query_end(q, why);
}

enum err authorization_asked(struct db *db, struct str id, wall_ms next, int64_t interval_ms, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE authorization_attempt SET next_ms = $2, interval_ms = $3 WHERE id = $1");
    query_text(q, id);
    query_i64(q, next);
    query_i64(q, interval_ms);
    return query_end(q, why);
}
