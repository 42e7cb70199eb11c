#include "cmd/renewing.h"

#include <unistd.h>

#include "auth/device_flow.h"
#include "auth/dpop.h"
#include "auth/renewal.h"
#include "base/log.h"
#include "call/switchboard.h"
#include "access/policy_store.h"
#include "catalog/setup.h"
#include "web/policy_check.h"
#include "web/verify.h"

static char node_name[256];

static const struct json *options_of(void *context, struct str connector, struct str auth_type)
{
    const struct hub *hub = context;
    const struct connector *c = catalog_find(hub->catalog, connector);
    const struct connector_auth *auth = c ? connector_auth_find(c, auth_type) : NULL;
    return auth ? auth->options : NULL;
}

static void changed(void *context, struct str connection)
{
    switchboard_forget_connection(((struct hub *)context)->switchboard, connection);
}

/* What an answer brings is held against the same rules as what a person types: hosts included (OAU-23). */
static enum err captured(void *context, struct arena *a, const struct connection_row *row, const struct json *fields,
                         struct str *out, struct fault *why)
{
    const struct hub *hub = context;
    const struct connector *c = catalog_find(hub->catalog, row->connector);
    struct setup s;
    if (!c)
        return fault(why, ERR_CONNECTOR_NOT_FOUND, row->connector, "stored connector is gone");
    enum err e =
        setup_check_fields(a, c, row->auth_type, fields, row->allowed_domain, hub->egress, hub->header_digits_ok, &s, why);
    if (e)
        return e;
    *out = s.fields;
    setup_end(&s);
    return ERR_NONE;
}

static enum err starts_disabled(void *context, struct db *db, struct arena *a, const struct connection_row *row, bool *out,
                                struct fault *why)
{
    struct policy_set *set = policy_book_set(((struct hub *)context)->policies);
    enum err e = policy_set_starts_disabled(set, db, a, row, out, why);
    policy_set_release(set);
    return e;
}

static enum err tried(void *context, struct arena *a, const struct connection_row *row, const struct grant_value *values, size_t n,
                      bool accept, struct str *account, struct fault *why)
{
    struct switchboard *s = ((struct hub *)context)->switchboard;
    struct call_trial trial = { .grant = values, .grant_count = n };
    struct prepared *p;
    struct verdict v;
    struct fault silent;
    if (switchboard_try(s, row->id, &trial, &p, &silent))
        return ERR_NONE;
    enum err e = verify_call(s, a, p, &(struct verify_by){ 0 }, &v, &silent);
    prepared_release(p);
    if (e)
        return ERR_NONE;
    *account = v.account;
    if (v.ok && v.account.n && row->account.n && !str_eq(v.account, row->account) && !accept)
        return fault(why, ERR_ACCOUNT_CHANGED, str_fmt(a, "%.*s -> %.*s", STR_ARG(row->account), STR_ARG(v.account)), "by hand");
    if (verify_health(row, &v) == HEALTH_RECONNECT_REQUIRED)
        return fault(why, ERR_VERIFY_FAILED, verify_reason(v.status, LANG_EN), "status %d", v.status);
    return ERR_NONE;
}

static enum err profile(void *context, struct db *db, struct arena *a, const struct connection_row *row,
                        const struct auth_input *in, struct oauth_profile *out, struct fault *why)
{
    return oauth_profile_of(db, ((struct hub *)context)->keyring, a, in, row->id, out, why);
}

static void report(const char *event, const struct fault *why) { log_fault(LOG_ERROR, event, why); }

enum err renewing_start(struct hub *hub, const struct config *c, struct tls_context *tls, struct fault *why)
{
    if (gethostname(node_name, sizeof node_name - 1))
        str_copy(node_name, sizeof node_name, STR("hub"));
    struct renewals_config config = {
        .store = hub->store,
        .keyring = hub->keyring,
        .egress = hub->egress,
        .tls = tls,
        .data = c->data,
        .node = str_of(node_name),
        .threads = (int)c->renewals.threads,
        .rate = (int)c->renewals.rate,
        .obtain = obtain_find,
        .dpop_key = dpop_key_new,
        .profile = profile,
        .options = options_of,
        .changed = changed,
        .captured = captured,
        .starts_disabled = starts_disabled,
        .tried = tried,
        .context = hub,
        .report = report,
    };
    enum err e = renewals_start(&config, &hub->renewals, why);
    if (e)
        return e;
    switchboard_renew_with(hub->switchboard, hub->renewals);
    const struct device_flows_config devices = {
        .store = hub->store,
        .keyring = hub->keyring,
        .renewals = hub->renewals,
        .changed = changed,
        .context = hub,
        .report = report,
    };
    return device_flows_start(&devices, &hub->devices, why);
}
