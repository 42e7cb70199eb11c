#include "cmd/verbs.h"

#include <stdio.h>

static int version_run(struct command *c);
static int serve_run(struct command *c);

#define CLIENT (OPTION(SERVER) | OPTION(TOKEN) | OPTION(TOKEN_FILE) | OPTION(CA_FILE) | OPTION(JSON))
#define PAIR (OPTION(CLIENT_CERTIFICATE) | OPTION(CLIENT_KEY) | OPTION(CLIENT_PASSPHRASE) | OPTION(ISSUE))
#define NARROW \
    (OPTION(CONNECTION) | OPTION(FOLDER) | OPTION(METHOD) | OPTION(RISK) | OPTION(ACTION) | OPTION(PATH) | OPTION(ADDRESS))
#define SETTINGS (OPTION(CONFIG) | OPTION(DATA) | OPTION(LISTEN) | OPTION(PUBLIC_URL))

static const struct verb verbs[] = {
    { "serve", "", 0, 0, SETTINGS | OPTION(DEMO), serve_run, true, "run the hub",
      "Settings come from the file, each overridden by RACCORD_<NAME> (dots become underscores), each\n"
      "overridden by its flag: raccord config list shows them all. The first start prints a one-time\n"
      "link that makes the owner's account.\n" },
    { "config check", "", 0, 0, SETTINGS, config_check_run, true, "say whether the settings are usable", NULL },
    { "config list", "", 0, 0, SETTINGS | OPTION(JSON), config_list_run, true, "every setting, its value and where it comes from",
      NULL },
    { "token create", "", 0, 0, OPTION(DATA) | OPTION(NAME) | OPTION(ROLE) | OPTION(EXPIRES) | NARROW, token_create_run, false,
      "make a token on the hub's own machine and print it",
      "Works on the database directly, beside a running hub too. The token belongs to the service account\n"
      "NAME, which is made when needed, and is printed once: keep it. Each of --connection, --folder,\n"
      "--method, --risk, --action, --path and --address narrows it; what is named together holds together.\n\n"
      "  raccord token create --data /var/lib/raccord --name report --role user --folder shared --method GET \\\n"
      "    --address 10.0.0.0/8\n"
      "  raccord token create --data /var/lib/raccord --name ci --role user --connection crm --expires 30d\n" },
    { "user create", "", 0, 0, OPTION(DATA) | OPTION(EMAIL) | OPTION(ROLE) | OPTION(PASSWORD_FILE) | OPTION(LANGUAGE),
      user_create_run, false, "make a user on the hub's own machine",
      "Works on the database directly, beside a running hub too.\n\n"
      "  raccord user create --data /var/lib/raccord --email ana@example.com --role admin\n" },
    { "user invite", "", 0, 0, OPTION(DATA) | OPTION(EMAIL) | OPTION(ROLE) | OPTION(LANGUAGE) | OPTION(PUBLIC_URL), user_invite_run,
      false, "make a user and a one-time link by which the person sets a password",
      "Works on the database directly, beside a running hub too. The link is printed once and lives 7 days.\n\n"
      "  raccord user invite --data /var/lib/raccord --email ana@example.com --role user --public-url https://hub.example.com\n" },
    { "user reset-password", "", 0, 0, OPTION(DATA) | OPTION(EMAIL) | OPTION(PUBLIC_URL), user_reset_password_run, false,
      "make a one-time link by which a user sets a new password", "The link is printed once and lives a day.\n" },
    { "user unlock", "", 0, 0, OPTION(DATA) | OPTION(EMAIL), user_unlock_run, false, "let in again who guessed too often", NULL },
    { "user list", "", 0, 0, OPTION(DATA), user_list_run, false, "who may sign in, and who is locked out, on the hub's own machine",
      NULL },

    { "setup", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(LINK_FILE) | OPTION(PASSWORD_FILE) | OPTION(LANGUAGE), setup_run, false,
      "make the owner's account, with the one-time link of the first start",
      "The link is asked for, or read from --link-file: others could read it on the command line.\n\n"
      "  raccord setup --email ana@example.com\n" },
    { "accept", "", 0, 0, CLIENT | OPTION(LINK_FILE) | OPTION(PASSWORD_FILE) | OPTION(LANGUAGE), accept_run, false,
      "set your password with the link of an invitation or of a reset", "  raccord accept --link-file invitation.txt\n" },
    { "login", "", 0, 0,
      CLIENT | OPTION(EMAIL) | OPTION(PASSWORD_FILE) | OPTION(CODE) | OPTION(NAME) | OPTION(ROLE) | OPTION(EXPIRES), login_run,
      false, "show your password and get a token of your own, for 30 days if nothing else is asked",
      "Prints the token and nothing else. It has your role, or a wider one that you hold in a folder; or less:\n"
      "--role. raccord tokens revoke ends it.\n\n"
      "  export RACCORD_TOKEN=$(raccord login --email ana@example.com)\n"
      "  (umask 077; raccord login --email ana@example.com --expires 12h > ~/.raccord-token)\n" },

    { "password", "", 0, 0, CLIENT | OPTION(PASSWORD_FILE) | OPTION(NEW_PASSWORD_FILE), password_run, false,
      "change your own password",
      "Asks for the one that you have, and twice for the new one. Your sessions end; your tokens go on.\n\n"
      "  raccord password\n" },

    { "second-factor enable", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(PASSWORD_FILE), second_factor_enable_run, false,
      "set up an authenticator app for your own account",
      "Asks for your password, prints the otpauth:// address for the app, asks for the code that the app shows, and\n"
      "prints ten recovery codes. Your other sessions end.\n\n"
      "  raccord second-factor enable --email ana@example.com\n" },
    { "second-factor status", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(PASSWORD_FILE) | OPTION(CODE), second_factor_status_run,
      false, "is there one, must there be one, how many recovery codes are left", NULL },
    { "second-factor recovery-codes", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(PASSWORD_FILE) | OPTION(CODE),
      second_factor_codes_run, false, "make ten new recovery codes; the old ones are of no use any more", NULL },
    { "second-factor disable", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(PASSWORD_FILE) | OPTION(CODE) | OPTION(YES),
      second_factor_disable_run, false, "take it off your own account",
      "Of somebody who lost the phone: raccord users remove-second-factor\n" },

    { "connectors list", "", 0, 0, CLIENT | OPTION(LIMIT) | OPTION(SEARCH) | OPTION(DOMAIN) | OPTION(AUTH_TYPE) | OPTION(STAGE),
      connectors_list_run, false, "what can be connected", NULL },
    { "connectors domains", "", 0, 0, CLIENT, connectors_domains_run, false,
      "the business domains, and how many connectors each has", NULL },
    { "connectors get", "ID", 1, 1, CLIENT, connectors_get_run, false, "one connector: its auth types and their fields", NULL },

    { "connections list", "", 0, 0,
      CLIENT | OPTION(LIMIT) | OPTION(SEARCH) | OPTION(FOLDER) | OPTION(CONNECTOR) | OPTION(STATE) | OPTION(HEALTH) | OPTION(TAG) |
          OPTION(DEFAULT),
      connections_list_run, false, "the connections that you may see",
      "--state deleted lists those that can be brought back (raccord connections restore ID).\n" },
    { "connections get", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_get_run, false, "one connection, by key or id", NULL },
    { "connections create", "", 0, 0,
      CLIENT | OPTION(CONNECTOR) | OPTION(AUTH_TYPE) | OPTION(KEY) | OPTION(NAME) | OPTION(NOTES) | OPTION(FOLDER) |
          OPTION(ALLOWED_DOMAIN) | OPTION(FIELD) | OPTION(CREDENTIAL) | OPTION(DEFAULT) | OPTION(TAG) | OPTION(BODY) | PAIR |
          OPTION(TLS_CA) | OPTION(OAUTH_CLIENT) | OPTION(SCOPES),
      connections_create_run, false, "connect an account",
      "A credential never stands on the command line, where other users could read it:\n"
      "  --credential token            asks for it without showing it\n"
      "  --credential token=@FILE      reads it from a file\n"
      "  --credential token=-          reads it from standard input\n\n"
      "  raccord connections create --connector http --auth-type bearer --key crm --name CRM \\\n"
      "    --field base_url=https://api.example.com/v2 --credential token\n" },
    { "connections connect", "[ID]", 0, 1,
      CLIENT | OPTION(CONNECTOR) | OPTION(AUTH_TYPE) | OPTION(KEY) | OPTION(NAME) | OPTION(NOTES) | OPTION(FOLDER) |
          OPTION(ALLOWED_DOMAIN) | OPTION(FIELD) | OPTION(DEFAULT) | OPTION(TAG) | OPTION(TLS_CA) | OPTION(OAUTH_CLIENT) |
          OPTION(SCOPES) | OPTION(NO_BROWSER) | OPTION(NO_WAIT) | OPTION(FORCE),
      connections_connect_run, false, "create a connection, or take one, and authorize it in the browser",
      "  raccord connections connect --connector salesforce --oauth-client crm --name CRM\n"
      "  raccord connections connect crm\n" },
    { "connections authorize", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(NO_BROWSER) | OPTION(NO_WAIT) | OPTION(FORCE),
      connections_authorize_run, false, "let a person authorize it at its provider, in the browser or with a code", NULL },
    { "connections update", "ID", 1, 1,
      CLIENT | OPTION(FOLDER) | OPTION(NAME) | OPTION(NOTES) | OPTION(FIELD) | OPTION(DEFAULT) | OPTION(TAG) | OPTION(BODY) |
          OPTION(TLS_CA) | OPTION(OAUTH_CLIENT) | OPTION(SCOPES),
      connections_update_run, false, "change name, notes, tags, fields, OAuth client or scopes", NULL },
    { "connections credentials", "ID", 1, 1,
      CLIENT | OPTION(FOLDER) | OPTION(CREDENTIAL) | OPTION(BODY) | OPTION(YES) | OPTION(VERIFY) | OPTION(FORCE) | PAIR,
      connections_credentials_run, false, "replace the credentials",
      "All credentials are replaced by those given; see: raccord help connections create. A client certificate\n"
      "given alone leaves the others as they are, and is put to use at once.\n\n"
      "With --verify the provider is asked before the old ones are replaced; another account than before is\n"
      "refused unless --force says that it is meant.\n" },
    { "connections verify", "[ID]", 0, 1,
      CLIENT | OPTION(FOLDER) | OPTION(ALL) | OPTION(CONNECTOR) | OPTION(HEALTH) | OPTION(TAG) | OPTION(SEARCH),
      connections_verify_run, false, "ask the provider whether the credentials work",
      "With --all, every active connection that you may use, or those that the filters leave; the hub asks a\n"
      "few providers at a time. The exit code is 5 when one does not work.\n" },
    { "connections enable", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_enable_run, false, "let it be used again", NULL },
    { "connections disable", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(YES), connections_disable_run, false,
      "refuse every call through it", "Asks first when others depend on it.\n" },
    { "connections default", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_default_run, false,
      "make it the default of its folder for its connector", NULL },
    { "connections usage", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_usage_run, false,
      "who depends on it, and who called through it", NULL },
    { "connections grant", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_grant_run, false, "what it was granted, and until when",
      "Scopes, the end, the next renewal; no tokens.\n" },
    { "connections renewals", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(LIMIT), connections_renewals_run, false,
      "the timeline of its renewals, newest first", NULL },
    { "connections renew", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_renew_run, false, "renew its credential now", NULL },
    { "connections history", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(LIMIT), connections_history_run, false,
      "what happened to it, newest first", "Of a deleted connection too, by its id.\n" },
    { "connections duplicate", "ID", 1, 1,
      CLIENT | OPTION(AUTH_TYPE) | OPTION(KEY) | OPTION(NAME) | OPTION(FOLDER) | OPTION(FIELD) | OPTION(CREDENTIAL) |
          OPTION(DRY_RUN) | PAIR,
      connections_duplicate_run, false, "make a second one like it, perhaps with another way to authenticate",
      "Credentials are never copied: give them with --credential, or later. Nor is a client certificate of its own;\n"
      "a copy shows the hub's where the first one does.\n" },
    { "connections delete", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(YES) | OPTION(FORCE) | OPTION(PURGE) | OPTION(HEIR),
      connections_delete_run, false, "delete it; it can be restored for a while",
      "At a terminal, shows who depends on it and asks, also which other one becomes the default of its folder.\n"
      "Without a terminal, --yes is needed, --force when others depend on it, and --heir (or --force) when it is the\n"
      "default of its folder and others could be.\n" },
    { "connections restore", "ID", 1, 1, CLIENT | OPTION(KEY), connections_restore_run, false, "bring a deleted connection back",
      "By its id: raccord connections list --state deleted\n" },
    { "connections move", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(TO) | OPTION(DRY_RUN) | OPTION(YES), connections_move_run,
      false, "move it to another folder; first see who gains and who loses",
      "When somebody loses access by it, says who and asks; without a terminal to ask at, --yes is needed.\n"
      "--dry-run says it and moves nothing.\n" },
    { "connections share", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(WITH) | OPTION(EXPIRES), connections_share_run, false,
      "let somebody use this one connection, without its folder", NULL },
    { "connections shares", "ID", 1, 1, CLIENT | OPTION(FOLDER), connections_shares_run, false, "with whom it is shared", NULL },
    { "connections unshare", "ID", 1, 1, CLIENT | OPTION(FOLDER) | OPTION(WITH), connections_unshare_run, false,
      "end a share, at once", NULL },

    { "folders list", "", 0, 0, CLIENT | OPTION(LIMIT), folders_list_run, false, "the folders that you see, and what you may there",
      NULL },
    { "folders get", "PATH", 1, 1, CLIENT, folders_get_run, false, "one folder", NULL },
    { "folders create", "PATH", 1, 1, CLIENT | OPTION(PRESET) | OPTION(INHERIT) | OPTION(NO_INHERIT), folders_create_run, false,
      "make a folder below another one", "  raccord folders create shared/sales\n" },
    { "folders update", "PATH", 1, 1,
      CLIENT | OPTION(NAME) | OPTION(TO) | OPTION(PRESET) | OPTION(INHERIT) | OPTION(NO_INHERIT) | OPTION(DRY_RUN) | OPTION(YES),
      folders_update_run, false, "rename it, move it, or say who edits in it and who is kept out",
      "When somebody loses rights by it, says who and asks; without a terminal to ask at, --yes is needed.\n"
      "--dry-run says who would gain and who would lose which rights.\n" },
    { "folders delete", "PATH", 1, 1, CLIENT | OPTION(YES), folders_delete_run, false, "remove an empty folder", NULL },
    { "folders members", "PATH", 1, 1, CLIENT, folders_members_run, false, "who is in it by name", NULL },
    { "folders add", "PATH WHO", 2, 2, CLIENT | OPTION(ROLE) | OPTION(EXPIRES) | OPTION(DRY_RUN), folders_add_run, false,
      "give somebody a role in it and below it",
      "WHO is an e-mail address, or the name of a service account or group.\n\n"
      "  raccord folders add shared/sales ann@example.com --role editor --expires 30d\n" },
    { "folders remove", "PATH WHO", 2, 2, CLIENT | OPTION(DRY_RUN), folders_remove_run, false, "take that role back", NULL },

    { "groups list", "", 0, 0, CLIENT | OPTION(LIMIT), groups_list_run, false, "several people under one name", NULL },
    { "groups get", "ID", 1, 1, CLIENT, groups_get_run, false, "one group, and who is in it", NULL },
    { "groups create", "NAME", 1, 1, CLIENT | OPTION(MEMBER), groups_create_run, false, "make a group", NULL },
    { "groups update", "ID", 1, 1, CLIENT | OPTION(NAME) | OPTION(MEMBER), groups_update_run, false,
      "rename it, or say anew who is in it", NULL },
    { "groups delete", "ID", 1, 1, CLIENT | OPTION(YES), groups_delete_run, false, "remove it, and what was given to it", NULL },

    { "call", "CONNECTION METHOD PATH", 3, 3,
      CLIENT | OPTION(FOLDER) | OPTION(QUERY) | OPTION(HEADER) | OPTION(BODY) | OPTION(INCLUDE), call_run, false,
      "make one call through a connection and print the provider's answer",
      "PATH is relative to the connection's base URL. The body is printed as it came; a status of 400 or\n"
      "more makes the exit code 5.\n\n"
      "  raccord call crm GET /v1/contacts -q limit=5\n"
      "  raccord call crm POST /v1/contacts -d '{\"name\": \"Zoé Martin\"}'\n" },

    { "runs list", "", 0, 0,
      CLIENT | OPTION(LIMIT) | OPTION(CONNECTION) | OPTION(FOLDER) | OPTION(CALLER) | OPTION(OUTCOME) | OPTION(SINCE),
      runs_list_run, false, "what was called, newest first", NULL },
    { "runs get", "ID", 1, 1, CLIENT, runs_get_run, false, "one run and its times", NULL },

    { "audit list", "", 0, 0,
      CLIENT | OPTION(LIMIT) | OPTION(FOLDER) | OPTION(ACTOR) | OPTION(OBJECT) | OPTION(ACTION) | OPTION(SINCE) | OPTION(UNTIL),
      audit_list_run, false, "who did what, newest first",
      "With --folder, in that folder and those below that inherit from it: it takes the right “audit” there.\n" },
    { "audit export", "", 0, 0, CLIENT, audit_export_run, false, "every record, oldest first, as one JSON object a line",
      "The last line holds the exported heads.\n\n  raccord audit export > audit.ndjson\n" },
    { "audit verify", "", 0, 0, CLIENT, audit_verify_run, false, "let the hub check its own log",
      "Exit code 1 when something is wrong. On a copy, or where the hub itself is in doubt: raccord verify-audit.\n" },
    { "audit hash", "", 0, 0, CLIENT, audit_hash_run, false, "the hash under which the log keeps a value that it may not show",
      "The value is asked for, or read from standard input. To find who typed an address at the log-in:\n\n"
      "  raccord audit export | grep \"$(echo -n ana@example.com | raccord audit hash)\"\n" },
    { "verify-audit", "", 0, 0, SETTINGS | OPTION(HEADS) | OPTION(CALLS) | OPTION(JSON), verify_audit_run, true,
      "find changed, missing and reordered records of the audit log",
      "Works on the database directly, beside a running hub and on a copy, too. Exit code 1, and the number of\n"
      "the first record that is wrong, when something is.\n\n"
      "  raccord verify-audit --data /var/lib/raccord --heads /mnt/elsewhere/audit-heads.log\n"
      "  raccord verify-audit --data /var/lib/raccord --calls /mnt/elsewhere/calls-january.log\n" },

    { "tokens list", "", 0, 0, CLIENT | OPTION(LIMIT) | OPTION(CALLER), tokens_list_run, false, "the tokens that you may see",
      NULL },
    { "tokens get", "ID", 1, 1, CLIENT, tokens_get_run, false, "one token, without its secret", NULL },
    { "tokens create", "", 0, 0, CLIENT | OPTION(NAME) | OPTION(ROLE) | OPTION(SERVICE_ACCOUNT) | OPTION(EXPIRES) | NARROW,
      tokens_create_run, false, "make a token, for oneself or for a service account, and print it",
      "Only the token goes to standard output. Each of --connection, --folder, --method, --risk, --action, --path\n"
      "and --address narrows it; what is named together holds together.\n\n"
      "  raccord tokens create --name report --service-account report --connection crm --method GET --expires 30d\n" },
    { "tokens update", "ID", 1, 1, CLIENT | OPTION(NAME) | OPTION(EXPIRES) | NARROW, tokens_update_run, false,
      "rename it, narrow it anew, or say how long it still lives", "What is named replaces all that was said of its kind.\n" },
    { "tokens revoke", "ID", 1, 1, CLIENT, tokens_revoke_run, false, "refuse it from now on", NULL },

    { "policies list", "", 0, 0, CLIENT | OPTION(LIMIT), policies_list_run, false, "what is allowed, preset and forbidden", NULL },
    { "policies get", "POLICY", 1, 1, CLIENT, policies_get_run, false, "one policy, by name or id", NULL },
    { "policies create", "", 0, 0, CLIENT | OPTION(BODY), policies_create_run, false, "make a policy",
      "The policy is JSON, from a file or standard input; docs/policies.md lists the rules. It holds at once.\n\n"
      "  echo '{\"name\": \"Limits\", \"preset\": \"genesys\"}' | raccord policies create --body -\n" },
    { "policies update", "POLICY", 1, 1, CLIENT | OPTION(BODY), policies_update_run, false, "replace a policy", NULL },
    { "policies delete", "POLICY", 1, 1, CLIENT | OPTION(YES), policies_delete_run, false,
      "remove a policy: it holds no more, at once", NULL },
    { "policies explain", "OPERATION", 1, 1,
      CLIENT | OPTION(CALLER) | OPTION(CONNECTOR) | OPTION(AUTH_TYPE) | OPTION(ALLOWED_DOMAIN) | OPTION(CONNECTION) |
          OPTION(FOLDER) | OPTION(METHOD) | OPTION(PATH) | OPTION(ADDRESS) | OPTION(ACTION) | OPTION(IDENTITY_PROVIDER) |
          OPTION(CLAIM),
      policies_explain_run, false, "may somebody do that, and why?",
      "OPERATION is as the audit log names it. --caller is a user, a service account or the id of a token;\n"
      "without it, oneself. --identity-provider and --claim: whoever presents a token with these claims.\n\n"
      "  raccord policies explain connection.call --caller reports --connection crm --method DELETE\n"
      "  raccord policies explain connection.call --identity-provider ci --claim repository=acme/billing --connection crm\n" },
    { "policies preview", "[ID]", 0, 1, CLIENT | OPTION(BODY), policies_preview_run, false,
      "what would break if this policy were saved, in place of ID if given", NULL },
    { "limits", "", 0, 0, CLIENT | OPTION(LIMIT), limits_run, false, "each limit: value, use, source, when it was last reached",
      NULL },

    { "users list", "", 0, 0, CLIENT | OPTION(LIMIT), users_list_run, false, "everybody who may sign in", NULL },
    { "users get", "USER", 1, 1, CLIENT, users_get_run, false, "one user, by e-mail address or id", NULL },
    { "users invite", "EMAIL", 1, 1, CLIENT | OPTION(ROLE) | OPTION(LANGUAGE), users_invite_run, false,
      "make a user, and a one-time link by which the person sets a password",
      "Prints the link and nothing else. The person opens it, or: raccord accept\n\n"
      "  raccord users invite ana@example.com --role user\n" },
    { "users uninvite", "USER", 1, 1, CLIENT, users_uninvite_run, false, "let the link work no more", NULL },
    { "users create", "", 0, 0, CLIENT | OPTION(EMAIL) | OPTION(ROLE) | OPTION(LANGUAGE) | OPTION(PASSWORD_FILE), users_create_run,
      false, "make a user with a password; better: users invite", NULL },
    { "users update", "USER", 1, 1, CLIENT | OPTION(ROLE) | OPTION(LANGUAGE), users_update_run, false, "change role or language",
      NULL },
    { "users reset-password", "USER", 1, 1, CLIENT, users_reset_password_run, false,
      "make a one-time link by which a user sets a new password", NULL },
    { "users unlock", "USER", 1, 1, CLIENT, users_unlock_run, false, "let in again who guessed too often", NULL },
    { "users remove-second-factor", "USER", 1, 1, CLIENT | OPTION(YES), users_remove_second_factor_run, false,
      "for somebody who lost it", NULL },
    { "users disable", "USER", 1, 1, CLIENT, users_disable_run, false, "keep somebody and their tokens out, until enabled", NULL },
    { "users enable", "USER", 1, 1, CLIENT, users_enable_run, false, "let somebody in again", NULL },
    { "users departure", "USER", 1, 1, CLIENT | OPTION(TO) | OPTION(DRY_RUN) | OPTION(YES), users_departure_run, false,
      "somebody leaves: hand over what is theirs, and end the account",
      "Shows what would be handed over, and asks. Without a terminal, --yes is needed.\n" },
    { "users delete", "USER", 1, 1, CLIENT | OPTION(YES), users_delete_run, false, "remove the account; better: users departure",
      NULL },

    { "service-accounts list", "", 0, 0, CLIENT | OPTION(LIMIT), service_accounts_list_run, false, "programs that call", NULL },
    { "service-accounts get", "NAME", 1, 1, CLIENT, service_accounts_get_run, false, "one service account, by name or id", NULL },
    { "service-accounts create", "NAME", 1, 1, CLIENT | OPTION(ROLE), service_accounts_create_run, false,
      "make an account for a program", "Then a token for it: raccord tokens create --name report --service-account NAME\n" },
    { "service-accounts update", "NAME", 1, 1, CLIENT | OPTION(NAME) | OPTION(ROLE), service_accounts_update_run, false,
      "rename it, or change its role", NULL },
    { "service-accounts disable", "NAME", 1, 1, CLIENT, service_accounts_disable_run, false, "refuse its tokens, until enabled",
      NULL },
    { "service-accounts enable", "NAME", 1, 1, CLIENT, service_accounts_enable_run, false, "take its tokens again", NULL },
    { "service-accounts delete", "NAME", 1, 1, CLIENT | OPTION(YES), service_accounts_delete_run, false,
      "remove it, and its tokens", NULL },

    { "sessions list", "", 0, 0, CLIENT | OPTION(USER), sessions_list_run, false, "where one is signed in to the console", NULL },
    { "sessions end", "[ID]", 0, 1, CLIENT | OPTION(USER) | OPTION(ALL), sessions_end_run, false, "sign out there, at once",
      "  raccord sessions end --all --user ana@example.com\n" },

    { "certificates list", "", 0, 0, CLIENT | OPTION(LIMIT) | OPTION(CONNECTION) | OPTION(STATE), certificates_list_run, false,
      "client certificates: whose, until when", NULL },
    { "certificates get", "ID", 1, 1, CLIENT, certificates_get_run, false, "one client certificate, its public chain too", NULL },
    { "certificates issue", "", 0, 0, CLIENT | PAIR | OPTION(CONNECTION) | OPTION(NAME) | OPTION(EXPIRES) | OPTION(ACTIVATE),
      certificates_issue_run, false, "make the next client certificate, or bring it",
      "It is published and not used before it is activated, unless there is none in use yet:\n\n"
      "  raccord certificates issue --issue connection --connection crm\n"
      "  raccord certificates issue --connection crm --client-certificate new.pem --client-key new.key\n" },
    { "certificates renew", "ID", 1, 1, CLIENT | OPTION(ACTIVATE), certificates_renew_run, false,
      "make the successor of a certificate that the hub issued", NULL },
    { "certificates activate", "ID", 1, 1, CLIENT, certificates_activate_run, false,
      "put a next certificate to use, or take a retired one back", NULL },
    { "certificates ca", "", 0, 0, CLIENT, certificates_ca_run, false, "print the authority that providers should trust (PEM)",
      NULL },

    { "keys status", "", 0, 0, CLIENT | OPTION(DATA) | OPTION(CONFIG), keys_status_run, false,
      "the wrapping keys, their age and use, and how far a rotation has come", NULL },
    { "keys rotate", "", 0, 0,
      CLIENT | OPTION(DATA) | OPTION(CONFIG) | OPTION(WAIT) | OPTION(MASTER) | OPTION(NEW_KEY_FILE) | OPTION(YES), keys_rotate_run,
      false, "make a new wrapping key, seal every data key by it, and destroy the old one",
      "Calls go on meanwhile. With --data it works on the database directly, beside a running hub too, and needs\n"
      "the master key from where the hub has it. --master changes the master key, on the hub's own machine only:\n\n"
      "  raccord keys rotate --wait\n"
      "  (umask 077; head -c 32 /dev/urandom | base64 > new.key)\n"
      "  raccord keys rotate --master --new-key-file new.key --data /var/lib/raccord\n" },

    { "seal", "", 0, 0, OPTION(DATA), seal_run, false, "wipe every key from a running hub's memory, when somebody may be in",
      "On the hub's own machine, as its user or as root. The hub answers nothing but health and metrics then, until it is\n"
      "started again:\n\n"
      "  raccord seal --data /var/lib/raccord\n" },
    { "backup", "", 0, 0, OPTION(DATA) | OPTION(CONFIG) | OPTION(MASTER_KEY_FILE) | OPTION(OUTPUT) | OPTION(FORCE), backup_run,
      false, "the whole database in one sealed file, beside a running hub",
      "Sealed by the master key, which is not in it: keep a copy of that key elsewhere.\n\n"
      "  raccord backup --data /var/lib/raccord -o /backup/raccord-$(date +%F)\n" },
    { "restore", "FILE", 1, 1, OPTION(DATA) | OPTION(CONFIG) | OPTION(MASTER_KEY_FILE) | OPTION(FORCE) | OPTION(VERIFY),
      restore_run, false, "make a database of a backup, or see whether that would work",
      "Everything in it is opened before it is put in its place. The master key comes from --master-key-file, or from\n"
      "where the hub has it: DIR/master.key, for instance. Sessions end.\n\n"
      "  raccord restore --verify /backup/raccord-2026-01-31 --data /var/lib/raccord\n"
      "  raccord restore /backup/raccord-2026-01-31 --data /var/lib/raccord-new --master-key-file master.key\n" },

    { "connect-sessions create", "", 0, 0,
      CLIENT | OPTION(CONNECTION) | OPTION(EXPIRES) | OPTION(CONNECTOR) | OPTION(AUTH_TYPE) | OPTION(KEY) | OPTION(NAME) |
          OPTION(NOTES) | OPTION(FOLDER) | OPTION(ALLOWED_DOMAIN) | OPTION(FIELD) | OPTION(DEFAULT) | OPTION(TAG) | OPTION(TLS_CA) |
          OPTION(OAUTH_CLIENT) | OPTION(SCOPES) | OPTION(ASK_FIELDS) | OPTION(CHANGE_FIELDS) | OPTION(FORCE),
      connect_sessions_create_run, false, "a link by which somebody without an account completes one connection",
      "  raccord connect-sessions create --connection crm --expires 2h\n"
      "  raccord connect-sessions create --connection crm --change-fields\n"
      "  raccord connect-sessions create --connector zendesk --key theirs --ask-fields\n" },
    { "connect-sessions get", "ID", 1, 1, CLIENT, connect_sessions_get_run, false, "what came of such a link", NULL },
    { "connect-sessions withdraw", "ID", 1, 1, CLIENT, connect_sessions_withdraw_run, false, "let the link open nothing any more",
      NULL },
    { "doctor", "", 0, 0, CLIENT, doctor_run, false, "what may be wrong with this hub: addresses, clock, names, providers",
      "Exits with 0 when all is well, and with 1 when something is wrong.\n" },
    { "grants list", "", 0, 0, CLIENT | OPTION(LIMIT) | OPTION(GRANT_STATE) | OPTION(FROM_BACKUP), grants_list_run, false,
      "what connections were granted, and what to do about it",
      "After a restore, those whose tokens may be older than what the provider holds:\n\n"
      "  raccord grants list --from-backup\n" },
    { "oauth-clients list", "", 0, 0, CLIENT | OPTION(LIMIT) | OPTION(CONNECTOR) | OPTION(SEARCH), oauth_clients_list_run, false,
      "OAuth clients, and how many connections use each", NULL },
    { "oauth-clients get", "ID", 1, 1, CLIENT, oauth_clients_get_run, false,
      "one OAuth client, by key or id, without its secrets; redirect_uri is what to register at the provider", NULL },
    { "oauth-clients create", "", 0, 0, CLIENT | OPTION(BODY), oauth_clients_create_run, false,
      "keep an OAuth client that connections can use",
      "The body is the API's, from a file or from standard input; docs/oauth-clients.md has examples.\n\n"
      "  raccord oauth-clients create --body @crm.json\n" },
    { "oauth-clients import", "FILE", 1, 1, CLIENT | OPTION(KEY) | OPTION(NAME) | OPTION(CONNECTOR), oauth_clients_import_run,
      false, "keep the OAuth client of a file that Google's console gave (- is standard input)",
      "  raccord oauth-clients import client_secret_7.json --key google\n" },
    { "oauth-clients update", "ID", 1, 1, CLIENT | OPTION(BODY), oauth_clients_update_run, false,
      "change it: a member that the body has replaces the whole of it; null takes it away", NULL },
    { "oauth-clients activate", "ID", 1, 1, CLIENT, oauth_clients_activate_run, false,
      "let its next_client_secret take the place of client_secret, and its next_private_key that of private_key", NULL },
    { "oauth-clients keys", "ID", 1, 1, CLIENT, oauth_clients_keys_run, false,
      "its public keys as a JSON web key set, to be registered at the provider; during rotation both", NULL },
    { "oauth-clients delete", "ID", 1, 1, CLIENT | OPTION(YES), oauth_clients_delete_run, false,
      "delete an OAuth client that no connection uses", NULL },

    { "identity-providers list", "", 0, 0, CLIENT | OPTION(LIMIT), identity_providers_list_run, false,
      "who is believed about who somebody is", NULL },
    { "identity-providers get", "ID", 1, 1, CLIENT, identity_providers_get_run, false,
      "one identity provider, by key or id, without its secret", NULL },
    { "identity-providers create", "", 0, 0, CLIENT | OPTION(BODY), identity_providers_create_run, false,
      "let people sign in through a provider, or programs call with its tokens",
      "The body is the API's, from a file or from standard input; docs/sign-in-with-openid-connect.md and\n"
      "docs/jwt-callers.md have examples. The answer's redirect_uri is what to register at the provider.\n\n"
      "  raccord identity-providers create --body @sso.json\n" },
    { "identity-providers update", "ID", 1, 1, CLIENT | OPTION(BODY), identity_providers_update_run, false,
      "change it: a member that the body has replaces the whole of it", NULL },
    { "identity-providers delete", "ID", 1, 1, CLIENT | OPTION(YES), identity_providers_delete_run, false,
      "believe it no longer; the accounts of its people stay", NULL },

    { "completion", "bash", 1, 1, 0, completion_run, false, "print a completion script for the shell",
      "  source <(raccord completion bash)\n" },
    { "help", "[VERB...]", 0, 4, OPTION(MAN), help_verb_run, false, "show this, or the help of one verb", NULL },
    { "version", "", 0, 0, 0, version_run, false, "print the version", NULL },
};

const struct verb *verbs_all(size_t *count)
{
    *count = COUNT(verbs);
    return verbs;
}

static int version_run(struct command *c)
{
    (void)c;
    puts("raccord " RACCORD_VERSION);
    return EXIT_DONE;
}

static int serve_run(struct command *c) { return serve_main(c->argument_count, c->arguments); }

/* How many words of the row's name the given words match, all of them or 0. */
static int words_matched(const char *name, int count, char **words)
{
    struct str rest = str_of(name), word;
    int n = 0;
    while (str_piece(&rest, ' ', &word)) {
        if (n >= count || !str_is(word, words[n]))
            return 0;
        n++;
    }
    return n;
}

const struct verb *verb_find(int count, char **words, int *used)
{
    const struct verb *found = NULL;
    *used = 0;
    for (size_t i = 0; i < COUNT(verbs); i++) {
        int n = words_matched(verbs[i].name, count, words);
        if (n > *used) {
            *used = n;
            found = &verbs[i];
        }
    }
    return found;
}

static const struct verb *nearest_verb(const struct command *c, struct str *typed)
{
    const struct verb *nearest = NULL;
    int best = 4;
    for (size_t i = 0; i < COUNT(verbs); i++) {
        /* As many of the words as the verb has. */
        int words = 1;
        for (const char *p = verbs[i].name; *p; p++)
            words += *p == ' ';
        struct str said = str_of(c->arguments[0]);
        if (words > 1 && c->argument_count > 1 && c->arguments[1][0] != '-')
            said = str_fmt(c->arena, "%s %s", c->arguments[0], c->arguments[1]);
        int d = edit_distance(said, str_of(verbs[i].name));
        if (d < best) {
            best = d;
            nearest = &verbs[i];
            *typed = said;
        }
    }
    return nearest;
}

bool verb_unknown(const struct command *c)
{
    struct str said = str_of(c->arguments[0]);
    const struct verb *near = nearest_verb(c, &said);
    if (near) {
        command_wrong(c, "there is no verb “%.*s”. Did you mean “raccord %s”?", STR_ARG(said), near->name);
        return false;
    }
    bool group = false;
    for (size_t i = 0; i < COUNT(verbs); i++) {
        struct str head, tail;
        group |= str_cut(str_of(verbs[i].name), ' ', &head, &tail) && str_eq(head, said);
    }
    if (!group) {
        command_wrong(c, "there is no verb “%.*s”.", STR_ARG(said));
        return false;
    }
    if (c->argument_count > 1)
        fprintf(stderr, "raccord: there is no verb “%.*s %s”. There are:\n", STR_ARG(said), c->arguments[1]);
    else
        fprintf(stderr, "raccord: “%.*s” needs a second word:\n", STR_ARG(said));
    help_group(stderr, said);
    return false;
}

/* An answer cut short by a full disk or a closed pipe must not pass for a whole one. */
static int flushed(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (code == EXIT_DONE)
        fputs("raccord: the output could not be written\n", stderr);
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

static bool asks_for_help(const struct command *c)
{
    for (int i = 1; i < c->argument_count; i++)
        if (strcmp(c->arguments[i], "--help") == 0 || strcmp(c->arguments[i], "-h") == 0)
            return true;
    return false;
}

static int run(struct command *c, bool help)
{
    if (!c->verb && c->argument_count && help_group(stdout, str_of(c->arguments[0])))
        return EXIT_DONE;
    if (!c->verb) {
        help_general(help ? stdout : stderr);
        return help ? EXIT_DONE : EXIT_USAGE;
    }
    if (help || (c->verb->raw && asks_for_help(c))) {
        help_verb(stdout, c->verb);
        return EXIT_DONE;
    }
    return c->verb->run(c);
}

int verbs_main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0))
        return flushed(version_run(NULL));

    AUTO_ARENA a = arena_new(64 * 1024);
    struct command c;
    bool help;
    if (!command_read(&c, a, argc, argv, &help))
        return EXIT_USAGE;
    return flushed(run(&c, help));
}
