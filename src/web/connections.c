/* web/connections.c - make, list, show, change and remove connections. */
#include "auth/grant.h"
#include "vault/connection.h"

#include <stdlib.h>

#include "access/folder.h"
#include "access/rights.h"
#include "auth/method.h"
#include "auth/obtain.h"
#include "auth/revocation.h"
#include "catalog/setup.h"
#include "web/body.h"
#include "web/change.h"
#include "web/client_certificate.h"
#include "web/connection_fields.h"
#include "web/connection_oauth.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/policy_check.h"

/* Bytes read at all; what a name, a key or notes may be is the vault's rule. */
#define NAME_MAX_BYTES 1024
#define NOTES_MAX_BYTES (64 * 1024)

/* ---- what creating and changing share ---- */

/* The method's own look at what will be stored: values in range, names legal. */
static enum err check_auth(struct web_request *q, const struct connector *c, struct str auth_type, const struct json *fields,
                           const struct connection_secret *secrets, size_t n, struct fault *why)
{
    const struct auth_method *method = auth_find(auth_type);
    const struct connector_auth *auth = connector_auth_find(c, auth_type);
    if (!method || !auth) {
        fault(why, ERR_AUTH_TYPE_NOT_OFFERED, auth_type, "connector %.*s", STR_ARG(c->id));
        return fault_at(why, "/auth_type");
    }
    struct auth_secret lent[CONNECTION_SECRETS];
    for (size_t i = 0; i < n; i++)
        lent[i] = (struct auth_secret){ secrets[i].name, secrets[i].value };
    struct auth_input in = {
        .options = auth->options, .fields = fields, .secrets = lent, .secret_count = n, .digits_ok = q->hub->header_digits_ok,
    };
    return method->check ? method->check(&in, why) : ERR_NONE;
}

static enum err find_connector(const struct web_request *q, struct str id, const struct connector **out, struct fault *why)
{
    *out = catalog_find(q->hub->catalog, id);
    if (*out)
        return ERR_NONE;
    fault(why, ERR_CONNECTOR_NOT_FOUND, id, "no such connector");
    return fault_at(why, "/connector");
}

/* Which credentials are set, each as the hash by which an auditor may look up where a value was used. */
static struct str with_credentials(struct web_request *q, struct str json, const struct setup *s)
{
    if (!s || !s->secret_count)
        return json;
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    for (size_t i = 0; i < s->secret_count; i++)
        json_member_str(&o, arena_cstr(q->arena, s->secrets[i].name), change_hash(q, secret_str(s->secrets[i].value)));
    json_close(&o, '}');
    return str_fmt(q->arena, "%.*s,\"credentials\":%.*s}", (int)json.n - 1, json.p, (int)text.n, text.p);
}

/* ---- create ---- */

struct creation {
    struct web_request *q;
    struct str folder;            /* as asked; p == NULL: the usual one */
    struct connection_row row;
    const struct setup *setup;
    struct client_certificate certificate;
    struct connection_oauth_order oauth;
    struct str roots;
    bool make_default, same_name;
    bool rehearsed;               /* nothing of it stays */
};

static const char *const issued_kinds[] = { "connection", "instance", NULL };
#define CERTIFICATE_POINTER "/credentials/client_certificate"

/* Where a path has {id}, a key works too: one that looks like an id would never be found. */
enum err connection_key_allowed(struct str key, struct fault *why)
{
    return str_starts(key, STR("con_")) ? body_fault(why, ERR_FIELD_INVALID, "key", "a key does not begin with con_, as ids do")
                                        : ERR_NONE;
}

/* Everybody fills a workspace of their own; what is in shared folders, policies limit. */
enum err connection_folder_room(struct db *db, struct str folder, struct fault *why)
{
    struct query *q = query_begin(db, "SELECT count(*) FROM (SELECT 1 FROM connection WHERE folder_id = $1 AND EXISTS"
                                      " (SELECT 1 FROM folder WHERE id = $1 AND kind = 'personal') LIMIT $2) AS few");
    query_text(q, folder);
    query_i64(q, PERSONAL_CONNECTIONS_MOST);
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    return e || n < PERSONAL_CONNECTIONS_MOST
               ? e
               : fault(why, ERR_LIMIT, STR("10000 connections in a personal workspace"), "%lld", (long long)n);
}

static enum err choose_folder(struct creation *c, struct db *db, struct fault *why)
{
    struct web_request *q = c->q;
    struct folder_row row;
    bool user = str_starts(q->caller->principal, STR("usr_"));
    bool personal = c->folder.p ? str_is(c->folder, "personal") : user;
    enum err e;
    if (personal && user)
        return folder_ensure_personal(db, q->arena, q->caller->principal, &c->row.folder, why);
    if ((e = folder_resolve(db, q->arena, q->caller, c->folder.p ? c->folder : STR("shared"), &row, why)))
        return fault_at(why, "/folder");
    c->row.folder = row.id;
    return ERR_NONE;
}

/* A hint, not a rule: only the newest of a big folder are looked at, so that creating stays quick. */
static enum err look_for_same_name(struct creation *c, struct db *db, struct fault *why)
{
    struct query *query = query_begin(db, "SELECT 1 FROM (SELECT name FROM connection WHERE folder_id = $1 AND deleted_ms = 0"
                                          " ORDER BY number DESC LIMIT 1000) AS newest WHERE name = $2 LIMIT 1");
    query_text(query, c->row.folder);
    query_text(query, c->row.name);
    c->same_name = query_next(query);
    return query_end(query, why);
}

/* Whole once it has its credentials; a policy may want it disabled then. */
static enum err begin_state(struct creation *c, struct db *db, struct fault *why)
{
    bool disabled = false;
    enum err e = c->setup->has_credentials ? policy_starts_disabled(c->q, db, &c->row, &disabled, why) : ERR_NONE;
    c->row.state = disabled ? CONNECTION_DISABLED : c->setup->has_credentials ? CONNECTION_ACTIVE : CONNECTION_NEEDS_AUTH;
    return e;
}

static enum err insert_connection(struct db *db, void *context, struct fault *why)
{
    struct creation *c = context;
    struct web_request *q = c->q;
    struct str key = c->row.key;
    enum err e;
    c->row.id = STR_NONE;
    if ((e = choose_folder(c, db, why)) || (e = rights_need(db, q->arena, q->caller, c->row.folder, RIGHT_EDIT, why)) ||
        (e = connection_folder_room(db, c->row.folder, why)) || (e = policy_check(q, db, &c->row, POLICY_CREATE, why)) ||
        (e = look_for_same_name(c, db, why)) || (e = begin_state(c, db, why)) ||
        (e = connection_insert(db, q->hub->keyring, q->arena, &c->row, c->setup->secrets, c->setup->secret_count, why))) {
        c->row.key = key;
        if (e == ERR_CONFLICT)
            fault_at(why, "/key");
        return e;
    }
    if ((e = client_certificate_put(q, db, c->row.id, &c->certificate, why)) ||
        (e = client_roots_put(db, q->arena, c->row.id, c->roots, why)) ||
        (c->oauth.applies && (e = connection_oauth_put(db, c->row.id, &c->oauth.o, why))))
        return e;
    if (c->make_default && !c->row.is_default) {
        c->row.is_default = true;
        if ((e = connection_update(db, &c->row, why)))
            return e;
    }
    q->audit.after = with_credentials(q, connection_audit(q, &c->row), c->setup);
    q->audit.after = client_certificate_audit(q, q->audit.after, &c->certificate);
    return connection_oauth_audit(q, db, &c->row, &q->audit.after, why);
}

static const char *const create_members[] = { "connector", "auth_type", "key", "name", "folder", "allowed_domain", "fields",
                                              "credentials", "notes", "tags", "default", "tls_ca", "oauth_client", "scopes", NULL };

struct creation_input {
    const struct connector *connector;
    struct str connector_id, auth_type, domain;
    const struct json *fields, *credentials;
};

static enum err read_creation(struct web_request *q, struct creation *c, struct creation_input *in, struct fault *why)
{
    const struct json *body = body_of(q);
    struct str name;
    enum err e;
    if ((e = json_only(body, create_members, "", why)) || (e = body_text(body, "connector", true, 128, &in->connector_id, why)) ||
        (e = body_text(body, "auth_type", false, 64, &in->auth_type, why)) ||
        (e = body_text(body, "key", false, 256, &c->row.key, why)) ||
        (e = body_text(body, "name", false, NAME_MAX_BYTES, &name, why)) ||
        (e = body_text(body, "folder", false, 1024, &c->folder, why)) ||
        (e = body_text(body, "allowed_domain", false, 1024, &in->domain, why)) ||
        (e = body_object(body, "fields", &in->fields, why)) || (e = body_object(body, "credentials", &in->credentials, why)) ||
        (e = body_prose(body, "notes", NOTES_MAX_BYTES, &c->row.notes, why)) ||
        (json_get(body, "tags") && (e = connection_tags_read(q->arena, json_get(body, "tags"), &c->row.tags, why))) ||
        (e = body_bool(body, "default", &c->make_default, why)) || (e = find_connector(q, in->connector_id, &in->connector, why)) ||
        (c->row.key.p && (e = connection_key_allowed(c->row.key, why))))
        return e;
    name = str_trim(name);
    c->row.name = name.n ? name : c->row.key.p ? c->row.key : in->connector->name;
    if (!in->auth_type.p && in->connector->auth_count)
        in->auth_type = in->connector->auth[0].type;
    if (!c->row.notes.p)
        c->row.notes = STR("");
    return ERR_NONE;
}

static enum err store_creation(struct web_request *q, struct creation *c, const struct setup *s, struct fault *why)
{
    enum err e = s->has_credentials || s->secret_count
                     ? check_auth(q, s->connector, s->auth->type, s->fields_json, s->secrets, s->secret_count, why)
                     : ERR_NONE;
    if (e)
        return e;
    c->setup = s;
    c->row.connector = s->connector->id;
    c->row.connector_version = s->connector->version;
    c->row.auth_type = s->auth->type;
    c->row.allowed_domain = s->allowed_domain;
    c->row.fields = s->fields;
    /* Until somebody authenticates it, it is nobody's (CON-57). */
    c->row.owner = s->has_credentials ? q->caller->principal : STR(CONNECTION_OWNER_SYSTEM);
    return c->rehearsed ? change_rehearse(q, insert_connection, c, why) : web_write(q, insert_connection, c, why);
}

/* Before the transaction: whose presets hold. A workspace that is not made yet has none of its own. */
static struct str folder_meant(const struct creation *c)
{
    struct fault ignored;
    struct folder_row row;
    bool user = str_starts(c->q->caller->principal, STR("usr_"));
    struct str asked = c->folder.p ? c->folder : user ? STR("personal") : STR("shared");
    return folder_resolve(c->q->db, c->q->arena, c->q->caller, asked, &row, &ignored) ? STR_NONE : row.id;
}

/* Who gets its tokens. Where a person has to say yes, it is theirs only then. */
static enum err settle_oauth(struct web_request *q, struct creation *c, struct setup *s, struct str folder, struct fault *why)
{
    struct connection_row row = { .connector = s->connector->id, .auth_type = s->auth->type, .folder = folder,
                                  .allowed_domain = s->allowed_domain, .fields = s->fields };
    enum err e = connection_oauth_read(q, s->auth->type, &c->oauth, why);
    if (e || !c->oauth.applies)
        return e;
    e = connection_oauth_settle(q, q->db, s->connector, &row, s->fields_json, s->secrets, s->secret_count, &c->oauth, why);
    s->has_credentials = c->oauth.ready && !c->oauth.by_person;
    return e;
}

/* `r` NULL: a rehearsal. */
static enum err create_checked(struct web_request *q, struct reply *r, struct fault *why)
{
    struct creation c = { .q = q, .rehearsed = !r };
    struct creation_input in = { 0 };
    struct setup s = { 0 };
    struct connection_row row;
    enum err e;
    if (caller_limited(q->caller))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_EDIT)), "a token limited to connections makes no new one");
    if ((e = read_creation(q, &c, &in, why)))
        return e;
    const struct json *certificate, *rest = client_certificate_part(q->arena, in.credentials, &certificate);
    struct presets presets = { .q = q, .row = { .connector = in.connector->id, .folder = folder_meant(&c) } };
    bool given;
    e = presets_apply(&presets, &in.fields, &rest, why);
    if (!e)
        e = setup_check(q->arena, in.connector, in.auth_type, in.fields, rest, in.domain, q->hub->egress, q->hub->header_digits_ok,
                        &s, why);
    if (!e)
        e = settle_oauth(q, &c, &s, presets.row.folder, why);
    if (!e && !(e = client_roots_read(q, &given, &c.roots, why)) &&
        !(e = client_certificate_read(q, certificate, CERTIFICATE_POINTER, issued_kinds, &c.certificate, why)))
        e = store_creation(q, &c, &s, why);
    client_certificate_end(&c.certificate);
    setup_end(&s);
    presets_end(&presets);
    if (e || c.rehearsed)
        return e;
    switchboard_forget_connection(q->hub->switchboard, c.row.id);
    if ((e = connection_get(q->db, q->arena, c.row.id, &row, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/connections/%.*s", STR_ARG(q->hub->public_url), STR_ARG(row.id)));
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return connections_write(q, &o, &row, 1, c.same_name, why);
}

enum err connections_create(struct web_request *q, struct reply *r, struct fault *why)
{
    enum err e = create_checked(q, r, why);
    body_wipe(q);
    return e;
}

enum err connections_rehearse(struct web_request *q, struct fault *why)
{
    enum err e = create_checked(q, NULL, why);
    body_wipe(q);
    return e;
}

/* ---- list and show ---- */

static bool contains_folded(struct str text, struct str wanted)
{
    for (size_t i = 0; i + wanted.n <= text.n; i++)
        if (str_ieq(str_sub(text, i, i + wanted.n), wanted))
            return true;
    return false;
}

static bool has_tag(const struct connection_row *row, struct str tag)
{
    AUTO_ARENA a = arena_new(1024);
    struct json *tags;
    if (json_read(a, row->tags, &tags, NULL))
        return false;
    json_each (v, tags)
        if (str_eq(v->text, tag))
            return true;
    return false;
}

static bool filter_takes(const struct connection_filter *f, const struct connection_row *row)
{
    return (!f->connector.p || str_eq(f->connector, row->connector)) && (!f->by_state || f->state == row->state) &&
           (!f->by_health || f->health == row->health) && (!f->by_default || f->is_default == row->is_default) &&
           (!f->tag.p || has_tag(row, f->tag)) &&
           (!f->search.n || contains_folded(row->key, f->search) || contains_folded(row->name, f->search));
}

static int by_id(const void *x, const void *y) { return str_cmp(*(const struct str *)x, *(const struct str *)y); }

/* A token limited to a few connections: those few are looked up, however many there are. */
static enum err list_granted(struct web_request *q, const struct connection_filter *f, struct connection_row **out, size_t *n,
                             struct fault *why)
{
    const struct narrow_list *l = caller_connections(q->caller);
    struct str *ids = arena_array(q->arena, l->count + 1, sizeof *ids);
    struct connection_row *rows = arena_array(q->arena, (size_t)f->limit, sizeof *rows);
    *n = 0;
    *out = rows;
    if (!l->count)
        return ERR_NONE;
    memcpy(ids, l->at, l->count * sizeof *ids);
    qsort(ids, l->count, sizeof *ids, by_id);
    for (size_t i = 0; i < l->count && *n < (size_t)f->limit; i++) {
        if (f->after.p && str_cmp(ids[i], f->after) <= 0)
            continue;
        enum err e = f->deleted ? connection_get_deleted(q->db, q->arena, ids[i], &rows[*n], why)
                                : connection_get(q->db, q->arena, ids[i], &rows[*n], why);
        if (e && e != ERR_CONNECTION_NOT_FOUND)
            return e;
        bool seen = false;
        if (!e && (e = connection_in_scope(q, &f->scope, &rows[*n], &seen, why)))
            return e;
        *n += seen && filter_takes(f, &rows[*n]);
    }
    return ERR_NONE;
}

static enum err read_filter(struct web_request *q, struct connection_filter *f, struct fault *why)
{
    struct str state = web_query(q, "state"), health = web_query(q, "health");
    enum err e;
    f->connector = web_query(q, "connector");
    f->search = web_query(q, "search");
    f->tag = web_query(q, "tag");
    if ((e = web_flag(q, "deleted", &f->deleted, why)) || (e = web_flag(q, "default", &f->is_default, why)))
        return e;
    f->by_default = web_query(q, "default").p;
    f->by_state = state.p;
    f->by_health = health.p;
    if (f->by_state && !connection_state_parse(state, &f->state))
        return fault(why, ERR_FIELD_INVALID, STR("state: draft, needs_auth, active, disabled, deleted"), "unknown state");
    f->deleted |= f->by_state && f->state == CONNECTION_DELETED;
    if (f->by_health && !connection_health_parse(health, &f->health))
        return fault(why, ERR_FIELD_INVALID, STR("health: unknown, ok, failing, expiring, expired, reconnect_required"),
                     "unknown health");
    return connection_scope(q, q->db, &f->scope, why);
}

enum err connections_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "connector", "state", "health", "search", "default",
                                           "deleted", "tag", "limit", "cursor", NULL };
    struct connection_filter f = { 0 };
    struct connection_row *rows;
    struct page page;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_filter(q, &f, why)))
        return e;
    f.after = page.after;
    f.limit = page.limit + 1;
    e = caller_limited(q->caller) ? list_granted(q, &f, &rows, &n, why) : connection_list(q->db, q->arena, &f, &rows, &n, why);
    if (e)
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    if ((e = connections_write(q, &o, rows, n, false, why)))
        return e;
    struct str last = STR_NONE;
    if (more)
        last = caller_limited(q->caller) ? rows[n - 1].id : str_fmt(q->arena, "%lld", (long long)rows[n - 1].number);
    page_close(&o, q->arena, last);
    return ERR_NONE;
}

static const char *const object_query[] = { "folder", NULL }, *const state_query[] = { "folder", "force", NULL };

enum err connections_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct connection_row row;
    enum err e;
    if ((e = web_only_query(q, object_query, why)) || (e = connection_seen(q, q->db, q->params[0], &row, why)))
        return e;
    return connection_reply(q, r, row.id, why);
}

/* ---- change ---- */

struct change {
    struct web_request *q;
    struct connection_row row;
    const struct setup *setup; /* new credentials; NULL: these stay */
    struct client_certificate certificate;
    const struct json *patch;  /* fields that change with the credentials; NULL: they stay */
    store_work *work;
    bool tried;                /* the new credentials work, for this account */
    struct str account;
    bool force;                /* whoever depends on it */
    struct dependants dependants;
    bool another;              /* its grant is another client's from now on */
    struct revocation *leaving;
};

/* What every change begins with, inside its transaction. */
static enum err change_begin(struct change *c, struct db *db, struct fault *why)
{
    enum err e = connection_need(c->q, db, c->q->params[0], c->q->route->right, &c->row, why);
    if (e)
        return e;
    c->q->audit.before = connection_audit(c->q, &c->row);
    e = connection_oauth_audit(c->q, db, &c->row, &c->q->audit.before, why);
    return e ? e : web_if_match(c->q, c->row.revision, why);
}

static enum err change_and_tell(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum err e = c->work(db, c, why);
    if (e)
        return e;
    struct str after = with_credentials(c->q, connection_audit(c->q, &c->row), c->setup);
    c->q->audit.after = client_certificate_audit(c->q, after, &c->certificate);
    return connection_oauth_audit(c->q, db, &c->row, &c->q->audit.after, why);
}

/* `work` begins with change_begin(); what became of the row goes to the audit log. */
static enum err change_write(struct change *c, store_work *work, struct fault *why)
{
    c->work = work;
    return web_write(c->q, change_and_tell, c, why);
}

static struct str sent_value(const struct json *v)
{
    return v->type == JSON_OBJECT ? json_str(v, "id") : v->type == JSON_STRING ? v->text : STR_NONE;
}

/* The same value is fine (a client sends back what it read); another one is refused. */
static enum err check_immutable(struct change *c, struct db *db, struct fault *why)
{
    const struct { const char *name; struct str now; } frozen[] = {
        { "key", c->row.key },
        { "auth_type", c->row.auth_type },
        { "allowed_domain", c->row.allowed_domain },
        { "connector", c->row.connector },
    };
    for (size_t i = 0; i < COUNT(frozen); i++) {
        const struct json *v = json_get(body_of(c->q), frozen[i].name);
        if (v && !str_eq(sent_value(v), frozen[i].now))
            return body_fault(why, ERR_FIELD_IMMUTABLE, frozen[i].name, "");
    }
    const struct json *v = json_get(body_of(c->q), "folder");
    struct folder_row folder;
    if (v && (folder_resolve(db, c->q->arena, c->q->caller, sent_value(v), &folder, why) || !str_eq(folder.id, c->row.folder)))
        return body_fault(why, ERR_FIELD_IMMUTABLE, "folder", "");
    return ERR_NONE;
}

/* New fields are held against the frozen domain and, with the stored credentials, against the auth method. */
static enum err change_fields(struct change *c, struct db *db, const struct json *patch, struct fault *why)
{
    struct web_request *q = c->q;
    struct connection_secret secrets[CONNECTION_SECRETS];
    const struct connector *connector;
    const struct json *fields;
    size_t n = 0;
    enum err e;
    if ((e = find_connector(q, c->row.connector, &connector, why)) ||
        (e = connection_fields_lay(q, connector, &c->row, patch, &fields, why)) || c->row.state == CONNECTION_NEEDS_AUTH ||
        c->row.state == CONNECTION_DRAFT)
        return e;
    e = connection_open_secrets(db, q->hub->keyring, q->arena, &c->row, secrets, &n, why);
    if (!e && n)
        e = check_auth(q, connector, c->row.auth_type, fields, secrets, n, why);
    connection_secrets_end(secrets, n);
    return e;
}

/* Without credentials there is nothing to enable. */
static enum err enabled_state(struct web_request *q, struct db *db, const struct connection_row *row, enum connection_state *out,
                              struct fault *why)
{
    const struct many one = many_one(&row->id);
    struct connection_secrets_set set;
    bool by_person, granted;
    enum err e = connection_oauth_granted(db, q->arena, row, &by_person, &granted, why);
    if (!e)
        e = connection_secrets_set(db, q->arena, &one, &set, why);
    if (e)
        return e;
    if (by_person) {
        *out = granted ? CONNECTION_ACTIVE : CONNECTION_NEEDS_AUTH;
        return ERR_NONE;
    }
    const struct auth_method *method = auth_find(row->auth_type);
    bool needs = !method || method->open_fields;
    for (const struct auth_field *f = method ? method->fields : NULL; f && f->name; f++)
        needs |= f->required;
    *out = set.n || !needs ? CONNECTION_ACTIVE : CONNECTION_NEEDS_AUTH;
    return ERR_NONE;
}

/* Who asks has read who would notice, or says that it does not matter (CON-46). */
static enum err disable(struct change *c, struct db *db, struct fault *why)
{
    enum err e = c->force ? ERR_NONE : dependants_find(db, c->q->arena, c->row.id, &c->dependants, why);
    if (!e && c->dependants.count)
        e = fault(why, ERR_IN_USE, c->row.key, "%zu dependants", c->dependants.count);
    if (!e)
        c->row.state = CONNECTION_DISABLED;
    return e;
}

static enum err change_state(struct change *c, struct db *db, struct fault *why)
{
    struct str text;
    enum connection_state wanted;
    enum err e = body_text(body_of(c->q), "state", false, 32, &text, why);
    if (e || !text.p)
        return e;
    if (!connection_state_parse(text, &wanted))
        return body_fault(why, ERR_FIELD_INVALID, "state", "active, disabled");
    if (wanted == c->row.state)
        return ERR_NONE;
    if (wanted == CONNECTION_DISABLED)
        return disable(c, db, why);
    if (wanted != CONNECTION_ACTIVE)
        return body_fault(why, ERR_FIELD_INVALID, "state", "active, disabled");
    e = policy_check_authorize(c->q, db, &c->row, why);
    return e ? e : enabled_state(c->q, db, &c->row, &c->row.state, why);
}

/* The problem names who is in the way. */
static enum err refused(struct change *c, struct reply *r, enum err e)
{
    if (e == ERR_IN_USE)
        r->problem = dependants_problem(c->q->arena, &c->dependants, STR_NONE);
    return e;
}

static enum err apply_patch(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    const struct json *body = body_of(c->q), *fields;
    struct str name, notes, fields_before;
    enum err e;
    if ((e = change_begin(c, db, why)))
        return e;
    fields_before = c->row.fields;
    if ((e = check_immutable(c, db, why)) ||
        (e = body_text(body, "name", json_get(body, "name") != NULL, NAME_MAX_BYTES, &name, why)) ||
        (e = body_prose(body, "notes", NOTES_MAX_BYTES, &notes, why)) ||
        (e = body_bool(body, "default", &c->row.is_default, why)) || (e = body_object(body, "fields", &fields, why)) ||
        (e = change_state(c, db, why)) ||
        (fields && ((e = change_fields(c, db, fields, why)) || (e = policy_check(c->q, db, &c->row, POLICY_AUTHENTICATE, why)))) ||
        (e = connection_oauth_change(c->q, db, &c->row, fields_before, true, &c->another, why)) ||
        (c->another && (e = connection_oauth_left(db, c->leaving, &c->row, why))) ||
        (name.p && !str_eq(str_trim(name), c->row.name) && (e = policy_check_rename(c->q, db, &c->row, why))))
        return e;
    if (name.p)
        c->row.name = str_trim(name);
    if (json_get(body, "tags") && (e = connection_tags_read(c->q->arena, json_get(body, "tags"), &c->row.tags, why)))
        return e;
    if (json_get(body, "notes"))
        c->row.notes = notes.p ? notes : STR("");
    bool roots_given;
    struct str roots;
    if ((e = client_roots_read(c->q, &roots_given, &roots, why)) ||
        (roots_given && (e = client_roots_put(db, c->q->arena, c->row.id, roots, why))))
        return e;
    return connection_update(db, &c->row, why);
}

/* Once outside the transaction: an issuer may have to be asked, and nobody who writes waits for that. */
static enum err rehearse_oauth(struct web_request *q, struct revocation **leaving, struct fault *why)
{
    const struct json *body = body_of(q), *fields;
    struct change c = { .q = q };
    enum err e;
    if (!json_get(body, "oauth_client") && !json_get(body, "scopes") && !json_get(body, "fields"))
        return ERR_NONE;
    if ((e = connection_need(q, q->db, q->params[0], q->route->right, &c.row, why)) ||
        (e = body_object(body, "fields", &fields, why)))
        return e;
    const struct obtain *how = obtain_find(c.row.auth_type);
    struct str before = c.row.fields;
    if (!obtain_takes_client(how))
        return ERR_NONE;
    if (fields && (e = change_fields(&c, q->db, fields, why)))
        return e;
    if (!(e = connection_oauth_change(q, q->db, &c.row, before, false, &c.another, why)) && c.another)
        *leaving = connection_oauth_leave(q, c.row.id);
    return e;
}

/* What belonged to another client goes back to the provider, once it is another's. */
static void give_back(struct change *c, enum err e)
{
    if (!e && c->another)
        revocation_go(c->leaving);
    else
        revocation_free(c->leaving);
}

enum err connections_patch(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const members[] = { "name", "notes",     "fields",         "default",   "state",
                                           "key",  "auth_type", "allowed_domain", "connector", "folder",
                                           "tags", "tls_ca",    "oauth_client",   "scopes",    NULL };
    struct change c = { .q = q };
    enum err e;
    if ((e = web_only_query(q, state_query, why)) || (e = web_flag(q, "force", &c.force, why)) ||
        (e = json_only(body_of(q), members, "", why)) || (e = rehearse_oauth(q, &c.leaving, why)))
        return e;
    e = change_write(&c, apply_patch, why);
    if (!e)
        switchboard_forget_connection(q->hub->switchboard, c.row.id);
    give_back(&c, e);
    if (e)
        return refused(&c, r, e);
    return connection_reply(q, r, c.row.id, why);
}

/* ---- credentials ---- */

/* Where its secrets go stays, whatever changes with them: what it was granted is sent there, too. */
static enum err lay_patch(struct change *c, struct db *db, struct fault *why)
{
    const struct connector *connector;
    const struct json *fields;
    struct str before = c->row.fields;
    bool another;
    enum err e;
    if (!c->patch)
        return ERR_NONE;
    if ((e = rights_need_on_connection(db, c->q->arena, c->q->caller, c->row.id, c->row.folder, RIGHT_EDIT, why)) ||
        (e = find_connector(c->q, c->row.connector, &connector, why)) ||
        (e = connection_fields_lay(c->q, connector, &c->row, c->patch, &fields, why)))
        return e;
    return connection_oauth_change(c->q, db, &c->row, before, false, &another, why);
}

static enum err apply_credentials(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    struct web_request *q = c->q;
    const struct setup *s = c->setup;
    struct json *fields;
    enum err e;
    bool disabled = false;
    if ((e = change_begin(c, db, why)) || (e = lay_patch(c, db, why)) ||
        (e = policy_check(q, db, &c->row, POLICY_AUTHENTICATE, why)) ||
        (e = policy_starts_disabled(q, db, &c->row, &disabled, why)) || (e = json_read(q->arena, c->row.fields, &fields, why)) ||
        (s && (e = check_auth(q, s->connector, c->row.auth_type, fields, s->secrets, s->secret_count, why))) ||
        (s && (e = connection_replace_secrets(db, q->hub->keyring, q->arena, &c->row, s->secrets, s->secret_count, why))) ||
        (e = client_certificate_put(q, db, c->row.id, &c->certificate, why)))
        return e;
    if (s && (e = grant_resume(db, STR(""), c->row.id, why)))
        return e;
    /* Someone who disabled it meant it: new credentials do not enable it again. */
    if (s && (c->row.state == CONNECTION_NEEDS_AUTH || c->row.state == CONNECTION_DRAFT))
        c->row.state = disabled ? CONNECTION_DISABLED : CONNECTION_ACTIVE;
    if (c->another && (e = connection_oauth_left(db, c->leaving, &c->row, why)))
        return e;
    if (s && (e = connection_oauth_credentials(q, db, s->connector, &c->row, s->secrets, s->secret_count, why)))
        return e;
    if ((e = connection_adopt(db, &c->row, q->caller->principal, why)))
        return e;
    c->row.health = HEALTH_UNKNOWN;
    if (!c->tried)
        return connection_update(db, &c->row, why);
    c->row.account = c->account.n ? c->account : c->row.account;
    if ((e = connection_update(db, &c->row, why)))
        return e;
    c->row.health = HEALTH_OK;
    return connection_set_health(db, c->row.id, HEALTH_OK, clock_wall(), c->row.account, why);
}

/* {"credentials": {...}} as in POST, with "fields" that change with them, or the credentials themselves: they are what is PUT here.
 */
static const struct json *sent_credentials(const struct web_request *q, const struct json **fields)
{
    const struct json *body = body_of(q), *wrapped = json_get(body, "credentials"), *patch = json_get(body, "fields");
    bool with_fields = body->count == 2 && json_is(patch, JSON_OBJECT);
    bool whole = json_is(wrapped, JSON_OBJECT) && (body->count == 1 || with_fields);
    *fields = whole && with_fields ? patch : NULL;
    return whole ? wrapped : body;
}

static enum err credentials_checked(struct web_request *q, struct reply *r, struct fault *why, struct str *id)
{
    struct change c = { .q = q };
    const struct connector *connector;
    struct setup s = { 0 };
    enum err e;
    static const char *const allowed[] = { "folder", "verify", "accept_account_change", NULL };
    bool accept;
    if ((e = web_only_query(q, allowed, why)) || (e = web_flag(q, "verify", &c.tried, why)) ||
        (e = web_flag(q, "accept_account_change", &accept, why)) ||
        (e = connection_need(q, q->db, q->params[0], RIGHT_SECRETS_WRITE, &c.row, why)) ||
        (e = find_connector(q, c.row.connector, &connector, why)))
        return e;
    struct presets presets = { .q = q, .row = { .connector = c.row.connector, .folder = c.row.folder } };
    const struct json *certificate, *rest = client_certificate_part(q->arena, sent_credentials(q, &c.patch), &certificate);
    if ((e = lay_patch(&c, q->db, why)))
        return e;
    if ((e = client_certificate_read(q, certificate, CERTIFICATE_POINTER, issued_kinds, &c.certificate, why)))
        return e;
    /* A certificate alone is renewed alone: the other credentials stay as they are. */
    if (!certificate || rest->count) {
        const struct json *fields = NULL;
        c.setup = &s;
        e = presets_apply(&presets, &fields, &rest, why);
        if (!e)
            e = setup_check_credentials(q->arena, connector, c.row.auth_type, rest, &s, why);
        if (!e && !s.has_credentials)
            e = body_fault(why, ERR_FIELD_REQUIRED, "credentials", "");
    }
    c.tried &= c.setup != NULL;
    if (!e && c.tried)
        e = connection_try(q, r, &c.row, s.secrets, s.secret_count, accept, &c.account, why);
    if (!e && c.setup)
        e = connection_oauth_rehearse(q, connector, &c.row, s.secrets, s.secret_count, &c.another, why);
    if (!e && c.another)
        c.leaving = connection_oauth_leave(q, c.row.id);
    if (!e)
        e = change_write(&c, apply_credentials, why);
    if (!e)
        switchboard_forget_connection(q->hub->switchboard, c.row.id);
    give_back(&c, e);
    client_certificate_end(&c.certificate);
    setup_end(&s);
    presets_end(&presets);
    *id = c.row.id;
    return e;
}

enum err connections_credentials(struct web_request *q, struct reply *r, struct fault *why)
{
    struct str id;
    enum err e = credentials_checked(q, r, why, &id);
    body_wipe(q);
    return e ? e : connection_reply(q, r, id, why);
}

/* ---- enable, disable, default ---- */

static enum err apply_enable(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum connection_state state;
    enum err e;
    if ((e = change_begin(c, db, why)) || (e = policy_check_authorize(c->q, db, &c->row, why)) ||
        (e = enabled_state(c->q, db, &c->row, &state, why)))
        return e;
    if (c->row.state == state)
        return ERR_NONE;
    c->row.state = state;
    return connection_update(db, &c->row, why);
}

static enum err apply_disable(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum err e = change_begin(c, db, why);
    if (e || c->row.state == CONNECTION_DISABLED)
        return e;
    return (e = disable(c, db, why)) ? e : connection_update(db, &c->row, why);
}

static enum err apply_default(struct db *db, void *context, struct fault *why)
{
    struct change *c = context;
    enum err e = change_begin(c, db, why);
    if (e || c->row.is_default)
        return e;
    c->row.is_default = true;
    return connection_update(db, &c->row, why);
}

static enum err act(struct web_request *q, struct reply *r, store_work *work, struct fault *why)
{
    static const char *const no_members[] = { NULL };
    struct change c = { .q = q };
    enum err e;
    if ((e = web_only_query(q, work == apply_disable ? state_query : object_query, why)) ||
        (e = web_flag(q, "force", &c.force, why)) || (e = json_only(body_of(q), no_members, "", why)) ||
        (e = change_write(&c, work, why)))
        return refused(&c, r, e);
    switchboard_forget_connection(q->hub->switchboard, c.row.id);
    return connection_reply(q, r, c.row.id, why);
}

enum err connections_enable(struct web_request *q, struct reply *r, struct fault *why) { return act(q, r, apply_enable, why); }
enum err connections_disable(struct web_request *q, struct reply *r, struct fault *why) { return act(q, r, apply_disable, why); }
enum err connections_default(struct web_request *q, struct reply *r, struct fault *why) { return act(q, r, apply_default, why); }
