/* access/text.h - what tokens, users and sessions share: fingerprints and names. */
#ifndef ACCESS_TEXT_H
#define ACCESS_TEXT_H

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define TEXT_HASH 64

/* Hex SHA-256, as stored in place of what must not be read back; answers it as a str into `out`. */
struct str text_hash(struct str text, char out[TEXT_HASH]);
/* A link that somebody follows, which one browser alone may. `sql` has the link's hash as $1, now as $2, and as $3 the hash of the
 * browser, or "-" where it has no cookie yet. Ended by the caller, as any query; `h` holds what is bound until then. */
struct link_hashes { char link[TEXT_HASH], browser[TEXT_HASH]; };
struct query *text_link_query(struct db *db, const char *sql, struct str link, struct str browser, struct link_hashes *h);
/* A name that people give: 1 to 100 characters of UTF-8, no control bytes, no space at either end.
 * `field` is its name in the API. ERR_FIELD_REQUIRED, ERR_FIELD_INVALID. */
enum err text_check_name(struct str name, const char *field, struct fault *why) MUST_CHECK;

#endif
