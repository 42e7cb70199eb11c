#include "web/dependants.h"

/* $1: now. $2: how many. $3: the connection. Columns id, name, end. */
static const struct {
    const char *kind, *find;
} kinds[] = {
#define TOKENS(OF) \
    "FROM token_grant g JOIN token t ON t.id = g.token_id WHERE g.kind = 'connection' AND g.value = " OF " AND t.revoked_ms = 0" \
    " AND (t.expires_ms = 0 OR t.expires_ms > $1)"
    { "token", "SELECT t.id, t.name, t.expires_ms " TOKENS("$3") " ORDER BY t.id LIMIT $2" },
#define RULES(OF) \
    "FROM identity_rule_connection r JOIN identity_provider i ON i.id = r.provider_id WHERE r.connection_id = " OF \
    " AND i.disabled = 0 AND CAST($1 AS BIGINT) > 0"
    { "identity_provider", "SELECT i.id, i.key, 0 " RULES("$3") " ORDER BY i.id LIMIT $2" },
#define SHARES(OF) "FROM connection_share s WHERE s.connection_id = " OF " AND (s.expires_ms = 0 OR s.expires_ms > $1)"
    { "share",
      "SELECT s.target_id, COALESCE((SELECT p.name FROM principal p WHERE p.id = s.principal_id),"
      " (SELECT f.path FROM folder f WHERE f.id = s.folder_id)), s.expires_ms " SHARES("$3") " ORDER BY s.target_id LIMIT $2" },
};
/* The same of each of a page. */
#define COUNTED(FROM) "(SELECT COUNT(*) FROM (SELECT 1 " FROM("c.key") " LIMIT " TEXT_OF(DEPENDANTS_MOST) ") AS few)"
#define TEXT_OF(NUMBER) TEXT(NUMBER)
#define TEXT(NUMBER) #NUMBER
#define COUNT_EACH "SELECT c.key, " COUNTED(TOKENS) " + " COUNTED(RULES) " + " COUNTED(SHARES) " FROM $keys AS c"

enum err dependants_find(struct db *db, struct arena *a, struct str connection, struct dependants *out, struct fault *why)
{
    *out = (struct dependants){ .items = arena_array(a, COUNT(kinds) * DEPENDANTS_MOST, sizeof *out->items) };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t end = out->count + DEPENDANTS_MOST;
        struct query *q = query_begin(db, kinds[i].find);
        query_i64(q, clock_wall());
        query_i64(q, DEPENDANTS_MOST + 1);
        query_text(q, connection);
        while (query_next(q) && !(out->more |= out->count == end))
            out->items[out->count++] = (struct dependant){ kinds[i].kind, query_get_text(q, 0, a), query_get_text(q, 1, a),
                                                           query_get_i64(q, 2) };
        enum err e = query_end(q, why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

enum err dependants_count(struct db *db, struct arena *a, const struct many *connections, int64_t *out, struct fault *why)
{
    for (size_t i = 0; i < connections->n; i++)
        out[i] = 0;
    struct query *q = many_begin(db, COUNT_EACH, 1, connections);
    query_i64(q, clock_wall());
    many_bind(q, connections);
    for (size_t i; query_next(q);)
        if (many_find(connections, query_get_text(q, 0, a), &i))
            out[i] = query_get_i64(q, 1);
    return query_end(q, why);
}

void dependants_write(struct json_out *o, const struct dependants *d, bool names)
{
    json_key(o, "dependants");
    json_open(o, '[');
    for (size_t i = 0; i < d->count; i++) {
        json_open(o, '{');
        json_member_str(o, "kind", str_of(d->items[i].kind));
        json_member_str(o, "id", names ? d->items[i].id : STR_NONE);
        json_member_str(o, "name", names ? d->items[i].name : STR_NONE);
        json_member_time(o, "expires_at", d->items[i].ends);
        json_close(o, '}');
    }
    json_close(o, ']');
    json_member_bool(o, "more_dependants", d->more);
}

struct str dependants_problem(struct arena *a, const struct dependants *d, struct str others)
{
    AUTO_BUF text;
    buf_init(&text, 256 * 1024);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    dependants_write(&o, d, true);
    if (others.p)
        json_member_raw(&o, "other_defaults", others);
    json_close(&o, '}');
    return buf_failed(&text) ? STR_NONE : arena_str(a, buf_str(&text));
}
