#include "loop/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"
#include "loop/inside.h"

#define CACHE_MAX 4096 /* names; beyond that nothing is kept */

struct name {
    uv_getaddrinfo_t request;
    struct resolver *owner;
    char *host;
    struct list waiting;
    bool looking;
    struct mono until;
    size_t count;
    struct sockaddr_storage at[];
};

struct resolver {
    struct loop *loop;
    struct map *names;
    int looking;
    bool ending;
    struct mono swept;
};

struct resolver *resolver_new(struct loop *l)
{
    struct resolver *r = mem_zero(sizeof *r);
    r->loop = l;
    r->names = map_new();
    return r;
}

static void name_free(struct name *n)
{
    free(n->host);
    free(n);
}

static void forget_waiting(struct name *n)
{
    while (list_pop(&n->waiting))
        ;
    uv_cancel((uv_req_t *)&n->request); /* fails once it has begun; then it comes back when it comes back */
}

/* Makes room by dropping what is too old to be used. */
static void sweep(struct resolver *r)
{
    struct mono now = loop_now(r->loop);
    size_t at = 0;
    struct str key;
    void *value;
    if (mono_since(r->swept, now) < RESOLVE_KEEP_MS)
        return;
    r->swept = now;
    while (map_next(r->names, &at, &key, &value)) {
        struct name *n = value;
        if (!n->looking && mono_since(n->until, now) >= 0) {
            map_take(r->names, key);
            name_free(n);
        }
    }
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    /* Look-ups that are still out come back to a name that nobody waits for, while loop_free() runs the loop dry. */
    r->ending = true;
    size_t at = 0;
    struct str key;
    void *value;
    while (map_next(r->names, &at, &key, &value)) {
        struct name *n = value;
        if (!n->looking)
            name_free(n);
        else
            forget_waiting(n);
    }
    map_free(r->names);
    r->names = NULL;
    if (!r->looking)
        free(r);
}

static void tell(struct name *n, const struct sockaddr_storage *at, size_t count, const char *problem)
{
    /* A callback may start a new look-up of this name; it then waits in the list below, not in this one. */
    struct list waiting;
    list_init(&waiting);
    for (struct list *node; (node = list_pop(&n->waiting));)
        list_push_back(&waiting, node);
    for (struct list *node; (node = list_pop(&waiting));) {
        struct resolve *who = list_entry(node, struct resolve, link);
        who->done(who, at, count, problem);
    }
}

static size_t collect(const struct addrinfo *list, struct sockaddr_storage out[RESOLVE_ADDRESSES], const char **problem)
{
    size_t n = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        if (n == RESOLVE_ADDRESSES) {
            *problem = "more than 64 addresses";
            return 0;
        }
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n++], a->ai_addr, a->ai_addrlen);
    }
    if (!n)
        *problem = "no address";
    return n;
}

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct name *n = list_entry(request, struct name, request);
    struct resolver *r = n->owner;
    struct sockaddr_storage at[RESOLVE_ADDRESSES];
    const char *problem = status ? uv_strerror(status) : NULL;
    size_t count = status ? 0 : collect(list, at, &problem);
    uv_freeaddrinfo(list);

    r->looking--;
    if (r->ending) {
        name_free(n);
        if (!r->looking)
            free(r);
        return;
    }
    loop_refresh(r->loop);
    map_take(r->names, str_of(n->host));
    tell(n, at, count, problem);
    struct str host = str_of(n->host);
    if (map_count(r->names) >= CACHE_MAX)
        sweep(r);
    if (count && !map_get(r->names, host) && map_count(r->names) < CACHE_MAX) {
        struct name *kept = mem_zero(sizeof *kept + count * sizeof at[0]);
        kept->owner = r;
        kept->host = mem_cstr(host);
        list_init(&kept->waiting);
        kept->until = (struct mono){ loop_now(r->loop).ms + RESOLVE_KEEP_MS };
        kept->count = count;
        memcpy(kept->at, at, count * sizeof at[0]);
        map_put(r->names, host, kept);
    }
    name_free(n);
}

/* RFC 6761 6.3: localhost and what ends in it is loopback, and is asked of no server: a bare system has no hosts file, and what a
 * name server says about it is worth nothing. IPv4, as almost all that listens on "localhost" does. */
static bool is_localhost(struct str host) { return str_ieq(host, STR("localhost")) || str_ends(host, STR(".localhost")); }

static void answer_loopback(struct resolve *who)
{
    struct sockaddr_storage at = { 0 };
    struct sockaddr_in *in = (struct sockaddr_in *)&at;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    who->done(who, &at, 1, NULL);
}

void resolve(struct resolver *r, const char *host, struct resolve *who)
{
    if (is_localhost(str_of(host))) {
        answer_loopback(who);
        return;
    }
    struct name *n = map_get(r->names, str_of(host));
    if (n && !n->looking) {
        if (mono_since(n->until, loop_now(r->loop)) < 0) {
            who->done(who, n->at, n->count, NULL);
            return;
        }
        map_take(r->names, str_of(host));
        name_free(n);
        n = NULL;
    }
    if (!n) {
        static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC };
        n = mem_zero(sizeof *n);
        n->owner = r;
        n->host = mem_cstr(str_of(host));
        list_init(&n->waiting);
        n->looking = true;
        int e = uv_getaddrinfo(loop_uv(r->loop), &n->request, on_answer, n->host, NULL, &hints);
        if (e) {
            name_free(n);
            who->done(who, NULL, 0, uv_strerror(e));
            return;
        }
        r->looking++;
        map_put(r->names, str_of(host), n);
    }
    list_push_back(&n->waiting, &who->link);
}

void resolve_cancel(struct resolve *who)
{
    if (who->link.next)
        list_remove(&who->link);
}
