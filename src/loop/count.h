/* loop/count.h - numbers that one loop counts and any thread may look at: never torn, maybe a moment old.
 *
 * One writer, so that counting costs what a plain addition costs. `n` is an _Atomic integer.
 */
#ifndef LOOP_COUNT_H
#define LOOP_COUNT_H

#include <stdatomic.h>

#define glance(n) atomic_load_explicit(&(n), memory_order_relaxed)
#define bump(n, by) atomic_store_explicit(&(n), glance(n) + (by), memory_order_relaxed)

#endif
