#include "auth/token_rate.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

#define EARLY_US 50000   /* threads wake up late: who is behind may catch up so much */
#define BUSY_US 20000    /* the host has as many requests as it may have */
#define SECOND_US 1000000

struct host {
    int64_t next_us;   /* the next place in the line */
    int64_t even_us;   /* when the next request would go, were they all even; it may go EARLY_US before */
    int under_way;
    int asking;        /* requests that are not over */
    int pressing;      /* who has entered and waits for its next request */
    int64_t *over_us;  /* those of the last second, the oldest at `first`; grows with what there is, to `per_second` */
    size_t first, count, size;
    bool skew_told;
};

struct token_rate {
    struct map *hosts;
    int64_t step_us;
    int per_second, at_once;
};

struct token_rate *token_rate_new(int per_second, int at_once)
{
    struct token_rate *r = mem_zero(sizeof *r);
    r->hosts = map_new();
    /* What may be caught up counts: then it is so many in any second, and not only on the average. */
    r->per_second = per_second < 1 ? 1 : per_second;
    r->step_us = (SECOND_US + EARLY_US) / r->per_second;
    r->at_once = at_once < 1 ? 1 : at_once;
    return r;
}

/* How many of those that are over may have reached the host in the second that ends now. */
static size_t still_counted(struct host *h, int64_t now_us)
{
    while (h->count && h->over_us[h->first] <= now_us - SECOND_US) {
        h->first = (h->first + 1) % h->size;
        h->count--;
    }
    return h->count;
}

static void host_free(struct host *h)
{
    free(h->over_us);
    free(h);
}

static void forget(struct token_rate *r, int64_t before_us)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(r->hosts, &at, &key, &value)) {
        struct host *h = value;
        if (h->under_way || h->next_us > before_us || still_counted(h, before_us))
            continue;
        map_take(r->hosts, key);
        host_free(h);
    }
}

void token_rate_free(struct token_rate *r)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (r && map_next(r->hosts, &at, &key, &value))
        host_free(value);
    if (r)
        map_free(r->hosts);
    free(r);
}

static struct host *host_of(struct token_rate *r, struct str name)
{
    struct host *h = map_get(r->hosts, name);
    if (!h)
        map_put(r->hosts, name, h = mem_zero(sizeof *h));
    return h;
}

int64_t token_rate_reserve(struct token_rate *r, struct str host, int64_t now_us)
{
    if (map_count(r->hosts) >= TOKEN_RATE_HOSTS)
        forget(r, now_us);
    struct host *h = host_of(r, host);
    int64_t at = h->next_us > now_us ? h->next_us : now_us;
    h->next_us = at + r->step_us;
    return at;
}

/* ---- what counts ---- */

static void note_over(struct host *h, int64_t now_us)
{
    if (h->count == h->size) {
        size_t size = h->size ? 2 * h->size : 8;
        int64_t *all = mem_grow(NULL, size * sizeof *all);
        for (size_t i = 0; i < h->count; i++)
            all[i] = h->over_us[(h->first + i) % h->size];
        free(h->over_us);
        h->over_us = all;
        h->size = size;
        h->first = 0;
    }
    h->over_us[(h->first + h->count++) % h->size] = now_us;
}

/* May one more be sent, `kept` places being somebody's? */
static bool room(const struct token_rate *r, struct host *h, int kept, int64_t now_us, int64_t *again_us)
{
    size_t used = still_counted(h, now_us) + (size_t)h->asking + (size_t)kept;
    *again_us = h->count ? h->over_us[h->first] + SECOND_US : now_us + BUSY_US;
    return used < (size_t)r->per_second;
}

bool token_rate_enter(struct token_rate *r, struct str host, int64_t now_us, int64_t *again_us)
{
    struct host *h = host_of(r, host);
    bool early = h->even_us - now_us > EARLY_US;
    if (!room(r, h, h->pressing, now_us, again_us))
        return false;
    *again_us = early ? h->even_us - EARLY_US : now_us + BUSY_US;
    if (early || h->under_way >= r->at_once)
        return false;
    h->even_us = (h->even_us > now_us ? h->even_us : now_us) + r->step_us;
    h->under_way++;
    h->asking++;
    return true;
}

bool token_rate_again(struct token_rate *r, struct str host, bool asked, int64_t now_us, int64_t *again_us)
{
    struct host *h = host_of(r, host);
    bool may = room(r, h, 0, now_us, again_us);
    h->pressing += !asked && !may;
    h->pressing -= asked && may;
    h->asking += may;
    return may;
}

void token_rate_over(struct token_rate *r, struct str host, int64_t now_us)
{
    struct host *h = host_of(r, host);
    h->asking--;
    note_over(h, now_us);
}

void token_rate_leave(struct token_rate *r, struct str host, bool unsent)
{
    struct host *h = host_of(r, host);
    h->under_way--;
    h->asking -= unsent;
}

bool token_rate_tell_skew(struct token_rate *r, struct str host)
{
    struct host *h = host_of(r, host);
    bool first = !h->skew_told;
    h->skew_told = true;
    return first;
}
