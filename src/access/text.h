/* access/text.h - what tokens, users and sessions share: fingerprints and names. */
#ifndef ACCESS_TEXT_H
#define ACCESS_TEXT_H

#include "base/err.h"
#include "base/str.h"

#define TEXT_HASH 64

/* Hex SHA-256, as stored in place of what must not be read back; answers it as a str into `out`. */
struct str text_hash(struct str text, char out[TEXT_HASH]);
/* A name that people give: 1 to 100 characters of UTF-8, no control bytes, no space at either end.
 * `field` is its name in the API. ERR_FIELD_REQUIRED, ERR_FIELD_INVALID. */
enum err text_check_name(struct str name, const char *field, struct fault *why) MUST_CHECK;

#endif
