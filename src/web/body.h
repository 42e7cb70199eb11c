/* web/body.h - members of a request's body, with the pointer of the one at fault. */
#ifndef WEB_BODY_H
#define WEB_BODY_H

#include "web/web.h"

/* Text of at most `max` bytes without control bytes; absent or null: STR_NONE. ERR_FIELD_INVALID, and ERR_FIELD_REQUIRED when
 * `required` and absent, null or empty. */
enum err body_text(const struct json *body, const char *name, bool required, size_t max, struct str *out,
                   struct fault *why) MUST_CHECK;
/* The same, but line breaks and tabs are fine. */
enum err body_prose(const struct json *body, const char *name, size_t max, struct str *out, struct fault *why) MUST_CHECK;
/* Absent: *out is left as it is. */
enum err body_bool(const struct json *body, const char *name, bool *out, struct fault *why) MUST_CHECK;
/* Absent or null: NULL. */
enum err body_object(const struct json *body, const char *name, const struct json **out, struct fault *why) MUST_CHECK;
/* A fault about one member; `says` follows its name. */
enum err body_fault(struct fault *why, enum err e, const char *name, const char *says);
/* {} when no body came. */
const struct json *body_of(const struct web_request *q);

/* The body held a password or a credential: wipe its bytes and what was read from them. */
void body_wipe(struct web_request *q);

#endif
