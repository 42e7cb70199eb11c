/* auth/renewal_inside.h - what the files of auth/renewal.h share. Private to them.
 *
 * renewal.c has the flights: one for each connection that somebody wants renewed, its waiters, and the threads that take flights
 * when they are due. renewal_run.c makes one attempt at a flight (renewal_attempt.h). renewal_left.c takes up what dead processes
 * left. renewal_upkeep.c does what nobody asked for: beats, what is due, tokens on their way back.
 */
#ifndef AUTH_RENEWAL_INSIDE_H
#define AUTH_RENEWAL_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "auth/answer_journal.h"
#include "auth/grant_row.h"
#include "auth/renewal.h"
#include "auth/token_rate.h"
#include "base/map.h"
#include "crypto/hash.h"

#define RENEWAL_THREADS 64

/* An answer that is on the disk and not yet in the database. */
struct unkept {
    struct arena *arena;
    struct answer_slot *slot;
    struct str raw;                 /* the answer's body, in the arena */
    struct obtained got;
    struct grant_turn turn;
    struct grant_end end;
    struct connection_row row;
    const struct json *capture;
    struct str account;             /* that the provider named; STR_NONE: none */
    bool by_person;
    bool in_room;                   /* the slot holds it: a stop loses nothing */
    bool told;                      /* that it is not kept, to the log */
};

/* An answer that a dead process left, until what it means is in the database. */
struct left {
    struct arena *arena;
    struct answer_slot *slot;       /* NULL: it is in a file that is not ours */
    char holder[ANSWER_HOLDER];     /* the one that died */
    struct kept_answer answer;      /* in the arena */
    int tries;
};

struct flight {
    char connection[ID_SIZE];
    size_t place;                   /* in the heap; SIZE_MAX: a thread has it */
    int64_t due_us;
    struct list waiters;            /* under the lock */
    /* Grow under the lock, while an attempt may read them: who joins has a reason of their own. */
    _Atomic int64_t wanted;         /* a generation newer than this */
    _Atomic(enum renewal_cause) cause;
    bool obtain;                    /* with the params of a person's grant */
    const struct token_param *params; size_t param_count;
    bool accept_account;            /* it may be of another account than the one before */
    char host[256];                 /* of the token endpoint, once it is known */
    int64_t go_us;                  /* its place in the host's line; 0: none */
    char seen_holder[ANSWER_HOLDER];  /* somebody else's lease, as it was last seen to move */
    int64_t seen_fence, seen_beat, seen_ms;
    int tries;
    int64_t started_us;
    struct unkept *unkept;
    struct left *left;
    int64_t lent;                   /* under the lock: the generation of `unkept`, while it may be borrowed; 0: it may not */
    bool changed;                   /* what was prepared before is stale: config.changed() is due */
};

/* A lease in our hands while its request is under way. */
struct held {
    struct list in;
    struct grant_turn turn;
    int64_t beaten_ms;              /* on the clock that goes on while the process is stopped */
    bool lost;
};

enum renewal_count {
    COUNT_RENEWED, COUNT_OBTAINED, COUNT_OVER, COUNT_CLIENT, COUNT_LATER, COUNT_UNKNOWN, COUNT_UNSENT, COUNT_LOST, COUNT_REFUSED,
    RENEWAL_COUNTS
};
#define WINDOW_BUCKETS 9

struct renewals {
    struct renewals_config config;
    struct answer_journal *journal;
    pthread_mutex_t lock;
    pthread_cond_t work, upkeep, idle;
    struct map *flights;
    struct flight **heap; size_t heap_count, heap_size;
    struct list held;
    int64_t lease_ms, beat_ms, send_ms; /* send_ms: after a beat, how long something may still be sent */
    struct token_rate *rate;
    bool stopping, hurry;
    int busy;                       /* threads with a flight in hand */
    int untried;                    /* answers of dead processes that nobody has looked at yet */
    pthread_t threads[RENEWAL_THREADS], keeper;
    int running;
    bool keeping;
    int64_t look_us;                /* when the keeper looks for what is due */
    _Atomic uint64_t counts[RENEWAL_COUNTS];
    _Atomic uint64_t window[WINDOW_BUCKETS + 1], window_us; /* from an answer's last byte to its being on the disk */
    _Atomic int64_t grants[GRANT_OVER + 1], from_backup, revocations;
};

/* Milliseconds that also count while the machine sleeps. */
int64_t renewal_boot_ms(void);
int64_t renewal_chance(int64_t below);
void renewal_report(struct renewals *r, const char *event, const struct fault *why);
/* Under the lock, which others may have meanwhile: not for longer than that. */
void renewal_pause(struct renewals *r, int64_t until_us);
void renewal_count(struct renewals *r, enum renewal_count c);
void renewal_window(struct renewals *r, int64_t us);

/* One attempt. True: over, *e is what waiters are told. False: again at f->due_us. On a renewal thread, without the lock. */
bool renewal_run(struct renewals *r, struct flight *f, enum err *e, struct fault *why);
/* Put what came into the database; on failure it goes on later, and who waits is told. */
bool renewal_keep_or_wait(struct renewals *r, struct flight *f, enum err *e, struct fault *why);
void renewal_unkept_free(struct unkept *u); /* its room is wiped */
void renewal_unkept_leave(struct unkept *u); /* its room is not, if the answer is there */
/* The same for an answer that a dead process left. */
bool renewal_take_up(struct renewals *r, struct flight *f, enum err *e, struct fault *why);
void renewal_left_free(struct left *l);
void renewal_left_leave(struct left *l);
/* A flight for it, which is due at once; of two answers for a connection the one with the newer fence. Before there are threads. */
void renewal_flight_left(struct renewals *r, struct left *l);

/* Tell those that wait now; the flight goes on. Who borrows has what he wants while f->lent is newer. */
void renewal_tell(struct renewals *r, struct flight *f, enum err e, const struct fault *why);
/* Look for what is due no later than that. */
void renewal_look_at(struct renewals *r, wall_ms next);

/* A connection's grant and what it is renewed with, for the time of use(). No grant, or no auth type that has one: not called. */
struct renewal_view {
    const struct connection_row *row;
    const struct oauth_profile *profile; /* NULL: none */
    const struct grant_value *values; size_t value_count;
    bool by_person;
};
enum err renewal_view(struct renewals *r, struct str connection,
                      enum err (*use)(void *context, const struct renewal_view *view, struct fault *why), void *context,
                      struct fault *why) MUST_CHECK;
/* The next revocation that is due: true when there was one. */
bool revocation_next(struct renewals *r);

enum err renewal_recover(struct renewals *r, struct fault *why) MUST_CHECK;
void *renewal_upkeep(void *renewals); /* the keeper's thread */

#endif
