#include "access/head_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"

#define PIECE (64 * 1024)

/* One reading or writing. Its asker's, until that one stops waiting: then the thread's. */
struct task {
    bool append, done, left;
    size_t most;
    struct buf text;
    int64_t size;
    enum err e;
    struct fault why;
};

struct head_file {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;   /* over what follows */
    pthread_cond_t change;
    struct task *task;      /* under way, or about to be */
    int64_t since;          /* monotonic ms; of the task */
    bool stop, ended;
    bool left;              /* nobody waits for the thread: it frees */
};

static void file_end(struct head_file *f)
{
    pthread_cond_destroy(&f->change);
    pthread_mutex_destroy(&f->lock);
    free(f->path);
    free(f);
}

static enum err failed(struct fault *why, const char *path, const char *what)
{
    char say[sizeof why->subject];
    snprintf(say, sizeof say, "%s %s", path, what);
    return fault(why, ERR_FILE, str_of(say), "%m");
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD __attribute__((cleanup(close_fd))) int

/* ---- reading and writing ---- */

/* Everything from `from` on, into `out`. */
static enum err read_from(int fd, off_t from, struct buf *out, const char *path, struct fault *why)
{
    for (;;) {
        char *room = buf_room(out, PIECE);
        if (!room)
            return failed(why, path, "is too large");
        ssize_t got = pread(fd, room, PIECE, from + (off_t)out->n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(why, path, "cannot be read");
        if (!got)
            return ERR_NONE;
        out->n += (size_t)got;
    }
}

enum err head_file_load_here(const char *path, size_t most, struct buf *out, int64_t *size, struct fault *why)
{
    struct stat st;
    *size = -1;
    AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0 || fstat(fd, &st))
        return failed(why, path, "cannot be opened");
    if (!S_ISREG(st.st_mode))
        return failed(why, path, "is not a file");
    *size = st.st_size;
    return read_from(fd, most && st.st_size > (off_t)most ? st.st_size - (off_t)most : 0, out, path, why);
}

static enum err sync_parent(const char *path, struct fault *why)
{
    char directory[4096];
    str_copy(directory, sizeof directory, str_of(path));
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = 0;
    AUTO_FD fd = open(!slash ? "." : *directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && !fsync(fd) ? ERR_NONE : failed(why, path, "cannot be synced with its directory");
}

enum err head_file_append_here(const char *path, struct str text, struct fault *why)
{
    struct stat st;
    AUTO_FD fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0 || fstat(fd, &st))
        return failed(why, path, "cannot be opened");
    if (!S_ISREG(st.st_mode))
        return failed(why, path, "is not a file");
    enum err e = st.st_size ? ERR_NONE : sync_parent(path, why); /* first: what holds something has its name on the disk */
    if (e)
        return e;
    /* One write: a reader, and a crash, see the text or a part of it, and nothing between its parts. */
    return write(fd, text.p, text.n) == (ssize_t)text.n && !fdatasync(fd) ? ERR_NONE : failed(why, path, "cannot be written");
}

/* ---- the thread ---- */

static void task_end(struct task *t)
{
    buf_end(&t->text);
    free(t);
}

static void do_task(const char *path, struct task *t)
{
    t->e = t->append ? head_file_append_here(path, buf_str(&t->text), &t->why)
                     : head_file_load_here(path, t->most, &t->text, &t->size, &t->why);
}

static void *file_main(void *context)
{
    struct head_file *f = context;
    pthread_mutex_lock(&f->lock);
    while (!f->stop) {
        struct task *t = f->task;
        if (!t) {
            pthread_cond_wait(&f->change, &f->lock);
            continue;
        }
        pthread_mutex_unlock(&f->lock);
        do_task(f->path, t);
        pthread_mutex_lock(&f->lock);
        f->task = NULL;
        t->done = true;
        if (t->left)
            task_end(t);
        pthread_cond_broadcast(&f->change);
    }
    f->ended = true;
    pthread_cond_broadcast(&f->change);
    bool left = f->left;
    pthread_mutex_unlock(&f->lock);
    if (left)
        file_end(f);
    return NULL;
}

static struct timespec until(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

struct head_file *head_file_new(const char *path)
{
    struct head_file *f = mem_zero(sizeof *f);
    pthread_condattr_t monotonic;
    f->path = mem_cstr(str_of(path));
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->change, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!pthread_create(&f->thread, NULL, file_main, f)) {
        pthread_setname_np(f->thread, "audit-heads");
        return f;
    }
    file_end(f);
    return NULL;
}

void head_file_free(struct head_file *f)
{
    if (!f)
        return;
    struct timespec end = until(HEAD_FILE_PATIENCE_MS);
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_broadcast(&f->change);
    while (!f->ended && !pthread_cond_timedwait(&f->change, &f->lock, &end))
        ;
    pthread_t thread = f->thread;
    bool ended = f->ended;
    f->left = !ended;
    pthread_mutex_unlock(&f->lock);
    if (!ended) {
        pthread_detach(thread);
        return;
    }
    pthread_join(thread, NULL);
    file_end(f);
}

/* Under the lock. */
static bool overdue(const struct head_file *f) { return f->task && clock_mono().ms - f->since >= HEAD_FILE_PATIENCE_MS; }

bool head_file_hangs(struct head_file *f)
{
    pthread_mutex_lock(&f->lock);
    bool hangs = overdue(f);
    pthread_mutex_unlock(&f->lock);
    return hangs;
}

/* ---- asking ---- */

/* Takes `t`. *out: it again, done and the caller's to end; NULL: the file hangs. */
static enum err ask(struct head_file *f, struct task *t, struct task **out, struct fault *why)
{
    struct timespec end = until(HEAD_FILE_PATIENCE_MS);
    bool late = false;
    *out = NULL;
    pthread_mutex_lock(&f->lock);
    while (f->task && !overdue(f) && !late)
        late = pthread_cond_timedwait(&f->change, &f->lock, &end);
    bool mine = !f->task;
    if (mine) {
        f->task = t;
        f->since = clock_mono().ms;
        pthread_cond_broadcast(&f->change);
    }
    while (mine && !t->done && !late)
        late = pthread_cond_timedwait(&f->change, &f->lock, &end);
    if (mine && t->done)
        *out = t;
    else if (mine)
        t->left = true; /* the thread ends it */
    else
        task_end(t);
    pthread_mutex_unlock(&f->lock);
    if (*out)
        return ERR_NONE;
    errno = ETIMEDOUT;
    return failed(why, f->path, "does not answer: its device hangs");
}

static struct task *task_new(bool append)
{
    struct task *t = mem_zero(sizeof *t);
    t->append = append;
    buf_init(&t->text, SIZE_MAX / 2);
    return t;
}

static enum err settle(struct task *t, struct fault *why)
{
    enum err e = t->e;
    if (e)
        *why = t->why;
    task_end(t);
    return e;
}

enum err head_file_load(struct head_file *f, size_t most, struct buf *out, int64_t *size, struct fault *why)
{
    struct task *t = task_new(false);
    t->most = most;
    enum err e = ask(f, t, &t, why);
    if (e)
        return e;
    *size = t->size;
    buf_add(out, buf_str(&t->text));
    if (!t->e && buf_failed(out))
        t->e = failed(&t->why, f->path, "is too large");
    return settle(t, why);
}

enum err head_file_append(struct head_file *f, struct str text, struct fault *why)
{
    struct task *t = task_new(true);
    buf_add(&t->text, text);
    enum err e = ask(f, t, &t, why);
    return e ? e : settle(t, why);
}
