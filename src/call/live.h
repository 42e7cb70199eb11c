/* call/live.h - one call in progress, on its loop: what proxy streams and call_wait() buffers.
 *
 * The rules of the credential stand here and in target.h, and nowhere else: the final URL is held against the allowed domain before
 * anything is dialled and again while the head is written; every copy of a credential's name that the caller sent is left out; the
 * credential is written last; what comes back is filtered; the end is recorded, masked.
 *
 * Fill the first part, call live_begin(), then live_start(). Exactly one of end and failed follows, unless live_cancel() comes
 * first; the record is written in each case. Texts must live until then. References to `to` stay the owner's.
 */
#ifndef CALL_LIVE_H
#define CALL_LIVE_H

#include "call/prepared.h"
#include "call/run.h"
#include "call/switchboard.h"
#include "http/head.h"
#include "http/upstream.h"

struct live {
    struct board *board;
    struct prepared *to;
    struct arena *arena;            /* for the target and other small texts */
    struct str caller, token;       /* ids, for the record */
    const struct narrow *narrow;    /* what the caller's token leaves of calls; NULL: everything */
    const struct address *source;   /* where the caller calls from; NULL: not known */
    enum run_via via;
    struct str method;
    const struct head *from;        /* the caller's headers */
    bool refuse_override;           /* a header that the connection sets: refuse (true) or leave out (false) */
    enum framing_kind body_kind;    /* FRAMING_NONE, FRAMING_LENGTH or FRAMING_CHUNKED */
    uint64_t body_length;
    bool body_buffered;             /* the whole body is in `body`; else `writable` feeds it */
    struct str body;
    int64_t total_ms;               /* 0: the limit, up to the answer's head */
    bool total_covers_body;
    int retries;

    void (*writable)(struct live *c);           /* write the body with live_write(); streamed bodies only */
    /* The answer's head: which of its headers go on is live_passes()' to say. */
    void (*head)(struct live *c, const struct head *h, const struct framing *f);
    size_t (*got)(struct live *c, struct str span); /* body; fewer than given pauses until live_resume() */
    void (*end)(struct live *c);
    void (*failed)(struct live *c, const struct fault *why);
    void *user;

    struct run run;                 /* run.id is there after live_begin() */

    /* private */
    struct upstream up;
    struct url target;
    struct str host, query;         /* query: as it goes out, without the credential's own parameters */
    struct str given;               /* the caller's body, as it came */
    struct secret rewritten;        /* a body with credentials in it */
    struct signature *signature;    /* of the try that runs; NULL: the connection does not sign */
    struct timer retry;
    struct intent intent;           /* on its way to the disk */
    struct await *await;            /* for a token that is not over */
    struct prepared *renewed;       /* with that token, in place of the owner's; ours */
    struct hold *hold;              /* an answer that may say that the token is over */
    int64_t started_us;
    int redirects;
    bool probe, told;               /* of an open circuit; how this try went is told (call/circuit.h) */
    bool started, over, wrote_streamed, challenged, signature_sent;
    bool refused;                   /* the provider refused a token; a second time it is the caller's */
};

/* Resolve the target: `path` relative to the base URL, or an absolute URL within the allowed domain; `query` without '?' (p ==
 * NULL: none). Names the run. Errors are recorded as refused. */
enum err live_begin(struct live *c, struct str path, struct str query, struct fault *why) MUST_CHECK;
void live_start(struct live *c);
size_t live_write(struct live *c, struct str span);
void live_write_end(struct live *c);
void live_resume(struct live *c);
/* End it from our side: the caller has left (ERR_CANCELLED), or a limit is reached. No callback after this; fine when over. */
void live_cancel(struct live *c, enum err e);

/* May this header of an answer go to the caller? */
bool live_passes(const struct live *c, const struct head *h, const struct header *header);
/* True when the call changes or signs bodies like this request's, so that the whole of it, at most p->whole_max bytes, must be
 * there first. */
bool live_needs_whole_body(const struct prepared *p, const struct head *from);

#endif
