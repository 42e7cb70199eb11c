#include "call/prepare.h"

#include "auth/method.h"
#include "auth/oauth_client.h"
#include "auth/obtain.h"
#include "auth/renewal.h"
#include "call/circuit.h"
#include "call/rewrite.h"
#include "catalog/setup.h"
#include "vault/certificate.h"

#define SECRETS (CONNECTION_SECRETS + GRANT_VALUES) /* a connection's own, and its grant's */

/* Which bodies are held back until they are whole. Without a token yet, those that may have to be changed or signed once it is
 * there. */
static void prepare_bodies(struct prepared *p, const struct auth_input *in, bool empty)
{
    bool may_rewrite = empty && (json_get(in->options, "body") || json_get(in->fields, "body"));
    for (size_t i = 0; i < p->injections.count; i++) {
        p->rewrites |= p->injections.at[i].where == INJECT_BODY;
        if (p->signer && !inject_is_header(p->injections.at[i].where))
            bug("%s signs, and adds to what it has signed", p->method->name);
    }
    p->whole_max = p->rewrites || may_rewrite ? REWRITE_MAX : SIGN_BODY_MAX;
    if (p->signer)
        p->whole = p->method->signs_body(p->signer);
    else
        p->whole = p->rewrites || may_rewrite || (empty && p->method->signer_new) ? SIGN_ANY_BODY : SIGN_NO_BODY;
}

/* The last `granted` of the `n` secrets are its grant's. */
static enum err prepare_auth(struct switchboard *s, struct prepared *p, const struct connector_auth *auth,
                             const struct json *fields, const struct connection_secret *secrets, size_t n, size_t granted,
                             struct fault *why)
{
    const struct auth_method *method = auth_find(p->row.auth_type);
    if (!method)
        return fault(why, ERR_AUTH_TYPE_NOT_OFFERED, p->row.auth_type, "stored auth type is unknown");
    struct auth_secret lent[SECRETS];
    struct secret values[SECRETS];
    for (size_t i = 0; i < n; i++) {
        lent[i] = (struct auth_secret){ secrets[i].name, secrets[i].value };
        values[i] = secrets[i].value;
    }
    struct auth_input in = { .options = auth ? auth->options : NULL,
                             .fields = fields,
                             .secrets = lent,
                             .secret_count = n - granted,
                             .digits_ok = switchboard_config(s)->header_digits_ok,
                             .granted = lent + (n - granted),
                             .granted_count = granted };
    /* It was accepted when it was saved. A damaged disk may have lost a row or a letter since (requirement 18.6). */
    struct fault flaw = { 0 };
    if (method->check(&in, &flaw))
        return fault(why, ERR_RECONNECT_REQUIRED, p->row.key, "connection %.*s is stored otherwise than it was saved: %s %.100s",
                     STR_ARG(p->row.id), flaw.pointer, flaw.note);
    bool empty = p->renews && !p->generation;
    enum err e = empty ? ERR_NONE : method->prepare(p->arena, &in, &p->injections, why);
    if (!e && !empty && method->signer_new)
        e = method->signer_new(p->arena, &in, &p->signer, why);
    if (e)
        return e;
    p->method = method;
    prepare_bodies(p, &in, empty);
    /* What goes on the wire is as secret as what it was made of: "Basic <base64>" has spellings of its own. */
    struct secret all[SECRETS + INJECTIONS];
    memcpy(all, values, n * sizeof all[0]);
    for (size_t i = 0; i < p->injections.count; i++)
        all[n + i] = p->injections.at[i].value;
    p->mask = mask_new(all, n + p->injections.count);
    return ERR_NONE;
}

static enum err prepare_target(struct prepared *p, const struct connector_auth *auth, const struct json *fields, struct fault *why)
{
    struct setup_target t;
    if (!auth)
        return fault(why, ERR_AUTH_TYPE_NOT_OFFERED, p->row.auth_type, "stored auth type is gone from the connector");
    enum err e = setup_target(p->arena, p->connector, auth, fields, &t, why);
    if (e)
        return e;
    p->base = t.base;
    p->base.host = arena_str(p->arena, t.base.host);
    p->authority = url_authority(p->arena, &p->base);
    p->circuit = p->trial ? 0 : circuit_key(p->row.id, p->authority);
    p->verify_path = t.verify_path;
    p->verify_query = t.verify_query;
    p->verify_method = auth->verify.method;
    p->verify_account = auth->verify.account;
    p->verify_ok = auth->verify.ok_pointer;
    memcpy(p->headers, t.headers, sizeof p->headers);
    p->header_count = t.header_count;
    p->follow_redirects = t.follow_redirects;
    return ERR_NONE;
}

/* The certificate that it shows, and the roots that it trusts besides: a TLS context of its own. Most have neither. */
static enum err prepare_tls(struct switchboard *s, struct prepared *p, struct db *db, struct fault *why)
{
    struct pair *pair;
    struct str authorities;
    enum err e = certificate_open(db, switchboard_config(s)->keyring, p->arena, &p->row, &pair, &authorities, why);
    if (!e && (pair || authorities.n))
        e = tls_client_own(switchboard_config(s)->tls, pair, authorities, &p->tls, why);
    pair_free(pair);
    return e;
}

static enum err state_permits(const struct connection_row *row, const struct call_trial *trial, struct fault *why)
{
    switch (row->state) {
    case CONNECTION_ACTIVE: break;
    case CONNECTION_DISABLED: return fault(why, ERR_CONNECTION_DISABLED, row->key, "state");
    default:
        if (!trial || !trial->instead)
            return fault(why, ERR_NEEDS_AUTH, row->key, "state");
    }
    if (row->health == HEALTH_RECONNECT_REQUIRED && !trial)
        return fault(why, ERR_RECONNECT_REQUIRED, row->key, "health");
    return ERR_NONE;
}

enum err switchboard_state_permits(const struct connection_row *row, struct fault *why) { return state_permits(row, NULL, why); }

/* What policies say of this connection, now: the answer is remembered with it, until a policy changes. `trying`: with other
 * credentials than the stored ones. */
static enum err check_policies(struct switchboard *s, struct db *db, bool trying, struct prepared *p, const struct json *fields,
                               struct fault *why)
{
    struct policy_set *set = policy_book_set(switchboard_config(s)->policies);
    struct str *folders = NULL;
    size_t n = 0;
    enum err e = set && set->count ? policy_folders(db, p->arena, p->row.folder, &folders, &n, why) : ERR_NONE;
    struct policy_subject subject = {
        .moment = POLICY_CALL, .folders = folders, .folder_count = n, .connector = p->row.connector,
        .auth_type = p->row.auth_type, .domain = p->row.allowed_domain, .fields = fields,
    };
    size_t at = 0;
    int64_t age = set ? policy_least(set, &subject, POLICY_SECRET_MAX_AGE) : 0;
    if (!e && age && !trying) {
        subject.now = clock_wall();
        e = connection_secrets_since(db, p->row.id, &subject.secrets_since, why);
        p->until = subject.secrets_since ? subject.secrets_since + age : 0;
    }
    if (!e && set && set->count)
        e = connection_client_of(db, p->arena, p->row.id, p->row.auth_type, fields, &subject.client, why);
    if (!e && !(e = policy_decide(set, &subject, NULL, why))) {
        policy_gates(set, &subject, p->arena, &p->gates, &p->gate_count);
        p->secure = policy_next(set, &subject, POLICY_SECURE, &at, NULL) != NULL;
    }
    policy_set_release(set);
    return e;
}

/* One that does not open is told once, to whoever looks at the list; the call fails in any case. */
static void note_loss(struct switchboard *s, const struct connection_row *row)
{
    struct fault why;
    if (connection_lost(switchboard_config(s)->store, switchboard_config(s)->keyring, row, &why) && switchboard_config(s)->report)
        switchboard_config(s)->report("a connection's health was not noted", &why);
}

/* Those on trial, with the stored key that they may be bound to (RFC 9449). */
static enum err try_grant(struct switchboard *s, struct db *db, struct prepared *p, const struct call_trial *trial,
                          struct connection_secret *secrets, size_t *n, struct fault *why)
{
    struct grant_value stored[GRANT_VALUES];
    size_t count = 0;
    enum err e = grant_open(db, switchboard_config(s)->keyring, p->arena, p->row.id, stored, &count, why);
    for (size_t i = 0; i < count; i++) {
        if (str_is(stored[i].name, "dpop_key"))
            secrets[(*n)++] = (struct connection_secret){ stored[i].name, stored[i].value };
        else
            secret_end(&stored[i].value);
    }
    for (size_t i = 0; !e && i < trial->grant_count; i++)
        if (!str_is(trial->grant[i].name, "dpop_key"))
            secrets[(*n)++] = (struct connection_secret){ trial->grant[i].name, secret_copy(trial->grant[i].value) };
    return e;
}

/* The tokens of its grant join the connection's own secrets. Without any, whoever calls first waits for them. */
static enum err prepare_grant(struct switchboard *s, struct db *db, struct prepared *p, struct connection_secret *secrets,
                              size_t *n, struct fault *why)
{
    const struct obtain *obtain = obtain_find(p->row.auth_type);
    struct grant_value values[GRANT_VALUES];
    struct grant g = { 0 };
    size_t count = 0;
    if (!obtain)
        return ERR_NONE;
    enum err e = grant_get(db, p->arena, p->row.id, &g, why);
    if (e && e != ERR_NOT_FOUND)
        return e;
    if (g.state == GRANT_OVER)
        return fault(why, ERR_RECONNECT_REQUIRED, p->row.key, "its grant is over");
    p->renews = switchboard_renewals(s) != NULL;
    if (!g.generation)
        return obtain->by_person ? fault(why, ERR_NEEDS_AUTH, p->row.key, "nobody has authorized it") : ERR_NONE;
    bool borrowed = p->renews && renewals_borrow(switchboard_renewals(s), p->arena, p->row.id, &g, values, &count);
    if (!borrowed && (e = grant_open(db, switchboard_config(s)->keyring, p->arena, p->row.id, values, &count, why)))
        return e;
    for (size_t i = 0; i < count; i++)
        secrets[(*n)++] = (struct connection_secret){ values[i].name, values[i].value };
    p->generation = g.generation;
    wall_ms now = clock_steady();
    if (g.expires) /* a clock that was set back before the start makes nothing live longer than it does */
        p->ends_us = clock_mono_us() + (g.expires - (now > g.obtained ? now : g.obtained)) * 1000;
    return ERR_NONE;
}

/* The provider's own way to say that a token is over. */
static enum err prepare_expired(struct db *db, struct prepared *p, const struct connector_auth *auth, struct fault *why)
{
    return p->renews && auth ? oauth_expired_of(db, p->arena, p->row.id, auth->options, &p->expired, why) : ERR_NONE;
}

static enum err prepare_stored(struct switchboard *s, struct db *db, struct prepared *p, const struct json *fields,
                               const struct call_trial *trial, struct fault *why)
{
    const struct connector_auth *auth = connector_auth_find(p->connector, p->row.auth_type);
    struct connection_secret secrets[SECRETS];
    size_t n = 0;
    enum err e = connection_open_secrets(db, switchboard_config(s)->keyring, p->arena, &p->row, secrets, &n, why);
    if (!e) {
        size_t own = n;
        bool other = trial && trial->grant;
        e = other ? try_grant(s, db, p, trial, secrets, &n, why) : prepare_grant(s, db, p, secrets, &n, why);
        if (!e && !(e = prepare_expired(db, p, auth, why)))
            e = prepare_auth(s, p, auth, fields, secrets, n, n - own, why);
        connection_secrets_end(secrets, n);
    }
    return e;
}

static enum err prepare_checked(struct switchboard *s, struct db *db, const struct call_trial *trial, struct prepared *p,
                                const struct json *fields, struct fault *why)
{
    enum err e = prepare_tls(s, p, db, why);
    if (e)
        return e;
    if (!trial || !trial->instead)
        return prepare_stored(s, db, p, fields, trial, why);
    return prepare_auth(s, p, connector_auth_find(p->connector, p->row.auth_type), fields, trial->secrets, trial->count, 0,
                        why);
}

enum err prepare_connection(struct switchboard *s, struct str id, const struct call_trial *trial, struct prepared *p,
                            struct fault *why)
{
    struct db *db = store_reader(switchboard_config(s)->store, why);
    struct json *fields;
    enum err e;
    if (!db)
        return ERR_STORE;
    if ((e = connection_get(db, p->arena, id, &p->row, why)) || (e = state_permits(&p->row, trial, why)))
        return e;
    if (trial && trial->fields.n)
        p->row.fields = arena_str(p->arena, trial->fields);
    p->connector = catalog_find(switchboard_config(s)->catalog, p->row.connector);
    if (!p->connector)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, p->row.connector, "stored connector is gone");
    if ((e = json_read(p->arena, p->row.fields, &fields, why)) ||
        (e = check_policies(s, db, trial && trial->instead, p, fields, why)) ||
        (e = prepare_target(p, connector_auth_find(p->connector, p->row.auth_type), fields, why)))
        return e;
    e = prepare_checked(s, db, trial, p, fields, why);
    /* A credential that does not open, or the key of its client certificate. */
    if (e == ERR_RECONNECT_REQUIRED)
        note_loss(s, &p->row);
    return e;
}
