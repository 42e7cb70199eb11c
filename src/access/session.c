#include "access/session.h"

#include "access/text.h"
#include "base/encode.h"
#include "crypto/hash.h"

#define IDLE_MS (15 * 60 * 1000)
#define ABSOLUTE_MS (8 * 60 * 60 * 1000)
#define TOUCH_MS (60 * 1000)
#define PER_USER 20        /* browsers at once; the oldest session makes room */
#define AGENT_BYTES 200
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

static const char *const hows[] = {
    [SESSION_PASSWORD] = "password", [SESSION_SECOND_FACTOR] = "second_factor", [SESSION_PROVIDER] = "provider"
};

const char *session_how_name(enum session_how how) { return hows[how]; }

static enum session_how how_of(struct str name)
{
    for (size_t i = 0; i < COUNT(hows); i++)
        if (str_is(name, hows[i]))
            return (enum session_how)i;
    return SESSION_PASSWORD; /* the one that is trusted least */
}

/* What the browser keeps, what its pages send along, and how the first is stored. */
static struct str draw(struct arena *a, char text[SESSION_TEXT], char hash[TEXT_HASH], struct str *csrf)
{
    random_text(text, SESSION_TEXT - 1);
    text[SESSION_TEXT - 1] = 0;
    char *proof = arena_zero(a, CSRF_CHARACTERS + 1);
    random_text(proof, CSRF_CHARACTERS);
    *csrf = str_of(proof);
    return text_hash((struct str){ text, SESSION_TEXT - 1 }, hash);
}

/* Cut between characters. */
static struct str agent_of(struct str s)
{
    size_t n = s.n < AGENT_BYTES ? s.n : AGENT_BYTES;
    while (n && n < s.n && (s.p[n] & 0xc0) == 0x80)
        n--;
    struct str cut = str_sub(s, 0, n);
    return s.p && utf8_valid(cut) ? cut : STR("");
}

enum err session_create(struct db *db, struct arena *a, const struct session_new *n, char text[SESSION_TEXT], struct str *csrf,
                        struct fault *why)
{
    char hash[TEXT_HASH], id[ID_SIZE];
    wall_ms now = clock_steady();
    enum err e = check_user(db, n->user, why);
    if (e || (e = remove_stale(db, n->user, now, why)))
        return e;
    struct query *q =
        query_begin(db, "INSERT INTO session (hash, user_id, csrf, created_ms, seen_ms, proved_ms, id, how, address, agent)"
                        " VALUES ($1, $2, $3, $4, $4, $4, $5, $6, $7, $8)");
    query_text(q, draw(a, text, hash, csrf));
    query_text(q, n->user);
    query_text(q, *csrf);
    query_i64(q, now);
    query_text(q, str_of(id_new(id, "ses_")));
    query_text(q, str_of(hows[n->how]));
    query_text(q, n->address.p ? n->address : STR(""));
    query_text(q, agent_of(n->agent));
    return query_end(q, why);
}

enum err session_renew(struct db *db, struct arena *a, struct str id, enum session_how how, char text[SESSION_TEXT],
                       struct str *csrf, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q =
        query_begin(db, "UPDATE session SET hash = $2, csrf = $3, how = $4, proved_ms = $5, seen_ms = $5 WHERE id = $1");
    query_text(q, id);
    query_text(q, draw(a, text, hash, csrf));
    query_text(q, *csrf);
    query_text(q, str_of(hows[how]));
    query_i64(q, clock_steady());
    enum err e = query_end(q, why);
    if (e)
        return e;
    return db_changes(db) == 1 ? ERR_NONE : fault(why, ERR_UNAUTHENTICATED, STR(""), "the session ended meanwhile");
}

struct found {
    bool row, disabled;
    wall_ms created, seen;
};

static enum err find_session(struct db *db, struct arena *a, struct str text, struct found *f, struct caller *c, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q = query_begin(db, "SELECT s.created_ms, s.seen_ms, s.csrf, p.id, p.name, p.role, p.language, p.disabled,"
                                      " s.id, s.how, s.proved_ms"
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
        .session = query_get_text(q, 8, a),
        .how = how_of(query_get_text(q, 9, a)),
        .proved = query_get_i64(q, 10),
    };
    role_parse(query_get_text(q, 5, a), &c->role);
    return query_end(q, why);
}

enum err session_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, bool *touch, struct fault *why)
{
    struct found f;
    struct caller c;
    wall_ms now = clock_steady();
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
    query_i64(q, clock_steady());
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

enum err sessions_end_others(struct db *db, struct str user, struct str but, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM session WHERE user_id = $1 AND id <> $2");
    query_text(q, user);
    query_text(q, but.p ? but : STR(""));
    return query_end(q, why);
}

enum err session_list(struct db *db, struct arena *a, struct str user, struct session_row **out, size_t *n, struct fault *why)
{
    wall_ms now = clock_steady();
    struct session_row *rows = arena_array(a, PER_USER, sizeof *rows);
    struct query *q = query_begin(db, "SELECT id, address, agent, how, created_ms, seen_ms FROM session"
                                      " WHERE user_id = $1 AND seen_ms > $2 AND created_ms > $3 ORDER BY id DESC LIMIT $4");
    query_text(q, user);
    query_i64(q, now - IDLE_MS);
    query_i64(q, now - ABSOLUTE_MS);
    query_i64(q, PER_USER);
    for (*n = 0; *n < PER_USER && query_next(q); ++*n)
        rows[*n] = (struct session_row){
            .id = query_get_text(q, 0, a),
            .address = query_get_text(q, 1, a),
            .agent = query_get_text(q, 2, a),
            .how = how_of(query_get_text(q, 3, a)),
            .created = query_get_i64(q, 4),
            .seen = query_get_i64(q, 5),
            .expires = query_get_i64(q, 4) + ABSOLUTE_MS,
        };
    *out = rows;
    return query_end(q, why);
}

enum err session_owner(struct db *db, struct arena *a, struct str id, struct str *user, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT user_id FROM session WHERE id = $1 AND id <> ''");
    query_text(q, id);
    *user = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    enum err e = query_end(q, why);
    return e ? e : user->p ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("session"), "no such session");
}

enum err session_end_id(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM session WHERE id = $1");
    query_text(q, id);
    return query_end(q, why);
}
