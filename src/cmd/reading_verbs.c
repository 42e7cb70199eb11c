/* Verbs that mostly read: connectors, runs, tokens, users. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cmd/client.h"
#include "cmd/password.h"
#include "cmd/verbs.h"

#define QUERY_MAX (16 * 1024)

static int list(struct command *c, struct listing *l, struct buf *query)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    l->query = buf_str(query);
    return client_list(&k, l);
}

static int get(struct command *c, const char *collection)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_ask_and_show(&k, "GET", client_path(c, collection, ""), NULL);
}

/* --- Connectors ----------------------------------------------------------------------------------------------------- */

int connectors_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },         { "NAME", "name", COLUMN_TEXT },
        { "STAGE", "stage", COLUMN_TEXT },   { "AUTH TYPES", "auth_types", COLUMN_TEXT },
        { "DOMAINS", "domains", COLUMN_TEXT }, { "VERSION", "version", COLUMN_TEXT },
    };
    struct listing l = { .path = "/connectors", .columns = columns, .column_count = COUNT(columns),
                         .empty = "This hub has no connectors.", .none_found = "No connector matches." };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_SEARCH, "search");
    query_add_option(&q, c, OPT_DOMAIN, "domain");
    query_add_option(&q, c, OPT_AUTH_TYPE, "auth_type");
    query_add_option(&q, c, OPT_STAGE, "stage");
    return list(c, &l, &q);
}

int connectors_get_run(struct command *c) { return get(c, "/connectors"); }

/* --- Runs ----------------------------------------------------------------------------------------------------------- */

/* A point in time, or how long ago: "7d" is what people want to type. */
static bool since(struct arena *a, const char *typed, struct str *out)
{
    wall_ms at;
    int64_t ago;
    if (duration_parse(str_of(typed), &ago))
        at = clock_wall() - ago;
    else if (!clock_parse(str_of(typed), &at))
        return false;
    char text[CLOCK_TEXT];
    *out = arena_str(a, str_of(clock_format(at, text)));
    return true;
}

int runs_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "STARTED", "started_at", COLUMN_TIME }, { "CONNECTION", "connection.key", COLUMN_TEXT },
        { "METHOD", "method", COLUMN_TEXT },      { "HOST", "host", COLUMN_TEXT },
        { "PATH", "path", COLUMN_TEXT },          { "STATUS", "status", COLUMN_NUMBER },
        { "OUTCOME", "outcome", COLUMN_TEXT },    { "MS", "timing_ms.total", COLUMN_NUMBER },
        { "RUN", "id", COLUMN_TEXT },
    };
    struct listing l = { .path = "/runs", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No runs yet. Make one: raccord call CONNECTION GET /", .none_found = "No run matches." };
    char *asked = command_value(c, OPT_SINCE);
    struct str from = STR_NONE;
    if (asked && !since(c->arena, asked, &from))
        return command_wrong(c, "--since takes a time such as 2026-01-31T00:00:00Z, or 30m, 12h, 7d.");

    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_CONNECTION, "connection");
    query_add_option(&q, c, OPT_FOLDER, "folder");
    query_add_option(&q, c, OPT_CALLER, "caller");
    query_add_option(&q, c, OPT_OUTCOME, "outcome");
    query_add(&q, "since", from);
    return list(c, &l, &q);
}

int runs_get_run(struct command *c) { return get(c, "/runs"); }

/* --- Audit ---------------------------------------------------------------------------------------------------------- */

static int add_time(struct command *c, struct buf *q, enum option o, const char *name)
{
    char *asked = command_value(c, o);
    struct str at;
    if (!asked)
        return EXIT_DONE;
    if (!since(c->arena, asked, &at))
        return command_wrong(c, "--%s takes a time such as 2026-01-31T00:00:00Z, or 30m, 12h, 7d.", name);
    query_add(q, name, at);
    return EXIT_DONE;
}

int audit_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "NUMBER", "number", COLUMN_NUMBER },  { "AT", "at", COLUMN_TIME },
        { "WHO", "actor.name", COLUMN_TEXT },   { "ACTION", "action", COLUMN_TEXT },
        { "WHAT", "object.name", COLUMN_TEXT }, { "ID", "object.id", COLUMN_TEXT },
        { "OUTCOME", "outcome", COLUMN_TEXT },  { "CODE", "code", COLUMN_TEXT },
        { "FROM", "client", COLUMN_TEXT },
    };
    struct listing l = { .path = "/audit", .columns = columns, .column_count = COUNT(columns),
                         .empty = "The audit log is empty.", .none_found = "No record matches." };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_ACTOR, "actor");
    query_add_option(&q, c, OPT_OBJECT, "object");
    query_add_option(&q, c, OPT_ACTION, "action");
    int code = add_time(c, &q, OPT_SINCE, "since");
    if (!code)
        code = add_time(c, &q, OPT_UNTIL, "until");
    return code ? code : list(c, &l, &q);
}

/* The page's last line says where the next one begins; only that of the last page is printed. Answers 0 at the end. */
static int64_t print_page(struct arena *a, struct str body)
{
    struct json *tail;
    struct fault unused;
    int64_t next = 0;
    size_t end = body.n && body.p[body.n - 1] == '\n' ? body.n - 1 : body.n, start = end;
    while (start && body.p[start - 1] != '\n')
        start--;
    if (!json_read(a, str_sub(body, start, end), &tail, &unused))
        json_i64(json_get(tail, "next_after"), &next);
    fwrite(body.p, 1, next ? start : body.n, stdout);
    return next;
}

int audit_export_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    int64_t next = 0;
    k.lines = true;
    do {
        AUTO_ARENA a = arena_new(4096);
        struct client_answer answer;
        if (!code)
            code = client_ask(&k, "GET", str_fmt(c->arena, "/audit:export?limit=2000&after=%lld", (long long)next), NULL, &answer);
        if (code)
            return code;
        next = print_page(a, answer.body);
    } while (next);
    return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

/* --- Tokens --------------------------------------------------------------------------------------------------------- */

int tokens_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },              { "NAME", "name", COLUMN_TEXT },
        { "OWNER", "principal.name", COLUMN_TEXT }, { "ROLE", "role", COLUMN_TEXT },
        { "ENDS IN", "last4", COLUMN_TEXT },      { "EXPIRES", "expires_at", COLUMN_TIME },
        { "LAST USED", "last_used_at", COLUMN_TIME }, { "REVOKED", "revoked_at", COLUMN_TIME },
    };
    struct listing l = { .path = "/tokens", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No tokens yet. On the hub's machine: raccord token create --data DIR --name NAME --role ROLE" };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    return list(c, &l, &q);
}

int tokens_get_run(struct command *c) { return get(c, "/tokens"); }

int tokens_revoke_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "DELETE", client_path(c, "/tokens", ""), NULL, &answer);
    if (code)
        return code;
    if (k.json)
        return client_show(&k, &answer);
    printf("Revoked: %s\n", c->arguments[0]);
    return EXIT_DONE;
}

/* --- Users ---------------------------------------------------------------------------------------------------------- */

int users_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },       { "E-MAIL", "email", COLUMN_TEXT },       { "ROLE", "role", COLUMN_TEXT },
        { "LANGUAGE", "language", COLUMN_TEXT }, { "DISABLED", "disabled", COLUMN_TEXT }, { "CREATED", "created_at", COLUMN_TIME },
    };
    struct listing l = { .path = "/users", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No users yet. Open the setup link that the hub printed at its first start." };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    return list(c, &l, &q);
}

int users_get_run(struct command *c) { return get(c, "/users"); }

#define USER_BODY_MAX (16 * 1024)

int users_create_run(struct command *c)
{
    char *email = command_value(c, OPT_EMAIL), *role = command_value(c, OPT_ROLE), *language = command_value(c, OPT_LANGUAGE);
    if (!email || !role)
        return command_wrong(c, "--%s is missing.", email ? "role" : "email");

    AUTO_CLIENT k = { 0 };
    AUTO_SECRET password = SECRET_NONE;
    int code = client_open(c, &k);
    if (!code)
        code = password_read(c, &password);
    if (code)
        return code;

    /* In locked memory, and never moved: a growing buffer would leave copies of the password behind. */
    AUTO_SECRET memory = secret_new(USER_BODY_MAX);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "email", str_of(email));
    json_member_str(&o, "password", secret_str(password));
    json_member_str(&o, "role", str_of(role));
    if (language)
        json_member_str(&o, "language", str_of(language));
    json_close(&o, '}');
    if (buf_failed(&b))
        return command_wrong(c, "the values are too long.");
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "POST", STR("/users"), &body);
}
