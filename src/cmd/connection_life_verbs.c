/* Verbs for the rest of a connection's life: what harms asks first, and shows who depends on it. */
#include <stdio.h>
#include <time.h>

#include "base/encode.h"
#include "cmd/client.h"
#include "cmd/connection_use.h"
#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define POLL_NS 250000000

/* ---- who depends on it ---- */

static void say_line(struct command *c, const struct json *d, const char *more)
{
    struct str kind = json_str(d, "kind"), name = text_safe(c->arena, json_str(d, "name"));
    fprintf(stderr, "  %.*s %.*s%s\n", STR_ARG(kind), STR_ARG(name), more);
}

static void say_callers(struct command *c, const struct json *usage)
{
    json_each (caller, json_get(usage, "callers")) {
        struct str name = text_safe(c->arena, json_str(caller, "name"));
        struct str at = table_cell(c->arena, json_get(caller, "last_at"), COLUMN_TIME);
        struct str calls = table_cell(c->arena, json_get(caller, "calls"), COLUMN_NUMBER);
        fprintf(stderr, "  called by %.*s: %.*s of its last calls, the latest at %.*s\n", STR_ARG(name), STR_ARG(calls),
                STR_ARG(at));
    }
}

static size_t say_usage(struct command *c, const struct json *usage)
{
    const struct json *dependants = json_get(usage, "dependants");
    json_each (d, dependants)
        say_line(c, d, " depends on it");
    if (json_bool(usage, "more_dependants", false))
        fputs("  ... and more\n", stderr);
    if (json_bool(usage, "default", false))
        fputs("  it is the default of its folder for its connector\n", stderr);
    say_callers(c, usage);
    return dependants ? dependants->count : 0;
}

int connection_confirm_use(struct command *c, struct client *k, const char *doing)
{
    struct client_answer usage;
    if (command_has(c, OPT_YES))
        return EXIT_DONE;
    int code = client_ask(k, "GET", client_path(c, "/connections", "/usage"), NULL, &usage);
    const struct json *dependants = code ? NULL : json_get(usage.json, "dependants");
    if (code || !dependants || !dependants->count)
        return code;
    if (terminal_asks())
        say_usage(c, usage.json);
    return errand_confirm(c, doing);
}

int connections_usage_run(struct command *c)
{
    return errand_send(c, "GET", client_path(c, "/connections", "/usage"), NULL);
}

int connections_disable_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    if (!code)
        code = connection_confirm_use(c, &k, "Disabling it concerns others (raccord connections usage).");
    if (code)
        return code;
    struct str path = client_path(c, "/connections", "/disable");
    /* Who was shown the others, or said --yes, meant it. */
    path = str_fmt(c->arena, "%.*s%cforce=true", STR_ARG(path), str_find(path, '?') == SIZE_MAX ? '?' : '&');
    return client_ask_and_show(&k, "POST", path, NULL);
}

/* ---- delete ---- */

/* The key is typed back, so that a slip of the finger deletes nothing. */
static int confirm(struct command *c, const struct json *connection, const struct json *usage)
{
    struct str key = text_safe(c->arena, json_str(connection, "key")), name = text_safe(c->arena, json_str(connection, "name"));
    struct str typed;
    struct fault why = { 0 };
    if (command_has(c, OPT_PURGE))
        fprintf(stderr, "This deletes “%.*s” (%.*s) and its credentials for ever.\n", STR_ARG(name), STR_ARG(key));
    else
        fprintf(stderr, "This deletes “%.*s” (%.*s). It can be restored for a while: raccord connections restore ID\n",
                STR_ARG(name), STR_ARG(key));
    say_usage(c, usage);
    if (ask_line(c->arena, "Type its key to confirm: ", &typed, &why))
        return command_failed(c, &why);
    if (str_eq(typed, key))
        return EXIT_DONE;
    fputs("raccord: that is not its key; nothing was deleted\n", stderr);
    return EXIT_FAILED;
}

/* Others of its connector and folder, one of which becomes the default in its place. Empty: none does. */
static int ask_heir(struct command *c, struct client *k, const struct json *connection, struct str *heir)
{
    struct client_answer found;
    struct fault why = { 0 };
    AUTO_BUF path;
    buf_init(&path, 4096);
    buf_add(&path, STR("/connections?limit=20&connector="));
    percent_encode(&path, json_str(json_get(connection, "connector"), "id"));
    buf_add(&path, STR("&folder="));
    percent_encode(&path, json_str(json_get(connection, "folder"), "id"));
    int code = client_ask(k, "GET", buf_str(&path), NULL, &found);
    const struct json *items = code ? NULL : json_get(found.json, "items");
    if (code || !items || items->count < 2)
        return code;
    fputs("Which one becomes the default in its place?\n", stderr);
    json_each (other, items)
        if (!str_eq(json_str(other, "id"), json_str(connection, "id"))) {
            struct str key = text_safe(c->arena, json_str(other, "key")), name = text_safe(c->arena, json_str(other, "name"));
            fprintf(stderr, "  %.*s  %.*s\n", STR_ARG(key), STR_ARG(name));
        }
    return ask_line(c->arena, "Its key (nothing: none): ", heir, &why) ? command_failed(c, &why) : EXIT_DONE;
}

static int delete(struct command *c, struct client *k, const struct json *connection, struct str heir, bool force,
                  struct client_answer *answer)
{
    AUTO_BUF path;
    buf_init(&path, 4096);
    buf_fmt(&path, "/connections/%.*s?force=%s&purge=%s", STR_ARG(json_str(connection, "id")), force ? "true" : "false",
            command_has(c, OPT_PURGE) ? "true" : "false");
    if (heir.n) {
        buf_add(&path, STR("&default="));
        percent_encode(&path, heir);
        buf_add(&path, STR("&folder="));
        percent_encode(&path, json_str(json_get(connection, "folder"), "id"));
    }
    return client_ask(k, "DELETE", buf_str(&path), NULL, answer);
}

int connections_delete_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer found, usage, answer;
    bool force = command_has(c, OPT_FORCE), yes = command_has(c, OPT_YES);
    struct str heir = str_of(command_value(c, OPT_HEIR));
    int code = client_open(c, &k);
    if (code)
        return code;
    if (!yes && !terminal_asks())
        return command_wrong(c, "deleting needs a confirmation: there is no terminal to ask at, so give --yes.");
    code = client_ask(&k, "GET", client_path(c, "/connections", ""), NULL, &found);
    if (!code && !yes && !(code = client_ask(&k, "GET", client_path(c, "/connections", "/usage"), NULL, &usage))) {
        code = confirm(c, found.json, usage.json);
        force = true; /* who read that line meant it */
        if (!code && !heir.n && json_bool(usage.json, "default", false))
            code = ask_heir(c, &k, found.json, &heir);
    }
    /* By id from here on: a key could be given to another connection meanwhile. */
    if (!code)
        code = delete(c, &k, found.json, heir, force, &answer);
    if (code)
        return code;
    if (k.json)
        return client_show(&k, &answer);
    struct str key = text_safe(c->arena, json_str(found.json, "key"));
    printf("Deleted: %.*s\n", STR_ARG(key));
    return EXIT_DONE;
}

int connections_restore_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_KEY, "key");
    json_close(&o, '}');
    return errand_send(c, "POST", client_path(c, "/connections", "/restore"), &b);
}

/* ---- history ---- */

int connections_history_run(struct command *c)
{
    static const struct column columns[] = {
        { "AT", "at", COLUMN_TIME },         { "BY", "actor.name", COLUMN_TEXT }, { "ACTION", "action", COLUMN_TEXT },
        { "OUTCOME", "outcome", COLUMN_TEXT }, { "CODE", "code", COLUMN_TEXT },
        { "STATE", "after.state", COLUMN_TEXT }, { "HEALTH", "after.health", COLUMN_TEXT },
    };
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    struct str whole = client_path(c, "/connections", "/history"), path, query;
    bool asked = str_cut(whole, '?', &path, &query);
    struct listing l = { .path = arena_cstr(c->arena, path), .columns = columns, .column_count = COUNT(columns),
                         .query = asked ? str_sub(whole, path.n, whole.n) : STR(""),
                         .empty = "Nothing is recorded of it.", .none_found = "Nothing is recorded of it." };
    return client_list(&k, &l);
}

/* ---- grants ---- */

static int grant_ask(struct command *c, const char *method, const char *tail)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, method, client_path(c, "/connections", tail), NULL, &answer)))
        return code;
    client_show(&k, &answer);
    return EXIT_DONE;
}

int connections_grant_run(struct command *c) { return grant_ask(c, "GET", "/grant"); }
int connections_renew_run(struct command *c) { return grant_ask(c, "POST", "/renew"); }

int grants_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "FOLDER", "connection.folder", COLUMN_TEXT }, { "CONNECTION", "connection.key", COLUMN_TEXT },
        { "STATE", "state", COLUMN_TEXT },              { "ENDS", "expires_at", COLUMN_TIME },
        { "WHAT TO DO", "what_to_do", COLUMN_TEXT },
    };
    AUTO_BUF query;
    buf_init(&query, 1024);
    query_add_option(&query, c, OPT_GRANT_STATE, "state");
    if (command_has(c, OPT_FROM_BACKUP))
        query_add(&query, "from_backup", STR("true"));
    struct listing l = { .path = "/grants", .query = buf_str(&query), .columns = columns, .column_count = COUNT(columns),
                         .empty = "No connection has a grant.", .none_found = "No grant matches." };
    return errand_list(c, &l);
}

int connections_renewals_run(struct command *c)
{
    static const struct column columns[] = {
        { "AT", "at", COLUMN_TIME },         { "WHAT", "what", COLUMN_TEXT },   { "CAUSE", "cause", COLUMN_TEXT },
        { "REASON", "reason", COLUMN_TEXT }, { "MS", "took_ms", COLUMN_TEXT }, { "NODE", "node", COLUMN_TEXT },
    };
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    struct str whole = client_path(c, "/connections", "/grant/events"), path, query;
    bool asked = str_cut(whole, '?', &path, &query);
    struct listing l = { .path = arena_cstr(c->arena, path), .columns = columns, .column_count = COUNT(columns),
                         .query = asked ? str_sub(whole, path.n, whole.n) : STR(""),
                         .empty = "It was never renewed.", .none_found = "It was never renewed." };
    return client_list(&k, &l);
}

/* ---- verify ---- */

/* The hub answers whether the provider took the credentials; "no" is the provider's failure. */
static int verify_one(struct command *c, struct client *k)
{
    struct client_answer answer;
    int code = client_ask(k, "POST", client_path(c, "/connections", "/verify"), NULL, &answer);
    if (code)
        return code;
    client_show(k, &answer);
    return json_bool(answer.json, "ok", false) ? EXIT_DONE : EXIT_PROVIDER;
}

static struct str filter_body(struct command *c, struct buf *b)
{
    static const struct { enum option option; const char *name; } filters[] = {
        { OPT_FOLDER, "folder" }, { OPT_CONNECTOR, "connector" }, { OPT_HEALTH, "health" },
        { OPT_TAG, "tag" },       { OPT_SEARCH, "search" },
    };
    struct json_out o = json_out(b);
    json_open(&o, '{');
    json_key(&o, "filter");
    json_open(&o, '{');
    for (size_t i = 0; i < COUNT(filters); i++)
        if (command_has(c, filters[i].option))
            json_member_str(&o, filters[i].name, str_of(command_value(c, filters[i].option)));
    json_close(&o, '}');
    json_close(&o, '}');
    return buf_str(b);
}

static int64_t number(const struct json *v, const char *name)
{
    int64_t n = 0;
    return json_i64(json_get(v, name), &n) ? n : 0;
}

static void show_progress(const struct json *order, bool shown)
{
    if (shown)
        fprintf(stderr, "\r%lld of %lld verified", (long long)number(order, "done"), (long long)number(order, "total"));
}

static int verify_all(struct command *c, struct client *k)
{
    struct client_answer order;
    bool shown = terminal_columns() > 0;
    AUTO_BUF b;
    buf_init(&b, 16 * 1024);
    struct str body = filter_body(c, &b);
    int code = client_ask(k, "POST", STR("/connections:verify"), &body, &order);
    if (code)
        return code;
    struct str path = str_fmt(c->arena, "/connections:verify/%.*s", STR_ARG(json_str(order.json, "id")));
    while (!code && !str_is(json_str(order.json, "state"), "done")) {
        show_progress(order.json, shown);
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
        code = client_ask(k, "GET", path, NULL, &order);
    }
    if (shown)
        fputc('\n', stderr);
    if (code || (code = client_show(k, &order)))
        return code;
    return number(order.json, "failing") || number(order.json, "reconnect_required") ? EXIT_PROVIDER : EXIT_DONE;
}

int connections_verify_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    bool all = command_has(c, OPT_ALL);
    if (all == (c->argument_count > 0))
        return command_wrong(c, "name a connection, or give --all.");
    int code = client_open(c, &k);
    if (code)
        return code;
    return all ? verify_all(c, &k) : verify_one(c, &k);
}
