/* access/caller.h - who is asking, resolved from a token or a session, and what they may. */
#ifndef ACCESS_CALLER_H
#define ACCESS_CALLER_H

#include "access/narrow.h"
#include "access/role.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

/* Everything is in the arena it was made with. */
struct caller {
    struct str principal;      /* usr_... or svc_... */
    struct str name;           /* e-mail or service account name */
    enum role role;            /* already narrowed by the token */
    struct str token;          /* tok_..., or STR_NONE for a session */
    struct str session_csrf;   /* for a session: the CSRF token expected; else STR_NONE */
    enum language language;
    bool limited;              /* the token is limited to `connections` */
    struct str *connections;   /* ids */
    size_t connection_count;
    struct narrow narrow;      /* what the token's grants leave beside that; zeroed for a session */
    struct str *folders;       /* ids of the folders this caller may see */
    size_t folder_count;
    wall_ms expires;           /* 0: never */
};

bool caller_may(const struct caller *c, enum right right); /* NULL: nobody signed in */
/* May this caller use or see a connection with this id in the folder with this id? */
bool caller_may_connection(const struct caller *c, struct str connection_id, struct str folder);

#endif
