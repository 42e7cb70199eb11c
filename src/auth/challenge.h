/* auth/challenge.h - the challenges of WWW-Authenticate: which schemes, with which parameters. RFC 9110 11.6.1. Private to auth/.
 *
 * One header may hold several challenges, and commas part both challenges and their parameters: a word followed by "=" and a value
 * is a parameter, one that is not begins a challenge.
 */
#ifndef AUTH_CHALLENGE_H
#define AUTH_CHALLENGE_H

#include "base/str.h"

#define CHALLENGE_PARAMS 16

struct challenge {
    struct str scheme;
    struct { struct str name, value; } params[CHALLENGE_PARAMS]; /* a quoted value without its quotes, its escapes as sent */
    int count;
};
/* Takes the next challenge off `rest`, one header's value. False at its end, and at what cannot be read. */
bool challenge_next(struct str *rest, struct challenge *out);
struct str challenge_param(const struct challenge *c, const char *name); /* letter case ignored; p == NULL: absent */

#endif
