/* What a power cut would take away. Before a file below $TEST_POWER_DATA changes, or a name there, what was before is written to
 * $TEST_POWER/log, in order; a sync of a file or directory is noted behind it. The log lies elsewhere and is never synced: it is
 * there after SIGKILL, and power.py then takes back what no sync covers. Several processes may share a log.
 *
 * What is remembered is the least that POSIX promises: a sync of a file says nothing of its name, and one of a directory nothing of
 * other directories. What had another name, or none any more, is kept alive by a link in $TEST_POWER/graves.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include "power.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE 65536
#define ROOM 4096             /* of a path */

enum { CHANGED = 1, SYNCED, MADE, RENAMED, REMOVED };

/* power.py has the same layout. Behind it: `names` bytes of text, each ended by a NUL, then `bytes` bytes that were in the file. */
struct entry {
    uint32_t kind, names;
    uint64_t inode;         /* of the file; of the directory that a name is in */
    int64_t at, length;     /* the range that is about to change; -1: all that is logged before `at` is on the disk */
    int64_t size;           /* of the file, before */
    uint64_t bytes;
};

static int log_fd = -1;
static _Atomic int64_t
    *log_end; /* the log's first bytes: where its whole entries end. Who is killed while he writes one leaves none. */
static char data[ROOM], graves[ROOM];
static const char *deaf;    /* files of such a name: their syncs are not believed */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("TEST_POWER"), *below = getenv("TEST_POWER_DATA");
    char path[ROOM];
    if (!folder || !below)
        return;
    deaf = getenv("TEST_POWER_DEAF");
    snprintf(data, sizeof data, "%s", below);
    snprintf(graves, sizeof graves, "%s/graves", folder);
    snprintf(path, sizeof path, "%s/log", folder);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    log_end = fd >= 0 ? mmap(NULL, sizeof *log_end, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    log_fd = log_end == MAP_FAILED ? -1 : fd;
}

static void give_up(const char *why)
{
    char text[256];
    int n = snprintf(text, sizeof text, "power.c: %s (errno %d)\n", why, errno);
    syscall(SYS_write, 2, text, (size_t)n);
    abort();
}

/* Threads of this process, then other processes. */
static void lock(void)
{
    pthread_mutex_lock(&mutex);
    while (syscall(SYS_flock, log_fd, LOCK_EX))
        if (errno != EINTR)
            give_up("the log cannot be locked");
}

static void unlock(void)
{
    int saved = errno;
    syscall(SYS_flock, log_fd, LOCK_UN);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

static void note(const struct entry *e, const char *names, const void *bytes)
{
    struct iovec v[] = { { (void *)e, sizeof *e }, { (void *)names, e->names }, { (void *)bytes, e->bytes } };
    long n = (long)(sizeof *e + e->names + e->bytes);
    if (syscall(SYS_pwritev, log_fd, v, 3, (long)*log_end, 0L) != n)
        give_up("the log cannot be written");
    *log_end += n;
}

/* ---- which files ---- */

static bool below(const char *path)
{
    size_t n = strlen(data), length = strlen(path);
    if (strncmp(path, data, n) || (path[n] && path[n] != '/'))
        return false;
    return length < 4 || strcmp(path + length - 4, "-shm") != 0; /* needs no durability, and is changed through a mapping */
}

static int look(int fd, struct stat *st) { return (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH); }

static void path_of(int fd, char out[ROOM])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, out, ROOM - 1);
    out[n > 0 ? n : 0] = 0;
}

static bool of_ours(int fd, struct stat *st)
{
    char path[ROOM];
    int saved = errno;
    bool ours = log_fd >= 0 && !look(fd, st) && S_ISREG(st->st_mode);
    if (ours) {
        path_of(fd, path);
        ours = below(path);
    }
    errno = saved;
    return ours;
}

/* The whole name, and the inode of the directory that it is in. */
static bool named(int directory, const char *path, char out[ROOM], uint64_t *inode)
{
    char base[ROOM] = "";
    struct stat st;
    int saved = errno;
    if (log_fd < 0)
        return false;
    if (*path != '/' && directory == AT_FDCWD)
        syscall(SYS_getcwd, base, sizeof base);
    else if (*path != '/')
        path_of(directory, base);
    snprintf(out, ROOM, "%s%s%s", base, *path == '/' ? "" : "/", path);
    bool ours = below(out);
    if (ours) {
        snprintf(base, sizeof base, "%s", out);
        *strrchr(base, '/') = 0;
        ours = !syscall(SYS_newfstatat, AT_FDCWD, *base ? base : "/", &st, 0);
        *inode = st.st_ino;
    }
    errno = saved;
    return ours;
}

static bool there(const char *path)
{
    struct stat st;
    return !syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);
}

/* ---- bytes ---- */

/* A second descriptor where the first cannot be read into any memory. SQLite's can: to close one would drop its POSIX locks. */
static int readable(int fd)
{
    char link[32];
    long flags = syscall(SYS_fcntl, fd, F_GETFL);
    if ((flags & O_ACCMODE) != O_WRONLY && !(flags & O_DIRECT))
        return fd;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC);
}

/* Locked. */
static void note_range(int fd, const struct stat *st, int64_t at, int64_t n)
{
    static char old[PIECE];
    int from = readable(fd);
    do {
        int64_t piece = n < PIECE ? n : PIECE, had = st->st_size - at;
        had = had < 0 ? 0 : had < piece ? had : piece;
        if (had && syscall(SYS_pread64, from, old, (size_t)had, at) != had)
            give_up("what a file holds cannot be read");
        struct entry e = { CHANGED, 0, st->st_ino, at, piece, st->st_size, (uint64_t)had };
        note(&e, NULL, old);
        at += piece;
        n -= piece;
    } while (n > 0);
    if (from != fd)
        syscall(SYS_close, from);
}

/* Locked; a write that is on the disk when it returns. */
static void note_direct(int fd, const struct stat *st, int64_t at, int64_t n, bool asked)
{
    if (!asked && !(syscall(SYS_fcntl, fd, F_GETFL) & O_DSYNC))
        return;
    struct entry e = { SYNCED, 0, st->st_ino, at, n, 0, 0 };
    note(&e, NULL, NULL);
}

static int64_t place_of(int fd, const struct stat *st)
{
    return syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND ? st->st_size : syscall(SYS_lseek, fd, 0L, SEEK_CUR);
}

static int64_t sum(const struct iovec *v, int count)
{
    int64_t n = 0;
    for (int i = 0; i < count; i++)
        n += (int64_t)v[i].iov_len;
    return n;
}

/* A change of `n` bytes at `at` (-1: where the file stands) by `call`. */
#define CHANGE(fd, at, n, dsync, call)               \
    struct stat st;                                  \
    if (!of_ours(fd, &st))                           \
        return (call);                               \
    lock();                                          \
    look(fd, &st);                                   \
    int64_t place = (at) >= 0 ? (int64_t)(at) : place_of(fd, &st); \
    note_range(fd, &st, place, (int64_t)(n));        \
    long made = (call);                              \
    if (made >= 0)                                   \
        note_direct(fd, &st, place, (int64_t)(n), (dsync)); \
    unlock();                                        \
    return made;

long disk_pwrite(int fd, const void *p, size_t n, off_t at)
{
    CHANGE(fd, at, n, false, syscall(SYS_pwrite64, fd, p, n, at))
}

long disk_write(int fd, const void *p, size_t n)
{
    CHANGE(fd, -1, n, false, syscall(SYS_write, fd, p, n))
}

long disk_writev(int fd, const struct iovec *v, int count)
{
    CHANGE(fd, -1, sum(v, count), false, syscall(SYS_writev, fd, v, count))
}

long disk_pwritev(int fd, const struct iovec *v, int count, off_t at, int flags)
{
    CHANGE(fd, at, sum(v, count), flags & 2 /* RWF_DSYNC */, syscall(SYS_pwritev2, fd, v, count, at, 0L, flags))
}

long disk_truncate(int fd, off_t n)
{
    CHANGE(fd, n < st.st_size ? n : st.st_size, n < st.st_size ? st.st_size - n : 0, false, syscall(SYS_ftruncate, fd, n))
}

long disk_allocate(int fd, int mode, off_t at, off_t n)
{
    if (mode & ~FALLOC_FL_KEEP_SIZE && log_fd >= 0)
        give_up("a kind of fallocate() that is not followed here");
    CHANGE(fd, at, 0, false, syscall(SYS_fallocate, fd, mode, at, n))
}

/* What is written meanwhile is not covered. */
long disk_sync(int fd, long number)
{
    struct stat st;
    char path[ROOM];
    if (log_fd < 0 || look(fd, &st) || !(S_ISDIR(st.st_mode) || of_ours(fd, &st)))
        return syscall(number, fd);
    path_of(fd, path);
    lock();
    struct entry e = { SYNCED, 0, st.st_ino, *log_end, -1, 0, 0 };
    unlock();
    long made = syscall(number, fd);
    if (made || (deaf && strstr(path, deaf)))
        return made;
    lock();
    note(&e, NULL, NULL);
    unlock();
    return made;
}

/* ---- names ---- */

/* Locked. "" when there was nothing. */
static void bury(const char *path, char grave[ROOM])
{
    *grave = 0;
    if (!there(path))
        return;
    snprintf(grave, ROOM, "%s/%lld", graves, (long long)*log_end);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0))
        give_up("what loses its name cannot be kept");
}

/* Locked. */
static void note_names(uint32_t kind, uint64_t inode, const char *a, const char *b, const char *c)
{
    static char text[3 * ROOM];
    int n = snprintf(text, sizeof text, "%s%c%s%c%s%c", a, 0, b, 0, c, 0);
    struct entry e = { kind, (uint32_t)n, inode, 0, 0, 0, 0 };
    note(&e, text, NULL);
}

/* A name that comes, by `call`. */
#define MAKE(directory, path, call)                                  \
    char whole[ROOM];                                            \
    uint64_t inode;                                                  \
    if (!named(directory, path, whole, &inode))                      \
        return (call);                                               \
    lock();                                                          \
    if (!there(whole))                                               \
        note_names(MADE, inode, whole, "", "");                      \
    long made = (call);                                              \
    unlock();                                                        \
    return made;

static void note_emptied(const char *path)
{
    struct stat st;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && !look(fd, &st) && S_ISREG(st.st_mode))
        note_range(fd, &st, 0, st.st_size);
    if (fd >= 0)
        syscall(SYS_close, fd);
}

long disk_open(int directory, const char *path, int flags, mode_t mode)
{
    char name[ROOM];
    uint64_t unused;
    if ((flags & __O_TMPFILE) == __O_TMPFILE || !(flags & (O_CREAT | O_TRUNC)))
        return syscall(SYS_openat, directory, path, flags, mode);
    if (flags & O_TRUNC && named(directory, path, name, &unused)) {
        lock();
        note_emptied(name);
        unlock();
    }
    MAKE(directory, path, syscall(SYS_openat, directory, path, flags, mode))
}

long disk_mkdir(int directory, const char *path, mode_t mode)
{
    MAKE(directory, path, syscall(SYS_mkdirat, directory, path, mode))
}

long disk_link(int directory, const char *path, int directory2, const char *path2, int flags)
{
    MAKE(directory2, path2, syscall(SYS_linkat, directory, path, directory2, path2, flags))
}

long disk_rename(int directory, const char *path, int directory2, const char *path2, unsigned flags)
{
    char from[ROOM], to[ROOM], grave[ROOM];
    uint64_t unused, inode;
    if (!named(directory2, path2, to, &inode))
        return syscall(SYS_renameat2, directory, path, directory2, path2, flags);
    named(directory, path, from, &unused);
    lock();
    if (there(from) && !(flags && there(to))) {
        bury(to, grave);
        note_names(RENAMED, inode, from, to, grave);
    }
    long made = syscall(SYS_renameat2, directory, path, directory2, path2, flags);
    unlock();
    return made;
}

long disk_unlink(int directory, const char *path, int flags)
{
    char whole[ROOM], grave[ROOM];
    uint64_t inode;
    if (flags || !named(directory, path, whole, &inode))
        return syscall(SYS_unlinkat, directory, path, flags);
    lock();
    bury(whole, grave);
    if (*grave)
        note_names(REMOVED, inode, whole, grave, "");
    long made = syscall(SYS_unlinkat, directory, path, flags);
    unlock();
    return made;
}
