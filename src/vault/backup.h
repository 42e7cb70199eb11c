/* vault/backup.h - the whole database in one sealed file.
 *
 *   RACCORD-BACKUP {"version":1,"master_key":"<id>","salt":"<hex>","created_at":"..."}\n     in clear, authenticated
 *   header of the stream (24 bytes), then pieces of 64 KiB, each 17 bytes longer than its content (crypto/stream.h):
 *     the length of the manifest (4 bytes, big-endian), the manifest (JSON: size and SHA-256 of the database, facts), the database
 *
 * The key is HMAC-SHA256(master key, "backup|1|<salt>"); the master key itself is never in the file, and nothing in it is readable
 * without that key. What is sealed in the database stays sealed in the backup: its wrapping keys open with the same master key.
 */
#ifndef VAULT_BACKUP_H
#define VAULT_BACKUP_H

#include "base/clock.h"
#include "vault/keyring.h"

/* Bytes so far and in all; called often. */
typedef void backup_progress(void *context, int64_t done, int64_t total);

struct backup_order {
    struct str path;           /* of the file; never overwritten unless `replace` */
    bool replace;
    struct str facts;          /* JSON object of the caller's, for its manifest */
    backup_progress *progress; /* may be NULL */
    void *context;
};
/* One state of the database, whatever others write meanwhile. Complete and on the disk under its name, or not there. Beside the
 * file there is for a while a copy of the database, PATH.snapshot. ERR_FILE, ERR_STORE, ERR_CONFLICT: the file is there. */
enum err backup_write(struct store *s, struct keyring *k, const struct backup_order *order, struct fault *why) MUST_CHECK;

struct backup_head {
    struct str text;           /* the whole line */
    struct str master, salt;
    wall_ms created;
};
/* Before anything is opened: which master key it needs. ERR_FILE: it is no backup, or of a newer version. */
enum err backup_head_read(struct arena *a, struct str path, struct backup_head *out, struct fault *why) MUST_CHECK;

/* The database into a new file `to` (0600, on the disk). *facts: as they were given. ERR_KEY_WRONG: the subject is the id of the
 * key that is needed; ERR_BACKUP_DAMAGED: altered, cut off; nothing is left of `to` then. */
enum err backup_unpack(struct arena *a, struct str path, struct secret master, const char *to, backup_progress *progress,
                       void *context, struct str *facts, struct fault *why) MUST_CHECK;

struct backup_counts {
    int64_t connections, secrets, values, wrapping_keys;
    int64_t known;             /* connections that do not open, and said so before */
    int64_t unreadable;        /* connections and values that do not open and should */
    struct str first;          /* id of the first of these */
};
/* Every page, every reference, every sealed value. ERR_BACKUP_DAMAGED for pages and references; values are counted. */
enum err backup_check(struct db *db, struct keyring *k, struct arena *a, backup_progress *progress, void *context,
                      struct backup_counts *out, struct fault *why) MUST_CHECK;

/* In a transaction of the restored database: its connections are marked as restored, and sessions end. */
enum err backup_mark_restored(struct db *db, struct fault *why) MUST_CHECK;

#endif
