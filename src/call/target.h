/* call/target.h - where a call goes, and whether it may: within the allowed domain, to the base URL's port or a listed one, never
 * from https to http, and by what the caller's token and policies leave of this connection. Asked of the first target, of each
 * redirect's, and again when the connection was made ready anew in the middle of a call. No SQL, lock or memory but the call's own.
 */
#ifndef CALL_TARGET_H
#define CALL_TARGET_H

#include "call/live.h"

/* c->target and c->query, from live_begin()'s path and query. ERR_URL_INVALID, and those of target_check(). */
enum err target_resolve(struct live *c, struct str path, struct str query, struct fault *why) MUST_CHECK;
/* ERR_DOMAIN_NOT_ALLOWED, ERR_SCHEME_NOT_ALLOWED, ERR_PORT_NOT_ALLOWED. */
enum err target_check(const struct live *c, const struct url *u, struct fault *why) MUST_CHECK;
/* What the token leaves, and what policies leave of this connection, of this method there; and of the method or path that a header
 * of the caller's puts in their place. Most calls are narrowed by neither. */
enum err target_check_narrowing(const struct live *c, struct str method, const struct url *u, struct fault *why) MUST_CHECK;

#endif
