#include "web/policy_check.h"

#include "access/folder.h"
#include "access/policy_store.h"
#include "auth/oauth_client.h"
#include "auth/obtain.h"
#include "vault/sealed.h"

static void release(void *set) { policy_set_release(set); }

const struct policy_set *policies_now(struct web_request *q)
{
    struct policy_set *s = policy_book_set(q->hub->policies);
    if (s)
        arena_defer(q->arena, release, s);
    return s;
}

/* `stored`: with the OAuth client that it has, not one that is about to be chosen. */
static enum err subject_of(struct db *db, struct arena *a, const struct connection_row *row, enum policy_moment moment, bool stored,
                           struct policy_subject *out, struct fault *why)
{
    struct json *fields = NULL;
    struct str *ids = NULL;
    size_t n = 0;
    enum err e = row->folder.p ? policy_folders(db, a, row->folder, &ids, &n, why) : ERR_NONE;
    if (!e && row->fields.n)
        e = json_read(a, row->fields, &fields, why);
    *out = (struct policy_subject){
        .moment = moment, .folders = ids, .folder_count = n, .connector = row->connector, .auth_type = row->auth_type,
        .domain = row->allowed_domain, .fields = fields, .now = clock_wall(),
    };
    if (!e && stored && row->id.p)
        e = connection_client_of(db, a, row->id, row->auth_type, fields, &out->client, why);
    return e || moment != POLICY_CALL || !row->id.p ? e : connection_secrets_since(db, row->id, &out->secrets_since, why);
}

enum err policy_subject_of(struct web_request *q, struct db *db, const struct connection_row *row, enum policy_moment moment,
                           struct policy_subject *out, struct fault *why)
{
    return subject_of(db, q->arena, row, moment, true, out, why);
}

enum err policy_check(struct web_request *q, struct db *db, const struct connection_row *row, enum policy_moment moment,
                      struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    struct policy_subject s;
    if (!set || !set->count)
        return ERR_NONE;
    enum err e = subject_of(db, q->arena, row, moment, false, &s, why);
    if (!e)
        e = policy_decide(set, &s, NULL, why);
    return e || moment != POLICY_CREATE ? e : policy_check_quota(q, db, set, &s, NULL, why);
}

enum err policy_check_authorize(struct web_request *q, struct db *db, const struct connection_row *row, struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    struct policy_subject s;
    if (!set || !set->count)
        return ERR_NONE;
    enum err e = policy_subject_of(q, db, row, POLICY_AUTHENTICATE, &s, why);
    return e ? e : policy_decide(set, &s, NULL, why);
}

/* ---- quotas ---- */

enum err policy_count(struct db *db, struct str connector, struct str folder, int64_t *out, struct fault *why)
{
    struct query *q;
    if (folder.p) {
        q = query_begin(db, "SELECT COUNT(*) FROM connection WHERE connector = $1 AND deleted_ms = 0"
                            " AND folder_id IN (SELECT folder_id FROM folder_above WHERE above_id = $2)");
    } else {
        q = query_begin(db, "SELECT COUNT(*) FROM connection WHERE connector = $1 AND deleted_ms = 0");
    }
    query_text(q, connector);
    if (folder.p)
        query_text(q, folder);
    *out = query_next(q) ? query_get_i64(q, 0) : 0;
    return query_end(q, why);
}

static bool holds_for(const struct policy *p, const struct policy_subject *s)
{
    for (size_t i = 0; p->folder.p && i < s->folder_count; i++)
        if (str_eq(p->folder, s->folders[i]))
            return true;
    return !p->folder.p;
}

/* `already`: where the connection is counted now; NULL: nowhere. */
static enum err check_quota(struct web_request *q, struct db *db, const struct policy_set *set, const struct policy_subject *s,
                            const struct policy_subject *already, struct policy_trace *trace, struct fault *why)
{
    const struct policy *p;
    const struct policy_rule *r;
    enum err first = ERR_NONE;
    size_t at = 0;
    while (s->connector.p && (r = policy_next(set, s, POLICY_QUOTA, &at, &p))) {
        int64_t count;
        if (already && holds_for(p, already))
            continue;
        enum err e = policy_count(db, s->connector, p->folder, &count, why);
        if (e)
            return e;
        struct str says = str_fmt(q->arena, "%.*s %lld/%lld", STR_ARG(s->connector), (long long)count, (long long)r->number);
        policy_trace_add(trace, (struct policy_step){ p->folder.p ? "folder" : "instance", p->id, p->name,
                                                      policy_kind_row(POLICY_QUOTA)->name, count < r->number, says });
        if (count >= r->number && !first) {
            says = str_fmt(q->arena, "%.*s (policy “%.*s”)", STR_ARG(says), STR_ARG(p->name));
            first = fault(why, ERR_QUOTA_EXCEEDED, says, "quota");
        }
        if (first && !trace)
            break;
    }
    return first;
}

enum err policy_check_quota(struct web_request *q, struct db *db, const struct policy_set *set, const struct policy_subject *s,
                            struct policy_trace *trace, struct fault *why)
{
    return check_quota(q, db, set, s, NULL, trace, why);
}

enum err policy_check_move(struct web_request *q, struct db *db, const struct connection_row *row, struct str to,
                           struct policy_trace *trace, struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    struct connection_row there = *row;
    struct policy_subject before, after;
    enum err e;
    there.folder = to;
    if (!set || !set->count)
        return ERR_NONE;
    if ((e = policy_subject_of(q, db, row, POLICY_AUTHENTICATE, &before, why)) ||
        (e = policy_subject_of(q, db, &there, POLICY_AUTHENTICATE, &after, why)))
        return e;
    struct fault quota;
    e = policy_decide(set, &after, trace, why);
    enum err full = e && !trace ? ERR_NONE : check_quota(q, db, set, &after, &before, trace, e ? &quota : why);
    return e ? e : full;
}

#define CONNECTORS_MOST 1000 /* in one folder and all below */

static enum err connectors_below(struct db *db, struct arena *a, struct str folder, struct str **out, size_t *n, struct fault *why)
{
    *out = arena_array(a, CONNECTORS_MOST, sizeof **out);
    *n = 0;
    struct query *q = query_begin(db, "SELECT DISTINCT connector FROM connection WHERE deleted_ms = 0 AND folder_id IN"
                                      " (SELECT folder_id FROM folder_above WHERE above_id = $1) ORDER BY connector LIMIT $2");
    query_text(q, folder);
    query_i64(q, CONNECTORS_MOST);
    while (query_next(q))
        (*out)[(*n)++] = query_get_text(q, 0, a);
    return query_end(q, why);
}

enum err policy_check_folder_moved(struct web_request *q, struct db *db, struct str folder, const struct policy_subject *before,
                                   struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    struct policy_subject after = { .moment = POLICY_CREATE, .now = clock_wall() };
    struct str *connectors, *ids;
    size_t n;
    enum err e;
    if (!set || !set->count)
        return ERR_NONE;
    if ((e = policy_folders(db, q->arena, folder, &ids, &after.folder_count, why)) ||
        (e = connectors_below(db, q->arena, folder, &connectors, &n, why)))
        return e;
    after.folders = ids;
    for (size_t i = 0; i < n; i++) {
        const struct policy *p;
        size_t at = 0;
        after.connector = connectors[i];
        for (const struct policy_rule *r; (r = policy_next(set, &after, POLICY_QUOTA, &at, &p));) {
            int64_t count;
            if (holds_for(p, before))
                continue;
            if ((e = policy_count(db, connectors[i], p->folder, &count, why)))
                return e;
            if (count > r->number)
                return fault(why, ERR_QUOTA_EXCEEDED,
                             str_fmt(q->arena, "%.*s %lld/%lld (policy “%.*s”)", STR_ARG(connectors[i]), (long long)count,
                                     (long long)r->number, STR_ARG(p->name)), "quota of a folder that comes in");
        }
    }
    return ERR_NONE;
}

/* ---- defaults ---- */

enum err policy_set_starts_disabled(const struct policy_set *set, struct db *db, struct arena *a, const struct connection_row *row,
                                    bool *out, struct fault *why)
{
    struct policy_subject s;
    size_t at = 0;
    *out = false;
    if (!set || !set->count)
        return ERR_NONE;
    enum err e = subject_of(db, a, row, POLICY_CREATE, false, &s, why);
    for (const struct policy_rule *r; !e && (r = policy_next(set, &s, POLICY_NEW_STATE, &at, NULL));)
        *out |= r->disabled;
    return e;
}

enum err policy_starts_disabled(struct web_request *q, struct db *db, const struct connection_row *row, bool *out,
                                struct fault *why)
{
    return policy_set_starts_disabled(policies_now(q), db, q->arena, row, out, why);
}

enum err policy_check_rename(struct web_request *q, struct db *db, const struct connection_row *row, struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    const struct policy *p;
    struct policy_subject s;
    size_t at = 0;
    if (!set || !set->count)
        return ERR_NONE;
    enum err e = policy_subject_of(q, db, row, POLICY_AUTHENTICATE, &s, why);
    if (e || !policy_next(set, &s, POLICY_NAME_FROZEN, &at, &p))
        return e;
    fault(why, ERR_NAME_FROZEN, p->name, "rename");
    return fault_at(why, "/name");
}

/* ---- presets ---- */

struct str preset_secret_name(struct arena *a, struct str connector, const struct policy_rule *r)
{
    static const char *const parts[] = { [PRESET_CREDENTIAL] = "credential", [PRESET_OAUTH_CLIENT] = "oauth_client" };
    return str_fmt(a, "%.*s.%s.%.*s", STR_ARG(connector), parts[r->preset.part], STR_ARG(r->preset.name));
}

static enum err unseal(struct presets *p, const struct policy *policy, const struct policy_rule *r, struct str *out,
                       struct fault *why)
{
    AUTO_SECRET value = SECRET_NONE;
    struct data_owner owner = { STR("policy"), policy->id };
    struct str name = preset_secret_name(p->q->arena, p->row.connector, r);
    if (p->wipe_count == COUNT(p->wipe))
        return fault(why, ERR_LIMIT, STR("32 preset credentials"), "presets");
    enum err e = sealed_get(p->q->db, p->q->hub->keyring, owner, name, &value, why);
    if (e)
        return e;
    *out = p->wipe[p->wipe_count++] = arena_str(p->q->arena, secret_str(value));
    return ERR_NONE;
}

/* A copy of the object that can grow; `object` may be NULL. */
struct growing {
    struct json *object, *last;
};

static struct growing grow(struct arena *a, const struct json *object)
{
    struct growing g = { json_new(a, JSON_OBJECT), NULL };
    json_each (v, (struct json *)(uintptr_t)object) {
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(a, g.object, &g.last, copy);
    }
    return g;
}

static enum err lay_under(struct presets *p, struct growing *g, const struct policy *policy, const struct policy_rule *r,
                          struct fault *why)
{
    struct arena *a = p->q->arena;
    const struct json *sent = json_get_str(g->object, r->preset.name);
    bool secret = r->preset.part == PRESET_CREDENTIAL;
    bool same = sent && !secret && sent->type == r->preset.value->type && str_eq(sent->text, r->preset.value->text);
    if (sent && (same || r->preset.mode == PRESET_OPTIONAL))
        return ERR_NONE;
    if (sent) {
        struct str says = str_fmt(a, "%.*s (policy “%.*s”)", STR_ARG(r->preset.name), STR_ARG(policy->name));
        fault(why, ERR_PRESET_ENFORCED, says, "preset");
        return fault_at(why, "/%s/%.*s", secret ? "credentials" : "fields", STR_ARG(r->preset.name));
    }
    struct json *v = json_new(a, secret ? JSON_STRING : r->preset.value->type);
    v->key = r->preset.name;
    v->text = secret ? STR("") : r->preset.value->text;
    enum err e = secret ? unseal(p, policy, r, &v->text, why) : ERR_NONE;
    if (!e)
        json_link(a, g->object, &g->last, v);
    return e;
}

/* The preset rules that hold for a connection, one after the other. */
struct preset_walk {
    const struct policy_set *set;  /* NULL: there are none */
    struct policy_subject subject;
    const struct policy *policy;   /* of the rule that came last */
    size_t at;
};

static enum err walk_begin(struct web_request *q, struct db *db, const struct connection_row *row, struct preset_walk *w,
                           struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    *w = (struct preset_walk){ .set = set && set->count ? set : NULL };
    return w->set ? policy_subject_of(q, db, row, POLICY_CREATE, &w->subject, why) : ERR_NONE;
}

static const struct policy_rule *walk_next(struct preset_walk *w)
{
    return w->set ? policy_next(w->set, &w->subject, POLICY_PRESET, &w->at, &w->policy) : NULL;
}

enum err presets_apply(struct presets *p, const struct json **fields, const struct json **credentials, struct fault *why)
{
    struct web_request *q = p->q;
    const struct policy_rule *r;
    struct preset_walk w;
    enum err e = walk_begin(q, q->db, &p->row, &w, why);
    struct growing under_fields = { 0 }, under_credentials = { 0 };
    while (!e && (r = walk_next(&w))) {
        bool field = r->preset.part == PRESET_FIELD;
        struct growing *g = field ? &under_fields : &under_credentials;
        if (r->preset.part == PRESET_OAUTH_CLIENT || r->preset.part == PRESET_SCOPES)
            continue; /* for what connection_oauth.c settles */
        if (!g->object)
            *g = grow(q->arena, field ? *fields : *credentials);
        e = lay_under(p, g, w.policy, r, why);
    }
    if (under_fields.object)
        *fields = under_fields.object;
    if (under_credentials.object)
        *credentials = under_credentials.object;
    return e;
}

/* Named by a policy's sealed value: what part credential has, an OAuth client has too, so that no reader of policies sees it. */
static enum err find_preset_client(struct web_request *q, struct db *db, const struct policy *policy, const struct policy_rule *r,
                                   struct str connector, struct preset_client *out, struct fault *why)
{
    struct data_owner owner = { STR("policy"), policy->id };
    AUTO_SECRET key = SECRET_NONE;
    struct oauth_client c;
    enum err e = sealed_get(db, q->hub->keyring, owner, preset_secret_name(q->arena, connector, r), &key, why);
    if (e || (e = oauth_client_get(db, q->arena, secret_str(key), &c, why)))
        return e;
    out->client = c.id;
    out->key = c.key;
    return ERR_NONE;
}

/* Access keys for roles, OAuth clients for grants: a preset of the one kind says nothing to connections of the other. */
static enum err check_kind(struct web_request *q, struct db *db, bool key, struct preset_client *out, struct fault *why)
{
    struct oauth_client c = { .settings = NULL };
    enum err e = str_starts(out->client, STR("cli_")) ? oauth_client_get(db, q->arena, out->client, &c, why) : ERR_NONE;
    if (!e && oauth_client_is_key(&c) != key)
        *out = (struct preset_client){ .client = STR(""), .key = STR("") };
    return e;
}

enum err preset_oauth_client(struct web_request *q, struct db *db, const struct connection_row *row, struct preset_client *out,
                             struct fault *why)
{
    const struct policy_rule *r;
    struct preset_walk w;
    const struct obtain *how = obtain_find(row->auth_type);
    *out = (struct preset_client){ .client = STR(""), .key = STR("") };
    enum err e = walk_begin(q, db, row, &w, why);
    while (!e && !out->client.n && (r = walk_next(&w))) {
        if (r->preset.part != PRESET_OAUTH_CLIENT)
            continue;
        if (str_is(r->preset.name, "oauth_client"))
            e = find_preset_client(q, db, w.policy, r, row->connector, out, why);
        else if (str_is(r->preset.name, "client_id"))
            out->client = str_fmt(q->arena, "%.*s/%.*s", STR_ARG(w.policy->id), STR_ARG(row->connector));
        out->enforced = r->preset.mode != PRESET_OPTIONAL;
        out->says = str_fmt(q->arena, "oauth_client (policy “%.*s”)", STR_ARG(w.policy->name));
        if (!e && out->client.n)
            e = check_kind(q, db, how && how->keyed, out, why);
    }
    return e;
}

enum err preset_scopes(struct web_request *q, struct db *db, const struct connection_row *row, struct str *scopes,
                       struct fault *why)
{
    const struct policy_rule *r;
    struct preset_walk w;
    enum err e = walk_begin(q, db, row, &w, why);
    while (!e && (r = walk_next(&w))) {
        if (r->preset.part != PRESET_SCOPES)
            continue;
        if (!scopes->p)
            e = connection_scopes_read(q->arena, r->preset.value, "/scopes", scopes, why);
        else if (r->preset.mode != PRESET_OPTIONAL && !policy_scopes_same(*scopes, r->preset.value->text)) {
            fault(why, ERR_PRESET_ENFORCED, str_fmt(q->arena, "scopes (policy “%.*s”)", STR_ARG(w.policy->name)), "scopes");
            e = fault_at(why, "/scopes");
        }
    }
    return e;
}

void presets_end(struct presets *p)
{
    for (size_t i = 0; i < p->wipe_count; i++)
        secret_wipe((char *)(uintptr_t)p->wipe[i].p, p->wipe[i].n);
    p->wipe_count = 0;
}
