/* access/token.h - what a caller presents; its grants narrow its principal's rights.
 *
 * "rcd_" + 40 characters (200 random bits, base32) + 6 characters of checksum (CRC-32 over what stands before, base32), so that
 * scanners recognise one and a typing error is told from a revoked one. Stored as SHA-256; the text is shown once and never again.
 */
#ifndef ACCESS_TOKEN_H
#define ACCESS_TOKEN_H

#include "access/caller.h"
#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

#define TOKENS_MOST 1000 /* of one principal, that are neither revoked nor over */
#define TOKENS_ENDED 1000 /* of one principal, that are: the oldest make room for new tokens */
#define TOKEN_TEXT 51 /* with NUL */
bool token_well_formed(struct str text); /* prefix, alphabet and checksum; asks no database */

struct token_row {
    struct str id, name, principal, principal_name, last4;
    enum role role;
    struct narrow narrow;         /* texts only, not prepared */
    wall_ms created, expires, last_used, revoked; /* 0: never */
};
struct token_new {
    struct str name, principal;   /* principal: usr_ or svc_ id */
    enum role role;               /* at most the principal's own: checked by the caller */
    const struct narrow *narrow;  /* entries in their stored form. NULL: none */
    wall_ms expires;              /* 0: never */
};

/* `text` is the caller's to wipe. ERR_FIELD_REQUIRED, ERR_FIELD_INVALID (name, role, expires); ERR_NOT_FOUND "principal";
 * ERR_LIMIT. */
enum err token_create(struct db *db, struct arena *a, const struct token_new *t, char text[TOKEN_TEXT], struct str *id,
                      struct fault *why) MUST_CHECK;
/* Resolve what a caller presented. The role is the lesser of the token's and its principal's of today.
 * ERR_TOKEN_INVALID (a disabled principal's too), ERR_TOKEN_EXPIRED. Writes nothing. */
enum err token_resolve(struct db *db, struct arena *a, struct str text, struct caller *out, struct fault *why) MUST_CHECK;
/* The caller that the token of this id resolves to, for saying what it may. Errors as token_resolve(), and ERR_NOT_FOUND "token";
 * *out then names the principal where it is known. */
enum err token_caller(struct db *db, struct arena *a, struct str id, struct caller *out, struct fault *why) MUST_CHECK;
/* Likewise a user or a service account, by id or name, as it is without a token. ERR_NOT_FOUND "principal", ERR_UNAUTHENTICATED
 * when it is disabled. */
enum err principal_caller(struct db *db, struct arena *a, struct str id, struct caller *out, struct fault *why) MUST_CHECK;
/* Who began something that goes on without them: by the token (tok_...) that they had, with its rights and no longer than it lives;
 * or, when `token` is none of ours, as principal_caller() says. ERR_AUTHORIZATION_OVER when they may nothing any more. */
enum err token_beginner(struct db *db, struct arena *a, struct str principal, struct str token, struct caller *out,
                        struct fault *why) MUST_CHECK;
enum err token_get(struct db *db, struct arena *a, struct str id, struct token_row *out, struct fault *why) MUST_CHECK;
/* By id, which is by age; `after` is the last id of the page before, or empty. Revoked ones are listed too. */
enum err token_list(struct db *db, struct arena *a, struct str principal /* p NULL: all */, struct str after, int limit,
                    struct token_row **out, size_t *n, struct fault *why) MUST_CHECK;
enum err token_update(struct db *db, struct str id, struct str name, wall_ms expires, struct fault *why) MUST_CHECK;
/* Replace the grants of every kind. */
enum err token_set_grants(struct db *db, struct str id, const struct narrow *narrow, struct fault *why) MUST_CHECK;
enum err token_revoke(struct db *db, struct str id, struct fault *why) MUST_CHECK; /* the row stays, revoked, for a while */
/* Those that were revoked or over before then go, at most so many at once; the audit log still says what they were. */
enum err token_prune(struct db *db, wall_ms before, int most, int64_t *deleted, struct fault *why) MUST_CHECK;
/* Last-used times arrive in batches. A token that is gone is no error; time does not go back. */
enum err token_touch(struct db *db, struct str id, wall_ms when, struct fault *why) MUST_CHECK;

#endif
