/* cmd/client.h - the CLI as a client of the hub's API.
 *
 * Every function that asks the hub says on stderr what went wrong and answers the exit code, so that verbs only pass it on.
 */
#ifndef CMD_CLIENT_H
#define CMD_CLIENT_H

#include "base/json.h"
#include "cmd/command.h"
#include "cmd/table.h"

struct client {
    struct command *command;
    struct str server;            /* without trailing '/' */
    struct str ca_file;
    struct secret authorization;  /* "Bearer rcd_..."; empty: none */
    bool json;
    bool lines;                   /* the answer is one JSON value a line: it is not read */
    struct str cookie, csrf;      /* of a session; empty: none */
    enum err awaited;             /* a refusal that the verb expects: not said, answer.refused is set */
};

/* Takes server, token and the rest from options and environment. RACCORD_TOKEN and --token are wiped where they stood. */
int client_open(struct command *c, struct client *out);
void client_close(struct client *k); /* wipes the token */
#define AUTO_CLIENT __attribute__((cleanup(client_close))) struct client

struct client_answer {
    struct str body;
    struct json *json;            /* NULL when the answer has no body */
    struct str cookie;            /* "name=value" that the hub set; empty: none */
    bool refused;                 /* with the code that was awaited */
};
/* `path` below /api/v1, encoded; `body` NULL: none. */
int client_ask(struct client *k, const char *method, struct str path, const struct str *body, struct client_answer *out);
/* An answer as the user wants it: the API's text with --json, else name and value lines. */
int client_show(struct client *k, const struct client_answer *answer);
/* GET, PUT ... and show. */
int client_ask_and_show(struct client *k, const char *method, struct str path, const struct str *body);

/* A query string, built: "?a=b&c=d". */
void query_add(struct buf *b, const char *name, struct str value);
void query_add_option(struct buf *b, const struct command *c, enum option o, const char *name);

struct listing {
    const char *path;             /* "/connections" */
    struct str query;             /* "?..." or empty */
    const struct column *columns;
    size_t column_count;
    const char *empty;            /* what to say when there is nothing at all */
    const char *none_found;       /* what to say when a filter leaves nothing */
    bool sparse;              /* a page without rows may name a next one: the hub looked at a stretch in which there are none */
};
/* Follows next_cursor until --limit or the end, then prints. */
int client_list(struct client *k, const struct listing *l);

/* "/connections/{id}{tail}?folder=..." with the i-th argument as id. */
struct str client_path(struct command *c, const char *collection, const char *tail);

#endif
