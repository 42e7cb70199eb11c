/* call/call.h - THE WAIST: one authorised call, and its run record.
 *
 * Proxy, actions, verify, polls and deliveries all leave the house through here, so the rules of the credential stand in one place:
 * target checked against the allowed domain, egress policy, credential added last and to that host only, every
 * call recorded and masked.
 */
#ifndef CALL_CALL_H
#define CALL_CALL_H

#include "access/caller.h"
#include "base/arena.h"
#include "call/prepared.h"
#include "call/run.h"
#include "http/address.h"
#include "http/head.h"
#include "loop/loop.h"

struct switchboard; /* all that calls need: loops, caches, client pools, recorder */

/* One buffered call, from a worker thread: posts to a loop and waits. */
struct call_request {
    struct prepared *to;        /* lent */
    struct str caller, token;   /* ids for the record */
    const struct narrow *narrow;  /* what the caller's token leaves; NULL: everything */
    const struct address *source; /* where the caller is; NULL: not known */
    enum run_via via;
    struct str method;          /* GET POST PUT PATCH DELETE HEAD OPTIONS */
    struct str path;            /* relative to the base URL, may carry "?query"; or absolute within the allowed domain */
    struct str query;           /* already encoded; appended; p == NULL: none */
    const struct header *headers;
    size_t header_count;
    struct str body;            /* p == NULL: none */
    int64_t timeout_ms;         /* 0: the limit */
};
struct call_answer {
    int status;
    struct header *headers;     /* already filtered for the caller */
    size_t header_count;
    struct str body;
    struct run run;
};
/* Everything of *out is in `a`. *out->run is filled on failure too (its id is the problem's run_id). */
enum err call_wait(struct switchboard *s, struct arena *a, const struct call_request *q, struct call_answer *out,
                   struct fault *why) MUST_CHECK;

/* The prepared form of a stored connection, from the cache or made now (SQL: worker threads only). The answer is the caller's
 * reference: prepared_release(). Errors: ERR_CONNECTION_NOT_FOUND, ERR_CONNECTION_DISABLED, ERR_NEEDS_AUTH, ERR_RECONNECT_REQUIRED.
 */
enum err switchboard_prepare(struct switchboard *s, struct str connection_id, struct prepared **out, struct fault *why) MUST_CHECK;
/* The same for a look at its health, whatever the health says now: never from the cache, and not kept in it. `instead`: with these
 * secrets in place of the stored ones, which there may be none of. They stay the caller's. */
struct call_trial {
    bool instead;
    const struct connection_secret *secrets;
    size_t count;
    struct str fields;   /* JSON, in place of the stored ones; n == 0: those */
    const struct grant_value *grant; /* tokens in place of the stored ones, which nobody renews; NULL: those */
    size_t grant_count;
};
enum err switchboard_try(struct switchboard *s, struct str connection_id, const struct call_trial *trial, struct prepared **out,
                         struct fault *why) MUST_CHECK;
/* A change was committed: entries made before it are not used again. */
void switchboard_forget_connection(struct switchboard *s, struct str connection_id);
void switchboard_forget_connections(struct switchboard *s); /* all: the hub is sealed */
void switchboard_forget_tokens(struct switchboard *s); /* all: roles, users, tokens */

#endif
