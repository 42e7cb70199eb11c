#include "auth/renewal_attempt.h"

#include "auth/client_tls.h"
#include "auth/oauth_client.h"

#define CLOCK_FAULT_MS (5 * 60000)

/* ---- what is read ---- */

static enum err read_secrets(struct attempt *x, struct db *db, struct fault *why)
{
    enum err e = connection_open_secrets(db, x->r->config.keyring, x->arena, &x->row, x->secrets, &x->secret_count, why);
    for (size_t i = 0; i < x->secret_count; i++)
        x->lent[i] = (struct auth_secret){ x->secrets[i].name, x->secrets[i].value };
    return e;
}

static enum err read_grant(struct attempt *x, struct db *db, struct str id, struct fault *why)
{
    enum err e = grant_row_get(db, x->arena, id, &x->g, why);
    if (e || !x->g.grant.generation)
        return e;
    return grant_open(db, x->r->config.keyring, x->arena, id, x->values, &x->value_count, why);
}

/* The key that an administrator keeps for connections that have none of their own. */
static enum err read_key(struct attempt *x, struct db *db, struct fault *why)
{
    struct connection_oauth o;
    if (auth_secret(&x->in, "access_key_id"))
        return ERR_NONE;
    enum err e = connection_oauth_get(db, x->arena, x->row.id, &o, why);
    if (e || !o.client.n || (e = oauth_profile_client(db, x->r->config.keyring, x->arena, o.client, &x->profile, why)))
        return e;
    x->has_profile = true;
    x->client_key = secret_from(x->profile.client_id);
    x->lent[x->in.secret_count++] = (struct auth_secret){ STR("access_key_id"), x->client_key };
    x->lent[x->in.secret_count++] = (struct auth_secret){ STR("secret_access_key"), x->profile.client_secret };
    return ERR_NONE;
}

/* May ask an issuer where its doors are. */
static enum err read_profile(struct attempt *x, struct db *db, struct fault *why)
{
    const struct renewals_config *c = &x->r->config;
    if (x->how->keyed)
        return read_key(x, db, why);
    enum err e = x->how->oauth ? c->profile(c->context, db, x->arena, &x->row, &x->in, &x->profile, why) : ERR_NONE;
    if (e || !x->how->oauth)
        return e;
    x->has_profile = true;
    if ((e = client_tls(c->tls, db, c->keyring, x->arena, &x->row, &x->profile, &x->tls, why)))
        return e;
    return client_tls_next(c->tls, db, c->keyring, x->arena, &x->row, &x->profile, &x->next_tls, why);
}

static enum err read_all(struct attempt *x, struct db *db, struct fault *why)
{
    struct str id = str_of(x->f->connection);
    const struct renewals_config *c = &x->r->config;
    struct json *fields;
    enum err e = connection_get(db, x->arena, id, &x->row, why);
    if (e)
        return e;
    if (x->row.state == CONNECTION_DISABLED && !x->f->obtain && !x->f->left)
        return fault(why, ERR_CONNECTION_DISABLED, x->row.key, "state");
    x->how = c->obtain(x->row.auth_type);
    if (!x->how)
        return fault(why, ERR_NEEDS_AUTH, x->row.key, "auth type %.*s has no grant", STR_ARG(x->row.auth_type));
    if ((e = read_grant(x, db, id, why)) || (e = json_read(x->arena, x->row.fields, &fields, why)) ||
        (e = read_secrets(x, db, why)))
        return e;
    x->in =
        (struct auth_input){ c->options(c->context, x->row.connector, x->row.auth_type), fields, x->lent, x->secret_count, false };
    return ERR_NONE;
}

/* Of one moment: tokens and the row that counts them. */
enum err attempt_load(struct attempt *x, struct fault *why)
{
    struct db *db = store_reader(x->r->config.store, why);
    enum err e = db ? db_snapshot(db, why) : ERR_STORE;
    if (e)
        return e;
    e = read_all(x, db, why);
    db_snapshot_end(db);
    if (!e)
        e = read_profile(x, db, why);
    x->now = clock_steady();
    /* Obtained in the future: the clock was wrong then, or is now. Its life is what can be told (requirement 11.2). */
    if (x->g.grant.obtained > x->now + CLOCK_FAULT_MS && x->g.grant.expires)
        x->g.grant.expires = x->now + (x->g.grant.expires - x->g.grant.obtained);
    return e;
}

void attempt_end(struct attempt *x)
{
    for (size_t i = 0; i < x->secret_count; i++)
        secret_end(&x->secrets[i].value);
    for (size_t i = 0; i < x->value_count; i++)
        secret_end(&x->values[i].value);
    if (x->has_profile)
        oauth_profile_end(&x->profile);
    secret_end(&x->client_key);
    if (x->slot)
        answer_slot_free(x->slot);
    attempt_wipe(&x->raw);
    tls_context_free(x->tls);
    tls_context_free(x->next_tls);
    if (x->entered) {
        pthread_mutex_lock(&x->r->lock);
        token_rate_leave(x->r->rate, str_of(x->f->host), x->asking);
        pthread_mutex_unlock(&x->r->lock);
    }
    arena_free(x->arena);
}

/* ---- what is asked of it ---- */

bool attempt_by_hand(const struct attempt *x) { return x->f->obtain && x->f->params; }

bool attempt_alive(const struct attempt *x) { return x->g.grant.generation && x->g.grant.expires > x->now; }

bool attempt_has(const struct attempt *x, const char *value)
{
    for (size_t i = 0; i < x->value_count; i++)
        if (str_is(x->values[i].name, value))
            return true;
    return false;
}

bool attempt_spends(const struct attempt *x) { return !attempt_by_hand(x) && attempt_has(x, "refresh_token"); }

struct str attempt_requested(struct attempt *x, struct arena *a)
{
    AUTO_BUF b;
    buf_init(&b, OAUTH_SCOPE_MAX);
    for (size_t i = 0; x->has_profile && i < x->profile.scope_count; i++) {
        if (i)
            buf_char(&b, ' ');
        buf_add(&b, x->profile.scopes[i]);
    }
    return arena_str(a, buf_str(&b));
}

/* ---- for others to look at ---- */

enum err renewal_view(struct renewals *r, struct str connection,
                      enum err (*use)(void *context, const struct renewal_view *view, struct fault *why), void *context,
                      struct fault *why)
{
    struct flight f = { .obtain = true };
    struct attempt x = { .r = r, .f = &f, .arena = arena_new(16 * 1024) };
    str_copy(f.connection, sizeof f.connection, connection);
    enum err e = attempt_load(&x, why);
    if (e == ERR_NEEDS_AUTH || (!e && !x.value_count))
        e = ERR_NONE;
    else if (!e)
        e = use(context,
                &(struct renewal_view){ &x.row, x.has_profile ? &x.profile : NULL, x.values, x.value_count, x.how->by_person },
                why);
    attempt_end(&x);
    return e;
}
