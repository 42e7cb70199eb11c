/* auth/told.h - what a provider says of itself, fit to be shown, kept and logged.
 *
 * A server may repeat in its error what it got: a code, an assertion, a client's secret. People want its words all the same, so the
 * words stay and what cannot be one goes: long opaque runs, and whole texts that show a piece of a secret that is known.
 */
#ifndef AUTH_TOLD_H
#define AUTH_TOLD_H

#include "base/arena.h"
#include "crypto/secret.h"

#define TOLD_MOST 512 /* characters (requirement 8.6) */

/* At most TOLD_MOST characters, without control characters; "***" where a run looks like a token, a signature or an encoded text.
 * UUIDs, which providers name their traces with, stay. */
struct str told_text(struct arena *a, struct str s);

/* Does the text show the secret, or eight bytes of it in a row, as it is, percent-encoded, or in base64? Shorter ones: the whole.
 */
bool told_shows(struct str text, struct secret s);

#endif
