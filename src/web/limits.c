/* web/limits.c - what may not grow beyond what. */
#include "http/head.h"
#include "vault/connection.h"
#include "web/handlers.h"
#include "web/page.h"

static void write_limit(struct json_out *o, const char *name, int64_t value, const char *unit, const char *source)
{
    json_open(o, '{');
    json_member_str(o, "name", str_of(name));
    json_member_i64(o, "value", value);
    json_member_str(o, "unit", str_of(unit));
    json_member_str(o, "source", str_of(source));
    json_member_null(o, "use");
    json_member_null(o, "last_hit");
    json_close(o, '}');
}

static int64_t largest_body(void)
{
    size_t n;
    int64_t most = 0;
    const struct route *routes = routes_all(&n);
    for (size_t i = 0; i < n; i++)
        most = routes[i].body_max > most ? routes[i].body_max : most;
    return most;
}

enum err limits_list(struct web_request *q, struct reply *r, struct fault *why)
{
    (void)why;
    struct head_limits head = HEAD_LIMITS_PRESET;
    struct json_out o = page_open(r);
    write_limit(&o, "call_response_body", q->hub->call_response_max, "bytes", "configuration");
    write_limit(&o, "request_body", largest_body(), "bytes", "built-in");
    write_limit(&o, "request_head", (int64_t)head.max_bytes, "bytes", "built-in");
    write_limit(&o, "request_target", (int64_t)head.max_uri, "bytes", "built-in");
    write_limit(&o, "request_headers", head.max_headers, "count", "built-in");
    write_limit(&o, "json_depth", JSON_DEPTH, "count", "built-in");
    write_limit(&o, "list_page", 200, "count", "built-in");
    write_limit(&o, "connection_credentials", CONNECTION_SECRETS, "count", "built-in");
    page_close(&o, q->arena, STR_NONE);
    return ERR_NONE;
}
