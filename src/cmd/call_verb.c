/* raccord call: one request through a connection, and the provider's answer as it came. */
#include <stdio.h>

#include "base/encode.h"
#include "cmd/client.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define BODY_MAX (64 * 1024 * 1024)

/* {"name": "value"}, and a list where a name stands more than once. */
static int pairs_write(struct command *c, struct json_out *o, const char *member, enum option option, char separator,
                       const char *form)
{
    int at = 0;
    size_t n = 0;
    struct {
        struct str name, value;
        bool written;
    } pairs[COMMAND_OPTIONS];
    for (char *word; (word = command_next(c, option, &at)); n++) {
        if (!str_cut(str_of(word), separator, &pairs[n].name, &pairs[n].value) || !pairs[n].name.n)
            return command_wrong(c, "--%s takes %s, not “%s”.", option_rows[option].name, form, word);
        pairs[n].value = option == OPT_HEADER ? str_trim(pairs[n].value) : pairs[n].value;
        pairs[n].written = false;
    }
    if (!n)
        return EXIT_DONE;
    json_key(o, member);
    json_open(o, '{');
    for (size_t i = 0; i < n; i++) {
        if (pairs[i].written)
            continue;
        size_t same = 0;
        for (size_t j = i; j < n; j++)
            same += str_eq(pairs[j].name, pairs[i].name);
        json_key(o, arena_cstr(c->arena, pairs[i].name));
        if (same > 1)
            json_open(o, '[');
        for (size_t j = i; j < n; j++)
            if (str_eq(pairs[j].name, pairs[i].name)) {
                json_put_str(o, pairs[j].value);
                pairs[j].written = true;
            }
        if (same > 1)
            json_close(o, ']');
    }
    json_close(o, '}');
    return EXIT_DONE;
}

/* The content type that the user asked for, or STR_NONE. */
static struct str content_type_given(const struct command *c)
{
    int at = 0;
    for (char *word; (word = command_next(c, OPT_HEADER, &at));) {
        struct str name, value;
        if (str_cut(str_of(word), ':', &name, &value) && str_ieq(str_trim(name), STR("content-type")))
            return str_trim(value);
    }
    return STR_NONE;
}

static bool says_json(struct str content_type)
{
    struct str kind, rest;
    str_cut(content_type, ';', &kind, &rest);
    kind = str_trim(kind);
    return str_ieq(kind, STR("application/json")) || (kind.n > 5 && str_ieq(str_sub(kind, kind.n - 5, kind.n), STR("+json")));
}

/* JSON stays JSON, with its numbers as they are; text is text; the rest goes as base64. */
static void body_write(struct command *c, struct json_out *o, struct str body)
{
    struct str type = content_type_given(c);
    struct json *v;
    if ((!type.p || says_json(type)) && json_read(c->arena, body, &v, NULL) == ERR_NONE)
        json_member_raw(o, "body", str_trim(body));
    else if (utf8_valid(body))
        json_member_str(o, "body_text", body);
    else
        json_member_str(o, "body_base64", base64_encode(c->arena, body, BASE64_STANDARD));
}

static int request_write(struct command *c, struct json_out *o, struct str body)
{
    json_open(o, '{');
    json_member_str(o, "method", command_argument(c, 1));
    json_member_str(o, "path", command_argument(c, 2));
    int code = pairs_write(c, o, "query", OPT_QUERY, '=', "NAME=VALUE");
    if (!code)
        code = pairs_write(c, o, "headers", OPT_HEADER, ':', "'NAME: VALUE'");
    if (body.p)
        body_write(c, o, body);
    json_close(o, '}');
    return code;
}

/* --- The answer ----------------------------------------------------------------------------------------------------- */

static struct str answer_header(const struct json *headers, const char *name)
{
    json_each(h, headers)
        if (str_ieq(h->key, str_of(name)))
            return h->type == JSON_ARRAY && h->child ? h->child->text : h->text;
    return STR_NONE;
}

static void print_head(struct arena *a, int64_t status, const struct json *headers)
{
    printf("HTTP %lld\n", (long long)status);
    json_each(h, headers) {
        struct str name = text_safe(a, h->key);
        if (h->type != JSON_ARRAY) {
            struct str value = text_safe(a, h->text);
            printf("%.*s: %.*s\n", STR_ARG(name), STR_ARG(value));
        }
        json_each(v, h->type == JSON_ARRAY ? h : NULL) {
            struct str value = text_safe(a, v->text);
            printf("%.*s: %.*s\n", STR_ARG(name), STR_ARG(value));
        }
    }
    putchar('\n');
}

static int print_body(struct command *c, const struct json *answer)
{
    const struct json *body = json_get(answer, "body");
    struct str bytes = json_str(answer, "body_base64");
    if (bytes.p) {
        if (!base64_decode(c->arena, bytes, BASE64_STANDARD, &bytes)) {
            fputs("raccord: the hub's answer is malformed\n", stderr);
            return EXIT_FAILED;
        }
        fwrite(bytes.p, 1, bytes.n, stdout);
        return EXIT_DONE;
    }
    if (!body || body->type == JSON_NULL)
        return EXIT_DONE;
    /* A provider's JSON string is JSON; a provider's text came as a string because that is how JSON carries text. */
    if (body->type == JSON_STRING && !says_json(answer_header(json_get(answer, "headers"), "content-type"))) {
        fwrite(body->text.p, 1, body->text.n, stdout);
        return EXIT_DONE;
    }
    AUTO_BUF b;
    buf_init(&b, BODY_MAX * 2);
    struct json_out o = json_out(&b);
    json_put(&o, body);
    buf_char(&b, '\n');
    fwrite(b.p, 1, b.n, stdout);
    return EXIT_DONE;
}

int call_run(struct command *c)
{
    char *data = command_value(c, OPT_BODY);
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET file = SECRET_NONE;
    struct fault why = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    struct str body = str_of(data);
    if (data && (data[0] == '@' || strcmp(data, "-") == 0)) {
        if (secret_read_file(data[0] == '@' ? data + 1 : data, BODY_MAX, false, &file, &why))
            return command_failed(c, &why);
        body = file.n ? secret_str(file) : STR("");
    }
    AUTO_BUF b;
    buf_init(&b, BODY_MAX * 2);
    struct json_out o = json_out(&b);
    code = request_write(c, &o, body);
    if (code)
        return code;

    struct str request = buf_str(&b);
    struct client_answer answer;
    code = client_ask(&k, "POST", client_path(c, "/connections", "/call"), &request, &answer);
    if (code)
        return code;
    int64_t status = 0;
    json_i64(json_get(answer.json, "status"), &status);
    if (k.json) {
        client_show(&k, &answer);
    } else {
        if (command_has(c, OPT_INCLUDE))
            print_head(c->arena, status, json_get(answer.json, "headers"));
        code = print_body(c, answer.json);
    }
    if (status >= 400) {
        fprintf(stderr, "raccord: the provider answered with status %lld\n", (long long)status);
        return EXIT_PROVIDER;
    }
    return code;
}
