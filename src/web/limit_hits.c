#include "web/limit_hits.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES 256
#define NAME_SIZE 160

struct hit {
    char name[NAME_SIZE];
    int64_t fresh; /* hits that are not in the database yet */
    wall_ms last;
};

struct limit_hits {
    pthread_mutex_t lock;
    struct hit at[NAMES];
    size_t count;
};

struct limit_hits *limit_hits_new(void)
{
    struct limit_hits *h = mem_zero(sizeof *h);
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

void limit_hits_free(struct limit_hits *h)
{
    if (!h)
        return;
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct hit *find(struct limit_hits *h, struct str name)
{
    for (size_t i = 0; i < h->count; i++)
        if (str_is(name, h->at[i].name))
            return &h->at[i];
    return NULL;
}

void limit_hit(struct limit_hits *h, struct str name)
{
    if (!h || name.n >= NAME_SIZE)
        return;
    pthread_mutex_lock(&h->lock);
    struct hit *hit = find(h, name);
    if (!hit && h->count < NAMES) {
        hit = &h->at[h->count++];
        str_copy(hit->name, sizeof hit->name, name);
    }
    if (hit) {
        hit->fresh++;
        hit->last = clock_wall();
    }
    pthread_mutex_unlock(&h->lock);
}

static const struct {
    enum err err;
    const char *name, *proxied;
} problems[] = {
    { ERR_BODY_TOO_LARGE, "request_body", "proxy_body" },
    { ERR_HEAD_TOO_LARGE, "request_head", "request_head" },
    { ERR_URI_TOO_LONG, "request_target", "request_target" },
    { ERR_RESPONSE_TOO_LARGE, "call_response_body", "call_response_body" },
    { ERR_OVERLOADED, "worker_queue", "worker_queue" },
};

/* Of ERR_LIMIT, whose subject says the limit in words that begin so. */
static const char *const kept[][2] = {
    { "1000 policies", "policies" },
    { "50 identity providers", "identity_providers" },
    { "1000 OAuth clients", "oauth_clients" },
    { "1000 tokens of one principal", "tokens" },
    { "10000 connections in a personal workspace", "personal_connections" },
    { "1000 open connect sessions", "connect_sessions" },
    { "10000 Idempotency-Keys of one caller", "idempotency_keys" },
    { "1000 folders in one folder", "folders_in_folder" },
    { "500 members of a folder", "folder_members" },
    { "1000 members of a group", "group_members" },
    { "200 shares of a connection", "connection_shares" },
};

void limit_hit_problem(struct limit_hits *h, const struct fault *why, bool proxied)
{
    char name[NAME_SIZE];
    struct str connector, rest;
    if (why->err == ERR_QUOTA_EXCEEDED) { /* its subject begins with the connector */
        str_cut(str_of(why->subject), ' ', &connector, &rest);
        snprintf(name, sizeof name, "connections.%.*s", STR_ARG(connector));
        limit_hit(h, str_of(name));
    }
    for (size_t i = 0; why->err == ERR_LIMIT && i < COUNT(kept); i++)
        if (str_starts(str_of(why->subject), str_of(kept[i][0])))
            limit_hit(h, str_of(kept[i][1]));
    for (size_t i = 0; i < COUNT(problems); i++)
        if (problems[i].err == why->err)
            limit_hit(h, str_of(proxied ? problems[i].proxied : problems[i].name));
}

static enum err write_all(struct db *db, void *context, struct fault *why)
{
    const struct limit_hits *fresh = context;
    enum err e = ERR_NONE;
    for (size_t i = 0; !e && i < fresh->count; i++) {
        if (!fresh->at[i].fresh)
            continue;
        struct query *q = query_begin(db, "INSERT INTO limit_hit (name, hits, last_ms) VALUES ($1, $2, $3)"
                                          " ON CONFLICT (name) DO UPDATE SET hits = limit_hit.hits + excluded.hits,"
                                          " last_ms = excluded.last_ms");
        query_text(q, str_of(fresh->at[i].name));
        query_i64(q, fresh->at[i].fresh);
        query_i64(q, fresh->at[i].last);
        e = query_end(q, why);
    }
    return e;
}

enum err limit_hits_store(struct limit_hits *h, struct store *s, struct fault *why)
{
    bool any = false;
    struct limit_hits *fresh = limit_hits_new();
    pthread_mutex_lock(&h->lock);
    memcpy(fresh->at, h->at, h->count * sizeof *h->at);
    fresh->count = h->count;
    for (size_t i = 0; i < fresh->count; i++)
        any |= fresh->at[i].fresh != 0;
    pthread_mutex_unlock(&h->lock);
    enum err e = any ? store_write(s, write_all, fresh, why) : ERR_NONE;
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; !e && i < fresh->count; i++)
        h->at[i].fresh -= fresh->at[i].fresh;
    pthread_mutex_unlock(&h->lock);
    limit_hits_free(fresh);
    return e;
}

enum err limit_hits_last(struct limit_hits *h, struct db *db, struct str name, wall_ms *out, struct fault *why)
{
    *out = 0;
    if (h) {
        pthread_mutex_lock(&h->lock);
        const struct hit *hit = find(h, name);
        *out = hit ? hit->last : 0;
        pthread_mutex_unlock(&h->lock);
    }
    if (*out)
        return ERR_NONE;
    struct query *q = query_begin(db, "SELECT last_ms FROM limit_hit WHERE name = $1");
    query_text(q, name);
    if (query_next(q))
        *out = query_get_i64(q, 0);
    return query_end(q, why);
}
