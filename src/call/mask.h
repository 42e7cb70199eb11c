/* call/mask.h - no live secret of a call is ever stored, logged or shown (invariant 9, SEC-21).
 *
 * A mask knows every spelling of a connection's secrets: raw, base64 and base64url (at each of the three alignments),
 * percent-encoded (upper and lower-case hex), JSON-escaped, hex. What matches becomes "[masked]". Secrets under 4 bytes are not
 * searched for: they would mask ordinary text. The spellings live in secret memory.
 */
#ifndef CALL_MASK_H
#define CALL_MASK_H

#include "base/arena.h"
#include "crypto/secret.h"

struct mask; /* immutable; safe from any thread */

struct mask *mask_new(const struct secret *secrets, size_t n);
void mask_free(struct mask *m);
/* `text` itself when nothing matches; else a copy in `a`. Overlapping matches are masked whole. */
struct str mask_apply(const struct mask *m, struct arena *a, struct str text);
/* True when any spelling occurs. */
bool mask_hits(const struct mask *m, struct str text);

#endif
