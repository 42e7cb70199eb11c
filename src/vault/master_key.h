/* vault/master_key.h - the key above all others: 32 bytes that are never in the database. */
#ifndef VAULT_MASTER_KEY_H
#define VAULT_MASTER_KEY_H

#include "base/arena.h"
#include "base/err.h"
#include "crypto/secret.h"

/* Where the key comes from, in this order: `text` (RACCORD_MASTER_KEY: base64 or hex of 32 bytes; wiped by the caller),
 * `file` (master_key_file), systemd ($CREDENTIALS_DIRECTORY/master-key), DIRECTORY/master.key. Only the last is created when absent
 * (0600, fsynced with its directory) and only when the database holds no wrapping key yet.
 * A key file readable by group or others is refused: ERR_KEY_MISSING, subject says what to do. */
struct master_key_source {
    struct str text, file, directory;
};
/* *created: the file was made now (say so, with a word on keeping it apart from the data). */
enum err master_key_load(const struct master_key_source *from, bool may_create, struct secret *out, bool *created,
                         struct fault *why) MUST_CHECK;

/* 16 hexadecimal digits that tell master keys apart and say nothing of the key: in the database, in backups, in errors. */
#define MASTER_KEY_ID 16
struct master_key_id {
    char text[MASTER_KEY_ID + 1];
};
struct master_key_id master_key_id(struct secret key);
/* Another key that only who has the master key can make. The caller ends it. */
struct secret master_key_derive(struct secret key, struct str label);

/* The file that `from` reads; STR_NONE when it is none of ours to change (the environment, systemd's credential). */
struct str master_key_path(struct arena *a, const struct master_key_source *from);
/* Put `key` into an existing or a new file, all or nothing: written beside it, fsynced, renamed over it. 0600. ERR_FILE. */
enum err master_key_replace(struct str path, struct secret key, struct fault *why) MUST_CHECK;

#endif
