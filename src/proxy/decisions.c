#include "proxy/decisions.h"

#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/secret.h"

#define PLACES 1024 /* remembered decisions; a power of two */
#define NEAR 4      /* places that one decision may take */
#define BUCKETS 64  /* of questions under way; a power of two */

/* The key is a keyed 128-bit hash of both texts; the texts are not kept. */
struct place {
    struct fingerprint key;
    struct decision decision;
};

struct decisions {
    struct board *board;
    struct place places[PLACES];
    unsigned turn; /* whose place is taken when all are */
    struct list asking[BUCKETS];
};

/* One question on its way to a worker and back. On the heap: those who asked may leave meanwhile. */
struct lookup {
    struct work work;
    struct loop_job back;
    struct list in_bucket, waiting; /* loop thread only */
    struct decisions *decisions;
    struct fingerprint key;
    struct secret token;
    char name[256];
    _Atomic bool begun;             /* the worker reads: who asks from now on may know of a later change */
    struct decision decision;
    enum err err;
    struct fault why;
};

static bool same(struct fingerprint a, struct fingerprint b) { return a.low == b.low && a.high == b.high; }

static void decision_end(struct decision *d)
{
    pass_release(d->pass);
    prepared_release(d->to);
    *d = (struct decision){ 0 };
}

static bool holds(const struct decision *d)
{
    return !pass_over(d->pass) && !atomic_load_explicit(&d->to->stale, memory_order_acquire) &&
           (!d->until || d->until > clock_wall());
}

static const struct decision *recall(struct decisions *d, struct fingerprint key)
{
    for (unsigned i = 0; i < NEAR; i++) {
        struct place *at = &d->places[(key.low + i) % PLACES];
        if (!at->decision.pass || !same(at->key, key))
            continue;
        if (holds(&at->decision))
            return &at->decision;
        decision_end(&at->decision);
    }
    return NULL;
}

static void remember(struct decisions *d, struct fingerprint key, const struct decision *v)
{
    struct place *place = NULL;
    if (!holds(v) || recall(d, key))
        return;
    for (unsigned i = 0; i < NEAR && !place; i++)
        if (!d->places[(key.low + i) % PLACES].decision.pass)
            place = &d->places[(key.low + i) % PLACES];
    if (!place)
        place = &d->places[(key.low + d->turn++ % NEAR) % PLACES];
    decision_end(&place->decision);
    place->key = key;
    place->decision = (struct decision){ .pass = pass_keep(v->pass), .to = prepared_keep(v->to), .until = v->until };
}

const struct decision *decisions_recall(struct decisions *d, struct str token, struct str name)
{
    return recall(d, fingerprint(token, name));
}

/* ---- asking a worker ---- */

static void lookup_free(struct lookup *l)
{
    secret_end(&l->token);
    decision_end(&l->decision);
    free(l);
}

static void looked_up(struct loop_job *job)
{
    struct lookup *l = list_entry(job, struct lookup, back);
    list_remove(&l->in_bucket);
    if (!l->err)
        remember(l->decisions, l->key, &l->decision);
    for (struct list *node = list_pop(&l->waiting); node; node = list_pop(&l->waiting)) {
        struct question *q = list_entry(node, struct question, node);
        q->told(q, &l->decision, l->err ? &l->why : NULL);
    }
    lookup_free(l);
}

static void look_up(struct work *work)
{
    struct lookup *l = list_entry(work, struct lookup, work);
    struct board *board = l->decisions->board;
    struct switchboard *s = board->switchboard;
    struct decision *d = &l->decision;
    atomic_store(&l->begun, true);
    l->err = switchboard_pass(s, secret_str(l->token), &d->pass, &l->why);
    if (!l->err)
        l->err = switchboard_connection(s, &d->pass->caller, str_of(l->name), &d->to, &d->until, &l->why);
    loop_post(board->loop, &l->back);
}

static struct lookup *not_begun(struct list *bucket, struct fingerprint key)
{
    list_each (node, bucket) {
        struct lookup *l = list_entry(node, struct lookup, in_bucket);
        if (same(l->key, key) && !atomic_load(&l->begun))
            return l;
    }
    return NULL;
}

enum err decisions_ask(struct decisions *d, struct str token, struct str name, struct question *q, struct fault *why)
{
    struct fingerprint key = fingerprint(token, name);
    struct list *bucket = &d->asking[key.low % BUCKETS];
    struct lookup *l = not_begun(bucket, key);
    if (!l) {
        l = mem_zero(sizeof *l);
        l->work.run = look_up;
        l->back.do_it = looked_up;
        l->decisions = d;
        l->key = key;
        l->token = secret_from(token);
        str_copy(l->name, sizeof l->name, name);
        list_init(&l->waiting);
        enum err e = workers_post(switchboard_config(d->board->switchboard)->workers, &l->work, why);
        if (e) {
            lookup_free(l);
            return e;
        }
        list_push_back(bucket, &l->in_bucket);
    }
    list_push_back(&l->waiting, &q->node);
    return ERR_NONE;
}

bool question_waits(const struct question *q) { return q->node.next && !list_empty(&q->node); }

void question_drop(struct question *q)
{
    if (question_waits(q))
        list_remove(&q->node);
}

/* ---- life ---- */

struct decisions *decisions_new(struct board *board)
{
    struct decisions *d = mem_zero(sizeof *d);
    d->board = board;
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&d->asking[i]);
    return d;
}

void decisions_forget(struct decisions *d)
{
    for (unsigned i = 0; i < PLACES; i++)
        decision_end(&d->places[i].decision);
}

void decisions_free(struct decisions *d)
{
    if (!d)
        return;
    decisions_forget(d);
    free(d);
}
