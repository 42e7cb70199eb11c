#include "web/dependants.h"

/* Each statement: $1 the connection, $2 now, $3 how many. Columns: id, name, end. */
static const struct {
    const char *kind, *find, *count;
} kinds[] = {
#define TOKENS \
    "FROM token_grant g JOIN token t ON t.id = g.token_id WHERE g.kind = 'connection' AND g.value = $1 AND t.revoked_ms = 0" \
    " AND (t.expires_ms = 0 OR t.expires_ms > $2)"
    { "token", "SELECT t.id, t.name, t.expires_ms " TOKENS " ORDER BY t.id LIMIT $3",
      "SELECT COUNT(*) FROM (SELECT 1 " TOKENS " LIMIT $3) AS some" },
    /* Rules for an issuer's tokens that name it, in the text that holds them: ids are never part of another word. */
#define RULES "FROM identity_provider i WHERE i.disabled = 0 AND i.callers LIKE '%' || $1 || '%' AND $2 > 0"
    { "identity_provider", "SELECT i.id, i.key, 0 " RULES " ORDER BY i.id LIMIT $3",
      "SELECT COUNT(*) FROM (SELECT 1 " RULES " LIMIT $3) AS some" },
#define SHARES "FROM connection_share s WHERE s.connection_id = $1 AND (s.expires_ms = 0 OR s.expires_ms > $2)"
    { "share",
      "SELECT s.target_id, COALESCE((SELECT p.name FROM principal p WHERE p.id = s.principal_id),"
      " (SELECT f.path FROM folder f WHERE f.id = s.folder_id)), s.expires_ms " SHARES " ORDER BY s.target_id LIMIT $3",
      "SELECT COUNT(*) FROM (SELECT 1 " SHARES " LIMIT $3) AS some" },
};

static struct query *ask(struct db *db, const char *sql, struct str connection, int most)
{
    struct query *q = query_begin(db, sql);
    query_text(q, connection);
    query_i64(q, clock_wall());
    query_i64(q, most);
    return q;
}

enum err dependants_find(struct db *db, struct arena *a, struct str connection, struct dependants *out, struct fault *why)
{
    *out = (struct dependants){ .items = arena_array(a, COUNT(kinds) * DEPENDANTS_MOST, sizeof *out->items) };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t end = out->count + DEPENDANTS_MOST;
        struct query *q = ask(db, kinds[i].find, connection, DEPENDANTS_MOST + 1);
        while (query_next(q) && !(out->more |= out->count == end))
            out->items[out->count++] = (struct dependant){ kinds[i].kind, query_get_text(q, 0, a), query_get_text(q, 1, a),
                                                           query_get_i64(q, 2) };
        enum err e = query_end(q, why);
        if (e)
            return e;
    }
    return ERR_NONE;
}

enum err dependants_count(struct db *db, struct str connection, int64_t *out, struct fault *why)
{
    *out = 0;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct query *q = ask(db, kinds[i].count, connection, DEPENDANTS_MOST);
        *out += query_next(q) ? query_get_i64(q, 0) : 0;
        enum err e = query_end(q, why);
        if (e)
            return e;
    }
    return ERR_NONE;
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
