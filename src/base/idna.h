/* base/idna.h - host names of people to host names of machines: WHATWG "domain to ASCII", UTS #46 through libidn2.
 *
 * The allowed domain of a connection and the host that is dialled both pass here, so that they cannot differ
 * (requirement 1.5). Non-transitional, CheckHyphens and VerifyDnsLength off, CheckBidi and CheckJoiners on; the
 * full-width dots part labels. Where libidn2 is stricter than the rule (symbols such as U+2665, labels over 63
 * bytes) a name is refused; none is ever taken for another one.
 */
#ifndef BASE_IDNA_H
#define BASE_IDNA_H

#include "base/arena.h"
#include "base/str.h"

#define IDNA_INPUT 1024 /* longest text, bytes */

/* *out: lower-case A-labels, owned by `a`; may keep a trailing dot and empty labels, which the caller judges, as it does
 * lengths, underscores and numbers. False when there is no such form, it is empty, the text is not UTF-8 or too long, or
 * the form holds a forbidden domain code point (controls, space, # / : < > ? @ [ \ ] ^ | %); *out is then untouched. */
bool idna_to_ascii(struct arena *a, struct str text, struct str *out);

#endif
