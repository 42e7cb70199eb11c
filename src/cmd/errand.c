#include "cmd/errand.h"

#include <stdio.h>

#include "base/encode.h"
#include "cmd/terminal.h"

#define SENT_MAX (256 * 1024)
#define PATH_MAX_BYTES (16 * 1024)

int errand_list(struct command *c, struct listing *l)
{
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    return code ? code : client_list(&k, l);
}

int errand_get(struct command *c, const char *collection) { return errand_send(c, "GET", client_path(c, collection, ""), NULL); }

int errand_send(struct command *c, const char *method, struct str path, const struct buf *body)
{
    AUTO_CLIENT k = { 0 };
    struct str text = body ? buf_str(body) : STR_NONE;
    int code = client_open(c, &k);
    if (code)
        return code;
    return body && buf_failed(body) ? command_wrong(c, "the values are too long.")
                                    : client_ask_and_show(&k, method, path, body ? &text : NULL);
}

int errand_body_read(struct command *c, size_t max, struct secret *out)
{
    char *word = command_value(c, OPT_BODY);
    struct fault why = { 0 };
    if (!word)
        return command_wrong(c, "--body is missing: @FILE, or - for standard input.");
    if (strcmp(word, "-") != 0 && word[0] != '@') {
        secret_wipe(word, strlen(word));
        return command_wrong(c, "--body takes @FILE or - here: other users could read credentials on the command line.");
    }
    return secret_read_file(word[0] == '@' ? word + 1 : "-", max, false, out, &why) ? command_failed(c, &why) : EXIT_DONE;
}

int errand_send_file(struct command *c, const char *method, struct str path, size_t max)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET memory = SECRET_NONE;
    int code = client_open(c, &k);
    if (code || (code = errand_body_read(c, max, &memory)))
        return code;
    struct str body = secret_str(memory);
    return client_ask_and_show(&k, method, path, &body);
}

/* --- Bodies and paths ----------------------------------------------------------------------------------------------- */

struct json_out errand_open(struct buf *b)
{
    buf_init(b, SENT_MAX);
    struct json_out o = json_out(b);
    json_open(&o, '{');
    return o;
}

void errand_member(struct json_out *o, const struct command *c, enum option option, const char *name)
{
    if (command_has(c, option))
        json_member_str(o, name, str_of(command_value(c, option)));
}

void errand_members(struct json_out *o, const struct command *c, enum option option, const char *name)
{
    int at = 0;
    if (!command_has(c, option))
        return;
    json_key(o, name);
    json_open(o, '[');
    for (char *word; (word = command_next(c, option, &at));)
        if (*word)
            json_put_str(o, str_of(word));
    json_close(o, ']');
}

int errand_pairs(struct command *c, struct json_out *o, enum option option, const char *member)
{
    int at = 0;
    bool any = false;
    for (char *word; (word = command_next(c, option, &at));) {
        struct str name, value;
        if (!str_cut(str_of(word), '=', &name, &value) || !name.n)
            return command_wrong(c, "--%s takes NAME=VALUE, not “%s”.", option_rows[option].name, word);
        bool raw = str_ends(name, STR(":"));
        name.n -= raw;
        struct json *v;
        struct fault why = { 0 };
        if (raw && json_read(c->arena, value, &v, &why))
            return command_wrong(c, "the value of “%.*s” is not valid JSON.", STR_ARG(name));
        if (!any) {
            json_key(o, member);
            json_open(o, '{');
        }
        any = true;
        const char *key = arena_cstr(c->arena, name);
        if (raw)
            json_member_raw(o, key, value);
        else
            json_member_str(o, key, value);
    }
    if (any)
        json_close(o, '}');
    return EXIT_DONE;
}

struct str errand_path(struct command *c, const char *collection, const char *tail)
{
    AUTO_BUF b;
    buf_init(&b, PATH_MAX_BYTES);
    buf_fmt(&b, "%s/", collection);
    percent_encode(&b, command_argument(c, 0));
    buf_fmt(&b, "%s", tail);
    return arena_str(c->arena, buf_str(&b));
}

/* --- Harm ----------------------------------------------------------------------------------------------------------- */

int errand_confirm(struct command *c, const char *said)
{
    struct str typed;
    struct fault why = { 0 };
    if (command_has(c, OPT_YES))
        return EXIT_DONE;
    if (!terminal_asks())
        return command_wrong(c, "%s There is no terminal to ask at: give --yes.", said);
    fprintf(stderr, "%s\n", said);
    if (ask_line(c->arena, "Go on? [y/N] ", &typed, &why))
        return command_failed(c, &why);
    static const char *const yes[] = { "y", "yes", "o", "oui" };
    for (size_t i = 0; i < COUNT(yes); i++)
        if (str_ieq(typed, str_of(yes[i])))
            return EXIT_DONE;
    fputs("raccord: nothing was changed\n", stderr);
    return EXIT_FAILED;
}

int errand_delete(struct command *c, const char *collection, const struct errand_harm *harm)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer found, answer;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", client_path(c, collection, ""), NULL, &found)))
        return code;
    struct str name = text_safe(c->arena, json_str(found.json, harm->name)), id = json_str(found.json, "id");
    struct str said = str_fmt(c->arena, "This deletes %s “%.*s”%s.", harm->noun, STR_ARG(name), harm->lost);
    /* By id from here on: the name could be given to another meanwhile. */
    if (!(code = errand_confirm(c, arena_cstr(c->arena, said))))
        code = client_ask(&k, "DELETE", str_fmt(c->arena, "%s/%.*s", collection, STR_ARG(id)), NULL, &answer);
    if (!code && !k.json)
        printf("Deleted: %.*s\n", STR_ARG(name));
    return code;
}

int errand_drop(struct command *c, struct str path, const char *said)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (!code)
        code = client_ask(&k, "DELETE", path, NULL, &answer);
    if (!code && !k.json)
        printf("%s: %s\n", said, arena_cstr(c->arena, text_safe(c->arena, command_argument(c, 0))));
    return code;
}
