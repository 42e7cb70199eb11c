/* store/migrations.h - the table that makes the schema; the runner is in store/migrate.c. */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

#include "base/err.h"
#include "base/str.h"

struct migration {
    int number;             /* 1..n without gaps */
    const char *what;
    const char *both;       /* one text for both engines, or the pair below, never a mix */
    const char *sqlite, *postgres;
};

const struct migration *migrations_all(size_t *count);
/* Numbers run 1..n and each row has one form of text (unit-tested, and checked at boot). */
bool migrations_sound(void);

struct store;
struct db;
/* Applies what is missing of `rows`, each in a transaction of its own; safe when several processes do so at once.
 * Errors: ERR_STORE_NEWER when the database knows a number that is not in `rows`; ERR_STORE when an applied row has changed
 * since (the note says which), or when one fails. */
enum err migrations_run(struct store *s, const struct migration *rows, size_t count, struct fault *why) MUST_CHECK;
/* The same on one writing connection. */
enum err migrations_run_on(struct db *db, const struct migration *rows, size_t count, struct fault *why) MUST_CHECK;

#endif
