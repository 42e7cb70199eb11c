/* store/store_limits.h - the numbers of this room, once. */
#ifndef STORE_STORE_LIMITS_H
#define STORE_STORE_LIMITS_H

#define STORE_WAIT_MS 5000        /* longest wait for other writers, then ERR_STORE */
#define STORE_STATEMENTS 64       /* prepared statements kept per connection */
#define STORE_CHECKPOINT_WAIT_MS 200 /* longest that readers may hold up the emptying of the log */
#define STORE_RESERVE (64 * 1024 * 1024) /* bytes of the disk that are kept for what matters */
#define STORE_ROOM_GOOD_MS 1000   /* how long a look at the disk's room speaks for itself */
#define STORE_PROBE_WAIT_MS 1000  /* longest wait of store_ready() */
#define STORE_PROBE_GOOD_MS 5000  /* how long a good probe speaks for itself */

/* PostgreSQL. */
#define STORE_CONNECT_S 4         /* to connect, for each server that the address names */
#define STORE_SERVERS 16           /* named by an address */
#define STORE_STATEMENT_MS 5000   /* the longest that a statement may run */
#define STORE_ANSWER_MS 6000      /* how long an answer is waited for */
#define STORE_PATIENT_MS 3600000  /* the same where a whole database is moved */
#define STORE_IDLE_TRANSACTION_MS 10000 /* a transaction whose node says nothing is given up then */
#define STORE_REST_MS 250         /* after a connection that failed: once to twice as long no other is tried */
/* Advisory locks of this program in its database; the numbers mean nothing. */
#define STORE_WRITERS "7146104190421" /* one writer at a time */
#define STORE_NODES "7146104190422"   /* shared by the nodes that run */

#endif
