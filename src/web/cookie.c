#include "web/cookie.h"

#include "auth/oidc.h"

static struct str cookie_name(const struct hub *hub) { return hub->public_is_https ? STR("__Host-raccord") : STR("raccord"); }

static struct str attempt_name(const struct hub *hub)
{
    return hub->public_is_https ? STR("__Host-raccord-sign-in") : STR("raccord-sign-in");
}

static struct str authorize_name(const struct hub *hub)
{
    return hub->public_is_https ? STR("__Host-raccord-authorize") : STR("raccord-authorize");
}

static struct str find(const struct head *h, struct str name)
{
    struct str pair, key, value;
    for (int i = 0; h && i < h->count; i++) {
        if (!str_ieq(h->headers[i].name, STR("cookie")))
            continue;
        struct str rest = h->headers[i].value;
        while (str_piece(&rest, ';', &pair))
            if (str_cut(str_trim(pair), '=', &key, &value) && str_eq(key, name))
                return value;
    }
    return STR_NONE;
}

struct str cookie_session(const struct head *h, const struct hub *hub) { return find(h, cookie_name(hub)); }
struct str cookie_attempt(const struct head *h, const struct hub *hub) { return find(h, attempt_name(hub)); }

void cookie_set_session(struct web_request *q, struct reply *r, struct str text)
{
    struct str name = cookie_name(q->hub);
    const char *secure = q->hub->public_is_https ? "; Secure" : "";
    const char *end = text.n ? "" : "; Max-Age=0";
    reply_header(r, "Set-Cookie",
                 str_fmt(q->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Strict%s%s", STR_ARG(name), STR_ARG(text), secure, end));
}

void cookie_set_attempt(struct web_request *q, struct reply *r, struct str text)
{
    struct str name = attempt_name(q->hub);
    const char *secure = q->hub->public_is_https ? "; Secure" : "";
    reply_header(r, "Set-Cookie",
                 str_fmt(q->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Lax%s; Max-Age=%d", STR_ARG(name), STR_ARG(text), secure,
                         text.n ? OIDC_ATTEMPT_MS / 1000 : 0));
}

struct str cookie_authorize(const struct head *h, const struct hub *hub) { return find(h, authorize_name(hub)); }

void cookie_set_authorize(struct web_request *q, struct reply *r, struct str text)
{
    struct str name = authorize_name(q->hub);
    const char *secure = q->hub->public_is_https ? "; Secure" : "";
    reply_header(r, "Set-Cookie", str_fmt(q->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Lax%s; Max-Age=3600", STR_ARG(name),
                                          STR_ARG(text), secure));
}
