#include "cmd/node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/folder.h"
#include "access/policy_store.h"
#include "access/token.h"
#include "access/user.h"
#include "auth/issuer.h"
#include "auth/device_flow.h"
#include "auth/oauth_profile.h"
#include "auth/renewal.h"
#include "auth/token_answer.h"
#include "base/encode.h"
#include "base/log.h"
#include "call/run_seal.h"
#include "call/switchboard.h"
#include "cmd/certificate_watch.h"
#include "cmd/listener_tls.h"
#include "cmd/audit_watch.h"
#include "cmd/other_nodes.h"
#include "cmd/renewing.h"
#include "cmd/ring.h"
#include "cmd/turning.h"
#include "crypto/hash.h"
#include "crypto/password.h"
#include "http/server.h"
#include "http/upstream.h"
#include "proxy/proxy.h"
#include "vault/connection_words.h"
#include "vault/domain.h"
#include "vault/trash.h"
#include "web/authorize.h"
#include "web/doorman.h"
#include "web/enter.h"
#include "web/limit_hits.h"
#include "web/idempotency.h"
#include "web/policy_ages.h"
#include "web/probe.h"

#define LOOPS_MAX 64
#define KEEP_UPSTREAM_MS 55000      /* under the 60 s after which many providers close */
#define WRITE_STALL_MS 60000
#define BODY_WINDOW_MS 10000
#define BODY_RATE 500               /* bytes per second (requirement 6.3) */
#define RETRIES_MAX 2
#define LOOK_UPS_AT_ONCE "16"
#define SEAL_MOST_MS 5000            /* for what has to be written with the keys before they go */
#define UPKEEP_MS (10 * 60 * 1000)
#define RENEWALS_STOP_MS 60000       /* for renewals in flight to finish (requirement 19.1) */
#define AGES_MS (60 * 60 * 1000)             /* ... and what policies say of ages, unless they have changed */
#define LISTENER_LOOK_MS (15 * 1000)         /* how often the files of the listener are looked at */
#define LOOK_EVERY_MS (24 * 3600 * 1000)
#define PRUNE_AT_ONCE 5000
#define KEYS_AT_ONCE 500

/* What one loop thread has. */
struct desk {
    struct node *node;
    struct loop *loop;
    struct upstreams *upstreams;
    struct board *board;
    struct proxy *proxy;
    struct entrance entrance;
    struct server *server;
    pthread_t thread;
    bool running;
    struct loop_job job;
};

struct node {
    struct config *config;
    struct hub hub;
    struct tls_context *client_tls;
    struct listener_tls listener;
    struct certificate_rules certificates;
    struct workers *workers;
    struct circuits *circuits;
    struct audit_watch *audit;
    struct other_nodes *others;
    struct prober *_Atomic prober;  /* hub.prober, for the recorder's thread */
    struct desk desks[LOOPS_MAX];
    int desk_count;
    struct server *metrics_server;
    struct entrance metrics_entrance;
    _Atomic int draining;           /* servers that still have clients */
    struct str url;
    char setup_code[33];
    pthread_t upkeep;
    bool upkeep_running;
    struct turning *turning;
    pthread_t sealing;
    bool sealing_runs;
    _Atomic bool upkeep_stop;
    _Atomic(struct db *) looking;   /* at every page, just now */
    _Atomic bool ages_due;
    pthread_mutex_t upkeep_lock;
    pthread_cond_t upkeep_wake;
};

struct hub *node_hub(struct node *n) { return &n->hub; }
struct str node_url(struct node *n) { return n->url; }
struct str node_setup_code(struct node *n) { return str_of(n->setup_code); }

/* ---- metrics ---- */

static void metric(struct buf *out, const char *name, const char *kind, const char *help, uint64_t value)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, kind, name, (unsigned long long)value);
}

static void metric_i64(struct buf *out, const char *name, const char *kind, const char *help, int64_t value)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", name, help, name, kind, name, (long long)value);
}

/* Counters of other threads: a metric may be a moment old. */
static void metrics(struct hub *h, struct buf *out)
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

static void suspect(void *context, struct str connection)
{
    struct prober *p = atomic_load(&((struct node *)context)->prober);
    if (p)
        prober_suspect(p, connection);
}

static void report(const char *event, const struct fault *why) { log_fault(LOG_ERROR, event, why); }

/* ---- opening ---- */

static enum err parse_listen(struct str text, struct address *out, struct fault *why)
{
    size_t colon = SIZE_MAX;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':')
            colon = i;
    struct str host = colon == SIZE_MAX ? text : str_sub(text, 0, colon);
    uint64_t port;
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_sub(host, 1, host.n - 1);
    if (str_is(host, "localhost"))
        host = STR("127.0.0.1");
    if (colon == SIZE_MAX || !address_parse(host, out) || !str_u64(str_sub(text, colon + 1, text.n), &port) || port > 65535)
        return fault(why, ERR_CONFIG, STR("listen takes an address and a port, such as 127.0.0.1:8640 or [::1]:8640"), "listen");
    out->port = (uint16_t)port;
    return ERR_NONE;
}

static enum err check_listen(const struct config *c, const struct address *at, struct fault *why)
{
    if (address_classify(at) == ADDRESS_LOOPBACK || c->tls.certificate.n || c->insecure_listen)
        return ERR_NONE;
    return fault(why, ERR_CONFIG,
                 STR("refusing to listen in clear text beyond loopback: set tls.certificate and tls.key, or insecure_listen: true "
                     "behind a TLS proxy"),
                 "listen");
}

static enum err ensure_folders(struct db *db, void *context, struct fault *why)
{
    struct str id;
    return folder_ensure_shared(db, context, &id, why);
}

static enum err open_data(struct node *n, struct config *c, struct arena *boot, struct str *created, struct fault *why)
{
    enum err e;
    if ((e = store_open_at(c->data, config_database(c), &n->hub.store, why)) || (e = store_claim(n->hub.store, why)) ||
        (e = ring_open(c, n->hub.store, boot, &n->hub.keyring, created, why)))
        return e;
    return store_write(n->hub.store, ensure_folders, boot, why);
}

static struct str list_join(struct arena *a, struct str x, struct str y)
{
    return x.n && y.n ? str_fmt(a, "%.*s,%.*s", STR_ARG(x), STR_ARG(y)) : x.n ? x : y;
}

/* Shown wherever somebody looks at the hub's health. */
static void note_exceptions(struct hub *h, const struct config *c)
{
    const struct { const char *name; bool made; } rows[] = {
        { "egress.allow_http", c->egress.allow_http.n > 0 },
        { "egress.allow_private", c->egress.allow_private.n > 0 },
        { "insecure_listen", c->insecure_listen },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].made)
            h->exceptions[h->exception_count++] = rows[i].name;
}

static enum err open_outside(struct node *n, const struct config *c, const struct node_extra *extra, struct arena *boot,
                             struct fault *why)
{
    enum err e;
    note_exceptions(&n->hub, c);
    struct str private = list_join(boot, c->egress.allow_private, extra->allow_private);
    if ((e = domain_suffixes_load(c->public_suffix_file, why)) || (e = catalog_load(boot, c->connectors, &n->hub.catalog, why)) ||
        (e = egress_new(boot, private, c->egress.allow_http, c->egress.ports, &n->hub.egress, why)) ||
        (e = tls_client_context(c->egress.ca_file, &n->client_tls, why)))
        return e;
    if (extra->ca_file.n && (e = tls_client_trust(n->client_tls, extra->ca_file, why)))
        return e;
    return listener_tls_open(&n->listener, c->tls.certificate, c->tls.key, why);
}

static enum err open_setup(struct node *n, struct arena *boot, struct fault *why)
{
    struct db *db = store_reader(n->hub.store, why);
    int64_t users;
    if (!db)
        return ERR_STORE;
    enum err e = user_count(db, &users, why);
    if (e || users)
        return e;
    unsigned char digest[SHA256_SIZE];
    random_text(n->setup_code, sizeof n->setup_code - 1);
    n->setup_code[sizeof n->setup_code - 1] = 0;
    sha256(str_of(n->setup_code), digest);
    char *hex = arena_alloc(boot, 2 * SHA256_SIZE);
    hex_write(hex, (struct str){ (const char *)digest, sizeof digest });
    n->hub.setup_code_hash = (struct str){ hex, 2 * SHA256_SIZE };
    atomic_store(&n->hub.setup_open, true);
    return ERR_NONE;
}

static int loops_wanted(const struct config *c)
{
    long n = c->threads ? (long)c->threads : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > LOOPS_MAX ? LOOPS_MAX : (int)n;
}

static struct server_limits server_limits_of(const struct config *c, int loops)
{
    return (struct server_limits){
        .head = { (size_t)c->limits.request_head, (size_t)c->limits.request_uri, (int)c->limits.request_headers },
        .head_ms = c->timeouts.client_head, .idle_ms = c->timeouts.client_idle, .total_ms = c->timeouts.client_total,
        .body_window_ms = BODY_WINDOW_MS, .write_ms = WRITE_STALL_MS, .body_rate = BODY_RATE,
        .clients = (int)((c->limits.clients + loops - 1) / loops),
    };
}

static enum err open_desk(struct node *n, struct desk *d, const struct config *c, struct fault *why)
{
    struct upstream_limits limits = {
        { c->timeouts.connect, c->timeouts.tls, c->timeouts.first_byte, c->timeouts.idle, 0 }, KEEP_UPSTREAM_MS,
        (int)c->limits.upstreams_per_connection, HEAD_LIMITS_PRESET,
    };
    enum err e;
    d->node = n;
    if ((e = loop_new(n->desk_count, &d->loop, why)) ||
        (e = upstreams_new(d->loop, n->hub.egress, n->client_tls, &limits, &d->upstreams, why)))
        return e;
    d->board = switchboard_add(n->hub.switchboard, d->loop, d->upstreams);
    d->entrance = (struct entrance){ .hub = &n->hub, .workers = n->workers };
    struct proxy_config proxy = { d->board, c->limits.proxy_body, entrance_refuse_call, &d->entrance };
    d->proxy = d->entrance.proxy = proxy_new(&proxy);
    return ERR_NONE;
}

static enum err listen_desk(struct node *n, struct desk *d, const struct config *c, struct address *at, struct fault *why)
{
    struct server_config config = { d->loop,        n->listener.context, server_limits_of(c, n->desk_count),
                                    entrance_enter, entrance_refuse, &d->entrance };
    int fd;
    enum err e = server_listen(at, &fd, at, why); /* port 0 becomes a real one with the first desk; the others share it */
    return e ? e : server_new(&config, fd, &d->server, why);
}

static enum err listen_metrics(struct node *n, const struct config *c, struct fault *why)
{
    struct address at;
    int fd;
    enum err e;
    if (!c->metrics.listen.n)
        return ERR_NONE;
    n->metrics_entrance = (struct entrance){ .hub = &n->hub, .workers = n->workers, .metrics_only = true };
    struct server_config config = { n->desks[0].loop,    NULL, server_limits_of(c, 1), entrance_enter, entrance_refuse,
                                    &n->metrics_entrance };
    if ((e = parse_listen(c->metrics.listen, &at, why)) || (e = server_listen(&at, &fd, &at, why)))
        return e;
    egress_add_self(n->hub.egress, &at);
    return server_new(&config, fd, &n->metrics_server, why);
}

/* "https://hub.example/raccord" -> "/raccord" */
static struct str path_of_url(struct str url)
{
    size_t scheme = str_find_str(url, STR("://"));
    struct str rest = scheme == SIZE_MAX ? url : str_sub(url, scheme + 3, url.n);
    size_t slash = str_find(rest, '/');
    return slash == SIZE_MAX ? STR("") : str_sub(rest, slash, rest.n);
}

static int64_t clients_now(void *context)
{
    const struct node *n = context;
    int64_t clients = 0;
    for (int i = 0; i < n->desk_count; i++)
        clients += n->desks[i].server ? server_clients(n->desks[i].server) : 0;
    return clients;
}

/* For GET /limits. */
static const struct limit_setting *limit_settings(struct node *n, const struct config *c, struct arena *boot)
{
    const struct {
        const char *name, *setting, *unit;
        int64_t value;
        int64_t (*use)(void *context);
    } rows[] = {
        { "call_request_body", "limits.call_request", "bytes", c->limits.call_request, NULL },
        { "call_response_body", "limits.call_response", "bytes", c->limits.call_response, NULL },
        { "proxy_body", "limits.proxy_body", "bytes", c->limits.proxy_body, NULL },
        { "request_head", "limits.request_head", "bytes", c->limits.request_head, NULL },
        { "request_target", "limits.request_uri", "bytes", c->limits.request_uri, NULL },
        { "request_headers", "limits.request_headers", "count", c->limits.request_headers, NULL },
        { "clients", "limits.clients", "count", c->limits.clients, clients_now },
        { "upstreams_per_connection", "limits.upstreams_per_connection", "count", c->limits.upstreams_per_connection, NULL },
        { "workers", "limits.workers", "count", c->limits.workers, NULL },
        { "worker_queue", "limits.worker_queue", "count", c->limits.worker_queue, NULL },
        { "call_total_time", "timeouts.total", "ms", c->timeouts.total, NULL },
    };
    struct limit_setting *out = arena_array(boot, COUNT(rows) + 1, sizeof *out);
    for (size_t i = 0; i < COUNT(rows); i++)
        out[i] =
            (struct limit_setting){ rows[i].name, rows[i].unit, rows[i].value, config_is_set(c, rows[i].setting), rows[i].use, n };
    return out;
}

static enum err start_intents(struct node *n, const struct config *c, struct fault *why)
{
    struct secret key;
    enum err e = keyring_derive(n->hub.keyring, STR("calls file"), &key, why);
    return e ? e : intents_new(n->hub.store, c->audit.file, key, &n->hub.intents, why);
}

static enum err open_house(struct node *n, struct config *c, const struct node_extra *extra, struct arena *boot,
                           struct str *created, struct fault *why)
{
    struct address at;
    enum err e;
    if ((e = parse_listen(c->listen, &at, why)) || (e = check_listen(c, &at, why)) || (e = open_outside(n, c, extra, boot, why)) ||
        (e = open_data(n, c, boot, created, why)) || (c->audit.strict && (e = start_intents(n, c, why))) ||
        (e = audit_watch_start(&n->hub, c, boot, &n->audit, why)) ||
        (e = open_setup(n, boot, why)) ||
        (e = workers_new("worker", (int)c->limits.workers, (int)c->limits.worker_queue, &n->workers, why)))
        return e;
    n->circuits = circuits_new(c->timeouts.circuit);
    n->hub.limit_hits = limit_hits_new();
    n->hub.limits = limit_settings(n, c, boot);
    n->hub.policies = policy_book_new();
    struct db *db = store_reader(n->hub.store, why);
    if (!db || policy_book_load(n->hub.policies, db, why))
        return why->err;
    token_answer_limit_scopes((size_t)c->oauth.granted_scopes);
    n->hub.issuers = issuers_new(n->hub.egress, n->client_tls);
    oauth_profile_discover_with(n->hub.issuers);
    struct switchboard_config s = {
        .store = n->hub.store, .keyring = n->hub.keyring, .catalog = n->hub.catalog, .egress = n->hub.egress, .workers = n->workers,
        .tls = n->client_tls, .header_digits_ok = c->header_names.allow_digits,
        .limits = { c->timeouts.total, c->limits.call_request, c->limits.call_response, RETRIES_MAX }, .issuers = n->hub.issuers,
        .circuits = n->circuits, .intents = n->hub.intents, .policies = n->hub.policies, .report = report, .suspect = suspect,
        .suspect_context = n,
    };
    if ((e = switchboard_new(&s, &n->hub.switchboard, why)) || (e = renewing_start(&n->hub, c, n->client_tls, why)))
        return e;
    int wanted = loops_wanted(c);
    for (; n->desk_count < wanted; n->desk_count++)
        if ((e = open_desk(n, &n->desks[n->desk_count], c, why))) {
            n->desk_count++; /* half open: closed with the others */
            return e;
        }
    for (int i = 0; i < n->desk_count; i++)
        if ((e = listen_desk(n, &n->desks[i], c, &at, why)))
            return e;
    egress_add_self(n->hub.egress, &at);
    char text[ADDRESS_TEXT];
    n->url = str_fmt(boot, at.family == 6 ? "%s://[%s]:%u" : "%s://%s:%u", n->listener.context ? "https" : "http",
                     address_format(&at, text), at.port);
    n->hub.public_url = c->public_url.n ? c->public_url : n->url;
    while (str_ends(n->hub.public_url, STR("/")))
        n->hub.public_url.n--;
    n->hub.callback = c->oauth.callback ? STR(AUTHORIZE_CALLBACK_ALIAS) : STR(AUTHORIZE_CALLBACK);
    n->hub.path_prefix = path_of_url(n->hub.public_url);
    n->hub.public_is_https = str_starts(n->hub.public_url, STR("https://"));
    struct doorman_config door = { n->hub.public_url, c->hosts, c->trusted_proxies, &at, n->listener.context != NULL };
    if ((e = doorman_new(boot, &door, &n->hub.doorman, why)))
        return e;
    for (int i = 0; i < n->desk_count; i++)
        proxy_trust(n->desks[i].proxy, doorman_trusted(n->hub.doorman));
    return listen_metrics(n, c, why);
}

/* ---- threads ---- */

static void *desk_main(void *context)
{
    loop_run(((struct desk *)context)->loop);
    return NULL;
}

struct prune {
    wall_ms before, secrets_before;
    int64_t deleted;
};

static enum err prune_runs(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return runs_prune(db, p->before, PRUNE_AT_ONCE, &p->deleted, why);
}

static enum err tell_prune(struct db *db, void *context, struct fault *why)
{
    return run_seal_prune(db, ((struct prune *)context)->before, why);
}

/* The setting's, or a shorter one of a policy. */
static int64_t run_retention(struct node *n)
{
    struct policy_set *set = policy_book_set(n->hub.policies);
    int64_t ms = policy_least(set, &(struct policy_subject){ 0 }, POLICY_RUN_RETENTION);
    policy_set_release(set);
    return ms && ms < n->config->retention.runs ? ms : n->config->retention.runs;
}

/* Step by step: each is a transaction of its own, so that nobody waits long. */
static void prune_with(struct node *n, store_work *work, struct prune *p, const char *failed)
{
    struct fault why;
    do {
        if (store_write(n->hub.store, work, p, &why)) {
            log_fault(LOG_WARN, failed, &why);
            return;
        }
    } while (p->deleted && !n->upkeep_stop);
}

static void prune(struct node *n, store_work *work, wall_ms before, const char *failed)
{
    prune_with(n, work, &(struct prune){ .before = before }, failed);
}

static void prune_all_runs(struct node *n)
{
    struct prune p = { .before = clock_wall() - run_retention(n) };
    struct fault why;
    if (store_write(n->hub.store, tell_prune, &p, &why)) /* first: what goes unsaid would look stolen */
        log_fault(LOG_WARN, "old run records were not removed", &why);
    else
        prune(n, prune_runs, p.before, "old run records were not removed");
}

static enum err prune_keys(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return idempotency_prune(db, p->before, KEYS_AT_ONCE, &p->deleted, why);
}

static enum err empty_trash(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    struct trash_ages ages = { p->before, p->secrets_before, KEYS_AT_ONCE };
    return trash_empty(db, &ages, &p->deleted, why);
}

static void prune_connections(struct node *n)
{
    wall_ms now = clock_wall();
    struct prune p = { .before = now - n->config->retention.deleted_connections,
                       .secrets_before = now - n->config->retention.deleted_secrets };
    prune_with(n, empty_trash, &p, "deleted connections were not removed");
}

static enum err tidy_words(struct db *db, void *upkeep, struct fault *why) { return connection_words_tidy(db, upkeep, why); }

/* Step by step, as above. */
static void tidy(struct node *n)
{
    struct connection_words_upkeep u = { 0 };
    struct fault why;
    do {
        if (store_write(n->hub.store, tidy_words, &u, &why)) {
            log_fault(LOG_WARN, "the index of searches was not put together", &why);
            return;
        }
    } while (u.more && !n->upkeep_stop);
}

static enum err prune_tokens(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return token_prune(db, p->before, PRUNE_AT_ONCE, &p->deleted, why);
}

static enum err compact_runs(struct db *db, void *more, struct fault *why) { return runs_compact(db, more, why); }

/* What the recorder left: it does so after many batches only, and on a quiet day there are few. */
static void compact(struct node *n)
{
    bool more = true;
    struct fault why;
    while (more && !n->upkeep_stop) {
        if (store_write(n->hub.store, compact_runs, &more, &why)) {
            log_fault(LOG_WARN, "run records were not put together", &why);
            return;
        }
    }
}

static void keep_limit_hits(struct node *n)
{
    struct fault why;
    if (n->hub.limit_hits && n->hub.store && limit_hits_store(n->hub.limit_hits, n->hub.store, &why))
        log_fault(LOG_WARN, "when limits were reached was not noted", &why);
}

/* The structure of every page, in one snapshot: a million rows take seconds, and nobody waits for it (requirement 18.6). */
static void look_for_damage(struct node *n)
{
    AUTO_ARENA a = arena_new(1024);
    struct str found = STR("");
    struct fault why = { 0 };
    struct db *db = store_reader(n->hub.store, &why);
    n->looking = db;
    enum err e = db ? store_check(db, a, false, &found, &why) : ERR_STORE;
    n->looking = NULL;
    if (e == ERR_STOPPING)
        return;
    if (e)
        log_fault(LOG_ERROR, "the database could not be looked at", &why);
    else if (found.n)
        log_line(LOG_ERROR, "the database is damaged: restore a backup", LOG("found", found));
    else
        log_line(LOG_DEBUG, "the database is sound");
}

static void *upkeep_main(void *context)
{
    struct node *n = context;
    struct mono looked = clock_mono(), last = { 0 }, aged = { 0 };
    look_for_damage(n);
    pthread_mutex_lock(&n->upkeep_lock);
    while (!n->upkeep_stop) {
        pthread_mutex_unlock(&n->upkeep_lock);
        listener_tls_look(&n->listener);
        if (!last.ms || mono_since(last, clock_mono()) >= UPKEEP_MS) {
            last = clock_mono();
            certificate_watch(&n->hub, clock_wall());
            prune_all_runs(n);
            prune_connections(n);
            prune(n, prune_tokens, clock_wall() - n->config->retention.ended_tokens, "ended tokens were not removed");
            prune(n, prune_keys, clock_wall(), "old Idempotency-Keys were not removed");
            compact(n);
            tidy(n);
            keep_limit_hits(n);
        }
        if (atomic_exchange(&n->ages_due, false) || !aged.ms || mono_since(aged, clock_mono()) >= AGES_MS) {
            aged = clock_mono();
            policy_ages_round(&n->hub, clock_wall(), &n->upkeep_stop);
        }
        if (mono_since(looked, clock_mono()) >= LOOK_EVERY_MS) {
            looked = clock_mono();
            look_for_damage(n);
        }
        pthread_mutex_lock(&n->upkeep_lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LISTENER_LOOK_MS / 1000;
        if (!n->upkeep_stop && !n->ages_due)
            pthread_cond_timedwait(&n->upkeep_wake, &n->upkeep_lock, &until);
    }
    pthread_mutex_unlock(&n->upkeep_lock);
    return NULL;
}

static void ages_wake(struct hub *h)
{
    struct node *n = list_entry(h, struct node, hub);
    pthread_mutex_lock(&n->upkeep_lock);
    atomic_store(&n->ages_due, true);
    pthread_cond_signal(&n->upkeep_wake);
    pthread_mutex_unlock(&n->upkeep_lock);
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
    n->hub.ages_wake = ages_wake;
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
    if (pthread_create(&n->upkeep, NULL, upkeep_main, n))
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the upkeep thread");
    n->upkeep_running = true;
    return ERR_NONE;
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
    n->hub.metrics = metrics;
    n->hub.metrics_context = n;
    pthread_mutex_init(&n->upkeep_lock, NULL);
    pthread_cond_init(&n->upkeep_wake, NULL);
    *created_key = STR("");
    if (routes_check())
        bug("route without a right or a handler: %s", routes_check()->path);
    enum err e = open_house(n, config, extra, boot, created_key, why);
    if (!e)
        e = start_threads(n, why);
    if (e) {
        node_stop(n);
        return e;
    }
    *out = n;
    return ERR_NONE;
}

/* ---- sealing ---- */

struct forgetting {
    struct loop_job job;
    struct proxy *proxy;
};

static void forget_on_loop(struct loop_job *job)
{
    struct forgetting *f = list_entry(job, struct forgetting, job);
    proxy_forget(f->proxy);
    free(f);
}

struct flushing {
    struct loop_job job;
    struct recording *records;
    sem_t *done;
};

static void flush_on_loop(struct loop_job *job)
{
    struct flushing *f = list_entry(job, struct flushing, job);
    recording_flush(f->records);
    sem_post(f->done);
}

/* All that loops have recorded is in the database. While they run. */
static void flush_records(struct node *n)
{
    struct flushing each[LOOPS_MAX];
    sem_t done;
    sem_init(&done, 0, 0);
    for (int i = 0; i < n->desk_count; i++) {
        each[i] = (struct flushing){ { NULL, flush_on_loop }, &n->desks[i].board->recording, &done };
        loop_post(n->desks[i].loop, &each[i].job);
    }
    for (int i = 0; i < n->desk_count; i++)
        while (sem_wait(&done))
            ;
    sem_destroy(&done);
    recorder_settle(n->desks[0].board->recording.recorder);
}

/* What can only be written with the keys. */
static void *write_last(void *context)
{
    struct node *n = context;
    intents_stop(n->hub.intents);
    flush_records(n);
    audit_watch_seal(n->audit);
    return NULL;
}

static void forget_prepared(struct node *n)
{
    switchboard_forget_connections(n->hub.switchboard);
    switchboard_forget_tokens(n->hub.switchboard);
    for (int i = 0; i < n->desk_count; i++) {
        struct forgetting *f = mem_zero(sizeof *f);
        *f = (struct forgetting){ { NULL, forget_on_loop }, n->desks[i].proxy };
        loop_post(n->desks[i].loop, &f->job);
    }
}

/* Credentials go at once; keys when what needs them is written, and soon, whatever hangs. */
void node_seal(struct node *n)
{
    struct timespec until;
    if (atomic_exchange(&n->hub.sealed, true))
        return;
    forget_prepared(n);
    n->sealing_runs = !pthread_create(&n->sealing, NULL, write_last, n);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SEAL_MOST_MS / 1000;
    if (!n->sealing_runs)
        log_text(LOG_ERROR, "sealing without the last records: no thread for them");
    else if (pthread_timedjoin_np(n->sealing, NULL, &until))
        log_text(LOG_ERROR, "sealing without the last records: they take too long to write");
    else
        n->sealing_runs = false;
    keyring_wipe(n->hub.keyring);
    intents_forget_key(n->hub.intents);
    forget_prepared(n); /* what was being prepared meanwhile */
    store_claim_note(n->hub.store, "sealed");
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

/* A look at every page of a big database takes longer than whoever stops the hub waits. */
static void join_upkeep(struct node *n)
{
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        struct db *db = n->looking;
        if (db)
            store_check_stop(db);
        if (pthread_timedjoin_np(n->upkeep, NULL, &until) != ETIMEDOUT)
            return;
    }
}

void node_stop(struct node *n)
{
    if (!n)
        return;
    if (n->sealing_runs)
        pthread_join(n->sealing, NULL);
    if (n->upkeep_running) {
        pthread_mutex_lock(&n->upkeep_lock);
        n->upkeep_stop = true;
        pthread_cond_signal(&n->upkeep_wake);
        pthread_mutex_unlock(&n->upkeep_lock);
        join_upkeep(n);
    }
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
    keep_limit_hits(n);
    limit_hits_free(n->hub.limit_hits);
    keyring_close(n->hub.keyring);
    store_close(n->hub.store);
    idempotency_free(n->hub.idempotency);
    tls_context_free(n->client_tls);
    listener_tls_close(&n->listener);
    domain_suffixes_end();
    pthread_cond_destroy(&n->upkeep_wake);
    pthread_mutex_destroy(&n->upkeep_lock);
    free(n);
}
