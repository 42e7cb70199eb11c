#include "auth/token_rate.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

#define EARLY_US 50000   /* threads wake up late: who is behind may catch up so much */
#define BUSY_US 20000    /* the host has as many requests as it may have */

struct host {
    int64_t next_us;   /* the next place in the line */
    int64_t even_us;   /* when the next request would go, were they all even; it may go EARLY_US before */
    int under_way;
    bool skew_told;
};

struct token_rate {
    struct map *hosts;
    int64_t step_us;
    int at_once;
};

struct token_rate *token_rate_new(int per_second, int at_once)
{
    struct token_rate *r = mem_zero(sizeof *r);
    r->hosts = map_new();
    /* What may be caught up counts: then it is so many in any second, and not only on the average. */
    r->step_us = (1000000 + EARLY_US) / (per_second < 1 ? 1 : per_second);
    r->at_once = at_once < 1 ? 1 : at_once;
    return r;
}

static void forget(struct token_rate *r, int64_t before_us)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(r->hosts, &at, &key, &value)) {
        struct host *h = value;
        if (h->under_way || h->next_us > before_us)
            continue;
        map_take(r->hosts, key);
        free(h);
    }
}

void token_rate_free(struct token_rate *r)
{
    size_t at = 0;
    struct str key;
    void *value;
    while (r && map_next(r->hosts, &at, &key, &value))
        free(value);
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

bool token_rate_enter(struct token_rate *r, struct str host, int64_t now_us, int64_t *again_us)
{
    struct host *h = host_of(r, host);
    bool early = h->even_us - now_us > EARLY_US, full = h->under_way >= r->at_once;
    *again_us = early ? h->even_us - EARLY_US : now_us + BUSY_US;
    if (early || full)
        return false;
    h->even_us = (h->even_us > now_us ? h->even_us : now_us) + r->step_us;
    h->under_way++;
    return true;
}

void token_rate_leave(struct token_rate *r, struct str host) { host_of(r, host)->under_way--; }

bool token_rate_tell_skew(struct token_rate *r, struct str host)
{
    struct host *h = host_of(r, host);
    bool first = !h->skew_told;
    h->skew_told = true;
    return first;
}
