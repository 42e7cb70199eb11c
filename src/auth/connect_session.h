/* auth/connect_session.h - a link by which somebody without an account here completes one connection, in the name of who made it:
 * short-lived, for one browser, once (API-05, UX-20). What the store keeps of the link is its hash.
 */
#ifndef AUTH_CONNECT_SESSION_H
#define AUTH_CONNECT_SESSION_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/db.h"

#define CONNECT_SESSION_TEXT 53         /* 52 characters of base32, and NUL */
#define CONNECT_SESSION_MS (30 * 60 * 1000)
#define CONNECT_SESSION_MOST_MS (24ll * 60 * 60 * 1000)
#define CONNECT_SESSIONS_MOST 1000      /* open ones of one principal */
#define CONNECT_SESSION_KEPT_MS (7ll * 24 * 60 * 60 * 1000) /* how long after its end it can be asked about */

enum connect_session_state { CONNECT_OPEN, CONNECT_DONE, CONNECT_WITHDRAWN, CONNECT_EXPIRED };
const char *connect_session_state_name(enum connect_session_state s);

struct connect_session {
    struct str id;             /* css_... */
    struct str connection, principal; /* connection empty: it is made of `wanted` and of what the person enters */
    struct str wanted;         /* JSON, as the API takes a new connection, without credentials; of one that is there, as it takes a
                                  change: the fields that the person entered, until that takes effect */
    bool accept_account;       /* what comes may be of another account than what was there */
    bool change_fields;        /* they may be changed: those that the connector says */
    struct str token;          /* of ours, by which it was made (tok_...), or empty: it ends with that */
    struct str authorization;  /* aut_..., the last one that was begun; or empty */
    enum connect_session_state state;
    bool begun;                /* a browser is bound to it */
    wall_ms created, expires, ended;
};

/* Inside store_write(): id, created, and the link are filled in. ERR_LIMIT. */
enum err connect_session_begin(struct db *db, struct arena *a, struct connect_session *s, char link[CONNECT_SESSION_TEXT],
                               struct fault *why) MUST_CHECK;
/* One that can be used, by this browser (STR_NONE: it has no cookie yet). ERR_CONNECT_LINK_INVALID. */
enum err connect_session_find(struct db *db, struct arena *a, struct str link, struct str browser, struct connect_session *out,
                              struct fault *why) MUST_CHECK;
/* Inside store_write(): for this browser from now on. ERR_CONNECT_LINK_INVALID: another came first. */
enum err connect_session_bind(struct db *db, struct str id, struct str browser, struct fault *why) MUST_CHECK;
/* Inside store_write(): the connection is there now. ERR_CONNECT_LINK_INVALID: another form came first, or it is over. */
enum err connect_session_made(struct db *db, struct str id, struct str connection, struct fault *why) MUST_CHECK;
/* Inside store_write(): what its person wants to change of the connection; empty: nothing. */
enum err connect_session_enter(struct db *db, struct str id, struct str wanted, struct fault *why) MUST_CHECK;
enum err connect_session_begun(struct db *db, struct str id, struct str authorization, struct fault *why) MUST_CHECK;
/* Inside store_write(): its connection is complete. ERR_CONNECT_LINK_INVALID: it was not open any more. */
enum err connect_session_done(struct db *db, struct str id, struct fault *why) MUST_CHECK;
enum err connect_session_withdraw(struct db *db, struct str id, struct fault *why) MUST_CHECK; /* likewise */
/* ERR_NOT_FOUND "connect session". */
enum err connect_session_get(struct db *db, struct arena *a, struct str id, struct connect_session *out,
                             struct fault *why) MUST_CHECK;

#endif
