/* tests/unit/vault/hub.h - a data directory with a store, a keyring and two folders; gone after each test. */
#ifndef TESTS_VAULT_HUB_H
#define TESTS_VAULT_HUB_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../store/room.h"
#include "base/encode.h"
#include "vault/connection.h"

struct hub {
    char directory[64];
    struct arena *arena;
    struct store *store;
    struct keyring *keys;
    struct fault why;
};

static inline struct secret hub_master(unsigned char filling)
{
    struct secret key = secret_new(32);
    memset(key.p, filling, key.n);
    return key;
}

static inline enum err hub_script_work(struct db *db, void *script, struct fault *why) { return db_script(db, script, why); }

/* What someone with a database editor would do. */
static inline void hub_sql(struct hub *h, const char *script)
{
    if (store_write(h->store, hub_script_work, (void *)script, &h->why)) {
        fprintf(stderr, "%s: %s\n", script, h->why.note);
        abort();
    }
}

static inline struct str hub_text(struct hub *h, const char *sql)
{
    struct query *q = query_begin(store_reader(h->store, &h->why), sql);
    struct str s = query_next(q) ? query_get_text(q, 0, h->arena) : STR_NONE;
    if (query_end(q, &h->why))
        abort();
    return s;
}

static inline void hub_open(struct hub *h)
{
    if (room_open_store(h->directory, &h->store, &h->why))
        abort();
}

static inline struct hub *hub_new(void)
{
    struct hub *h = mem_zero(sizeof *h);
    snprintf(h->directory, sizeof h->directory, "/tmp/raccord-vault-XXXXXX");
    if (!mkdtemp(h->directory))
        abort();
    h->arena = arena_new(64 * 1024);
    hub_open(h);
    return h;
}

/* With a keyring and the folders fld_a and fld_b. */
static inline struct hub *hub_new_ready(void)
{
    struct hub *h = hub_new();
    if (keyring_open(h->store, hub_master(1), &h->keys, &h->why))
        abort();
    hub_sql(h, "INSERT INTO folder (id, slug, path, kind, created_ms, updated_ms) VALUES"
               " ('fld_a', 'a', 'shared', 'shared', 1, 1), ('fld_b', 'b', 'shared/b', 'shared', 1, 1)");
    return h;
}

static inline void hub_dump(const char *address, struct buf *all)
{
    char command[512], part[65536];
    /* Without the word that it makes up each time. */
    snprintf(command, sizeof command, "pg_dump --data-only '%s' 2>/dev/null | grep -v restrict", address);
    FILE *f = popen(command, "re");
    for (size_t n; f && (n = fread(part, 1, sizeof part, f));)
        buf_add(all, (struct str){ part, n });
    if (!f || pclose(f))
        abort();
}

/* Every file of the data directory, one after the other, and what lies on a PostgreSQL server. Free with free(). */
static inline struct str hub_files(struct hub *h)
{
    struct buf all;
    buf_init(&all, 64u << 20);
    char *address = room_address(h->directory);
    if (address)
        hub_dump(address, &all);
    free(address);
    DIR *d = opendir(h->directory);
    for (struct dirent *e; (e = readdir(d));) {
        char path[PATH_MAX], part[65536];
        snprintf(path, sizeof path, "%s/%s", h->directory, e->d_name);
        FILE *f = e->d_type == DT_REG ? fopen(path, "re") : NULL;
        for (size_t n; f && (n = fread(part, 1, sizeof part, f));)
            buf_add(&all, (struct str){ part, n });
        if (f)
            fclose(f);
    }
    closedir(d);
    if (buf_failed(&all))
        abort();
    return buf_str(&all);
}

static inline void hub_close(struct hub *h)
{
    keyring_close(h->keys);
    store_close(h->store);
    h->keys = NULL;
    h->store = NULL;
}

static inline void hub_end(struct hub *h)
{
    hub_close(h);
    DIR *d = opendir(h->directory);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", h->directory, e->d_name);
        if (unlink(path) && strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            rmdir(path);
    }
    if (d)
        closedir(d);
    rmdir(h->directory);
    arena_free(h->arena);
    free(h);
}

#endif
