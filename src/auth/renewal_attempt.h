/* auth/renewal_attempt.h - one attempt at a flight, as the files that make one share it. Private to auth/renewal_*.c.
 *
 * renewal_attempt.c reads what an attempt needs; renewal_run.c decides and sends; renewal_end.c writes down what came of it;
 * renewal_left.c goes on from an answer that a dead process left.
 */
#ifndef AUTH_RENEWAL_ATTEMPT_H
#define AUTH_RENEWAL_ATTEMPT_H

#include "auth/renewal_inside.h"

#define TRY_SOON_MS 3000             /* a next try that is nearer than this is waited for */

/* One attempt at a flight: everything that is read for it. */
struct attempt {
    struct renewals *r;
    struct flight *f;
    struct arena *arena;
    struct connection_row row;
    struct grant_row g;
    const struct obtain *how;
    struct connection_secret secrets[CONNECTION_SECRETS]; size_t secret_count;
    struct auth_secret lent[CONNECTION_SECRETS + 2];
    struct secret client_key;        /* lent, too */
    struct grant_value values[GRANT_VALUES]; size_t value_count;
    struct auth_input in;
    struct oauth_profile profile;
    bool has_profile;
    struct tls_context *tls, *next_tls; /* with the client's certificate, and with its next; NULL: that of all, and none */
    struct obtain_input ask;
    struct grant_turn turn;
    struct answer_slot *slot;
    bool in_room;                    /* the slot holds the answer */
    struct str raw;                  /* the answer's body: wiped with the attempt, or with what takes it over */
    struct held held;
    int64_t started_us;
    wall_ms received;                /* the answer */
    bool entered;                    /* the host's line */
    bool asking;                     /* a request of it is not over */
    wall_ms now;
};


/* Reads all of it, of one moment. `why` as ERR_NEEDS_AUTH, ERR_CONNECTION_DISABLED, those of a profile. */
enum err attempt_load(struct attempt *x, struct fault *why) MUST_CHECK;
void attempt_end(struct attempt *x);

/* A code, a device code, an assertion in hand: what the grant was before does not matter to it. */
bool attempt_by_hand(const struct attempt *x);
bool attempt_alive(const struct attempt *x);
bool attempt_has(const struct attempt *x, const char *value);
/* A refresh token may be good for one request only. */
bool attempt_spends(const struct attempt *x);
struct str attempt_requested(struct attempt *x, struct arena *a); /* scopes */

/* Somebody waits, and the next try is near: the flight goes on then. */
bool attempt_soon(struct attempt *x, wall_ms again);

/* Ends of an attempt. True: over, and *out is what waiters are told. False: again at f->due_us. */
bool attempt_finish(struct attempt *x, struct obtained *got, enum err *out, struct fault *why);
bool attempt_lose_answer(struct attempt *x, struct str reason, enum err *out, struct fault *why);
bool attempt_fail_unsent(struct attempt *x, const struct fault *from, enum err *out, struct fault *why);
enum err attempt_end_grant(struct attempt *x, struct str reason, struct fault *why) MUST_CHECK;

static inline bool attempt_over(enum err *out, enum err e)
{
    *out = e;
    return true;
}

static inline bool attempt_again(struct flight *f, int64_t us)
{
    f->due_us = clock_mono_us() + us;
    return false;
}

static inline void attempt_wipe(struct str *raw)
{
    if (raw->n)
        secret_wipe((char *)(uintptr_t)raw->p, raw->n);
    *raw = STR("");
}

#endif
