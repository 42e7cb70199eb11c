#include "base/map.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/arena.h"

/* Open addressing with linear probing. A slot whose key is `taken` held an entry once: searches go on
 * past it, and nothing moves while a walk removes what it stands on. */
struct slot {
    uint64_t hash;
    struct str key; /* .p NULL: never used */
    void *value;
};

struct map {
    struct slot *slots;
    size_t size; /* a power of two */
    size_t used; /* live and taken slots: what a search may run into */
    size_t live;
};

#define SIZE_MIN 16

static const char taken[] = "";

static bool slot_live(const struct slot *s) { return s->key.p && s->key.p != taken; }

struct map *map_new(void)
{
    struct map *m = mem_zero(sizeof *m);
    m->size = SIZE_MIN;
    m->slots = mem_zero(SIZE_MIN * sizeof *m->slots);
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->size; i++)
        if (slot_live(&m->slots[i]))
            free((char *)m->slots[i].key.p);
    free(m->slots);
    free(m);
}

/* The slot of the key, or the free one where its search ended. At most 3/4 of the slots are used, so it ends. */
static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
    size_t at = hash & (m->size - 1);
    for (;; at = (at + 1) & (m->size - 1)) {
        struct slot *s = &m->slots[at];
        if (!s->key.p)
            return s;
        if (s->hash == hash && slot_live(s) && str_eq(s->key, key))
            return s;
    }
}

/* A fresh table, without taken slots, half empty or more. */
static void rebuild(struct map *m)
{
    struct map old = *m;
    m->size = SIZE_MIN;
    while (m->size < (old.live + 1) * 2)
        m->size *= 2;
    m->slots = mem_zero(m->size * sizeof *m->slots);
    m->used = old.live;
    for (size_t i = 0; i < old.size; i++)
        if (slot_live(&old.slots[i]))
            *find(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    free(old.slots);
}

void map_free_all(struct map *m, void (*end)(void *value))
{
    size_t at = 0;
    struct str key;
    void *value;
    while (m && map_next(m, &at, &key, &value))
        end(value);
    map_free(m);
}

void *map_get(const struct map *m, struct str key)
{
    struct slot *s = find(m, key, hash_keyed(key));
    return s->key.p ? s->value : NULL;
}

void *map_put(struct map *m, struct str key, void *value)
{
    uint64_t hash = hash_keyed(key);
    struct slot *s = find(m, key, hash);
    if (s->key.p) {
        void *old = s->value;
        s->value = value;
        return old;
    }
    if (m->used + 1 > m->size / 4 * 3) {
        rebuild(m);
        s = find(m, key, hash);
    }
    *s = (struct slot){ hash, { mem_cstr(key), key.n }, value };
    m->used++;
    m->live++;
    return NULL;
}

void *map_take(struct map *m, struct str key)
{
    struct slot *s = find(m, key, hash_keyed(key));
    if (!s->key.p)
        return NULL;
    void *value = s->value;
    free((char *)s->key.p);
    *s = (struct slot){ .key = { taken, 0 } };
    m->live--;
    return value;
}

size_t map_count(const struct map *m) { return m->live; }

bool map_next(const struct map *m, size_t *at, struct str *key, void **value)
{
    while (*at < m->size) {
        struct slot *s = &m->slots[(*at)++];
        if (!slot_live(s))
            continue;
        *key = s->key;
        *value = s->value;
        return true;
    }
    return false;
}

/* SipHash-1-3: one round a word, three at the end (Aumasson and Bernstein, 2012). */
static inline uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* Little-endian, whatever the machine. */
static inline uint64_t word(const char *p, size_t n)
{
    uint64_t w = 0;
    for (size_t i = 0; i < n; i++)
        w |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return w;
}

uint64_t hash_sip13(uint64_t k0, uint64_t k1, struct str s)
{
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t w = word(s.p + i, 8);
        v[3] ^= w;
        sip_round(v);
        v[0] ^= w;
    }
    uint64_t last = (uint64_t)s.n << 56 | (s.n > whole ? word(s.p + whole, s.n - whole) : 0);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t process_key[2];

static void draw_key(void)
{
    if (getrandom(process_key, sizeof process_key, 0) != (ssize_t)sizeof process_key) {
        fputs("the system's random source failed\n", stderr);
        abort();
    }
}

uint64_t hash_keyed(struct str s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_key);
    return hash_sip13(process_key[0], process_key[1], s);
}
