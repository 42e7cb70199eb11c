#include "store/db.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/connection.h"
#include "store/directory.h"
#include "store/folder_map.h"
#include "store/migrations.h"
#include "store/store_limits.h"

struct store {
    struct place place;
    int directory;               /* open directory */
    int claim;                   /* flock on serve.lock, or -1 */

    pthread_mutex_t turn_lock;   /* guards the four below; held for moments only */
    pthread_cond_t turn_over;    /* on the monotonic clock */
    bool writing;                /* somebody has the turn, and with it the writer */
    int64_t ready_until_ms;      /* monotonic: until then the last probe speaks for the database */
    int64_t room_until_ms;       /* monotonic: until then `tight` is known */
    bool tight;
    struct db *writer;           /* NULL: to be opened by the next write */
    bool unsynced;               /* a sync failed: no write is believed any more */

    struct db *listener;         /* of the one thread that calls store_await(); NULL: to be opened */

    pthread_key_t reader_key;    /* this thread's reader */
    pthread_mutex_t readers_lock;
    struct list readers;         /* all threads' */

    struct folder_maps folders;
};

struct folder_maps *folder_maps_of(const struct db *db) { return db->store ? &db->store->folders : NULL; }

enum err store_claim(struct store *s, struct fault *why)
{
    return s->claim >= 0 ? ERR_NONE : directory_claim(s->directory, s->place.at, &s->claim, why);
}

void store_claim_note(struct store *s, const char *note)
{
    if (s->claim >= 0)
        directory_claim_say(s->claim, note);
}

bool store_is_shared(const struct store *s) { return s->place.engine->shared; }

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

static bool is_current(const struct db *db) { return !db->engine->current || db->engine->current(db); }

struct db *store_reader(struct store *s, struct fault *why)
{
    struct db *db = pthread_getspecific(s->reader_key);
    /* A connection that met an I/O error is not asked again. */
    if (db && (db->failed.code || !is_current(db)) && list_empty(&db->running) && !db->snapshots) {
        pthread_setspecific(s->reader_key, NULL);
        reader_end(db);
        db = NULL;
    }
    if (db)
        return db;
    struct failure f;
    if (!connection_open(&s->place, CONNECTION_READS, &db, &f)) {
        failure_fault(&f, why);
        return NULL;
    }
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

static void drop_writer(struct store *s)
{
    s->writer->engine->distrust(s->writer);
    connection_close(s->writer);
    s->writer = NULL;
}

static enum err open_writer(struct store *s, struct fault *why)
{
    struct failure f;
    if (s->unsynced)
        return fault(why, ERR_STORE, STR(""), "a sync to disk failed: no write is taken until the hub is restarted");
    if (s->writer && !is_current(s->writer))
        drop_writer(s);
    return s->writer || connection_open(&s->place, CONNECTION_WRITES, &s->writer, &f) ? ERR_NONE : failure_fault(&f, why);
}

static enum err write_once(struct store *s, int64_t left_ms, store_work *work, void *context, bool *busy, struct fault *why)
{
    enum err e = open_writer(s, why);
    if (e)
        return e;
    struct db *db = s->writer;
    e = connection_transaction(db, left_ms, work, context, why);
    *busy = e && db->failed.busy;
    if (db->failed.busy || db->failed.constraint)
        db->failed.code = ERR_NONE;
    /* Trying again after a failed fsync would believe pages that the system has thrown away: requirement 18.2. */
    s->unsynced = db->failed.code && db->failed.unsynced;
    if (db->failed.code)
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
        usleep(2000);
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
    struct failure f;
    enum err e = open_writer(s, why);
    if (e || s->writer->engine->checkpoint(s->writer, &f))
        return e;
    s->unsynced = f.unsynced;
    drop_writer(s);
    return failure_fault(&f, why);
}

enum err store_checkpoint(struct store *s, struct fault *why)
{
    if (!take_turn(s, clock_mono_us() + STORE_WAIT_MS * 1000))
        return fault(why, ERR_STORE, STR(""), "other writers of this process kept the database");
    enum err e = checkpoint(s, why);
    end_turn(s, e);
    return e;
}

static enum err probe(struct db *db, void *context, struct fault *why)
{
    (void)context;
    return db->engine->probe(db, why);
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

enum err store_copy(struct store *s, const char *to, store_progress *progress, void *context, struct fault *why)
{
    struct db *db = store_reader(s, why);
    enum err e = db ? db_snapshot(db, why) : ERR_STORE;
    if (e)
        return e;
    e = db->engine->copy(db, to, progress, context, why);
    db_snapshot_end(db);
    return e;
}

enum err store_check(struct db *db, struct arena *a, bool deep, struct str *found, struct fault *why)
{
    *found = STR("");
    return db->engine->check(db, a, deep, found, why);
}

enum err store_report(struct db *db, struct arena *a, struct store_report *out, struct fault *why)
{
    *out = (struct store_report){ .durable = true };
    return db->engine->report(db, a, out, why);
}

void store_check_stop(struct db *db) { db->engine->check_stop(db); }

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

/* -- other nodes ----------------------------------------------------------------------------------------------- */

static bool open_listener(struct store *s, struct failure *f)
{
    if (s->listener && !is_current(s->listener)) {
        connection_close(s->listener);
        s->listener = NULL;
    }
    return s->listener ||
           (connection_open(&s->place, CONNECTION_READS, &s->listener, f) && s->place.engine->listen(s->listener, f));
}

enum err store_await(struct store *s, int64_t wait_ms, struct arena *a, struct str *news, struct fault *why)
{
    struct failure f;
    struct db *before = s->listener;
    *news = STR("");
    if (open_listener(s, &f)) {
        if (s->listener != before) { /* nobody knows what it missed */
            *news = STR("*");
            return ERR_NONE;
        }
        if (s->place.engine->await(s->listener, wait_ms, a, news, &f))
            return ERR_NONE;
    }
    connection_close(s->listener);
    s->listener = NULL;
    return failure_fault(&f, why);
}

/* -- open and close ----------------------------------------------------------------------------------------- */

static enum err open_in(const char *path, struct str url, struct store *s, struct fault *why)
{
    size_t count;
    enum err e = directory_open(path, &s->directory, why);
    if (e)
        return e;
    s->place.engine = url.n ? &postgres_engine : &sqlite_engine;
    if (url.n)
        s->place.at = mem_cstr(url);
    int64_t history = 0;
    if ((e = url.n ? directory_shared(s->directory, path, &s->place.cluster, &history, why)
                   : directory_database(s->directory, path, &s->place.at, why)))
        return e;
    s->place.directory = s->directory;
    s->place.history = history;
    const struct migration *rows = migrations_all(&count);
    return migrations_run(s, rows, count, why);
}

enum err store_open(struct str directory, struct store **out, struct fault *why)
{
    return store_open_at(directory, STR(""), out, why);
}

enum err store_open_at(struct str directory, struct str url, struct store **out, struct fault *why)
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
    pthread_mutex_init(&s->place.lock, NULL);
    pthread_mutex_init(&s->readers_lock, NULL);
    list_init(&s->readers);
    folder_maps_begin(&s->folders);
    if (pthread_key_create(&s->reader_key, reader_end))
        bug("too many stores in one process");
    char *path = mem_cstr(directory);
    enum err e = open_in(path, url, s, why);
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
    connection_close(s->listener);
    if (s->claim >= 0)
        close(s->claim);
    if (s->directory >= 0)
        close(s->directory);
    folder_maps_end(&s->folders);
    pthread_mutex_destroy(&s->readers_lock);
    pthread_mutex_destroy(&s->place.lock);
    pthread_cond_destroy(&s->turn_over);
    pthread_mutex_destroy(&s->turn_lock);
    if (s->place.at)
        explicit_bzero(s->place.at, strlen(s->place.at)); /* there may be a password in it */
    free(s->place.at);
    free(s);
}
