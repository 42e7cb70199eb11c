/* cmd/config.h - every setting of the program, once.
 *
 * One YAML file (nested or dotted names), each setting overridden by its environment variable, each
 * overridden by its flag: limits.workers, RACCORD_LIMITS_WORKERS, --limits-workers. The table in config.c
 * feeds all three, `config list`, docs/config.md and the test that the document is up to date.
 *
 * Sizes are bytes, times milliseconds. What a value means beyond its form (an address, a URL, a list of
 * hosts) is checked by the room that uses it.
 */
#ifndef CMD_CONFIG_H
#define CMD_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };

struct config_origin; /* where a value came from; private */

struct config {
    struct str listen;          /* address:port */
    struct str public_url;      /* empty: made from listen by the caller */
    struct str data;            /* directory */
    struct str database_url;    /* as it was given: config_database() */
    struct str master_key_file; /* empty: the caller's default */
    /* From the environment only, and still there: points into the `env` given. Move it into a struct secret
     * and wipe it in place. .p == NULL: not set. */
    struct str master_key;
    bool master_key_taken;      /* it was there, and was moved */
    struct {
        struct str certificate, key; /* files; both or neither */
    } tls;
    struct str trusted_proxies; /* comma-separated */
    struct str hosts;           /* comma-separated */
    struct {
        int64_t password_memory, password_passes;
        int require_second_factor; /* enum second_factor_policy */
    } sign_in;
    struct str public_suffix_file;
    struct str connectors;
    struct {
        bool allow_digits;
    } header_names;
    struct {
        int64_t granted_scopes; /* bytes */
        int callback;           /* 0: /oauth/callback, 1: /provisioning_/callback */
    } oauth;
    bool insecure_listen;
    struct {
        struct str allow_private, allow_http, ports; /* comma-separated */
        struct str ca_file;
        struct str proxy;    /* reserved */
    } egress;
    struct {
        int64_t request_head, request_headers, request_uri, api_body, proxy_body, call_request, call_response;
        int64_t clients, upstreams_per_connection, workers, worker_queue;
    } limits;
    struct {
        int64_t connect, tls, first_byte, idle, total, client_head, client_idle, client_total, drain, circuit; /* total: 0 = none */
    } timeouts;
    struct {
        int64_t runs, deleted_connections, deleted_secrets, ended_tokens;
    } retention;
    struct {
        int64_t interval; /* 0: none */
    } probes;
    struct {
        struct str organization;
        int key; /* enum pair_kind */
        int64_t valid, authority_valid, publish_before, activate_before, keep_retired;
    } client_certificates;
    struct {
        struct str head_file;
        int64_t head_interval;
        bool strict;
        struct str file;
    } audit;
    struct {
        int64_t max_age, max_uses, rate; /* rate: data keys a second */
    } keys;
    struct {
        int64_t threads, rate;
    } renewals;
    struct {
        int format; /* enum config_log_format */
        int level;  /* enum log_level */
    } log;
    int64_t threads; /* 0: one per core */
    struct {
        struct str listen; /* empty: no listener of its own */
    } metrics;

    /* Sentences for the log: RACCORD_* variables that are no setting. */
    const struct str *warnings;
    size_t warning_count;
    const struct config_origin *origins;
};

/* PostgreSQL's address, or empty: the embedded database. */
struct str config_database(const struct config *c);

/* Read all sources into *out, which is owned by `a` but for master_key.
 * file   used when argv has no --config FILE; NULL: none. A file that is named but not there is an error.
 * env    as in main: "NAME=value", NULL at the end; may be NULL. An empty variable counts as not set.
 * argv   may be NULL. --config and the settings' flags are taken out, the rest moves up in its order and
 *        *argc says how many are left: what then begins with "--" is the caller's or a mistake. "--" ends flags.
 * Errors: ERR_CONFIG naming the setting, its source and what is expected, never the value; ERR_FILE.
 * argv keeps its order but may have lost flags already when an error comes. */
enum err config_load(struct arena *a, const char *file, char *const *env, int *argc, char **argv, struct config *out,
                     struct fault *why) MUST_CHECK;

/* Did somebody set it, by file, environment or flag? `name` as in the file: "limits.workers". */
bool config_is_set(const struct config *c, const char *name);

/* Name, value, source (default, file, environment, flag) and help of every setting: a table for people, or JSON:
 * {"items": [{"name", "value", "source", "default", "environment", "flag", "help"}], "warnings": []}.
 * Of secrets only "(set)" or "(not set)". */
void config_list(const struct config *c, struct buf *out, bool as_json);
/* docs/config.md */
void config_markdown(struct buf *out);

#endif
