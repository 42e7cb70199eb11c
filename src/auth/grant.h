/* auth/grant.h - what a connection was granted, as it is stored: its tokens, their scopes, when they end, and what happened to
 * them.
 *
 * Tokens are sealed as values of ("grant", connection id) (vault/sealed.h). A renewal counts up `generation`; who holds the lease
 * counts up `fence`, and no write with an older one is taken (requirements 10.1, 10.2). Rights are not checked here.
 */
#ifndef AUTH_GRANT_H
#define AUTH_GRANT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"
#include "store/many.h"
#include "vault/keyring.h"

#define GRANT_KIND "grant" /* of sealed values */

enum grant_state {
    GRANT_NONE,       /* nobody has authorized it yet, or nothing was fetched yet */
    GRANT_GOOD,
    GRANT_FAILING,    /* renewals fail for now: tried again by itself */
    GRANT_PAUSED,     /* the OAuth client is wrong: waits until it is changed */
    GRANT_OVER        /* a person must authorize again */
};
const char *grant_state_name(enum grant_state s);

struct grant {
    struct str connection;
    enum grant_state state;
    int64_t generation;     /* of the stored tokens; 0: none yet */
    wall_ms obtained, expires; /* expires 0: not known */
    wall_ms next;           /* when it is renewed by itself; 0: not */
    bool refreshable;       /* there is a refresh token */
    struct str requested, granted; /* scopes, one blank between; granted is what the answer said, or what was asked for */
    struct str reason;      /* of state FAILING, PAUSED, OVER: a stable code such as invalid_grant; else empty */
    int64_t failures;       /* in a row */
    bool from_backup;       /* its tokens may be generations old (requirement 19.7) */
};
/* ERR_NOT_FOUND: the connection has none. */
enum err grant_get(struct db *db, struct arena *a, struct str connection, struct grant *out, struct fault *why) MUST_CHECK;
/* The same for a page: out[i] and found[i] for connections->keys[i]. */
enum err grants_get(struct db *db, struct arena *a, const struct many *connections, struct grant *out, bool *found,
                    struct fault *why) MUST_CHECK;

/* What a renewal stores: "access_token", "refresh_token", "dpop_key", or what a method makes of an answer ("access_key_id" ...). */
struct grant_value { struct str name; struct secret value; };
#define GRANT_VALUES 8
/* ERR_RECONNECT_REQUIRED when one does not open. The caller ends each. */
enum err grant_open(struct db *db, struct keyring *k, struct arena *a, struct str connection, struct grant_value out[GRANT_VALUES],
                    size_t *n, struct fault *why) MUST_CHECK;

/* Newest first. `what`: obtained, renewed, refused, failed, unknown, lost, revoked ...; `cause`: expired, refused, ahead, asked,
 * idle, authorized. */
struct grant_event {
    int64_t number;
    wall_ms at;
    int64_t generation;
    struct str what, cause, reason, node;
    int64_t took_ms;
};
/* Those of all connections that are there, in order of their ids. */
struct grant_filter {
    const char *state;      /* a name; NULL: any */
    bool restored;          /* only those that a backup brought and that were not renewed since */
    struct str after;       /* cursor: the last connection seen; p == NULL: from the start */
    int limit;
};
struct grant_listed {
    struct grant grant;
    struct str key, name, folder, auth_type; /* of the connection; folder: its path */
};
enum err grant_list(struct db *db, struct arena *a, const struct grant_filter *f, struct grant_listed **out, size_t *n,
                    struct fault *why) MUST_CHECK;

/* Inside store_write(): the grant is another client's than the one that the connection has now. Its tokens are destroyed, as if
 * there had been none; a renewal that is under way comes too late. */
enum err grant_drop(struct db *db, struct str connection, struct fault *why) MUST_CHECK;

#define GRANT_EVENTS_KEPT 200 /* of each connection */
enum err grant_events(struct db *db, struct arena *a, struct str connection, int64_t before, int limit, struct grant_event **out,
                      size_t *n, struct fault *why) MUST_CHECK;

/* In the transaction that changes an OAuth client (`client`), or the credentials or fields of a connection (`connection`): grants
 * that waited for that, and those that were over, are tried again. Either may be empty. */
enum err grant_resume(struct db *db, struct str client, struct str connection, struct fault *why) MUST_CHECK;

#endif
