/* store/postgres.h - one connection to PostgreSQL. Private to this room. */
#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

#include <libpq-fe.h>

#include "store/connection.h"

struct postgres_db {
    struct db db;            /* first */
    PGconn *pg;
    struct place *place;
    int64_t history;         /* the line of history that the server is on */
    int64_t changed;         /* rows, by the last statement */
    uint64_t names;          /* statements that were named so far */
    bool warned;             /* the server warned of something since this was last cleared */
};

static inline struct postgres_db *postgres_of(const struct db *db) { return (struct postgres_db *)(uintptr_t)db; }

/* What the server answers to what was sent just now: its last result, to be freed, or NULL and *f. A server that says nothing in
 * time is not waited for again: the connection is of no use then. */
PGresult *postgres_answer(struct db *db, const char *doing, struct failure *f);
/* A text or a blob could not be sent. Answers false. */
bool postgres_refuse(const char *note, struct failure *f);

struct statement *postgres_prepare(struct db *db, const char *sql, struct failure *f);
void postgres_drop(struct db *db, struct statement *st);
bool postgres_bind(struct db *db, struct statement *st, int n, struct str value, bool blob, struct failure *f);
bool postgres_bind_number(struct db *db, struct statement *st, int n, int64_t value, struct failure *f);
enum step postgres_step(struct db *db, struct statement *st, struct failure *f);
bool postgres_is_null(const struct statement *st, int column);
struct str postgres_text(struct statement *st, int column, struct arena *a);
struct str postgres_blob(struct statement *st, int column, struct arena *a);
int64_t postgres_number(const struct statement *st, int column);
void postgres_rest(struct db *db, struct statement *st);

enum err postgres_copy(struct db *db, const char *to, store_progress *progress, void *context, struct fault *why);

#endif
