/* web/acting.h - a request that comes back from a provider, or through a link, acts in the name of whoever began it: with the
 * rights that they have now, asked for as anybody's. What was begun with a token ends with it, and has its rights; what was begun
 * with a token of an issuer ends with the rule that took it, and is narrowed by it.
 */
#ifndef WEB_ACTING_H
#define WEB_ACTING_H

#include "web/web.h"

/* q->caller becomes that principal, or that token of its; `via` (aut_..., css_...) is what the audit log says it came through.
 * ERR_AUTHORIZATION_OVER: there is no such principal any more, or it is disabled; its token or rule is revoked or over. */
enum err acting_as(struct web_request *q, struct db *db, struct str principal, struct str token, struct str via,
                   struct fault *why) MUST_CHECK;
/* The token of ours, or the rule, that the caller came with, or that made the link through which it acts; or empty. */
struct str acting_token(const struct caller *c);

/* A request of the API's within one of a page's, by the caller that it acts as: same checks, same record, to be handed to the
 * route's handler. `body` is lent; params are the caller's to fill in. */
struct web_request acting_request(const struct web_request *q, unsigned method, struct str path, struct json *body);
/* Its answer is for programs: what stays of it are the cookies that were there before. */
void acting_forget_answer(struct reply *r);

#endif
