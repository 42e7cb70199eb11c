/* access/policy.h - what administrators allow, preset and forbid; decided without SQL.
 *
 * A policy is a list of rules, for the whole instance or for a folder and all below it. Every rule that applies must be satisfied:
 * so what one policy blocks stays blocked whatever another allows, and what several allow is what all of them allow. The token's
 * grants (access/narrow.h) come last, and only narrow further.
 *
 * Sets are immutable; policy_store.h loads and shares them. The table of rules in policy.c feeds reading, the API's errors, the
 * trace and docs/policies.md.
 */
#ifndef ACCESS_POLICY_H
#define ACCESS_POLICY_H

#include <stdatomic.h>

#include "access/narrow.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

/* When a rule is asked. */
enum policy_moment { POLICY_CREATE = 1, POLICY_AUTHENTICATE = 2, POLICY_CALL = 4 };

enum policy_kind {
    POLICY_CONNECTORS_ALLOW, POLICY_CONNECTORS_BLOCK, POLICY_AUTH_TYPES_ALLOW, POLICY_AUTH_TYPES_BLOCK, POLICY_DOMAINS_ALLOW,
    POLICY_DOMAINS_BLOCK, POLICY_DOMAINS_EXACT, POLICY_MANAGED_ONLY, POLICY_PRESET, POLICY_METHODS_ALLOW, POLICY_METHODS_BLOCK,
    POLICY_RISKS_ALLOW, POLICY_RISKS_BLOCK, POLICY_ADDRESSES_ALLOW, POLICY_ADDRESSES_BLOCK, POLICY_QUOTA, POLICY_NEW_STATE,
    POLICY_NAME_FROZEN, POLICY_SECRET_MAX_AGE, POLICY_IDLE_MAX, POLICY_RUN_RETENTION, POLICY_SECURE, POLICY_KINDS
};
/* What a rule is about, for its reader and for docs/policies.md. NULL past the last. */
struct policy_kind_row {
    const char *name;
    const char *takes;      /* the members that it takes, in words */
    unsigned moments;       /* of enum policy_moment; 0: asked where it is needed */
    enum err err;           /* what a refusal answers */
    const char *help;
};
const struct policy_kind_row *policy_kind_row(size_t kind);

enum policy_part { PRESET_FIELD, PRESET_CREDENTIAL, PRESET_OAUTH_CLIENT, PRESET_SCOPES };
/* Its value is sealed, and not in the rule. */
static inline bool preset_is_sealed(enum policy_part p) { return p == PRESET_CREDENTIAL || p == PRESET_OAUTH_CLIENT; }
enum policy_mode { PRESET_OPTIONAL, PRESET_ENFORCED, PRESET_HIDDEN /* enforced, and not shown */ };

struct policy_rule {
    enum policy_kind kind;
    struct narrow_list connectors; /* to which it applies; not set: to all */
    struct narrow_list values;
    unsigned methods;              /* of methods and risks: bits that the values name */
    struct narrow ranges;          /* of addresses */
    int64_t number;                /* quota; milliseconds of an age */
    struct str said;               /* an age as it was written */
    bool disabled;                 /* new_connections: start disabled */
    struct {                       /* preset */
        enum policy_part part;
        enum policy_mode mode;
        struct str name;
        const struct json *value;  /* of fields and scopes; NULL: a sealed one */
        bool access_key;           /* the OAuth client is one that holds a key for roles: grants are none of its business */
        struct str client;         /* the OAuth client that is named: its id; p == NULL: the policy's own, or not known */
    } preset;
};
struct policy {
    struct str id, name;
    struct str folder;             /* id; p == NULL: the whole instance */
    struct policy_rule *rules;
    size_t rule_count;
};
struct policy_set {
    _Atomic int references;        /* counted: a change publishes a new set while decisions still run on the old one */
    struct arena *arena;
    struct policy *at;             /* the instance's first, then by id */
    size_t count;
};
struct policy_set *policy_set_keep(struct policy_set *s);
void policy_set_release(struct policy_set *s); /* NULL is fine */

/* Read the rules of one policy: a JSON array of objects. *out points into `a` and into the tree. `for_folder`: rules that hold for
 * the instance only are refused. ERR_FIELD_INVALID, ERR_FIELD_REQUIRED, ERR_UNKNOWN_FIELD with pointers below `prefix`. */
enum err policy_read(struct arena *a, const struct json *rules, bool for_folder, const char *prefix, struct policy *out,
                     struct fault *why) MUST_CHECK;
/* The text of a domain pattern: "example.com", "*.example.com", "*". ERR_FIELD_INVALID. */
bool policy_pattern_covers(struct str pattern, struct str domain);   /* all that the domain allows is in the pattern */
bool policy_pattern_overlaps(struct str pattern, struct str domain); /* some of it is */

/* Who gets a connection's tokens. */
struct policy_client {
    bool known;                    /* else the rest is not asked */
    bool own;                      /* brings an OAuth client, or an access key, of its own */
    bool access_key;               /* has a key for roles, or wants one */
    struct str id;                 /* the administrator's: cli_..., or pol_.../connector; empty: none yet */
    struct str scopes;             /* that the connection asks for, blanks between; p == NULL: none of its own */
};

struct policy_subject {
    enum policy_moment moment;
    const struct str *folders;     /* the folder and all above it; ids */
    size_t folder_count;
    struct str connector, auth_type, domain; /* p == NULL: not known, so not asked */
    const struct json *fields;     /* NULL: not asked */
    struct policy_client client;
    wall_ms secrets_since, now;    /* since when it has its oldest credential; 0: it has none, or that is not asked */
    /* One call; method.p == NULL: not asked. */
    struct str method;
    unsigned char family;
    const unsigned char *ip;
};

struct policy_step {
    const char *layer;             /* "instance", "folder", "token", "rights", "connection" */
    struct str policy, policy_name; /* p == NULL: none */
    const char *rule;
    bool allows;
    struct str says;
};
struct policy_trace {
    struct arena *arena;
    struct policy_step *steps;
    size_t count, size;
};
void policy_trace_add(struct policy_trace *t, struct policy_step step); /* t may be NULL */

#define SCOPES_BETWEEN " ,\t\r\n" /* what may stand between scopes that people type */

/* The same scopes, in whatever order? */
bool policy_scopes_same(struct str x, struct str y);

/* The decision. With a trace, every rule that applies is told, after a refusal too; the answer is the first refusal. `s` may be
 * NULL: no policies. Errors: those of the rules' rows; the subject names what is refused, and the policy. */
enum err policy_decide(const struct policy_set *s, const struct policy_subject *q, struct policy_trace *trace,
                       struct fault *why) MUST_CHECK;

/* Walk the rules of one kind that apply to the subject, whatever the moment: start with at = 0; NULL at the end. */
const struct policy_rule *policy_next(const struct policy_set *s, const struct policy_subject *q, enum policy_kind kind, size_t *at,
                                      const struct policy **policy);
/* The least number among them; 0: there is none. */
int64_t policy_least(const struct policy_set *s, const struct policy_subject *q, enum policy_kind kind);

/* What is asked per call, taken out of a set for one connection: no set, lock or memory is touched when it is asked. */
struct policy_gate {
    enum policy_kind kind;
    unsigned methods;
    struct narrow ranges;
    struct str id, policy;         /* of whom: id and name */
    const char *layer;             /* "instance" or "folder" */
};
/* *out is in `a`, and holds nothing of the set. */
void policy_gates(const struct policy_set *s, const struct policy_subject *q, struct arena *a, struct policy_gate **out, size_t *n);
enum err policy_gate_check(const struct policy_gate *g, struct str method, unsigned char family, const unsigned char *ip,
                           struct fault *why) MUST_CHECK;

/* Limits of the number of connections, as shipped: a policy that an administrator may switch on. NULL: no such preset. */
const char *policy_preset(struct str name);

#endif
