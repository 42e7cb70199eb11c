/* Verbs of folders, groups and shares. */
#include <stdio.h>

#include "base/encode.h"
#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define MEMBERS "/members"
#define PREVIEW "?preview=true"

/* Paths have slashes, which are part of the name here: client_path() encodes them. */
static struct str previewed(struct command *c, struct str path)
{
    return command_has(c, OPT_DRY_RUN) ? arena_join(c->arena, path, STR(PREVIEW)) : path;
}

/* --- Who loses ------------------------------------------------------------------------------------------------------ */

static size_t count(const struct json *list) { return list ? list->count : 0; }

static void say_people(struct command *c, const struct json *side, const char *does)
{
    json_each (v, side) {
        const struct json *who = json_get(v, "principal");
        struct str kind = json_str(who, "kind"), name = text_safe(c->arena, json_str(who, "name"));
        struct str rights = table_cell(c->arena, json_get(v, "rights"), COLUMN_TEXT);
        fprintf(stderr, "  %.*s %.*s %s: %.*s\n", STR_ARG(kind), STR_ARG(name), does, STR_ARG(rights));
    }
}

static void say_callers(struct command *c, const struct json *side, const char *does)
{
    json_each (v, side) {
        struct str key = text_safe(c->arena, json_str(v, "key")), name = text_safe(c->arena, json_str(v, "name"));
        fprintf(stderr, "  callers with tokens of %.*s %s it%s%.*s\n", STR_ARG(key), does, name.n ? ", as " : "", STR_ARG(name));
    }
}

static void say_blocking(struct command *c, const struct json *blocking)
{
    json_each (v, blocking) {
        struct str name = text_safe(c->arena, json_str(v, "name")), id = json_str(v, "id");
        fprintf(stderr, "  token %.*s (%.*s) is in the way\n", STR_ARG(name), STR_ARG(id));
    }
}

/* The change is tried out by the hub first. When anybody loses by it, says who gains and who loses, and asks; nobody does: nothing
 * is asked. Of a connection the answer has more than the effect: callers, and tokens in the way. EXIT_DONE: go on. */
static int confirm_losses(struct command *c, struct client *k, const char *method, struct str path, const struct buf *body)
{
    struct client_answer plan;
    struct str sent = buf_str(body);
    if (command_has(c, OPT_YES))
        return EXIT_DONE;
    int code = client_ask(k, method, path, &sent, &plan);
    if (code)
        return code;
    const struct json *access = json_get(plan.json, "access"), *callers = json_get(plan.json, "callers");
    if (!access)
        access = plan.json;
    bool some = count(json_get(access, "loses")) || count(json_get(callers, "loses"));
    if (!some && json_bool(access, "complete", false))
        return EXIT_DONE;
    say_people(c, json_get(access, "gains"), "gains");
    say_callers(c, json_get(callers, "gains"), "gain");
    say_people(c, json_get(access, "loses"), "loses");
    say_callers(c, json_get(callers, "loses"), "lose");
    say_blocking(c, json_get(plan.json, "blocking"));
    return errand_confirm(c, some ? "Somebody loses access by this."
                                  : "Not everybody could be looked at: somebody may lose access by this.");
}

/* --- Folders -------------------------------------------------------------------------------------------------------- */

int folders_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "PATH", "path", COLUMN_TEXT },         { "KIND", "kind", COLUMN_TEXT },     { "PRESET", "preset", COLUMN_TEXT },
        { "INHERITS", "inherits", COLUMN_TEXT }, { "RIGHTS", "rights", COLUMN_TEXT }, { "ID", "id", COLUMN_TEXT },
    };
    return errand_list(c, &(struct listing){ .path = "/folders", .columns = columns, .column_count = COUNT(columns),
                                      .empty = "You see no folder.", .none_found = "No folder matches." });
}

int folders_get_run(struct command *c) { return errand_get(c, "/folders"); }

static void inherits(struct json_out *o, const struct command *c)
{
    if (command_has(c, OPT_INHERIT) || command_has(c, OPT_NO_INHERIT))
        json_member_bool(o, "inherits", command_has(c, OPT_INHERIT));
}

int folders_create_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_str(&o, "path", command_argument(c, 0));
    errand_member(&o, c, OPT_PRESET, "preset");
    inherits(&o, c);
    json_close(&o, '}');
    return errand_send(c, "POST", STR("/folders"), &b);
}

int folders_update_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_BUF b = { 0 };
    struct str path = client_path(c, "/folders", "");
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_NAME, "name");
    errand_member(&o, c, OPT_TO, "parent");
    errand_member(&o, c, OPT_PRESET, "preset");
    inherits(&o, c);
    json_close(&o, '}');
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --name, --to, --preset, --inherit or --no-inherit.");
    if (command_has(c, OPT_DRY_RUN))
        return errand_send(c, "PATCH", previewed(c, path), &b);
    bool named_only =
        !(command_has(c, OPT_TO) || command_has(c, OPT_PRESET) || command_has(c, OPT_INHERIT) || command_has(c, OPT_NO_INHERIT));
    int code = client_open(c, &k);
    if (!code && !named_only)
        code = confirm_losses(c, &k, "PATCH", arena_join(c->arena, path, STR(PREVIEW)), &b);
    struct str body = buf_str(&b);
    return code ? code : client_ask_and_show(&k, "PATCH", path, &body);
}

int folders_delete_run(struct command *c)
{
    return errand_delete(c, "/folders", &(struct errand_harm){ "the folder", "path", ", its roles and its policies" });
}

int folders_members_run(struct command *c)
{
    static const struct column columns[] = {
        { "WHO", "principal.name", COLUMN_TEXT }, { "KIND", "principal.kind", COLUMN_TEXT }, { "ROLE", "role", COLUMN_TEXT },
        { "UNTIL", "expires_at", COLUMN_TIME },   { "ID", "principal.id", COLUMN_TEXT },
    };
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    struct json **rows;
    size_t n = 0;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "GET", client_path(c, "/folders", MEMBERS), NULL, &answer);
    if (code || k.json)
        return code ? code : client_show(&k, &answer);
    const struct json *members = json_get(answer.json, "members");
    rows = arena_array(c->arena, members ? members->count + 1 : 1, sizeof *rows);
    json_each (v, members)
        rows[n++] = v;
    if (!n)
        puts("Nobody is in it by name; roles that are held above reach it, if it inherits.");
    else
        table_print(stdout, c->arena, columns, COUNT(columns), rows, n, 0);
    return EXIT_DONE;
}

/* The members that are there, but for one, and that one anew when it has a role. */
static int change_members(struct command *c, struct str who, const char *role)
{
    AUTO_CLIENT k = { 0 };
    AUTO_BUF b = { 0 };
    struct client_answer answer;
    struct str path = client_path(c, "/folders", MEMBERS);
    bool there = false;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "GET", path, NULL, &answer);
    if (code)
        return code;
    struct json_out o = errand_open(&b);
    json_key(&o, "members");
    json_open(&o, '[');
    json_each (v, json_get(answer.json, "members")) {
        const struct json *principal = json_get(v, "principal");
        bool same = str_eq(json_str(principal, "id"), who) || str_eq(json_str(principal, "name"), who);
        there |= same;
        if (!same)
            json_put(&o, v);
    }
    if (role) {
        json_open(&o, '{');
        json_member_str(&o, "principal", who);
        json_member_str(&o, "role", str_of(role));
        errand_member(&o, c, OPT_EXPIRES, "expires_in");
        json_close(&o, '}');
    }
    json_close(&o, ']');
    json_close(&o, '}');
    if (!role && !there)
        return command_wrong(c, "“%s” is not a member by name; see: raccord folders members PATH", arena_cstr(c->arena, who));
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "PUT", previewed(c, path), &body);
}

int folders_add_run(struct command *c)
{
    if (!command_has(c, OPT_ROLE))
        return command_wrong(c, "--role is missing: admin, editor, user, viewer or auditor.");
    return change_members(c, command_argument(c, 1), command_value(c, OPT_ROLE));
}

int folders_remove_run(struct command *c) { return change_members(c, command_argument(c, 1), NULL); }

/* --- Groups --------------------------------------------------------------------------------------------------------- */

int groups_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "NAME", "name", COLUMN_TEXT }, { "MEMBERS", "member_count", COLUMN_NUMBER }, { "ID", "id", COLUMN_TEXT },
    };
    return errand_list(c, &(struct listing){ .path = "/groups", .columns = columns, .column_count = COUNT(columns),
                                      .empty = "There are no groups. Make one: raccord groups create NAME --member EMAIL",
                                      .none_found = "No group matches." });
}

int groups_get_run(struct command *c) { return errand_get(c, "/groups"); }

int groups_create_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    json_member_str(&o, "name", command_argument(c, 0));
    errand_members(&o, c, OPT_MEMBER, "members");
    json_close(&o, '}');
    return errand_send(c, "POST", STR("/groups"), &b);
}

int groups_update_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_NAME, "name");
    errand_members(&o, c, OPT_MEMBER, "members");
    json_close(&o, '}');
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --name, or --member for each who is in it.");
    return errand_send(c, "PATCH", client_path(c, "/groups", ""), &b);
}

int groups_delete_run(struct command *c)
{
    return errand_delete(c, "/groups", &(struct errand_harm){ "the group", "name", ", and what was given to it" });
}

/* --- One connection ------------------------------------------------------------------------------------------------- */

static void move_body(struct command *c, bool preview, struct buf *b)
{
    struct json_out o = errand_open(b);
    json_member_str(&o, "folder", str_of(command_value(c, OPT_TO)));
    if (preview)
        json_member_bool(&o, "preview", true);
    json_close(&o, '}');
}

int connections_move_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_BUF tried = { 0 };
    AUTO_BUF done = { 0 };
    struct str path = client_path(c, "/connections", "/move");
    if (!command_has(c, OPT_TO))
        return command_wrong(c, "--to is missing: the folder to move it to.");
    move_body(c, true, &tried);
    if (command_has(c, OPT_DRY_RUN))
        return errand_send(c, "POST", path, &tried);
    int code = client_open(c, &k);
    if (!code)
        code = confirm_losses(c, &k, "POST", path, &tried);
    move_body(c, false, &done);
    struct str body = buf_str(&done);
    return code ? code : client_ask_and_show(&k, "POST", path, &body);
}

int connections_share_run(struct command *c)
{
    AUTO_BUF b = { 0 };
    if (!command_has(c, OPT_WITH))
        return command_wrong(c, "--with is missing: an e-mail address, a name, or a folder's path.");
    struct json_out o = errand_open(&b);
    errand_member(&o, c, OPT_WITH, "with");
    errand_member(&o, c, OPT_EXPIRES, "expires_in");
    json_close(&o, '}');
    return errand_send(c, "POST", client_path(c, "/connections", "/shares"), &b);
}

int connections_shares_run(struct command *c)
{
    static const struct column columns[] = {
        { "WITH", "with.name", COLUMN_TEXT },   { "KIND", "with.kind", COLUMN_TEXT },
        { "UNTIL", "expires_at", COLUMN_TIME }, { "ID", "with.id", COLUMN_TEXT },
    };
    struct str path = client_path(c, "/connections", "/shares");
    size_t query = str_find(path, '?');
    struct listing l = { .path = arena_cstr(c->arena, str_sub(path, 0, query < path.n ? query : path.n)),
                         .query = query < path.n ? str_sub(path, query, path.n) : STR(""),
                         .columns = columns, .column_count = COUNT(columns), .empty = "It is shared with nobody singly.",
                         .none_found = "It is shared with nobody singly." };
    return errand_list(c, &l);
}

/* By name, as it was shared: the id is looked up. */
int connections_unshare_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    struct str with = str_of(command_value(c, OPT_WITH)), id = STR_NONE;
    if (!with.n)
        return command_wrong(c, "--with is missing: with whom it is shared.");
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "GET", client_path(c, "/connections", "/shares"), NULL, &answer);
    if (code)
        return code;
    json_each (v, json_get(answer.json, "items")) {
        const struct json *who = json_get(v, "with");
        if (str_eq(json_str(who, "id"), with) || str_ieq(json_str(who, "name"), with))
            id = json_str(who, "id");
    }
    if (!id.n) {
        fprintf(stderr, "raccord: it is not shared with “%s”\n", arena_cstr(c->arena, text_safe(c->arena, with)));
        return EXIT_MISSING;
    }
    const char *tail = arena_cstr(c->arena, arena_join(c->arena, STR("/shares/"), id));
    code = client_ask(&k, "DELETE", client_path(c, "/connections", tail), NULL, &answer);
    if (!code && !k.json)
        printf("Not shared any more with: %s\n", arena_cstr(c->arena, text_safe(c->arena, with)));
    return code;
}
