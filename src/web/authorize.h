/* web/authorize.h - letting a person authorize a connection at its provider: begin, out through a page of ours, and back. */
#ifndef WEB_AUTHORIZE_H
#define WEB_AUTHORIZE_H

#include "auth/authorization.h"
#include "vault/connection.h"
#include "web/web.h"

/* The second path is that of other hubs, so that apps which were registered for it keep working (OAU-10). */
#define AUTHORIZE_CALLBACK "/oauth/callback"
#define AUTHORIZE_CALLBACK_ALIAS "/provisioning_/callback"

struct authorize_begun {
    struct authorization t;
    struct str url;    /* where the person goes */
};
/* In the name of q->caller, whose rights were asked for. `browser`: that the attempt is bound to at once; STR_NONE: to the first
 * that follows its link. `session`: css_..., or empty. One audit record. ERR_AUTHORIZE_NOT_OFFERED, ERR_OAUTH_CLIENT_MISSING,
 * ERR_AUTHORIZATION_SERVER. */
enum err authorize_begin(struct web_request *q, const struct connection_row *row, struct str browser, struct str session,
                         struct str return_path, bool accept_account, struct authorize_begun *out, struct fault *why) MUST_CHECK;
void authorize_write(struct web_request *q, struct json_out *o, const struct authorization *t, struct str url);

/* The text in this browser's cookie; when there is none it is given one. */
struct str authorize_browser(struct web_request *q, struct reply *r);

/* What people read when it did not work: the code for programs in the header, as everywhere. `said`: the provider's own words,
 * `retry`: where to try again; both may be empty. */
void authorize_sorry(struct web_request *q, struct reply *r, const struct fault *why, struct str said, struct str retry);

#endif
