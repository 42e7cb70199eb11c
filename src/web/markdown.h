/* web/markdown.h - the Markdown of connector files as markup: paragraphs, lists of one level, `code`, **bold**, *emphasis*.
 * Everything else is text, and all text is escaped: no links, no pictures, no markup of its own.
 */
#ifndef WEB_MARKDOWN_H
#define WEB_MARKDOWN_H

#include "base/buf.h"

void markdown_write(struct buf *out, struct str text);

#endif
