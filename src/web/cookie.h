/* web/cookie.h - the cookie of a console session (RFC 6265).
 *
 * __Host-raccord over https: bound to this host, Secure, Path=/. A browser drops that name over plain http, so there it is
 * "raccord".
 */
#ifndef WEB_COOKIE_H
#define WEB_COOKIE_H

#include "web/web.h"

/* What the browser sent, or STR_NONE. */
struct str cookie_session(const struct head *h, const struct hub *hub);
/* Set-Cookie for this session; an empty text ends it. */
void cookie_set_session(struct web_request *q, struct reply *r, struct str text);

/* The browser's part of a sign-in through a provider (auth/oidc.h), in a cookie of its own: it must come back with the provider's
 * redirect, so it is SameSite=Lax, and short-lived. */
struct str cookie_attempt(const struct head *h, const struct hub *hub);
void cookie_set_attempt(struct web_request *q, struct reply *r, struct str text);

/* The browser's part of authorizations at providers (auth/authorization.h) and of connect sessions: SameSite=Lax, for an hour. */
struct str cookie_authorize(const struct head *h, const struct hub *hub);
void cookie_set_authorize(struct web_request *q, struct reply *r, struct str text);

#endif
