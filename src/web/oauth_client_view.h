/* web/oauth_client_view.h - an OAuth client as the API shows it. */
#ifndef WEB_OAUTH_CLIENT_VIEW_H
#define WEB_OAUTH_CLIENT_VIEW_H

#include "auth/oauth_client.h"
#include "web/web.h"

/* Where providers send browsers back to: what is registered there. In the exchange's arena. */
struct str oauth_redirect_uri(const struct web_request *q);
enum err oauth_client_write(struct web_request *q, struct db *db, struct json_out *o, const struct oauth_client *c,
                            struct fault *why) MUST_CHECK;
/* Inside the transaction of the change: grants that were paused because the client was wrong are tried again. */
enum err oauth_client_changed(struct db *db, const struct oauth_client *c, struct fault *why) MUST_CHECK;

#endif
