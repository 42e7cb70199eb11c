/* web/verify.h - does a credential work? The one call that the connector names, and what its answer means for the connection. */
#ifndef WEB_VERIFY_H
#define WEB_VERIFY_H

#include "call/call.h"
#include "call/switchboard.h"

struct verdict {
    bool ok;
    int status;         /* the provider's; 0: no answer came */
    struct str account; /* STR_NONE when the answer names none */
    struct str run;     /* STR_NONE: nothing was recorded */
    int64_t latency_ms;
};

/* Who asks: what their token leaves counts here as in any call. Zeroed: the hub itself. */
struct verify_by {
    struct str caller, token;
    const struct narrow *narrow;
    const struct address *source;
};

/* On a worker's or a prober's thread. *out is in `a`, and has its run on failure too. ERR_VERIFY_NOT_OFFERED, and those of calls.
 */
enum err verify_call(struct switchboard *s, struct arena *a, struct prepared *p, const struct verify_by *by,
                     struct verdict *out, struct fault *why) MUST_CHECK;
/* Does such a failure say something about the connection, rather than about the hub? */
bool verify_blames(enum err e);
enum connection_health verify_health(const struct connection_row *row, const struct verdict *v);
/* What a person can do about an answer with this status. */
struct str verify_reason(int status, enum language lang);

#endif
