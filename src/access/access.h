/* access/access.h - who may: users, service accounts, tokens, sessions, folders, rights.
 *
 * First storey: roles admin and user; two folders of every instance (one personal workspace per user, made when first needed, and
 * "shared"). The schema foresees members, groups, sub-folders and inherited rights.
 */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/secret.h"
#include "store/db.h"

enum role { ROLE_NONE, ROLE_USER, ROLE_ADMIN, ROLE_OWNER };
const char *role_name(enum role r);
bool role_parse(struct str s, enum role *out); /* owner, admin, user */

/* What a door asks for. One table in access.c says which role has which. */
enum right {
    RIGHT_MISSING = 0,      /* a row without a right does not start */
    RIGHT_OPEN,             /* everybody, signed in or not */
    RIGHT_SIGNED_IN,
    RIGHT_CATALOG_VIEW,
    RIGHT_CONNECTION_VIEW, RIGHT_CONNECTION_USE, RIGHT_CONNECTION_EDIT,
    RIGHT_RUN_VIEW,
    RIGHT_TOKEN_OWN,        /* make and see one's own tokens */
    RIGHT_ADMINISTER,       /* users, everyone's tokens */
    RIGHT_METRICS,
};
bool role_has(enum role r, enum right right);
const char *right_name(enum right r);

/* A caller, resolved. Everything is in the arena it was made with. */
struct caller {
    struct str principal;      /* usr_... or svc_... */
    struct str name;           /* e-mail or service account name */
    enum role role;            /* already narrowed by the token */
    struct str token;          /* tok_..., or STR_NONE for a session */
    struct str session_csrf;   /* for a session: the CSRF token expected; else STR_NONE */
    enum language language;
    bool limited;              /* the token is limited to `connections` */
    struct str *connections;   /* ids */
    size_t connection_count;
    struct str *folders;       /* ids of the folders this caller may see */
    size_t folder_count;
    wall_ms expires;           /* 0: never */
};
bool caller_may(const struct caller *c, enum right right);
bool caller_may_connection(const struct caller *c, struct str connection_id, struct str folder);

/* Tokens: "rcd_" + 40 characters (200 random bits, base32) + 6 characters of checksum (CRC-32 over what stands before, base32), so that
 * scanners recognise one and a typing error is told from a revoked one. Stored as SHA-256. */
#define TOKEN_TEXT 51 /* with NUL */
bool token_well_formed(struct str text);
struct token_row {
    struct str id, name, principal, principal_name, last4;
    enum role role;
    struct str *connections; size_t connection_count; bool limited;
    wall_ms created, expires, last_used, revoked;
};
struct token_new {
    struct str name, principal;   /* principal: usr_ or svc_ id */
    enum role role;               /* at most the principal's own: checked by the caller */
    bool limited; const struct str *connections; size_t connection_count;
    wall_ms expires;
};
enum err token_create(struct db *db, struct arena *a, const struct token_new *t, char text[TOKEN_TEXT], struct str *id,
                      struct fault *why) MUST_CHECK;
/* Resolve what a caller presented. ERR_TOKEN_INVALID, ERR_TOKEN_EXPIRED. Writes nothing. */
enum err token_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, struct fault *why) MUST_CHECK;
enum err token_get(struct db *db, struct arena *a, struct str id, struct token_row *out, struct fault *why) MUST_CHECK;
enum err token_list(struct db *db, struct arena *a, struct str principal /* p NULL: all */, struct str after, int limit,
                    struct token_row **out, size_t *n, struct fault *why) MUST_CHECK;
enum err token_update(struct db *db, struct str id, struct str name, wall_ms expires, struct fault *why) MUST_CHECK;
enum err token_revoke(struct db *db, struct str id, struct fault *why) MUST_CHECK; /* the row stays, revoked */
/* Last-used times arrive in batches. */
enum err token_touch(struct db *db, struct str id, wall_ms when, struct fault *why) MUST_CHECK;

/* Users and service accounts. */
struct user_row { struct str id, email, language; enum role role; bool disabled; wall_ms created, updated; int64_t revision; };
enum err user_create(struct db *db, struct arena *a, struct str email, struct str password_hash /* NULL: cannot sign in */,
                     enum role role, struct str language, struct str *id, struct fault *why) MUST_CHECK;
enum err user_get(struct db *db, struct arena *a, struct str id, struct user_row *out, struct fault *why) MUST_CHECK;
enum err user_list(struct db *db, struct arena *a, struct str after, int limit, struct user_row **out, size_t *n,
                   struct fault *why) MUST_CHECK;
enum err user_update(struct db *db, struct user_row *row, struct str password_hash /* NULL: keep */, struct fault *why) MUST_CHECK;
enum err user_delete(struct db *db, struct str id, struct fault *why) MUST_CHECK; /* refuses the last owner: ERR_LIMIT */
enum err user_count(struct db *db, int64_t *out, struct fault *why) MUST_CHECK;
enum err service_account_find_or_create(struct db *db, struct arena *a, struct str name, enum role role, struct str *id,
                                        struct fault *why) MUST_CHECK;
/* Password sign-in. Same time whether or not the user exists. ERR_BAD_CREDENTIALS; ERR_RATE_LIMITED after 5 failures in 15 minutes for
 * one account (kept in the database, so it survives a restart). `s` because a failure is recorded in a transaction of its own. */
enum err user_sign_in(struct store *s, struct arena *a, struct str email, struct str password, struct str *id, struct fault *why) MUST_CHECK;

/* Console sessions: 256 random bits in a cookie, stored hashed; idle 15 min, absolute 8 h (requirement 15.3). */
#define SESSION_TEXT 53
enum err session_create(struct db *db, struct arena *a, struct str user, char text[SESSION_TEXT], struct str *csrf,
                        struct fault *why) MUST_CHECK;
/* ERR_UNAUTHENTICATED when unknown, idle too long or over. `touch` is set when the idle time should be written (at most once a minute). */
enum err session_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, bool *touch, struct fault *why) MUST_CHECK;
enum err session_touch(struct db *db, struct str text, struct fault *why) MUST_CHECK;
enum err session_end(struct db *db, struct str text, struct fault *why) MUST_CHECK;
enum err sessions_end_of_user(struct db *db, struct str user, struct fault *why) MUST_CHECK;

/* Folders. Paths: "shared", "personal" (the caller's own), "shared/sales" later. */
struct folder_row { struct str id, path, kind /* "shared" | "personal" */, owner; wall_ms created; };
enum err folder_resolve(struct db *db, struct arena *a, const struct caller *c, struct str path_or_id, struct folder_row *out,
                        struct fault *why) MUST_CHECK; /* ERR_NOT_FOUND "folder" */
enum err folder_list(struct db *db, struct arena *a, const struct caller *c, struct folder_row **out, size_t *n,
                     struct fault *why) MUST_CHECK;
enum err folder_ensure_personal(struct db *db, struct arena *a, struct str user, struct str *id, struct fault *why) MUST_CHECK;

#endif
