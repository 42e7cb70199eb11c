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
