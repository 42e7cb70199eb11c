/* Verbs that only read: connectors, runs, the audit log. */
#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define QUERY_MAX (16 * 1024)
#define VALUE_MAX (32 * 1024)

/* --- Connectors ----------------------------------------------------------------------------------------------------- */

int connectors_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },         { "NAME", "name", COLUMN_TEXT },
        { "STAGE", "stage", COLUMN_TEXT },   { "VERSION", "version", COLUMN_TEXT },
        { "DOMAINS", "domains", COLUMN_FEW }, { "AUTH TYPES", "auth_types", COLUMN_FEW },
        { "BLOCKED BY", "blocked_by", COLUMN_FEW },
    };
    struct listing l = { .path = "/connectors", .columns = columns, .column_count = COUNT(columns),
                         .empty = "This hub has no connectors.", .none_found = "No connector matches." };
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_SEARCH, "search");
    query_add_option(&q, c, OPT_DOMAIN, "domain");
    query_add_option(&q, c, OPT_AUTH_TYPE, "auth_type");
    query_add_option(&q, c, OPT_STAGE, "stage");
    l.query = buf_str(&q);
    return errand_list(c, &l);
}

int connectors_get_run(struct command *c) { return errand_get(c, "/connectors"); }

int connectors_domains_run(struct command *c)
{
    static const struct column columns[] = { { "DOMAIN", "id", COLUMN_TEXT }, { "CONNECTORS", "connectors", COLUMN_NUMBER } };
    return errand_list(c, &(struct listing){ .path = "/domains", .columns = columns, .column_count = COUNT(columns),
                                             .empty = "This hub has no connectors." });
}

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
    l.query = buf_str(&q);
    return errand_list(c, &l);
}

int runs_get_run(struct command *c) { return errand_get(c, "/runs"); }

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
    AUTO_BUF q, path;
    buf_init(&q, QUERY_MAX);
    buf_init(&path, QUERY_MAX);
    if (command_has(c, OPT_FOLDER)) {
        buf_add(&path, STR("/folders/"));
        percent_encode(&path, str_of(command_value(c, OPT_FOLDER)));
        buf_add(&path, STR("/audit"));
        l.path = arena_cstr(c->arena, buf_str(&path));
        l.empty = "The audit log has nothing of this folder.";
        l.sparse = true;
    }
    query_add_option(&q, c, OPT_ACTOR, "actor");
    query_add_option(&q, c, OPT_OBJECT, "object");
    query_add_option(&q, c, OPT_ACTION, "action");
    int code = add_time(c, &q, OPT_SINCE, "since");
    if (!code)
        code = add_time(c, &q, OPT_UNTIL, "until");
    l.query = buf_str(&q);
    return code ? code : errand_list(c, &l);
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

/* The hub checks its own log; on a copy, or on a hub that is not trusted: raccord verify-audit. */
int audit_verify_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", STR("/audit:verify"), NULL, &answer)) || (code = client_show(&k, &answer)))
        return code;
    return json_bool(answer.json, "ok", false) ? EXIT_DONE : EXIT_FAILED;
}

/* To find a value that the log keeps as a hash only. */
int audit_hash_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET value = SECRET_NONE;
    AUTO_BUF b = { 0 };
    struct client_answer answer;
    struct fault why = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    if (terminal_asks() ? ask_secret("Value: ", &value, &why) : secret_read_file("-", VALUE_MAX, true, &value, &why))
        return command_failed(c, &why);
    struct json_out o = errand_open(&b);
    json_member_str(&o, "value", secret_str(value));
    json_close(&o, '}');
    struct str body = buf_str(&b);
    if ((code = client_ask(&k, "POST", STR("/audit:hash"), &body, &answer)) || k.json)
        return code ? code : client_show(&k, &answer);
    struct str hash = json_str(answer.json, "hash");
    printf("%.*s\n", STR_ARG(hash));
    return EXIT_DONE;
}
