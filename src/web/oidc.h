/* web/oidc.h - the addresses of sign-in with an OpenID Connect provider. */
#ifndef WEB_OIDC_H
#define WEB_OIDC_H

#include "web/web.h"

/* What an administrator registers at the provider: <public url>/oidc/callback. Configuration, never derived from a request. */
struct str oidc_redirect_uri(const struct web_request *q);
/* A path of ours, to go back to after sign-in: begins with one '/', has no way to mean another host. */
bool oidc_return_path_ok(struct str path);

#endif
