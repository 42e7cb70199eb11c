/* auth/revocation.h - tokens are given back when their connection goes (RFC 7009, requirement 9.8): the refresh token first. The
 * requests are in a durable queue from the transaction of the deletion on, and tried at once for a few seconds, later again.
 */
#ifndef AUTH_REVOCATION_H
#define AUTH_REVOCATION_H

#include "auth/renewal.h"

#define REVOCATION_WAIT_MS 5000
#define REVOCATION_GIVE_UP_MS (7 * 24 * 3600 * (int64_t)1000)

struct revocation;

/* Reads the connection's grant and makes the requests. *out is NULL when there is nothing to give back, or nobody who would take
 * it. Not inside a transaction. */
enum err revocation_new(struct renewals *r, struct str connection, struct revocation **out, struct fault *why) MUST_CHECK;
/* Inside store_write(): the requests into the queue, and the tokens out of use. NULL is fine. */
enum err revocation_store(struct db *db, struct revocation *v, struct fault *why) MUST_CHECK;
/* After the transaction: sends, for at most REVOCATION_WAIT_MS; what did not go stays in the queue. Ends `v`. NULL is fine. */
void revocation_go(struct revocation *v);
/* Instead of revocation_go(), when the transaction failed. NULL is fine. */
void revocation_free(struct revocation *v);

#endif
