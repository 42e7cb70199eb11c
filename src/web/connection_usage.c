/* web/connection_usage.c - who depends on a connection, and how much it is called: what to read before one changes or deletes it.
 */
#include "access/rights.h"
#include "web/connection_view.h"
#include "web/dependants.h"
#include "web/handlers.h"
#include "web/principal.h"

#define COUNT_MOST 10000 /* counting stops here */
#define CALLS_READ 1000  /* the newest, of which the callers are counted */
#define CALLERS_MOST 50
#define DAY_MS (24 * 3600 * 1000LL)

struct tally {
    struct str caller;
    int64_t calls;
    wall_ms last;
};

/* Newest first, so that the first one of a caller is its last. */
static size_t count_callers(const struct run *runs, size_t n, struct tally out[CALLERS_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct str caller = str_of(runs[i].caller);
        size_t at = 0;
        while (at < count && !str_eq(out[at].caller, caller))
            at++;
        if (at == CALLERS_MOST)
            continue;
        if (at == count)
            out[count++] = (struct tally){ caller, 0, runs[i].started };
        out[at].calls++;
    }
    return count;
}

static void write_callers(struct web_request *q, struct json_out *o, const struct run *runs, size_t n, bool names)
{
    struct tally tallies[CALLERS_MOST];
    size_t count = count_callers(runs, n, tallies);
    json_key(o, "callers");
    json_open(o, '[');
    for (size_t i = 0; i < count; i++) {
        json_open(o, '{');
        json_member_str(o, "id", names ? tallies[i].caller : STR_NONE);
        json_member_str(o, "name", names ? principal_name(q->db, q->arena, tallies[i].caller) : STR_NONE);
        json_member_i64(o, "calls", tallies[i].calls);
        json_member_time(o, "last_at", tallies[i].last);
        json_close(o, '}');
    }
    json_close(o, ']');
}

enum err connections_usage(struct web_request *q, struct reply *r, struct fault *why)
{
    static const char *const allowed[] = { "folder", NULL };
    struct connection_row row;
    struct dependants dependants;
    struct rights rights;
    struct run *runs;
    size_t n;
    int64_t day, month;
    wall_ms now = clock_wall();
    enum err e;
    if ((e = web_only_query(q, allowed, why)) || (e = connection_seen(q, q->db, q->params[0], &row, why)) ||
        (e = rights_on_connection(q->db, q->arena, q->caller, row.id, row.folder, &rights, why)) ||
        (e = dependants_find(q->db, q->arena, row.id, &dependants, why)) ||
        (e = run_count(q->db, row.id, now - DAY_MS, COUNT_MOST, &day, why)) ||
        (e = run_count(q->db, row.id, now - 30 * DAY_MS, COUNT_MOST, &month, why)) ||
        (e = run_list(q->db, q->arena, &(struct run_filter){ .connection = row.id, .limit = CALLS_READ }, &runs, &n, why)))
        return e;
    bool names = rights.mask & RIGHT_BIT(RIGHT_EDIT);
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_i64(&o, "used_by", (int64_t)dependants.count);
    json_member_bool(&o, "default", row.is_default);
    dependants_write(&o, &dependants, names);
    json_key(&o, "automations");
    json_open(&o, '[');
    json_close(&o, ']');
    json_key(&o, "runs");
    json_open(&o, '{');
    json_member_i64(&o, "last_day", day);
    json_member_i64(&o, "last_30_days", month);
    json_member_i64(&o, "counted_to", COUNT_MOST);
    json_member_time(&o, "last_at", n ? runs[0].started : 0);
    json_close(&o, '}');
    write_callers(q, &o, runs, n, names);
    json_member_i64(&o, "callers_of_calls", (int64_t)n);
    json_close(&o, '}');
    return ERR_NONE;
}
