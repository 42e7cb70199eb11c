#include "access/token.h"

#include "access/text.h"
#include "crypto/hash.h"

#define PREFIX "rcd_"
#define RANDOM_AT (sizeof PREFIX - 1)
#define RANDOM_CHARACTERS 40
#define CHECK_AT (RANDOM_AT + RANDOM_CHARACTERS)
#define CHECK_CHARACTERS 6
#define TOKEN_SIZE (CHECK_AT + CHECK_CHARACTERS)
_Static_assert(TOKEN_SIZE + 1 == TOKEN_TEXT, "the header's size");

#define GRANTS_MOST 1000 /* entries of each kind */
#define PAGE_MOST 1000

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 6, lower case */

/* -- the text ------------------------------------------------------------------------------------------------- */

/* CRC-32 of ISO 3309 (reflected, 0xedb88320), four bits at a time. */
static uint32_t crc32_of(struct str s)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* The low 30 bits, most significant first. */
static void write_check(const char *text, char out[CHECK_CHARACTERS])
{
    uint32_t crc = crc32_of((struct str){ text, CHECK_AT });
    for (int i = CHECK_CHARACTERS; i--; crc >>= 5)
        out[i] = base32[crc & 31];
}

bool token_well_formed(struct str text)
{
    char check[CHECK_CHARACTERS];
    if (text.n != TOKEN_SIZE || !str_starts(text, STR(PREFIX)))
        return false;
    for (size_t i = RANDOM_AT; i < TOKEN_SIZE; i++)
        if (!text.p[i] || !strchr(base32, text.p[i]))
            return false;
    write_check(text.p, check);
    return memcmp(text.p + CHECK_AT, check, sizeof check) == 0;
}

static void make_text(char text[TOKEN_TEXT])
{
    memcpy(text, PREFIX, RANDOM_AT);
    random_text(text + RANDOM_AT, RANDOM_CHARACTERS);
    write_check(text, text + CHECK_AT);
    text[TOKEN_SIZE] = 0;
}

/* -- making --------------------------------------------------------------------------------------------------- */

static enum err check_expires(wall_ms expires, struct fault *why)
{
    if (expires == 0 || expires > clock_wall())
        return ERR_NONE;
    return fault(why, ERR_FIELD_INVALID, STR("expires_at (a time to come)"), "expiry in the past");
}

static enum err check_new(struct db *db, const struct token_new *t, struct fault *why)
{
    enum err e = text_check_name(t->name, "name", why);
    if (e || (e = check_expires(t->expires, why)))
        return e;
    if (t->role <= ROLE_NONE || t->role >= ROLE_COUNT)
        return fault(why, ERR_FIELD_INVALID, STR("role (owner, admin, editor, user, viewer, auditor, custodian)"), "role %d",
                     (int)t->role);
    for (enum narrow_kind k = 0; t->narrow && k < NARROW_KINDS; k++)
        if (t->narrow->lists[k].count > GRANTS_MOST)
            return fault(why, ERR_FIELD_INVALID, STR("grants (at most 1000 of a kind)"), "%s", narrow_kind_name(k));
    struct query *q = query_begin(db, "SELECT id FROM principal WHERE id = $1 AND kind IN ('user', 'service_account')");
    query_text(q, t->principal);
    bool found = query_next(q);
    e = query_end(q, why);
    return e ? e : found ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("principal"), "a token needs a user or a service account");
}

/* Which kinds are narrowed stands in the token's own row: should a grant's row be missing, less is left, never more. */
static int64_t narrowed_bits(const struct narrow *n)
{
    int64_t bits = 0;
    for (enum narrow_kind k = 0; n && k < NARROW_KINDS; k++)
        bits |= n->lists[k].set || n->lists[k].count ? 1 << k : 0;
    return bits;
}

static enum err insert_token(struct db *db, const struct token_new *t, struct str id, struct str text, struct fault *why)
{
    char hash[TEXT_HASH];
    struct query *q =
        query_begin(db, "INSERT INTO token (id, hash, last4, name, principal_id, role, created_ms, expires_ms, narrowed)"
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    query_text(q, id);
    query_text(q, text_hash(text, hash));
    query_text(q, str_sub(text, text.n - 4, text.n));
    query_text(q, t->name);
    query_text(q, t->principal);
    query_text(q, str_of(role_name(t->role)));
    query_i64(q, clock_wall());
    query_i64(q, t->expires);
    query_i64(q, narrowed_bits(t->narrow));
    return query_end(q, why);
}

static enum err insert_grant(struct db *db, struct str token, const char *kind, struct str value, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO token_grant (token_id, kind, value) VALUES ($1, $2, $3)"
                                      " ON CONFLICT (token_id, kind, value) DO NOTHING");
    query_text(q, token);
    query_text(q, str_of(kind));
    query_text(q, value);
    return query_end(q, why);
}

static enum err insert_grants(struct db *db, struct str token, const struct narrow *narrow, struct fault *why)
{
    enum err e = ERR_NONE;
    for (enum narrow_kind k = 0; narrow && k < NARROW_KINDS; k++)
        for (size_t i = 0; !e && i < narrow->lists[k].count; i++)
            e = insert_grant(db, token, narrow_kind_name(k), narrow->lists[k].at[i], why);
    return e;
}

static enum err check_room(struct db *db, struct str principal, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM token WHERE principal_id = $1 AND revoked_ms = 0"
                                      " AND (expires_ms = 0 OR expires_ms > $2)");
    query_text(q, principal);
    query_i64(q, clock_wall());
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    return e || n < TOKENS_MOST ? e : fault(why, ERR_LIMIT, STR("1000 tokens of one principal; revoke some"), "%lld", (long long)n);
}

/* Making and revoking in a loop fills no table. */
static enum err drop_oldest_ended(struct db *db, struct str principal, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM token WHERE id IN (SELECT id FROM token WHERE principal_id = $1"
                                      " AND (revoked_ms <> 0 OR expires_ms <> 0 AND expires_ms <= $2)"
                                      " ORDER BY id DESC LIMIT 1000 OFFSET $3)");
    query_text(q, principal);
    query_i64(q, clock_wall());
    query_i64(q, TOKENS_ENDED);
    return query_end(q, why);
}

enum err token_create(struct db *db, struct arena *a, const struct token_new *t, char text[TOKEN_TEXT], struct str *id,
                      struct fault *why)
{
    char own_id[ID_SIZE];
    enum err e;
    if ((e = check_new(db, t, why)) || (e = check_room(db, t->principal, why)) ||
        (e = drop_oldest_ended(db, t->principal, why)))
        return e;
    make_text(text);
    *id = arena_str(a, str_of(id_new(own_id, "tok_")));
    e = insert_token(db, t, *id, (struct str){ text, TOKEN_SIZE }, why);
    return e ? e : insert_grants(db, *id, t->narrow, why);
}

/* -- reading -------------------------------------------------------------------------------------------------- */

static void list_add(struct arena *a, struct narrow_list *l, struct str value)
{
    if (!(l->count & (l->count - 1))) { /* 0, 1, 2, 4 ...: full */
        struct str *more = arena_array(a, l->count ? 2 * l->count : 1, sizeof *more);
        if (l->count)
            memcpy(more, l->at, l->count * sizeof *more);
        l->at = more;
    }
    l->at[l->count++] = value;
}

/* All kinds; the lists' `set` is the caller's to have filled in. */
static enum err read_grants(struct db *db, struct arena *a, struct str token, struct narrow_list lists[NARROW_KINDS],
                            struct fault *why)
{
    struct query *q = query_begin(db, "SELECT kind, value FROM token_grant WHERE token_id = $1 ORDER BY kind, value");
    query_text(q, token);
    while (query_next(q)) {
        struct str kind = query_get_text(q, 0, a);
        for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
            if (str_is(kind, narrow_kind_name(k)))
                list_add(a, &lists[k], query_get_text(q, 1, a));
    }
    return query_end(q, why);
}

/* `bits`: the token's own word for what is narrowed. */
static enum err read_narrow(struct db *db, struct arena *a, struct str token, int64_t bits, struct narrow *out, struct fault *why)
{
    *out = (struct narrow){ 0 };
    for (enum narrow_kind k = 0; k < NARROW_KINDS; k++)
        out->lists[k].set = bits & 1 << k;
    return bits ? read_grants(db, a, token, out->lists, why) : ERR_NONE;
}

struct found {
    bool row, revoked, disabled;
    int64_t narrowed;
};

/* A role that we do not know is none. */
static enum role role_of(struct str name)
{
    enum role r = ROLE_NONE;
    role_parse(name, &r);
    return r;
}

#define SELECT_CALLER                                                                                            \
    "SELECT t.id, t.role, t.expires_ms, t.revoked_ms, p.id, p.name, p.role, p.language, p.disabled,"             \
    " t.narrowed FROM token t JOIN principal p ON p.id = t.principal_id "

/* Ends the query. */
static enum err read_found(struct query *q, struct arena *a, struct found *f, struct caller *c, struct fault *why)
{
    f->row = query_next(q);
    f->revoked = query_get_i64(q, 3) != 0;
    f->disabled = query_get_i64(q, 8) != 0;
    f->narrowed = query_get_i64(q, 9);
    *c = (struct caller){
        .token = query_get_text(q, 0, a),
        .role = role_of(query_get_text(q, 6, a)),
        .narrowed = role_of(query_get_text(q, 1, a)),
        .expires = query_get_i64(q, 2),
        .principal = query_get_text(q, 4, a),
        .name = query_get_text(q, 5, a),
        .language = str_is(query_get_text(q, 7, a), "fr") ? LANG_FR : LANG_EN,
    };
    return query_end(q, why);
}

static enum err admit(struct db *db, struct arena *a, const struct found *f, struct caller *c, struct fault *why)
{
    enum err e;
    if (f->revoked || f->disabled || c->role == ROLE_NONE || c->narrowed == ROLE_NONE)
        return fault(why, ERR_TOKEN_INVALID, STR("unknown, revoked or mistyped"), "%.*s: %s", STR_ARG(c->token),
                     f->revoked ? "revoked" : f->disabled ? "its principal is disabled" : "no role");
    if (c->expires && c->expires <= clock_wall())
        return fault(why, ERR_TOKEN_EXPIRED, STR(""), "%.*s has expired", STR_ARG(c->token));
    e = read_narrow(db, a, c->token, f->narrowed, &c->narrow, why);
    if (e)
        return e;
    narrow_prepare(a, &c->narrow);
    return ERR_NONE;
}

enum err token_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, struct fault *why)
{
    char hash[TEXT_HASH];
    struct found f;
    struct caller c;
    if (!token_well_formed(text))
        return fault(why, ERR_TOKEN_INVALID, STR("unknown, revoked or mistyped"), "mistyped, cut, or not a token of ours");
    struct query *q = query_begin(db, SELECT_CALLER "WHERE t.hash = $1");
    query_text(q, text_hash(text, hash));
    enum err e = read_found(q, a, &f, &c, why);
    if (e)
        return e;
    if (!f.row)
        return fault(why, ERR_TOKEN_INVALID, STR("unknown, revoked or mistyped"), "unknown token");
    if (!(e = admit(db, a, &f, &c, why)))
        *out = c;
    return e;
}

enum err token_caller(struct db *db, struct arena *a, struct str id, struct caller *out, struct fault *why)
{
    struct found f;
    struct query *q = query_begin(db, SELECT_CALLER "WHERE t.id = $1");
    query_text(q, id);
    enum err e = read_found(q, a, &f, out, why);
    if (e)
        return e;
    return f.row ? admit(db, a, &f, out, why) : fault(why, ERR_NOT_FOUND, STR("token"), "no such token");
}

enum err principal_caller(struct db *db, struct arena *a, struct str id, struct caller *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT id, name, role, language, disabled FROM principal"
                                      " WHERE (id = $1 OR name = $2) AND kind IN ('user', 'service_account') ORDER BY id");
    query_text(q, id);
    query_text(q, id);
    bool found = query_next(q), disabled = query_get_i64(q, 4) != 0;
    *out = (struct caller){ .principal = query_get_text(q, 0, a), .name = query_get_text(q, 1, a) };
    role_parse(query_get_text(q, 2, a), &out->role);
    out->language = str_is(query_get_text(q, 3, a), "fr") ? LANG_FR : LANG_EN;
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("principal"), "no such principal");
    if (disabled)
        return fault(why, ERR_UNAUTHENTICATED, STR(""), "the principal is disabled");
    return ERR_NONE;
}

enum err token_beginner(struct db *db, struct arena *a, struct str principal, struct str token, struct caller *out,
                        struct fault *why)
{
    struct fault unusable;
    bool ours = str_starts(token, STR("tok_"));
    enum err e = ours ? token_caller(db, a, token, out, &unusable) : principal_caller(db, a, principal, out, &unusable);
    if (e == ERR_TOKEN_INVALID || e == ERR_TOKEN_EXPIRED || e == ERR_NOT_FOUND || e == ERR_UNAUTHENTICATED ||
        (!e && (out->role == ROLE_NONE || !str_eq(out->principal, principal))))
        return fault(why, ERR_AUTHORIZATION_OVER, STR(""), "who began it is gone or disabled, or the token is");
    if (e && why)
        *why = unusable;
    out->begun_by = ours ? arena_str(a, token) : STR_NONE;
    return e;
}

#define SELECT_ROWS \
    "SELECT t.id, t.name, t.principal_id, p.name, t.last4, t.role, t.created_ms, t.expires_ms, t.last_used_ms," \
    " t.revoked_ms, t.narrowed FROM token t JOIN principal p ON p.id = t.principal_id "

static struct token_row read_row(struct query *q, struct arena *a, int64_t *narrowed)
{
    *narrowed = query_get_i64(q, 10);
    struct token_row row = {
        .id = query_get_text(q, 0, a),
        .name = query_get_text(q, 1, a),
        .principal = query_get_text(q, 2, a),
        .principal_name = query_get_text(q, 3, a),
        .last4 = query_get_text(q, 4, a),
        .created = query_get_i64(q, 6),
        .expires = query_get_i64(q, 7),
        .last_used = query_get_i64(q, 8),
        .revoked = query_get_i64(q, 9),
    };
    role_parse(query_get_text(q, 5, a), &row.role);
    return row;
}

enum err token_get(struct db *db, struct arena *a, struct str id, struct token_row *out, struct fault *why)
{
    struct query *q = query_begin(db, SELECT_ROWS "WHERE t.id = $1");
    query_text(q, id);
    bool found = query_next(q);
    int64_t narrowed;
    struct token_row row = read_row(q, a, &narrowed);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return fault(why, ERR_NOT_FOUND, STR("token"), "no such token");
    if ((e = read_narrow(db, a, id, narrowed, &row.narrow, why)))
        return e;
    *out = row;
    return ERR_NONE;
}

static struct query *begin_list(struct db *db, struct str principal, struct str after, int limit)
{
    struct query *q = principal.p ? query_begin(db, SELECT_ROWS "WHERE t.id > $1 AND t.principal_id = $3 ORDER BY t.id LIMIT $2")
                                  : query_begin(db, SELECT_ROWS "WHERE t.id > $1 ORDER BY t.id LIMIT $2");
    query_text(q, after.p ? after : STR(""));
    query_i64(q, limit);
    if (principal.p)
        query_text(q, principal);
    return q;
}

enum err token_list(struct db *db, struct arena *a, struct str principal, struct str after, int limit, struct token_row **out,
                    size_t *n, struct fault *why)
{
    limit = limit < 0 ? 0 : limit > PAGE_MOST ? PAGE_MOST : limit;
    struct token_row *rows = arena_array(a, (size_t)limit, sizeof *rows);
    int64_t *narrowed = arena_array(a, (size_t)limit, sizeof *narrowed);
    size_t count = 0;
    struct query *q = begin_list(db, principal, after, limit);
    while (count < (size_t)limit && query_next(q))
        rows[count] = read_row(q, a, &narrowed[count]), count++;
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < count; i++)
        e = read_narrow(db, a, rows[i].id, narrowed[i], &rows[i].narrow, why);
    *out = rows;
    *n = count;
    return e;
}

/* -- changing ------------------------------------------------------------------------------------------------- */

static enum err find_expires(struct db *db, struct str id, wall_ms *expires, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT expires_ms FROM token WHERE id = $1");
    query_text(q, id);
    bool found = query_next(q);
    *expires = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    return e ? e : found ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("token"), "no such token");
}

enum err token_update(struct db *db, struct str id, struct str name, wall_ms expires, struct fault *why)
{
    wall_ms before;
    enum err e = find_expires(db, id, &before, why);
    if (e || (e = text_check_name(name, "name", why)))
        return e;
    /* An expired token may be renamed: then its time comes back as it was. */
    if (expires != before && (e = check_expires(expires, why)))
        return e;
    struct query *q = query_begin(db, "UPDATE token SET name = $2, expires_ms = $3 WHERE id = $1");
    query_text(q, id);
    query_text(q, name);
    query_i64(q, expires);
    return query_end(q, why);
}

enum err token_set_grants(struct db *db, struct str id, const struct narrow *narrow, struct fault *why)
{
    wall_ms expires;
    enum err e = find_expires(db, id, &expires, why);
    if (e)
        return e;
    struct query *q = query_begin(db, "DELETE FROM token_grant WHERE token_id = $1");
    query_text(q, id);
    if ((e = query_end(q, why)) || (e = insert_grants(db, id, narrow, why)))
        return e;
    q = query_begin(db, "UPDATE token SET narrowed = $2 WHERE id = $1");
    query_text(q, id);
    query_i64(q, narrowed_bits(narrow));
    return query_end(q, why);
}

enum err token_revoke(struct db *db, struct str id, struct fault *why)
{
    wall_ms expires;
    enum err e = find_expires(db, id, &expires, why);
    if (e)
        return e;
    struct query *q = query_begin(db, "UPDATE token SET revoked_ms = $2 WHERE id = $1 AND revoked_ms = 0");
    query_text(q, id);
    query_i64(q, clock_wall());
    return query_end(q, why);
}

static enum err delete_some(struct query *q, struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why)
{
    query_i64(q, before);
    query_i64(q, most);
    enum err e = query_end(q, why);
    *deleted += e ? 0 : db_changes(db);
    return e;
}

/* Two statements, for an index each. */
enum err token_prune(struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why)
{
    *deleted = 0;
    struct query *q = query_begin(db, "DELETE FROM token WHERE id IN"
                                      " (SELECT id FROM token WHERE revoked_ms <> 0 AND revoked_ms < $1 LIMIT $2)");
    enum err e = delete_some(q, db, before, most, deleted, why);
    if (e)
        return e;
    q = query_begin(db, "DELETE FROM token WHERE id IN"
                        " (SELECT id FROM token WHERE expires_ms <> 0 AND expires_ms < $1 LIMIT $2)");
    return delete_some(q, db, before, most, deleted, why);
}

enum err token_touch(struct db *db, struct str id, wall_ms when, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE token SET last_used_ms = $2 WHERE id = $1 AND last_used_ms < $2");
    query_text(q, id);
    query_i64(q, when);
    return query_end(q, why);
}
