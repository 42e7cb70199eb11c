#include "vault/certificate.h"

#include "base/encode.h"
#include "crypto/hash.h"
#include "vault/sealed.h"

#define DAY_MS (24 * 60 * 60 * 1000LL)
#define EARLIER_MS DAY_MS /* a provider whose clock is behind accepts it all the same */
#define NAME_MAX 64       /* of a common name: RFC 5280, appendix A */
#define LIST_MAX 1000

static const char *const source_names[] = {
    [CERTIFICATE_AUTHORITY] = "authority", [CERTIFICATE_INSTANCE] = "instance",
    [CERTIFICATE_CONNECTION] = "connection", [CERTIFICATE_OWN] = "own",
};
static const char *const state_names[] = {
    [CERTIFICATE_NEXT] = "next", [CERTIFICATE_CURRENT] = "current", [CERTIFICATE_RETIRED] = "retired",
};

const char *certificate_source_name(enum certificate_source s) { return source_names[s]; }
const char *certificate_state_name(enum certificate_state s) { return state_names[s]; }

static bool source_parse(struct str s, enum certificate_source *out)
{
    for (size_t i = 0; i < COUNT(source_names); i++)
        if (str_is(s, source_names[i])) {
            *out = (enum certificate_source)i;
            return true;
        }
    return false;
}

bool certificate_state_parse(struct str s, enum certificate_state *out)
{
    for (size_t i = 0; i < COUNT(state_names); i++)
        if (str_is(s, state_names[i])) {
            *out = (enum certificate_state)i;
            return true;
        }
    return false;
}

bool certificate_owner_is_connection(struct str owner) { return str_starts(owner, STR("con_")); }

int64_t certificate_days(wall_ms end, wall_ms now)
{
    int64_t left = end - now;
    return left >= 0 ? left / DAY_MS : -((-left + DAY_MS - 1) / DAY_MS);
}

/* ---- reading ---- */

/* In the order of read_row(). */
#define COLUMNS                                                                                                          \
    "id, owner, source, state, name, chain, subject, issuer, serial, fingerprint, client_auth, not_before_ms, not_after_ms, " \
    "created_ms, activated_ms, retired_ms, has_key, warned"

static struct certificate_row read_row(struct query *q, struct arena *a)
{
    struct certificate_row r = { .id = query_get_text(q, 0, a), .owner = query_get_text(q, 1, a) };
    /* Words that we did not write: nothing that is in use. */
    if (!source_parse(query_get_text(q, 2, a), &r.source))
        r.source = CERTIFICATE_OWN;
    if (!certificate_state_parse(query_get_text(q, 3, a), &r.state))
        r.state = CERTIFICATE_RETIRED;
    struct str *const texts[] = { &r.name, &r.chain, &r.subject, &r.issuer, &r.serial, &r.fingerprint };
    for (int i = 0; i < (int)COUNT(texts); i++)
        *texts[i] = query_get_text(q, 4 + i, a);
    r.client_auth = query_get_i64(q, 10);
    wall_ms *const times[] = { &r.not_before, &r.not_after, &r.created, &r.activated, &r.retired };
    for (int i = 0; i < (int)COUNT(times); i++)
        *times[i] = query_get_i64(q, 11 + i);
    r.has_key = query_get_i64(q, 16);
    r.warned = (int)query_get_i64(q, 17);
    return r;
}

static enum err read_one(struct query *q, struct arena *a, struct certificate_row *out, bool *found, struct fault *why)
{
    *found = query_next(q);
    if (*found)
        *out = read_row(q, a);
    return query_end(q, why);
}

static enum err read_all(struct query *q, struct arena *a, size_t limit, struct certificate_row **out, size_t *n, struct fault *why)
{
    struct certificate_row *rows = arena_array(a, limit, sizeof *rows);
    size_t count = 0;
    while (count < limit && query_next(q))
        rows[count++] = read_row(q, a);
    *out = rows;
    *n = count;
    return query_end(q, why);
}

enum err certificate_get(struct db *db, struct arena *a, struct str id, struct certificate_row *out, struct fault *why)
{
    bool found;
    struct query *q = query_begin(db, "SELECT " COLUMNS " FROM certificate WHERE id = $1");
    query_text(q, id);
    enum err e = read_one(q, a, out, &found, why);
    if (e)
        return e;
    return found ? ERR_NONE : fault(why, ERR_NOT_FOUND, STR("certificate"), "no row");
}

enum err certificates_of(struct db *db, struct arena *a, const struct many *owners, enum certificate_state state,
                         struct certificate_row *out, bool *found, struct fault *why)
{
    /* There is one of each state but `retired`, of which the newest counts. */
    struct query *q =
        many_begin(db, "SELECT " COLUMNS " FROM certificate WHERE owner IN $keys AND state = $1 ORDER BY id", 1, owners);
    query_text(q, str_of(state_names[state]));
    many_bind(q, owners);
    for (size_t i = 0; i < owners->n; i++)
        found[i] = false;
    while (query_next(q)) {
        struct certificate_row row = read_row(q, a);
        size_t i;
        if (!many_find(owners, row.owner, &i))
            continue;
        found[i] = true;
        out[i] = row;
    }
    return query_end(q, why);
}

enum err certificate_of(struct db *db, struct arena *a, struct str owner, enum certificate_state state, struct certificate_row *out,
                        bool *found, struct fault *why)
{
    const struct many one = many_one(&owner);
    return certificates_of(db, a, &one, state, out, found, why);
}

enum err certificate_list(struct db *db, struct arena *a, const struct certificate_filter *f, struct certificate_row **out,
                          size_t *n, struct fault *why)
{
    size_t limit = f->limit < 1 ? 50 : f->limit > LIST_MAX ? LIST_MAX : (size_t)f->limit;
    AUTO_BUF sql;
    int param = 2;
    buf_init(&sql, 2048);
    buf_add(&sql, STR("SELECT " COLUMNS " FROM certificate WHERE id > $1"));
    if (f->owner.p)
        buf_fmt(&sql, " AND owner = $%d", param++);
    if (f->by_state)
        buf_fmt(&sql, " AND state = $%d", param++);
    buf_fmt(&sql, " ORDER BY id LIMIT $%d", param);
    buf_char(&sql, 0);
    struct query *q = query_begin(db, sql.p);
    query_text(q, f->after.p ? f->after : STR(""));
    if (f->owner.p)
        query_text(q, f->owner);
    if (f->by_state)
        query_text(q, str_of(state_names[f->state]));
    query_i64(q, (int64_t)limit);
    return read_all(q, a, limit, out, n, why);
}

enum err certificate_ending(struct db *db, struct arena *a, int limit, struct certificate_row **out, size_t *n, struct fault *why)
{
    struct query *q = query_begin(
        db, "SELECT " COLUMNS " FROM certificate WHERE state IN ('current', 'next') ORDER BY not_after_ms, id LIMIT $1");
    query_i64(q, limit);
    return read_all(q, a, (size_t)limit, out, n, why);
}

/* ---- the key, sealed ---- */

static struct data_owner keeper(struct str id) { return (struct data_owner){ STR("certificate"), id }; }

/* The name of the sealed value, which it is bound to, speaks of all that must not change (requirement 12.1): who owns it, and where
 * its calls go. As a digest, for a name is short. No part can hold '|': see connection_rules.c. */
static enum err key_name(struct db *db, struct arena *a, struct str owner, struct str *out, struct fault *why)
{
    struct connection_row c = { 0 };
    unsigned char digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE];
    if (certificate_owner_is_connection(owner)) {
        enum err e = connection_get(db, a, owner, &c, why);
        if (e)
            return e;
    }
    sha256(str_fmt(a, "%.*s|%.*s|%.*s", STR_ARG(owner), STR_ARG(c.allowed_domain), STR_ARG(c.auth_type)), digest);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    *out = str_fmt(a, "private_key_%.*s", (int)sizeof hex, hex);
    return ERR_NONE;
}

static enum err seal_key(struct db *db, struct keyring *k, struct arena *a, const struct pair *pair,
                         const struct certificate_row *row, struct fault *why)
{
    AUTO_SECRET plain = SECRET_NONE;
    struct str name;
    enum err e = pair_key(pair, &plain, why);
    if (e || (e = key_name(db, a, row->owner, &name, why)))
        return e;
    return sealed_put(db, k, keeper(row->id), name, plain, why);
}

/* ERR_CRYPTO or ERR_NOT_FOUND when it does not open. */
static enum err open_pair(struct db *db, struct keyring *k, struct arena *a, const struct certificate_row *row, struct pair **out,
                          struct fault *why)
{
    AUTO_SECRET plain = SECRET_NONE;
    struct str name;
    enum err e = key_name(db, a, row->owner, &name, why);
    if (e || (e = sealed_get(db, k, keeper(row->id), name, &plain, why)))
        return e;
    return pair_open(row->chain, plain, out, why);
}

/* With their keys. `state` NULL: all of the owner. */
static enum err drop(struct db *db, struct str owner, const char *state, struct fault *why)
{
    AUTO_ARENA a = arena_new(4096);
    struct certificate_row *rows;
    size_t n;
    do {
        struct certificate_filter f = { .owner = owner, .by_state = state, .limit = LIST_MAX };
        if (state)
            certificate_state_parse(str_of(state), &f.state);
        enum err e = certificate_list(db, a, &f, &rows, &n, why);
        for (size_t i = 0; !e && i < n; i++)
            e = certificate_drop(db, rows[i].id, why);
        if (e)
            return e;
    } while (n == LIST_MAX);
    return ERR_NONE;
}

enum err certificate_drop(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "DELETE FROM certificate WHERE id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    return e ? e : sealed_forget(db, keeper(id), why);
}

enum err certificate_destroy_key(struct db *db, struct str id, struct fault *why)
{
    struct query *q = query_begin(db, "UPDATE certificate SET has_key = 0 WHERE id = $1");
    query_text(q, id);
    enum err e = query_end(q, why);
    return e ? e : sealed_forget(db, keeper(id), why);
}

/* ---- keeping ---- */

static enum err set_state(struct db *db, struct str id, enum certificate_state state, wall_ms now, struct fault *why)
{
    struct query *q = query_begin(
        db, state == CERTIFICATE_CURRENT
                ? "UPDATE certificate SET state = 'current', activated_ms = $2, retired_ms = 0 WHERE id = $1"
                : "UPDATE certificate SET state = 'retired', retired_ms = $2 WHERE id = $1");
    query_text(q, id);
    query_i64(q, now);
    return query_end(q, why);
}

static enum err retire_current(struct db *db, struct arena *a, struct str owner, wall_ms now, struct fault *why)
{
    struct certificate_row before;
    bool found;
    enum err e = certificate_of(db, a, owner, CERTIFICATE_CURRENT, &before, &found, why);
    return e || !found ? e : set_state(db, before.id, CERTIFICATE_RETIRED, now, why);
}

static enum err insert(struct db *db, const struct certificate_row *r, struct fault *why)
{
    struct query *q =
        query_begin(db, "INSERT INTO certificate (id, owner, connection_id, source, state, name, chain, subject, issuer,"
                        " serial, fingerprint, client_auth, not_before_ms, not_after_ms, created_ms, activated_ms,"
                        " has_key, warned) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,"
                        " $16, 1, $17)");
    const struct str texts[] = { r->id, r->owner, certificate_owner_is_connection(r->owner) ? r->owner : STR_NONE,
                                 str_of(source_names[r->source]), str_of(state_names[r->state]), r->name.p ? r->name : STR(""),
                                 r->chain, r->subject, r->issuer, r->serial, r->fingerprint };
    const int64_t numbers[] = { r->client_auth, r->not_before, r->not_after, r->created, r->activated };
    for (size_t i = 0; i < COUNT(texts); i++)
        query_text(q, texts[i]);
    for (size_t i = 0; i < COUNT(numbers); i++)
        query_i64(q, numbers[i]);
    query_i64(q, r->warned);
    return query_end(q, why);
}

static enum err refuse(struct fault *why, const char *say)
{
    fault(why, ERR_FIELD_INVALID, str_of(say), "dates");
    return fault_at(why, "/certificate");
}

/* What hangs on the old one's end, or on its key that does not open, is over; upkeep or the next call says it anew if need be. */
static enum err freshen_health(struct db *db, struct str owner, struct fault *why)
{
    bool one = certificate_owner_is_connection(owner);
    if (!one && !str_eq(owner, CERTIFICATE_OF_INSTANCE))
        return ERR_NONE;
    struct query *q = query_begin(
        db, one ? "UPDATE connection SET health = 'unknown' WHERE id = $1"
                  " AND health IN ('expiring', 'expired', 'reconnect_required')"
                : "UPDATE connection SET health = 'unknown'"
                  " WHERE health IN ('expiring', 'expired', 'reconnect_required') AND id IN"
                  " (SELECT connection_id FROM connection_tls WHERE source = $1)");
    query_text(q, owner);
    return query_end(q, why);
}

enum err certificate_keep(struct db *db, struct keyring *k, struct arena *a, const struct pair *pair, wall_ms now,
                          struct certificate_row *row, struct fault *why)
{
    char id[ID_SIZE];
    struct certificate_row made = *row;
    struct pair_facts f = pair_facts(pair, a);
    enum err e;
    if (f.not_after <= now)
        return refuse(why, "the certificate has expired; ask its issuer for a new one");
    if (row->state == CERTIFICATE_CURRENT && f.not_before > now)
        return refuse(why, "the certificate is not valid yet; publish it as the next one and activate it later");
    made.id = arena_str(a, str_of(id_new(id, "crt_")));
    made.chain = pair_chain(pair, a);
    made.subject = f.subject;
    made.issuer = f.issuer;
    made.serial = f.serial;
    made.fingerprint = f.fingerprint;
    made.client_auth = f.client_auth;
    made.not_before = f.not_before;
    made.not_after = f.not_after;
    made.created = now;
    made.activated = row->state == CERTIFICATE_CURRENT ? now : 0;
    made.retired = 0;
    made.has_key = true;
    made.warned = CERTIFICATE_NEVER_WARNED;
    if ((e = seal_key(db, k, a, pair, &made, why)) ||
        (e = row->state == CERTIFICATE_CURRENT ? retire_current(db, a, row->owner, now, why) : drop(db, row->owner, "next", why)) ||
        (e = insert(db, &made, why)) || (made.state == CERTIFICATE_CURRENT && (e = freshen_health(db, row->owner, why))))
        return e;
    *row = made;
    return ERR_NONE;
}

/* ---- issuing ---- */

static enum err choose_name(struct db *db, struct arena *a, struct certificate_row *row, struct fault *why)
{
    struct certificate_row before;
    struct connection_row c;
    char random[9] = "";
    bool found;
    if (row->name.n)
        return ERR_NONE;
    enum err e = certificate_of(db, a, row->owner, CERTIFICATE_CURRENT, &before, &found, why);
    if (e)
        return e;
    if (found && before.source == row->source && before.name.n) {
        row->name = before.name;
    } else if (row->source == CERTIFICATE_CONNECTION) {
        if ((e = connection_get(db, a, row->owner, &c, why)))
            return e;
        row->name = c.key;
    } else if (row->source == CERTIFICATE_INSTANCE) {
        row->name = STR("Raccord");
    } else {
        /* Told apart from other hubs' by people who look at a list of trusted roots. */
        random_text(random, 8);
        row->name = str_fmt(a, "Raccord client authority %s", random);
    }
    return ERR_NONE;
}

static struct pair_wish wish_of(const struct certificate_rules *r, const struct certificate_row *row, int64_t valid_ms, wall_ms now)
{
    return (struct pair_wish){ .name = str_sub(row->name, 0, row->name.n > NAME_MAX ? NAME_MAX : row->name.n),
                               .organization =
                                   str_sub(r->organization, 0, r->organization.n > NAME_MAX ? NAME_MAX : r->organization.n),
                               .kind = r->kind,
                               .not_before = now - EARLIER_MS,
                               .not_after = now + valid_ms };
}

static enum err make_authority(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules,
                               int64_t valid_ms, wall_ms now, struct certificate_row *row, struct pair **out, struct fault *why)
{
    enum err e = choose_name(db, a, row, why);
    struct pair_wish w = wish_of(rules, row, valid_ms ? valid_ms : rules->authority_ms, now);
    if (e || (e = pair_make_authority(&w, out, why)))
        return e;
    e = certificate_keep(db, k, a, *out, now, row, why);
    if (e)
        pair_free(*out);
    return e;
}

/* The one that signs; made now when there is none. */
static enum err open_authority(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules,
                               wall_ms now, struct pair **out, struct fault *why)
{
    struct certificate_row row;
    bool found;
    enum err e = certificate_of(db, a, CERTIFICATE_OF_AUTHORITY, CERTIFICATE_CURRENT, &row, &found, why);
    if (e)
        return e;
    if (found && row.not_after <= now)
        return fault(why, ERR_CERTIFICATE_NOT_USABLE,
                     STR("the certificate authority of this hub has expired; make and activate a new one"), "authority %.*s",
                     STR_ARG(row.id));
    if (found)
        return open_pair(db, k, a, &row, out, why);
    row = (struct certificate_row){ .owner = CERTIFICATE_OF_AUTHORITY,
                                    .source = CERTIFICATE_AUTHORITY,
                                    .state = CERTIFICATE_CURRENT };
    return make_authority(db, k, a, rules, 0, now, &row, out, why);
}

static enum err issue_client(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules,
                             int64_t valid_ms, wall_ms now, struct certificate_row *row, struct fault *why)
{
    struct pair *authority, *made;
    enum err e = open_authority(db, k, a, rules, now, &authority, why);
    if (e)
        return e;
    struct pair_wish w = wish_of(rules, row, valid_ms ? valid_ms : rules->valid_ms, now);
    e = pair_issue(authority, &w, &made, why);
    pair_free(authority);
    if (e)
        return e;
    e = certificate_keep(db, k, a, made, now, row, why);
    pair_free(made);
    return e;
}

enum err certificate_issue(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules,
                           int64_t valid_ms, wall_ms now, struct certificate_row *row, struct fault *why)
{
    struct pair *made;
    enum err e;
    if (row->source == CERTIFICATE_OWN)
        bug("a certificate that people bring is not issued here");
    if (row->source != CERTIFICATE_CONNECTION)
        row->owner = row->source == CERTIFICATE_INSTANCE ? CERTIFICATE_OF_INSTANCE : CERTIFICATE_OF_AUTHORITY;
    if (row->source == CERTIFICATE_AUTHORITY) {
        if (!(e = make_authority(db, k, a, rules, valid_ms, now, row, &made, why)))
            pair_free(made);
        return e;
    }
    e = choose_name(db, a, row, why);
    return e ? e : issue_client(db, k, a, rules, valid_ms, now, row, why);
}

/* ---- turning ---- */

enum err certificate_activate(struct db *db, struct arena *a, struct str id, wall_ms now, struct certificate_row *out,
                              struct fault *why)
{
    enum err e = certificate_get(db, a, id, out, why);
    if (e || out->state == CERTIFICATE_CURRENT)
        return e;
    if (!out->has_key)
        return fault(why, ERR_CERTIFICATE_NOT_USABLE, STR("the certificate's key is destroyed; make a new certificate"), "retired");
    if (out->not_after <= now)
        return fault(why, ERR_CERTIFICATE_NOT_USABLE, STR("the certificate has expired; make a new one"), "over");
    if (out->not_before > now)
        return fault(why, ERR_CERTIFICATE_NOT_USABLE, STR("the certificate is not valid yet"), "not begun");
    if ((e = retire_current(db, a, out->owner, now, why)) || (e = set_state(db, id, CERTIFICATE_CURRENT, now, why)) ||
        (e = freshen_health(db, out->owner, why)))
        return e;
    return certificate_get(db, a, id, out, why);
}

enum err certificate_forget(struct db *db, struct str owner, struct fault *why) { return drop(db, owner, NULL, why); }

/* ---- what a connection uses ---- */

enum err connections_tls(struct db *db, struct arena *a, const struct many *connections, struct connection_tls *out,
                         struct fault *why)
{
    struct query *q = many_begin(db, "SELECT connection_id, source, authorities FROM connection_tls WHERE connection_id IN $keys",
                                 0, connections);
    many_bind(q, connections);
    for (size_t i = 0; i < connections->n; i++)
        out[i] = (struct connection_tls){ .authorities = STR("") };
    for (size_t i; query_next(q);) {
        if (!many_find(connections, query_get_text(q, 0, a), &i))
            continue;
        out[i].has_certificate = source_parse(query_get_text(q, 1, a), &out[i].source);
        out[i].authorities = query_get_text(q, 2, a);
    }
    return query_end(q, why);
}

enum err connection_tls_get(struct db *db, struct arena *a, struct str connection, struct connection_tls *out, struct fault *why)
{
    const struct many one = many_one(&connection);
    return connections_tls(db, a, &one, out, why);
}

enum err connection_tls_put(struct db *db, struct str connection, const struct connection_tls *t, struct fault *why)
{
    struct query *q = query_begin(db, "INSERT INTO connection_tls (connection_id, source, authorities) VALUES ($1, $2, $3)"
                                      " ON CONFLICT (connection_id) DO UPDATE SET source = excluded.source,"
                                      " authorities = excluded.authorities");
    query_text(q, connection);
    query_text(q, t->has_certificate ? str_of(source_names[t->source]) : STR(""));
    query_text(q, t->authorities.p ? t->authorities : STR(""));
    return query_end(q, why);
}

enum err connection_tls_count(struct db *db, int64_t *n, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT COUNT(*) FROM connection_tls WHERE source = 'instance'");
    *n = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

struct str connection_tls_owner(const struct connection_tls *t, struct str connection)
{
    return t->source == CERTIFICATE_INSTANCE ? CERTIFICATE_OF_INSTANCE : connection;
}

enum err certificate_open(struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row, struct pair **pair,
                          struct str *authorities, struct fault *why)
{
    struct connection_tls t;
    struct certificate_row current;
    bool found;
    enum err e = connection_tls_get(db, a, row->id, &t, why);
    *pair = NULL;
    *authorities = t.authorities;
    if (e || !t.has_certificate)
        return e;
    if ((e = certificate_of(db, a, connection_tls_owner(&t, row->id), CERTIFICATE_CURRENT, &current, &found, why)))
        return e;
    struct fault cause = { 0 };
    if (found && !(e = open_pair(db, k, a, &current, pair, &cause)))
        return ERR_NONE;
    /* The store's trouble and a sealed hub pass; a key that does not open is this connection's trouble alone (requirement 12.6). */
    if (found && e != ERR_CRYPTO && e != ERR_NOT_FOUND) {
        if (why)
            *why = cause;
        return e;
    }
    return fault(why, ERR_RECONNECT_REQUIRED, row->key, "connection %.*s: %s", STR_ARG(row->id),
                 found ? "the key of its client certificate does not open" : "its client certificate is gone");
}

enum err certificate_lost(struct db *db, struct str id, struct fault *why)
{
    struct query *q =
        query_begin(db, "UPDATE connection SET health = 'reconnect_required' WHERE id IN"
                        " (SELECT t.connection_id FROM certificate c JOIN connection_tls t ON t.connection_id = c.owner"
                        " AND t.source <> '' AND t.source <> 'instance' WHERE c.id = $1 AND c.state = 'current'"
                        " UNION ALL SELECT t.connection_id FROM certificate c JOIN connection_tls t ON"
                        " t.source = 'instance' WHERE c.id = $1 AND c.owner = 'instance' AND c.state = 'current')");
    query_text(q, id);
    return query_end(q, why);
}

enum err certificate_health(struct db *db, struct str connection, wall_ms now, enum connection_health otherwise,
                            enum connection_health *out, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT c.not_after_ms FROM connection_tls t JOIN certificate c ON c.state = 'current' AND"
                                      " c.owner = CASE t.source WHEN 'instance' THEN 'instance' ELSE t.connection_id END"
                                      " WHERE t.connection_id = $1 AND t.source <> ''");
    query_text(q, connection);
    *out = otherwise;
    if (query_next(q)) {
        wall_ms end = query_get_i64(q, 0);
        *out = end <= now ? HEALTH_EXPIRED : end <= now + 60 * DAY_MS ? HEALTH_EXPIRING : otherwise;
    }
    return query_end(q, why);
}
