/* tests/unit/access/house.h - a store with the shared folder and some people in it. */
#ifndef TESTS_ACCESS_HOUSE_H
#define TESTS_ACCESS_HOUSE_H

#include <fcntl.h>

#include "../store/room.h"
#include "access/folder.h"
#include "access/token.h"
#include "access/user.h"
#include "base/clock.h"
#include "store/connection.h"

#define assert_ok(call) assert_int_equal((call), ERR_NONE)
#define MINUTE 60000ll

struct house {
    struct room *room;
    struct arena *arena;
    struct store *store;
    struct place place;
    char *address;        /* of a PostgreSQL database, or NULL */
    struct db *db;        /* a writing connection of the test's own; every statement commits by itself */
    struct fault why;
    struct str shared, owner, admin, ann, bob;
};

/* Moves what the database knows of time: nobody sleeps. */
static inline void house_run(struct house *h, const char *sql)
{
    if (db_script(h->db, sql, &h->why))
        fail_msg("%s", h->why.note);
}

static inline int64_t house_number(struct house *h, const char *sql) { return room_number(h->room, h->db, sql); }

static inline struct str house_user(struct house *h, const char *email, enum role role, struct str password_hash)
{
    struct str id;
    assert_ok(user_create(h->db, h->arena, str_of(email), password_hash, role, STR("en"), &id, &h->why));
    return id;
}

/* The caller that a fresh token of this principal resolves to. */
static inline struct caller house_caller(struct house *h, struct str principal, enum role role)
{
    char text[TOKEN_TEXT];
    struct str id;
    struct caller c;
    struct token_new t = { .name = STR("test"), .principal = principal, .role = role };
    assert_ok(token_create(h->db, h->arena, &t, text, &id, &h->why));
    assert_ok(token_resolve(h->db, h->arena, str_of(text), &c, &h->why));
    return c;
}

static inline int house_open(void **state)
{
    struct house *h = *state = mem_zero(sizeof *h);
    h->room = room_new();
    h->arena = h->room->arena;
    assert_ok(room_open_store(h->room->directory, &h->room->store, &h->why));
    h->store = h->room->store;
    h->address = room_address(h->room->directory);
    h->place = (struct place){ .engine = h->address ? &postgres_engine : &sqlite_engine,
                               .at = h->address ? h->address : h->room->file,
                               .directory = open(h->room->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    struct failure f;
    assert_true(connection_open(&h->place, CONNECTION_WRITES, &h->db, &f));
    assert_ok(folder_ensure_shared(h->db, h->arena, &h->shared, &h->why));
    h->owner = house_user(h, "owner@example.com", ROLE_OWNER, STR_NONE);
    h->admin = house_user(h, "admin@example.com", ROLE_ADMIN, STR_NONE);
    h->ann = house_user(h, "ann@example.com", ROLE_USER, STR_NONE);
    h->bob = house_user(h, "bob@example.com", ROLE_USER, STR_NONE);
    return 0;
}

static inline int house_close(void **state)
{
    struct house *h = *state;
    connection_close(h->db);
    close(h->place.directory);
    free(h->address);
    room_end(h->room);
    free(h);
    return 0;
}

#endif
