/* Verbs of identity providers. A body holds a client secret, so it comes from a file or from standard input, into locked memory. */
#include <stdio.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/password.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define BODY_MAX (64 * 1024)

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

static int read_body(struct command *c, struct secret *out)
{
    char *word = command_value(c, OPT_BODY);
    struct fault why = { 0 };
    if (!word)
        return command_wrong(c, "--body is missing: @FILE, or - for standard input.");
    if (strcmp(word, "-") != 0 && word[0] != '@') {
        secret_wipe(word, strlen(word));
        return command_wrong(c, "--body takes @FILE or - here: other users could read the client secret on the command line.");
    }
    if (secret_read_file(word[0] == '@' ? word + 1 : "-", BODY_MAX, false, out, &why))
        return command_failed(c, &why);
    return EXIT_DONE;
}

static int send(struct command *c, const char *method, struct str path)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET body = SECRET_NONE;
    int code = client_open(c, &k);
    if (!code)
        code = read_body(c, &body);
    struct str text = secret_str(body);
    return code ? code : client_ask_and_show(&k, method, path, &text);
}

int identity_providers_create_run(struct command *c) { return send(c, "POST", STR("/identity-providers")); }

int identity_providers_update_run(struct command *c) { return send(c, "PATCH", client_path(c, "/identity-providers", "")); }

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
