#include "auth/token_rate.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

struct host {
    int64_t next_us;   /* when the next request may go */
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
    r->step_us = 1000000 / (per_second < 1 ? 1 : per_second);
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

bool token_rate_enter(struct token_rate *r, struct str host)
{
    struct host *h = host_of(r, host);
    if (h->under_way >= r->at_once)
        return false;
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
