/* web/web.h - what a handler of the REST API gets and gives.
 *
 * Handlers are plain synchronous functions on a worker thread: SQL is fine, waiting for a provider is fine (call_wait).
 * routes.c is the table of all doors; web.c matches, checks the caller and its right, reads the body, runs the handler
 * and writes its reply or the problem.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include "access/audit_head.h"
#include "access/audit_refusals.h"
#include "access/caller.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "call/call.h"
#include "catalog/connector.h"
#include "http/address.h"
#include "http/head.h"
#include "store/db.h"
#include "vault/certificate.h"
#include "vault/keyring.h"
#include "vault/rotation.h"

struct policy_book;
struct limit_hits;
struct limit_setting;
struct doorman;
enum second_factor_policy { SECOND_FACTOR_NONE, SECOND_FACTOR_ADMINS, SECOND_FACTOR_ALL }; /* who must have one */

/* What the program is made of; built by cmd/, the same for the life of the process. */
struct hub {
    struct store *store;
    struct keyring *keyring;
    struct audit_heads audit_heads; /* where its heads are exported to, without the key; path NULL: nowhere */
    struct refusals *refusals;
    _Atomic int audit_alarm;        /* enum audit_flaw that was found in the log */
    struct intents *intents;        /* audit.strict; else NULL */
    const char *exceptions[4];      /* names of settings by which an operator permits what is refused otherwise (requirement 1.6) */
    size_t exception_count;
    _Atomic bool audit_mute;        /* the heads cannot be written */
    _Atomic bool audit_database_lost; /* with audit.strict: the database takes no record of a call, should the file need it to */
    struct catalog *catalog;
    struct egress *egress;
    struct switchboard *switchboard;
    struct policy_book *policies;
    struct limit_hits *limit_hits;
    const struct limit_setting *limits; /* what cmd/ knows of limits; the last has no name */
    const struct certificate_rules *certificates;
    struct prober *prober;          /* NULL until the loops run */
    struct idempotency *idempotency; /* NULL: Idempotency-Key is not looked at */
    struct issuers *issuers;        /* what identity providers publish */
    struct renewals *renewals;      /* keeps credentials that end */
    struct device_flows *devices;   /* asks whether people entered their devices' codes; NULL until it runs */
    struct str public_url;          /* without trailing '/' */
    struct str callback;            /* path of the redirect URI that providers are told; empty: AUTHORIZE_CALLBACK */
    struct str path_prefix;         /* of public_url: "/raccord", or empty */
    bool header_digits_ok;
    bool public_is_https;           /* cookies then carry Secure and the __Host- prefix */
    int64_t call_response_max;
    struct str setup_code_hash;     /* hex SHA-256 of the one-time code; empty when an owner exists */
    _Atomic bool setup_open;
    _Atomic bool stopping;
    _Atomic bool sealed;            /* keys are wiped: only health and metrics are answered */
    wall_ms started;
    /* People and sign-in */
    struct doorman *doorman;        /* NULL: every Host is ours, no proxy is believed */
    enum second_factor_policy second_factor;
    struct sign_in_counts {
        _Atomic uint64_t right, wrong, refused, alarms;
        _Atomic wall_ms alarmed;    /* when the last alarm was given */
    } sign_ins;
    struct rotation_policy key_policy;
    struct {
        int64_t deleted_connections, deleted_secrets; /* ms; secrets 0: destroyed at once */
    } retention;
    void (*ages_wake)(struct hub *h); /* policies have changed: what they say of ages is due; NULL: nobody waits for it */
    void (*keys_wake)(struct hub *h); /* a rotation has begun; NULL: nobody waits for it */
    /* Appends Prometheus text of what only cmd/ and http/ know (clients, loops, pools). */
    void (*metrics)(struct hub *h, struct buf *out);
    void *metrics_context;
};

enum {
    METHOD_GET = 1,
    METHOD_POST = 2,
    METHOD_PUT = 4,
    METHOD_PATCH = 8,
    METHOD_DELETE = 16,
    METHOD_HEAD = 32,
    METHOD_OPTIONS = 64,
    METHOD_ANY = 127
};

/* What the audit log tells of a change; its handler, or the work inside the transaction, fills it. Texts live as long as the
 * exchange. web/change.h says who writes it down. */
struct web_audit {
    const char *action;             /* p == NULL: the route's */
    struct str who, who_name;       /* who somebody unknown turned out to be; empty: the caller */
    struct str object, name;        /* con_...; as it is called */
    struct str folder;              /* id */
    struct str before, after;       /* JSON; masked before it is stored */
    bool written;                   /* a record of this request is in the log */
};

struct web_request {
    struct hub *hub;
    struct arena *arena;            /* exchange */
    struct db *db;                  /* this thread's reader */
    unsigned method;
    struct str path, query;         /* query: raw, without '?' */
    bool *query_known;              /* where it is noted that web_only_query() saw the query; NULL: a page, which takes any */
    const struct head *head;
    struct str params[4];           /* {name} segments, in order, percent-decoded */
    size_t param_count;
    struct str body;
    struct json *json;              /* parsed body when there is one, always an object; else NULL */
    struct caller *caller;          /* NULL on open doors without a (valid) credential */
    enum language language;
    struct str client;              /* where it comes from, behind trusted proxies too: for records */
    struct address peer;            /* the same, to be matched */
    struct str network;             /* the same for limits: an IPv6 address stands for its /64 */
    bool is_private;                /* nobody between reads along: TLS, or this machine */
    struct once *once;              /* web/idempotency.c's, for a request with an Idempotency-Key; else NULL */
    const struct route *route;
    struct web_audit audit;
};

struct reply {
    int status;                     /* preset: 200 */
    struct buf body;                /* JSON unless content_type says otherwise */
    const char *content_type;
    struct str headers[12][2];
    size_t header_count;
    struct str run_id;              /* set before failing: the problem's run_id; empty: none */
    struct str problem;             /* set before failing: a JSON object, whose members the problem gets too; empty: none */
};

typedef enum err handler(struct web_request *q, struct reply *r, struct fault *why);

/* Helpers for handlers */
struct str web_query(const struct web_request *q, const char *name); /* decoded; STR_NONE when absent */
/* ?name=true|false; false when absent. ERR_FIELD_INVALID. */
enum err web_flag(const struct web_request *q, const char *name, bool *out, struct fault *why) MUST_CHECK;
enum err web_limit(const struct web_request *q, int *limit, struct fault *why) MUST_CHECK; /* ?limit= 1..200, 50 */
/* `name` and `value` must live as long as the exchange. */
void reply_header(struct reply *r, const char *name, struct str value);
/* Refuses query parameters other than these (NULL-terminated). ERR_UNKNOWN_FIELD. */
enum err web_only_query(const struct web_request *q, const char *const *allowed, struct fault *why) MUST_CHECK;
/* Unless the handler said which it takes, it takes none: web_write() asks this first, and the entrance before an answer leaves. */
enum err web_query_settled(const struct web_request *q, struct fault *why) MUST_CHECK;
/* "W/" free strong ETag of a revision; If-Match checked: ERR_PRECONDITION_FAILED. */
void reply_etag(struct reply *r, const struct web_request *q, int64_t revision);
enum err web_if_match(const struct web_request *q, int64_t revision, struct fault *why) MUST_CHECK;

/* Before what must not happen from a session left open: keys, exports, deletions, one's own sign-in. A session whose person showed
 * a password or code within five minutes passes; a token does, too: it is no browser's. ERR_STEP_UP_REQUIRED. */
enum err web_step_up(const struct web_request *q, struct fault *why) MUST_CHECK;

/* The problem document (RFC 9457) for a fault. run_id may be empty. */
void problem_write(struct buf *out, const struct fault *why, enum language lang, struct str run_id, struct str public_url);

/* One door. First match wins. A row without a right, or one that changes something without a name for the audit log, does not
 * start: routes_check() runs at boot and in tests. */
struct route {
    unsigned methods;
    const char *path;               /* {name} = one segment */
    enum right right;
    int64_t body_max;               /* bytes; 0: no body taken */
    handler *handle;
    const char *audit;              /* what the audit log calls it; for every row that is not GET */
    bool calls; /* a call is made or asked about: a token's methods and risks are held against that, not the door */
    bool form;  /* the body is a form's, of a page of ours without a script; it is read as an object of texts */
};
const struct route *routes_all(size_t *count);
/* In front of the handler: ERR_DENIED for a right of the instance; for one of folders, who is known comes in. */
enum err route_open(const struct route *r, const struct caller *c, struct fault *why) MUST_CHECK;
/* Behind it: a door whose right is held on the object, and whose handler answered without having asked for it, is ERR_INTERNAL. */
enum err route_asked(const struct route *r, unsigned asked, struct fault *why) MUST_CHECK;
const struct route *routes_check(void); /* the first bad row, or NULL */
/* HEAD finds the rows of GET. The matching row; *known is false when the path exists under no method (404 against 405; *allow then
 * gets the methods). */
const struct route *route_find(unsigned method, struct str path, struct arena *a, struct str params[4], size_t *param_count,
                               bool *known, unsigned *allow);

#endif
