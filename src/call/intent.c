#include "call/intent.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* A group costs CPU time by itself, above all its sync. Groups follow one another so slowly that this is a SHARE-th of the time,
 * and never more slowly than GAP_MOST_NS. It may be a HASTE-th when a loop has nothing else to do, and when most of the calls that
 * it has wait: so that those that do not are enough to keep it busy until the others come back. When calls come by the FEW at a
 * time, as from one caller after the other, nobody waits. */
#define SHARE 50
#define HASTE 4
#define ENOUGH(waiting, alive) (3 * (waiting) >= 2 * (alive))
#define FEW 4
#define GAP_MOST_NS 4000000
#define WAITING_MOST 20000          /* of a loop; more are refused at once: as many calls as clients may be connected */
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

/* In a round of its loop the lane holds its batch and fills it; at the round's end it lays it down, where a writer takes it.
 * Neither waits for the other, and a call costs no lock. */
struct intent_lane {
    struct intents *all;
    struct loop *loop;
    struct batch *_Atomic down;     /* for who comes first: a writer, or the lane in its next round */
    _Atomic bool holding;           /* `filling` is there, or about to be */
    struct batch *filling;          /* what follows is the loop thread's */
    struct batch *spare, *made;
    struct loop_job round_ends;
    bool round;                     /* round_ends is due */
    int64_t laid_down;              /* calls, at last */
    int64_t alive;                  /* calls that wait, or came back and are not over */
    struct loop_job nudge;
    _Atomic bool nudged;
    struct list refused;
    struct loop_job refuse;
    bool refusing;
    int64_t second;                 /* the text of */
    char second_text[CLOCK_TEXT];
};

/* A thread that writes groups. */
struct writer {
    pthread_t thread;
    pthread_cond_t some;
    bool runs;
    _Atomic bool idle;              /* waits to be called; whoever makes it false calls */
    bool called;                    /* under the lock */
    _Atomic int64_t next;           /* nanoseconds: no group before, unless there is haste */
    _Atomic int64_t haste_next;     /* likewise, then */
    _Atomic int64_t since;          /* monotonic ms: it writes since; 0: it does not */
    int64_t cost;                   /* nanoseconds of a group, smoothed */
};

struct intents {
    struct store *store;
    struct intent_file *file;       /* NULL: none */
    struct writer to_file, to_chain;
    struct intent_lane lanes[LANES];
    _Atomic int lane_count;
    _Atomic bool closed;
    pthread_mutex_t lock;           /* over what follows */
    bool closing, stopped, file_done, abandoned;
    struct batch *in_hand;          /* the file's thread writes these; NULL: it has none, or they were taken from it */
    struct batch *chained;          /* for the chain */
    bool file_lost, chain_lost;
    struct intent_mark mark;
};

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- a loop's side ---- */

static const char *time_text(struct intent_lane *lane, wall_ms at)
{
    int64_t second = at / 1000;
    unsigned ms = (unsigned)(at % 1000);
    if (lane->second != second || !*lane->second_text) {
        clock_format(second * 1000, lane->second_text);
        lane->second = second;
    }
    char *digits = lane->second_text + strlen(lane->second_text) - 4; /* "000Z" */
    digits[0] = (char)('0' + ms / 100);
    digits[1] = (char)('0' + ms / 10 % 10);
    digits[2] = (char)('0' + ms % 10);
    return lane->second_text;
}

/* One line of JSON. By hand: it is written for each call, on the loop. Ids and times have nothing to escape. */
static void write_run(struct intent_lane *lane, struct buf *b, const struct run *r)
{
    static const char longest[] = "{'run':'','at':'','caller':'','token':'','connection':'','method':'";
    char *begin = buf_room(b, sizeof longest + 4 * ID_SIZE + CLOCK_TEXT), *to = begin;
    if (!begin)
        return;
    to = stpcpy(stpcpy(to, "{\"run\":\""), r->id);
    to = stpcpy(stpcpy(to, "\",\"at\":\""), time_text(lane, r->started));
    to = stpcpy(stpcpy(to, "\",\"caller\":\""), r->caller);
    to = stpcpy(stpcpy(to, "\",\"token\":\""), r->token);
    to = stpcpy(stpcpy(to, "\",\"connection\":\""), r->connection);
    to = stpcpy(to, "\",\"method\":\"");
    b->n += (size_t)(to - begin);
    json_escape(b, str_of(r->method));
    buf_add(b, STR("\",\"host\":\""));
    json_escape(b, str_of(r->host));
    buf_add(b, STR("\",\"path\":\""));
    json_escape(b, str_of(r->path));
    buf_add(b, STR("\"}\n"));
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

static void round_due(struct intent_lane *lane)
{
    if (lane->round)
        return;
    lane->round = true;
    loop_later(lane->loop, &lane->round_ends);
}

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

static bool hangs(const struct writer *w)
{
    int64_t since = atomic_load(&w->since);
    return since && clock_mono().ms - since >= INTENT_PATIENCE_MS;
}

/* Who takes what is laid down now. */
static struct writer *writer_now(struct intents *s)
{
    return s->to_file.runs && !hangs(&s->to_file) ? &s->to_file : &s->to_chain;
}

static void call_locked(struct writer *w)
{
    w->called = true;
    pthread_cond_signal(&w->some);
}

static void call_writer(struct intents *s, struct writer *w)
{
    if (!atomic_exchange(&w->idle, false))
        return;
    pthread_mutex_lock(&s->lock);
    w->called = true;
    pthread_mutex_unlock(&s->lock);
    pthread_cond_signal(&w->some); /* without the lock, which it would wait for next */
}

static bool is_time(const struct intent_lane *lane, const struct writer *w)
{
    if (loop_idle(lane->loop))
        return true; /* it sleeps what is left of its time */
    int64_t now = nanoseconds(CLOCK_MONOTONIC);
    return now >= atomic_load(&w->next) || (ENOUGH(lane->laid_down, lane->alive) && now >= atomic_load(&w->haste_next));
}

/* A writer that is not idle looks by itself when it is done. One that is, is called when its time has come, or nothing else is to
 * do: until then this runs again after each round. */
static void round_ends(struct loop_job *job)
{
    struct intent_lane *lane = list_entry(job, struct intent_lane, round_ends);
    lane->round = false;
    if (lane->filling) {
        lane->laid_down = lane->filling->count;
        atomic_store(&lane->down, lane->filling);
        lane->filling = NULL;
        atomic_store(&lane->holding, false);
    }
    struct writer *w = writer_now(lane->all);
    if (!atomic_load(&lane->down) || !atomic_load(&w->idle))
        return;
    if (is_time(lane, w))
        call_writer(lane->all, w);
    else
        round_due(lane);
}

static void nudged(struct loop_job *job)
{
    struct intent_lane *lane = list_entry(job, struct intent_lane, nudge);
    atomic_store(&lane->nudged, false);
    round_due(lane);
}

/* False: nothing is taken any more. */
static bool hold(struct intent_lane *lane)
{
    if (lane->filling)
        return true;
    atomic_store(&lane->holding, true);
    if (atomic_load(&lane->all->closed)) {
        atomic_store(&lane->holding, false);
        return false;
    }
    lane->filling = atomic_exchange(&lane->down, NULL);
    if (!lane->filling)
        lane->filling = batch_get(lane);
    round_due(lane);
    return true;
}

void intent_write(struct intent_lane *lane, struct intent *i, const struct run *run)
{
    i->waits = true;
    if (!hold(lane) || lane->filling->count >= WAITING_MOST) {
        refuse(lane, i);
        return;
    }
    struct batch *b = lane->filling;
    if (list_empty(&b->waiting)) /* the first; or the others have waited too long already */
        timer_set(lane->loop, &b->late, INTENT_DEADLINE_MS, batch_late);
    write_run(lane, &b->text, run);
    b->count++;
    i->counted = true;
    lane->alive++;
    list_push_back(&b->waiting, &i->link);
}

void intent_leave(struct intent *i)
{
    if (!i->waits)
        return;
    list_remove(&i->link);
    i->waits = false;
}

void intent_over(struct intent_lane *lane, struct intent *i)
{
    lane->alive -= i->counted;
    i->counted = false;
}

/* ---- taking and bringing back ---- */

static struct batch *take_all(struct intents *s)
{
    struct batch *first = NULL;
    for (int i = 0; i < atomic_load(&s->lane_count); i++) {
        struct batch *b = atomic_exchange(&s->lanes[i].down, NULL);
        if (!b)
            continue;
        b->next = first;
        first = b;
    }
    return first;
}

static bool some_down(struct intents *s)
{
    for (int i = 0; i < atomic_load(&s->lane_count); i++)
        if (atomic_load(&s->lanes[i].down))
            return true;
    return false;
}

/* To the loops whose lanes laid something down while the writer could not be called: each looks whether it is time. */
static void nudge(struct intents *s)
{
    for (int i = 0; i < atomic_load(&s->lane_count); i++) {
        struct intent_lane *lane = &s->lanes[i];
        if (atomic_load(&lane->down) && !atomic_exchange(&lane->nudged, true))
            loop_post(lane->loop, &lane->nudge);
    }
}

static void bring_back(struct batch *first, bool durable)
{
    for (struct batch *b = first, *next; b; b = next) {
        next = b->next; /* once posted it is its loop's */
        b->durable = durable && !buf_failed(&b->text);
        loop_post(b->lane->loop, &b->job);
    }
}

static void pace(struct writer *w, int64_t began, int64_t cpu_before, int64_t calls)
{
    int64_t cost = nanoseconds(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    w->cost = w->cost ? w->cost + (cost - w->cost) / 8 : cost;
    int64_t gap = w->cost * SHARE < GAP_MOST_NS ? w->cost * SHARE : GAP_MOST_NS;
    atomic_store(&w->next, began + gap);
    atomic_store(&w->haste_next, calls > FEW ? began + (w->cost * HASTE < gap ? w->cost * HASTE : gap) : 0);
}

static bool due(struct intents *s, const struct writer *w)
{
    return w == writer_now(s) && some_down(s) && nanoseconds(CLOCK_MONOTONIC) >= atomic_load(&w->next);
}

/* With the lock held, which is let go meanwhile: until somebody calls, or `most_ms` have passed (0: no end). */
static void wait_called(struct intents *s, struct writer *w, int64_t most_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += most_ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!w->called)
        if (!most_ms)
            pthread_cond_wait(&w->some, &s->lock);
        else if (pthread_cond_timedwait(&w->some, &s->lock, &until))
            return;
}

/* Likewise: until there is something to write and it is time. */
static void wait_for_calls(struct intents *s, struct writer *w, int64_t most_ms)
{
    w->called = false;
    if (s->closing || due(s, w))
        return;
    atomic_store(&w->idle, true);
    pthread_mutex_unlock(&s->lock);
    nudge(s); /* what was laid down before `idle` could be seen */
    pthread_mutex_lock(&s->lock);
    if (!s->closing && (w != &s->to_chain || !s->chained))
        wait_called(s, w, most_ms);
    atomic_store(&w->idle, false);
    int64_t rest = atomic_load(&w->haste_next) - nanoseconds(CLOCK_MONOTONIC);
    if (rest <= 0 || !w->called || s->closing)
        return;
    pthread_mutex_unlock(&s->lock);
    nanosleep(&(struct timespec){ 0, rest }, NULL);
    pthread_mutex_lock(&s->lock);
}

static int64_t calls_in(const struct batch *first)
{
    int64_t n = 0;
    for (const struct batch *b = first; b; b = b->next)
        n += b->count;
    return n;
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
    pthread_mutex_unlock(&s->lock);
}

static void append(struct batch **list, struct batch *more)
{
    while (*list)
        list = &(*list)->next;
    *list = more;
}

static bool chain_alone(const struct intents *s) { return !s->to_file.runs || s->file_done; }

/* Under the lock: what the chain has to write; with a file, that is what the file did not take. */
static struct batch *for_chain(struct intents *s)
{
    struct batch *mine = s->chained;
    s->chained = NULL;
    if (!chain_alone(s)) {
        if (!hangs(&s->to_file))
            return mine;
        append(&mine, s->in_hand);
        s->in_hand = NULL;
    }
    append(&mine, take_all(s));
    return mine;
}

static void *chain_main(void *context)
{
    struct intents *s = context;
    struct writer *w = &s->to_chain;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        if (!s->chained)
            wait_for_calls(s, w, chain_alone(s) ? 0 : WATCH_MS);
        struct batch *mine = for_chain(s);
        if (!mine && s->closing && (chain_alone(s) || hangs(&s->to_file)))
            break;
        if (!mine) {
            if (s->closing) /* the file's thread calls when it is done, unless it hangs */
                wait_called(s, w, WATCH_MS);
            continue;
        }
        atomic_store(&w->since, clock_mono().ms);
        pthread_mutex_unlock(&s->lock);
        int64_t began = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID), calls = calls_in(mine);
        chain_write(s, mine);
        pace(w, began, cpu, calls);
        pthread_mutex_lock(&s->lock);
        atomic_store(&w->since, 0);
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
    int64_t began = nanoseconds(CLOCK_MONOTONIC), cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID), calls = calls_in(mine);
    copy_text(text, mine);
    s->in_hand = mine;
    atomic_store(&s->to_file.since, clock_mono().ms);
    pthread_mutex_unlock(&s->lock);
    bool good = !buf_failed(text) && intent_file_write(s->file, text);
    pace(&s->to_file, began, cpu, calls);
    pthread_mutex_lock(&s->lock);
    mine = s->in_hand; /* NULL: the chain has taken them */
    s->in_hand = NULL;
    atomic_store(&s->to_file.since, 0);
    s->file_lost = !good;
    s->mark = *intent_file_mark(s->file);
    if (!good && mine) {
        append(&s->chained, mine);
        call_locked(&s->to_chain);
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
    buf_init(&text, 2 * TEXT_MOST);
    pthread_mutex_lock(&s->lock);
    while (!s->closing || some_down(s)) {
        wait_for_calls(s, &s->to_file, 0);
        file_step(s, &text);
    }
    s->file_done = true;
    call_locked(&s->to_chain);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- life ---- */

static enum err start(struct intents *s, struct fault *why)
{
    s->to_chain.runs = !pthread_create(&s->to_chain.thread, NULL, chain_main, s);
    if (!s->to_chain.runs)
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of intents");
    pthread_setname_np(s->to_chain.thread, "intents");
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
    s->to_file.runs = true; /* before a thread reads it */
    if (pthread_create(&s->to_file.thread, NULL, file_main, s)) {
        s->to_file.runs = false;
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of the file of intents");
    }
    pthread_setname_np(s->to_file.thread, "intents-file");
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
    pthread_cond_init(&s->to_file.some, &monotonic);
    pthread_cond_init(&s->to_chain.some, &monotonic);
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
    int n = atomic_load(&s->lane_count);
    if (n == LANES)
        bug("more than %d loops", LANES);
    struct intent_lane *lane = &s->lanes[n];
    lane->all = s;
    lane->loop = loop;
    lane->round_ends.do_it = round_ends;
    lane->nudge.do_it = nudged;
    lane->refuse.do_it = refuse_now;
    list_init(&lane->refused);
    atomic_store(&s->lane_count, n + 1);
    return lane;
}

/* After this all that lanes took is laid down, and they take no more. */
static void close_lanes(struct intents *s)
{
    atomic_store(&s->closed, true);
    for (int i = 0; i < atomic_load(&s->lane_count); i++)
        while (atomic_load(&s->lanes[i].holding)) /* to the end of its loop's round */
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

/* A stop does not wait for a device that hangs: what it was given is in the chain by now. */
static bool join_file(struct intents *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += INTENT_DEADLINE_MS / 1000;
    return !pthread_timedjoin_np(s->to_file.thread, NULL, &until);
}

void intents_stop(struct intents *s)
{
    if (!s || s->stopped)
        return;
    close_lanes(s);
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    call_locked(&s->to_file);
    call_locked(&s->to_chain);
    pthread_mutex_unlock(&s->lock);
    if (s->to_chain.runs)
        pthread_join(s->to_chain.thread, NULL);
    if (s->to_file.runs)
        s->abandoned = !join_file(s);
    s->stopped = true;
}

void intents_forget_key(struct intents *s)
{
    if (s && s->file)
        intent_file_forget_key(s->file);
}

static void lane_end(struct intent_lane *lane)
{
    for (struct batch *b = lane->made, *next; b; b = next) {
        next = b->made;
        buf_end(&b->text);
        free(b);
    }
}

void intents_free(struct intents *s)
{
    if (!s)
        return;
    intents_stop(s);
    if (s->abandoned)
        return; /* a thread still uses it; the process is about to end */
    for (int i = 0; i < atomic_load(&s->lane_count); i++)
        lane_end(&s->lanes[i]);
    intent_file_free(s->file);
    pthread_cond_destroy(&s->to_file.some);
    pthread_cond_destroy(&s->to_chain.some);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct intents_state intents_state(struct intents *s)
{
    int64_t now = clock_mono().ms, chain_since = atomic_load(&s->to_chain.since);
    pthread_mutex_lock(&s->lock);
    bool file_stuck = hangs(&s->to_file), chain_stuck = chain_since && now - chain_since > INTENT_DEADLINE_MS;
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
