/* store/folder_map.h - the tree of folders in memory: for lists, which ask of thousands of rows whether their folder is seen.
 * Private to the room; folder_scope.h has what others use.
 *
 * One map serves all threads, and is never changed. The database gives the tree another version with every change of it (a trigger,
 * so whoever changes it), and who asks reads the version first: a map is of the state of the database that its reader sees.
 */
#ifndef STORE_FOLDER_MAP_H
#define STORE_FOLDER_MAP_H

#include <pthread.h>

#include "store/db.h"

struct folder_map;

struct folder_node {
    const struct folder_node *parent; /* NULL: a root */
    size_t place;                     /* from 0 to folder_map_count() */
    bool inherits;                    /* what is held in the parent reaches it */
    char id[];
};

/* What a store keeps of it. */
struct folder_maps {
    pthread_mutex_t lock;
    struct folder_map *newest;        /* NULL: nobody asked yet */
};
void folder_maps_begin(struct folder_maps *all);
void folder_maps_end(struct folder_maps *all);
/* Of the store whose reader this is; NULL for a writer, which may see what is never committed. */
struct folder_maps *folder_maps_of(const struct db *db);

/* Within one db_snapshot(), to be given back. ERR_STORE. */
enum err folder_map_get(struct db *db, struct folder_map **out, struct fault *why) MUST_CHECK;
void folder_map_release(struct folder_map *m); /* NULL is fine */

size_t folder_map_count(const struct folder_map *m);
const struct folder_node *folder_map_find(const struct folder_map *m, struct str id); /* NULL: no such folder */
const struct folder_node *folder_map_at(const struct folder_map *m, size_t place);

#endif
