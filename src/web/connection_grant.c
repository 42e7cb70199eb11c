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

enum err connections_renew(struct web_request *q, struct reply *r, struct fault *why)
{
    struct connection_row row;
    struct grant g;
    enum err e;
    if ((e = web_only_query(q, object_query, why)) || (e = connection_need(q, q->db, q->params[0], RIGHT_USE, &row, why)) ||
        (e = find(q, &row, &g, why)))
        return e;
    connection_audit(q, &row);
    if ((e = renewals_wait(q->hub->renewals, row.id, g.generation, RENEWAL_ASKED, RENEW_MS, why)))
        return e;
    return write_reply(q, r, &row, why);
}
