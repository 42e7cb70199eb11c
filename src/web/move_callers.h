/* web/move_callers.h - callers with tokens of an issuer who gain or lose a connection that moves: by the rules that are narrowed to
 * it or to folders. What other rules leave is their accounts' own, of which access/effect.h tells. */
#ifndef WEB_MOVE_CALLERS_H
#define WEB_MOVE_CALLERS_H

#include "base/json.h"
#include "vault/connection.h"

#define MOVE_CALLERS_MOST 100

struct move_caller {
    struct str provider, key;   /* idp_..., and its key */
    size_t rule;                /* JWT_CALLER_NO_RULE: of its users */
    struct str principal, name; /* p == NULL: whoever of its users may use it */
    bool gains;                 /* else loses */
};
struct move_callers {
    struct move_caller *rows;
    size_t n;                   /* the first of them */
};

/* `to`: a folder's id. */
enum err move_callers_find(struct db *db, struct arena *a, const struct connection_row *row, struct str to,
                           struct move_callers *out, struct fault *why) MUST_CHECK;
/* {"gains": [...], "loses": [...]} */
void move_callers_write(struct json_out *o, const struct move_callers *m);

#endif
