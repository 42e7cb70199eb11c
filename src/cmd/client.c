#include "cmd/client.h"

#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "cmd/terminal.h"
#include "http/fetch.h"

#define PRESET_SERVER "http://127.0.0.1:8640"
#define ANSWER_MAX (96 * 1024 * 1024) /* bytes; a call's answer comes as base64 inside JSON */
#define TIMEOUT_MS (5 * 60 * 1000)    /* the hub's own limits are shorter */
#define TOKEN_FILE_MAX 4096
#define PAGE 200                      /* the API's largest */

/* Requirement 13.7: what was read does not stay readable in /proc/PID/cmdline or environ. */
static void wipe_in_place(char *text)
{
    if (text)
        secret_wipe(text, strlen(text));
}

static int token_read(struct command *c, struct secret *out)
{
    char *word = command_value(c, OPT_TOKEN);
    char *file = command_value(c, OPT_TOKEN_FILE);
    char *environment = getenv("RACCORD_TOKEN");
    struct fault why = { 0 };

    *out = SECRET_NONE;
    if (word && file)
        return command_wrong(c, "--token and --token-file exclude each other.");
    if (word)
        fputs("raccord: warning: other users can see a token on the command line; use RACCORD_TOKEN or --token-file\n", stderr);
    if (file) {
        if (secret_read_file(file, TOKEN_FILE_MAX, true, out, &why))
            return command_failed(c, &why);
    } else if (word || (environment && *environment)) {
        *out = secret_from(str_of(word ? word : environment));
    }
    wipe_in_place(word);
    wipe_in_place(environment);
    return EXIT_DONE;
}

static struct secret bearer(struct secret token)
{
    static const char scheme[] = "Bearer ";
    if (!token.n)
        return SECRET_NONE;
    struct secret value = secret_new(sizeof scheme - 1 + token.n);
    memcpy(value.p, scheme, sizeof scheme - 1);
    memcpy(value.p + sizeof scheme - 1, token.p, token.n);
    return value;
}

static bool stays_on_this_machine(struct str server)
{
    static const char *const here[] = { "http://127.0.0.1", "http://localhost", "http://[::1]" };
    for (size_t i = 0; i < COUNT(here); i++) {
        struct str prefix = str_of(here[i]);
        if (str_istarts(server, prefix) && (server.n == prefix.n || server.p[prefix.n] == ':' || server.p[prefix.n] == '/'))
            return true;
    }
    return false;
}

int client_open(struct command *c, struct client *out)
{
    const char *server = command_value(c, OPT_SERVER);
    *out = (struct client){ .command = c, .json = command_has(c, OPT_JSON) };
    if (!server)
        server = getenv("RACCORD_SERVER");
    out->server = str_of(server && *server ? server : PRESET_SERVER);
    while (out->server.n && out->server.p[out->server.n - 1] == '/')
        out->server.n--;
    out->ca_file = str_of(command_value(c, OPT_CA_FILE));
    bool http = str_istarts(out->server, STR("http://"));
    if (!http && !str_istarts(out->server, STR("https://")))
        return command_wrong(c, "the server's address must begin with https:// or http://");

    AUTO_SECRET token;
    int code = token_read(c, &token);
    if (code)
        return code;
    if (str_has_control(secret_str(token)))
        return command_wrong(c, "the token holds control characters or line breaks.");
    if (http && token.n && !stays_on_this_machine(out->server))
        fputs("raccord: warning: the token travels unencrypted; use https://\n", stderr);
    out->authorization = bearer(token);
    return EXIT_DONE;
}

void client_close(struct client *k) { secret_end(&k->authorization); }

/* --- Answers -------------------------------------------------------------------------------------------------------- */

static int exit_of(struct str code, int status)
{
    enum err e = err_find(code);
    if (e != ERR_NONE)
        return err_row(e)->exit;
    /* A code that this version does not know: its status says enough. */
    if (status == 404)
        return EXIT_MISSING;
    if (status == 401 || status == 403)
        return EXIT_DENIED;
    if (status == 502 || status == 504)
        return EXIT_PROVIDER;
    return status == 400 || status == 422 ? EXIT_USAGE : EXIT_FAILED;
}

static void say_json_str(struct arena *a, const char *before, struct str text, const char *after)
{
    struct str safe = text_safe(a, text);
    if (safe.n)
        fprintf(stderr, "%s%.*s%s", before, STR_ARG(safe), after);
}

#define RECONNECT                                                         \
    "Enter them: raccord connections credentials ID --credential NAME;\n" \
    "  or let a person authorize it: raccord connections authorize ID"

/* What to do about it here: the hub's own words speak of its API. */
static void say_hint(enum err e)
{
    static const struct {
        enum err err;
        const char *hint;
    } rows[] = {
        { ERR_UNAUTHENTICATED, "Give a token: RACCORD_TOKEN, or --token-file FILE. Get one: raccord login --email EMAIL" },
        { ERR_TOKEN_INVALID, "Get another one: raccord login --email EMAIL" },
        { ERR_TOKEN_EXPIRED, "Get another one: raccord login --email EMAIL" },
        { ERR_BAD_CREDENTIALS, "Forgotten? An administrator makes a link: raccord users reset-password EMAIL" },
        { ERR_SECOND_FACTOR_REQUIRED, "Give the code: --code CODE" },
        { ERR_INVITATION_INVALID, "An administrator makes a new link: raccord users reset-password EMAIL" },
        { ERR_IN_USE, "Who depends on it: raccord connections usage ID. All the same: --force" },
        { ERR_DEFAULT_NEEDED, "The next default: --heir KEY. None: --force" },
        { ERR_ACCOUNT_CHANGED, "It is meant: --force" },
        { ERR_AMBIGUOUS, "Say which: --folder PATH, or its id" },
        { ERR_PRECONDITION_FAILED, "Look at it again, and repeat." },
        { ERR_CONNECTOR_BLOCKED, "Which policy, and why: raccord policies explain connection.create --connector ID" },
        { ERR_CALL_BLOCKED, "Which policy, and why: raccord policies explain connection.call --connection ID --method METHOD" },
        { ERR_RECONNECT_REQUIRED, RECONNECT },
        { ERR_NEEDS_AUTH, RECONNECT },
        { ERR_CONNECTION_DISABLED, "Let it be used again: raccord connections enable ID" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].err == e)
            fprintf(stderr, "  %s\n", rows[i].hint);
}

/* RFC 9457. With --json the document goes to stdout as well, where a program looks for an answer. */
static int problem(struct client *k, const struct fetch_answer *f, struct client_answer *out)
{
    struct arena *a = k->command->arena;
    struct json *doc = NULL;
    if (!f->body.n || json_read(a, f->body, &doc, NULL) || !json_is(doc, JSON_OBJECT)) {
        fprintf(stderr, "raccord: the hub answered with status %d\n", f->status);
        return exit_of(STR_NONE, f->status);
    }
    out->refused = k->awaited && err_find(json_str(doc, "code")) == k->awaited;
    if (out->refused)
        return exit_of(json_str(doc, "code"), f->status);
    if (k->json)
        printf("%.*s\n", STR_ARG(str_trim(f->body)));
    struct str detail = json_str(doc, "detail");
    say_json_str(a, "raccord: ", detail.n ? detail : json_str(doc, "title"), "");
    say_json_str(a, " (", json_str(doc, "code"), ")");
    fputc('\n', stderr);
    json_each(e, json_get(doc, "errors")) {
        say_json_str(a, "  ", json_str(e, "pointer"), ": ");
        say_json_str(a, "", json_str(e, "detail"), "");
        fputc('\n', stderr);
    }
    say_json_str(a, "  run: ", json_str(doc, "run_id"), "\n");
    say_hint(err_find(json_str(doc, "code")));
    return exit_of(json_str(doc, "code"), f->status);
}

/* The hub is not a provider: to blame one, or exit with its code, would point at the wrong side. */
static int unreachable(struct client *k, struct fault *why)
{
    static const enum err no_answer[] = { ERR_UPSTREAM_DNS, ERR_UPSTREAM_CONNECT, ERR_UPSTREAM_CLOSED, ERR_UPSTREAM_TIMEOUT };
    for (size_t i = 0; i < COUNT(no_answer); i++)
        if (why->err == no_answer[i]) {
            struct fault plain = { 0 };
            fault(&plain, ERR_SERVER_UNREACHABLE, k->server, "%s", why->note);
            return command_failed(k->command, &plain);
        }
    int code = command_failed(k->command, why);
    return code == EXIT_PROVIDER ? EXIT_FAILED : code;
}

static void header(struct fetch_request *q, struct str name, struct str value)
{
    q->headers[q->header_count][0] = name;
    q->headers[q->header_count++][1] = value;
}

int client_ask(struct client *k, const char *method, struct str path, const struct str *body, struct client_answer *out)
{
    struct arena *a = k->command->arena;
    struct fault why = { 0 };
    struct fetch_answer f = { 0 };
    struct fetch_request q = {
        .method = str_of(method),
        .url = str_fmt(a, "%.*s/api/v1%.*s", STR_ARG(k->server), STR_ARG(path)),
        .body = body ? *body : STR_NONE,
        .ca_file = k->ca_file,
        .timeout_ms = TIMEOUT_MS,
        .response_max = ANSWER_MAX,
    };

    *out = (struct client_answer){ 0 };
    header(&q, STR("Accept"), STR("application/json, application/problem+json"));
    header(&q, STR("Accept-Language"), k->command->language == LANG_FR ? STR("fr") : STR("en"));
    header(&q, STR("User-Agent"), STR("raccord/" RACCORD_VERSION));
    if (k->authorization.n)
        header(&q, STR("Authorization"), secret_str(k->authorization));
    if (body)
        header(&q, STR("Content-Type"), STR("application/json"));
    if (k->cookie.n) {
        header(&q, STR("Cookie"), k->cookie);
        header(&q, STR("X-CSRF-Token"), k->csrf);
    }

    if (fetch(a, &q, &f, &why))
        return unreachable(k, &why);
    if (f.status >= 400)
        return problem(k, &f, out);
    out->body = f.body;
    str_cut(fetch_header(&f, "Set-Cookie"), ';', &out->cookie, &(struct str){ 0 });
    if (!k->lines && f.body.n && json_read(a, f.body, &out->json, &why)) {
        fprintf(stderr, "raccord: what answers at %.*s is no hub: its answer is not JSON\n", STR_ARG(k->server));
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

int client_show(struct client *k, const struct client_answer *answer)
{
    if (!answer->json)
        return EXIT_DONE;
    if (k->json)
        printf("%.*s\n", STR_ARG(str_trim(answer->body)));
    else
        table_print_object(stdout, k->command->arena, answer->json);
    return EXIT_DONE;
}

int client_ask_and_show(struct client *k, const char *method, struct str path, const struct str *body)
{
    struct client_answer answer;
    int code = client_ask(k, method, path, body, &answer);
    return code ? code : client_show(k, &answer);
}

/* --- Lists ---------------------------------------------------------------------------------------------------------- */

void query_add(struct buf *b, const char *name, struct str value)
{
    if (!value.p)
        return;
    buf_char(b, b->n ? '&' : '?');
    buf_fmt(b, "%s=", name);
    percent_encode(b, value);
}

void query_add_option(struct buf *b, const struct command *c, enum option o, const char *name)
{
    query_add(b, name, str_of(command_value(c, o)));
}

struct str client_path(struct command *c, const char *collection, const char *tail)
{
    AUTO_BUF b;
    buf_init(&b, 64 * 1024);
    buf_fmt(&b, "%s/", collection);
    percent_encode(&b, command_argument(c, 0));
    buf_fmt(&b, "%s", tail);
    if (command_value(c, OPT_FOLDER)) {
        buf_add(&b, STR("?folder="));
        percent_encode(&b, str_of(command_value(c, OPT_FOLDER)));
    }
    return arena_str(c->arena, buf_str(&b));
}

struct rows {
    struct json **at;
    size_t count, size;
    bool more;             /* the hub has further ones */
    struct str cursor;
    struct str only_page;  /* the text, when one page was all */
};

static void rows_add(struct arena *a, struct rows *r, struct json *page)
{
    const struct json *items = json_get(page, "items");
    json_each(v, items) {
        if (r->count == r->size) {
            size_t size = r->size ? r->size * 2 : 256;
            struct json **at = arena_array(a, size, sizeof *at);
            if (r->count)
                memcpy(at, r->at, r->count * sizeof *at);
            r->at = at;
            r->size = size;
        }
        r->at[r->count++] = v;
    }
}

static int rows_read(struct client *k, const struct listing *l, uint64_t limit, struct rows *r)
{
    struct arena *a = k->command->arena;
    bool progress = isatty(STDERR_FILENO) != 0;
    for (int page = 0;; page++) {
        AUTO_BUF path;
        buf_init(&path, 64 * 1024);
        buf_fmt(&path, "%s%.*s%climit=%d", l->path, STR_ARG(l->query), l->query.n ? '&' : '?',
                limit && limit - r->count < PAGE ? (int)(limit - r->count) : PAGE);
        if (r->cursor.n) {
            buf_add(&path, STR("&cursor="));
            percent_encode(&path, r->cursor);
        }
        if (progress && page)
            fprintf(stderr, "\r%zu ...", r->count);

        struct client_answer answer;
        int code = client_ask(k, "GET", buf_str(&path), NULL, &answer);
        if (code)
            return code;
        size_t before = r->count;
        rows_add(a, r, answer.json);
        r->cursor = json_str(answer.json, "next_cursor");
        r->only_page = page ? STR_NONE : answer.body;
        r->more = r->cursor.n > 0;
        /* A page without rows that names a next one would go on for ever. */
        if (!r->more || (r->count == before && !l->sparse) || (limit && r->count >= limit))
            break;
    }
    if (progress && !r->only_page.p)
        fputs("\r\033[K", stderr);
    return EXIT_DONE;
}

static void rows_print_json(const struct rows *r)
{
    if (r->only_page.p) {
        printf("%.*s\n", STR_ARG(str_trim(r->only_page)));
        return;
    }
    fputs("{\"items\":[", stdout);
    for (size_t i = 0; i < r->count; i++) {
        AUTO_BUF b;
        buf_init(&b, ANSWER_MAX);
        struct json_out o = json_out(&b);
        json_put(&o, r->at[i]);
        printf("%s%.*s", i ? "," : "", STR_ARG(buf_str(&b)));
    }
    AUTO_BUF b;
    buf_init(&b, 64 * 1024);
    struct json_out o = json_out(&b);
    json_put_str(&o, r->cursor);
    printf("],\"next_cursor\":%.*s}\n", STR_ARG(r->more ? buf_str(&b) : STR("null")));
}

int client_list(struct client *k, const struct listing *l)
{
    uint64_t limit = 0;
    char *asked = command_value(k->command, OPT_LIMIT);
    if (asked && (!str_u64(str_of(asked), &limit) || !limit))
        return command_wrong(k->command, "--limit needs a number of at least 1.");

    struct rows r = { 0 };
    int code = rows_read(k, l, limit, &r);
    if (code)
        return code;
    if (k->json) {
        rows_print_json(&r);
    } else if (!r.count) {
        puts(l->query.n && l->none_found ? l->none_found : l->empty);
    } else {
        table_print(stdout, k->command->arena, l->columns, l->column_count, r.at, r.count, terminal_columns());
        if (r.more)
            fprintf(stderr, "There are more; these are the first %zu.\n", r.count);
    }
    return EXIT_DONE;
}
