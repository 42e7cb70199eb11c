/* Verbs that let a person authorize a connection at its provider: here, in a browser, or through a link for somebody else. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/client.h"
#include "cmd/connection_body.h"
#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define POLL_NS 500000000
#define TELL_EVERY 20 /* polls: a dot, so that one sees it waits */

/* ---- the browser ---- */

/* Of this desktop, when there is one; the program is named by us, the address by the hub. */
static bool browser_open(const char *url)
{
    if (!getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
        return false;
    pid_t child = fork();
    if (child < 0)
        return false;
    if (!child) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp("xdg-open", "xdg-open", url, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

static void tell(struct command *c, const struct json *begun)
{
    struct str url = text_safe(c->arena, json_str(begun, "authorization_url"));
    struct str code = text_safe(c->arena, json_str(begun, "user_code"));
    bool web = str_starts(url, STR("https://")) || str_starts(url, STR("http://"));
    if (code.n) {
        struct str page = text_safe(c->arena, json_str(begun, "verification_uri"));
        fprintf(stderr, "Open %.*s and enter the code: %.*s\n", STR_ARG(page), STR_ARG(code));
        return;
    }
    if (web && !command_has(c, OPT_NO_BROWSER) && browser_open(arena_cstr(c->arena, url)))
        fprintf(stderr, "Your browser opens the provider's page. If it does not:\n");
    else
        fprintf(stderr, "Open this address in a browser; it is good once, for ten minutes:\n");
    fprintf(stderr, "  %.*s\n", STR_ARG(url));
}

/* ---- waiting ---- */

static int wait_for(struct command *c, struct client *k, struct str id, struct client_answer *answer)
{
    struct str path = str_fmt(c->arena, "/authorizations/%.*s", STR_ARG(id));
    bool dots = isatty(STDERR_FILENO);
    for (int i = 0;; i++) {
        int code = client_ask(k, "GET", path, NULL, answer);
        struct str state = code ? STR("") : json_str(answer->json, "state");
        if (code || (!str_is(state, "pending") && !str_is(state, "returned"))) {
            if (dots && i >= TELL_EVERY)
                fputc('\n', stderr);
            return code;
        }
        if (dots && i && !(i % TELL_EVERY))
            fputc('.', stderr);
        nanosleep(&(struct timespec){ 0, POLL_NS }, NULL);
    }
}

static int finish(struct command *c, struct client *k, const struct client_answer *end)
{
    struct str state = json_str(end->json, "state"), reason = text_safe(c->arena, json_str(end->json, "reason"));
    struct str path = str_fmt(c->arena, "/connections/%.*s", STR_ARG(json_str(end->json, "connection")));
    if (str_is(state, "done"))
        return client_ask_and_show(k, "GET", path, NULL);
    if (k->json)
        client_show(k, end);
    if (str_is(state, "expired"))
        fputs("raccord: nobody authorized it in time; start again\n", stderr);
    else
        fprintf(stderr, "raccord: it was not authorized: %.*s\n", STR_ARG(reason));
    if (str_is(reason, "account_changed"))
        fputs("Somebody signed in with another account than before, and nothing was replaced. --force says that it is meant.\n",
              stderr);
    return EXIT_PROVIDER;
}

static int authorize(struct command *c, struct client *k, struct str path)
{
    struct client_answer begun, end;
    struct str body = command_has(c, OPT_FORCE) ? STR("{\"accept_account_change\":true}") : STR("{}");
    int code = client_ask(k, "POST", path, &body, &begun);
    if (code)
        return code;
    if (command_has(c, OPT_NO_WAIT))
        return client_show(k, &begun);
    tell(c, begun.json);
    fputs("Waiting for the provider's answer ...\n", stderr);
    code = wait_for(c, k, json_str(begun.json, "id"), &end);
    return code ? code : finish(c, k, &end);
}

int connections_authorize_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : authorize(c, &k, client_path(c, "/connections", "/authorize"));
}

/* ---- connect: make one, or take one, and authorize it ---- */

static int made(struct command *c, struct client *k, struct str collection, const char *more, struct client_answer *out)
{
    AUTO_BUF b;
    buf_init(&b, CONNECTION_BODY_MAX);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    int code = connection_body_write(c, &o);
    if (command_has(c, OPT_ASK_FIELDS))
        json_member_bool(&o, "ask_fields", true);
    if (more && command_has(c, OPT_EXPIRES))
        json_member_str(&o, more, str_of(command_value(c, OPT_EXPIRES)));
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return code ? code : client_ask(k, "POST", collection, &body, out);
}

static int connector_missing(struct command *c)
{
    return command_wrong(c, "--connector is missing; see: raccord connectors list");
}

int connections_connect_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code)
        return code;
    if (c->argument_count)
        return authorize(c, &k, client_path(c, "/connections", "/authorize"));
    if (!command_has(c, OPT_CONNECTOR))
        return connector_missing(c);
    if ((code = made(c, &k, STR("/connections"), NULL, &answer)))
        return code;
    struct str id = json_str(answer.json, "id"), key = text_safe(c->arena, json_str(answer.json, "key"));
    if (!str_is(json_str(answer.json, "state"), "needs_auth"))
        return client_show(&k, &answer);
    fprintf(stderr, "Created: %.*s\n", STR_ARG(key));
    return authorize(c, &k, str_fmt(c->arena, "/connections/%.*s/authorize", STR_ARG(id)));
}

/* ---- connect sessions ---- */

int connect_sessions_create_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code)
        return code;
    if (!command_has(c, OPT_CONNECTION)) {
        if (!command_has(c, OPT_CONNECTOR))
            return connector_missing(c);
        code = made(c, &k, STR("/connect-sessions"), "expires_in", &answer);
        return code ? code : client_show(&k, &answer);
    }
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_CONNECTION, "connection");
    errand_member(&o, c, OPT_EXPIRES, "expires_in");
    if (command_has(c, OPT_CHANGE_FIELDS))
        json_member_bool(&o, "change_fields", true);
    if (command_has(c, OPT_FORCE))
        json_member_bool(&o, "accept_account_change", true);
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "POST", STR("/connect-sessions"), &body);
}

int connect_sessions_get_run(struct command *c) { return errand_get(c, "/connect-sessions"); }

int connect_sessions_withdraw_run(struct command *c)
{
    return errand_drop(c, errand_path(c, "/connect-sessions", ""), "Withdrawn");
}
