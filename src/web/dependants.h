/* web/dependants.h - who would notice if a connection were gone: required reading before harm (CON-39, CON-46).
 *
 * A kind of dependant is one row of the table in dependants.c: tokens and rules for an issuer's tokens that name the connection,
 * shares of it. Rooms above the vault that come to refer to connections add theirs there.
 */
#ifndef WEB_DEPENDANTS_H
#define WEB_DEPENDANTS_H

#include "store/many.h"
#include "web/web.h"

#define DEPENDANTS_MOST 100 /* of one kind, in one answer */

struct dependant {
    const char *kind;       /* token, identity_provider, share */
    struct str id, name;    /* of the token, of the provider; of the person or folder that it is shared with */
    wall_ms ends;           /* 0: it has no end */
};

struct dependants {
    struct dependant *items;
    size_t count;
    bool more;              /* than DEPENDANTS_MOST of a kind */
};

enum err dependants_find(struct db *db, struct arena *a, struct str connection, struct dependants *out,
                         struct fault *why) MUST_CHECK;
/* How many each of them has, up to DEPENDANTS_MOST of each kind: out[i] for connections->keys[i]. */
enum err dependants_count(struct db *db, struct arena *a, const struct many *connections, int64_t *out,
                          struct fault *why) MUST_CHECK;
/* "dependants": [...], "more_dependants": bool; inside an object. `names` false: kinds only, for who may look but not edit. */
void dependants_write(struct json_out *o, const struct dependants *d, bool names);
/* The same as the further members of a problem; `others`: a JSON array, told as "other_defaults", or p == NULL. In `a`. */
struct str dependants_problem(struct arena *a, const struct dependants *d, struct str others);

#endif
