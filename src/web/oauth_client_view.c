#include "web/oauth_client_view.h"

#include "auth/grant.h"
#include "web/authorize.h"

struct str oauth_redirect_uri(const struct web_request *q)
{
    struct str path = q->hub->callback.n ? q->hub->callback : STR(AUTHORIZE_CALLBACK);
    return str_fmt(q->arena, "%.*s%.*s", STR_ARG(q->hub->public_url), STR_ARG(path));
}

static void write_secret(struct json_out *o, const struct oauth_client *c, enum oauth_secret s)
{
    json_key(o, oauth_secret_name(s));
    json_open(o, '{');
    json_member_bool(o, "set", c->secrets[s] != 0);
    json_member_time(o, "updated_at", c->secrets[s]);
    json_close(o, '}');
}

/* Those that everybody looks for are there even when nothing is written; the others only when something is. */
static void write_settings(struct json_out *o, const struct oauth_client *c)
{
    static const char *const always[] = { "issuer",         "authorization_url", "token_url",  "revocation_url",
                                          "device_authorization_url", "introspection_url", "par_url", "client_authentication",
                                          "scopes", "grant_types", "token_hosts", "allowed_domains", NULL };
    for (size_t i = 0; always[i]; i++) {
        const struct json *v = json_get(c->settings, always[i]);
        json_key(o, always[i]);
        if (v)
            json_put(o, v);
        else
            json_put_null(o);
    }
    json_each(v, c->settings) {
        bool written = false;
        for (size_t i = 0; always[i]; i++)
            written |= str_is(v->key, always[i]);
        if (written)
            continue;
        AUTO_ARENA a = arena_new(256);
        json_key(o, arena_cstr(a, v->key));
        json_put(o, v);
    }
}

enum err oauth_client_write(struct web_request *q, struct db *db, struct json_out *o, const struct oauth_client *c,
                            struct fault *why)
{
    struct str *hosts;
    int64_t users;
    size_t n;
    enum err e = oauth_client_users(db, c->id, &users, why);
    if (e)
        return e;
    oauth_client_hosts(q->arena, c, &hosts, &n);
    json_open(o, '{');
    json_member_str(o, "id", c->id);
    json_member_str(o, "key", c->key);
    json_member_str(o, "name", c->name);
    json_member_str(o, "connector", c->connector.n ? c->connector : STR_NONE);
    json_member_str(o, "client_id", c->client_id);
    for (enum oauth_secret s = 0; s < OAUTH_SECRET_KINDS; s++)
        write_secret(o, c, s);
    write_settings(o, c);
    json_key(o, "jwks");
    oauth_client_jwks(o, c);
    json_member_str(o, "jwks_uri", str_fmt(q->arena, "%.*s/oauth/jwks/%.*s", STR_ARG(q->hub->public_url), STR_ARG(c->id)));
    json_key(o, "secret_hosts");
    json_open(o, '[');
    for (size_t i = 0; i < n; i++)
        json_put_str(o, hosts[i]);
    json_close(o, ']');
    json_member_str(o, "redirect_uri", oauth_redirect_uri(q));
    json_member_i64(o, "used_by", users);
    json_member_time(o, "discovered_at", c->discovered);
    json_member_time(o, "created_at", c->created);
    json_member_time(o, "updated_at", c->updated);
    json_close(o, '}');
    return ERR_NONE;
}

enum err oauth_client_changed(struct db *db, const struct oauth_client *c, struct fault *why)
{
    return grant_resume(db, c->id, STR_NONE, why);
}
