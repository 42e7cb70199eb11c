#include "access/invitation.h"

#include "access/guard.h"
#include "access/text.h"
#include "access/user.h"
#include "crypto/hash.h"

enum err invitation_make(struct db *db, struct str user, struct str made_by, wall_ms lasts, char code[INVITATION_CODE],
                         wall_ms *expires, struct fault *why)
{
    char hash[TEXT_HASH];
    wall_ms now = clock_wall();
    struct query *q = query_begin(db, "DELETE FROM invitation WHERE expires_ms <= $1");
    query_i64(q, now);
    enum err e = query_end(q, why);
    if (e)
        return e;
    random_text(code, INVITATION_CODE - 1);
    code[INVITATION_CODE - 1] = 0;
    *expires = now + lasts;
    q = query_begin(db, "INSERT INTO invitation (user_id, hash, made_by, created_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)"
                        " ON CONFLICT (user_id) DO UPDATE SET hash = $2, made_by = $3, created_ms = $4, expires_ms = $5");
    query_text(q, user);
    query_text(q, text_hash(str_of(code), hash));
    query_text(q, made_by);
    query_i64(q, now);
    query_i64(q, *expires);
    return query_end(q, why);
}

enum err invitation_revoke(struct db *db, struct str user, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM invitation WHERE user_id = $1");
    query_text(q, user);
    return query_end(q, why);
}

enum err invitation_until(struct db *db, struct str user, wall_ms *until, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT expires_ms FROM invitation WHERE user_id = $1 AND expires_ms > $2");
    query_text(q, user);
    query_i64(q, clock_wall());
    *until = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

enum err invitation_find(struct db *db, struct arena *a, struct str code, struct str *user, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "SELECT i.user_id FROM invitation i JOIN principal p ON p.id = i.user_id"
                                      " WHERE i.hash = $1 AND i.expires_ms > $2 AND p.disabled = 0");
    query_text(q, text_hash(code, hash));
    query_i64(q, clock_wall());
    *user = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    enum err e = query_end(q, why);
    return e ? e : user->p ? ERR_NONE : fault(why, ERR_INVITATION_INVALID, STR(""), "no such link, or it is over");
}

enum err invitation_accept(struct db *db, struct arena *a, struct str code, struct str password_hash, struct str language,
                           struct str *user, struct fault *why)
{
    struct user_row row;
    enum err e;
    if ((e = invitation_find(db, a, code, user, why)) || (e = invitation_revoke(db, *user, why)) ||
        (e = user_get(db, a, *user, &row, why)))
        return e;
    if (language.n)
        row.language = language;
    if ((e = user_update(db, &row, password_hash, why)))
        return e;
    return guard_unlock(db, row.email, why);
}
