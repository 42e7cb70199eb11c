#include "web/acting.h"

enum err acting_as(struct web_request *q, struct db *db, struct str principal, struct str via, struct fault *why)
{
    struct caller *c = arena_zero(q->arena, sizeof *c);
    bool usable = false;
    struct query *s = query_begin(db, "SELECT name, role FROM principal WHERE id = $1 AND disabled = 0 AND kind <> 'group'");
    query_text(s, principal);
    if (query_next(s)) {
        c->name = query_get_text(s, 0, q->arena);
        usable = role_parse(query_get_text(s, 1, q->arena), &c->role);
    }
    enum err e = query_end(s, why);
    if (e || !usable)
        return e ? e : fault(why, ERR_AUTHORIZATION_OVER, STR(""), "who began it is gone or disabled");
    c->principal = arena_str(q->arena, principal);
    c->token = arena_str(q->arena, via);
    c->language = q->language;
    c->asked = arena_zero(q->arena, sizeof *c->asked);
    q->caller = c;
    return ERR_NONE;
}
