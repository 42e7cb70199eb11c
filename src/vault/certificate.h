/* vault/certificate.h - client certificates: the instance's own authority, what it issues, and what people bring.
 *
 * A certificate belongs to an owner: one connection, the whole instance (shared by the connections that choose it), or the
 * authority itself. Each owner has at most one that is `current` (in use) and one that is `next` (published, so that a provider can
 * be told, and not in use yet). Activating makes the next one current and the current one retired; a retired one keeps its key for
 * a while, so that it may be taken back, then the key is destroyed (CON-28).
 *
 * The private key is a sealed value (vault/sealed.h) under a data key of the certificate's own, bound to the certificate, its
 * owner, and a connection's allowed domain and auth type (requirement 12.1). It never leaves, the authority's least of all. Chains
 * are public.
 *
 * Everything that depends on the time takes `now`. Rights are not checked here; functions that write run in the caller's
 * transaction.
 */
#ifndef VAULT_CERTIFICATE_H
#define VAULT_CERTIFICATE_H

#include "crypto/pair.h"
#include "vault/connection.h"

enum certificate_source { CERTIFICATE_AUTHORITY, CERTIFICATE_INSTANCE, CERTIFICATE_CONNECTION, CERTIFICATE_OWN };
enum certificate_state { CERTIFICATE_NEXT, CERTIFICATE_CURRENT, CERTIFICATE_RETIRED };
const char *certificate_source_name(enum certificate_source s); /* "authority", "instance", "connection", "own" */
const char *certificate_state_name(enum certificate_state s);   /* "next", "current", "retired" */
bool certificate_state_parse(struct str s, enum certificate_state *out);

#define CERTIFICATE_OF_INSTANCE STR("instance")
#define CERTIFICATE_OF_AUTHORITY STR("authority")

struct certificate_row {
    struct str id, owner;        /* owner: a connection's id, "instance" or "authority" */
    enum certificate_source source;
    enum certificate_state state;
    struct str name;             /* common name that was asked for; empty for what people brought */
    struct str chain;            /* PEM, the leaf first */
    struct str subject, issuer, serial, fingerprint;
    bool client_auth;
    wall_ms not_before, not_after, created, activated, retired; /* 0: never */
    bool has_key;                /* false: destroyed after retirement */
    int warned;                  /* days of the last warning; CERTIFICATE_NEVER_WARNED */
};
#define CERTIFICATE_NEVER_WARNED 1000

/* What the administrator set. */
struct certificate_rules {
    struct str organization;
    enum pair_kind kind;
    int64_t valid_ms, authority_ms;      /* how long a certificate, and the authority, are good for */
    int64_t publish_ms, activate_ms;     /* before the current one's end: when the next one is made, and put to use */
    int64_t keep_ms;                     /* how long a retired one keeps its key */
};

/* ---- reading ---- */

bool certificate_owner_is_connection(struct str owner);
/* ERR_NOT_FOUND, subject "certificate". */
enum err certificate_get(struct db *db, struct arena *a, struct str id, struct certificate_row *out, struct fault *why) MUST_CHECK;
/* The owner's current (or next) one. *found false: there is none. */
enum err certificate_of(struct db *db, struct arena *a, struct str owner, enum certificate_state state, struct certificate_row *out,
                        bool *found, struct fault *why) MUST_CHECK;
/* The same for a page: out[i] and found[i] for owners->keys[i]. */
enum err certificates_of(struct db *db, struct arena *a, const struct many *owners, enum certificate_state state,
                         struct certificate_row *out, bool *found, struct fault *why) MUST_CHECK;
struct certificate_filter {
    struct str owner;            /* p == NULL: any */
    bool by_state;
    enum certificate_state state;
    struct str after;            /* cursor: the last id seen, or NULL */
    int limit;
};
/* Ordered by id (age). */
enum err certificate_list(struct db *db, struct arena *a, const struct certificate_filter *f, struct certificate_row **out,
                          size_t *n, struct fault *why) MUST_CHECK;
/* The ones that end first, retired ones left out: for metrics. */
enum err certificate_ending(struct db *db, struct arena *a, int limit, struct certificate_row **out, size_t *n,
                            struct fault *why) MUST_CHECK;
/* Days until `end`, rounded down; negative once it is over. */
int64_t certificate_days(wall_ms end, wall_ms now);

/* ---- making and turning ---- */

/* Keep `pair` for row->owner, in row->state (next or current): a next one replaces the next one that was there; a current one
 * retires the current one. row->source, owner and name are given, the rest is filled in. ERR_FIELD_INVALID at /certificate when it
 * is over, or is to be current and its time has not begun. */
enum err certificate_keep(struct db *db, struct keyring *k, struct arena *a, const struct pair *pair, wall_ms now,
                          struct certificate_row *row, struct fault *why) MUST_CHECK;
/* Make one: with a fresh key, signed by the authority, which is made when there is none. row->source says for whom (owner: a
 * connection's id where it is one); row->name may be empty: taken from the one before, else from the connection's key. `valid_ms`
 * 0: the rules'. The authority's own is made so, too. */
enum err certificate_issue(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules,
                           int64_t valid_ms, wall_ms now, struct certificate_row *row, struct fault *why) MUST_CHECK;
/* Put a next one, or a retired one that still has its key, to use. Already current: nothing happens. ERR_CERTIFICATE_NOT_USABLE
 * when its key is destroyed, its time has not begun, or is over. */
enum err certificate_activate(struct db *db, struct arena *a, struct str id, wall_ms now, struct certificate_row *out,
                              struct fault *why) MUST_CHECK;
/* One, key and all; only its key. */
enum err certificate_drop(struct db *db, struct str id, struct fault *why) MUST_CHECK;
enum err certificate_destroy_key(struct db *db, struct str id, struct fault *why) MUST_CHECK;
/* All certificates of a connection, keys and all: it is deleted, or does without. */
enum err certificate_forget(struct db *db, struct str owner, struct fault *why) MUST_CHECK;

/* ---- what a connection uses ---- */

struct connection_tls {
    bool has_certificate;
    enum certificate_source source; /* own, connection or instance */
    struct str authorities;         /* PEM of roots that it trusts besides; empty: none */
};
enum err connection_tls_get(struct db *db, struct arena *a, struct str connection, struct connection_tls *out,
                            struct fault *why) MUST_CHECK;
/* The same for a page: out[i] for connections->keys[i]. */
enum err connections_tls(struct db *db, struct arena *a, const struct many *connections, struct connection_tls *out,
                         struct fault *why) MUST_CHECK;
enum err connection_tls_put(struct db *db, struct str connection, const struct connection_tls *t, struct fault *why) MUST_CHECK;
/* How many connections use the instance's certificate. */
enum err connection_tls_count(struct db *db, int64_t *n, struct fault *why) MUST_CHECK;
/* The owner of the certificate that the connection uses. */
struct str connection_tls_owner(const struct connection_tls *t, struct str connection);
/* The pair that a connection's calls show, or NULL, the caller's to free; and the roots that they trust besides.
 * ERR_RECONNECT_REQUIRED when its key does not open. */
enum err certificate_open(struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row, struct pair **pair,
                          struct str *authorities, struct fault *why) MUST_CHECK;
/* Its key does not open: the connections that use it, now, require new credentials. */
enum err certificate_lost(struct db *db, struct str id, struct fault *why) MUST_CHECK;
/* What the certificate says of a connection's health: HEALTH_EXPIRING (within 60 days), HEALTH_EXPIRED, else `otherwise`. */
enum err certificate_health(struct db *db, struct str connection, wall_ms now, enum connection_health otherwise,
                            enum connection_health *out, struct fault *why) MUST_CHECK;

/* ---- upkeep ---- */

struct certificate_news {
    enum { CERTIFICATE_ISSUED, CERTIFICATE_ACTIVATED, CERTIFICATE_WARNING } what;
    struct certificate_row row;
    int64_t days; /* that are left */
};
#define CERTIFICATE_NEWS 64
/* What is due at `now`: next certificates made and put to use, keys of retired ones destroyed, warnings 60, 30 and 7 days ahead and
 * at the end, the health of the connections concerned. A bounded piece of it: again as long as *n is not 0. Texts in `a`. */
enum err certificate_upkeep(struct db *db, struct keyring *k, struct arena *a, const struct certificate_rules *rules, wall_ms now,
                            struct certificate_news out[CERTIFICATE_NEWS], size_t *n, struct fault *why) MUST_CHECK;

#endif
