/* web/runs.c - what was called, by whom, and how it ended. One sees one's own runs and those of connections in one's folders. */
#include "call/run.h"

#include "access/rights.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/page.h"

/* A run outlives its connection: an id that is gone still finds one's own. */
static enum err read_connection(struct web_request *q, struct str *out, struct fault *why)
{
    struct connection_row row;
    struct str wanted = web_query(q, "connection");
    *out = STR_NONE;
    if (!wanted.p)
        return ERR_NONE;
    enum err e = connection_seen(q, q->db, wanted, &row, why);
    if (e == ERR_CONNECTION_NOT_FOUND && str_starts(wanted, STR("con_"))) {
        *out = wanted;
        return ERR_NONE;
    }
    if (!e)
        *out = row.id;
    return e;
}

/* One's own, wherever they went; but a token sees no further than its folders. */
static bool sees_own(const struct caller *c) { return !c->narrow.lists[NARROW_FOLDER].set; }

static enum err read_filter(struct web_request *q, struct run_filter *f, struct fault *why)
{
    struct str outcome = web_query(q, "outcome"), since = web_query(q, "since");
    f->caller = web_query(q, "caller");
    f->action = web_query(q, "action");
    f->automation = web_query(q, "automation");
    f->by_outcome = outcome.p;
    if (outcome.p && !run_outcome_parse(outcome, &f->outcome))
        return fault(why, ERR_FIELD_INVALID, STR("outcome: success, provider_error, failed, refused, cancelled"),
                     "unknown outcome");
    if (since.p && !clock_parse(since, &f->since))
        return fault(why, ERR_FIELD_INVALID, STR("since: a time as 2027-01-31T00:00:00Z"), "since of %zu bytes", since.n);
    struct folder_scope *seen = arena_zero(q->arena, sizeof *seen);
    enum err e = rights_visible(q->db, q->arena, q->caller, seen, why);
    if (e)
        return e;
    f->seen = seen;
    f->own = sees_own(q->caller) ? q->caller->principal : STR_NONE;
    f->limited = caller_limited(q->caller);
    f->connections = caller_connections(q->caller)->at;
    f->connection_count = caller_connections(q->caller)->count;
    return read_connection(q, &f->connection, why);
}

enum err runs_list(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "connection", "folder", "action", "automation", "caller",
                                           "outcome",    "since",  "limit",  "cursor",     NULL };
    struct run_filter f = { 0 };
    struct page page;
    struct run *runs;
    size_t n;
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = page_read(q, &page, why)) || (e = read_filter(q, &f, why)))
        return e;
    f.before = page.after;
    f.limit = page.limit + 1;
    if ((e = run_list(q->db, q->arena, &f, &runs, &n, why)))
        return e;
    bool more = n > (size_t)page.limit;
    n -= more;
    struct json_out o = page_open(r);
    for (size_t i = 0; i < n; i++)
        run_write(&o, &runs[i]);
    page_close(&o, q->arena, more ? str_of(runs[n - 1].id) : STR_NONE);
    return ERR_NONE;
}

/* One's own, unless the token leaves its connection out; and those of connections that one sees. */
static enum err may_see(struct web_request *q, const struct run *run, struct fault *why)
{
    struct connection_row row;
    struct str connection = str_of(run->connection);
    caller_asked(q->caller, RIGHT_VIEW);
    if (sees_own(q->caller) && str_eq(str_of(run->caller), q->caller->principal) && caller_granted(q->caller, connection))
        return ERR_NONE;
    enum err e = connection.n ? connection_get(q->db, q->arena, connection, &row, why) : ERR_CONNECTION_NOT_FOUND;
    return e ? e : rights_need_on_connection(q->db, q->arena, q->caller, row.id, row.folder, RIGHT_VIEW, why);
}

enum err runs_get(struct web_request *q, struct reply *r, struct fault *why)
{
    struct run run;
    enum err e = run_get(q->db, q->params[0], &run, why);
    if (!e)
        e = may_see(q, &run, why);
    if (e == ERR_CONNECTION_NOT_FOUND)
        return fault(why, ERR_NOT_FOUND, STR("run"), "a run that this caller may not see");
    if (e)
        return e;
    reply_etag(r, q, 1); /* a record never changes */
    struct json_out o = json_out(&r->body);
    run_write(&o, &run);
    return ERR_NONE;
}
