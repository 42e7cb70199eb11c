/* web/handlers.h - every handler of the route table; one file per resource. */
#ifndef WEB_HANDLERS_H
#define WEB_HANDLERS_H

#include "web/web.h"

/* pages.c */
handler landing_page, setup_page, invite_page, asset_get;
/* health.c */
handler healthz, readyz, metrics_get;
/* openapi.c */
handler openapi_get, problem_get;
/* setup.c */
handler setup_post;
/* sessions.c */
handler session_post, session_get, session_delete, session_step_up, sessions_list, sessions_delete, sessions_delete_one;
/* second_factor.c */
handler second_factor_get, second_factor_post, second_factor_delete, second_factor_confirm_post, second_factor_codes;
handler users_second_factor_delete;
/* invitations.c */
handler users_invitation_post, users_invitation_delete, invitations_accept;
/* tokens.c */
handler tokens_list, tokens_create, tokens_get, tokens_patch, tokens_delete;
/* users.c */
handler users_list, users_create, users_get, users_patch, users_delete;
/* service_accounts.c */
handler service_accounts_list, service_accounts_create, service_accounts_get, service_accounts_patch, service_accounts_delete;
/* oauth_clients.c */
handler oauth_clients_list, oauth_clients_create, oauth_clients_get, oauth_clients_patch, oauth_clients_delete,
    oauth_clients_activate, oauth_clients_jwks;
/* identity_providers.c */
handler identity_providers_list, identity_providers_create, identity_providers_get, identity_providers_patch,
    identity_providers_delete;
/* oidc.c */
handler session_providers, session_oidc_start, oidc_callback;
/* folders.c */
handler folders_list, folders_get, folders_create, folders_patch, folders_delete, folders_members, folders_members_put,
    folders_audit;
/* groups.c */
handler groups_list, groups_create, groups_get, groups_patch, groups_delete;
/* departures.c */
handler users_departure;
/* connection_access.c */
handler connection_shares_list, connection_shares_post, connection_shares_delete, connections_move;
/* connectors.c */
handler connectors_list, connectors_get, domains_list;
/* connections.c */
handler connections_list, connections_create, connections_get, connections_patch, connections_credentials;
/* connections.c, too */
handler connections_enable, connections_disable, connections_default;
/* connection_trash.c */
handler connections_delete, connections_restore;
/* connection_duplicate.c */
handler connections_duplicate;
/* connection_history.c */
handler connections_history;
/* connection_usage.c */
handler connections_usage;
/* connection_verify.c */
handler connections_verify;
/* connection_grant.c */
handler connections_grant, connections_grant_events, connections_renew;
/* connection_verify_many.c */
handler connections_verify_many, connections_verify_progress;
/* connection_call.c */
handler connections_call;
/* certificates.c */
handler certificates_list, certificates_get, certificates_ca, certificates_create, certificates_activate;
/* runs.c */
handler runs_list, runs_get;
/* audit.c */
handler audit_get_list, audit_get_verify, audit_get_export, audit_post_hash;
/* keys.c */
handler keys_get, keys_rotate;
/* policies.c, policy_explain.c, policy_preview.c */
handler policies_list, policies_create, policies_get, policies_put, policies_delete, policies_explain, policies_preview;
/* authorize.c */
handler connections_authorize, authorizations_get, oauth_start, oauth_callback;
/* connect_sessions.c, connect_page.c */
handler grants_list;
handler connect_sessions_create, connect_sessions_get, connect_sessions_delete, connect_page_get, connect_page_post;
/* doctor.c */
handler doctor_get;
/* limits.c */
handler limits_list;

#endif
