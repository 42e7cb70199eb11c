/* cmd/ring.h - the master key that the settings name, and the ring that it opens. */
#ifndef CMD_RING_H
#define CMD_RING_H

#include "cmd/config.h"
#include "vault/keyring.h"

/* Takes the master key out of `c` and wipes it there. *created: the path of a key file that was made now (in an empty database
 * only), else empty. The ring keeps pointers into `c`. */
enum err ring_open(struct config *c, struct store *s, struct arena *boot, struct keyring **out, struct str *created,
                   struct fault *why) MUST_CHECK;
/* The master key alone; *out is the caller's to end. */
enum err ring_master(struct config *c, bool may_create, struct secret *out, bool *created, struct fault *why) MUST_CHECK;
/* Where it comes from. `text` says that it is there, no more. */
struct master_key_source ring_source(const struct config *c);

#endif
