#include "access/user.h"

#include "access/session.h"
#include "access/text.h"
#include "base/encode.h"
#include "crypto/hash.h"

#define PAGE_MOST 1000

/* -- fields --------------------------------------------------------------------------------------------------- */

bool user_email_parse(struct str s, char out[USER_EMAIL + 1])
{
    struct str local, host, rest;
    if (s.n > USER_EMAIL || !utf8_valid(s) || !str_cut(s, '@', &local, &host) || !local.n || !host.n ||
        str_cut(host, '@', &host, &rest))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
        out[i] = ascii_lower(s.p[i]);
    }
    out[s.n] = 0;
    return true;
}

static enum err email_check(struct str s, char out[USER_EMAIL + 1], struct fault *why)
{
    if (!s.n)
        return fault(why, ERR_FIELD_REQUIRED, STR("email"), "no e-mail address");
    return user_email_parse(s, out)
               ? ERR_NONE
               : fault(why, ERR_FIELD_INVALID, STR("email (name@host, at most 254 characters)"), "e-mail of %zu bytes", s.n);
}

static enum err check_row(struct str language, enum role role, struct fault *why)
{
    if (!str_is(language, "en") && !str_is(language, "fr"))
        return fault(why, ERR_FIELD_INVALID, STR("language (en, fr)"), "language");
    if (role <= ROLE_NONE || role >= ROLE_COUNT)
        return fault(why, ERR_FIELD_INVALID, STR("role (owner, admin, editor, user, viewer, auditor, custodian)"), "role %d",
                     (int)role);
    return ERR_NONE;
}

/* A taken name, in words that the asker knows. */
static enum err name_conflict(enum err e, struct str name, struct fault *why)
{
    return e == ERR_CONFLICT ? fault(why, e, name, "a principal of that name exists") : e;
}

/* -- users ---------------------------------------------------------------------------------------------------- */

static enum err insert_principal(struct db *db, struct arena *a, const char *prefix, const char *kind, struct str name,
                                 struct str password_hash, enum role role, struct str language, struct str *id, struct fault *why)
{
    char text[ID_SIZE];
    struct query *q = query_begin(db, "INSERT INTO principal (id, kind, name, role, password, language, created_ms, updated_ms)"
                                      " VALUES ($1, $2, $3, $4, $5, $6, $7, $7)");
    *id = arena_str(a, str_of(id_new(text, prefix)));
    query_text(q, *id);
    query_text(q, str_of(kind));
    query_text(q, name);
    query_text(q, str_of(role_name(role)));
    query_text(q, password_hash);
    query_text(q, language);
    query_i64(q, clock_wall());
    return name_conflict(query_end(q, why), name, why);
}

enum err user_create(struct db *db, struct arena *a, struct str email, struct str password_hash, enum role role,
                     struct str language, struct str *id, struct fault *why)
{
    char name[USER_EMAIL + 1];
    enum err e = email_check(email, name, why);
    if (e || (e = check_row(language, role, why)))
        return e;
    return insert_principal(db, a, "usr_", "user", str_of(name), password_hash, role, language, id, why);
}

#define SELECT_USERS "SELECT id, name, language, role, disabled, created_ms, updated_ms, revision FROM principal "

static struct user_row read_row(struct query *q, struct arena *a)
{
    struct user_row row = {
        .id = query_get_text(q, 0, a),
        .email = query_get_text(q, 1, a),
        .language = query_get_text(q, 2, a),
        .disabled = query_get_i64(q, 4) != 0,
        .created = query_get_i64(q, 5),
        .updated = query_get_i64(q, 6),
        .revision = query_get_i64(q, 7),
    };
    role_parse(query_get_text(q, 3, a), &row.role);
    return row;
}

enum err user_get(struct db *db, struct arena *a, struct str id, struct user_row *out, struct fault *why)
{
    struct query *q = query_begin(db, SELECT_USERS "WHERE id = $1 AND kind = 'user'");
    query_text(q, id);
    bool found = query_next(q);
    struct user_row row = read_row(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("user"), "no such user");
    *out = row;
    return ERR_NONE;
}

enum err user_list(struct db *db, struct arena *a, struct str after, int limit, struct user_row **out, size_t *n, struct fault *why)
{
    limit = limit < 0 ? 0 : limit > PAGE_MOST ? PAGE_MOST : limit;
    struct user_row *rows = arena_array(a, (size_t)limit, sizeof *rows);
    size_t count = 0;
    struct query *q = query_begin(db, SELECT_USERS "WHERE kind = 'user' AND id > $1 ORDER BY id LIMIT $2");
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    while (count < (size_t)limit && query_next(q))
        rows[count++] = read_row(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

/* Somebody must be left who can let others in. */
static enum err keep_an_owner(struct db *db, const struct user_row *leaving, struct fault *why)
{
    if (leaving->role != ROLE_OWNER || leaving->disabled)
        return ERR_NONE;
    struct query *q =
        query_begin(db, "SELECT id FROM principal WHERE kind = 'user' AND role = 'owner' AND disabled = 0 AND id <> $1 LIMIT 1");
    query_text(q, leaving->id);
    bool another = query_next(q);
    enum err e = query_end(q, why);
    return e         ? e
           : another ? ERR_NONE
                     : fault(why, ERR_LIMIT, STR("the last owner stays"), "%.*s is the last owner", STR_ARG(leaving->id));
}

static enum err write_row(struct db *db, const struct user_row *row, const char *email, struct str password_hash, wall_ms now,
                          struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE principal SET name = $2, language = $3, role = $4, disabled = $5,"
                                      " password = coalesce($6, password), updated_ms = $7, revision = revision + 1"
                                      " WHERE id = $1 AND kind = 'user'");
    query_text(q, row->id);
    query_text(q, str_of(email));
    query_text(q, row->language);
    query_text(q, str_of(role_name(row->role)));
    query_i64(q, row->disabled);
    query_text(q, password_hash);
    query_i64(q, now);
    return name_conflict(query_end(q, why), str_of(email), why);
}

enum err user_update(struct db *db, struct user_row *row, struct str password_hash, struct fault *why)
{
    AUTO_ARENA scratch = arena_new(1024);
    char email[USER_EMAIL + 1];
    struct user_row was;
    enum err e = email_check(row->email, email, why);
    if (e || (e = check_row(row->language, row->role, why)) || (e = user_get(db, scratch, row->id, &was, why)))
        return e;
    if (was.revision != row->revision)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "revision %lld, not %lld", (long long)was.revision,
                     (long long)row->revision);
    bool leaves = row->role != ROLE_OWNER || row->disabled;
    wall_ms now = clock_wall();
    if ((leaves && (e = keep_an_owner(db, &was, why))) || (e = write_row(db, row, email, password_hash, now, why)))
        return e;
    row->revision++;
    row->updated = now;
    /* A session made with other rights or another password does not go on (requirement 15.3). */
    if (password_hash.p || row->disabled || row->role != was.role)
        return sessions_end_of_user(db, row->id, why);
    return ERR_NONE;
}

/* Takes the personal workspace along, unless connections are left in it: they are not thrown away by the way. */
static enum err delete_personal(struct db *db, struct str id, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT c.id FROM folder f CROSS JOIN connection c WHERE c.folder_id = f.id AND f.owner_id = $1 LIMIT 1");
    query_text(q, id);
    bool used = query_next(q);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (used)
        return fault(why, ERR_LIMIT, STR("connections are left in the personal folder; disable the user instead"),
                     "folder not empty");
    q = query_begin(db, "DELETE FROM folder WHERE owner_id = $1");
    query_text(q, id);
    return query_end(q, why);
}

enum err user_delete(struct db *db, struct str id, struct fault *why)
{
    AUTO_ARENA scratch = arena_new(1024);
    struct user_row was;
    enum err e = user_get(db, scratch, id, &was, why);
    if (e || (e = keep_an_owner(db, &was, why)) || (e = delete_personal(db, id, why)))
        return e;
    struct query *q = query_begin(db, "DELETE FROM principal WHERE id = $1 AND kind = 'user'"); /* sessions and tokens go with it */
    query_text(q, id);
    return query_end(q, why);
}

enum err user_count(struct db *db, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM principal WHERE kind = 'user'");
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

enum err service_account_find_or_create(struct db *db, struct arena *a, struct str name, enum role role, struct str *id,
                                        struct fault *why)
{
    enum err e = text_check_name(name, "name", why);
    if (e || (e = check_row(STR("en"), role, why)))
        return e;
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE kind = 'service_account' AND name = $1");
    query_text(q, name);
    *id = query_next(q) ? query_get_text(q, 0, a) : STR_NONE;
    e = query_end(q, why);
    if (e || id->p)
        return e;
    return insert_principal(db, a, "svc_", "service_account", name, STR_NONE, role, STR("en"), id, why);
}
