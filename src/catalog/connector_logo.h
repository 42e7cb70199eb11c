/* catalog/connector_logo.h - the sign by which people know a connector: shapes from its file, else its first letter. An SVG picture
 * without a script, a link or anything to load, to stand in a page of ours.
 */
#ifndef CATALOG_CONNECTOR_LOGO_H
#define CATALOG_CONNECTOR_LOGO_H

#include "base/buf.h"
#include "catalog/connector.h"

/* The member `logo` of a connector file; none is fine. ERR_FIELD_INVALID, ERR_UNKNOWN_FIELD with the pointer. */
enum err connector_logo_read(struct arena *a, const struct json *doc, struct connector_logo *out, struct fault *why) MUST_CHECK;
void connector_logo_svg(struct buf *out, const struct connector *c);

#endif
