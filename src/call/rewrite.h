/* call/rewrite.h - bodies and queries that carry a credential: what the caller sent under the same names is left out. */
#ifndef CALL_REWRITE_H
#define CALL_REWRITE_H

#include "auth/method.h"
#include "base/arena.h"
#include "base/err.h"

#define REWRITE_MAX (1024 * 1024) /* bytes of a body that is rewritten */

/* `query` (raw, may be empty) without the parameters that `injections` set; itself when there are none. */
struct str rewrite_query(struct arena *a, struct str query, const struct injections *injections);

/* A JSON object or a form (by content type; JSON when there is neither type nor body) with the injected members added, replacing
 * the caller's of the same name. Numbers stay as they came. *out is the caller's to end. Errors: ERR_UNSUPPORTED_MEDIA_TYPE,
 * ERR_JSON_INVALID, ERR_INPUT_INVALID, ERR_BODY_TOO_LARGE. */
enum err rewrite_body(struct arena *a, struct str content_type, struct str body, const struct injections *injections,
                      struct secret *out, struct fault *why) MUST_CHECK;

#endif
