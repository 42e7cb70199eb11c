/* cmd/verbs.h - every verb of the program, once. */
#ifndef CMD_VERBS_H
#define CMD_VERBS_H

#include <stdio.h>

#include "cmd/command.h"

/* The whole program but for process protection. Answers the exit code. */
int verbs_main(int argc, char **argv);

/* All rows, in the order that help shows them. */
const struct verb *verbs_all(size_t *count);
/* The row whose name the words begin with, the longest one; *used says how many words. NULL when none does. */
const struct verb *verb_find(int count, char **words, int *used);
/* Says which verb the arguments of `c` come close to. Always false. */
bool verb_unknown(const struct command *c);

/* help.c */
void help_general(FILE *to);
void help_verb(FILE *to, const struct verb *v);
/* The verbs that begin with this word. False when none does. */
bool help_group(FILE *to, struct str word);
int help_verb_run(struct command *c);
int completion_run(struct command *c);

/* Entries of the rows; each in the file of its name. */
int serve_main(int argc, char **argv);                       /* serve.c */
int config_check_run(struct command *c);                     /* config_verbs.c */
int config_list_run(struct command *c);
int token_create_run(struct command *c);                     /* local_verbs.c */
int user_create_run(struct command *c);
int second_factor_enable_run(struct command *c);             /* second_factor_verbs.c */
int second_factor_status_run(struct command *c);
int second_factor_codes_run(struct command *c);
int second_factor_disable_run(struct command *c);
int connections_default_run(struct command *c);              /* connection_verbs.c */
int connections_duplicate_run(struct command *c);
int connections_usage_run(struct command *c);                /* connection_life_verbs.c */
int connections_grant_run(struct command *c);
int connections_connect_run(struct command *c);              /* connect_verbs.c */
int connections_authorize_run(struct command *c);
int connect_sessions_create_run(struct command *c);
int connect_sessions_get_run(struct command *c);
int connect_sessions_withdraw_run(struct command *c);
int doctor_run(struct command *c);                           /* doctor.c */
int connections_renewals_run(struct command *c);
int connections_renew_run(struct command *c);
int grants_list_run(struct command *c);
int connections_history_run(struct command *c);
int connections_restore_run(struct command *c);
int user_invite_run(struct command *c);                      /* people_verbs.c */
int user_reset_password_run(struct command *c);
int user_unlock_run(struct command *c);
int user_list_run(struct command *c);
int connectors_list_run(struct command *c);                  /* reading_verbs.c */
int connectors_get_run(struct command *c);
int connectors_domains_run(struct command *c);
int runs_list_run(struct command *c);
int runs_get_run(struct command *c);
int audit_list_run(struct command *c);
int audit_export_run(struct command *c);
int audit_verify_run(struct command *c);
int audit_hash_run(struct command *c);
int connections_list_run(struct command *c);                 /* connection_verbs.c */
int connections_get_run(struct command *c);
int connections_create_run(struct command *c);
int connections_update_run(struct command *c);
int connections_credentials_run(struct command *c);
int connections_verify_run(struct command *c);
int connections_enable_run(struct command *c);
int connections_disable_run(struct command *c);
int connections_delete_run(struct command *c);
int connections_move_run(struct command *c);                 /* folder_verbs.c */
int connections_share_run(struct command *c);
int connections_shares_run(struct command *c);
int connections_unshare_run(struct command *c);
int folders_list_run(struct command *c);
int folders_get_run(struct command *c);
int folders_create_run(struct command *c);
int folders_update_run(struct command *c);
int folders_delete_run(struct command *c);
int folders_members_run(struct command *c);
int folders_add_run(struct command *c);
int folders_remove_run(struct command *c);
int groups_list_run(struct command *c);
int groups_get_run(struct command *c);
int groups_create_run(struct command *c);
int groups_update_run(struct command *c);
int groups_delete_run(struct command *c);
int verify_audit_run(struct command *c);                     /* audit_verbs.c */
int policies_list_run(struct command *c);                    /* policy_verbs.c */
int policies_get_run(struct command *c);
int policies_create_run(struct command *c);
int policies_update_run(struct command *c);
int policies_delete_run(struct command *c);
int policies_explain_run(struct command *c);
int policies_preview_run(struct command *c);
int limits_run(struct command *c);
int seal_run(struct command *c);                             /* keys_verbs.c */
int keys_status_run(struct command *c);                      /* keys_verbs.c */
int keys_rotate_run(struct command *c);
int certificates_list_run(struct command *c);                /* certificate_verbs.c */
int certificates_get_run(struct command *c);
int certificates_issue_run(struct command *c);
int certificates_renew_run(struct command *c);
int certificates_activate_run(struct command *c);
int certificates_ca_run(struct command *c);
int backup_run(struct command *c);                           /* backup_verbs.c */
int restore_run(struct command *c);
int identity_providers_list_run(struct command *c);          /* identity_verbs.c */
int oauth_clients_list_run(struct command *c);
int oauth_clients_get_run(struct command *c);
int oauth_clients_create_run(struct command *c);
int oauth_clients_update_run(struct command *c);
int oauth_clients_activate_run(struct command *c);
int oauth_clients_keys_run(struct command *c);
int oauth_clients_import_run(struct command *c);
int oauth_clients_delete_run(struct command *c);
int identity_providers_get_run(struct command *c);
int identity_providers_create_run(struct command *c);
int identity_providers_update_run(struct command *c);
int identity_providers_delete_run(struct command *c);
int tokens_list_run(struct command *c);                      /* token_verbs.c */
int tokens_get_run(struct command *c);
int tokens_create_run(struct command *c);
int tokens_update_run(struct command *c);
int tokens_revoke_run(struct command *c);
int users_list_run(struct command *c);                       /* account_verbs.c */
int users_get_run(struct command *c);
int users_create_run(struct command *c);
int users_update_run(struct command *c);
int users_invite_run(struct command *c);
int users_reset_password_run(struct command *c);
int users_uninvite_run(struct command *c);
int users_disable_run(struct command *c);
int users_enable_run(struct command *c);
int users_unlock_run(struct command *c);
int users_remove_second_factor_run(struct command *c);
int users_delete_run(struct command *c);
int users_departure_run(struct command *c);
int service_accounts_list_run(struct command *c);
int service_accounts_get_run(struct command *c);
int service_accounts_create_run(struct command *c);
int service_accounts_update_run(struct command *c);
int service_accounts_disable_run(struct command *c);
int service_accounts_enable_run(struct command *c);
int service_accounts_delete_run(struct command *c);
int sessions_list_run(struct command *c);
int sessions_end_run(struct command *c);
int setup_run(struct command *c);                            /* sign_in_verbs.c */
int accept_run(struct command *c);
int login_run(struct command *c);
int password_run(struct command *c);
int call_run(struct command *c);                             /* call_verb.c */

#endif
