#include "store/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/connection.h"
#include "store/migrations.h"
#include "store/store_limits.h"

#define FILE_NAME "raccord.db"
#define CLAIM_NAME "serve.lock"

struct store {
    char *path;                  /* of the database; absolute, so that a later chdir() does no harm */
    int directory;               /* open directory */
    int claim;                   /* flock on serve.lock, or -1 */

    pthread_mutex_t turn_lock;   /* guards the two below; held for moments only */
    pthread_cond_t turn_over;    /* on the monotonic clock */
    bool writing;                /* somebody has the turn, and with it the writer */
    int64_t ready_until_ms;      /* monotonic: until then the last probe speaks for the database */
    int64_t room_until_ms;       /* monotonic: until then `tight` is known */
    bool tight;
    struct db *writer;           /* NULL: to be opened by the next write */
    bool unsynced;               /* a sync failed: the system may have dropped what we wrote, and says so only once */

    pthread_key_t reader_key;    /* this thread's reader */
    pthread_mutex_t readers_lock;
    struct list readers;         /* all threads' */
};

static inline void fd_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD __attribute__((cleanup(fd_end))) int

/* -- the directory ------------------------------------------------------------------------------------------ */

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

static enum err open_directory(const char *path, int *out, struct fault *why)
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
    *out = fd;
    return ERR_NONE;
}

/* Makes the database file before SQLite does, for its mode; -wal and -shm take theirs from it. An existing file is looked at
 * but not opened: closing it would drop the POSIX locks that another connection of this process holds. */
static enum err ensure_file(int directory, const char *path, struct fault *why)
{
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

/* Believed only while the file is locked; what stands in it matters to nobody but `raccord seal`. */
static void claim_say(int fd, const char *note)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%lld %s\n", (long long)getpid(), note);
    if (pwrite(fd, text, (size_t)n, 0) == n)
        (void)!ftruncate(fd, n);
}

static enum err claim_in(int directory, const char *path, int *claim, struct fault *why)
{
    int fd = openat(directory, CLAIM_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return FILE_FAULT(why, path, "serve.lock cannot be opened in the data directory");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *claim = fd;
        claim_say(fd, "");
        return ERR_NONE;
    }
    bool taken = errno == EWOULDBLOCK;
    enum err e = taken ? fault(why, ERR_CONFLICT, STR("another raccord serve runs on this data directory"), "%s is locked",
                               CLAIM_NAME)
                       : FILE_FAULT(why, path, "serve.lock cannot be locked in the data directory");
    close(fd);
    return e;
}

enum err store_claim(struct store *s, struct fault *why)
{
    return s->claim >= 0 ? ERR_NONE : claim_in(s->directory, s->path, &s->claim, why);
}

void store_claim_note(struct store *s, const char *note)
{
    if (s->claim >= 0)
        claim_say(s->claim, note);
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

/* Out of the way, with its log: SQLite would take a log that lies beside the new database for its own. */
static bool set_aside(int directory)
{
    static const char *const names[][2] = { { FILE_NAME, FILE_NAME ".replaced" },
                                            { FILE_NAME "-wal", FILE_NAME ".replaced-wal" },
                                            { FILE_NAME "-shm", NULL } };
    for (size_t i = 0; i < COUNT(names); i++) {
        int failed = names[i][1] ? renameat(directory, names[i][0], directory, names[i][1]) : unlinkat(directory, names[i][0], 0);
        if (failed && errno != ENOENT)
            return false;
    }
    return true;
}

static enum err install_in(int directory, const char *path, const char *from, bool replace, struct fault *why)
{
    struct stat st;
    if (!replace && fstatat(directory, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return fault(why, ERR_CONFLICT, STR("a database in this directory; --force sets it aside"), "%s", path);
    if (!set_aside(directory) || renameat(AT_FDCWD, from, directory, FILE_NAME) || fsync(directory))
        return FILE_FAULT(why, path, "the database cannot be put in its place");
    return ERR_NONE;
}

enum err store_install(struct str directory, const char *from, bool replace, struct fault *why)
{
    int fd = -1;
    char *path = mem_cstr(directory);
    enum err e = open_directory(path, &fd, why);
    AUTO_FD claim = -1;
    if (!e)
        e = claim_in(fd, path, &claim, why);
    if (!e)
        e = install_in(fd, path, from, replace, why);
    fd_end(&fd);
    free(path);
    return e;
}

/* -- readers ------------------------------------------------------------------------------------------------ */

static void reader_end(void *what)
{
    struct db *db = what;
    struct store *s = db->store;
    pthread_mutex_lock(&s->readers_lock);
    list_remove(&db->in_store);
    pthread_mutex_unlock(&s->readers_lock);
    connection_close(db);
}

struct db *store_reader(struct store *s, struct fault *why)
{
    struct db *db = pthread_getspecific(s->reader_key);
    /* A connection that met an I/O error is not asked again. */
    if (db && db->failed && list_empty(&db->running) && !db->snapshots) {
        pthread_setspecific(s->reader_key, NULL);
        reader_end(db);
        db = NULL;
    }
    if (db)
        return db;
    if (connection_open(s->path, CONNECTION_READS, &db, why))
        return NULL;
    db->store = s;
    pthread_mutex_lock(&s->readers_lock);
    list_push_back(&s->readers, &db->in_store);
    pthread_mutex_unlock(&s->readers_lock);
    if (pthread_setspecific(s->reader_key, db))
        bug("no memory for a thread's reader");
    return db;
}

/* -- the writer --------------------------------------------------------------------------------------------- */

static _Thread_local const struct store *writing; /* to tell a write inside a write from a busy database */

/* After a failed fsync the kernel may call the lost pages clean: what this connection believes of the file is not to be
 * trusted, nor is it to fold the log into the database on its way out. */
static void drop_writer(struct store *s)
{
    sqlite3_db_config(s->writer->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    connection_close(s->writer);
    s->writer = NULL;
}

/* Carries an open transaction to its end. `e` is what the work answered. */
static enum err finish(struct db *db, enum err e, struct fault *why)
{
    int open_queries = connection_end_queries(db);
    if (!e && open_queries)
        bug("%d queries still running at commit", open_queries);
    if (!e && db->failed)
        e = connection_fault(db, why); /* `work` passed over a failure */
    if (!e) {
        int rc = connection_exec(db, "COMMIT");
        if (!rc)
            return ERR_NONE;
        connection_failed(db, rc, "committing");
        e = connection_fault(db, why);
    }
    if (!sqlite3_get_autocommit(db->sqlite)) {
        int rc = connection_exec(db, "ROLLBACK");
        if (rc)
            connection_failed(db, rc, "rolling back");
    }
    return e;
}

static enum err write_once(struct store *s, int64_t left_ms, store_work *work, void *context, bool *busy, struct fault *why)
{
    enum err e;
    if (s->unsynced)
        return fault(why, ERR_STORE, STR(""), "a sync to disk failed: no write is taken until the hub is restarted");
    if (!s->writer && (e = connection_open(s->path, CONNECTION_WRITES, &s->writer, why)))
        return e;
    struct db *db = s->writer;
    sqlite3_busy_timeout(db->sqlite, left_ms > 1 ? (int)left_ms : 1);
    int rc = connection_exec(db, "BEGIN IMMEDIATE");
    if (rc) {
        connection_failed(db, rc, "beginning");
        e = connection_fault(db, why);
    } else {
        db->in_transaction = true;
        e = finish(db, work(db, context, why), why);
        db->in_transaction = false;
    }
    *busy = e && connection_busy(db->failed);
    if (*busy)
        db->failed = 0;
    /* Trying again after a failed fsync would believe pages that the system has thrown away: requirement 18.2. */
    s->unsynced = db->failed == SQLITE_IOERR_FSYNC || db->failed == SQLITE_IOERR_DIR_FSYNC;
    if (db->failed)
        drop_writer(s);
    return e;
}

/* Waiting has an end here as everywhere: when the disk hangs, callers must not pile up behind the one that met it. */
static bool take_turn(struct store *s, int64_t until_us)
{
    struct timespec until = { .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
    int rc = 0;
    pthread_mutex_lock(&s->turn_lock);
    while (s->writing && !rc)
        rc = pthread_cond_timedwait(&s->turn_over, &s->turn_lock, &until);
    bool mine = !s->writing;
    s->writing = true;
    pthread_mutex_unlock(&s->turn_lock);
    return mine;
}

static void end_turn(struct store *s, enum err e)
{
    pthread_mutex_lock(&s->turn_lock);
    s->writing = false;
    if (e == ERR_STORE || e == ERR_STORE_FULL || e == ERR_STORE_DAMAGED)
        s->ready_until_ms = 0;
    pthread_cond_signal(&s->turn_over);
    pthread_mutex_unlock(&s->turn_lock);
}

static enum err write_within(struct store *s, int64_t wait_ms, store_work *work, void *context, struct fault *why)
{
    if (writing == s)
        bug("store_write inside store_write");
    int64_t until_us = clock_mono_us() + wait_ms * 1000;
    if (!take_turn(s, until_us))
        return fault(why, ERR_STORE, STR(""), "other writers of this process kept the database for %lld ms", (long long)wait_ms);
    writing = s;
    enum err e;
    for (;;) {
        bool busy = false;
        e = write_once(s, (until_us - clock_mono_us()) / 1000, work, context, &busy, why);
        if (!busy || clock_mono_us() >= until_us)
            break;
        sqlite3_sleep(2);
    }
    writing = NULL;
    end_turn(s, e);
    return e;
}

bool store_writing(void) { return writing != NULL; }

enum err store_write(struct store *s, store_work *work, void *context, struct fault *why)
{
    return write_within(s, STORE_WAIT_MS, work, context, why);
}

/* Until here only writers of this process wait; those of others do for as long as the log takes to be folded in. */
static enum err checkpoint(struct store *s, struct fault *why)
{
    enum err e;
    if (s->unsynced)
        return fault(why, ERR_STORE, STR(""), "a sync to disk failed: no write is taken until the hub is restarted");
    if (!s->writer && (e = connection_open(s->path, CONNECTION_WRITES, &s->writer, why)))
        return e;
    sqlite3_busy_timeout(s->writer->sqlite, STORE_CHECKPOINT_WAIT_MS);
    int rc = sqlite3_wal_checkpoint_v2(s->writer->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (!rc || connection_busy(rc))
        return ERR_NONE;
    connection_failed(s->writer, rc, "folding the log into the database");
    e = connection_fault(s->writer, why);
    s->unsynced = rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
    drop_writer(s);
    return e;
}

enum err store_checkpoint(struct store *s, struct fault *why)
{
    if (!take_turn(s, clock_mono_us() + STORE_WAIT_MS * 1000))
        return fault(why, ERR_STORE, STR(""), "other writers of this process kept the database");
    enum err e = checkpoint(s, why);
    end_turn(s, e);
    return e;
}

/* user_version is ours to change and means nothing. It must change: SQLite does not write a page that stays as it is. */
static enum err probe(struct db *db, void *context, struct fault *why)
{
    char sql[48];
    (void)context;
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", (int)(clock_wall() & INT_MAX));
    return db_script(db, sql, why);
}

enum err store_ready(struct store *s, struct fault *why)
{
    pthread_mutex_lock(&s->turn_lock);
    bool known = clock_mono().ms < s->ready_until_ms;
    pthread_mutex_unlock(&s->turn_lock);
    if (known)
        return ERR_NONE;
    enum err e = write_within(s, STORE_PROBE_WAIT_MS, probe, NULL, why);
    if (e)
        return e;
    pthread_mutex_lock(&s->turn_lock);
    s->ready_until_ms = clock_mono().ms + STORE_PROBE_GOOD_MS;
    pthread_mutex_unlock(&s->turn_lock);
    return ERR_NONE;
}

bool store_is_tight(struct store *s)
{
    pthread_mutex_lock(&s->turn_lock);
    int64_t now = clock_mono().ms;
    struct statvfs v;
    if (now >= s->room_until_ms && fstatvfs(s->directory, &v) == 0) {
        uint64_t part = (uint64_t)v.f_blocks * v.f_frsize / 20;
        s->tight = (uint64_t)v.f_bavail * v.f_frsize < (part < STORE_RESERVE ? part : STORE_RESERVE);
        s->room_until_ms = now + STORE_ROOM_GOOD_MS;
    }
    bool tight = s->tight;
    pthread_mutex_unlock(&s->turn_lock);
    return tight;
}

/* -- open and close ----------------------------------------------------------------------------------------- */

static enum err open_in(const char *path, struct store *s, struct fault *why)
{
    char real[PATH_MAX];
    size_t count;
    enum err e = open_directory(path, &s->directory, why);
    if (e)
        return e;
    if (!realpath(path, real))
        return FILE_FAULT(why, path, "the data directory cannot be opened");
    if ((e = ensure_file(s->directory, path, why)))
        return e;
    size_t size = strlen(real) + sizeof "/" FILE_NAME;
    s->path = mem_zero(size);
    snprintf(s->path, size, "%s/%s", real, FILE_NAME);
    const struct migration *rows = migrations_all(&count);
    return migrations_run(s, rows, count, why);
}

enum err store_open(struct str directory, struct store **out, struct fault *why)
{
    if (!migrations_sound())
        bug("the migrations table is not sound");
    if (!directory.n || memchr(directory.p, 0, directory.n))
        return fault(why, ERR_FILE, STR("the data directory has no usable name"), "empty name, or a NUL in it");
    struct store *s = mem_zero(sizeof *s);
    s->directory = s->claim = -1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->turn_over, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->turn_lock, NULL);
    pthread_mutex_init(&s->readers_lock, NULL);
    list_init(&s->readers);
    if (pthread_key_create(&s->reader_key, reader_end))
        bug("too many stores in one process");
    char *path = mem_cstr(directory);
    enum err e = open_in(path, s, why);
    free(path);
    if (e) {
        store_close(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    /* First the key: from now on no ending thread closes a reader, so we may. */
    pthread_key_delete(s->reader_key);
    list_each_safe(node, &s->readers)
        connection_close(list_entry(node, struct db, in_store));
    connection_close(s->writer);
    fd_end(&s->claim);
    fd_end(&s->directory);
    pthread_mutex_destroy(&s->readers_lock);
    pthread_cond_destroy(&s->turn_over);
    pthread_mutex_destroy(&s->turn_lock);
    free(s->path);
    free(s);
}
