#include "auth/renewal_attempt.h"

#include <stdlib.h>

#define AT_ONCE 32                   /* leases in one transaction */
#define AGAIN_US 1000000             /* and longer, when it is not the database that cannot take an answer */
#define AGAIN_MOST_US 15000000

/* ---- an answer ---- */

static struct left *left_new(const char *holder, const struct kept_answer *k, struct answer_slot *slot)
{
    struct left *l = mem_zero(sizeof *l);
    struct arena *a = l->arena = arena_new(k->http.body.n + 8192);
    l->slot = slot;
    str_copy(l->holder, sizeof l->holder, str_of(holder));
    l->answer = *k;
    l->answer.connection = arena_str(a, k->connection);
    l->answer.http.headers = arena_array(a, k->http.header_count + 1, sizeof *k->http.headers);
    for (size_t i = 0; i < k->http.header_count; i++)
        for (int side = 0; side < 2; side++)
            l->answer.http.headers[i][side] = arena_str(a, k->http.headers[i][side]);
    l->answer.http.body = arena_str(a, k->http.body);
    return l;
}

void renewal_left_leave(struct left *l)
{
    if (l && l->slot)
        answer_slot_leave(l->slot);
    if (l)
        l->slot = NULL;
}

void renewal_left_free(struct left *l)
{
    if (!l)
        return;
    if (l->slot)
        answer_slot_free(l->slot);
    attempt_wipe(&l->answer.http.body);
    arena_free(l->arena);
    free(l);
}

static void drop_left(struct flight *f)
{
    renewal_left_free(f->left);
    f->left = NULL;
}

/* Nothing will ever make it readable: its connection is gone, or a person must come anyway. */
static bool for_ever(enum err e)
{
    return e == ERR_CONNECTION_NOT_FOUND || e == ERR_NEEDS_AUTH || e == ERR_RECONNECT_REQUIRED;
}

/* The disk is full, the issuer does not say what its answers mean: neither is a reason to lose what the answer holds. Meanwhile
 * nobody spends the refresh token that it replaces, for the flight is where everybody asks. */
static bool take_up_later(struct attempt *x, enum err e, struct fault *why)
{
    struct left *l = x->f->left;
    int64_t wait = e == ERR_STORE || e == ERR_STORE_FULL ? AGAIN_US : AGAIN_US << (l->tries < 4 ? l->tries : 4);
    if (!l->tries)
        renewal_report(x->r, "an answer from before the stop cannot be used yet", why);
    l->tries++;
    renewal_tell(x->r, x->f, e, why);
    return attempt_again(x->f, wait < AGAIN_MOST_US ? wait : AGAIN_MOST_US);
}

/* It is in the database already, or another went on from there, or it is of no use. Who waits has a renewal of the usual kind. */
static bool no_use(struct attempt *x, enum err *out)
{
    struct flight *f = x->f;
    drop_left(f);
    f->obtain = false;
    f->params = NULL;
    pthread_mutex_lock(&x->r->lock);
    bool waited_for = !list_empty(&f->waiters);
    pthread_mutex_unlock(&x->r->lock);
    return waited_for ? attempt_again(f, 0) : attempt_over(out, ERR_NONE);
}

/* As far as the answer, everything was done by the one that died: what is left is to read it and to write down what it means. */
static bool take_up(struct attempt *x, enum err *out, struct fault *why)
{
    struct obtained got = { 0 };
    struct left *l = x->f->left;
    enum err e = attempt_load(x, why);
    if (e && !for_ever(e))
        return take_up_later(x, e, why);
    if (e)
        renewal_report(x->r, "an answer from before the stop cannot be used", why);
    if (e || x->g.fence != l->answer.fence || !str_is(x->g.holder, l->holder))
        return no_use(x, out);
    x->turn = (struct grant_turn){ .connection = str_of(x->f->connection), .holder = l->holder, .generation = x->g.grant.generation,
                                   .client = x->has_profile ? x->profile.client : STR(""), .fence = l->answer.fence };
    x->ask = (struct obtain_input){ .in = &x->in, .profile = x->has_profile ? &x->profile : NULL, .values = x->values,
                                    .value_count = x->value_count, .params = x->f->params, .param_count = x->f->param_count,
                                    .now = clock_wall() };
    x->started_us = clock_mono_us();
    x->received = l->answer.received < clock_steady() ? l->answer.received : clock_steady();
    struct fetch_answer http = l->answer.http;
    http.body = x->raw = arena_str(x->arena, http.body);
    x->slot = l->slot;
    x->in_room = true;
    l->slot = NULL;
    x->turn.holder = arena_str(x->arena, str_of(l->holder)).p;
    x->how->read(x->arena, &x->ask, &http, x->received, &got);
    bool landed = attempt_finish(x, &got, out, why);
    obtained_end(&got);
    drop_left(x->f);
    return landed;
}

bool renewal_take_up(struct renewals *r, struct flight *f, enum err *out, struct fault *why)
{
    struct attempt x = { .r = r, .f = f, .arena = arena_new(16 * 1024) };
    bool first = !f->left->tries, landed = take_up(&x, out, why);
    attempt_end(&x);
    if (!first)
        return landed;
    pthread_mutex_lock(&r->lock);
    r->untried--;
    pthread_cond_broadcast(&r->idle);
    pthread_mutex_unlock(&r->lock);
    return landed;
}

/* ---- what there is of it, at the start ---- */

static bool found(void *renewals, const char *holder, const struct kept_answer *k, struct answer_slot *slot)
{
    renewal_flight_left(renewals, left_new(holder, k, slot));
    return false;
}

struct leaving {
    struct renewals *r;
    const char *holder;
    wall_ms now;
    char after[ID_SIZE];         /* as far as it got */
    bool more;
};

static bool has_answer(const struct renewals *r, struct str connection)
{
    const struct flight *f = map_get(r->flights, connection);
    return f && f->left;
}

/* Requests that were on their way when their process died, and no answer: nobody knows. What cannot be spent is simply renewed. */
static enum err release_dead(struct db *db, void *leaving, struct fault *why)
{
    struct leaving *l = leaving;
    AUTO_ARENA a = arena_new(4096);
    struct str ids[AT_ONCE];
    int64_t generations[AT_ONCE];
    bool spent[AT_ONCE];
    size_t n = 0;
    struct query *q =
        query_begin(db, "SELECT connection_id, generation, intent_print FROM connection_grant"
                        " WHERE holder = $1 AND connection_id > $2 ORDER BY connection_id LIMIT $3");
    query_text(q, str_of(l->holder));
    query_text(q, str_of(l->after));
    query_i64(q, AT_ONCE);
    for (; n < AT_ONCE && query_next(q); n++) {
        ids[n] = query_get_text(q, 0, a);
        generations[n] = query_get_i64(q, 1);
        spent[n] = query_get_text(q, 2, a).n > 0;
    }
    enum err e = query_end(q, why);
    for (size_t i = 0; i < n && !e; i++) {
        if (has_answer(l->r, ids[i]))
            continue;
        struct grant_event event = { .generation = generations[i], .what = spent[i] ? STR("unknown") : STR("failed"),
                                     .cause = STR(""), .reason = STR("stopped"), .node = l->r->config.node };
        q = query_begin(db, "UPDATE connection_grant SET holder = '', intent_ms = 0, intent_print = '', unknown = unknown + $1,"
                            " state = CASE WHEN $1 = 1 AND state = 'good' THEN 'failing' ELSE state END,"
                            " reason = CASE WHEN $1 = 1 AND state = 'good' THEN 'answer_lost' ELSE reason END,"
                            " again_ms = CASE WHEN $1 = 1 AND state = 'good' THEN expires_ms ELSE again_ms END,"
                            " next_ms = CASE WHEN $1 = 1 AND expires_ms > 0 THEN expires_ms WHEN next_ms > 0 THEN $2 ELSE 0 END"
                            " WHERE connection_id = $3");
        query_i64(q, spent[i]);
        query_i64(q, l->now);
        query_text(q, ids[i]);
        if (!(e = query_end(q, why)))
            e = grant_event_add(db, ids[i], &event, why);
    }
    l->more = n == AT_ONCE;
    if (n && !e)
        str_copy(l->after, sizeof l->after, ids[n - 1]);
    return e;
}

static void dead_holder(void *renewals, const char *holder)
{
    struct leaving l = { .r = renewals, .holder = holder, .now = clock_steady() };
    struct fault why;
    do {
        if (store_write(l.r->config.store, release_dead, &l, &why)) {
            renewal_report(l.r, "leases of a stopped hub were not released", &why);
            return;
        }
    } while (l.more);
}

enum err renewal_recover(struct renewals *r, struct fault *why)
{
    return answer_journal_recover(r->journal, found, dead_holder, r, why);
}
