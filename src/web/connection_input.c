#include "web/connection_input.h"

#include "auth/method.h"
#include "web/change.h"

const char *const connection_issued_kinds[] = { "connection", "instance", NULL };

/* The method's own look at what will be stored: values in range, names legal. */
enum err connection_check_auth(struct web_request *q, const struct connector *c, struct str auth_type, const struct json *fields,
                           const struct connection_secret *secrets, size_t n, struct fault *why)
{
    const struct auth_method *method = auth_find(auth_type);
    const struct connector_auth *auth = connector_auth_find(c, auth_type);
    if (!method || !auth) {
        fault(why, ERR_AUTH_TYPE_NOT_OFFERED, auth_type, "connector %.*s", STR_ARG(c->id));
        return fault_at(why, "/auth_type");
    }
    struct auth_secret lent[CONNECTION_SECRETS];
    for (size_t i = 0; i < n; i++)
        lent[i] = (struct auth_secret){ secrets[i].name, secrets[i].value };
    struct auth_input in = {
        .options = auth->options, .fields = fields, .secrets = lent, .secret_count = n, .digits_ok = q->hub->header_digits_ok,
    };
    return method->check ? method->check(&in, why) : ERR_NONE;
}

enum err connection_find_connector(const struct web_request *q, struct str id, const struct connector **out, struct fault *why)
{
    *out = catalog_find(q->hub->catalog, id);
    if (*out)
        return ERR_NONE;
    fault(why, ERR_CONNECTOR_NOT_FOUND, id, "no such connector");
    return fault_at(why, "/connector");
}

/* Which credentials are set, each as the hash by which an auditor may look up where a value was used. */
struct str connection_with_credentials(struct web_request *q, struct str json, const struct setup *s)
{
    if (!s || !s->secret_count)
        return json;
    AUTO_BUF text;
    struct json_out o = change_open(&text);
    json_open(&o, '{');
    for (size_t i = 0; i < s->secret_count; i++)
        json_member_str(&o, arena_cstr(q->arena, s->secrets[i].name), change_hash(q, secret_str(s->secrets[i].value)));
    json_close(&o, '}');
    return str_fmt(q->arena, "%.*s,\"credentials\":%.*s}", (int)json.n - 1, json.p, (int)text.n, text.p);
}
