#include "web/connection_oauth.h"

#include "auth/grant.h"
#include "auth/oauth_profile.h"
#include "auth/obtain.h"
#include "auth/revocation.h"
#include "base/log.h"
#include "http/url.h"
#include "vault/oauth_settings.h"
#include "web/body.h"
#include "web/policy_check.h"

/* ---- reading ---- */

enum err connection_oauth_read(struct web_request *q, struct str auth_type, struct connection_oauth_order *out, struct fault *why)
{
    const struct obtain *how = obtain_find(auth_type);
    const struct json *body = body_of(q), *client = json_get(body, "oauth_client"), *scopes = json_get(body, "scopes");
    *out = (struct connection_oauth_order){ .applies = obtain_takes_client(how),
                                            .by_person = how && how->by_person,
                                            .hosts = STR("") };
    enum err e;
    if (how && how->keyed && scopes && scopes->type != JSON_NULL)
        return body_fault(why, ERR_FIELD_INVALID, "scopes", "the auth type has none");
    if (!out->applies && ((client && client->type != JSON_NULL) || (scopes && scopes->type != JSON_NULL)))
        return body_fault(why, ERR_FIELD_INVALID, client && client->type != JSON_NULL ? "oauth_client" : "scopes",
                          "the auth type has none");
    /* As the API shows it, too: a client sends back what it read. */
    if (json_is(client, JSON_OBJECT))
        out->client = json_str(client, "id");
    else if ((e = body_text(body, "oauth_client", false, 128, &out->client, why)))
        return e;
    out->client_given = client != NULL;
    out->scopes_given = scopes != NULL;
    out->o.client = STR("");
    return connection_scopes_read(q->arena, scopes, "/scopes", &out->o.scopes, why);
}

/* ---- settling ---- */

static bool has_secret(const struct connection_secret *secrets, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(secrets[i].name, name) && secrets[i].value.n)
            return true;
    return false;
}

static enum err unfit(struct fault *why, const char *says) { return body_fault(why, ERR_FIELD_INVALID, "oauth_client", says); }

/* Is the client meant for a connection like this one? */
static enum err check_fit(const struct oauth_client *c, const struct connection_row *row, struct fault *why)
{
    const struct json *grants = json_get(c->settings, "grant_types"), *domains = json_get(c->settings, "allowed_domains");
    struct str prefix = STR("oauth2_"), type = row->auth_type;
    bool oauth = str_starts(type, prefix);
    if (c->connector.n && !str_eq(c->connector, row->connector))
        return unfit(why, "it is a client of another connector");
    /* An access key is no OAuth client: one that holds one says so. */
    bool permitted = !grants && oauth;
    json_each(g, grants)
        permitted |= str_eq(g->text, oauth ? str_sub(type, prefix.n, type.n) : type);
    if (!permitted)
        return unfit(why, "it is not for this auth type");
    permitted = !domains;
    json_each(d, domains)
        permitted |= policy_pattern_covers(d->text, row->allowed_domain);
    return permitted ? ERR_NONE : unfit(why, "its tokens do not go to this allowed domain");
}

/* Is it the client that administrators want to be used (GOV-01)? Each of their policies says, whichever of them filled it in. */
static enum err ask_policies(struct web_request *q, struct db *db, const struct connection_row *row, bool own, struct str client,
                             struct str scopes, struct fault *why)
{
    const struct policy_set *set = policies_now(q);
    struct policy_subject s;
    if (!set || !set->count)
        return ERR_NONE;
    enum err e = policy_subject_of(q, db, row, POLICY_AUTHENTICATE, &s, why);
    if (e)
        return e;
    s.client = connection_client_with(row->auth_type, s.fields, own, client);
    s.client.scopes = scopes;
    e = policy_decide(set, &s, NULL, why);
    return e == ERR_PRESET_ENFORCED ? fault_at(why, "/oauth_client") : e;
}

static enum err choose_client(struct web_request *q, struct db *db, const struct connection_row *row, bool own,
                              struct connection_oauth_order *order, struct fault *why)
{
    struct preset_client preset;
    struct oauth_client c;
    enum err e;
    const struct obtain *how = obtain_find(row->auth_type);
    if (!str_starts(row->auth_type, STR("oauth2_")) && !how->keyed)
        return order->client.n ? unfit(why, "the auth type has none") : ERR_NONE;
    if (order->client.n && own)
        return unfit(why, "give an OAuth client, or one of your own, not both");
    if ((e = preset_oauth_client(q, db, row, &preset, why)))
        return e;
    if (preset.enforced &&
        (own || (order->client.n && !str_eq(order->client, preset.client) && !str_eq(order->client, preset.key)))) {
        fault(why, ERR_PRESET_ENFORCED, preset.says, "oauth client");
        return fault_at(why, !own ? "/oauth_client" : how->keyed ? "/credentials/access_key_id" : "/credentials/client_id");
    }
    if (own)
        return ask_policies(q, db, row, true, STR(""), order->o.scopes, why);
    struct str wanted = order->client.n ? order->client : preset.client;
    if (!wanted.n || str_starts(wanted, STR("pol_"))) {
        order->o.client = preset.client.n && str_eq(wanted, preset.client) ? wanted : STR("");
        return ask_policies(q, db, row, false, order->o.client, order->o.scopes, why);
    }
    if ((e = oauth_client_get(db, q->arena, wanted, &c, why)))
        return fault_at(why, "/oauth_client");
    order->o.client = c.id;
    return (e = check_fit(&c, row, why)) ? e : ask_policies(q, db, row, false, c.id, order->o.scopes, why);
}

/* https, or http towards hosts that the administrator lists: for where the browser is sent, too. */
static enum err check_urls(struct web_request *q, const struct oauth_profile *p, struct fault *why)
{
    const struct str urls[] = { p->authorization_url, p->token_url, p->revocation_url, p->device_url, p->introspection_url,
                                p->par_url };
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct url url;
        enum err e = urls[i].n ? url_parse(q->arena, urls[i], &url, why) : ERR_NONE;
        if (!e && urls[i].n)
            e = egress_check_url(q->hub->egress, url.https, url.host, url.port, why);
        if (e)
            return fault_at(why, "/oauth_client");
    }
    return ERR_NONE;
}

static bool has_all(struct str auth_type, const struct connection_secret *secrets, size_t n)
{
    const struct auth_method *m = auth_find(auth_type);
    for (const struct auth_field *f = m ? m->fields : NULL; f && f->name; f++)
        if (f->required && !has_secret(secrets, n, f->name))
            return false;
    return m != NULL;
}

static struct auth_input lend(struct auth_secret lent[CONNECTION_SECRETS], const struct connector_auth *auth,
                              const struct json *fields, const struct connection_secret *secrets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        lent[i] = (struct auth_secret){ secrets[i].name, secrets[i].value };
    return (struct auth_input){ .options = auth ? auth->options : NULL, .fields = fields, .secrets = lent, .secret_count = n };
}

/* A client's access key signs a request to AWS's own token service, or to one of the client's token hosts. */
static enum err check_sts(struct web_request *q, struct db *db, const struct json *fields, struct str client, struct fault *why)
{
    struct oauth_client c;
    struct url url;
    struct str door = json_str(fields, "sts_endpoint");
    enum err e;
    if (!door.n || !client.n)
        return ERR_NONE;
    if ((e = url_parse(q->arena, door, &url, why)))
        return fault_at(why, "/fields/sts_endpoint");
    if (str_starts(client, STR("cli_")) && (e = oauth_client_get(db, q->arena, client, &c, why)))
        return e;
    if (str_starts(client, STR("cli_")) && oauth_hosts_hold(json_get(c.settings, "token_hosts"), url.host))
        return ERR_NONE;
    fault(why, ERR_TOKEN_HOST_NOT_ALLOWED, url.host, "sts_endpoint with a client's key");
    return fault_at(why, "/fields/sts_endpoint");
}

static enum err settle_key(struct web_request *q, struct db *db, const struct connection_row *row, const struct json *fields,
                           const struct connection_secret *secrets, size_t n, struct connection_oauth_order *order,
                           struct fault *why)
{
    bool own = has_secret(secrets, n, "access_key_id");
    enum err e = choose_client(q, db, row, own, order, why);
    if (e || (e = check_sts(q, db, fields, order->o.client, why)))
        return e;
    order->ready = own || order->o.client.n;
    return ERR_NONE;
}

enum err connection_oauth_settle(struct web_request *q, struct db *db, const struct connector *c, const struct connection_row *row,
                                 const struct json *fields, const struct connection_secret *secrets, size_t n,
                                 struct connection_oauth_order *order, struct fault *why)
{
    struct auth_secret lent[CONNECTION_SECRETS];
    struct oauth_profile p;
    bool own = has_secret(secrets, n, "client_id");
    if (!order->applies)
        return ERR_NONE;
    if (obtain_find(row->auth_type)->keyed)
        return settle_key(q, db, row, fields, secrets, n, order, why);
    enum err e = preset_scopes(q, db, row, &order->o.scopes, why);
    if (e || (e = choose_client(q, db, row, own, order, why)))
        return e;
    struct auth_input in = lend(lent, connector_auth_find(c, row->auth_type), fields, secrets, n);
    e = oauth_profile_load(db, q->hub->keyring, q->arena, &in, order->o.client, &p, why);
    if (e == ERR_OAUTH_CLIENT_MISSING && !order->o.client.n && !order->client.n) {
        order->ready = false; /* it waits for its client as others for their credentials */
        return own ? e : ERR_NONE;
    }
    if (e)
        return e;
    order->ready = has_all(row->auth_type, secrets, n);
    e = check_urls(q, &p, why);
    oauth_profile_end(&p);
    if (!e)
        e = oauth_profile_hosts(db, q->hub->keyring, q->arena, &in, order->o.client, &order->hosts, why);
    return e;
}

/* ---- changing ---- */

static enum err has_grant(struct db *db, struct arena *a, struct str id, struct grant *g, bool *out, struct fault *why)
{
    struct fault missing = { 0 };
    enum err e = grant_get(db, a, id, g, &missing);
    *out = !e && g->generation > 0;
    if (e && e != ERR_NOT_FOUND && why)
        *why = missing;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

struct turn {
    struct web_request *q;
    struct db *db;
    const struct connector *connector;
    struct connection_row *row;
    struct connection_oauth before;
    struct connection_secret secrets[CONNECTION_SECRETS];
    size_t n;
    struct connection_oauth_order order;
};

static enum err hosts_of(struct turn *t, struct str fields_text, struct str client, struct str *hosts)
{
    struct auth_secret lent[CONNECTION_SECRETS];
    struct json *fields;
    struct fault ignored;
    *hosts = STR("");
    if (json_read(t->q->arena, fields_text, &fields, &ignored))
        return ERR_NONE;
    struct auth_input in = lend(lent, connector_auth_find(t->connector, t->row->auth_type), fields, t->secrets, t->n);
    /* What was incomplete had no hosts. */
    (void)!oauth_profile_hosts(t->db, t->q->hub->keyring, t->q->arena, &in, client, hosts, &ignored);
    return ERR_NONE;
}

static enum err check_frozen(struct turn *t, struct str fields_before, struct fault *why)
{
    struct grant g;
    struct str hosts;
    bool granted;
    enum err e = has_grant(t->db, t->q->arena, t->row->id, &g, &granted, why);
    if (e || (!granted && !t->n))
        return e;
    (void)hosts_of(t, fields_before, t->before.client, &hosts);
    if (!hosts.n || str_eq(hosts, t->order.hosts))
        return ERR_NONE;
    return body_fault(why, ERR_FIELD_IMMUTABLE, t->order.client_given ? "oauth_client" : "fields",
                      "its secrets would go to another token host; make a new connection");
}

/* What is asked for, over what is stored. */
static enum err merge_order(struct turn *t, struct fault *why)
{
    struct connection_oauth_order *o = &t->order;
    enum err e = connection_oauth_read(t->q, t->row->auth_type, o, why);
    if (e)
        return e;
    if (!o->client_given)
        o->client = t->before.client;
    if (!o->scopes_given)
        o->o.scopes = t->before.scopes;
    return ERR_NONE;
}

/* Who gets its tokens: a client of the hub or a policy's, else one of its own by its id. */
static struct str client_of(struct str client, const struct connection_secret *secrets, size_t n, const struct json *fields)
{
    if (client.n)
        return client;
    for (size_t i = 0; i < n; i++)
        if (str_is(secrets[i].name, "client_id") || str_is(secrets[i].name, "access_key_id"))
            return secret_str(secrets[i].value);
    return json_str(fields, "client_id");
}

static enum err is_another(struct turn *t, struct str fields_before, const struct json *fields, bool *another, struct fault *why)
{
    struct json *before = NULL;
    struct fault ignored;
    struct grant g;
    (void)!json_read(t->q->arena, fields_before, &before, &ignored);
    if (str_eq(client_of(t->before.client, t->secrets, t->n, before), client_of(t->order.o.client, t->secrets, t->n, fields)))
        return ERR_NONE;
    return has_grant(t->db, t->q->arena, t->row->id, &g, another, why);
}

static enum err turn_run(struct turn *t, struct str fields_before, bool store, bool *another, struct fault *why)
{
    struct json *fields;
    enum err e;
    if ((e = connection_oauth_get(t->db, t->q->arena, t->row->id, &t->before, why)) || (e = merge_order(t, why)) ||
        (e = json_read(t->q->arena, t->row->fields, &fields, why)) ||
        (e = connection_open_secrets(t->db, t->q->hub->keyring, t->q->arena, t->row, t->secrets, &t->n, why)) ||
        (e = connection_oauth_settle(t->q, t->db, t->connector, t->row, fields, t->secrets, t->n, &t->order, why)) ||
        (e = check_frozen(t, fields_before, why)) || (e = is_another(t, fields_before, fields, another, why)) || !store)
        return e;
    if (t->order.client_given && !t->order.hosts.n && !(t->order.ready && obtain_find(t->row->auth_type)->keyed)) {
        fault(why, ERR_OAUTH_CLIENT_MISSING, STR(""), "the one that it had is taken away");
        return fault_at(why, "/oauth_client");
    }
    if (t->row->state == CONNECTION_NEEDS_AUTH && t->order.ready && !t->order.by_person)
        t->row->state = CONNECTION_ACTIVE;
    if ((e = connection_oauth_put(t->db, t->row->id, &t->order.o, why)))
        return e;
    return grant_resume(t->db, STR_NONE, t->row->id, why);
}

enum err connection_oauth_change(struct web_request *q, struct db *db, struct connection_row *row, struct str before, bool store,
                                 bool *another, struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    const struct json *body = body_of(q);
    bool asked = json_get(body, "oauth_client") || json_get(body, "scopes");
    struct turn t = { .q = q, .db = db, .row = row, .connector = catalog_find(q->hub->catalog, row->connector) };
    enum err e;
    *another = false;
    if (!obtain_takes_client(how))
        return connection_oauth_read(q, row->auth_type, &t.order, why);
    if (!asked && !json_get(body, "fields"))
        return ERR_NONE;
    if (!t.connector)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, row->connector, "stored connector is gone");
    e = turn_run(&t, before, store, another, why);
    connection_secrets_end(t.secrets, t.n);
    return e;
}

/* A client of one's own takes the place of the one that was chosen. */
static enum err settle_credentials(struct web_request *q, struct db *db, const struct connector *c,
                                   const struct connection_row *row, const struct connection_secret *secrets, size_t n,
                                   struct connection_oauth_order *order, struct str *before, struct json **fields,
                                   struct fault *why)
{
    bool keyed = obtain_find(row->auth_type)->keyed;
    enum err e;
    *order = (struct connection_oauth_order){ .applies = true, .hosts = STR("") };
    if ((e = connection_oauth_get(db, q->arena, row->id, &order->o, why)) || (e = json_read(q->arena, row->fields, fields, why)))
        return e;
    *before = order->o.client;
    order->client = has_secret(secrets, n, keyed ? "access_key_id" : "client_id") ? STR_NONE : order->o.client;
    order->o.client = STR("");
    return connection_oauth_settle(q, db, c, row, *fields, secrets, n, order, why);
}

enum err connection_oauth_credentials(struct web_request *q, struct db *db, const struct connector *c, struct connection_row *row,
                                      const struct connection_secret *secrets, size_t n, struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    struct connection_oauth_order order;
    struct json *fields;
    struct str before;
    enum err e;
    if (!obtain_takes_client(how))
        return ERR_NONE;
    if ((e = settle_credentials(q, db, c, row, secrets, n, &order, &before, &fields, why)) ||
        (e = connection_oauth_put(db, row->id, &order.o, why)))
        return e;
    struct grant g;
    bool granted = false;
    if (how->by_person && (e = has_grant(db, q->arena, row->id, &g, &granted, why)))
        return e;
    /* Where a person has to say yes, the client alone is not enough. */
    if (row->state == CONNECTION_ACTIVE && (how->by_person ? !granted : !order.ready))
        row->state = CONNECTION_NEEDS_AUTH;
    return grant_resume(db, STR_NONE, row->id, why);
}

enum err connection_oauth_rehearse(struct web_request *q, const struct connector *c, const struct connection_row *row,
                                   const struct connection_secret *secrets, size_t n, bool *another, struct fault *why)
{
    struct connection_secret stored[CONNECTION_SECRETS];
    struct connection_oauth_order order;
    struct json *fields;
    struct str before;
    struct grant g;
    size_t m = 0;
    enum err e;
    *another = false;
    if (!obtain_takes_client(obtain_find(row->auth_type)))
        return ERR_NONE;
    if ((e = settle_credentials(q, q->db, c, row, secrets, n, &order, &before, &fields, why)) ||
        (e = has_grant(q->db, q->arena, row->id, &g, another, why)) || !*another)
        return e;
    struct fault lost; /* what does not open is replaced, and tells of no client */
    if (connection_open_secrets(q->db, q->hub->keyring, q->arena, row, stored, &m, &lost))
        m = 0;
    *another = !str_eq(client_of(before, stored, m, fields), client_of(order.o.client, secrets, n, fields));
    connection_secrets_end(stored, m);
    return ERR_NONE;
}

struct revocation *connection_oauth_leave(struct web_request *q, struct str connection)
{
    struct revocation *r = NULL;
    struct fault why;
    if (q->hub->renewals && revocation_new(q->hub->renewals, connection, &r, &why))
        log_fault(LOG_WARN, "tokens of another client are not given back", &why);
    return r;
}

enum err connection_oauth_left(struct db *db, struct revocation *r, struct connection_row *row, struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    enum err e = revocation_store(db, r, why);
    if (e || (e = grant_drop(db, row->id, why)))
        return e;
    if (how && how->by_person && row->state == CONNECTION_ACTIVE)
        row->state = CONNECTION_NEEDS_AUTH;
    return ERR_NONE;
}

enum err connection_oauth_granted(struct db *db, struct arena *a, const struct connection_row *row, bool *by_person, bool *granted,
                                  struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    struct grant g;
    *by_person = how && how->by_person;
    *granted = false;
    return *by_person ? has_grant(db, a, row->id, &g, granted, why) : ERR_NONE;
}

enum err connection_oauth_audit(struct web_request *q, struct db *db, const struct connection_row *row, struct str *json,
                                struct fault *why)
{
    const struct obtain *how = obtain_find(row->auth_type);
    struct connection_oauth oauth;
    if (!obtain_takes_client(how))
        return ERR_NONE;
    enum err e = connection_oauth_get(db, q->arena, row->id, &oauth, why);
    AUTO_BUF text;
    buf_init(&text, 2 * CONNECTION_SCOPES_MAX);
    struct json_out o = json_out(&text);
    json_open(&o, '{');
    json_member_str(&o, "oauth_client", oauth.client.n ? oauth.client : STR_NONE);
    json_member_str(&o, "scopes", oauth.scopes);
    json_close(&o, '}');
    /* One object of the two. */
    if (!e)
        *json = str_fmt(q->arena, "%.*s,%.*s", (int)json->n - 1, json->p, (int)text.n - 1, text.p + 1);
    return e;
}

/* ---- showing ---- */

bool connection_oauth_applies(struct str auth_type)
{
    return obtain_takes_client(obtain_find(auth_type));
}

static void write_client(struct json_out *o, struct str id, struct str key, struct str name)
{
    json_key(o, "oauth_client");
    json_open(o, '{');
    json_member_str(o, "id", id);
    json_member_str(o, "key", key);
    json_member_str(o, "name", name);
    json_close(o, '}');
}

/* "pol_.../connector", a policy's preset: which policy? Other clients stay as they are. */
static struct str policy_of(struct str client)
{
    struct str id, rest;
    (void)str_cut(client, '/', &id, &rest);
    return id;
}

static struct str joined(struct arena *a, const struct json *list, const struct json *fields)
{
    AUTO_BUF b;
    buf_init(&b, CONNECTION_SCOPES_MAX * 4);
    json_each(s, list) {
        if (b.n)
            buf_char(&b, ' ');
        buf_add(&b, oauth_profile_scope_in(a, s->text, fields));
    }
    return arena_str(a, b.n ? buf_str(&b) : STR(""));
}

static void write_list(struct json_out *o, const char *name, struct str scopes)
{
    struct str piece;
    json_key(o, name);
    json_open(o, '[');
    while (scopes.n && str_piece(&scopes, ' ', &piece))
        if (piece.n)
            json_put_str(o, piece);
    json_close(o, ']');
}

static bool among(struct str list, struct str scope)
{
    struct str piece;
    while (list.n && str_piece(&list, ' ', &piece))
        if (str_eq(piece, scope))
            return true;
    return false;
}

struct str connection_scopes_missing(struct arena *a, struct str requested, struct str granted)
{
    AUTO_BUF b;
    struct str piece;
    buf_init(&b, CONNECTION_SCOPES_MAX * 4);
    while (requested.n && str_piece(&requested, ' ', &piece))
        if (piece.n && !str_is(piece, "offline_access") && !among(granted, piece))
            buf_fmt(&b, b.n ? " %.*s" : "%.*s", STR_ARG(piece));
    return arena_str(a, b.n ? buf_str(&b) : STR(""));
}

void connection_scopes_write(struct json_out *o, struct str requested, struct str granted, struct str missing)
{
    json_key(o, "scopes");
    json_open(o, '{');
    write_list(o, "requested", requested);
    write_list(o, "granted", granted);
    write_list(o, "missing", missing);
    json_close(o, '}');
}

/* The connection's own scopes, else the client's, else the connector's. */
static struct str requested_scopes(struct web_request *q, const struct connection_row *row, const struct connection_oauth_view *v)
{
    struct json *fields = NULL;
    if (v->scopes.p)
        return v->scopes;
    if (json_read(q->arena, row->fields, &fields, NULL))
        fields = NULL;
    if (json_get(v->client_settings, "scopes"))
        return joined(q->arena, json_get(v->client_settings, "scopes"), fields);
    const struct connector *c = catalog_find(q->hub->catalog, row->connector);
    const struct connector_auth *auth = c ? connector_auth_find(c, row->auth_type) : NULL;
    return auth ? joined(q->arena, json_get(json_get(auth->options, "oauth"), "scopes"), fields) : STR("");
}

/* Those of one kind among the clients of connections. */
static struct many named(struct arena *a, const struct connection_oauth *stored, size_t n, bool by_policy)
{
    struct str *ids = arena_array(a, n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        if (stored[i].client.n && str_starts(stored[i].client, STR("pol_")) == by_policy)
            ids[i] = policy_of(stored[i].client);
    return many_of(a, ids, n);
}

/* Which client serves each: one of the hub's own, or a policy's preset. */
static enum err find_clients(struct web_request *q, const struct connection_oauth *stored, size_t n,
                             struct connection_oauth_view *out, struct fault *why)
{
    struct many ids = named(q->arena, stored, n, false), policies = named(q->arena, stored, n, true);
    struct oauth_client *clients = arena_array(q->arena, ids.n + 1, sizeof *clients);
    bool *found = arena_array(q->arena, ids.n + 1, sizeof *found);
    struct str *names = arena_array(q->arena, policies.n + 1, sizeof *names);
    enum err e = ids.n ? oauth_clients_named(q->db, q->arena, &ids, clients, found, why) : ERR_NONE;
    if (!e && policies.n)
        e = many_texts(q->db, q->arena, "SELECT id, name FROM policy WHERE id IN $keys", &policies, names, why);
    for (size_t i = 0, at; !e && i < n; i++) {
        struct connection_oauth_view *v = &out[i];
        if (many_find(&policies, policy_of(stored[i].client), &at)) {
            v->client = policies.keys[at];
            v->client_name = names[at];
        } else if (many_find(&ids, stored[i].client, &at) && found[at]) {
            v->client = clients[at].id;
            v->client_key = clients[at].key;
            v->client_name = clients[at].name;
            v->client_settings = clients[at].settings;
        }
    }
    return e;
}

enum err connection_oauth_views(struct web_request *q, const struct many *connections, struct connection_oauth_view *out,
                                struct fault *why)
{
    size_t n = connections->n;
    struct connection_oauth *stored = arena_array(q->arena, n + 1, sizeof *stored);
    struct grant *grants = arena_array(q->arena, n + 1, sizeof *grants);
    bool *found = arena_array(q->arena, n + 1, sizeof *found);
    enum err e;
    if (!n)
        return ERR_NONE;
    if ((e = connections_oauth(q->db, q->arena, connections, stored, why)) ||
        (e = grants_get(q->db, q->arena, connections, grants, found, why)))
        return e;
    for (size_t i = 0; i < n; i++)
        out[i] = (struct connection_oauth_view){ .scopes = stored[i].scopes,
                                                 .granted = found[i] && grants[i].generation ? grants[i].granted : STR_NONE };
    return find_clients(q, stored, n, out, why);
}

void connection_oauth_write(struct web_request *q, struct json_out *o, const struct connection_row *row,
                            const struct connection_oauth_view *v, struct str *missing)
{
    *missing = STR("");
    if (v && v->client.p)
        write_client(o, v->client, v->client_key, v->client_name);
    else
        json_member_null(o, "oauth_client");
    if (!v) {
        connection_scopes_write(o, STR(""), STR(""), STR(""));
        return;
    }
    struct str requested = requested_scopes(q, row, v);
    *missing = v->granted.p ? connection_scopes_missing(q->arena, requested, v->granted) : STR("");
    connection_scopes_write(o, requested, v->granted.p ? v->granted : STR(""), *missing);
}
