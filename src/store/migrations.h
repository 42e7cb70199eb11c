/* store/migrations.h - the table that makes the schema; the runner is in store/db.c. */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

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

#endif
