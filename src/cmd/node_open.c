#include "cmd/node_inside.h"

#include <unistd.h>

#include "access/folder.h"
#include "access/policy_store.h"
#include "access/user.h"
#include "auth/issuer.h"
#include "auth/oauth_profile.h"
#include "auth/token_answer.h"
#include "base/encode.h"
#include "base/log.h"
#include "cmd/renewing.h"
#include "cmd/ring.h"
#include "crypto/hash.h"
#include "vault/domain.h"
#include "web/authorize.h"
#include "web/doorman.h"
#include "web/limit_hits.h"

#define KEEP_UPSTREAM_MS 55000      /* under the 60 s after which many providers close */
#define WRITE_STALL_MS 60000
#define BODY_WINDOW_MS 10000
#define BODY_RATE 500               /* bytes per second (requirement 6.3) */
#define RETRIES_MAX 2

static void suspect(void *context, struct str connection)
{
    struct prober *p = atomic_load(&((struct node *)context)->prober);
    if (p)
        prober_suspect(p, connection);
}

static void report(const char *event, const struct fault *why) { log_fault(LOG_ERROR, event, why); }

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

enum err node_open(struct node *n, struct config *c, const struct node_extra *extra, struct arena *boot, struct str *created,
                   struct fault *why)
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
