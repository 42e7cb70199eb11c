/* call/sign.h - signs the request of one call exactly as it goes out: method, Host, path, query and body as live.c writes them. For
 * connections whose auth method makes its headers anew for each request (auth/method.h).
 */
#ifndef CALL_SIGN_H
#define CALL_SIGN_H

#include "call/live.h"

/* For the target that the call has now; c->signature is made or replaced. What a redirect or a retry changed is signed again.
 * Errors: the method's; c->signature is then as it was. */
enum err sign_live(struct live *c, struct fault *why) MUST_CHECK;
/* Does a header of an answer repeat the signature? */
bool sign_echoed(const struct signature *s, struct str value);
bool sign_is_form(struct str content_type);

#endif
