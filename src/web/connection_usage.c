/* web/connection_usage.c - who depends on a connection, and how much it is called. */
#include "web/connection_view.h"
#include "web/handlers.h"

#define COUNT_MOST 10000 /* counting stops here */
#define DAY_MS (24 * 3600 * 1000LL)

enum err connections_usage(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL };
    struct connection_row row;
    struct run *last;
    size_t n;
    int64_t day, month;
    wall_ms now = clock_wall();
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = connection_seen(q, q->db, q->params[0], &row, why)) ||
        (e = run_count(q->db, row.id, now - DAY_MS, COUNT_MOST, &day, why)) ||
        (e = run_count(q->db, row.id, now - 30 * DAY_MS, COUNT_MOST, &month, why)) ||
        (e = run_list(q->db, q->arena, &(struct run_filter){ .connection = row.id, .limit = 1 }, &last, &n, why)))
        return e;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_i64(&o, "used_by", 0);
    json_key(&o, "automations");
    json_open(&o, '[');
    json_close(&o, ']');
    json_key(&o, "runs");
    json_open(&o, '{');
    json_member_i64(&o, "last_day", day);
    json_member_i64(&o, "last_30_days", month);
    json_member_i64(&o, "counted_to", COUNT_MOST);
    json_member_time(&o, "last_at", n ? last[0].started : 0);
    json_close(&o, '}');
    json_close(&o, '}');
    return ERR_NONE;
}
