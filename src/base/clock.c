#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

wall_ms clock_wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (wall_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static wall_ms steady_base; /* wall time where the monotonic clock is 0 */
static pthread_once_t steady_once = PTHREAD_ONCE_INIT;

static void steady_begin(void) { steady_base = clock_wall() - clock_mono_us() / 1000; }

wall_ms clock_steady(void)
{
    pthread_once(&steady_once, steady_begin);
    return steady_base + clock_mono_us() / 1000;
}

struct mono clock_mono(void) { return (struct mono){ clock_mono_us() / 1000 }; }

char *clock_format(wall_ms t, char out[CLOCK_TEXT])
{
    time_t seconds = (time_t)(t / 1000);
    int ms = (int)(t % 1000);
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm tm;
    gmtime_r(&seconds, &tm);
    /* Years beyond four digits would not fit; the hub never makes them. */
    snprintf(out, CLOCK_TEXT, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000u,
             (unsigned)(tm.tm_mon + 1) % 100u, (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u,
             (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u, (unsigned)ms % 1000u);
    return out;
}

static bool digits(const char *p, int n, int *out)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (!ascii_digit(p[i]))
            return false;
        value = value * 10 + (p[i] - '0');
    }
    *out = value;
    return true;
}

static int days_in(int year, int month)
{
    static const char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

bool clock_parse(struct str s, wall_ms *out)
{
    struct tm tm = { 0 };
    int ms = 0;
    if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't') || s.p[13] != ':' ||
        s.p[16] != ':' || (s.p[s.n - 1] != 'Z' && s.p[s.n - 1] != 'z'))
        return false;
    if (!digits(s.p, 4, &tm.tm_year) || !digits(s.p + 5, 2, &tm.tm_mon) || !digits(s.p + 8, 2, &tm.tm_mday) ||
        !digits(s.p + 11, 2, &tm.tm_hour) || !digits(s.p + 14, 2, &tm.tm_min) || !digits(s.p + 17, 2, &tm.tm_sec))
        return false;
    if (s.n == 24 && (s.p[19] != '.' || !digits(s.p + 20, 3, &ms)))
        return false;
    if (s.n != 20 && s.n != 24)
        return false;
    if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > days_in(tm.tm_year, tm.tm_mon) || tm.tm_hour > 23 ||
        tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out = (wall_ms)timegm(&tm) * 1000 + ms;
    return true;
}

bool clock_parse_http(struct str s, wall_ms *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = { 0 };
    if (s.n != 29 || s.p[3] != ',' || s.p[4] != ' ' || s.p[7] != ' ' || s.p[11] != ' ' || s.p[16] != ' ' || s.p[19] != ':' ||
        s.p[22] != ':' || !str_ends(s, STR(" GMT")))
        return false;
    while (tm.tm_mon < 12 && memcmp(months + 3 * tm.tm_mon, s.p + 8, 3) != 0)
        tm.tm_mon++;
    if (!digits(s.p + 5, 2, &tm.tm_mday) || !digits(s.p + 12, 4, &tm.tm_year) || !digits(s.p + 17, 2, &tm.tm_hour) ||
        !digits(s.p + 20, 2, &tm.tm_min) || !digits(s.p + 23, 2, &tm.tm_sec))
        return false;
    if (tm.tm_mon == 12 || tm.tm_mday < 1 || tm.tm_mday > days_in(tm.tm_year, tm.tm_mon + 1) || tm.tm_hour > 23 || tm.tm_min > 59 ||
        tm.tm_sec > 60)
        return false;
    tm.tm_year -= 1900;
    *out = (wall_ms)timegm(&tm) * 1000;
    return true;
}

bool duration_parse(struct str s, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
    size_t n = 0;
    while (n < s.n && ascii_digit(s.p[n]))
        n++;
    uint64_t value;
    if (!str_u64(str_sub(s, 0, n), &value) || value > 10ull * 366 * 86400 * 1000)
        return false;
    for (size_t i = 0; i < COUNT(units); i++)
        if (str_is(str_sub(s, n, s.n), units[i].unit)) {
            int64_t total;
            if (__builtin_mul_overflow((int64_t)value, units[i].ms, &total) || total > 10ll * 366 * 86400 * 1000)
                return false;
            *ms = total;
            return true;
        }
    return false;
}
