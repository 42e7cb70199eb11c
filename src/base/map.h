/* base/map.h - hash map from text to pointer. Keys are copied; values are the caller's.
 *
 * Hashing is keyed with process randomness, so that outsiders cannot choose colliding keys.
 * Not thread-safe.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct map;

struct map *map_new(void);
void map_free(struct map *m);                          /* values are left alone */
void map_free_all(struct map *m, void (*end)(void *value)); /* values too */
void *map_get(const struct map *m, struct str key);    /* NULL when absent */
void *map_put(struct map *m, struct str key, void *value); /* answers the value it replaced, or NULL */
void *map_take(struct map *m, struct str key);         /* removes; answers the value or NULL */
size_t map_count(const struct map *m);
/* Walk: start with at = 0; false at the end. Do not put while walking; take of the current key is fine. */
bool map_next(const struct map *m, size_t *at, struct str *key, void **value);

/* Keyed 64-bit hash (SipHash-1-3), the same for the life of the process. */
uint64_t hash_keyed(struct str s);
/* The same with a key of the caller's. */
uint64_t hash_sip13(uint64_t k0, uint64_t k1, struct str s);

#endif
