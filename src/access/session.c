#include "access/session.h"

#include "access/text.h"
#include "crypto/hash.h"

#define IDLE_MS (15 * 60 * 1000)
#define ABSOLUTE_MS (8 * 60 * 60 * 1000)
#define TOUCH_MS (60 * 1000)
#define PER_USER 20        /* browsers at once; the oldest session makes room */
#define CSRF_CHARACTERS 32 /* 160 random bits */

static enum err remove_stale(struct db *db, struct str user, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM session WHERE seen_ms <= $1 OR created_ms <= $2");
    query_i64(q, now - IDLE_MS);
    query_i64(q, now - ABSOLUTE_MS);
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "DELETE FROM session WHERE user_id = $1 AND hash NOT IN"
                        " (SELECT hash FROM session WHERE user_id = $1 ORDER BY created_ms DESC, hash LIMIT $2)");
    query_text(q, user);
    query_i64(q, PER_USER - 1);
    return query_end(q, why);
}

static enum err check_user(struct db *db, struct str user, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE id = $1 AND kind = 'user' AND disabled = 0");
    query_text(q, user);
    bool found = query_next(q);
    enum err e = query_end(q, why);
    return e ? e : found ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("user"), "a session is for a user who is not disabled");
}

enum err session_create(struct db *db, struct arena *a, struct str user, char text[SESSION_TEXT], struct str *csrf,
                        struct fault *why)
{
    char hash[TEXT_HASH];
    wall_ms now = clock_wall();
    enum err e = check_user(db, user, why);
    if (e || (e = remove_stale(db, user, now, why)))
        return e;
    random_text(text, SESSION_TEXT - 1);
    text[SESSION_TEXT - 1] = 0;
    char *proof = arena_zero(a, CSRF_CHARACTERS + 1);
    random_text(proof, CSRF_CHARACTERS);

    struct query *q = query_begin(db, "INSERT INTO session (hash, user_id, csrf, created_ms, seen_ms) VALUES ($1, $2, $3, $4, $4)");
    query_text(q, text_hash((struct str){ text, SESSION_TEXT - 1 }, hash));
    query_text(q, user);
    query_text(q, str_of(proof));
    query_i64(q, now);
    *csrf = str_of(proof);
    return query_end(q, why);
}

struct found {
    bool row, disabled;
    wall_ms created, seen;
};

static enum err find_session(struct db *db, struct arena *a, struct str text, struct found *f, struct caller *c, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "SELECT s.created_ms, s.seen_ms, s.csrf, p.id, p.name, p.role, p.language, p.disabled"
                                      " FROM session s JOIN principal p ON p.id = s.user_id WHERE s.hash = $1");
    query_text(q, text_hash(text, hash));
    f->row = query_next(q);
    f->created = query_get_i64(q, 0);
    f->seen = query_get_i64(q, 1);
    f->disabled = query_get_i64(q, 7) != 0;
    *c = (struct caller){
        .session_csrf = query_get_text(q, 2, a),
        .principal = query_get_text(q, 3, a),
        .name = query_get_text(q, 4, a),
        .language = str_is(query_get_text(q, 6, a), "fr") ? LANG_FR : LANG_EN,
        .expires = f->created + ABSOLUTE_MS,
    };
    role_parse(query_get_text(q, 5, a), &c->role);
    return query_end(q, why);
}

enum err session_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, bool *touch, struct fault *why)
{
    struct found f;
    struct caller c;
    wall_ms now = clock_wall();
    if (text.n != SESSION_TEXT - 1)
        return fault(why, ERR_UNAUTHENTICATED, STR(""), "not the form of a session");
    enum err e = find_session(db, a, text, &f, &c, why);
    if (e)
        return e;
    if (!f.row || f.disabled || c.role == ROLE_NONE)
        return fault(why, ERR_UNAUTHENTICATED, STR(""), f.row ? "the session's user may not sign in" : "unknown session");
    if (now - f.seen >= IDLE_MS || now - f.created >= ABSOLUTE_MS)
        return fault(why, ERR_UNAUTHENTICATED, STR(""), "the session is over");
    *touch = now - f.seen >= TOUCH_MS;
    *out = c;
    return ERR_NONE;
}

enum err session_touch(struct db *db, struct str text, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "UPDATE session SET seen_ms = $2 WHERE hash = $1 AND seen_ms < $2");
    query_text(q, text_hash(text, hash));
    query_i64(q, clock_wall());
    return query_end(q, why);
}

enum err session_end(struct db *db, struct str text, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "DELETE FROM session WHERE hash = $1");
    query_text(q, text_hash(text, hash));
    return query_end(q, why);
}

enum err sessions_end_of_user(struct db *db, struct str user, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM session WHERE user_id = $1");
    query_text(q, user);
    return query_end(q, why);
}
