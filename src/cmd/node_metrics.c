#include "cmd/node_inside.h"

#include "auth/renewal.h"

static void metric(struct buf *out, const char *name, const char *kind, const char *help, uint64_t value)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, kind, name, (unsigned long long)value);
}

static void metric_i64(struct buf *out, const char *name, const char *kind, const char *help, int64_t value)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", name, help, name, kind, name, (long long)value);
}

/* Counters of other threads: a metric may be a moment old. */
void node_metrics(struct hub *h, struct buf *out)
{
    struct node *n = h->metrics_context;
    uint64_t calls = 0, failures = 0, refusals = 0, accepted = 0, requests = 0, clients = 0;
    struct upstream_counts u = { 0 };
    for (int i = 0; i < n->desk_count; i++) {
        const struct desk *d = &n->desks[i];
        struct upstream_counts c = upstreams_counts(d->upstreams);
        calls += atomic_load_explicit(&d->board->calls, memory_order_relaxed);
        failures += atomic_load_explicit(&d->board->failures, memory_order_relaxed);
        refusals += atomic_load_explicit(&d->board->refusals, memory_order_relaxed);
        accepted += server_accepted(d->server);
        requests += server_requests(d->server);
        clients += (uint64_t)server_clients(d->server);
        u.opened += c.opened;
        u.reused += c.reused;
        u.retried += c.retried;
        u.idle += c.idle;
        u.busy += c.busy;
    }
    metric(out, "raccord_calls_total", "counter", "Calls to providers, refused ones included.", calls);
    metric(out, "raccord_calls_failed_total", "counter", "Calls that got no complete answer.", failures);
    metric(out, "raccord_calls_refused_total", "counter", "Calls that a rule of the hub refused.", refusals);
    metric(out, "raccord_runs_lost_total", "counter", "Run records that could not be kept.", switchboard_lost(h->switchboard));
    metric(out, "raccord_clients_accepted_total", "counter", "Client connections accepted.", accepted);
    metric(out, "raccord_requests_total", "counter", "Requests read.", requests);
    metric(out, "raccord_clients", "gauge", "Open client connections.", clients);
    metric(out, "raccord_upstreams_opened_total", "counter", "Connections opened to providers.", u.opened);
    metric(out, "raccord_upstreams_reused_total", "counter", "Requests on a kept connection.", u.reused);
    metric(out, "raccord_upstreams_retried_total", "counter", "Requests sent again because a kept connection had died.", u.retried);
    metric(out, "raccord_upstreams_idle", "gauge", "Kept connections without a request.", (uint64_t)u.idle);
    metric(out, "raccord_upstreams_busy", "gauge", "Connections to providers in use.", (uint64_t)u.busy);
    struct circuit_counts down = circuits_counts(n->circuits, clock_mono().ms);
    metric(out, "raccord_circuits_open", "gauge", "Connections whose provider is left alone for a while.", (uint64_t)down.open);
    metric(out, "raccord_circuits_opened_total", "counter", "Times that a connection's provider was found to be down.",
           down.opened);
    metric(out, "raccord_circuit_refused_total", "counter", "Calls refused meanwhile.", down.refused);
    const struct sign_in_counts *s = &h->sign_ins;
    metric(out, "raccord_sign_ins_total", "counter", "Passwords, codes and links that were right.", atomic_load(&s->right));
    metric(out, "raccord_sign_in_failures_total", "counter", "Passwords, codes and links that were wrong.", atomic_load(&s->wrong));
    metric(out, "raccord_sign_in_refused_total", "counter", "Attempts after too many failures.", atomic_load(&s->refused));
    metric(out, "raccord_sign_in_alarms_total", "counter", "Times that failures piled up over all accounts.",
           atomic_load(&s->alarms));
    metric(out, "raccord_audit_alarm", "gauge", "1: the audit log is not what its exported heads say.",
           atomic_load(&h->audit_alarm) != AUDIT_SOUND);
    struct intents_state sinks = { 0 };
    if (h->intents)
        sinks = intents_state(h->intents);
    sinks.chain_lost |= atomic_load(&h->audit_database_lost);
    metric(out, "raccord_audit_sinks_lost", "gauge", "Of the places where calls are recorded before they are made.",
           (uint64_t)sinks.file_lost + sinks.chain_lost + sinks.stuck);
    metric(out, "raccord_audit_heads_failed", "gauge", "1: the audit log's head cannot be exported.", atomic_load(&h->audit_mute));
    if (h->renewals)
        renewals_metrics(h->renewals, out);
    metric(out, "raccord_workers_queued", "gauge", "Requests waiting for a worker.", (uint64_t)workers_queued(n->workers));
    if (n->listener.context)
        metric_i64(out, "raccord_listener_certificate_expiry_seconds", "gauge",
                   "How long the certificate of the listener still lasts.",
                   (tls_server_not_after(n->listener.context) - clock_wall()) / 1000);
    metric(out, "raccord_unlocked_pages", "gauge", "Pages of secrets that could not be locked in memory.", secret_unlocked_pages());
}
