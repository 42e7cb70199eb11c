#include "cmd/node_inside.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "access/policy_store.h"
#include "auth/device_flow.h"
#include "auth/issuer.h"
#include "auth/oauth_profile.h"
#include "auth/renewal.h"
#include "crypto/password.h"
#include "vault/domain.h"
#include "web/idempotency.h"
#include "web/limit_hits.h"

#define LOOK_UPS_AT_ONCE "16"
#define RENEWALS_STOP_MS 60000 /* for renewals in flight to finish (requirement 19.1) */

struct hub *node_hub(struct node *n) { return &n->hub; }
struct str node_url(struct node *n) { return n->url; }
struct str node_setup_code(struct node *n) { return str_of(n->setup_code); }

static void *desk_main(void *context)
{
    loop_run(((struct desk *)context)->loop);
    return NULL;
}

static void keys_wake(struct hub *h)
{
    turning_wake(list_entry(h, struct node, hub)->turning);
}

static enum err start_threads(struct node *n, struct fault *why)
{
    enum err e = turning_start(n->hub.store, n->hub.keyring, n->hub.key_policy, &n->turning, why);
    if (e)
        return e;
    n->hub.keys_wake = keys_wake;
    for (int i = 0; i < n->desk_count; i++) {
        struct desk *d = &n->desks[i];
        if (pthread_create(&d->thread, NULL, desk_main, d))
            return fault(why, ERR_INTERNAL, STR(""), "cannot start a loop's thread");
        pthread_setname_np(d->thread, "loop");
        d->running = true;
    }
    if ((e = other_nodes_start(&n->hub, &n->others, why)))
        return e;
    e = prober_start(&n->hub, n->config->probes.interval, &n->hub.prober, why);
    atomic_store(&n->prober, n->hub.prober);
    if (e)
        return e;
    return node_upkeep_start(n, why);
}

static struct certificate_rules certificate_rules_of(const struct config *c)
{
    return (struct certificate_rules){
        .organization = c->client_certificates.organization, .kind = (enum pair_kind)c->client_certificates.key,
        .valid_ms = c->client_certificates.valid, .authority_ms = c->client_certificates.authority_valid,
        .publish_ms = c->client_certificates.publish_before, .activate_ms = c->client_certificates.activate_before,
        .keep_ms = c->client_certificates.keep_retired,
    };
}

static void raise_descriptor_limit(void)
{
    struct rlimit r;
    if (!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

enum err node_start(struct arena *boot, struct config *config, const struct node_extra *extra, struct node **out,
                    struct str *created_key, struct fault *why)
{
    struct node *n = mem_zero(sizeof *n);
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk */
    /* libuv's pool only looks names up here: a few slow zones must not hold up the rest. Read at its first use. */
    setenv("UV_THREADPOOL_SIZE", LOOK_UPS_AT_ONCE, 0);
    n->config = config;
    n->hub.started = clock_wall();
    n->hub.header_digits_ok = config->header_names.allow_digits;
    n->hub.second_factor = (enum second_factor_policy)config->sign_in.require_second_factor;
    password_cost((size_t)config->sign_in.password_memory, (unsigned)config->sign_in.password_passes);
    n->hub.call_response_max = config->limits.call_response;
    n->certificates = certificate_rules_of(config);
    n->hub.certificates = &n->certificates;
    n->hub.idempotency = idempotency_new();
    n->hub.retention.deleted_connections = config->retention.deleted_connections;
    n->hub.retention.deleted_secrets = config->retention.deleted_secrets;
    n->hub.key_policy = (struct rotation_policy){ config->keys.max_age, config->keys.max_uses, config->keys.rate };
    n->hub.metrics = node_metrics;
    n->hub.metrics_context = n;
    node_upkeep_open(n);
    *created_key = STR("");
    if (routes_check())
        bug("route without a right or a handler: %s", routes_check()->path);
    enum err e = node_open(n, config, extra, boot, created_key, why);
    if (!e)
        e = start_threads(n, why);
    if (e) {
        node_stop(n);
        return e;
    }
    *out = n;
    return ERR_NONE;
}

bool node_reload(struct node *n)
{
    listener_tls_reload(&n->listener);
    return n->listener.context;
}

/* ---- stopping ---- */

static void server_left(void *context) { atomic_fetch_sub(&((struct node *)context)->draining, 1); }

static void drain_on_loop(struct loop_job *job)
{
    struct desk *d = list_entry(job, struct desk, job);
    if (d == &d->node->desks[0] && d->node->metrics_server)
        server_drain(d->node->metrics_server, NULL, NULL);
    server_drain(d->server, server_left, d->node);
}

void node_drain(struct node *n)
{
    atomic_store(&n->hub.stopping, true);
    atomic_store(&n->draining, n->desk_count);
    for (int i = 0; i < n->desk_count; i++) {
        n->desks[i].job.do_it = drain_on_loop;
        loop_post(n->desks[i].loop, &n->desks[i].job);
    }
}

bool node_drained(struct node *n) { return atomic_load(&n->draining) == 0; }

static void stop_on_loop(struct loop_job *job)
{
    struct desk *d = list_entry(job, struct desk, job);
    if (d == &d->node->desks[0])
        server_free(d->node->metrics_server);
    server_free(d->server);
    d->server = NULL;
    recording_flush(&d->board->recording);
    loop_stop(d->loop);
}

static void stop_desk(struct desk *d)
{
    if (d->running) {
        d->job.do_it = stop_on_loop;
        loop_post(d->loop, &d->job);
        pthread_join(d->thread, NULL);
    }
    server_free(d->server);
    proxy_free(d->proxy);
    upstreams_free(d->upstreams);
    loop_free(d->loop);
}

void node_stop(struct node *n)
{
    if (!n)
        return;
    if (n->sealing_runs)
        pthread_join(n->sealing, NULL);
    node_upkeep_stop(n);
    other_nodes_stop(n->others);
    prober_stop(n->hub.prober);
    /* Workers first: what they have in hand may wait for a loop. */
    workers_free(n->workers);
    renewals_stop(n->hub.renewals, RENEWALS_STOP_MS); /* before the loops, which its waiters live on */
    device_flows_stop(n->hub.devices);
    turning_stop(n->turning);
    intents_stop(n->hub.intents); /* what waits comes back to its loop while that runs */
    for (int i = 0; i < n->desk_count; i++)
        stop_desk(&n->desks[i]);
    switchboard_free(n->hub.switchboard);
    circuits_free(n->circuits);
    renewals_free(n->hub.renewals);
    prober_free(n->hub.prober);
    audit_watch_stop(n->audit);
    intents_free(n->hub.intents);
    oauth_profile_discover_with(NULL);
    issuers_free(n->hub.issuers);
    policy_book_free(n->hub.policies);
    node_upkeep_close(n);
    limit_hits_free(n->hub.limit_hits);
    keyring_close(n->hub.keyring);
    store_close(n->hub.store);
    idempotency_free(n->hub.idempotency);
    tls_context_free(n->client_tls);
    listener_tls_close(&n->listener);
    domain_suffixes_end();
    free(n);
}
