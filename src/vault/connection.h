/* vault/connection.h - a stored connection and its sealed credentials.
 *
 * auth_type and allowed_domain never change once saved: no function here can. Each secret is sealed with the connection's data key,
 * bound to "connection_secret|<connection id>|<name>|<allowed domain>|<auth type>|1", so a value moved to another row, name or
 * domain does not open (requirement 12.1). Deleting a connection deletes its data key with it.
 *
 * Rights are not checked here; the caller has done that.
 */
#ifndef VAULT_CONNECTION_H
#define VAULT_CONNECTION_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "crypto/secret.h"
#include "store/db.h"
#include "store/folder_scope.h"
#include "store/many.h"
#include "vault/keyring.h"

enum connection_state { CONNECTION_DRAFT, CONNECTION_NEEDS_AUTH, CONNECTION_ACTIVE, CONNECTION_DISABLED, CONNECTION_DELETED };
enum connection_health { HEALTH_UNKNOWN, HEALTH_OK, HEALTH_FAILING, HEALTH_EXPIRING, HEALTH_EXPIRED, HEALTH_RECONNECT_REQUIRED };
const char *connection_state_name(enum connection_state s);   /* "needs_auth" ... */
bool connection_state_parse(struct str s, enum connection_state *out);
const char *connection_health_name(enum connection_health h);
bool connection_health_parse(struct str s, enum connection_health *out);

struct connection_row {
    struct str id, key, name, folder, connector, connector_version, auth_type, allowed_domain;
    struct str fields;         /* JSON object, not secret */
    struct str tags;           /* JSON array of texts; p == NULL: none */
    struct str notes, account; /* account: STR_NONE when unknown */
    struct str owner;          /* principal id */
    enum connection_state state;
    enum connection_health health;
    bool is_default;
    int64_t revision;          /* counts changes; the ETag */
    wall_ms created, updated, verified; /* verified 0: never */
    wall_ms used;              /* last call but for verifying, within ten minutes; 0: none since it is noted */
    wall_ms due;               /* when a policy stops its credentials from being used; 0: never */
    wall_ms deleted;           /* 0: it is not; only vault/trash.h and lists that ask for them find deleted ones */
    int64_t number;            /* counts connections as they are made; where lists go on */
};

#define CONNECTION_TAGS 32 /* of one connection; each up to 64 bytes: letters, digits and _ - . : / */
/* A JSON array of texts, as struct connection_row keeps tags: in order, each once. ERR_FIELD_INVALID "/tags/3". Owned by `a`. */
enum err connection_tags_read(struct arena *a, const struct json *array, struct str *out, struct fault *why) MUST_CHECK;

struct connection_secret_info { struct str name; wall_ms updated; };
struct connection_secret { struct str name; struct secret value; };
#define CONNECTION_SECRETS 32
void connection_secrets_end(struct connection_secret *secrets, size_t n); /* wipes the values */

/* Insert row (id, key, revision and times are filled in: key falls back to a slug of the name, made unique in the folder) with its
 * secrets. ERR_CONFLICT when the key is taken in that folder. The first connection of a connector in a folder becomes its default.
 * Runs inside the caller's transaction. */
enum err connection_insert(struct db *db, struct keyring *k, struct arena *a, struct connection_row *row,
                           const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;
/* Name, notes, tags, fields, state, health, account, default, verified. ERR_PRECONDITION_FAILED when row->revision is not
 * the stored one; on success row->revision and updated are the new ones. */
enum err connection_update(struct db *db, struct connection_row *row, struct fault *why) MUST_CHECK;
/* The owner of what nobody has authenticated yet, and who then becomes it; others stay whose they are (CON-57). */
#define CONNECTION_OWNER_SYSTEM "system"
/* Whose account goes: what they own is nobody's, until somebody authenticates it anew. */
enum err connection_disown(struct db *db, struct str owner, struct fault *why) MUST_CHECK;
enum err connection_adopt(struct db *db, struct connection_row *row, struct str owner, struct fault *why) MUST_CHECK;
/* Replace all secrets, in the caller's transaction; bumps the revision. */
enum err connection_replace_secrets(struct db *db, struct keyring *k, struct arena *a, struct connection_row *row,
                                    const struct connection_secret *secrets, size_t n, struct fault *why) MUST_CHECK;
/* After connection_open_secrets() or certificate_open() answered ERR_RECONNECT_REQUIRED: the connection's health says so from now
 * on, unless it was changed meanwhile. */
enum err connection_lost(struct store *s, struct keyring *k, const struct connection_row *row, struct fault *why) MUST_CHECK;
/* The same secrets under a fresh data key, in the caller's transaction; nothing else of the connection changes.
 * ERR_RECONNECT_REQUIRED: they do not open; nothing is changed. */
enum err connection_renew_key(struct db *db, struct keyring *k, struct str id, struct fault *why) MUST_CHECK;
/* To another folder, where the key must be free (ERR_CONFLICT) and another default of the connector stays the default. Row as for
 * connection_update(). */
enum err connection_move(struct db *db, struct connection_row *row, struct str folder, struct fault *why) MUST_CHECK;
enum err connection_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK;
/* Health and verified time only; a client certificate, or credentials that a policy ends soon, turn HEALTH_OK into HEALTH_EXPIRING
 * or HEALTH_EXPIRED; no revision check, does not bump the revision. */
enum err connection_set_health(struct db *db, struct str id, enum connection_health h, wall_ms verified, struct str account,
                               struct fault *why) MUST_CHECK;

/* Somebody called through it then. A connection that is gone: nothing happens. */
#define CONNECTION_USED_MS 600000 /* noted at most this often */
enum err connection_used(struct db *db, struct str id, wall_ms when, struct fault *why) MUST_CHECK;
/* Since when it has its oldest credential; 0: it has none. */
enum err connection_secrets_since(struct db *db, struct str id, wall_ms *out, struct fault *why) MUST_CHECK;
/* A policy gives its credentials until `due` (0: no policy does): kept, and shown in its health from CONNECTION_DUE_AHEAD_MS
 * before. The revision stays. */
#define CONNECTION_DUE_AHEAD_MS (30 * 86400000LL)
enum err connection_set_due(struct db *db, const struct connection_row *row, wall_ms due, wall_ms now,
                            enum connection_health *health, struct fault *why) MUST_CHECK;

/* By id. ERR_CONNECTION_NOT_FOUND. */
enum err connection_get(struct db *db, struct arena *a, struct str id, struct connection_row *out, struct fault *why) MUST_CHECK;
/* By number, which ascend; deleted ones too. ERR_CONNECTION_NOT_FOUND unless all are there. */
enum err connection_numbered(struct db *db, struct arena *a, const int64_t *numbers, size_t n, struct connection_row *out,
                             struct fault *why) MUST_CHECK;
/* A deleted one, by id. ERR_CONNECTION_NOT_FOUND. */
enum err connection_get_deleted(struct db *db, struct arena *a, struct str id, struct connection_row *out,
                                struct fault *why) MUST_CHECK;
/* By key, among what is seen. ERR_CONNECTION_NOT_FOUND, ERR_AMBIGUOUS. */
enum err connection_find(struct db *db, struct arena *a, struct str key, const struct folder_scope *seen,
                         struct connection_row *out, struct fault *why) MUST_CHECK;

struct connection_filter {
    struct folder_scope scope;                      /* only what is seen */
    struct str connector, search;                   /* p == NULL: any; search: in key and name, letter case ignored */
    bool by_state; enum connection_state state;
    bool by_health; enum connection_health health;
    bool by_default, is_default;
    bool deleted;                                   /* deleted ones, instead of those that are not */
    struct str tag;                                 /* p == NULL: any */
    struct str after;                               /* cursor: the number of the last one seen, or NULL */
    int limit;
};
/* In connection_list.c. Ordered by number (age), keyset cursor. *out is an array of *n rows in `a`. */
enum err connection_list(struct db *db, struct arena *a, const struct connection_filter *f, struct connection_row **out,
                         size_t *n, struct fault *why) MUST_CHECK;
/* The same for who has opened the scope's folders, for more than the list, within a db_snapshot(). */
enum err connection_list_seen(struct db *db, struct arena *a, const struct connection_filter *f, const struct folder_sight *seen,
                              struct connection_row **out, size_t *n, struct fault *why) MUST_CHECK;

/* Which secrets are set, by name: out[i] for ids->keys[i]. */
struct connection_secrets_set { struct connection_secret_info *infos; size_t n; };
enum err connection_secrets_set(struct db *db, struct arena *a, const struct many *ids, struct connection_secrets_set *out,
                                struct fault *why) MUST_CHECK;
/* Open every secret of a connection. ERR_RECONNECT_REQUIRED when one does not open. The caller ends each value. */
enum err connection_open_secrets(struct db *db, struct keyring *k, struct arena *a, const struct connection_row *row,
                                 struct connection_secret out[CONNECTION_SECRETS], size_t *n, struct fault *why) MUST_CHECK;

#endif
