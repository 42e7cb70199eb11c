/* access/head_file.h - the file of heads, behind a thread of its own: a device that hangs holds up nobody else.
 *
 * Who asks waits two seconds at most; what hangs then goes on by itself, and until it has ended everybody is told at once. The
 * thread reads and writes bytes and knows no key.
 */
#ifndef ACCESS_HEAD_FILE_H
#define ACCESS_HEAD_FILE_H

#include "base/buf.h"
#include "base/err.h"

#define HEAD_FILE_PATIENCE_MS 2000

struct head_file;

/* `path` is copied. NULL: the thread does not start. */
struct head_file *head_file_new(const char *path);
/* Ends the thread. One that hangs is left behind with what it needs, after two seconds. NULL is fine. */
void head_file_free(struct head_file *f);
bool head_file_hangs(struct head_file *f);

/* What stands in the file, or in its last `most` bytes (0: all of it). *size: of the whole file; -1: there is none. ERR_FILE. */
enum err head_file_load(struct head_file *f, size_t most, struct buf *out, int64_t *size, struct fault *why) MUST_CHECK;
/* Appends and syncs; the file is made when it is not there (0600). ERR_FILE: what is on the disk is not known. */
enum err head_file_append(struct head_file *f, struct str text, struct fault *why) MUST_CHECK;

/* The same on the caller's thread, which waits as long as it takes. */
enum err head_file_load_here(const char *path, size_t most, struct buf *out, int64_t *size, struct fault *why) MUST_CHECK;
enum err head_file_append_here(const char *path, struct str text, struct fault *why) MUST_CHECK;

#endif
