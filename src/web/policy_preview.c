/* web/policy_preview.c - what would break if a policy were saved: every connection and every live token is asked before and after.
 */
#include "access/policy_store.h"
#include "access/rights.h"
#include "access/token.h"
#include "auth/oauth_client.h"
#include "base/map.h"
#include "web/body.h"
#include "web/handlers.h"
#include "web/policies.h"
#include "web/policy_ages.h"
#include "web/policy_check.h"

#define PAGE 500
#define NAMED 100 /* of each list; the rest is counted */

static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE" };

/* The folder and all above it, looked up once. */
struct place {
    struct str *ids;
    size_t n;
};

struct preview {
    struct web_request *q;
    struct policy_set *before, *after;
    struct map *places;          /* folder id -> struct place */
    struct map *broken_in;       /* folder ids in which a connection would break */
    struct json_out out;
    size_t connections, tokens;  /* that would break */
    size_t named;
    struct str last;
    struct folder_scope seen;    /* by who asks */
};

static enum err place_of(struct preview *p, struct db *db, struct str folder, struct place **out, struct fault *why)
{
    *out = map_get(p->places, folder);
    if (*out)
        return ERR_NONE;
    *out = arena_zero(p->q->arena, sizeof **out);
    enum err e = policy_folders(db, p->q->arena, folder, &(*out)->ids, &(*out)->n, why);
    map_put(p->places, folder, *out);
    return e;
}

/* What a set says of a connection's calls: refused as a whole, or for some methods, or from some addresses. */
struct verdict {
    enum err err;
    struct fault why;
    unsigned methods;   /* bits that are left */
    size_t addresses;   /* rules about where calls come from */
};

/* `used`: when it was used or changed last; NULL: that is not asked, or it is disabled already. */
static struct verdict judge(struct arena *a, const struct policy_set *set, const struct policy_subject *s, const wall_ms *used)
{
    struct verdict v = { .methods = ~0u };
    struct policy_gate *gates;
    size_t n;
    v.err = policy_decide(set, s, NULL, &v.why);
    const struct policy *idle;
    if (!v.err && used && policy_ages_idle(set, s, *used, 0, s->now, &idle))
        v.err = fault(&v.why, ERR_CONNECTION_DISABLED, idle->name, "idle");
    policy_gates(set, s, a, &gates, &n);
    for (size_t i = 0; i < n; i++) {
        if (gates[i].kind == POLICY_ADDRESSES_ALLOW || gates[i].kind == POLICY_ADDRESSES_BLOCK) {
            v.addresses++;
            continue;
        }
        for (size_t m = 0; m < COUNT(methods); m++)
            if (policy_gate_check(&gates[i], str_of(methods[m]), 0, NULL, NULL))
                v.methods &= ~(1u << m);
    }
    return v;
}

static bool breaks(const struct verdict *before, const struct verdict *after)
{
    return (!before->err && after->err) || (before->methods & ~after->methods) || after->addresses > before->addresses;
}

static void write_broken(struct preview *p, const struct connection_row *row, const struct verdict *before,
                         const struct verdict *after)
{
    struct json_out *o = &p->out;
    char said[1024];
    json_open(o, '{');
    json_member_str(o, "id", row->id);
    json_member_str(o, "key", row->key);
    json_member_str(o, "name", row->name);
    json_member_str(o, "code", after->err ? str_of(err_row(after->err)->code) : str_of(err_row(ERR_CALL_BLOCKED)->code));
    json_member_str(o, "because", after->err ? str_of(fault_say(&after->why, p->q->language, said, sizeof said)) : STR_NONE);
    json_key(o, "methods");
    json_open(o, '[');
    for (size_t m = 0; m < COUNT(methods); m++)
        if (after->err || before->methods & ~after->methods & 1u << m)
            json_put_str(o, str_of(methods[m]));
    json_close(o, ']');
    json_member_bool(o, "by_address", after->addresses > before->addresses);
    json_close(o, '}');
}

static enum err look_at(struct preview *p, struct arena *page, const struct connection_row *row, struct fault *why)
{
    struct place *place;
    struct json *fields;
    enum err e = json_read(page, row->fields, &fields, why);
    if (e || (e = place_of(p, p->q->db, row->folder, &place, why)))
        return e;
    struct policy_subject s = {
        .moment = POLICY_CALL, .folders = place->ids, .folder_count = place->n, .connector = row->connector,
        .auth_type = row->auth_type, .domain = row->allowed_domain, .fields = fields, .now = clock_wall(),
    };
    if ((e = connection_secrets_since(p->q->db, row->id, &s.secrets_since, why)) ||
        (e = connection_client_of(p->q->db, page, row->id, row->auth_type, fields, &s.client, why)))
        return e;
    const wall_ms *used = row->state == CONNECTION_ACTIVE ? &row->used : NULL;
    struct verdict before = judge(page, p->before, &s, used), after = judge(page, p->after, &s, used);
    if (!breaks(&before, &after))
        return ERR_NONE;
    p->connections++;
    map_put(p->broken_in, row->folder, place);
    /* Another's workspace is counted and not named: administrators do not see into it. */
    bool seen = false;
    if (p->named < NAMED && !(e = folder_scope_holds(p->q->db, &p->seen, row->folder, &seen, why)) && seen) {
        p->named++;
        write_broken(p, row, &before, &after);
    }
    return e;
}

static enum err next_connections(struct preview *p, struct db *db, struct connection_row *rows, size_t *n, struct arena *a,
                                 struct fault *why)
{
    struct query *query = query_begin(db, "SELECT id, key, name, folder_id, connector, auth_type, allowed_domain, fields,"
                                          " CASE WHEN used_ms > updated_ms THEN used_ms ELSE updated_ms END, state"
                                          " FROM connection WHERE deleted_ms = 0 AND id > $1 ORDER BY id LIMIT $2");
    query_text(query, p->last.p ? p->last : STR(""));
    query_i64(query, PAGE);
    for (*n = 0; *n < PAGE && query_next(query); ++*n) {
        rows[*n] = (struct connection_row){
            .id = query_get_text(query, 0, a),
            .key = query_get_text(query, 1, a),
            .name = query_get_text(query, 2, a),
            .folder = query_get_text(query, 3, a),
            .connector = query_get_text(query, 4, a),
            .auth_type = query_get_text(query, 5, a),
            .allowed_domain = query_get_text(query, 6, a),
            .fields = query_get_text(query, 7, a),
            .used = query_get_i64(query, 8),
        };
        if (!connection_state_parse(query_get_text(query, 9, a), &rows[*n].state))
            rows[*n].state = CONNECTION_DISABLED;
    }
    return query_end(query, why);
}

static enum err all_connections(struct preview *p, struct fault *why)
{
    struct connection_row *rows = arena_array(p->q->arena, PAGE, sizeof *rows);
    size_t n = PAGE;
    while (n == PAGE) {
        AUTO_ARENA page = arena_new(64 * 1024);
        enum err e = next_connections(p, p->q->db, rows, &n, page, why);
        for (size_t i = 0; !e && i < n; i++)
            e = look_at(p, page, &rows[i], why);
        if (e)
            return e;
        p->last = n ? arena_str(p->q->arena, rows[n - 1].id) : STR_NONE;
    }
    return ERR_NONE;
}

/* ---- tokens ---- */

/* Would this caller meet a refusal at that connection that it does not meet now? */
static enum err breaks_at(struct preview *p, struct arena *page, const struct caller *c, struct str connection, bool *out,
                          struct fault *why)
{
    struct connection_row row;
    struct policy_subject s;
    struct rights r;
    *out = false;
    enum err e = connection_get(p->q->db, page, connection, &row, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return ERR_NONE;
    if (e || (e = rights_on_connection(p->q->db, page, c, row.id, row.folder, &r, why)) || !(r.mask & RIGHT_BIT(RIGHT_USE)) ||
        (e = policy_subject_of(p->q, p->q->db, &row, POLICY_CALL, &s, why)))
        return e;
    struct verdict before = judge(page, p->before, &s, NULL), after = judge(page, p->after, &s, NULL);
    *out = breaks(&before, &after);
    return ERR_NONE;
}

/* At any connection it may use? */
static enum err token_breaks(struct preview *p, struct arena *page, const struct caller *c, bool *out, struct fault *why)
{
    const struct str *ids = caller_connections(c)->at;
    size_t at = 0, n = caller_connections(c)->count;
    struct folder_scope seen;
    struct str folder;
    void *value;
    enum err e = ERR_NONE;
    *out = false;
    while (!caller_limited(c) && !e && !*out && map_next(p->broken_in, &at, &folder, &value)) {
        struct rights r;
        e = rights_in_folder(p->q->db, page, c, folder, &r, why);
        *out = !e && r.mask & RIGHT_BIT(RIGHT_USE);
    }
    if (!caller_limited(c) && !e && !*out) {
        if ((e = rights_visible(p->q->db, page, c, &seen, why)))
            return e;
        ids = seen.connections;
        n = seen.connection_count;
    }
    for (size_t i = 0; i < n && !*out && !e; i++)
        e = breaks_at(p, page, c, ids[i], out, why);
    return e;
}

static void write_token(struct preview *p, const struct token_row *t)
{
    struct json_out *o = &p->out;
    json_open(o, '{');
    json_member_str(o, "id", t->id);
    json_member_str(o, "name", t->name);
    json_key(o, "principal");
    json_open(o, '{');
    json_member_str(o, "id", t->principal);
    json_member_str(o, "name", t->principal_name);
    json_close(o, '}');
    json_close(o, '}');
}

static enum err all_tokens(struct preview *p, struct fault *why)
{
    struct str after = STR("");
    size_t n = PAGE;
    p->named = 0;
    while (n == PAGE) {
        struct token_row *rows;
        AUTO_ARENA page = arena_new(64 * 1024);
        enum err e = token_list(p->q->db, page, STR_NONE, after, PAGE, &rows, &n, why);
        for (size_t i = 0; !e && i < n; i++) {
            struct caller c;
            struct fault ignored;
            bool broken;
            if (token_caller(p->q->db, page, rows[i].id, &c, &ignored))
                continue; /* revoked, expired: it is refused already */
            e = token_breaks(p, page, &c, &broken, why);
            if (e || !broken)
                continue;
            if (p->tokens++ < NAMED)
                write_token(p, &rows[i]);
        }
        if (e)
            return e;
        after = n ? arena_str(p->q->arena, rows[n - 1].id) : after;
    }
    return ERR_NONE;
}

/* ---- quotas ---- */

/* Nothing breaks, but no more can be made. */
static enum err full_quotas(struct preview *p, struct str policy, struct fault *why)
{
    for (size_t i = 0; i < p->after->count; i++)
        for (size_t k = 0; str_eq(p->after->at[i].id, policy) && k < p->after->at[i].rule_count; k++) {
            const struct policy_rule *r = &p->after->at[i].rules[k];
            for (size_t c = 0; r->kind == POLICY_QUOTA && c < r->connectors.count; c++) {
                int64_t count;
                enum err e = policy_count(p->q->db, r->connectors.at[c], p->after->at[i].folder, &count, why);
                if (e)
                    return e;
                if (count < r->number)
                    continue;
                json_open(&p->out, '{');
                json_member_str(&p->out, "connector", r->connectors.at[c]);
                json_member_i64(&p->out, "use", count);
                json_member_i64(&p->out, "value", r->number);
                json_close(&p->out, '}');
            }
        }
    return ERR_NONE;
}

static enum err write_preview(struct preview *p, struct str policy, struct fault *why)
{
    struct json_out *o = &p->out;
    enum err e;
    json_open(o, '{');
    json_key(o, "connections");
    json_open(o, '{');
    json_key(o, "items");
    json_open(o, '[');
    if ((e = all_connections(p, why)))
        return e;
    json_close(o, ']');
    json_member_i64(o, "count", (int64_t)p->connections);
    json_close(o, '}');
    json_key(o, "tokens");
    json_open(o, '{');
    json_key(o, "items");
    json_open(o, '[');
    if ((e = all_tokens(p, why)))
        return e;
    json_close(o, ']');
    json_member_i64(o, "count", (int64_t)p->tokens);
    json_close(o, '}');
    json_key(o, "quotas");
    json_open(o, '[');
    if ((e = full_quotas(p, policy, why)))
        return e;
    json_close(o, ']');
    json_close(o, '}');
    return ERR_NONE;
}

/* {"policy": as for POST, "id": the one that it takes the place of} */
enum err policies_preview(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "policy", "id", NULL };
    struct preview p = { .q = q, .out = json_out(&r->body) };
    struct policy_row row, before = { .id = STR("new") };
    const struct json *policy;
    struct str id;
    enum err e;
    if ((e = json_only(body_of(q), members, "", why)) || (e = body_object(body_of(q), "policy", &policy, why)) ||
        (e = body_text(body_of(q), "id", false, POLICY_NAME_MAX, &id, why)))
        return e;
    if (id.p && (e = policy_get(q->db, q->arena, id, &before, why))) {
        fault_at(why, "/id");
        return e;
    }
    if (!policy)
        return body_fault(why, ERR_FIELD_REQUIRED, "policy", "");
    e = policies_read(q, policy, &row, why);
    row.id = before.id;
    row.name = arena_str(q->arena, row.name);
    body_wipe(q);
    if (e || (e = rights_visible(q->db, q->arena, q->caller, &p.seen, why)) || (e = policy_set_load(q->db, NULL, &p.before, why)))
        return e;
    p.places = map_new();
    p.broken_in = map_new();
    e = policy_set_load(q->db, &row, &p.after, why);
    if (!e)
        e = write_preview(&p, row.id, why);
    map_free(p.places);
    map_free(p.broken_in);
    policy_set_release(p.before);
    policy_set_release(p.after);
    return e;
}
