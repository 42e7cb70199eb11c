/* auth/jwt_caller.h - callers that present a token of an issuer we believe, in place of one of ours.
 *
 * Which issuers, for which audience, and who the bearer then is: rows of auth/identity_provider.h. A token never gives more than
 * its principal has, and a rule narrows that as a token's own grants would: by role, connections, folders, actions, methods, risks,
 * addresses, paths and time.
 */
#ifndef AUTH_JWT_CALLER_H
#define AUTH_JWT_CALLER_H

#include "access/caller.h"
#include "auth/identity_provider.h"
#include "auth/issuer.h"
#include "store/db.h"

/* Resolve what a caller presented; everything in `a`. out->token is the id of the provider's row, out->expires when the token ends.
 * May wait for the network: worker threads only. ERR_TOKEN_INVALID with a class of reasons, ERR_TOKEN_EXPIRED,
 * ERR_IDENTITY_PROVIDER. Writes nothing. */
enum err jwt_caller_resolve(struct issuers *s, struct db *db, struct arena *a, struct str token, struct caller *out,
                            struct fault *why) MUST_CHECK;

/* Who began something that goes on without them, by a token of ours (tok_...), by a rule (caller.rule), or in person (empty): as
 * they are now, narrowed by what narrows the token or the rule now. ERR_AUTHORIZATION_OVER. */
enum err jwt_caller_beginner(struct db *db, struct arena *a, struct str principal, struct str begun_by, struct caller *out,
                             struct fault *why) MUST_CHECK;

#define JWT_CALLER_NO_RULE SIZE_MAX /* a user who signs in through the provider */
/* What a rule is called in caller.rule: of its place among the provider's. */
struct str jwt_caller_rule(struct arena *a, const struct identity_provider *p, size_t rule);
/* Who a token with these claims would be, for saying what it may: nothing is verified, and of time only the end of the rule, and
 * the token's lifetime when exp is among the claims. *rule: which one. ERR_TOKEN_INVALID. */
enum err jwt_caller_of_claims(struct db *db, struct arena *a, const struct identity_provider *p, const struct json *claims,
                              struct caller *out, size_t *rule, struct fault *why) MUST_CHECK;

#endif
