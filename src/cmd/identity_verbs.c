/* Verbs of identity providers. A body holds a client secret, so it comes from a file or from standard input, into locked memory. */
#include <stdio.h>

#include "cmd/client.h"
#include "cmd/secret_body.h"
#include "cmd/verbs.h"

int identity_providers_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "KEY", "key", COLUMN_TEXT },
        { "NAME", "name", COLUMN_TEXT },
        { "ISSUER", "issuer", COLUMN_TEXT },
        { "SIGN-IN CLIENT", "sign_in.client_id", COLUMN_TEXT },
        { "CALLERS' AUDIENCE", "jwt_callers.audience", COLUMN_TEXT },
        { "DISABLED", "disabled", COLUMN_TEXT },
    };
    struct listing l = { .path = "/identity-providers", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No identity providers yet: raccord help identity-providers create" };
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_list(&k, &l);
}

int identity_providers_get_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_ask_and_show(&k, "GET", client_path(c, "/identity-providers", ""), NULL);
}

int identity_providers_create_run(struct command *c) { return secret_body_send(c, "POST", STR("/identity-providers")); }

int identity_providers_update_run(struct command *c) { return secret_body_send(c, "PATCH", client_path(c, "/identity-providers", "")); }

int identity_providers_delete_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "DELETE", client_path(c, "/identity-providers", ""), NULL, &answer);
    if (code)
        return code;
    if (k.json)
        return client_show(&k, &answer);
    printf("Deleted: %s\n", c->arguments[0]);
    return EXIT_DONE;
}
