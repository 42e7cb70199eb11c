/* auth/renewal_introspect.c - is a token that has not ended still good, by its server's own word? Where a connector wants to be
 * asked so (setting `introspect`), before its health is looked at. RFC 7662; requirement 9.9. */
#include "auth/client_tls.h"
#include "auth/introspection.h"
#include "auth/renewal_inside.h"

#define ASK_MS 5000

struct question {
    struct renewals *r;
    struct arena *arena;
    enum introspected said;
};

static enum err send(struct question *x, const struct oauth_profile *p, struct tls_context *tls, struct secret token,
                     struct fetch_answer *answer, struct fault *why)
{
    struct token_request q = { 0 };
    enum err e = introspection_build(x->arena, p, token, STR("access_token"), clock_wall(), &q, why);
    q.http.egress = x->r->config.egress;
    q.http.tls = tls ? tls : x->r->config.tls;
    q.http.timeout_ms = ASK_MS;
    if (!e)
        e = fetch(x->arena, &q.http, answer, why);
    token_request_end(&q);
    return e;
}

/* During rotation by what proves the client next, as at the token endpoint (OAU-04). */
static enum err send_either(struct question *x, struct db *db, const struct renewal_view *view, struct secret token,
                            struct fetch_answer *answer, struct fault *why)
{
    const struct renewals_config *c = &x->r->config;
    struct tls_context *tls = NULL, *next_tls = NULL;
    struct oauth_profile next;
    enum err e = client_tls(c->tls, db, c->keyring, x->arena, view->row, view->profile, &tls, why);
    if (!e)
        e = send(x, view->profile, tls, token, answer, why);
    if (!e && token_answer_refuses_client(answer) && oauth_profile_next(view->profile, &next) &&
        !(e = client_tls_next(c->tls, db, c->keyring, x->arena, view->row, view->profile, &next_tls, why)))
        e = send(x, &next, next_tls ? next_tls : tls, token, answer, why);
    tls_context_free(tls);
    tls_context_free(next_tls);
    return e;
}

static enum err ask(void *question, const struct renewal_view *view, struct fault *why)
{
    struct question *x = question;
    struct fetch_answer answer;
    const struct grant_value *token = NULL;
    wall_ms expires;
    for (size_t i = 0; i < view->value_count; i++)
        if (str_is(view->values[i].name, "access_token"))
            token = &view->values[i];
    struct db *db = token && view->profile ? store_reader(x->r->config.store, why) : NULL;
    if (!db)
        return ERR_NONE;
    enum err e = send_either(x, db, view, token->value, &answer, why);
    if (!e)
        x->said = introspection_read(&answer, &expires);
    return e;
}

struct death { struct str connection; int64_t generation; const char *node; };

/* It has ended, whatever its answer said at first. Not if it was renewed meanwhile. */
static enum err bury(struct db *db, void *death, struct fault *why)
{
    const struct death *d = death;
    wall_ms now = clock_steady();
    struct query *q = query_begin(db, "UPDATE connection_grant SET expires_ms = $1, next_ms = $1 WHERE connection_id = $2"
                                      " AND generation = $3");
    query_i64(q, now - 1);
    query_text(q, d->connection);
    query_i64(q, d->generation);
    enum err e = query_end(q, why);
    if (e || !db_changes(db))
        return e;
    struct grant_event event = { .what = STR("inactive"), .cause = STR("introspected"), .reason = STR(""), .node = str_of(d->node),
                                 .generation = d->generation };
    return grant_event_add(db, d->connection, &event, why);
}

bool renewals_introspect(struct renewals *r, const struct connection_row *row)
{
    const struct json *options = r->config.options(r->config.context, row->connector, row->auth_type);
    if (!json_bool(json_get(options, "oauth"), "introspect", false))
        return false;
    AUTO_ARENA a = arena_new(8 * 1024);
    struct question x = { .r = r, .arena = a, .said = INTROSPECTED_UNKNOWN };
    struct fault why = { 0 };
    struct grant g;
    struct db *db = store_reader(r->config.store, &why);
    enum err e = db ? grant_get(db, a, row->id, &g, &why) : ERR_STORE;
    if (!e)
        e = renewal_view(r, row->id, ask, &x, &why);
    if (!e && x.said != INTROSPECTED_DEAD)
        return false;
    struct death d = { row->id, e ? 0 : g.generation, arena_cstr(a, r->config.node) };
    if (!e)
        e = store_write(r->config.store, bury, &d, &why);
    if (e) {
        renewal_report(r, "whether a token is still good could not be asked", &why);
        return false;
    }
    r->config.changed(r->config.context, row->id);
    /* Another one, or the truth about the grant: what came of it is written down, and seen by who goes on. */
    (void)!renewals_wait(r, row->id, g.generation, RENEWAL_EXPIRED, GRANT_CALL_MS, &why);
    return true;
}
