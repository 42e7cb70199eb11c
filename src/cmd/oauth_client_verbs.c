/* Verbs of OAuth clients. A body holds a client secret, so it comes from a file or from standard input, into locked memory. */
#include <stdio.h>
#include <string.h>

#include "cmd/errand.h"
#include "cmd/password.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define BODY_MAX (128 * 1024)

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
    buf_init(&query, 4096);
    query_add_option(&query, c, OPT_CONNECTOR, "connector");
    query_add_option(&query, c, OPT_SEARCH, "search");
    struct listing l = { .path = "/oauth-clients", .query = buf_str(&query), .columns = columns, .column_count = COUNT(columns),
                         .empty = "No OAuth clients yet: raccord help oauth-clients create",
                         .none_found = "No OAuth client matches." };
    return errand_list(c, &l);
}

int oauth_clients_get_run(struct command *c) { return errand_get(c, "/oauth-clients"); }

int oauth_clients_create_run(struct command *c) { return errand_send_file(c, "POST", STR("/oauth-clients"), BODY_MAX); }

int oauth_clients_update_run(struct command *c)
{
    return errand_send_file(c, "PATCH", client_path(c, "/oauth-clients", ""), BODY_MAX);
}

/* The key set alone, as JSON either way: it goes into a provider's form, or a file. */
int oauth_clients_keys_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    AUTO_BUF text;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", client_path(c, "/oauth-clients", ""), NULL, &answer)))
        return code;
    buf_init(&text, BODY_MAX);
    struct json_out o = json_out(&text);
    json_put(&o, json_get(answer.json, "jwks"));
    printf("%.*s\n", STR_ARG(buf_str(&text)));
    return EXIT_DONE;
}

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
    if (!code && secret_read_file(c->arguments[0], BODY_MAX, false, &file, &why))
        return command_failed(c, &why);
    if (!code)
        code = wrap(c, file, &body);
    struct str text = secret_str(body);
    return code ? code : client_ask_and_show(&k, "POST", STR("/oauth-clients"), &text);
}

int oauth_clients_delete_run(struct command *c)
{
    return errand_delete(c, "/oauth-clients", &(struct errand_harm){ "the OAuth client", "name", ": its secrets are destroyed" });
}
