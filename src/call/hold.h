/* call/hold.h - an answer that is held back until it is known whether it is a provider's own way to say that a token is over: some
 * say it with 403 or 400 and a member or a word of the body. Short bodies only: such answers are short.
 */
#ifndef CALL_HOLD_H
#define CALL_HOLD_H

#include "auth/oauth_profile.h"
#include "base/buf.h"
#include "http/framing.h"

#define HOLD_MAX (64 * 1024) /* bytes of a body that is looked at */

struct hold {
    struct head head;
    struct framing framing;
    struct buf body;
    size_t given;  /* bytes of it that the caller has taken since it was let go */
    bool let_go, ended;
};

enum hold_verdict { HOLD_NO, HOLD_OVER, HOLD_LOOK_AT_BODY };
/* By the status alone: 401, or as the connector says. */
enum hold_verdict hold_judge(const struct oauth_expired *x, int status);

/* A copy in `a`; hold_end() by whoever asked. */
struct hold *hold_new(struct arena *a, const struct head *h, const struct framing *f);
/* False: more than is looked at; nothing was taken. */
bool hold_add(struct hold *h, struct str span);
/* The whole body is there: does it say so? */
bool hold_says_over(struct hold *h, struct arena *a, const struct oauth_expired *x);
struct str hold_left(const struct hold *h); /* what the caller has not taken yet */
void hold_end(struct hold *h); /* NULL is fine */

#endif
