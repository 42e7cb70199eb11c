/* auth/token_rate.h - how often token endpoints are asked: so many requests a second to one host, evenly, and so many at once, so
 * that one slow host does not take all threads (requirement 10.8).
 */
#ifndef AUTH_TOKEN_RATE_H
#define AUTH_TOKEN_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TOKEN_RATE_HOSTS 4096 /* remembered */

struct token_rate; /* the caller's lock guards it */
struct token_rate *token_rate_new(int per_second, int at_once);
void token_rate_free(struct token_rate *r); /* NULL is fine */

/* A place in the host's line: when its request may go, on the clock of `now_us`. */
int64_t token_rate_reserve(struct token_rate *r, struct str host, int64_t now_us);
/* Right before it goes. False: as many as allowed are under way, or went just now - a stall lets places in the line pass by, and
 * those who had them do not go all at once; *again_us is when to ask again. After true: token_rate_leave(). In no second do more
 * than `per_second` and one enter. */
bool token_rate_enter(struct token_rate *r, struct str host, int64_t now_us, int64_t *again_us);
void token_rate_leave(struct token_rate *r, struct str host);
/* True once for each host: its clock differs from ours. */
bool token_rate_tell_skew(struct token_rate *r, struct str host);

#endif
