/* base/template.h - `{{name.path}}` in a text becomes a value: base URLs, header values, token URLs.
 *
 * A name is letters, digits, `_`, `-` and `.`; blanks around it are allowed. There is nothing else: no
 * conditions, no escapes, and a value is put in as it is, never expanded again. Encoding a value for where
 * it goes (URL, header, JSON) is the look-up's business.
 */
#ifndef BASE_TEMPLATE_H
#define BASE_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

/* Sets *value, borrowed until the expansion returns, and answers true; false: there is no such name.
 * Asked twice for each placeholder and must answer alike. */
typedef bool template_lookup(void *context, struct str name, struct str *value);
/* Answers false when the name is not acceptable. */
typedef bool template_visit(void *context, struct str name);

/* Appends the expanded text. Values may be secrets: they are written to `out` alone, whose memory grows at
 * most once and before the first value is written, so no outgrown copy stays behind. Wiping `out` is the
 * caller's. On error nothing is appended.
 * Errors: ERR_FIELD_INVALID naming the placeholder; ERR_LIMIT when `out` cannot hold the result. */
enum err template_expand(struct buf *out, struct str text, template_lookup *lookup, void *context,
                         struct fault *why) MUST_CHECK;

/* Every placeholder's name in order, to check a template when it is stored.
 * Errors: ERR_FIELD_INVALID for a broken placeholder or one that `visit` refuses. `visit` may be NULL. */
enum err template_each(struct str text, template_visit *visit, void *context, struct fault *why) MUST_CHECK;

#endif
