#include "cmd/node_inside.h"

#include <errno.h>

#include "access/policy_store.h"
#include "access/token.h"
#include "base/log.h"
#include "call/run_seal.h"
#include "cmd/certificate_watch.h"
#include "vault/connection_words.h"
#include "vault/trash.h"
#include "web/idempotency.h"
#include "web/limit_hits.h"
#include "web/policy_ages.h"

#define UPKEEP_MS (10 * 60 * 1000)
#define AGES_MS (60 * 60 * 1000)     /* what policies say of ages, unless they have changed */
#define LISTENER_LOOK_MS (15 * 1000) /* how often the files of the listener are looked at */
#define LOOK_EVERY_MS (24 * 3600 * 1000)
#define PRUNE_AT_ONCE 5000
#define KEYS_AT_ONCE 500

struct prune {
    wall_ms before, secrets_before;
    int64_t deleted;
};

static enum err prune_runs(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return runs_prune(db, p->before, PRUNE_AT_ONCE, &p->deleted, why);
}

static enum err tell_prune(struct db *db, void *context, struct fault *why)
{
    return run_seal_prune(db, ((struct prune *)context)->before, why);
}

/* The setting's, or a shorter one of a policy. */
static int64_t run_retention(struct node *n)
{
    struct policy_set *set = policy_book_set(n->hub.policies);
    int64_t ms = policy_least(set, &(struct policy_subject){ 0 }, POLICY_RUN_RETENTION);
    policy_set_release(set);
    return ms && ms < n->config->retention.runs ? ms : n->config->retention.runs;
}

/* Step by step: each is a transaction of its own, so that nobody waits long. */
static void prune_with(struct node *n, store_work *work, struct prune *p, const char *failed)
{
    struct fault why;
    do {
        if (store_write(n->hub.store, work, p, &why)) {
            log_fault(LOG_WARN, failed, &why);
            return;
        }
    } while (p->deleted && !n->upkeep_stop);
}

static void prune(struct node *n, store_work *work, wall_ms before, const char *failed)
{
    prune_with(n, work, &(struct prune){ .before = before }, failed);
}

static void prune_all_runs(struct node *n)
{
    struct prune p = { .before = clock_wall() - run_retention(n) };
    struct fault why;
    if (store_write(n->hub.store, tell_prune, &p, &why)) /* first: what goes unsaid would look stolen */
        log_fault(LOG_WARN, "old run records were not removed", &why);
    else
        prune(n, prune_runs, p.before, "old run records were not removed");
}

static enum err prune_keys(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return idempotency_prune(db, p->before, KEYS_AT_ONCE, &p->deleted, why);
}

static enum err empty_trash(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    struct trash_ages ages = { p->before, p->secrets_before, KEYS_AT_ONCE };
    return trash_empty(db, &ages, &p->deleted, why);
}

static void prune_connections(struct node *n)
{
    wall_ms now = clock_wall();
    struct prune p = { .before = now - n->config->retention.deleted_connections,
                       .secrets_before = now - n->config->retention.deleted_secrets };
    prune_with(n, empty_trash, &p, "deleted connections were not removed");
}

static enum err tidy_words(struct db *db, void *upkeep, struct fault *why) { return connection_words_tidy(db, upkeep, why); }

/* Step by step, as above. */
static void tidy(struct node *n)
{
    struct connection_words_upkeep u = { 0 };
    struct fault why;
    do {
        if (store_write(n->hub.store, tidy_words, &u, &why)) {
            log_fault(LOG_WARN, "the index of searches was not put together", &why);
            return;
        }
    } while (u.more && !n->upkeep_stop);
}

static enum err prune_tokens(struct db *db, void *context, struct fault *why)
{
    struct prune *p = context;
    return token_prune(db, p->before, PRUNE_AT_ONCE, &p->deleted, why);
}

static enum err compact_runs(struct db *db, void *more, struct fault *why) { return runs_compact(db, more, why); }

/* What the recorder left: it does so after many batches only, and on a quiet day there are few. */
static void compact(struct node *n)
{
    bool more = true;
    struct fault why;
    while (more && !n->upkeep_stop) {
        if (store_write(n->hub.store, compact_runs, &more, &why)) {
            log_fault(LOG_WARN, "run records were not put together", &why);
            return;
        }
    }
}

static void keep_limit_hits(struct node *n)
{
    struct fault why;
    if (n->hub.limit_hits && n->hub.store && limit_hits_store(n->hub.limit_hits, n->hub.store, &why))
        log_fault(LOG_WARN, "when limits were reached was not noted", &why);
}

/* The structure of every page, in one snapshot: a million rows take seconds, and nobody waits for it (requirement 18.6). */
static void look_for_damage(struct node *n)
{
    AUTO_ARENA a = arena_new(1024);
    struct str found = STR("");
    struct fault why = { 0 };
    struct db *db = store_reader(n->hub.store, &why);
    n->looking = db;
    enum err e = db ? store_check(db, a, false, &found, &why) : ERR_STORE;
    n->looking = NULL;
    if (e == ERR_STOPPING)
        return;
    if (e)
        log_fault(LOG_ERROR, "the database could not be looked at", &why);
    else if (found.n)
        log_line(LOG_ERROR, "the database is damaged: restore a backup", LOG("found", found));
    else
        log_line(LOG_DEBUG, "the database is sound");
}

static void *upkeep_main(void *context)
{
    struct node *n = context;
    struct mono looked = clock_mono(), last = { 0 }, aged = { 0 };
    look_for_damage(n);
    pthread_mutex_lock(&n->upkeep_lock);
    while (!n->upkeep_stop) {
        pthread_mutex_unlock(&n->upkeep_lock);
        listener_tls_look(&n->listener);
        if (!last.ms || mono_since(last, clock_mono()) >= UPKEEP_MS) {
            last = clock_mono();
            certificate_watch(&n->hub, clock_wall());
            prune_all_runs(n);
            prune_connections(n);
            prune(n, prune_tokens, clock_wall() - n->config->retention.ended_tokens, "ended tokens were not removed");
            prune(n, prune_keys, clock_wall(), "old Idempotency-Keys were not removed");
            compact(n);
            tidy(n);
            keep_limit_hits(n);
        }
        if (atomic_exchange(&n->ages_due, false) || !aged.ms || mono_since(aged, clock_mono()) >= AGES_MS) {
            aged = clock_mono();
            policy_ages_round(&n->hub, clock_wall(), &n->upkeep_stop);
        }
        if (mono_since(looked, clock_mono()) >= LOOK_EVERY_MS) {
            looked = clock_mono();
            look_for_damage(n);
        }
        pthread_mutex_lock(&n->upkeep_lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += LISTENER_LOOK_MS / 1000;
        if (!n->upkeep_stop && !n->ages_due)
            pthread_cond_timedwait(&n->upkeep_wake, &n->upkeep_lock, &until);
    }
    pthread_mutex_unlock(&n->upkeep_lock);
    return NULL;
}

static void ages_wake(struct hub *h)
{
    struct node *n = list_entry(h, struct node, hub);
    pthread_mutex_lock(&n->upkeep_lock);
    atomic_store(&n->ages_due, true);
    pthread_cond_signal(&n->upkeep_wake);
    pthread_mutex_unlock(&n->upkeep_lock);
}

void node_upkeep_open(struct node *n)
{
    pthread_mutex_init(&n->upkeep_lock, NULL);
    pthread_cond_init(&n->upkeep_wake, NULL);
    n->hub.ages_wake = ages_wake;
}

enum err node_upkeep_start(struct node *n, struct fault *why)
{
    if (pthread_create(&n->upkeep, NULL, upkeep_main, n))
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the upkeep thread");
    n->upkeep_running = true;
    return ERR_NONE;
}

/* A look at every page of a big database takes longer than whoever stops the hub waits. */
static void join_upkeep(struct node *n)
{
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        struct db *db = n->looking;
        if (db)
            store_check_stop(db);
        if (pthread_timedjoin_np(n->upkeep, NULL, &until) != ETIMEDOUT)
            return;
    }
}

void node_upkeep_stop(struct node *n)
{
    if (!n->upkeep_running)
        return;
    pthread_mutex_lock(&n->upkeep_lock);
    n->upkeep_stop = true;
    pthread_cond_signal(&n->upkeep_wake);
    pthread_mutex_unlock(&n->upkeep_lock);
    join_upkeep(n);
}

void node_upkeep_close(struct node *n)
{
    keep_limit_hits(n);
    pthread_cond_destroy(&n->upkeep_wake);
    pthread_mutex_destroy(&n->upkeep_lock);
}
