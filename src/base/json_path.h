/* base/json_path.h - one place in a JSON document: a pointer (RFC 6901), or a plain path such as $.data.tokens[0]['access-token'].
 *
 * A path is `$`, then `.name`, `['name']`, `["name"]` or `[0]`, in any number: the part of JSONPath (RFC 9535) that finds one value
 * at most. No wildcards, no filters.
 */
#ifndef BASE_JSON_PATH_H
#define BASE_JSON_PATH_H

#include "base/json.h"

/* "" and "$" are the whole document. NULL: nothing stands there, or `place` is neither. NULL is fine to ask. */
const struct json *json_path(const struct json *document, struct str place);
/* May it be asked for? */
bool json_path_valid(struct str place);

#endif
