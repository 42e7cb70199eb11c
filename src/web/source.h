/* web/source.h - a member of a JSON object as its sender wrote it. */
#ifndef WEB_SOURCE_H
#define WEB_SOURCE_H

#include "base/arena.h"
#include "base/json.h"

/* The source text of the top-level member `name` of `text`, which json_read has accepted and read as `doc`. Borrowed from `text`;
 * written anew in `a` in the one case that a key is spelled with escapes. STR_NONE when there is no such member. */
struct str source_member(struct arena *a, struct str text, const struct json *doc, const char *name);

#endif
