/* web/limits.c - what may not grow beyond what: value, use, whose decision, and when it was last reached (LIM-16). */
#include "access/folder_tree.h"
#include "access/group.h"
#include "access/policy_store.h"
#include "access/share.h"
#include "access/token.h"
#include "auth/connect_session.h"
#include "auth/identity_provider.h"
#include "auth/oauth_client.h"
#include "http/head.h"
#include "vault/connection.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/idempotency.h"
#include "web/limit_hits.h"
#include "web/page.h"
#include "web/policy_check.h"

#define USE_UNKNOWN (-1)
#define LIST_MAX (8 * 1024 * 1024)

struct limit {
    struct str name;
    const char *unit, *source;
    int64_t value, use;
    struct str policy; /* p == NULL: none's */
};

static enum err write_limit(struct web_request *q, struct json_out *o, const struct limit *l, struct fault *why)
{
    wall_ms last;
    enum err e = limit_hits_last(q->hub->limit_hits, q->db, l->name, &last, why);
    if (e)
        return e;
    json_open(o, '{');
    json_member_str(o, "name", l->name);
    json_member_i64(o, "value", l->value);
    json_member_str(o, "unit", str_of(l->unit));
    json_member_str(o, "source", str_of(l->source));
    json_member_str(o, "policy", l->policy);
    if (l->use == USE_UNKNOWN)
        json_member_null(o, "use");
    else
        json_member_i64(o, "use", l->use);
    json_member_time(o, "last_hit", last);
    json_close(o, '}');
    return ERR_NONE;
}

static enum err write_built_in(struct web_request *q, struct json_out *o, const char *name, int64_t value, const char *unit,
                               struct fault *why)
{
    struct limit l = { str_of(name), unit, "built-in", value, USE_UNKNOWN, STR_NONE };
    return write_limit(q, o, &l, why);
}

static int64_t largest_body(void)
{
    size_t n;
    int64_t most = 0;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++)
        most = routes[i].body_max > most ? routes[i].body_max : most;
    return most;
}

static enum err write_settings(struct web_request *q, struct json_out *o, struct fault *why)
{
    enum err e = ERR_NONE;
    for (const struct limit_setting *s = q->hub->limits; !e && s && s->name; s++) {
        struct limit l = { str_of(s->name), s->unit, s->configured ? "configuration" : "default", s->value,
                           s->use ? s->use(s->context) : USE_UNKNOWN, STR_NONE };
        e = write_limit(q, o, &l, why);
    }
    return e;
}

/* Of the whole instance, for those who may see that; folders' quotas stand in their policies. */
static enum err write_quotas(struct web_request *q, struct json_out *o, struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    for (size_t i = 0; set && caller_may(q->caller, RIGHT_POLICIES) && i < set->count; i++) {
        const struct policy *p = &set->at[i];
        for (size_t k = 0; !p->folder.p && k < p->rule_count; k++)
            for (size_t c = 0; p->rules[k].kind == POLICY_QUOTA && c < p->rules[k].connectors.count; c++) {
                struct str connector = p->rules[k].connectors.at[c];
                struct limit l = { str_fmt(q->arena, "connections.%.*s", STR_ARG(connector)), "count", "policy",
                                   p->rules[k].number, 0, p->name };
                enum err e = policy_count(q->db, connector, STR_NONE, &l.use, why);
                if (e || (e = write_limit(q, o, &l, why)))
                    return e;
            }
    }
    return ERR_NONE;
}

/* What people fill themselves. `use`: $1 the caller, $2 now; NULL: it is counted where it is, in a folder, a group, a connection.
 */
static const struct {
    const char *name;
    int64_t value;
    enum right right; /* to see how much there is */
    const char *use;
} kept[] = {
    { "policies", POLICIES_MAX, RIGHT_POLICIES, "SELECT COUNT(*) FROM policy WHERE $1 <> '' AND CAST($2 AS BIGINT) > 0" },
    { "identity_providers", IDENTITY_PROVIDERS_MOST, RIGHT_PEOPLE,
      "SELECT COUNT(*) FROM identity_provider WHERE $1 <> '' AND CAST($2 AS BIGINT) > 0" },
    { "oauth_clients", OAUTH_CLIENTS_MOST, RIGHT_CATALOG_VIEW,
      "SELECT COUNT(*) FROM oauth_client WHERE $1 <> '' AND CAST($2 AS BIGINT) > 0" },
    { "tokens", TOKENS_MOST, RIGHT_SIGNED_IN,
      "SELECT COUNT(*) FROM token WHERE principal_id = $1 AND revoked_ms = 0 AND (expires_ms = 0 OR expires_ms > $2)" },
    { "personal_connections", PERSONAL_CONNECTIONS_MOST, RIGHT_SIGNED_IN,
      "SELECT COUNT(*) FROM connection WHERE CAST($2 AS BIGINT) > 0 AND folder_id = (SELECT id FROM folder WHERE path = "
      "'personal/' || $1)" },
    { "connect_sessions", CONNECT_SESSIONS_MOST, RIGHT_SIGNED_IN,
      "SELECT COUNT(*) FROM connect_session WHERE principal_id = $1 AND state = 'open' AND expires_ms > $2" },
    { "idempotency_keys", IDEMPOTENCY_KEYS_MOST, RIGHT_SIGNED_IN,
      "SELECT COUNT(*) FROM idempotency WHERE principal_id = $1 AND CAST($2 AS BIGINT) > 0" },
    { "folders_in_folder", FOLDERS_IN_ONE, RIGHT_SIGNED_IN, NULL },
    { "folder_members", FOLDER_MEMBERS_MAX, RIGHT_SIGNED_IN, NULL },
    { "group_members", GROUP_MEMBERS_MAX, RIGHT_SIGNED_IN, NULL },
    { "connection_shares", SHARES_MAX, RIGHT_SIGNED_IN, NULL },
};

static enum err write_kept(struct web_request *q, struct json_out *o, struct fault *why)
{
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < COUNT(kept); i++) {
        struct limit l = { str_of(kept[i].name), "count", "built-in", kept[i].value, USE_UNKNOWN, STR_NONE };
        if (kept[i].use && caller_may(q->caller, kept[i].right)) {
            struct query *count = query_begin(q->db, kept[i].use);
            query_text(count, q->caller->principal);
            query_i64(count, clock_wall());
            l.use = query_next(count) ? query_get_i64(count, 0) : 0;
            e = query_end(count, why);
        }
        if (!e)
            e = write_limit(q, o, &l, why);
    }
    return e;
}

enum err limits_list(struct web_request *q, struct reply *r, struct fault *why)
{
    AUTO_BUF all;
    buf_init(&all, LIST_MAX);
    struct json_out o = json_out(&all);
    enum err e;
    json_open(&o, '[');
    if ((e = write_settings(q, &o, why)) ||
        (e = write_built_in(q, &o, "request_body", largest_body(), "bytes", why)) ||
        (e = write_built_in(q, &o, "json_depth", JSON_DEPTH, "count", why)) ||
        (e = write_built_in(q, &o, "list_page", 200, "count", why)) ||
        (e = write_built_in(q, &o, "connection_credentials", CONNECTION_SECRETS, "count", why)) ||
        (e = write_kept(q, &o, why)) || (e = write_quotas(q, &o, why)))
        return e;
    json_close(&o, ']');
    return buf_failed(&all) ? fault(why, ERR_RESPONSE_TOO_LARGE, STR("what the hub may answer at once"), "limits")
                            : page_cut(q, r, buf_str(&all), why);
}
