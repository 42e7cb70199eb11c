/* access/audit.h - who did what: an append-only table, numbered without gaps, each record chained to the one before by its hash.
 *
 * hash = SHA-256(predecessor's hash, every other column in a canonical form); the first record follows 64 zeros. A record is added
 * in the transaction of the change it records, so that neither is there without the other. Who may write to the database can
 * compute hashes, too: what such a one cannot do is make the chain agree with the heads that were exported (access/audit_head.h).
 */
#ifndef ACCESS_AUDIT_H
#define ACCESS_AUDIT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "crypto/secret.h"
#include "store/db.h"

#define AUDIT_HASH 64             /* hex digits */
#define AUDIT_TEXT_MAX 512        /* bytes of any text column; the rest is cut off */
#define AUDIT_VALUE_MAX (32 * 1024) /* bytes of before and of after; larger ones are told by size and digest */

enum audit_outcome { AUDIT_DONE, AUDIT_REFUSED, AUDIT_FAILED };

/* What is told of an act. A text that is not known or does not apply is empty. Borrowed. */
struct audit_entry {
    struct str actor;      /* usr_..., svc_...; empty: nobody that is known */
    struct str actor_name; /* as it was then */
    struct str via;        /* tok_..., session, cli, system */
    struct str action;     /* connection.update */
    struct str kind;       /* of the object; p == NULL: what stands before the dot of the action */
    struct str object;     /* con_... */
    struct str name;       /* as it was then */
    struct str folder;     /* id */
    struct str client;     /* address */
    struct str run;        /* run_..., where a call is meant */
    enum audit_outcome outcome;
    struct str code;       /* of the error, when refused or failed */
    struct str before, after; /* JSON, masked by audit_value(); p == NULL: none */
};

struct audit_row {
    int64_t number;
    struct str id; /* aud_... */
    wall_ms at;
    struct audit_entry entry;
    struct str previous, hash;
};

struct audit_mark {
    int64_t number;        /* 0: the log is empty */
    char hash[AUDIT_HASH];
};

const char *audit_outcome_name(enum audit_outcome o);

/* Inside store_write(), in the transaction of what it tells of. */
enum err audit_add(struct db *db, const struct audit_entry *entry, struct fault *why) MUST_CHECK;
/* The newest record's number and hash; number 0 and zeros in an empty log. */
enum err audit_newest(struct db *db, struct audit_mark *out, struct fault *why) MUST_CHECK;

/* ---- reading ---- */

struct audit_filter {
    struct str actor, object, action; /* p == NULL: any. `object` and `actor` are ids or names; an action may end in ".*" */
    struct str folder;                /* id: of this folder and of those below that inherit from it. Found by their index if nothing
                                         else is asked for, newest first; else bound the numbers */
    wall_ms since, until;             /* 0: no bound; until is not included */
    int64_t before;                   /* numbers below this one; 0: from the newest */
    int64_t after;                    /* numbers above this one */
    bool oldest_first;
    int limit;
};
bool audit_filter_finds(const struct audit_filter *f); /* an index finds it, or there is no folder in it */
enum err audit_list(struct db *db, struct arena *a, const struct audit_filter *f, struct audit_row **out, size_t *n,
                    struct fault *why) MUST_CHECK;

/* ---- holding the chain against itself ---- */

enum audit_flaw {
    AUDIT_SOUND,
    AUDIT_CHANGED,     /* a record is not what its hash says */
    AUDIT_MISSING,     /* a number is not there, others after it are */
    AUDIT_REORDERED,   /* a record does not follow the one before it: inserted, moved, or its predecessor was made anew */
    AUDIT_TRUNCATED,   /* the log ends before a number that was exported */
    AUDIT_ROLLED_BACK, /* a number that was exported holds another record now: an old state was put back and went on, or all was
                          written anew */
    AUDIT_HEADS_CHANGED, /* the file of heads itself was edited, or is another hub's */
    AUDIT_CALLS_CHANGED, /* run records are not what was recorded of them */
    AUDIT_FILE_CHANGED,  /* the file of calls (audit.file) was edited, cut off or put back */
};
const char *audit_flaw_name(enum audit_flaw f);

/* What the chain should look like at a number, from outside the database. */
struct audit_witness {
    int64_t number;
    char hash[AUDIT_HASH];
};

struct audit_finding {
    enum audit_flaw flaw;
    int64_t number;       /* first record that is wrong; 0: none */
    int64_t records;      /* that were looked at */
    struct audit_mark newest;
};

/* Walks the whole log in one snapshot. `witnesses` ascend by number. A flaw is a finding, not an error. `each` may be NULL; it is
 * called for every record up to the flaw. */
typedef enum err audit_each(const struct audit_row *row, void *context, struct fault *why);
enum err audit_check(struct db *db, const struct audit_witness *witnesses, size_t n, audit_each *each, void *context,
                     struct audit_finding *out, struct fault *why) MUST_CHECK;

/* ---- values ---- */

/* "hmac:" and 32 hex digits: the same for the same value within one deployment, and of no use without its key (requirement 14.5).
 */
struct str audit_hash(struct arena *a, struct secret key, struct str value);

/* before and after as they are kept: what looks like a secret by its name, and long texts, become keyed hashes; members that are
 * the same in both are left out. Either may be p == NULL. Text that is not JSON becomes a hash as a whole. */
void audit_value(struct arena *a, struct secret key, struct str *before, struct str *after);

#endif
