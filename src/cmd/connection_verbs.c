/* Verbs of connections. Credentials come from files, standard input or a prompt, never from the command line. */
#include <stdio.h>

#include "base/encode.h"
#include "cmd/certificate_option.h"
#include "cmd/client.h"
#include "cmd/connection_use.h"
#include "cmd/connection_body.h"
#include "cmd/errand.h"
#include "cmd/terminal.h"
#include "cmd/verbs.h"

#define CREDENTIALS 32
#define CREDENTIAL_MAX (256 * 1024) /* bytes, one */
#define BODY_MAX (2 * 1024 * 1024)
#define QUERY_MAX (16 * 1024)

/* --- Reading -------------------------------------------------------------------------------------------------------- */

int connections_list_run(struct command *c)
{
    static const struct column columns[] = {
        { "KEY", "key", COLUMN_TEXT },       { "NAME", "name", COLUMN_TEXT },
        { "CONNECTOR", "connector.id", COLUMN_TEXT }, { "AUTH TYPE", "auth_type", COLUMN_TEXT },
        { "ALLOWED DOMAIN", "allowed_domain", COLUMN_TEXT }, { "STATE", "state", COLUMN_TEXT },
        { "HEALTH", "health", COLUMN_TEXT }, { "ACCOUNT", "account", COLUMN_TEXT },
        { "FOLDER", "folder.path", COLUMN_TEXT }, { "ID", "id", COLUMN_TEXT },
    };
    struct listing l = { .path = "/connections", .columns = columns, .column_count = COUNT(columns),
                         .empty = "No connections yet. Create one: raccord connections create --connector http --auth-type bearer "
                                  "--key KEY --name NAME --field base_url=URL --credential token",
                         .none_found = "No connection matches." };
    AUTO_CLIENT k = { 0 };
    int code = client_open(c, &k);
    if (code)
        return code;
    AUTO_BUF q;
    buf_init(&q, QUERY_MAX);
    query_add_option(&q, c, OPT_SEARCH, "search");
    query_add_option(&q, c, OPT_FOLDER, "folder");
    query_add_option(&q, c, OPT_CONNECTOR, "connector");
    query_add_option(&q, c, OPT_STATE, "state");
    query_add_option(&q, c, OPT_HEALTH, "health");
    query_add_option(&q, c, OPT_TAG, "tag");
    if (command_has(c, OPT_DEFAULT))
        query_add(&q, "default", STR("true"));
    l.query = buf_str(&q);
    return client_list(&k, &l);
}

int connections_get_run(struct command *c) { return errand_get(c, "/connections"); }

/* --- Credentials ---------------------------------------------------------------------------------------------------- */

struct credentials {
    struct certificate_option certificate;
    struct str name[CREDENTIALS];
    struct secret value[CREDENTIALS];
    size_t count;
};

static void credentials_end(struct credentials *s)
{
    for (size_t i = 0; i < s->count; i++)
        secret_end(&s->value[i]);
    s->count = 0;
    certificate_option_end(&s->certificate);
}
#define AUTO_CREDENTIALS __attribute__((cleanup(credentials_end))) struct credentials

/* "name", "name=-" or "name=@file". */
static int credential_read(struct command *c, char *word, bool *input_used, struct credentials *s)
{
    struct str name, source;
    struct fault why = { 0 };
    bool given = str_cut(str_of(word), '=', &name, &source);
    if (!name.n)
        return command_wrong(c, "--credential needs a name: --credential token");
    if (s->count == CREDENTIALS)
        return command_wrong(c, "there are more than %d credentials.", CREDENTIALS);
    bool input = given && str_is(source, "-"), file = given && source.n > 1 && source.p[0] == '@';
    if (given && !input && !file) {
        secret_wipe(word + name.n + 1, source.n);
        return command_wrong(c, "a credential is not taken from the command line, where other users can read it: "
                             "--credential %.*s asks for it, --credential %.*s=@FILE reads a file.", STR_ARG(name), STR_ARG(name));
    }
    if (input && *input_used)
        return command_wrong(c, "standard input can give one value only.");
    *input_used |= input;

    enum err e;
    struct secret value = SECRET_NONE;
    if (given)
        e = secret_read_file(input ? "-" : word + name.n + 2, CREDENTIAL_MAX, true, &value, &why);
    else
        e = ask_secret(arena_cstr(c->arena, str_fmt(c->arena, "%.*s: ", STR_ARG(name))), &value, &why);
    if (e)
        return command_failed(c, &why);
    s->name[s->count] = name;
    s->value[s->count++] = value;
    return EXIT_DONE;
}

static int credentials_read(struct command *c, struct credentials *s)
{
    int at = 0;
    bool input_used = false;
    for (char *word; (word = command_next(c, OPT_CREDENTIAL, &at));) {
        int code = credential_read(c, word, &input_used, s);
        if (code)
            return code;
    }
    return certificate_option_read(c, &s->certificate);
}

static void credentials_write(struct arena *a, struct json_out *o, const struct credentials *s)
{
    json_open(o, '{');
    for (size_t i = 0; i < s->count; i++)
        json_member_str(o, arena_cstr(a, s->name[i]), secret_str(s->value[i]));
    if (s->certificate.given) {
        json_key(o, "client_certificate");
        json_open(o, '{');
        certificate_option_write(o, &s->certificate);
        json_close(o, '}');
    }
    json_close(o, '}');
}

/* --- Bodies --------------------------------------------------------------------------------------------------------- */

/* --body @file or -, instead of everything else. *out is in locked memory: the body may hold credentials. */
static int body_given(struct command *c, struct secret *out)
{
    static const enum option others[] = { OPT_CONNECTOR, OPT_AUTH_TYPE, OPT_KEY, OPT_NAME, OPT_NOTES, OPT_ALLOWED_DOMAIN, OPT_FIELD,
                                          OPT_CREDENTIAL, OPT_DEFAULT, OPT_TAG, OPT_CLIENT_CERTIFICATE, OPT_ISSUE, OPT_TLS_CA,
                                          OPT_OAUTH_CLIENT, OPT_SCOPES };
    for (size_t i = 0; i < COUNT(others); i++)
        if (command_has(c, others[i]))
            return command_wrong(c, "--body holds everything; --%s cannot stand beside it.", option_rows[others[i]].name);
    return errand_body_read(c, BODY_MAX, out);
}

static int body_too_large(struct command *c) { return command_wrong(c, "all values together are larger than %d bytes.", BODY_MAX); }

static int roots_write(struct command *c, struct json_out *o)
{
    AUTO_SECRET text = SECRET_NONE;
    struct fault why = { 0 };
    if (!command_has(c, OPT_TLS_CA))
        return EXIT_DONE;
    if (secret_read_file(command_value(c, OPT_TLS_CA), CREDENTIAL_MAX, true, &text, &why))
        return command_failed(c, &why);
    json_member_str(o, "tls_ca", secret_str(text));
    return EXIT_DONE;
}

/* What create and update share; `o` is inside the object. */
static int members_write(struct command *c, struct json_out *o, bool creates)
{
    errand_member(o, c, OPT_CONNECTOR, "connector");
    errand_member(o, c, OPT_AUTH_TYPE, "auth_type");
    errand_member(o, c, OPT_KEY, "key");
    errand_member(o, c, OPT_NAME, "name");
    errand_member(o, c, OPT_NOTES, "notes");
    errand_member(o, c, OPT_ALLOWED_DOMAIN, "allowed_domain");
    errand_member(o, c, OPT_OAUTH_CLIENT, "oauth_client");
    errand_member(o, c, OPT_SCOPES, "scopes");
    if (creates)
        errand_member(o, c, OPT_FOLDER, "folder");
    if (command_has(c, OPT_DEFAULT))
        json_member_bool(o, "default", true);
    errand_members(o, c, OPT_TAG, "tags"); /* --tag "" takes all away */
    int code = errand_pairs(c, o, OPT_FIELD, "fields");
    return code ? code : roots_write(c, o);
}

int connection_body_write(struct command *c, struct json_out *o) { return members_write(c, o, true); }

static int body_write(struct command *c, struct json_out *o, const struct credentials *s)
{
    json_open(o, '{');
    int code = members_write(c, o, s != NULL);
    if (s && (s->count || s->certificate.given)) {
        json_key(o, "credentials");
        credentials_write(c->arena, o, s);
    }
    json_close(o, '}');
    return code;
}

/* Send what stands in the locked memory. */
static int send(struct client *k, const char *method, struct str path, struct str body)
{
    return client_ask_and_show(k, method, path, &body);
}

int connections_create_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_CREDENTIALS s = { 0 };
    AUTO_SECRET memory = SECRET_NONE;
    int code = client_open(c, &k);
    if (code)
        return code;
    if (command_has(c, OPT_BODY)) {
        code = body_given(c, &memory);
        return code ? code : send(&k, "POST", STR("/connections"), secret_str(memory));
    }
    if (!command_has(c, OPT_CONNECTOR))
        return command_wrong(c, "--connector is missing; see: raccord connectors list");
    if (!command_has(c, OPT_NAME) && !command_has(c, OPT_KEY))
        return command_wrong(c, "--name is missing.");
    code = credentials_read(c, &s);
    if (code)
        return code;
    /* One allocation that never moves: a growing buffer would leave copies of the credentials behind. */
    memory = secret_new(BODY_MAX);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    code = body_write(c, &o, &s);
    if (code)
        return code;
    return buf_failed(&b) ? body_too_large(c) : send(&k, "POST", STR("/connections"), buf_str(&b));
}

int connections_update_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_SECRET memory = SECRET_NONE;
    int code = client_open(c, &k);
    if (code)
        return code;
    struct str path = client_path(c, "/connections", "");
    if (command_has(c, OPT_BODY)) {
        code = body_given(c, &memory);
        return code ? code : send(&k, "PATCH", path, secret_str(memory));
    }
    AUTO_BUF b;
    buf_init(&b, BODY_MAX);
    struct json_out o = json_out(&b);
    code = body_write(c, &o, NULL);
    if (code)
        return code;
    if (b.n == 2)
        return command_wrong(c, "nothing to change: give --name, --notes, --field, --tls-ca or --default.");
    return buf_failed(&b) ? body_too_large(c) : send(&k, "PATCH", path, buf_str(&b));
}

int connections_credentials_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_CREDENTIALS s = { 0 };
    AUTO_SECRET memory = SECRET_NONE;
    int code = client_open(c, &k);
    if (code)
        return code;
    if ((code = connection_confirm_use(c, &k, "Replacing its credentials concerns others (raccord connections usage).")))
        return code;
    struct str path = client_path(c, "/connections", "/credentials");
    if (command_has(c, OPT_VERIFY))
        path = str_fmt(c->arena, "%.*s%cverify=true&accept_account_change=%s", STR_ARG(path),
                       str_find(path, '?') == SIZE_MAX ? '?' : '&', command_has(c, OPT_FORCE) ? "true" : "false");
    if (command_has(c, OPT_BODY)) {
        code = body_given(c, &memory);
        return code ? code : send(&k, "PUT", path, secret_str(memory));
    }
    code = credentials_read(c, &s);
    if (code)
        return code;
    if (!s.count && !s.certificate.given)
        return command_wrong(c, "--credential is missing.");
    memory = secret_new(BODY_MAX);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    credentials_write(c->arena, &o, &s);
    return buf_failed(&b) ? body_too_large(c) : send(&k, "PUT", path, buf_str(&b));
}

int connections_duplicate_run(struct command *c)
{
    AUTO_CLIENT k = { 0 };
    AUTO_CREDENTIALS s = { 0 };
    AUTO_SECRET memory = SECRET_NONE;
    int code = client_open(c, &k);
    if (code || (code = credentials_read(c, &s)))
        return code;
    memory = secret_new(BODY_MAX);
    struct buf b = { .p = (char *)memory.p, .size = memory.n, .max = memory.n };
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    errand_member(&o, c, OPT_AUTH_TYPE, "auth_type");
    errand_member(&o, c, OPT_KEY, "key");
    errand_member(&o, c, OPT_NAME, "name");
    errand_member(&o, c, OPT_FOLDER, "folder");
    if (command_has(c, OPT_DRY_RUN))
        json_member_bool(&o, "dry_run", true);
    code = errand_pairs(c, &o, OPT_FIELD, "fields");
    if (s.count || s.certificate.given) {
        json_key(&o, "credentials");
        credentials_write(c->arena, &o, &s);
    }
    json_close(&o, '}');
    if (code)
        return code;
    /* --folder is where the copy goes; the original is named by its key among all, or by its id. */
    struct str path = errand_path(c, "/connections", "/duplicate");
    return buf_failed(&b) ? body_too_large(c) : send(&k, "POST", path, buf_str(&b));
}

/* --- States --------------------------------------------------------------------------------------------------------- */

int connections_enable_run(struct command *c)
{
    return errand_send(c, "POST", client_path(c, "/connections", "/enable"), NULL);
}

int connections_default_run(struct command *c)
{
    return errand_send(c, "POST", client_path(c, "/connections", "/default"), NULL);
}
