/* call/await.h - a call whose connection's token is over or was refused, waiting for the next one (auth/renewal.h). It holds
 * neither a worker thread nor the loop; ten thousand may wait for one renewal.
 */
#ifndef CALL_AWAIT_H
#define CALL_AWAIT_H

#include "auth/renewal.h"
#include "call/prepared.h"
#include "call/switchboard.h"

struct await;

/* resume() runs on the board's loop, once, later, unless await_leave() came first: with the connection made ready anew, whose
 * reference it takes over, or with NULL and the reason. */
struct await *await_start(struct board *b, const struct prepared *to, enum renewal_cause cause,
                          void (*resume)(void *who, struct prepared *to, const struct fault *why), void *who);
/* On the loop. The renewal goes on. */
void await_leave(struct await *w);

#endif
