/* vault/rotation.h - keys that turn while the hub runs.
 *
 * rotation_begin() makes a new active wrapping key; from then on nothing new is sealed by an older one. rotation_step() seals a
 * batch of data keys anew, in a transaction of its own; what is left is what data_key says is left, so that any process goes on
 * where any other stopped, however it stopped, and several may work at once. When no data key refers to an older wrapping key, the
 * last step destroys those keys. Credentials stay readable throughout: a data key changes its wrapping, not itself.
 *
 * A data key that does not open is set aside (its wrapping_key becomes NULL): its connection is reconnect_required. When none of a
 * whole batch opens, it is not the rows that are at fault, and the rotation stops with ERR_CRYPTO.
 *
 * rotation_renew() puts owners whose data key is older than allowed under a fresh one (requirement 12.3).
 */
#ifndef VAULT_ROTATION_H
#define VAULT_ROTATION_H

#include "base/clock.h"
#include "vault/keyring.h"

#define ROTATION_BATCH 100 /* data keys in one transaction: a few milliseconds of the writer's time */

struct rotation_policy {
    int64_t max_age;  /* ms; of wrapping keys and data keys */
    int64_t max_uses; /* values that one wrapping key may seal */
    int64_t rate;     /* data keys a second, at most */
};
#define ROTATION_POLICY_PRESET ((struct rotation_policy){ 90 * (int64_t)86400000, 4000000000, 5000 })

struct rotation {
    uint32_t key;           /* that it made; 0: there was never a rotation */
    struct str reason;      /* "asked", "age", "uses" */
    int64_t total, done, broken;
    wall_ms started, finished; /* finished 0: it goes on */
};

/* Inside store_write(). ERR_CONFLICT: one goes on already, or a master key takes over. `a` keeps what *out points to. */
enum err rotation_begin(struct db *db, struct keyring *k, struct arena *a, const char *reason, struct rotation *out,
                        struct fault *why) MUST_CHECK;
/* The newest one. */
enum err rotation_newest(struct db *db, struct arena *a, struct rotation *out, struct fault *why) MUST_CHECK;

struct rotation_count {
    int64_t done, broken;   /* of this step */
    bool more;              /* false: no rotation goes on */
    bool finished;          /* this step ended it: older keys are destroyed */
};
enum err rotation_step(struct store *s, struct keyring *k, struct rotation_count *out, struct fault *why) MUST_CHECK;

/* Why a rotation is due now, or NULL. *at: when the active key reaches its age. */
enum err rotation_due(struct db *db, const struct rotation_policy *p, const char **reason, wall_ms *at,
                      struct fault *why) MUST_CHECK;

/* Some owners whose data key is older than `before` get new ones, or one that does not open is set aside; done + broken is 0 when
 * there is none. */
enum err rotation_renew(struct store *s, struct keyring *k, wall_ms before, struct rotation_count *out,
                        struct fault *why) MUST_CHECK;

/* One wrapping key, for people. */
struct rotation_key {
    uint32_t id;
    bool active;
    int64_t uses, data_keys;
    wall_ms created;
    struct str master, master_next; /* ids of the master keys that open it */
};
#define ROTATION_KEYS 32
struct rotation_report {
    struct rotation_key keys[ROTATION_KEYS];
    size_t count;
    int64_t broken;         /* data keys that were set aside */
    struct rotation newest;
};
enum err rotation_report(struct db *db, struct arena *a, struct rotation_report *out, struct fault *why) MUST_CHECK;

#endif
