#include "auth/introspection.h"

#include "base/json.h"

#define ANSWER_MAX (1024 * 1024)
#define LATEST_S INT64_C(100000000000) /* the year 5138 */

enum err introspection_build(struct arena *a, const struct oauth_profile *p, struct secret token, struct str hint, wall_ms now,
                             struct token_request *out, struct fault *why)
{
    *out = (struct token_request){ 0 };
    if (!p->introspection_url.n)
        return fault(why, ERR_NOT_IMPLEMENTED, STR("introspection"), "the profile has no endpoint");
    const struct token_param params[] = { { STR("token"), secret_str(token) }, { STR("token_type_hint"), hint } };
    return token_request_build(a, p, p->introspection_url, TOKEN_REFRESH, params, COUNT(params), SECRET_NONE, STR(""), now, out,
                               why);
}

enum introspected introspection_read(const struct fetch_answer *f, wall_ms *expires)
{
    AUTO_ARENA a = arena_new(16 * 1024);
    struct json *body;
    struct fault unused;
    int64_t exp;
    *expires = 0;
    /* 2.2: what is not 200 speaks of the request. Twice the same name is read by nobody alike. */
    if (f->status != 200 || f->body.n > ANSWER_MAX || json_read(a, f->body, &body, &unused))
        return INTROSPECTED_UNKNOWN;
    if (json_is(json_get(body, "active"), JSON_FALSE))
        return INTROSPECTED_DEAD;
    if (!json_is(json_get(body, "active"), JSON_TRUE))
        return INTROSPECTED_UNKNOWN;
    if (json_i64(json_get(body, "exp"), &exp) && exp > 0 && exp < LATEST_S)
        *expires = exp * 1000;
    return INTROSPECTED_ACTIVE;
}
