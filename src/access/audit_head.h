/* access/audit_head.h - the newest record's number and hash, written down outside the database again and again.
 *
 * Who may write to the database can write the whole audit chain anew, or put an old state back. What such a one does not have is
 * the key, and, when the file is kept elsewhere, the file. One JSON object a line, appended and synced, never changed:
 *
 *   {"number":12,"hash":"...","at":"2026-01-31T00:00:00.000Z","previous":"...","mac":"..."}
 *
 * previous: SHA-256 of the line before (zeros at the first), so that a line vouches for all before it, whatever key they were made
 * with. mac: HMAC-SHA-256 of all that stands before it in the line. A line without its end, as a crash leaves it, is passed over.
 */
#ifndef ACCESS_AUDIT_HEAD_H
#define ACCESS_AUDIT_HEAD_H

#include "access/audit.h"
#include "access/head_file.h"

struct audit_heads {
    const char *path;
    struct secret key;              /* lent; n == 0: lines are read, and their macs not looked at */
    struct head_file *file;         /* lent; the same file behind its thread, so that nobody waits for long; NULL: read here */
};

/* Appends one line and syncs it; the file is made when it is not there (0600). ERR_FILE. */
enum err audit_heads_add(const struct audit_heads *h, const struct audit_mark *mark, struct fault *why) MUST_CHECK;

struct audit_heads_found {
    bool there;                     /* the file is, and is not empty */
    enum audit_flaw flaw;           /* AUDIT_SOUND, AUDIT_HEADS_CHANGED; AUDIT_ROLLED_BACK: the heads themselves went back */
    int64_t line;                   /* at fault, counted from 1; when only the end was read: from its first line */
    struct audit_witness *witnesses; /* ascending by number, one per number */
    size_t count;
    wall_ms newest;                 /* time of the last line */
};

/* `tail`: only what stands in the last 64 KiB. A file that is not there is no error. ERR_FILE. */
enum err audit_heads_read(const struct audit_heads *h, bool tail, struct arena *a, struct audit_heads_found *out,
                          struct fault *why) MUST_CHECK;

/* The exported heads against the database, without walking the log: each witness is looked up. For every minute. */
enum err audit_heads_compare(struct db *db, const struct audit_heads_found *heads, struct audit_finding *out,
                             struct fault *why) MUST_CHECK;

#endif
