#include "cmd/turning.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "access/audit.h"
#include "base/log.h"

#define IDLE_MS 5000          /* between looks at the ring */
#define AFTER_FAILURE_MS 30000
#define NICE 10               /* calls have the processor first; nobody waits for a rotation */

struct turning {
    struct store *store;
    struct keyring *keys;
    struct rotation_policy policy;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;      /* on the monotonic clock */
    bool stop, woken;
};

int64_t turning_rest_ms(const struct rotation_policy *policy, int64_t n, int64_t took_ms)
{
    int64_t due = n * 1000 / policy->rate;
    return due > took_ms ? due - took_ms : 1; /* never none: others wait for the writer, too */
}

static void say_begun(const struct rotation *r)
{
    char key[16], total[24];
    snprintf(key, sizeof key, "%u", r->key);
    snprintf(total, sizeof total, "%lld", (long long)r->total);
    log_line(LOG_INFO, "key rotation began", LOG("key", str_of(key)), LOG("reason", r->reason), LOG("data_keys", str_of(total)));
}

struct begin {
    struct turning *turning;
    struct arena *arena;
    struct rotation made;
};

/* Looked at again inside the transaction: another process may have begun one. */
static enum err begin_work(struct db *db, void *context, struct fault *why)
{
    struct begin *b = context;
    const char *reason;
    wall_ms at;
    enum err e = rotation_due(db, &b->turning->policy, &reason, &at, why);
    if (e || !reason || (e = rotation_begin(db, b->turning->keys, b->arena, reason, &b->made, why)))
        return e;
    struct audit_entry entry = { .via = STR("system"), .action = STR("keys.rotate"),
                                 .object = str_fmt(b->arena, "%u", b->made.key) };
    return audit_add(db, &entry, why);
}

static enum err begin_when_due(struct turning *t, struct db *db, struct fault *why)
{
    const char *reason;
    wall_ms at;
    enum err e = rotation_due(db, &t->policy, &reason, &at, why);
    if (e || !reason)
        return e;
    AUTO_ARENA a = arena_new(1024);
    struct begin b = { t, a, { 0 } };
    e = store_write(t->store, begin_work, &b, why);
    if (!e && b.made.key)
        say_begun(&b.made);
    return e == ERR_CONFLICT ? ERR_NONE : e; /* while a master key takes over */
}

/* One batch of whatever there is to do. *did: how many data keys; 0: nothing is left. */
static enum err turn(struct turning *t, int64_t *did, struct fault *why)
{
    struct rotation_count c;
    struct db *db = store_reader(t->store, why);
    *did = 0;
    if (!db)
        return ERR_STORE;
    enum err e = keyring_refresh(t->keys, db, why);
    if (e || (e = begin_when_due(t, db, why)) || (e = rotation_step(t->store, t->keys, &c, why)))
        return e;
    if (c.finished)
        log_line(LOG_INFO, "key rotation finished: the old wrapping keys are destroyed");
    if (!c.more)
        e = rotation_renew(t->store, t->keys, clock_wall() - t->policy.max_age, &c, why);
    if (c.broken)
        log_line(LOG_ERROR, "data keys do not open; their connections need new credentials");
    *did = c.more ? c.done + c.broken + c.finished : 0;
    return e;
}

static void rest(struct turning *t, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&t->lock);
    while (!t->stop && !t->woken && !pthread_cond_timedwait(&t->wake, &t->lock, &until))
        ;
    t->woken = false;
    pthread_mutex_unlock(&t->lock);
}

static bool stopped(struct turning *t)
{
    pthread_mutex_lock(&t->lock);
    bool stop = t->stop;
    pthread_mutex_unlock(&t->lock);
    return stop;
}

static void *turning_main(void *context)
{
    struct turning *t = context;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread alone */
    while (!stopped(t)) {
        struct fault why = { 0 };
        struct mono start = clock_mono();
        int64_t did;
        enum err e = turn(t, &did, &why);
        if (e && e != ERR_SEALED)
            log_fault(LOG_ERROR, "keys were not turned", &why);
        rest(t, e     ? AFTER_FAILURE_MS
                : did ? turning_rest_ms(&t->policy, did, mono_since(start, clock_mono()))
                      : IDLE_MS);
    }
    return NULL;
}

enum err turning_start(struct store *s, struct keyring *k, struct rotation_policy policy, struct turning **out, struct fault *why)
{
    struct turning *t = mem_zero(sizeof *t);
    pthread_condattr_t monotonic;
    t->store = s;
    t->keys = k;
    t->policy = policy;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&t->lock, NULL);
    if (pthread_create(&t->thread, NULL, turning_main, t)) {
        free(t);
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread that turns keys");
    }
    pthread_setname_np(t->thread, "keys");
    *out = t;
    return ERR_NONE;
}

void turning_wake(struct turning *t)
{
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
}

void turning_stop(struct turning *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
