#include "call/intent.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define GATHER_NS 500000            /* between two syncs: what comes meanwhile shares the next */
#define WAITING_MOST 20000          /* more are refused at once: as many calls as clients may be connected */
#define TEXT_MOST (64 * 1024 * 1024)
#define RECORD_MOST (AUDIT_VALUE_MAX - 2048) /* bytes of one chained record */
#define WATCH_MS 250                /* how often the file's thread is looked after */
#define LANES 64

/* Calls of one loop that go to the disk together. Made and kept by its lane. */
struct batch {
    struct loop_job job;            /* brings it back */
    struct intent_lane *lane;
    struct batch *next;             /* in a group, or among the spare */
    struct batch *made;             /* before it, for the end */
    struct list waiting;            /* struct intent; loop thread only */
    struct timer late;              /* loop thread only */
    struct buf text;                /* lines */
    int64_t count;
    bool durable;
};

struct intent_lane {
    struct intents *all;
    struct loop *loop;
    pthread_mutex_t lock;           /* over `filling` and what it holds but the waiting */
    struct batch *filling;
    struct batch *spare, *made;     /* loop thread only */
    struct list refused;            /* loop thread only */
    struct loop_job refuse;
    bool refusing;
};

struct intents {
    struct store *store;
    struct intent_file *file;       /* NULL: none */
    pthread_t file_thread, chain_thread;
    bool file_runs, chain_runs;
    struct intent_lane lanes[LANES];
    int lane_count;
    _Atomic int64_t waiting;        /* calls that no thread has taken; may be off by those being added */
    _Atomic bool closed;
    pthread_mutex_t lock;           /* over what follows */
    pthread_cond_t some, for_chain;
    bool closing, stopped, file_done, abandoned;
    struct batch *in_hand;          /* the file's thread writes these; NULL: it has none, or they were taken from it */
    struct batch *chained;          /* for the chain */
    int64_t file_since, chain_since; /* monotonic ms; 0: idle */
    bool file_lost, chain_lost;
    struct intent_mark mark;
};

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- a loop's side ---- */

static void write_run(struct buf *b, const struct run *r)
{
    struct json_out o = json_out(b);
    json_open(&o, '{');
    json_member_str(&o, "run", str_of(r->id));
    json_member_time(&o, "at", r->started);
    json_member_str(&o, "caller", str_of(r->caller));
    json_member_str(&o, "token", str_of(r->token));
    json_member_str(&o, "connection", str_of(r->connection));
    json_member_str(&o, "method", str_of(r->method));
    json_member_str(&o, "host", str_of(r->host));
    json_member_str(&o, "path", str_of(r->path));
    json_close(&o, '}');
    buf_char(b, '\n');
}

static void tell_all(struct list *waiting, bool durable)
{
    for (struct list *l; (l = list_pop(waiting));) {
        struct intent *i = list_entry(l, struct intent, link);
        i->waits = false;
        i->back(i, durable);
    }
}

static void batch_late(struct timer *t) { tell_all(&list_entry(t, struct batch, late)->waiting, false); }

static void batch_back(struct loop_job *job)
{
    struct batch *b = list_entry(job, struct batch, job);
    struct intent_lane *lane = b->lane;
    timer_stop(&b->late);
    tell_all(&b->waiting, b->durable);
    buf_clear(&b->text);
    b->count = 0;
    b->next = lane->spare;
    lane->spare = b;
}

static struct batch *batch_get(struct intent_lane *lane)
{
    struct batch *b = lane->spare;
    if (b)
        lane->spare = b->next;
    else {
        b = mem_zero(sizeof *b);
        b->job.do_it = batch_back;
        b->lane = lane;
        b->made = lane->made;
        lane->made = b;
        list_init(&b->waiting);
        buf_init(&b->text, TEXT_MOST);
    }
    b->next = NULL;
    timer_set(lane->loop, &b->late, INTENT_DEADLINE_MS, batch_late);
    return b;
}

static void refuse_now(struct loop_job *job)
{
    struct intent_lane *lane = list_entry(job, struct intent_lane, refuse);
    lane->refusing = false;
    tell_all(&lane->refused, false);
}

static void refuse(struct intent_lane *lane, struct intent *i)
{
    list_push_back(&lane->refused, &i->link);
    if (lane->refusing)
        return;
    lane->refusing = true;
    loop_post(lane->loop, &lane->refuse);
}

static bool file_hangs(const struct intents *s)
{
    return s->file_since && clock_mono().ms - s->file_since >= INTENT_PATIENCE_MS;
}

/* The thread is woken by the first call that finds nothing waiting; it takes the others with it. */
static void count_one(struct intents *s)
{
    if (atomic_fetch_add(&s->waiting, 1) != 0)
        return;
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(s->file_runs && !file_hangs(s) ? &s->some : &s->for_chain);
    pthread_mutex_unlock(&s->lock);
}

void intent_write(struct intent_lane *lane, struct intent *i, const struct run *run)
{
    struct intents *s = lane->all;
    i->waits = true;
    pthread_mutex_lock(&lane->lock);
    bool taken = !atomic_load(&s->closed) && atomic_load(&s->waiting) < WAITING_MOST;
    if (taken) {
        if (!lane->filling)
            lane->filling = batch_get(lane);
        write_run(&lane->filling->text, run);
        lane->filling->count++;
        list_push_back(&lane->filling->waiting, &i->link);
    }
    pthread_mutex_unlock(&lane->lock);
    if (taken)
        count_one(s);
    else
        refuse(lane, i);
}

void intent_leave(struct intent *i)
{
    if (!i->waits)
        return;
    list_remove(&i->link);
    i->waits = false;
}

/* ---- taking and bringing back ---- */

static struct batch *take_all(struct intents *s)
{
    struct batch *first = NULL;
    for (int i = 0; i < s->lane_count; i++) {
        struct intent_lane *lane = &s->lanes[i];
        pthread_mutex_lock(&lane->lock);
        struct batch *b = lane->filling;
        lane->filling = NULL;
        pthread_mutex_unlock(&lane->lock);
        if (!b)
            continue;
        b->next = first;
        first = b;
        atomic_fetch_sub(&s->waiting, b->count);
    }
    return first;
}

static void bring_back(struct batch *first, bool durable)
{
    for (struct batch *b = first, *next; b; b = next) {
        next = b->next; /* once posted it is its loop's */
        b->durable = durable && !buf_failed(&b->text);
        loop_post(b->lane->loop, &b->job);
    }
}

/* With the lock held, which is let go meanwhile. The first after a quiet while goes at once. */
static void gather(struct intents *s, int64_t last)
{
    int64_t rest = last + GATHER_NS - nanoseconds();
    if (rest <= 0 || s->closing)
        return;
    pthread_mutex_unlock(&s->lock);
    nanosleep(&(struct timespec){ 0, rest }, NULL);
    pthread_mutex_lock(&s->lock);
}

/* ---- the chain ---- */

static enum err add_record(struct db *db, struct buf *text, struct fault *why)
{
    buf_char(text, ']');
    struct audit_entry entry = { .via = STR("system"), .action = STR("calls.begun"), .after = buf_str(text) };
    enum err e = audit_add(db, &entry, why);
    buf_clear(text);
    return e;
}

/* No line of JSON holds a line's end. */
static enum err add_all(struct db *db, void *context, struct fault *why)
{
    AUTO_BUF text;
    enum err e = ERR_NONE;
    buf_init(&text, 2 * AUDIT_VALUE_MAX);
    for (const struct batch *b = context; !e && b; b = b->next) {
        struct str line, rest = buf_str(&b->text);
        while (!e && rest.n) {
            str_cut(rest, '\n', &line, &rest);
            buf_char(&text, text.n ? ',' : '[');
            buf_add(&text, line);
            if (text.n >= RECORD_MOST)
                e = add_record(db, &text, why);
        }
    }
    return !e && text.n ? add_record(db, &text, why) : e;
}

static void chain_write(struct intents *s, struct batch *first)
{
    struct fault unused;
    bool good = !store_write(s->store, add_all, first, &unused);
    bring_back(first, good);
    pthread_mutex_lock(&s->lock);
    s->chain_lost = !good;
    s->chain_since = 0;
    pthread_mutex_unlock(&s->lock);
}

static void append(struct batch **list, struct batch *more)
{
    while (*list)
        list = &(*list)->next;
    *list = more;
}

/* Under the lock: what the chain has to write; with a file, that is what the file did not take. */
static struct batch *for_chain(struct intents *s)
{
    struct batch *mine = s->chained;
    s->chained = NULL;
    if (s->file_runs && !s->file_done) {
        if (!file_hangs(s))
            return mine;
        append(&mine, s->in_hand);
        s->in_hand = NULL;
    }
    append(&mine, take_all(s));
    return mine;
}

static void wait_for_chain(struct intents *s)
{
    struct timespec until;
    if (!s->file_runs || s->file_done) {
        if (atomic_load(&s->waiting) <= 0 && !s->closing)
            pthread_cond_wait(&s->for_chain, &s->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (!s->chained && !(file_hangs(s) && atomic_load(&s->waiting) > 0))
        pthread_cond_timedwait(&s->for_chain, &s->lock, &until);
}

static void *chain_main(void *context)
{
    struct intents *s = context;
    int64_t last = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        wait_for_chain(s);
        if (!s->file_runs || file_hangs(s))
            gather(s, last);
        struct batch *mine = for_chain(s);
        if (!mine && s->closing && (!s->file_runs || s->file_done || file_hangs(s)))
            break;
        if (!mine)
            continue;
        s->chain_since = clock_mono().ms;
        pthread_mutex_unlock(&s->lock);
        last = nanoseconds();
        chain_write(s, mine);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- the file ---- */

/* Its own copy: when it hangs, the batches go to the chain, and back to their loops. */
static void copy_text(struct buf *out, const struct batch *first)
{
    buf_clear(out);
    for (const struct batch *b = first; b; b = b->next)
        buf_add(out, buf_str(&b->text));
}

static void file_step(struct intents *s, struct buf *text)
{
    struct batch *mine = take_all(s);
    if (!mine)
        return;
    copy_text(text, mine);
    s->in_hand = mine;
    s->file_since = clock_mono().ms;
    pthread_mutex_unlock(&s->lock);
    bool good = !buf_failed(text) && intent_file_write(s->file, text);
    pthread_mutex_lock(&s->lock);
    mine = s->in_hand; /* NULL: the chain has taken them */
    s->in_hand = NULL;
    s->file_since = 0;
    s->file_lost = !good;
    s->mark = *intent_file_mark(s->file);
    if (!good && mine) {
        append(&s->chained, mine);
        pthread_cond_signal(&s->for_chain);
    } else if (mine) {
        pthread_mutex_unlock(&s->lock);
        bring_back(mine, true);
        pthread_mutex_lock(&s->lock);
    }
}

static void *file_main(void *context)
{
    struct intents *s = context;
    AUTO_BUF text;
    int64_t last = 0;
    buf_init(&text, 2 * TEXT_MOST);
    pthread_mutex_lock(&s->lock);
    while (!s->closing || atomic_load(&s->waiting) > 0) {
        while (atomic_load(&s->waiting) <= 0 && !s->closing)
            pthread_cond_wait(&s->some, &s->lock);
        gather(s, last);
        last = nanoseconds();
        file_step(s, &text);
    }
    s->file_done = true;
    pthread_cond_signal(&s->for_chain);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life ---- */

static enum err start(struct intents *s, struct fault *why)
{
    s->chain_runs = !pthread_create(&s->chain_thread, NULL, chain_main, s);
    if (!s->chain_runs)
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of intents");
    pthread_setname_np(s->chain_thread, "intents");
    return ERR_NONE;
}

static enum err start_file(struct intents *s, const char *path, struct fault *why)
{
    if (!intent_file_ready(s->file)) {
        char say[sizeof why->subject];
        snprintf(say, sizeof say, "%s cannot be opened", path);
        return fault(why, ERR_FILE, str_of(say), "%m");
    }
    s->mark = *intent_file_mark(s->file);
    s->file_runs = true; /* before a thread reads it */
    if (pthread_create(&s->file_thread, NULL, file_main, s)) {
        s->file_runs = false;
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of the file of intents");
    }
    pthread_setname_np(s->file_thread, "intents-file");
    return ERR_NONE;
}

enum err intents_new(struct store *store, struct str file, struct secret key, struct intents **out, struct fault *why)
{
    struct intents *s = mem_zero(sizeof *s);
    pthread_condattr_t monotonic;
    s->store = store;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->some, NULL);
    pthread_cond_init(&s->for_chain, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = s;
    if (!file.n) {
        secret_end(&key);
        return start(s, why);
    }
    s->file = intent_file_new(file, key);
    AUTO_ARENA a = arena_new(1024);
    enum err e = start_file(s, arena_cstr(a, file), why);
    return e ? e : start(s, why);
}

struct intent_lane *intents_lane(struct intents *s, struct loop *loop)
{
    if (s->lane_count == LANES)
        bug("more than %d loops", LANES);
    pthread_mutex_lock(&s->lock);
    struct intent_lane *lane = &s->lanes[s->lane_count];
    lane->all = s;
    lane->loop = loop;
    lane->refuse.do_it = refuse_now;
    list_init(&lane->refused);
    pthread_mutex_init(&lane->lock, NULL);
    s->lane_count++;
    pthread_mutex_unlock(&s->lock);
    return lane;
}

/* No lane takes more once its lock was held after this. */
static void close_lanes(struct intents *s)
{
    atomic_store(&s->closed, true);
    for (int i = 0; i < s->lane_count; i++) {
        pthread_mutex_lock(&s->lanes[i].lock);
        pthread_mutex_unlock(&s->lanes[i].lock);
    }
}

/* A stop does not wait for a device that hangs: what it was given is in the chain by now. */
static bool join_file(struct intents *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += INTENT_DEADLINE_MS / 1000;
    return !pthread_timedjoin_np(s->file_thread, NULL, &until);
}

void intents_stop(struct intents *s)
{
    if (!s || s->stopped)
        return;
    close_lanes(s);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->some);
    pthread_cond_signal(&s->for_chain);
    pthread_mutex_unlock(&s->lock);
    if (s->chain_runs)
        pthread_join(s->chain_thread, NULL);
    if (s->file_runs)
        s->abandoned = !join_file(s);
    s->stopped = true;
}

static void lane_end(struct intent_lane *lane)
{
    for (struct batch *b = lane->made, *next; b; b = next) {
        next = b->made;
        buf_end(&b->text);
        free(b);
    }
    pthread_mutex_destroy(&lane->lock);
}

void intents_free(struct intents *s)
{
    if (!s)
        return;
    intents_stop(s);
    if (s->abandoned)
        return; /* a thread still uses it; the process is about to end */
    for (int i = 0; i < s->lane_count; i++)
        lane_end(&s->lanes[i]);
    intent_file_free(s->file);
    pthread_cond_destroy(&s->some);
    pthread_cond_destroy(&s->for_chain);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct intents_state intents_state(struct intents *s)
{
    int64_t now = clock_mono().ms;
    pthread_mutex_lock(&s->lock);
    bool file_stuck = file_hangs(s), chain_stuck = s->chain_since && now - s->chain_since > INTENT_DEADLINE_MS;
    struct intents_state out = { .file_lost = s->file && (s->file_lost || file_stuck), .chain_lost = s->chain_lost,
                                 .stuck = file_stuck || chain_stuck };
    out.mute = (out.chain_lost || chain_stuck) && (!s->file || out.file_lost);
    pthread_mutex_unlock(&s->lock);
    return out;
}

bool intents_mark(struct intents *s, struct intent_mark *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->mark;
    pthread_mutex_unlock(&s->lock);
    return s->file != NULL;
}
