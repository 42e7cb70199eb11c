/* The disk is full, or fails: nothing corrupt, reads go on, writes come back by themselves (requirements 18.2, 18.3). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include "room.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)

/* -- a VFS that stands before the real one and fails on request ------------------------------------------------- */

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    int fail_syncs;   /* of the log: this many fail, as if the device were broken */
    int fail_writes;  /* of the log: this many find the disk full */
    int writers;      /* times the database was opened */
    int reads;        /* of the database itself */
    int stop_at;      /* this read is when somebody wants `checked` to stop looking at its pages; 0: none */
    struct db *checked;
} disk;

struct disk_file {
    sqlite3_file base;
    bool log;
    sqlite3_file *real;
};

#define REAL(f) (((struct disk_file *)(f))->real)
#define PASS(name, params, ...) \
    static int disk_##name params { return REAL(f)->pMethods->x##name(REAL(f), ##__VA_ARGS__); }

static int disk_Close(sqlite3_file *f)
{
    int rc = REAL(f)->pMethods->xClose(REAL(f));
    sqlite3_free(REAL(f));
    return rc;
}
static int disk_Read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    if (!((struct disk_file *)f)->log && ++disk.reads == disk.stop_at)
        store_check_stop(disk.checked);
    return REAL(f)->pMethods->xRead(REAL(f), p, n, at);
}
static int disk_Write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (((struct disk_file *)f)->log && disk.fail_writes && disk.fail_writes--)
        return SQLITE_FULL;
    return REAL(f)->pMethods->xWrite(REAL(f), p, n, at);
}
PASS(Truncate, (sqlite3_file *f, sqlite3_int64 size), size)
static int disk_Sync(sqlite3_file *f, int flags)
{
    if (((struct disk_file *)f)->log && disk.fail_syncs && disk.fail_syncs--)
        return SQLITE_IOERR_FSYNC;
    return REAL(f)->pMethods->xSync(REAL(f), flags);
}
PASS(FileSize, (sqlite3_file *f, sqlite3_int64 *size), size)
PASS(Lock, (sqlite3_file *f, int level), level)
PASS(Unlock, (sqlite3_file *f, int level), level)
PASS(CheckReservedLock, (sqlite3_file *f, int *out), out)
PASS(FileControl, (sqlite3_file *f, int op, void *arg), op, arg)
PASS(SectorSize, (sqlite3_file *f))
PASS(DeviceCharacteristics, (sqlite3_file *f))
PASS(ShmMap, (sqlite3_file *f, int page, int size, int extend, void volatile **out), page, size, extend, out)
PASS(ShmLock, (sqlite3_file *f, int offset, int n, int flags), offset, n, flags)
static void disk_ShmBarrier(sqlite3_file *f) { REAL(f)->pMethods->xShmBarrier(REAL(f)); }
PASS(ShmUnmap, (sqlite3_file *f, int remove_it), remove_it)

static const sqlite3_io_methods disk_methods = {
    2,            disk_Close,         disk_Read,        disk_Write,       disk_Truncate,
    disk_Sync,    disk_FileSize,      disk_Lock,        disk_Unlock,      disk_CheckReservedLock,
    disk_FileControl, disk_SectorSize, disk_DeviceCharacteristics, disk_ShmMap, disk_ShmLock,
    disk_ShmBarrier, disk_ShmUnmap,   NULL,             NULL,
};

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    struct disk_file *file = (struct disk_file *)f;
    (void)vfs;
    *file = (struct disk_file){ .log = flags & SQLITE_OPEN_WAL, .real = sqlite3_malloc(disk.real->szOsFile) };
    memset(file->real, 0, (size_t)disk.real->szOsFile);
    int rc = disk.real->xOpen(disk.real, name, file->real, flags, out_flags);
    if (rc)
        sqlite3_free(file->real);
    else
        file->base.pMethods = &disk_methods;
    disk.writers += !rc && (flags & SQLITE_OPEN_MAIN_DB);
    return rc;
}

static int install_disk(void **state)
{
    (void)state;
    disk.real = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.real;
    disk.vfs.zName = "failing-disk";
    disk.vfs.szOsFile = sizeof(struct disk_file);
    disk.vfs.xOpen = disk_open;
    return sqlite3_vfs_register(&disk.vfs, 1);
}

/* -- tests ------------------------------------------------------------------------------------------------------ */

static int with_store(void **state)
{
    struct room *r = *state = room_new();
    disk.fail_syncs = disk.fail_writes = 0;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "CREATE TABLE thing (name TEXT PRIMARY KEY, filler BLOB)"));
    return 0;
}

static int drop_room(void **state)
{
    room_end(*state);
    return 0;
}

static int64_t count(struct room *r)
{
    return room_number(r, store_reader(r->store, &r->why), "SELECT count(*) FROM thing");
}

static void assert_sound(struct room *r)
{
    struct query *q = query_begin(store_reader(r->store, &r->why), "PRAGMA integrity_check");
    assert_true(query_next(q));
    assert_true(str_is(query_get_text(q, 0, r->arena), "ok"));
    assert_ok(query_end(q, &r->why));
}

static void after_a_failed_sync_no_write_is_taken_until_the_database_is_opened_anew(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('before')"));
    disk.fail_syncs = 1;
    assert_int_equal(room_script(r, "INSERT INTO thing (name) VALUES ('lost')"), ERR_STORE);
    assert_non_null(strstr(r->why.note, "committing"));
    assert_int_equal(disk.fail_syncs, 0);

    assert_int_equal(room_script(r, "INSERT INTO thing (name) VALUES ('too early')"), ERR_STORE);
    assert_non_null(strstr(r->why.note, "restarted"));
    assert_int_equal(store_ready(r->store, &r->why), ERR_STORE);
    /* Reading goes on. Whether the write that was not acknowledged is there is nobody's to say: its frame was written, not synced.
     */
    int64_t seen = count(r);
    assert_in_range(seen, 1, 2);

    store_close(r->store);
    r->store = NULL;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('after')"));
    assert_int_equal(count(r), seen + 1);
    assert_sound(r);
}

static void a_full_disk_fails_writes_and_readiness_and_both_recover_when_there_is_room_again(void **state)
{
    struct room *r = *state;
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('before')"));
    assert_ok(store_ready(r->store, &r->why));

    disk.fail_writes = 1000;
    assert_int_equal(room_script(r, "INSERT INTO thing (name) VALUES ('lost')"), ERR_STORE_FULL);
    assert_non_null(strstr(r->why.note, "full"));
    assert_int_equal(store_ready(r->store, &r->why), ERR_STORE_FULL);
    assert_int_equal(count(r), 1);

    disk.fail_writes = 0;
    assert_ok(store_ready(r->store, &r->why));
    assert_ok(room_script(r, "INSERT INTO thing (name) VALUES ('after')"));
    assert_int_equal(count(r), 2);
    assert_sound(r);
}

static enum err put(struct db *db, void *context, struct fault *why)
{
    static const char filler[6000];
    struct query *q = query_begin(db, "INSERT INTO thing (name, filler) VALUES ($1, $2)");
    query_i64(q, *(int64_t *)context);
    query_blob(q, (struct str){ filler, sizeof filler });
    return query_end(q, why);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What opening has written already, the log of it included: the schema grows. */
static rlim_t written(const struct room *r)
{
    struct stat file = { 0 }, log = { 0 };
    stat(r->file, &file);
    stat(str_fmt(r->arena, "%s-wal", r->file).p, &log);
    return (rlim_t)(file.st_size > log.st_size ? file.st_size : log.st_size);
}

/* The kernel refuses the growth itself, in the middle of a transaction's pages. */
static void files_that_may_not_grow_lose_no_acknowledged_row_and_nothing_is_corrupt(void **state)
{
    struct room *r = *state;
    struct rlimit before;
    int64_t done = 0, n;
    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    enum err e = ERR_NONE;
    set_file_limit(written(r) + 300 * 1000);
    for (n = 1; !e && n < 1000; n++)
        if (!(e = store_write(r->store, put, &n, &r->why)))
            done++;
    enum err again = store_write(r->store, put, &n, &r->why);
    int64_t seen = count(r);
    set_file_limit(before.rlim_cur);

    assert_int_equal(e, ERR_STORE);
    assert_int_equal(again, ERR_STORE);
    assert_in_range(done, 10, 900);
    assert_int_equal(seen, done);
    assert_ok(store_ready(r->store, &r->why));
    assert_ok(store_write(r->store, put, &n, &r->why));
    assert_sound(r);
    store_close(r->store);
    r->store = NULL;
    assert_ok(store_open(str_of(r->directory), &r->store, &r->why));
    assert_int_equal(count(r), done + 1);
    assert_sound(r);
}

static void a_database_that_vanished_fails_writes_and_none_is_made_in_its_place(void **state)
{
    struct room *r = *state;
    disk.fail_writes = 1; /* so that the writer is opened anew */
    assert_int_equal(room_script(r, "INSERT INTO thing (name) VALUES ('lost')"), ERR_STORE_FULL);
    assert_int_equal(unlink(r->file), 0);
    assert_int_equal(room_script(r, "INSERT INTO thing (name) VALUES ('nowhere')"), ERR_STORE);
    assert_int_equal(access(r->file, F_OK), -1);
}

static void a_look_at_every_page_ends_soon_when_it_is_to_and_says_nothing_of_the_rest(void **state)
{
    struct room *r = *state;
    AUTO_ARENA a = arena_new(1024);
    struct str found;
    /* More than a reader keeps. */
    assert_ok(room_script(r, "CREATE TABLE page (n BIGINT PRIMARY KEY, bytes BLOB);"
                             "WITH RECURSIVE some (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM some WHERE n < 8000)"
                             " INSERT INTO page SELECT n, zeroblob(3000) FROM some"));
    assert_ok(store_checkpoint(r->store, &r->why));
    disk.checked = store_reader(r->store, &r->why);
    disk.reads = 0;
    assert_ok(store_check(disk.checked, a, false, &found, &r->why));
    assert_int_equal(found.n, 0);
    int whole = disk.reads;
    assert_true(whole > 8000);
    /* In the middle of the trees; what is read in order first takes a read for each MiB. */
    disk.reads = 0;
    disk.stop_at = 500;
    assert_int_equal(store_check(disk.checked, a, false, &found, &r->why), ERR_STOPPING);
    assert_int_equal(found.n, 0);
    assert_true(disk.reads < whole / 2);
    /* And before it began. */
    disk.reads = 0;
    assert_int_equal(store_check(disk.checked, a, false, &found, &r->why), ERR_STOPPING);
    assert_true(disk.reads < 10);
    disk.stop_at = 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, with_store, drop_room)
    const struct CMUnitTest tests[] = {
        T(after_a_failed_sync_no_write_is_taken_until_the_database_is_opened_anew),
        T(a_full_disk_fails_writes_and_readiness_and_both_recover_when_there_is_room_again),
        T(files_that_may_not_grow_lose_no_acknowledged_row_and_nothing_is_corrupt),
        T(a_database_that_vanished_fails_writes_and_none_is_made_in_its_place),
        T(a_look_at_every_page_ends_soon_when_it_is_to_and_says_nothing_of_the_rest),
    };
    return cmocka_run_group_tests_name("store/disk", tests, install_disk, NULL);
}
