/* access/caller.h - who is asking, resolved from a token or a session, and what they may in the instance.
 * What they may in a folder is in access/rights.h. */
#ifndef ACCESS_CALLER_H
#define ACCESS_CALLER_H

#include "access/narrow.h"
#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

/* How a session's person showed who it is. */
enum session_how {
    SESSION_PASSWORD,
    SESSION_SECOND_FACTOR,
    SESSION_PROVIDER /* an identity provider vouches, second factor and all */
};

/* Everything is in the arena it was made with. */
struct caller {
    struct str principal;      /* usr_... or svc_... */
    struct str name;           /* e-mail or service account name */
    enum role role;            /* the principal's own, of today */
    enum role narrowed;        /* the token's: what it has not, the caller has not; ROLE_NONE: nothing is taken away */
    struct str token;          /* tok_..., or STR_NONE for a session */
    struct str begun_by;       /* of one that acts through a link: the token or rule by which that was made; else empty */
    struct str rule;           /* with a token of an issuer: the rule that narrows it (auth/jwt_caller.h); else empty */
    struct str session_csrf;   /* for a session: the CSRF token expected; else STR_NONE */
    enum language language;
    struct narrow narrow;      /* what the token's grants leave beside its role; zeroed for a session */
    wall_ms expires;           /* 0: never */
    unsigned *asked;           /* where the folder rights that were asked for are noted (RIGHT_BIT()s); NULL: nowhere */
    /* Of a session; STR_NONE and 0 for a token. */
    struct str session;        /* ses_... */
    enum session_how how;
    wall_ms proved;            /* when a password or code was last shown */
};

/* The role's right of the instance, less what the token leaves out: one that is narrowed to connections, folders, actions or paths
 * has no say over people, policies, keys and the audit log. For a right of folders this is no answer: see rights_need(). */
bool caller_may(const struct caller *c, enum right right); /* NULL: nobody signed in */
/* The role to show: the token's, when all of it is within the principal's. */
enum role caller_role(const struct caller *c);
/* Notes that a folder right was asked for. */
void caller_asked(const struct caller *c, enum right right);
/* The connections that the token is limited to, if it is: ids. */
static inline const struct narrow_list *caller_connections(const struct caller *c) { return &c->narrow.lists[NARROW_CONNECTION]; }
static inline bool caller_limited(const struct caller *c) { return caller_connections(c)->set; }
/* Does the token leave something out beside its role: connections, folders, methods, addresses ...? */
bool caller_narrowed(const struct caller *c);
/* False when the token is limited to other connections. */
bool caller_granted(const struct caller *c, struct str connection_id);

#endif
