/* Verbs of client certificates. */
#include <stdio.h>

#include "base/clock.h"
#include "cmd/certificate_option.h"
#include "cmd/errand.h"
#include "cmd/verbs.h"

#define BODY_MAX (512 * 1024)
#define QUERY_MAX (16 * 1024)
#define DAY_MS (24 * 60 * 60 * 1000LL)

int certificates_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "ID", "id", COLUMN_TEXT },           { "FOR", "connection.key", COLUMN_TEXT },
        { "SOURCE", "source", COLUMN_TEXT },   { "STATE", "state", COLUMN_TEXT },
        { "SUBJECT", "subject", COLUMN_TEXT }, { "DAYS", "expires_in_days", COLUMN_NUMBER },
        { "UNTIL", "not_after", COLUMN_TIME }, { "WARNING", "warning", COLUMN_TEXT },
    };
    struct listing l = {
        .path = "/certificates",
        .columns = columns,
        .column_count = COUNT(columns),
        .empty = "No client certificates yet. Give a connection one: raccord connections credentials KEY --issue connection",
        .none_found = "No certificate matches."
    };
    AUTO_CLIENT k = { 0 };
    AUTO_BUF q = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_CONNECTION, "connection");
    query_add_option(&q, c, OPT_STATE, "state");
    l.query = buf_str(&q);
    return client_list(&k, &l);
}

int certificates_get_run(struct command *c) { return errand_get(c, "/certificates"); }

int certificates_activate_run(struct command *c)
{
    return errand_send(c, "POST", client_path(c, "/certificates", "/activate"), NULL);
}

int certificates_issue_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_CERTIFICATE given = { 0 };
    int code = client_open(c, &k);
    if (code || (code = certificate_option_read(c, &given)))
        return code;
    if (!given.given)
        return command_wrong(c, "--issue connection, instance or authority is missing; or --client-certificate with --client-key.");
    int64_t lives_ms = 0;
    const char *lives = command_value(c, OPT_EXPIRES);
    if (lives && !duration_parse(str_of(lives), &lives_ms))
        return command_wrong(c, "--expires takes a time such as 365d, not “%s”.", lives);
    /* One allocation that never moves: a growing buffer would leave copies of the key behind. */
    AUTO_SECRET memory = secret_new(BODY_MAX);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    certificate_option_write(&o, &given);
    if (command_has(c, OPT_NAME))
        json_member_str(&o, "common_name", str_of(command_value(c, OPT_NAME)));
    if (lives_ms)
        json_member_i64(&o, "days", (lives_ms + DAY_MS - 1) / DAY_MS);
    if (command_has(c, OPT_CONNECTION))
        json_member_str(&o, "connection", str_of(command_value(c, OPT_CONNECTION)));
    if (command_has(c, OPT_ACTIVATE))
        json_member_bool(&o, "activate", true);
    json_close(&o, '}');
    if (buf_failed(&b))
        return command_wrong(c, "the files are too large.");
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "POST", STR("/certificates"), &body);
}

/* The next one for the same owner. */
int certificates_renew_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer found;
    int code = client_open(c, &k);
    if (code || (code = client_ask(&k, "GET", client_path(c, "/certificates", ""), NULL, &found)))
        return code;
    struct str source = json_str(found.json, "source"), connection = json_str(json_get(found.json, "connection"), "id");
    if (str_is(source, "own"))
        return command_wrong(c, "the hub cannot renew what it did not issue. Bring the new pair: raccord certificates issue"
                                " --connection KEY --client-certificate FILE --client-key FILE");
    AUTO_BUF b = { 0 };
    buf_init(&b, QUERY_MAX);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "issue", source);
    if (connection.n)
        json_member_str(&o, "connection", connection);
    if (command_has(c, OPT_ACTIVATE))
        json_member_bool(&o, "activate", true);
    json_close(&o, '}');
    struct str body = buf_str(&b);
    return client_ask_and_show(&k, "POST", STR("/certificates"), &body);
}

/* For a file or a pipe: the text and nothing else. */
int certificates_ca_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    struct client_answer answer;
    int code = client_open(c, &k);
    k.lines = true;
    if (code || (code = client_ask(&k, "GET", STR("/certificates/ca.pem"), NULL, &answer)))
        return code;
    fwrite(answer.body.p, 1, answer.body.n, stdout);
    return EXIT_DONE;
}
