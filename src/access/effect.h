/* access/effect.h - who gains and who loses by a change: rights of everybody in a folder, before and after. */
#ifndef ACCESS_EFFECT_H
#define ACCESS_EFFECT_H

#include "base/arena.h"
#include "base/err.h"
#include "store/db.h"

#define EFFECT_PEOPLE 2000 /* users and service accounts that are looked at */

struct effect_row {
    struct str id, name, kind;
    unsigned before, after; /* RIGHT_BIT()s */
};
struct effect {
    struct effect_row *rows;
    size_t n;
    bool complete;          /* everybody was looked at */
};

/* Everybody who is not disabled, with what they may in the folder now. */
enum err effect_before(struct db *db, struct arena *a, struct str folder, struct effect *out, struct fault *why) MUST_CHECK;
/* The same people afterwards; or in another folder. */
enum err effect_after(struct db *db, struct arena *a, struct str folder, struct effect *e, struct fault *why) MUST_CHECK;

/* Of one connection that goes from a folder to another, before and after: its shares go along. */
enum err effect_of_move(struct db *db, struct arena *a, struct str connection, struct str from, struct str to, struct effect *out,
                        struct fault *why) MUST_CHECK;

#endif
