/* store/store_limits.h - the numbers of this room, once. */
#ifndef STORE_STORE_LIMITS_H
#define STORE_STORE_LIMITS_H

#define STORE_WAIT_MS 5000        /* longest wait for other writers, then ERR_STORE */
#define STORE_STATEMENTS 64       /* prepared statements kept per connection */
#define STORE_CHECKPOINT_WAIT_MS 200 /* longest that readers may hold up the emptying of the log */
#define STORE_PROBE_WAIT_MS 1000  /* longest wait of store_ready() */
#define STORE_PROBE_GOOD_MS 5000  /* how long a good probe speaks for itself */

#endif
