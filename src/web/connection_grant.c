/* web/connection_grant.c - what a connection was granted, the timeline of its renewals, and a renewal that somebody asks for.
 * Tokens are in no answer. */
#include "auth/grant.h"
#include "auth/obtain.h"
#include "auth/renewal.h"
#include "call/switchboard.h"
#include "web/connection_oauth.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"
#include "web/page.h"
#include "web/policy_check.h"

#define RENEW_MS 40000

static const char *const object_query[] = { "folder", NULL };

static void write_grant(struct arena *a, struct json_out *o, const struct grant *g)
{
    json_member_str(o, "state", str_of(grant_state_name(g->state)));
    json_member_str(o, "reason", g->reason.n ? g->reason : STR_NONE);
    json_member_i64(o, "generation", g->generation);
    json_member_time(o, "obtained_at", g->obtained);
    json_member_time(o, "expires_at", g->expires);
    json_member_time(o, "renews_at", g->next);
    json_member_bool(o, "refreshable", g->refreshable);
    json_member_i64(o, "failures", g->failures);
    json_member_bool(o, "from_backup", g->from_backup);
    connection_scopes_write(o, g->requested, g->granted, connection_scopes_missing(a, g->requested, g->granted));
}

/* A connection whose auth type has no grants has none; one that waits for its first has an empty one. */
static enum err find(struct web_request *q, const struct connection_row *row, struct grant *out, struct fault *why)
{
    if (!obtain_find(row->auth_type))
        return fault(why, ERR_NOT_FOUND, STR("grant"), "auth type %.*s", STR_ARG(row->auth_type));
    enum err e = grant_get(q->db, q->arena, row->id, out, why);
    if (e == ERR_NOT_FOUND)
        *out = (struct grant){ .connection = row->id };
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

/* Who would notice, when a person has to act (OAU-25). */
static enum err write_reply(struct web_request *q, struct reply *r, const struct connection_row *row, struct fault *why)
{
    struct grant g;
    struct dependants d = { 0 };
    enum err e = find(q, row, &g, why);
    if (!e && g.state == GRANT_OVER)
        e = dependants_find(q->db, q->arena, row->id, &d, why);
    if (e)
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    write_grant(q->arena, &o, &g);
    if (g.state == GRANT_OVER)
        dependants_write(&o, &d, false);
    json_close(&o, '}');
    return ERR_NONE;
}

enum err connections_grant(struct web_request *q, struct reply *r, struct fault *why)
{
    struct connection_row row;
    enum err e;
    if ((e = web_only_query(q, object_query, why)) || (e = connection_seen(q, q->db, q->params[0], &row, why)))
        return e;
    return write_reply(q, r, &row, why);
}

enum err connections_grant_events(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", "limit", "cursor", NULL };
    struct connection_row row;
    struct grant_event *events;
    struct page page;
    uint64_t before = 0;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = connection_seen(q, q->db, q->params[0], &row, why)))
        return e;
    if (page.after.p && (!str_u64(page.after, &before) || before > INT64_MAX))
        return fault(why, ERR_FIELD_INVALID, STR("cursor: take it from next_cursor as it is"), "cursor");
    if ((e = grant_events(q->db, q->arena, row.id, (int64_t)before, page.limit + 1, &events, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++) {
        json_open(&o, '{');
        json_member_i64(&o, "number", events[i].number);
        json_member_time(&o, "at", events[i].at);
        json_member_str(&o, "what", events[i].what);
        json_member_str(&o, "cause", events[i].cause.n ? events[i].cause : STR_NONE);
        json_member_str(&o, "reason", events[i].reason.n ? events[i].reason : STR_NONE);
        json_member_i64(&o, "generation", events[i].generation);
        json_member_str(&o, "node", events[i].node);
        json_member_i64(&o, "took_ms", events[i].took_ms);
        json_close(&o, '}');
    }
    page_close(&o, q->arena, more ? str_fmt(q->arena, "%lld", (long long)events[n - 1].number) : STR_NONE);
    return ERR_NONE;
}

/* ---- all of them: what needs somebody ---- */

/* What whoever looks after the hub can do about one, in a word for programs and a sentence. */
static const struct advice {
    const char *action, *say[2];
} advice[] = {
    { "none", { "Nothing: it renews itself.", "Rien : elle se renouvelle d'elle-même." } },
    { "renew",
      { "Renew it now: where its tokens were renewed after the backup, the provider refuses, and it is to be authorized again.",
        "Renouvelez-la maintenant : si ses jetons ont été renouvelés après la sauvegarde, le fournisseur refuse, et il faut "
        "l'autoriser de nouveau." } },
    { "wait",
      { "Nothing until it ends; then somebody authorizes it again.",
        "Rien jusqu'à son terme ; quelqu'un l'autorise ensuite de nouveau." } },
    { "client",
      { "Change its OAuth client, or what the connection asks for.",
        "Modifiez son client OAuth, ou ce que la connexion demande." } },
    { "credentials", { "Enter its credentials again.", "Saisissez de nouveau ses identifiants." } },
    { "authorize", { "Somebody authorizes it again.", "Quelqu'un l'autorise de nouveau." } },
};
enum { ADVICE_NONE, ADVICE_RENEW, ADVICE_WAIT, ADVICE_CLIENT, ADVICE_CREDENTIALS, ADVICE_AUTHORIZE };

static const struct advice *advise(const struct grant_listed *l)
{
    const struct obtain *how = obtain_find(l->auth_type);
    bool by_person = how && how->by_person;
    if (l->grant.state == GRANT_OVER)
        return &advice[by_person ? ADVICE_AUTHORIZE : ADVICE_CREDENTIALS];
    if (l->grant.state == GRANT_PAUSED)
        return &advice[ADVICE_CLIENT];
    if (by_person && !l->grant.generation)
        return &advice[ADVICE_AUTHORIZE];
    if (by_person && !l->grant.refreshable)
        return &advice[ADVICE_WAIT];
    return &advice[l->grant.from_backup && l->grant.refreshable ? ADVICE_RENEW : ADVICE_NONE];
}

static void write_listed(struct web_request *q, struct json_out *o, const struct grant_listed *l)
{
    const struct advice *what = advise(l);
    json_open(o, '{');
    json_key(o, "connection");
    json_open(o, '{');
    json_member_str(o, "id", l->grant.connection);
    json_member_str(o, "key", l->key);
    json_member_str(o, "name", l->name);
    json_member_str(o, "folder", l->folder);
    json_member_str(o, "auth_type", l->auth_type);
    json_close(o, '}');
    write_grant(q->arena, o, &l->grant);
    json_member_str(o, "action", str_of(what->action));
    json_member_str(o, "what_to_do", str_of(what->say[q->language]));
    json_close(o, '}');
}

enum err grants_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "state", "from_backup", "limit", "cursor", NULL };
    static const char *const states[] = { "none", "good", "failing", "paused", "over" };
    struct str state = web_query(q, "state");
    struct grant_filter f = { .state = NULL };
    struct grant_listed *listed;
    struct page page;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) ||
        (e = web_flag(q, "from_backup", &f.restored, why)))
        return e;
    for (size_t i = 0; i < COUNT(states); i++)
        if (str_is(state, states[i]))
            f.state = states[i];
    if (state.p && !f.state)
        return fault(why, ERR_FIELD_INVALID, STR("state: none, good, failing, paused, over"), "query");
    f.after = page.after;
    f.limit = page.limit + 1;
    if ((e = grant_list(q->db, q->arena, &f, &listed, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        write_listed(q, &o, &listed[i]);
    page_close(&o, q->arena, more ? listed[n - 1].grant.connection : STR_NONE);
    return ERR_NONE;
}

enum err connections_renew(struct web_request *q, struct reply *r, struct fault *why)
{
    struct connection_row row;
    struct grant g;
    enum err e;
    if ((e = web_only_query(q, object_query, why)) || (e = connection_need(q, q->db, q->params[0], RIGHT_USE, &row, why)) ||
        (e = find(q, &row, &g, why)) || (e = policy_check_authorize(q, q->db, &row, why)))
        return e;
    connection_audit(q, &row);
    if ((e = renewals_wait(q->hub->renewals, row.id, g.generation, RENEWAL_ASKED, RENEW_MS, why)))
        return e;
    return write_reply(q, r, &row, why);
}
