/* web/connection_change.c - change a connection: what it is, its credentials, its state. */
#include "vault/connection.h"

#include "access/folder.h"
#include "access/rights.h"
#include "auth/revocation.h"
#include "web/body.h"
#include "web/change.h"
#include "web/client_certificate.h"
#include "web/connection_fields.h"
#include "web/connection_input.h"
#include "web/connection_oauth.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"
#include "web/policy_check.h"

static const char *const object_query[] = { "folder", NULL }, *const state_query[] = { "folder", "force", NULL };

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
    struct str after = connection_with_credentials(c->q, connection_audit(c->q, &c->row), c->setup);
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
    if ((e = connection_find_connector(q, c->row.connector, &connector, why)) ||
        (e = connection_fields_lay(q, connector, &c->row, patch, &fields, why)) || c->row.state == CONNECTION_NEEDS_AUTH ||
        c->row.state == CONNECTION_DRAFT)
        return e;
    e = connection_open_secrets(db, q->hub->keyring, q->arena, &c->row, secrets, &n, why);
    if (!e && n)
        e = connection_check_auth(q, connector, c->row.auth_type, fields, secrets, n, why);
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
        (e = body_text(body, "name", json_get(body, "name") != NULL, CONNECTION_NAME_BYTES, &name, why)) ||
        (e = body_prose(body, "notes", CONNECTION_NOTES_BYTES, &notes, why)) ||
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
        (e = connection_find_connector(c->q, c->row.connector, &connector, why)) ||
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
        (s && (e = connection_check_auth(q, s->connector, c->row.auth_type, fields, s->secrets, s->secret_count, why))) ||
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
        (e = connection_find_connector(q, c.row.connector, &connector, why)))
        return e;
    struct presets presets = { .q = q, .row = { .connector = c.row.connector, .folder = c.row.folder } };
    const struct json *certificate, *rest = client_certificate_part(q->arena, sent_credentials(q, &c.patch), &certificate);
    if ((e = lay_patch(&c, q->db, why)))
        return e;
    if ((e = client_certificate_read(q, certificate, CONNECTION_CERTIFICATE, connection_issued_kinds, &c.certificate, why)))
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
