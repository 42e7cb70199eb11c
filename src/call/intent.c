#include "call/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access/audit.h"

#define GATHER_NS 2000000           /* between two syncs: what comes meanwhile shares the next */
#define WAITING_MOST 20000          /* more are refused at once: as many calls as clients may be connected */
#define RECORD_MOST (AUDIT_VALUE_MAX - 2048) /* bytes of one chained record */

struct intents {
    struct store *store;
    char *path;                     /* NULL: no file */
    int fd;
    bool torn;                      /* the file may end in half a line */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct intent *first, **end;
    size_t waiting;
    bool closing, stopped, gathering;
    _Atomic bool file_lost, chain_lost;
    _Atomic int64_t busy_since;     /* monotonic ms; 0: idle */
};

/* ---- one intent as text ---- */

static void write_intent(struct buf *b, const struct run *r)
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
}

/* ---- the file ---- */

static bool file_open(struct intents *s)
{
    struct stat st;
    if (s->fd >= 0)
        return true;
    s->fd = open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (s->fd < 0)
        return false;
    if (fstat(s->fd, &st) || !S_ISREG(st.st_mode)) {
        close(s->fd);
        s->fd = -1;
        errno = EINVAL;
        return false;
    }
    s->torn = st.st_size > 0; /* an empty line more is no harm */
    return true;
}

static bool file_write(struct intents *s, const struct intent *first)
{
    AUTO_BUF text;
    buf_init(&text, 64 * 1024 * 1024);
    if (!file_open(s))
        return false;
    if (s->torn)
        buf_char(&text, '\n');
    for (const struct intent *i = first; i; i = i->next) {
        write_intent(&text, &i->run);
        buf_char(&text, '\n');
    }
    if (!buf_failed(&text) && write(s->fd, text.p, text.n) == (ssize_t)text.n && !fdatasync(s->fd)) {
        s->torn = false;
        return true;
    }
    close(s->fd); /* what a failed sync leaves behind is not known: begin anew */
    s->fd = -1;
    return false;
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

static enum err add_all(struct db *db, void *context, struct fault *why)
{
    AUTO_BUF text;
    enum err e = ERR_NONE;
    buf_init(&text, 2 * AUDIT_VALUE_MAX);
    for (const struct intent *i = context; !e && i; i = i->next) {
        buf_char(&text, text.n ? ',' : '[');
        write_intent(&text, &i->run);
        if (text.n >= RECORD_MOST)
            e = add_record(db, &text, why);
    }
    return !e && text.n ? add_record(db, &text, why) : e;
}

static bool chain_write(struct intents *s, struct intent *first)
{
    struct fault unused;
    return !store_write(s->store, add_all, first, &unused);
}

/* ---- the thread ---- */

static bool make_durable(struct intents *s, struct intent *first)
{
    if (s->path) {
        bool good = file_write(s, first);
        atomic_store(&s->file_lost, !good);
        if (good)
            return true;
    }
    bool good = chain_write(s, first);
    atomic_store(&s->chain_lost, !good);
    return good;
}

static void bring_back(struct intent *first, bool durable)
{
    for (struct intent *i = first, *next; i; i = next) {
        next = i->next; /* once posted it is its loop's */
        i->durable = durable;
        loop_post(i->loop, &i->job);
    }
}

static struct intent *take_all(struct intents *s)
{
    struct intent *first = s->first;
    s->first = NULL;
    s->end = &s->first;
    s->waiting = 0;
    return first;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Under the lock. The first after a quiet while goes at once; under load many share a sync, and nobody wakes the thread for each.
 */
static void wait_for_some(struct intents *s, int64_t last)
{
    while (!s->first && !s->closing)
        pthread_cond_wait(&s->some, &s->lock);
    int64_t due = last + GATHER_NS, now = nanoseconds();
    if (now >= due || s->closing)
        return;
    struct timespec rest = { 0, due - now };
    s->gathering = true;
    pthread_mutex_unlock(&s->lock);
    nanosleep(&rest, NULL);
    pthread_mutex_lock(&s->lock);
    s->gathering = false;
}

static void *write_main(void *context)
{
    struct intents *s = context;
    int64_t last = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        wait_for_some(s, last);
        last = nanoseconds();
        struct intent *first = take_all(s);
        if (!first)
            break;
        pthread_mutex_unlock(&s->lock);
        atomic_store(&s->busy_since, clock_mono().ms);
        bring_back(first, make_durable(s, first));
        atomic_store(&s->busy_since, 0);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void intents_write(struct intents *s, struct intent *i)
{
    i->next = NULL;
    pthread_mutex_lock(&s->lock);
    bool taken = !s->closing && s->waiting < WAITING_MOST;
    if (taken) {
        *s->end = i;
        s->end = &i->next;
        s->waiting++;
        if (s->waiting == 1 && !s->gathering)
            pthread_cond_signal(&s->some);
    }
    pthread_mutex_unlock(&s->lock);
    if (!taken)
        bring_back(i, false);
}

/* ---- life ---- */

enum err intents_new(struct store *store, struct str file, struct intents **out, struct fault *why)
{
    struct intents *s = mem_zero(sizeof *s);
    s->store = store;
    s->fd = -1;
    s->end = &s->first;
    s->path = file.n ? mem_cstr(file) : NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->some, NULL);
    *out = s;
    if (s->path && !file_open(s)) {
        char say[sizeof why->subject];
        snprintf(say, sizeof say, "%s cannot be opened", s->path);
        s->stopped = true;
        return fault(why, ERR_FILE, str_of(say), "%m");
    }
    if (pthread_create(&s->thread, NULL, write_main, s)) {
        s->stopped = true;
        return fault(why, ERR_INTERNAL, STR(""), "cannot start the thread of intents");
    }
    pthread_setname_np(s->thread, "intents");
    return ERR_NONE;
}

void intents_stop(struct intents *s)
{
    if (!s || s->stopped)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->some);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    s->stopped = true;
}

void intents_free(struct intents *s)
{
    if (!s)
        return;
    intents_stop(s);
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->some);
    free(s->path);
    free(s);
}

struct intents_state intents_state(const struct intents *s)
{
    int64_t since = atomic_load(&s->busy_since);
    struct intents_state out = { .file_lost = s->path && atomic_load(&s->file_lost), .chain_lost = atomic_load(&s->chain_lost) };
    out.stuck = since && clock_mono().ms - since > INTENT_DEADLINE_MS;
    out.mute = out.stuck || (out.chain_lost && (!s->path || out.file_lost));
    return out;
}
