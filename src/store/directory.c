#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/db.h"

#define FILE_NAME "raccord.db"
#define ASIDE_NAME FILE_NAME ".replaced" /* a database that another was put in place of; the second is ASIDE_NAME.2 */
#define CLAIM_NAME "serve.lock"
#define SHARED_NAME                                                                                                                \
    "database.elsewhere" /* says that the database is not in this directory; in it: its cluster, and the line of its history */

static inline void fd_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD __attribute__((cleanup(fd_end))) int

#define FILE_FAULT(why, path, what) \
    fault((why), ERR_FILE, str_of(what), "%s: %s: %s", (path), (what), errno ? strerrordesc_np(errno) : "refused")

static enum err sync_directory_of(const char *path, struct fault *why)
{
    char *copy = mem_cstr(str_of(path));
    char *slash = strrchr(copy, '/');
    const char *parent = slash == copy ? "/" : slash ? copy : ".";
    if (slash)
        *slash = 0;
    AUTO_FD fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    free(copy);
    return ok ? ERR_NONE : FILE_FAULT(why, path, "the directory above the data directory cannot be synced");
}

static bool is_there(int directory, const char *name)
{
    struct stat st;
    return fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum err check_directory(int fd, const char *path, struct fault *why)
{
    struct stat st;
    char said[160];
    if (fstat(fd, &st))
        return FILE_FAULT(why, path, "the data directory cannot be read");
    errno = 0;
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        snprintf(said, sizeof said, "the data directory is writable by others; run: chmod 700 %.100s", path);
        return FILE_FAULT(why, path, said);
    }
    /* Whoever owns the directory can put another database in its place. */
    if (st.st_uid != geteuid() && st.st_uid != 0 && geteuid() != 0)
        return FILE_FAULT(why, path, "the data directory belongs to another user");
    return ERR_NONE;
}

/* Whoever made this directory may have died before he synced its name. What cannot be synced here is not of our making. */
static void sync_name_of_empty(int fd, const char *path)
{
    struct fault unused;
    if (!is_there(fd, FILE_NAME) && !is_there(fd, SHARED_NAME))
        (void)!sync_directory_of(path, &unused);
}

enum err directory_open(const char *path, int *out, struct fault *why)
{
    enum err e;
    if (mkdir(path, 0700) == 0) {
        if ((e = sync_directory_of(path, why)))
            return e;
    } else if (errno != EEXIST) {
        return FILE_FAULT(why, path, "the data directory cannot be created");
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return FILE_FAULT(why, path, "the data directory cannot be opened");
    if ((e = check_directory(fd, path, why))) {
        close(fd);
        return e;
    }
    sync_name_of_empty(fd, path);
    *out = fd;
    return ERR_NONE;
}

/* Makes the database file before SQLite does, for its mode; -wal and -shm take theirs from it. An existing file is looked at
 * but not opened: closing it would drop the POSIX locks that another connection of this process holds. */
static enum err ensure_file(int directory, const char *path, struct fault *why)
{
    bool cut_off = is_there(directory, ASIDE_NAME) && !is_there(directory, FILE_NAME);
    if (cut_off) /* an empty one in its place would look like a new hub */
        return fault(why, ERR_FILE,
                     STR("a restore was cut off here: run it again, or give raccord.db.replaced its name back, raccord.db"),
                     "%s: %s without %s", path, ASIDE_NAME, FILE_NAME);
    AUTO_FD fd = openat(directory, FILE_NAME, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st, above;
    if (fd >= 0) {
        /* root's `raccord user create` must not lock the server's own user out. */
        bool ok = fstat(directory, &above) == 0 && (geteuid() != 0 || fchown(fd, above.st_uid, above.st_gid) == 0);
        return ok && fsync(fd) == 0 && fsync(directory) == 0 ? ERR_NONE : FILE_FAULT(why, path, "the database cannot be created");
    }
    if (errno != EEXIST)
        return FILE_FAULT(why, path, "the database cannot be created");
    if (fstatat(directory, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW))
        return FILE_FAULT(why, path, "the database cannot be read");
    errno = 0;
    if (!S_ISREG(st.st_mode))
        return FILE_FAULT(why, path, "the database is not a regular file");
    if ((st.st_mode & 077) && fchmodat(directory, FILE_NAME, 0600, 0))
        return FILE_FAULT(why, path, "the database is open to others and its mode cannot be changed");
    return ERR_NONE;
}

enum err directory_shared(int directory, const char *path, int64_t *cluster, int64_t *history, struct fault *why)
{
    if (is_there(directory, FILE_NAME))
        return fault(why, ERR_FILE,
                     STR("this directory holds a database of its own: make a backup of it, and restore that into another directory "
                         "with RACCORD_DATABASE_URL"),
                     "%s: %s is there", path, FILE_NAME);
    char text[64] = { 0 }, *end = text;
    AUTO_FD fd = openat(directory, SHARED_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || pread(fd, text, sizeof text - 1, 0) < 0)
        return FILE_FAULT(why, path, "a file cannot be made in the data directory");
    *cluster = strtoll(text, &end, 10);
    *history = strtoll(end, NULL, 10);
    return ERR_NONE;
}

void directory_history_note(int directory, int64_t cluster, int64_t history)
{
    char text[64];
    AUTO_FD fd = openat(directory, SHARED_NAME, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    int n = snprintf(text, sizeof text, "%20lld %10lld\n", (long long)cluster, (long long)history);
    if (fd < 0 || pwrite(fd, text, (size_t)n, 0) != n || fdatasync(fd))
        return; /* it is remembered while this process runs */
}

enum err directory_database(int directory, const char *path, char **file, struct fault *why)
{
    char real[PATH_MAX];
    if (!realpath(path, real))
        return FILE_FAULT(why, path, "the data directory cannot be opened");
    if (is_there(directory, SHARED_NAME))
        return fault(why, ERR_FILE, STR("this hub's database is a PostgreSQL server: say which with RACCORD_DATABASE_URL"),
                     "%s: %s", path, SHARED_NAME);
    enum err e = ensure_file(directory, path, why);
    if (e)
        return e;
    size_t size = strlen(real) + sizeof "/" FILE_NAME;
    *file = mem_zero(size);
    snprintf(*file, size, "%s/%s", real, FILE_NAME);
    return ERR_NONE;
}

/* Believed only while the file is locked; what stands in it matters to nobody but `raccord seal`. */
void directory_claim_say(int fd, const char *note)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%lld %s\n", (long long)getpid(), note);
    if (pwrite(fd, text, (size_t)n, 0) == n)
        (void)!ftruncate(fd, n);
}

enum err directory_claim(int directory, const char *path, int *claim, struct fault *why)
{
    int fd = openat(directory, CLAIM_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return FILE_FAULT(why, path, "serve.lock cannot be opened in the data directory");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *claim = fd;
        directory_claim_say(fd, "");
        return ERR_NONE;
    }
    bool taken = errno == EWOULDBLOCK;
    enum err e = taken ? fault(why, ERR_CONFLICT, STR("another raccord serve runs on this data directory"), "%s is locked",
                               CLAIM_NAME)
                       : FILE_FAULT(why, path, "serve.lock cannot be locked in the data directory");
    close(fd);
    return e;
}

enum err store_claimed(struct arena *a, struct str directory, int64_t *pid, struct str *note, struct fault *why)
{
    char text[64] = { 0 };
    const char *path = arena_cstr(a, str_fmt(a, "%.*s/%s", STR_ARG(directory), CLAIM_NAME));
    AUTO_FD fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    *pid = 0;
    *note = STR("");
    if (fd < 0)
        return errno == ENOENT ? ERR_NONE : FILE_FAULT(why, path, "it cannot be read");
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return ERR_NONE; /* nobody holds it */
    char *end = text;
    if (pread(fd, text, sizeof text - 1, 0) > 0)
        *pid = strtoll(text, &end, 10);
    if (*pid < 1)
        return fault(why, ERR_FILE, str_of(path), "no process is named in it");
    *note = arena_str(a, str_trim(str_of(end)));
    return ERR_NONE;
}

/* -- putting a database in place of another ------------------------------------------------------------------- */

#define ASIDE_SIZE 64

static void aside_name(char out[ASIDE_SIZE], int n)
{
    int end = snprintf(out, ASIDE_SIZE, "%s", ASIDE_NAME);
    if (n > 1)
        snprintf(out + end, ASIDE_SIZE - (size_t)end, ".%d", n);
}

/* A free one; where a cut left no database, that of the one which was set aside last: a log that still lies there is its. */
static void choose_aside(int directory, char out[ASIDE_SIZE])
{
    int n = 1;
    aside_name(out, n);
    while (is_there(directory, out))
        aside_name(out, ++n);
    if (n > 1 && !is_there(directory, FILE_NAME))
        aside_name(out, n - 1);
}

/* Out of the way, with its log: SQLite would take a log that lies beside the new database for its own. */
static bool set_aside(int directory)
{
    char name[ASIDE_SIZE], log[ASIDE_SIZE + 4];
    choose_aside(directory, name);
    snprintf(log, sizeof log, "%s-wal", name);
    return (!renameat(directory, FILE_NAME, directory, name) || errno == ENOENT) &&
           (!renameat(directory, FILE_NAME "-wal", directory, log) || errno == ENOENT) &&
           (!unlinkat(directory, FILE_NAME "-shm", 0) || errno == ENOENT);
}

static enum err install_in(int directory, const char *path, const char *from, bool replace, struct fault *why)
{
    if (!replace && is_there(directory, FILE_NAME))
        return fault(why, ERR_CONFLICT, STR("a database in this directory; --force sets it aside"), "%s", path);
    if (!set_aside(directory) || renameat(AT_FDCWD, from, directory, FILE_NAME) || fsync(directory))
        return FILE_FAULT(why, path, "the database cannot be put in its place");
    return ERR_NONE;
}

enum err store_install(struct str directory, const char *from, bool replace, struct fault *why)
{
    int fd = -1;
    char *path = mem_cstr(directory);
    enum err e = directory_open(path, &fd, why);
    AUTO_FD claim = -1;
    if (!e)
        e = directory_claim(fd, path, &claim, why);
    if (!e)
        e = install_in(fd, path, from, replace, why);
    fd_end(&fd);
    free(path);
    return e;
}
