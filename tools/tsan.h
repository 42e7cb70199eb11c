/* tools/tsan.h - included before every file of the thread sanitizer's build.
 *
 * gcc 12's thread sanitizer does not know pthread_mutex_clocklock(): it takes the mutex for never locked, and every unlock for a
 * fault. Here the wait becomes one that it knows.
 */
#ifndef TOOLS_TSAN_H
#define TOOLS_TSAN_H

#include <pthread.h>
#include <time.h>

static inline int tsan_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *until)
{
    struct timespec there, here;
    clock_gettime(clock, &there);
    clock_gettime(CLOCK_REALTIME, &here);
    here.tv_sec += until->tv_sec - there.tv_sec;
    here.tv_nsec += until->tv_nsec - there.tv_nsec;
    if (here.tv_nsec < 0) {
        here.tv_nsec += 1000000000;
        here.tv_sec--;
    } else if (here.tv_nsec >= 1000000000) {
        here.tv_nsec -= 1000000000;
        here.tv_sec++;
    }
    return pthread_mutex_timedlock(m, &here);
}
#define pthread_mutex_clocklock tsan_mutex_clocklock

#endif
