/* tests/unit/store/room.h - a data directory of its own for each test, gone afterwards. */
#ifndef TESTS_STORE_ROOM_H
#define TESTS_STORE_ROOM_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/db.h"

struct room {
    char above[64];       /* made by mkdtemp */
    char directory[80];   /* not made: store_open does */
    char file[96];
    struct arena *arena;
    struct store *store;  /* opened by the test or by room_open; closed by room_end */
    struct fault why;
};

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

#endif
