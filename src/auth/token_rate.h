/* auth/token_rate.h - how often token endpoints are asked: so many requests a second to one host, evenly, and so many at once, so
 * that one slow host does not take all threads (requirement 10.8).
 *
 * Invariant: in no second do more than `per_second` requests reach a host, by its own clock, whatever threads, disks and networks
 * do in between. When one arrives is not known here; that it arrives between its being let in and its being over is. So it counts
 * from the one until a second after the other: of those that arrive within one second, the last to be let in found all others
 * counted.
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
 * those who had them do not go all at once; *again_us is when to ask again. After true: token_rate_over() when it was answered, or
 * lost; then token_rate_leave(). */
bool token_rate_enter(struct token_rate *r, struct str host, int64_t now_us, int64_t *again_us);
void token_rate_over(struct token_rate *r, struct str host, int64_t now_us);
/* Who has entered sends another one, its last being over (a nonce, another secret): before those who have not entered. False: not
 * before *again_us; the next place is kept for it, so it asks until it is true, and says that it has `asked`. After true:
 * token_rate_over(). */
bool token_rate_again(struct token_rate *r, struct str host, bool asked, int64_t now_us, int64_t *again_us);
/* `unsent`: entered, and never sent: nothing is over. */
void token_rate_leave(struct token_rate *r, struct str host, bool unsent);
/* True once for each host: its clock differs from ours. */
bool token_rate_tell_skew(struct token_rate *r, struct str host);

#endif
