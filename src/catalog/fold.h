/* catalog/fold.h - text as people search it: small letters without accents. */
#ifndef CATALOG_FOLD_H
#define CATALOG_FOLD_H

#include "base/buf.h"

/* Appends `s` in small letters, accents of Latin letters (U+00C0 to U+017F, and combining marks) dropped. Other characters stay. */
void fold(struct buf *out, struct str s);

#endif
