#include "call/circuit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "crypto/hash.h"

#define PLACES 4096        /* connections that fail at the same time; a power of two */
#define WINDOW 20          /* tries that are looked back at */
#define TOO_MANY 10        /* of them that failed */
#define PER_RETRY 5        /* calls that earn one retry */
#define BUDGET_MOST (10 * PER_RETRY)

/* Key 0: free. A place is taken by a first failure and given back when a whole window has none. */
struct circuit {
    _Atomic uint64_t key;
    uint32_t history;      /* one bit a try, 1: failed; tries before the place was taken had succeeded */
    int budget;            /* of retries, in fifths */
    int64_t open_until;    /* 0: closed; past: the next call is a probe */
};

struct circuits {
    pthread_mutex_t lock;  /* for all but reading keys */
    int64_t rest_ms;
    uint64_t opened, refused;
    struct circuit at[PLACES];
};

struct circuits *circuits_new(int64_t rest_ms)
{
    struct circuits *c = mem_zero(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->rest_ms = rest_ms;
    return c;
}

void circuits_free(struct circuits *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c);
}

uint64_t circuit_key(struct str connection, struct str authority) { return fingerprint(connection, authority).low | 1; }

static struct circuit *place_of(struct circuits *c, uint64_t key) { return &c->at[(key >> 1) % PLACES]; }

/* Has it failed lately? Without the lock: most calls end here. */
static bool known(struct circuits *c, uint64_t key)
{
    return atomic_load_explicit(&place_of(c, key)->key, memory_order_relaxed) == key;
}

/* The place with the lock held, or NULL when it is another's. */
static struct circuit *lock_known(struct circuits *c, uint64_t key)
{
    if (!known(c, key))
        return NULL;
    pthread_mutex_lock(&c->lock);
    if (known(c, key))
        return place_of(c, key);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum err circuit_enter(struct circuits *c, uint64_t key, int64_t now, bool *probe, struct fault *why)
{
    struct circuit *at = lock_known(c, key);
    *probe = false;
    if (!at)
        return ERR_NONE;
    *probe = at->open_until && at->open_until <= now;
    if (*probe)
        at->open_until = now + c->rest_ms; /* should it never say how it went, the next one will */
    bool refused = at->open_until && !*probe;
    c->refused += refused;
    pthread_mutex_unlock(&c->lock);
    return refused ? fault(why, ERR_CIRCUIT_OPEN, STR(""), "most of the last calls failed") : ERR_NONE;
}

/* A place whose circuit is open is not taken from its connection. */
static void take(struct circuit *at, uint64_t key)
{
    if (at->open_until)
        return;
    at->history = 0;
    at->budget = BUDGET_MOST;
    atomic_store_explicit(&at->key, key, memory_order_relaxed);
}

static void close_circuit(struct circuit *at)
{
    at->history = 0;
    at->open_until = 0;
    atomic_store_explicit(&at->key, 0, memory_order_relaxed);
}

static bool note(struct circuits *c, struct circuit *at, int64_t now, bool failed)
{
    if (at->open_until)
        return false; /* it began before */
    at->history = (at->history << 1 | failed) & ((1u << WINDOW) - 1);
    at->budget += at->budget < BUDGET_MOST;
    if (!at->history)
        close_circuit(at);
    if (!c->rest_ms || __builtin_popcount(at->history) < TOO_MANY)
        return false;
    at->open_until = now + c->rest_ms;
    c->opened++;
    return true;
}

static void answer_probe(struct circuits *c, struct circuit *at, int64_t now, bool failed)
{
    if (failed)
        at->open_until = now + c->rest_ms;
    else
        close_circuit(at);
}

bool circuit_tell(struct circuits *c, uint64_t key, int64_t now, bool failed, bool probe)
{
    if (!failed && !known(c, key))
        return false;
    pthread_mutex_lock(&c->lock);
    struct circuit *at = place_of(c, key);
    if (failed && !known(c, key))
        take(at, key);
    bool opened = false;
    if (known(c, key) && probe)
        answer_probe(c, at, now, failed);
    else if (known(c, key))
        opened = note(c, at, now, failed);
    pthread_mutex_unlock(&c->lock);
    return opened;
}

bool circuit_may_retry(struct circuits *c, uint64_t key)
{
    struct circuit *at = lock_known(c, key);
    if (!at)
        return true; /* its place is another's: who cannot be counted is not refused */
    bool may = at->budget >= PER_RETRY;
    at->budget -= may ? PER_RETRY : 0;
    pthread_mutex_unlock(&c->lock);
    return may;
}

struct circuit_counts circuits_counts(struct circuits *c, int64_t now)
{
    pthread_mutex_lock(&c->lock);
    struct circuit_counts n = { .opened = c->opened, .refused = c->refused };
    for (unsigned i = 0; i < PLACES; i++)
        n.open += c->at[i].open_until > now;
    pthread_mutex_unlock(&c->lock);
    return n;
}
