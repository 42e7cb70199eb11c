/* web/policies.c - what administrators allow, preset and forbid: kept, shown, changed. */
#include "access/folder.h"
#include "access/policy_store.h"
#include "auth/oauth_client.h"
#include "vault/sealed.h"
#include "web/body.h"
#include "web/change.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/policies.h"
#include "web/policy_check.h"

#define DESCRIPTION_MAX 4096
#define RULES_TEXT_MAX (512 * 1024)
#define SECRETS_MAX 64
#define SECRET_MAX 4096

/* ---- showing ---- */

static void write_policy(struct json_out *o, const struct policy_row *p)
{
    json_open(o, '{');
    json_member_str(o, "id", p->id);
    json_member_str(o, "name", p->name);
    json_member_str(o, "description", p->description.p ? p->description : STR(""));
    json_key(o, "folder");
    if (p->folder.p) {
        json_open(o, '{');
        json_member_str(o, "id", p->folder);
        json_member_str(o, "path", p->folder_path);
        json_close(o, '}');
    } else {
        json_put_null(o);
    }
    json_member_bool(o, "enabled", p->enabled);
    json_member_raw(o, "rules", p->rules);
    json_member_time(o, "created_at", p->created);
    json_member_time(o, "updated_at", p->updated);
    json_close(o, '}');
}

static struct str told(struct web_request *q, const struct policy_row *p)
{
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    q->audit.object = arena_str(q->arena, p->id);
    q->audit.name = arena_str(q->arena, p->name);
    q->audit.folder = p->folder;
    write_policy(&o, p);
    return change_text(q, &text);
}

static enum err reply_policy(struct web_request *q, struct reply *r, struct str id, struct fault *why)
{
    struct policy_row row;
    enum err e = policy_get(q->db, q->arena, id, &row, why);
    if (e)
        return e;
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    write_policy(&o, &row);
    return ERR_NONE;
}

enum err policies_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "limit", "cursor", NULL };
    struct policy_row *rows;
    struct page page;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = policy_list(q->db, q->arena, page.after, page.limit + 1, &rows, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_policy(&o, &rows[i]);
    page_close(&o, q->arena, more ? rows[n - 1].id : STR_NONE);
    return ERR_NONE;
}

enum err policies_get(struct web_request *q, struct reply *r, struct fault *why)
{
    return reply_policy(q, r, q->params[0], why);
}

/* ---- reading what was sent ---- */

struct sent_secret {
    struct str name;
    struct str value; /* p == NULL: the stored one stays */
    size_t rule;
    bool names_client; /* and is then said to be this one */
    struct str client;
};

struct order {
    struct web_request *q;
    struct policy_row row;
    struct sent_secret secrets[SECRETS_MAX];
    size_t secret_count;
};

static bool names_client(const struct policy_rule *r)
{
    return r->preset.part == PRESET_OAUTH_CLIENT && str_is(r->preset.name, "oauth_client");
}

static enum err note_secret(struct order *o, const struct policy_rule *rule, size_t at, const struct json *value, struct fault *why)
{
    bool given = json_is(value, JSON_STRING);
    if (given && (!value->text.n || value->text.n > SECRET_MAX)) {
        fault(why, ERR_FIELD_INVALID, STR("at most 4096 bytes"), "preset value");
        return fault_at(why, "/rules/%zu/value", at);
    }
    for (size_t i = 0; i < rule->connectors.count; i++) {
        if (o->secret_count == SECRETS_MAX)
            return fault(why, ERR_LIMIT, STR("64 preset credentials"), "presets");
        o->secrets[o->secret_count++] = (struct sent_secret){
            preset_secret_name(o->q->arena, rule->connectors.at[i], rule), given ? value->text : STR_NONE, at,
            names_client(rule), rule->preset.client
        };
    }
    return ERR_NONE;
}

/* A secret value gives way to {"set": true}. An OAuth client that is named is none: calls are held against its id, and a value that
 * stays says itself which one it is, which write_secrets() believes only when it is so. */
static enum err put_set(struct json_out *o, struct web_request *q, const struct policy_rule *r, const struct json *value,
                        struct fault *why)
{
    struct oauth_client c = { .id = r->preset.client };
    bool key = r->preset.access_key;
    if (names_client(r) && json_is(value, JSON_STRING)) {
        enum err e = oauth_client_get(q->db, q->arena, value->text, &c, why);
        if (e)
            return e;
        key = oauth_client_is_key(&c);
    }
    json_key(o, "value");
    json_open(o, '{');
    json_member_bool(o, "set", true);
    if (key)
        json_member_bool(o, "access_key", true);
    if (names_client(r))
        json_member_str(o, "client", c.id);
    json_close(o, '}');
    return ERR_NONE;
}

/* As they are stored and shown. */
static enum err rules_text(struct web_request *q, const struct json *rules, const struct policy *read, struct str *out,
                           struct fault *why)
{
    AUTO_BUF text;
    size_t at = 0;
    enum err e = ERR_NONE;
    buf_init(&text, RULES_TEXT_MAX);
    struct json_out o = json_out(&text);
    json_open(&o, '[');
    json_each (rule, (struct json *)(uintptr_t)rules) {
        bool secret = read->rules[at].kind == POLICY_PRESET && preset_is_sealed(read->rules[at].preset.part);
        json_open(&o, '{');
        json_each (v, rule) {
            if (secret && str_is(v->key, "value"))
                continue;
            json_key(&o, arena_cstr(q->arena, v->key));
            json_put(&o, v);
        }
        if (secret && (e = put_set(&o, q, &read->rules[at], json_get(rule, "value"), why))) {
            fault_at(why, "/rules/%zu/value", at);
            return e;
        }
        json_close(&o, '}');
        at++;
    }
    json_close(&o, ']');
    *out = arena_str(q->arena, buf_str(&text));
    return buf_failed(&text) ? fault(why, ERR_BODY_TOO_LARGE, STR("512 KiB"), "rules") : ERR_NONE;
}

static enum err read_rules(struct order *o, const struct json *rules, struct fault *why)
{
    struct policy read = { 0 };
    size_t at = 0;
    enum err e = policy_read(o->q->arena, rules, o->row.folder.p != NULL, "/rules", &read, why);
    if (e)
        return e;
    json_each (rule, (struct json *)(uintptr_t)rules) {
        const struct policy_rule *r = &read.rules[at];
        if (r->kind == POLICY_PRESET && preset_is_sealed(r->preset.part) &&
            (e = note_secret(o, r, at, json_get(rule, "value"), why)))
            return e;
        at++;
    }
    return rules_text(o->q, rules, &read, &o->row.rules, why);
}

static enum err read_folder(struct order *o, const struct json *body, struct fault *why)
{
    const struct json *v = json_get(body, "folder");
    struct folder_row row;
    if (!v || v->type == JSON_NULL)
        return ERR_NONE;
    struct str text = v->type == JSON_OBJECT ? json_str(v, "id") : v->type == JSON_STRING ? v->text : STR("");
    enum err e = folder_resolve(o->q->db, o->q->arena, o->q->caller, text, &row, why);
    if (e)
        return fault_at(why, "/folder");
    o->row.folder = row.id;
    o->row.folder_path = row.path;
    return ERR_NONE;
}

static enum err preset_rules(struct web_request *q, struct str name, const struct json **out, struct fault *why)
{
    const char *text = policy_preset(name);
    struct json *rules;
    if (!text)
        return body_fault(why, ERR_FIELD_INVALID, "preset", "genesys");
    enum err e = json_read(q->arena, str_of(text), &rules, why);
    *out = rules;
    return e;
}

/* Also what preview and explain take as a policy. */
static enum err read_order(struct order *o, const struct json *body, struct fault *why)
{
    static const char *const members[] = { "name", "description", "folder", "enabled", "rules", "preset", NULL };
    const struct json *rules = json_get(body, "rules");
    struct str preset;
    enum err e;
    o->row.enabled = true;
    if ((e = json_only(body, members, "", why)) || (e = body_text(body, "preset", false, 64, &preset, why)) ||
        (e = body_text(body, "name", !preset.p, POLICY_NAME_MAX, &o->row.name, why)) ||
        (e = body_prose(body, "description", DESCRIPTION_MAX, &o->row.description, why)) ||
        (e = body_bool(body, "enabled", &o->row.enabled, why)) || (e = read_folder(o, body, why)))
        return e;
    if (!o->row.name.p)
        o->row.name = preset;
    if (preset.p && rules)
        return body_fault(why, ERR_FIELD_INVALID, "preset", "give rules or preset, not both");
    if (preset.p && (e = preset_rules(o->q, preset, &rules, why)))
        return e;
    if (!rules)
        return body_fault(why, ERR_FIELD_REQUIRED, "rules", "");
    return read_rules(o, rules, why);
}

enum err policies_read(struct web_request *q, const struct json *body, struct policy_row *out, struct fault *why)
{
    struct order *o = arena_zero(q->arena, sizeof *o);
    o->q = q;
    enum err e = read_order(o, body, why);
    *out = o->row;
    return e;
}

/* ---- writing ---- */

static enum err is_said(struct order *o, struct db *db, const struct sent_secret *s, struct secret kept, struct fault *why)
{
    struct oauth_client c;
    if (!s->names_client)
        return ERR_NONE;
    enum err e = oauth_client_get(db, o->q->arena, secret_str(kept), &c, why);
    return e || str_eq(c.id, s->client) ? e : fault(why, ERR_FIELD_REQUIRED, STR("value"), "another client is stored");
}

/* The stored values that stay, then all anew: what no rule names any more is gone. */
static enum err write_secrets(struct order *o, struct db *db, struct fault *why)
{
    struct data_owner owner = { STR("policy"), o->row.id };
    struct secret values[SECRETS_MAX] = { 0 };
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < o->secret_count; i++) {
        if (o->secrets[i].value.p) {
            values[i] = secret_from(o->secrets[i].value);
            continue;
        }
        e = sealed_get(db, o->q->hub->keyring, owner, o->secrets[i].name, &values[i], why);
        if (e == ERR_NOT_FOUND)
            e = fault(why, ERR_FIELD_REQUIRED, STR("value"), "no value is stored");
        else if (!e)
            e = is_said(o, db, &o->secrets[i], values[i], why);
        if (e)
            fault_at(why, "/rules/%zu/value", o->secrets[i].rule);
    }
    if (!e)
        e = sealed_forget(db, owner, why);
    for (size_t i = 0; i < o->secret_count; i++) {
        if (!e)
            e = sealed_put(db, o->q->hub->keyring, owner, o->secrets[i].name, values[i], why);
        secret_end(&values[i]);
    }
    return e;
}

static enum err insert(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    enum err e = policy_insert(db, o->q->arena, &o->row, why);
    if (e == ERR_CONFLICT)
        fault_at(why, "/name");
    if (e || (e = write_secrets(o, db, why)))
        return e;
    o->q->audit.after = told(o->q, &o->row);
    return ERR_NONE;
}

static enum err update(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct policy_row before;
    enum err e;
    if ((e = policy_get(db, o->q->arena, o->q->params[0], &before, why)) || (e = web_if_match(o->q, before.revision, why)))
        return e;
    o->row.id = before.id;
    o->row.created = before.created;
    o->row.revision = before.revision;
    if ((e = policy_update(db, &o->row, why)) || (e = write_secrets(o, db, why)))
        return e;
    o->q->audit.before = told(o->q, &before);
    o->q->audit.after = told(o->q, &o->row);
    return ERR_NONE;
}

static enum err remove_policy(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct policy_row before;
    enum err e;
    if ((e = policy_get(db, o->q->arena, o->q->params[0], &before, why)) || (e = web_if_match(o->q, before.revision, why)) ||
        (e = policy_delete(db, before.id, why)) || (e = sealed_forget(db, (struct data_owner){ STR("policy"), before.id }, why)))
        return e;
    o->q->audit.before = told(o->q, &before);
    return ERR_NONE;
}

/* It is in the database: from here on it holds, for calls on kept connections too. */
static enum err put_in_force(struct web_request *q, struct fault *why)
{
    enum err e = policy_book_load(q->hub->policies, q->db, why);
    switchboard_forget_connections(q->hub->switchboard);
    if (q->hub->ages_wake)
        q->hub->ages_wake(q->hub);
    return e;
}

static enum err save(struct web_request *q, store_work *work, struct order *o, struct fault *why)
{
    enum err e = read_order(o, body_of(q), why);
    if (!e)
        e = web_write(q, work, o, why);
    body_wipe(q); /* presets may hold credentials */
    return e ? e : put_in_force(q, why);
}

enum err policies_create(struct web_request *q, struct reply *r, struct fault *why)
{
    struct order *o = arena_zero(q->arena, sizeof *o);
    o->q = q;
    enum err e = save(q, insert, o, why);
    if (e)
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/policies/%.*s", STR_ARG(q->hub->public_url), STR_ARG(o->row.id)));
    return reply_policy(q, r, o->row.id, why);
}

enum err policies_put(struct web_request *q, struct reply *r, struct fault *why)
{
    struct order *o = arena_zero(q->arena, sizeof *o);
    o->q = q;
    enum err e = web_step_up(q, why);
    return e || (e = save(q, update, o, why)) ? e : reply_policy(q, r, o->row.id, why);
}

enum err policies_delete(struct web_request *q, struct reply *r, struct fault *why)
{
    struct order o = { .q = q };
    enum err e = web_step_up(q, why);
    if (e || (e = web_write(q, remove_policy, &o, why)) || (e = put_in_force(q, why)))
        return e;
    r->status = 204;
    return ERR_NONE;
}
