/* web/form.h - what a page of ours without a script sends: application/x-www-form-urlencoded, as an object of texts. */
#ifndef WEB_FORM_H
#define WEB_FORM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

/* Names once each, at most 64, values UTF-8. ERR_INPUT_INVALID. */
enum err form_read(struct arena *a, struct str body, struct json **out, struct fault *why) MUST_CHECK;

#endif
