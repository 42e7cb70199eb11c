#include "vault/connection.h"

#include "base/buf.h"
#include "base/fold.h"
#include "crypto/hash.h"
#include "vault/certificate.h"
#include "vault/connection_rules.h"
#include "vault/connection_sealed.h"
#include "vault/connection_words.h"
#include "vault/sealed.h"

#define SQL_MAX (64 * 1024)
#define KEY_TRIES 20

static const char *const state_names[] = {
    [CONNECTION_DRAFT] = "draft",
    [CONNECTION_NEEDS_AUTH] = "needs_auth",
    [CONNECTION_ACTIVE] = "active",
    [CONNECTION_DISABLED] = "disabled",
    [CONNECTION_DELETED] = "deleted",
};
static const char *const health_names[] = {
    [HEALTH_UNKNOWN] = "unknown", [HEALTH_OK] = "ok", [HEALTH_FAILING] = "failing", [HEALTH_EXPIRING] = "expiring",
    [HEALTH_EXPIRED] = "expired", [HEALTH_RECONNECT_REQUIRED] = "reconnect_required",
};

const char *connection_state_name(enum connection_state s) { return state_names[s]; }
const char *connection_health_name(enum connection_health h) { return health_names[h]; }

bool connection_state_parse(struct str s, enum connection_state *out)
{
    for (size_t i = 0; i < COUNT(state_names); i++)
        if (str_is(s, state_names[i])) {
            *out = (enum connection_state)i;
            return true;
        }
    return false;
}

bool connection_health_parse(struct str s, enum connection_health *out)
{
    for (size_t i = 0; i < COUNT(health_names); i++)
        if (str_is(s, health_names[i])) {
            *out = (enum connection_health)i;
            return true;
        }
    return false;
}

/* ---- reading ---- */

/* In the order of read_row(). */
#define WRITTEN                                                                                              \
    "id, key, name, folder_id, connector, connector_version, auth_type, allowed_domain, fields, notes, account, " \
    "owner_id, state, health, is_default, revision, created_ms, updated_ms, verified_ms, deleted_ms, number, tags"
#define COLUMNS WRITTEN ", used_ms, due_ms"

static struct connection_row read_row(struct query *q, struct arena *a)
{
    int at = 0;
    struct connection_row r = { 0 };
    struct str *const texts[] = {
        &r.id,     &r.key,   &r.name,    &r.folder, &r.connector, &r.connector_version, &r.auth_type, &r.allowed_domain,
        &r.fields, &r.notes, &r.account, &r.owner
    };
    for (; at < (int)COUNT(texts); at++)
        *texts[at] = query_get_text(q, at, a);
    /* A word that we did not write opens nothing. */
    if (!connection_state_parse(query_get_text(q, at++, a), &r.state))
        r.state = CONNECTION_DISABLED;
    if (!connection_health_parse(query_get_text(q, at++, a), &r.health))
        r.health = HEALTH_UNKNOWN;
    r.is_default = query_get_i64(q, at++);
    r.revision = query_get_i64(q, at++);
    r.created = query_get_i64(q, at++);
    r.updated = query_get_i64(q, at++);
    r.verified = query_get_i64(q, at++);
    r.deleted = query_get_i64(q, at++);
    r.number = query_get_i64(q, at++);
    r.tags = query_get_text(q, at++, a);
    r.used = query_get_i64(q, at++);
    r.due = query_get_i64(q, at++);
    return r;
}

static enum err not_found(struct str what, struct fault *why)
{
    return fault(why, ERR_CONNECTION_NOT_FOUND, what, "no row");
}

static enum err read_one(struct query *q, struct arena *a, struct str id, struct connection_row *out, struct fault *why)
{
    struct connection_row row = { 0 };
    bool found = query_next(q);
    if (found)
        row = read_row(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return not_found(id, why);
    *out = row;
    return ERR_NONE;
}

enum err connection_get(struct db *db, struct arena *a, struct str id, struct connection_row *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM connection WHERE id = $1 AND deleted_ms = 0");
    query_text(q, id);
    return read_one(q, a, id, out, why);
}

enum err connection_get_deleted(struct db *db, struct arena *a, struct str id, struct connection_row *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM connection WHERE id = $1 AND deleted_ms > 0");
    query_text(q, id);
    return read_one(q, a, id, out, why);
}

static enum err too_long(struct fault *why) { return fault(why, ERR_INTERNAL, STR(""), "the query is too long"); }

enum err connection_numbered(struct db *db, struct arena *a, const int64_t *numbers, size_t n, struct connection_row *out,
                             struct fault *why)
{
    AUTO_BUF sql;
    int param = 0;
    size_t found = 0;
    buf_init(&sql, SQL_MAX);
    if (!n)
        return ERR_NONE;
    buf_add(&sql, STR("SELECT " COLUMNS " FROM connection WHERE number > 0 AND number IN "));
    many_list_numbers(&sql, &param);
    buf_add(&sql, STR(" ORDER BY number"));
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return too_long(why);
    struct query *q = query_begin(db, sql.p);
    many_numbers(q, numbers, n);
    while (found < n && query_next(q))
        out[found++] = read_row(q, a);
    enum err e = query_end(q, why);
    return e || found == n ? e : not_found(STR(""), why);
}

enum err connection_find(struct db *db, struct arena *a, struct str key, const struct folder_scope *seen,
                         struct connection_row *out, struct fault *why)
{
    AUTO_BUF sql;
    int param = 1, count = 0;
    buf_init(&sql, SQL_MAX);
    buf_add(&sql, STR("SELECT " COLUMNS " FROM connection WHERE key = $1 AND deleted_ms = 0 AND"));
    folder_scope_connections_sql(&sql, seen, "connection.folder_id", "connection.id", &param);
    buf_add(&sql, STR(" ORDER BY id LIMIT 2"));
    buf_char(&sql, 0);
    if (buf_failed(&sql))
        return too_long(why);

    struct connection_row row = { 0 };
    struct query *q = query_begin(db, sql.p);
    query_text(q, key);
    folder_scope_connections_bind(q, seen);
    while (query_next(q))
        if (!count++)
            row = read_row(q, a);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!count)
        return not_found(key, why);
    if (count > 1)
        return fault(why, ERR_AMBIGUOUS, key, "in more than one place");
    *out = row;
    return ERR_NONE;
}

/* ---- writing ---- */

static enum err key_taken(struct db *db, struct str folder, struct str key, bool *taken, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT 1 FROM connection WHERE folder_id = $1 AND key = $2 AND deleted_ms = 0");
    query_text(q, folder);
    query_text(q, key);
    *taken = query_next(q);
    return query_end(q, why);
}

/* "sales", "sales-2" ... "sales-20"; then something that nobody has. */
static struct str key_candidate(struct arena *a, struct str base, int try)
{
    char random[7] = "";
    struct str end = STR_NONE;
    if (try > KEY_TRIES) {
        random_text(random, 6);
        end = str_fmt(a, "-%s", random);
    } else if (try > 1) {
        end = str_fmt(a, "-%d", try);
    }
    size_t keep = base.n + end.n > CONNECTION_KEY_MAX ? CONNECTION_KEY_MAX - end.n : base.n;
    while (keep && base.p[keep - 1] == '-')
        keep--;
    return arena_join(a, str_sub(base, 0, keep), end);
}

static enum err make_key(struct db *db, struct arena *a, const struct connection_row *row, struct str *out, struct fault *why)
{
    struct str base = fold_key(a, row->name, CONNECTION_KEY_MAX);
    if (!base.n)
        base = fold_key(a, row->connector, CONNECTION_KEY_MAX);
    if (!base.n)
        base = STR("connection");
    for (int try = 1; try <= KEY_TRIES + 2; try++) {
        struct str key = key_candidate(a, base, try);
        bool taken;
        enum err e = key_taken(db, row->folder, key, &taken, why);
        if (e)
            return e;
        if (!taken) {
            *out = key;
            return ERR_NONE;
        }
    }
    return fault(why, ERR_CONFLICT, base, "no free key was found");
}

static enum err choose_key(struct db *db, struct arena *a, struct connection_row *row, struct fault *why)
{
    if (!row->key.n)
        return make_key(db, a, row, &row->key, why);
    bool taken;
    enum err e = connection_rules_key(row->key, why);
    if (e || (e = key_taken(db, row->folder, row->key, &taken, why)))
        return e;
    return taken ? fault(why, ERR_CONFLICT, row->key, "the key is taken in its folder") : ERR_NONE;
}

static enum err first_of_its_kind(struct db *db, const struct connection_row *row, bool *first, struct fault *why)
{
    struct query *q =
        query_begin(db, "SELECT 1 FROM connection WHERE folder_id = $1 AND connector = $2 AND deleted_ms = 0 LIMIT 1");
    query_text(q, row->folder);
    query_text(q, row->connector);
    *first = !query_next(q);
    return query_end(q, why);
}

/* One default per folder and connector. The others change, too, so their revisions count it. Found among the defaults, as no index
 * leads by an expression: not among all connections of the connector. */
static enum err take_default(struct db *db, const struct connection_row *row, struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE connection SET is_default = 0, revision = revision + 1, updated_ms = $4"
                        " WHERE folder_id = $1 AND connector || '' = $2 AND id <> $3 AND is_default = 1 AND deleted_ms = 0");
    query_text(q, row->folder);
    query_text(q, row->connector);
    query_text(q, row->id);
    query_i64(q, row->updated);
    return query_end(q, why);
}

static enum err next_number(struct db *db, int64_t *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT COALESCE(MAX(number), 0) + 1 FROM connection WHERE number > 0");
    *out = query_next(q) ? query_get_i64(q, 0) : 1;
    return query_end(q, why);
}

static struct str tags_of(const struct connection_row *row) { return row->tags.n ? row->tags : STR("[]"); }

/* The table of tags follows the row. */
static enum err write_tags(struct db *db, struct arena *a, const struct connection_row *row, struct fault *why)
{
    struct json *tags;
    struct query *q = query_begin(db, "DELETE FROM connection_tag WHERE connection_id = $1");
    query_text(q, row->id);
    enum err e = query_end(q, why);
    if (e || (e = json_read(a, tags_of(row), &tags, why)))
        return e;
    json_each (tag, tags) {
        q = query_begin(db, "INSERT INTO connection_tag (tag, number, connection_id) VALUES ($1, $2, $3)");
        query_text(q, tag->text);
        query_i64(q, row->number);
        query_text(q, row->id);
        if ((e = query_end(q, why)))
            return e;
    }
    return ERR_NONE;
}

static enum err insert_row(struct db *db, struct arena *a, const struct connection_row *row, struct fault *why)
{
    struct str search;
    enum err e = connection_words_text(a, row, &search, why);
    if (e)
        return e;
    struct query *q = query_begin(
        db, "INSERT INTO connection (" WRITTEN ", search) VALUES"
            " ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)");
    const struct str texts[] = { row->id, row->key, row->name, row->folder, row->connector, row->connector_version, row->auth_type,
                                 row->allowed_domain, row->fields, row->notes.p ? row->notes : STR(""), row->account, row->owner,
                                 str_of(connection_state_name(row->state)), str_of(connection_health_name(row->health)) };
    const int64_t numbers[] = {
        row->is_default, row->revision, row->created, row->updated, row->verified, row->deleted, row->number
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        query_text(q, texts[i]);
    for (size_t i = 0; i < COUNT(numbers); i++)
        query_i64(q, numbers[i]);
    query_text(q, tags_of(row));
    query_text(q, search);
    e = query_end(q, why);
    return e ? e : connection_words_follow(db, row->number, STR_NONE, search, why);
}

/* All but the secrets: filled in, checked, written. */
static enum err insert_with_key(struct db *db, struct arena *a, struct connection_row *row, struct fault *why)
{
    bool first;
    enum err e = choose_key(db, a, row, why);
    if (e || (e = first_of_its_kind(db, row, &first, why)) || (e = next_number(db, &row->number, why)))
        return e;
    row->is_default = row->is_default || first;
    if (row->is_default && (e = take_default(db, row, why)))
        return e;
    if ((e = insert_row(db, a, row, why)))
        return e;
    return row->tags.n ? write_tags(db, a, row, why) : ERR_NONE;
}

enum err connection_insert(struct db *db, struct keyring *k, struct arena *a, struct connection_row *row,
                           const struct connection_secret *secrets, size_t n, struct fault *why)
{
    char id[ID_SIZE];
    struct connection_row made = *row;
    enum err e = connection_rules_row(row, true, why);
    if (e || (e = connection_rules_secrets(secrets, n, why)))
        return e;
    made.id = arena_str(a, str_of(id_new(id, "con_")));
    made.revision = 1;
    made.created = made.updated = clock_wall();

    AUTO_SECRET key = SECRET_NONE;
    if ((e = insert_with_key(db, a, &made, why)) || (e = connection_sealed_key(db, k, made.id, n, &key, why)) ||
        (e = connection_sealed_insert(db, a, &made, key, secrets, n, why)))
        return e;
    *row = made;
    return ERR_NONE;
}

/* After a conditional change that met no row: is it gone, or was it changed meanwhile? */
static enum err why_unchanged(struct db *db, const struct connection_row *row, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT revision FROM connection WHERE id = $1");
    query_text(q, row->id);
    bool found = query_next(q);
    int64_t stored = query_get_i64(q, 0);
    enum err e = query_end(q, why);
    if (e)
        return e;
    if (!found)
        return not_found(row->id, why);
    return fault(why, ERR_PRECONDITION_FAILED, row->key, "revision %lld is stored, %lld was read", (long long)stored,
                 (long long)row->revision);
}

enum err connection_update(struct db *db, struct connection_row *row, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct connection_row stored, made = *row;
    struct str before, search;
    enum err e = connection_rules_row(row, false, why);
    if (e || (e = connection_get(db, a, row->id, &stored, why)) || (e = connection_words_stored(db, a, row->id, &before, why)))
        return e;
    made.updated = clock_wall();
    made.revision++;
    made.key = stored.key; /* neither of them ever changes, whatever `row` says */
    made.connector = stored.connector;
    if ((e = connection_words_text(a, &made, &search, why)))
        return e;

    struct query *q =
        query_begin(db, "UPDATE connection SET name = $1, notes = $2, fields = $3, state = $4, health = $5, account = $6,"
                        " is_default = $7, verified_ms = $8, search = $9, updated_ms = $10, tags = $11,"
                        " revision = revision + 1 WHERE id = $12 AND revision = $13");
    query_text(q, row->name);
    query_text(q, row->notes.p ? row->notes : STR(""));
    query_text(q, row->fields);
    query_text(q, str_of(connection_state_name(row->state)));
    query_text(q, str_of(connection_health_name(row->health)));
    query_text(q, row->account);
    query_i64(q, row->is_default);
    query_i64(q, row->verified);
    query_text(q, search);
    query_i64(q, made.updated);
    query_text(q, tags_of(row));
    query_text(q, row->id);
    query_i64(q, row->revision);
    if ((e = query_end(q, why)))
        return e;
    if (!db_changes(db))
        return why_unchanged(db, row, why);
    if (!str_eq(tags_of(row), tags_of(&stored)) && (e = write_tags(db, a, row, why)))
        return e;
    if ((e = connection_words_follow(db, stored.number, before, search, why)))
        return e;
    stored.updated = made.updated;
    if (row->is_default && (e = take_default(db, &stored, why)))
        return e;
    row->revision = made.revision;
    row->updated = made.updated;
    return ERR_NONE;
}

enum err connection_disown(struct db *db, struct str owner, struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE connection SET owner_id = $2, revision = revision + 1, updated_ms = $3 WHERE owner_id = $1");
    query_text(q, owner);
    query_text(q, STR(CONNECTION_OWNER_SYSTEM));
    query_i64(q, clock_wall());
    return query_end(q, why);
}

enum err connection_adopt(struct db *db, struct connection_row *row, struct str owner, struct fault *why)
{
    if (!str_is(row->owner, CONNECTION_OWNER_SYSTEM))
        return ERR_NONE;
    struct query *q = query_begin(db, "UPDATE connection SET owner_id = $1 WHERE id = $2");
    query_text(q, owner);
    query_text(q, row->id);
    enum err e = query_end(q, why);
    if (!e)
        row->owner = owner;
    return e;
}

static enum err bump_revision(struct db *db, const struct connection_row *row, struct fault *why)
{
    struct query *q = query_begin(
        db, "UPDATE connection SET updated_ms = $1, restored_ms = 0, due_ms = 0, revision = revision + 1"
            " WHERE id = $2 AND revision = $3");
    query_i64(q, row->updated);
    query_text(q, row->id);
    query_i64(q, row->revision);
    enum err e = query_end(q, why);
    if (e)
        return e;
    return db_changes(db) ? ERR_NONE : why_unchanged(db, row, why);
}

static enum err delete_secrets(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM connection_secret WHERE connection_id = $1");
    query_text(q, id);
    return query_end(q, why);
}

/* Under a fresh data key: the old one ends with the secrets that it sealed, and a connection whose key was damaged
 * can be mended by entering its credentials again. */
enum err connection_replace_secrets(struct db *db, struct keyring *k, struct arena *a, struct connection_row *row,
                                    const struct connection_secret *secrets, size_t n, struct fault *why)
{
    struct connection_row made;
    AUTO_SECRET key = SECRET_NONE;
    enum err e = connection_rules_secrets(secrets, n, why);
    if (e || (e = connection_get(db, a, row->id, &made, why)))
        return e;
    if (!str_eq(made.allowed_domain, row->allowed_domain) || !str_eq(made.auth_type, row->auth_type))
        return fault(why, ERR_FIELD_IMMUTABLE, str_eq(made.auth_type, row->auth_type) ? STR("allowed_domain") : STR("auth_type"),
                     "not what is stored");
    made.revision = row->revision;
    made.updated = clock_wall();
    if ((e = bump_revision(db, &made, why)) || (e = connection_sealed_key(db, k, made.id, n, &key, why)) ||
        (e = delete_secrets(db, made.id, why)) || (e = connection_sealed_insert(db, a, &made, key, secrets, n, why)))
        return e;
    row->revision++;
    row->updated = made.updated;
    return ERR_NONE;
}

enum err connection_move(struct db *db, struct connection_row *row, struct str folder, struct fault *why)
{
    struct connection_row there = *row;
    bool taken, first;
    there.folder = folder;
    enum err e = key_taken(db, folder, row->key, &taken, why);
    if (!e && taken)
        return fault(why, ERR_CONFLICT, row->key, "the key is taken in the other folder");
    if (e || (e = first_of_its_kind(db, &there, &first, why)))
        return e;
    there.is_default = first;
    there.updated = clock_wall();
    struct query *q = query_begin(db, "UPDATE connection SET folder_id = $3, is_default = $4, updated_ms = $5,"
                                      " revision = revision + 1 WHERE id = $1 AND revision = $2");
    query_text(q, row->id);
    query_i64(q, row->revision);
    query_text(q, folder);
    query_i64(q, there.is_default);
    query_i64(q, there.updated);
    if ((e = query_end(q, why)))
        return e;
    if (db_changes(db) != 1)
        return fault(why, ERR_PRECONDITION_FAILED, STR(""), "the connection changed meanwhile");
    there.revision++;
    *row = there;
    return ERR_NONE;
}

enum err connection_delete(struct db *db, struct str id, struct fault *why)
{
    AUTO_ARENA a = arena_new(512);
    enum err e = delete_secrets(db, id, why);
    if (e || (e = certificate_forget(db, id, why)) || (e = connection_sealed_forget(db, id, why)) ||
        (e = sealed_forget(db, (struct data_owner){ STR("grant"), id }, why)) || (e = connection_codes_forget(db, id, why)))
        return e;
    struct query *q = query_begin(db, "DELETE FROM connection WHERE id = $1 RETURNING number, search");
    query_text(q, id);
    bool found = query_next(q);
    int64_t number = query_get_i64(q, 0);
    struct str search = query_get_text(q, 1, a);
    if ((e = query_end(q, why)))
        return e;
    return found ? connection_words_follow(db, number, search, STR_NONE, why) : not_found(id, why);
}

/* ---- use, and age by policy ---- */

enum err connection_used(struct db *db, struct str id, wall_ms when, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE connection SET used_ms = $2 WHERE id = $1 AND used_ms < $2");
    query_text(q, id);
    query_i64(q, when);
    return query_end(q, why);
}

enum err connection_secrets_since(struct db *db, struct str id, wall_ms *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT MIN(updated_ms) FROM connection_secret WHERE connection_id = $1");
    query_text(q, id);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

static enum connection_health health_due(wall_ms due, wall_ms now, enum connection_health otherwise)
{
    if (!due || due > now + CONNECTION_DUE_AHEAD_MS)
        return otherwise;
    return due <= now ? HEALTH_EXPIRED : HEALTH_EXPIRING;
}

/* What a look has found out about the provider is worse than what the calendar says, and stays. */
enum err connection_set_due(struct db *db, const struct connection_row *row, wall_ms due, wall_ms now,
                            enum connection_health *health, struct fault *why)
{
    bool by_calendar = row->health == HEALTH_EXPIRING || row->health == HEALTH_EXPIRED;
    bool lifted = by_calendar && row->due;
    enum err e = ERR_NONE;
    *health = row->health;
    if (row->health == HEALTH_UNKNOWN || row->health == HEALTH_OK || by_calendar)
        *health = health_due(due, now, lifted ? HEALTH_UNKNOWN : row->health);
    if (lifted && *health == HEALTH_UNKNOWN)
        e = certificate_health(db, row->id, now, HEALTH_UNKNOWN, health, why);
    if (e || (due == row->due && *health == row->health))
        return e;
    struct query *q = query_begin(db, "UPDATE connection SET due_ms = $1, health = $2 WHERE id = $3");
    query_i64(q, due);
    query_text(q, str_of(connection_health_name(*health)));
    query_text(q, row->id);
    return query_end(q, why);
}

static enum err due_of(struct db *db, struct str id, wall_ms *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT due_ms FROM connection WHERE id = $1");
    query_text(q, id);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

/* The sooner end counts. */
static enum err health_of_ends(struct db *db, struct str id, enum connection_health *h, struct fault *why)
{
    wall_ms due, now = clock_wall();
    enum err e = certificate_health(db, id, now, *h, h, why);
    if (e || *h == HEALTH_EXPIRED || (e = due_of(db, id, &due, why)))
        return e;
    *h = health_due(due, now, *h);
    return ERR_NONE;
}

enum err connection_set_health(struct db *db, struct str id, enum connection_health h, wall_ms verified, struct str account,
                               struct fault *why)
{
    enum err e = h == HEALTH_OK ? health_of_ends(db, id, &h, why) : ERR_NONE;
    if (e)
        return e;
    struct query *q = query_begin(
        db, "UPDATE connection SET health = $1, verified_ms = CASE WHEN CAST($2 AS BIGINT) > 0 THEN $2 ELSE verified_ms END,"
            " account = COALESCE($3, account) WHERE id = $4");
    query_text(q, str_of(connection_health_name(h)));
    query_i64(q, verified);
    query_text(q, account);
    query_text(q, id);
    if ((e = query_end(q, why)))
        return e;
    return db_changes(db) ? ERR_NONE : not_found(id, why);
}
