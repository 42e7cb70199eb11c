/* web/policies.h - a policy as a request's body holds it. */
#ifndef WEB_POLICIES_H
#define WEB_POLICIES_H

#include "access/policy_store.h"
#include "web/web.h"

/* As POST /policies takes it; id and times are left empty. Values of preset credentials are left out. */
enum err policies_read(struct web_request *q, const struct json *body, struct policy_row *out, struct fault *why) MUST_CHECK;

#endif
