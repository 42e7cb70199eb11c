/* Preloaded into the real program by tests/e2e/faults.py: the n-th file or network call of one of its threads kills the process,
 * tears a write in two, or fails with an errno. Counting starts when the test says so, in a file that both have mapped; each call
 * that was counted is written down there, so that a test can name the step at which it struck. It also moves the wall clock.
 * power.c, in the same library, remembers what is not on the disk yet.
 *
 * Calls go to the kernel by themselves, not to the C library's next definition: a sanitizer's runtime need not be up yet.
 */
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "power.h"

#define STEPS 1024
#define STEP 48

enum { RECORD, KILL_BEFORE, KILL_AFTER, TEAR, FAIL };

/* faults.py has the same layout. */
struct control {
    _Atomic int32_t armed, count, struck;
    int32_t action, at, error, stays;    /* stays: every later call fails, too */
    char thread[16];                     /* empty: any */
    char calls[128];                     /* " pwrite fdatasync ": those that count; empty: all */
    char file[64];                       /* part of the name of what the call is about; empty: any */
    char from[64];                       /* a call about such a file begins the counting; empty: at once */
    _Atomic int32_t begun;
    int64_t wall_shift_ms;
    char steps[STEPS][STEP];
};

static struct control *control;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TEST_FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (p != MAP_FAILED)
        control = p;
}

static void name_of(int fd, char *out, size_t size)
{
    char link[32], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlink, link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    const char *name = strrchr(path, '/');
    snprintf(out, size, "%.*s", (int)size - 1, strncmp(path, "socket:", 7) ? name ? name + 1 : path : "socket");
}

static bool of_interest(const char *call, const char *name)
{
    char thread[16] = "", word[32];
    prctl(PR_GET_NAME, thread);
    snprintf(word, sizeof word, " %s ", call);
    if (control->thread[0] && strcmp(thread, control->thread))
        return false;
    if (control->from[0] && !control->begun && !strstr(name, control->from))
        return false;
    control->begun = 1;
    return (!control->calls[0] || strstr(control->calls, word)) && (!control->file[0] || strstr(name, control->file));
}

static void die(void)
{
    for (;;)
        syscall(SYS_kill, getpid(), SIGKILL);
}

enum verdict { GO, STOP_AFTER, HALF, REFUSE };

/* Decides about a call: before it is made. */
static enum verdict judge(const char *call, const char *name)
{
    if (!control || !control->armed || !of_interest(call, name))
        return GO;
    int n = atomic_fetch_add(&control->count, 1) + 1;
    if (n <= STEPS)
        snprintf(control->steps[n - 1], STEP, "%s %s", call, name);
    bool now = n == control->at || (n > control->at && control->stays);
    if (!now || control->action == RECORD)
        return GO;
    atomic_fetch_add(&control->struck, 1);
    if (control->action == KILL_BEFORE)
        die();
    return control->action == KILL_AFTER ? STOP_AFTER : control->action == TEAR ? HALF : REFUSE;
}

static enum verdict judge_fd(const char *call, int fd)
{
    int saved = errno;
    char name[64] = "";
    if (control && control->armed)
        name_of(fd, name, sizeof name);
    enum verdict v = judge(call, name);
    errno = saved;
    return v;
}

static long refused(void)
{
    errno = control->error;
    return -1;
}

/* For what has no bytes: half of it is all of it. */
#define PLAIN(v, call)                       \
    if ((v) == REFUSE)                       \
        return (int)refused();               \
    long made = (call);                      \
    if ((v) != GO)                           \
        die();                               \
    return (int)made;

/* For what writes n bytes: torn, a part of them is there. */
#define BYTES(v, n, call)                    \
    if ((v) == REFUSE)                       \
        return refused();                    \
    size_t some = (v) == HALF ? (n) / 2 : (n); \
    long made = (call);                      \
    if ((v) != GO)                           \
        die();                               \
    return made;

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    enum verdict v = judge_fd("pwrite", fd);
    BYTES(v, n, disk_pwrite(fd, p, some, at))
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return pwrite64(fd, p, n, at); }

ssize_t write(int fd, const void *p, size_t n)
{
    enum verdict v = judge_fd("write", fd);
    BYTES(v, n, disk_write(fd, p, some))
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    enum verdict v = judge_fd("send", fd);
    BYTES(v, n, syscall(SYS_sendto, fd, p, some, flags, NULL, 0))
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    enum verdict v = judge_fd("send", fd);
    if (v == REFUSE)
        return refused();
    struct iovec half = { m->msg_iov[0].iov_base, m->msg_iov[0].iov_len / 2 };
    struct msghdr torn = *m;
    torn.msg_iov = &half;
    torn.msg_iovlen = 1;
    long made = syscall(SYS_sendmsg, fd, v == HALF ? &torn : m, flags);
    if (v != GO)
        die();
    return made;
}

ssize_t recv(int fd, void *p, size_t n, int flags)
{
    enum verdict v = judge_fd("recv", fd);
    BYTES(v, n, syscall(SYS_recvfrom, fd, p, some, flags, NULL, NULL))
}

ssize_t read(int fd, void *p, size_t n)
{
    enum verdict v = judge_fd("read", fd);
    BYTES(v, n, syscall(SYS_read, fd, p, some))
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
    enum verdict v = judge_fd("pread", fd);
    BYTES(v, n, syscall(SYS_pread64, fd, p, some, at))
}

ssize_t pread(int fd, void *p, size_t n, off_t at) { return pread64(fd, p, n, at); }

int fdatasync(int fd)
{
    enum verdict v = judge_fd("fdatasync", fd);
    PLAIN(v, disk_sync(fd, SYS_fdatasync))
}

int fsync(int fd)
{
    enum verdict v = judge_fd("fsync", fd);
    PLAIN(v, disk_sync(fd, SYS_fsync))
}

int ftruncate64(int fd, off64_t n)
{
    enum verdict v = judge_fd("ftruncate", fd);
    PLAIN(v, disk_truncate(fd, n))
}

int posix_fallocate64(int fd, off64_t at, off64_t n)
{
    enum verdict v = judge_fd("fallocate", fd);
    if (v == REFUSE)
        return control->error; /* it answers the number, and leaves errno as it was */
    long made = disk_allocate(fd, 0, at, n);
    if (v != GO)
        die();
    return made ? errno : 0;
}

ssize_t writev(int fd, const struct iovec *v, int count) { return disk_writev(fd, v, count); }
ssize_t pwritev2(int fd, const struct iovec *v, int count, off_t at, int flags) { return disk_pwritev(fd, v, count, at, flags); }
ssize_t pwritev(int fd, const struct iovec *v, int count, off_t at) { return disk_pwritev(fd, v, count, at, 0); }
int ftruncate(int fd, off_t n) { return ftruncate64(fd, n); }
int fallocate64(int fd, int mode, off64_t at, off64_t n) { return (int)disk_allocate(fd, mode, at, n); }
int fallocate(int fd, int mode, off_t at, off_t n) { return fallocate64(fd, mode, at, n); }
int posix_fallocate(int fd, off_t at, off_t n) { return posix_fallocate64(fd, at, n); }

int connect(int fd, const struct sockaddr *to, socklen_t n)
{
    enum verdict v = judge_fd("connect", fd);
    PLAIN(v, syscall(SYS_connect, fd, to, n))
}

int close(int fd)
{
    enum verdict v = judge_fd("close", fd);
    PLAIN(v == REFUSE ? GO : v, syscall(SYS_close, fd))
}

static const char *last_of(const char *path)
{
    const char *name = strrchr(path, '/');
    return name ? name + 1 : path;
}

int unlinkat(int directory, const char *path, int flags)
{
    enum verdict v = judge("unlink", last_of(path));
    PLAIN(v, disk_unlink(directory, path, flags))
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int renameat2(int directory, const char *path, int directory2, const char *path2, unsigned flags)
{
    enum verdict v = judge("rename", last_of(path2));
    PLAIN(v, disk_rename(directory, path, directory2, path2, flags))
}

int renameat(int directory, const char *path, int directory2, const char *path2)
{
    return renameat2(directory, path, directory2, path2, 0);
}

int rename(const char *path, const char *path2) { return renameat2(AT_FDCWD, path, AT_FDCWD, path2, 0); }

int linkat(int directory, const char *path, int directory2, const char *path2, int flags)
{
    enum verdict v = judge("link", last_of(path2));
    PLAIN(v, disk_link(directory, path, directory2, path2, flags))
}

int link(const char *path, const char *path2) { return linkat(AT_FDCWD, path, AT_FDCWD, path2, 0); }

int mkdirat(int directory, const char *path, mode_t mode)
{
    enum verdict v = judge("mkdir", last_of(path));
    PLAIN(v, disk_mkdir(directory, path, mode))
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int openat64(int directory, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    enum verdict v = judge("open", last_of(path));
    PLAIN(v, disk_open(directory, path, flags, mode))
}

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return openat64(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));
int openat(int directory, const char *path, int flags, ...) __attribute__((alias("openat64")));

/* ---- the wall clock ---- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int made = (int)syscall(SYS_clock_gettime, clock, out);
    int64_t shift = control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) ? control->wall_shift_ms : 0;
    if (made || !shift)
        return made;
    int64_t ns = out->tv_nsec + shift % 1000 * 1000000;
    out->tv_sec += shift / 1000 + (ns < 0 ? -1 : ns / 1000000000);
    out->tv_nsec = ns < 0 ? ns + 1000000000 : ns % 1000000000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *out = (struct timeval){ t.tv_sec, t.tv_nsec / 1000 };
    return 0;
}
