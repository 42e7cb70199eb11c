/* Verbs of users, service accounts and sessions, through the API. */
#include <stdio.h>

#include "cmd/errand.h"
#include "cmd/password.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define QUERY_MAX (16 * 1024)
#define SECRET_BODY (16 * 1024)

static const struct errand_harm user_harm = { "the user", "email",
                                              ", their sessions and tokens (raccord users departure hands over what is theirs)" };
static const struct errand_harm account_harm = { "the service account", "name", " and its tokens, at once" };

/* --- Users ---------------------------------------------------------------------------------------------------------- */

int users_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "E-MAIL", "email", COLUMN_TEXT },         { "ROLE", "role", COLUMN_TEXT },
        { "LANGUAGE", "language", COLUMN_TEXT },    { "SECOND FACTOR", "second_factor", COLUMN_TEXT },
        { "DISABLED", "disabled", COLUMN_TEXT },    { "LOCKED UNTIL", "locked_until", COLUMN_TIME },
        { "INVITED UNTIL", "invited_until", COLUMN_TIME }, { "CREATED", "created_at", COLUMN_TIME },
        { "ID", "id", COLUMN_TEXT },
    };
    return errand_list(c,
                       &(struct listing){ .path = "/users",
                                          .columns = columns,
                                          .column_count = COUNT(columns),
                                          .empty = "No users yet. Make the owner with the link that the hub printed at its first "
                                                   "start: raccord setup --email EMAIL" });
}

int users_get_run(struct command *c) { return errand_get(c, "/users"); }

int users_create_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET password = SECRET_NONE;
    if (!command_has(c, OPT_EMAIL) || !command_has(c, OPT_ROLE))
        return command_wrong(c, "--%s is missing.", command_has(c, OPT_EMAIL) ? "role" : "email");
    int code = client_open(c, &k);
    if (code || (code = password_read(c, &password)))
        return code;
    /* In locked memory, and never moved: a growing buffer would leave copies of the password behind. */
    AUTO_SECRET memory = secret_new(SECRET_BODY);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    errand_member(&o, c, OPT_EMAIL, "email");
    json_member_str(&o, "password", secret_str(password));
    errand_member(&o, c, OPT_ROLE, "role");
    errand_member(&o, c, OPT_LANGUAGE, "language");
    json_close(&o, '}');
    if (buf_failed(&b))
        return command_wrong(c, "the values are too long.");
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "POST", STR("/users"), &body);
}

int users_update_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_ROLE, "role");
    errand_member(&o, c, OPT_LANGUAGE, "language");
    json_close(&o, '}');
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --role or --language.");
    return errand_send(c, "PATCH", errand_path(c, "/users", ""), &b);
}

static int set_flag(struct command *c, const char *collection, const char *name, bool value)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_bool(&o, name, value);
    json_close(&o, '}');
    return errand_send(c, "PATCH", errand_path(c, collection, ""), &b);
}

int users_disable_run(struct command *c) { return set_flag(c, "/users", "disabled", true); }
int users_enable_run(struct command *c) { return set_flag(c, "/users", "disabled", false); }
int users_unlock_run(struct command *c) { return set_flag(c, "/users", "locked", false); }
int users_delete_run(struct command *c) { return errand_delete(c, "/users", &user_harm); }

int users_remove_second_factor_run(struct command *c)
{
    int code =
        errand_confirm(c, "This takes the second factor away: the password alone lets in until the person sets one up again.");
    return code ? code : errand_drop(c, errand_path(c, "/users", "/second-factor"), "No second factor any more");
}

/* --- Links ---------------------------------------------------------------------------------------------------------- */

/* Only the link on stdout. */
static int ask_for_link(struct command *c, struct str path, const struct buf *b)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    struct str body = b ? buf_str(b) : STR("{}");
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "POST", path, &body, &answer)))
        return code;
    if (k.json)
        return client_show(&k, &answer);
    const struct json *made = json_get(answer.json, "invitation") ? json_get(answer.json, "invitation") : answer.json;
    struct str url = json_str(made, "link"), at = table_cell(c->arena, json_get(made, "expires_at"), COLUMN_TIME);
    fprintf(stderr, "Works once, until %.*s. It is shown once: send it to that person only.\n", STR_ARG(at));
    printf("%.*s\n", STR_ARG(url));
    return EXIT_DONE;
}

int users_invite_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_str(&o, "email", command_argument(c, 0));
    errand_member(&o, c, OPT_ROLE, "role");
    errand_member(&o, c, OPT_LANGUAGE, "language");
    json_member_bool(&o, "invite", true);
    json_close(&o, '}');
    return ask_for_link(c, STR("/users"), &b);
}

int users_reset_password_run(struct command *c)
{
    return ask_for_link(c, errand_path(c, "/users", "/invitation"), NULL);
}

int users_uninvite_run(struct command *c)
{
    return errand_drop(c, errand_path(c, "/users", "/invitation"), "The link works no more");
}

/* --- Somebody leaves ------------------------------------------------------------------------------------------------ */

static struct str departure_body(struct command *c, struct buf *b, bool preview)
{
    struct json_out o = errand_open(b);
    errand_member(&o, c, OPT_TO, "to");
    if (preview)
        json_member_bool(&o, "preview", true);
    json_close(&o, '}');
    return buf_str(b);
}

/* What would happen is shown first; so is who leaves, should it have been a slip of the finger. */
int users_departure_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_BUF first = { 0 }, b = { 0 };
    struct client_answer plan;
    struct str path = errand_path(c, "/users", "/departure");
    if (!command_has(c, OPT_TO))
        return command_wrong(c, "--to is missing: the user who takes over.");
    int code = client_open(c, &k);
    struct str preview = departure_body(c, &first, true), body = departure_body(c, &b, false);
    if (code || (code = client_ask(&k, "POST", path, &preview, &plan)))
        return code;
    if (command_has(c, OPT_DRY_RUN))
        return client_show(&k, &plan);
    if (!command_has(c, OPT_YES) && terminal_asks())
        table_print_object(stderr, c->arena, plan.json);
    code = errand_confirm(c, "This ends the account, its sessions and tokens, and hands over what is theirs.");
    return code ? code : client_ask_and_show(&k, "POST", path, &body);
}

/* --- Service accounts ----------------------------------------------------------------------------------------------- */

int service_accounts_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "NAME", "name", COLUMN_TEXT },         { "ROLE", "role", COLUMN_TEXT }, { "DISABLED", "disabled", COLUMN_TEXT },
        { "CREATED", "created_at", COLUMN_TIME }, { "ID", "id", COLUMN_TEXT },
    };
    return errand_list(c, &(struct listing){ .path = "/service-accounts", .columns = columns, .column_count = COUNT(columns),
                                             .empty = "No service accounts yet. Make one: raccord service-accounts create NAME" });
}

int service_accounts_get_run(struct command *c) { return errand_get(c, "/service-accounts"); }

int service_accounts_create_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_str(&o, "name", command_argument(c, 0));
    errand_member(&o, c, OPT_ROLE, "role");
    json_close(&o, '}');
    return errand_send(c, "POST", STR("/service-accounts"), &b);
}

int service_accounts_update_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_NAME, "name");
    errand_member(&o, c, OPT_ROLE, "role");
    json_close(&o, '}');
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --name or --role.");
    return errand_send(c, "PATCH", errand_path(c, "/service-accounts", ""), &b);
}

int service_accounts_disable_run(struct command *c) { return set_flag(c, "/service-accounts", "disabled", true); }
int service_accounts_enable_run(struct command *c) { return set_flag(c, "/service-accounts", "disabled", false); }
int service_accounts_delete_run(struct command *c) { return errand_delete(c, "/service-accounts", &account_harm); }

/* --- Sessions ------------------------------------------------------------------------------------------------------- */

int sessions_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },                   { "ADDRESS", "address", COLUMN_TEXT },
        { "PROGRAM", "user_agent", COLUMN_TEXT },      { "WITH", "signed_in_with", COLUMN_TEXT },
        { "LAST SEEN", "last_seen_at", COLUMN_TIME },  { "UNTIL", "expires_at", COLUMN_TIME },
    };
    AUTO_CLIENT k = { 0 };
    AUTO_BUF path;
    struct client_answer answer;
    struct json **rows;
    size_t n = 0;
    buf_init(&path, QUERY_MAX);
    query_add_option(&path, c, OPT_USER, "user");
    int code = client_open(c, &k);
    if (!code) /* a few at most: the hub gives them all at once */
        code = client_ask(&k, "GET", arena_join(c->arena, STR("/sessions"), buf_str(&path)), NULL, &answer);
    if (code || k.json)
        return code ? code : client_show(&k, &answer);
    const struct json *items = json_get(answer.json, "items");
    rows = arena_array(c->arena, items ? items->count + 1 : 1, sizeof *rows);
    json_each (v, items)
        rows[n++] = v;
    if (!n)
        puts("Nobody is signed in there now. For another person: --user EMAIL");
    else
        table_print(stdout, c->arena, columns, COUNT(columns), rows, n, terminal_columns());
    return EXIT_DONE;
}

int sessions_end_run(struct command *c)
{
    bool all = command_has(c, OPT_ALL);
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    if (all == (c->argument_count > 0))
        return command_wrong(c, "name a session (raccord sessions list), or give --all.");
    if (!all)
        return errand_drop(c, errand_path(c, "/sessions", ""), "Ended");
    query_add_option(&q, c, OPT_USER, "user");
    return errand_send(c, "DELETE", arena_join(c->arena, STR("/sessions"), buf_str(&q)), NULL);
}
