#include "cmd/demo.h"

#include "access/audit.h"
#include "access/token.h"
#include "access/user.h"
#include "base/buf.h"
#include "base/json.h"
#include "http/fetch.h"

#define DAY_MS (24ll * 60 * 60 * 1000)

struct order {
    struct arena *arena;
    char text[TOKEN_TEXT];
};

/* A new token for the account "demo"; those of earlier starts are revoked. */
static enum err create_token(struct db *db, void *context, struct fault *why)
{
    struct order *o = context;
    struct token_new t = { .name = STR("demo"), .role = ROLE_ADMIN, .expires = clock_wall() + DAY_MS };
    struct token_row *old;
    struct str id;
    size_t n;
    enum err e;
    if ((e = service_account_find_or_create(db, o->arena, STR("demo"), ROLE_ADMIN, &t.principal, why)) ||
        (e = token_list(db, o->arena, t.principal, STR_NONE, 200, &old, &n, why)))
        return e;
    for (size_t i = 0; i < n; i++)
        if (!old[i].revoked && (e = token_revoke(db, old[i].id, why)))
            return e;
    if ((e = token_create(db, o->arena, &t, o->text, &id, why)))
        return e;
    struct audit_entry told = { .via = STR("system"), .action = STR("token.create"), .object = id, .name = STR("demo"),
                                .after = STR("{\"role\":\"admin\",\"demo\":true}") };
    return audit_add(db, &told, why);
}

static enum err ask(struct arena *a, struct str url, struct str token, const char *method, const char *path, struct str body,
                    int *status, struct fault *why)
{
    struct fetch_answer answer;
    struct fetch_request q = { .method = str_of(method), .url = str_fmt(a, "%.*s/api/v1%s", STR_ARG(url), path), .body = body,
                               .timeout_ms = 15000, .response_max = 1024 * 1024, .header_count = 2 };
    q.headers[0][0] = STR("Authorization");
    q.headers[0][1] = str_fmt(a, "Bearer %.*s", STR_ARG(token));
    q.headers[1][0] = STR("Content-Type");
    q.headers[1][1] = STR("application/json");
    enum err e = fetch(a, &q, &answer, why);
    *status = answer.status;
    return e;
}

static struct str connection_body(struct arena *a, const struct demo *p)
{
    AUTO_BUF b;
    buf_init(&b, 8192);
    struct json_out o = json_out(&b);
    json_open(&o, '{');
    json_member_str(&o, "connector", STR("http"));
    json_member_str(&o, "auth_type", STR("bearer"));
    json_member_str(&o, "key", STR(DEMO_CONNECTION));
    json_member_str(&o, "name", STR("Demonstration CRM"));
    json_member_str(&o, "folder", STR("shared"));
    json_member_str(&o, "allowed_domain", STR("localhost"));
    json_key(&o, "fields");
    json_open(&o, '{');
    json_member_str(&o, "base_url", str_fmt(a, "https://localhost:%u/v1", p->port));
    json_member_str(&o, "verify_path", STR("/me"));
    json_close(&o, '}');
    json_key(&o, "credentials");
    json_open(&o, '{');
    json_member_str(&o, "token", str_of(p->token));
    json_close(&o, '}');
    json_close(&o, '}');
    return arena_str(a, buf_str(&b));
}

enum err demo_connect(struct arena *boot, struct store *store, struct str url, const struct demo *provider, struct str *token,
                      struct fault *why)
{
    struct order o = { .arena = boot };
    int status = 0;
    enum err e = store_write(store, create_token, &o, why);
    if (e)
        return e;
    *token = arena_str(boot, str_of(o.text));
    /* The provider has a new port and a new token at each start: an old connection leads nowhere. */
    if ((e = ask(boot, url, *token, "DELETE", "/connections/" DEMO_CONNECTION, STR_NONE, &status, why)) ||
        (e = ask(boot, url, *token, "POST", "/connections", connection_body(boot, provider), &status, why)))
        return e;
    if (status != 201)
        return fault(why, ERR_INTERNAL, STR(""), "the demonstration connection was not made: status %d", status);
    e = ask(boot, url, *token, "POST", "/connections/" DEMO_CONNECTION "/verify", STR("{}"), &status, why);
    if (!e && status != 200)
        e = fault(why, ERR_INTERNAL, STR(""), "the demonstration connection was not verified: status %d", status);
    return e;
}
