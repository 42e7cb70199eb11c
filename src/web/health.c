/* web/health.c - for load balancers and Prometheus. */
#include "call/intent.h"
#include "vault/connection.h"
#include "web/certificates.h"
#include "web/handlers.h"

enum err healthz(struct web_request *q, struct reply *r, struct fault *why)
{
    (void)q;
    (void)why;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "status", STR("ok"));
    json_close(&o, '}');
    return ERR_NONE;
}

static void write_reason(struct json_out *o, const struct fault *f, enum language lang)
{
    char text[512];
    json_open(o, '{');
    json_member_str(o, "code", str_of(err_row(f->err)->code));
    json_member_str(o, "detail", str_of(fault_say(f, lang, text, sizeof text)));
    json_close(o, '}');
}

enum err readyz(struct web_request *q, struct reply *r, struct fault *why)
{
    (void)why;
    struct fault store = { 0 }, stopping = { 0 }, sealed = { 0 };
    bool no_store = store_ready(q->hub->store, &store) != ERR_NONE;
    bool ends = atomic_load(&q->hub->stopping);
    bool shut = atomic_load(&q->hub->sealed);
    if (ends)
        fault(&stopping, ERR_STOPPING, STR(""), "stopping");
    if (shut)
        fault(&sealed, ERR_SEALED, STR(""), "sealed");
    struct fault tampered = { 0 }, mute = { 0 };
    bool alarm = atomic_load(&q->hub->audit_alarm) != AUDIT_SOUND, silent = atomic_load(&q->hub->audit_mute);
    if (alarm)
        fault(&tampered, ERR_AUDIT_TAMPERED, STR(""), "audit");
    struct intents_state sinks = { 0 };
    if (q->hub->intents)
        sinks = intents_state(q->hub->intents);
    silent |= (no_store && q->hub->intents) || sinks.file_lost || sinks.chain_lost || sinks.stuck;
    if (silent)
        fault(&mute, ERR_AUDIT_UNAVAILABLE, STR(""), "audit");
    /* A log that was tampered with is a reason to look, not to stop serving: reasons may stand beside "ready". */
    r->status = no_store || ends || shut || sinks.mute ? 503 : 200;
    struct json_out o = json_out(&r->body);
    json_open(&o, '{');
    json_member_str(&o, "status", r->status == 200 ? STR("ready") : STR("unavailable"));
    json_key(&o, "reasons");
    json_open(&o, '[');
    if (no_store)
        write_reason(&o, &store, q->language);
    if (ends)
        write_reason(&o, &stopping, q->language);
    if (shut)
        write_reason(&o, &sealed, q->language);
    if (alarm)
        write_reason(&o, &tampered, q->language);
    if (silent)
        write_reason(&o, &mute, q->language);
    json_close(&o, ']');
    json_key(&o, "exceptions");
    json_open(&o, '[');
    for (size_t i = 0; i < q->hub->exception_count; i++)
        json_put_str(&o, str_of(q->hub->exceptions[i]));
    json_close(&o, ']');
    json_close(&o, '}');
    return ERR_NONE;
}

static enum err count_connections(struct web_request *q, int64_t counts[CONNECTION_DELETED + 1], struct fault *why)
{
    struct query *query = query_begin(q->db, "SELECT state, count(*) FROM connection WHERE deleted_ms = 0 GROUP BY state");
    while (query_next(query)) {
        enum connection_state state;
        if (connection_state_parse(query_get_text(query, 0, q->arena), &state))
            counts[state] = query_get_i64(query, 1);
    }
    enum err e = query_end(query, why);
    /* By two indexes, each alone; together it would be a look at every row. */
    return e ? e : query_number(q->db, "SELECT count(*) FROM connection WHERE deleted_ms > 0", &counts[CONNECTION_DELETED], why);
}

enum err metrics_get(struct web_request *q, struct reply *r, struct fault *why)
{
    int64_t counts[CONNECTION_DELETED + 1] = { 0 };
    enum err e = count_connections(q, counts, why);
    if (e)
        return e;
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    buf_add(&r->body, STR("# HELP raccord_build_info The running version.\n# TYPE raccord_build_info gauge\n"
                          "raccord_build_info{version=\"" RACCORD_VERSION "\"} 1\n"
                          "# HELP raccord_uptime_seconds Since this process started.\n# TYPE raccord_uptime_seconds gauge\n"));
    buf_fmt(&r->body, "raccord_uptime_seconds %.3f\n", (double)(clock_wall() - q->hub->started) / 1000);
    buf_add(&r->body, STR("# HELP raccord_connections Stored connections by state.\n# TYPE raccord_connections gauge\n"));
    for (enum connection_state s = 0; s <= CONNECTION_DELETED; s++)
        buf_fmt(&r->body, "raccord_connections{state=\"%s\"} %lld\n", connection_state_name(s), (long long)counts[s]);
    buf_fmt(&r->body,
            "# HELP raccord_unlocked_secret_pages Pages of secrets that could not be locked in memory.\n"
            "# TYPE raccord_unlocked_secret_pages gauge\nraccord_unlocked_secret_pages %zu\n", secret_unlocked_pages());
    if ((e = certificates_metrics(q, &r->body, why)))
        return e;
    if (q->hub->metrics)
        q->hub->metrics(q->hub, &r->body);
    return ERR_NONE;
}
