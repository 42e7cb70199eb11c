/* web/connection_duplicate.c - a second connection like one that is there, perhaps with another way to authenticate (CON-22, D2).
 *
 * What fits is copied; credentials never are, and of client certificates only the choice to show the hub's: a private key that
 * belongs to one connection does not come to belong to two. The copy is made as any other is: the same checks, rights and
 * policies. */
#include "access/rights.h"
#include "vault/certificate.h"
#include "auth/oauth_client.h"
#include "auth/obtain.h"
#include "web/body.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"

struct copy {
    struct web_request *q;
    struct connection_row from;
    const struct connector *connector;
    const struct connector_auth *auth;
    struct str auth_type, folder, name;
    bool dry_run, names;        /* names: of those who depend on it, for who may change it */
    struct connection_tls tls;  /* of the first one */
    bool lacks_certificate;     /* the first one has one of its own, and none was sent */
    struct json *body, *last;   /* what creating is asked */
};

static void add(struct copy *c, const char *name, struct json *v)
{
    v->key = str_of(name);
    json_link(c->q->arena, c->body, &c->last, v);
}

static void add_text(struct copy *c, const char *name, struct str text)
{
    struct json *v = json_new(c->q->arena, JSON_STRING);
    v->text = arena_str(c->q->arena, text); /* creating wipes what it was given */
    add(c, name, v);
}

/* A member of the request as it came: its value moves over, so that there is no second copy of a credential. */
static void add_sent(struct copy *c, const char *name)
{
    const struct json *sent = json_get(body_of(c->q), name);
    if (!sent)
        return;
    struct json *v = json_new(c->q->arena, sent->type);
    struct str key = v->key;
    *v = *sent;
    v->key = key;
    v->next = NULL;
    add(c, name, v);
}

static struct json *text_node(struct arena *a, const char *key, const char *text)
{
    struct json *v = json_new(a, JSON_STRING);
    v->key = str_of(key);
    v->text = arena_str(a, str_of(text)); /* wiped, as above */
    return v;
}

/* What was sent, and the hub's certificate where the first one shows it. */
static void add_credentials(struct copy *c)
{
    struct arena *a = c->q->arena;
    const struct json *sent = json_get(body_of(c->q), "credentials");
    bool chosen = json_is(sent, JSON_OBJECT) && json_get(sent, "client_certificate");
    if (chosen || !c->tls.has_certificate || c->tls.source != CERTIFICATE_INSTANCE) {
        c->lacks_certificate = c->tls.has_certificate && !chosen;
        add_sent(c, "credentials");
        return;
    }
    struct json *all = json_new(a, JSON_OBJECT), *last = NULL, *issue = json_new(a, JSON_OBJECT), *none = NULL;
    json_each (v, sent) {
        struct json *copy = json_new(a, v->type);
        *copy = *v;
        copy->next = NULL;
        json_link(a, all, &last, copy);
    }
    json_link(a, issue, &none, text_node(a, "issue", "instance"));
    issue->key = STR("client_certificate");
    json_link(a, all, &last, issue);
    add(c, "credentials", all);
}

static bool takes(const struct connector *c, const struct connector_auth *auth, struct str field)
{
    for (size_t i = 0; i < c->field_count; i++)
        if (str_eq(c->fields[i].key, field))
            return true;
    for (size_t i = 0; i < auth->field_count; i++)
        if (str_eq(auth->fields[i].key, field))
            return !auth->fields[i].generated; /* the copy has its own */
    return false;
}

/* The stored fields that the other auth type knows too, under those that were sent. */
static enum err add_fields(struct copy *c, struct fault *why)
{
    struct json *stored, *all = json_new(c->q->arena, JSON_OBJECT), *last = NULL;
    const struct json *sent = json_get(body_of(c->q), "fields");
    enum err e = json_read(c->q->arena, c->from.fields, &stored, why);
    if (e)
        return e;
    const struct json *sources[] = { sent, stored };
    for (size_t i = 0; i < COUNT(sources); i++)
        json_each (field, sources[i]) {
            if (i == 1 && (!takes(c->connector, c->auth, field->key) || (sent && json_get_str(sent, field->key))))
                continue;
            struct json *v = json_new(c->q->arena, field->type);
            *v = *field;
            v->next = NULL;
            json_link(c->q->arena, all, &last, v);
        }
    add(c, "fields", all);
    return ERR_NONE;
}

static enum err add_tags(struct copy *c, struct fault *why)
{
    struct json *tags;
    enum err e = json_read(c->q->arena, c->from.tags, &tags, why);
    if (!e)
        add(c, "tags", tags);
    return e;
}

static enum err read_request(struct copy *c, struct fault *why)
{
    static const char *const members[] = { "auth_type",   "key",          "name",   "folder",  "fields",
                                           "credentials", "oauth_client", "scopes", "dry_run", NULL };
    struct web_request *q = c->q;
    const struct json *body = body_of(q), *object;
    enum err e;
    if ((e = json_only(body, members, "", why)) || (e = body_text(body, "auth_type", false, 64, &c->auth_type, why)) ||
        (e = body_text(body, "folder", false, 1024, &c->folder, why)) ||
        (e = body_text(body, "name", false, 1024, &c->name, why)) || (e = body_object(body, "fields", &object, why)) ||
        (e = body_object(body, "credentials", &object, why)) || (e = body_bool(body, "dry_run", &c->dry_run, why)) ||
        (e = connection_seen(q, q->db, q->params[0], &c->from, why)) ||
        (e = connection_tls_get(q->db, q->arena, c->from.id, &c->tls, why)))
        return e;
    struct rights rights;
    if ((e = rights_on_connection(q->db, q->arena, q->caller, c->from.id, c->from.folder, &rights, why)))
        return e;
    c->names = rights.mask & RIGHT_BIT(RIGHT_EDIT);
    /* A copy: creating wipes the request. */
    c->auth_type = arena_str(q->arena, c->auth_type.n ? c->auth_type : c->from.auth_type);
    c->connector = catalog_find(q->hub->catalog, c->from.connector);
    if (!c->connector)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, c->from.connector, "the stored connector is gone");
    c->auth = connector_auth_find(c->connector, c->auth_type);
    if (c->auth)
        return ERR_NONE;
    fault(why, ERR_AUTH_TYPE_NOT_OFFERED, c->auth_type, "duplicate");
    return fault_at(why, "/auth_type");
}

/* The same client and scopes, unless others were sent. */
static enum err add_oauth(struct copy *c, struct fault *why)
{
    struct connection_oauth stored;
    enum err e = connection_oauth_get(c->q->db, c->q->arena, c->from.id, &stored, why);
    const struct obtain *how = obtain_find(c->auth_type);
    if (e || !obtain_takes_client(how))
        return e;
    bool alike = how->oauth || str_eq(c->auth_type, c->from.auth_type);
    add_sent(c, "oauth_client");
    if (how->oauth)
        add_sent(c, "scopes");
    if (!json_get(body_of(c->q), "oauth_client") && str_starts(stored.client, STR("cli_")) && alike)
        add_text(c, "oauth_client", stored.client);
    if (how->oauth && !json_get(body_of(c->q), "scopes") && stored.scopes.p)
        add_text(c, "scopes", stored.scopes);
    return ERR_NONE;
}

static enum err make_body(struct copy *c, struct fault *why)
{
    struct web_request *q = c->q;
    c->body = json_new(q->arena, JSON_OBJECT);
    add_text(c, "connector", c->from.connector);
    add_text(c, "auth_type", c->auth_type);
    add_text(c, "name", c->name.n ? c->name : str_fmt(q->arena, "%.*s (2)", STR_ARG(c->from.name)));
    add_text(c, "folder", c->folder.n ? c->folder : c->from.folder);
    add_text(c, "allowed_domain", c->from.allowed_domain);
    if (c->from.notes.n)
        add_text(c, "notes", c->from.notes);
    if (c->tls.authorities.n)
        add_text(c, "tls_ca", c->tls.authorities);
    add_sent(c, "key");
    add_credentials(c);
    enum err e = c->from.tags.p ? add_tags(c, why) : ERR_NONE;
    if (!e)
        e = add_oauth(c, why);
    return e ? e : add_fields(c, why);
}

/* What has to be filled in before the copy can be used; missing_client_certificate: at a provider that asks for one. */
static void write_missing(const struct copy *c, struct json_out *o)
{
    const struct json *sent = json_get(c->body, "credentials");
    const struct auth_method *method = auth_find(c->auth_type);
    json_key(o, "missing_credentials");
    json_open(o, '[');
    for (const struct auth_field *f = method ? method->fields : NULL; f && f->name; f++)
        if (f->required && !json_get(sent, f->name))
            json_put_str(o, str_of(f->name));
    json_close(o, ']');
    json_member_bool(o, "missing_client_certificate", c->lacks_certificate);
}

/* Which certificate the copy would show; a pair that was sent is not shown again. */
static struct str certificate_of_copy(const struct copy *c)
{
    const struct json *credentials = json_get(c->body, "credentials");
    const struct json *v = json_is(credentials, JSON_OBJECT) ? json_get(credentials, "client_certificate") : NULL;
    if (!json_is(v, JSON_OBJECT))
        return STR_NONE;
    return json_is(json_get(v, "issue"), JSON_STRING) ? json_str(v, "issue") : STR("own");
}

/* Who still points at the first one, and would have to be pointed at the copy. */
static void write_report(const struct copy *c, struct json_out *o, const struct dependants *d)
{
    json_key(o, "copied_from");
    json_open(o, '{');
    json_member_str(o, "id", c->from.id);
    json_member_str(o, "key", c->from.key);
    json_member_bool(o, "default", c->from.is_default);
    dependants_write(o, d, c->names);
    json_close(o, '}');
}

static void write_dry_run(const struct copy *c, struct reply *r, const struct dependants *d)
{
    static const char *const shown[] = { "connector", "auth_type", "name", "key", "folder", "allowed_domain", "fields",
                                        "notes",     "tags",      "tls_ca", NULL };
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_key(&o, "would_create");
    json_open(&o, '{');
    for (size_t i = 0; shown[i]; i++) {
        const struct json *v = json_get(c->body, shown[i]);
        if (!v)
            continue;
        json_key(&o, shown[i]);
        json_put(&o, v);
    }
    json_member_str(&o, "client_certificate", certificate_of_copy(c));
    json_close(&o, '}');
    write_missing(c, &o);
    write_report(c, &o, d);
    json_close(&o, '}');
}

/* The new connection as creating answered it, with the report behind its members. */
static void extend(const struct copy *c, struct reply *r, const struct dependants *d)
{
    AUTO_BUF more;
    buf_init(&more, 256 * 1024);
    struct json_out o = json_out(&more);
    json_open(&o, '{');
    write_missing(c, &o);
    write_report(c, &o, d);
    json_close(&o, '}');
    if (buf_failed(&more) || !r->body.n || r->body.p[r->body.n - 1] != '}')
        return;
    r->body.p[r->body.n - 1] = ',';
    buf_add(&r->body, str_sub(buf_str(&more), 1, more.n));
}

enum err connections_duplicate(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL };
    struct copy c = { .q = q };
    struct dependants d;
    struct json *sent = q->json;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = read_request(&c, why)) || (e = make_body(&c, why)) ||
        (e = dependants_find(q->db, q->arena, c.from.id, &d, why)))
        return e;
    if (c.dry_run) {
        write_dry_run(&c, r, &d); /* first: the rehearsal wipes what was sent */
        q->audit.action = "connection.copy_plan"; /* nothing was changed */
    }
    q->json = c.body;
    e = connections_copy(q, c.dry_run ? NULL : r, c.from.revision, why);
    q->json = sent;
    if (!e && !c.dry_run)
        extend(&c, r, &d);
    if (e)
        buf_clear(&r->body);
    return e;
}
