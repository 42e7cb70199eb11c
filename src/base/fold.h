/* base/fold.h - text as it is searched for, and as a key. */
#ifndef BASE_FOLD_H
#define BASE_FOLD_H

#include "base/arena.h"
#include "base/str.h"

/* Lower case without accents, for ASCII and Latin (U+00C0 to U+017F, and combining marks): "Éditions" -> "editions", "Œuvre" ->
 * "oeuvre". Other characters stay. Owned by `a`. */
struct str fold_search(struct arena *a, struct str text);

/* `folded` as the inside of LIKE ... ESCAPE '\': "%50\%%". Owned by `a`. */
struct str fold_like(struct arena *a, struct str folded);

/* A key out of a name: a-z, 0-9 and single hyphens, at most `most` characters; empty when nothing is left. */
struct str fold_key(struct arena *a, struct str name, size_t most);

#endif
