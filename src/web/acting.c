#include "web/acting.h"

#include "access/token.h"
#include "auth/jwt_caller.h"

struct str acting_token(const struct caller *c)
{
    return str_starts(c->token, STR("tok_")) ? c->token : c->begun_by.n ? c->begun_by : c->rule.n ? c->rule : STR("");
}

enum err acting_as(struct web_request *q, struct db *db, struct str principal, struct str token, struct str via, struct fault *why)
{
    struct caller *c = arena_zero(q->arena, sizeof *c);
    enum err e = jwt_caller_beginner(db, q->arena, principal, token, c, why);
    if (e)
        return e;
    c->token = arena_str(q->arena, via);
    c->language = q->language;
    c->asked = arena_zero(q->arena, sizeof *c->asked);
    q->caller = c;
    return ERR_NONE;
}

struct web_request acting_request(const struct web_request *q, unsigned method, struct str path, struct json *body)
{
    struct web_request inner = *q;
    struct str params[4];
    size_t n;
    bool known;
    unsigned allow;
    inner.route = route_find(method, path, q->arena, params, &n, &known, &allow);
    inner.param_count = 0;
    inner.json = body;
    inner.body = STR("");
    inner.query = STR("");
    inner.audit = (struct web_audit){ 0 };
    inner.once = NULL;
    return inner;
}

void acting_forget_answer(struct reply *r)
{
    buf_clear(&r->body);
    while (r->header_count && !str_is(r->headers[r->header_count - 1][0], "Set-Cookie"))
        r->header_count--;
    r->status = 200;
}
