/* base/yaml.h - one YAML 1.2 document as a JSON tree: configuration, OpenAPI documents.
 *
 * Scalars follow the core schema (YAML 1.2.2, 10.3): plain true, false, null and numbers are that, all else
 * is text; a number that JSON cannot write (.inf, .nan) is text too. Keys become text as written. JSON is
 * YAML, and is read by base/json.h, so numbers keep their text.
 *
 * Refused: a second document, duplicate keys, keys that are not scalars, nesting deeper than JSON_DEPTH,
 * an alias inside its own anchor, tags beyond YAML's own, invalid UTF-8, NUL bytes.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/json.h"

/* `limit`: most bytes of `text`, and most bytes that aliases may add to what was written (a tree of aliases
 * to aliases grows exponentially). `text` may go afterwards; the tree is owned by `a`. An empty document is
 * JSON_NULL.
 * Errors: ERR_INPUT_INVALID with line and column, ERR_BODY_TOO_LARGE, ERR_LIMIT for aliases. */
enum err yaml_read(struct arena *a, struct str text, size_t limit, struct json **out, struct fault *why) MUST_CHECK;

#endif
