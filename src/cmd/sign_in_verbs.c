/* Verbs of people who have no token yet: they come with a one-time link, or with their password. */
#include <stdio.h>

#include "access/role.h"
#include "cmd/errand.h"
#include "cmd/password.h"
#include "cmd/sign_in.h"
#include "cmd/terminal.h"
#include "cmd/token_print.h"
#include "cmd/verbs.h"

#define LINK_MAX 4096
#define SECRET_BODY (16 * 1024)
#define PASSWORD_MAX 1024
#define PRESET_LIFE "30d"

/* --- One-time links: setup, accept ---------------------------------------------------------------------------------- */

struct link {
    struct str server; /* empty when only the code was given */
    struct str code;
};

/* https://hub.example.com/invite#code, or the code alone. Not from the command line, where others could read it and be first. */
static int link_read(struct command *c, const char *page, struct link *out)
{
    AUTO_SECRET text = SECRET_NONE;
    struct fault why = { 0 };
    struct str typed, server;
    char *file = command_value(c, OPT_LINK_FILE);
    if (file) {
        if (secret_read_file(file, LINK_MAX, true, &text, &why))
            return command_failed(c, &why);
        typed = arena_str(c->arena, str_trim(secret_str(text)));
    } else if (!terminal_asks()) {
        return command_wrong(c, "--link-file is missing: the file with the link, or - for standard input.");
    } else if (ask_line(c->arena, "The link, or its code: ", &typed, &why)) {
        return command_failed(c, &why);
    }
    *out = (struct link){ .code = typed };
    if (str_cut(typed, '#', &server, &out->code)) {
        if (!str_ends(server, str_of(page)))
            return command_wrong(c, "that link is for something else: it should end in %s#...", page);
        out->server = str_sub(server, 0, server.n - strlen(page));
    }
    return out->code.n ? EXIT_DONE : command_wrong(c, "the link has no code after its #.");
}

static int link_open(struct command *c, const char *page, struct link *link, struct client *k)
{
    int code = client_open(c, k);
    if (code || (code = link_read(c, page, link)))
        return code;
    if (link->server.n && !command_has(c, OPT_SERVER))
        k->server = link->server;
    return EXIT_DONE;
}

static int link_send(struct command *c, struct client *k, struct link *link, const char *path, struct client_answer *answer)
{
    AUTO_SECRET password = SECRET_NONE;
    int code = password_read(c, &password);
    if (code)
        return code;
    AUTO_SECRET memory = secret_new(SECRET_BODY);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "code", link->code);
    errand_member(&o, c, OPT_EMAIL, "email");
    json_member_str(&o, "password", secret_str(password));
    errand_member(&o, c, OPT_LANGUAGE, "language");
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return buf_failed(&b) ? command_wrong(c, "the values are too long.") : client_ask(k, "POST", str_of(path), &body, answer);
}

/* Whoever is there now goes on with a token of the own. */
static int link_done(struct command *c, struct client *k, const struct client_answer *answer)
{
    struct str email = text_safe(c->arena, json_str(answer->json, "email"));
    if (k->json)
        return client_show(k, answer);
    printf("Welcome, %.*s.\n", STR_ARG(email));
    fprintf(stderr, "Next: export RACCORD_SERVER=%.*s RACCORD_TOKEN=$(raccord login --server %.*s --email %.*s)\n",
            STR_ARG(k->server), STR_ARG(k->server), STR_ARG(email));
    return EXIT_DONE;
}

int setup_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct link link;
    struct client_answer answer;
    if (!command_has(c, OPT_EMAIL))
        return command_wrong(c, "--email is missing.");
    int code = link_open(c, "/setup", &link, &k);
    if (!code)
        code = link_send(c, &k, &link, "/setup", &answer);
    return code ? code : link_done(c, &k, &answer);
}

int accept_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct link link;
    struct client_answer answer;
    int code = link_open(c, "/invite", &link, &k);
    if (!code)
        code = link_send(c, &k, &link, "/invitations:accept", &answer);
    return code ? code : link_done(c, &k, &answer);
}

/* --- password ------------------------------------------------------------------------------------------------------- */

static int change_password(struct command *c, struct client *k, struct str id, struct secret now, struct secret next)
{
    AUTO_SECRET memory = secret_new(SECRET_BODY);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    struct client_answer answer;
    json_open(&o, '{');
    json_member_str(&o, "current_password", secret_str(now));
    json_member_str(&o, "password", secret_str(next));
    json_close(&o, '}');
    struct str body = buf_str(&b), path = str_fmt(c->arena, "/users/%.*s", STR_ARG(id));
    if (buf_failed(&b))
        return command_wrong(c, "the values are too long.");
    int code = client_ask(k, "PATCH", path, &body, &answer);
    if (code || k->json)
        return code ? code : client_show(k, &answer);
    puts("Your password is changed. Every session has ended; tokens go on (raccord tokens list).");
    return EXIT_DONE;
}

/* One's own: whoever finds a token does not know the password that is asked for, too. */
int password_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET now = SECRET_NONE, next = SECRET_NONE;
    struct client_answer me;
    struct fault why = { 0 };
    char *file = command_value(c, OPT_PASSWORD_FILE);
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", STR("/session"), NULL, &me)))
        return code;
    const struct json *principal = json_get(me.json, "principal");
    if (!str_is(json_str(principal, "kind"), "user"))
        return command_wrong(c, "the token is a service account's, which has no password.");
    if (!terminal_asks() && (!file || !command_has(c, OPT_NEW_PASSWORD_FILE)))
        return command_wrong(c, "there is no terminal to ask at: give --password-file and --new-password-file.");
    enum err e = file ? secret_read_file(file, PASSWORD_MAX, true, &now, &why) : ask_secret("Password now: ", &now, &why);
    if (e)
        return command_failed(c, &why);
    code = password_read_new(c, OPT_NEW_PASSWORD_FILE, "New password: ", &next);
    return code ? code : change_password(c, &k, json_str(principal, "id"), now, next);
}

/* --- login ---------------------------------------------------------------------------------------------------------- */

static int sign_in(struct command *c, struct client *k, struct secret password, struct str second, struct client_answer *answer)
{
    AUTO_SECRET memory = secret_new(SECRET_BODY);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    errand_member(&o, c, OPT_EMAIL, "email");
    json_member_str(&o, "password", secret_str(password));
    if (second.n)
        json_member_str(&o, "code", second);
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return buf_failed(&b) ? command_wrong(c, "the values are too long.") : client_ask(k, "POST", STR("/session"), &body, answer);
}

/* A password alone first: only the hub knows whether there is a second factor. */
static int sign_in_with_both(struct command *c, struct client *k, struct client_answer *answer)
{
    AUTO_SECRET password = SECRET_NONE;
    struct fault why = { 0 };
    struct str second = str_of(command_value(c, OPT_CODE));
    char *file = command_value(c, OPT_PASSWORD_FILE);
    enum err e = file || !terminal_asks() ? secret_read_file(file ? file : "-", PASSWORD_MAX, true, &password, &why)
                                          : ask_secret("Password: ", &password, &why);
    if (e)
        return command_failed(c, &why);
    k->awaited = second.n || !terminal_asks() ? ERR_NONE : ERR_SECOND_FACTOR_REQUIRED;
    int code = sign_in(c, k, password, second, answer);
    if (!code || !answer->refused)
        return code;
    k->awaited = ERR_NONE;
    if (ask_line(c->arena, "Code of the second factor: ", &second, &why))
        return command_failed(c, &why);
    return sign_in(c, k, password, second, answer);
}

static int make_token(struct command *c, struct client *k, struct str role, struct client_answer *token)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_str(&o, "name", command_has(c, OPT_NAME) ? str_of(command_value(c, OPT_NAME)) : STR("raccord login"));
    json_member_str(&o, "role", command_has(c, OPT_ROLE) ? str_of(command_value(c, OPT_ROLE)) : role);
    json_member_str(&o, "expires_in", command_has(c, OPT_EXPIRES) ? str_of(command_value(c, OPT_EXPIRES)) : STR(PRESET_LIFE));
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return client_ask(k, "POST", STR("/tokens"), &body, token);
}

void session_renewed(struct client *k, const struct client_answer *answer, const struct json *session)
{
    k->cookie = answer->cookie;
    k->csrf = json_str(session, "csrf_token");
}

int session_open(struct command *c, struct client *k, struct client_answer *session)
{
    if (!command_has(c, OPT_EMAIL))
        return command_wrong(c, "--email is missing.");
    int code = client_open(c, k);
    if (code)
        return code;
    secret_end(&k->authorization);
    k->authorization = SECRET_NONE;
    if (!(code = sign_in_with_both(c, k, session)))
        session_renewed(k, session, session->json);
    return code;
}

int session_close(struct client *k)
{
    struct client_answer ended;
    return client_ask(k, "DELETE", STR("/session"), NULL, &ended);
}

/* Of the roles that one has, in the instance and in folders, the one with the most rights: a lesser one would take away what a
 * membership gives. Nothing is added by it: in each place the token may what the person may there. */
static struct str widest_role(const struct json *session)
{
    enum role widest = ROLE_NONE, next = ROLE_NONE;
    role_parse(json_str(session, "role"), &widest);
    json_each(v, json_get(session, "roles"))
        if (v->type == JSON_STRING && role_parse(v->text, &next) && role_within(widest, next))
            widest = next;
    return str_of(role_name(widest));
}

/* The session lives as long as it takes to make the token. */
int login_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer session, token;
    int code = session_open(c, &k, &session);
    if (code)
        return code;
    code = make_token(c, &k, widest_role(session.json), &token);
    int end = session_close(&k);
    return code ? code : end ? end : token_print(&k, &token);
}
