#include "auth/oauth_client.h"
#include "auth/oauth_profile.h"
#include "base/json.h"

void oauth_expired_read(const struct json *rule, struct oauth_expired *out)
{
    int64_t status;
    *out = (struct oauth_expired){ .pointer = json_str(rule, "pointer"), .equals = json_str(rule, "equals") };
    json_each(v, json_get(rule, "status"))
        if (out->status_count < COUNT(out->statuses) && json_i64(v, &status))
            out->statuses[out->status_count++] = (int)status;
    json_each(v, json_get(rule, "contains"))
        if (out->word_count < COUNT(out->contains))
            out->contains[out->word_count++] = v->text;
}

enum err oauth_expired_of(struct db *db, struct arena *a, struct str connection, const struct json *options,
                          struct oauth_expired *out, struct fault *why)
{
    struct connection_oauth o;
    struct oauth_client c;
    oauth_expired_read(json_get(json_get(options, "oauth"), "expired"), out);
    if (!str_starts(json_str(options, "type"), STR("oauth2_")))
        return ERR_NONE;
    enum err e = connection_oauth_get(db, a, connection, &o, why);
    if (e || !str_starts(o.client, STR("cli_")))
        return e;
    if ((e = oauth_client_get(db, a, o.client, &c, why)))
        return e == ERR_NOT_FOUND ? ERR_NONE : e; /* renewals say so */
    if (json_get(c.settings, "expired"))
        oauth_expired_read(json_get(c.settings, "expired"), out);
    return ERR_NONE;
}
