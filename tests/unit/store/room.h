/* tests/unit/store/room.h - a data directory of its own for each test, gone afterwards. */
#ifndef TESTS_STORE_ROOM_H
#define TESTS_STORE_ROOM_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "store/db.h"

struct room {
    char above[64];       /* made by mkdtemp */
    char directory[80];   /* not made: store_open does */
    char file[96];
    struct arena *arena;
    struct store *store;  /* opened by the test or by room_open; closed by room_end */
    struct fault why;
};

/* The same tests on PostgreSQL (tests/unit/on-postgres): RACCORD_UNIT_POSTGRES is the address of a server, whose role may make
 * databases, up to their names. Each directory has one of its own there. NULL: SQLite, in the directory. To be freed. */
static inline char *room_address(const char *directory)
{
    const char *server = getenv("RACCORD_UNIT_POSTGRES");
    uint64_t name = 14695981039346656037u; /* FNV-1a */
    char *address = NULL, sql[200];
    if (!server)
        return NULL;
    for (const char *p = directory; *p; p++)
        name = (name ^ (unsigned char)*p) * 1099511628211u;
    if (asprintf(&address, "%s/postgres", server) < 0)
        abort();
    PGconn *pg = PQconnectdb(address);
    snprintf(sql, sizeof sql, "CREATE DATABASE u%016llx TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
             (unsigned long long)name);
    PQclear(PQexec(pg, sql)); /* it may be there already */
    PQfinish(pg);
    free(address);
    if (asprintf(&address, "%s/u%016llx", server, (unsigned long long)name) < 0)
        abort();
    return address;
}

static inline enum err room_open_store(const char *directory, struct store **out, struct fault *why)
{
    char *address = room_address(directory);
    enum err e = store_open_at(str_of(directory), address ? str_of(address) : STR(""), out, why);
    free(address);
    return e;
}

static inline struct room *room_new(void)
{
    struct room *r = mem_zero(sizeof *r);
    snprintf(r->above, sizeof r->above, "/tmp/raccord-store-XXXXXX");
    if (!mkdtemp(r->above))
        abort();
    snprintf(r->directory, sizeof r->directory, "%s/data", r->above);
    snprintf(r->file, sizeof r->file, "%s/raccord.db", r->directory);
    r->arena = arena_new(4096);
    return r;
}

static inline void room_remove(const char *directory)
{
    char path[PATH_MAX];
    DIR *d = opendir(directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", directory, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(directory);
}

static inline void room_end(struct room *r)
{
    store_close(r->store);
    chmod(r->directory, 0700);
    room_remove(r->directory);
    room_remove(r->above);
    arena_free(r->arena);
    free(r);
}

/* One number out of the database, or -1. */
static inline int64_t room_number(struct room *r, struct db *db, const char *sql)
{
    struct query *q = query_begin(db, sql);
    int64_t n = query_next(q) ? query_get_i64(q, 0) : -1;
    return query_end(q, &r->why) ? -1 : n;
}

/* Runs a script in a transaction of its own. */
static inline enum err room_script_work(struct db *db, void *context, struct fault *why) { return db_script(db, context, why); }
static inline enum err room_script(struct room *r, const char *sql)
{
    return store_write(r->store, room_script_work, (void *)sql, &r->why);
}

/* Work that reads what it writes: of two that overlap, one update would be lost. Needs a table thing (name, n). */
static inline enum err room_add_one(struct db *db, void *context, struct fault *why)
{
    (void)context;
    struct query *q = query_begin(db, "SELECT n FROM thing WHERE name = 'sum'");
    int64_t n = query_next(q) ? query_get_i64(q, 0) : 0;
    enum err e = query_end(q, why);
    if (e)
        return e;
    q = query_begin(db, "INSERT INTO thing (name, n) VALUES ('sum', $1) ON CONFLICT (name) DO UPDATE SET n = excluded.n");
    query_i64(q, n + 1);
    return query_end(q, why);
}

#endif
