/* base/phrase.h - what a fault's subject says, in French.
 *
 * base/phrases.def has one row for each English sentence or noun that the rooms pass to fault() as its subject. Names are no
 * phrases: a field, a host, a key, a right is the same in every language and comes out as it went in. A subject may also be
 * "name: phrase", as in “limit: 1 to 200”; then the phrase alone changes.
 *
 * Left out, on purpose: what is said about the configuration, connector files, the data directory and listening. That speaks to
 * who runs the hub, in its log's language, English.
 *
 * tests/tools/phrases_test.py reads the rooms' sources and names each sentence that has no row.
 */
#ifndef BASE_PHRASE_H
#define BASE_PHRASE_H

#include "base/buf.h"
#include "base/err.h"

#define PHRASE_HOLES 3 /* at most, in one text */

struct phrase {
    enum err only;       /* after this error; ERR_NONE: after any whose subject may be a phrase */
    const char *text[2]; /* by language; `{}` stands for what varies */
};

const struct phrase *phrase_row(size_t i); /* NULL past the last */

/* Append the French of what fault() was given with `e`. False, and nothing appended, when no row says it. */
bool phrase_add(struct buf *out, enum err e, struct str subject);

#endif
