#include "store/folder_map.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"

struct folder_map {
    _Atomic int users;
    int64_t version;
    struct map *by_id;
    struct folder_node **nodes;
    size_t count, room;
};

size_t folder_map_count(const struct folder_map *m) { return m->count; }
const struct folder_node *folder_map_find(const struct folder_map *m, struct str id) { return map_get(m->by_id, id); }
const struct folder_node *folder_map_at(const struct folder_map *m, size_t place) { return m->nodes[place]; }

void folder_map_release(struct folder_map *m)
{
    if (!m || atomic_fetch_sub(&m->users, 1) > 1)
        return;
    for (size_t i = 0; i < m->count; i++)
        free(m->nodes[i]);
    free(m->nodes);
    map_free(m->by_id);
    free(m);
}

/* ---- reading one ---- */

static struct folder_node *add_node(struct folder_map *m, struct str id, bool inherits)
{
    struct folder_node *node = mem_zero(sizeof *node + id.n + 1);
    if (m->count == m->room) {
        m->room = m->room ? 2 * m->room : 64;
        m->nodes = mem_grow(m->nodes, m->room * sizeof *m->nodes);
    }
    node->place = m->count;
    node->inherits = inherits;
    memcpy(node->id, id.p, id.n);
    m->nodes[m->count++] = node;
    map_put(m->by_id, id, node);
    return node;
}

static enum err read_nodes(struct db *db, struct folder_map *m, struct fault *why)
{
    AUTO_ARENA parents = arena_new(64 * 1024);
    AUTO_ARENA row = arena_new(256);
    struct str *parent = NULL;
    size_t room = 0;
    struct query *q = query_begin(db, "SELECT id, parent_id, inherits FROM folder");
    while (query_next(q)) {
        struct folder_node *node = add_node(m, query_get_text(q, 0, row), query_get_i64(q, 2) == 1);
        if (m->room > room)
            parent = mem_grow(parent, (room = m->room) * sizeof *parent);
        parent[node->place] = query_get_text(q, 1, parents);
        arena_reset(row);
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; !e && i < m->count; i++)
        m->nodes[i]->parent = parent[i].p ? map_get(m->by_id, parent[i]) : NULL;
    free(parent);
    return e;
}

static enum err read_map(struct db *db, int64_t version, struct folder_map **out, struct fault *why)
{
    struct folder_map *m = mem_zero(sizeof *m);
    m->users = 1;
    m->version = version;
    m->by_id = map_new();
    enum err e = read_nodes(db, m, why);
    if (e)
        folder_map_release(m);
    else
        *out = m;
    return e;
}

/* ---- the newest ---- */

void folder_maps_begin(struct folder_maps *all) { pthread_mutex_init(&all->lock, NULL); }

void folder_maps_end(struct folder_maps *all)
{
    folder_map_release(all->newest);
    pthread_mutex_destroy(&all->lock);
}

/* NULL: there is none of this version. */
static struct folder_map *kept(struct folder_maps *all, int64_t version)
{
    pthread_mutex_lock(&all->lock);
    struct folder_map *m = all->newest && all->newest->version == version ? all->newest : NULL;
    if (m)
        atomic_fetch_add(&m->users, 1);
    pthread_mutex_unlock(&all->lock);
    return m;
}

static void keep(struct folder_maps *all, struct folder_map *m)
{
    atomic_fetch_add(&m->users, 1);
    pthread_mutex_lock(&all->lock);
    struct folder_map *before = all->newest;
    all->newest = m;
    pthread_mutex_unlock(&all->lock);
    folder_map_release(before);
}

enum err folder_map_get(struct db *db, struct folder_map **out, struct fault *why)
{
    struct folder_maps *all = folder_maps_of(db);
    int64_t version;
    enum err e = query_number(db, "SELECT version FROM folder_version", &version, why);
    if (e || (all && (*out = kept(all, version))))
        return e;
    e = read_map(db, version, out, why);
    if (!e && all)
        keep(all, *out);
    return e;
}
