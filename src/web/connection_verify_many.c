/* web/connection_verify_many.c - ordering a look at many connections, and how far it is (CON-41). */
#include "access/rights.h"
#include "web/body.h"
#include "web/connection_view.h"
#include "web/handlers.h"
#include "web/probe.h"

#define PAGE 500
#define IDS_MOST 1000 /* named one by one */

struct bulk {
    struct web_request *q;
    struct str *ids;
    size_t count;
};

static enum err too_many(struct fault *why)
{
    return fault(why, ERR_LIMIT, STR("10000 connections in one bulk check"), "more than that");
}

/* Who may only look at it cannot have it called: left out of a filter's result, refused when named. */
static enum err add_if_usable(struct bulk *m, const struct connection_row *row, struct fault *why)
{
    struct rights r;
    struct web_request *q = m->q;
    enum err e = rights_on_connection(q->db, q->arena, q->caller, row->id, row->folder, &r, why);
    if (e || !(r.mask & RIGHT_BIT(RIGHT_USE)))
        return e;
    if (m->count == PROBE_BULK_MOST)
        return too_many(why);
    m->ids[m->count++] = row->id;
    return ERR_NONE;
}

static enum err read_ids(struct bulk *m, const struct json *ids, struct fault *why)
{
    struct connection_row row;
    size_t i = 0;
    if (!json_is(ids, JSON_ARRAY) || ids->count > IDS_MOST)
        return body_fault(why, ERR_FIELD_INVALID, "ids", "a list of at most 1000");
    json_each (v, ids) {
        enum err e = v->type == JSON_STRING ? connection_need(m->q, m->q->db, v->text, RIGHT_USE, &row, why)
                                            : body_fault(why, ERR_FIELD_INVALID, "ids", "texts are expected");
        if (e)
            return fault_at(why, "/ids/%zu", i);
        m->ids[m->count++] = row.id;
        i++;
    }
    return ERR_NONE;
}

static enum err read_filter(struct bulk *m, const struct json *filter, struct connection_filter *f, struct fault *why)
{
    static const char *const members[] = { "folder", "connector", "health", "tag", "search", NULL };
    struct str folder, health;
    enum err e;
    if ((e = json_only(filter, members, "/filter", why)) || (e = body_text(filter, "folder", false, 1024, &folder, why)) ||
        (e = body_text(filter, "connector", false, 128, &f->connector, why)) ||
        (e = body_text(filter, "health", false, 32, &health, why)) || (e = body_text(filter, "tag", false, 64, &f->tag, why)) ||
        (e = body_text(filter, "search", false, 256, &f->search, why)))
        return e;
    f->by_health = health.p;
    if (f->by_health && !connection_health_parse(health, &f->health))
        return body_fault(why, ERR_FIELD_INVALID, "filter", "unknown health");
    f->by_state = true;
    f->state = CONNECTION_ACTIVE;
    f->limit = PAGE;
    return connection_scope_in(m->q, m->q->db, folder, &f->scope, why);
}

static enum err find_all(struct bulk *m, const struct json *filter, struct fault *why)
{
    struct connection_filter f = { 0 };
    struct connection_row *rows;
    size_t n = 0;
    enum err e = read_filter(m, filter, &f, why);
    if (!e && caller_limited(m->q->caller))
        return fault(why, ERR_FIELD_INVALID, STR("ids: a token limited to connections names them"), "filter of a limited token");
    do {
        if (e || (e = connection_list(m->q->db, m->q->arena, &f, &rows, &n, why)))
            return e;
        for (size_t i = 0; !e && i < n; i++)
            e = add_if_usable(m, &rows[i], why);
        if (n)
            f.after = str_fmt(m->q->arena, "%lld", (long long)rows[n - 1].number);
    } while (n == PAGE);
    return e;
}

static void write_order(struct reply *r, const struct probe_order *order)
{
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "id", order->id);
    json_member_str(&o, "state", order->finished ? STR("done") : STR("running"));
    json_member_i64(&o, "total", (int64_t)order->total);
    json_member_i64(&o, "done", (int64_t)order->done);
    json_member_i64(&o, "ok", (int64_t)order->ok);
    json_member_i64(&o, "failing", (int64_t)order->failing);
    json_member_i64(&o, "reconnect_required", (int64_t)order->reconnect_required);
    json_member_i64(&o, "skipped", (int64_t)order->skipped);
    json_member_time(&o, "started_at", order->started);
    json_member_time(&o, "finished_at", order->finished);
    json_close(&o, '}');
}

enum err connections_verify_many(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_query[] = { NULL }, *const members[] = { "ids", "filter", NULL };
    const struct json *body = body_of(q), *ids = json_get(body, "ids"), *filter = json_get(body, "filter");
    struct bulk m = { .q = q, .ids = arena_array(q->arena, PROBE_BULK_MOST, sizeof *m.ids) };
    struct probe_order order;
    enum err e;
    caller_asked(q->caller, RIGHT_USE); /* of each connection, below */
    if ((e = web_only_query(q, no_query, why)) || (e = json_only(body, members, "", why)))
        return e;
    if (!ids == !filter || (filter && !json_is(filter, JSON_OBJECT)))
        return body_fault(why, ERR_FIELD_INVALID, "ids", "either ids or filter");
    if ((e = ids ? read_ids(&m, ids, why) : find_all(&m, filter, why)))
        return e;
    /* The looks come later, when the request and what is left of its token are gone. */
    if (q->caller->narrow.calls)
        return fault(why, ERR_TOKEN_NOT_GRANTED, STR("bulk checks"), "a token that is narrowed in its calls");
    if (!q->hub->prober)
        return fault(why, ERR_NOT_IMPLEMENTED, STR("bulk checks"), "no prober");
    if ((e = prober_order(q->hub->prober, q->arena, q->caller, m.ids, m.count, &order, why)))
        return e;
    r->status = 202;
    reply_header(r, "Location",
                 str_fmt(q->arena, "%.*s/api/v1/connections:verify/%.*s", STR_ARG(q->hub->public_url), STR_ARG(order.id)));
    write_order(r, &order);
    return ERR_NONE;
}

enum err connections_verify_progress(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const no_query[] = { NULL };
    struct probe_order order;
    enum err e = web_only_query(q, no_query, why);
    if (e)
        return e;
    if (!q->hub->prober)
        return fault(why, ERR_NOT_FOUND, STR("bulk check"), "no prober");
    if ((e = prober_order_get(q->hub->prober, q->arena, q->caller, q->params[0], &order, why)))
        return e;
    write_order(r, &order);
    return ERR_NONE;
}
