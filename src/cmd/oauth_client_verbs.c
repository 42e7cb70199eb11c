/* Verbs of OAuth clients. A body holds a client secret: cmd/secret_body.h. */
#include <stdio.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/password.h"
#include "cmd/secret_body.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

int oauth_clients_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "KEY", "key", COLUMN_TEXT },
        { "NAME", "name", COLUMN_TEXT },
        { "CONNECTOR", "connector", COLUMN_TEXT },
        { "CLIENT ID", "client_id", COLUMN_TEXT },
        { "TOKEN URL", "token_url", COLUMN_TEXT },
        { "USED BY", "used_by", COLUMN_TEXT },
    };
    AUTO_BUF query;
    AUTO_CLIENT k = { 0 };
    buf_init(&query, 4096);
    query_add_option(&query, c, OPT_CONNECTOR, "connector");
    query_add_option(&query, c, OPT_SEARCH, "search");
    struct listing l = { .path = "/oauth-clients", .query = buf_str(&query), .columns = columns, .column_count = COUNT(columns),
                         .empty = "No OAuth clients yet: raccord help oauth-clients create",
                         .none_found = "No OAuth client matches." };
    int code = client_open(c, &k);
    return code ? code : client_list(&k, &l);
}

int oauth_clients_get_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_ask_and_show(&k, "GET", client_path(c, "/oauth-clients", ""), NULL);
}

int oauth_clients_create_run(struct command *c) { return secret_body_send(c, "POST", STR("/oauth-clients")); }

int oauth_clients_update_run(struct command *c) { return secret_body_send(c, "PATCH", client_path(c, "/oauth-clients", "")); }

int oauth_clients_activate_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_ask_and_show(&k, "POST", client_path(c, "/oauth-clients", "/activate"), NULL);
}

static void member(struct json_out *o, struct command *c, enum option option, const char *name)
{
    const char *value = command_value(c, option);
    if (value)
        json_member_str(o, name, str_of(value));
}

/* {"key": ..., "google_client": the file as it is}: put together in locked memory. */
static int wrap(struct command *c, struct secret file, struct secret *out)
{
    AUTO_BUF head;
    buf_init(&head, 8192);
    struct json_out o = json_out(&head);
    json_open(&o, '{');
    member(&o, c, OPT_KEY, "key");
    member(&o, c, OPT_NAME, "name");
    member(&o, c, OPT_CONNECTOR, "connector");
    json_key(&o, "google_client");
    *out = secret_new(head.n + file.n + 1);
    memcpy(out->p, head.p, head.n);
    memcpy(out->p + head.n, file.p, file.n);
    out->p[head.n + file.n] = '}';
    return EXIT_DONE;
}

int oauth_clients_import_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET file = SECRET_NONE;
    AUTO_SECRET body = SECRET_NONE;
    struct fault why = { 0 };
    if (!command_value(c, OPT_KEY))
        return command_wrong(c, "--key is missing: what connections will call the client.");
    int code = client_open(c, &k);
    if (!code && secret_read_file(c->arguments[0], SECRET_BODY_MAX, false, &file, &why))
        return command_failed(c, &why);
    if (!code)
        code = wrap(c, file, &body);
    struct str text = secret_str(body);
    return code ? code : client_ask_and_show(&k, "POST", STR("/oauth-clients"), &text);
}

int oauth_clients_delete_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "DELETE", client_path(c, "/oauth-clients", ""), NULL, &answer);
    if (code)
        return code;
    if (k.json)
        return client_show(&k, &answer);
    printf("Deleted: %s\n", c->arguments[0]);
    return EXIT_DONE;
}
