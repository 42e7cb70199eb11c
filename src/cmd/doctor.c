/* raccord doctor: the hub's own examination, as a table; what is wrong decides the exit code. */
#include <stdio.h>

#include "cmd/client.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

static void say(struct command *c, const struct json *check)
{
    struct str name = text_safe(c->arena, json_str(check, "check")), result = text_safe(c->arena, json_str(check, "result"));
    struct str subject = text_safe(c->arena, json_str(check, "subject")), detail = text_safe(c->arena, json_str(check, "detail"));
    printf("%-8.*s %-15.*s %.*s%s%.*s\n", STR_ARG(result), STR_ARG(name), STR_ARG(subject), subject.n ? ": " : "", STR_ARG(detail));
}

int doctor_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", STR("/doctor"), NULL, &answer)))
        return code;
    if (k.json)
        client_show(&k, &answer);
    else
        json_each (check, json_get(answer.json, "checks"))
            say(c, check);
    return json_bool(answer.json, "ok", false) ? EXIT_DONE : EXIT_FAILED;
}
