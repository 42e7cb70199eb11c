/* web/form.h - what a page of ours without a script sends: application/x-www-form-urlencoded, as an object of texts. */
#ifndef WEB_FORM_H
#define WEB_FORM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

/* '+' is a blank. False on a broken escape. Owned by `a`; no other copy stays behind. */
bool form_decode(struct arena *a, struct str in, struct str *out);
/* Names once each, at most 64, values UTF-8. ERR_INPUT_INVALID. */
enum err form_read(struct arena *a, struct str body, struct json **out, struct fault *why) MUST_CHECK;

#endif
