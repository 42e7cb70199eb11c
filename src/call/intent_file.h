/* call/intent_file.h - the file of calls that are about to be made (audit.file), and the seals that vouch for it.
 *
 * One JSON object a line. Calls, and after each group of them that was written at once a seal:
 *
 *   {"run":"run_...","at":"...","caller":"...","token":"...","connection":"...","method":"GET","host":"...","path":"/..."}
 *   {"seal":7,"file":"0f3a...","left":0,"previous":"...","mac":"..."}
 *
 * mac: HMAC-SHA-256 of the group's lines and of the seal up to there; previous: the mac of the seal before, zeros at the first. So
 * no line can be changed, taken out, put in or moved. That the file's end was cut off shows against the audit chain, where the
 * newest seal is stated every minute (audit action "calls.filed"). left: bytes before the group that no seal vouches for: what a
 * crash left of a group whose calls were never made.
 *
 * While it is written the file ends in up to a mebibyte of line ends, which the next groups take the place of: a sync that changes
 * no size costs half. They mean nothing, wherever they stand, and go when the file is closed. A file that may only grow (chattr +a)
 * has none.
 */
#ifndef CALL_INTENT_FILE_H
#define CALL_INTENT_FILE_H

#include "access/audit.h"
#include "base/buf.h"

#define INTENT_FILE_ID 16 /* hex digits */
#define INTENT_FILED "calls.filed"

struct intent_mark {
    int64_t seal;                /* 0: none was written */
    char file[INTENT_FILE_ID + 1];
    char mac[AUDIT_HASH + 1];
};

struct intent_file;
/* `path` is copied. `key` is taken. Nothing is opened yet. */
struct intent_file *intent_file_new(struct str path, struct secret key);
void intent_file_free(struct intent_file *f);
/* From any thread: wipes the key. Nothing is written from then on. */
void intent_file_forget_key(struct intent_file *f);
/* Opens the file when it is not open. False: see errno. */
bool intent_file_ready(struct intent_file *f);
/* Appends the lines in `text` and their seal, and syncs. `text` gets more than it had. False: what is on the disk is not known. */
bool intent_file_write(struct intent_file *f, struct buf *text);
/* The newest seal; the writing thread's. */
const struct intent_mark *intent_file_mark(const struct intent_file *f);

struct intent_file_found {
    bool wrong;
    int64_t line;                /* at fault, counted from 1; 0: of none */
    int64_t number;              /* audit record that says otherwise; 0: none */
    int64_t calls, seals;
    int64_t loose;               /* lines that no seal vouches for */
};
/* The file against itself, and against what the audit chain of `db` states of it. `newest`: it is the file in use, so that the
 * newest statement must be in it; else those that name it. `key`.n == 0: the macs are not looked at. ERR_FILE, ERR_STORE. */
enum err intent_file_check(const char *path, struct secret key, struct db *db, bool newest, struct intent_file_found *out,
                           struct fault *why) MUST_CHECK;

#endif
