/* Verbs of tokens, through the API. On the hub's own machine there is `raccord token create` too: that is how the first one is
 * made. */
#include <stdio.h>

#include "cmd/errand.h"
#include "cmd/token_print.h"
#include "cmd/verbs.h"

#define QUERY_MAX (16 * 1024)

int tokens_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },              { "NAME", "name", COLUMN_TEXT },
        { "OWNER", "principal.name", COLUMN_TEXT }, { "ROLE", "role", COLUMN_TEXT },
        { "ENDS IN", "last4", COLUMN_TEXT },      { "EXPIRES", "expires_at", COLUMN_TIME },
        { "LAST USED", "last_used_at", COLUMN_TIME }, { "REVOKED", "revoked_at", COLUMN_TIME },
    };
    struct listing l = { .path = "/tokens", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No tokens yet. Make one: raccord tokens create --name NAME",
                         .none_found = "No token of that caller." };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_CALLER, "principal");
    l.query = buf_str(&q);
    return errand_list(c, &l);
}

int tokens_get_run(struct command *c) { return errand_get(c, "/tokens"); }

/* What narrows it. False when nothing is given. */
static bool grants_write(struct json_out *o, const struct command *c)
{
    static const struct {
        enum option option;
        const char *member;
    } rows[] = { { OPT_CONNECTION, "connections" }, { OPT_FOLDER, "folders" }, { OPT_ACTION, "actions" },
                 { OPT_METHOD, "methods" },         { OPT_RISK, "risks" },     { OPT_ADDRESS, "addresses" },
                 { OPT_PATH, "paths" } };
    bool any = false;
    for (size_t i = 0; i < COUNT(rows); i++)
        any |= command_has(c, rows[i].option);
    if (!any)
        return false;
    json_key(o, "grants");
    json_open(o, '{');
    for (size_t i = 0; i < COUNT(rows); i++)
        errand_members(o, c, rows[i].option, rows[i].member);
    json_close(o, '}');
    return true;
}

int token_print(struct client *k, const struct client_answer *answer)
{
    struct arena *a = k->command->arena;
    if (k->json)
        return client_show(k, answer);
    struct str until = table_cell(a, json_get(answer->json, "expires_at"), COLUMN_TIME);
    struct str id = json_str(answer->json, "id"), role = json_str(answer->json, "role"), secret = json_str(answer->json, "secret");
    /* Only the token on stdout: $(raccord tokens create ...) takes it. */
    fprintf(stderr, "Token %.*s, role %.*s, until %.*s. It is shown once: keep it.\n", STR_ARG(id), STR_ARG(role),
            STR_ARG(str_is(until, "-") ? STR("revoked") : until));
    printf("%.*s\n", STR_ARG(secret));
    return EXIT_DONE;
}

int tokens_create_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_BUF b = { 0 };
    struct client_answer answer;
    if (!command_has(c, OPT_NAME))
        return command_wrong(c, "--name is missing: what the token is for.");
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_NAME, "name");
    errand_member(&o, c, OPT_ROLE, "role");
    errand_member(&o, c, OPT_SERVICE_ACCOUNT, "service_account");
    errand_member(&o, c, OPT_EXPIRES, "expires_in");
    grants_write(&o, c);
    json_close(&o, '}');
    int code = client_open(c, &k);
    struct str body = buf_str(&b);
    if (!code)
        code = client_ask(&k, "POST", STR("/tokens"), &body, &answer);
    return code ? code : token_print(&k, &answer);
}

int tokens_update_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_NAME, "name");
    errand_member(&o, c, OPT_EXPIRES, "expires_in");
    grants_write(&o, c);
    json_close(&o, '}');
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --name, --expires or what narrows it.");
    return errand_send(c, "PATCH", errand_path(c, "/tokens", ""), &b);
}

/* Not asked: whoever revokes a token that got out must be quick. */
int tokens_revoke_run(struct command *c) { return errand_drop(c, errand_path(c, "/tokens", ""), "Revoked"); }
