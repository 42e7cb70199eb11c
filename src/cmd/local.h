/* cmd/local.h - what verbs need that work on the data directory itself, beside a running hub or without one. They say on stderr
 * what went wrong and answer the exit code. */
#ifndef CMD_LOCAL_H
#define CMD_LOCAL_H

#include "cmd/command.h"
#include "cmd/config.h"
#include "vault/keyring.h"

static inline void local_store_end(struct store **s) { store_close(*s); }
#define AUTO_STORE __attribute__((cleanup(local_store_end))) struct store *
static inline void local_keyring_end(struct keyring **k) { keyring_close(*k); }
#define AUTO_KEYRING __attribute__((cleanup(local_keyring_end))) struct keyring *

/* --data or RACCORD_DATA; NULL: neither is given. */
const char *local_directory(struct command *c);

/* RACCORD_DATABASE_URL; empty: the embedded database. */
struct str local_database(void);
/* --data or RACCORD_DATA, and RACCORD_DATABASE_URL. */
int local_open(struct command *c, struct store **out);
/* The hub's settings: --config and the environment, then --data. Whoever does not use the master key in them wipes it:
 * local_forget(). */
int local_settings(struct command *c, struct config *out);
void local_forget(struct config *config);
/* The ring of an existing database: no key is made. */
int local_keyring(struct command *c, struct config *config, struct store *s, struct keyring **out);
/* The audit record of what a verb does, in its transaction. `after`: JSON, or p == NULL. */
enum err local_tell(struct db *db, struct command *c, const char *action, struct str id, struct str name, struct str after,
                    struct fault *why) MUST_CHECK;

#endif
