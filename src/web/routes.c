/* web/routes.c - every door of the REST API, and who may open it. First match wins.
 * (/proxy/... streams, and does not come here.) */
#include "web/web.h"

#include "base/encode.h"
#include "web/authorize.h"
#include "web/handlers.h"

#define KB(n) ((n)*1024L)
#define CALL_BODY_MAX KB(8 * 1024) /* what a buffered call may send */

/* A right of the instance is asked for here. A right of folders (right_in_folder()) cannot be: it is held on the object, so the
 * handler asks for it there, with rights_need() or connection_need(); an answer without having asked is an error of ours and does
 * not leave (see enter.c). */
static const struct route routes[] = {
    { METHOD_GET, "/", RIGHT_OPEN, 0, landing_page },
    { METHOD_GET, "/setup", RIGHT_OPEN, 0, setup_page },
    { METHOD_GET, "/assets/{name}", RIGHT_OPEN, 0, asset_get },
    { METHOD_GET, "/problems/{code}", RIGHT_OPEN, 0, problem_get },
    { METHOD_GET, "/healthz", RIGHT_OPEN, 0, healthz },
    { METHOD_GET, "/readyz", RIGHT_OPEN, 0, readyz },
    { METHOD_GET, "/metrics", RIGHT_METRICS, 0, metrics_get },

    { METHOD_GET, "/api/v1/openapi.json", RIGHT_OPEN, 0, openapi_get },
    { METHOD_POST, "/api/v1/setup", RIGHT_OPEN, KB(8), setup_post, "setup.complete" },     /* the code is the proof */
    { METHOD_POST, "/api/v1/session", RIGHT_OPEN, KB(8), session_post, "session.create" }, /* the password is */
    { METHOD_GET, "/api/v1/session", RIGHT_SIGNED_IN, 0, session_get },
    { METHOD_DELETE, "/api/v1/session", RIGHT_SIGNED_IN, 0, session_delete, "session.end" },
    { METHOD_POST, "/api/v1/session:step-up", RIGHT_SIGNED_IN, KB(8), session_step_up, "session.step_up" },
    { METHOD_GET, "/api/v1/sessions", RIGHT_SIGNED_IN, 0, sessions_list },                     /* one's own; others': ADMINISTER */
    { METHOD_DELETE, "/api/v1/sessions", RIGHT_SIGNED_IN, 0, sessions_delete, "session.end" }, /* likewise */
    { METHOD_DELETE, "/api/v1/sessions/{id}", RIGHT_SIGNED_IN, 0, sessions_delete_one, "session.end" }, /* likewise */
    { METHOD_GET, "/api/v1/second-factor", RIGHT_SIGNED_IN, 0, second_factor_get },
    { METHOD_POST, "/api/v1/second-factor", RIGHT_SIGNED_IN, KB(1), second_factor_post, "second_factor.begin" },
    { METHOD_DELETE, "/api/v1/second-factor", RIGHT_SIGNED_IN, 0, second_factor_delete, "second_factor.remove" },
    { METHOD_POST, "/api/v1/second-factor/confirm", RIGHT_SIGNED_IN, KB(8), second_factor_confirm_post, "second_factor.confirm" },
    { METHOD_POST, "/api/v1/second-factor/recovery-codes", RIGHT_SIGNED_IN, KB(1), second_factor_codes, "second_factor.recovery" },
    { METHOD_GET, "/invite", RIGHT_OPEN, 0, invite_page },
    { METHOD_POST, "/api/v1/invitations:accept", RIGHT_OPEN, KB(8), invitations_accept, "invitation.accept" }, /* the code is */

    { METHOD_GET, "/api/v1/tokens", RIGHT_TOKEN_OWN, 0, tokens_list },
    { METHOD_POST, "/api/v1/tokens", RIGHT_TOKEN_OWN, KB(64), tokens_create, "token.create" },
    { METHOD_GET, "/api/v1/tokens/{id}", RIGHT_TOKEN_OWN, 0, tokens_get },
    { METHOD_PATCH, "/api/v1/tokens/{id}", RIGHT_TOKEN_OWN, KB(64), tokens_patch, "token.update" },
    { METHOD_DELETE, "/api/v1/tokens/{id}", RIGHT_TOKEN_OWN, 0, tokens_delete, "token.revoke" },

    { METHOD_GET, "/api/v1/users", RIGHT_PEOPLE, 0, users_list },
    { METHOD_POST, "/api/v1/users", RIGHT_PEOPLE, KB(8), users_create, "user.create" },
    { METHOD_GET, "/api/v1/users/{id}", RIGHT_SIGNED_IN, 0, users_get },                        /* oneself; others: ADMINISTER */
    { METHOD_PATCH, "/api/v1/users/{id}", RIGHT_SIGNED_IN, KB(8), users_patch, "user.update" }, /* likewise */
    { METHOD_DELETE, "/api/v1/users/{id}", RIGHT_PEOPLE, 0, users_delete, "user.delete" },
    { METHOD_POST, "/api/v1/users/{id}/invitation", RIGHT_PEOPLE, KB(1), users_invitation_post, "user.invite" },
    { METHOD_DELETE, "/api/v1/users/{id}/invitation", RIGHT_PEOPLE, 0, users_invitation_delete, "user.uninvite" },
    { METHOD_DELETE, "/api/v1/users/{id}/second-factor", RIGHT_PEOPLE, 0, users_second_factor_delete, "second_factor.remove" },

    { METHOD_GET, "/api/v1/service-accounts", RIGHT_PEOPLE, 0, service_accounts_list },
    { METHOD_POST, "/api/v1/service-accounts", RIGHT_PEOPLE, KB(8), service_accounts_create, "service_account.create" },
    { METHOD_GET, "/api/v1/service-accounts/{id}", RIGHT_PEOPLE, 0, service_accounts_get },
    { METHOD_PATCH, "/api/v1/service-accounts/{id}", RIGHT_PEOPLE, KB(8), service_accounts_patch, "service_account.update" },
    { METHOD_DELETE, "/api/v1/service-accounts/{id}", RIGHT_PEOPLE, 0, service_accounts_delete, "service_account.delete" },

    { METHOD_GET, "/api/v1/session/providers", RIGHT_OPEN, 0, session_providers },
    { METHOD_GET, "/api/v1/session/oidc/{provider}", RIGHT_OPEN, 0, session_oidc_start },
    { METHOD_GET, "/oidc/callback", RIGHT_OPEN, 0, oidc_callback, "session.create" }, /* the provider's code is the proof */
    { METHOD_GET, "/api/v1/identity-providers", RIGHT_PEOPLE, 0, identity_providers_list },
    { METHOD_POST, "/api/v1/identity-providers", RIGHT_PEOPLE, KB(64), identity_providers_create, "identity_provider.create" },
    { METHOD_GET, "/api/v1/identity-providers/{id}", RIGHT_PEOPLE, 0, identity_providers_get },
    { METHOD_PATCH, "/api/v1/identity-providers/{id}", RIGHT_PEOPLE, KB(64), identity_providers_patch, "identity_provider.update" },
    { METHOD_DELETE, "/api/v1/identity-providers/{id}", RIGHT_PEOPLE, 0, identity_providers_delete, "identity_provider.delete" },

    { METHOD_GET, "/api/v1/oauth-clients", RIGHT_CATALOG_VIEW, 0, oauth_clients_list },
    { METHOD_POST, "/api/v1/oauth-clients", RIGHT_POLICIES, KB(128), oauth_clients_create, "oauth_client.create" },
    { METHOD_GET, "/api/v1/oauth-clients/{id}", RIGHT_CATALOG_VIEW, 0, oauth_clients_get },
    { METHOD_PATCH, "/api/v1/oauth-clients/{id}", RIGHT_POLICIES, KB(128), oauth_clients_patch, "oauth_client.update" },
    { METHOD_DELETE, "/api/v1/oauth-clients/{id}", RIGHT_POLICIES, 0, oauth_clients_delete, "oauth_client.delete" },
    { METHOD_POST, "/api/v1/oauth-clients/{id}/activate", RIGHT_POLICIES, KB(1), oauth_clients_activate, "oauth_client.activate" },

    { METHOD_GET, "/api/v1/folders", RIGHT_VIEW, 0, folders_list },
    { METHOD_GET, "/api/v1/folders/{id}", RIGHT_VIEW, 0, folders_get },
    { METHOD_POST, "/api/v1/folders", RIGHT_EDIT, KB(8), folders_create, "folder.create" }, /* in the folder above */
    { METHOD_PATCH, "/api/v1/folders/{id}", RIGHT_SHARE, KB(8), folders_patch, "folder.update" },
    { METHOD_DELETE, "/api/v1/folders/{id}", RIGHT_DELETE, 0, folders_delete, "folder.delete" },
    { METHOD_GET, "/api/v1/folders/{id}/members", RIGHT_VIEW, 0, folders_members },
    { METHOD_PUT, "/api/v1/folders/{id}/members", RIGHT_SHARE, KB(128), folders_members_put, "folder.members" },
    { METHOD_GET, "/api/v1/folders/{id}/audit", RIGHT_AUDIT, 0, folders_audit },

    { METHOD_GET, "/api/v1/groups", RIGHT_PEOPLE, 0, groups_list },
    { METHOD_POST, "/api/v1/groups", RIGHT_PEOPLE, KB(128), groups_create, "group.create" },
    { METHOD_GET, "/api/v1/groups/{id}", RIGHT_PEOPLE, 0, groups_get },
    { METHOD_PATCH, "/api/v1/groups/{id}", RIGHT_PEOPLE, KB(128), groups_patch, "group.update" },
    { METHOD_DELETE, "/api/v1/groups/{id}", RIGHT_PEOPLE, 0, groups_delete, "group.delete" },
    { METHOD_POST, "/api/v1/users/{id}/departure", RIGHT_PEOPLE, KB(8), users_departure, "user.departure" },

    { METHOD_GET, "/api/v1/connections/{id}/shares", RIGHT_SHARE, 0, connection_shares_list },
    { METHOD_POST, "/api/v1/connections/{id}/shares", RIGHT_SHARE, KB(8), connection_shares_post, "connection.share" },
    { METHOD_DELETE, "/api/v1/connections/{id}/shares/{with}", RIGHT_SHARE, 0, connection_shares_delete, "connection.unshare" },
    { METHOD_POST, "/api/v1/connections/{id}/move", RIGHT_SHARE, KB(8), connections_move, "connection.move" },

    { METHOD_GET, "/api/v1/connectors", RIGHT_CATALOG_VIEW, 0, connectors_list },
    { METHOD_GET, "/api/v1/connectors/{id}", RIGHT_CATALOG_VIEW, 0, connectors_get },
    { METHOD_GET, "/api/v1/domains", RIGHT_CATALOG_VIEW, 0, domains_list },

    { METHOD_GET, "/api/v1/connections", RIGHT_VIEW, 0, connections_list },
    { METHOD_POST, "/api/v1/connections", RIGHT_EDIT, KB(256), connections_create, "connection.create" },
    { METHOD_GET, "/api/v1/connections/{id}", RIGHT_VIEW, 0, connections_get },
    { METHOD_PATCH, "/api/v1/connections/{id}", RIGHT_EDIT, KB(256), connections_patch, "connection.update" },
    { METHOD_DELETE, "/api/v1/connections/{id}", RIGHT_DELETE, 0, connections_delete, "connection.delete" },
    { METHOD_PUT, "/api/v1/connections/{id}/credentials", RIGHT_SECRETS_WRITE, KB(256), connections_credentials,
      "connection.credentials" },
    { METHOD_POST, "/api/v1/connections:verify", RIGHT_USE, KB(64), connections_verify_many, "connection.verify_many" },
    { METHOD_GET, "/api/v1/connections:verify/{id}", RIGHT_SIGNED_IN, 0, connections_verify_progress },
    { METHOD_POST, "/api/v1/connections/{id}/verify", RIGHT_USE, KB(1), connections_verify, "connection.verify", true },
    { METHOD_POST, "/api/v1/connections/{id}/enable", RIGHT_EDIT, KB(1), connections_enable, "connection.enable" },
    { METHOD_POST, "/api/v1/connections/{id}/disable", RIGHT_EDIT, KB(1), connections_disable, "connection.disable" },
    { METHOD_POST, "/api/v1/connections/{id}/default", RIGHT_EDIT, KB(1), connections_default, "connection.default" },
    { METHOD_POST, "/api/v1/connections/{id}/restore", RIGHT_DELETE, KB(4), connections_restore, "connection.restore" },
    { METHOD_POST, "/api/v1/connections/{id}/duplicate", RIGHT_VIEW, KB(256), connections_duplicate, "connection.create" },
    { METHOD_GET, "/api/v1/connections/{id}/history", RIGHT_VIEW, 0, connections_history },
    { METHOD_GET, "/api/v1/connections/{id}/grant", RIGHT_VIEW, 0, connections_grant },
    { METHOD_GET, "/api/v1/connections/{id}/grant/events", RIGHT_VIEW, 0, connections_grant_events },
    { METHOD_POST, "/api/v1/connections/{id}/renew", RIGHT_USE, KB(1), connections_renew, "connection.renew" },
    { METHOD_GET, "/api/v1/connections/{id}/usage", RIGHT_VIEW, 0, connections_usage },
    { METHOD_POST, "/api/v1/connections/{id}/call", RIGHT_USE, CALL_BODY_MAX, connections_call, "connection.call", true },

    { METHOD_POST, "/api/v1/connections/{id}/authorize", RIGHT_SECRETS_WRITE, KB(4), connections_authorize,
      "connection.authorize" },
    { METHOD_GET, "/api/v1/authorizations/{id}", RIGHT_SIGNED_IN, 0, authorizations_get }, /* of a connection that one sees */
    { METHOD_GET, "/oauth/jwks/{id}", RIGHT_OPEN, 0, oauth_clients_jwks }, /* public keys; a provider asks */
    { METHOD_GET, "/oauth/start/{link}", RIGHT_OPEN, 0, oauth_start },
    { METHOD_GET, AUTHORIZE_CALLBACK, RIGHT_OPEN, 0, oauth_callback, "connection.authorized" }, /* state and cookie are the proof */
    { METHOD_GET, AUTHORIZE_CALLBACK_ALIAS, RIGHT_OPEN, 0, oauth_callback, "connection.authorized" },
    { METHOD_POST, "/api/v1/connect-sessions", RIGHT_SECRETS_WRITE, KB(256), connect_sessions_create, "connect_session.create" },
    { METHOD_GET, "/api/v1/connect-sessions/{id}", RIGHT_SIGNED_IN, 0, connect_sessions_get }, /* likewise */
    { METHOD_DELETE, "/api/v1/connect-sessions/{id}", RIGHT_SIGNED_IN, 0, connect_sessions_delete,
      "connect_session.withdraw" }, /* of one whose credentials one may enter */
    { METHOD_GET, "/connect/{link}", RIGHT_OPEN, 0, connect_page_get },
    { METHOD_POST, "/connect/{link}", RIGHT_OPEN, KB(256), connect_page_post, "connect_session.submit", .form = true },

    { METHOD_GET, "/api/v1/doctor", RIGHT_POLICIES, 0, doctor_get },
    { METHOD_GET, "/api/v1/grants", RIGHT_POLICIES, 0, grants_list },

    { METHOD_GET, "/api/v1/certificates", RIGHT_CATALOG_VIEW, 0, certificates_list },
    { METHOD_POST, "/api/v1/certificates", RIGHT_SECRETS_WRITE, KB(256), certificates_create,
      "certificate.create" }, /* the hub's: KEYS */
    { METHOD_GET, "/api/v1/certificates/ca.pem", RIGHT_CATALOG_VIEW, 0, certificates_ca },
    { METHOD_GET, "/api/v1/certificates/{id}", RIGHT_CATALOG_VIEW, 0, certificates_get },
    { METHOD_POST, "/api/v1/certificates/{id}/activate", RIGHT_SECRETS_WRITE, KB(1), certificates_activate,
      "certificate.activate" },

    { METHOD_GET, "/api/v1/runs", RIGHT_VIEW, 0, runs_list },
    { METHOD_GET, "/api/v1/runs/{id}", RIGHT_VIEW, 0, runs_get },
    { METHOD_GET, "/api/v1/audit", RIGHT_AUDIT_READ, 0, audit_get_list },
    { METHOD_GET, "/api/v1/audit:verify", RIGHT_AUDIT_READ, 0, audit_get_verify },
    { METHOD_GET, "/api/v1/audit:export", RIGHT_AUDIT_READ, 0, audit_get_export }, /* told itself, though it is GET */
    { METHOD_POST, "/api/v1/audit:hash", RIGHT_AUDIT_READ, KB(64), audit_post_hash, "audit.hash" },
    { METHOD_GET, "/api/v1/keys", RIGHT_KEYS, 0, keys_get },
    { METHOD_POST, "/api/v1/keys:rotate", RIGHT_KEYS, KB(1), keys_rotate, "keys.rotate" },
    { METHOD_GET, "/api/v1/limits", RIGHT_SIGNED_IN, 0, limits_list },

    { METHOD_GET, "/api/v1/policies", RIGHT_POLICIES, 0, policies_list },
    { METHOD_POST, "/api/v1/policies", RIGHT_POLICIES, KB(512), policies_create, "policy.create" },
    { METHOD_GET, "/api/v1/policies/{id}", RIGHT_POLICIES, 0, policies_get },
    { METHOD_PUT, "/api/v1/policies/{id}", RIGHT_POLICIES, KB(512), policies_put, "policy.update" },
    { METHOD_DELETE, "/api/v1/policies/{id}", RIGHT_POLICIES, 0, policies_delete, "policy.delete" },
    /* Asked, not changed. About oneself; about others: POLICIES. */
    { METHOD_POST, "/api/v1/policies:explain", RIGHT_SIGNED_IN, KB(16), policies_explain, "policy.explain", true },
    { METHOD_POST, "/api/v1/policies:preview", RIGHT_POLICIES, KB(512), policies_preview, "policy.preview", true },
};

const struct route *routes_all(size_t *count)
{
    *count = COUNT(routes);
    return routes;
}

const struct route *routes_check(void)
{
    for (size_t i = 0; i < COUNT(routes); i++)
        if (routes[i].right == RIGHT_MISSING || !routes[i].handle || !routes[i].methods || routes[i].path[0] != '/' ||
            (routes[i].methods != METHOD_GET && !routes[i].audit))
            return &routes[i];
    return NULL;
}

enum err route_open(const struct route *r, const struct caller *c, struct fault *why)
{
    enum right wanted = right_in_folder(r->right) ? RIGHT_SIGNED_IN : r->right;
    return caller_may(c, wanted) ? ERR_NONE : fault(why, ERR_DENIED, str_of(right_name(wanted)), "route");
}

enum err route_asked(const struct route *r, unsigned asked, struct fault *why)
{
    if (!right_in_folder(r->right) || asked & RIGHT_BIT(r->right))
        return ERR_NONE;
    return fault(why, ERR_INTERNAL, STR(""), "%s: nobody asked for %s", r->path, right_name(r->right));
}

/* Does the path stand under the pattern? Segments of {} go to params, still encoded. */
static bool pattern_matches(struct str pattern, struct str path, struct str params[4], size_t *count)
{
    struct str want, have;
    bool more_pattern, more_path;
    *count = 0;
    for (;;) {
        more_pattern = str_piece(&pattern, '/', &want);
        more_path = str_piece(&path, '/', &have);
        if (!more_pattern || !more_path)
            return more_pattern == more_path;
        if (!want.n || want.p[0] != '{') {
            if (!str_eq(want, have))
                return false;
            continue;
        }
        if (!have.n || *count == 4)
            return false;
        params[(*count)++] = have;
    }
}

/* An id, a key, a name: text without control bytes. */
static bool params_decode(struct arena *a, struct str params[4], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str decoded;
        if (!percent_decode(a, params[i], &decoded) || !utf8_valid(decoded) || str_has_control(decoded))
            return false;
        params[i] = decoded;
    }
    return true;
}

const struct route *route_find(unsigned method, struct str path, struct arena *a, struct str params[4], size_t *param_count,
                               bool *is_known, unsigned *allow)
{
    struct str found[4];
    size_t count;
    /* RFC 9110 9.3.2: HEAD is GET without the body, which the server leaves out. */
    unsigned wanted = method == METHOD_HEAD ? METHOD_GET : method;
    *is_known = false;
    *allow = 0;
    *param_count = 0;
    for (size_t i = 0; i < COUNT(routes); i++) {
        if (!pattern_matches(str_of(routes[i].path), path, found, &count) || !params_decode(a, found, count))
            continue;
        *is_known = true;
        *allow |= routes[i].methods | (routes[i].methods & METHOD_GET ? METHOD_HEAD : 0);
        if (!(routes[i].methods & wanted))
            continue;
        memcpy(params, found, count * sizeof *found);
        *param_count = count;
        return &routes[i];
    }
    return NULL;
}
