/* Verbs of policies and limits. A policy may hold credentials: its body comes from a file or standard input. */
#include <stdio.h>

#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define BODY_MAX (1024 * 1024)

int policies_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "NAME", "name", COLUMN_TEXT },       { "FOLDER", "folder.path", COLUMN_TEXT }, { "ENABLED", "enabled", COLUMN_TEXT },
        { "UPDATED", "updated_at", COLUMN_TIME }, { "ID", "id", COLUMN_TEXT },
    };
    struct listing l = { .path = "/policies", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No policies: everything is allowed that rights allow." };
    return errand_list(c, &l);
}

int policies_get_run(struct command *c) { return errand_get(c, "/policies"); }

int policies_create_run(struct command *c) { return errand_send_file(c, "POST", STR("/policies"), BODY_MAX); }
int policies_update_run(struct command *c) { return errand_send_file(c, "PUT", client_path(c, "/policies", ""), BODY_MAX); }

int policies_delete_run(struct command *c)
{
    return errand_delete(c, "/policies",
                         &(struct errand_harm){ "the policy", "name", ": what it forbids is allowed again, at once" });
}

/* --- Asking --------------------------------------------------------------------------------------------------------- */

static int print_trace(struct client *k, const struct client_answer *answer)
{
    if (k->json)
        return client_show(k, answer);
    struct arena *a = k->command->arena;
    struct str because = text_safe(a, json_str(answer->json, "because"));
    printf("%.*s", STR_ARG(json_str(answer->json, "decision")));
    if (json_str(answer->json, "code").n)
        printf(": %.*s. %.*s", STR_ARG(json_str(answer->json, "code")), STR_ARG(because));
    putchar('\n');
    json_each (step, json_get(answer->json, "trace")) {
        struct str policy = text_safe(a, json_str(json_get(step, "policy"), "name"));
        struct str says = text_safe(a, json_str(step, "says"));
        printf("  %-5.*s  %-10.*s  %-18.*s  %.*s", STR_ARG(json_str(step, "effect")), STR_ARG(json_str(step, "layer")),
               STR_ARG(json_str(step, "rule")), STR_ARG(says));
        if (policy.n)
            printf("  (%.*s)", STR_ARG(policy));
        putchar('\n');
    }
    return EXIT_DONE;
}

int policies_explain_run(struct command *c)
{
    static const struct {
        enum option option;
        const char *member;
    } rows[] = { { OPT_CONNECTOR, "connector" }, { OPT_AUTH_TYPE, "auth_type" }, { OPT_ALLOWED_DOMAIN, "domain" },
                 { OPT_CONNECTION, "connection" }, { OPT_FOLDER, "folder" },     { OPT_METHOD, "method" },
                 { OPT_PATH, "path" },             { OPT_ADDRESS, "address" },   { OPT_ACTION, "action" } };
    AUTO_CLIENT k = { 0 };
    AUTO_BUF b;
    struct client_answer answer;
    buf_init(&b, BODY_MAX);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "operation", command_argument(c, 0));
    for (size_t i = 0; i < COUNT(rows); i++)
        if (command_value(c, rows[i].option))
            json_member_str(&o, rows[i].member, str_of(command_value(c, rows[i].option)));
    struct str who = str_of(command_value(c, OPT_CALLER));
    if (who.p)
        json_member_str(&o, str_starts(who, STR("tok_")) ? "token" : "principal", who);
    errand_member(&o, c, OPT_IDENTITY_PROVIDER, "identity_provider");
    int code = errand_pairs(c, &o, OPT_CLAIM, "claims");
    json_close(&o, '}');
    struct str body = buf_str(&b);
    if (!code)
        code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "POST", STR("/policies:explain"), &body, &answer);
    return code ? code : print_trace(&k, &answer);
}

/* `list`: the items; `count`: how many there are, of which a hundred at most are named. */
static void print_part(struct command *c, const char *said, const struct json *list, int64_t count, const struct column *columns,
                       size_t n)
{
    struct json **items = arena_array(c->arena, (list ? list->count : 0) + 1, sizeof *items);
    size_t shown = 0;
    if (!count)
        return;
    printf("%lld %s\n", (long long)count, said);
    json_each (item, list)
        items[shown++] = item;
    if (shown)
        table_print(stdout, c->arena, columns, n, items, shown, terminal_columns());
    if ((int64_t)shown < count)
        printf("... and %lld more\n", (long long)(count - (int64_t)shown));
    putchar('\n');
}

static int print_preview(struct client *k, const struct client_answer *answer)
{
    static const struct column connections[] = {
        { "KEY", "key", COLUMN_TEXT },         { "NAME", "name", COLUMN_TEXT },     { "CODE", "code", COLUMN_TEXT },
        { "METHODS", "methods", COLUMN_TEXT }, { "BY ADDRESS", "by_address", COLUMN_TEXT }, { "BECAUSE", "because", COLUMN_TEXT },
    };
    static const struct column tokens[] = {
        { "NAME", "name", COLUMN_TEXT }, { "OWNER", "principal.name", COLUMN_TEXT }, { "ID", "id", COLUMN_TEXT },
    };
    static const struct column quotas[] = {
        { "CONNECTOR", "connector", COLUMN_TEXT }, { "USE", "use", COLUMN_NUMBER }, { "QUOTA", "value", COLUMN_NUMBER },
    };
    struct command *c = k->command;
    if (k->json)
        return client_show(k, answer);
    const struct json *broken = json_get(answer->json, "connections"), *met = json_get(answer->json, "tokens");
    const struct json *full = json_get(answer->json, "quotas");
    int64_t broken_count = 0, met_count = 0, full_count = full ? (int64_t)full->count : 0;
    json_i64(json_get(broken, "count"), &broken_count);
    json_i64(json_get(met, "count"), &met_count);
    print_part(c, "connections would refuse what they let through now:", json_get(broken, "items"), broken_count, connections,
               COUNT(connections));
    print_part(c, "tokens would be refused what they may now:", json_get(met, "items"), met_count, tokens, COUNT(tokens));
    print_part(c, "quotas would leave no place for one more:", full, full_count, quotas, COUNT(quotas));
    if (!broken_count && !met_count && !full_count)
        puts("Nothing would break.");
    return EXIT_DONE;
}

int policies_preview_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET memory = SECRET_NONE, whole = SECRET_NONE;
    int code = client_open(c, &k);
    if (code || (code = errand_body_read(c, BODY_MAX, &memory)))
        return code;
    /* One allocation that never moves, as for the body itself. */
    whole = secret_new(memory.n + 1024);
    struct buf b = { .p = (char *)whole.p, .size = whole.n, .max = whole.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    if (command_argument(c, 0).p)
        json_member_str(&o, "id", command_argument(c, 0));
    json_member_raw(&o, "policy", secret_str(memory));
    json_close(&o, '}');
    struct str body = buf_str(&b);
    struct client_answer answer;
    code = client_ask(&k, "POST", STR("/policies:preview"), &body, &answer);
    return code ? code : print_preview(&k, &answer);
}

int limits_run(struct command *c)
{
    static const struct column columns[] = {
        { "LIMIT", "name", COLUMN_TEXT }, { "VALUE", "value", COLUMN_NUMBER },   { "UNIT", "unit", COLUMN_TEXT },
        { "USE", "use", COLUMN_NUMBER },  { "SOURCE", "source", COLUMN_TEXT },   { "POLICY", "policy", COLUMN_TEXT },
        { "LAST HIT", "last_hit", COLUMN_TIME },
    };
    struct listing l = { .path = "/limits", .columns = columns, .column_count = COUNT(columns), .empty = "No limits." };
    return errand_list(c, &l);
}
