/* auth/oauth_client.h - OAuth clients: what the hub is to an authorization server, on behalf of many connections (OAU-01 to
 * OAU-08).
 *
 * A key that never changes, a name that may, and settings (vault/oauth_settings.h). The secrets are sealed, and bound to the client
 * and to the hosts that its token requests go to: when those change, the secrets have to be given again, so that nobody who may
 * edit a URL can have a secret sent to a place of theirs. Rights are not checked here.
 */
#ifndef AUTH_OAUTH_CLIENT_H
#define AUTH_OAUTH_CLIENT_H

#include "access/policy.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"
#include "store/many.h"
#include "vault/keyring.h"

#define OAUTH_CLIENTS_MOST 1000
#define OAUTH_CLIENT_KEY_MOST 64
#define OAUTH_CLIENT_SECRET_MOST (4 * 1024)
#define OAUTH_PRIVATE_KEY_MOST (16 * 1024)
#define OAUTH_SETTINGS_MOST (64 * 1024) /* bytes of JSON */

/* During rotation there are two of a kind: the next one is tried when the provider refuses the other (OAU-04). */
enum oauth_secret { OAUTH_SECRET, OAUTH_NEXT_SECRET, OAUTH_PRIVATE_KEY, OAUTH_NEXT_PRIVATE_KEY, OAUTH_SECRET_KINDS };
const char *oauth_secret_name(enum oauth_secret s); /* "client_secret" ...; as the API's members */

struct oauth_client {
    struct str id, key, name;
    struct str connector;         /* that it is for; empty: its own URLs say where it is good */
    struct str client_id;
    const struct json *settings;  /* an object */
    wall_ms secrets[OAUTH_SECRET_KINDS]; /* since when; 0: there is none */
    struct str jwk, next_jwk;     /* the public halves of its private keys (RFC 7517); empty: there is none */
    wall_ms discovered;           /* when its issuer was asked; 0: never */
    wall_ms created, updated;
    int64_t revision;
};

/* Settings as a client may have them; `at`: pointer of the object. ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD. Without a connector there
 * must be a token URL or an issuer: ERR_FIELD_REQUIRED. The token URL and its like lie within `token_hosts`, where given. */
enum err oauth_client_check(struct arena *a, const struct oauth_client *c, const char *at, struct fault *why) MUST_CHECK;
/* It holds an access key, not what an authorization server gave: among its grant types is aws_assume_role. */
bool oauth_client_is_key(const struct oauth_client *c);
/* To which hosts secrets go besides those that the connector's file names: settings' token_hosts, or those of its URLs. */
void oauth_client_hosts(struct arena *a, const struct oauth_client *c, struct str **out, size_t *n);
/* Two states of a client: does a secret of the first open for the second? */
bool oauth_client_same_hosts(const struct oauth_client *before, const struct oauth_client *after);

/* Inside store_write(). Id, revision and times are filled in. ERR_CONFLICT for a key that is taken, ERR_LIMIT. */
enum err oauth_client_insert(struct db *db, struct arena *a, struct oauth_client *c, struct fault *why) MUST_CHECK;
/* Name, client id, settings, discovered. ERR_PRECONDITION_FAILED. */
enum err oauth_client_update(struct db *db, struct oauth_client *c, struct fault *why) MUST_CHECK;
/* ERR_OAUTH_CLIENT_IN_USE while a connection uses it, one that can be brought back too. */
enum err oauth_client_delete(struct db *db, const struct oauth_client *c, struct fault *why) MUST_CHECK;

/* SECRET_NONE takes it away. Does not count as a revision. A private key's public half goes to *c, in `a`. ERR_FIELD_INVALID: a key
 * that signs nothing. */
enum err oauth_client_set_secret(struct db *db, struct keyring *k, struct arena *a, struct oauth_client *c,
                                 enum oauth_secret which, struct secret value, struct fault *why) MUST_CHECK;
/* SECRET_NONE when there is none; the caller ends it. ERR_CRYPTO when it does not open. */
enum err oauth_client_secret(struct db *db, struct keyring *k, const struct oauth_client *c, enum oauth_secret which,
                             struct secret *out, struct fault *why) MUST_CHECK;
/* What comes next takes the place of what is: secret, private key, and with the key its id and certificate among the settings,
 * which oauth_client_update() has to store. ERR_NOT_FOUND "next client secret or private key". */
enum err oauth_client_promote(struct db *db, struct keyring *k, struct arena *a, struct oauth_client *c,
                              struct fault *why) MUST_CHECK;
/* Both public keys as a provider takes them for registration (RFC 7517 5): with `kid` and `alg` where they are known, and `x5c` of
 * its certificates (RFC 8705 2.2.1). NULL's place: an empty set. */
void oauth_client_jwks(struct json_out *o, const struct oauth_client *c);

/* By id or key. ERR_NOT_FOUND "oauth client". */
enum err oauth_client_get(struct db *db, struct arena *a, struct str id, struct oauth_client *out, struct fault *why) MUST_CHECK;
/* A page of them, by id alone: out[i] and found[i] for ids->keys[i]. One whose settings cannot be read is not found. */
enum err oauth_clients_named(struct db *db, struct arena *a, const struct many *ids, struct oauth_client *out, bool *found,
                             struct fault *why) MUST_CHECK;
/* By id, which is by age; `after` is the last id of the page before, or empty. */
struct oauth_client_filter { struct str connector, search, after; int limit; }; /* connector, search p == NULL: any */
enum err oauth_client_list(struct db *db, struct arena *a, const struct oauth_client_filter *f, struct oauth_client **out,
                           size_t *n, struct fault *why) MUST_CHECK;
/* How many connections use it, those not counted that were deleted. */
enum err oauth_client_users(struct db *db, struct str id, int64_t *out, struct fault *why) MUST_CHECK;

/* ---- what a connection has of OAuth: the table connection_oauth ---- */

struct connection_oauth {
    struct str client;   /* cli_..., pol_.../connector (a policy's preset), or empty: the connection's own */
    struct str scopes;   /* one blank between; p == NULL: the client's, or the connector's */
};
/* None there: all empty, and no fault. */
enum err connection_oauth_get(struct db *db, struct arena *a, struct str connection, struct connection_oauth *out,
                              struct fault *why) MUST_CHECK;
/* The same for a page: out[i] for connections->keys[i]. */
enum err connections_oauth(struct db *db, struct arena *a, const struct many *connections, struct connection_oauth *out,
                           struct fault *why) MUST_CHECK;
enum err connection_oauth_put(struct db *db, struct str connection, const struct connection_oauth *o, struct fault *why) MUST_CHECK;
/* Does the connection bring an OAuth client of its own? */
enum err connection_client_of(struct db *db, struct arena *a, struct str connection, struct str auth_type,
                              const struct json *fields, struct policy_client *out, struct fault *why) MUST_CHECK;
/* The same of one that is being written: it will have this client, or bring its own. */
struct policy_client connection_client_with(struct str auth_type, const struct json *fields, bool own, struct str client);
/* A list, or a text with blanks and commas between; each once, as they came. Absent or null: STR_NONE. ERR_FIELD_INVALID at `at`,
 * ERR_LIMIT. */
#define CONNECTION_SCOPES_MAX (16 * 1024)
enum err connection_scopes_read(struct arena *a, const struct json *v, const char *at, struct str *out,
                                struct fault *why) MUST_CHECK;

#endif
