/* store/directory.h - the data directory and the files in it. Private to this room. */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include "base/err.h"

/* Made with mode 0700 where it is not there; refused when others may write to it. *out: open. ERR_FILE. */
enum err directory_open(const char *path, int *out, struct fault *why) MUST_CHECK;
/* The database's absolute path, to be freed. The file is there then, for its owner only. ERR_FILE. */
enum err directory_database(int directory, const char *path, char **file, struct fault *why) MUST_CHECK;
/* The database is elsewhere: noted, so that nobody begins another one here. ERR_FILE. */
enum err directory_shared(int directory, const char *path, int64_t *cluster, int64_t *history, struct fault *why) MUST_CHECK;
/* The newest line of history of the cluster that it is in: what the next directory_shared() answers. */
void directory_history_note(int directory, int64_t cluster, int64_t history);
/* serve.lock, held until *claim is closed. ERR_CONFLICT, ERR_FILE. */
enum err directory_claim(int directory, const char *path, int *claim, struct fault *why) MUST_CHECK;
/* A word beside the process's number. */
void directory_claim_say(int claim, const char *note);

#endif
