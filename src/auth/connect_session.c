#include "auth/connect_session.h"

#include "access/text.h"
#include "crypto/hash.h"

static const char *const state_names[] = {
    [CONNECT_OPEN] = "open", [CONNECT_DONE] = "done", [CONNECT_WITHDRAWN] = "withdrawn", [CONNECT_EXPIRED] = "expired",
};

const char *connect_session_state_name(enum connect_session_state s) { return state_names[s]; }

static enum err refused(struct fault *why, const char *note)
{
    return fault(why, ERR_CONNECT_LINK_INVALID, STR(""), "%s", note);
}

static enum err check_room(struct db *db, struct str principal, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM connect_session WHERE expires_ms <= $1");
    query_i64(q, now - CONNECT_SESSION_KEPT_MS);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "SELECT count(*) FROM connect_session WHERE principal_id = $1 AND state = 'open' AND expires_ms > $2");
    query_text(q, principal);
    query_i64(q, now);
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    e = query_end(q, why);
    return e || n < CONNECT_SESSIONS_MOST ? e : fault(why, ERR_LIMIT, STR("1000 open connect sessions"), "%lld", (long long)n);
}

enum err connect_session_begin(struct db *db, struct arena *a, struct connect_session *s, char link[CONNECT_SESSION_TEXT],
                               struct fault *why)
{
    char id[ID_SIZE], hash[TEXT_HASH];
    s->created = clock_wall();
    enum err e = check_room(db, s->principal, s->created, why);
    if (e)
        return e;
    random_text(link, CONNECT_SESSION_TEXT - 1);
    link[CONNECT_SESSION_TEXT - 1] = 0;
    s->id = arena_str(a, str_of(id_new(id, "css_")));
    struct query *q = query_begin(db, "INSERT INTO connect_session (id, connection_id, principal_id, link, browser, state,"
                                      " authorization_id, created_ms, expires_ms, token_id, wanted, change_fields, accept_account)"
                                      " VALUES ($1, $2, $3, $4, '', 'open', '', $5, $6, $7, $8, $9, $10)");
    query_text(q, s->id);
    query_text(q, s->connection.n ? s->connection : STR_NONE);
    query_text(q, s->principal);
    query_text(q, text_hash(str_of(link), hash));
    query_i64(q, s->created);
    query_i64(q, s->expires);
    query_text(q, s->token.p ? s->token : STR(""));
    query_text(q, s->wanted.p ? s->wanted : STR(""));
    query_i64(q, s->change_fields);
    query_i64(q, s->accept_account);
    return query_end(q, why);
}

#define COLUMNS                                                                                                                    \
    "id, connection_id, principal_id, authorization_id, state, browser, created_ms, expires_ms, ended_ms, token_id, wanted,"       \
    " change_fields, accept_account"

static void read_row(struct query *q, struct arena *a, struct connect_session *out)
{
    *out = (struct connect_session){
        .id = query_get_text(q, 0, a),
        .connection = query_get_text(q, 1, a),
        .principal = query_get_text(q, 2, a),
        .authorization = query_get_text(q, 3, a),
        .begun = query_get_text(q, 5, a).n > 0,
        .created = query_get_i64(q, 6),
        .expires = query_get_i64(q, 7),
        .ended = query_get_i64(q, 8),
        .token = query_get_text(q, 9, a),
        .wanted = query_get_text(q, 10, a),
        .change_fields = query_get_i64(q, 11) != 0,
        .accept_account = query_get_i64(q, 12) != 0,
    };
    struct str state = query_get_text(q, 4, a);
    for (size_t i = 0; i < COUNT(state_names); i++)
        if (str_is(state, state_names[i]))
            out->state = (enum connect_session_state)i;
    if (out->state == CONNECT_OPEN && out->expires <= clock_wall())
        out->state = CONNECT_EXPIRED;
}

enum err connect_session_find(struct db *db, struct arena *a, struct str link, struct str browser, struct connect_session *out,
                              struct fault *why)
{
    struct link_hashes hashes;
    if (link.n != CONNECT_SESSION_TEXT - 1)
        return refused(why, "not a link of ours");
    struct query *q = text_link_query(db, "SELECT " COLUMNS " FROM connect_session WHERE link = $1 AND state = 'open'"
                                          " AND expires_ms > $2 AND (browser = '' OR browser = $3)", link, browser, &hashes);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    return e || found ? e : refused(why, "no such link, or not of this browser");
}

enum err connect_session_get(struct db *db, struct arena *a, struct str id, struct connect_session *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM connect_session WHERE id = $1");
    query_text(q, id);
    bool found = query_next(q);
    if (found)
        read_row(q, a, out);
    enum err e = query_end(q, why);
    return e || found ? e : fault(why, ERR_NOT_FOUND, STR("connect session"), "no such session");
}

enum err connect_session_made(struct db *db, struct str id, struct str connection, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connect_session SET connection_id = $2 WHERE id = $1 AND state = 'open'"
                                      " AND connection_id IS NULL RETURNING id");
    query_text(q, id);
    query_text(q, connection);
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : refused(why, "its connection is there already");
}

enum err connect_session_bind(struct db *db, struct str id, struct str browser, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "UPDATE connect_session SET browser = $2 WHERE id = $1 AND state = 'open'"
                                      " AND expires_ms > $3 AND (browser = '' OR browser = $2) RETURNING id");
    query_text(q, id);
    query_text(q, text_hash(browser, hash));
    query_i64(q, clock_wall());
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : refused(why, "another browser came first");
}

enum err connect_session_enter(struct db *db, struct str id, struct str wanted, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connect_session SET wanted = $2 WHERE id = $1 AND state = 'open'"
                                      " AND change_fields = 1 RETURNING id");
    query_text(q, id);
    query_text(q, wanted);
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : refused(why, "it is over, or may not change fields");
}

enum err connect_session_begun(struct db *db, struct str id, struct str authorization, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connect_session SET authorization_id = $2 WHERE id = $1");
    query_text(q, id);
    query_text(q, authorization);
    return query_end(q, why);
}

static enum err end(struct db *db, struct str id, const char *sql, struct fault *why)
{
    struct query *q = query_begin(db, sql);
    query_text(q, id);
    query_i64(q, clock_wall());
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e || found ? e : refused(why, "the session is over");
}

enum err connect_session_done(struct db *db, struct str id, struct fault *why)
{
    return end(db, id, "UPDATE connect_session SET state = 'done', ended_ms = $2 WHERE id = $1 AND state = 'open' RETURNING id",
               why);
}

enum err connect_session_withdraw(struct db *db, struct str id, struct fault *why)
{
    return end(db, id,
               "UPDATE connect_session SET state = 'withdrawn', ended_ms = $2 WHERE id = $1 AND state = 'open' RETURNING id", why);
}
