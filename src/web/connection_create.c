/* web/connection_create.c - make a connection. */
#include "vault/connection.h"

#include "access/folder.h"
#include "access/rights.h"
#include "catalog/setup.h"
#include "web/body.h"
#include "web/change.h"
#include "web/client_certificate.h"
#include "web/connection_input.h"
#include "web/connection_oauth.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/policy_check.h"

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
    bool copy;                    /* of a connection, of which this revision was read */
    int64_t copied;
};

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
        (c->copy && (e = web_if_match(q, c->copied, why))) || (e = connection_folder_room(db, c->row.folder, why)) ||
        (e = policy_check(q, db, &c->row, POLICY_CREATE, why)) || (e = look_for_same_name(c, db, why)) ||
        (e = begin_state(c, db, why)) ||
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
    q->audit.after = connection_with_credentials(q, connection_audit(q, &c->row), c->setup);
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
        (e = body_text(body, "name", false, CONNECTION_NAME_BYTES, &name, why)) ||
        (e = body_text(body, "folder", false, 1024, &c->folder, why)) ||
        (e = body_text(body, "allowed_domain", false, 1024, &in->domain, why)) ||
        (e = body_object(body, "fields", &in->fields, why)) || (e = body_object(body, "credentials", &in->credentials, why)) ||
        (e = body_prose(body, "notes", CONNECTION_NOTES_BYTES, &c->row.notes, why)) ||
        (json_get(body, "tags") && (e = connection_tags_read(q->arena, json_get(body, "tags"), &c->row.tags, why))) ||
        (e = body_bool(body, "default", &c->make_default, why)) ||
        (e = connection_find_connector(q, in->connector_id, &in->connector, why)) ||
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
                     ? connection_check_auth(q, s->connector, s->auth->type, s->fields_json, s->secrets, s->secret_count, why)
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
static enum err create_checked(struct creation *c, struct reply *r, struct fault *why)
{
    struct web_request *q = c->q;
    struct creation_input in = { 0 };
    struct setup s = { 0 };
    struct connection_row row;
    enum err e;
    if (caller_limited(q->caller))
        return fault(why, ERR_DENIED, str_of(right_name(RIGHT_EDIT)), "a token limited to connections makes no new one");
    if ((e = read_creation(q, c, &in, why)))
        return e;
    const struct json *certificate, *rest = client_certificate_part(q->arena, in.credentials, &certificate);
    struct presets presets = { .q = q, .row = { .connector = in.connector->id, .folder = folder_meant(c) } };
    bool given;
    e = presets_apply(&presets, &in.fields, &rest, why);
    if (!e)
        e = setup_check(q->arena, in.connector, in.auth_type, in.fields, rest, in.domain, q->hub->egress, q->hub->header_digits_ok,
                        &s, why);
    if (!e)
        e = settle_oauth(q, c, &s, presets.row.folder, why);
    if (!e && !(e = client_roots_read(q, &given, &c->roots, why)) &&
        !(e = client_certificate_read(q, certificate, CONNECTION_CERTIFICATE, connection_issued_kinds, &c->certificate, why)))
        e = store_creation(q, c, &s, why);
    client_certificate_end(&c->certificate);
    setup_end(&s);
    presets_end(&presets);
    if (e || c->rehearsed)
        return e;
    switchboard_forget_connection(q->hub->switchboard, c->row.id);
    if ((e = connection_get(q->db, q->arena, c->row.id, &row, why)))
        return e;
    r->status = 201;
    reply_header(r, "Location", str_fmt(q->arena, "%.*s/api/v1/connections/%.*s", STR_ARG(q->hub->public_url), STR_ARG(row.id)));
    reply_etag(r, q, row.revision);
    struct json_out o = json_out(&r->body);
    return connection_write(q, &o, &row, c->same_name, why);
}

enum err connections_create(struct web_request *q, struct reply *r, struct fault *why)
{
    struct creation c = { .q = q };
    enum err e = create_checked(&c, r, why);
    body_wipe(q);
    return e;
}

enum err connections_copy(struct web_request *q, struct reply *r, int64_t revision, struct fault *why)
{
    struct creation c = { .q = q, .rehearsed = !r, .copy = true, .copied = revision };
    enum err e = create_checked(&c, r, why);
    body_wipe(q);
    return e;
}
